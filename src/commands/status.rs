//! `wt status`.

mod disk;

use clap::Args as ClapArgs;
use clap_complete::engine::ArgValueCandidates;
use jiff::Timestamp;

use super::completions::task_names;
use super::context::{Context, Global, Trust};
use super::question;
use crate::error::{self, CommandError, During as _};
use crate::model::view::{SCHEMA, SlotsView, StatusView, TodayView};
use crate::model::{Clock as _, Roster, State, Task};
use crate::observe::status::{ask_git, view};
use crate::supervise::{governor, pass};
use crate::ui;

/// How long an ended task is listed, in seconds.
const RECENT: i64 = 24 * 3600;

/// Show who works, who waits and who is done.
///
/// Lists live tasks and those that ended within a day; with names, everything known of each.
#[derive(Debug, ClapArgs)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Args {
    /// Tasks to show in full.
    #[arg(add = ArgValueCandidates::new(task_names))]
    names: Vec<String>,
    /// List every task there ever was.
    #[arg(long)]
    all: bool,
    /// Show what the workspaces take on the disk, and what else there is of `wt`.
    #[arg(long)]
    disk: bool,
    /// Show anew whenever something changes.
    #[arg(long, conflicts_with_all = ["json", "disk"])]
    watch: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(global: &Global, args: &Args) -> Result<u8, CommandError> {
    let mut context = Context::open(global, Trust::NotNeeded)?;
    if args.watch {
        return super::wait::watch(&mut context, |context| show(context, args));
    }
    if args.disk {
        return disk::run(&mut context, &args.names, args.json);
    }
    show(&mut context, args)?;
    Ok(error::DONE)
}

fn show(context: &mut Context, args: &Args) -> Result<(), CommandError> {
    context.pass();
    let status = status(context, args)?;
    if args.json {
        ui::json(&status);
    } else if args.names.is_empty() {
        ui::answer(&ui::table::status(&status));
    } else {
        let tasks: Vec<String> = status.tasks.iter().map(ui::table::task).collect();
        ui::answer(&tasks.join("\n\n"));
        let named: Vec<Task> = args.names.iter().map(|name| context.task(name)).collect::<Result<_, _>>()?;
        question::tell(context, &named);
    }
    Ok(())
}

fn status(context: &mut Context, args: &Args) -> Result<StatusView, CommandError> {
    let now = context.clock().now();
    let named: Vec<Task> = args.names.iter().map(|name| context.task(name)).collect::<Result<_, _>>()?;
    let history;
    let roster = if args.all {
        history = context.journal().history()?;
        history.roster
    } else {
        context.roster()?.clone()
    };
    let tasks: Vec<&Task> =
        if named.is_empty() { listed(&roster, args.all, now) } else { named.iter().collect() };
    let facts =
        ask_git(context.repo(), &tasks).during(|| "git cannot be asked about the tasks".to_owned())?;
    let day = context.settings().limits.day;
    let today = day
        .bounds_anything()
        .then(|| TodayView { spent: governor::today(&context.site(), &roster, None), budget: day });
    let repo = context.repo();
    let place = repo.main_checkout().unwrap_or_else(|| repo.common_dir());
    Ok(StatusView {
        schema: SCHEMA,
        repo: place.to_string_lossy().into_owned(),
        target: context.target().unwrap_or_default(),
        slots: SlotsView { used: pass::used_slots(&context.site()), max: context.settings().limits.slots },
        today,
        tasks: tasks.iter().map(|task| view(task, &roster, context.layout(), &facts, now)).collect(),
    })
}

fn listed(roster: &Roster, all: bool, now: Timestamp) -> Vec<&Task> {
    let recent = |task: &Task| task.ended_at.is_some_and(|at| now.as_second() - at.as_second() < RECENT);
    let mut tasks: Vec<&Task> =
        roster.tasks().filter(|task| all || !task.state.ended() || recent(task)).collect();
    tasks.sort_by_key(|task| (rank(&task.state), task.spec.priority, task.order));
    tasks
}

/// What needs eyes first comes first.
fn rank(state: &State) -> u8 {
    match state {
        State::Conflict | State::Review | State::Rejected => 0,
        State::Running { .. } | State::Landing { .. } => 1,
        State::Open => 2,
        State::Done { .. } => 3,
        State::Queued | State::Waiting { .. } | State::Lost { .. } => 4,
        State::Failed | State::Dead | State::Stopped => 5,
        State::Landed | State::Removed { .. } => 6,
    }
}
