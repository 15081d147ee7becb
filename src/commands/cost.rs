//! `wt cost`.

use clap::{Args as ClapArgs, ValueEnum};
use clap_complete::engine::ArgValueCandidates;
use jiff::tz::TimeZone;

use super::completions::task_names;
use super::context::{Context, Global};
use crate::error::{self, CommandError, During as _};
use crate::model::{Clock as _, TaskName, duration};
use crate::observe::cost::{By, Question, cost};
use crate::ui;

/// Show what agents used: tokens, money and time, by task, model, day or agent.
///
/// Counts every attempt ever recorded, those of landed and removed tasks and of calls that resolved conflicts included;
/// not one that still runs. Money is what the agent itself computed; `-` where it tells tokens only.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Only these tasks.
    #[arg(add = ArgValueCandidates::new(task_names))]
    names: Vec<String>,
    /// What the rows are.
    #[arg(long, value_enum, default_value_t = Rows::Task)]
    by: Rows,
    /// Only what ended within this time (`24h`, `7d`).
    #[arg(long, value_name = "DURATION")]
    since: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Rows {
    Task,
    Model,
    Day,
    Agent,
}

/// Runs the verb.
pub fn run(global: &Global, args: &Args) -> Result<u8, CommandError> {
    let mut context = Context::open_anyway(global)?;
    let since = match &args.since {
        Some(text) => {
            let ago = duration::parse(text).map_err(|error| CommandError::usage(error.to_string()))?;
            Some(context.clock().now() - ago)
        }
        None => None,
    };
    let history = context.journal().history().during(|| "the journal cannot be read".to_owned())?;
    let mut names = Vec::new();
    for name in &args.names {
        let known: Option<TaskName> = name.parse().ok().filter(|name| history.roster.newest(name).is_some());
        names.push(known.ok_or_else(|| {
            let name = crate::model::text::neutralised(name);
            CommandError::refused(format!("no task is called `{name}`")).hint("wt status --all")
        })?);
    }
    let by = match args.by {
        Rows::Task => By::Task,
        Rows::Model => By::Model,
        Rows::Day => By::Day,
        Rows::Agent => By::Agent,
    };
    let view = cost(&history.records, &Question { by, names, since, zone: TimeZone::system() });
    if args.json {
        ui::json(&view);
    } else {
        ui::answer(&ui::cost::cost(&view));
    }
    Ok(error::DONE)
}
