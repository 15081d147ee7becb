//! Workspaces: a worktree with its branch, its context and its environment, made step by step, removed restorably.
//!
//! Invariants: what fails half-way is undone, what was killed half-way is found and continued; removal first puts
//! everything below a trash ref and never names the main checkout; nothing is written through a link that somebody else
//! may have placed. What other gits must not see half done is done under the git lock, files are made beside others. This
//! room prints nothing, and runs no command of the user but a hook.

pub mod apply;
mod beneath;
pub mod briefing;
pub mod checkpoint;
pub mod create;
mod edited;
pub mod environment;
pub mod hook;
pub mod instructions;
pub mod notes;
pub mod notice;
pub mod plan;
pub mod pool;
pub mod ports;
pub mod progress;
pub mod remove;
pub mod restore;
pub mod room;
pub mod shared;
pub mod step;
pub mod trash;

pub use apply::{Made, apply_creation};
pub use plan::{Begun, Creation, PlanError, Survey, plan_creation};
pub use remove::{Removal, RemoveError, Removed, apply_removal, apply_removal_as_seen, plan_removal};
pub use restore::{Restoration, RestoreError, apply_restoration, plan_restoration, plan_restoration_onto};
pub use room::NoRoom;
pub use step::{ApplyError, Step};

use crate::git::Repo;
use crate::model::{Clock, Settings};
use crate::store::{Layout, Lock};

/// What an engine needs to know of its repository.
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
    /// The same of what an iteration of a loop is told.
    pub iteration: Option<&'a [u8]>,
}

/// Proof that the git lock is held: races between two gits that add or remove worktrees fail in ways of their own.
#[derive(Debug, Clone, Copy)]
pub struct GitLock<'a>(#[expect(dead_code, reason = "held, never read")] &'a Lock);

impl<'a> GitLock<'a> {
    /// Returns the proof for a lock that was taken at `layout.lock("git")`.
    pub fn held(lock: &'a Lock) -> Self {
        Self(lock)
    }
}
