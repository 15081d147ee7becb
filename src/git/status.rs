//! What a worktree and its branch look like now: dirty files, work in progress, distance from the target, size of changes.
//!
//! Invariant: nothing here writes, not even a refreshed index, so all of it may be asked beside a working agent.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::command::{Git, fields};
use super::tree::changes;
use super::{Checkout, GitError, Repo};
use crate::model::Oid;

/// Keeps git from starting a git of its own inside submodules.
pub(super) const NOT_INSIDE: &str = "--ignore-submodules=dirty";

/// Something that was begun in a worktree and not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InProgress {
    /// `git merge`.
    Merge,
    /// `git rebase` or `git am`.
    Rebase,
    /// `git cherry-pick`.
    CherryPick,
    /// `git revert`.
    Revert,
    /// `git bisect`.
    Bisect,
}

impl InProgress {
    /// Returns the words that people read.
    pub fn words(self) -> &'static str {
        match self {
            Self::Merge => "a merge",
            Self::Rebase => "a rebase",
            Self::CherryPick => "a cherry-pick",
            Self::Revert => "a revert",
            Self::Bisect => "a bisect",
        }
    }
}

/// The uncommitted changes of a worktree; paths relative to it, lossily where they are not UTF-8.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorktreeStatus {
    /// Changed between `HEAD` and index.
    pub staged: Vec<String>,
    /// Changed between index and files.
    pub unstaged: Vec<String>,
    /// Neither tracked nor ignored; a folder of nothing but such files is one entry, ending in `/`.
    pub untracked: Vec<String>,
    /// In conflict.
    pub unmerged: Vec<String>,
    /// What was begun and not ended.
    pub in_progress: Option<InProgress>,
}

impl WorktreeStatus {
    /// Tells whether anything is staged, unstaged, untracked or in conflict.
    pub fn dirty(&self) -> bool {
        ![&self.staged, &self.unstaged, &self.untracked, &self.unmerged].iter().all(|paths| paths.is_empty())
    }
}

/// Reads the status of a worktree. Submodules count by their commit only: to look inside one, git would run programs that
/// the submodule's own config names, and an agent can write that.
pub fn status(checkout: &Checkout) -> Result<WorktreeStatus, GitError> {
    let mut status = WorktreeStatus { in_progress: in_progress(checkout), ..WorktreeStatus::default() };
    let text = asked(checkout).output()?;
    for line in fields(&text) {
        let (kind, rest) = line.split_at(line.len().min(2));
        match kind {
            // XY sub mH mI mW hH hI path
            "1 " => {
                let xy = rest.get(..2).unwrap_or_default();
                let path = after(rest, 7);
                if !xy.starts_with('.') {
                    status.staged.push(path.to_owned());
                }
                if !xy.ends_with('.') {
                    status.unstaged.push(path.to_owned());
                }
            }
            // XY sub m1 m2 m3 mW h1 h2 h3 path
            "u " => status.unmerged.push(after(rest, 9).to_owned()),
            "? " => status.untracked.push(rest.to_owned()),
            _ => {}
        }
    }
    Ok(status)
}

/// Tells whether git finds anything to say of a worktree, in at most `limit`.
pub(super) fn is_dirty(checkout: &Checkout, limit: Duration) -> Result<bool, GitError> {
    Ok(!asked(checkout).within(limit).output()?.is_empty())
}

fn asked(checkout: &Checkout) -> Git {
    let call = Git::at(checkout, "status").polling();
    call.args(["--porcelain=v2", "-z", "--untracked-files=normal", "--no-renames", NOT_INSIDE])
}

/// Returns what follows the first `n` spaces.
fn after(line: &str, n: usize) -> &str {
    line.splitn(n + 1, ' ').last().unwrap_or_default()
}

/// Returns what was begun and not ended in a worktree.
pub fn in_progress(checkout: &Checkout) -> Option<InProgress> {
    let marks = [
        ("rebase-merge", InProgress::Rebase),
        ("rebase-apply", InProgress::Rebase),
        ("MERGE_HEAD", InProgress::Merge),
        ("CHERRY_PICK_HEAD", InProgress::CherryPick),
        ("REVERT_HEAD", InProgress::Revert),
        ("BISECT_START", InProgress::Bisect),
    ];
    marks.into_iter().find(|(file, _)| checkout.git_dir().join(file).exists()).map(|(_, what)| what)
}

/// How far a branch is from its target, in commits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Distance {
    /// On the branch and not on the target.
    pub ahead: usize,
    /// On the target and not on the branch.
    pub behind: usize,
}

