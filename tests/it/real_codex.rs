//! Tests that drive the real Codex, pinned, against the scripted service: no network, no key.
//!
//! `.ci/install-codex` installs it. Without it they are skipped on a person's machine and fail in CI.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde_json::{Value, json};
use wt::model::usage::Tokens;

use crate::fake_api::{Effect, FakeApi, Fault, Kind, Scenario, Turn, openai_error};
use crate::program::{Program, Ran, ran};

/// Also named in `.ci/install-codex`.
const VERSION: &str = "0.169.0";

/// Returns the Codex to test with: `WT_TEST_CODEX`, else the one that `.ci/install-codex` installed, else that of `PATH`.
/// `None` says, once told on standard error, that the test is to be skipped; in CI it is a failure instead.
fn codex_program() -> Option<PathBuf> {
    let named = std::env::var_os("WT_TEST_CODEX").filter(|path| !path.is_empty()).map(PathBuf::from);
    let tools = std::env::var_os("WT_TEST_TOOLS")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/wt-test-tools")));
    let installed = tools.map(|tools| tools.join(format!("codex-{VERSION}/node_modules/.bin/codex")));
    let found =
        named.or_else(|| installed.filter(|path| path.is_file())).or_else(|| which::which("codex").ok());
    if found.is_none() {
        assert!(
            std::env::var_os("CI").is_none_or(|ci| ci != "true"),
            "real Codex is not installed: `.ci/install-codex` comes before the tests"
        );
        // Not through `eprintln!`, which the harness hides where a test passes.
        let _ = writeln!(io::stderr(), "skipped: real Codex is not installed");
    }
    found
}

/// A turn that runs a shell command with Codex's tool.
fn shell(text: &str, command: &str) -> Turn {
    let tool = Turn::tool("exec_command", json!({"cmd": command}));
    Turn { text: text.to_owned(), usage: usage(), ..tool }
}

fn say(text: &str) -> Turn {
    Turn { usage: usage(), ..Turn::say(text) }
}

/// Codex is told nothing of what was written to a cache.
fn usage() -> Tokens {
    Tokens { input: 700, output: 150, cache_read: 500, cache_write: 0 }
}

/// Puts `wt` and the real Codex together: the built-in adapter, the loopback service, an own home.
fn with_codex(program: &Program, codex: &Path, api: &FakeApi, args: &[&str]) -> Ran {
    let home = program.env.root().join("home/.codex");
    fs::create_dir_all(&home).unwrap();
    // Its own retries only cost time here.
    let config = format!(
        "model = \"fake-model\"\nmodel_provider = \"fake\"\n[model_providers.fake]\nname = \"fake\"\nbase_url = \"{}/v1\"\n\
         env_key = \"WT_TEST_KEY\"\nwire_api = \"responses\"\nrequest_max_retries = 0\nstream_max_retries = 1\n",
        api.url()
    );
    fs::write(home.join("config.toml"), config).unwrap();
    let mut path = codex.parent().expect("a program is in a folder").as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").expect("tests have a PATH"));
    let mut command = program.command(args);
    command.env("CODEX_HOME", home).env("WT_TEST_KEY", "test-key").env("PATH", path);
    ran(command.output().unwrap())
}

fn ended(program: &Program) -> Value {
    program.until("its end", || program.events("a@1").into_iter().find(|event| event["type"] == "ended"))
}

