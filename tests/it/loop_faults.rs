//! Loops that are killed, fail, are stopped and run again: an iteration counts once, and each begins afresh.

use serde_json::{Value, json};

use crate::program::{Program, gone_within, kill_together};

fn iterations(program: &Program, id: &str) -> Vec<u64> {
    let ends = program.events(id).into_iter().filter(|event| event["type"] == "ended");
    ends.filter_map(|event| event["lap"]["iteration"].as_u64()).collect()
}

/// An agent whose second iteration hangs, in its first run only.
fn hanging(program: &Program) -> Vec<String> {
    let (pids, once) = (program.env.root().join("pids"), program.env.root().join("once"));
    vec![
        "in:1:write:one.txt=1\\n".to_owned(),
        "in:2:append:two.txt=2\\n".to_owned(),
        format!("in:2:pids-to:{}", pids.display()),
        format!("in:2:hang-first:1:{}", once.display()),
        "in:3:write:three.txt=3\\n".to_owned(),
        "in:3:promise:COMPLETE".to_owned(),
    ]
}

#[test]
fn killed_with_its_guard_in_the_middle_of_a_loop_the_same_iteration_comes_again() {
    let program = Program::new();
    let steps = hanging(&program);
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    program.spawn("trio", &steps, &["--loop", "3"]).ok();
    let pids = program.file(&program.env.root().join("pids"));
    let agent: u32 = pids.split_whitespace().nth(1).unwrap().parse().unwrap();
    kill_together(&["__run", "__guard"].map(|role| program.role(role)[0]));
    program.wt(&["status"]).ok();
    gone_within(std::time::Duration::from_secs(2), &[agent]);
    program.wt(&["wait", "trio"]).ok();
    let task = program.task("trio");
    assert_eq!(
        (&task["state"], &task["iteration"], &task["attempt"]),
        (&json!("done"), &json!(3), &json!(4)),
        "{task}"
    );
    assert_eq!(iterations(&program, "trio@1"), [1, 2, 3]);
    let told = program.told("trio@1");
    assert_eq!(told.iter().filter(|event| *event == "lost").count(), 1, "{told:?}");
    // Twice appended: what the killed attempt left was there for the next one, and its checkpoint has it alone.
    let tree = program.env.at(&program.worktree("trio"));
    assert_eq!(tree.read("two.txt"), "2\n2\n");
    assert_eq!(tree.git(&["show", "refs/wt/checkpoint/trio/2^3:two.txt"]), "2");
    let prompt = program.state().join("tasks/trio@1/attempts/3/prompt.md");
    let prompt = std::fs::read_to_string(prompt).unwrap();
    assert!(prompt.contains("## Iteration 2 of at most 3"), "{prompt}");
    assert!(
        prompt.contains("The attempt before this one was not accepted: its supervision was killed"),
        "{prompt}"
    );
}

#[test]
fn a_failed_attempt_uses_a_retry_of_its_iteration_only() {
    let program = Program::new();
    let count = |n: u32| program.env.root().join(format!("count-{n}")).display().to_string();
    let steps = [
        format!("in:1:fail-first:1:{}", count(1)),
        format!("in:2:fail-first:1:{}", count(2)),
        "in:1:write:one.txt=1".to_owned(),
        "in:2:write:two.txt=2".to_owned(),
        "in:2:promise:COMPLETE".to_owned(),
    ];
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    // With one retry for all of them, the second failure would be the end.
    program.spawn("duo", &steps, &["--loop", "3", "--retries", "1", "--wait"]).ok();
    let task = program.task("duo");
    assert_eq!((&task["iteration"], &task["attempt"]), (&json!(2), &json!(4)), "{task}");
    assert_eq!(iterations(&program, "duo@1"), [1, 2]);
}

#[test]
fn an_iteration_whose_retries_are_used_up_ends_the_loop() {
    let program = Program::new();
    program.spawn("broken", &["in:1:write:a=1", "in:2:exit:3"], &["--loop", "5", "--retries", "0"]).ok();
    assert_eq!(program.wt(&["wait", "broken"]).code, 1);
    let task = program.task("broken");
    assert_eq!((&task["state"], &task["iteration"]), (&json!("dead"), &json!(2)), "{task}");
    assert_eq!(iterations(&program, "broken@1"), [1]);
}

#[test]
fn stopped_in_the_middle_and_run_again_it_goes_on_where_it_was() {
    let program = Program::new();
    let steps = hanging(&program);
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    program.spawn("trio", &steps, &["--loop", "3"]).ok();
    program.file(&program.env.root().join("pids"));
    let table = program.wt(&["status"]).ok();
    assert!(table.contains("running 2/3"), "{table}");
    program.wt(&["stop", "trio"]).ok();
    assert_eq!(program.state_of("trio"), "stopped");
    assert_eq!(iterations(&program, "trio@1"), [1]);
    program.wt(&["retry", "trio"]).ok();
    program.wt(&["wait", "trio"]).ok();
    let task = program.task("trio");
    assert_eq!((&task["state"], &task["iteration"]), (&json!("done"), &json!(3)), "{task}");
    assert_eq!(iterations(&program, "trio@1"), [1, 2, 3]);
}

