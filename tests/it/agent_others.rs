//! Every recorded stream of Codex, opencode, Gemini and aider, and the failures of which only the text is known.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use wt::agent::{Adapter, BUILT_IN, Ending, Facts, StoppedBy, Stream, Transcript, verdict};
use wt::model::adapter::AdapterSpec;
use wt::model::agent_event::{AgentEvent, LogKind};
use wt::model::usage::Tokens;
use wt::model::verdict::{Class, Exit, Verdict};

const NONE: Tokens = Tokens { input: 0, output: 0, cache_read: 0, cache_write: 0 };

/// Returns the built-in adapter of that name, or a command of the user's own.
pub fn adapter(name: &str) -> Adapter {
    let own = format!("[agents.{name}]\ncommand = [\"{name}\"]");
    let built_in = BUILT_IN.iter().find(|(title, _)| *title == format!("built-in {name}.toml"));
    let file: toml::Table = toml::from_str(built_in.map_or(&own, |(_, text)| *text)).unwrap();
    let spec: AdapterSpec = file["agents"][name].clone().try_into().unwrap();
    Adapter::new(name, &spec).unwrap()
}

/// Returns the folder of the recorded streams.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/transcripts")
}

fn fed(adapter: &Adapter, bytes: &[u8]) -> (Facts, Vec<AgentEvent>) {
    let mut stream = Stream::new(adapter);
    let events = bytes.split(|byte| *byte == b'\n').flat_map(|line| stream.feed_line(line)).collect();
    (stream.finish(), events)
}

fn judged(agent: &str, said: &str, exit: i32, stderr: &str) -> Verdict {
    let adapter = adapter(agent);
    let (facts, events) = fed(&adapter, said.as_bytes());
    let at_once = events.into_iter().find_map(|event| match event {
        AgentEvent::Verdict(verdict) => Some(StoppedBy::Verdict(verdict)),
        _ => None,
    });
    verdict(
        &adapter,
        &Ending { exit: Exit::Code(exit), stopped: at_once, facts: &facts, stderr_tail: stderr },
    )
}

struct Row {
    file: &'static str,
    exit: i32,
    class: Class,
    reason: &'static str,
    session: &'static str,
    cost: f64,
    tokens: Tokens,
}

fn row(file: &'static str, exit: i32, class: Class, reason: &'static str, session: &'static str) -> Row {
    Row { file, exit, class, reason, session, cost: 0.0, tokens: NONE }
}

const CUT: &str = "ended before its work was finished";

fn rows() -> Vec<Row> {
    use Class::{FleetStop, NextModel, Ok, Park, Retry};
    vec![
        Row { tokens: NONE, ..row("aider-happy.txt", 0, Ok, "ended well", "") },
        row("codex-401.jsonl", 1, FleetStop, "the API refused the key (401 or 403)", "01a1fabd-9f3f"),
        row("codex-404-model.jsonl", 1, NextModel, "The model does not exist", "01a1fabd-9ff5"),
        row(
            "codex-429.jsonl",
            1,
            Park,
            "exceeded retry limit, last status: 429 Too Many Requests",
            "01a1fabd-9eba",
        ),
        row(
            "codex-500.jsonl",
            1,
            Retry,
            "We’re currently experiencing high demand, which may cause temporary errors.",
            "01a1fabd-9e92",
        ),
        Row {
            tokens: Tokens { input: 1400, output: 300, cache_read: 1000, cache_write: 0 },
            ..row("codex-happy.jsonl", 0, Ok, "ended well", "01a1fab8-eb7c")
        },
        row("codex-sigint.jsonl", 1, Retry, "ended before its work was finished (exit 1)", "01a1fac0-4ae6"),
        row("codex-sigterm.jsonl", 143, Retry, CUT, "01a1fac0-2ed5"),
        Row {
            tokens: Tokens { input: 2800, output: 600, cache_read: 2000, cache_write: 0 },
            ..row("gemini-happy.jsonl", 0, Ok, "ended well", "13ac8382")
        },
        row("opencode-401.jsonl", 1, FleetStop, "bad key", "ses_e053dc3a1ffe"),
        Row {
            cost: 0.005_85,
            tokens: Tokens { input: 3600, output: 450, cache_read: 0, cache_write: 0 },
            ..row("opencode-happy.jsonl", 0, Ok, "ended well", "ses_e0538489cffe")
        },
        row("opencode-sigterm.jsonl", 143, Retry, CUT, "ses_e053ade79ffe"),
    ]
}

