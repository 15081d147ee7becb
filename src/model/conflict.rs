//! What does not merge: which paths, how, and who resolved them. As it stands in the journal.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who resolved a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ResolvedBy {
    /// A resolution of the very same three sides that was accepted before, or one that `git rerere` remembers.
    Rerere,
    /// A structural merge, and the conservation check agreed.
    Structural,
    /// An agent, and the conservation check agreed.
    Agent,
    /// A person.
    Person,
}

impl ResolvedBy {
    /// Returns the word that stands in documents.
    pub fn word(self) -> &'static str {
        match self {
            Self::Rerere => "rerere",
            Self::Structural => "structural",
            Self::Agent => "agent",
            Self::Person => "person",
        }
    }
}

/// A conflicted path that was resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedPath {
    /// The path in the repository.
    pub path: String,
    /// By whom.
    pub by: ResolvedBy,
}

/// How a path conflicts; only `Content` and `AddAdd` are texts with two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ConflictKind {
    /// Both sides changed the same lines.
    Content,
    /// Both sides added a file of that name.
    AddAdd,
    /// One side changed it, the other deleted it.
    ModifyDelete,
    /// Renames that contradict each other.
    Rename,
    /// A file on one side, a folder on the other.
    FileDirectory,
    /// Binary content.
    Binary,
    /// Modes or types that contradict each other.
    Mode,
    /// A submodule moved on both sides.
    Submodule,
    /// Anything else that git reports.
    Other,
}

impl ConflictKind {
    /// Returns whether it is a text with two sides.
    pub fn is_text(self) -> bool {
        matches!(self, Self::Content | Self::AddAdd)
    }

    /// Returns the words that people read.
    pub fn words(self) -> &'static str {
        match self {
            Self::Content => "both changed",
            Self::AddAdd => "both added",
            Self::ModifyDelete => "changed and deleted",
            Self::Rename => "renamed twice",
            Self::FileDirectory => "file and folder",
            Self::Binary => "binary",
            Self::Mode => "type or mode",
            Self::Submodule => "submodule",
            Self::Other => "conflict",
        }
    }
}

/// A path that could not be merged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConflictedPath {
    /// The path in the repository, neutralised for display where it is not UTF-8.
    pub path: String,
    /// How it conflicts.
    pub kind: ConflictKind,
}
