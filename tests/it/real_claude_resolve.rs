//! The real Claude Code merges a conflict of two of its own tasks, against the scripted service.

use std::path::Path;

use serde_json::json;

use crate::fake_api::{Effect, FakeApi, Fault, Kind, Scenario, Turn};
use crate::program::{Program, Ran, ran};
use crate::real_claude::{claude_environment, claude_program};

const BASE: &str = "import a\n\nf(x)\n\nend\n";

fn with_claude(program: &Program, claude: &Path, api: &FakeApi, args: &[&str]) -> Ran {
    let home = program.env.root().join("home");
    let mut path = claude.parent().expect("a program is in a folder").as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").expect("tests have a PATH"));
    let mut command = program.command(args);
    command.envs(claude_environment(api, &home)).env("PATH", path);
    ran(command.output().unwrap())
}

/// The turns of a task that writes `code.py` and commits it.
fn writes(text: &str) -> Vec<Turn> {
    vec![
        Turn::tool("Read", json!({"file_path": "{{cwd}}/code.py"})),
        Turn::write("code.py", text),
        Turn::bash("git add code.py && git commit -q -m 'change the call'"),
        Turn::say("Done.\n\n<promise>COMPLETE</promise>"),
    ]
}

#[test]
fn claude_code_merges_a_conflict_and_is_told_everything() {
    let Some(claude) = claude_program() else { return };
    let program = Program::new();
    program.configure(
        "[merge]\nagent = \"claude\"\n[[verify]]\nname = \"tests\"\nrun = \"grep -q LEFT code.py\"\n",
    );
    program.repo.commit("code.py", BASE);
    let edit = json!({
        "file_path": "{{cwd}}/code.py",
        "old_string": "<<<<<<< ours (target main)\nf(x, LEFT)\n||||||| base\nf(x)\n=======\nf(x, RIGHT)\n>>>>>>> theirs (task right)\n",
        "new_string": "f(x, LEFT, RIGHT)\n",
    });
    let api = FakeApi::start(
        Scenario::new([Turn::say("ok")])
            .script(
                "# Merge two changes",
                [
                    Turn::tool("Read", json!({"file_path": "{{cwd}}/code.py"})),
                    Turn::tool("Edit", edit),
                    Turn::say("Both arguments are there.\n\n<promise>COMPLETE</promise>"),
                ],
            )
            .script("Pass LEFT to f", writes(&BASE.replace("f(x", "f(x, LEFT")))
            .script("Hand RIGHT over to f", writes(&BASE.replace("f(x", "f(x, RIGHT"))),
    );
    let own = ["--agent", "claude", "--wait", "--verify", "true"];
    for (name, prompt) in [("left", "Pass LEFT to f"), ("right", "Hand RIGHT over to f")] {
        let args: Vec<&str> = ["spawn", name, prompt].into_iter().chain(own).collect();
        with_claude(&program, &claude, &api, &args).ok();
    }
    let before = api.requests().len();
    let cost = |name: &str| program.task(name)["cost_usd"].as_f64().unwrap();
    let spent = cost("right");
    let landed = with_claude(&program, &claude, &api, &["merge", "--all", "--json", "--keep"]);
    assert_eq!(landed.code, 0, "{}\n{}", landed.out, landed.err);
    assert_eq!(
        program.repo.git(&["show", "main:code.py"]),
        BASE.replace("f(x", "f(x, LEFT, RIGHT").trim_end()
    );
    let right = landed.json()["tasks"][1].clone();
    assert_eq!((&right["name"], &right["resolved"][0]["by"]), (&json!("right"), &json!("agent")));
    assert!(cost("right") > spent, "what the resolver cost counts");

    let asked: Vec<_> = api.requests().into_iter().skip(before).filter(|r| r.kind == Kind::Main).collect();
    assert_eq!(asked.len(), 3, "one call of three turns");
    for told in [
        "Pass LEFT to f",
        "Hand RIGHT over to f",
        "# Task `left`",
        "# Task `right`",
        "The task `left`, landed before",
        "tests: `grep -q LEFT code.py`",
        "||||||| base",
    ] {
        assert!(asked[0].body.contains(told), "`{told}` was not told: {}", asked[0].body);
    }
}

/// Two tasks made by hand that conflict in `code.py`.
fn conflicting(program: &Program) {
    program.repo.commit("code.py", BASE);
    for (name, with) in [("left", "f(x, LEFT"), ("right", "f(x, RIGHT")] {
        program.wt(&["spawn", name, "--no-agent", "--quiet"]).ok();
        program.env.at(&program.worktree(name)).commit("code.py", &BASE.replace("f(x", with));
        program.wt(&["done", name]).ok();
    }
}

#[test]
fn claude_code_hears_in_its_session_what_was_wrong() {
    let Some(claude) = claude_program() else { return };
    let program = Program::new();
    program.configure("[merge]\nagent = \"claude\"\n");
    conflicting(&program);
    let write = |text: &str| {
        let read = Turn::tool("Read", json!({"file_path": "{{cwd}}/code.py"}));
        [read, Turn::write("code.py", text), Turn::say("Merged.\n\n<promise>COMPLETE</promise>")]
    };
    let api = FakeApi::start(
        Scenario::new([Turn::say("ok")])
            .script("# Your merge was not accepted", write(&BASE.replace("f(x", "f(x, LEFT, RIGHT")))
            .script("# Merge two changes", write(&BASE.replace("f(x", "f(x, RIGHT"))),
    );
    let landed = with_claude(&program, &claude, &api, &["merge", "--all", "--json", "--keep"]);
    assert_eq!(landed.code, 0, "{}\n{}", landed.out, landed.err);
    let asked: Vec<_> = api.requests().into_iter().filter(|r| r.kind == Kind::Main).collect();
    assert_eq!(asked.len(), 6, "two calls of three turns");
    assert!(asked[3].body.contains("what main did is missing"), "{}", asked[3].body);
    let whole = asked[3].body.matches("# Merge two changes").count();
    assert_eq!(whole, 1, "the session knows the rest, it is not told again");
}

#[test]
fn a_refused_key_leaves_the_conflict_and_says_so() {
    let Some(claude) = claude_program() else { return };
    let program = Program::new();
    program.configure("[merge]\nagent = \"claude\"\n");
    conflicting(&program);
    let refused = Effect::error(401, "authentication_error", "invalid x-api-key");
    let api = FakeApi::start(Scenario::new([Turn::say("never said")]).fault(Fault::new(refused)));
    let landed = with_claude(&program, &claude, &api, &["merge", "--all", "--json", "--keep"]);
    assert_eq!(landed.code, 4, "{}\n{}", landed.out, landed.err);
    let tasks = landed.json()["tasks"].clone();
    assert_eq!((&tasks[0]["result"], &tasks[1]["result"]), (&json!("landed"), &json!("conflict")));
    assert!(tasks[1]["reason"].as_str().unwrap().contains("`claude` did not merge it: claude: "), "{tasks}");
}
