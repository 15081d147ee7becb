//! A guess at the text that git would merge two changes of one file to.
//!
//! Invariant: nobody takes it for an answer; it is there to know what to ask git about next.

use similar::{Algorithm, DiffOp, capture_diff_slices};

/// The longest text that is guessed, in bytes.
const LONGEST: usize = 1 << 20;

/// A change: lines of the base that give way, and those that take their place.
type Change<'a> = (std::ops::Range<usize>, &'a [&'a [u8]]);

/// Returns what both changes of `base` together should come to; `None` where they touch each other, or it is no text.
pub(in crate::git) fn guess(base: &[u8], ours: &[u8], theirs: &[u8]) -> Option<Vec<u8>> {
    if [base, ours, theirs].iter().any(|text| text.len() > LONGEST || text.contains(&0)) {
        return None;
    }
    let [base, ours, theirs] = [base, ours, theirs].map(lines);
    let (mut left, mut right) = (changes(&base, &ours).peekable(), changes(&base, &theirs).peekable());
    let mut merged = Vec::new();
    let mut at = 0;
    loop {
        let next = match (left.peek(), right.peek()) {
            (Some(a), Some(b)) if a == b => {
                right.next();
                left.next()
            }
            (Some((a, _)), Some((b, _))) if a.end < b.start => left.next(),
            (Some((a, _)), Some((b, _))) if b.end < a.start => right.next(),
            (Some(_), Some(_)) => return None,
            (Some(_), None) => left.next(),
            (None, _) => right.next(),
        };
        let Some((gone, put)) = next else { break };
        merged.extend_from_slice(&base[at..gone.start]);
        merged.extend_from_slice(put);
        at = gone.end;
    }
    merged.extend_from_slice(&base[at..]);
    Some(merged.concat())
}

fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|b| *b == b'\n').collect()
}

fn changes<'a>(base: &[&'a [u8]], new: &'a [&'a [u8]]) -> impl Iterator<Item = Change<'a>> {
    let ops = capture_diff_slices(Algorithm::Myers, base, new);
    ops.into_iter()
        .filter(|op| !matches!(op, DiffOp::Equal { .. }))
        .map(|op| (op.old_range(), &new[op.new_range()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_apart_from_each_other_come_together() {
        let told = |base: &str, ours: &str, theirs: &str| {
            guess(base.as_bytes(), ours.as_bytes(), theirs.as_bytes())
                .map(|text| String::from_utf8(text).unwrap())
        };
        let base = "1\n2\n3\n4\n5\n";
        assert_eq!(told(base, "1\nx\n3\n4\n5\n", "1\n2\n3\ny\n5\n").as_deref(), Some("1\nx\n3\ny\n5\n"));
        assert_eq!(told(base, "0\n1\n2\n3\n4\n5\n", "1\n2\n3\n4\n").as_deref(), Some("0\n1\n2\n3\n4\n"));
        assert_eq!(told(base, "1\nx\n3\n4\n5\n", "1\nx\n3\n4\n5\n").as_deref(), Some("1\nx\n3\n4\n5\n"));
        assert_eq!(told(base, "1\nx\n3\n4\n5\n", "1\n2\ny\n4\n5\n"), None, "side by side");
        assert_eq!(told(base, "1\nx\n3\n4\n5\n", "1\ny\n3\n4\n5\n"), None);
        assert_eq!(told("a\0", "a\0b", "ca\0"), None, "no text");
        assert_eq!(told("a", "a\nb", "a").as_deref(), Some("a\nb"), "no line end at the end");
    }
}
