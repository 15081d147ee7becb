//! Which workspaces have nothing uncommitted, asked of all of them at once: by far the longest part of a landing where many
//! large ones are landed.
//!
//! Invariant: only a proof counts (see `git::clean`: it says what `git status` would). Of a workspace that is not in here
//! nothing is known, and git is asked about it in full.

use std::collections::BTreeSet;
use std::path::Path;

use crate::git::clean::{self, PATIENCE};
use crate::git::{LinkedWorktree, Repo};
use crate::model::{Task, TaskId};

/// Tasks whose workspaces were as their branches have them, a moment ago.
#[derive(Debug, Default)]
pub(super) struct Settled(BTreeSet<TaskId>);

impl Settled {
    /// Looks at the workspaces of `tasks`.
    pub(super) fn of<'t>(repo: &Repo, tasks: impl IntoIterator<Item = &'t Task>) -> Self {
        let mut ids = Vec::new();
        let mut checkouts = Vec::new();
        for task in tasks {
            let Some(workspace) = &task.workspace else { continue };
            let path = Path::new(&workspace.path);
            // What cannot be opened is told by whoever looks at the task itself.
            let worktree = path.exists().then(|| LinkedWorktree::open(repo, &workspace.entry, path).ok());
            let Some(worktree) = worktree.flatten() else { continue };
            ids.push(&task.id);
            checkouts.push(worktree.checkout().clone());
        }
        let answers = clean::ask(repo, checkouts, PATIENCE);
        let clean = answers.filter(|(_, dirty)| *dirty == Some(false));
        Self(clean.map(|(number, _)| ids[number].clone()).collect())
    }

    /// Tells whether a task's workspace was clean.
    pub(super) fn has(&self, task: &TaskId) -> bool {
        self.0.contains(task)
    }
}
