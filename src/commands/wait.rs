//! `wt wait`, and waiting for the journal to change.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use clap::Args as ClapArgs;
use clap_complete::engine::ArgValueCandidates;
use notify::{RecursiveMode, Watcher as _};

use super::completions::task_names;
use super::context::{Context, Global};
use super::question;
use crate::error::{self, CommandError, During as _};
use crate::model::account::{account, stopped_with_account};
use crate::model::event::WaitReason;
use crate::model::text::one_line;
use crate::model::view::SCHEMA;
use crate::model::view::verbs::{WaitView, WaitedView};
use crate::model::{Clock as _, State, Task, TaskId, duration};
use crate::observe::status::words;
use crate::store::layout::private_folder;
use crate::supervise::schedule;
use crate::ui::{self, message};

/// Wait until tasks are done or need somebody.
///
/// Waits while any of them is queued, running, or waiting for a slot, a back-off or a limit. Exit code: 0 all done or
/// landed, 1 all failed, 3 some failed, 4 a decision is needed, 124 time limit reached.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Tasks to wait for; none: all live ones.
    #[arg(add = ArgValueCandidates::new(task_names))]
    names: Vec<String>,
    /// Wait for all live tasks.
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// Return as soon as one of them is done.
    #[arg(long)]
    any: bool,
    /// Give up after this long (`90s`, `2h`).
    #[arg(long, value_name = "DURATION")]
    timeout: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(global: &Global, args: &Args) -> Result<u8, CommandError> {
    let mut context = Context::open_anyway(global)?;
    let limit = args.timeout.as_deref().map(duration::parse).transpose();
    let limit = limit.map_err(|error| CommandError::usage(error.to_string()))?;
    let ids = chosen(&mut context, &args.names)?;
    let ended = wait(&mut context, &ids, args.any, limit)?;
    finish(&mut context, &ids, ended, args.json)
}

/// Waits for tasks that were just made; tells and returns the exit code as `wt wait` would.
pub fn for_tasks(context: &mut Context, names: &[String]) -> Result<u8, CommandError> {
    let ids = chosen(context, names)?;
    let ended = wait(context, &ids, false, None)?;
    finish(context, &ids, ended, false)
}

/// Waits for tasks that were just made, without telling; returns the exit code as `wt wait` would.
pub fn silently(context: &mut Context, names: &[String]) -> Result<u8, CommandError> {
    let ids = chosen(context, names)?;
    wait(context, &ids, false, None)?;
    let roster = context.roster()?;
    let tasks: Vec<Task> = ids.iter().filter_map(|id| roster.get(id).cloned()).collect();
    Ok(code(&tasks))
}

fn chosen(context: &mut Context, names: &[String]) -> Result<Vec<TaskId>, CommandError> {
    if names.is_empty() {
        return Ok(context.roster()?.live().map(|task| task.id.clone()).collect());
    }
    names.iter().map(|name| Ok(context.task(name)?.id)).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    AtRest,
    TimedOut,
}

/// Whether waiting for the task makes sense: something will happen to it without a person.
fn moving(task: &Task, context: &mut Context, stuck: bool) -> bool {
    match &task.state {
        State::Running { .. } | State::Landing { .. } | State::Lost { rebooted: false } => true,
        State::Queued if stuck && task.workspace.is_none() => false,
        State::Queued => schedule::unmet_parents(task, context.journal().roster()).is_empty(),
        State::Waiting { reason, .. } => *reason != WaitReason::Parked,
        _ => false,
    }
}

fn wait(
    context: &mut Context,
    ids: &[TaskId],
    any: bool,
    limit: Option<Duration>,
) -> Result<Ended, CommandError> {
    let deadline = limit.map(|limit| Instant::now() + limit);
    let mut changes = Changes::of(context)?;
    let progress = context.progress();
    loop {
        context.pass();
        let tasks: Vec<Task> = {
            let roster = context.roster()?;
            ids.iter().filter_map(|id| roster.get(id).cloned()).collect()
        };
        let stuck = super::room::only_a_person_makes_some(context)?;
        let awaited = tasks.iter().filter(|task| moving(task, context, stuck));
        let awaited: Vec<&str> = awaited.map(|task| task.name().as_str()).collect();
        if awaited.is_empty() || (any && awaited.len() < tasks.len()) {
            return Ok(Ended::AtRest);
        }
        progress.waiting(&one_line(&format!("waiting for {}", awaited.join(", ")), 60));
        if tasks.iter().all(|task| !matches!(task.state, State::Running { .. } | State::Landing { .. })) {
            context.require_startable()?;
        }
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Ok(Ended::TimedOut);
        }
        changes.next(context, deadline)?;
    }
}

fn finish(context: &mut Context, ids: &[TaskId], ended: Ended, json: bool) -> Result<u8, CommandError> {
    let layout = context.layout().clone();
    let roster = context.roster()?;
    let tasks: Vec<Task> = ids.iter().filter_map(|id| roster.get(id).cloned()).collect();
    if json {
        let tasks = tasks
            .iter()
            .map(|task| WaitedView {
                name: task.name().to_string(),
                state: words(task, roster, &layout).0,
                outcome: task.outcome.clone(),
            })
            .collect();
        ui::json(&WaitView { schema: SCHEMA, timed_out: ended == Ended::TimedOut, tasks });
    } else {
        for task in &tasks {
            let (word, reason) = words(task, roster, &layout);
            let parents = || task.spec.after.iter().map(|id| id.name.as_str()).collect::<Vec<_>>().join(", ");
            let why = match reason.as_deref() {
                // Told once, below.
                Some("parked") if stopped_with_account(task) => Some("parked".to_owned()),
                Some("after") => Some(format!("after {}", parents())),
                _ => task.outcome.clone(),
            };
            let why = why.map(|why| format!(": {why}")).unwrap_or_default();
            ui::answer(&one_line(&format!("{} {word}{why}", task.name()), 160));
        }
    }
    tell_parked(&tasks);
    question::tell(context, &tasks);
    Ok(if ended == Ended::TimedOut { error::TIMED_OUT } else { code(&tasks) })
}

