//! Filling a worktree with the files of a commit.

use super::command::Git;
use super::{GitError, LinkedWorktree, Repo};
use crate::model::Oid;

/// Gives a worktree without files and without an index those of `commit`, which its `HEAD` is at.
pub fn fill(_repo: &Repo, worktree: &LinkedWorktree, commit: &Oid) -> Result<(), GitError> {
    // What `git worktree add` does itself, with as many workers as there are cores.
    let call = Git::at(worktree.checkout(), "reset").set("checkout.workers=0");
    call.args(["--quiet", "--hard", "--no-recurse-submodules", commit.as_str()]).run()
}
