//! What speaks against a resolution, in words for a person.

use std::fmt;

/// The longest excerpt, in characters.
const EXCERPT: usize = 200;

/// One side of a merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// The target.
    Ours,
    /// The task.
    Theirs,
}

impl Side {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Ours => Self::Theirs,
            Self::Theirs => Self::Ours,
        }
    }
}

/// One thing that speaks against a resolution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// The path in the repository.
    pub path: String,
    /// What it is.
    pub kind: DoubtKind,
    /// The text that it is about, one line of at most 200 characters; may be empty.
    pub excerpt: String,
    /// The line in the result, or in the side that lost it; counted from 1.
    pub line: Option<usize>,
}

/// What can be wrong with a resolution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DoubtKind {
    /// A conflict marker is left.
    Marker,
    /// It is one side, while the other did something too.
    OneSided {
        /// The side that was taken.
        side: Side,
    },
    /// What a side added is gone.
    Lost {
        /// The side.
        side: Side,
    },
    /// What both sides left alone is gone.
    LostBase,
    /// What a side deleted is there again.
    BroughtBack {
        /// The side.
        side: Side,
    },
    /// It is there more often than the sides have it.
    Duplicated,
    /// Nothing is left of the file.
    Empty,
    /// Not a text.
    Binary,
    /// Text that neither side has.
    Invented,
    /// All of it is there, but in another form or place than in the sides.
    Altered,
    /// The encoding, the byte order mark, the line ends or the end of the file are not those of the sides.
    Encoding,
    /// Indentation or line breaks changed where they mean something.
    Layout,
    /// The sides replaced the same text by different ones; one was taken.
    Incompatible {
        /// The side that was taken.
        taken: Side,
    },
    /// The resolver says that it gave this up.
    Superseded {
        /// The side that lost it.
        side: Side,
        /// Its reason.
        reason: String,
    },
    /// Nothing is shown to be lost, but the result is not the sum of the two sides.
    Unexplained,
}

impl DoubtKind {
    /// Whether it shows that the result is wrong, and not only that a person should look.
    pub fn is_proof(&self) -> bool {
        match self {
            Self::Marker
            | Self::OneSided { .. }
            | Self::Lost { .. }
            | Self::LostBase
            | Self::BroughtBack { .. }
            | Self::Duplicated
            | Self::Empty
            | Self::Binary => true,
            Self::Invented
            | Self::Altered
            | Self::Encoding
            | Self::Layout
            | Self::Incompatible { .. }
            | Self::Superseded { .. }
            | Self::Unexplained => false,
        }
    }
}

/// What the two sides are called.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// The target's branch.
    pub ours: &'a str,
    /// The task.
    pub theirs: &'a str,
}

impl Default for Names<'_> {
    fn default() -> Self {
        Self { ours: "the target", theirs: "the task" }
    }
}

impl Names<'_> {
    fn of(&self, side: Side) -> &str {
        match side {
            Side::Ours => self.ours,
            Side::Theirs => self.theirs,
        }
    }
}

impl Doubt {
    /// A doubt about a line.
    pub(super) fn at(path: &str, kind: DoubtKind, line: usize, text: &str) -> Self {
        Self { path: path.to_owned(), kind, excerpt: excerpt(text), line: Some(line) }
    }

    /// A doubt about the whole file.
    pub(super) fn of_file(path: &str, kind: DoubtKind) -> Self {
        Self { path: path.to_owned(), kind, excerpt: String::new(), line: None }
    }

    /// The doubt as a sentence, without the path.
    pub fn told(&self, names: &Names<'_>) -> String {
        let text = if self.excerpt.is_empty() { "a line".to_owned() } else { format!("`{}`", self.excerpt) };
        match &self.kind {
            DoubtKind::Marker => format!("the conflict marker {text} is left"),
            DoubtKind::OneSided { side } => format!(
                "it is the version of {}; what {} did is missing",
                names.of(*side),
                names.of(side.other())
            ),
            DoubtKind::Lost { side } => format!("{text}, which {} added, is gone", names.of(*side)),
            DoubtKind::LostBase => format!("{text}, which neither side touched, is gone"),
            DoubtKind::BroughtBack { side } => {
                format!("{text}, which {} deleted, is back", names.of(*side))
            }
            DoubtKind::Duplicated => format!("{text} is there more often than the sides have it"),
            DoubtKind::Empty => "nothing is left of it".to_owned(),
            DoubtKind::Binary => "it is not a text".to_owned(),
            DoubtKind::Invented => format!("{text} is in neither side"),
            DoubtKind::Altered => format!("{text} is there in another form or place only"),
            DoubtKind::Encoding => {
                "its encoding, line ends or end of file are not those of the sides".to_owned()
            }
            DoubtKind::Layout => format!("indentation or line breaks changed at {text}"),
            DoubtKind::Incompatible { taken } => {
                format!("the sides replaced the same text; {text} of {} was taken", names.of(*taken))
            }
            DoubtKind::Superseded { side, reason } => {
                format!("{text} of {} was given up: {reason}", names.of(*side))
            }
            DoubtKind::Unexplained => "it is not the sum of the two sides".to_owned(),
        }
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: ", self.path)?,
            None => write!(f, "{}: ", self.path)?,
        }
        f.write_str(&self.told(&Names::default()))
    }
}

fn excerpt(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    if line.chars().count() <= EXCERPT {
        return line;
    }
    line.chars().take(EXCERPT - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doubt_reads_as_a_sentence() {
        let doubt = Doubt::at("src/a.py", DoubtKind::Lost { side: Side::Theirs }, 3, "  import x  ");
        let names = Names { ours: "main", theirs: "feature-b" };
        assert_eq!(doubt.told(&names), "`import x`, which feature-b added, is gone");
        assert_eq!(doubt.to_string(), "src/a.py:3: `import x`, which the task added, is gone");
    }

    #[test]
    fn an_excerpt_is_bounded() {
        assert_eq!(excerpt(&"ä".repeat(500)).chars().count(), 200);
    }
}
