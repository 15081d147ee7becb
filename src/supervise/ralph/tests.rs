//! The rules of loops as a table, and the promise that every loop ends.

use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::model::event::{Event, Record, WaitReason};
use crate::model::verdict::{Class, Exit, Verdict};
use crate::model::{Roster, State, TaskId, TaskSpec, Usage};
use crate::supervise::recovery::{Work, after_attempt, after_loss};

const UNTIL: &str = "COMPLETE";

fn id() -> TaskId {
    "loop@1".parse().expect("a valid id")
}

fn oid(digit: char) -> Oid {
    Oid::parse(&digit.to_string().repeat(40)).expect("forty digits")
}

fn record(event: Event) -> Record {
    Record { v: 1, at: Timestamp::UNIX_EPOCH, task: Some(id()), event }
}

/// A loop of at most `max` iterations, about to start.
fn queued(max: u32, no_progress: u32, retries: u32) -> Roster {
    let looping = Looping { max, until: UNTIL.to_owned(), no_progress, prd: None };
    let spec = TaskSpec {
        agent: Some("a".to_owned()),
        looping: Some(looping),
        retries,
        ..TaskSpec::new(id().name, "main")
    };
    Roster::fold(&[record(Event::Queued { spec })])
}

fn task(roster: &Roster) -> &Task {
    roster.get(&id()).expect("it was queued")
}

/// An iteration that added a commit of its own, with nothing against it and no promise.
fn good() -> Found {
    Found {
        attempt: 1,
        cut: None,
        said: Said::NoPromise,
        tree: Tree::Clean { new: true },
        head: oid('a'),
        commits: 1,
        change: None,
        red: None,
        requirements: Requirements::Met,
        aside: None,
    }
}

fn started(attempt: u32) -> Event {
    Event::Started { attempt, token: String::new(), boot: String::new() }
}

fn ended(task: &Task, found: Option<&Found>, class: Class, next: Next, reason: String) -> Event {
    Event::Ended {
        attempt: task.attempt,
        exit: Exit::Code(0),
        class,
        reason,
        usage: Usage::default(),
        models: BTreeMap::new(),
        lap: found.map(|found| lap(task, found)),
        swept: 0,
        next,
    }
}

/// Runs one attempt that came to `found`; returns what follows.
fn iterate(roster: &mut Roster, found: &Found) -> (Next, String) {
    let before = task(roster).clone();
    roster.apply(&record(started(before.attempt + 1))).expect("a queued task can start");
    let verdict = Verdict::new(Class::Ok, "ended well");
    let work = Work::Iteration(Box::new(found.clone()));
    let (next, reason) = after_attempt(&before, &verdict, &work, Timestamp::UNIX_EPOCH);
    let mut of = before;
    of.attempt += 1;
    roster.apply(&record(ended(&of, Some(found), Class::Ok, next.clone(), reason.clone()))).expect("it runs");
    (next, reason)
}

fn complete() -> Found {
    Found { said: Said::Complete, ..good() }
}

fn red(output: &str) -> Red {
    Red { reason: "`make` exited with code 2 after 1s".to_owned(), output: output.to_owned() }
}

fn done(skipped: bool) -> Next {
    Next::Done { head: oid('a'), skipped }
}

