//! One pass of the scheduler: settle what vanished, start what is ready.
//!
//! Nobody is forgotten: a task is queued before its own pass, and a freed slot is always followed by one. A pass runs
//! under `sched.lock`, so that no task is started twice, and takes the task's lock and a slot's before it launches the
//! runner that inherits both.

use std::collections::BTreeSet;
use std::path::PathBuf;

use jiff::Timestamp;

use super::governor::{self, Judgement};
use super::{headroom, reach, schedule, settle};
use crate::failpoint;
use crate::model::{Event, Roster, State, Task, TaskId};
use crate::process::launch;
use crate::store::lock::{DEADLINE, Lock, LockError};
use crate::store::{Journal, JournalError};
use crate::workspace::create::{self, CreateError};
use crate::workspace::{Site, room};

/// The hidden command that becomes a runner.
pub const RUNNER: &str = "__run";

/// The hidden command that is a pass of its own.
pub const PASS: &str = "__pass";

/// The lock of the one who waits for breakers and for accounts that rest.
pub const WAKE: &str = "wake";

/// Whether a pass may start tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Starts {
    /// Those that are ready.
    Ready,
    /// None: it only settles what vanished.
    Nothing,
}

/// What a pass did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Passed {
    /// Attempts whose supervision had vanished.
    pub settled: Vec<TaskId>,
    /// Tasks whose runner was launched.
    pub started: Vec<TaskId>,
    /// Ready tasks that stay queued because the program of their agent is not on this process's `PATH`, and that program.
    pub out_of_reach: Vec<(TaskId, String)>,
}

