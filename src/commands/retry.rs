//! `wt retry`.

use clap::Args as ClapArgs;
use clap_complete::engine::ArgValueCandidates;

use super::completions::task_names;
use super::context::{Context, Global, Trust};
use super::several;
use crate::error::{CommandError, During as _};
use crate::model::account::stopped_with_account;
use crate::model::{State, Task};
use crate::supervise::by_hand::{self, ByHandError};

/// Run tasks again in their workspaces, resuming the agent's session where it can.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Tasks to run again.
    #[arg(required_unless_present = "parked", add = ArgValueCandidates::new(task_names))]
    names: Vec<String>,
    /// Run every task again that stopped because its account could not be used (a refused key, no credit).
    #[arg(long, conflicts_with = "names")]
    parked: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(global: &Global, args: &Args) -> Result<u8, CommandError> {
    let mut context = Context::open(global, Trust::Required)?;
    let names = if args.parked { parked(&mut context)? } else { args.names.clone() };
    if names.is_empty() {
        context.note("no task is parked with its account");
    }
    several::each(&mut context, &names, args.json, retry)
}

/// Returns the tasks that stopped with their account, in the order in which they were queued.
fn parked(context: &mut Context) -> Result<Vec<String>, CommandError> {
    let mut tasks: Vec<&Task> = context.roster()?.live().filter(|task| stopped_with_account(task)).collect();
    tasks.sort_by_key(|task| task.order);
    Ok(tasks.iter().map(|task| task.name().to_string()).collect())
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
