//! The order of the queue, table by table.

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

fn profile(slots: u32) -> Profile {
    Profile { agent: "a".to_owned(), model: None, fallback: vec![], slots: Some(slots), role: None }
}

/// Returns a task of that agent and profile.
fn of(n: usize, agent: &str, profile: Option<&str>) -> Record {
    let spec = TaskSpec {
        agent: Some(agent.to_owned()),
        profile: profile.map(str::to_owned),
        priority: 3,
        ..TaskSpec::new(id(n).name, "main")
    };
    record(n, Event::Queued { spec })
}

fn limited(until: i64) -> Next {
    Next::Wait { reason: WaitReason::RateLimit, until: Some(at(until)), counted: false }
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
            class: match next {
                Next::Wait { reason: WaitReason::RateLimit, .. } => Class::Park,
                _ => Class::Ok,
            },
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
    [record(n, Event::LandingStarted { head: head() }), record(n, Event::Landed { tip: head(), commits: 1 })]
}

#[test]
fn priority_then_untried_then_age() {
    let wait = Next::Wait { reason: WaitReason::Backoff, until: Some(at(5)), counted: true };
    let records =
        [queued(0, 3, vec![]), queued(1, 3, vec![]), queued(2, 1, vec![]), started(0, 1), ended(0, 1, wait)];
    let roster = Roster::fold(&records);
    let names = |now| line(&roster, now).iter().map(|t| t.name().to_string()).collect::<Vec<_>>();
    assert_eq!(names(at(4)), ["t2", "t1"]);
    assert_eq!(names(at(5)), ["t2", "t1", "t0"]);
    assert_eq!(next_wake(&roster, at(4)), Some(at(5)));
}

#[test]
fn a_child_that_needs_its_parent_only_done_starts_then() {
    let of = |n: usize, after: &[usize], done: &[usize]| {
        let spec = TaskSpec {
            agent: Some("a".to_owned()),
            after: after.iter().map(|n| id(*n)).collect(),
            after_done: done.iter().map(|n| id(*n).name).collect(),
            ..TaskSpec::new(id(n).name, "main")
        };
        record(n, Event::Queued { spec })
    };
    let mut records = vec![of(0, &[], &[]), of(1, &[0], &[0]), of(2, &[0], &[]), of(3, &[0, 1], &[0])];
    let names = |records: &[Record]| {
        let roster = Roster::fold(records);
        line(&roster, at(0)).iter().map(|task| task.name().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&records), ["t0"]);
    records.push(started(0, 1));
    assert!(names(&records).is_empty());
    records.push(ended(0, 1, Next::Failed));
    assert!(names(&records).is_empty(), "a parent that failed has nothing to build on");
    records.push(record(0, Event::MarkedDone { head: head(), skipped: false }));
    assert_eq!(names(&records), ["t1"], "the others wait for a landing");
    records.push(record(0, Event::Retried));
    assert_eq!(names(&records), ["t0"], "it is not done any more");
    records.push(record(0, Event::Stopped));
    records.push(record(0, Event::MarkedDone { head: head(), skipped: false }));
    records.extend(land(0));
    assert_eq!(names(&records), ["t1", "t2"]);
}

#[test]
fn a_child_waits_until_its_parent_has_landed() {
    let done = Next::Done { head: head(), skipped: false };
    let mut records = vec![queued(0, 3, vec![]), queued(1, 1, vec![id(0)]), started(0, 1), ended(0, 1, done)];
    assert!(line(&Roster::fold(&records), at(0)).is_empty());
    records.extend(land(0));
    assert_eq!(line(&Roster::fold(&records), at(0))[0].id, id(1));
}

#[test]
fn a_limit_holds_back_the_others_of_its_account_only() {
    let mut records = vec![of(0, "a", None), of(1, "a", None), of(2, "b", None), of(3, "a", None)];
    records.extend([started(0, 1), started(3, 1), ended(0, 1, limited(9))]);
    let names = |records: &[Record], now| {
        let roster = Roster::fold(records);
        line(&roster, at(now)).iter().map(|task| task.name().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&records, 8), ["t2"]);
    assert_eq!(names(&records, 9), ["t0", "t1", "t2"]);
    assert_eq!(next_wake(&Roster::fold(&records), at(8)), Some(at(9)));
    let mut by_hand = records.clone();
    by_hand.extend([record(1, Event::Stopped), record(1, Event::Retried)]);
    assert_eq!(names(&by_hand, 8), ["t1", "t2"], "a person may know better");
    let mut tomorrow = records.clone();
    tomorrow.push(record(0, Event::OverBudget { reason: String::new(), until: Some(at(99)) }));
    assert_eq!(names(&tomorrow, 8), ["t2"], "the limit is none the shorter");
    assert_eq!(names(&tomorrow, 9), ["t1", "t2"], "a budget is no limit of the account");
    records.push(ended(3, 1, Next::Failed));
    assert_eq!(names(&records, 8), ["t1", "t2"], "a later attempt met no limit");
}

