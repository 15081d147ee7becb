//! Checks: on the exact merged commit, in `wt`'s own worktree, under guards of their own.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use wt::model::State;

use super::field::Field;
use crate::program::{alive, ran};

fn verify(run: &str, more: &str) -> String {
    format!("[[verify]]\nname = \"check\"\nrun = '''{run}'''\n{more}\n")
}

#[test]
fn a_red_check_leaves_the_target_alone() {
    let field = Field::with(&verify("echo out; echo err >&2; exit 7", ""));
    field.done("a", &[("a", "a\n")]);
    let old = field.main();
    let said = field.merge(&["--all"]);
    assert_eq!((said.code(), said.result("a")), (5, "rejected"));
    assert!(said.reason("a").starts_with("`check` exited with code 7 after "), "{}", said.reason("a"));
    assert_eq!((field.main(), field.state("a")), (old, State::Rejected));
    let log = std::fs::read_to_string(said.of("a")["log"].as_str().unwrap()).unwrap();
    assert_eq!(log.lines().collect::<std::collections::BTreeSet<_>>(), ["err", "out"].into());
    assert!(said.ran.err.contains("a | out"), "{}", said.ran.err);
    assert!(said.ran.err.contains("hint: see the whole output with `less "), "{}", said.ran.err);
    let again = field.merge(&["--all"]);
    assert_eq!((again.code(), again.view["tasks"].as_array().unwrap().len()), (0, 0));
    assert_eq!(field.merge(&["a", "--check", "false"]).code(), 5);
    let said = field.merge(&["a", "--no-verify"]);
    assert_eq!((said.code(), said.result("a")), (0, "landed"));
    field.is_whole();
}

#[test]
fn a_conflict_weighs_more_than_a_red_check() {
    let field = Field::with(&verify("test ! -e red", ""));
    field.done("a", &[("same", "a\n")]);
    field.done("b", &[("same", "b\n")]);
    field.done("c", &[("red", "c\n")]);
    let said = field.merge(&["--all"]);
    assert_eq!((said.code(), said.result("b"), said.result("c")), (4, "conflict", "rejected"));
}

#[test]
fn the_merged_tree_is_what_is_checked() {
    let field = Field::new();
    let script =
        field.script("check", "git log --format=%s | head -n 1 >> \"$HOME/seen\"\nls >> \"$HOME/seen\"");
    field.program.configure(&verify(&script, ""));
    field.done("a", &[("a", "a\n")]);
    field.done("b", &[("b", "b\n")]);
    field.merge(&["a"]).ran.ok();
    field.done("c", &[("c", "c\n")]);
    field.merge(&["--all"]).ran.ok();
    let seen = std::fs::read_to_string(field.program.env.root().join("home/seen")).unwrap();
    assert_eq!(seen, "change a\nREADME.md\na\nchange c\nREADME.md\na\nb\nc\n", "the last one of a batch");
}

#[test]
fn the_tasks_own_check_runs_too_unless_replaced() {
    let field = Field::with(&verify("echo configured >> \"$HOME/ran\"", ""));
    field.done_with("a", &[("a", "a\n")], &["--verify", "echo own >> \"$HOME/ran\"; test -e b"]);
    field.done_with("b", &[("b", "b\n")], &["--verify", "false"]);
    let ran = || std::fs::read_to_string(field.program.env.root().join("home/ran")).unwrap();
    let said = field.merge(&["a"]);
    assert_eq!((said.code(), said.result("a")), (5, "rejected"));
    assert_eq!(ran(), "configured\nown\nown\n", "what fails is run once more");
    let said = field.merge(&["b", "--check", "echo replaced >> \"$HOME/ran\""]);
    assert_eq!((said.code(), ran().as_str()), (0, "configured\nown\nown\nreplaced\n"));
    // What it was waiting for is there now.
    field.merge(&["--all"]).ran.ok();
}

#[test]
fn a_check_that_passes_when_run_again_is_flaky_and_good_enough() {
    let field = Field::new();
    let script = field.script("check", "test -e \"$HOME/once\" || { touch \"$HOME/once\"; exit 1; }");
    field.program.configure(&verify(&script, "retries = 1"));
    field.done("a", &[("a", "a\n")]);
    let said = field.merge(&["a"]);
    assert_eq!((said.code(), said.reason("a")), (0, "passed only when run again: `check`"));
}

