//! Running tasks: who starts when, one attempt from start to end, and what follows it.
//!
//! There is no coordinator: a short *pass* under a lock starts what is ready, run by every command and by every runner
//! that ends. Invariant: a task is run by who holds its lock; slots are held locks; state is the fold of the journal.

pub mod by_hand;
mod calling;
pub mod enqueue;
pub mod judge;
pub mod order;
pub mod pass;
pub mod recovery;
pub mod runner;
pub mod schedule;
pub mod settle;
pub mod setup;

use crate::git::Repo;
use crate::model::{Clock, Settings};
use crate::store::Layout;
use crate::workspace::create::Site;

/// What supervising needs to know of its repository.
#[derive(Clone, Copy)]
pub struct Fleet<'a> {
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

impl<'a> Fleet<'a> {
    /// Returns what making a workspace needs.
    pub fn site(&self) -> Site<'a> {
        let Self { repo, layout, settings, clock, template } = *self;
        Site { repo, layout, settings, clock, template }
    }
}