#[test]
fn what_follows_the_first_of_three_iterations() {
    let open = || Requirements::Open("1 of 2 in `prd.json` do not pass: US-2".to_owned());
    let nothing = |tree| Found { said: Said::Nothing, tree, commits: 0, ..good() };
    let bare = Tree::Clean { new: false };
    let dirty = || Tree::Unfinished("uncommitted changes are left".to_owned());
    let refused = "its promise does not count";
    let table = [
        (good(), Next::Iterate, "iteration 1 of 3: no promise; 1 new commit"),
        (complete(), done(false), "complete after 1 iteration"),
        (Found { commits: 0, ..complete() }, done(false), "complete after 1 iteration"),
        (Found { red: Some(red("x")), ..complete() }, Next::Iterate, refused),
        (Found { tree: dirty(), ..complete() }, Next::Iterate, refused),
        (Found { tree: bare.clone(), commits: 0, ..complete() }, Next::Iterate, refused),
        (Found { requirements: open(), ..complete() }, Next::Iterate, refused),
        (Found { cut: Some("turn limit".to_owned()), ..complete() }, Next::Iterate, "turn limit"),
        (Found { said: Said::Several, ..good() }, Next::Iterate, "several different promises"),
        (Found { said: Said::Other("DONE".to_owned()), ..good() }, Next::Iterate, "it promised `DONE`"),
        (Found { said: Said::Blocked("no key".to_owned()), ..good() }, Next::Failed, "the agent is blocked"),
        (nothing(bare.clone()), done(true), "nothing to do"),
        (Found { red: Some(red("x")), ..nothing(bare.clone()) }, done(true), "nothing to do"),
        (Found { requirements: open(), ..nothing(bare) }, Next::Iterate, refused),
        (nothing(Tree::Clean { new: true }), done(false), "complete after 1 iteration"),
        (Found { red: Some(red("x")), ..nothing(Tree::Clean { new: true }) }, Next::Iterate, refused),
        (nothing(dirty()), Next::Iterate, refused),
        (Found { red: Some(red("x")), ..good() }, Next::Iterate, "`make` exited with code 2"),
    ];
    for (found, expected, why) in table {
        let (next, reason) = iterate(&mut queued(3, 3, 2), &found);
        assert_eq!(next, expected, "{found:?}: {reason}");
        assert!(reason.contains(why), "{found:?}: {reason}");
    }
}

#[test]
fn a_promise_on_the_last_allowed_iteration_counts() {
    let mut roster = queued(2, 3, 2);
    assert_eq!(iterate(&mut roster, &good()).0, Next::Iterate);
    assert_eq!(iterate(&mut roster, &complete()).0, done(false));
    assert_eq!(task(&roster).iteration, 2);
    let mut roster = queued(1, 3, 2);
    assert_eq!(iterate(&mut roster, &complete()).0, done(false));
}

#[test]
fn a_refused_promise_on_the_last_iteration_uses_the_loop_up() {
    let mut roster = queued(2, 3, 2);
    iterate(&mut roster, &good());
    let (next, reason) = iterate(&mut roster, &Found { red: Some(red("x")), ..complete() });
    assert_eq!(next, Next::Failed);
    assert!(reason.starts_with("the loop is used up after 2 iterations; last: its promise"), "{reason}");
}

/// Runs the same iteration until the loop ends; returns how many there were, and why.
fn until_the_end(mut roster: Roster, mut found: impl FnMut(u32) -> Found) -> (u32, String) {
    for n in 1.. {
        let (next, reason) = iterate(&mut roster, &found(n));
        if next != Next::Iterate {
            return (n, reason);
        }
    }
    unreachable!("every loop ends")
}

#[test]
fn a_loop_that_gets_nowhere_is_given_up() {
    let idle = Found { commits: 0, ..good() };
    let (n, reason) = until_the_end(queued(20, 3, 2), |_| idle.clone());
    assert_eq!((n, reason.starts_with("no new commit in 3 iterations")), (3, true), "{reason}");
    // One commit in between begins the count again.
    let (n, _) = until_the_end(queued(20, 3, 2), |n| if n == 3 { good() } else { idle.clone() });
    assert_eq!(n, 6);
    let same = Found { change: Some("c".to_owned()), ..good() };
    let (n, reason) = until_the_end(queued(20, 3, 2), |_| same.clone());
    assert_eq!((n, reason.contains("the same change in 3 iterations")), (3, true), "{reason}");
    let undone = Found { change: None, commits: 2, ..good() };
    let (n, reason) = until_the_end(queued(20, 3, 2), |_| undone.clone());
    assert_eq!((n, reason.starts_with("commits that change nothing in 3 iterations")), (3, true), "{reason}");
    let refused = Found { red: Some(red("e")), ..complete() };
    let changing = |n: u32| Some(n.to_string());
    let (n, reason) = until_the_end(queued(20, 3, 2), |n| Found { change: changing(n), ..refused.clone() });
    assert_eq!((n, reason.contains("the same error in 3 iterations")), (3, true), "{reason}");
    // The same red check is no circle as long as the agent does not say that it is done.
    let at_work = Found { red: Some(red("e")), ..good() };
    let (n, _) = until_the_end(queued(20, 3, 2), |n| Found { change: changing(n), ..at_work.clone() });
    assert_eq!(n, 20);
}

