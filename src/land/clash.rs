//! How many others each task may conflict with: tasks that change the same paths. A guess, for the order of the queue only.

use std::collections::{BTreeMap, BTreeSet};

use crate::git::{GitError, Repo, status};
use crate::model::{Roster, State, Task, TaskId};

/// Returns with how many other tasks for `target` that could land each one shares a changed path; those with none are left
/// out.
pub(super) fn clashes(
    repo: &Repo,
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
    if pairs.len() < 2 {
        return Ok(BTreeMap::new());
    }
    let changed = status::paths_of_changes(repo, &pairs)?;
    Ok(counted(&ids, &changed))
}

fn counted(ids: &[TaskId], changed: &[Vec<String>]) -> BTreeMap<TaskId, usize> {
    let mut by_path: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (n, paths) in changed.iter().enumerate() {
        for path in paths {
            by_path.entry(path).or_default().push(n);
        }
    }
    let mut others: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for sharing in by_path.values().filter(|sharing| sharing.len() > 1) {
        for n in sharing {
            others.entry(*n).or_default().extend(sharing.iter().filter(|other| *other != n));
        }
    }
    others.into_iter().map(|(n, others)| (ids[n].clone(), others.len())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_other_task_counts_once() {
        let ids: Vec<TaskId> = ["a@1", "b@1", "c@1", "d@1"].map(|id| id.parse().unwrap()).into();
        let paths = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
        let changed = [paths(&["x", "y"]), paths(&["x", "y", "z"]), paths(&["z"]), paths(&["w"])];
        let found = counted(&ids, &changed);
        let of = |n: usize| found.get(&ids[n]).copied();
        assert_eq!([of(0), of(1), of(2), of(3)], [Some(1), Some(2), Some(1), None]);
    }
}
