//! Did a resolution keep what both sides did to a file? Values in, a judgement out: no git, no I/O.
//!
//! Invariant: [`Judgement::Kept`] is only said of a result that can be explained token by token; whatever cannot be
//! explained is for a person, and whatever is shown to be lost, doubled or brought back is refused.

mod doubt;
mod marker;
mod superseded;

pub use doubt::{Doubt, DoubtKind, Names, Side};
pub use superseded::{Superseded, superseded};

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

/// Judges the resolution of one file. `superseded` is what the resolver says it gave up, `owner` the side whose task owns
/// the path.
pub fn judge(sides: &Sides<'_>, result: &[u8], superseded: &[Superseded], owner: Option<Side>) -> Judgement {
    let _ = (superseded, owner);
    let markers = marker::left(sides, result);
    if !markers.is_empty() {
        return Judgement::Refused(markers);
    }
    for (side, one, other) in
        [(Side::Ours, sides.ours, sides.theirs), (Side::Theirs, sides.theirs, sides.ours)]
    {
        if result == one && one != other {
            return Judgement::Refused(vec![Doubt::of_file(sides.path, DoubtKind::OneSided { side })]);
        }
    }
    Judgement::Doubtful(vec![Doubt::of_file(sides.path, DoubtKind::Unexplained)])
}