#[test]
fn a_new_round_begins_the_counts_again_and_a_fresh_session() {
    let mut roster = queued(2, 3, 2);
    iterate(&mut roster, &good());
    assert_eq!(iterate(&mut roster, &good()).0, Next::Failed);
    roster.apply(&record(Event::Retried)).expect("a failed task can be run again");
    let again = task(&roster);
    assert_eq!((again.iteration, again.round, again.resume, again.laps.len()), (0, 0, false, 2));
    // Cut short within an iteration: the same one again, in its session.
    roster.apply(&record(started(3))).expect("it can start");
    let running = task(&roster).clone();
    let stopped = ended(&running, None, Class::Incomplete, Next::Stopped, "stopped by hand".to_owned());
    roster.apply(&record(stopped)).expect("it runs");
    roster.apply(&record(Event::Retried)).expect("a stopped task can be run again");
    assert_eq!((task(&roster).next_iteration(), task(&roster).resume), (1, true));
}

#[test]
fn the_promise_is_the_agents_own_and_literal() {
    let of =
        |message: &str| Said::of(message, "Do it.\n\nsay `<promise>COMPLETE</promise>` when done", UNTIL);
    assert_eq!(of("done <promise>\n COMPLETE\n</promise>"), Said::Complete);
    assert_eq!(of("<promise>COMPLETE</promise> … <promise>COMPLETE</promise>"), Said::Complete);
    for none in
        ["COMPLETE", "<promise>COMPLETE", "</promise>COMPLETE<promise>", "", "<promise >COMPLETE</promise>"]
    {
        assert_eq!(of(none), Said::NoPromise, "{none}");
    }
    for other in ["complete", "COMP LETE", "COMPLETED", "COMPLETE.", "not COMPLETE", ""] {
        assert_eq!(of(&format!("<promise>{other}</promise>")), Said::Other(other.to_owned()));
    }
    assert_eq!(of("<promise>BLOCKED: no key</promise>"), Said::Blocked("no key".to_owned()));
    assert_eq!(of("<promise>NOTHING</promise>"), Said::Nothing);
    assert_eq!(of("<promise>COMPLETE</promise> or <promise>NOTHING</promise>?"), Said::Several);
    // An agent that prints its prompt has promised nothing; what it says after it counts.
    assert_eq!(of("Do it.\n\nsay `<promise>COMPLETE</promise>` when done\nstarting"), Said::NoPromise);
    assert_eq!(
        of("Do it.\n\nsay `<promise>COMPLETE</promise>` when done\n<promise>COMPLETE</promise>"),
        Said::Complete
    );
    // A text of its own: then COMPLETE is just another one.
    assert_eq!(Said::of("<promise>ALL  GREEN</promise>", "", "ALL GREEN"), Said::Complete);
    assert_eq!(Said::of("<promise>COMPLETE</promise>", "", "ALL GREEN"), Said::Other("COMPLETE".to_owned()));
}

#[test]
fn what_differs_from_run_to_run_is_no_difference() {
    let same = [
        ("3 failed in 1.23s", "3 failed in 12.9s"),
        ("took 120ms.", "took 9 ms."),
        (
            "thread 'main' (12345) panicked at src/a.rs:10:5",
            "thread 'main' (54321) panicked at src/a.rs:10:5",
        ),
        ("2026-01-02T03:04:05Z error", "2027-11-12T13:14:15Z error"),
        ("at 0x7ffe12ab", "at 0x55d0"),
        ("\x1b[31mred\x1b[0m", "red"),
    ];
    for (a, b) in same {
        assert_eq!(steady(a), steady(b));
    }
    for (a, b) in [
        ("3 failed; 5 passed", "2 failed; 6 passed"),
        ("src/a.rs:10:5", "src/a.rs:11:5"),
        ("utf8", "utf16"),
        ("exit 1", "exit 2"),
    ] {
        assert_ne!(steady(a), steady(b));
    }
    assert_eq!(steady("plain ä text\n"), "plain ä text\n");
}

