//! The journal on a real disk: torn at every byte, written by many, rolled.

use std::collections::BTreeMap;
use std::io::Write as _;

use jiff::Timestamp;
use proptest::prelude::*;
use wt::model::breaker::Kind;
use wt::model::event::{Event, Next};
use wt::model::verdict::{Class, Exit};
use wt::model::{TaskId, TaskSpec, Usage};
use wt::store::tail::{Place, Tail};
use wt::store::{Journal, Layout};

fn scratch() -> (tempfile::TempDir, Layout) {
    // In memory where that can be: these tests are about bytes, not about the disk's patience.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let layout = Layout::below(folder.path());
    layout.prepare().unwrap();
    (folder, layout)
}

fn id(n: usize) -> TaskId {
    format!("t{n}@1").parse().unwrap()
}

fn queued(n: usize) -> (Option<TaskId>, Event) {
    let spec = TaskSpec { agent: Some("sh".to_owned()), ..TaskSpec::new(id(n).name, "main") };
    (Some(id(n)), Event::Queued { spec })
}

fn now() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

fn tasks(layout: &Layout) -> usize {
    Journal::new(layout).read().unwrap().tasks().count()
}

/// Fault row 11: truncated at every byte of the last two records, every earlier record is read, the next append is
/// intact, and exactly the torn line is counted.
#[test]
fn row_11_a_torn_journal_keeps_every_earlier_record() {
    let (_folder, layout) = scratch();
    let mut journal = Journal::new(&layout);
    for n in 0..5 {
        journal.append(now(), vec![queued(n)]).unwrap();
    }
    let whole = std::fs::read(layout.journal()).unwrap();
    let ends: Vec<usize> =
        whole.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1).collect();
    for cut in ends[2]..whole.len() {
        std::fs::write(layout.journal(), &whole[..cut]).unwrap();
        // A line that lost nothing but its newline is still whole.
        let complete = ends.iter().filter(|end| **end <= cut + 1).count();
        let torn = usize::from(!ends.contains(&cut) && !ends.contains(&(cut + 1)));
        let mut journal = Journal::new(&layout);
        journal.append(now(), vec![queued(9)]).unwrap();
        let mut again = Journal::new(&layout);
        assert_eq!(again.read().unwrap().tasks().count(), complete + 1, "cut at {cut}");
        assert_eq!(again.bad_lines(), torn, "cut at {cut}");
        assert!(again.roster().get(&id(9)).is_some());
    }
}

#[test]
fn row_11_garbage_and_nuls_are_skipped_and_counted() {
    let (_folder, layout) = scratch();
    let mut journal = Journal::new(&layout);
    journal.append(now(), vec![queued(0)]).unwrap();
    let mut file = std::fs::OpenOptions::new().append(true).open(layout.journal()).unwrap();
    file.write_all(b"\0\0\0\0garbage\xff\n{\"v\":1}\n").unwrap();
    journal.append(now(), vec![queued(1)]).unwrap();
    let mut again = Journal::new(&layout);
    assert_eq!(again.read().unwrap().tasks().count(), 2);
    assert_eq!(again.bad_lines(), 2);
}

#[test]
fn every_line_is_plain_json() {
    let (_folder, layout) = scratch();
    Journal::new(&layout).append(now(), vec![queued(0), queued(1)]).unwrap();
    for line in std::fs::read_to_string(layout.journal()).unwrap().lines() {
        let document: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(document["v"], 1);
        assert_eq!(document["crc"].as_str().unwrap().len(), 8);
    }
}

#[test]
fn an_event_that_does_not_fit_is_refused_and_nothing_is_written() {
    let (_folder, layout) = scratch();
    let mut journal = Journal::new(&layout);
    journal.append(now(), vec![queued(0)]).unwrap();
    let before = std::fs::read(layout.journal()).unwrap();
    let refused = journal.append(now(), vec![(Some(id(0)), Event::Retried), (Some(id(0)), Event::Exhausted)]);
    assert!(refused.is_err());
    assert_eq!(std::fs::read(layout.journal()).unwrap(), before);
    assert_eq!(journal.read().unwrap().tasks().count(), 1);
}

#[test]
fn many_writers_at_once_lose_nothing() {
    let (_folder, layout) = scratch();
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let layout = &layout;
            scope.spawn(move || {
                let mut journal = Journal::new(layout);
                for n in 0..25 {
                    journal.append(now(), vec![queued(writer * 100 + n)]).unwrap();
                }
            });
        }
    });
    let mut journal = Journal::new(&layout);
    assert_eq!(journal.read().unwrap().tasks().count(), 200);
    assert_eq!((journal.bad_lines(), journal.roster().misfits()), (0, 0));
}

