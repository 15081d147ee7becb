//! `wt status`.

mod bell;
mod disk;

use std::sync::Arc;

use clap::Args as ClapArgs;
use clap_complete::engine::ArgValueCandidates;
use jiff::Timestamp;

use self::bell::Bell;
use super::completions::task_names;
use super::context::{Context, Global};
use super::{foresee, question};
use crate::error::{self, CommandError, During as _};
use crate::git::clean::{Memory, PATIENCE};
use crate::model::event::WaitReason;
use crate::model::view::{SCHEMA, SlotsView, StatusView, TaskView, TodayView};
use crate::model::{Clock as _, Roster, State, Task};
use crate::observe::look::{Known, Look, forget_ended, recall};
use crate::observe::status::{Vital, breakers, view};
use crate::process::memory;
use crate::store::auto;
use crate::store::clashes::Clashes;
use crate::store::remembered::{Remembered, Seen};
use crate::supervise::{governor, pass};
use crate::ui;
use crate::ui::status::{Columns, Growing, Unlisted};

/// How long an ended task is listed, in seconds.
const RECENT: i64 = 24 * 3600;

/// How many rows a table has at most of tasks that only wait for their turn, and of those that ended.
const ROWS: usize = 100;

/// How long ago dirty workspaces of people must have been compared to be compared again, in seconds.
const BY_HAND: i64 = 60;

/// Show who works, who waits and who is done.
///
/// Lists live tasks and those that ended within a day, of a long queue the next 100 and of what ended the last 100; with names,
/// everything known of each. Changes: commits ahead (↑) of and
/// behind (↓) the target, lines, `*` for uncommitted work, `!` if the commits would conflict with the target as it is now
/// (uncommitted work is not in that), `!2` if the work of 2 other live tasks, uncommitted or not, does not merge with its own as
/// far as is known by now (`wt status NAME` says whose and where), `~` before what is remembered and not seen now.
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
    /// Show anew whenever something changes; the terminal's bell rings when a task is done or calls for a person.
    #[arg(long, conflicts_with_all = ["json", "disk"])]
    watch: bool,
    /// Show what the last `wt status` saw of the workspaces, without looking at them or starting anything.
    #[arg(long)]
    cached: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(global: &Global, args: &Args) -> Result<u8, CommandError> {
    let mut context = Context::open_anyway(global)?;
    if args.watch {
        let mut bell = Bell::default();
        return super::wait::watch(&mut context, |context| {
            show(context, args)?;
            let wanted =
                |task: &&Task| args.names.is_empty() || args.names.contains(&task.name().to_string());
            if bell.heed(context.roster()?.live().filter(wanted)) {
                ui::bell();
            }
            Ok(())
        });
    }
    if args.disk {
        return disk::run(&mut context, &args.names, args.json);
    }
    show(&mut context, args)?;
    Ok(error::DONE)
}

