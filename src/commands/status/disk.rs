//! `wt status --disk`.

use super::{Context, listed};
use crate::error::{self, CommandError};
use crate::model::observer::Observer as _;
use crate::model::text::count;
use crate::model::{Clock as _, Task};
use crate::observe::disk::{Ground, Scope, disk};
use crate::observe::status::words;
use crate::ui;

/// Shows what the named workspaces take, or all of them and what stands beside them.
pub(super) fn run(context: &mut Context, asked: &[String], json: bool) -> Result<u8, CommandError> {
    context.pass();
    let named: Vec<Task> = asked.iter().map(|name| context.task(name)).collect::<Result<_, _>>()?;
    let now = context.clock().now();
    let roster = context.roster()?.clone();
    let (scope, mut tasks) = if named.is_empty() {
        (Scope::Everything, listed(&roster, true, now))
    } else {
        (Scope::Workspaces, named.iter().collect())
    };
    tasks.retain(|task| task.workspace.is_some());
    let ground =
        Ground { repo: context.repo(), layout: context.layout(), settings: &context.settings().workspace };
    let worded: Vec<(&Task, String)> =
        tasks.into_iter().map(|task| (task, words(task, &roster, context.layout()).0)).collect();
    let progress = context.progress();
    let slow = || progress.step(&format!("measuring {}", count(worded.len(), "workspace")));
    let view = disk(ground, &worded, scope, &slow);
    drop(progress);
    if json {
        ui::json(&view);
    } else {
        ui::answer(&ui::disk::disk(&view));
    }
    Ok(error::DONE)
}