#[test]
fn launched_tasks_use_the_room_of_their_profile() {
    let records = [of(0, "a", Some("p")), of(1, "a", Some("p")), of(2, "a", Some("q")), of(3, "a", None)];
    let roster = Roster::fold(&records);
    let profiles = BTreeMap::from([("p".to_owned(), profile(1))]);
    let names = |launched: &[usize]| {
        let launched = launched.iter().map(|n| id(*n)).collect();
        let line = admitted(line(&roster, at(0)), &roster, &launched, &profiles, at(0));
        line.iter().map(|task| task.name().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&[]), ["t0", "t2", "t3"]);
    assert_eq!(names(&[1]), ["t2", "t3"]);
    assert_eq!(names(&[3]), ["t0", "t2"]);
}

fn failed(n: usize, attempt: u32, second: i64) -> Record {
    let next = Next::Wait { reason: WaitReason::Backoff, until: Some(at(second)), counted: true };
    let mut record = ended(n, attempt, next);
    if let Event::Ended { class, exit, .. } = &mut record.event {
        (*class, *exit) = (Class::Retry, Exit::Code(1));
    }
    Record { at: at(second), ..record }
}

#[test]
fn nobody_of_an_open_breaker_starts_and_one_of_a_half_open_one() {
    let mut records = vec![of(0, "a", None), of(1, "a", None), of(2, "a", Some("p")), of(3, "a", None)];
    for n in 1..=3 {
        records.extend([started(0, n), failed(0, n, i64::from(n))]);
    }
    let names = |records: &[Record], launched: &[usize], now| {
        let roster = Roster::fold(records);
        let launched = launched.iter().map(|n| id(*n)).collect();
        let line = admitted(line(&roster, at(now)), &roster, &launched, &BTreeMap::new(), at(now));
        line.iter().map(|task| task.name().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&records, &[], 302), ["t2"]);
    assert_eq!(next_wake(&Roster::fold(&records), at(302)), Some(at(303)));
    assert_eq!(names(&records, &[], 303), ["t1", "t2"], "one who was never tried goes first");
    assert_eq!(names(&records, &[1], 303), ["t2"], "its runner is about to start");
    let tries = Record { at: at(303), ..started(1, 1) };
    records.push(tries);
    assert_eq!(names(&records, &[], 400), ["t2"]);
    let mut works = records.clone();
    works.push(ended(1, 1, Next::Done { head: head(), skipped: false }));
    assert_eq!(names(&works, &[], 400), ["t2", "t3", "t0"]);
    records.push(failed(1, 1, 400));
    assert_eq!(names(&records, &[], 699), ["t2"]);
    assert_eq!(names(&records, &[], 700), ["t2", "t3"]);
}

/// Tasks of two agents, some with one of two profiles.
fn queue(kinds: &[(usize, Option<usize>)]) -> Roster {
    let mut roster = Roster::default();
    for (n, (agent, profile)) in kinds.iter().enumerate() {
        let profile = profile.map(|p| format!("p{p}"));
        roster.apply(&of(n, ["a", "b"][*agent], profile.as_deref())).unwrap();
    }
    roster
}

