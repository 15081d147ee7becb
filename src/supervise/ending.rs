//! The end of an attempt: what it came to, as the event that records it, and what follows.

use std::error::Error as _;
use std::io;

use rustix::io::Errno;

use super::account;
use super::governor::{self, EndedBy, Judgement, bounded};
use super::meter::Used;
use super::order::{Order, Orders};
use super::ralph;
use super::recovery::{self, Signs, Work, after_attempt};
use super::runner::{Attempt, RunError};
use crate::agent::StoppedBy;
use crate::agent::call::Called;
use crate::model::Event;
use crate::model::event::{Next, WaitReason};
use crate::model::text::bytes;
use crate::model::verdict::{Class, Exit, Verdict};

/// What an attempt came to, before it is known what follows.
pub(super) struct Tried {
    pub(super) called: Called,
    pub(super) used: Used,
    pub(super) work: Work,
}

impl Attempt<'_> {
    /// Returns the event that records the end, and what follows.
    pub(super) fn end(
        &self,
        outcome: Result<Tried, RunError>,
        orders: &Orders,
        judgement: &Judgement,
    ) -> (Event, Next) {
        let now = self.site.clock.now();
        let given = orders.given().filter(|order| *order == Order::Stop || !finished(&outcome));
        let lap = match &outcome {
            Ok(Tried { work: Work::Iteration(found), .. }) if given.is_none() => {
                Some(ralph::lap(self.task, found))
            }
            _ => None,
        };
        let ended = |exit, class, reason, used: Used, swept, next: &Next| Event::Ended {
            attempt: self.number,
            exit,
            class,
            reason,
            usage: used.usage,
            models: used.models,
            lap: lap.clone(),
            swept,
            next: next.clone(),
        };
        match outcome {
            _ if given.is_some() => {
                let (exit, used, swept) = match outcome {
                    Ok(Tried { called, used, .. }) => (called.exit, used, called.swept),
                    Err(_) => (Exit::NotStarted, Used::default(), 0),
                };
                let (class, reason, next) = match given {
                    Some(Order::Park(reason)) => (Class::FleetStop, reason, account::PARKED),
                    _ => (Class::Incomplete, "stopped by hand".to_owned(), Next::Stopped),
                };
                (ended(exit, class, reason, used, swept, &next), next)
            }
            Ok(Tried { called, used, work }) => {
                let signs = Signs {
                    status: called.facts.status,
                    from_outside: called.facts.api_error.is_some()
                        || matches!(called.stopped, Some(StoppedBy::Timeout(_))),
                };
                let (class, next, reason) = recovery::follow(self.task, &called.verdict, signs, &work, now);
                let by = self.cap.ended(&called, &used.usage);
                let (next, reason) = bounded(judgement, by, (next, reason), || governor::tomorrow(self.site));
                let reason = reason + &aside(&called);
                (ended(called.exit, class, reason, used, called.swept, &next), next)
            }
            Err(RunError::Create(error)) if error.lacks_room() => {
                let until = Some(now + recovery::room_rest(self.task, self.number));
                let next = Next::Wait { reason: WaitReason::Room, until, counted: false };
                let reason = chain(&RunError::Create(error));
                (ended(Exit::NotStarted, Class::Retry, reason, Used::default(), 0, &next), next)
            }
            Err(error) if starved(&error) => {
                let until = Some(now + recovery::room_rest(self.task, self.number));
                let next = Next::Wait { reason: WaitReason::Room, until, counted: false };
                (ended(Exit::NotStarted, Class::Retry, chain(&error), Used::default(), 0, &next), next)
            }
            Err(error) => {
                let verdict = Verdict::new(class_of(&error), chain(&error));
                let after = after_attempt(self.task, &verdict, &Work::NotJudged, now);
                let tomorrow = || governor::tomorrow(self.site);
                let (next, reason) = bounded(judgement, EndedBy::Itself, after, tomorrow);
                (ended(Exit::NotStarted, verdict.class, reason, Used::default(), 0, &next), next)
            }
        }
    }
}

/// Returns what else people should know of an attempt: processes that outlived it, output that no log holds.
fn aside(called: &Called) -> String {
    let mut told = Vec::new();
    if called.swept > 0 {
        told.push(format!("leaked: {}", called.swept));
    }
    if called.dropped > 0 {
        told.push(format!("output dropped: {}", bytes(called.dropped)));
    }
    if told.is_empty() { String::new() } else { format!(" ({})", told.join(", ")) }
}

/// Whether the attempt has done its task, or its part of it: then an order to park comes too late.
fn finished(outcome: &Result<Tried, RunError>) -> bool {
    outcome.as_ref().is_ok_and(|tried| {
        matches!(tried.work, Work::Verified { .. } | Work::Nothing { .. } | Work::Iteration(_))
    })
}

/// Whether the machine has no descriptor, process or memory left: that passes, and says nothing of the task.
fn starved(error: &RunError) -> bool {
    let short = |error: &io::Error| {
        let scarce = [Errno::MFILE, Errno::NFILE, Errno::AGAIN, Errno::NOMEM];
        error.raw_os_error().is_some_and(|code| scarce.contains(&Errno::from_raw_os_error(code)))
    };
    if let RunError::Io(error) = error {
        return short(error);
    }
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.downcast_ref().is_some_and(short) {
            return true;
        }
        cause = error.source();
    }
    false
}

fn class_of(error: &RunError) -> Class {
    match error {
        RunError::Agent { .. } | RunError::NoFolder(_) | RunError::Setup(_) | RunError::Iteration(_) => {
            Class::Fail
        }
        RunError::Create(_)
        | RunError::Git(_)
        | RunError::Judge(_)
        | RunError::Io(_)
        | RunError::Journal(_) => Class::Retry,
    }
}

pub(super) fn chain(error: &RunError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    crate::model::text::one_line(&text, 400)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::JournalError;

    #[test]
    fn a_machine_without_descriptors_says_nothing_of_the_task() {
        let error = |errno: Errno| io::Error::from(errno);
        assert!(starved(&RunError::Io(error(Errno::MFILE))));
        assert!(starved(&RunError::Journal(JournalError::Io(error(Errno::AGAIN)))));
        assert!(!starved(&RunError::Io(error(Errno::NOENT))));
        assert!(!starved(&RunError::NoFolder("/w/a".to_owned())));
    }
}
