//! Bringing a workspace back to one of its checkpoints.
//!
//! ```text
//!  how it stands ▶ a checkpoint of its own ▶ plan (changes nothing) ▶ journal ▶ branch, HEAD, index, files
//! ```
//!
//! Invariant: how it stands is below a ref before anything changes, so this can be taken back the same way. The task's lock
//! is held throughout: nothing works in the workspace.

use std::time::Duration;

use super::Grounds;
use crate::git::refs::{self, RefEdit};
use crate::git::snapshot::rewind;
use crate::git::{GitError, LinkedWorktree, status};
use crate::model::{Event, Task, TaskId, TaskName, Workspace};
use crate::store::lock::{DEADLINE, Lock, LockError};
use crate::store::{Journal, JournalError};
use crate::workspace::checkpoint;
pub use crate::workspace::checkpoint::Checkpoint;

/// How long the task's lock is waited for: a runner holds it for a moment longer than its attempt.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why a workspace was not brought back.
#[derive(Debug, thiserror::Error)]
pub enum RewindError {
    /// There is no such task, or it is gone.
    #[error("there is no workspace of `{0}`")]
    NoWorkspace(TaskName),
    /// It runs, or is about to.
    #[error("`{name}` is {state}")]
    NotNow {
        /// The task.
        name: TaskName,
        /// The word of its state.
        state: &'static str,
    },
    /// It has no checkpoint of that number.
    #[error("`{name}` has no checkpoint {number}")]
    NoCheckpoint {
        /// The task.
        name: TaskName,
        /// What was asked for.
        number: u32,
    },
    /// Something was begun that a checkpoint does not hold.
    #[error("{what} is in progress in {path}")]
    InProgress {
        /// What.
        what: &'static str,
        /// The worktree.
        path: String,
    },
    /// The branch is in use in another worktree.
    #[error("branch `{branch}` is in use in {path}")]
    Elsewhere {
        /// The branch.
        branch: String,
        /// Where.
        path: String,
    },
    /// A lock.
    #[error("the repository is busy")]
    Lock(#[from] LockError),
    /// git refused; nothing was changed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// git failed half-way.
    #[error("it was brought back in part only; how it stood before is checkpoint {kept}")]
    Part {
        /// The number of the checkpoint that keeps it.
        kept: u32,
        /// Why.
        #[source]
        source: GitError,
    },
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// A workspace that was brought back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewound {
    /// The checkpoint that it is at now.
    pub at: Checkpoint,
    /// The checkpoint that keeps how it stood before.
    pub kept: Checkpoint,
    /// The word of the task's state now.
    pub state: &'static str,
    /// Where it works.
    pub workspace: Workspace,
}

/// Returns the checkpoints of a task, by number.
pub fn list(grounds: &Grounds<'_>, id: &TaskId) -> Result<Vec<Checkpoint>, GitError> {
    checkpoint::list(grounds.site.repo, id)
}

/// Brings the workspace of a live task at rest to its checkpoint `number`.
pub fn rewind(
    grounds: &Grounds<'_>,
    journal: &mut Journal,
    name: &TaskName,
    number: u32,
) -> Result<Rewound, RewindError> {
    let site = &grounds.site;
    let _git = Lock::take(&site.layout.lock("git"), DEADLINE, "bringing back a checkpoint")?;
    let gone = || RewindError::NoWorkspace(name.clone());
    let id = journal.read()?.live_named(name).ok_or_else(gone)?.id.clone();
    let Ok(_held) = Lock::take(&site.layout.task(&id).lock(), PATIENCE, "bringing back a checkpoint") else {
        return Err(RewindError::NotNow { name: name.clone(), state: "in use by another `wt`" });
    };
    let task = journal.read()?.get(&id).cloned().ok_or_else(gone)?;
    let workspace = task.workspace.clone().ok_or_else(gone)?;
    if !task.state.at_rest() {
        return Err(RewindError::NotNow { name: name.clone(), state: task.state.word() });
    }
    let worktree = fit(grounds, &task, &workspace)?;
    let found = list(grounds, &id)?.into_iter().find(|checkpoint| checkpoint.number == number);
    let at = found.ok_or_else(|| RewindError::NoCheckpoint { name: name.clone(), number })?;

    let kept = keep(grounds, &task, &workspace, &worktree, number)?;
    grounds.observer.step(&format!("bringing `{name}` back to {}", at.name));
    let plan = rewind::plan(site.repo, worktree.checkout(), &kept.oid, &at.oid);
    if plan.is_err() {
        // Nothing changes, so there is nothing to go back to.
        drop(forget(grounds, &kept));
    }
    let plan = plan?;
    let event = Event::Rewound { checkpoint: at.name.clone(), kept: kept.name.clone() };
    journal.append(site.clock.now(), vec![(Some(id.clone()), event)])?;
    rewind::apply(site.repo, worktree.checkout(), &workspace.branch, &plan)
        .map_err(|source| RewindError::Part { kept: kept.number, source })?;
    let state = journal.roster().get(&id).map_or("", |task| task.state.word());
    Ok(Rewound { at, kept, state, workspace })
}

fn forget(grounds: &Grounds<'_>, kept: &Checkpoint) -> Result<(), GitError> {
    let repo = grounds.site.repo;
    let mut edits = vec![RefEdit::delete(&kept.name, kept.oid.clone())];
    let beside = checkpoint::branch_ref(&kept.name);
    edits.extend(repo.ref_tip(&beside)?.map(|tip| RefEdit::delete(beside, tip)));
    refs::apply(repo, &edits)
}

/// Returns the worktree if it can be brought back at all.
fn fit(grounds: &Grounds<'_>, task: &Task, workspace: &Workspace) -> Result<LinkedWorktree, RewindError> {
    let repo = grounds.site.repo;
    let worktree = LinkedWorktree::open(repo, &workspace.entry, workspace.path.as_ref())?;
    if !worktree.path().exists() {
        return Err(RewindError::NoWorkspace(task.name().clone()));
    }
    if let Some(what) = status::in_progress(worktree.checkout()) {
        return Err(RewindError::InProgress { what: what.words(), path: workspace.path.clone() });
    }
    let holders = refs::holders(repo, &workspace.branch)?;
    if let Some(other) = holders.into_iter().find(|entry| entry.path != worktree.path()) {
        let path = other.path.display().to_string();
        return Err(RewindError::Elsewhere { branch: workspace.branch.clone(), path });
    }
    Ok(worktree)
}

/// Keeps how the workspace stands, its branch too where that is not what `HEAD` is at.
fn keep(
    grounds: &Grounds<'_>,
    task: &Task,
    workspace: &Workspace,
    worktree: &LinkedWorktree,
    number: u32,
) -> Result<Checkpoint, RewindError> {
    let site = &grounds.site;
    let about = format!("before checkpoint {number} came back");
    let name = checkpoint::take(site, task, workspace, worktree.checkout(), 0, &about)?;
    let tip = site.repo.branch_tip(&workspace.branch)?;
    if let Some(tip) = tip.filter(|tip| worktree.checkout().head().ok().flatten().as_ref() != Some(tip)) {
        refs::apply(site.repo, &[RefEdit::create(checkpoint::branch_ref(&name), tip)])?;
    }
    let kept = list(grounds, &task.id)?.into_iter().find(|checkpoint| checkpoint.name == name);
    kept.ok_or_else(|| GitError::Moved { name }.into())
}
