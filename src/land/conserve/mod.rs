//! Did a resolution keep what both sides did to a file? Values in, a judgement out: no git, no I/O.
//!
//! Invariant: [`Judgement::Kept`] is only said of a result that can be explained token by token; whatever cannot be
//! explained is for a person, and whatever is shown to be lost, doubled or brought back is refused.

//! ```text
//!  markers, binary, empty ─▶ refused
//!  explain: the sum of both ─▶ kept         sum, or one side at a slot ─▶ its owner's, or given up: doubtful
//!  census: lost, doubled, back ─▶ refused   else ─▶ doubtful
//! ```

mod align;
mod census;
mod doubt;
mod explain;
mod language;
mod marker;
mod shape;
mod slot;
mod superseded;
mod template;
mod token;

pub use doubt::{Doubt, DoubtKind, Names, Side};
pub use superseded::{Superseded, superseded};

use self::census::Versions;
use self::explain::{Allowed, Stands, explain};
use self::language::Layout;
use self::template::{Cut, Meeting, Pairing, Part, Slot};
use self::token::{Kind, Lexer, Parsed, Token};

/// The three versions of one conflicted file.
#[derive(Debug, Clone, Copy)]
pub struct Sides<'a> {
    /// The path in the repository; its ending tells the language.
    pub path: &'a str,
    /// The version that both sides started from; none: both added the file.
    pub base: Option<&'a [u8]>,
    /// The target's version.
    pub ours: &'a [u8],
    /// The task's version.
    pub theirs: &'a [u8],
}

/// What is to be thought of a resolution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// Everything that either side did is in it, and nothing else.
    Kept,
    /// A person should look.
    Doubtful(Vec<Doubt>),
    /// Something is lost, doubled, brought back or unfinished.
    Refused(Vec<Doubt>),
}

impl Judgement {
    /// Whether it may land without a person.
    pub fn is_kept(&self) -> bool {
        matches!(self, Self::Kept)
    }

    /// What speaks against it; empty if nothing does.
    pub fn doubts(&self) -> &[Doubt] {
        match self {
            Self::Kept => &[],
            Self::Doubtful(doubts) | Self::Refused(doubts) => doubts,
        }
    }
}

/// Returns the first conflict marker that is left in a result and is no text of a side.
pub fn marker_left(sides: &Sides<'_>, result: &[u8]) -> Option<Doubt> {
    marker::left(sides, result).into_iter().next()
}

/// Judges the resolution of one file. `superseded` is what the resolver says it gave up, `owner` the side whose task owns
/// the path.
pub fn judge(sides: &Sides<'_>, result: &[u8], superseded: &[Superseded], owner: Option<Side>) -> Judgement {
    let refused = |kind| Judgement::Refused(vec![Doubt::of_file(sides.path, kind)]);
    let versions = [sides.base.unwrap_or_default(), sides.ours, sides.theirs, result];
    if versions.iter().any(|text| text.contains(&0)) {
        return refused(DoubtKind::Binary);
    }
    if result.trim_ascii().is_empty()
        && !(sides.ours.trim_ascii().is_empty() && sides.theirs.trim_ascii().is_empty())
    {
        return refused(DoubtKind::Empty);
    }
    let markers = marker::left(sides, result);
    if !markers.is_empty() {
        return Judgement::Refused(markers);
    }
    let texts = versions.map(String::from_utf8_lossy);
    let [base, ours, theirs, text] = texts.each_ref().map(|text| shape::body(text));
    let base = if sides.base.is_some() { base.to_owned() } else { shape::common(ours, theirs) };
    let mut lexer = Lexer::new(Layout::of(sides.path));
    let [base, ours, theirs] = [base.as_str(), ours, theirs].map(|text| lexer.parse(text));
    let parsed = lexer.parse(text);
    let reading = Reading { lexer: &lexer, sides, superseded, owner, cut: Cut::new(&base, &ours, &theirs) };
    let content = reading.judge(&parsed, text);
    let shape = shape::doubts(sides, result);
    match (content, shape) {
        (content, shape) if shape.is_empty() => content,
        (Judgement::Kept, shape) => Judgement::Doubtful(shape),
        (Judgement::Doubtful(mut doubts), shape) => {
            doubts.extend(shape);
            Judgement::Doubtful(doubts)
        }
        (refused, _) => refused,
    }
}

/// All that is known when a result is read.
struct Reading<'a> {
    lexer: &'a Lexer,
    sides: &'a Sides<'a>,
    superseded: &'a [Superseded],
    owner: Option<Side>,
    cut: Cut<'a>,
}

