//! Whose agents this process could start at all.
//!
//! An attempt inherits the environment of the `wt` whose pass starts it. One that is run by a timer, with a short `PATH`,
//! must not take a task up only to fail it: the task stays queued for a `wt` that finds its agent.

use std::collections::BTreeMap;

use crate::agent::Adapter;
use crate::model::{Task, TaskId};
use crate::workspace::Site;

/// Takes those tasks out of `ready` whose agent's program is not found, and puts them into `beyond` with that program.
pub fn part(site: &Site<'_>, ready: &mut Vec<&Task>, beyond: &mut Vec<(TaskId, String)>) {
    let path = std::env::var_os("PATH");
    let mut known = BTreeMap::new();
    ready.retain(|task| {
        let Some(agent) = &task.spec.agent else { return true };
        let missing = known.entry(agent).or_insert_with(|| {
            // What is configured wrongly is the runner's to tell.
            let adapter = Adapter::new(agent, site.settings.agents.get(agent)?).ok()?;
            let program = adapter.spec().command.first()?.clone();
            // One with a slash is found from the workspace, which may not exist yet.
            let found = program.contains('/')
                || adapter.program_on_path(path.as_deref(), site.repo.common_dir()).is_some();
            (!found).then_some(program)
        });
        if let Some(program) = missing {
            beyond.push((task.id.clone(), program.clone()));
        }
        missing.is_none()
    });
}
