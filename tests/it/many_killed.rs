//! A spawn of many, killed at every step: all of them are known or none, and the rest follows by itself.

use rstest::rstest;

use crate::many::{agent, all_open, lines, open};
use crate::program::{Program, ran};

fn killed_at(program: &Program, point: &str, args: &[&str]) {
    let ran = ran(program.command(args).env("WT_FAILPOINT", point).output().unwrap());
    assert_eq!(ran.code, -1, "{point} was not reached: {}", ran.err);
}

#[rstest]
#[case("spawn.after_folder", false)]
#[case("journal.before_append", false)]
#[case("journal.after_append", true)]
#[case("spawn.after_queued", true)]
#[case("spawn.after_entry", true)]
#[case("spawn.after_entry:3", true)]
#[case("spawn.after_files", true)]
#[case("spawn.after_files:2", true)]
#[case("spawn.after_hook:2", true)]
#[case("spawn.after_worktree:2", true)]
#[case("spawn.before_journal:3", true)]
#[case("journal.before_append:3", true)]
#[case("journal.after_append:3", true)]
#[case("spawn.after_workspace:2", true)]
#[case("spawn.after_workspace:4", true)]
fn people_get_all_their_workspaces(#[case] point: &str, #[case] known: bool) {
    let program = Program::new();
    let names: Vec<String> = (0..4).map(|n| format!("t{n}")).collect();
    let file = lines(&program, names.iter().map(|name| open(name)));
    let args = ["spawn", "--from", &file];
    killed_at(&program, point, &args);
    if known {
        // They are all there: the same again is refused, and doubles nothing.
        let said = program.wt(&args).fails(1);
        assert!(said.contains("`t0` is already open"), "{said}");
        program.wt(&["status"]).ok();
    } else {
        program.wt(&args).ok();
    }
    all_open(&program, &names);
    let queued = program.journal().iter().filter(|record| record["event"]["type"] == "queued").count();
    assert_eq!(queued, 4);
    let doctor = program.wt(&["doctor", "--json"]).json();
    let kinds: Vec<String> =
        doctor["findings"].as_array().unwrap().iter().map(|f| f["kind"].to_string()).collect();
    let ours = ["worktree", "branch", "folder", "workspace", "journal"];
    assert!(!kinds.iter().any(|kind| ours.iter().any(|word| kind.contains(word))), "{kinds:?}");
}

#[rstest]
#[case("spawn.after_folder", false)]
#[case("journal.after_append", true)]
#[case("spawn.after_entry", true)]
#[case("spawn.after_files:2", true)]
#[case("spawn.after_hook", true)]
#[case("spawn.after_workspace:2", true)]
#[case("pass.before_launch:2", true)]
#[case("pass.after_launch", true)]
fn agents_run_once_each(#[case] point: &str, #[case] known: bool) {
    let program = Program::new();
    let file = lines(&program, [agent("c", &["a"]), agent("a", &[]), agent("b", &[])]);
    let args = ["spawn", "--from", &file];
    killed_at(&program, point, &args);
    let refused = program.wt(&args);
    assert_eq!(refused.code, i32::from(known), "{}", refused.err);
    program.wt(&["wait", "--timeout", "30s"]).ok();
    let states = ["a", "b", "c"].map(|name| program.state_of(name));
    assert_eq!(states, ["done", "done", "waiting"], "{point}");
    let started = program.journal().iter().filter(|record| record["event"]["type"] == "started").count();
    assert_eq!(started, 2, "{point}");
    assert_eq!(program.repo.git(&["for-each-ref", "refs/heads/wt/"]).lines().count(), 2);
}
