//! The answers of verbs that change something, one after the other.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::Oid;

/// `wt spawn`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SpawnView<'a> {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// Whether nothing was really made.
    pub dry_run: bool,
    /// The tasks, in the order asked.
    pub tasks: &'a [SpawnedView],
}

/// A task that was made, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SpawnedView {
    /// Its name.
    pub name: String,
    /// Its state's word.
    pub state: String,
    /// Its branch.
    pub branch: String,
    /// Where its worktree is, or will be.
    pub worktree: String,
    /// The branch that it lands on.
    pub target: String,
    /// Its agent; `None`: a person works there.
    pub agent: Option<String>,
    /// Why it is where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
}

/// `wt wait`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WaitView {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// Whether `--timeout` was reached.
    pub timed_out: bool,
    /// The tasks that were waited for.
    pub tasks: Vec<WaitedView>,
}

/// A task that was waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WaitedView {
    /// Its name.
    pub name: String,
    /// Its state's word.
    pub state: String,
    /// Why it is where it is.
    pub outcome: Option<String>,
}

/// `wt stop`, `retry`, `done`, `approve`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SeveralView {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// What became of each task, in the order asked.
    pub tasks: Vec<OneView>,
}

/// What became of one of several tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct OneView {
    /// Its name, as it was given.
    pub name: String,
    /// Its state's word now; `None`: it was refused.
    pub state: Option<String>,
    /// Why it was refused.
    pub error: Option<String>,
    /// For people.
    #[serde(skip)]
    pub detail: String,
}

/// `wt resume`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ResumeView {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// Whether nothing was really changed.
    pub dry_run: bool,
    /// The tasks, in the order of the queue.
    pub tasks: Vec<ResumedView>,
}

/// A task that goes on, or waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ResumedView {
    /// Its name.
    pub name: String,
    /// The word of the state that it was in while it was alive.
    pub was: &'static str,
    /// How it goes on: `session` (the agent's), `fresh` (another one, in the workspace as it stands), `queued` (it had not
    /// begun), `waits` (by itself, when its time has come), `parked` (only a person can say when), `alive` (nothing was to do).
    pub how: &'static str,
    /// When it goes on by itself, if that is known.
    pub until: Option<Timestamp>,
    /// Why it does not go on.
    pub error: Option<String>,
}

/// `wt demo`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DemoView {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// The tasks that landed.
    pub landed: Vec<String>,
    /// Commits that the target has beyond its first.
    pub commits: usize,
    /// How long all of it took.
    pub elapsed_ms: u128,
    /// The folder, with `--keep`.
    pub kept: Option<String>,
}

/// `wt merge --abort`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AbortView {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// Whether a landing was under way.
    pub ended: bool,
    /// How many tasks of a killed landing were put right.
    pub settled: usize,
}

/// `wt undo`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct UndoView {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// Whether nothing was really done.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// The branch that the landing was on.
    pub target: String,
    /// Its commit before: where the landing had brought it.
    pub before: Oid,
    /// Its commit after: where it was before the landing.
    pub after: Oid,
    /// How many commits left it.
    pub commits: u32,
    /// The landing's id.
    pub landing: String,
    /// The ref that keeps what left it.
    pub kept: String,
    /// The tasks that are back.
    pub tasks: Vec<UndoneView>,
    /// Tasks whose branches still hold what was taken back.
    pub relying: Vec<String>,
}

/// A task whose landing was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct UndoneView {
    /// Its name.
    pub name: String,
    /// Its state's word now.
    pub state: &'static str,
    /// Its branch.
    pub branch: Option<String>,
    /// Its worktree.
    pub worktree: Option<String>,
}

/// `wt resolve`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ResolveView<'a> {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// The task.
    pub name: &'a str,
    /// Its state's word now.
    pub state: &'static str,
    /// The paths that a person merged.
    pub resolved: Vec<String>,
}

/// `wt restore`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RestoreView<'a> {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// The task.
    pub name: &'a str,
    /// Its state's word now.
    pub state: &'a str,
    /// Its branch.
    pub branch: &'a str,
    /// Its worktree.
    pub worktree: &'a str,
    /// The ref that it came from.
    pub trash: &'a str,
}

/// `wt restore NAME --checkpoint`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CheckpointsView {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// The task.
    pub name: String,
    /// Its checkpoints, by number.
    pub checkpoints: Vec<CheckpointView>,
}

/// A checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CheckpointView {
    /// Its number, for `--checkpoint N`.
    pub number: u32,
    /// What it was taken for.
    pub about: String,
    /// When it was taken.
    pub at: Timestamp,
    /// Its commit.
    pub commit: String,
    /// Its ref.
    #[serde(rename = "ref")]
    pub name: String,
}

/// `wt restore NAME --checkpoint N`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RewoundView<'a> {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// The task.
    pub name: &'a str,
    /// Its state's word now.
    pub state: &'a str,
    /// Its branch.
    pub branch: &'a str,
    /// Its worktree.
    pub worktree: &'a str,
    /// The checkpoint that it was brought back to.
    pub checkpoint: u32,
    /// The checkpoint that keeps how it stood before.
    pub kept: u32,
    /// The ref of that one.
    pub kept_ref: &'a str,
}

/// `wt trust`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TrustView<'a> {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// Whether what the repository runs is approved, or there is nothing to approve.
    pub approved: bool,
    /// The hash of all of it; `None`: there is nothing.
    pub hash: Option<&'a str>,
    /// What it runs: the key and its command.
    pub commands: &'a [(String, String)],
}

/// One event of `wt events`, and what `on_event` is given.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct EventView {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// When it was recorded; the order of events is that of the lines, never this.
    pub at: Timestamp,
    /// What came of it, in a word (`done`, `conflict`).
    pub kind: &'static str,
    /// The task; `None`: the repository. Of a breaker: the one whose attempt, or whose person, turned it.
    pub task: Option<String>,
    /// Which task of that name, from 1.
    pub generation: Option<u32>,
    /// Why, for people.
    pub reason: Option<String>,
    /// The event as the journal has it; a breaker that opens or closes (`breaker`) follows from the one before it.
    pub event: serde_json::Value,
}