#[test]
fn a_used_up_loop_that_is_run_again_has_another_round() {
    let program = Program::new();
    program.spawn("more", &["append:log.txt=x\\n", "env-to:env.txt"], &["--loop", "1"]).ok();
    assert_eq!(program.wt(&["wait", "more"]).code, 1);
    program.wt(&["retry", "more"]).ok();
    assert_eq!(program.wt(&["wait", "more"]).code, 1);
    let task = program.task("more");
    assert_eq!(
        (&task["state"], &task["iteration"], &task["attempt"]),
        (&json!("failed"), &json!(1), &json!(2))
    );
    assert_eq!(program.env.at(&program.worktree("more")).read("log.txt"), "x\nx\n");
}

/// An agent that keeps its session in a file and takes it up again when it is asked to.
#[test]
fn a_session_is_resumed_within_an_iteration_and_never_across() {
    let program = Program::new();
    let log = program.env.root().join("calls");
    let script = program.env.root().join("agent.sh");
    let text = format!(
        "#!/bin/sh\ncat >/dev/null\necho \"$WT_ITERATION $*\" >> {log}\n\
         echo \"{{\\\"s\\\":\\\"session-$WT_ITERATION\\\"}}\"\necho x >> work-$WT_ITERATION\n\
         n=$(grep -c \"^$WT_ITERATION \" {log})\n[ \"$WT_ITERATION\" = 2 ] && [ \"$n\" = 1 ] && exit 3\n\
         [ \"$WT_ITERATION\" = 3 ] && said='<promise>COMPLETE</promise>'\n\
         echo \"{{\\\"end\\\":true,\\\"text\\\":\\\"ok $said\\\"}}\"\n",
        log = log.display()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    program.configure(&format!(
        "[agents.talker]\ncommand = [\"{}\"]\nevents = \"jsonl\"\nargs = {{ resume = [\"--resume\", \"{{session}}\"] }}\n\
         event = [{{ when = {{ \"/s\" = \"nonempty\" }}, take = {{ session = \"/s\" }} }}, \
         {{ when = {{ \"/end\" = true }}, take = {{ text = \"/text\" }}, final = true }}]\n\
         outcome = [{{ when = {{ exit = 0 }}, class = \"ok\" }}]\n",
        script.display()
    ));
    program.wt(&["spawn", "talk", "go", "--agent", "talker", "--loop", "3", "--wait"]).ok();
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "1 \n2 \n2 --resume session-2\n3 \n");
    let task: Value = program.task("talk");
    assert_eq!(task["session"], "session-3", "{task}");
}

/// An agent that runs what it is asked as a shell script, the part about the loop left out.
const SHELL: &str = r#"[agents.shell]
command = ["sh", "-c", "exec sh -ec \"$(sed '/^## Iteration/,$d')\""]
"#;

#[test]
fn notes_that_an_agent_takes_away_are_begun_again() {
    let program = Program::new();
    program.configure(SHELL);
    let script = "rm -rf .shared/progress; echo $WT_ITERATION > x; git add x; git commit -qm x";
    program.wt(&["spawn", "a", script, "--agent", "shell", "--loop", "2"]).ok();
    program.wt(&["wait", "a"]).fails(1);
    let notes = program.env.root().join("repo-worktrees/.shared/progress/a.md");
    let notes = std::fs::read_to_string(notes).unwrap();
    assert!(notes.starts_with("- wt: iteration 2 ended at "), "{notes}");
}

#[test]
fn a_workspace_that_an_agent_takes_away_ends_the_loop_and_comes_back() {
    let program = Program::new();
    program.configure(SHELL);
    let script = "echo x > x; git add x; git commit -qm x; here=$(pwd); cd /; rm -rf \"$here\"";
    program.wt(&["spawn", "a", script, "--agent", "shell", "--loop", "5"]).ok();
    let told = program.wt(&["wait", "a"]);
    assert_eq!(told.code, 1);
    assert!(told.out.contains("a failed: the folder ") && told.out.contains("is gone"), "{}", told.out);
    assert_eq!(iterations(&program, "a@1"), [1]);
    let refused = program.wt(&["retry", "a"]).fails(1);
    assert!(refused.contains("wt gc a --force && wt restore a"), "{refused}");
    program.wt(&["gc", "a", "--force"]).ok();
    program.wt(&["restore", "a"]).ok();
    assert_eq!(program.env.at(&program.worktree("a")).read("x"), "x\n");
}
