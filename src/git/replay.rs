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
    replay_resolving(repo, onto, head, &mut |_, _| Ok::<_, GitError>(None))
}

/// Returns the merged tree of a commit (the second) that does not merge onto another (the first), if anybody has one.
pub type Resolve<'a, E> = &'a mut dyn FnMut(&Oid, &Oid) -> Result<Option<Oid>, E>;

/// The same, asking `resolve` (the commit reached so far, the commit that does not merge onto it) for the merged tree where
/// git has none; `None` stops there.
pub fn replay_resolving<E: From<GitError>>(
    repo: &Repo,
    onto: &Oid,
    head: &Oid,
    resolve: Resolve<'_, E>,
) -> Result<Outcome, E> {
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
            Replayed::Conflict(paths) => match resolve(&outcome.tip, &commit.oid)? {
                Some(tree) if tree == repo.tree_of(&outcome.tip)? => {}
                Some(tree) => {
                    outcome.tip = objects::copy_commit(repo, &commit.oid, &tree, &outcome.tip)?;
                    outcome.commits.push(outcome.tip.clone());
                }
                None => {
                    outcome.stop = Some(Stop::Conflict { commit: commit.oid, paths });
                    return Ok(outcome);
                }
            },
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

impl Merged {
    /// Tells whether anything does not merge.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict(_))
    }
}

/// Merges two commits in memory, from `base` or from their own common ancestors; attributes are those of `ours`.
pub fn merge(repo: &Repo, base: Option<&Oid>, ours: &Oid, theirs: &Oid) -> Result<Merged, GitError> {
    let answer = answer(repo, base, ours, theirs)?;
    let tree = answer.tree()?;
    Ok(if answer.clean { Merged::Clean(tree) } else { Merged::Conflict(answer.conflicts()) })
}

/// Returns what git says of a merge in memory; conflicts stand in the tree with the lines of both sides and of the base.
pub(super) fn answer(repo: &Repo, base: Option<&Oid>, ours: &Oid, theirs: &Oid) -> Result<Answer, GitError> {
    repo.require_git()?;
    let mut call = Git::on(repo, "merge-tree").args(["--write-tree", "-z", "--messages"]);
    call = match base {
        Some(base) => call.arg(format!("--merge-base={base}")),
        None => call.arg("--allow-unrelated-histories"),
    };
    let call = call.set("merge.conflictStyle=diff3").args([ours.as_str(), theirs.as_str()]);
    let ended = call.attributes_of(ours.as_str()).finish()?;
    match ended.code {
        Some(code @ (0 | 1)) => Ok(Answer { clean: code == 0, ..Answer::read(&ended.stdout) }),
        _ => Err(ended.into()),
    }
}

/// The answer of `git merge-tree -z`: the tree, NUL, one record per stage of each conflicted path, an empty record, and
/// messages of the form count, paths, type, text.
pub(super) struct Answer {
    clean: bool,
    tree: String,
    pub(super) stages: Vec<Stage>,
    messages: Vec<(Vec<String>, String, String)>,
}

/// What stands at a conflicted path on one side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stage {
    pub(super) path: String,
    /// Whether `path` is what git has: it is lossy where that is not UTF-8.
    pub(super) exact: bool,
    /// 1: the base, 2: ours, 3: theirs.
    pub(super) number: u8,
    /// As it stands in trees (`100644`).
    pub(super) mode: String,
    pub(super) object: String,
}

impl Stage {
    /// Reads `MODE OBJECT STAGE<tab>PATH`.
    fn read(record: &[u8]) -> Option<Self> {
        let exact = std::str::from_utf8(record).is_ok();
        let record = String::from_utf8_lossy(record);
        let (about, path) = record.split_once('\t')?;
        let mut about = about.split(' ').map(str::to_owned);
        let (mode, object) = (about.next()?, about.next()?);
        let number = about.next().and_then(|number| number.parse().ok()).unwrap_or(0);
        Some(Self { path: path.to_owned(), exact, number, mode, object })
    }
}

impl Answer {
    fn read(bytes: &[u8]) -> Self {
        let mut raw = bytes.split(|b| *b == 0);
        let tree = raw.next().map(|tree| String::from_utf8_lossy(tree).into_owned()).unwrap_or_default();
        let stages = raw.by_ref().take_while(|record| !record.is_empty()).filter_map(Stage::read).collect();
        let mut records = raw.map(|r| String::from_utf8_lossy(r).into_owned());
        let mut messages = Vec::new();
        while let Some(count) = records.next().and_then(|count| count.parse::<usize>().ok()) {
            let paths = records.by_ref().take(count).collect();
            let (kind, text) = (records.next().unwrap_or_default(), records.next().unwrap_or_default());
            messages.push((paths, kind, text));
        }
        Self { clean: false, tree, stages, messages }
    }

    pub(super) fn tree(&self) -> Result<Oid, GitError> {
        Oid::parse(&self.tree).ok_or_else(|| GitError::unreadable("the merged tree", &self.tree))
    }

    /// Returns each conflicted path once, with the kind that leaves the least room: what is binary has no lines to merge,
    /// whatever else is said of it.
    pub(super) fn conflicts(&self) -> Vec<ConflictedPath> {
        let mut paths: Vec<&String> = self.stages.iter().map(|stage| &stage.path).collect();
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
        let has = |stage| self.stages.iter().any(|there| there.path == path && there.number == stage);
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