#[test]
fn a_check_has_a_time_limit_and_leaves_nothing_behind() {
    let field = Field::new();
    let script = field.script(
        "check",
        "setsid sh -c 'echo $$ > \"$HOME/daemon\"; exec sleep 1000' < /dev/null > /dev/null 2>&1 &\n\
         while ! test -s \"$HOME/daemon\"; do :; done\n\
         test -z \"$SLOW\" || sleep 1000",
    );
    field.program.configure(&verify(&script, ""));
    field.done("a", &[("a", "a\n")]);
    field.merge(&["a"]).ran.ok();
    let daemon = field.program.env.root().join("home/daemon");
    let pid: u32 = std::fs::read_to_string(&daemon).unwrap().trim().parse().unwrap();
    assert!(!alive(pid), "the daemon outlived the landing");
    std::fs::remove_file(&daemon).unwrap();
    field.program.configure(&verify(&format!("SLOW=1 {script}"), "timeout = \"1s\""));
    field.done("b", &[("b", "b\n")]);
    let said = field.merge(&["b"]);
    assert_eq!((said.code(), said.reason("b")), (5, "`check` was ended after its time limit of 1s"));
    let pid: u32 = std::fs::read_to_string(&daemon).unwrap().trim().parse().unwrap();
    assert!(!alive(pid), "the daemon outlived its time limit");
}

#[test]
fn the_worktree_for_checks_keeps_caches_and_nothing_else() {
    let field = Field::new();
    field.repo().commit(".gitignore", "cache/\n");
    let script = field.script(
        "check",
        "test ! -e litter; test ! -e nested; test ! -e edited || test \"$(cat edited)\" = ok\n\
         mkdir -p cache; echo x >> cache/runs; cp cache/runs \"$HOME/runs\"\n\
         touch litter; git init -q nested; echo broken > edited; git checkout -q -b mischief-$$",
    );
    let setup = "[workspace]\nsetup = ['''echo set-up >> \"$HOME/setup\"; mkdir -p cache''']\n";
    field.program.configure(&format!("{setup}{}", verify(&script, "")));
    for name in ["a", "b", "c"] {
        field.done(name, &[(name, "x\n"), ("edited", "ok\n")]);
    }
    let home = field.program.env.root().join("home");
    let before = std::fs::read_to_string(home.join("setup")).map_or(0, |text| text.lines().count());
    field.merge(&["a"]).ran.ok();
    field.merge(&["b", "c"]).ran.ok();
    assert_eq!(std::fs::read_to_string(home.join("runs")).unwrap(), "x\nx\n", "once for both of the batch");
    let after = std::fs::read_to_string(home.join("setup")).unwrap().lines().count();
    assert_eq!(after - before, 1, "set up once");
    let listed = field.program.wt(&["status", "--all"]).ok();
    assert!(!listed.contains("verify"), "{listed}");
}

#[test]
fn the_worktree_for_checks_is_made_again_where_it_is_gone_or_broken() {
    let field = Field::with(&verify("test -e README.md", ""));
    let place = field.program.worktree(".verify");
    field.done("a", &[("a", "a\n")]);
    field.merge(&["a"]).ran.ok();
    std::fs::remove_dir_all(&place).unwrap();
    field.done("b", &[("b", "b\n")]);
    field.merge(&["b"]).ran.ok();
    std::fs::remove_file(place.join(".git")).unwrap();
    field.done("c", &[("c", "c\n")]);
    field.merge(&["c"]).ran.ok();
    std::fs::remove_dir_all(&place).unwrap();
    field.repo().git(&["worktree", "prune"]);
    std::fs::create_dir(&place).unwrap();
    std::fs::write(place.join("mine"), "not wt's").unwrap();
    field.done("d", &[("d", "d\n")]);
    let said = field.merge(&["d"]);
    assert_eq!((said.code(), field.state("d")), (1, State::Done { skipped: false }));
    assert!(said.ran.err.contains("is in the way of the worktree for checks"), "{}", said.ran.err);
    assert!(place.join("mine").exists());
    field.is_whole();
}

#[test]
fn set_up_that_fails_says_nothing_about_the_task() {
    let field = Field::new();
    field.done("a", &[("a", "a\n")]);
    field.program.configure(&format!("[workspace]\nsetup = [\"exit 3\"]\n{}", verify("true", "")));
    let said = field.merge(&["a"]);
    assert_eq!((said.code(), field.state("a")), (1, State::Done { skipped: false }));
    assert!(said.ran.err.contains("cannot be set up: `exit 3` exited with code 3"), "{}", said.ran.err);
    field.program.configure(&verify("true", ""));
    field.merge(&["a"]).ran.ok();
}

