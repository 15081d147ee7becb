//! The failure table: what becomes of a task when the service of the real Claude Code fails in each known way.
//!
//! `WT_TEST_TABLE=1 cargo test --test it real_claude_faults -- --nocapture` prints it with the seconds that each row took.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::fake_api::{Effect, FakeApi, Fault, Kind, Scenario, Turn};
use crate::program::Program;
use crate::real_claude::{claude_program, with_claude};

/// How many rows run at once: most of a row is waiting.
const AT_ONCE: usize = 4;

/// The longest a row may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(90);

const OPUS: &str = "claude-opus-4-8";
const SONNET: &str = "claude-sonnet-5";

/// How Claude Code is called, less the flag that lets it do everything.
const COMMAND: &str = r#""claude", "-p", "--output-format", "stream-json", "--verbose""#;
const FREE: &str = r#""--dangerously-skip-permissions""#;

/// One failure and what must become of it.
struct Row {
    name: &'static str,
    /// What the service does.
    scenario: Scenario,
    /// The configuration beside the built-in.
    config: String,
    /// More words for `wt spawn`.
    more: Vec<&'static str>,
    /// The state, or the reason of one that waits.
    state: &'static str,
    /// What the outcome holds.
    outcome: &'static str,
    attempts: RangeInclusive<u64>,
    /// The longest it may take.
    within: Duration,
}

fn work() -> Vec<Turn> {
    vec![
        Turn { text: "I will write the file.".to_owned(), ..Turn::write("hello.txt", "hello\n") },
        Turn::bash("git add hello.txt && git commit -q -m 'add hello'"),
        Turn::say("Written and committed.\n\n<promise>COMPLETE</promise>"),
    ]
}

fn row(name: &'static str, effect: Option<Effect>, state: &'static str, outcome: &'static str) -> Row {
    let scenario = Scenario::new(work());
    let scenario = match effect {
        Some(effect) => scenario.fault(Fault::new(effect)),
        None => scenario,
    };
    // Its own patience would take 8 seconds of every row.
    let config = "[agents.claude.env]\nCLAUDE_CODE_MAX_RETRIES = \"2\"\n".to_owned();
    let more = vec!["--retries", "0"];
    Row { name, scenario, config, more, state, outcome, attempts: 1..=1, within: PATIENCE }
}

fn limited(seconds: &str) -> Effect {
    let refused =
        Effect::error(429, "rate_limit_error", "This request would exceed your account's rate limit.");
    let Effect::Status { status, body, .. } = refused else { panic!("an error has a status") };
    Effect::Status { status, headers: vec![("retry-after".to_owned(), seconds.to_owned())], body }
}

fn stall(row: Row) -> Row {
    Row {
        config: format!("{}[limits]\nstall = \"3s\"\n", row.config),
        within: Duration::from_secs(20),
        ..row
    }
}

fn called(row: Row, arguments: &str) -> Row {
    Row { config: format!("[agents.claude]\ncommand = [{COMMAND}, {arguments}]\n{}", row.config), ..row }
}

/// With a chain of two models, the first of which meets `effect`.
fn chain(row: Row, effect: &Effect) -> Row {
    let fault = Fault { model: Some(OPUS.to_owned()), ..Fault::new(effect.clone()) };
    let profile =
        format!("[profiles.chain]\nagent = \"claude\"\nmodel = \"{OPUS}\"\nfallback = [\"{SONNET}\"]\n");
    Row {
        scenario: Scenario::new(work()).fault(fault),
        config: format!("{}{profile}", row.config),
        more: vec!["--retries", "0", "--profile", "chain"],
        ..row
    }
}

/// Without the fall-back that Claude Code has itself.
fn without_fallback(row: Row) -> Row {
    Row { config: format!("{}[agents.claude.args]\nfallback_model = []\n", row.config), ..row }
}

/// With the first stream cut after so many events.
fn cut(events: usize, row: Row) -> Row {
    let fault = Fault { requests: 1..=1, ..Fault::new(Effect::CutAfter(events)) };
    Row { scenario: Scenario::new(work()).fault(fault), ..row }
}

/// By itself, where it had not passed on any of the text yet, or by another attempt: how far it was is a matter of time.
fn mended(row: Row) -> Row {
    Row { more: vec!["--retries", "1"], attempts: 1..=2, ..row }
}