#[test]
fn codex_works_in_a_workspace_and_its_work_lands() {
    let Some(codex) = codex_program() else { return };
    let program = Program::new();
    let commit = "echo hello > hello.txt && git add hello.txt && git commit -q -m 'add hello'";
    let api = FakeApi::start(Scenario::new([
        shell("Working.", commit),
        say("Done.\n\n<promise>COMPLETE</promise>"),
    ]));

    let told = ["spawn", "a", "Write hello.txt and commit it", "--agent", "codex", "--wait"];
    assert_eq!(with_codex(&program, &codex, &api, &told).ok().lines().last(), Some("a done: ended well"));
    let task = program.task("a");
    assert!(task["session"].is_string(), "{task}");
    let sent = api.sent_usage();
    assert_eq!(sent.replies, 2);
    assert_eq!(task["tokens"]["input"], sent.tokens.input, "{task}");
    assert_eq!(task["tokens"]["output"], sent.tokens.output, "{task}");
    assert_eq!(task["tokens"]["cache_read"], sent.tokens.cache_read, "{task}");
    let asked = api.requests().into_iter().find(|request| request.kind == Kind::Main).unwrap();
    assert!(asked.body.contains("# Task `a`") && asked.body.contains("wt/a"), "its context was not told");
    assert!(!program.worktree("a").join("AGENTS.md").exists());
    let log = program.wt(&["logs", "a"]).ok();
    for part in ["Working.", "command_execution", "git add hello.txt", "Done."] {
        assert!(log.contains(part), "`{part}` is not in the log:\n{log}");
    }
    program.wt(&["merge", "a"]).ok();
    assert_eq!(program.repo.git(&["show", "main:hello.txt"]), "hello");
}

#[test]
fn a_further_attempt_takes_the_thread_up_and_counts_each_token_once() {
    let Some(codex) = codex_program() else { return };
    let program = Program::new();
    let again = ["spawn", "b", "Write it in two goes", "--agent", "codex", "--retries", "1", "--wait"];
    let commit = "echo more > more.txt && git add more.txt && git commit -q -m 'add more'";
    let api = FakeApi::start(
        Scenario::new([say("I thought about it.")])
            .script("The attempt before this one", [shell("", commit), say("Done now.")]),
    );
    with_codex(&program, &codex, &api, &again).ok();
    let task = program.task("b");
    assert_eq!(task["attempt"], 2, "{task}");
    let requests = api.requests();
    let resumed = requests.iter().rfind(|request| request.kind == Kind::Main).unwrap();
    assert!(resumed.body.contains("I thought about it."), "the thread was not taken up");
    let sent = api.sent_usage();
    assert_eq!(sent.replies, 3);
    assert_eq!(task["tokens"]["output"], sent.tokens.output, "each token is counted once: {task}");
    assert_eq!(task["tokens"]["input"], sent.tokens.input, "{task}");
}

#[test]
fn a_refused_key_ends_codex_at_its_first_complaint() {
    let Some(codex) = codex_program() else { return };
    let program = Program::new();
    let body = openai_error("invalid_api_key", "Incorrect API key provided");
    let refused = Effect::Status { status: 401, headers: Vec::new(), body };
    let api = FakeApi::start(Scenario::new([say("never said")]).fault(Fault::new(refused)));
    let told = ["spawn", "a", "Say something", "--agent", "codex", "--wait"];
    assert_eq!(with_codex(&program, &codex, &api, &told).code, 1);
    let task = program.task("a");
    assert_eq!((&task["state"], &task["attempt"]), (&"failed".into(), &1.into()), "{task}");
    assert_eq!(ended(&program)["class"], "fleet_stop");
    assert_eq!(task["outcome"], "codex: the API refused the key (401 or 403)", "{task}");
}

#[test]
fn a_rate_limit_makes_the_task_of_codex_wait() {
    let Some(codex) = codex_program() else { return };
    let program = Program::new();
    let body = openai_error("rate_limit_exceeded", "Rate limit reached");
    let limited = Effect::Status { status: 429, headers: Vec::new(), body };
    let api = FakeApi::start(Scenario::new([say("never said")]).fault(Fault::new(limited)));
    with_codex(&program, &codex, &api, &["spawn", "a", "Say something", "--agent", "codex"]).ok();
    let ended = ended(&program);
    assert_eq!(ended["class"], "park", "{ended}");
    let task = program.task("a");
    assert_eq!((&task["state"], &task["reason"]), (&"waiting".into(), &"rate_limit".into()), "{task}");
}
