//! Commits replayed onto another commit, in memory: no worktree, no index, no ref is touched.
//!
//! Each commit is merged by git's own merge (`git merge-tree`, base = its parent), so the verdict is git's. A conflict is a
//! value. Nothing is left out because "it is there already": a commit that was taken and reverted on the target would be
//! lost that way; what changes nothing any more comes out as [`Replayed::Empty`].
//!
//! A history with merges is replayed without them, and counts only if the result has the very tree that merging the branch
//! would have: else a person's resolution inside a merge commit would be lost.

use super::command::Git;
use super::{GitError, Repo, objects};
use crate::model::Oid;
use crate::model::event::{ConflictKind, ConflictedPath};

/// A commit that a target does not have yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The commit.
    pub oid: Oid,
    /// Its parents.
    pub parents: Vec<Oid>,
}

impl Pending {
    /// Tells whether it is a merge.
    pub fn is_merge(&self) -> bool {
        self.parents.len() > 1
    }
}

/// Returns the commits of `head` that `target` does not have, oldest first.
pub fn pending(repo: &Repo, head: &Oid, target: &Oid) -> Result<Vec<Pending>, GitError> {
    let call = Git::on(repo, "rev-list").args(["--reverse", "--topo-order", "--parents"]);
    let text = call.arg(head.as_str()).arg(format!("^{target}")).line()?;
    let mut found = Vec::new();
    for line in text.lines() {
        let mut ids = line.split(' ').filter_map(Oid::parse);
        let oid = ids.next().ok_or_else(|| GitError::unreadable("the list of commits", line))?;
        found.push(Pending { oid, parents: ids.collect() });
    }
    Ok(found)
}

/// What replaying one commit came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replayed {
    /// It was written anew, as this commit.
    Picked(Oid),
    /// It stands there already: its parent is the commit it should go onto.
    Same(Oid),
    /// It changes nothing there.
    Empty,
    /// It does not merge.
    Conflict(Vec<ConflictedPath>),
    /// It has no parent, or several, so there is no change to replay.
    NoChange,
}

/// Replays one commit onto another.
pub fn replay_one(repo: &Repo, onto: &Oid, commit: &Oid) -> Result<Replayed, GitError> {
    let parents = objects::parents(repo, commit)?;
    let [parent] = parents.as_slice() else { return Ok(Replayed::NoChange) };
    if parent == onto {
        return Ok(Replayed::Same(commit.clone()));
    }
    match merge(repo, Some(parent), onto, commit)? {
        Merged::Conflict(paths) => Ok(Replayed::Conflict(paths)),
        Merged::Clean(tree) if tree == repo.tree_of(onto)? => Ok(Replayed::Empty),
        Merged::Clean(tree) => Ok(Replayed::Picked(objects::copy_commit(repo, commit, &tree, onto)?)),
    }
}

/// Why a replay stopped before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// This commit does not merge.
    Conflict {
        /// The commit, as it is on the branch.
        commit: Oid,
        /// What does not merge.
        paths: Vec<ConflictedPath>,
    },
    /// This commit has no parent: the branch does not come from the target.
    Root(Oid),
    /// The branch has merges, and without them these paths would come out differently.
    MergesDiffer(Vec<ConflictedPath>),
}

/// What replaying a branch came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The last commit that was reached; where there is no `stop`, what the target becomes.
    pub tip: Oid,
    /// The commits on top of `onto`, oldest first.
    pub commits: Vec<Oid>,
    /// Why it stopped; `None`: the whole branch went on.
    pub stop: Option<Stop>,
}

