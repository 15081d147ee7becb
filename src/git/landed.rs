//! Whether a branch's work is on its target already, decided by content.
//!
//! Invariant: a wrong "yes" loses work, a wrong "no" costs a little disk; so every doubt is [`Landed::No`]. Patches are
//! compared with their white space, modes and binary content, which `git patch-id` and `git cherry` leave out; and where
//! only patches are equal, each path of the branch must still differ from the base on the target, else it was taken back.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::command::Git;
use super::replay::{self, Merged};
use super::{GitError, Repo, status};
use crate::model::Oid;

/// How many commits of the target are compared, newest first.
const LOOK_BACK: usize = 500;

/// Whether, and how it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Landed {
    /// The branch's commit is in the target's history.
    Ancestor,
    /// Branch and target have the same files.
    SameTree,
    /// Merging the branch would change nothing.
    MergeAddsNothing,
    /// Each of its commits stands on the target with the same change.
    PatchEqual,
    /// Its whole change stands on the target as one commit.
    Squashed,
    /// It is not, as far as can be told.
    No {
        /// How many commits the target does not have.
        commits: usize,
    },
}

impl Landed {
    /// Tells whether nothing of it is missing on the target.
    pub fn is_landed(self) -> bool {
        !matches!(self, Self::No { .. })
    }

    /// Returns the words that people read.
    pub fn words(self) -> &'static str {
        match self {
            Self::Ancestor => "in the target's history",
            Self::SameTree => "the same files as the target",
            Self::MergeAddsNothing => "merging it would change nothing",
            Self::PatchEqual => "each commit is on the target with the same change",
            Self::Squashed => "its change is on the target as one commit",
            Self::No { .. } => "not landed",
        }
    }
}

/// Tells whether the work of `head`, which started from `base`, is on `target`.
pub fn landed(repo: &Repo, head: &Oid, base: &Oid, target: &Oid) -> Result<Landed, GitError> {
    let pending = replay::pending(repo, head, target)?;
    let no = Landed::No { commits: pending.len() };
    if pending.is_empty() {
        return Ok(Landed::Ancestor);
    }
    let tree = repo.tree_of(target)?;
    if repo.tree_of(head)? == tree {
        return Ok(Landed::SameTree);
    }
    let Some(fork) = repo.merge_base(head, target)? else { return Ok(no) };
    if replay::merge(repo, None, target, head)? == Merged::Clean(tree) {
        return Ok(Landed::MergeAddsNothing);
    }
    if pending.len() > LOOK_BACK || taken_back(repo, &fork, head, target)? {
        return Ok(no);
    }
    // The fork point moves when the branch merges its target; the recorded base may be older, and is then the better start.
    let start = if repo.is_ancestor(base, &fork)? { base } else { &fork };
    let theirs = Git::on(repo, "rev-list").args(["--no-merges", &format!("--max-count={LOOK_BACK}")]);
    let theirs = theirs.arg(target.as_str()).arg(format!("^{start}")).line()?;
    let theirs: Vec<String> = theirs.lines().map(str::to_owned).collect();

    let ours: Vec<String> = pending.iter().map(|commit| commit.oid.to_string()).collect();
    let whole = format!("{head} {fork}");
    let asked: Vec<String> = ours.iter().chain(&theirs).cloned().collect();
    let shapes = shapes(repo, &asked)?;
    let whole_shape = self::shapes(repo, std::slice::from_ref(&whole))?.remove(head.as_str());
    let wanted: HashSet<&String> =
        ours.iter().filter_map(|commit| shapes.get(commit)).chain(whole_shape.as_ref()).collect();
    // Patches are long: only those are read that touch the same paths in the same way.
    let similar: Vec<String> =
        theirs.into_iter().filter(|commit| shapes.get(commit).is_some_and(|s| wanted.contains(s))).collect();
    if similar.is_empty() {
        return Ok(no);
    }
    let theirs: HashSet<Vec<u8>> = patches(repo, &similar)?.into_values().collect();
    let linear = !pending.iter().any(replay::Pending::is_merge);
    if linear && patches(repo, &ours)?.values().all(|patch| theirs.contains(patch)) {
        return Ok(Landed::PatchEqual);
    }
    let whole = patches(repo, &[whole])?.remove(head.as_str());
    Ok(if whole.is_some_and(|patch| theirs.contains(&patch)) { Landed::Squashed } else { no })
}

