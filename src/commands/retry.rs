//! `wt retry`.

use clap::Args as ClapArgs;
use clap_complete::engine::ArgValueCandidates;

use super::budget::BudgetArgs;
use super::completions::task_names;
use super::context::{Context, Global, Trust};
use super::several;
use crate::error::{CommandError, During as _};
use crate::model::account::stopped_with_account;
use crate::model::breaker;
use crate::model::{State, Task};
use crate::supervise::by_hand::{self, ByHandError};

/// Run tasks again in their workspaces, resuming the agent's session where it can.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Tasks to run again.
    #[arg(required_unless_present = "parked", add = ArgValueCandidates::new(task_names))]
    names: Vec<String>,
    /// Run every task again that stopped because its account could not be used (a refused key, no credit), and let profiles
    /// and agents be tried again that failed three times in a row.
    #[arg(long, conflicts_with = "names")]
    parked: bool,
    #[command(flatten)]
    budget: BudgetArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(global: &Global, args: &Args) -> Result<u8, CommandError> {
    let mut context = Context::open(global, Trust::Required)?;
    let names = if args.parked { parked(&mut context)? } else { args.names.clone() };
    if names.is_empty() {
        context.note("no task is parked with its account, and none waits for a breaker");
    }
    several::each(&mut context, &names, args.json, |context, name| retry(context, name, &args.budget))
}

/// Returns the tasks that stopped with their account, and one of each breaker that keeps any, in the order in which they
/// were queued.
fn parked(context: &mut Context) -> Result<Vec<String>, CommandError> {
    let roster = context.roster()?;
    let mut tasks: Vec<&Task> = roster.live().filter(|task| stopped_with_account(task)).collect();
    // One of each is enough to close it.
    for breaker in roster.breakers().tripped() {
        let mut of = roster.live().filter(|task| breaker::of(&task.spec) == Some(breaker.of()));
        if !tasks.iter().any(|task| breaker::of(&task.spec) == Some(breaker.of())) {
            tasks.extend(of.find(|task| roster.broken_until(task).is_some()));
        }
    }
    tasks.sort_by_key(|task| task.order);
    Ok(tasks.iter().map(|task| task.name().to_string()).collect())
}

/// Queues a task again, with the budget that is asked for; returns its state's word.
pub(super) fn retry(
    context: &mut Context,
    name: &str,
    asked: &BudgetArgs,
) -> Result<(String, String), CommandError> {
    let task = context.task(name)?;
    let budget = asked.over(task.spec.budget())?;
    let (site, journal) = context.parts();
    by_hand::retry(&site, journal, &task.id, budget).map_err(|error| refused(&task, &error))?;
    let task = context.task(name).during(|| format!("`{name}` cannot be read"))?;
    Ok((task.state.word().to_owned(), String::new()))
}

/// Returns what is said of a task that is not run again.
pub(super) fn refused(task: &Task, error: &ByHandError) -> CommandError {
    let name = task.name();
    let hint = match (error, &task.state) {
        (ByHandError::BudgetSpent { .. }, _) => Some(format!("wt retry {name} {}", more(task))),
        (ByHandError::NotNow { .. }, State::Removed { .. }) => Some(format!("wt restore {name}")),
        (ByHandError::NotNow { .. }, State::Running { .. }) => Some(format!("wt stop {name}")),
        (ByHandError::NotNow { .. }, _) => Some(format!("wt status {name}")),
        (ByHandError::NoFolder { .. }, _) => Some(format!("wt gc {name} --force && wt restore {name}")),
        _ => None,
    };
    let refusal = CommandError::caused(format!("`{name}` cannot be run again; nothing was changed"), error);
    match hint {
        Some(hint) => refusal.hint(hint),
        None => refusal,
    }
}

/// Returns the options that give a task as much again as it was given, on top of what it used.
fn more(task: &Task) -> String {
    let (own, spent) = (task.spec.budget(), task.spent());
    let mut options = Vec::new();
    if own.usd > 0.0 && spent.usage.cost_usd >= own.usd {
        options.push(format!("--budget {:.2}", spent.usage.cost_usd + own.usd));
    }
    if own.tokens > 0 && spent.usage.tokens.total() >= own.tokens {
        options.push(format!("--budget-tokens {}", spent.usage.tokens.total() + own.tokens));
    }
    if own.time_ms > 0 && spent.time_ms >= own.time_ms {
        options.push(format!("--budget-time {}s", (spent.time_ms + own.time_ms).div_ceil(1000)));
    }
    if options.is_empty() { "--budget 0".to_owned() } else { options.join(" ") }
}
