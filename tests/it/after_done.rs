//! `--after TASK:done`: a task that starts from the branch of one that is done and has not landed, and lands after it.

use crate::program::Program;

#[test]
fn a_child_of_a_done_task_starts_from_its_branch_and_lands_after_it() {
    let program = Program::new();
    program.spawn("late", &["write:l=1", "commit:l"], &["--after", "child"]).fails(1);
    let go = program.env.root().join("go");
    let wait = format!("wait-for:{}", go.display());
    program.spawn("parent", &[&wait, "write:p=1", "commit:from the parent"], &[]).ok();
    program.spawn("child", &["write:c=1", "commit:from the child"], &["--after", "parent:done"]).ok();
    program.spawn("patient", &["write:q=1", "commit:q"], &["--after", "parent"]).ok();
    let waits = program.task("child");
    assert_eq!((&waits["state"], &waits["reason"]), (&"waiting".into(), &"after".into()));
    assert_eq!(
        (&waits["after"], &waits["after_done"]),
        (&serde_json::json!(["parent"]), &serde_json::json!(["parent"]))
    );
    let told = program.wt(&["status", "child"]).ok();
    assert!(told.contains("parent:done"), "{told}");
    assert!(program.task("patient").get("after_done").is_none());
    std::fs::write(go, "").unwrap();
    program.wt(&["wait", "parent", "child", "--timeout", "60s"]).ok();
    assert_eq!(program.state_of("patient"), "waiting", "its parent has not landed");
    assert!(!program.worktree("patient").exists());
    let tree = program.env.at(&program.worktree("child"));
    assert_eq!(tree.read("p"), "1", "the parent's work is there");
    assert_eq!(program.task("child")["base"], program.task("parent")["head"]);
    // Alone it cannot land: what it is built on has not.
    assert_ne!(program.wt(&["merge", "child"]).code, 0);
    assert_eq!(program.state_of("child"), "done");
    // The target moves, so that the parent's commit becomes another one.
    program.repo.commit("m", "moved");
    program.wt(&["merge", "--all"]).ok();
    let log = program.repo.git(&["log", "--format=%s", "-3", "main"]);
    assert_eq!(log.trim(), "from the child\nfrom the parent\nchange m", "each once, in order");
    program.wt(&["wait", "patient", "--timeout", "60s"]).ok();
}

#[test]
fn a_parent_that_has_landed_by_then_leaves_the_target_to_start_from() {
    let program = Program::new();
    program.spawn("parent", &["write:p=1", "commit:p"], &["--wait"]).ok();
    program.wt(&["merge", "parent"]).ok();
    program.spawn("child", &["write:c=1", "commit:c"], &["--after", "parent:done", "--wait"]).ok();
    assert_eq!(program.task("child")["base"], program.repo.head());
    program.spawn("one", &["write:a=1", "commit:a"], &["--wait"]).ok();
    program.spawn("two", &["write:b=1", "commit:b"], &["--wait"]).ok();
    let said = program.refuses(2, &["spawn", "both", "x", "--after", "one:done", "--after", "two:done"]);
    assert!(said.contains("not of several"), "{said}");
}

#[test]
fn lines_of_a_file_may_name_each_other_so() {
    let program = Program::new();
    let lines = "{\"name\":\"child\",\"prompt\":\"SCRIPT:\\nwrite:c=1\\ncommit:c\\n\",\"after\":[\"parent:done\"]}\n\
                 {\"name\":\"parent\",\"prompt\":\"SCRIPT:\\nwrite:p=1\\ncommit:p\\n\"}\n";
    let file = program.env.root().join("tasks.jsonl");
    std::fs::write(&file, lines).unwrap();
    program.wt(&["spawn", "--from", &file.to_string_lossy()]).ok();
    program.wt(&["wait", "parent", "child", "--timeout", "60s"]).ok();
    assert_eq!(program.task("child")["base"], program.task("parent")["head"]);
}