/// Tells whether some path that the branch changed is on the target as it was at the fork.
fn taken_back(repo: &Repo, fork: &Oid, head: &Oid, target: &Oid) -> Result<bool, GitError> {
    let moved: BTreeSet<String> = status::changed_paths(repo, fork, target)?.into_iter().collect();
    Ok(status::changed_paths(repo, fork, head)?.iter().any(|path| !moved.contains(path)))
}

fn diff_tree(repo: &Repo, form: &[&str], asked: &[String]) -> Result<Vec<u8>, GitError> {
    let call = Git::on(repo, "diff-tree").args(["--stdin", "-r", "--root", "--no-renames", "--no-ext-diff"]);
    let call = call.args(["--no-textconv", "--format=%x00%H"]).args(form);
    call.stdin(asked.join("\n") + "\n").output()
}

/// Returns for each commit (`COMMIT`, or `COMMIT PARENT`) which paths it touches and how, without what it writes.
/// Commits that change nothing are missing.
fn shapes(repo: &Repo, asked: &[String]) -> Result<HashMap<String, String>, GitError> {
    let text = diff_tree(repo, &["--raw", "--no-abbrev"], asked)?;
    let mut found = HashMap::new();
    for (commit, raw) in records(&text) {
        // :MODE MODE OLD NEW STATUS<tab>PATH
        let raw = String::from_utf8_lossy(raw);
        let mut shape = String::new();
        for line in raw.lines().filter(|line| line.starts_with(':')) {
            let parts: Vec<&str> = line.splitn(5, ' ').collect();
            if let [old, new, _, _, change] = parts[..] {
                let _ = writeln!(shape, "{old} {new} {change}");
            }
        }
        if !shape.is_empty() {
            found.insert(commit, shape);
        }
    }
    Ok(found)
}

/// Returns a digest of what each commit (`COMMIT`, or `COMMIT PARENT`) changes, wherever in its files.
/// Commits that change nothing are missing.
fn patches(repo: &Repo, asked: &[String]) -> Result<HashMap<String, Vec<u8>>, GitError> {
    let form = ["-p", "-U3", "--binary", "--full-index", "--diff-algorithm=myers", "--no-indent-heuristic"];
    let text = diff_tree(repo, &form, asked)?;
    let records = records(&text).filter(|(_, patch)| patch.windows(10).any(|w| w == b"diff --git"));
    Ok(records.map(|(commit, patch)| (commit, digest(patch))).collect())
}

/// Splits an answer in `--format=%x00%H`.
fn records(text: &[u8]) -> impl Iterator<Item = (String, &[u8])> {
    text.split(|b| *b == 0).filter_map(|record| {
        let end = record.iter().position(|b| *b == b'\n').unwrap_or(record.len());
        let commit = Oid::parse(std::str::from_utf8(&record[..end]).ok()?)?;
        Some((commit.to_string(), &record[end..]))
    })
}

/// Everything of a patch counts but the place of its hunks and the ids of its texts.
fn digest(patch: &[u8]) -> Vec<u8> {
    let mut sum = Sha256::new();
    let mut index: &[u8] = b"";
    for line in patch.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        if line.starts_with(b"index ") {
            // Only binary content is told by its ids: a delta alone does not say what it is applied to.
            index = line;
            continue;
        }
        if line.starts_with(b"GIT binary patch") {
            sum.update(index);
        }
        sum.update(if line.starts_with(b"@@ ") { lengths(line) } else { line.to_owned() });
        sum.update(b"\n");
    }
    sum.finalize().to_vec()
}

/// `@@ -10,7 +12,8 @@ heading` → `@@ 7 8`.
fn lengths(line: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(line);
    let length = |range: Option<&str>| {
        range.and_then(|range| range.split_once(',')).map_or("1", |(_, length)| length).to_owned()
    };
    let mut parts = text.split(' ').skip(1);
    format!("@@ {} {}", length(parts.next()), length(parts.next())).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_forgets_places_and_nothing_else() {
        let patch = |hunk: &str, line: &str| {
            digest(format!("diff --git a/f b/f\nindex 1..2 100644\n{hunk}\n a\n{line}\n").as_bytes())
        };
        let one = patch("@@ -1,2 +1,3 @@", "+\tx");
        assert_eq!(one, patch("@@ -90,2 +95,3 @@ fn other()", "+\tx"));
        assert_ne!(one, patch("@@ -1,2 +1,3 @@", "+x"), "white space");
        assert_ne!(one, patch("@@ -1,2 +1,4 @@", "+\tx"), "lengths");
        let binary = |id: &str| digest(format!("index {id}\nGIT binary patch\ndelta 3\nabc\n").as_bytes());
        assert_ne!(binary("1..2"), binary("1..3"));
    }
}