#[test]
fn a_rolled_journal_keeps_live_tasks_and_forgets_nothing() {
    let (_folder, layout) = scratch();
    let mut journal = Journal::new(&layout);
    let mut n = 0;
    while !layout.rolled(1).exists() {
        // A day and more later each time, so that only the last one is recent.
        let later = Timestamp::from_second(i64::try_from(n).unwrap() * 100_000).unwrap();
        let (task, queued) = queued(n);
        let removed = Event::Removed { reason: "x".repeat(50_000), trash: None };
        journal.append(later, vec![(task.clone(), queued), (task, removed)]).unwrap();
        n += 1;
        assert!(n < 100, "the journal never rolled");
    }
    assert!(std::fs::metadata(layout.journal()).unwrap().len() < wt::store::journal::ROLL_AT);
    let mut reader = Journal::new(&layout);
    reader.read().unwrap();
    assert_eq!(reader.history().unwrap().roster.tasks().count(), n);
    assert_eq!(tasks(&layout), 1, "only the recent one is carried over");
    journal.append(now(), vec![queued(99_999)]).unwrap();
    assert_eq!(tasks(&layout), 2);
}

/// One after the other, a second each, from `from` on: asked for and ended, with a spec of about a kilobyte.
fn come_and_go(journal: &mut Journal, numbers: std::ops::Range<usize>, from: i64) {
    for n in numbers {
        let (task, _) = queued(n);
        let spec = TaskSpec { model: Some("m".repeat(1_000)), ..TaskSpec::new(id(n).name, "main") };
        let removed = Event::Removed { reason: String::new(), trash: None };
        let at = Timestamp::from_second(from + i64::try_from(n).unwrap()).unwrap();
        journal.append(at, vec![(task.clone(), Event::Queued { spec }), (task, removed)]).unwrap();
    }
}

#[test]
fn of_many_that_end_on_one_day_the_last_are_carried_and_whom_others_start_after() {
    let (_folder, layout) = scratch();
    let mut journal = Journal::new(&layout);
    come_and_go(&mut journal, 0..1, 0);
    let child =
        TaskSpec { agent: Some("a".to_owned()), after: vec![id(0)], ..TaskSpec::new(id(9_999).name, "main") };
    journal.append(now(), vec![(Some(id(9_999)), Event::Queued { spec: child })]).unwrap();
    let sizes = (1..5).map(|round| {
        come_and_go(&mut journal, round * 1_000..round * 1_000 + 1_000, 0);
        std::fs::metadata(layout.journal()).unwrap().len()
    });
    let largest = sizes.max().unwrap();
    assert!(largest < 3 * wt::store::journal::ROLL_AT, "{largest}");
    assert!(layout.rolled(1).exists());
    let mut reader = Journal::new(&layout);
    let roster = reader.read().unwrap().clone();
    assert!(roster.get(&id(0)).is_some() && roster.get(&id(9_999)).is_some());
    assert!(!roster.has_landed(&id(0)), "it was removed, and its child still waits for a person");
    assert!((4_400..5_000).all(|n| roster.get(&id(n)).is_some()), "somebody may wait for them");
    assert!(roster.get(&id(1)).is_none() && roster.tasks().count() < 2_500);
    let history = reader.history().unwrap();
    assert_eq!((history.roster.tasks().count(), history.roster.misfits()), (4_002, 0));
}

#[test]
fn a_queue_is_not_copied_and_rolls_once_most_of_it_is_over() {
    let (_folder, layout) = scratch();
    let mut journal = Journal::new(&layout);
    let spec = |n: usize| TaskSpec { model: Some("m".repeat(1_000)), ..TaskSpec::new(id(n).name, "main") };
    let all: Vec<_> = (0..3_000).map(|n| (Some(id(n)), Event::Queued { spec: spec(n) })).collect();
    journal.append(now(), all).unwrap();
    assert!(std::fs::metadata(layout.journal()).unwrap().len() > 3 * wt::store::journal::ROLL_AT);
    // Each command opens it anew.
    for n in 0..5 {
        Journal::new(&layout).append(now(), vec![queued(5_000 + n)]).unwrap();
    }
    assert!(!layout.rolled(1).exists(), "all of it is alive");
    let later = Timestamp::from_second(now().as_second() + 3_600).unwrap();
    for n in 0..2_200 {
        let removed = Event::Removed { reason: String::new(), trash: None };
        journal.append(now(), vec![(Some(id(n)), removed)]).unwrap();
    }
    journal.append(later, vec![queued(6_000)]).unwrap();
    Journal::new(&layout).append(later, vec![queued(6_001)]).unwrap();
    assert!(
        layout.rolled(1).exists(),
        "what lives is more than half of the usual size, and less than half of all"
    );
    assert_eq!(tasks(&layout), 800 + 300 + 7);
}