fn rows() -> Vec<Row> {
    let error = |status, kind, message| Some(Effect::error(status, kind, message));
    let overloaded = || Effect::error(529, "overloaded_error", "Overloaded");
    let unknown = Effect::error(404, "not_found_error", "model: nothing of that name");
    vec![
        Row {
            within: Duration::from_secs(15),
            config: String::new(),
            ..row(
                "401 refused key",
                error(401, "authentication_error", "invalid x-api-key"),
                "failed",
                "authentication_failed (401)",
            )
        },
        row("403 forbidden", error(403, "permission_error", "no access"), "failed", "claude: "),
        row(
            "400 credit exhausted",
            error(400, "invalid_request_error", "Your credit balance is too low to access the API."),
            "failed",
            "Credit balance is too low",
        ),
        row("429 retry-after 1", Some(limited("1")), "rate_limit", "429"),
        row("429 retry-after 3600", Some(limited("3600")), "rate_limit", "429"),
        row("529 without fall-back", Some(overloaded()), "dead", "529 Overloaded"),
        chain(row("529 with fall-back", None, "done", "ended well"), &overloaded()),
        chain(row("404 model, its own fall-back", None, "done", "ended well"), &unknown),
        without_fallback(Row {
            attempts: 2..=2,
            ..chain(row("404 model, the chain of wt", None, "done", "ended well"), &unknown)
        }),
        without_fallback(Row {
            attempts: 2..=2,
            ..chain(row("529, the chain of wt", None, "done", "ended well"), &overloaded())
        }),
        row("404 model, no chain", Some(unknown), "failed", "model"),
        Row {
            attempts: 2..=2,
            ..row("413 request too large", error(413, "request_too_large", "Request too large"), "failed", "")
        },
        Row {
            attempts: 2..=2,
            ..row(
                "400 prompt too long",
                error(400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
                "failed",
                "",
            )
        },
        stall(row("hang, no byte", Some(Effect::Hang), "dead", "silent for 3s")),
        stall(row("stream stalls part-way", Some(Effect::StallAfter(5)), "dead", "silent for 3s")),
        mended(cut(2, row("stream cut before its text", None, "done", "ended well"))),
        mended(cut(5, row("stream cut within its text", None, "done", "ended well"))),
        row("connection reset", Some(Effect::Reset), "dead", ""),
        called(
            row("permission denied", None, "failed", "a permission was denied: Write"),
            "\"--permission-mode\", \"default\"",
        ),
        called(
            row("turn cap", None, "dead", "turn limit reached"),
            &format!("{FREE}, \"--max-turns\", \"1\""),
        ),
        called(
            row("its own budget cap", None, "failed", "budget of the agent used up"),
            &format!("{FREE}, \"--max-budget-usd\", \"0.0001\""),
        ),
    ]
}

/// What became of a row.
struct Seen {
    task: Value,
    /// From `wt spawn` to the recorded end.
    took: Duration,
    /// From the start of the last attempt to that.
    ran: Duration,
    /// From the last byte that the agent printed to that.
    silent: Duration,
}

fn run(claude: &Path, row: &Row) -> Seen {
    let program = Program::new();
    let api = FakeApi::start(row.scenario.clone());
    program.configure(&row.config);
    let begun = (Instant::now(), jiff::Timestamp::now());
    let words: Vec<&str> = ["spawn", "t", "Write hello.txt and commit it", "--agent", "claude"]
        .into_iter()
        .chain(row.more.clone())
        .collect();
    with_claude(&program, claude, &api, &words).ok();
    let task = loop {
        let events = program.told("t@1");
        // Asked as it was spawned: whoever asks may be the one who starts the next attempt.
        let ended = events.last().is_some_and(|last| last == "ended");
        let asked = ended.then(|| with_claude(&program, claude, &api, &["status", "t", "--json"]).json());
        let task = asked.map_or(Value::Null, |answer| answer["tasks"][0].clone());
        let at_rest =
            task["reason"] == "rate_limit" || (task["state"] != "running" && task["state"] != "waiting");
        if !task.is_null() && at_rest {
            break task;
        }
        assert!(begun.0.elapsed() < PATIENCE, "{}: {:#?}", row.name, program.journal());
        std::thread::yield_now();
    };
    let journal = program.journal();
    let at = |kind: &str| -> jiff::Timestamp {
        let record = journal.iter().rfind(|record| record["event"]["type"] == kind).unwrap();
        record["at"].as_str().unwrap().parse().unwrap()
    };
    let since = |from: jiff::Timestamp| at("ended").duration_since(from).unsigned_abs();
    let last = program.state().join(format!("tasks/t@1/attempts/{}/stream.jsonl", task["attempt"]));
    let last = jiff::Timestamp::try_from(std::fs::metadata(last).unwrap().modified().unwrap()).unwrap();
    Seen { took: since(begun.1), ran: since(at("started")), silent: since(last), task }
}

fn wrong(row: &Row, seen: &Seen) -> Option<String> {
    let Seen { task, took, .. } = seen;
    let state = if task["reason"].is_null() { &task["state"] } else { &task["reason"] };
    let outcome = task["outcome"].as_str().unwrap_or_default();
    let right = state == row.state
        && outcome.contains(row.outcome)
        && task["attempt"].as_u64().is_some_and(|attempt| row.attempts.contains(&attempt))
        && *took <= row.within;
    (!right).then(|| format!("{} after {took:?}: {task:#}", row.name))
}

#[test]
fn every_failure_of_the_service_has_its_end() {
    let Some(claude) = claude_program() else { return };
    let rows = rows();
    let next = Mutex::new(rows.iter().enumerate());
    let seen: Mutex<Vec<(usize, Seen)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some((n, row)) = next.lock().unwrap().next() else { break };
                    let result = run(&claude, row);
                    seen.lock().unwrap().push((n, result));
                }
            });
        }
    });
    let mut seen = seen.into_inner().unwrap();
    seen.sort_by_key(|(n, _)| *n);
    assert_eq!(seen.len(), rows.len());
    if std::env::var_os("WT_TEST_TABLE").is_some() {
        let mut table = String::from(
            "| failure | state | attempts | from spawn | last attempt | after its last byte | outcome |\n|---|---|---|---|---|---|---|\n",
        );
        for (n, Seen { task, took, ran, silent }) in &seen {
            let word = |key: &str| task[key].as_str().unwrap_or_default().to_owned();
            let state = format!("{} {}", word("state"), word("reason"));
            let times = [took, ran, silent].map(|time| format!("{:.1} s", time.as_secs_f64())).join(" | ");
            let cells = [rows[*n].name, state.trim(), &task["attempt"].to_string(), &times, &word("outcome")]
                .join(" | ");
            table = format!("{table}| {cells} |\n");
        }
        // Not through `println!`, which the harness may hide.
        let _ = write!(io::stdout(), "\n{table}");
    }
    let wrong: Vec<String> = seen.iter().filter_map(|(n, seen)| wrong(&rows[*n], seen)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_refused_key_parks_what_waits_for_claude_code() {
    let Some(claude) = claude_program() else { return };
    let program = Program::new();
    program.configure("[limits]\nslots = 1\n");
    let refused = Effect::error(401, "authentication_error", "invalid x-api-key");
    let api = FakeApi::start(Scenario::new(work()).fault(Fault { requests: 1..=1, ..Fault::new(refused) }));
    let wt = |words: &[&str]| with_claude(&program, &claude, &api, words);
    for name in ["a", "b", "c"] {
        wt(&["spawn", name, "Write hello.txt and commit it", "--agent", "claude"]).ok();
    }
    let waited = wt(&["wait", "--timeout", "60s"]);
    assert_eq!(waited.code, 4, "{waited:?}");
    assert!(waited.err.contains("claude: authentication_failed (401); 2 tasks wait"), "{waited:?}");
    let asked: Vec<_> = api.requests().into_iter().filter(|request| request.kind == Kind::Main).collect();
    let sessions: BTreeSet<_> =
        asked.iter().map(|request| &request.headers["x-claude-code-session-id"]).collect();
    assert_eq!(
        sessions.len(),
        1,
        "nobody else asked with that key: {:?}",
        asked.iter().map(|r| (&r.target, r.status)).collect::<Vec<_>>()
    );
    // The person mends the key.
    wt(&["retry", "--parked"]).ok();
    wt(&["wait", "--timeout", "60s"]).ok();
}

#[test]
fn a_turn_cap_is_followed_by_the_same_session() {
    let Some(claude) = claude_program() else { return };
    let program = Program::new();
    program.configure(&format!("[agents.claude]\ncommand = [{COMMAND}, {FREE}, \"--max-turns\", \"2\"]\n"));
    let api = FakeApi::start(Scenario::new(work()));
    let told = ["spawn", "t", "Write it", "--agent", "claude", "--retries", "1", "--wait"];
    assert_eq!(with_claude(&program, &claude, &api, &told).code, 1);
    let task = program.task("t");
    assert_eq!((&task["state"], &task["attempt"]), (&"dead".into(), &2.into()), "{task}");
    let asked: Vec<_> = api.requests().into_iter().filter(|request| request.kind == Kind::Main).collect();
    let sessions: BTreeSet<_> =
        asked.iter().map(|request| &request.headers["x-claude-code-session-id"]).collect();
    assert_eq!(sessions.len(), 1, "the second attempt took up the session of the first");
    let last = asked.iter().find(|request| request.body.contains("was not accepted: turn limit reached"));
    assert!(last.is_some_and(|request| request.body.contains("I will write the file.")));
}
