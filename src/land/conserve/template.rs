//! What a resolution has to look like: the tokens that are settled, and the places where both sides added something.
//!
//! ```text
//!  base ─┬─ ours ──┐    lines: alike in all, or changed by one side: settled, as in any clean merge
//!        └─ theirs ┴─▶  else tokens: kept by both, deleted by one, added by one: settled;
//!                       added by both at one place: a slot
//! ```

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::align::{matches, moved};
use super::doubt::Side;
use super::token::{Kind, Lexer, Parsed, Token};

/// The most pairs of lines that are compared to find out which became which.
const PAIRS: usize = 10_000;

/// A piece of what a resolution has to look like.
#[derive(Debug)]
pub(super) enum Part {
    /// These tokens, in this order.
    Fixed(Vec<Token>),
    /// What both sides added here.
    Slot(Slot),
}

/// A place where both sides added something.
#[derive(Debug)]
pub(super) struct Slot {
    /// What the target added.
    pub(super) ours: Vec<Token>,
    /// What the task added.
    pub(super) theirs: Vec<Token>,
    /// Whether both can be there.
    pub(super) meeting: Meeting,
}

impl Slot {
    /// What a side added.
    pub(super) fn of(&self, side: Side) -> &[Token] {
        match side {
            Side::Ours => &self.ours,
            Side::Theirs => &self.theirs,
        }
    }
}

/// How two additions meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meeting {
    /// They only stand at one place.
    Beside,
    /// They replace the same text, or one stands in what the other deleted.
    Against,
}

/// How tokens of changed lines are found again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pairing {
    /// In the line that is most like it.
    Lines,
    /// Anywhere in the changed lines.
    Anywhere,
}

/// The sides of a merge, cut.
#[derive(Debug)]
pub(super) struct Cut<'a> {
    pub(super) base: &'a Parsed,
    pub(super) ours: &'a Parsed,
    pub(super) theirs: &'a Parsed,
    /// For each line of base its line in a side.
    pub(super) lines: [Vec<Option<usize>>; 2],
    /// Where deletions are said to begin that could as well begin a little further on.
    deletions: Deletions,
}

/// Where a deletion begins if the text before it goes on as the deleted text does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deletions {
    /// Where they were found.
    Anywhere,
    /// All of them as far down as they go, so that two that meet do not take the same comma.
    Down,
}

impl<'a> Cut<'a> {
    /// Finds the lines of base again.
    pub(super) fn new(base: &'a Parsed, ours: &'a Parsed, theirs: &'a Parsed) -> Self {
        let lines = [ours, theirs].map(|side| matches(&base.lines, &side.lines, |_| false));
        Self { base, ours, theirs, lines, deletions: Deletions::Anywhere }
    }

