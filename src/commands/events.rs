//! `wt events`.

use std::collections::BTreeSet;

use clap::Args as ClapArgs;
use clap_complete::engine::ArgValueCandidates;
use jiff::Timestamp;

use super::completions::task_names;
use super::context::{Context, Global};
use super::wait::Changes;
use crate::error::{self, CommandError, During as _};
use crate::model::happening::KINDS;
use crate::model::view::SCHEMA;
use crate::model::view::verbs::EventView;
use crate::model::{Clock as _, Record, TaskName};
use crate::store::tail::{Place, Tail};
use crate::ui;

/// How far back is told, in seconds.
const RECENT: i64 = 24 * 3600;

/// Show what happened, oldest first.
///
/// Tells what the journal says of the last 24 hours, one line an event; with `--follow`, goes on as it happens: each event
/// once, in order, also when the journal is rolled meanwhile.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Only of these tasks.
    #[arg(add = ArgValueCandidates::new(task_names))]
    names: Vec<String>,
    /// Go on as it happens, until interrupted.
    #[arg(short, long)]
    follow: bool,
    /// Only these kinds of events; may be given several times, or as a list with commas.
    #[arg(long = "type", value_name = "KIND", value_delimiter = ',', value_parser = clap::builder::PossibleValuesParser::new(KINDS))]
    kinds: Vec<String>,
    /// Everything that was ever recorded.
    #[arg(long)]
    all: bool,
    /// Print JSON, one document an event.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(global: &Global, args: &Args) -> Result<u8, CommandError> {
    let mut context = Context::open_anyway(global)?;
    let names: BTreeSet<TaskName> =
        args.names.iter().map(|name| Ok(context.task(name)?.id.name)).collect::<Result<_, CommandError>>()?;
    let since = (!args.all).then(|| context.clock().now().as_second() - RECENT);
    let wanted = |record: &Record, since: Option<i64>| {
        let of_task = || record.task.as_ref().is_some_and(|id| names.contains(&id.name));
        let kind = record.event.kind();
        since.is_none_or(|since| record.at.as_second() >= since)
            && (names.is_empty() || of_task())
            && kind.is_some_and(|kind| args.kinds.is_empty() || args.kinds.iter().any(|asked| asked == kind))
    };
    // Before the first reading, or what happens in between would wake nobody.
    let mut changes = if args.follow { Some(Changes::of(&context)?) } else { None };
    let mut tail = Tail::at(context.layout(), Place::first());
    let mut since = since;
    loop {
        let records = tail.records().during(|| "the journal cannot be read".to_owned())?;
        for (record, _) in records.iter().filter(|(record, _)| wanted(record, since)) {
            show(record, args.json);
        }
        since = None;
        let Some(changes) = &mut changes else { return Ok(error::DONE) };
        changes.next(&mut context, None)?;
    }
}

fn show(record: &Record, json: bool) {
    let Some(view) = view(record) else { return };
    if json {
        ui::json(&view);
    } else {
        ui::answer(&ui::events::line(&view));
    }
}

/// Returns what people and scripts read of a record, if it is an event for them.
pub fn view(record: &Record) -> Option<EventView> {
    let at: Timestamp = record.at;
    Some(EventView {
        schema: SCHEMA,
        at,
        kind: record.event.kind()?,
        task: record.task.as_ref().map(|id| id.name.to_string()),
        generation: record.task.as_ref().map(|id| id.generation),
        reason: record.event.reason().map(str::to_owned),
        event: serde_json::to_value(&record.event).unwrap_or_default(),
    })
}
