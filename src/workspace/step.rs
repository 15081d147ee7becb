//! The steps of making a workspace, by the names that people read, and why one failed.

use std::fmt;
use std::io;

use super::environment::EnvironmentError;
use super::instructions::InstructionsError;
use super::ports::PortsError;
use super::shared::SharedError;
use crate::git::GitError;
use crate::store::lock::LockError;

/// A step of making a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Writing down what is about to be made.
    Record,
    /// Making the folder of worktrees and the shared folder in it.
    Shared,
    /// Putting a half-made worktree away.
    Clear,
    /// Making worktree and branch.
    Worktree,
    /// Marking the commit that the branch starts from.
    BaseRef,
    /// Filling the worktree.
    Files,
    /// Writing the agent's instructions and the link to the shared folder.
    Instructions,
    /// Copying ignored files.
    Environment,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Record => "recording the creation",
            Self::Shared => "preparing the folder of worktrees",
            Self::Clear => "clearing a half-made worktree",
            Self::Worktree => "making the worktree",
            Self::BaseRef => "marking the base",
            Self::Files => "filling the worktree",
            Self::Instructions => "writing the instructions",
            Self::Environment => "copying ignored files",
        })
    }
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// git.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The shared folder.
    #[error(transparent)]
    Shared(#[from] SharedError),
    /// The instructions.
    #[error(transparent)]
    Instructions(#[from] InstructionsError),
    /// Its ports.
    #[error(transparent)]
    Ports(#[from] PortsError),
    /// The environment.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The git lock, for taking back what was made.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A file or folder.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A workspace that was not made.
#[derive(Debug, thiserror::Error)]
#[error("{step} failed, {}", aftermath(undone, left))]
pub struct ApplyError {
    /// The step that failed.
    pub step: Step,
    /// The steps that were undone, last first.
    pub undone: Vec<Step>,
    /// What could not be undone, for people.
    pub left: Vec<String>,
    /// Why it failed.
    #[source]
    pub source: Box<StepError>,
}

fn aftermath(undone: &[Step], left: &[String]) -> String {
    if !left.is_empty() {
        return format!("and this could not be undone: {}", left.join("; "));
    }
    match undone.len() {
        0 => "nothing was made".to_owned(),
        n => format!("{} undone", crate::model::text::count(n, "step")),
    }
}
