//! Tests that drive the real Claude Code, pinned, against the scripted service: no network, no key.
//!
//! `.ci/install-claude` installs it. Without it they are skipped on a person's machine and fail in CI.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fs_err as fs;
use serde_json::Value;

use crate::fake_api::{Effect, FakeApi, Fault, Kind, Scenario, Turn};
use crate::program::{Program, Ran, ran};

/// Also named in `.ci/install-claude`.
const VERSION: &str = "2.1.197";

/// Returns the Claude Code to test with: `WT_TEST_CLAUDE`, else the one that `.ci/install-claude` installed, else that of
/// `PATH`. `None` says, once told on standard error, that the test is to be skipped; in CI it is a failure instead.
pub fn claude_program() -> Option<PathBuf> {
    let named = std::env::var_os("WT_TEST_CLAUDE").filter(|path| !path.is_empty()).map(PathBuf::from);
    let tools = std::env::var_os("WT_TEST_TOOLS")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/wt-test-tools")));
    let installed = tools.map(|tools| tools.join(format!("claude-{VERSION}/node_modules/.bin/claude")));
    let found =
        named.or_else(|| installed.filter(|path| path.is_file())).or_else(|| which::which("claude").ok());
    if found.is_none() {
        assert!(
            std::env::var_os("CI").is_none_or(|ci| ci != "true"),
            "real Claude Code is not installed: `.ci/install-claude` comes before the tests"
        );
        // Not through `eprintln!`, which the harness hides where a test passes.
        let _ = writeln!(io::stderr(), "skipped: real Claude Code is not installed");
    }
    found
}

/// Returns the environment in which Claude Code talks to `api` and to nothing else, with `home` as its own folder.
/// It is the whole environment: nothing else may be inherited.
pub fn claude_environment(api: &FakeApi, home: &Path) -> Vec<(String, String)> {
    let path = std::env::var("PATH").expect("tests have a PATH");
    let home = home.to_str().expect("a temporary path is UTF-8");
    let mut environment = vec![
        ("PATH", path.as_str()),
        ("HOME", home),
        ("CLAUDE_CODE_TMPDIR", home),
        ("LANG", "C.UTF-8"),
        ("ANTHROPIC_API_KEY", "test-key"),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
        ("DISABLE_AUTOUPDATER", "1"),
        // Its own default is 10, about three minutes.
        ("CLAUDE_CODE_MAX_RETRIES", "2"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
    ];
    if rustix::process::geteuid().is_root() {
        // As root it refuses `--dangerously-skip-permissions` otherwise.
        environment.push(("IS_SANDBOX", "1"));
    }
    let own = environment.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    own.chain([("ANTHROPIC_BASE_URL".to_owned(), api.url())]).collect()
}

fn git(repository: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git").args(arguments).current_dir(repository).output().expect("git starts");
    assert!(output.status.success(), "git {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("git prints UTF-8 here")
}

#[test]
fn writes_commits_and_reports_exactly_what_the_service_charged() {
    let Some(claude) = claude_program() else { return };
    let place = tempfile::tempdir().unwrap();
    let (home, repository) = (place.path().join("home"), place.path().join("repository"));
    fs::create_dir(&home).unwrap();
    fs::create_dir(&repository).unwrap();
    git(&repository, &["init", "-q", "-b", "main"]);
    let commit = "git add -A && git -c user.name=t -c user.email=t@example.invalid commit -q -m 'add hello'";
    let api = FakeApi::start(Scenario::new([
        Turn { text: "I will write the file.".to_owned(), ..Turn::write("hello.txt", "hello\n") },
        Turn::bash(commit),
        Turn::say("Written and committed.\n\n<promise>COMPLETE</promise>"),
    ]));

    let mut child = Command::new(claude)
        .args(["-p", "--output-format", "stream-json", "--verbose", "--dangerously-skip-permissions"])
        .current_dir(&repository)
        .env_clear()
        .envs(claude_environment(&api, &home))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"Write hello.txt and commit it").unwrap();
    let output = child.wait_with_output().unwrap();

    let stream = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{stream}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read_to_string(repository.join("hello.txt")).unwrap(), "hello\n");
    assert_eq!(git(&repository, &["log", "--format=%s"]), "add hello\n");
    assert_eq!(git(&repository, &["status", "--porcelain"]), "");

    let events = stream.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>();
    let result = events.iter().find(|event| event["type"] == "result").unwrap();
    assert_eq!(result["is_error"], false);
    assert!(result["result"].as_str().unwrap().ends_with("<promise>COMPLETE</promise>"));

    let sent = api.sent_usage();
    let models = result["modelUsage"].as_object().unwrap().values().collect::<Vec<_>>();
    let sum = |field: &str| models.iter().map(|model| model[field].as_u64().unwrap()).sum::<u64>();
    assert_eq!(sum("inputTokens"), sent.tokens.input);
    assert_eq!(sum("outputTokens"), sent.tokens.output);
    assert_eq!(sum("cacheReadInputTokens"), sent.tokens.cache_read);
    assert_eq!(sum("cacheCreationInputTokens"), sent.tokens.cache_write);
    let priced = models.iter().map(|model| model["costUSD"].as_f64().unwrap()).sum::<f64>();
    let total = result["total_cost_usd"].as_f64().unwrap();
    assert!(total > 0.0 && (total - priced).abs() < 1e-9, "{total} {priced}");

    let turns = api.requests().iter().filter(|request| request.kind == Kind::Main).count();
    assert_eq!(turns, 3);
    assert_eq!(sent.replies, 3, "no request beside the turns: {:#?}", api.requests());
}

