//! Recording the end of an attempt, with what it means for the others of its account.
//!
//! An attempt that finds the account unusable (a refused key, no credit) fails alone: in the same lines of the journal all
//! others of the account that wait are parked, and those that run are ordered to park. INVARIANT: who is told is decided
//! under the journal's lock, so that of several that find out in one instant, one fails and the others are parked.

use super::order;
use crate::model::account::account;
use crate::model::event::{Next, WaitReason};
use crate::model::text::{count, one_line};
use crate::model::verdict::Class;
use crate::model::{Event, Roster, State, Task, TaskId};
use crate::store::journal::Entry;
use crate::store::{Journal, JournalError};
use crate::workspace::Site;

/// What follows an attempt whose account cannot be used: a person.
pub(super) const PARKED: Next = Next::Wait { reason: WaitReason::Parked, until: None, counted: false };

/// Records that the running attempt of `task` ended like that, and returns what follows it in the end; the caller holds
/// the task's lock.
pub(super) fn record(
    site: &Site<'_>,
    journal: &mut Journal,
    task: &Task,
    event: Event,
    next: Next,
) -> Result<Next, JournalError> {
    let folder = site.layout.task(&task.id);
    let next = journal.transact(site.clock.now(), |roster| {
        let Event::Ended { attempt, exit, class, reason, usage, models, lap, swept, .. } = event else {
            return Ok::<_, JournalError>((vec![(Some(task.id.clone()), event)], next));
        };
        let ended = |class, reason, next| {
            let event = Event::Ended { attempt, exit, class, reason, usage, models, lap, swept, next };
            (Some(task.id.clone()), event)
        };
        let over = matches!(next, Next::Done { .. } | Next::Stopped);
        if let Some(reason) = order::parked(&folder, attempt).filter(|_| !over) {
            return Ok((vec![ended(Class::FleetStop, reason, PARKED)], PARKED));
        }
        let Some(account) = account(&task.spec).filter(|_| class == Class::FleetStop && next == Next::Failed)
        else {
            return Ok((vec![ended(class, reason, next.clone())], next));
        };
        let told = one_line(&format!("{account}: {reason}"), 200);
        let (mut parked, running) = others(roster, &task.id, account);
        let all = parked.len() + running.len();
        let reason = match all {
            0 => told.clone(),
            n => format!("{told}; {} of `{account}` parked", count(n, "other task")),
        };
        for other in parked.iter().chain(&running) {
            // Wakes who runs or rests; one that cannot be told finds out for itself.
            drop(order::park(&site.layout.task(&other.id), other.attempt, &told));
        }
        let mut entries: Vec<Entry> = vec![ended(class, reason, next.clone())];
        let event = Event::Parked { reason: told };
        entries.extend(parked.drain(..).map(|other| (Some(other.id.clone()), event.clone())));
        Ok((entries, next))
    })?;
    order::forget(&folder);
    Ok(next)
}

/// Returns the others of the account that wait, and those that run.
fn others<'a>(roster: &'a Roster, id: &TaskId, of: &str) -> (Vec<&'a Task>, Vec<&'a Task>) {
    roster
        .live()
        .filter(|task| task.id != *id && account(&task.spec) == Some(of))
        .filter(|task| match task.state {
            State::Waiting { reason, .. } => reason != WaitReason::Parked,
            State::Queued | State::Running { .. } => true,
            _ => false,
        })
        .partition(|task| !matches!(task.state, State::Running { .. }))
}
