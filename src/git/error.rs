//! What can go wrong between `wt` and git: one enum for the room, and why a place is no repository for `wt`.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::model::text::few;

/// Why a folder cannot be worked in; found by [`super::Repo::discover`] or, for the program, at its first use.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// Neither the folder nor any of its parents is a repository.
    #[error("no git repository at or above {}", .0.display())]
    NoRepository(PathBuf),
    /// It belongs to another user; git refuses such ones, and so does `wt`.
    #[error("the repository {} belongs to another user", .0.display())]
    DubiousOwnership(PathBuf),
    /// The folder is the worktree of a submodule.
    #[error("{} is a submodule", .0.display())]
    Submodule(PathBuf),
    /// It keeps its objects or refs in a form that is not supported (`reftable refs`).
    #[error("the repository {} has {form}, which is not supported", .path.display())]
    Format {
        /// Its common folder.
        path: PathBuf,
        /// What it has.
        form: &'static str,
    },
    /// Its own path is not UTF-8, so it could stand in no prompt and no JSON.
    #[error("the path {} is not UTF-8", .0.display())]
    NotUtf8(PathBuf),
    /// It was found, but cannot be read.
    #[error("the repository {} cannot be opened: {reason}", .path.display())]
    Unreadable {
        /// Its common folder.
        path: PathBuf,
        /// What its reader said.
        reason: String,
    },
    /// There is no git program.
    #[error("the git program is missing")]
    NoProgram(#[source] io::Error),
    /// The git program is older than [`super::command::OLDEST`].
    #[error("git {found} is too old, {needed} is needed")]
    TooOld {
        /// What `git version` says.
        found: String,
        /// The oldest that works.
        needed: String,
    },
}

/// What this room's operations may fail with.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The place or the program cannot be used at all.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// A revision that names no commit.
    #[error("`{rev}` names no commit")]
    NoSuchRevision {
        /// As it was given.
        rev: String,
    },
    /// The current branch has no commit yet.
    #[error("branch `{branch}` has no commit yet")]
    UnbornBranch {
        /// The branch, short.
        branch: String,
    },
    /// No branch is checked out where one was needed.
    #[error("no branch is checked out")]
    DetachedHead,
    /// git would not know whom to name as author.
    #[error("git has no identity to commit with")]
    NoIdentity,
    /// A ref is not where it was expected.
    #[error("`{name}` is not where it was expected")]
    Moved {
        /// The full name of the ref.
        name: String,
    },
    /// The branch that should be made exists.
    #[error("branch `{branch}` exists already")]
    BranchExists {
        /// The branch, short.
        branch: String,
    },
    /// Dirty or untracked files are in the way of an update.
    #[error("uncommitted changes are in the way: {}", few(.paths))]
    Overlap {
        /// The files, relative to the worktree.
        paths: Vec<String>,
    },
    /// A repository inside the worktree, whose content would not be captured.
    #[error("`{path}` is a git repository of its own")]
    Nested {
        /// Its folder, relative to the worktree.
        path: String,
    },
    /// A submodule with what cannot be put away.
    #[error("the submodule `{path}` cannot be put away: {why}")]
    Submodule {
        /// Its folder, relative to the worktree.
        path: String,
        /// Why.
        why: String,
    },
    /// A worktree that cannot be what was asked for: the main checkout, without entry, still in place, locked.
    #[error("the worktree {} {reason}", .path.display())]
    Worktree {
        /// Its folder.
        path: PathBuf,
        /// What is the matter with it.
        reason: WorktreeTrouble,
    },
    /// A lock file of git stands in the way; it is never deleted, for somebody may hold it.
    #[error("git's lock file {} is in the way{}", .path.display(), told(*.owner, *.age))]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// The number of the user who made it.
        owner: Option<u32>,
        /// How old it is.
        age: Option<Duration>,
    },
    /// The disk is full.
    #[error("no space is left on the disk for `git {}`", essence(.argv))]
    NoSpace {
        /// Its arguments, short.
        argv: String,
    },
    /// git refused.
    #[error("`git {}` {}: {}", essence(.argv), ended(*.code), paragraph(.stderr))]
    Failed {
        /// Its arguments, short.
        argv: String,
        /// Its exit code; `None`: ended by a signal.
        code: Option<i32>,
        /// What it said, trimmed.
        stderr: String,
    },
    /// A commit should be signed and cannot be.
    #[error("git cannot sign commits: {}", told_of_signing(.said))]
    NotSigned {
        /// What git said.
        said: String,
    },
    /// An answer or an object that cannot be read as what it should be.
    #[error("{what} cannot be read: {reason}")]
    Unreadable {
        /// What was looked at.
        what: String,
        /// What its reader said.
        reason: String,
    },
    /// A file could not be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What is the matter with a worktree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorktreeTrouble {
    /// It is the main checkout, or holds it.
    #[error("is the main checkout")]
    Main,
    /// git has no entry of that name.
    #[error("has no entry `{0}`")]
    NoEntry(String),
    /// Somebody wrote another repository into its entry.
    #[error("points to another repository")]
    Redirected,
    /// Its folder is still there.
    #[error("is still in place")]
    InPlace,
    /// It was locked by `git worktree lock`.
    #[error("is locked{}", if .0.is_empty() { String::new() } else { format!(": {}", .0) })]
    Locked(String),
    /// Conflicts or a rebase stand in it, so that nothing can be committed for its agent.
    #[error("is in the middle of {0}")]
    Unfinished(String),
}

impl GitError {
    /// Returns the error for something of git's that cannot be read.
    pub(super) fn unreadable(what: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self::Unreadable { what: what.into(), reason: reason.to_string() }
    }
}

/// Returns a call without its options, which say nothing to people.
fn essence(argv: &str) -> String {
    argv.split(' ').filter(|word| !word.starts_with('-')).collect::<Vec<_>>().join(" ")
}

/// Returns the first paragraph of what git said, on one line; what follows is general advice.
fn paragraph(said: &str) -> String {
    let first = said.split("\n\n").next().unwrap_or_default();
    first.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns all that was said of a signature that failed, on one line: what the signing program says comes first.
fn told_of_signing(said: &str) -> String {
    crate::model::text::one_line(said, 300)
}

fn told(owner: Option<u32>, age: Option<Duration>) -> String {
    let (Some(owner), Some(age)) = (owner, age) else { return String::new() };
    format!(": {} old, made by user {owner}", crate::model::text::duration(age))
}

fn ended(code: Option<i32>) -> String {
    code.map_or_else(|| "was ended by a signal".to_owned(), |code| format!("exited with code {code}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_short_fragments() {
        let paths = |n: usize| (0..n).map(|i| format!("f{i}")).collect::<Vec<_>>();
        let shown = |n| GitError::Overlap { paths: paths(n) }.to_string();
        assert_eq!(shown(1), "uncommitted changes are in the way: `f0`");
        assert_eq!(shown(3), "uncommitted changes are in the way: `f0`, `f1`, `f2`");
        assert_eq!(shown(9), "uncommitted changes are in the way: `f0`, `f1` and 7 more");
        let (argv, stderr) = ("merge -q --ff-only x".into(), "fatal: no\nway\n\nTry again.".into());
        let failed = GitError::Failed { argv, code: Some(128), stderr };
        assert_eq!(failed.to_string(), "`git merge x` exited with code 128: fatal: no way");
    }
}
