//! A landing that is ended before its time: by `wt merge --abort`, by a signal, or killed with several tasks taken up.

use std::process::{Child, Stdio};
use std::time::Instant;

use fs_err as fs;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use wt::model::State;
use wt::store::Lock;

use super::field::Field;
use crate::program::{PATIENCE, Ran};

fn done() -> State {
    State::Done { skipped: false }
}

/// A landing whose check has begun and does not end.
struct Stuck {
    field: Field,
    merge: Child,
    /// A process of the check.
    check: Pid,
    old: String,
}

impl Stuck {
    /// `trap`: what the check does when it is asked to end.
    fn new(trap: &str) -> Self {
        let field = Field::new();
        for name in ["a", "b", "c"] {
            field.done(name, &[(name, "x\n")]);
        }
        let mark = field.program.env.root().join("mark");
        let text = format!("{trap}\nsleep 600 &\necho $! > {0}.new\nmv {0}.new {0}\nwait", mark.display());
        let check = field.script("check.sh", &text);
        let mut merge = field.program.command(&["merge", "--all", "--keep", "--json", "--check", &check]);
        let merge = merge.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let begun = Instant::now();
        while !mark.exists() {
            assert!(begun.elapsed() < PATIENCE, "the check never began");
            std::thread::yield_now();
        }
        let check = fs::read_to_string(&mark).unwrap().trim().parse().unwrap();
        let old = field.main();
        Self { field, merge, check: Pid::from_raw(check).unwrap(), old }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.merge), signal).unwrap();
    }

    /// Waits for its end, and makes sure that nothing is left of it.
    fn ended(self, code: i32) -> (Field, Ran) {
        let Self { field, merge, check, old } = self;
        let ran = crate::program::ran(merge.wait_with_output().unwrap());
        assert_eq!(ran.code, code, "{}\n{}", ran.out, ran.err);
        assert!(test_kill_process(check).is_err(), "the check lives");
        assert!(!Lock::is_held(&field.layout().lock("land")));
        assert_eq!(field.main(), old);
        for name in ["a", "b", "c"] {
            assert_eq!(field.state(name), done(), "{name}");
        }
        field.is_whole();
        (field, ran)
    }
}

/// Lands all of it, in the worktree that the ended one has left.
fn lands(field: &Field) {
    let said = field.merge(&["--all", "--check", "test -e a && test -e b && test -e c"]);
    assert_eq!(said.code(), 0, "{}", said.ran.err);
    assert_eq!(field.subjects().len(), 3);
    field.is_whole();
}

#[test]
fn a_landing_is_ended_by_another_wt() {
    let stuck = Stuck::new("");
    let said = stuck.field.program.wt(&["merge", "--abort", "--json"]);
    assert_eq!(said.json()["ended"], serde_json::Value::Bool(true));
    said.ok();
    let (field, ran) = stuck.ended(1);
    assert!(ran.err.contains("it was ended by `wt merge --abort`"), "{}", ran.err);
    lands(&field);
}

#[test]
fn a_check_that_does_not_listen_is_ended_all_the_same() {
    let stuck = Stuck::new("trap '' TERM INT HUP");
    stuck.field.program.wt(&["merge", "--abort"]).ok();
    drop(stuck.ended(1));
}

#[test]
fn a_signal_ends_a_landing_as_cleanly() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let stuck = Stuck::new("");
        stuck.signal(signal);
        let (field, ran) = stuck.ended(code);
        assert!(ran.err.contains("it was interrupted"), "{}", ran.err);
        let told = field.program.journal();
        assert_eq!(told.iter().filter(|record| record["event"]["type"] == "landing_aborted").count(), 3);
        lands(&field);
    }
}

#[test]
fn a_second_signal_ends_it_at_once_and_the_next_command_settles() {
    let stuck = Stuck::new("trap '' TERM INT HUP");
    stuck.signal(Signal::INT);
    // The first one was heard when the check is asked to end; until then a second one may count as the first.
    let begun = Instant::now();
    let Stuck { field, mut merge, .. } = stuck;
    while merge.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < PATIENCE);
        let _ = kill_process(Pid::from_child(&merge), Signal::INT);
        std::thread::yield_now();
    }
    assert_eq!(merge.wait().unwrap().code(), Some(130));
    // Waits for the guard of the check, which still holds the lock.
    field.program.wt(&["merge", "--abort"]).ok();
    assert_eq!(field.state("a"), done());
    lands(&field);
}

#[test]
fn with_no_landing_under_way_there_is_nothing_to_end() {
    let field = Field::new();
    let said = field.program.wt(&["merge", "--abort"]).ok();
    assert_eq!(said.trim(), "no landing is under way");
    field.program.wt(&["merge", "--abort", "--all"]).fails(2);
}

#[test]
fn an_interrupted_landing_of_several_goes_on_by_itself() {
    for point in ["land.after_started", "land.after_intent", "land.after_move"] {
        let field =
            Field::with("[[verify]]\nname = \"t\"\nrun = \"true\"\n[merge]\nagent = \"fake\"\nbatch = 2\n");
        let names = ["a", "b", "c", "d"];
        for name in names {
            field.done(name, &[(name, "x\n")]);
        }
        let mut merge = field.program.command(&["merge", "--all", "--keep", "--quiet"]);
        // In its second batch.
        let killed = merge.env("WT_FAILPOINT", format!("{point}:2")).output().unwrap();
        assert_eq!(crate::program::ran(killed).code, -1, "{point} was not reached");
        let said = field.merge(&["--all"]);
        assert_eq!(said.code(), 0, "{point}: {}", said.ran.err);
        assert!(names.iter().all(|name| field.state(name) == State::Landed), "{point}");
        assert_eq!(field.subjects(), ["change d", "change c", "change b", "change a"], "{point}");
        field.is_whole();
    }
}