/// Returns every recorded run of the others with its end and its class.
pub fn ends() -> Vec<(String, Exit, Class)> {
    rows().into_iter().map(|row| (row.file.to_owned(), Exit::Code(row.exit), row.class)).collect()
}

#[test]
fn every_recorded_run_of_the_others_comes_to_its_class() {
    let mut seen = Vec::new();
    for row in rows() {
        let agent = row.file.split('-').next().unwrap();
        let text = fs::read_to_string(folder().join(row.file)).unwrap();
        let ended = judged(agent, &text, row.exit, "");
        assert_eq!(ended.class, row.class, "{}: {}", row.file, ended.reason);
        assert!(ended.reason.starts_with(row.reason) || agent == "aider", "{}: {}", row.file, ended.reason);
        let (facts, _) = fed(&adapter(agent), text.as_bytes());
        let session = facts.session.as_deref().unwrap_or_default();
        assert!(
            session.starts_with(row.session) && session.is_empty() == row.session.is_empty(),
            "{}: session {session}",
            row.file
        );
        assert!((facts.usage.cost_usd - row.cost).abs() < 1e-9, "{}: {}", row.file, facts.usage.cost_usd);
        assert_eq!(facts.usage.tokens, row.tokens, "{}", row.file);
        if row.file.ends_with("happy.jsonl") {
            assert!(
                facts.text.is_some_and(|text| text.ends_with("<promise>COMPLETE</promise>")),
                "{}",
                row.file
            );
        }
        // Nor does any of them trouble an adapter that does not know it.
        let mut transcript = Transcript::new(&adapter("claude"));
        let lines = text.lines().flat_map(|line| transcript.render_line(line.as_bytes()));
        assert!(lines.into_iter().any(|line| line.kind == LogKind::Raw), "{}", row.file);
        seen.push(row.file.to_owned());
    }
    let names = fs::read_dir(folder()).unwrap();
    let mut recorded: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with("claude-") && name != "README.md")
        .collect();
    recorded.sort();
    seen.sort();
    assert_eq!(seen, recorded, "a recorded stream has no row");
}

