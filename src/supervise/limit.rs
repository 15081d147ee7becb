//! When a limit ends, read from what an agent says of it. Pure.
//!
//! Agents tell it in words only, each in its own: an epoch behind a bar, a time of day, a date, a span. What cannot be read,
//! or is not within the longest limit that services have, counts as not said.

use std::sync::LazyLock;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use regex::{Captures, Regex};

/// The longest limit is a week's.
const LONGEST: SignedDuration = SignedDuration::from_hours(8 * 24);

const READABLE: &str = "the pattern is constant";

static EPOCH: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?:\||(?i:resets?(?: at)? ))(\d{10})\b").expect(READABLE));
static DATE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\b\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:[Zz]|[+-]\d\d:?\d\d)").expect(READABLE)
});
static SPAN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)\b(?:in|after)[: ]\s*((?:\d+(?:\.\d+)?\s*(?:days?|hours?|hrs?|minutes?|mins?|milliseconds?|ms|seconds?|secs?|[dhms])\b[,\s]*(?:and\s+)?)+)")
        .expect(READABLE)
});
static PART: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?i)(\d+(?:\.\d+)?)\s*(ms|milli|[dhms])").expect(READABLE));
static TIME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)\b(?:resets?|again)(?: at)? (\d{1,2})(?::(\d\d))?\s*([ap]m)?(?:\s*\(([A-Za-z_/+-]+)\))?")
        .expect(READABLE)
});

/// Returns when the limit ends that `text` speaks of, if it says so and `now` is before it.
pub fn said_until(text: &str, now: Timestamp) -> Option<Timestamp> {
    let found = epoch(text).or_else(|| date(text)).or_else(|| span(text, now)).or_else(|| time(text, now))?;
    let left = found.duration_since(now);
    (left > SignedDuration::ZERO && left <= LONGEST).then_some(found)
}

fn epoch(text: &str) -> Option<Timestamp> {
    Timestamp::from_second(EPOCH.captures(text)?[1].parse().ok()?).ok()
}

fn date(text: &str) -> Option<Timestamp> {
    DATE.find(text)?.as_str().parse().ok()
}

fn span(text: &str, now: Timestamp) -> Option<Timestamp> {
    let spans = SPAN.captures(text)?;
    let mut seconds = 0.0;
    for part in PART.captures_iter(&spans[1]) {
        let unit = match part[2].to_ascii_lowercase().as_str() {
            "d" => 86_400.0,
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            _ => 0.001,
        };
        seconds += part[1].parse::<f64>().ok()? * unit;
    }
    now.checked_add(SignedDuration::try_from_secs_f64(seconds).ok()?).ok()
}

/// The next such time of day, in the zone that is said, else in that of this machine.
fn time(text: &str, now: Timestamp) -> Option<Timestamp> {
    let said = TIME.captures(text)?;
    let zone =
        said.get(4).map_or_else(|| Some(TimeZone::system()), |name| TimeZone::get(name.as_str()).ok())?;
    let here = now.to_zoned(zone);
    let today = here.with().time(clock(&said)?).build().ok()?;
    let next = if today.timestamp() > now { today } else { today.checked_add(1.day()).ok()? };
    Some(next.timestamp())
}

fn clock(said: &Captures<'_>) -> Option<Time> {
    let hour: i8 = said[1].parse().ok()?;
    let minute = said.get(2).map_or(Some(0), |minute| minute.as_str().parse().ok())?;
    let half = said.get(3).map(|half| half.as_str().to_ascii_lowercase());
    let hour = match half.as_deref() {
        Some(_) if !(1..=12).contains(&hour) => return None,
        Some("pm") => hour % 12 + 12,
        Some(_) => hour % 12,
        // A bare number is no time of day.
        None if said.get(2).is_none() => return None,
        None => hour,
    };
    Time::new(hour, minute, 0, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_say_it_in_many_ways() {
        let now: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        let said = |text: &str| said_until(text, now).map(|until| until.to_string());
        for (text, until) in [
            ("Claude AI usage limit reached|1795208761", "2026-11-20T21:06:01Z"),
            ("You've hit your limit · resets 3pm (UTC)", "2026-11-20T15:00:00Z"),
            ("You've hit your session limit · resets 11:30am (UTC)", "2026-11-21T11:30:00Z"),
            ("limit resets at 2026-11-20T12:30:00Z", "2026-11-20T12:30:00Z"),
            ("Rate limit reached. Please try again in 1.5s.", "2026-11-20T12:00:01.5Z"),
            ("try again in 2 hours 5 minutes", "2026-11-20T14:05:00Z"),
            ("retry after 3600 seconds", "2026-11-20T13:00:00Z"),
            ("Please retry in 250ms", "2026-11-20T12:00:00.25Z"),
            ("try again in 1 day, 3 hours and 10 minutes", "2026-11-21T15:10:00Z"),
        ] {
            assert_eq!(said(text).as_deref(), Some(until), "{text}");
        }
        for text in [
            "API Error: Request rejected (429) · This request would exceed your account's rate limit. Please try again later.",
            "exceeded retry limit, last status: 429 Too Many Requests",
            "limit reached|1695208761",
            "limit reached|9995208761",
            "resets 13pm (UTC)",
            "resets 3pm (Nowhere/Atall)",
            "resets at 99:99 (UTC)",
            "try again at 5",
            "in 3 files",
            "",
        ] {
            assert_eq!(said(text), None, "{text}");
        }
    }
}
