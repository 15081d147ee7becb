//! `wt retry`.

use clap::Args as ClapArgs;
use clap_complete::engine::ArgValueCandidates;

use super::completions::task_names;
use super::context::{Context, Global, Trust};
use super::several;
use crate::error::{CommandError, During as _};
use crate::model::State;
use crate::supervise::by_hand::{self, ByHandError};

/// Run tasks again in their workspaces, resuming the agent's session where it can.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Tasks to run again.
    #[arg(required = true, add = ArgValueCandidates::new(task_names))]
    names: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(global: &Global, args: &Args) -> Result<u8, CommandError> {
    let mut context = Context::open(global, Trust::Required)?;
    several::each(&mut context, &args.names, args.json, retry)
}

fn retry(context: &mut Context, name: &str) -> Result<(String, String), CommandError> {
    let task = context.task(name)?;
    let (site, journal) = context.parts();
    by_hand::retry(&site, journal, &task.id).map_err(|error| {
        let hint = match (&error, &task.state) {
            (ByHandError::NotNow { .. }, State::Removed { .. }) => Some(format!("wt restore {name}")),
            (ByHandError::NotNow { .. }, State::Running { .. }) => Some(format!("wt stop {name}")),
            (ByHandError::NotNow { .. }, _) => Some(format!("wt status {name}")),
            (ByHandError::NoFolder { .. }, _) => Some(format!("wt gc {name} --force && wt restore {name}")),
            _ => None,
        };
        let refusal =
            CommandError::caused(format!("`{name}` cannot be run again; nothing was changed"), &error);
        match hint {
            Some(hint) => refusal.hint(hint),
            None => refusal,
        }
    })?;
    let task = context.task(name).during(|| format!("`{name}` cannot be read"))?;
    Ok((task.state.word().to_owned(), String::new()))
}
