//! Counts lines and tokens over the whole file, to say of a result that could not be explained what is wrong with it.
//!
//! Nothing is accepted here. A line is called lost, doubled or back only if the counts leave no other reading; what was
//! merely moved or changed is said to be so.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::Sides;
use super::doubt::{Doubt, DoubtKind, Side};
use super::token::{Kind, Lexer, Parsed};

/// How many doubts of a file are told.
const MOST: usize = 20;

/// How often something stands in each version.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    base: usize,
    ours: usize,
    theirs: usize,
    result: usize,
}

impl Count {
    fn added(self) -> (usize, usize) {
        (self.ours.saturating_sub(self.base), self.theirs.saturating_sub(self.base))
    }

    fn deleted(self) -> (usize, usize) {
        (self.base.saturating_sub(self.ours), self.base.saturating_sub(self.theirs))
    }

    /// The least that must be there; `shared` additions count once.
    fn least(self, shared: usize) -> usize {
        let ((a, b), (c, d)) = (self.added(), self.deleted());
        (self.base + a + b).saturating_sub(shared + c + d)
    }

    fn most(self) -> usize {
        let ((a, b), (c, d)) = (self.added(), self.deleted());
        (self.base + a + b).saturating_sub(c.max(d))
    }

    /// Who took it away, if somebody did.
    fn deleter(self) -> Option<Side> {
        match self.deleted() {
            (0, 0) => None,
            (0, _) => Some(Side::Theirs),
            _ => Some(Side::Ours),
        }
    }
}

/// The versions of a file, cut by the same lexer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Versions<'a> {
    pub(super) base: &'a Parsed,
    pub(super) ours: &'a Parsed,
    pub(super) theirs: &'a Parsed,
    pub(super) result: &'a Parsed,
}

type Line = Vec<u32>;

struct Census<'a> {
    lexer: &'a Lexer,
    lines: HashMap<Line, Count>,
    tokens: HashMap<u32, Count>,
    /// Tokens of lines that both sides added: they may stand once.
    shared: HashMap<u32, usize>,
}

/// Each line without its white space, with its number.
fn lines<'a>(lexer: &'a Lexer, text: &'a Parsed) -> impl Iterator<Item = (usize, Line)> {
    (0..text.lines.len()).filter_map(|n| {
        let signs = text.of_lines(n..n + 1).iter().map(|token| token.id);
        let line: Line = signs.filter(|id| !lexer.text(*id).trim().is_empty()).collect();
        (!line.is_empty()).then_some((n, line))
    })
}

impl<'a> Census<'a> {
    fn take(lexer: &'a Lexer, versions: &Versions<'_>) -> Self {
        let mut census =
            Self { lexer, lines: HashMap::new(), tokens: HashMap::new(), shared: HashMap::new() };
        census.count(versions.base, |count| &mut count.base);
        census.count(versions.ours, |count| &mut count.ours);
        census.count(versions.theirs, |count| &mut count.theirs);
        census.count(versions.result, |count| &mut count.result);
        for (line, count) in &census.lines {
            let (a, b) = count.added();
            for token in line.iter().filter(|_| a.min(b) > 0) {
                *census.shared.entry(*token).or_default() += a.min(b);
            }
        }
        census
    }

    fn count(&mut self, text: &Parsed, field: fn(&mut Count) -> &mut usize) {
        for (_, line) in lines(self.lexer, text) {
            for token in &line {
                *field(self.tokens.entry(*token).or_default()) += 1;
            }
            *field(self.lines.entry(line).or_default()) += 1;
        }
    }

    fn says(&self, line: &[u32]) -> bool {
        line.iter().any(|id| self.lexer.kind(*id) == Kind::Word)
    }

    fn token(&self, id: u32) -> Count {
        self.tokens.get(&id).copied().unwrap_or_default()
    }

