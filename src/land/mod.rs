//! Landing: finished tasks onto their target, each on top of the ones before, a batch of them at once (`batch`), as their
//! own commits, one commit or a merge commit (`style`).
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
mod message;
mod one;
mod passed;
mod place;
mod publish;
pub mod queue;
mod rehearsal;
mod remembered;
pub mod remote;
mod replay;
pub mod report;
pub mod resolve;
pub mod review;
mod settled;
mod style;
mod turn;
pub mod undo;
pub mod verify;

use std::path::PathBuf;
use std::time::Duration;

pub use message::MessageError;
pub use publish::settle;
pub use queue::{Refusal, Wanted};
pub use replay::brought;
pub use report::{Fate, Landed, LeftOut, Mode, Report};
pub use verify::{Checks, Failure, VerifyError};

use self::one::Course;
use self::publish::{Way, settle_held};
use self::rehearsal::Rehearsal;
use self::review::Fences;
use self::style::Style;
use crate::git::replay::Replayer;
use crate::git::{GitError, Repo};
use crate::model::observer::Observer;
use crate::model::settings::MergeStyle;
use crate::model::{Clock, Oid, Task, TaskId};
use crate::process::halt::{self, Answer, Cause, Halt};
use crate::store::{Journal, JournalError, Layout, Lock, LockError, lock};
use crate::workspace::Site;

/// What is to be landed, where and how.
#[derive(Clone, Copy)]
pub struct Landing<'a> {
    /// The repository, its state folder and settings, and the time for the journal.
    pub site: &'a Site<'a>,
    /// Who hears of the progress.
    pub observer: &'a dyn Observer,
    /// The branch to land on, short.
    pub target: &'a str,
    /// The tasks.
    pub wanted: &'a Wanted,
    /// What comes onto the target of each.
    pub style: MergeStyle,
    /// The checks.
    pub checks: &'a Checks,
    /// Whether it is done or only told.
    pub mode: Mode,
    /// Who is asked to resolve conflicts.
    pub conflicts: Conflicts,
    /// What lands, as on a command line, for others who wait.
    pub command: &'a str,
    /// How long another landing is waited for.
    pub patience: Duration,
    /// The repository's own template of a resolver's prompt, as committed on the target.
    pub template: Option<&'a [u8]>,
    /// Tells what is wrong with the configuration of `wt` that the second commit would bring where the first one is.
    pub config_fault: &'a dyn Fn(&Oid, &Oid) -> Option<String>,
    /// Whether it is to end before its time.
    pub halt: &'a Halt,
    /// Tells, once it is its turn, whether somebody took the wish for it back while it waited.
    pub withdrawn: &'a dyn Fn() -> bool,
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
    /// The target cannot follow its upstream.
    #[error("`{target}` stays where it is: {why}")]
    Stays {
        /// The branch, short.
        target: String,
        /// Why.
        why: LeftOut,
    },
    /// The target and its upstream do not go together, or the upstream cannot be read.
    #[error(transparent)]
    Remote(#[from] remote::RemoteError),
    /// Another landing did not end in time.
    #[error("another landing is under way")]
    Busy(#[source] LockError),
    /// Somebody asked it to end.
    #[error("{}", match .0 { Cause::Person => "it was ended by `wt merge --abort` or `wt stop --all`", Cause::Signal(_) => "it was interrupted" })]
    Halted(Cause),
    /// It cannot listen whether it is to end.
    #[error("the landing cannot be made to listen")]
    Deaf(#[source] std::io::Error),
    /// The template of messages is wrong.
    #[error(transparent)]
    Message(#[from] MessageError),
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
    let site = landing.site;
    let style = Style::of(landing)?;
    let held = match landing.mode {
        Mode::Real => Some(turn::take(landing)?),
        Mode::DryRun => None,
    };
    if held.is_some() {
        settle_held(site.repo, journal, site.clock.now(), "the landing was interrupted")?;
    }
    let heeding = held.is_some().then(|| landing.halt.heed(&site.layout.landing_control()));
    let _heeding = heeding.transpose().map_err(LandError::Deaf)?;
    // Only now: who takes it back later asks at the FIFO.
    if (landing.withdrawn)() {
        return Err(LandError::Halted(Cause::Person));
    }
    let no_target = || LandError::NoTarget { target: landing.target.to_owned() };
    let before = site.repo.branch_tip(landing.target)?.ok_or_else(no_target)?;
    Way::to(site.repo, landing.target)?;

    let tip_of = |task: &Task| {
        let branch = &task.workspace.as_ref()?.branch;
        site.repo.branch_tip(branch).ok().flatten()
    };
    let untried = |task: &Task| resolve::untried(landing, task);
    let roster = journal.read()?;
    // Without it the order is another, and nothing else.
    let clashes = clash::clashes(site.repo, site.layout, roster, landing.target).unwrap_or_default();
    let clashes = |id: &TaskId| clashes.get(id).copied().unwrap_or(0);
    let queue = queue::queue(roster, landing.wanted, landing.target, &before, tip_of, clashes, untried)?;
    let tasks: Vec<Task> = queue.tasks.into_iter().cloned().collect();
    if let Some(lock) = &held {
        lock.write(&turn::holder(landing, &tasks));
    }
    let fences = Fences::of(&site.settings.merge.review, roster);
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
    // Without it a child may conflict with what its parent became, and nothing is lost.
    let brought = brought(site.repo, roster, &before).unwrap_or_default();
    let replayer = Replayer::without(site.repo, brought);
    match &held {
        Some(lock) => Course::new(landing, lock, fences, style, replayer).run(&tasks, journal, &mut report),
        None => Rehearsal::new(landing, fences, before, style, replayer).run(&tasks, &mut report)?,
    }
    report.tasks.extend(orphaned);
    Ok(report)
}

/// What ending a landing came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aborted {
    /// One was under way, and has put everything right itself.
    Ended,
    /// None was; so many tasks of one that was killed were put right.
    Settled(usize),
}

/// Ends the landing that is under way, and waits until its checks are gone and its tasks are back; with none under way,
/// settles what a killed one left.
pub fn abort(
    repo: &Repo,
    layout: &Layout,
    clock: &dyn Clock,
    journal: &mut Journal,
) -> Result<Aborted, LandError> {
    let path = layout.lock("land");
    let reason = "the landing was interrupted";
    let busy = |cause: std::io::Error| LandError::Busy(cause.into());
    if let Some(_lock) = Lock::try_take(&path).map_err(busy)? {
        return Ok(Aborted::Settled(settle_held(repo, journal, clock.now(), reason)?));
    }
    match halt::ask(&layout.landing_control(), lock::DEADLINE).map_err(LandError::Deaf)? {
        Answer::Ended => {
            // Who waited for its end may land now; that one settles too.
            if let Some(_lock) = Lock::try_take(&path).map_err(busy)? {
                settle_held(repo, journal, clock.now(), reason)?;
            }
            Ok(Aborted::Ended)
        }
        // The rest of a killed one, or something short: it ends by itself.
        Answer::Nobody | Answer::Late => {
            let _lock = Lock::take(&path, lock::DEADLINE, "wt merge --abort").map_err(LandError::Busy)?;
            Ok(Aborted::Settled(settle_held(repo, journal, clock.now(), reason)?))
        }
    }
}