/// Replays what `head` has beyond `onto`, onto it.
pub fn replay(repo: &Repo, onto: &Oid, head: &Oid) -> Result<Outcome, GitError> {
    let pending = pending(repo, head, onto)?;
    let merges = pending.iter().any(Pending::is_merge);
    let mut outcome = Outcome { tip: onto.clone(), commits: Vec::new(), stop: None };
    for commit in pending.into_iter().filter(|commit| !commit.is_merge()) {
        match replay_one(repo, &outcome.tip, &commit.oid)? {
            Replayed::Picked(new) | Replayed::Same(new) => {
                outcome.tip = new.clone();
                outcome.commits.push(new);
            }
            Replayed::Empty => {}
            Replayed::Conflict(paths) => {
                outcome.stop = Some(Stop::Conflict { commit: commit.oid, paths });
                return Ok(outcome);
            }
            Replayed::NoChange => {
                outcome.stop = Some(Stop::Root(commit.oid));
                return Ok(outcome);
            }
        }
    }
    if merges {
        outcome.stop = differing(repo, onto, head, &outcome.tip)?.map(Stop::MergesDiffer);
    }
    Ok(outcome)
}

/// Compares a linearised result with what merging the branch gives; `None`: the same tree.
fn differing(
    repo: &Repo,
    onto: &Oid,
    head: &Oid,
    tip: &Oid,
) -> Result<Option<Vec<ConflictedPath>>, GitError> {
    let tree = match merge(repo, None, onto, head)? {
        Merged::Conflict(paths) => return Ok(Some(paths)),
        Merged::Clean(tree) => tree,
    };
    let reached = repo.tree_of(tip)?;
    if tree == reached {
        return Ok(None);
    }
    let paths = super::status::changed_paths(repo, &reached, &tree)?;
    let other = |path| ConflictedPath { path, kind: ConflictKind::Other };
    Ok(Some(paths.into_iter().map(other).collect()))
}

/// What a merge in memory came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merged {
    /// The merged tree.
    Clean(Oid),
    /// What does not merge.
    Conflict(Vec<ConflictedPath>),
}

/// Merges two commits in memory, from `base` or from their own common ancestors; attributes are those of `ours`.
pub fn merge(repo: &Repo, base: Option<&Oid>, ours: &Oid, theirs: &Oid) -> Result<Merged, GitError> {
    repo.require_git()?;
    let mut call = Git::on(repo, "merge-tree").args(["--write-tree", "-z", "--messages"]);
    call = match base {
        Some(base) => call.arg(format!("--merge-base={base}")),
        None => call.arg("--allow-unrelated-histories"),
    };
    let ended = call.args([ours.as_str(), theirs.as_str()]).attributes_of(ours.as_str()).finish()?;
    let tree = |answer: &Answer| {
        Oid::parse(&answer.tree).ok_or_else(|| GitError::unreadable("the merged tree", &answer.tree))
    };
    match ended.code {
        Some(0) => Ok(Merged::Clean(tree(&Answer::read(&ended.stdout))?)),
        Some(1) => {
            let answer = Answer::read(&ended.stdout);
            tree(&answer)?;
            Ok(Merged::Conflict(answer.conflicts()))
        }
        _ => Err(ended.into()),
    }
}

/// The answer of `git merge-tree -z`: the tree, NUL, one record per stage of each conflicted path, an empty record, and
/// messages of the form count, paths, type, text.
struct Answer {
    tree: String,
    stages: Vec<(String, u8)>,
    messages: Vec<(Vec<String>, String, String)>,
}

impl Answer {
    fn read(bytes: &[u8]) -> Self {
        let mut records = bytes.split(|b| *b == 0).map(|r| String::from_utf8_lossy(r).into_owned());
        let tree = records.next().unwrap_or_default();
        let mut stages = Vec::new();
        for record in records.by_ref().take_while(|record| !record.is_empty()) {
            if let Some((about, path)) = record.split_once('\t') {
                let stage = about.rsplit(' ').next().and_then(|stage| stage.parse().ok()).unwrap_or(0);
                stages.push((path.to_owned(), stage));
            }
        }
        let mut messages = Vec::new();
        while let Some(count) = records.next().and_then(|count| count.parse::<usize>().ok()) {
            let paths = records.by_ref().take(count).collect();
            let (kind, text) = (records.next().unwrap_or_default(), records.next().unwrap_or_default());
            messages.push((paths, kind, text));
        }
        Self { tree, stages, messages }
    }

