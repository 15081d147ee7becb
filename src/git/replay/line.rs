//! Which commits a branch has that its target has not, by plain parent steps.
//!
//! Invariant: an answer is the one of `git rev-list head ^onto`; where that is not sure (merges on the branch, a history that
//! ends early, dates that go backwards beside merges, a fork too far away) there is none, and git is asked.

use std::collections::{BinaryHeap, HashSet};

use gix::ObjectId;

use super::super::cache::Cache;
use super::super::repo::oid;
use super::Pending;

/// How many commits may be read for one answer; git, with its commit graph, is better at more.
const MOST: usize = 4_000;

/// What is known of the history of one commit, the target; it grows with each question.
#[derive(Default)]
pub(super) struct Line {
    onto: Option<ObjectId>,
    /// Commits that the target has.
    had: HashSet<ObjectId>,
    /// Those of them whose parents were not looked at yet, by date.
    open: BinaryHeap<(i64, ObjectId)>,
    /// Whether a merge was met on the target's side.
    merges: bool,
    /// Whether a commit older than its parent was met, on either side.
    backwards: bool,
}

impl Line {
    /// Tells that `commits`, oldest first, stand on `onto`: the last one is the next target, as a rule.
    pub(super) fn grew(&mut self, onto: ObjectId, commits: Vec<ObjectId>) {
        if self.onto == Some(onto)
            && let Some(last) = commits.last()
        {
            self.onto = Some(*last);
            self.had.extend(commits);
        }
    }

    /// Returns the commits of `head` that `onto` does not have, oldest first.
    pub(super) fn pending(
        &mut self,
        cache: &mut Cache,
        onto: ObjectId,
        head: ObjectId,
    ) -> Option<Vec<Pending>> {
        if self.onto != Some(onto) {
            if cache.is_grafted() {
                return None;
            }
            *self = Self { onto: Some(onto), ..Self::default() };
            self.had.insert(onto);
            self.open.push((cache.commit(onto)?.time, onto));
        }
        let found = self.steps(cache, head);
        if found.is_none() {
            // What was met on the way may be half of a history.
            *self = Self::default();
        }
        found
    }

    fn steps(&mut self, cache: &mut Cache, head: ObjectId) -> Option<Vec<Pending>> {
        let mut left = MOST;
        let mut line: Vec<(ObjectId, ObjectId)> = Vec::new();
        let mut at = head;
        loop {
            let commit = cache.commit(at)?;
            self.look_back(cache, commit.time, &mut left)?;
            if self.had.contains(&at) {
                break;
            }
            let [parent] = commit.parents.as_slice() else { return None };
            line.push((at, *parent));
            left = left.checked_sub(1)?;
            self.backwards |= cache.commit(*parent)?.time > commit.time;
            at = *parent;
        }
        // On a straight target the fork is on its line, and nothing below the fork can have what stands above it. With merges
        // it is dates that tell, as for git.
        if self.merges && self.backwards {
            return None;
        }
        // A commit met early may have turned up on the target since.
        let mine = line.iter().position(|(commit, _)| self.had.contains(commit)).unwrap_or(line.len());
        line.truncate(mine);
        let pending = line.into_iter().rev();
        Some(
            pending
                .map(|(commit, parent)| Pending { oid: oid(commit), parents: vec![oid(parent)] })
                .collect(),
        )
    }

    /// Looks at the target's history back to a date.
    fn look_back(&mut self, cache: &mut Cache, date: i64, left: &mut usize) -> Option<()> {
        while let Some((time, id)) = self.open.peek().copied().filter(|(time, _)| *time >= date) {
            *left = left.checked_sub(1)?;
            self.open.pop();
            let commit = cache.commit(id)?;
            self.merges |= commit.parents.len() > 1;
            for parent in &commit.parents {
                let its = cache.commit(*parent)?.time;
                self.backwards |= its > time;
                if self.had.insert(*parent) {
                    self.open.push((its, *parent));
                }
            }
        }
        Some(())
    }
}