#[test]
fn variables_that_redirect_git_do_not_reach_a_check() {
    let field =
        Field::with(&verify("test -z \"$GIT_INDEX_FILE$WT_TASK$GIT_OBJECT_DIRECTORY\" && git status", ""));
    field.done("a", &[("a", "a\n")]);
    let mut merge = field.program.command(&["merge", "a"]);
    merge.env("GIT_INDEX_FILE", "/nonexistent").env("WT_TASK", "other");
    crate::program::ran(merge.output().unwrap()).ok();
}

/// A task whose check writes its number into `pid` and goes on for ever as long as there is no `go`, both in the home folder.
fn held_by_its_check() -> (Field, PathBuf) {
    let field = Field::new();
    let script =
        field.script("check", "test -e \"$HOME/go\" || { echo $$ > \"$HOME/pid\"; exec sleep 1000; }");
    field.program.configure(&verify(&script, ""));
    field.done("a", &[("a", "a\n")]);
    let home = field.program.env.root().join("home");
    (field, home)
}

#[test]
fn who_waits_for_a_landing_that_is_killed_lands_its_task() {
    let (field, home) = held_by_its_check();
    let mut first = field.program.command(&["merge", "a", "--quiet"]).spawn().unwrap();
    field.program.file(&home.join("pid"));
    let mut second = field.program.command(&["merge", "a", "--json"]);
    let mut second = second.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(second.stderr.take().unwrap()).lines();
    let waits = told.find(|line| line.as_ref().unwrap().contains("waiting for `wt merge a`"));
    assert!(waits.is_some(), "{:?}", ran(second.wait_with_output().unwrap()));
    std::fs::write(home.join("go"), "").unwrap();
    kill_process(Pid::from_child(&first), Signal::KILL).unwrap();
    first.wait().unwrap();
    let rest: Vec<String> = told.map(Result::unwrap).collect();
    let second = ran(second.wait_with_output().unwrap());
    assert_eq!((second.code, &second.json()["tasks"][0]["result"]), (0, &"landed".into()), "{rest:?}");
    field.is_whole();
}

#[test]
fn a_landing_that_is_killed_leaves_no_check_running_and_can_be_done_again() {
    let (field, home) = held_by_its_check();
    let mut merge = field.program.command(&["merge", "a", "--quiet"]).spawn().unwrap();
    let pid: u32 = field.program.file(&home.join("pid")).trim().parse().unwrap();
    kill_process(Pid::from_child(&merge), Signal::KILL).unwrap();
    merge.wait().unwrap();
    field.program.until("the check's end", || (!alive(pid)).then_some(()));
    assert!(matches!(field.state("a"), State::Landing { .. }));
    std::fs::write(home.join("go"), "").unwrap();
    let said = field.merge(&["a"]);
    assert_eq!((said.code(), said.result("a")), (0, "landed"));
    field.is_whole();
}

#[test]
fn ignored_files_of_the_main_checkout_are_brought_in_as_they_are_now() {
    let field = Field::new();
    field.repo().commit(".gitignore", ".env*\nnode_modules/\nlink\n");
    field.program.configure(&format!("[workspace]\nsymlink = [\"node_modules\"]\n{}", verify(
        "cat .env sub/.env.local node_modules/x >> \"$HOME/seen\"; rm -rf sub; ln -s \"$HOME/outside\" sub", "",
    )));
    field.repo().write(".env", "one\n");
    field.repo().write("sub/.env.local", "local\n");
    field.repo().write("node_modules/x", "x\n");
    let home = field.program.env.root().join("home");
    std::fs::create_dir(home.join("outside")).unwrap();
    std::fs::write(home.join("outside/.env.local"), "not wt's").unwrap();
    field.done("a", &[("a", "a\n")]);
    field.merge(&["a"]).ran.ok();
    field.repo().write(".env", "two\n");
    field.done("b", &[("b", "b\n")]);
    field.merge(&["b"]).ran.ok();
    let seen = std::fs::read_to_string(home.join("seen")).unwrap();
    assert_eq!(seen, "one\nlocal\nx\ntwo\nlocal\nx\n");
    assert_eq!(std::fs::read_to_string(home.join("outside/.env.local")).unwrap(), "not wt's");
    assert_eq!(field.repo().read("node_modules/x"), "x\n");
}
