//! `wt conflicts`: which live branches would not merge with which, uncommitted work included.

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::event::ConflictedPath;

/// `wt conflicts`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ConflictsView {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// The target branch, unless a task was meant for another one.
    pub target: String,
    /// The branches that were compared, in the proposed order of landing.
    pub tasks: Vec<ComparedView>,
    /// The pairs that do not merge, each once; the earlier one in the proposed order stands first.
    pub pairs: Vec<ClashView>,
    /// The pairs that git could not merge at all, or not in time.
    pub unknown: Vec<[String; 2]>,
    /// How many pairs were merged in memory for this answer; the others were known.
    pub merged: usize,
}

/// A branch that was compared with the others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ComparedView {
    /// The task.
    pub name: String,
    /// Its state's word.
    pub state: String,
    /// The branch that it is to land on; only tasks with the same one are compared.
    pub target: String,
    /// Its place in the proposed order, from 1.
    pub place: usize,
    /// Whether work is in it that is in no commit.
    pub uncommitted: bool,
    /// How many files it changes.
    pub files_changed: usize,
    /// What of it does not merge with the target.
    pub target_conflicts: Vec<ConflictedPath>,
    /// Why it could not be compared, if it could not; then it stands in no pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// Why its commits alone were compared, whatever lies in its workspace, if that is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commits_only: Option<String>,
}

/// Two branches that do not merge.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ClashView {
    /// The tasks.
    pub tasks: [String; 2],
    /// What does not merge.
    pub files: Vec<ConflictedPath>,
    /// Whether it takes uncommitted work of either to make it so: the commits alone would merge.
    pub uncommitted: bool,
}