/// Returns how far each branch, named short, is from `target` (any revision), in the order asked and by one git call;
/// `None` where there is no such branch.
pub fn ahead_behind(repo: &Repo, target: &str, branches: &[&str]) -> Result<Vec<Option<Distance>>, GitError> {
    if branches.is_empty() {
        return Ok(Vec::new());
    }
    let format = format!("--format=%(refname)%00%(ahead-behind:{target})");
    let patterns = branches.iter().map(|branch| format!("refs/heads/{branch}"));
    let text = Git::on(repo, "for-each-ref").polling().arg(format).args(patterns).output()?;
    let text = String::from_utf8_lossy(&text);
    let mut found = HashMap::new();
    for line in text.lines() {
        let numbers = line.split_once('\0').and_then(|(name, numbers)| {
            let (ahead, behind) = numbers.split_once(' ')?;
            let distance = Distance { ahead: ahead.parse().ok()?, behind: behind.parse().ok()? };
            Some((name.strip_prefix("refs/heads/")?, distance))
        });
        found.extend(numbers);
    }
    Ok(branches.iter().map(|branch| found.get(branch).copied()).collect())
}

/// The size of a change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiffStat {
    /// Changed files.
    pub files: usize,
    /// Added lines.
    pub insertions: usize,
    /// Removed lines.
    pub deletions: usize,
}

/// Returns the size of the change from each pair's first commit to its second, in the order asked and by one git call.
pub fn diffstats(repo: &Repo, pairs: &[(Oid, Oid)]) -> Result<Vec<DiffStat>, GitError> {
    if pairs.is_empty() {
        return Ok(Vec::new());
    }
    let mut trees = String::new();
    for (old, new) in pairs {
        let _ = writeln!(trees, "{} {}", repo.tree_of(old)?, repo.tree_of(new)?);
    }
    let call = Git::on(repo, "diff-tree").args(["--stdin", "-r", "--no-renames", "--shortstat"]);
    let text = call.args(["--no-ext-diff", "--no-textconv"]).stdin(trees).line()?;
    let mut stats: Vec<DiffStat> = Vec::with_capacity(pairs.len());
    for line in text.lines() {
        match (line.starts_with(' '), stats.last_mut()) {
            // Each pair of trees is echoed, whether or not they differ.
            (false, _) => stats.push(DiffStat::default()),
            (true, Some(last)) => *last = shortstat(line),
            (true, None) => {}
        }
    }
    if stats.len() != pairs.len() {
        return Err(GitError::unreadable("diff statistics", format!("{} of {}", stats.len(), pairs.len())));
    }
    Ok(stats)
}

fn shortstat(line: &str) -> DiffStat {
    let mut stat = DiffStat::default();
    for part in line.split(',') {
        let Some((number, what)) = part.trim().split_once(' ') else { continue };
        let number = number.parse().unwrap_or(0);
        match what.as_bytes().first() {
            Some(b'f') => stat.files = number,
            Some(b'i') => stat.insertions = number,
            _ => stat.deletions = number,
        }
    }
    stat
}

/// Returns the paths that differ between each pair of commits, renames as two, in the order asked and by one git call.
pub fn paths_of_changes(repo: &Repo, pairs: &[(Oid, Oid)]) -> Result<Vec<Vec<String>>, GitError> {
    if pairs.is_empty() {
        return Ok(Vec::new());
    }
    let mut trees = String::new();
    for (old, new) in pairs {
        let _ = writeln!(trees, "{} {}", repo.tree_of(old)?, repo.tree_of(new)?);
    }
    let call = Git::on(repo, "diff-tree").args(["--stdin", "-r", "-z", "--no-renames", "--name-only"]);
    let text = call.stdin(trees.clone()).output()?;
    let mut found: Vec<Vec<String>> = Vec::with_capacity(pairs.len());
    let mut echoed = trees.lines().peekable();
    for field in fields(&text) {
        let mut path = field.as_str();
        // Each pair of trees is echoed, as the beginning of the first path after it.
        while let Some(rest) = echoed.peek().and_then(|line| path.strip_prefix(line)?.strip_prefix('\n')) {
            path = rest;
            found.push(Vec::new());
            echoed.next();
        }
        if let (Some(last), false) = (found.last_mut(), path.is_empty()) {
            last.push(path.to_owned());
        }
    }
    if found.len() != pairs.len() {
        return Err(GitError::unreadable("changed paths", format!("{} of {}", found.len(), pairs.len())));
    }
    Ok(found)
}

/// Returns the paths that differ between two commits or trees, renames as two.
pub fn changed_paths(repo: &Repo, old: &Oid, new: &Oid) -> Result<Vec<String>, GitError> {
    if let Some(known) = changes::changed(repo, old, new) {
        return Ok(known);
    }
    let call = Git::on(repo, "diff-tree").args(["-r", "-z", "--name-only", "--no-renames"]);
    Ok(fields(&call.args([old.as_str(), new.as_str()]).output()?).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_statistics_are_read_in_all_their_forms() {
        let stat = |files, insertions, deletions| DiffStat { files, insertions, deletions };
        assert_eq!(shortstat(" 3 files changed, 40 insertions(+), 2 deletions(-)"), stat(3, 40, 2));
        assert_eq!(shortstat(" 1 file changed, 1 insertion(+)"), stat(1, 1, 0));
        assert_eq!(shortstat(" 1 file changed, 1 deletion(-)"), stat(1, 0, 1));
        assert_eq!(shortstat(" 1 file changed, 0 insertions(+), 0 deletions(-)"), stat(1, 0, 0));
    }
}