    /// The same with what was added or deleted beginning after an empty line, where that is as true; and deleted words with
    /// what follows them, not with what stands before.
    pub(super) fn by_paragraphs(&self) -> Self {
        let begins = |text: &'a Parsed| {
            let is_empty = |n: usize| text.of_lines(n..n + 1).is_empty();
            move |n: usize| !is_empty(n) && (n == 0 || is_empty(n - 1))
        };
        let again = |side: &'a Parsed, found: &[Option<usize>]| {
            moved(found.to_vec(), [&self.base.lines, &side.lines], [&begins(self.base), &begins(side)])
        };
        let lines = [again(self.ours, &self.lines[0]), again(self.theirs, &self.lines[1])];
        Self { lines, deletions: Deletions::Down, ..*self }
    }

    /// What a resolution has to look like.
    pub(super) fn template(&self, lexer: &Lexer, pairing: Pairing) -> Vec<Part> {
        let mut parts = Parts::default();
        let (mut b, mut o, mut t) = (0, 0, 0);
        loop {
            let stable = (b..self.base.lines.len())
                .find_map(|n| Some((n, self.lines[0][n]?, self.lines[1][n]?)))
                .unwrap_or((self.base.lines.len(), self.ours.lines.len(), self.theirs.lines.len()));
            self.chunk(lexer, pairing, [b..stable.0, o..stable.1, t..stable.2], &mut parts);
            if stable.0 == self.base.lines.len() {
                return parts.0;
            }
            // A bracket that one side opened far above may make another cut of the very same line.
            let line = |text: &'a Parsed, n: usize| text.of_lines(n..n + 1);
            let (base, ours) = (line(self.base, stable.0), line(self.ours, stable.1));
            let theirs = line(self.theirs, stable.2);
            parts.fixed(if ids(theirs) == ids(base) { ours } else { theirs });
            (b, o, t) = (stable.0 + 1, stable.1 + 1, stable.2 + 1);
        }
    }

    fn chunk(&self, lexer: &Lexer, pairing: Pairing, [b, o, t]: [Range<usize>; 3], parts: &mut Parts) {
        let base = &self.base.lines[b.clone()];
        let (ours, theirs) = (&self.ours.lines[o.clone()], &self.theirs.lines[t.clone()]);
        if ours == base || ours == theirs {
            return parts.fixed(self.theirs.of_lines(t));
        }
        if theirs == base {
            return parts.fixed(self.ours.of_lines(o));
        }
        let places = [
            self.places(lexer, pairing, &b, self.ours, &o, &self.lines[0]),
            self.places(lexer, pairing, &b, self.theirs, &t, &self.lines[1]),
        ];
        Runs { base: self.base.of_lines(b), sides: [self.ours.of_lines(o), self.theirs.of_lines(t)], places }
            .emit(parts);
    }

    /// For each token of some lines of base its place among the tokens of the side's lines.
    fn places(
        &self,
        lexer: &Lexer,
        pairing: Pairing,
        base: &Range<usize>,
        side: &Parsed,
        range: &Range<usize>,
        lines: &[Option<usize>],
    ) -> Vec<Option<usize>> {
        let (from, to) = (self.base.starts[base.start], side.starts[range.start]);
        let mut found = vec![None; self.base.starts[base.end] - from];
        let mut put = |b: Range<usize>, s: Range<usize>| {
            let (left, right) = (self.base.of_lines(b.clone()), side.of_lines(s.clone()));
            let firsts: Vec<bool> = right.iter().map(|token| token.first.is_some()).collect();
            let begins = |n: usize| firsts[n];
            let (b, s) = (self.base.starts[b.start] - from, side.starts[s.start] - to);
            let (left, right) = (ids(left), ids(right));
            let mut places = matches(&left, &right, begins);
            if self.deletions == Deletions::Down {
                places = moved(places, [&left, &right], [&|_| false, &begins]);
            }
            for (n, place) in places.into_iter().enumerate() {
                found[b + n] = place.map(|place| s + place);
            }
        };
        let (mut b, mut s) = (base.start, range.start);
        while b < base.end || s < range.end {
            let next = (b..base.end).find_map(|n| Some((n, lines[n]?))).unwrap_or((base.end, range.end));
            match pairing {
                Pairing::Anywhere => put(b..next.0, s..next.1),
                Pairing::Lines => {
                    for (left, right) in pairs(lexer, self.base, b..next.0, side, s..next.1) {
                        put(left..left + 1, right..right + 1);
                    }
                }
            }
            if next.0 < base.end {
                put(next.0..next.0 + 1, next.1..next.1 + 1);
            }
            (b, s) = (next.0 + 1, next.1 + 1);
        }
        found
    }
}

/// Which changed line became which: in order, the most alike.
fn pairs(
    lexer: &Lexer,
    base: &Parsed,
    left: Range<usize>,
    side: &Parsed,
    right: Range<usize>,
) -> Vec<(usize, usize)> {
    let (rows, columns) = (left.len(), right.len());
    if rows == 0 || columns == 0 || rows * columns > PAIRS {
        return Vec::new();
    }
    let mut best = vec![vec![0.0f32; columns + 1]; rows + 1];
    let mut alike = vec![vec![0.0f32; columns]; rows];
    for row in (0..rows).rev() {
        for column in (0..columns).rev() {
            let (a, b) = (left.start + row, right.start + column);
            let score = likeness(lexer, base.of_lines(a..a + 1), side.of_lines(b..b + 1));
            alike[row][column] = score;
            let skip = best[row + 1][column].max(best[row][column + 1]);
            let take = if score >= 0.4 { score + best[row + 1][column + 1] } else { 0.0 };
            best[row][column] = skip.max(take);
        }
    }
    let (mut row, mut column) = (0, 0);
    let mut found = Vec::new();
    while row < rows && column < columns {
        let score = alike[row][column];
        if score >= 0.4 && best[row][column] <= score + best[row + 1][column + 1] {
            found.push((left.start + row, right.start + column));
            (row, column) = (row + 1, column + 1);
        } else if best[row + 1][column] >= best[row][column + 1] {
            row += 1;
        } else {
            column += 1;
        }
    }
    found
}

