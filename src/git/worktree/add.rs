//! Making a worktree: its entry first, in a moment and under the git lock; its files after that, beside others.
//!
//! ```text
//!  begin (entry, branch; locked as [`MAKING`]) ▶ complete (files ▶ what the caller runs there ▶ unlocked)
//! ```
//!
//! Invariant: until its files are whole, its entry is locked with [`MAKING`]: neither a prune nor `git worktree remove` of
//! somebody else takes it, and whoever finds it later knows that it is not whole.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use fs_err as fs;

use super::{LinkedWorktree, at, entry, unlock};
use crate::failpoint;
use crate::git::command::Git;
use crate::git::refs::{self, RefEdit};
use crate::git::{GitError, Repo, WorktreeTrouble, checkout};
use crate::model::Oid;

/// The reason with which an entry is locked whose files are not whole yet.
pub const MAKING: &str = "wt: being made";

/// What a new worktree is on.
#[derive(Debug, Clone, Copy)]
pub enum Start<'a> {
    /// A branch that is made for it, short, at this commit; it follows nothing.
    NewBranch(&'a str, &'a Oid),
    /// A branch that exists, short.
    Branch(&'a str),
    /// This commit, on no branch.
    Commit(&'a Oid),
}

/// Makes a whole worktree at `path` on the new branch `branch`, which starts at `base` and follows nothing. No hook runs.
/// After a failure neither branch nor entry nor folder is left.
pub fn add(repo: &Repo, path: &Path, branch: &str, base: &Oid) -> Result<LinkedWorktree, GitError> {
    whole(repo, path, Start::NewBranch(branch, base))
}

/// Makes a whole worktree at `path` on a branch that exists: for a restore. No hook runs.
pub fn add_existing(repo: &Repo, path: &Path, branch: &str) -> Result<LinkedWorktree, GitError> {
    whole(repo, path, Start::Branch(branch))
}

/// Makes a whole worktree at `path` that is on no branch. No hook runs.
pub fn add_detached(repo: &Repo, path: &Path, commit: &Oid) -> Result<LinkedWorktree, GitError> {
    whole(repo, path, Start::Commit(commit))
}

fn whole(repo: &Repo, path: &Path, start: Start<'_>) -> Result<LinkedWorktree, GitError> {
    let found_folder = path.exists();
    let worktree = begin(repo, path, start)?;
    match complete(repo, &worktree, |_| {}) {
        Ok(()) => Ok(worktree),
        Err(cause) => {
            undo(repo, worktree.path(), start, found_folder)?;
            Err(cause)
        }
    }
}

/// Makes entry, folder and branch of a worktree without any files in it. Whoever calls holds the git lock, and calls
/// [`complete`] next, for which nobody needs it. After a failure neither branch nor entry nor folder is left.
pub fn begin(repo: &Repo, path: &Path, start: Start<'_>) -> Result<LinkedWorktree, GitError> {
    match start {
        Start::NewBranch(branch, _) if repo.branch_tip(branch)?.is_some() => {
            return Err(GitError::BranchExists { branch: branch.to_owned() });
        }
        Start::Branch(branch) if repo.branch_tip(branch)?.is_none() => {
            return Err(GitError::NoSuchRevision { rev: format!("refs/heads/{branch}") });
        }
        _ => {}
    }
    let path = real_parent(path)?;
    let (found_folder, mut attempt) = (path.exists(), 0);
    loop {
        attempt += 1;
        match begin_once(repo, &path, start) {
            Ok(made) => return Ok(made),
            Err(cause) => {
                undo(repo, &path, start, found_folder)?;
                let race = match &cause {
                    GitError::Failed { stderr, .. } => is_race(stderr),
                    // A prune that looked before it was locked has taken the entry away.
                    GitError::Worktree { reason: WorktreeTrouble::NoEntry(_), .. } => true,
                    _ => false,
                };
                if attempt >= RACE_TRIES || !race {
                    return Err(cause);
                }
                thread::sleep(pause(attempt, &path));
            }
        }
    }
}

fn begin_once(repo: &Repo, path: &Path, start: Start<'_>) -> Result<LinkedWorktree, GitError> {
    let own = match start {
        Start::NewBranch(_, base) => entry::enter(repo, path, base)?,
        Start::Branch(_) | Start::Commit(_) => None,
    };
    let git_dir = match own {
        Some(git_dir) => git_dir,
        None => added(repo, path, start)?,
    };
    if let Start::NewBranch(branch, base) = start {
        failpoint::hit("entry.before_branch");
        entry::branch_off(repo, &git_dir, branch, base)?;
    }
    let name = git_dir.file_name().unwrap_or_default().to_string_lossy();
    LinkedWorktree::open(repo, &name, path)
}

/// Lets git make the entry, and returns it.
fn added(repo: &Repo, path: &Path, start: Start<'_>) -> Result<PathBuf, GitError> {
    let call =
        Git::on(repo, "worktree").args(["add", "--quiet", "--no-checkout", "--lock", "--reason", MAKING]);
    let call = match start {
        // For a branch git would read, once more, what every other worktree is on.
        Start::NewBranch(_, commit) | Start::Commit(commit) => {
            call.args(["--detach", "--"]).arg(path).arg(commit.as_str())
        }
        Start::Branch(branch) => call.arg("--").arg(path).arg(branch),
    };
    call.run()?;
    let none = |name| GitError::Worktree { path: path.to_owned(), reason: WorktreeTrouble::NoEntry(name) };
    let name = entry_of(repo, path)?.ok_or_else(|| none(String::new()))?;
    let git_dir = repo.common_dir().join("worktrees").join(&name);
    let whole = ["locked", "commondir"].iter().all(|file| git_dir.join(file).exists());
    if whole { Ok(git_dir) } else { Err(none(name)) }
}

/// Fills a worktree that [`begin`] made, and unlocks it. What is to be done in between, a hook's run, is `then`; it gets the
/// commit that the worktree is at.
pub fn complete(repo: &Repo, worktree: &LinkedWorktree, then: impl FnOnce(&Oid)) -> Result<(), GitError> {
    let commit = worktree.checkout().tip(repo)?;
    let commit = commit.ok_or_else(|| GitError::NoSuchRevision { rev: "HEAD".to_owned() })?;
    checkout::fill(repo, worktree, &commit)?;
    failpoint::hit("spawn.after_files");
    then(&commit);
    failpoint::hit("spawn.after_hook");
    unlock(worktree, MAKING)
}

const RACE_TRIES: u32 = 5;

/// Tells the messages of a race with another git that does not take our lock: it reads a half-made entry of ours, or we
/// read one of its; or a prune that looked before git had locked the new entry takes it away, so that git finds no folder for
/// the files of the entry that it has just made.
fn is_race(stderr: &str) -> bool {
    (stderr.contains("failed to read") && stderr.contains("commondir"))
        || stderr.contains("could not lock config file")
        || (stderr.contains("could not open") && stderr.contains("/locked"))
        || (stderr.contains("/worktrees/") && stderr.contains("No such file or directory"))
}

/// Grows with each try and differs between racers, without asking a clock or a dice.
fn pause(attempt: u32, path: &Path) -> Duration {
    let odd = path
        .as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(std::process::id(), |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(*byte)));
    Duration::from_millis(u64::from(attempt * 10 + odd.wrapping_mul(attempt) % 40))
}

