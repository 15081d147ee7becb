//! Batches: one check for several tasks, the culprit found by halves, what is green landed.

use wt::model::State;

use super::field::Field;

/// A check that writes down that it ran, and passes if `condition` does.
fn counted(field: &Field, condition: &str) -> String {
    let script = field.script("check", &format!("echo x >> \"$HOME/runs\"\n{condition}"));
    format!("[[verify]]\nname = \"check\"\nrun = '''{script}'''\nretries = 0\n")
}

fn runs(field: &Field) -> usize {
    let runs = std::fs::read_to_string(field.program.env.root().join("home/runs"));
    runs.map_or(0, |text| text.lines().count())
}

/// The commits that `main` was ever at, oldest first.
fn stations(field: &Field) -> Vec<String> {
    let text = field.repo().git(&["reflog", "show", "--format=%H", "main"]);
    text.lines().rev().map(str::to_owned).collect()
}

/// Makes sure that `condition` holds at every commit that `main` was at since `from`.
fn was_always_green(field: &Field, from: usize, condition: impl Fn(&[&str]) -> bool) {
    for commit in &stations(field)[from..] {
        let files = field.repo().git(&["ls-tree", "-r", "--name-only", commit]);
        assert!(condition(&files.lines().collect::<Vec<_>>()), "{commit}: {files}");
    }
}

#[test]
fn one_check_one_move_and_one_record_for_all() {
    let field = Field::new();
    field.program.configure(&counted(&field, "true"));
    let names = ["a", "b", "c", "d", "e"];
    for name in names {
        field.done(name, &[(name, "x\n"), (name, "y\n")]);
    }
    let before = stations(&field).len();
    let said = field.merge(&["--all"]);
    assert_eq!((said.code(), runs(&field)), (0, 1));
    assert!(names.iter().all(|name| said.result(name) == "landed" && said.of(name)["commits"] == 2));
    assert_eq!(stations(&field).len() - before, 1, "one move");
    let journal = field.program.journal();
    let of_type = |kind: &str| journal.iter().filter(|record| record["event"]["type"] == kind).count();
    assert_eq!((of_type("publishing"), of_type("published"), of_type("landed")), (1, 1, 5));
    assert_eq!(field.subjects().len(), 10);
    field.is_whole();
}

