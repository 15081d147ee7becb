//! The order in which the branches had best land: what could land now, as `wt merge --all` would take it; then the others.

use std::collections::{BTreeMap, BTreeSet};

use super::Pair;
use super::stand::Standing;
use crate::model::{Roster, State, Task, TaskId, line};

/// Returns the numbers of all tasks, in order.
pub(super) fn order(roster: &Roster, standing: &[Standing<'_>], pairs: &[Pair]) -> Vec<usize> {
    let number: BTreeMap<&TaskId, usize> =
        standing.iter().enumerate().map(|(n, stands)| (&stands.task.id, n)).collect();
    let ready = |n: usize| could_land(standing[n].task);
    let mut among_ready = vec![0; standing.len()];
    let mut among_all = vec![0; standing.len()];
    for pair in pairs {
        for n in [pair.a, pair.b] {
            among_all[n] += 1;
            among_ready[n] += usize::from(ready(pair.a) && ready(pair.b));
        }
    }
    let chosen = |wanted: bool| -> Vec<&Task> {
        standing.iter().map(|stands| stands.task).filter(|task| could_land(task) == wanted).collect()
    };
    let (first, early) = line::ordered(roster, chosen(true), |id| among_ready[number[id]]);
    let placed: BTreeSet<&TaskId> = first.iter().map(|task| &task.id).collect();
    // The parents of these are already placed, or are to come.
    let rest: Vec<&Task> = chosen(false).into_iter().chain(early).collect();
    let (then, last) = line::after(roster, rest, |id| among_all[number[id]], |id| placed.contains(id));
    first.into_iter().chain(then).chain(last).map(|task| number[&task.id]).collect()
}

fn could_land(task: &Task) -> bool {
    matches!(task.state, State::Done { .. } | State::Conflict | State::Rejected | State::Review)
}
