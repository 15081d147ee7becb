//! Proofs, in this process, that a worktree is clean or dirty; whatever is not proved, git is asked.
//!
//! The answer is always that of `git status --untracked-files=normal`: dirty is what is staged, unstaged, in conflict, or
//! neither tracked nor ignored. A worktree is clean if its index stands for the tree of its `HEAD`, every tracked file has the
//! very times, size, inode, owner and mode that the index recorded (and was not written so shortly before the index that it
//! could have been written again unseen), and every other name in a folder of tracked files is ignored. It is dirty if any of
//! these is plainly false. Everything else is [`Verdict::AskGit`]: unusual settings and index forms, touched files, submodules
//! with something in them, a `.git` where none belongs.
//!
//! Invariant: nothing is written and nothing is run but git itself, so this is safe beside a working agent and in a hostile
//! repository: folders are opened one by one below the worktree and symlinks are never followed; nothing that is not a
//! regular file is read.

mod fleet;
mod folder;
mod ignore;
mod memory;
mod plan;
mod rules;
mod survey;

use std::time::Duration;

use super::{Checkout, GitError, Repo};

pub use fleet::{Answer, Answers, ask, ask_remembering, survey};
pub use memory::Memory;
pub(super) use memory::{Stamp, keeps_its_word};
pub(super) use rules::excludes_file;

/// How long a question to git may take before the worktree counts as one that cannot be asked (a file system that hangs, a
/// FIFO in the place of a file that git reads).
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What a look at a worktree, or at a part of it, came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As `HEAD` has it.
    Clean,
    /// Not proved either way.
    AskGit,
    /// Something is staged, unstaged, untracked or in conflict.
    Dirty,
}

/// Tells whether a worktree is clean, as `git status` would.
pub fn is_clean(repo: &Repo, checkout: &Checkout) -> Result<bool, GitError> {
    match look(repo, checkout) {
        Verdict::Clean => Ok(true),
        Verdict::Dirty => Ok(false),
        Verdict::AskGit => Ok(!super::status::is_dirty(checkout, PATIENCE)?),
    }
}

/// Returns what can be proved of a worktree without asking git about it.
pub fn look(repo: &Repo, checkout: &Checkout) -> Verdict {
    let Some(rules) = rules::Rules::read(repo) else { return Verdict::AskGit };
    match plan::Plan::of(repo, checkout, &rules.into(), None, plan::Wanted::Verdict) {
        Err(verdict) => verdict,
        Ok(plan) => plan.parts(usize::MAX).map(|part| plan.look(&part)).max().unwrap_or(Verdict::Clean),
    }
}