proptest! {
    /// Agents that fail often: of one whose breaker is not closed, nobody starts but one at a time after its rest; and
    /// all are done once the failures stop.
    #[test]
    fn a_breaker_lets_one_try_and_starves_nobody(
        kinds in prop::collection::vec((0..2usize, prop::option::of(0..2usize)), 1..12),
        fails in prop::collection::vec(prop::bool::weighted(0.6), 60),
        ends in prop::collection::vec(any::<prop::sample::Index>(), 300),
        slots in 1..5usize,
    ) {
        let mut roster = queue(&kinds);
        let mut fails = fails.into_iter();
        let mut running: Vec<(usize, u32)> = vec![];
        let mut now = 0;
        for pick in ends {
            let free = slots - running.len();
            let line = admitted(line(&roster, at(now)), &roster, &BTreeSet::new(), &BTreeMap::new(), at(now));
            let starts: Vec<TaskId> = line.iter().take(free).map(|task| task.id.clone()).collect();
            for id in starts {
                let task = roster.get(&id).unwrap();
                if let Some(breaker) = roster.breakers().over(&task.spec) {
                    let since = breaker.until.unwrap();
                    prop_assert!(since <= at(now), "{breaker:?}");
                    let others = roster.live().filter(|other| {
                        breaker::of(&other.spec) == Some(breaker.of())
                            && matches!(other.state, State::Running { .. })
                            && other.started_at >= Some(since)
                    });
                    prop_assert_eq!(others.count(), 0);
                }
                let attempt = task.attempt + 1;
                let n: usize = id.name.as_str()[1..].parse().unwrap();
                roster.apply(&Record { at: at(now), ..started(n, attempt) }).unwrap();
                running.push((n, attempt));
            }
            if running.is_empty() {
                match next_wake(&roster, at(now)) {
                    Some(wake) => now = wake.as_second(),
                    None => break,
                }
                continue;
            }
            let (n, attempt) = running.swap_remove(pick.index(running.len()));
            now += 1;
            let record = match fails.next() {
                Some(true) => failed(n, attempt, now),
                _ => ended(n, attempt, Next::Done { head: head(), skipped: false }),
            };
            roster.apply(&record).unwrap();
        }
        prop_assert!(roster.tasks().all(|task| matches!(task.state, State::Done { .. })), "{roster:?}");
    }

    /// A site whose accounts meet limits and whose profiles have few slots: no bound is ever exceeded, nobody of a
    /// resting account starts, and all are done in the end.
    #[test]
    fn accounts_at_rest_and_small_profiles_starve_nobody(
        kinds in prop::collection::vec((0..2usize, prop::option::of(0..2usize)), 1..16),
        limits in prop::collection::vec(prop::option::weighted(0.4, 1..6i64), 64),
        ends in prop::collection::vec(any::<prop::sample::Index>(), 200),
        slots in 1..4usize,
    ) {
        let profiles: BTreeMap<String, Profile> =
            [("p0".to_owned(), profile(1)), ("p1".to_owned(), profile(2))].into();
        let mut roster = queue(&kinds);
        let mut limits = limits.into_iter();
        let mut running: Vec<(usize, u32)> = vec![];
        let mut now = 0;
        for pick in ends {
            let free = slots - running.len();
            let line = admitted(line(&roster, at(now)), &roster, &BTreeSet::new(), &profiles, at(now));
            let starts: Vec<TaskId> = line.iter().take(free).map(|task| task.id.clone()).collect();
            for id in starts {
                let task = roster.get(&id).unwrap();
                prop_assert!(roster.held_until(task).is_none_or(|until| until <= at(now)));
                let attempt = task.attempt + 1;
                let n: usize = id.name.as_str()[1..].parse().unwrap();
                roster.apply(&started(n, attempt)).unwrap();
                running.push((n, attempt));
            }
            prop_assert!(running.len() <= slots);
            for (name, profile) in &profiles {
                let of = |(n, _): &&(usize, u32)| kinds[*n].1.is_some_and(|p| format!("p{p}") == *name);
                prop_assert!(running.iter().filter(of).count() <= profile.slots.unwrap() as usize);
            }
            if running.is_empty() {
                // Time passes only when there is something to wait for.
                match next_wake(&roster, at(now)) {
                    Some(wake) => now = wake.as_second(),
                    None => break,
                }
                continue;
            }
            let (n, attempt) = running.swap_remove(pick.index(running.len()));
            let next = match limits.next().flatten() {
                Some(rest) => limited(now + rest),
                None => Next::Done { head: head(), skipped: false },
            };
            roster.apply(&ended(n, attempt, next)).unwrap();
        }
        prop_assert!(roster.tasks().all(|task| matches!(task.state, State::Done { .. })), "{roster:?}");
    }

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
                prop_assert!(unmet_parents(task, &roster).is_empty());
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