/// What can become of one attempt.
#[derive(Debug, Clone)]
enum Deed {
    Ends(Box<Found>),
    Fails(Class),
    Vanishes,
}

fn found() -> impl Strategy<Value = Found> {
    let said = prop_oneof![
        4 => Just(Said::NoPromise),
        1 => Just(Said::Complete),
        1 => Just(Said::Nothing),
        1 => Just(Said::Several),
        1 => Just(Said::Other("x".to_owned())),
    ];
    let tree = prop_oneof![
        Just(Tree::Clean { new: true }),
        Just(Tree::Clean { new: false }),
        Just(Tree::Unfinished("a merge is in progress".to_owned())),
    ];
    (said, tree, 0..3u32, any::<bool>(), "[a-c]?", any::<bool>()).prop_map(
        |(said, tree, commits, is_red, change, cut)| Found {
            said,
            tree,
            commits,
            red: is_red.then(|| red(&change)),
            change: (!change.is_empty()).then_some(change),
            cut: cut.then(|| "turn limit".to_owned()),
            ..good()
        },
    )
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        6 => found().prop_map(Box::new).prop_map(Deed::Ends),
        2 => Just(Deed::Fails(Class::Retry)),
        1 => Just(Deed::Fails(Class::Incomplete)),
        1 => Just(Deed::Vanishes),
    ]
}

proptest! {
    /// Whatever an agent does, a loop ends: within its iterations, each with its retries.
    #[test]
    fn every_loop_ends(
        max in 1..6u32,
        no_progress in 1..4u32,
        retries in 0..3u32,
        deeds in prop::collection::vec(deed(), 30),
    ) {
        let mut roster = queued(max, no_progress, retries);
        let mut attempts = 0;
        for deed in deeds.iter().cycle() {
            let before = task(&roster).clone();
            if !matches!(before.state, State::Queued | State::Waiting { reason: WaitReason::Backoff, .. }) {
                break;
            }
            attempts += 1;
            prop_assert!(attempts <= max * (1 + retries), "it does not end");
            roster.apply(&record(started(before.attempt + 1))).unwrap();
            let mut running = before.clone();
            running.attempt += 1;
            let events = match deed {
                Deed::Vanishes => {
                    let reason = "killed".to_owned();
                    let lost = Event::Lost { attempt: running.attempt, reason, checkpoint: None, rebooted: false };
                    let next = after_loss(&before, false, Timestamp::UNIX_EPOCH);
                    std::iter::once(lost).chain(next).collect()
                }
                Deed::Fails(class) => {
                    let verdict = Verdict::new(*class, "failed");
                    let (next, reason) = after_attempt(&before, &verdict, &Work::NotJudged, Timestamp::UNIX_EPOCH);
                    vec![ended(&running, None, *class, next, reason)]
                }
                Deed::Ends(found) => {
                    let verdict = Verdict::new(Class::Ok, "ended well");
                    let work = Work::Iteration(found.clone());
                    let (next, reason) = after_attempt(&before, &verdict, &work, Timestamp::UNIX_EPOCH);
                    if matches!(next, Next::Done { .. }) {
                        let is_clean = matches!(found.tree, Tree::Clean { .. });
                        prop_assert!(is_clean && found.cut.is_none(), "{found:?}");
                        prop_assert!(matches!(found.said, Said::Complete | Said::Nothing));
                    }
                    vec![ended(&running, Some(found), Class::Ok, next, reason)]
                }
            };
            for event in events {
                roster.apply(&record(event)).unwrap();
            }
            let after = task(&roster);
            let same = matches!(deed, Deed::Ends(_)) || after.iteration == before.iteration;
            prop_assert!(same, "an iteration ends only with its agent");
            prop_assert!(after.iteration <= max);
        }
    }
}
