//! What goes on after everything stood still: a reboot, a crash, `wt stop --all`. Pure.
//!
//! Invariant: only what was alive then goes on by itself, and only once: whatever this chooses is in another state as soon as
//! it was taken up. What failed, or what a person stopped by name, is a person's to run again.

use jiff::Timestamp;

use super::schedule;
use crate::model::event::WaitReason;
use crate::model::{Roster, State, Task};

/// How a task goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// In its agent's session.
    Session,
    /// With a fresh agent, in the workspace as it stands.
    Fresh,
    /// It had not begun: it is queued again.
    Queued,
    /// By itself, when its time has come.
    Waits(Timestamp),
    /// Only a person can say when: a question, or its account.
    Parked,
    /// It is alive: there is nothing to do.
    Alive,
}

impl How {
    /// Returns the word for it in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Fresh => "fresh",
            Self::Queued => "queued",
            Self::Waits(_) => "waits",
            Self::Parked => "parked",
            Self::Alive => "alive",
        }
    }

    /// Returns whether the task is to be queued for it.
    pub fn takes_up(self) -> bool {
        matches!(self, Self::Session | Self::Fresh | Self::Queued)
    }
}

/// One task, and how it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The word of its state while it was alive.
    pub was: &'static str,
    /// How it goes on.
    pub how: How,
    /// When at the earliest, where its account rests or the breaker of its profile or agent is open.
    pub not_before: Option<Timestamp>,
}

/// Returns the tasks that go on by themselves, and those that wait, in the order in which they were queued. `resumes` tells
/// whether the agent of a task can take up its session.
pub fn plan(roster: &Roster, now: Timestamp, resumes: impl Fn(&Task) -> bool) -> Vec<(&Task, Step)> {
    let mut plan: Vec<(&Task, Step)> = roster
        .live()
        .filter_map(|task| {
            let step = unnamed(task, resumes(task))?;
            // One that its parents hold up starts when they let it, whatever else is over by then.
            let alone = schedule::unmet_parents(task, roster).is_empty();
            let kept = roster.kept_until(task, now).filter(|_| step.how.takes_up() && alone);
            let how = match step.how {
                // Its back-off may be over before others let it start.
                How::Waits(own) => {
                    How::Waits(own.max(roster.held_until(task).max(roster.broken_until(task)).unwrap_or(own)))
                }
                how => how,
            };
            Some((task, Step { not_before: kept, how, ..step }))
        })
        .collect();
    plan.sort_by_key(|(task, _)| task.order);
    plan
}

/// Returns how a task goes on that nobody named; `None`: it was not alive, or still is.
fn unnamed(task: &Task, resumes: bool) -> Option<Step> {
    match (&task.state, &task.stopped_with_all) {
        // One whose supervision alone was killed goes on by itself.
        (State::Lost { rebooted: true }, _) => Some(step("running", again(task, resumes))),
        // It was stopped, and what it waited for is none the less a person's to say.
        (State::Stopped, Some(then @ State::Waiting { reason: WaitReason::Parked, .. })) => {
            Some(step(then.word(), How::Parked))
        }
        (State::Stopped, Some(then)) => Some(step(then.word(), again(task, resumes))),
        (State::Waiting { .. }, _) => Some(waiting(task)),
        _ => None,
    }
}

/// Returns how a task goes on that a person named: at once, whatever keeps the others. `None`: its state is none to go on from.
pub fn named(task: &Task, roster: &Roster, now: Timestamp, resumes: bool) -> Option<Step> {
    let was = task.stopped_with_all.as_ref().unwrap_or(&task.state).word();
    match &task.state {
        State::Stopped | State::Lost { .. } | State::Waiting { .. } => Some(step(was, again(task, resumes))),
        State::Queued
            if !task.at_once
                && roster.kept_until(task, now).is_some()
                && schedule::unmet_parents(task, roster).is_empty() =>
        {
            Some(step(was, again(task, resumes)))
        }
        State::Queued | State::Running { .. } => Some(step(was, How::Alive)),
        _ => None,
    }
}

fn waiting(task: &Task) -> Step {
    let how = match &task.state {
        State::Waiting { reason: WaitReason::Parked, .. } | State::Waiting { until: None, .. } => How::Parked,
        State::Waiting { until: Some(until), .. } => How::Waits(*until),
        _ => How::Alive,
    };
    step(task.state.word(), how)
}

fn step(was: &'static str, how: How) -> Step {
    Step { was, how, not_before: None }
}

