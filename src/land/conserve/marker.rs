//! Conflict markers that are left in a result.
//!
//! A file may have had lines that look like markers, such as the underline of a heading: a line counts only where it
//! stands more often than the sides have it.

use std::collections::HashMap;

use super::Sides;
use super::doubt::{Doubt, DoubtKind};

/// The length of a marker as git writes it, unless an attribute of the file says otherwise.
const LENGTH: usize = 7;

/// The lines of `result` that are conflict markers and not text of a side.
pub(super) fn left(sides: &Sides<'_>, result: &[u8]) -> Vec<Doubt> {
    let count = |text: &[u8]| {
        let mut seen: HashMap<Vec<u8>, usize> = HashMap::new();
        for line in lines(text).filter(|line| is_marker(line)) {
            *seen.entry(line.to_vec()).or_default() += 1;
        }
        seen
    };
    let [base, ours, theirs] = [sides.base.unwrap_or_default(), sides.ours, sides.theirs].map(count);
    let of = |seen: &HashMap<Vec<u8>, usize>, line: &[u8]| seen.get(line).copied().unwrap_or_default();
    let mut seen: HashMap<&[u8], usize> = HashMap::new();
    let mut doubts = Vec::new();
    for (n, line) in lines(result).enumerate().filter(|(_, line)| is_marker(line)) {
        let here = seen.entry(line).or_default();
        *here += 1;
        let (b, o, t) = (of(&base, line), of(&ours, line), of(&theirs, line));
        let allowed = b + o.saturating_sub(b) + t.saturating_sub(b);
        if *here > allowed {
            let text = String::from_utf8_lossy(line);
            doubts.push(Doubt::at(sides.path, DoubtKind::Marker, n + 1, &text));
        }
    }
    doubts
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// `<<<<<<< name`, `||||||| name`, `>>>>>>> name`, with or without the name, or `=======` alone; longer ones with a name only;
/// indented too, for agents that re-indent what they edit.
fn is_marker(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    let Some(first) = line.first().copied().filter(|first| b"<|=>".contains(first)) else { return false };
    let run = line.iter().take_while(|byte| **byte == first).count();
    match line.get(run) {
        None => run == LENGTH,
        Some(b' ') => run == LENGTH || run > LENGTH && first != b'=',
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(base: &str, result: &str) -> usize {
        let sides =
            Sides { path: "a", base: Some(base.as_bytes()), ours: base.as_bytes(), theirs: base.as_bytes() };
        left(&sides, result.as_bytes()).len()
    }

    #[test]
    fn every_form_is_found_alone() {
        let forms = [
            "<<<<<<< HEAD",
            "<<<<<<<",
            "||||||| 1234abc",
            "=======",
            ">>>>>>> b\r",
            "    =======  ",
            "======= x",
            "<<<<<<<<<<<< HEAD",
        ];
        for form in forms {
            assert_eq!(found("a\n", &format!("a\n{form}\nb\n")), 1, "{form}");
        }
    }

    #[test]
    fn text_that_looks_alike_is_no_marker() {
        for line in ["========", "======", "a =======", "=======x", "<<<<<<<<", "======== x", "=>"] {
            assert_eq!(found("a\n", &format!("a\n{line}\n")), 0, "{line}");
        }
    }

    #[test]
    fn underlines_that_the_sides_have_are_text() {
        assert_eq!(found("Heading\n=======\n", "Heading\n=======\nmore\n"), 0);
        assert_eq!(found("Heading\n=======\n", "Heading\n=======\nmore\n=======\n"), 1);
    }
}
