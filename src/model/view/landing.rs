//! The answer of `wt merge`.

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::event::ConflictedPath;
use crate::model::task::Oid;

/// `wt merge`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct MergeView {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// The branch that was landed on.
    pub target: String,
    /// Its commit before.
    pub before: Oid,
    /// Its commit after.
    pub after: Oid,
    /// Whether nothing was really done.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// What became of each task.
    pub tasks: Vec<LandedView>,
    /// What was fetched before, where that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fetched: Option<RemoteView>,
    /// What was pushed afterwards, where that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pushed: Option<RemoteView>,
}

/// What was fetched into the target, or pushed from it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RemoteView {
    /// The remote; `None`: there is none.
    pub remote: Option<String>,
    /// The branch at the remote, in full.
    #[serde(rename = "ref")]
    pub name: Option<String>,
    /// Where the branch that moves was before: the target for a fetch, the remote's one for a push; `None`: nowhere, or
    /// not asked.
    pub from: Option<Oid>,
    /// Where it is now; `None`: it did not move there.
    pub to: Option<Oid>,
    /// Why it is not done.
    pub error: Option<String>,
}

/// What became of one task in `wt merge`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct LandedView {
    /// Its name.
    pub name: String,
    /// `landed`, `conflict`, `rejected`, `review` or `skipped`.
    pub result: LandResult,
    /// How many commits.
    pub commits: usize,
    /// Paths that were resolved, and by whom.
    pub resolved: Vec<ResolvedView>,
    /// Why it is not landed, or anything to know.
    pub reason: Option<String>,
    /// What does not merge.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<ConflictedPath>,
    /// The file that has the output of the check that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// What it changed outside of what it owns, where it owns anything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flagged: Vec<String>,
}

/// A path that was resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ResolvedView {
    /// The path.
    pub path: String,
    /// `rerere`, `structural` or `agent`.
    pub by: String,
}

/// What became of a task in a landing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LandResult {
    /// On the target.
    Landed,
    /// Does not merge.
    Conflict,
    /// Verification failed.
    Rejected,
    /// Needs a person's approval.
    Review,
    /// Nothing to land.
    Skipped,
}
