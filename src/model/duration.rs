//! Durations as people write them in settings and options: `30m`, `24h`, `1h30m`, `500ms`.

use std::time::Duration;

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadDuration {
    /// No number and unit at all, or something else between them.
    #[error("`{0}` is not a duration (such as `90s`, `30m`, `1h30m`, `7d`)")]
    Form(String),
    /// More than a hundred years: a slip, and beyond what clocks can add.
    #[error("`{0}` is too long for a duration")]
    TooLong(String),
}

const LONGEST: Duration = Duration::from_secs(100 * 366 * 86_400);

/// Returns the duration that `text` says: numbers with a unit (`ms`, `s`, `m`, `h`, `d`, `w`) one after the other.
/// A lone `0` needs no unit; any other number does, so that nobody has to guess which one is meant.
pub fn parse(text: &str) -> Result<Duration, BadDuration> {
    let form = || BadDuration::Form(text.to_owned());
    let mut rest = text.trim();
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(form());
    }
    let mut millis: u128 = 0;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let after = &rest[digits..];
        let letters = after.len() - after.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let unit: u128 = match &after[..letters] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            _ => return Err(form()),
        };
        if digits == 0 {
            return Err(form());
        }
        let number: u64 = rest[..digits].parse().map_err(|_| BadDuration::TooLong(text.to_owned()))?;
        millis += u128::from(number) * unit;
        rest = after[letters..].trim_start();
    }
    let too_long = || BadDuration::TooLong(text.to_owned());
    let duration = Duration::from_millis(u64::try_from(millis).map_err(|_| too_long())?);
    if duration > LONGEST { Err(too_long()) } else { Ok(duration) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_of_the_contract_are_read() {
        let seconds = |text: &str| parse(text).unwrap().as_secs();
        assert_eq!(seconds("30m"), 1800);
        assert_eq!(seconds("24h"), 86_400);
        assert_eq!(seconds("30d"), 30 * 86_400);
        assert_eq!(seconds("1h30m"), 5400);
        assert_eq!(seconds("1h 30m"), 5400);
        assert_eq!(seconds("0"), 0);
        assert_eq!(parse("250ms").unwrap(), Duration::from_millis(250));
    }

    #[test]
    fn everything_else_is_refused() {
        for bad in ["", " ", "30", "-5m", "m", "1.5h", "30 minutes", "1h30", "5M", "٣m"] {
            assert!(matches!(parse(bad), Err(BadDuration::Form(_))), "{bad:?}");
        }
        for long in ["99999999999999999999999s", "40000d", "18446744073709551615w"] {
            assert!(matches!(parse(long), Err(BadDuration::TooLong(_))), "{long:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = parse(&text);
        }
    }
}
