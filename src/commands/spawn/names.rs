//! The names of tasks that are about to be made: free, known as parents, and in no circle.

use std::collections::{BTreeMap, BTreeSet};

use super::wish::Wish;
use crate::commands::context::Context;
use crate::error::CommandError;
use crate::model::{Roster, Task, TaskName, TaskSpec};
use crate::observe::status::words;
use crate::store::Layout;

/// Checks the names of `wishes` against the roster and against each other, before anything is made. Lines may name each other in any order.
pub(super) fn check(context: &mut Context, wishes: &[Wish]) -> Result<(), CommandError> {
    let layout = context.layout().clone();
    let roster = context.roster()?;
    let mut asked: BTreeMap<&TaskName, &Wish> = BTreeMap::new();
    for wish in wishes {
        let name = &wish.spec.name;
        free(name, roster, &layout)?;
        if asked.insert(name, wish).is_some() {
            return Err(CommandError::refused(format!("`{name}` is asked for twice; nothing was made")));
        }
    }
    for Wish { spec: TaskSpec { name, .. }, after, .. } in wishes {
        let beside = |parent: &TaskName| parent != name && asked.contains_key(parent);
        let known = |parent: &&TaskName| beside(parent) || roster.newest(parent).is_some();
        if let Some(parent) = after.iter().find(|parent| !known(parent)) {
            return Err(CommandError::refused(format!(
                "`{name}` is to start after `{parent}`, which does not exist; nothing was made"
            ))
            .hint("see the tasks with `wt status`"));
        }
    }
    let Some(circle) = circle(wishes, &asked) else { return Ok(()) };
    let told: Vec<String> = circle.iter().map(|name| format!("`{name}`")).collect();
    Err(CommandError::refused(format!(
        "{} wait for each other, and none would ever start; nothing was made",
        told.join(" after ")
    )))
}

/// Returns a circle of tasks that start after each other, the first one again at its end.
fn circle<'a>(wishes: &'a [Wish], asked: &BTreeMap<&'a TaskName, &'a Wish>) -> Option<Vec<&'a TaskName>> {
    let mut done: BTreeSet<&TaskName> = BTreeSet::new();
    for wish in wishes {
        // Each step goes to the first parent that is not known to be harmless, so that a path never branches.
        let mut path: Vec<&Wish> = vec![wish];
        while let Some(last) = path.last() {
            // Its own name is that of an earlier task.
            let parents = last.after.iter().filter(|parent| **parent != last.spec.name);
            let parents = parents.filter_map(|parent| asked.get(parent));
            let Some(next) = parents.into_iter().find(|parent| !done.contains(&parent.spec.name)) else {
                done.insert(&last.spec.name);
                path.pop();
                continue;
            };
            if let Some(at) = path.iter().position(|before| before.spec.name == next.spec.name) {
                let names = path[at..].iter().chain([next]);
                return Some(names.map(|wish| &wish.spec.name).collect());
            }
            path.push(next);
        }
    }
    None
}

/// Refuses a name that a live task has by now.
pub(super) fn free_now(context: &mut Context, name: &TaskName) -> Result<(), CommandError> {
    let layout = context.layout().clone();
    free(name, context.roster()?, &layout)
}

fn free(name: &TaskName, roster: &Roster, layout: &Layout) -> Result<(), CommandError> {
    let task = roster.live_named(name);
    task.map_or(Ok(()), |task| Err(taken(task, &words(task, roster, layout).0)))
}

fn taken(task: &Task, state: &str) -> CommandError {
    let name = task.name();
    let refusal =
        CommandError::refused(format!("a task named `{name}` is already {state}; nothing was made"));
    match state {
        "done" => refusal.hint(format!("wt merge {name}")),
        "failed" | "dead" | "stopped" | "lost" => refusal.hint(format!("wt retry {name}")),
        _ => refusal.hint(format!("wt status {name}")),
    }
}
