//! What a text is beside its tokens: encoding, byte order mark, line ends, the end of the file, its layout.

use std::collections::{HashMap, HashSet};

use super::Sides;
use super::doubt::{Doubt, DoubtKind};
use super::language::{Layout, Text};

const MARK: &str = "\u{feff}";

/// How many lines may be indented anew without a question.
const REINDENTED: usize = 20;

/// A text without its byte order mark.
pub(super) fn body(text: &str) -> &str {
    text.strip_prefix(MARK).unwrap_or(text)
}

/// What stands in for the base where both sides added the file: lines that both have, and that are not there by chance.
pub(super) fn common(ours: &str, theirs: &str) -> String {
    let count = |text: &str| {
        let mut counts: HashMap<String, usize> = HashMap::new();
        for line in text.lines() {
            *counts.entry(line.to_owned()).or_default() += 1;
        }
        counts
    };
    let (left, right) = (count(ours), count(theirs));
    let words =
        |line: &str| line.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).count();
    let telling = |line: &str| words(line) > 1 && left.get(line) == Some(&1) && right.get(line) == Some(&1);
    let (a, b): (Vec<&str>, Vec<&str>) = (ours.lines().collect(), theirs.lines().collect());
    let prefix = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let most = a.len().min(b.len()) - prefix;
    let suffix = a.iter().rev().zip(b.iter().rev()).take(most).take_while(|(a, b)| a == b).count();
    // A common last bracket belongs to both only if both opened it before they parted.
    let opened = a[..prefix].iter().flat_map(|line| line.bytes()).fold(0i64, |depth, byte| match byte {
        b'{' | b'[' | b'(' => depth + 1,
        b'}' | b']' | b')' => depth - 1,
        _ => depth,
    });
    let closers =
        a[a.len() - suffix..].iter().rev().take(usize::try_from(opened).unwrap_or_default()).count();
    let mut places = HashMap::new();
    for (n, line) in b.iter().enumerate() {
        places.insert(*line, n);
    }
    let mut lines: Vec<&str> = a[..prefix].to_vec();
    let mut last = prefix;
    for line in &a[prefix..a.len() - closers] {
        let place = places.get(line).copied().unwrap_or_default();
        if telling(line) && place >= last {
            lines.push(line);
            last = place + 1;
        }
    }
    lines.extend(&a[a.len() - closers..]);
    lines.iter().flat_map(|line| [*line, "\n"]).collect()
}

/// What is wrong with the result beside its tokens.
pub(super) fn doubts(sides: &Sides<'_>, result: &[u8]) -> Vec<Doubt> {
    let mut doubts = Vec::new();
    let valid = |text: &[u8]| std::str::from_utf8(text).is_ok();
    let alike = |feature: fn(&[u8]) -> u8| {
        let [ours, theirs, found] = [sides.ours, sides.theirs, result].map(feature);
        let base = sides.base.map(feature);
        match base {
            Some(base) if ours == base => found == theirs,
            Some(base) if theirs == base => found == ours,
            _ => found == ours || found == theirs,
        }
    };
    let mark = |text: &[u8]| u8::from(text.starts_with(MARK.as_bytes()));
    let end = |text: &[u8]| u8::from(text.ends_with(b"\n"));
    let texts = [sides.ours, sides.theirs, result];
    if !texts.into_iter().all(valid) || !alike(mark) || !alike(end) || !alike(line_ends) {
        doubts.push(Doubt::of_file(sides.path, DoubtKind::Encoding));
    }
    doubts.extend(layout(sides, result));
    doubts
}

/// 0 none, 1 line feeds, 2 with carriage returns, 3 both.
fn line_ends(text: &[u8]) -> u8 {
    let mut ends = 0;
    let mut before = 0;
    for byte in text {
        if *byte == b'\n' {
            ends |= if before == b'\r' { 2 } else { 1 };
        }
        before = *byte;
    }
    ends
}

/// Paragraphs that ran together, and files that were indented anew.
fn layout(sides: &Sides<'_>, result: &[u8]) -> Option<Doubt> {
    let texts = [sides.base.unwrap_or_default(), sides.ours, sides.theirs].map(String::from_utf8_lossy);
    let found = String::from_utf8_lossy(result);
    let lines: Vec<&str> = found.lines().map(str::trim_end).collect();
    if Layout::of(sides.path).text == Text::Prose {
        let mut pairs = HashSet::new();
        let (mut last, mut first) = (HashSet::new(), HashSet::new());
        for text in &texts {
            let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
            for pair in lines.windows(2) {
                match (pair[0].is_empty(), pair[1].is_empty()) {
                    (false, true) => drop(last.insert(pair[0].to_owned())),
                    (true, false) => drop(first.insert(pair[1].to_owned())),
                    _ => drop(pairs.insert((pair[0].to_owned(), pair[1].to_owned()))),
                }
            }
        }
        // Lines of one paragraph that got new neighbours, since each side changed another of them, did not run together.
        let joined = lines.windows(2).enumerate().find(|(_, pair)| {
            let apart = pair[0].is_empty() || pair[1].is_empty();
            let item = is_item(pair[1]) || pair[1].starts_with("  ");
            let edge = last.contains(pair[0]) || first.contains(pair[1]);
            !apart && !item && edge && !pairs.contains(&(pair[0].to_owned(), pair[1].to_owned())) && {
                // A line that both sides changed has new neighbours without having moved.
                texts.iter().any(|text| text.lines().any(|line| line.trim_end() == pair[1]))
                    && texts.iter().any(|text| text.lines().any(|line| line.trim_end() == pair[0]))
            }
        });
        return joined.map(|(n, pair)| Doubt::at(sides.path, DoubtKind::Layout, n + 2, pair[1]));
    }
    let exact: HashSet<&str> = texts.iter().flat_map(|text| text.lines()).map(str::trim_end).collect();
    let trimmed: HashSet<&str> = exact.iter().map(|line| line.trim_start()).collect();
    let anew: Vec<usize> = (0..lines.len())
        .filter(|n| !exact.contains(lines[*n]) && trimmed.contains(lines[*n].trim_start()))
        .collect();
    let first = anew.first().filter(|_| anew.len() > REINDENTED)?;
    Some(Doubt::at(sides.path, DoubtKind::Layout, first + 1, lines[*first]))
}

fn is_item(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with(['-', '*', '+', '|', '#', '>', '.', ':'])
        || line.starts_with(|c: char| c.is_ascii_digit())
}
