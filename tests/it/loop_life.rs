//! Loops from end to end: the real program, real repositories, the scripted agent; git and the checks judge.

use std::io::Write as _;
use std::time::Instant;

use serde_json::{Value, json};

use crate::program::Program;

/// The laps of a task, as the journal has them.
fn laps(program: &Program, id: &str) -> Vec<Value> {
    let ends = program.events(id).into_iter().filter(|event| event["type"] == "ended");
    ends.map(|event| event["lap"].clone()).filter(|lap| !lap.is_null()).collect()
}

/// Tells a measurement, even where the test passes.
fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn prompt(program: &Program, name: &str, attempt: u32) -> String {
    let path = program.state().join(format!("tasks/{name}@1/attempts/{attempt}/prompt.md"));
    std::fs::read_to_string(path).unwrap()
}

fn notes(program: &Program, name: &str) -> String {
    let path = program.env.root().join(format!("repo-worktrees/.shared/progress/{name}.md"));
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn a_loop_of_three_ends_with_the_promise_on_the_last() {
    let program = Program::new();
    let begun = Instant::now();
    let steps = [
        "in:1:write:one.txt=1\\n",
        "in:1:commit:Add one",
        "in:2:write:two.txt=2\\n",
        "in:3:write:three.txt=3\\n",
        "env-to:env.txt",
        "in:3:promise:COMPLETE",
    ];
    let out = program.spawn("trio", &steps, &["--loop", "3", "--wait", "--json"]).ok();
    assert!(out.contains("\"done\""), "{out}");
    let took = begun.elapsed();
    let task = program.task("trio");
    assert_eq!(task["state"], "done", "{task}");
    assert_eq!(task["outcome"], "complete after 3 iterations");
    assert_eq!(
        (&task["iteration"], &task["iterations"], &task["attempt"]),
        (&json!(3), &json!(3), &json!(3))
    );
    let git = program.env.at(&program.worktree("trio"));
    // What an agent left uncommitted is committed for it, each time.
    assert_eq!(git.git(&["log", "--format=%s", "--reverse", "main.."]).lines().next(), Some("Add one"));
    assert_eq!(git.git(&["status", "--porcelain"]), "");
    assert!(git.read("env.txt").contains("WT_ITERATION=3\n"), "{}", git.read("env.txt"));
    assert!(git.read("CLAUDE.local.md").contains("Iteration 3 of at most 3"));

    let laps = laps(&program, "trio@1");
    let numbers: Vec<_> = laps.iter().map(|lap| lap["iteration"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3]);
    let second = prompt(&program, "trio", 2);
    assert!(second.starts_with("SCRIPT:\nin:1:write:one.txt"), "{second}");
    for told in [
        "\n\n## Iteration 2 of at most 3\n",
        " Add one\n",
        "\n one.txt | ",
        "The last iteration: no promise;",
    ] {
        assert!(second.contains(told), "`{told}` is not in:\n{second}");
    }
    // Once in its script: only what the last iteration changed is told.
    assert_eq!(prompt(&program, "trio", 3).matches("Add one").count(), 1);
    let notes = notes(&program, "trio");
    assert!(notes.starts_with("# Notes on `trio@1`"), "{notes}");
    assert_eq!(notes.matches("- wt: iteration ").count(), 3, "{notes}");

    let table = program.wt(&["status", "--all"]).ok();
    assert!(table.contains("done 3/3"), "{table}");
    program.wt(&["merge", "trio"]).ok();
    assert_eq!(program.repo.git(&["show", "main:three.txt"]), "3");
    tell(&format!("a loop of three iterations took {:.2} s", took.as_secs_f64()));
}

#[test]
fn a_promise_with_a_red_check_goes_on_and_the_output_is_told() {
    let program = Program::new();
    let steps = ["in:1:write:bad.txt=x", "in:2:delete:bad.txt", "in:2:write:good.txt=x", "promise:COMPLETE"];
    let check = "test ! -e bad.txt || { echo the bad file is there; exit 3; }";
    program.spawn("red", &steps, &["--loop", "5", "--verify", check, "--wait"]).ok();
    let task = program.task("red");
    assert_eq!((&task["state"], &task["iteration"]), (&json!("done"), &json!(2)), "{task}");
    let second = prompt(&program, "red", 2);
    assert!(second.contains("its promise does not count: `test ! -e bad.txt"), "{second}");
    assert!(second.contains("exited with code 3"), "{second}");
    assert!(second.contains("\n\nthe bad file is there\n"), "{second}");
}

#[test]
fn a_loop_without_a_promise_is_used_up_and_can_still_be_landed() {
    let program = Program::new();
    let steps = ["in:1:write:a=1", "in:2:write:b=1"];
    assert_eq!(program.spawn("endless", &steps, &["--loop", "2", "--wait"]).code, 1);
    let task = program.task("endless");
    assert_eq!(task["state"], "failed", "{task}");
    assert!(
        task["outcome"].as_str().unwrap().starts_with("the loop is used up after 2 iterations"),
        "{task}"
    );
    program.wt(&["merge", "endless"]).ok();
    assert_eq!(program.repo.git(&["show", "main:b"]), "1");
}

#[test]
fn a_loop_that_does_nothing_or_the_same_again_is_given_up() {
    let program = Program::new();
    program.configure("[loop]\nno_progress = 2\nmax = 9\n");
    program.spawn("idle", &["say:thinking"], &["--loop"]).ok();
    program.spawn("circle", &["append:log.txt=again\\n"], &["--loop"]).ok();
    program
        .spawn("stuck", &["env-to:env.txt", "promise:COMPLETE"], &["--loop", "--verify", "date; exit 1"])
        .ok();
    assert_eq!(program.wt(&["wait", "--all"]).code, 1);
    for (name, iteration, why) in [
        ("idle", 2, "no new commit in 2 iterations"),
        // The file is new at first, so the second change is the first that comes again.
        ("circle", 3, "it goes round in circles: the same change in 2 iterations"),
        ("stuck", 2, "it goes round in circles: the same error in 2 iterations"),
    ] {
        let task = program.task(name);
        assert_eq!((&task["state"], &task["iteration"]), (&json!("failed"), &json!(iteration)), "{task}");
        assert!(task["outcome"].as_str().unwrap().starts_with(why), "{task}");
    }
}

#[test]
fn blocked_and_nothing_are_understood() {
    let program = Program::new();
    program.spawn("asks", &["write:half.txt=x", "promise:BLOCKED: no key"], &["--loop", "5"]).ok();
    program.spawn("idle", &["promise:NOTHING"], &["--loop", "5"]).ok();
    assert_eq!(program.wt(&["wait", "--all"]).code, 3);
    let task = program.task("asks");
    assert_eq!((&task["state"], &task["attempt"]), (&json!("failed"), &json!(1)), "{task}");
    assert_eq!(task["outcome"], "the agent is blocked: no key");
    assert!(program.worktree("asks").join("half.txt").exists());
    let task = program.task("idle");
    assert_eq!((&task["state"], &task["outcome"]), (&json!("done"), &json!("nothing to do")), "{task}");
}

#[test]
fn every_requirement_must_pass_before_the_promise_counts() {
    let program = Program::new();
    program.repo.commit(
        "prd.json",
        r#"[{"id":"US-1","title":"Log in","passes":false},{"id":"US-2","passes":false}]"#,
    );
    let steps = [
        r#"in:1:write:prd.json=[{"id":"US-1","title":"Log in","passes":true},{"id":"US-2","title":"Pay","passes":false}]"#,
        r#"in:2:write:prd.json={"userStories":"#,
        r#"in:3:write:prd.json={"US-1":{"passes":true},"US-2":{"passes":true}}"#,
        "promise:COMPLETE",
    ];
    program.spawn("prd", &steps, &["--loop", "9", "--prd", "prd.json", "--wait"]).ok();
    let task = program.task("prd");
    assert_eq!((&task["state"], &task["iteration"]), (&json!("done"), &json!(3)), "{task}");
    let (first, second, third) =
        (prompt(&program, "prd", 1), prompt(&program, "prd", 2), prompt(&program, "prd", 3));
    assert!(first.contains("- US-1: Log in\n- US-2\n"), "{first}");
    assert!(second.contains("1 of 2 in `prd.json` do not pass: US-2"), "{second}");
    assert!(second.contains("- US-2: Pay\n") && !second.contains("- US-1"), "{second}");
    assert!(third.contains("`prd.json` is not usable: it is not JSON"), "{third}");
    // `wt` itself never writes it.
    assert_eq!(
        program.env.at(&program.worktree("prd")).read("prd.json"),
        steps[2].split_once('=').unwrap().1
    );
}

#[test]
fn eight_loops_run_side_by_side() {
    let program = Program::new();
    program.configure("[limits]\nslots = 4\n");
    let begun = Instant::now();
    let names: Vec<String> = (1..=8).map(|n| format!("loop-{n}")).collect();
    for name in &names {
        let steps = [
            format!("in:1:write:{name}-1=x"),
            format!("in:2:write:{name}-2=x"),
            format!("in:3:write:{name}-3=x"),
        ];
        let mut steps: Vec<&str> = steps.iter().map(String::as_str).collect();
        steps.push("in:3:promise:COMPLETE");
        program.spawn(name, &steps, &["--loop", "4"]).ok();
    }
    program.wt(&["wait", "--all"]).ok();
    for name in &names {
        let task = program.task(name);
        assert_eq!(
            (&task["state"], &task["iteration"], &task["attempt"]),
            (&json!("done"), &json!(3), &json!(3)),
            "{task}"
        );
    }
    let took = begun.elapsed();
    program.wt(&["merge", "--all"]).ok();
    assert_eq!(program.repo.git(&["ls-tree", "--name-only", "main"]).lines().count(), 25);
    tell(&format!("eight loops of three iterations in four slots took {:.2} s", took.as_secs_f64()));
}
