//! Landing: finished tasks onto their target, each on top of the ones before, a batch of them at once (`batch`).
//!
//! ```text
//!  queue ─▶ replay (in memory) ─▶ verify (the exact commit) ─▶ publish (intent, move, record) ─▶ next
//!           │ conflict  ▲             │ red   │ guarded path    │ moved: replay again
//!           ▼           │ kept        ▼       ▼                 └ files in the way: left out
//!        resolve ───────┘          rejected  review
//!           ├ in doubt ─▶ review
//!           └ not resolved ─▶ conflict
//! ```
//!
//! Invariants: the target only ever moves forward, to a commit that passed its checks; a branch, and any checkout but the
//! target's, is never touched; whatever ends a landing, each task ends up where the target's history says. Nothing here
//! prints or removes: pruning what has landed is for `workspace`.

mod batch;
mod clash;
mod conflict;
pub mod conserve;
pub mod kept;
mod one;
mod passed;
mod place;
mod publish;
pub mod queue;
mod rehearsal;
mod remembered;
mod replay;
pub mod report;
pub mod resolve;
pub mod review;
mod settled;
pub mod verify;

use std::path::PathBuf;

pub use publish::settle;
pub use queue::{Refusal, Wanted};
pub use report::{Fate, Landed, LeftOut, Mode, Report};
pub use verify::{Checks, Failure, VerifyError};

use self::one::Course;
use self::publish::{Way, settle_held};
use self::rehearsal::Rehearsal;
use crate::git::{GitError, Repo};
use crate::model::observer::Observer;
use crate::model::{Clock, Oid, Settings, Task, TaskId};
use crate::store::{Journal, JournalError, Layout, Lock, LockError, lock};

/// What is to be landed, where and how.
#[derive(Clone, Copy)]
pub struct Landing<'a> {
    /// The repository.
    pub repo: &'a Repo,
    /// Its state folder.
    pub layout: &'a Layout,
    /// Its settings.
    pub settings: &'a Settings,
    /// The time, for the journal.
    pub clock: &'a dyn Clock,
    /// Who hears of the progress.
    pub observer: &'a dyn Observer,
    /// The branch to land on, short.
    pub target: &'a str,
    /// The tasks.
    pub wanted: &'a Wanted,
    /// The checks.
    pub checks: &'a Checks,
    /// Whether it is done or only told.
    pub mode: Mode,
    /// Who is asked to resolve conflicts.
    pub conflicts: Conflicts,
    /// The repository's own template of a resolver's prompt, as committed on the target.
    pub template: Option<&'a [u8]>,
}

/// Who is asked to resolve a conflict that was not resolved before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflicts {
    /// The configured agent.
    ToAgent,
    /// Nobody: it waits for a person.
    ToPeople,
}

impl std::fmt::Debug for Landing<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Landing").field("target", &self.target).field("wanted", &self.wanted).finish()
    }
}

/// Why a landing could not begin, or ended before its queue was empty.
#[derive(Debug, thiserror::Error)]
pub enum LandError {
    /// A task that was named cannot be landed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There is no such branch.
    #[error("there is no branch `{target}` to land on")]
    NoTarget {
        /// The branch, short.
        target: String,
    },
    /// The target is checked out in more than one worktree, so one of them would fall behind.
    #[error("`{target}` is checked out twice, in {} and {}", .paths[0].display(), .paths[1].display())]
    HeldTwice {
        /// The branch, short.
        target: String,
        /// Two of the worktrees.
        paths: [PathBuf; 2],
    },
    /// Something was begun where the target is checked out, and not ended.
    #[error("{what} of `{target}` is unfinished in {}", .checkout.display())]
    Unfinished {
        /// The branch, short.
        target: String,
        /// The worktree.
        checkout: PathBuf,
        /// What (`a rebase`).
        what: &'static str,
    },
    /// Somebody switched to another branch in the very moment in which the target was moved.
    #[error("another branch than `{target}` was moved to {} in {}", .new.short(), .checkout.display())]
    Astray {
        /// The branch that should have moved, short.
        target: String,
        /// The worktree in which the other one was moved.
        checkout: PathBuf,
        /// Where it was moved to.
        new: Oid,
    },
    /// Another landing did not end in time.
    #[error("another landing is under way")]
    Busy(#[source] LockError),
    /// The checks could not be run.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// git.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Lands what is wanted, as far as it goes. An error means that nothing was begun; what ends a landing halfway stands in
/// [`Report::stopped`].
pub fn land(landing: &Landing<'_>, journal: &mut Journal) -> Result<Report, LandError> {
    let held = match landing.mode {
        Mode::Real => Some(take_lock(landing)?),
        Mode::DryRun => None,
    };
    if held.is_some() {
        settle_held(landing.repo, journal, landing.clock.now(), "the landing was interrupted")?;
    }
    let no_target = || LandError::NoTarget { target: landing.target.to_owned() };
    let before = landing.repo.branch_tip(landing.target)?.ok_or_else(no_target)?;
    Way::to(landing.repo, landing.target)?;

    let tip_of = |task: &Task| {
        let branch = &task.workspace.as_ref()?.branch;
        landing.repo.branch_tip(branch).ok().flatten()
    };
    let untried = |task: &Task| resolve::untried(landing, task);
    let roster = journal.read()?;
    // Without it the order is another, and nothing else.
    let clashes = clash::clashes(landing.repo, roster, landing.target).unwrap_or_default();
    let clashes = |id: &TaskId| clashes.get(id).copied().unwrap_or(0);
    let queue = queue::queue(roster, landing.wanted, landing.target, &before, tip_of, clashes, untried)?;
    let tasks: Vec<Task> = queue.tasks.into_iter().cloned().collect();
    let orphaned = queue.orphaned.into_iter().map(|orphan| Landed {
        fate: Fate::LeftOut(LeftOut::Parent { parent: orphan.parent.name.clone(), state: orphan.state }),
        ..Landed::new(orphan.task)
    });
    let orphaned: Vec<Landed> = orphaned.collect();
    let mut report = Report {
        target: landing.target.to_owned(),
        before: before.clone(),
        after: before.clone(),
        mode: landing.mode,
        tasks: Vec::new(),
        unchanged: queue.unchanged.into_iter().map(|task| task.name().clone()).collect(),
        stopped: None,
    };
    match &held {
        Some(lock) => Course::new(landing, lock).run(&tasks, journal, &mut report),
        None => Rehearsal::new(landing, before).run(&tasks, &mut report)?,
    }
    report.tasks.extend(orphaned);
    Ok(report)
}

fn take_lock(landing: &Landing<'_>) -> Result<Lock, LandError> {
    let path = landing.layout.lock("land");
    if Lock::is_held(&path) {
        landing.observer.step("waiting for another landing");
    }
    Lock::take(&path, lock::DEADLINE, "wt merge").map_err(LandError::Busy)
}