/// While the journal is rolled it has two names, and keeps both if whoever rolls it is killed there.
#[test]
fn a_roll_that_was_cut_short_tells_nothing_twice() {
    let (_folder, layout) = scratch();
    let mut journal = Journal::new(&layout);
    journal.append(now(), vec![queued(0)]).unwrap();
    std::fs::hard_link(layout.journal(), layout.rolled(1)).unwrap();
    let mut tail = Tail::at(&layout, Place::first());
    let mut told = tail.records().unwrap();
    assert_eq!((told.len(), tail.has_more()), (1, false));
    let mut n = 1;
    while tail.place().part == 1 {
        let later = Timestamp::from_second(i64::try_from(n).unwrap() * 100_000).unwrap();
        let (task, queued) = queued(n);
        let removed = Event::Removed { reason: "x".repeat(50_000), trash: None };
        journal.append(later, vec![(task.clone(), queued), (task, removed)]).unwrap();
        assert!(tail.has_more());
        told.extend(tail.records().unwrap());
        n += 1;
        assert!(n < 100, "the journal never rolled");
    }
    assert_eq!(told.len(), 2 * n - 1);
    assert_eq!(Tail::at_end(&layout).unwrap().place(), tail.place());
    assert!(!layout.rolled(2).exists(), "the roll was finished under the name that it had");
    let history = Journal::new(&layout).history().unwrap();
    assert_eq!((history.records.len(), history.roster.misfits()), (2 * n - 1, 0));
}

#[test]
fn what_the_day_used_survives_a_roll() {
    let (_folder, layout) = scratch();
    let mut journal = Journal::new(&layout);
    let usage = Usage { cost_usd: 0.5, ..Usage::default() };
    let mut n = 0;
    let mut later = now();
    while !layout.rolled(1).exists() {
        // A day and more later each time, so that a roll has something to leave out.
        later = Timestamp::from_second(i64::try_from(n).unwrap() * 100_000).unwrap();
        let (task, _) = queued(n);
        let spec = TaskSpec { agent: Some("a".to_owned()), ..TaskSpec::new(id(n).name, "main") };
        let ended = Event::Ended {
            attempt: 1,
            exit: Exit::Code(0),
            class: Class::Fail,
            reason: "x".repeat(50_000),
            usage,
            models: BTreeMap::new(),
            lap: None,
            swept: 0,
            next: Next::Failed,
        };
        let started = Event::Started { attempt: 1, token: String::new(), boot: String::new() };
        let removed = Event::Removed { reason: String::new(), trash: None };
        let events = [Event::Queued { spec }, started, ended, removed];
        journal.append(later, events.map(|event| (task.clone(), event)).into()).unwrap();
        n += 1;
        assert!(n < 100, "the journal never rolled");
    }
    let mut again = Journal::new(&layout);
    let spent = again.read().unwrap().ledger().since(later).usage.cost_usd;
    assert!((spent - 0.5).abs() < 1e-9, "{spent}");
    let tripped = again.roster().breakers().tripped().next().unwrap();
    assert_eq!((tripped.of(), tripped.failures as usize), ((Kind::Agent, "a"), n));
    assert_eq!(again.bad_lines(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A journal cut at any byte tells the same as some prefix of its records.
    #[test]
    fn a_cut_journal_is_a_prefix(count in 1..8usize, cut in any::<prop::sample::Index>()) {
        let (_folder, layout) = scratch();
        let mut journal = Journal::new(&layout);
        for n in 0..count {
            journal.append(now(), vec![queued(n)]).unwrap();
        }
        let whole = std::fs::read(layout.journal()).unwrap();
        std::fs::write(layout.journal(), &whole[..cut.index(whole.len() + 1)]).unwrap();
        let mut reader = Journal::new(&layout);
        let known: Vec<TaskId> = reader.read().unwrap().tasks().map(|task| task.id.clone()).collect();
        let prefix: Vec<TaskId> = (0..known.len()).map(id).collect();
        prop_assert_eq!(known, prefix);
    }
}
