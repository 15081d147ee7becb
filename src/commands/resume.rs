//! `wt resume`.

use std::collections::BTreeMap;

use clap::Args as ClapArgs;
use clap_complete::engine::ArgValueCandidates;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::budget::BudgetArgs;
use super::completions::task_names;
use super::context::{Context, Global, Trust};
use super::retry::{refused, retry};
use crate::error::{self, CommandError};
use crate::model::view::SCHEMA;
use crate::model::view::verbs::{ResumeView, ResumedView};
use crate::model::{Clock as _, Settings, State, Task, TaskId};
use crate::process::launch;
use crate::store::Lock;
use crate::supervise::by_hand::{self, ByHandError};
use crate::supervise::pass;
use crate::supervise::resuming::{self, How, Step};
use crate::ui::{self, message};

/// Go on with every task that was alive before a reboot, a crash or `wt stop --all`.
///
/// Each goes on in its agent's session where it can, else in its workspace as it stands; what was queued is queued again. What
/// waits for a limit, or whose account rests, goes on at its time, or now if it is named. What failed, or was stopped by name, goes on only if it is
/// named (`wt retry` for what failed). A second `wt resume` does nothing.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Only these tasks; also ones that were stopped by name, or that wait for a limit.
    #[arg(add = ArgValueCandidates::new(task_names))]
    names: Vec<String>,
    /// Show what would go on and how, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(global: &Global, args: &Args) -> Result<u8, CommandError> {
    let mut context = Context::open(global, Trust::Required)?;
    // What a reboot ended is not known as lost before somebody looked.
    if args.dry_run {
        let (site, journal) = context.parts();
        drop(pass::pass(&site, journal, pass::Starts::Nothing));
    } else {
        context.pass();
    }
    let plan = if args.names.is_empty() { unnamed(&mut context)? } else { named(&mut context, &args.names)? };
    let mut failures = Vec::new();
    let mut tasks = Vec::with_capacity(plan.len());
    let mut refusals =
        if args.dry_run { BTreeMap::new() } else { take_up(&mut context, &plan, &args.names)? };
    for (id, Step { was, how, not_before }) in plan {
        let name = id.name.to_string();
        let refusal = refusals.remove(&id);
        let error = refusal.as_ref().map(|refusal| refusal.message.clone());
        let until = if let How::Waits(until) = how { Some(until) } else { not_before };
        let view = ResumedView { name, was, how: how.word(), until, error };
        if !args.json && view.error.is_none() {
            ui::answer(&line(&view));
        }
        tasks.push(view);
        failures.extend(refusal);
    }
    if !args.dry_run {
        context.pass();
        wake_the_waiting(&mut context)?;
        if super::auto::begin(&mut context) && !args.json {
            context.note("what is done lands by itself");
        }
    }
    if !args.json && tasks.is_empty() {
        context.note("nothing was alive that is not alive now");
    }
    let all = tasks.iter().filter(|task| task.error.is_some()).count() == tasks.len();
    if args.json {
        ui::json(&ResumeView { schema: SCHEMA, dry_run: args.dry_run, tasks });
    }
    for refusal in &failures {
        message::error(&refusal.message, &refusal.causes, &refusal.hints);
    }
    Ok(match (failures.is_empty(), all) {
        (true, _) => error::DONE,
        (false, true) => error::REFUSED,
        (false, false) => error::SOME_FAILED,
    })
}

fn unnamed(context: &mut Context) -> Result<Vec<(TaskId, Step)>, CommandError> {
    let (settings, now) = (context.settings().clone(), context.clock().now());
    let roster = context.roster()?;
    let plan = resuming::plan(roster, now, |task| resumes(&settings, task));
    Ok(plan.into_iter().map(|(task, step)| (task.id.clone(), step)).collect())
}

