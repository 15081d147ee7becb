//! What one task costs: few git processes, and locks that are signed without emptying their files.

use fs_err as fs;

use wt::model::Holder;
use wt::model::event::Event;
use wt::store::exit::{ExitRecord, ExitSlot, load};
use wt::store::lock::DEADLINE;
use wt::store::{Layout, Lock};

use crate::program::{Program, ran};

/// Runs the verb and waits for the task, and returns the git verbs that ran meanwhile, in order.
fn verbs(program: &Program, args: &[&str]) -> Vec<String> {
    let trace = program.env.root().join("trace");
    ran(program.command(args).env("GIT_TRACE2_EVENT", &trace).output().unwrap()).ok();
    program.until("the end", || (program.state_of("a") == "dead").then_some(()));
    program.until("the runner's end", || program.role("__run").is_empty().then_some(()));
    let text = fs::read_to_string(&trace).unwrap();
    fs::remove_file(&trace).unwrap();
    let events = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let names = events.filter(|event| event["event"] == "cmd_name");
    names.map(|event| event["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_new_task_takes_few_calls_of_git_and_another_attempt_one() {
    let program = Program::new();
    program.configure("[limits]\nretries = 0\n[agents.nothing]\ncommand = [\"true\"]\n");
    let spawn = ["spawn", "a", "nothing to do", "--agent", "nothing"];
    // The branch is made together with its reflog; what is copied beside is asked for once.
    assert_eq!(verbs(&program, &spawn), ["update-ref", "reset", "ls-files", "status"]);
    assert_eq!(verbs(&program, &["retry", "a"]), ["status"]);
}

#[test]
fn a_lock_is_signed_over_the_old_text_and_reads_as_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock");
    let long = Lock::take(&path, DEADLINE, &"a long name ".repeat(20)).unwrap();
    assert!(Lock::holder(&path).unwrap().command.starts_with("a long name a"));
    drop(long);
    let short = Lock::take(&path, DEADLINE, "short").unwrap();
    let holder: Holder = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(holder.command, "short");
    assert_eq!(Lock::holder(&path).unwrap().command, "short");
    drop(short);
}

#[test]
fn the_record_of_an_end_keeps_its_bytes_from_attempt_to_attempt_and_not_its_text() {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::below(folder.path());
    let task = layout.task(&"a@1".parse().unwrap());
    fs::create_dir_all(task.root()).unwrap();
    for attempt in 1..=2 {
        let mut slot = ExitSlot::allocate(&task).unwrap();
        assert_eq!(fs::metadata(task.exit()).unwrap().len(), 4096);
        assert_eq!(load(&task, attempt - 1), None, "what an earlier attempt wrote is gone");
        slot.fill(&ExitRecord { attempt, event: Event::Stopped }).unwrap();
        assert!(load(&task, attempt).is_some());
    }
}