/// How much of the shorter line is in the longer one, 0 to 1; words count three times.
fn likeness(lexer: &Lexer, a: &[Token], b: &[Token]) -> f32 {
    let weight = |id: u32| match lexer.kind(id) {
        Kind::Word => 3.0f32,
        Kind::Space => 0.0,
        _ => 1.0,
    };
    let mut counts: HashMap<u32, usize> = HashMap::new();
    for token in b {
        *counts.entry(token.id).or_default() += 1;
    }
    let mut common = 0.0;
    for token in a {
        if let Some(count) = counts.get_mut(&token.id).filter(|count| **count > 0) {
            *count -= 1;
            common += weight(token.id);
        }
    }
    let total = |tokens: &[Token]| tokens.iter().map(|token| weight(token.id)).sum::<f32>();
    let shorter = total(a).min(total(b));
    if shorter == 0.0 { 0.0 } else { common / shorter }
}

/// The ids of some tokens.
pub(super) fn ids(tokens: &[Token]) -> Vec<u32> {
    tokens.iter().map(|token| token.id).collect()
}

/// Parts under construction: two fixed ones never follow each other.
#[derive(Debug, Default)]
struct Parts(Vec<Part>);

impl Parts {
    fn fixed(&mut self, tokens: &[Token]) {
        match self.0.last_mut() {
            Some(Part::Fixed(last)) => last.extend_from_slice(tokens),
            _ if tokens.is_empty() => {}
            _ => self.0.push(Part::Fixed(tokens.to_vec())),
        }
    }
}

/// A conflicting chunk as tokens.
struct Runs<'a> {
    base: &'a [Token],
    sides: [&'a [Token]; 2],
    /// For each token of base its place in a side.
    places: [Vec<Option<usize>>; 2],
}

impl Runs<'_> {
    fn emit(&self, parts: &mut Parts) {
        let mut from = [0, 0];
        let mut b = 0;
        loop {
            let anchor = (b..self.base.len()).find(|n| self.places.iter().all(|side| side[*n].is_some()));
            let end = anchor.unwrap_or(self.base.len());
            let to = [0, 1].map(|side| match anchor {
                Some(n) => self.places[side][n].expect("an anchor is in both sides"),
                None => self.sides[side].len(),
            });
            self.run(b..end, &[from[0]..to[0], from[1]..to[1]], parts);
            let Some(anchor) = anchor else { return };
            parts.fixed(&self.base[anchor..=anchor]);
            b = anchor + 1;
            from = to.map(|n| n + 1);
        }
    }

    /// What stands between two tokens that both sides kept.
    fn run(&self, base: Range<usize>, sides: &[Range<usize>; 2], parts: &mut Parts) {
        let added = [0, 1].map(|side| {
            let kept: HashSet<usize> = base.clone().filter_map(|n| self.places[side][n]).collect();
            let new = sides[side].clone().filter(|n| !kept.contains(n));
            new.map(|n| self.sides[side][n]).collect::<Vec<Token>>()
        });
        let [ours, theirs] = added;
        let same = ids(&ours) == ids(&theirs);
        let both_deleted = base.clone().any(|n| self.places.iter().all(|side| side[n].is_none()));
        let against = (both_deleted || self.within(&base, sides, 0) || self.within(&base, sides, 1)) && !same;
        if against {
            parts.0.push(Part::Slot(Slot { ours, theirs, meeting: Meeting::Against }));
        } else if same || theirs.is_empty() {
            parts.fixed(&ours);
        } else if ours.is_empty() {
            parts.fixed(&theirs);
        } else {
            parts.0.push(Part::Slot(Slot { ours, theirs, meeting: Meeting::Beside }));
        }
    }

    /// Whether a side added something in the middle of what the other deleted.
    fn within(&self, base: &Range<usize>, sides: &[Range<usize>; 2], side: usize) -> bool {
        let gone = |n: usize| self.places[1 - side][n].is_none();
        base.clone().skip(1).any(|n| {
            let before = self.places[side][n - 1];
            let after = self.places[side][n];
            let adds = match (before, after) {
                (Some(before), Some(after)) => after > before + 1,
                _ => false,
            };
            adds && gone(n - 1) && gone(n) && !sides[side].is_empty()
        })
    }
}