fn undo(repo: &Repo, path: &Path, start: Start<'_>, found_folder: bool) -> Result<(), GitError> {
    if let Some(entry) = entry_of(repo, path)? {
        fs::remove_dir_all(repo.common_dir().join("worktrees").join(entry))?;
    }
    if !found_folder && path.exists() {
        fs::remove_dir_all(path)?;
    }
    // A failed `add -b` leaves its branch. It goes only where it still is at its base and nobody has it: else it is work.
    if let Start::NewBranch(branch, base) = start
        && repo.branch_tip(branch)?.as_ref() == Some(base)
        && refs::holders(repo, branch)?.is_empty()
    {
        refs::apply(repo, &[RefEdit::delete(format!("refs/heads/{branch}"), base.clone())])?;
    }
    Ok(())
}

/// Makes the folder above a new worktree and resolves its symlinks, so that the path that git records is the one we use.
fn real_parent(path: &Path) -> Result<PathBuf, GitError> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(GitError::Worktree { path: path.to_owned(), reason: WorktreeTrouble::Main });
    };
    fs::create_dir_all(parent)?;
    Ok(fs::canonicalize(parent)?.join(name))
}

/// Returns the name of the entry whose folder is `path`.
fn entry_of(repo: &Repo, path: &Path) -> Result<Option<String>, GitError> {
    Ok(at(repo, path)?.and_then(|entry| entry.entry))
}

#[cfg(test)]
mod tests {
    use super::is_race;

    #[test]
    fn only_races_are_tried_again() {
        let taken =
            "fatal: could not open '/r/.git/worktrees/t7/gitdir' for writing: No such file or directory";
        assert!(is_race(taken));
        assert!(is_race("fatal: failed to read /r/.git/worktrees/t7/commondir: Success"));
        for other in [
            "fatal: could not open '/r/.git/worktrees/t7/gitdir' for writing: Permission denied",
            "fatal: could not create leading directories of '/x/y': No such file or directory",
            "fatal: 'wt/x' is already used by worktree at '/r-worktrees/x'",
            "error: unable to write file f: No space left on device",
        ] {
            assert!(!is_race(other), "{other}");
        }
    }
}
