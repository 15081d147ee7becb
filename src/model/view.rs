//! The answers of commands as values: `ui` prints them as a table or as JSON from the same structs.
//!
//! Fields are only added; each document says its [`SCHEMA`].

pub mod conflicts;
pub mod disk;
mod landing;
pub mod verbs;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

pub use self::landing::{LandResult, LandedView, MergeView, RemoteView, ResolvedView};
use super::breaker::{Kind, Stance};
use super::budget::{Budget, Spent};
use super::event::ConflictedPath;
use super::holder::Holder;
use super::pace::Pace;
use super::task::Oid;
use super::usage::Tokens;

/// The version of every JSON document that `wt` prints.
pub const SCHEMA: u32 = 1;

/// Any command that could not do what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RefusalView<'a> {
    /// [`SCHEMA`].
    pub schema: u32,
    /// What stopped it.
    pub error: ErrorView<'a>,
}

/// What stopped a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ErrorView<'a> {
    /// The exit code.
    pub code: u8,
    /// What was asked, what stopped it, what is kept.
    pub message: &'a str,
    /// What lies behind it, outermost first.
    pub causes: &'a [String],
    /// Commands that work now.
    pub hints: &'a [String],
    /// Who has the lock that stayed busy, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holder: Option<&'a Holder>,
}

/// `wt status`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct StatusView {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The repository: its main checkout, or the bare repository itself.
    pub repo: String,
    /// The target branch.
    pub target: String,
    /// Slots in use and in all.
    pub slots: SlotsView,
    /// What all tasks used today, where the day is bounded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub today: Option<TodayView>,
    /// Why the last landing that began by itself (`[merge] auto`) did not go through, if it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_error: Option<String>,
    /// The breakers that are not closed: profiles and agents that failed again and again.
    pub breakers: Vec<BreakerView>,
    /// The tasks, in the order of the queue and then by age.
    pub tasks: Vec<TaskView>,
}

/// A profile, or an agent of tasks without one, that failed again and again: nobody starts with it for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BreakerView {
    /// `profile` or `agent`.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// `open`, or `half_open`: one task may try.
    pub state: Stance,
    /// Failures in a row.
    pub failures: u32,
    /// When one task may try.
    pub until: Option<Timestamp>,
    /// What the last failure said.
    pub reason: String,
    /// The live tasks that wait for it.
    pub waiting: Vec<String>,
}

/// What all tasks used today, and may use in a day.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct TodayView {
    /// Used since midnight, running attempts included.
    pub spent: Spent,
    /// The bounds; 0: none.
    pub budget: Budget,
}

/// Slots in use and in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SlotsView {
    /// Held right now.
    pub used: u32,
    /// The limit.
    pub max: u32,
}

/// One task in `wt status`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct TaskView {
    /// Its name.
    pub name: String,
    /// Its state's word.
    pub state: String,
    /// Why it waits, if it does.
    pub reason: Option<String>,
    /// Until when it waits, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Its branch; `None` before the workspace exists and after it is gone.
    pub branch: Option<String>,
    /// Its worktree, likewise.
    pub worktree: Option<String>,
    /// The TCP ports that are its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<u16>,
    /// The branch that it lands on.
    pub target: String,
    /// The commit that its branch started from.
    pub base: Option<Oid>,
    /// The commit of its branch.
    pub head: Option<Oid>,
    /// Commits that the target lacks.
    pub ahead: u32,
    /// Commits that it lacks of the target.
    pub behind: u32,
    /// Whether anything is staged, unstaged or untracked.
    pub dirty: bool,
    /// Files changed from base to head.
    pub files_changed: u32,
    /// Lines added from base to head.
    pub insertions: u32,
    /// Lines deleted from base to head.
    pub deletions: u32,
    /// Whether its commits would conflict with the target as it is now; `None`: it has none, has ended, or git cannot tell.
    /// Uncommitted work is not in it.
    pub conflicts_with_target: Option<bool>,
    /// The live tasks that it did not merge with when all were last compared, uncommitted work included.
    pub conflicts_with: Vec<String>,
    /// The same with what does not merge.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clashes: Vec<ClashingView>,
    /// Whether any of what was seen of its workspace is remembered, not seen now.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cached: bool,
    /// When that was seen; `None`: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
    /// Its agent; `None`: a person works there.
    pub agent: Option<String>,
    /// The model, as asked for or as the agent said.
    pub model: Option<String>,
    /// Its profile.
    pub profile: Option<String>,
    /// 1 (first) to 5.
    pub priority: u8,
    /// The tasks that must land first.
    pub after: Vec<String>,
    /// Those of them that need only be done for it to start.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub after_done: Vec<String>,
    /// The number of its last attempt.
    pub attempt: u32,
    /// The iteration of its loop.
    pub iteration: u32,
    /// The most iterations; `None`: it runs in no loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iterations: Option<u32>,
    /// The agent's session.
    pub session: Option<String>,
    /// When it was queued.
    pub queued_at: Timestamp,
    /// When its last attempt started.
    pub started_at: Option<Timestamp>,
    /// When it came to rest.
    pub ended_at: Option<Timestamp>,
    /// From the last attempt's start to its end, or to now.
    pub elapsed_ms: Option<u64>,
    /// Since the running agent last printed anything.
    pub silent_ms: Option<u64>,
    /// How it gets on, where it runs or something is in its way: `working`, `slow`, `limited`, `parked` or `dead`.
    pub pace: Option<Pace>,
    /// What is known of its running agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<HeartbeatView>,
    /// Tokens over all attempts.
    pub tokens: Tokens,
    /// Dollars over all attempts.
    pub cost_usd: f64,
    /// What it may use over all attempts, where anything is bounded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// How much of its budget is used, where it is most of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    /// What the agent did last.
    pub last: Option<String>,
    /// Why it is where it is.
    pub outcome: Option<String>,
    /// What moved while its attempts ran, outside its workspace, and no event explains.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub strays: Vec<String>,
    /// What does not merge, if it is in conflict.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<ConflictedPath>,
}

