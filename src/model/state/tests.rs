//! Tests of what the events of a task make of its state.

use super::*;
use crate::model::Usage;
use crate::model::task::Oid;
use crate::model::verdict::{Class, Exit};
use proptest::prelude::*;

fn oid() -> Oid {
    Oid::parse(&"0".repeat(40)).expect("forty digits")
}

fn ended(attempt: u32, next: Next) -> Event {
    let (exit, class, usage) = (Exit::Code(0), Class::Ok, Usage::default());
    let (models, lap) = (std::collections::BTreeMap::new(), None);
    Event::Ended { attempt, exit, class, reason: String::new(), usage, models, lap, swept: 0, next }
}

fn any_event() -> impl Strategy<Value = Event> {
    let attempt = 1..3u32;
    prop_oneof![
        attempt.clone().prop_map(|attempt| Event::Started {
            attempt,
            token: "t".to_owned(),
            boot: "b".to_owned()
        }),
        attempt.clone().prop_map(|n| ended(n, Next::Done { head: oid(), skipped: false })),
        attempt
            .clone()
            .prop_map(|n| ended(n, Next::Wait { reason: WaitReason::Backoff, until: None, counted: true })),
        attempt.clone().prop_map(|n| ended(n, Next::Iterate)),
        attempt.clone().prop_map(|n| ended(n, Next::Failed)),
        attempt.clone().prop_map(|n| ended(n, Next::Dead)),
        attempt.clone().prop_map(|n| ended(n, Next::Stopped)),
        (attempt, any::<bool>()).prop_map(|(attempt, rebooted)| Event::Lost {
            attempt,
            reason: String::new(),
            checkpoint: None,
            rebooted
        }),
        Just(Event::Requeued { until: Timestamp::UNIX_EPOCH }),
        Just(Event::Exhausted),
        Just(Event::Stopped),
        Just(Event::Parked { reason: String::new() }),
        Just(Event::ReviewNeeded { reason: String::new(), paths: vec![], onto: oid(), candidate: None }),
        Just(Event::Approved { head: None }),
        Just(Event::Retried),
        Just(Event::Resumed),
        Just(Event::OverBudget { reason: String::new(), until: None }),
        Just(Event::OverBudget { reason: String::new(), until: Some(Timestamp::UNIX_EPOCH) }),
        Just(Event::MarkedDone { head: oid(), skipped: false }),
        Just(Event::LandingStarted { head: oid() }),
        Just(Event::LandingAborted { reason: String::new() }),
        Just(Event::Conflicted { paths: vec![], onto: oid(), reason: None }),
        Just(Event::Rejected { reason: String::new(), onto: oid(), log: None }),
        Just(Event::Landed { tip: oid(), commits: 1 }),
        Just(Event::Unlanded { to: State::Done { skipped: false } }),
        Just(Event::Unlanded { to: State::Stopped }),
        Just(Event::Unlanded { to: State::Queued }),
        Just(Event::Removed { reason: String::new(), trash: None }),
        Just(Event::Unknown),
    ]
}

proptest! {
    /// Whatever happens in whatever order: what is refused changes nothing, a landed task stays landed unless it is
    /// removed or its landing is taken back, which makes it land again and never run; running is entered by `Started` alone and left only by its own attempt's end or loss, and `landed`
    /// is reached from a landing alone.
    #[test]
    fn any_sequence_of_events_keeps_the_invariants(
        open: bool,
        events in prop::collection::vec(any_event(), 0..60),
    ) {
        let mut state = if open { State::Open } else { State::Queued };
        for event in events {
            let before = state.clone();
            let Ok(after) = before.clone().apply(&event) else { continue };
            match (&before, &after) {
                (State::Landed, after) => {
                    let removed = matches!(after, State::Removed { .. });
                    let back = matches!(event, Event::Unlanded { .. })
                        && after.clone().apply(&Event::LandingStarted { head: oid() }).is_ok();
                    let stays = *after == State::Landed;
                    prop_assert!(removed || back || stays, "landed became {}", after.word());
                }
                (State::Running { attempt, .. }, State::Running { .. }) => {
                    let keeps = matches!(event, Event::Unknown);
                    prop_assert!(keeps, "attempt {attempt} was replaced by {event:?}");
                }
                (State::Running { attempt, .. }, _) => {
                    let own = matches!(&event, Event::Ended { attempt: n, .. } | Event::Lost { attempt: n, .. } if n == attempt);
                    prop_assert!(own, "attempt {attempt} was ended by {event:?}");
                }
                (_, State::Running { .. }) => {
                    let started = matches!(event, Event::Started { .. });
                    prop_assert!(started);
                }
                (from, State::Landed) => {
                    let landing = matches!(from, State::Landing { .. });
                    prop_assert!(landing);
                }
                _ => {}
            }
            state = after;
        }
    }
}