/// How the next attempt begins; the same as `calling` decides once it runs.
fn again(task: &Task, resumes: bool) -> How {
    match (task.attempt, &task.session) {
        (0, _) => How::Queued,
        (_, Some(_)) if resumes && !task.lap_over => How::Session,
        _ => How::Fresh,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{Event, Next, Record};
    use crate::model::verdict::{Class, Exit};
    use crate::model::{TaskId, TaskSpec, Usage};

    fn id(n: usize) -> TaskId {
        format!("t{n}@1").parse().expect("a valid id")
    }

    fn of(n: usize, event: Event) -> Record {
        Record { v: 1, at: Timestamp::UNIX_EPOCH, task: Some(id(n)), event }
    }

    fn queued(n: usize) -> Record {
        let spec = TaskSpec { agent: Some("a".to_owned()), ..TaskSpec::new(id(n).name, "main") };
        of(n, Event::Queued { spec })
    }

    fn started(n: usize) -> Record {
        of(n, Event::Started { attempt: 1, token: String::new(), boot: String::new() })
    }

    fn session(n: usize) -> Record {
        of(n, Event::Session { session: "s".to_owned(), model: None })
    }

    fn lost(n: usize, rebooted: bool) -> Record {
        of(n, Event::Lost { attempt: 1, reason: String::new(), checkpoint: None, rebooted })
    }

    fn all(tasks: &[usize]) -> Record {
        let tasks = tasks.iter().map(|n| id(*n)).collect();
        Record { task: None, ..of(0, Event::StoppingAll { tasks }) }
    }

    fn told(records: &[Record]) -> Vec<(String, &'static str, &'static str)> {
        let roster = Roster::fold(records);
        assert_eq!(roster.misfits(), 0);
        let plan = plan(&roster, Timestamp::UNIX_EPOCH, |_| true);
        plan.iter().map(|(task, step)| (task.name().to_string(), step.was, step.how.word())).collect()
    }

    fn by_name(roster: &Roster, n: usize) -> Option<Step> {
        named(roster.get(&id(n)).unwrap(), roster, Timestamp::UNIX_EPOCH, true)
    }

    fn told_as(name: &str, was: &'static str, how: &'static str) -> (String, &'static str, &'static str) {
        (name.to_owned(), was, how)
    }

    #[test]
    fn what_a_reboot_ended_goes_on_where_it_can() {
        let mut records =
            vec![queued(0), started(0), session(0), queued(1), started(1), queued(2), started(2)];
        records.extend([lost(0, true), lost(1, true), lost(2, false)]);
        assert_eq!(told(&records), [told_as("t0", "running", "session"), told_as("t1", "running", "fresh")]);
        let roster = Roster::fold(&records);
        assert_eq!(
            plan(&roster, Timestamp::UNIX_EPOCH, |_| false)[0].1.how,
            How::Fresh,
            "its agent has no sessions"
        );
        records.extend([of(0, Event::Resumed), of(1, Event::Resumed)]);
        assert_eq!(told(&records), [], "once");
    }

    #[test]
    fn only_what_was_stopped_with_all_goes_on_unnamed() {
        let mut records = vec![queued(0), queued(1), queued(2), of(0, Event::Stopped), all(&[1, 2])];
        assert_eq!(told(&records), [], "they are not stopped yet");
        records.extend([of(2, Event::Stopped), of(1, Event::Stopped)]);
        let both = [told_as("t1", "queued", "queued"), told_as("t2", "queued", "queued")];
        assert_eq!(told(&records), both);
        let roster = Roster::fold(&records);
        let named = by_name(&roster, 0).unwrap();
        assert_eq!((named.was, named.how), ("stopped", How::Queued), "a person may name it");
        // The next time that all are stopped, it is about other tasks.
        records.extend([queued(3), all(&[3]), of(3, Event::Stopped)]);
        assert_eq!(told(&records), [told_as("t3", "queued", "queued")]);
        records.extend([of(3, Event::Retried), of(3, Event::Stopped)]);
        assert_eq!(told(&records), [], "stopped by name since");
    }

    #[test]
    fn stopping_all_again_for_one_that_did_not_end_forgets_nobody() {
        let mut records = vec![queued(0), queued(1), all(&[0, 1]), of(0, Event::Stopped)];
        records.extend([all(&[1]), of(1, Event::Stopped)]);
        assert_eq!(told(&records).len(), 2);
    }

    #[test]
    fn what_waits_is_told_and_left() {
        let until = Timestamp::from_second(9).expect("a small number");
        let parked = of(1, Event::Parked { reason: String::new() });
        let limited = of(0, Event::OverBudget { reason: String::new(), until: Some(until) });
        let records = [queued(0), queued(1), limited, parked];
        assert_eq!(told(&records), [told_as("t0", "waiting", "waits"), told_as("t1", "waiting", "parked")]);
        let roster = Roster::fold(&records);
        assert!(by_name(&roster, 0).unwrap().how.takes_up(), "named, it goes on now");
    }

    #[test]
    fn what_was_parked_when_all_were_stopped_stays_a_persons_to_run_again() {
        let parked = of(0, Event::Parked { reason: String::new() });
        let records = [queued(0), parked, all(&[0]), of(0, Event::Stopped)];
        assert_eq!(told(&records), [told_as("t0", "waiting", "parked")]);
        assert!(by_name(&Roster::fold(&records), 0).unwrap().how.takes_up());
    }

    #[test]
    fn what_waits_is_told_with_the_end_of_what_keeps_it() {
        let at = |second| Timestamp::from_second(second).expect("a small number");
        let failed = |attempt: u32, second: i64| Event::Ended {
            attempt,
            exit: Exit::Code(1),
            class: Class::Retry,
            reason: String::new(),
            usage: Usage::default(),
            models: std::collections::BTreeMap::new(),
            lap: None,
            swept: 0,
            next: Next::Wait { reason: WaitReason::Backoff, until: Some(at(second)), counted: true },
        };
        let mut records = vec![queued(0)];
        for attempt in 1..=3 {
            records.push(of(0, Event::Started { attempt, token: String::new(), boot: String::new() }));
            records.push(of(0, failed(attempt, 5)));
        }
        let roster = Roster::fold(&records);
        let plan = plan(&roster, at(1), |_| true);
        assert_eq!(plan[0].1.how, How::Waits(at(300)), "the breaker of its agent is open");
        let child =
            TaskSpec { agent: Some("a".to_owned()), after: vec![id(0)], ..TaskSpec::new(id(1).name, "main") };
        let child = [of(1, Event::Queued { spec: child }), queued(2), all(&[1, 2])];
        records.extend(child.into_iter().chain([1, 2].map(|n| of(n, Event::Stopped))));
        let roster = Roster::fold(&records);
        let plan = super::plan(&roster, at(1), |_| true);
        assert_eq!(
            [plan[1].1.not_before, plan[2].1.not_before],
            [None, Some(at(300))],
            "its parent holds it up first"
        );
    }

    #[test]
    fn what_was_stopped_while_its_account_rested_waits_for_the_end_of_the_limit() {
        let until = Timestamp::from_second(9).expect("a small number");
        let next = Next::Wait { reason: WaitReason::RateLimit, until: Some(until), counted: false };
        let ended = |class, next| Event::Ended {
            attempt: 1,
            exit: Exit::Code(1),
            class,
            reason: String::new(),
            usage: Usage::default(),
            models: std::collections::BTreeMap::new(),
            lap: None,
            swept: 0,
            next,
        };
        let other = TaskSpec { agent: Some("b".to_owned()), ..TaskSpec::new(id(3).name, "main") };
        let mut records = vec![queued(0), queued(1), queued(2), of(3, Event::Queued { spec: other })];
        records.extend([
            started(0),
            started(1),
            session(1),
            of(0, ended(Class::Park, next)),
            all(&[0, 1, 2, 3]),
        ]);
        records.extend([0, 2, 3].map(|n| of(n, Event::Stopped)));
        records.push(of(1, ended(Class::Retry, Next::Stopped)));
        let steps = |records: &[Record], now: i64| {
            let roster = Roster::fold(records);
            let plan = plan(&roster, Timestamp::from_second(now).expect("a small number"), |_| true);
            let step =
                |(task, step): &(&Task, Step)| (task.name().to_string(), step.how.word(), step.not_before);
            plan.iter().map(step).collect::<Vec<_>>()
        };
        let row = |n: usize, how, not_before| (format!("t{n}"), how, not_before);
        let kept = [
            row(0, "fresh", Some(until)),
            row(1, "session", Some(until)),
            row(2, "queued", Some(until)),
            row(3, "queued", None),
        ];
        assert_eq!(steps(&records, 8), kept);
        assert!(steps(&records, 9).iter().all(|(.., not_before)| not_before.is_none()));
        records.extend([0, 1, 2, 3].map(|n| of(n, Event::Resumed)));
        let roster = Roster::fold(&records);
        assert_eq!(roster.misfits(), 0);
        let held = |roster: &Roster, n| roster.held_until(roster.get(&id(n)).unwrap());
        assert_eq!([0, 1, 2, 3].map(|n| held(&roster, n)), [Some(until), Some(until), Some(until), None]);
        assert!(by_name(&roster, 1).unwrap().how.takes_up(), "named, it goes on now");
        records.push(of(1, Event::Retried));
        let roster = Roster::fold(&records);
        assert_eq!([0, 1, 2].map(|n| held(&roster, n)), [Some(until), None, Some(until)]);
        assert_eq!(by_name(&roster, 1).unwrap().how, How::Alive);
        records.push(of(0, Event::Retried));
        assert_eq!(held(&Roster::fold(&records), 2), None, "a person knows that the limit is over");
    }
}
