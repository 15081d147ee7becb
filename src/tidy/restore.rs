//! Bringing a removed task back: its workspace from the trash ref, its state as it was.
//!
//! Invariant: the journal says `restored` only when the workspace stands; the trash ref stays in any case, so whatever
//! goes wrong can be tried again.

use std::time::Duration;

use fs_err as fs;

use super::Grounds;
use crate::git::GitError;
use crate::model::{Event, Oid, Roster, Task, TaskId, TaskName, Workspace};
use crate::store::journal::Entry;
use crate::store::lock::{DEADLINE, Lock, LockError};
use crate::store::{Journal, JournalError};
use crate::workspace::briefing::{self, Place};
use crate::workspace::remove::{next_trash, put_away_branch};
use crate::workspace::{
    self, GitLock, RemoveError, apply_removal, plan_removal, plan_restoration, plan_restoration_onto,
};

/// How long the task's lock is waited for: nobody has a reason to hold that of a removed one for long.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why a task was not restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// There never was such a task.
    #[error("there is no task `{name}`")]
    Unknown {
        /// The name.
        name: TaskName,
    },
    /// A task of that name is there.
    #[error("a task named `{name}` is {state}")]
    Live {
        /// The name.
        name: TaskName,
        /// The word of its state.
        state: &'static str,
    },
    /// Its workspace was not removed.
    #[error("the workspace of `{name}` is still there")]
    Standing {
        /// The name.
        name: TaskName,
    },
    /// Nothing of it was kept, or it is gone by now.
    #[error("nothing of `{name}` is in the trash")]
    NoTrash {
        /// The name.
        name: TaskName,
    },
    /// A lock.
    #[error("the repository is busy")]
    Lock(#[from] LockError),
    /// The task's folder.
    #[error("the task's folder cannot be used")]
    Folder(#[from] std::io::Error),
    /// git.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The workspace cannot be made again.
    #[error(transparent)]
    Workspace(#[from] workspace::RestoreError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// It was made again, and could not be taken back when its name turned out to be taken meanwhile.
    #[error("the workspace was made again and cannot be put back")]
    PutBack(#[source] RemoveError),
}

/// What is to be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The newest task of that name.
    Newest(TaskName),
    /// That one.
    Exactly(TaskId),
}

/// A task that is back.
#[derive(Debug, Clone, PartialEq)]
pub struct Restored {
    /// The task.
    pub id: TaskId,
    /// The word of its state, which is that before the removal.
    pub state: &'static str,
    /// Where it works.
    pub workspace: Workspace,
    /// The ref that it came from, which stays.
    pub trash: String,
    /// Files that were to be copied in and were left out.
    pub left_out: Vec<String>,
}

/// What a task comes back from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source<'a> {
    /// The trash ref that its removal recorded; its base is what it has in common with its target.
    Recorded,
    /// That ref, too, or its last commit if the ref is gone; its base is what it has in common with that commit.
    Landed { head: Option<&'a Oid>, onto: &'a Oid },
}

/// Restores a task.
pub fn restore(
    grounds: &Grounds<'_>,
    journal: &mut Journal,
    which: &Which,
) -> Result<Restored, RestoreError> {
    bring_back(grounds, journal, which, Source::Recorded)
}

/// Restores a task that has landed, whose landing is about to be taken back: its target goes to `onto`. `head`: its branch's
/// commit that landed, to restore the branch from where the trash ref is gone.
pub fn restore_landed(
    grounds: &Grounds<'_>,
    journal: &mut Journal,
    id: &TaskId,
    head: Option<&Oid>,
    onto: &Oid,
) -> Result<Restored, RestoreError> {
    bring_back(grounds, journal, &Which::Exactly(id.clone()), Source::Landed { head, onto })
}

fn bring_back(
    grounds: &Grounds<'_>,
    journal: &mut Journal,
    which: &Which,
    source: Source<'_>,
) -> Result<Restored, RestoreError> {
    let site = &grounds.site;
    let git = Lock::take(&site.layout.lock("git"), DEADLINE, "restoring a workspace")?;
    journal.read()?;
    // The journal may have been rolled since: then only its earlier parts know the task.
    let history = journal.history()?.roster;
    let task = removed(journal.roster(), &history, which)?;
    let name = task.name().clone();
    let folder = site.layout.task(&task.id);
    crate::store::layout::private_folder(folder.root())?;
    let Ok(_held) = Lock::take(&folder.lock(), PATIENCE, "restoring a workspace") else {
        return Err(RestoreError::Live { name, state: "in use by another `wt`" });
    };
    let trash = match (trash(grounds, &task), source) {
        (Err(RestoreError::NoTrash { .. }), Source::Landed { head: Some(head), .. }) => {
            let trash = next_trash(site.repo, &name)?;
            put_away_branch(site.repo, &trash, head)?;
            trash
        }
        (found, _) => found?,
    };
    grounds.observer.step(&format!("restoring `{name}` from {trash}"));
    let restoration = match source {
        Source::Recorded => plan_restoration(site, &task.id, &trash, &task.spec.target)?,
        Source::Landed { onto, .. } => plan_restoration_onto(site, &task.id, &trash, Some(onto))?,
    };
    let text = instructions(grounds, journal.roster(), &task, &restoration.branch, &restoration.base);
    let made = workspace::apply_restoration(site, GitLock::held(&git), &restoration, &text)?;

    let told = journal.transact(site.clock.now(), |roster| {
        refuse_live(roster, &name)?;
        let mut entries: Vec<Entry> = Vec::new();
        if roster.get(&task.id).is_none() {
            entries.push((Some(task.id.clone()), Event::Carried { task: Box::new(task.clone()) }));
        }
        entries.push((Some(task.id.clone()), Event::Restored { workspace: made.workspace.clone() }));
        Ok::<_, RestoreError>((entries, ()))
    });
    if let Err(error) = told {
        let removal = plan_removal(site.repo, &task.id, &made.workspace);
        let taken_back = removal.and_then(|removal| apply_removal(site, GitLock::held(&git), &removal));
        taken_back.map_err(RestoreError::PutBack)?;
        return Err(error);
    }
    let state = journal.roster().get(&task.id).map_or("restored", |task| task.state.word());
    Ok(Restored { id: task.id, state, workspace: made.workspace, trash, left_out: made.left_out })
}

/// Returns the removed task that is meant.
fn removed(now: &Roster, history: &Roster, which: &Which) -> Result<Task, RestoreError> {
    let name = match which {
        Which::Newest(name) => name,
        Which::Exactly(id) => &id.name,
    };
    refuse_live(now, name)?;
    let found = match which {
        Which::Newest(name) => now.newest(name).or_else(|| history.newest(name)),
        Which::Exactly(id) => now.get(id).or_else(|| history.get(id)),
    };
    let task = found.ok_or_else(|| RestoreError::Unknown { name: name.clone() })?;
    // Any generation's workspace has the same folder and the same branch.
    if now.tasks().any(|task| task.name() == name && task.workspace.is_some()) {
        return Err(RestoreError::Standing { name: name.clone() });
    }
    Ok(task.clone())
}

fn refuse_live(roster: &Roster, name: &TaskName) -> Result<(), RestoreError> {
    match roster.live_named(name) {
        Some(task) => Err(RestoreError::Live { name: name.clone(), state: task.state.word() }),
        None => Ok(()),
    }
}

/// Returns the trash ref of a task: the one that its removal recorded. Refs are numbered by name, so another one may hold
/// the work of a namesake.
fn trash(grounds: &Grounds<'_>, task: &Task) -> Result<String, RestoreError> {
    let none = || RestoreError::NoTrash { name: task.name().clone() };
    let trash = task.trash.clone().ok_or_else(none)?;
    if grounds.site.repo.ref_tip(&trash)?.is_some() { Ok(trash) } else { Err(none()) }
}

/// Returns the text for `CLAUDE.local.md`: the one that the task was last told, else a new one.
fn instructions(grounds: &Grounds<'_>, roster: &Roster, task: &Task, branch: &str, base: &Oid) -> String {
    let site = &grounds.site;
    if let Ok(text) = fs::read_to_string(site.layout.task(&task.id).instructions()) {
        return text;
    }
    let path = site.repo.worktrees_root().join(task.name().as_str()).display().to_string();
    let told = briefing::of(site, roster, task, &Place { path: &path, branch, base, ports: &[] });
    // A template that fails now must not stand in the way of somebody's work.
    workspace::instructions::render(site.template, &told).unwrap_or_else(|_| told.prompt.clone())
}
