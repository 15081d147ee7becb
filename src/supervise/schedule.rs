//! Which tasks start now: pure, from the roster, the free slots and the time.
//!
//! Order: priority, then tasks that were never tried before tasks that go round again, then age. A task starts when its
//! parents have landed (or are done, where that is enough), its back-off is over, its account does not rest, and its profile
//! has room and no open breaker; of a half-open one, a single task starts. Nothing here looks at a lock or a clock.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::model::breaker::{self, Of, Stance};
use crate::model::event::WaitReason;
use crate::model::settings::Profile;
use crate::model::{Roster, State, Task, TaskId};

/// Returns the parents of `task` that hold it up: those that have not landed, or are not done where that is enough.
pub fn unmet_parents<'a>(task: &'a Task, roster: &Roster) -> Vec<&'a TaskId> {
    task.spec.after.iter().filter(|id| !roster.is_met(task, id)).collect()
}

/// Returns whether the task could start now if a slot were free.
pub fn ready(task: &Task, roster: &Roster, now: Timestamp) -> bool {
    let waiting_is_over = match &task.state {
        State::Queued => roster.held_until(task).is_none_or(|until| until <= now),
        State::Waiting {
            reason: WaitReason::Backoff | WaitReason::RateLimit | WaitReason::Room | WaitReason::Memory,
            until: Some(until),
        } => *until <= now && roster.held_until(task).is_none_or(|until| until <= now),
        _ => false,
    };
    waiting_is_over && unmet_parents(task, roster).is_empty()
}

/// Returns the tasks that are ready, in the order in which they get slots.
pub fn line(roster: &Roster, now: Timestamp) -> Vec<&Task> {
    let mut line: Vec<&Task> = roster.live().filter(|task| ready(task, roster, now)).collect();
    line.sort_by_key(|task| (task.spec.priority, task.tries > 0, task.order));
    line
}

/// Returns those of the `line` whose profile has room for them and whose breaker lets them, in the same order. `launched`
/// are tasks whose runner is about to say that it has started.
pub fn admitted<'a>(
    mut line: Vec<&'a Task>,
    roster: &'a Roster,
    launched: &BTreeSet<TaskId>,
    profiles: &BTreeMap<String, Profile>,
    now: Timestamp,
) -> Vec<&'a Task> {
    let busy = |task: &&Task| matches!(task.state, State::Running { .. }) || launched.contains(&task.id);
    let mut used: BTreeMap<&str, u32> = BTreeMap::new();
    for profile in roster.live().filter(busy).filter_map(|task| task.spec.profile.as_deref()) {
        *used.entry(profile).or_default() += 1;
    }
    let mut shut = shut(roster, launched, now);
    line.retain(|task| {
        let task: &'a Task = task;
        let whose = breaker::of(&task.spec);
        if launched.contains(&task.id) || whose.is_some_and(|whose| shut.contains(&whose)) {
            return false;
        }
        let profile = task.spec.profile.as_deref();
        let most = profile.and_then(|name| Some((name, profiles.get(name)?.slots?)));
        if let Some((name, most)) = most {
            let used = used.entry(name).or_default();
            if *used >= most {
                return false;
            }
            *used += 1;
        }
        if roster.breakers().over(&task.spec).is_some() {
            shut.extend(whose);
        }
        true
    });
    line
}

/// Returns whose tasks may not start: their breaker is open, or it is half open and one of them tries already.
fn shut<'a>(roster: &'a Roster, launched: &BTreeSet<TaskId>, now: Timestamp) -> BTreeSet<Of<'a>> {
    let tries = |task: &Task, since: Timestamp| match task.state {
        State::Running { .. } => task.started_at.is_some_and(|at| at >= since),
        _ => launched.contains(&task.id),
    };
    let tripped = roster.breakers().tripped().filter(|breaker| {
        let since = breaker.until.unwrap_or(now);
        let one_tries =
            || roster.live().any(|task| breaker::of(&task.spec) == Some(breaker.of()) && tries(task, since));
        breaker.stance(now) == Stance::Open || one_tries()
    });
    tripped.map(breaker::Breaker::of).collect()
}

/// Returns when the first of those may start who are kept by nothing but an open breaker or by the rest of their account.
/// It takes no process of a task to wait for that.
pub fn kept_until(roster: &Roster, now: Timestamp) -> Option<Timestamp> {
    if roster.breakers().tripped().next().is_none() && roster.rests().is_empty() {
        return None;
    }
    let at_work = roster.live().filter(|task| unmet_parents(task, roster).is_empty());
    let kept = at_work.filter_map(|task| match task.state {
        State::Waiting { until: Some(until), .. } if until > now => None,
        // The longer of both, and the shorter one is over by then.
        _ => roster.held_until(task).max(roster.broken_until(task)),
    });
    kept.filter(|until| *until > now).min()
}

/// Returns whether a task found no room for its workspace a moment ago and rests: another one would find none either.
pub fn lacks_room(roster: &Roster, now: Timestamp) -> bool {
    roster.live().any(|task| {
        matches!(task.state, State::Waiting { reason: WaitReason::Room, until: Some(until) } if until > now)
    })
}

/// Returns the moment at which the next waiting task becomes ready by time alone.
pub fn next_wake(roster: &Roster, now: Timestamp) -> Option<Timestamp> {
    roster
        .live()
        .filter_map(|task| match &task.state {
            State::Waiting { until: Some(until), .. } if *until > now => Some(*until),
            _ => None,
        })
        .chain(kept_until(roster, now))
        .min()
}

#[cfg(test)]
mod tests;
