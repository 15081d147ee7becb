//! What all worktrees of a repository share or could reach of each other, read from git's files: the stash, who is on what,
//! and whether a branch was moved by its own worktree.
//!
//! Invariant: reads only, and starts no git: it is asked before and after every attempt, of every workspace.

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::clean::{Stamp, keeps_its_word};
use super::files::read_small;
use super::{Checkout, GitError, Repo, worktree};
use crate::model::Oid;

/// How much of the end of a log is read, in bytes: some hundred moves.
const END: usize = 64 << 10;

/// An entry of the stash, which is one for all worktrees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stash {
    /// Its commit.
    pub at: Oid,
    /// What git says of it: `WIP on wt/auth: 0123456 words` or `On wt/auth: words`.
    pub about: String,
}

impl Stash {
    /// Returns the branch that it was made on, short.
    pub fn branch(&self) -> Option<&str> {
        let rest = self.about.strip_prefix("WIP on ").or_else(|| self.about.strip_prefix("On "))?;
        rest.split_once(": ").map(|(branch, _)| branch)
    }
}

/// A small file as it was when it was read, so that it need not be read again. Empty: it is always read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark(Option<Stamp>);

impl Mark {
    /// Tells whether the file at `path` is as it was.
    fn holds(&self, path: &Path) -> bool {
        self.0.is_some() && self.0 == Stamp::of_file(path)
    }
}

/// Where the branches of many tasks are, and what is checked out in their worktrees, asked one after another.
pub struct Tips<'a> {
    repo: &'a Repo,
    local: gix::Repository,
    /// When it was begun, in nanoseconds; `None`: the file system does not always tell that a file was written.
    now: Option<u64>,
}

impl<'a> Tips<'a> {
    /// Begins to ask; `now` is not after that.
    pub fn of(repo: &'a Repo, now: Timestamp) -> Self {
        let told =
            fs::File::open(repo.common_dir()).is_ok_and(|folder| keeps_its_word(folder.file().as_fd()));
        let now = u64::try_from(now.as_nanosecond()).ok().filter(|_| told);
        Self { repo, local: repo.local(), now }
    }

    /// Does what [`Tips::tip`] does, and returns by what it is known that the branch was not moved since.
    pub fn marked_tip(&self, branch: &str) -> Result<(Option<Oid>, Mark), GitError> {
        let place = self.place(branch);
        // A name that leads elsewhere is no branch's.
        let sound = gix::refs::FullName::try_from(format!("refs/heads/{branch}")).is_ok();
        let mark = if sound { self.mark(&place) } else { Mark::default() };
        let loose = mark.0.and_then(|_| Oid::parse(read_small(&place)?.trim_end()));
        match loose {
            Some(tip) => Ok((Some(tip), mark)),
            None => Ok((self.tip(branch)?, Mark::default())),
        }
    }

    /// Tells whether a branch is where it was, without a look at where; `false`: it is to be asked.
    pub fn is_there(&self, branch: &str, mark: &Mark) -> bool {
        mark.holds(&self.place(branch))
    }

    /// Does what [`head`] does, and returns by what it is known that it says the same still.
    pub fn marked_head(&self, git_dir: &Path) -> (Option<String>, Mark) {
        let mark = self.mark(&git_dir.join("HEAD"));
        (head(git_dir), mark)
    }

    /// Tells whether the `HEAD` of a worktree is as it was; `false`: it is to be read.
    pub fn is_on(&self, git_dir: &Path, mark: &Mark) -> bool {
        mark.holds(&git_dir.join("HEAD"))
    }

    fn place(&self, branch: &str) -> PathBuf {
        self.repo.common_dir().join("refs/heads").join(branch)
    }

    /// What was written so shortly before that it could be written again unseen has none.
    fn mark(&self, path: &Path) -> Mark {
        let Some(now) = self.now else { return Mark::default() };
        Mark(Stamp::of_file(path).filter(|stamp| stamp.is_settled(now)))
    }

    /// Returns the commit that a local branch, named short, names; `None` if there is no such branch. The commit itself is
    /// not looked at, unlike by [`Repo::branch_tip`]: each of many lies in a file of its own.
    pub fn tip(&self, branch: &str) -> Result<Option<Oid>, GitError> {
        worktree::tip(self.repo, &self.local, &format!("refs/heads/{branch}"))
    }
}

/// Returns the entries of the stash, oldest first.
pub fn stashes(repo: &Repo) -> Vec<Stash> {
    let log = fs::read(repo.common_dir().join("logs/refs/stash")).unwrap_or_default();
    let log = String::from_utf8_lossy(&log).into_owned();
    log.lines().filter_map(moved).map(|(at, about)| Stash { at, about: about.to_owned() }).collect()
}

/// Returns what `HEAD` of a worktree says: `refs/heads/…` or a commit; `None`: there is no such worktree any more.
pub fn head(git_dir: &Path) -> Option<String> {
    let text = read_small(&git_dir.join("HEAD"))?;
    let text = text.trim_end();
    Some(text.strip_prefix("ref: ").unwrap_or(text).to_owned())
}

/// Tells whether `tip` was reached from within the worktree since it was at `old`, as the log of its `HEAD` has it; a worktree
/// without such a log may have been anywhere.
pub fn was_at(checkout: &Checkout, old: &Oid, tip: &Oid) -> bool {
    let Ok(log) = fs::read(checkout.git_dir().join("logs/HEAD")) else { return true };
    let end = String::from_utf8_lossy(&log[log.len().saturating_sub(END)..]).into_owned();
    let places: Vec<Oid> = end.lines().filter_map(moved).map(|(at, _)| at).collect();
    let since = places.iter().rposition(|at| at == old).map_or(0, |last| last + 1);
    places[since..].contains(tip)
}

/// Reads a line of a log: where to, and why.
fn moved(line: &str) -> Option<(Oid, &str)> {
    let (who, why) = line.split_once('\t').unwrap_or((line, ""));
    Some((Oid::parse(who.split(' ').nth(1)?)?, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stash_tells_its_branch() {
        let of = |about: &str| {
            let about = about.to_owned();
            Stash { at: Oid::parse(&"a".repeat(40)).unwrap(), about }.branch().map(str::to_owned)
        };
        assert_eq!(of("WIP on wt/a: 0123456 on main: words").as_deref(), Some("wt/a"));
        assert_eq!(of("On wt/a: words").as_deref(), Some("wt/a"));
        assert_eq!(of("my own words"), None);
    }

    #[test]
    fn a_line_of_a_log() {
        let (old, new) = ("0".repeat(40), "b".repeat(40));
        let line = format!("{old} {new} A B <a@b> 1 +0000\tOn wt/a: one");
        assert_eq!(moved(&line), Some((Oid::parse(&new).unwrap(), "On wt/a: one")));
        assert_eq!(moved("torn"), None);
    }
}