impl Reading<'_> {
    fn judge(&self, result: &Parsed, text: &str) -> Judgement {
        // Each reads the same changes, and reads them rightly: what one of them explains is explained.
        let paragraphs = self.cut.by_paragraphs();
        let cuts = [&self.cut, &paragraphs];
        let templates: Vec<Vec<Part>> = cuts
            .into_iter()
            .flat_map(|cut| {
                [Pairing::Lines, Pairing::Anywhere].map(|pairing| cut.template(self.lexer, pairing))
            })
            .collect();
        if templates.iter().any(|parts| explain(self.lexer, parts, &result.tokens, Allowed::Sum).is_some()) {
            return Judgement::Kept;
        }
        for parts in &templates {
            if let Some(stands) = explain(self.lexer, parts, &result.tokens, Allowed::SumOrSide) {
                return self.one_sided_places(parts, &stands, &result.tokens);
            }
        }
        for (side, one, other) in
            [(Side::Ours, self.cut.ours, self.cut.theirs), (Side::Theirs, self.cut.theirs, self.cut.ours)]
        {
            if same(&one.tokens, &result.tokens) && !same(&one.tokens, &other.tokens) {
                return Judgement::Refused(vec![Doubt::of_file(
                    self.sides.path,
                    DoubtKind::OneSided { side },
                )]);
            }
        }
        let versions = Versions { base: self.cut.base, ours: self.cut.ours, theirs: self.cut.theirs, result };
        let mut doubts = census::census(self.lexer, self.sides, text, &versions);
        if !doubts.iter().any(|doubt| doubt.kind.is_proof()) {
            // Of what stands in both sides the counts cannot tell that it is missing from one.
            let missing = templates.iter().find_map(|parts| explain::gap(parts, &result.tokens));
            doubts.extend(missing.map(|(side, token)| {
                let source = match side {
                    Side::Ours => self.sides.ours,
                    Side::Theirs => self.sides.theirs,
                };
                let source = String::from_utf8_lossy(source);
                let text = source.lines().nth(token.line as usize).unwrap_or_default();
                Doubt::at(self.sides.path, DoubtKind::Lost { side }, token.line as usize + 1, text)
            }));
        }
        self.weigh(doubts)
    }

    /// At some places only one side stands: its owner's, or what the resolver gave up, is for a person; else it is a loss.
    fn one_sided_places(&self, parts: &[Part], stands: &[Stands], result: &[Token]) -> Judgement {
        let slots = parts.iter().filter_map(|part| match part {
            Part::Slot(slot) => Some(slot),
            Part::Fixed(_) => None,
        });
        let mut doubts = Vec::new();
        for (slot, stands) in slots.zip(stands) {
            let Stands::Side(taken) = *stands else { continue };
            doubts.extend(self.one_sided(slot, taken));
        }
        if doubts.is_empty() {
            return Judgement::Kept;
        }
        if doubts.iter().any(|doubt| matches!(doubt.kind, DoubtKind::Lost { .. })) {
            for (side, text) in [(Side::Ours, self.cut.ours), (Side::Theirs, self.cut.theirs)] {
                if same(&text.tokens, result) {
                    doubts.insert(0, Doubt::of_file(self.sides.path, DoubtKind::OneSided { side }));
                }
            }
            return Judgement::Refused(doubts);
        }
        Judgement::Doubtful(doubts)
    }

    fn one_sided(&self, slot: &Slot, taken: Side) -> Option<Doubt> {
        let lost = taken.other();
        let (gone, there) = (slot.of(lost), slot.of(taken));
        let line = gone.first().or(there.first()).map_or(0, |token| token.line as usize);
        let text = self.told(gone);
        let doubt = |kind| Some(Doubt::at(self.sides.path, kind, line + 1, &text));
        if slot.meeting == Meeting::Against && self.owner == Some(taken) {
            let text = self.told(there);
            return Some(Doubt::at(self.sides.path, DoubtKind::Incompatible { taken }, line + 1, &text));
        }
        if let Some(given_up) = self.given_up(&text) {
            let word = |token: &&Token| self.lexer.kind(token.id) == Kind::Word;
            let still_there = |token: &Token| there.iter().any(|other| other.id == token.id);
            if !gone.is_empty() && gone.iter().filter(word).all(still_there) {
                return None;
            }
            return doubt(DoubtKind::Superseded { side: lost, reason: given_up.reason.clone() });
        }
        doubt(DoubtKind::Lost { side: lost })
    }

    fn told(&self, tokens: &[Token]) -> String {
        tokens.iter().map(|token| self.lexer.text(token.id)).collect::<Vec<_>>().join(" ")
    }

    /// What the resolver said of a text that is gone; white space does not matter.
    fn given_up(&self, text: &str) -> Option<&Superseded> {
        let plain = |text: &str| text.split_whitespace().collect::<String>();
        let text = plain(text);
        self.superseded.iter().filter(|given_up| given_up.path == self.sides.path).find(|given_up| {
            let quote = plain(&given_up.quote);
            quote.contains(&text) || text.contains(&quote) && 2 * quote.len() >= text.len()
        })
    }

    /// Refused if something is shown to be wrong that the resolver did not declare.
    fn weigh(&self, mut doubts: Vec<Doubt>) -> Judgement {
        for doubt in &mut doubts {
            let DoubtKind::Lost { side } = doubt.kind else { continue };
            if let Some(given_up) = self.given_up(&doubt.excerpt) {
                doubt.kind = DoubtKind::Superseded { side, reason: given_up.reason.clone() };
            }
        }
        if doubts.is_empty() {
            doubts.push(Doubt::of_file(self.sides.path, DoubtKind::Unexplained));
        }
        if doubts.iter().any(|doubt| doubt.kind.is_proof()) {
            Judgement::Refused(doubts)
        } else {
            Judgement::Doubtful(doubts)
        }
    }
}

fn same(a: &[Token], b: &[Token]) -> bool {
    a.iter().map(|token| token.id).eq(b.iter().map(|token| token.id))
}
