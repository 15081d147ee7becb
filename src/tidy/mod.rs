//! Tidying: workspaces that are no longer needed go, come back, and what is out of order is found.
//!
//! Invariants: nothing is destroyed that is not below a trash ref first, but what git ignores: build output that the settings
//! name ([`artifacts`]), and the folders of removed workspaces once their day in the trash is over. What is destructive is
//! planned, shown, and looked at again under the git lock before it is done. The main checkout cannot be named here: a removal
//! starts from a task and is refused unless its record fits the place where `wt` makes workspaces. This room prints nothing.

pub mod artifacts;
pub mod checkpoint;
pub mod doctor;
pub mod gc;
pub mod restore;

use crate::model::observer::Observer;
use crate::workspace::Site;

/// What tidying needs to know of its repository.
#[derive(Clone, Copy)]
pub struct Grounds<'a> {
    /// The repository with its state and settings.
    pub site: Site<'a>,
    /// Who is told of the progress.
    pub observer: &'a dyn Observer,
}
