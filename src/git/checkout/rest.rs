//! What could not be copied, written by git itself, so that every filter and conversion is right.

use std::os::fd::AsFd as _;

use gix::index::File;
use rustix::fs::{AtFlags, Timespec, Timestamps, UTIME_OMIT, statat, utimensat};
use rustix::io::Errno;

use super::convert::{Rule, Rules};
use super::copy::full;
use super::folder::{self, Descent, Missing, split};
use super::{by_git, of_full_disk, on_disk};
use crate::git::command::Git;
use crate::git::{GitError, LinkedWorktree};
use crate::model::Oid;

/// Writes the entries `left` of `wanted`, which is the index of the worktree, and puts their stat data into it.
pub(super) fn write(
    worktree: &LinkedWorktree,
    commit: &Oid,
    wanted: &mut File,
    left: &[usize],
    rules: &Rules,
) -> Result<(), GitError> {
    // A filter may fetch what it needs for many files in one go, but only in a whole checkout.
    if left.iter().any(|&n| rules.of(n) == Rule::LargeFile) {
        by_git(worktree, commit)?;
    } else {
        let mut paths = Vec::new();
        for &n in left {
            paths.extend_from_slice(wanted.entries()[n].path(wanted));
            paths.push(0);
        }
        let call = Git::at(worktree.checkout(), "checkout-index").set("checkout.workers=0");
        let done = call.args(["-z", "--stdin", "--quiet", "--force"]).stdin(paths).run();
        done.map_err(|cause| of_full_disk(worktree, cause))?;
    }
    if !note(worktree, wanted, left)? {
        // It said nothing and left something out: now it has to say why, or do it.
        by_git(worktree, commit)?;
        note(worktree, wanted, left)?;
    }
    Ok(())
}

/// Puts the stat data of files that are there into the index; `false` if one is not there. Their time becomes one second
/// earlier: git reads files again that are as young as its index.
fn note(worktree: &LinkedWorktree, wanted: &mut File, left: &[usize]) -> Result<bool, GitError> {
    let failed = |cause: Errno| on_disk(cause.into());
    let root = folder::root(worktree.path()).map_err(failed)?;
    let mut descent = Descent::new(root.as_fd(), Missing::Fail);
    for &n in left {
        let (folder, name) = split(wanted.entries()[n].path(wanted));
        let Ok(folder) = descent.at(folder) else { return Ok(false) };
        let there = match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(there) => there,
            Err(Errno::NOENT) => return Ok(false),
            Err(cause) => return Err(failed(cause)),
        };
        let earlier = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: there.st_mtime - 1, tv_nsec: 0 },
        };
        utimensat(folder, name, &earlier, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        let there = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        wanted.entries_mut()[n].stat = full(&there);
    }
    Ok(true)
}
