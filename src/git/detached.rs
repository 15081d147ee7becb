//! A worktree that is on no branch and is brought from commit to commit.
//!
//! For worktrees of `wt`'s own only: every edit and every untracked file in them goes, without a trace.

use super::command::Git;
use super::{GitError, LinkedWorktree};
use crate::model::Oid;

/// Makes the worktree's tracked files those of `commit`; of the others only ignored ones stay.
pub fn switch(worktree: &LinkedWorktree, commit: &Oid) -> Result<(), GitError> {
    let checkout = worktree.checkout();
    checkout.require_honest()?;
    Git::at(checkout, "checkout").args(["--quiet", "--detach", "--force", commit.as_str()]).run()?;
    // Twice forced: also repositories that a check has made. What stood in the way of a tracked file is gone already.
    Git::at(checkout, "clean").args(["-ffd", "--quiet"]).run()
}

/// Makes the worktree's files exactly those of `commit`: what is ignored goes too.
pub fn switch_bare(worktree: &LinkedWorktree, commit: &Oid) -> Result<(), GitError> {
    switch(worktree, commit)?;
    Git::at(worktree.checkout(), "clean").args(["-ffdx", "--quiet"]).run()
}

/// Removes these files of the worktree, relative to it, where they are not tracked; ignored ones too. Nothing is removed
/// through a link.
pub fn remove(worktree: &LinkedWorktree, paths: &[String]) -> Result<(), GitError> {
    if paths.is_empty() {
        return Ok(());
    }
    let checkout = worktree.checkout();
    checkout.require_honest()?;
    let paths = paths.iter().map(|path| format!(":(top,literal){path}"));
    Git::at(checkout, "clean").args(["-ffdx", "--quiet", "--"]).args(paths).run()
}