#[test]
fn failures_of_which_only_the_text_is_known() {
    use Class::{Fail, FleetStop, Incomplete, NextModel, Ok, Park, Retry};
    let codex = |message: &str| {
        format!(
            r#"{{"type":"thread.started","thread_id":"t"}}
{{"type":"turn.failed","error":{{"message":"{message}"}}}}"#
        )
    };
    let opencode = |name: &str, data: &str| {
        format!(r#"{{"type":"error","sessionID":"s","error":{{"name":"{name}","data":{{{data}}}}}}}"#)
    };
    let gemini = |message: &str| {
        format!(
            r#"{{"type":"result","status":"error","error":{{"type":"Error","message":"{message}"}},"stats":{{}}}}"#
        )
    };
    let claude = |rest: &str| format!(r#"{{"type":"result","subtype":"success","is_error":true,{rest}}}"#);
    let step =
        |reason: &str| format!(r#"{{"type":"step_finish","sessionID":"s","part":{{"reason":"{reason}"}}}}"#);
    let retry =
        r#"{"type":"system","subtype":"api_retry","error":"authentication_failed","error_status":401}"#;
    for (agent, said, exit, stderr, class) in [
        ("codex", codex("Quota exceeded. Check your plan and billing details."), 1, "", FleetStop),
        ("codex", codex("Missing environment variable: `OPENAI_API_KEY`."), 1, "", FleetStop),
        ("codex", codex("You've hit your usage limit. Try again in 3 hours."), 1, "", Park),
        ("codex", codex("unexpected status 403 Forbidden: no access"), 1, "", FleetStop),
        ("codex", codex("unexpected status 400 Bad Request: bad field"), 1, "", Fail),
        ("codex", codex("unexpected status 404 Not Found: no such route"), 1, "", NextModel),
        ("codex", codex("stream disconnected before completion: idle timeout waiting for SSE"), 1, "", Retry),
        ("codex", codex("error sending request for url (http://127.0.0.1/)"), 1, "", Retry),
        ("codex", codex("request timed out"), 1, "", Retry),
        ("codex", codex("unexpected status 503 Service Unavailable"), 1, "", Retry),
        ("codex", codex("Your input exceeds the context window of this model."), 1, "", Fail),
        (
            "codex",
            String::new(),
            1,
            "Not inside a trusted directory and --skip-git-repo-check was not specified.",
            Fail,
        ),
        ("codex", String::new(), 2, "error: unexpected argument '--x' found", Fail),
        ("codex", String::new(), 0, "", Retry),
        ("codex", r#"{"type":"turn.completed","usage":{"input_tokens":1}}"#.to_owned(), 1, "", Retry),
        ("opencode", opencode("APIError", r#""message":"slow down","statusCode":429"#), 1, "", Park),
        ("opencode", opencode("APIError", r#""message":"no","statusCode":400"#), 1, "", Fail),
        ("opencode", opencode("APIError", r#""message":"no","statusCode":403"#), 1, "", FleetStop),
        ("opencode", opencode("APIError", r#""message":"no","statusCode":404"#), 1, "", NextModel),
        ("opencode", opencode("APIError", r#""message":"no","statusCode":503"#), 1, "", Retry),
        (
            "opencode",
            opencode("UnknownError", r#""message":"Model not found: fake/nope.""#),
            1,
            "",
            NextModel,
        ),
        (
            "opencode",
            opencode("APIError", r#""message":"You exceeded your current quota","statusCode":429"#),
            1,
            "",
            FleetStop,
        ),
        ("opencode", step("stop"), 0, "", Ok),
        ("opencode", step("stop"), 143, "", Retry),
        ("opencode", step("length"), 0, "", Incomplete),
        ("opencode", step("tool-calls"), 0, "", Retry),
        ("opencode", String::new(), 1, "Error: Session not found", Fail),
        ("gemini", String::new(), 41, "Please set an Auth method", FleetStop),
        (
            "gemini",
            gemini("got status: 400. API key not valid. Please pass a valid API key."),
            144,
            "",
            FleetStop,
        ),
        ("gemini", gemini("got status: 429 RESOURCE_EXHAUSTED"), 173, "", Park),
        ("gemini", gemini("got status: 503 UNAVAILABLE: overloaded"), 247, "", Retry),
        ("gemini", gemini("got status: 404: models/x is not found"), 148, "", NextModel),
        ("gemini", gemini("got status: 400 INVALID_ARGUMENT"), 144, "", Fail),
        ("gemini", String::new(), 42, "Invalid session identifier", Fail),
        // Ended by a signal it exits 0.
        ("gemini", r#"{"type":"init","session_id":"s"}"#.to_owned(), 0, "", Retry),
        ("claude", retry.to_owned(), 143, "", FleetStop),
        (
            "claude",
            claude(r#""api_error_status":400,"result":"Credit balance is too low""#),
            1,
            "",
            FleetStop,
        ),
        ("claude", claude(r#""result":"Not logged in · Please run /login""#), 1, "", FleetStop),
        ("claude", claude(r#""api_error_status":404,"result":"x""#), 1, "", NextModel),
        ("claude", claude(r#""api_error_status":413,"result":"x""#), 1, "", Fail),
        ("claude", claude(r#""terminal_reason":"prompt_too_long","result":"x""#), 1, "", Fail),
        ("aider", "Tokens: 1k".to_owned(), 1, "boom", Retry),
        ("aider", String::new(), 127, "sh: aider: not found", Fail),
    ] {
        let ended = judged(agent, &said, exit, stderr);
        assert_eq!(ended.class, class, "{agent}: {said} ({exit}): {}", ended.reason);
        assert!(!ended.reason.trim().is_empty() && !ended.reason.contains('{'), "{agent}: {}", ended.reason);
    }
}

#[test]
fn a_live_question_or_permission_asks_a_person() {
    for (agent, said, reason) in [
        (
            "claude",
            r#"{"type":"assistant","message":{"content":[{"type":"tool_use","name":"AskUserQuestion","input":{"questions":[{"question":"Which database?"}]}}]}}"#,
            "asks: Which database?",
        ),
        (
            "claude",
            r#"{"type":"control_request","request":{"subtype":"can_use_tool","tool_name":"Bash","input":{"command":"git push"}}}"#,
            "asks for a permission: Bash git push",
        ),
        (
            "codex",
            r#"{"type":"exec_approval_request","command":["git","push"]}"#,
            "asks for a permission: exec_approval_request git push",
        ),
        (
            "codex",
            r#"{"id":"1","msg":{"type":"exec_approval_request","command":["rm","x"]}}"#,
            "asks for a permission: exec_approval_request rm x",
        ),
        (
            "opencode",
            r#"{"type":"permission.asked","properties":{"permission":"bash","patterns":["git push *"]}}"#,
            "asks for a permission: bash git push *",
        ),
        (
            "opencode",
            r#"{"type":"question.asked","properties":{"questions":[{"question":"Which\nport?"}]}}"#,
            "asks: Which port?",
        ),
        (
            "gemini",
            r#"{"type":"tool_use","tool_name":"ask_user","parameters":{"questions":[{"question":"Go on?"}]}}"#,
            "asks: Go on?",
        ),
    ] {
        assert_eq!(judged(agent, said, 143, ""), Verdict::new(Class::Ask, reason), "{agent}");
    }
}

#[test]
fn a_plain_command_that_falls_silent_with_a_question_asks_a_person() {
    let silent = |said: &str, stderr: &str| {
        let adapter = adapter("aider");
        let (facts, _) = fed(&adapter, said.as_bytes());
        let stopped = Some(StoppedBy::Stall(Duration::from_secs(60)));
        verdict(&adapter, &Ending { exit: Exit::Signal(15), stopped, facts: &facts, stderr_tail: stderr })
    };
    assert_eq!(
        silent("working\nApply the edit? [y/N] ", ""),
        Verdict::new(Class::Ask, "asks: Apply the edit? [y/N]")
    );
    assert_eq!(silent("working\n", "Password: ").class, Class::Ask);
    assert_eq!(silent("Apply? [y/N]\nyes it is\n", ""), Verdict::new(Class::Retry, "silent for 1m"));
}

#[test]
fn people_read_what_each_agent_does() {
    for (file, parts) in [
        (
            "codex-happy.jsonl",
            ["Text Working.", "Tool command_execution /bin/bash -lc", "Summary 2400 tokens in, 300 out"],
        ),
        (
            "opencode-happy.jsonl",
            [
                "Tool write /repo/hello.txt",
                "Tool bash git add hello.txt",
                "Summary 3600 tokens in, 450 out, $0.0058",
            ],
        ),
        (
            "gemini-happy.jsonl",
            ["Text Working.", "Tool run_shell_command git add", "Summary 4800 tokens in, 600 out"],
        ),
        (
            "codex-429.jsonl",
            [
                "Note retrying: Reconnecting... 1/2",
                "Note retrying: Reconnecting... 2/2",
                "Error exceeded retry limit",
            ],
        ),
    ] {
        let mut transcript = Transcript::new(&adapter(file.split('-').next().unwrap()));
        let bytes = fs::read(folder().join(file)).unwrap();
        let lines: Vec<_> = bytes
            .split(|byte| *byte == b'\n')
            .flat_map(|line| transcript.render_line(line))
            .map(|line| {
                assert_ne!(line.kind, LogKind::Raw, "{file}: {}", line.text);
                format!("{:?} {}", line.kind, line.text)
            })
            .collect();
        let mut from = lines.iter();
        for part in parts {
            assert!(
                from.any(|line| line.starts_with(part)),
                "{file}: `{part}` is not in order in {lines:#?}"
            );
        }
    }
}
