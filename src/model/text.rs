//! Words and escapes: how any text that is not ours is made safe to show, and how counts and durations read.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

/// Returns `text` with everything that could move a cursor, recolour, retitle or reorder a terminal made visible.
/// Newlines and tabs stay; C0, DEL, C1, bidi controls, line separators and the byte order mark become `\x..` or `\u{..}`.
pub fn neutralised(text: &str) -> Cow<'_, str> {
    if !text.chars().any(dangerous) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if !dangerous(c) {
            safe.push(c);
        } else if u32::from(c) < 0x100 {
            let _ = write!(safe, "\\x{:02x}", u32::from(c));
        } else {
            let _ = write!(safe, "\\u{{{:x}}}", u32::from(c));
        }
    }
    Cow::Owned(safe)
}

fn dangerous(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Returns `text` on one line, neutralised, at most `width` characters, cut with `…`.
pub fn one_line(text: &str, width: usize) -> String {
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let safe = neutralised(&flat);
    if safe.chars().count() <= width {
        return safe.into_owned();
    }
    let mut cut: String = safe.chars().take(width.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// Returns `text` as one word of a command line, which a shell takes as it is.
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// Returns bytes in hexadecimal, two digits each: how a hash is written.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Names some of several things, and how many more there are.
pub fn few(names: &[impl std::fmt::Display]) -> String {
    let shown = if names.len() <= 3 { names.len() } else { 2 };
    let mut text = names[..shown].iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if shown < names.len() {
        let _ = write!(text, " and {} more", names.len() - shown);
    }
    text
}

/// Returns "1 commit", "2 commits".
pub fn count(n: usize, noun: &str) -> String {
    match (n, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) if !noun.ends_with("ay") => format!("{n} {stem}ies"),
        _ if noun.ends_with("ch") || noun.ends_with('s') => format!("{n} {noun}es"),
        _ => format!("{n} {noun}s"),
    }
}

/// Returns a number of bytes as people read it: `840 B`, `12 KiB`, `3.4 GiB`.
pub fn bytes(n: u64) -> String {
    let (mut whole, mut tenth, mut unit) = (n, 0, "B");
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if whole < 1024 {
            break;
        }
        (tenth, unit) = (whole % 1024 * 10 / 1024, next);
        whole /= 1024;
    }
    if whole < 10 && unit != "B" { format!("{whole}.{tenth} {unit}") } else { format!("{whole} {unit}") }
}

/// Returns a duration as people read it: `840ms`, `12s`, `3m05s`, `2h14m`, `3d04h`, `1d`.
pub fn duration(d: Duration) -> String {
    let s = d.as_secs();
    match s {
        0 => format!("{}ms", d.as_millis()),
        1..60 => format!("{s}s"),
        60..3600 => two(s, 60, 'm', 's'),
        3600..86_400 => two(s / 60, 60, 'h', 'm'),
        _ => two(s / 3600, 24, 'd', 'h'),
    }
}

/// Writes `n` small units as large and small ones, of which `size` make a large one; no small ones are not told.
fn two(n: u64, size: u64, large: char, small: char) -> String {
    match n % size {
        0 => format!("{}{large}", n / size),
        rest => format!("{}{large}{rest:02}{small}", n / size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_become_visible_and_plain_text_stays() {
        assert_eq!(neutralised("plain\n\tü"), "plain\n\tü");
        assert_eq!(neutralised("\u{1b}]0;x\u{7}\r"), "\\x1b]0;x\\x07\\x0d");
        assert_eq!(neutralised("a\u{202e}b\u{9b}1m"), "a\\u{202e}b\\x9b1m");
    }

    #[test]
    fn words_can_be_pasted_into_a_shell() {
        assert_eq!(shell_word("/a/b-c.d"), "/a/b-c.d");
        assert_eq!(shell_word("/a b/it's;$(x)"), "'/a b/it'\\''s;$(x)'");
        assert_eq!(shell_word(""), "''");
    }

    #[test]
    fn counts_and_durations_read_well() {
        assert_eq!(count(1, "commit"), "1 commit");
        assert_eq!(count(0, "branch"), "0 branches");
        assert_eq!(count(3, "retry"), "3 retries");
        assert_eq!([bytes(840), bytes(12 << 10), bytes(3500 << 20)], ["840 B", "12 KiB", "3.4 GiB"]);
        assert_eq!(duration(Duration::from_millis(840)), "840ms");
        assert_eq!(duration(Duration::from_secs(185)), "3m05s");
        assert_eq!(duration(Duration::from_secs(8040)), "2h14m");
        assert_eq!(duration(Duration::from_secs(86_400)), "1d");
    }

    proptest! {
        #[test]
        fn nothing_dangerous_is_left_and_twice_is_once(text in any::<String>()) {
            let once = neutralised(&text).into_owned();
            prop_assert!(!once.chars().any(dangerous));
            prop_assert_eq!(neutralised(&once).into_owned(), once.clone());
            prop_assert!(one_line(&text, 40).chars().count() <= 40);
        }
    }
}
