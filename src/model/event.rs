//! What the journal may say: one record a line, versioned, never changed once written.
//!
//! Compatibility: fields are only added, with a default; an event of an unknown type reads as [`Event::Unknown`] and is
//! kept and skipped, so that an older `wt` can read a newer journal.

mod next;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::next::{Lap, Next, WaitReason};
use super::account::Rests;
use super::breaker::Breakers;
use super::budget::{Bound, Budget, Ledger};
pub use super::conflict::{ConflictKind, ConflictedPath, ResolvedBy, ResolvedPath};
use super::state::State;
use super::task::{Oid, Task, TaskSpec, Workspace};
use super::verdict::{Class, Exit};
use super::{TaskId, Usage};

/// The version of a record's form.
pub const VERSION: u32 = 1;

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`VERSION`] of the writer.
    pub v: u32,
    /// Wall time of the append; for display, order is the line's position.
    pub at: Timestamp,
    /// The task it is about; `None`: the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// What happened.
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// Something that all tasks share, or that is another task's, moved while its attempt ran, and no event explains it.
    Stray {
        /// What moved, for people.
        what: String,
        /// The tasks whose agents ran meanwhile: one of them, or a person, may have done it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        running: Vec<TaskId>,
    },
    /// A task was asked for.
    Queued {
        /// What was asked.
        spec: TaskSpec,
    },
    /// Its worktree and branch exist.
    WorkspaceMade {
        /// Where.
        workspace: Workspace,
    },
    /// A runner holds the task and starts its agent.
    Started {
        /// The attempt's number.
        attempt: u32,
        /// The random token in the environment of every process of this attempt.
        token: String,
        /// The boot that it runs in.
        boot: String,
    },
    /// The agent named its session.
    Session {
        /// The session id, to resume.
        session: String,
        /// The model, if it said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<String>,
    },
    /// An attempt ended, and what follows.
    Ended {
        /// The attempt's number.
        attempt: u32,
        /// How the process ended.
        exit: Exit,
        /// What it came to.
        class: Class,
        /// Why, for people.
        reason: String,
        /// What it used.
        usage: Usage,
        /// The same by model, where the agent tells.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        models: BTreeMap<String, Usage>,
        /// What an iteration of a loop left.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lap: Option<Lap>,
        /// Processes that outlived the agent and were ended.
        swept: u32,
        /// What follows.
        next: Next,
    },
    /// The supervision of an attempt vanished.
    Lost {
        /// The attempt's number.
        attempt: u32,
        /// What is known of it.
        reason: String,
        /// The ref that keeps its uncommitted work.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        checkpoint: Option<String>,
        /// Whether the machine restarted since.
        rebooted: bool,
    },
    /// A lost task goes back to the queue.
    Requeued {
        /// When it may start.
        until: Timestamp,
    },
    /// A lost task has no attempt left.
    Exhausted,
    /// A person stopped a task that had no process.
    Stopped,
    /// A person is about to stop every task that runs or waits; each one's end is told by itself.
    StoppingAll {
        /// Those that are alive.
        tasks: Vec<TaskId>,
    },
    /// The account that it would use cannot be used: it waits for a person.
    Parked {
        /// Why.
        reason: String,
    },
    /// A person asked for another round.
    Retried,
    /// It goes on with all others that were alive before everything stood still.
    Resumed,
    /// A person gave it another budget; what it used counts on.
    Rebudgeted {
        /// What all of it may use now.
        budget: Budget,
    },
    /// Most of a bound of its budget is used up.
    BudgetWarned {
        /// Which bound.
        bound: Bound,
        /// How much of it, for people.
        reason: String,
    },
    /// It does not start: a budget is used up.
    OverBudget {
        /// Which and how much, for people.
        reason: String,
        /// When it may go on, if the day's budget is used up; `None`: its own is.
        until: Option<Timestamp>,
    },
    /// It does not start yet: the machine lacks something.
    HeldBack {
        /// What.
        cause: WaitReason,
        /// How much of it, for people.
        reason: String,
        /// When somebody looks again.
        until: Timestamp,
    },
    /// What was used lately, as it stood when the journal was rolled.
    CarriedLedger {
        /// All of it.
        ledger: Ledger,
    },
    /// Which agents failed last and which accounts rest, as it stood when the journal was rolled.
    CarriedBreakers {
        /// Who failed.
        breakers: Breakers,
        /// Who rests.
        #[serde(default, skip_serializing_if = "Rests::is_empty")]
        rests: Rests,
    },
    /// A person finished an open workspace.
    MarkedDone {
        /// The branch's commit.
        head: Oid,
        /// Whether there is nothing to land.
        skipped: bool,
    },
    /// A landing took the task up.
    LandingStarted {
        /// The branch's commit that is being landed.
        head: Oid,
    },
    /// The landing ended without a verdict on the task; it is back where it was.
    LandingAborted {
        /// Why.
        reason: String,
    },
    /// Its commits do not merge.
    Conflicted {
        /// What does not merge.
        paths: Vec<ConflictedPath>,
        /// The target's commit that was tried.
        onto: Oid,
        /// Why no agent resolved it, where one could have.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// What did not merge was resolved, or an agent tried to.
    Resolved {
        /// What was resolved, and by whom.
        paths: Vec<ResolvedPath>,
        /// What the agent's calls used.
        usage: Usage,
        /// The same by model.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        models: BTreeMap<String, Usage>,
        /// The folder that keeps what the agent saw and said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kept: Option<String>,
    },
    /// Only a person can say whether this may land.
    ReviewNeeded {
        /// Why.
        reason: String,
        /// What did not merge.
        paths: Vec<ConflictedPath>,
        /// The target's commit that was tried.
        onto: Oid,
        /// The commit that would land, if there is a resolution; kept by a ref.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        candidate: Option<Oid>,
    },
    /// A person approved what was in review.
    Approved {
        /// The branch's commit that was approved.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        head: Option<Oid>,
    },
    /// Verification failed on the merged tree.
    Rejected {
        /// Which check and how.
        reason: String,
        /// The target's commit that was tried.
        onto: Oid,
        /// The file that has the check's output.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        log: Option<String>,
    },
    /// A person brought its workspace back to an earlier checkpoint.
    Rewound {
        /// The ref that it was brought back to.
        checkpoint: String,
        /// The ref that keeps how it stood before.
        kept: String,
    },
    /// Its commits are on the target.
    Landed {
        /// The commit that its last commit became.
        tip: Oid,
        /// How many commits.
        commits: usize,
    },
    /// Its workspace went after landing; what it held is below the trash ref.
    Pruned {
        /// The trash ref.
        trash: String,
    },
    /// Its workspace was removed without landing.
    Removed {
        /// Why.
        reason: String,
        /// The trash ref, if there was a workspace.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trash: Option<String>,
    },
    /// A removed workspace is back.
    Restored {
        /// Where.
        workspace: Workspace,
    },
    /// A target is about to move: the intent, settled by [`Event::Published`] or by the next command.
    Publishing {
        /// The landing's id.
        landing: String,
        /// The target, short.
        target: String,
        /// Where it stands.
        old: Oid,
        /// Where it goes.
        new: Oid,
        /// The tasks that land with it, with the commit that each one's last commit became and how many there are.
        tasks: Vec<(TaskId, Oid, usize)>,
    },
    /// An intent is settled.
    Published {
        /// The landing's id.
        landing: String,
        /// Whether the target moved.
        moved: bool,
    },
    /// A landing is about to be taken back: the intent, settled by [`Event::Undone`] or by the next command.
    Undoing {
        /// The landing's id.
        landing: String,
        /// The target, short.
        target: String,
        /// Where it stands: where the landing brought it.
        from: Oid,
        /// Where it goes: where it was before.
        to: Oid,
        /// The tasks that are taken back, with the state that each one goes back to.
        tasks: Vec<(TaskId, State)>,
    },
    /// The intent to take a landing back is settled.
    Undone {
        /// The landing's id.
        landing: String,
        /// Whether the target moved.
        moved: bool,
    },
    /// The landing that brought its commits to the target was taken back.
    Unlanded {
        /// Where it stands now.
        to: State,
    },
    /// A task as it stood when the journal was rolled.
    Carried {
        /// All of it.
        task: Box<Task>,
    },
    /// Written by a newer `wt`.
    #[serde(other)]
    Unknown,
}
