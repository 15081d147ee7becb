//! What becomes of an attempt whose supervision vanished: nobody holds its lock, and the journal has no end for it.
//!
//! Order matters: first its processes are ended (by token), then what it left uncommitted is kept below a checkpoint ref,
//! then the debris that only a killed process can have left is cleared, then the journal says `lost`. The caller holds the
//! task's lock throughout.

use fs_err as fs;

use super::recovery;
use super::siblings::{self, Standing};
use crate::git::{LinkedWorktree, status};
use crate::model::{Event, State, Task, Workspace};
use crate::process::{boot, sweep};
use crate::store::journal::Entry;
use crate::store::{Journal, JournalError, Lock, exit};
use crate::workspace::{Site, checkpoint};

/// Settles `task`, whose `lock` is held, if it is recorded as running.
pub fn settle(site: &Site<'_>, journal: &mut Journal, task: &Task, _lock: &Lock) -> Result<(), JournalError> {
    let State::Running { attempt, token, boot: its_boot } = &task.state else { return Ok(()) };
    let rebooted = *its_boot != boot::id();
    if !rebooted {
        sweep::end(token);
    }
    let now = site.clock.now();
    let folder = site.layout.task(&task.id);
    super::order::forget(&folder);
    // Since a restart of the machine a person may have worked everywhere.
    if let Some(beside) = Standing::take(&folder, *attempt).filter(|_| !rebooted) {
        drop(siblings::record(site, journal, task, beside));
    }
    if let Some(record) = exit::load(&folder, *attempt) {
        // It ended, but could not tell the journal (a full disk, a kill in between).
        return journal.append(now, vec![(Some(task.id.clone()), record.event)]);
    }
    clear_debris(site, task, task.workspace.as_ref());
    let reason = if rebooted { "the machine restarted" } else { "its supervision was killed" };
    let checkpoint = keep(site, task, *attempt);
    let reason = match &checkpoint {
        Err(error) => format!("{reason}; its uncommitted work stays in the workspace only ({error})"),
        Ok(_) => reason.to_owned(),
    };
    let lost = Event::Lost { attempt: *attempt, reason, checkpoint: checkpoint.ok().flatten(), rebooted };
    let mut entries: Vec<Entry> = vec![(Some(task.id.clone()), lost)];
    if let Some(next) = recovery::after_loss(task, rebooted, now) {
        entries.push((Some(task.id.clone()), next));
    }
    journal.append(now, entries)
}

/// Keeps uncommitted work below a ref; `None`: there is none.
fn keep(site: &Site<'_>, task: &Task, attempt: u32) -> Result<Option<String>, crate::git::GitError> {
    let Some(workspace) = &task.workspace else { return Ok(None) };
    let worktree = LinkedWorktree::open(site.repo, &workspace.entry, workspace.path.as_ref())?;
    if !worktree.path().exists() || !status::status(worktree.checkout())?.dirty() {
        return Ok(None);
    }
    let about = format!("attempt {attempt} was lost");
    checkpoint::take(site, task, workspace, worktree.checkout(), attempt, &about).map(Some)
}

/// Removes the locks that a killed attempt's git left in its own worktree and on its own branch, if they are newer than
/// its start: its processes are proved to be gone, so nobody holds them. No other lock is ever touched.
pub fn clear_debris(site: &Site<'_>, task: &Task, workspace: Option<&Workspace>) {
    let (Some(workspace), Ok(begun)) = (workspace, exit::begun(&site.layout.task(&task.id))) else { return };
    let Ok(worktree) = LinkedWorktree::open(site.repo, &workspace.entry, workspace.path.as_ref()) else {
        return;
    };
    let branch = site.repo.common_dir().join("refs/heads").join(format!("{}.lock", workspace.branch));
    let git_dir = worktree.checkout().git_dir();
    for lock in [git_dir.join("index.lock"), git_dir.join("HEAD.lock"), branch] {
        let newer = fs::metadata(&lock).and_then(|about| about.modified()).is_ok_and(|at| at >= begun);
        if newer {
            drop(fs::remove_file(&lock));
        }
    }
}
