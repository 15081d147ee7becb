//! `wt stop`.

use clap::Args as ClapArgs;
use clap_complete::engine::ArgValueCandidates;

use super::auto;
use super::completions::task_names;
use super::context::{Context, Global};
use super::several;
use crate::error::{CommandError, During as _};
use crate::model::Task;
use crate::store::Lock;
use crate::supervise::by_hand::{self, ByHandError};
use crate::ui::message;

/// End the agents of tasks, with all their descendants; their work stays.
///
/// With `--all`, a landing that goes on by itself (`[merge] auto`) is ended too, with its checks and agents: what it has not
/// landed is as it was, and lands after `wt resume` or with `wt merge --all`. A landing that a person began goes on. So does the
/// look for conflicts between branches, which starts no agent and ends by itself.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Tasks to stop.
    #[arg(required_unless_present = "all", add = ArgValueCandidates::new(task_names))]
    names: Vec<String>,
    /// Stop every task that runs or waits.
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(global: &Global, args: &Args) -> Result<u8, CommandError> {
    let mut context = Context::open_anyway(global)?;
    let (code, any) = if args.all {
        let (site, journal) = context.parts();
        let stopped = by_hand::stop_all(&site, journal).during(|| "not all tasks are stopped".to_owned())?;
        let any = !stopped.is_empty();
        let outcomes = stopped.into_iter().map(|(id, stopped)| {
            let name = id.name.to_string();
            let outcome = told(&name, stopped);
            (name, outcome)
        });
        let outcomes = outcomes.collect();
        (several::all(&mut context, outcomes, args.json)?, any)
    } else {
        // The last in line first, so that stopping one does not start another that is to be stopped too.
        let code = several::each(&mut context, args.names.iter().rev(), args.json, |context, name| {
            let task = context.task(name)?;
            let (site, journal) = context.parts();
            told(name, by_hand::stop(&site, journal, &task.id))
        });
        (code?, true)
    };
    if args.all {
        // After the runners, whose end may begin one.
        let landing = auto::end(&mut context)?;
        if landing {
            context.note("the landing that went on by itself was ended; what it had not landed is as it was");
        }
        if landing || any {
            message::hint("go on with all of them: `wt resume`");
        }
        if let Some(other) = Lock::holder(&context.layout().lock("land")) {
            context.note(&format!("a landing goes on: {other}"));
            message::hint("end that with `wt merge --abort`");
        }
    }
    Ok(code)
}

/// Returns the word of the state of a task that is stopped, and where its work is.
fn told(name: &str, stopped: Result<Task, ByHandError>) -> Result<(String, String), CommandError> {
    let stopped = stopped.during(|| format!("`{name}` cannot be stopped"))?;
    let place = stopped.workspace.as_ref().map(|workspace| format!("; its work is in {}", workspace.path));
    Ok((stopped.state.word().to_owned(), place.unwrap_or_default()))
}