#[test]
fn culprits_are_found_by_halves_and_the_others_land() {
    let field = Field::new();
    field.program.configure(&counted(&field, "! ls | grep -q bad"));
    for n in 0..8 {
        let file = if n == 2 || n == 6 { format!("bad{n}") } else { format!("good{n}") };
        field.done(&format!("t{n}"), &[(&file, "x\n")]);
    }
    let said = field.merge(&["--all"]);
    assert_eq!(said.code(), 5);
    let results: Vec<&str> = (0..8).map(|n| said.result(&format!("t{n}"))).collect();
    let (good, bad) = ("landed", "rejected");
    assert_eq!(results, [good, good, bad, good, good, good, bad, good], "in the order of the queue");
    let names: Vec<&str> =
        said.view["tasks"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7"]);
    was_always_green(&field, 1, |files| !files.iter().any(|file| file.starts_with("bad")));
    // 8 red, 4 red, 2 green, 3 red; 4 of the 5 behind it red, 2 green, 3 green, so the fourth; the last.
    assert_eq!(runs(&field), 8);
    field.is_whole();
}

#[test]
fn what_conflicts_with_most_comes_last() {
    let field = Field::new();
    field.done("greedy", &[("x", "greedy\n"), ("y", "greedy\n"), ("z", "greedy\n")]);
    for name in ["x", "y", "z"] {
        field.done(name, &[(name, "mine\n")]);
    }
    let said = field.merge(&["--all", "--no-agent"]);
    assert!(["x", "y", "z"].iter().all(|name| said.result(name) == "landed"));
    assert_eq!((said.code(), said.result("greedy")), (4, "conflict"));
}

#[test]
fn what_fails_only_together_rejects_the_later_one() {
    let field = Field::new();
    field.program.configure(&counted(&field, "! { test -e a && test -e c; }"));
    for name in ["a", "b", "c", "d"] {
        field.done(name, &[(name, "x\n")]);
    }
    let said = field.merge(&["--all"]);
    assert_eq!((said.code(), said.result("c"), field.state("c")), (5, "rejected", State::Rejected));
    assert!(["a", "b", "d"].iter().all(|name| said.result(name) == "landed"));
    let log = std::fs::read_to_string(said.of("c")["log"].as_str().unwrap());
    assert!(log.is_ok(), "its log is kept");
    was_always_green(&field, 1, |files| !(files.contains(&"a") && files.contains(&"c")));
    field.is_whole();
}

#[test]
fn a_child_of_a_rejected_task_is_left_out() {
    let field = Field::new();
    field.program.configure(&counted(&field, "test ! -e parent"));
    field.done("parent", &[("parent", "x\n")]);
    field.child("child", "parent").commit("child", "x\n");
    field.done("other", &[("other", "x\n")]);
    let said = field.merge(&["parent", "child", "other"]);
    assert_eq!((said.result("parent"), said.result("other")), ("rejected", "landed"));
    assert_eq!(said.reason("child"), "`parent` must land first and is rejected");
    assert_eq!(field.state("child"), State::Stopped);
    field.is_whole();
}

#[test]
fn files_in_the_way_of_one_keep_no_other_from_landing() {
    let field = Field::new();
    field.program.configure(&counted(&field, "true"));
    for name in ["a", "b", "c"] {
        field.done(name, &[(name, "x\n")]);
    }
    field.repo().write("b", "mine\n");
    let said = field.merge(&["--all"]);
    assert_eq!((said.result("a"), said.result("c")), ("landed", "landed"));
    assert!(said.reason("b").contains("are in the way: `b`"), "{}", said.reason("b"));
    assert_eq!(
        (field.repo().read("b"), field.state("b")),
        ("mine\n".to_owned(), State::Done { skipped: false })
    );
    assert_eq!(runs(&field), 1);
    field.is_whole();
}

#[test]
fn what_has_passed_is_not_checked_again() {
    let field = Field::new();
    field.program.configure(&counted(&field, "true"));
    field.done("a", &[("a", "x\n")]);
    field.done("b", &[("b", "x\n")]);
    let mut merge = field.program.command(&["merge", "--all", "--keep", "--quiet"]);
    let killed = crate::program::ran(merge.env("WT_FAILPOINT", "land.after_intent").output().unwrap());
    assert_eq!((killed.code, runs(&field)), (-1, 1));
    let said = field.merge(&["--all"]);
    assert_eq!((said.code(), runs(&field)), (0, 1), "the tree is the same");
    // It is not even brought to the commit that was checked before.
    let checked = || field.program.env.at(&field.program.worktree(".verify")).head();
    let before = checked();
    field.repo().git(&["reset", "-q", "--hard", "HEAD~2"]);
    field.repo().git(&["commit", "-q", "--allow-empty", "-m", "by hand"]);
    for name in ["a", "b"] {
        field.done(&format!("{name}2"), &[(name, "x\n")]);
    }
    let said = field.merge(&["--all"]);
    assert_eq!((said.code(), runs(&field), checked()), (0, 1, before), "{}", said.ran.err);
    // Another file beside the tree is another check.
    field.repo().write(".git/info/exclude", ".env\n");
    field.repo().write(".env", "one\n");
    field.repo().git(&["reset", "-q", "--hard", "HEAD~2"]);
    for name in ["a", "b"] {
        field.done(&format!("{name}3"), &[(name, "x\n")]);
    }
    assert_eq!((field.merge(&["--all"]).code(), runs(&field)), (0, 2));
    // Another command is another check.
    field.done("c", &[("c", "x\n")]);
    field.merge(&["c", "--check", "echo x >> \"$HOME/runs\""]).ran.ok();
    assert_eq!(runs(&field), 3);
    field.is_whole();
}