    /// Returns each conflicted path once, with the kind that leaves the least room: what is binary has no lines to merge,
    /// whatever else is said of it.
    fn conflicts(&self) -> Vec<ConflictedPath> {
        let mut paths: Vec<&String> = self.stages.iter().map(|(path, _)| path).collect();
        let told = self.messages.iter().filter(|(_, kind, _)| kind.starts_with("CONFLICT"));
        if paths.is_empty() {
            paths.extend(told.clone().filter_map(|(paths, ..)| paths.first()));
        }
        paths.sort();
        paths.dedup();
        paths
            .into_iter()
            .map(|path| {
                let about = told.clone().filter(|(paths, ..)| paths.contains(path));
                let kind = about.map(|(_, kind, _)| self.kind(path, kind)).min_by_key(|kind| rank(*kind));
                ConflictedPath { path: path.clone(), kind: kind.unwrap_or(ConflictKind::Other) }
            })
            .collect()
    }

    fn kind(&self, path: &str, told: &str) -> ConflictKind {
        let has = |stage| self.stages.iter().any(|(there, at)| there == path && *at == stage);
        let told = told.trim_start_matches("CONFLICT").trim_start().trim_matches(['(', ')']);
        match told {
            "contents" if !has(1) && has(2) && has(3) => ConflictKind::AddAdd,
            "contents" if has(2) && has(3) => ConflictKind::Content,
            "binary" => ConflictKind::Binary,
            "modify/delete" => ConflictKind::ModifyDelete,
            "file/directory" => ConflictKind::FileDirectory,
            "distinct modes" => ConflictKind::Mode,
            _ if told.contains("rename") => ConflictKind::Rename,
            _ if told.starts_with("submodule") => ConflictKind::Submodule,
            _ => ConflictKind::Other,
        }
    }
}

/// Orders kinds from the one that says most to the one that says least.
fn rank(kind: ConflictKind) -> u8 {
    match kind {
        ConflictKind::Submodule => 0,
        ConflictKind::Binary => 1,
        ConflictKind::Mode => 2,
        ConflictKind::FileDirectory => 3,
        ConflictKind::Rename => 4,
        ConflictKind::ModifyDelete => 5,
        ConflictKind::AddAdd => 6,
        ConflictKind::Content => 7,
        ConflictKind::Other => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gits_answer_is_read_to_the_last_record() {
        let text = "aaaa|100644 1 1\tf|100644 2 2\tf|100644 3 3\tf|100644 4 2\tn|100644 5 3\tn||\
            1|f|Auto-merging|Auto-merging f|\
            1|f|CONFLICT (contents)|CONFLICT (content): Merge conflict in f\n|\
            1|n|CONFLICT (contents)|CONFLICT (add/add): Merge conflict in n\n|\
            2|n|f|CONFLICT(directory rename unclear split)|x|"
            .replace('|', "\0");
        let answer = Answer::read(text.as_bytes());
        assert_eq!((answer.tree.as_str(), answer.messages.len()), ("aaaa", 4));
        let kinds: Vec<_> = answer.conflicts().into_iter().map(|c| (c.path, c.kind)).collect();
        assert_eq!(kinds, [("f".into(), ConflictKind::Rename), ("n".into(), ConflictKind::Rename)]);
        assert_eq!(answer.kind("n", "CONFLICT (contents)"), ConflictKind::AddAdd);
        assert_eq!(answer.kind("f", "CONFLICT (contents)"), ConflictKind::Content);
        assert_eq!(answer.kind("f", "CONFLICT (submodule lacks merge base)"), ConflictKind::Submodule);
    }
}
