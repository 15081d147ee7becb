//! Commits replayed onto another commit, in memory: no worktree, no index, no ref is touched.
//!
//! ```text
//! commits to replay (line: parent steps; else git) ─▶ each: walk ─▶ its tree
//!                                                           │ refused
//!                                                           ▼
//!                                                     git merge-tree (answer) ─▶ its tree, or the conflict
//! ```
//!
//! Of many branches git can be asked at once what it will be asked for one by one ([`Replayer::look_ahead`]).
//!
//! Each commit is merged as git would (base = its parent): most by [`super::walk`], which takes only what git takes too, the
//! others by `git merge-tree`, so the verdict is git's. A conflict is a value. Nothing is left out because "it is there
//! already": a commit that was taken and reverted on the target would be lost that way; what changes nothing any more comes
//! out as [`Replayed::Empty`].
//!
//! A history with merges is replayed without them, and counts only if the result has the very tree that merging the branch
//! would have: else a person's resolution inside a merge commit would be lost.

mod ahead;
mod answer;
mod brought;
mod line;

use gix::ObjectId;

use self::ahead::{By, Known};
pub(super) use self::answer::{Answer, Stage, answer, answer_marked};
pub use self::answer::{Merged, merge};
pub use self::brought::Brought;
use self::line::Line;
use super::cache::Cache;
use super::command::Git;
use super::repo::{id, oid};
use super::{GitError, Repo, objects, walk};
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

/// How commits were merged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ways {
    /// They stood there already.
    pub standing: usize,
    /// By the walk of three trees, in this process.
    pub walked: usize,
    /// By git: merged, or found in conflict.
    pub merged: usize,
}

impl std::ops::AddAssign for Ways {
    fn add_assign(&mut self, more: Self) {
        self.standing += more.standing;
        self.walked += more.walked;
        self.merged += more.merged;
    }
}

/// What replaying a branch came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The last commit that was reached; where there is no `stop`, what the target becomes.
    pub tip: Oid,
    /// The commits on top of `onto`, oldest first.
    pub commits: Vec<Oid>,
    /// What the branch has beyond `onto`, oldest first, without what is left out.
    pub pending: Vec<Pending>,
    /// Why it stopped; `None`: the whole branch went on.
    pub stop: Option<Stop>,
    /// How its commits were merged, those that change nothing any more and the last one in conflict included.
    pub ways: Ways,
}

/// Replays what `head` has beyond `onto`, onto it.
pub fn replay(repo: &Repo, onto: &Oid, head: &Oid) -> Result<Outcome, GitError> {
    Replayer::new(repo).replay(onto, head)
}

/// Replays one commit onto another.
pub fn replay_one(repo: &Repo, onto: &Oid, commit: &Oid) -> Result<Replayed, GitError> {
    let mut replayer = Replayer::new(repo);
    let done = replayer.one(onto, commit, &mut Ways::default())?;
    replayer.cache.settle()?;
    Ok(done)
}

/// Returns the merged tree of a commit (the second) that does not merge onto another (the first), if anybody has one.
pub type Resolve<'a, E> = &'a mut dyn FnMut(&Oid, &Oid) -> Result<Option<Oid>, E>;

/// The same as [`replay`], asking `resolve` (the commit reached so far, the commit that does not merge onto it) for the
/// merged tree where git has none; `None` stops there.
pub fn replay_resolving<E: From<GitError>>(
    repo: &Repo,
    onto: &Oid,
    head: &Oid,
    resolve: Resolve<'_, E>,
) -> Result<Outcome, E> {
    Replayer::new(repo).replay_resolving(onto, head, resolve)
}

/// Replays many branches in one landing: what was read for one is known for the next.
pub struct Replayer<'a> {
    repo: &'a Repo,
    cache: Cache,
    line: Line,
    brought: Brought,
    known: Known,
}

impl<'a> Replayer<'a> {
    /// Begins with nothing read.
    pub fn new(repo: &'a Repo) -> Self {
        Self::without(repo, Brought::default())
    }

    /// The same, leaving out what came onto the target as other commits.
    pub fn without(repo: &'a Repo, brought: Brought) -> Self {
        Self { repo, cache: Cache::new(repo), line: Line::default(), brought, known: Known::new() }
    }

    /// Begins again with nothing read, leaving out the same.
    #[must_use]
    pub fn again(&self) -> Self {
        Self::without(self.repo, self.brought.clone())
    }

