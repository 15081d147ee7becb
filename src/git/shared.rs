//! What all worktrees of a repository share or could reach of each other, read from git's files: the stash, who is on what,
//! and whether a branch was moved by its own worktree.
//!
//! Invariant: reads only, and starts no git: it is asked before and after every attempt, of every workspace.

use std::path::Path;

use fs_err as fs;
use serde::{Deserialize, Serialize};

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

/// Where the branches of many tasks are, asked one after another.
pub struct Tips<'a> {
    repo: &'a Repo,
    local: gix::Repository,
}

impl<'a> Tips<'a> {
    /// Begins to ask.
    pub fn of(repo: &'a Repo) -> Self {
        Self { repo, local: repo.local() }
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
    let text = fs::read_to_string(git_dir.join("HEAD")).ok()?;
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
