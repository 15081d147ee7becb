//! Filling a worktree with the files of a commit, as fast as the disk allows.
//!
//! ```text
//!  way ─▶ source ─▶ wanted index ─▶ convert ─▶ copy (threads) ─▶ the rest by git ─▶ index, last
//!    └──────┴──────────┴─▶ git alone (`reset --hard` with a worker per core)
//! ```
//!
//! Invariant: what stands in the worktree in the end is what `git worktree add` would have written, byte for byte. A file is
//! copied only where its source is provably the wanted blob as a checkout writes it (`source`, `convert`); everything
//! else is written by git itself. The index comes last and knows the true stat data, so that no status reads a file again.
//! Nothing is ever read from a task's own workspace, whose index an agent can forge.

mod convert;
mod copy;
mod folder;
mod index;
mod rest;
mod source;
mod way;

use std::io;

use gix::index::entry::Mode;

use super::command::Git;
use super::settings::Settings;
use super::{GitError, LinkedWorktree, Repo};
use crate::failpoint;
use crate::model::Oid;
use copy::Fault;
use source::Source;
pub use way::Why;

/// How a worktree came to its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// From a checkout that was there.
    Copied {
        /// How many files, symlinks and folders of submodules were made by us.
        copied: usize,
        /// How many git wrote, because their source was not clean or they need a conversion.
        written: usize,
    },
    /// By git alone.
    ByGit(Why),
}

/// Gives a worktree without files and without an index those of `commit`, which its `HEAD` is at. After an error anything may
/// stand in it; a full disk is [`GitError::NoSpace`].
pub fn fill(repo: &Repo, worktree: &LinkedWorktree, commit: &Oid) -> Result<Filled, GitError> {
    match from_copy(repo, worktree, commit) {
        Ok(filled) => Ok(filled),
        Err(Stop::Failed(cause)) => Err(cause),
        Err(Stop::ByGit(why)) => {
            by_git(worktree, commit)?;
            Ok(Filled::ByGit(why))
        }
    }
}

/// Why no copy came into being.
enum Stop {
    ByGit(Why),
    Failed(GitError),
}

impl From<Why> for Stop {
    fn from(why: Why) -> Self {
        Self::ByGit(why)
    }
}

impl<E: Into<GitError>> From<E> for Stop {
    fn from(cause: E) -> Self {
        Self::Failed(cause.into())
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Taken => Self::ByGit(Why::Taken),
            Fault::Failed(cause) => Self::Failed(on_disk(cause)),
        }
    }
}

fn from_copy(repo: &Repo, worktree: &LinkedWorktree, commit: &Oid) -> Result<Filled, Stop> {
    let tree = repo.tree_of(commit)?;
    let Some(source) = Source::find(repo, commit, &tree)? else { return Err(Why::NoSource.into()) };
    way::worth(source.index())?;
    let settings = Settings::asked(Git::at(worktree.checkout(), "config"))?;
    way::allow_copy(&settings)?;

    let mut wanted = index::wanted(repo, worktree, &source, commit, &tree)?;
    index::require_plain(&wanted)?;
    let known = source.known(&wanted);
    way::enough(&known)?;
    let rules = convert::rules(repo, worktree, &wanted, &settings)?;

    let made = copy::run(repo, worktree, &source, &wanted, &known, &rules)?;
    failpoint::hit("spawn.while_filling");
    let copied = made.iter().flatten().count();
    for (entry, stat) in wanted.entries_mut().iter_mut().zip(&made) {
        entry.stat = stat.unwrap_or_default();
    }
    let left: Vec<usize> = (0..made.len()).filter(|&n| made[n].is_none()).collect();
    if !left.is_empty() {
        // git finds there what is to be written, and takes the rest for done.
        index::write(&wanted, worktree, &settings)?;
        rest::write(worktree, commit, &mut wanted, &left, &rules)?;
    }
    index::write(&wanted, worktree, &settings)?;
    Ok(Filled::Copied { copied, written: left.len() })
}

/// What `git worktree add` does itself, with as many workers as there are cores.
fn by_git(worktree: &LinkedWorktree, commit: &Oid) -> Result<(), GitError> {
    failpoint::hit("spawn.while_filling");
    let call = Git::at(worktree.checkout(), "reset").set("checkout.workers=0");
    let done = call.args(["--quiet", "--hard", "--no-recurse-submodules", commit.as_str()]).run();
    done.map_err(|cause| of_full_disk(worktree, cause))
}

/// Names a full disk as what made git fail; its parallel workers say only which files they could not write.
fn of_full_disk(worktree: &LinkedWorktree, cause: GitError) -> GitError {
    const HARDLY_ANY: u64 = 1 << 20;
    let full = rustix::fs::statvfs(worktree.path())
        .is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < HARDLY_ANY);
    match cause {
        GitError::Failed { stderr, .. } if full && stderr.contains("unable to write file") => {
            GitError::NoSpace { argv: "worktree add".to_owned() }
        }
        other => other,
    }
}

/// Returns the error for a file or folder of the new worktree; a full disk has one of its own.
fn on_disk(cause: io::Error) -> GitError {
    match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            GitError::NoSpace { argv: "worktree add".to_owned() }
        }
        _ => GitError::Io(cause),
    }
}

/// Tells whether an entry stands for the folder of a submodule.
fn is_submodule(entry: &gix::index::Entry) -> bool {
    entry.mode == Mode::COMMIT
}