/// Puts `wt` and the real Claude Code together: the built-in adapter, the loopback service, an own home.
pub fn with_claude(program: &Program, claude: &Path, api: &FakeApi, args: &[&str]) -> Ran {
    let home = program.env.root().join("home");
    let mut path = claude.parent().expect("a program is in a folder").as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").expect("tests have a PATH"));
    let mut command = program.command(args);
    command.envs(claude_environment(api, &home)).env("PATH", path);
    ran(command.output().unwrap())
}

#[test]
fn claude_code_works_in_a_workspace_and_its_work_lands() {
    let Some(claude) = claude_program() else { return };
    let program = Program::new();
    let api = FakeApi::start(Scenario::new([
        Turn { text: "I will write the file.".to_owned(), ..Turn::write("hello.txt", "hello\n") },
        Turn::bash("git add hello.txt && git commit -q -m 'add hello'"),
        Turn::say("Written and committed.\n\n<promise>COMPLETE</promise>"),
    ]));

    let told = "Write hello.txt and commit it";
    let told = ["spawn", "feature-auth", told, "--agent", "claude", "--wait"];
    assert_eq!(
        with_claude(&program, &claude, &api, &told).ok().lines().last(),
        Some("feature-auth done: ended well")
    );

    let task = program.task("feature-auth");
    let sent = api.sent_usage();
    assert_eq!(task["tokens"]["input"], sent.tokens.input, "{task}");
    assert_eq!(task["tokens"]["output"], sent.tokens.output, "{task}");
    assert_eq!(task["tokens"]["cache_read"], sent.tokens.cache_read, "{task}");
    assert_eq!(task["tokens"]["cache_write"], sent.tokens.cache_write, "{task}");
    let stream = program.wt(&["logs", "feature-auth", "--raw"]).ok();
    let result = stream
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|e| e["type"] == "result");
    assert_eq!(task["cost_usd"], result.unwrap()["total_cost_usd"], "{task}");
    assert!(task["cost_usd"].as_f64().unwrap() > 0.0);
    assert!(task["session"].is_string(), "{task}");
    let asked = api.requests().into_iter().find(|request| request.kind == Kind::Main).unwrap();
    assert!(asked.body.contains("wt/feature-auth"), "its CLAUDE.local.md was not read");

    let log = program.wt(&["logs", "feature-auth"]).ok();
    for part in ["I will write the file.", "Write hello.txt", "git add hello.txt", "Written and committed."] {
        assert!(log.contains(part), "`{part}` is not in the log:\n{log}");
    }
    program.wt(&["merge", "feature-auth"]).ok();
    assert_eq!(program.repo.git(&["show", "main:hello.txt"]), "hello");
    assert_eq!(program.repo.git(&["log", "-1", "--format=%s %an", "main"]), "add hello Ada Tester");
    assert_eq!(program.state_of("feature-auth"), "landed");
    assert!(!program.worktree("feature-auth").exists());
}

#[test]
fn a_refused_key_ends_claude_code_at_its_first_complaint() {
    let Some(claude) = claude_program() else { return };
    let program = Program::new();
    let refused = Effect::error(401, "authentication_error", "invalid x-api-key");
    let api = FakeApi::start(Scenario::new([Turn::say("never said")]).fault(Fault::new(refused)));

    let told = ["spawn", "locked-out", "Say something", "--agent", "claude", "--wait"];
    assert_eq!(with_claude(&program, &claude, &api, &told).code, 1);
    let task = program.task("locked-out");
    assert_eq!(task["state"], "failed", "{task}");
    assert_eq!(task["attempt"], 1, "a refused key is not tried again: {task}");
}