    /// Whether tokens of the line are missing, and not only the line as it was.
    fn lacks(&self, line: &[u32]) -> bool {
        line.iter().any(|id| {
            let shared = self.shared.get(id).copied().unwrap_or_default();
            let weighs = !matches!(self.lexer.kind(*id), Kind::Comma | Kind::Space);
            let count = self.token(*id);
            // A name that one side renamed everywhere is missing from what the other added, and rightly so.
            let renamed = count.result == 0 && count.base > 0 && count.ours.min(count.theirs) == 0;
            weighs && !renamed && count.result < count.least(shared)
        })
    }
}

/// What is wrong with `versions.result`, as far as counting tells.
pub(super) fn census(lexer: &Lexer, sides: &Sides<'_>, result: &str, versions: &Versions<'_>) -> Vec<Doubt> {
    let census = Census::take(lexer, versions);
    let mut doubts = census.missing(sides, versions);
    doubts.extend(census.surplus(sides, result, versions));
    doubts.truncate(MOST);
    doubts
}

impl Census<'_> {
    /// Lines that should be there and are not.
    fn missing(&self, sides: &Sides<'_>, versions: &Versions<'_>) -> Vec<Doubt> {
        let mut doubts = Vec::new();
        let mut told: HashSet<Line> = HashSet::new();
        let of =
            [(Some(Side::Ours), versions.ours), (Some(Side::Theirs), versions.theirs), (None, versions.base)];
        for (side, text) in of {
            let source = match side {
                Some(Side::Ours) => sides.ours,
                Some(Side::Theirs) => sides.theirs,
                None => sides.base.unwrap_or_default(),
            };
            let source = String::from_utf8_lossy(source);
            let source: Vec<&str> = source.lines().collect();
            for (n, line) in lines(self.lexer, text) {
                let count = self.lines.get(&line).copied().unwrap_or_default();
                let (a, b) = count.added();
                let due = match side {
                    Some(Side::Ours) => a > 0,
                    Some(Side::Theirs) => b > 0,
                    None => count.deleter().is_none() && a + b == 0,
                };
                if !due || count.result >= count.least(a.min(b)) || told.contains(&line) {
                    continue;
                }
                let kind = match side {
                    _ if !self.lacks(&line) => DoubtKind::Altered,
                    Some(side) => DoubtKind::Lost { side },
                    None => DoubtKind::LostBase,
                };
                let text = source.get(n).copied().unwrap_or_default();
                doubts.push(Doubt::at(sides.path, kind, n + 1, text));
                told.insert(line);
            }
        }
        doubts
    }

    /// Lines that should not be there, or not so often.
    fn surplus(&self, sides: &Sides<'_>, result: &str, versions: &Versions<'_>) -> Vec<Doubt> {
        let mut doubts = Vec::new();
        let source: Vec<&str> = result.lines().collect();
        let mut seen: BTreeMap<Line, usize> = BTreeMap::new();
        for (n, line) in lines(self.lexer, versions.result) {
            let count = self.lines.get(&line).copied().unwrap_or_default();
            let here = seen.entry(line.clone()).or_default();
            *here += 1;
            if *here <= count.most() || !self.says(&line) {
                continue;
            }
            let new = count.base + count.ours + count.theirs == 0;
            let kind = match (count.deleter(), new) {
                (Some(side), _) => DoubtKind::BroughtBack { side },
                (None, false) => DoubtKind::Duplicated,
                (None, true) => match self.strange(&line) {
                    Some(kind) => kind,
                    None => continue,
                },
            };
            let text = source.get(n).copied().unwrap_or_default();
            doubts.push(Doubt::at(sides.path, kind, n + 1, text));
        }
        doubts
    }

    /// What is wrong with a line that no side has.
    fn strange(&self, line: &[u32]) -> Option<DoubtKind> {
        let words = || line.iter().filter(|id| self.lexer.kind(**id) == Kind::Word);
        let back = words().find_map(|id| {
            let count = self.token(*id);
            count.deleter().filter(|_| count.result > count.most())
        });
        if let Some(side) = back {
            return Some(DoubtKind::BroughtBack { side });
        }
        words()
            .any(|id| {
                let count = self.token(*id);
                count.result > count.most()
            })
            .then_some(DoubtKind::Invented)
    }
}
