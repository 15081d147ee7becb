//! git: the only room that knows gix or the git program.
//!
//! Cheap reads (discovery, refs, objects, ancestry, indexes) go through gix in this process; what writes refs goes through
//! the git program behind [`command`], and so do worktrees, but for the files that [`checkout`] copies and what [`spare`] and
//! [`wash`] move or put in order. Errors of either stop here as [`GitError`].
//! This room decides nothing about tasks: it answers and does what it is told, or fails without a trace.

mod cache;
pub mod checkout;
pub mod clean;
pub mod command;
pub mod commit;
pub mod conflict;
pub mod dates;
pub mod detached;
pub mod diff;
mod error;
mod files;
pub mod history;
pub mod ignored;
pub mod landed;
pub mod made;
pub mod mergetool;
mod objects;
pub mod pairs;
pub mod publish;
pub mod refs;
pub mod remote;
pub mod replay;
mod repo;
pub mod rerere;
pub mod scratch;
mod settings;
pub mod shared;
pub mod shielded;
pub mod snapshot;
pub mod spare;
pub mod standing;
pub mod status;
pub mod submodule;
pub mod tree;
pub mod walk;
pub mod wash;
pub mod weight;
pub mod worktree;

pub use error::{GitError, Unusable, WorktreeTrouble};
pub use repo::Repo;
pub use worktree::{Checkout, LinkedWorktree};