fn show(context: &mut Context, args: &Args) -> Result<(), CommandError> {
    if !args.cached {
        context.pass();
    }
    let now = context.clock().now();
    let named: Vec<Task> = args.names.iter().map(|name| context.task(name)).collect::<Result<_, _>>()?;
    let history;
    let roster = if args.all {
        history = context.journal().history()?;
        history.roster
    } else {
        context.roster()?.clone()
    };
    let mut tasks: Vec<&Task> =
        if named.is_empty() { listed(&roster, args.all, now) } else { named.iter().collect() };
    let table = !args.json && args.names.is_empty();
    let unlisted = if table && !args.all { curtail(&mut tasks) } else { Unlisted::default() };
    let mut remembered = Remembered::load(context.layout());
    let folders = (!args.cached).then(|| Arc::new(Memory::load(&context.layout().folders(), now)));
    let mut seeing = if let Some(folders) = &folders {
        let look =
            Look::begin(context.repo(), &tasks, &remembered, now, PATIENCE, folders, roster.landings());
        Seeing::Now(Box::new(look.during(|| "git cannot be asked about the tasks".to_owned())?))
    } else {
        Seeing::Recalled(tasks.iter().map(|task| recall(task, &remembered)).collect())
    };
    let mut status = around(context, &roster, now);
    let layout = context.layout().clone();
    let clashes = Clashes::load(&layout);
    let vital = Vital {
        memory: (!table && !args.cached).then(|| memory::by_token(&tokens(&tasks))),
        stall: context.settings().limits.stall,
    };
    let view = |task: &Task, known: &Known| view(task, &roster, &layout, known, &clashes, &vital, now);
    if table && !tasks.is_empty() {
        let early: Vec<(TaskView, Growing)> =
            tasks.iter().enumerate().map(|(n, task)| early(view(task, &seeing.so_far(n)), args)).collect();
        let columns = Columns::of(early.iter().map(|(task, growing)| (task, *growing)));
        ui::answer(&columns.head());
        for (n, (task, (early, _))) in tasks.iter().zip(early).enumerate() {
            // Of one without a workspace nothing more is known by now.
            let row = if task.workspace.is_none() { early } else { view(task, &seeing.wait(n)) };
            ui::answer(&columns.row(&row));
        }
        ui::answer(&ui::status::foot(&status, unlisted));
    } else {
        status.tasks = tasks.iter().enumerate().map(|(n, task)| view(task, &seeing.wait(n))).collect();
        if args.json {
            ui::json(&status);
        } else if table {
            ui::answer(ui::status::NONE);
        } else {
            let tasks: Vec<String> = status.tasks.iter().map(ui::table::task).collect();
            ui::answer(&tasks.join("\n\n"));
            question::tell(context, &named);
        }
    }
    // Where there is nothing to remember, looking makes nothing.
    if let Seeing::Now(look) = seeing
        && !tasks.is_empty()
    {
        let before = remembered.clone();
        look.learn(&tasks, &mut remembered);
        if is_news(&tasks, &before, &remembered, &clashes, now) {
            foresee::begin(context);
        }
        forget_ended(&mut remembered, roster.live().map(|task| &task.id));
        // Only a memory of what was just told.
        drop(remembered.save(&layout));
        drop(folders.map(|folders| folders.save()));
    }
    Ok(())
}

/// Whether a workspace, or its target, is not what it was when it was last seen. In a dirty one of a person, whom nobody hears at
/// work, that is as good as certain after a while.
fn is_news(
    tasks: &[&Task],
    before: &Remembered,
    after: &Remembered,
    clashes: &Clashes,
    now: Timestamp,
) -> bool {
    let state = |seen: &Seen| {
        let target = seen.toward.as_ref().map(|toward| toward.target.clone());
        (seen.head.clone(), target, seen.dirty)
    };
    let old = clashes.as_of.is_none_or(|at| now.as_second() - at.as_second() >= BY_HAND);
    tasks.iter().filter(|task| task.workspace.is_some() && !task.state.ended()).any(|task| {
        let seen = after.of(&task.id);
        let at_work = task.state == State::Open && seen.is_some_and(|seen| seen.dirty == Some(true));
        before.of(&task.id).map(state) != seen.map(state) || (at_work && old)
    })
}

/// What is seen of the workspaces.
enum Seeing {
    /// By looking at them.
    Now(Box<Look>),
    /// By remembering, in the order of the tasks.
    Recalled(Vec<Known>),
}

impl Seeing {
    fn so_far(&self, n: usize) -> Known {
        match self {
            Self::Now(look) => look.so_far(n),
            Self::Recalled(known) => known[n].clone(),
        }
    }

    fn wait(&mut self, n: usize) -> Known {
        match self {
            Self::Now(look) => look.wait(n),
            Self::Recalled(known) => known[n].clone(),
        }
    }
}

/// Returns the tokens of running attempts.
fn tokens<'a>(tasks: &[&'a Task]) -> Vec<&'a str> {
    let token = |task: &&'a Task| match &task.state {
        State::Running { token, .. } => Some(token.as_str()),
        _ => None,
    };
    tasks.iter().filter_map(token).collect()
}