    /// Tells that these commits of a branch came onto the target, the last of them as `tip`.
    pub fn has_brought(&mut self, commits: impl IntoIterator<Item = Oid>, tip: &Oid) {
        self.brought.add(commits, tip);
    }

    /// See [`replay`].
    pub fn replay(&mut self, onto: &Oid, head: &Oid) -> Result<Outcome, GitError> {
        self.replay_resolving(onto, head, &mut |_, _| Ok::<_, GitError>(None))
    }

    /// Returns what would be replayed of `head` onto `onto`, oldest first; merges included.
    pub fn pending(&mut self, onto: &Oid, head: &Oid) -> Result<Vec<Pending>, GitError> {
        let mut pending = match self.line.pending(&mut self.cache, id(onto)?, id(head)?) {
            Some(line) => line,
            None => pending(self.repo, head, onto)?,
        };
        self.brought.leave_out(self.repo, onto, &mut pending)?;
        Ok(pending)
    }

    /// See [`replay_resolving`].
    pub fn replay_resolving<E: From<GitError>>(
        &mut self,
        onto: &Oid,
        head: &Oid,
        resolve: Resolve<'_, E>,
    ) -> Result<Outcome, E> {
        let outcome = self.all(onto, head, resolve)?;
        self.cache.settle()?;
        Ok(outcome)
    }

    fn all<E: From<GitError>>(
        &mut self,
        onto: &Oid,
        head: &Oid,
        resolve: Resolve<'_, E>,
    ) -> Result<Outcome, E> {
        let pending = self.pending(onto, head)?;
        let merges = pending.iter().any(Pending::is_merge);
        let line: Vec<Pending> = pending.iter().filter(|commit| !commit.is_merge()).cloned().collect();
        let mut outcome =
            Outcome { tip: onto.clone(), commits: Vec::new(), pending, stop: None, ways: Ways::default() };
        for commit in line {
            match self.one(&outcome.tip, &commit.oid, &mut outcome.ways)? {
                Replayed::Picked(new) | Replayed::Same(new) => {
                    outcome.tip = new.clone();
                    outcome.commits.push(new);
                }
                Replayed::Empty => {}
                Replayed::Conflict(paths) => match resolve(&outcome.tip, &commit.oid)? {
                    Some(tree) if tree == self.repo.tree_of(&outcome.tip)? => {}
                    Some(tree) => {
                        let (tree, parent) = (id(&tree)?, id(&outcome.tip)?);
                        outcome.tip = oid(self.cache.copy_commit(id(&commit.oid)?, tree, parent)?);
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
            outcome.stop = differing(self.repo, onto, head, &outcome.tip)?.map(Stop::MergesDiffer);
        } else {
            self.line.grew(id(onto)?, outcome.commits.iter().map(id).collect::<Result<_, _>>()?);
        }
        Ok(outcome)
    }

    /// Replays one commit onto another.
    fn one(&mut self, onto: &Oid, commit: &Oid, ways: &mut Ways) -> Result<Replayed, GitError> {
        let parents = objects::parents(self.repo, commit)?;
        let [parent] = parents.as_slice() else { return Ok(Replayed::NoChange) };
        if parent == onto {
            ways.standing += 1;
            return Ok(Replayed::Same(commit.clone()));
        }
        let (old, new) = (id(onto)?, id(commit)?);
        let there = self.tree(old)?;
        let (base, theirs) = (self.tree(id(parent)?)?, self.tree(new)?);
        let known = self.known.get(&(base, there, theirs)).copied();
        let walked = match known {
            Some(known) => Some(known),
            None => walk::overlay(&mut self.cache, base, there, theirs)?.ok().map(|tree| (tree, By::Walk)),
        };
        let tree = match walked {
            Some((tree, By::Walk)) => {
                ways.walked += 1;
                tree
            }
            Some((tree, By::Git)) => {
                ways.merged += 1;
                tree
            }
            None => {
                ways.merged += 1;
                match merge(self.repo, Some(parent), onto, commit)? {
                    Merged::Conflict(paths) => return Ok(Replayed::Conflict(paths)),
                    Merged::Clean(tree) => id(&tree)?,
                }
            }
        };
        if tree == there {
            return Ok(Replayed::Empty);
        }
        Ok(Replayed::Picked(oid(self.cache.copy_commit(new, tree, old)?)))
    }

    fn tree(&mut self, commit: ObjectId) -> Result<ObjectId, GitError> {
        match self.cache.commit(commit) {
            Some(known) => Ok(known.tree),
            None => id(&self.repo.tree_of(&oid(commit))?),
        }
    }
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
