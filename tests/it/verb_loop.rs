//! Asking for loops: the options of `wt spawn`, the keys of `--from`, and what is refused before anything is made.

use serde_json::{Value, json};

use crate::program::Program;

fn spec(program: &Program, id: &str) -> Value {
    program.events(id)[0]["spec"].clone()
}

#[test]
fn options_and_configuration_become_the_loop() {
    let program = Program::new();
    program.configure("[loop]\nmax = 7\nno_progress = 4\nuntil = \"ALL GREEN\"\n");
    program.repo.commit("docs/prd.json", r#"[{"id":"a"}]"#);
    let steps = ["promise:NOTHING"];
    program.spawn("plain", &steps, &[]).ok();
    assert_eq!(spec(&program, "plain@1")["looping"], Value::Null);
    program.spawn("configured", &steps, &["--loop"]).ok();
    let expected = json!({"max": 7, "until": "ALL GREEN", "no_progress": 4});
    assert_eq!(spec(&program, "configured@1")["looping"], expected);
    program
        .spawn("asked", &steps, &["--loop", "3", "--until", " FIN  ISHED ", "--prd", "docs/prd.json"])
        .ok();
    let expected = json!({"max": 3, "until": "FIN ISHED", "no_progress": 4, "prd": "docs/prd.json"});
    assert_eq!(spec(&program, "asked@1")["looping"], expected);
    let prompt = program.state().join("tasks/asked@1/attempts/1/prompt.md");
    assert!(program.file(&prompt).contains("<promise>FIN ISHED</promise>"));

    let lines = program.env.root().join("lines.jsonl");
    let text = "{\"name\":\"one\",\"prompt\":\"SCRIPT:\\nsay:x\",\"loop\":2,\"until\":\"OVER\"}\n\
                {\"name\":\"two\",\"prompt\":\"SCRIPT:\\nsay:x\",\"loop\":true}\n\
                {\"name\":\"three\",\"prompt\":\"SCRIPT:\\nsay:x\"}\n";
    std::fs::write(&lines, text).unwrap();
    program.wt(&["spawn", "--from", lines.to_str().unwrap()]).ok();
    let looping = |id: &str| spec(&program, id)["looping"].clone();
    assert_eq!((&looping("one@1")["max"], &looping("one@1")["until"]), (&json!(2), &json!("OVER")));
    assert_eq!(looping("two@1")["max"], 7);
    assert_eq!(looping("three@1"), Value::Null);
}

#[test]
fn mistakes_are_refused_before_anything_is_made() {
    let program = Program::new();
    program.repo.commit("broken.json", "{");
    for args in [
        &["spawn", "x", "do it", "--loop", "0"][..],
        &["spawn", "x", "--loop", "do it"],
        &["spawn", "x", "do it", "--loop", "many"],
        &["spawn", "x", "do it", "--max-iterations", "5"],
        &["spawn", "x", "do it", "--completion-promise", "DONE"],
        &["spawn", "x", "do it", "20"],
        &["spawn", "x", "do it", "--until", "DONE"],
        &["spawn", "x", "do it", "--prd", "prd.json"],
        &["spawn", "x", "do it", "--loop", "3", "--until", " "],
        &["spawn", "x", "do it", "--loop", "3", "--until", "NOTHING"],
        &["spawn", "x", "do it", "--loop", "3", "--until", "BLOCKED: x"],
        &["spawn", "x", "do it", "--loop", "3", "--until", "a</promise>"],
        &["spawn", "x", "do it", "--loop", "3", "--prd", "/etc/passwd"],
        &["spawn", "x", "do it", "--loop", "3", "--prd", "../prd.json"],
        &["spawn", "x", "--no-agent", "--loop", "3"],
    ] {
        program.refuses(2, args);
    }
    let said = program.refuses(1, &["spawn", "x", "do it", "--loop", "3", "--prd", "broken.json"]);
    assert!(said.contains("`broken.json` is not usable") && said.contains("it is not JSON"), "{said}");
    let said = program.refuses(2, &["spawn", "x", "--loop", "do it"]);
    assert!(said.contains("a loop has 1 to 10000 iterations"), "{said}");
    let lines = program.env.root().join("lines.jsonl");
    for line in [
        r#"{"name":"x","prompt":"p","loop":0}"#,
        r#"{"name":"x","prompt":"p","loop":"3"}"#,
        r#"{"name":"x","prompt":"p","until":"DONE"}"#,
        r#"{"name":"x","loop":3,"no-agent":true}"#,
    ] {
        std::fs::write(&lines, line).unwrap();
        let said = program.refuses(2, &["spawn", "--from", lines.to_str().unwrap()]);
        assert!(said.contains("line 1: "), "{said}");
    }
}

#[test]
fn options_inside_the_prompt_and_requirements_to_come_are_warned_of() {
    let program = Program::new();
    let said = program.wt(&["spawn", "a", "SCRIPT:\nsay:x\n\ndo it --max-iterations 5"]);
    assert!(said.err.contains("`--max-iterations` stands inside the prompt"), "{}", said.err);
    let said = program.spawn("b", &["say:x"], &["--loop", "1", "--prd", "later.json"]);
    assert!(said.err.contains("`later.json` is not committed"), "{}", said.err);
    assert_eq!((said.code, program.spawn("c", &["say:x"], &[]).err.as_str()), (0, ""));
}

#[test]
fn the_repositorys_own_template_is_told_once_it_is_approved() {
    let program = Program::new();
    program.repo.commit(".wt/templates/iteration.md.j2", "Round {{ iteration }} of {{ max }}.\n");
    let said = program.refuses(1, &["spawn", "x", "SCRIPT:\npromise:NOTHING", "--loop", "2"]);
    assert!(said.contains("not approved"), "{said}");
    assert!(program.wt(&["trust"]).out.contains(".wt/templates/iteration.md.j2"));
    program.wt(&["trust", "--approve"]).ok();
    program.spawn("x", &["promise:NOTHING"], &["--loop", "2", "--wait"]).ok();
    let prompt = program.state().join("tasks/x@1/attempts/1/prompt.md");
    assert_eq!(std::fs::read_to_string(prompt).unwrap(), "SCRIPT:\npromise:NOTHING\n\nRound 1 of 2.\n");

    program.repo.commit(".wt/templates/iteration.md.j2", "{{ nothing }}\n");
    program.wt(&["trust", "--approve"]).ok();
    assert_eq!(program.spawn("y", &["promise:NOTHING"], &["--loop", "2", "--wait"]).code, 1);
    let task = program.task("y");
    assert_eq!(task["state"], "failed", "{task}");
    assert!(task["outcome"].as_str().unwrap().contains("`iteration.md.j2` fails"), "{task}");
}

#[test]
fn a_budget_of_time_ends_a_loop_and_keeps_its_work() {
    let program = Program::new();
    let steps = ["in:1:write:one=1", "in:2:write:two=1", "in:3+:write:more=1", "sleep:0.6"];
    program.spawn("slow", &steps, &["--loop", "9", "--budget-time", "1s"]).ok();
    assert_eq!(program.wt(&["wait", "slow"]).code, 1);
    let task = program.task("slow");
    assert_eq!(task["state"], "failed", "{task}");
    assert!(task["outcome"].as_str().unwrap().starts_with("budget used up"), "{task}");
    assert!(program.worktree("slow").join("two").exists());
}

#[test]
fn logs_show_each_iteration() {
    let program = Program::new();
    let steps = ["in:1:write:one=1", "in:1:say:the first", "in:2:say:the second", "in:2:promise:COMPLETE"];
    program.spawn("duo", &steps, &["--loop", "3", "--wait"]).ok();
    let first = program.wt(&["logs", "duo", "--attempt", "1"]);
    assert!(first.out.contains("the first") && !first.out.contains("the second"), "{}", first.out);
    assert!(first.err.contains("iteration 1 of 3: no promise; 1 new commit"), "{}", first.err);
    let last = program.wt(&["logs", "duo"]);
    assert!(last.out.contains("the second") && last.err.contains("complete after 2 iterations"), "{last:?}");
    let all = program.wt(&["status", "duo"]).ok();
    assert!(all.lines().any(|line| line.split_whitespace().eq(["iteration", "2/3"])), "{all}");
}