/// Says once, not for each task, that an account cannot be used, and how its tasks go on.
fn tell_parked(tasks: &[Task]) {
    let mut parked: BTreeMap<&str, (&str, usize)> = BTreeMap::new();
    for task in tasks.iter().filter(|task| stopped_with_account(task)) {
        let (Some(account), Some(why)) = (account(&task.spec), task.outcome.as_deref()) else { continue };
        let told = parked.entry(account).or_insert((why, 0));
        if matches!(task.state, State::Waiting { .. }) {
            *told = (why, told.1 + 1);
        }
    }
    if parked.is_empty() {
        return;
    }
    for (why, waiting) in parked.values() {
        match waiting {
            // Told with the one that found out.
            0 => {}
            1 => message::warning(&format!("{why}; 1 task waits")),
            n => message::warning(&format!("{why}; {n} tasks wait")),
        }
    }
    message::hint("when the account works again: `wt retry --parked`");
}

fn code(tasks: &[Task]) -> u8 {
    let decision = |task: &&Task| {
        matches!(
            task.state,
            State::Conflict | State::Review | State::Waiting { reason: WaitReason::Parked, .. }
        )
    };
    let failed = |task: &&Task| {
        matches!(
            task.state,
            State::Failed
                | State::Dead
                | State::Stopped
                | State::Rejected
                | State::Lost { .. }
                | State::Removed { .. }
        )
    };
    let failures = tasks.iter().filter(failed).count();
    if tasks.iter().any(|task| decision(&task)) {
        error::DECISION
    } else if failures == 0 {
        error::DONE
    } else if failures == tasks.len() {
        error::REFUSED
    } else {
        error::SOME_FAILED
    }
}

/// Shows something again whenever the journal changes, or what is known of conflicts, until interrupted.
pub fn watch(
    context: &mut Context,
    mut show: impl FnMut(&mut Context) -> Result<(), CommandError>,
) -> Result<u8, CommandError> {
    let clashes = context.layout().clashes();
    let folder = clashes.parent().expect("it stands in a folder of its own");
    context.layout().prepare()?;
    private_folder(folder).during(|| "changes cannot be watched".to_owned())?;
    let mut changes = Changes::below_both(context.layout().root(), folder)?;
    loop {
        ui::clear();
        show(context)?;
        changes.next(context, Some(Instant::now() + Duration::from_secs(2)))?;
    }
}

/// Whether a change says anything: reading and locking touch files too, and whoever waits does both itself.
fn tells(change: &notify::Event) -> bool {
    let lock = |path: &std::path::PathBuf| path.extension().is_some_and(|extension| extension == "lock");
    !change.kind.is_access() && !change.paths.iter().all(lock)
}

/// The longest sleep: runner and guard that were killed in one instant tell nobody, and the kernel has a limit on watches.
const LOOK: Duration = Duration::from_secs(3);

/// Wakes when the journal changes, when a waiting task's time has come, or at a deadline; asks the kernel, not the disk.
pub struct Changes {
    woken: mpsc::Receiver<()>,
    watcher: notify::RecommendedWatcher,
}

impl Changes {
    /// Starts to watch the state folder.
    pub fn of(context: &Context) -> Result<Self, CommandError> {
        context.layout().prepare()?;
        Self::below(context.layout().root())
    }

    /// Starts to watch a folder, not what is below its folders.
    pub fn below(folder: &std::path::Path) -> Result<Self, CommandError> {
        let (wake, woken) = mpsc::channel();
        let what = || "changes cannot be watched".to_owned();
        let mut watcher = notify::recommended_watcher(move |change: notify::Result<notify::Event>| {
            if change.is_ok_and(|change| tells(&change)) {
                let _ = wake.send(());
            }
        })
        .during(what)?;
        watcher.watch(folder, RecursiveMode::NonRecursive).during(what)?;
        Ok(Self { woken, watcher })
    }

    /// Starts to watch two folders.
    pub fn below_both(first: &std::path::Path, second: &std::path::Path) -> Result<Self, CommandError> {
        let mut changes = Self::below(first)?;
        let what = || "changes cannot be watched".to_owned();
        changes.watcher.watch(second, RecursiveMode::NonRecursive).during(what)?;
        Ok(changes)
    }

    /// Waits for the next change.
    pub fn next(&mut self, context: &mut Context, deadline: Option<Instant>) -> Result<(), CommandError> {
        let now = context.clock().now();
        let wake = schedule::next_wake(context.roster()?, now);
        let by_time = wake.and_then(|at| Duration::try_from(at.duration_since(now)).ok());
        let by_deadline = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let limit = by_time.into_iter().chain(by_deadline).fold(LOOK, Duration::min);
        // A time-out is as good a reason to look as a change.
        let _ = self.woken.recv_timeout(limit);
        while self.woken.try_recv().is_ok() {}
        Ok(())
    }
}
