//! Which tasks start now: pure, from the roster, the free slots and the time.
//!
//! Order: priority, then tasks that were never tried before tasks that go round again, then age. A task starts when its
//! parents have landed and its back-off is over. Nothing here looks at a lock or a clock.

use jiff::Timestamp;

use crate::model::event::WaitReason;
use crate::model::{Roster, State, Task, TaskId};

/// Returns the parents of `task` that have not landed, oldest first.
pub fn unlanded_parents<'a>(task: &'a Task, roster: &Roster) -> Vec<&'a TaskId> {
    task.spec.after.iter().filter(|id| !roster.has_landed(id)).collect()
}

/// Returns whether the task could start now if a slot were free.
pub fn ready(task: &Task, roster: &Roster, now: Timestamp) -> bool {
    let waiting_is_over = match &task.state {
        State::Queued => true,
        State::Waiting { reason: WaitReason::Backoff | WaitReason::RateLimit, until: Some(until) } => {
            *until <= now
        }
        _ => false,
    };
    waiting_is_over && unlanded_parents(task, roster).is_empty()
}

/// Returns the tasks that are ready, in the order in which they get slots.
pub fn line(roster: &Roster, now: Timestamp) -> Vec<&Task> {
    let mut line: Vec<&Task> = roster.live().filter(|task| ready(task, roster, now)).collect();
    line.sort_by_key(|task| (task.spec.priority, task.tries > 0, task.order));
    line
}

/// Returns the moment at which the next waiting task becomes ready by time alone.
pub fn next_wake(roster: &Roster, now: Timestamp) -> Option<Timestamp> {
    roster
        .live()
        .filter_map(|task| match &task.state {
            State::Waiting { until: Some(until), .. } if *until > now => Some(*until),
            _ => None,
        })
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{Event, Next, Record};
    use crate::model::task::Oid;
    use crate::model::verdict::{Class, Exit};
    use crate::model::{TaskSpec, Usage};
    use proptest::prelude::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a small number of seconds")
    }

    fn id(n: usize) -> TaskId {
        format!("t{n}@1").parse().expect("a valid id")
    }

    fn record(n: usize, event: Event) -> Record {
        Record { v: 1, at: at(0), task: Some(id(n)), event }
    }

    fn queued(n: usize, priority: u8, after: Vec<TaskId>) -> Record {
        let spec = TaskSpec {
            agent: Some("a".to_owned()),
            after,
            priority,
            retries: 1,
            ..TaskSpec::new(id(n).name, "main")
        };
        record(n, Event::Queued { spec })
    }

    fn started(n: usize, attempt: u32) -> Record {
        record(n, Event::Started { attempt, token: String::new(), boot: String::new() })
    }

    fn ended(n: usize, attempt: u32, next: Next) -> Record {
        record(
            n,
            Event::Ended {
                attempt,
                exit: Exit::Code(0),
                class: Class::Ok,
                reason: String::new(),
                usage: Usage::default(),
                models: std::collections::BTreeMap::new(),
                lap: None,
                swept: 0,
                next,
            },
        )
    }

    fn head() -> Oid {
        Oid::parse(&"a".repeat(40)).expect("forty digits")
    }

    fn land(n: usize) -> [Record; 2] {
        [
            record(n, Event::LandingStarted { head: head() }),
            record(n, Event::Landed { tip: head(), commits: 1 }),
        ]
    }

    #[test]
    fn priority_then_untried_then_age() {
        let wait = Next::Wait { reason: WaitReason::Backoff, until: Some(at(5)), counted: true };
        let records = [
            queued(0, 3, vec![]),
            queued(1, 3, vec![]),
            queued(2, 1, vec![]),
            started(0, 1),
            ended(0, 1, wait),
        ];
        let roster = Roster::fold(&records);
        let names = |now| line(&roster, now).iter().map(|t| t.name().to_string()).collect::<Vec<_>>();
        assert_eq!(names(at(4)), ["t2", "t1"]);
        assert_eq!(names(at(5)), ["t2", "t1", "t0"]);
        assert_eq!(next_wake(&roster, at(4)), Some(at(5)));
    }

    #[test]
    fn a_child_waits_until_its_parent_has_landed() {
        let done = Next::Done { head: head(), skipped: false };
        let mut records =
            vec![queued(0, 3, vec![]), queued(1, 1, vec![id(0)]), started(0, 1), ended(0, 1, done)];
        assert!(line(&Roster::fold(&records), at(0)).is_empty());
        records.extend(land(0));
        assert_eq!(line(&Roster::fold(&records), at(0))[0].id, id(1));
    }

    proptest! {
        /// Drives a whole site by the decisions alone: slots are never exceeded, no child starts before its parent has
        /// landed, and everything lands in the end.
        #[test]
        fn a_fleet_driven_by_decisions_finishes_within_its_slots(
            priorities in prop::collection::vec(1..=5u8, 1..20),
            parents in prop::collection::vec(any::<prop::sample::Index>(), 20),
            has_parent in prop::collection::vec(any::<bool>(), 20),
            slots in 1..4usize,
        ) {
            let mut roster = Roster::default();
            for (n, priority) in priorities.iter().enumerate() {
                let after = if n > 0 && has_parent[n] { vec![id(parents[n].index(n))] } else { vec![] };
                roster.apply(&queued(n, *priority, after)).unwrap();
            }
            let mut running: Vec<TaskId> = vec![];
            for _ in 0..priorities.len() * 2 {
                let free = slots - running.len();
                let starts: Vec<TaskId> = line(&roster, at(0)).iter().take(free).map(|t| t.id.clone()).collect();
                prop_assert!(starts.len() <= free);
                for id in starts {
                    let task = roster.get(&id).unwrap();
                    prop_assert!(unlanded_parents(task, &roster).is_empty());
                    let event = Event::Started { attempt: 1, token: String::new(), boot: String::new() };
                    roster.apply(&Record { v: 1, at: at(0), task: Some(id.clone()), event }).unwrap();
                    running.push(id);
                }
                if let Some(id) = running.pop() {
                    let n: usize = id.name.as_str()[1..].parse().unwrap();
                    roster.apply(&ended(n, 1, Next::Done { head: head(), skipped: false })).unwrap();
                    for record in land(n) {
                        roster.apply(&record).unwrap();
                    }
                }
            }
            prop_assert!(roster.tasks().all(|task| task.state == State::Landed));
        }
    }
}