fn early(task: TaskView, args: &Args) -> (TaskView, Growing) {
    let growing = if task.worktree.is_some() && !args.cached { Growing::Yes } else { Growing::No };
    (task, growing)
}

/// Returns the view of everything but the tasks.
fn around(context: &mut Context, roster: &Roster, now: Timestamp) -> StatusView {
    let day = context.settings().limits.day;
    let today = day
        .bounds_anything()
        .then(|| TodayView { spent: governor::today(&context.site(), roster, None), budget: day });
    let repo = context.repo();
    let place = repo.main_checkout().unwrap_or_else(|| repo.common_dir());
    StatusView {
        schema: SCHEMA,
        repo: place.to_string_lossy().into_owned(),
        target: context.target().unwrap_or_default(),
        slots: SlotsView { used: pass::used_slots(&context.site()), max: context.settings().limits.slots },
        today,
        auto_error: auto::trouble(context.layout()).map(|trouble| trouble.in_a_line()),
        breakers: breakers(roster, now),
        tasks: Vec::new(),
    }
}

fn listed(roster: &Roster, all: bool, now: Timestamp) -> Vec<&Task> {
    let recent = |task: &Task| task.ended_at.is_some_and(|at| now.as_second() - at.as_second() < RECENT);
    let mut tasks: Vec<&Task> =
        roster.tasks().filter(|task| all || !task.state.ended() || recent(task)).collect();
    tasks.sort_by_key(|task| (rank(&task.state), task.spec.priority, task.order));
    tasks
}

/// Leaves out of a table what is too much of the same: of those that wait for their turn all but the next ones, of those that
/// ended all but the last ones. Returns how many are left out.
fn curtail(tasks: &mut Vec<&Task>) -> Unlisted {
    let waits = |task: &Task| match &task.state {
        State::Queued => true,
        State::Waiting { reason, .. } => *reason != WaitReason::Parked,
        _ => false,
    };
    let mut queued = 0;
    tasks.retain(|task| {
        queued += usize::from(waits(task));
        !waits(task) || queued <= ROWS
    });
    let mut ended: Vec<_> =
        tasks.iter().filter(|task| task.state.ended()).map(|task| task.ended_at).collect();
    ended.sort();
    let mut more = ended.len().saturating_sub(ROWS);
    let unlisted = Unlisted { queued: queued.saturating_sub(ROWS), ended: more };
    let first = more.checked_sub(1).map(|n| ended[n]);
    tasks.retain(|task| {
        let goes = more > 0 && task.state.ended() && first.is_some_and(|first| task.ended_at <= first);
        more -= usize::from(goes);
        !goes
    });
    unlisted
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Event, Record, TaskId, TaskSpec};

    #[test]
    fn the_next_of_the_queue_and_the_last_that_ended_are_listed() {
        let at = |second| Timestamp::from_second(second).expect("a small number of seconds");
        let mut roster = Roster::default();
        let mut tell = |n: i64, event| {
            let id: TaskId = format!("t{n}@1").parse().expect("an id");
            roster.apply(&Record { v: 1, at: at(n), task: Some(id), event }).expect("it fits");
        };
        for n in 0..350 {
            let agent = (n >= 140).then(|| "a".to_owned());
            let name = format!("t{n}").parse().expect("a name");
            tell(n, Event::Queued { spec: TaskSpec { agent, ..TaskSpec::new(name, "main") } });
        }
        // The ones of 0 to 139 are a person's; 120 of them end.
        for n in 0..120 {
            tell(n, Event::Removed { reason: String::new(), trash: None });
        }
        let mut tasks = listed(&roster, false, at(400));
        assert_eq!(curtail(&mut tasks), Unlisted { queued: 110, ended: 20 });
        let named = |n: usize| tasks.iter().any(|task| task.name().as_str() == format!("t{n}"));
        assert!((20..240).all(named) && !(0..20).chain(240..350).any(named));
        assert_eq!(curtail(&mut tasks), Unlisted::default());
        assert_eq!(tasks.len(), 220);
    }
}
