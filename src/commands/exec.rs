//! `wt exec`.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

use clap::Args as ClapArgs;
use clap_complete::engine::ArgValueCandidates;

use super::completions::task_names;
use super::context::{Context, Global};
use super::path::require_workspace;
use crate::error::{self, CommandError};
use crate::git::command::REDIRECTING;
use crate::workspace::ports;

/// Run a command in a task's worktree.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// The task.
    #[arg(add = ArgValueCandidates::new(task_names))]
    name: String,
    /// The command and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

/// Runs the verb; its exit code is the command's.
pub fn run(global: &Global, args: &Args) -> Result<u8, CommandError> {
    let mut context = Context::open_anyway(global)?;
    let task = context.task(&args.name)?;
    let workspace = require_workspace(&task)?;
    let (program, arguments) = args.command.split_first().expect("clap demands one");
    let mut command = Command::new(program);
    command.args(arguments).current_dir(&workspace.path);
    command.env("WT_TASK", task.name().as_str());
    command.env("WT_WORKTREE", &workspace.path).env("WT_BRANCH", &workspace.branch);
    command.envs(ports::variables(&workspace.ports));
    for name in REDIRECTING {
        command.env_remove(name);
    }
    let status = command.status().map_err(|cause| {
        CommandError::caused(format!("`{program}` cannot be run in {}", workspace.path), &cause)
    })?;
    let by_signal = status.signal().map(|signal| 128 + signal);
    Ok(by_signal.or(status.code()).and_then(|code| u8::try_from(code).ok()).unwrap_or(error::REFUSED))
}
