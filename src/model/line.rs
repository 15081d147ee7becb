//! In which order branches land: parents before their children, then priority, then fewest conflicts with others, then age.

use std::collections::{BTreeMap, BTreeSet};

use super::{Roster, Task, TaskId};

/// Returns the tasks in order, and those that stand nowhere since a parent of theirs has neither landed nor a place before
/// them. `clashes` tells with how many others of them one conflicts.
pub fn ordered<'a>(
    roster: &Roster,
    chosen: Vec<&'a Task>,
    clashes: impl Fn(&TaskId) -> usize,
) -> (Vec<&'a Task>, Vec<&'a Task>) {
    after(roster, chosen, clashes, |_| false)
}

/// The same behind others: `before` tells which tasks have a place before all of these.
pub fn after<'a>(
    roster: &Roster,
    chosen: Vec<&'a Task>,
    clashes: impl Fn(&TaskId) -> usize,
    before: impl Fn(&TaskId) -> bool,
) -> (Vec<&'a Task>, Vec<&'a Task>) {
    let key = |task: &Task| (task.spec.priority, clashes(&task.id), task.order);
    let mut left: BTreeMap<(u8, usize, u64), &Task> =
        chosen.into_iter().map(|task| (key(task), task)).collect();
    let mut line: Vec<&Task> = Vec::with_capacity(left.len());
    let mut placed: BTreeSet<&TaskId> = BTreeSet::new();
    loop {
        let stands = |id: &TaskId| roster.has_landed(id) || placed.contains(id) || before(id);
        let may_go = |task: &Task| task.spec.after.iter().all(stands);
        let Some(key) = left.iter().find(|(_, task)| may_go(task)).map(|(key, _)| *key) else { break };
        let task = left.remove(&key).expect("the key was just found");
        placed.insert(&task.id);
        line.push(task);
    }
    (line, left.into_values().collect())
}