fn named(context: &mut Context, names: &[String]) -> Result<Vec<(TaskId, Step)>, CommandError> {
    let mut plan: Vec<(Task, Step)> = Vec::with_capacity(names.len());
    for name in names {
        let task = context.task(name)?;
        let (resumes, now) = (resumes(context.settings(), &task), context.clock().now());
        let Some(step) = resuming::named(&task, context.roster()?, now, resumes) else {
            let refusal =
                CommandError::refused(format!("`{name}` is {}; nothing was changed", task.state.word()));
            return Err(match task.state {
                State::Failed | State::Dead | State::Rejected => refusal.hint(format!("wt retry {name}")),
                State::Removed { .. } => refusal.hint(format!("wt restore {name}")),
                _ => refusal.hint(format!("wt status {name}")),
            });
        };
        if plan.iter().all(|(other, _)| other.id != task.id) {
            plan.push((task, step));
        }
    }
    plan.sort_by_key(|(task, _)| task.order);
    Ok(plan.into_iter().map(|(task, step)| (task.id, step)).collect())
}

/// Queues those again that are to be: as a person would who named them, or all together. Returns the refusals.
fn take_up(
    context: &mut Context,
    plan: &[(TaskId, Step)],
    named: &[String],
) -> Result<BTreeMap<TaskId, CommandError>, CommandError> {
    let ids: Vec<TaskId> =
        plan.iter().filter(|(_, step)| step.how.takes_up()).map(|(id, _)| id.clone()).collect();
    if !named.is_empty() {
        let again = |id: TaskId| {
            let refusal = retry(context, id.name.as_str(), &BudgetArgs::default()).err()?;
            Some((id, refusal))
        };
        return Ok(ids.into_iter().filter_map(again).collect());
    }
    let (site, journal) = context.parts();
    let outcomes = by_hand::resume_several(&site, journal, &ids);
    let roster = context.roster()?;
    let told = |(id, outcome): (TaskId, Result<(), ByHandError>)| {
        let error = outcome.err()?;
        let refusal = roster.get(&id).map(|task| refused(task, &error));
        Some((id, refusal.unwrap_or_else(|| CommandError::refused(error.to_string()))))
    };
    Ok(ids.into_iter().zip(outcomes).filter_map(told).collect())
}

/// Returns whether the agent of a task can take up a session.
fn resumes(settings: &Settings, task: &Task) -> bool {
    let agent = task.spec.agent.as_ref().and_then(|agent| settings.agents.get(agent));
    agent.is_some_and(|spec| {
        spec.resume_command.is_some() || spec.args.get("resume").is_some_and(|args| !args.is_empty())
    })
}

/// Gives each task that waits for a time somebody who rests until then, where a reboot or a crash left it nobody.
fn wake_the_waiting(context: &mut Context) -> Result<(), CommandError> {
    let layout = context.layout().clone();
    let common = context.repo().common_dir().to_owned();
    let waiting = |task: &&Task| matches!(task.state, State::Waiting { until: Some(_), .. });
    let alone = |task: &&Task| !Lock::is_held(&layout.task(&task.id).lock());
    for task in context.roster()?.live().filter(waiting).filter(alone) {
        // One that cannot be started is found again by the next who looks.
        drop(launch::background(&[pass::PASS, &common.to_string_lossy(), &task.id.to_string()], &common));
    }
    Ok(())
}

fn line(task: &ResumedView) -> String {
    let ResumedView { name, was, how, until, .. } = task;
    let clock = |until: &Timestamp| until.to_zoned(TimeZone::system()).strftime("%b %d %H:%M").to_string();
    let then = match until {
        Some(until) if *how != "waits" => {
            let word = if *how == "queued" { "until" } else { "at" };
            format!(" {word} {}; now with `wt resume {name}`", clock(until))
        }
        _ => String::new(),
    };
    let how = match (*how, until) {
        ("session", _) => "goes on in its session".to_owned(),
        ("fresh", _) => "begins afresh in its workspace".to_owned(),
        ("queued", _) => "is queued again".to_owned(),
        ("waits", Some(until)) => {
            format!("goes on by itself at {}; now with `wt resume {name}`", clock(until))
        }
        ("parked", _) => format!("waits for a person: `wt status {name}`, then `wt retry {name}`"),
        _ => "is alive; nothing was to do".to_owned(),
    };
    format!("{name} was {was}: {how}{then}")
}
