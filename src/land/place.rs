//! Worktrees of `wt`'s own, beside those of tasks: detached, brought from commit to commit, made again where they are gone.
//!
//! Invariant: they are used by who holds the landing lock, and nothing in them is anybody's work.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::Landing;
use crate::git::worktree::{self, LinkedWorktree};
use crate::git::{GitError, detached};
use crate::model::Oid;
use crate::store::{Lock, LockError, lock};

/// Which files stay that are in no commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// Ignored ones: build caches.
    Ignored,
    /// None.
    Nothing,
}

/// Why such a worktree cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// Something that is not a worktree of this repository stands in its place.
    #[error("{} is in the way", .0.display())]
    InTheWay(PathBuf),
    /// It cannot be made, or brought to the commit.
    #[error("it cannot be brought to a commit")]
    Commit(#[source] GitError),
    /// git cannot tell where it is.
    #[error("it cannot be found")]
    Git(#[from] GitError),
    /// The lock for worktrees stayed busy.
    #[error("it cannot be made")]
    Lock(#[source] LockError),
    /// Its folder cannot be read.
    #[error("it cannot be used")]
    Io(#[from] io::Error),
}

/// Brings the worktree in `folder`, below the root of all worktrees, to `commit`; made where it is missing.
pub(super) fn at(
    landing: &Landing<'_>,
    folder: &str,
    commit: &Oid,
    keep: Keep,
) -> Result<LinkedWorktree, PlaceError> {
    let path = landing.site.repo.worktrees_root().join(folder);
    if let Some(there) = existing(landing, &path)? {
        let switched = match keep {
            Keep::Ignored => detached::switch(&there, commit),
            Keep::Nothing => detached::switch_bare(&there, commit),
        };
        return switched.map(|()| there).map_err(PlaceError::Commit);
    }
    let _git = git_lock(landing)?;
    worktree::add_detached(landing.site.repo, &path, commit).map_err(PlaceError::Commit)
}

/// Takes the lock for worktrees.
fn git_lock(landing: &Landing<'_>) -> Result<Lock, PlaceError> {
    let path = landing.site.layout.lock("git");
    Lock::take(&path, lock::DEADLINE, "wt merge").map_err(PlaceError::Lock)
}

/// Returns the worktree if git knows it and its folder is there.
fn existing(landing: &Landing<'_>, path: &Path) -> Result<Option<LinkedWorktree>, PlaceError> {
    let real = match fs::canonicalize(path) {
        Ok(real) => real,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => path.to_owned(),
        Err(cause) => return Err(cause.into()),
    };
    let entries = worktree::list(landing.site.repo)?;
    let entry = entries.into_iter().find(|entry| entry.path == real);
    let Some((name, entry)) = entry.and_then(|entry| Some((entry.entry.clone()?, entry))) else {
        let empty = || fs::read_dir(path).is_ok_and(|mut inside| inside.next().is_none());
        return if !path.exists() || empty() { Ok(None) } else { Err(PlaceError::InTheWay(real)) };
    };
    let there = LinkedWorktree::open(landing.site.repo, &name, &real)?;
    if !entry.missing {
        return Ok(Some(there));
    }
    let _git = git_lock(landing)?;
    if real.exists() {
        // Without its `.git` file it is nothing that git could use; it held nothing but what we put there.
        fs::remove_dir_all(&real)?;
    }
    worktree::remove_entry(&there)?;
    Ok(None)
}
