//! `wt path`.

use clap::Args as ClapArgs;
use clap_complete::engine::ArgValueCandidates;

use super::completions::task_names;
use super::context::{Context, Global};
use crate::error::{self, CommandError};
use crate::model::{Task, Workspace};
use crate::ui;

/// Print the folder of a task's worktree.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// The task.
    #[arg(add = ArgValueCandidates::new(task_names))]
    name: String,
}

/// Runs the verb.
pub fn run(global: &Global, args: &Args) -> Result<u8, CommandError> {
    let mut context = Context::open_anyway(global)?;
    let task = context.task(&args.name)?;
    ui::answer(&require_workspace(&task)?.path);
    Ok(error::DONE)
}

/// Returns the workspace of a task, or why it has none.
pub fn require_workspace(task: &Task) -> Result<&Workspace, CommandError> {
    let name = task.name();
    task.workspace.as_ref().ok_or_else(|| {
        let refusal =
            CommandError::refused(format!("`{name}` is {} and has no workspace", task.state.word()));
        if task.trash.is_some() {
            refusal.hint(format!("wt restore {name}"))
        } else {
            refusal.hint(format!("wt status {name}"))
        }
    })
}
