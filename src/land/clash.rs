//! With how many others each task conflicts, for the order of the queue only: pairs that change the same paths, merged in memory.
//!
//! What `wt conflicts` has merged is known; of the others at most [`MOST`] are merged here, and where there are more, each
//! counts as a conflict.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::git::pairs::{self, Comparer, Side};
use crate::git::scratch::Scratch;
use crate::git::{GitError, Repo, status};
use crate::model::{Oid, Roster, State, Task, TaskId};
use crate::store::Layout;
use crate::store::merged::{self, Merged};

/// How many pairs may be merged for an order: it must not hold up the landing.
const MOST: usize = 24;
/// How long that may take.
const LIMIT: Duration = Duration::from_secs(5);

/// Returns with how many other tasks for `target` that could land each one conflicts, as far as that is known; those with
/// none are left out.
pub(super) fn clashes(
    repo: &Repo,
    layout: &Layout,
    roster: &Roster,
    target: &str,
) -> Result<BTreeMap<TaskId, usize>, GitError> {
    let could_land = |task: &&Task| {
        let state =
            matches!(task.state, State::Done { .. } | State::Conflict | State::Rejected | State::Review);
        state && task.spec.target == target
    };
    let mut ids = Vec::new();
    let mut pairs = Vec::new();
    for task in roster.live().filter(could_land) {
        let Some(workspace) = &task.workspace else { continue };
        let Some(head) = repo.branch_tip(&workspace.branch)? else { continue };
        ids.push(task.id.clone());
        pairs.push((workspace.base.clone(), head));
    }
    // Two conflict with each other or not: they stand alike.
    if pairs.len() < 3 {
        return Ok(BTreeMap::new());
    }
    let changed = status::paths_of_changes(repo, &pairs)?;
    let mut meeting = meeting(&changed);
    let heads: Vec<Oid> = pairs.into_iter().map(|(_, head)| head).collect();
    if let (false, Some(tip)) = (meeting.is_empty(), repo.branch_tip(target)?) {
        // Without it the guess stays: whoever meets, conflicts.
        let merging = merging(repo, layout, &tip, &heads, &meeting).unwrap_or_default();
        meeting.retain(|pair| !merging.contains(pair));
    }
    Ok(counted(&ids, &meeting))
}

/// Two tasks, by their numbers.
type Pair = (usize, usize);

/// Returns the pairs that change the same paths.
fn meeting(changed: &[Vec<String>]) -> BTreeSet<Pair> {
    let mut by_path: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (n, paths) in changed.iter().enumerate() {
        for path in paths {
            by_path.entry(path).or_default().push(n);
        }
    }
    let mut pairs = BTreeSet::new();
    for sharing in by_path.values() {
        for (at, a) in sharing.iter().enumerate() {
            pairs.extend(sharing[at + 1..].iter().map(|b| (*a, *b)));
        }
    }
    pairs
}

/// Returns those of the pairs that merge all the same.
fn merging(
    repo: &Repo,
    layout: &Layout,
    tip: &Oid,
    heads: &[Oid],
    meeting: &BTreeSet<Pair>,
) -> Result<BTreeSet<Pair>, GitError> {
    let scratch = Scratch::beside(repo)?;
    let mut comparer = Comparer::new(repo, &scratch)?;
    let rules = pairs::rules(&mut comparer, tip)?;
    let known = Merged::load(layout);
    let sides: BTreeMap<usize, Side> = meeting
        .iter()
        .flat_map(|(a, b)| [*a, *b])
        .map(|n| Ok((n, Side { commit: heads[n].clone(), tree: repo.tree_of(&heads[n])? })))
        .collect::<Result<_, GitError>>()?;
    let (mut merging, mut open) = (BTreeSet::new(), Vec::new());
    for (a, b) in meeting {
        let both = [a, b].map(|n| (&sides[n].commit, &sides[n].tree));
        let key = rules.as_ref().map(|rules| merged::key(rules, both[0], both[1]));
        match key.as_ref().and_then(|key| known.verdict(key)) {
            Some([]) => drop(merging.insert((*a, *b))),
            Some(_) => {}
            None => open.push((*a, *b)),
        }
    }
    if open.len() <= MOST {
        let asked: Vec<(&Side, &Side)> = open.iter().map(|(a, b)| (&sides[a], &sides[b])).collect();
        let told = comparer.merge(&asked, tip, LIMIT, &|_| {})?;
        let clean = open.into_iter().zip(told).filter(|(_, files)| files.as_ref().is_some_and(Vec::is_empty));
        merging.extend(clean.map(|(pair, _)| pair));
    }
    Ok(merging)
}

fn counted(ids: &[TaskId], pairs: &BTreeSet<Pair>) -> BTreeMap<TaskId, usize> {
    let mut found = BTreeMap::new();
    for n in pairs.iter().flat_map(|(a, b)| [*a, *b]) {
        *found.entry(ids[n].clone()).or_insert(0) += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_other_task_counts_once() {
        let ids: Vec<TaskId> = ["a@1", "b@1", "c@1", "d@1"].map(|id| id.parse().unwrap()).into();
        let paths = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
        let changed = [paths(&["x", "y"]), paths(&["x", "y", "z"]), paths(&["z"]), paths(&["w"])];
        let found = counted(&ids, &meeting(&changed));
        let of = |n: usize| found.get(&ids[n]).copied();
        assert_eq!([of(0), of(1), of(2), of(3)], [Some(1), Some(2), Some(1), None]);
    }
}