/// Why a pass stopped.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// The scheduler's lock.
    #[error("the scheduler is busy")]
    Lock(#[from] LockError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A runner could not be launched; its task stays queued.
    #[error("the runner of `{}` cannot be started; the task stays queued", task.name)]
    Launch {
        /// The task.
        task: TaskId,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Runs a pass, or finds at a glance that there is nothing for one to do.
pub fn pass(site: &Site<'_>, journal: &mut Journal, starts: Starts) -> Result<Passed, PassError> {
    journal.read()?;
    if !worthwhile(site, journal) {
        return Ok(Passed::default());
    }
    // Before the scheduler's lock: the git lock comes first in the written order.
    furnish_open(site, journal)?;
    let _turn = Lock::take(&site.layout.lock("sched"), DEADLINE, "scheduling pass")?;
    journal.read()?;
    let settled = settle_vanished(site, journal)?;
    let mut passed = Passed { settled, ..Passed::default() };
    if starts == Starts::Ready {
        start_ready(site, journal, &mut passed)?;
    }
    Ok(passed)
}

fn worthwhile(site: &Site<'_>, journal: &Journal) -> bool {
    let roster = journal.roster();
    let vanished = |id: &TaskId| !Lock::is_held(&site.layout.task(id).lock());
    let unserved = |task: &Task| matches!(task.state, State::Running { .. }) || unfurnished(task);
    let now = site.clock.now();
    roster.live().any(|task| unserved(task) && vanished(&task.id))
        || schedule::line(roster, now).iter().any(|task| vanished(&task.id))
        || (schedule::kept_until(roster, now).is_some() && !Lock::is_held(&site.layout.lock(WAKE)))
}

/// Whether a person waits for a workspace that a killed `wt spawn` did not finish.
fn unfurnished(task: &Task) -> bool {
    task.state == State::Open && task.workspace.is_none()
}

/// Finishes what a killed `wt spawn --no-agent` began; where that cannot be, its name is free again.
fn furnish_open(site: &Site<'_>, journal: &mut Journal) -> Result<(), JournalError> {
    let roster = journal.read()?;
    let open: Vec<TaskId> =
        roster.live().filter(|task| unfurnished(task)).map(|task| task.id.clone()).collect();
    for id in open {
        let Ok(Some(_lock)) = Lock::try_take(&site.layout.task(&id).lock()) else { continue };
        let Some(task) = journal.read()?.get(&id).filter(|task| unfurnished(task)).cloned() else { continue };
        match create::create(site, journal, &task) {
            // Busy or full: a later pass tries again.
            Ok(_) | Err(CreateError::Lock(_) | CreateError::Journal(_)) => {}
            Err(error) if error.lacks_room() => {}
            Err(error) => {
                let reason = format!("its workspace could not be made: {error}");
                let removed = Event::Removed { reason, trash: None };
                journal.append(site.clock.now(), vec![(Some(id), removed)])?;
            }
        }
    }
    Ok(())
}

fn settle_vanished(site: &Site<'_>, journal: &mut Journal) -> Result<Vec<TaskId>, PassError> {
    let running: Vec<TaskId> = journal
        .roster()
        .live()
        .filter(|task| matches!(task.state, State::Running { .. }))
        .map(|task| task.id.clone())
        .collect();
    let mut settled = Vec::new();
    for id in running {
        let Ok(Some(lock)) = Lock::try_take(&site.layout.task(&id).lock()) else { continue };
        // Its runner may have ended it just before it let go of the lock.
        let Some(task) = journal.read()?.get(&id).cloned() else { continue };
        if matches!(task.state, State::Running { .. }) {
            settle::settle(site, journal, &task, &lock)?;
            settled.push(id);
        }
    }
    Ok(settled)
}

fn start_ready(site: &Site<'_>, journal: &mut Journal, passed: &mut Passed) -> Result<(), PassError> {
    let roster = journal.read()?;
    let now = site.clock.now();
    let mut ready = schedule::line(roster, now);
    reach::part(site, &mut ready, &mut passed.out_of_reach);
    if schedule::kept_until(roster, now).is_some() {
        see_to_waking(site);
    }
    // Whoever frees one looks again: a long queue costs no look at its locks until then.
    if ready.is_empty() || !has_free_slot(site) {
        return Ok(());
    }
    let launched = launched(site, &ready, roster);
    let line: Vec<TaskId> = schedule::admitted(ready, roster, &launched, &site.settings.profiles, now)
        .into_iter()
        .map(|task| task.id.clone())
        .collect();
    if line.is_empty() {
        return Ok(());
    }
    let mut over_budget = Vec::new();
    let mut waker = None;
    let short = headroom::short_of_memory(site).is_some();
    let mut looked_for = short && headroom::somebody_rests(site, roster, site.clock.now());
    // Before any lock is taken here: whoever is about to get a workspace is known by its lock.
    let mut room = room_left(site, roster);
    for id in line {
        // Held: its spawn is still furnishing it, or a runner in back-off is about to queue it again.
        let Ok(Some(lock)) = Lock::try_take(&site.layout.task(&id).lock()) else { continue };
        let roster = journal.read()?;
        if !roster.get(&id).is_some_and(|task| schedule::ready(task, roster, site.clock.now())) {
            continue;
        }
        if let Some(reason) = roster.get(&id).and_then(|task| day_spent(site, roster, task)) {
            // One runner waits for midnight and then serves the queue; the others need no process for that.
            let until = governor::tomorrow(site);
            let awaited = waker.get_or_insert_with(|| sleeper(site, roster, until));
            if *awaited {
                over_budget.push((id, Event::OverBudget { reason, until: Some(until) }));
                continue;
            }
            *awaited = true;
        }
        if short && std::mem::replace(&mut looked_for, true) {
            // One runner rests and looks again; the others need no process for that.
            break;
        }
        let fresh = roster.get(&id).is_some_and(|task| task.workspace.is_none());
        let half_made = || site.layout.task(&id).making().exists();
        if fresh && !half_made() {
            if room == 0 {
                continue;
            }
            room -= 1;
        }
        let Some(slot) = free_slot(site) else { break };
        failpoint::hit("pass.before_launch");
        start(site, &id, &lock, &slot).map_err(|source| PassError::Launch { task: id.clone(), source })?;
        failpoint::hit("pass.after_launch");
        passed.started.push(id);
    }
    hold_over_budget(site, journal, over_budget)
}

/// Records all at once who waits for tomorrow's budget, of those that still could start.
fn hold_over_budget(
    site: &Site<'_>,
    journal: &mut Journal,
    over: Vec<(TaskId, Event)>,
) -> Result<(), PassError> {
    let now = site.clock.now();
    if over.is_empty() {
        return Ok(());
    }
    let still = |roster: &Roster, id: &TaskId| {
        roster.get(id).is_some_and(|task| schedule::ready(task, roster, now))
            && !Lock::is_held(&site.layout.task(id).lock())
    };
    Ok(journal.transact(now, |roster| {
        let held = over.into_iter().filter(|(id, _)| still(roster, id));
        Ok::<_, JournalError>((held.map(|(id, event)| (Some(id), event)).collect(), ()))
    })?)
}

/// Returns those of `ready` whose runner was launched and is about to say so, where it matters: their profile has so many
/// slots, or their breaker lets one try. Nobody else is started twice, for the lock is taken first.
fn launched(site: &Site<'_>, ready: &[&Task], roster: &Roster) -> BTreeSet<TaskId> {
    let profiles = &site.settings.profiles;
    let has_slots = |name: &String| profiles.get(name).is_some_and(|profile| profile.slots.is_some());
    let counts = |task: &&&Task| {
        task.spec.profile.as_ref().is_some_and(has_slots) || roster.breakers().over(&task.spec).is_some()
    };
    let held = |task: &&&Task| Lock::is_held(&site.layout.task(&task.id).lock());
    ready.iter().filter(counts).filter(held).map(|task| task.id.clone()).collect()
}

/// Sees to it that somebody runs a pass when the breaker half opens, or the rest of the account ends, that keeps tasks from
/// starting.
fn see_to_waking(site: &Site<'_>) {
    let common = site.repo.common_dir();
    if !Lock::is_held(&site.layout.lock(WAKE)) {
        // Where it cannot be started, the next command's pass does the same.
        drop(launch::background(&[PASS, common.to_str().unwrap_or_default()], common));
    }
}

/// Returns how many tasks that have no workspace yet can get one. The others stay queued, and need no process for that:
/// room is made by a landing or a sweep, which a pass follows, or is found again by the one that rests for it.
pub fn room_left(site: &Site<'_>, roster: &Roster) -> usize {
    if schedule::lacks_room(roster, site.clock.now()) {
        return 0;
    }
    // Those that are launched may have no worktree in git's books yet.
    let about_to = roster.live().filter(|task| {
        task.workspace.is_none()
            && !matches!(task.state, State::Waiting { .. })
            && Lock::is_held(&site.layout.task(&task.id).lock())
    });
    // What git cannot tell, the runner will.
    room::left(site.repo, site.settings, about_to.map(Task::name)).ok().flatten().unwrap_or(usize::MAX)
}

/// Returns why nothing starts today, if the day's budget is used up.
fn day_spent(site: &Site<'_>, roster: &Roster, task: &Task) -> Option<String> {
    match governor::before_start(site, roster, task) {
        Judgement::DaySpent { reason } => Some(reason),
        _ => None,
    }
}

/// Returns whether a runner waits until `until` already.
fn sleeper(site: &Site<'_>, roster: &Roster, until: Timestamp) -> bool {
    roster.live().any(|task| {
        matches!(&task.state, State::Waiting { until: Some(at), .. } if *at == until)
            && Lock::is_held(&site.layout.task(&task.id).lock())
    })
}

/// Returns the first free slot, taken. Those count that were given out before the limit was lowered: nothing is ended for
/// it, and nothing starts until there are fewer.
pub fn free_slot(site: &Site<'_>) -> Option<Lock> {
    if !has_free_slot(site) {
        return None;
    }
    (0..site.settings.limits.slots).find_map(|n| Lock::try_take(&site.layout.slot(n)).ok().flatten())
}

fn has_free_slot(site: &Site<'_>) -> bool {
    used_slots(site) < site.settings.limits.slots
}

/// Returns how many slots are held right now, those beyond a lowered limit too.
pub fn used_slots(site: &Site<'_>) -> u32 {
    let held = |n: &u32| Lock::is_held(&site.layout.slot(*n));
    let most = site.settings.limits.slots;
    let within = (0..most).filter(held).count();
    let beyond = site.layout.slots_made().into_iter().filter(|n| *n >= most).filter(held).count();
    u32::try_from(within + beyond).unwrap_or(u32::MAX)
}

fn start(site: &Site<'_>, id: &TaskId, lock: &Lock, slot: &Lock) -> std::io::Result<()> {
    let common = site.repo.common_dir();
    let id = id.to_string();
    let arguments = [RUNNER, common.to_str().unwrap_or_default(), &id];
    launch::launch(&arguments, common, lock.share()?, slot.share()?)
}

/// Returns the `wt` command that a guard becomes when its runner died: a pass that also waits for the task's back-off.
pub fn follow_up(site: &Site<'_>, id: &TaskId) -> Vec<String> {
    let common: PathBuf = site.repo.common_dir().to_owned();
    vec![PASS.to_owned(), common.to_string_lossy().into_owned(), id.to_string()]
}
