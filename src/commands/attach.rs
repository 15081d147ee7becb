//! `wt attach`.

use clap::Args as ClapArgs;
use clap_complete::engine::ArgValueCandidates;

use super::completions::task_names;
use super::context::{Context, Global, Trust};
use super::path::require_workspace;
use crate::error::{self, CommandError};
use crate::model::verdict::Exit;
use crate::model::{State, Task};
use crate::supervise::attach::{self, AttachError};

/// Take over a task's agent at the terminal: in its workspace, resuming its session.
///
/// Nothing is started or removed there while the agent runs. Its exit code is this command's.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// The task.
    #[arg(add = ArgValueCandidates::new(task_names))]
    name: String,
}

/// Runs the verb.
pub fn run(global: &Global, args: &Args) -> Result<u8, CommandError> {
    let mut context = Context::open(global, Trust::Required)?;
    let task = context.task(&args.name)?;
    if task.spec.agent.is_some() && !matches!(task.state, State::Running { .. }) {
        require_workspace(&task)?;
    }
    let (site, journal) = context.parts();
    let ended = attach::attach(&site, journal, &task.id).map_err(|error| refused(&task, &error))?;
    // What waited for the task's lock meanwhile may start.
    context.pass();
    Ok(match ended {
        Exit::Code(code) => u8::try_from(code).unwrap_or(error::REFUSED),
        Exit::Signal(signal) => u8::try_from(128 + signal).unwrap_or(error::REFUSED),
        Exit::Lost | Exit::NotStarted => error::REFUSED,
    })
}

fn refused(task: &Task, error: &AttachError) -> CommandError {
    let name = task.name();
    let refusal = CommandError::caused(format!("`{name}` cannot be attached to; nothing was changed"), error);
    match error {
        AttachError::Busy { state: "running", .. } => {
            refusal.hint(format!("wt logs -f {name}")).hint(format!("wt stop {name}"))
        }
        AttachError::InUse(_) if matches!(task.state, State::Waiting { .. }) => {
            refusal.hint(format!("wt stop {name}"))
        }
        AttachError::NoAgent(_) => refusal.hint(format!("cd \"$(wt path {name})\"")),
        AttachError::NoFolder { .. } => refusal.hint(format!("wt gc {name} --force && wt restore {name}")),
        AttachError::NoCommand(agent) => {
            refusal.hint(format!("set `attach_command` in `[agents.{agent}]` of the configuration"))
        }
        _ => refusal.hint(format!("wt status {name}")),
    }
}
