//! Making a task's workspace under the repository lock, and telling the journal.

use crate::git::{GitError, Repo, worktree};
use crate::model::{Clock, Event, Settings, Task, TaskSpec, Workspace};
use crate::store::lock::{DEADLINE, Lock, LockError};
use crate::store::{Journal, JournalError, Layout};

/// Why a workspace was not made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The repository lock.
    #[error("the repository is locked")]
    Lock(#[from] LockError),
    /// git refused.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The journal refused.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// What making workspaces needs to know of its repository.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    /// The repository.
    pub repo: &'a Repo,
    /// Its state folder.
    pub layout: &'a Layout,
    /// The settings in force.
    pub settings: &'a Settings,
    /// What time it is.
    pub clock: &'a dyn Clock,
    /// The repository's own template of the instructions, as committed on the target.
    pub template: Option<&'a [u8]>,
}

/// Checks whether the workspace of `spec` could be made; makes nothing.
pub fn check(_repo: &Repo, _settings: &Settings, _spec: &TaskSpec) -> Result<(), CreateError> {
    Ok(())
}

/// Makes the workspace of `task`, which has none; the caller holds the task's lock.
pub fn create(site: &Site<'_>, journal: &mut Journal, task: &Task) -> Result<Workspace, CreateError> {
    let _lock = Lock::take(&site.layout.lock("git"), DEADLINE, "creating a workspace")?;
    let name = task.name().as_str();
    let path = site.repo.worktrees_root().join(name);
    let branch = site.settings.branch.replace("{name}", name);
    let base = site.repo.commit(task.spec.base.as_deref().unwrap_or(&task.spec.target))?;
    let made = worktree::add(site.repo, &path, &branch, &base, &worktree::Hooks::Common)?;
    let workspace = Workspace {
        path: path.to_string_lossy().into_owned(),
        branch,
        base,
        entry: made.worktree.entry().to_owned(),
        copied: Vec::new(),
    };
    let event = Event::WorkspaceMade { workspace: workspace.clone() };
    journal.append(site.clock.now(), vec![(Some(task.id.clone()), event)])?;
    Ok(workspace)
}
