//! Commits that came onto a target as others: squashed, or written anew. Who stands on them brings them along, and must
//! not bring them again.
//!
//! Invariant: a commit is left out only where the commit that it came as is in the history of the commit that is replayed
//! onto; so what was landed elsewhere, or landed and taken off again, is replayed like any other.

use std::collections::{HashMap, HashSet};

use super::Pending;
use crate::git::command::Git;
use crate::git::{GitError, Repo};
use crate::model::Oid;

/// The original commits of what has landed, and as which commits they did.
#[derive(Debug, Clone, Default)]
pub struct Brought {
    /// For each original, the last commits of the landings that brought it.
    by: HashMap<Oid, Vec<Oid>>,
}

impl Brought {
    /// Asks git for the originals that `target` does not have; `landed`: for each landing the branch's commit and the one
    /// that it became.
    pub fn of(repo: &Repo, target: &Oid, landed: &[(Oid, Oid)]) -> Result<Self, GitError> {
        let rewritten: Vec<_> = landed.iter().filter(|(head, tip)| head != tip).collect();
        if rewritten.is_empty() {
            return Ok(Self::default());
        }
        let asked: String = rewritten
            .iter()
            .map(|(head, _)| head.to_string() + "\n")
            .chain([format!("^{target}\n")])
            .collect();
        // What was pruned long ago may be gone, and then nothing that is left stands on it.
        let call = Git::on(repo, "rev-list").args(["--ignore-missing", "--parents", "--stdin"]);
        let text = call.stdin(asked).line()?;
        let lines = text.lines().map(|line| line.split(' ').filter_map(Oid::parse));
        let parents: HashMap<Oid, Vec<Oid>> =
            lines.filter_map(|mut ids| Some((ids.next()?, ids.collect()))).collect();
        let mut brought = Self::default();
        for (head, tip) in rewritten {
            brought.add(reachable(&parents, head), tip);
        }
        Ok(brought)
    }

    /// Tells that `commits` came onto a target, the last of them as `tip`.
    pub fn add(&mut self, commits: impl IntoIterator<Item = Oid>, tip: &Oid) {
        for commit in commits {
            let tips = self.by.entry(commit).or_default();
            if !tips.contains(tip) {
                tips.push(tip.clone());
            }
        }
    }

    /// Takes out of `pending` what is on `onto` as other commits.
    pub(super) fn leave_out(
        &self,
        repo: &Repo,
        onto: &Oid,
        pending: &mut Vec<Pending>,
    ) -> Result<(), GitError> {
        let mut verdicts: HashMap<&Oid, bool> = HashMap::new();
        let mut there: HashSet<Oid> = HashSet::new();
        for commit in &*pending {
            for tip in self.by.get(&commit.oid).into_iter().flatten() {
                let known = verdicts.get(tip).copied();
                let on_it = match known {
                    Some(known) => known,
                    None => repo.is_ancestor(tip, onto)?,
                };
                verdicts.insert(tip, on_it);
                if on_it {
                    there.insert(commit.oid.clone());
                    break;
                }
            }
        }
        pending.retain(|commit| !there.contains(&commit.oid));
        Ok(())
    }
}

fn reachable(parents: &HashMap<Oid, Vec<Oid>>, head: &Oid) -> HashSet<Oid> {
    let mut found = HashSet::new();
    let mut open = vec![head.clone()];
    while let Some(commit) = open.pop() {
        if let Some(its) = parents.get(&commit)
            && found.insert(commit)
        {
            open.extend(its.iter().cloned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_head_stands_on_is_found_once_and_not_beyond_what_was_listed() {
        let oid = |digit: char| Oid::parse(&digit.to_string().repeat(40)).unwrap();
        let parents: HashMap<Oid, Vec<Oid>> = [
            (oid('d'), vec![oid('b'), oid('c')]),
            (oid('c'), vec![oid('a')]),
            (oid('b'), vec![oid('a')]),
            (oid('a'), vec![oid('0')]),
        ]
        .into();
        let mut found: Vec<Oid> = reachable(&parents, &oid('d')).into_iter().collect();
        found.sort();
        assert_eq!(found, ['a', 'b', 'c', 'd'].map(oid));
        assert!(reachable(&parents, &oid('9')).is_empty());
    }
}