/// What is known of a running agent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct HeartbeatView {
    /// The tokens that its last call to its model took in: how full its context is; `None`: it does not tell.
    pub context_tokens: Option<u64>,
    /// The most tokens that its context holds, where the agent or its adapter's table (`windows`) tells.
    pub context_window: Option<u64>,
    /// How much of it is in use, from 0 to 1.
    pub context_share: Option<f64>,
    /// Tokens that this attempt used so far.
    pub tokens: Tokens,
    /// The tool that it waits for.
    pub tool: Option<String>,
    /// Tools that failed, and calls to its model that it had to try again.
    pub errors: u64,
    /// The call that failed and that it tries again right now.
    pub fault: Option<String>,
    /// Bytes of memory of all its processes; `None`: not asked (in a table, and with `--cached`).
    pub memory_bytes: Option<u64>,
    /// How many processes those are.
    pub processes: Option<u32>,
}

/// A live task that another one does not merge with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ClashingView {
    /// Its name.
    pub with: String,
    /// What does not merge.
    pub files: Vec<ConflictedPath>,
    /// When that was first found.
    pub since: Timestamp,
}

/// `wt cost`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct CostView {
    /// [`SCHEMA`].
    pub schema: u32,
    /// What the rows are: `task`, `model`, `day` or `agent`.
    pub by: String,
    /// The rows.
    pub rows: Vec<CostRow>,
    /// All of it.
    pub total: CostRow,
}

/// What was used by one task, model, day or agent.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct CostRow {
    /// The task, model, date or agent; `total`.
    pub key: String,
    /// Attempts that used it.
    pub attempts: u32,
    /// Tokens by price class.
    pub tokens: Tokens,
    /// US dollars, as the agents computed them; `None`: none told any.
    pub cost_usd: Option<f64>,
    /// Whether some of it is by agents that tell tokens only, so that the money is a lower bound.
    pub partly_priced: bool,
    /// The time of the attempts, in milliseconds; by model, an attempt's time stands with the first of its models.
    pub time_ms: u64,
}

/// `wt gc`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct GcView {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Whether nothing was really done.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// What went, or would go.
    pub removed: Vec<GcRemoved>,
    /// What stays, and why.
    pub kept: Vec<GcKept>,
    /// Bytes of the files that git sees in what went, tracked and untracked, each as whole blocks of 4 KiB; ignored files are
    /// not counted.
    pub bytes: u64,
}

/// A workspace that went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct GcRemoved {
    /// The task.
    pub name: String,
    /// Why it could go.
    pub why: String,
    /// The ref that brings it back; `None` in a dry run.
    pub trash: Option<String>,
}

/// A workspace that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct GcKept {
    /// The task.
    pub name: String,
    /// Why it stays.
    pub why: String,
}

/// `wt doctor`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct DoctorView {
    /// [`SCHEMA`].
    pub schema: u32,
    /// What was looked at and found well, one line each.
    pub well: Vec<String>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// Something that `wt doctor` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// A fixed word: `torn-journal`, `stray-process`, `orphan-worktree`, `orphan-branch`, `missing-worktree`,
    /// `lost-task`, `stale-lock`, `other-wt`, `agent-missing` …
    pub kind: String,
    /// What it is about.
    pub subject: String,
    /// What is wrong, in one line.
    pub detail: String,
    /// Whether `--fix` mended it in this run.
    pub fixed: bool,
    /// The command that mends it, if one does.
    pub hint: Option<String>,
}