#[test]
fn a_removed_task_comes_back_as_it_was() {
    let rejected = State::Landing { from: Box::new(State::Done { skipped: false }) }
        .apply(&Event::Rejected { reason: "red".to_owned(), onto: oid(), log: None })
        .unwrap();
    let removed = rejected.clone().apply(&Event::Removed { reason: String::new(), trash: None }).unwrap();
    assert!(removed.ended());
    let workspace = crate::model::Workspace {
        path: "/w".to_owned(),
        branch: "wt/a".to_owned(),
        base: oid(),
        entry: "a".to_owned(),
        copied: vec![],
        ports: Vec::new(),
    };
    assert_eq!(removed.apply(&Event::Restored { workspace }).unwrap(), rejected);
}

#[test]
fn a_landing_that_is_taken_back_leaves_what_can_land_again() {
    let landing = |from: State| State::Landing { from: Box::new(from) };
    let landed = landing(State::Conflict).apply(&Event::Landed { tip: oid(), commits: 1 }).unwrap();
    for (before, after) in [
        (State::Done { skipped: true }, State::Done { skipped: true }),
        (State::Conflict, State::Done { skipped: false }),
        (State::Rejected, State::Done { skipped: false }),
        (State::Stopped, State::Stopped),
        (State::Open, State::Open),
    ] {
        let to = before.before_landing();
        assert_eq!(to, after);
        assert_eq!(landed.clone().apply(&Event::Unlanded { to }).unwrap(), after);
    }
    assert!(landed.apply(&Event::Unlanded { to: State::Queued }).is_err());
    let done = Event::Unlanded { to: State::Done { skipped: false } };
    assert!(State::Queued.apply(&done).is_err());
    assert!(landing(State::Open).apply(&done).is_err());
}

#[test]
fn facts_that_come_later_leave_the_state_as_it_is() {
    let running = State::Running { attempt: 1, token: String::new(), boot: String::new() };
    let session = Event::Session { session: "s".to_owned(), model: None };
    assert_eq!(running.clone().apply(&session).unwrap(), running);
    assert!(State::Queued.apply(&session).is_err());
    let pruned = Event::Pruned { trash: "refs/wt/trash/a/1".to_owned() };
    assert_eq!(State::Landed.apply(&pruned).unwrap(), State::Landed);
    assert!(State::Open.apply(&pruned).is_err());
}

#[test]
fn a_parked_task_starts_only_after_a_person_says_so() {
    let started = Event::Started { attempt: 1, token: String::new(), boot: String::new() };
    let parked = State::Queued.apply(&Event::Parked { reason: String::new() }).unwrap();
    assert!(parked.clone().apply(&started).is_err());
    assert!(parked.apply(&Event::Retried).unwrap().apply(&started).is_ok());
}

#[test]
fn running_and_landing_tasks_cannot_be_removed() {
    let removed = Event::Removed { reason: String::new(), trash: None };
    let running = State::Running { attempt: 1, token: String::new(), boot: String::new() };
    assert!(running.apply(&removed).is_err());
    assert!(State::Landing { from: Box::new(State::Open) }.apply(&removed).is_err());
}
