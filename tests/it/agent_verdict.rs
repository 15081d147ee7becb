//! Every recorded stream of a real agent CLI, with the exit code it was seen with.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use wt::agent::{Adapter, BUILT_IN, Ending, Facts, StoppedBy, Stream, verdict};
use wt::model::adapter::AdapterSpec;
use wt::model::agent_event::AgentEvent;
use wt::model::usage::Tokens;
use wt::model::verdict::{Class, Exit, Verdict};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/transcripts")
}

fn adapter(name: &str, text: &str) -> Adapter {
    let file: toml::Table = toml::from_str(text).expect("TOML");
    let spec: AdapterSpec = file["agents"][name].clone().try_into().expect("an adapter's table");
    Adapter::new(name, &spec).expect("a good adapter")
}

fn built_in(name: &str) -> Adapter {
    let at = BUILT_IN.iter().position(|(title, _)| title.contains(name)).expect("a built-in adapter");
    adapter(name, BUILT_IN[at].1)
}

fn claude() -> Adapter {
    built_in("claude")
}

fn fed(adapter: &Adapter, file: &str) -> (Facts, Vec<AgentEvent>) {
    let mut stream = Stream::new(adapter);
    let bytes = fs::read(folder().join(file)).expect("a fixture");
    let events = bytes.split(|byte| *byte == b'\n').flat_map(|line| stream.feed_line(line)).collect();
    (stream.finish(), events)
}

struct Case {
    file: &'static str,
    exit: Exit,
    stopped: Option<StoppedBy>,
    class: Class,
    reason: &'static str,
    session: &'static str,
    cost: f64,
    tokens: Tokens,
}

const NONE: Tokens = Tokens { input: 0, output: 0, cache_read: 0, cache_write: 0 };

fn turns(n: u64) -> Tokens {
    Tokens { input: 1200 * n, output: 150 * n, cache_read: 5000 * n, cache_write: 300 * n }
}

fn case(file: &'static str, session: &'static str, exit: i32, class: Class, reason: &'static str) -> Case {
    Case { file, exit: Exit::Code(exit), stopped: None, class, reason, session, cost: 0.0, tokens: NONE }
}

fn good(file: &'static str, session: &'static str, cost: f64, tokens: Tokens) -> Case {
    Case { cost, tokens, ..case(file, session, 0, Class::Ok, "ended well") }
}

fn cases() -> Vec<Case> {
    use Class::{FleetStop, Incomplete, Park, Retry};
    let silent = Some(StoppedBy::Stall(Duration::from_secs(120)));
    vec![
        // Its own ten retries go on for minutes; we end it at the first.
        Case {
            exit: Exit::Code(143),
            stopped: Some(StoppedBy::Verdict(Verdict::new(FleetStop, "authentication_failed (401)"))),
            ..case(
                "claude-401-default-retries-cut-at-120s",
                "4e333450",
                0,
                FleetStop,
                "authentication_failed (401)",
            )
        },
        case("claude-401-gives-up", "7ee66b75", 1, FleetStop, "Invalid API key · Fix external API key"),
        case(
            "claude-403",
            "24933ab0",
            1,
            FleetStop,
            "Failed to authenticate. API Error: 403 Your API key does not have permission to use the specified resource.",
        ),
        case(
            "claude-429-gives-up",
            "f56a2350",
            1,
            Park,
            "API Error: Request rejected (429) · This request would exceed your account's rate limit. Please try again later.",
        ),
        good("claude-429-then-ok", "975c5821", 0.08475, turns(6)),
        case(
            "claude-500-gives-up",
            "37be1688",
            1,
            Retry,
            "API Error: 500 Internal server error. This is a server-side issue, usually temporary — try again in a moment. If it persists, check your inference gateway (127.0.0.1:PORT).",
        ),
        case(
            "claude-529-gives-up",
            "0fdd631c",
            1,
            Retry,
            "API Error: 529 Overloaded. This is a server-side issue, usually temporary — try again in a moment. If it persists, check your inference gateway (127.0.0.1:PORT).",
        ),
        good("claude-529-then-ok", "4f9e6d15", 0.08475, turns(6)),
        case(
            "claude-connection-reset",
            "c7ad8615",
            1,
            Retry,
            "API Error: Unable to connect to API (ECONNRESET)",
        ),
        case("claude-hang", "3e79f769", 1, Retry, "Request timed out"),
        good("claude-happy", "1673b3af", 0.08475, turns(6)),
        good("claude-hook-events", "b96fd39c", 0.070_625, turns(5)),
        // What hooks were given, no stream at all.
        Case {
            session: "",
            ..case("claude-hook-inputs", "", 0, Retry, "ended before its work was finished (exit 0)")
        },
        Case {
            cost: 0.042_375,
            tokens: turns(3),
            ..case("claude-max-turns", "1539f437", 1, Incomplete, "turn limit reached")
        },
        good("claude-nohup-child", "0559b42d", 0.02825, turns(2)),
        Case {
            exit: Exit::Signal(9),
            // No final event: what its one message began with is known, its output is not.
            tokens: Tokens { input: 1200, output: 1, cache_read: 5000, cache_write: 300 },
            ..case("claude-sigkill", "0602ff33", 0, Retry, "ended before its work was finished (signal 9)")
        },
        good("claude-stop-hook-3-blocks", "87184733", 0.0565, turns(4)),
        good("claude-stop-hook-cap-raised", "b0944c8c", 0.296_625, turns(21)),
        Case {
            exit: Exit::Signal(15),
            stopped: silent,
            ..case("claude-stream-stall-killed-at-120s", "a83aa61b", 0, Retry, "silent for 2m")
        },
    ]
}

/// Returns every recorded run of Claude Code with its end and its class.
pub fn ends() -> Vec<(String, Exit, Class)> {
    cases().into_iter().map(|case| (format!("{}.jsonl", case.file), case.exit, case.class)).collect()
}

#[test]
fn every_recorded_run_of_claude_comes_to_its_class() {
    let adapter = claude();
    let mut seen = Vec::new();
    for case in cases() {
        let (facts, _) = fed(&adapter, &format!("{}.jsonl", case.file));
        let ending = Ending { exit: case.exit, stopped: case.stopped, facts: &facts, stderr_tail: "" };
        let verdict = verdict(&adapter, &ending);
        assert_eq!((verdict.class, verdict.reason.as_str()), (case.class, case.reason), "{}", case.file);
        let session = facts.session.as_deref().unwrap_or_default();
        assert!(session.starts_with(case.session) && session.is_empty() == case.session.is_empty());
        assert!((facts.usage.cost_usd - case.cost).abs() < 1e-9, "{}: {}", case.file, facts.usage.cost_usd);
        assert_eq!(facts.usage.tokens, case.tokens, "{}", case.file);
        assert!(facts.denials.is_empty(), "{}", case.file);
        seen.push(format!("{}.jsonl", case.file));
    }
    let mut recorded: Vec<String> = fs::read_dir(folder())
        .expect("the fixtures")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("claude-"))
        .collect();
    recorded.sort();
    seen.sort();
    assert_eq!(seen, recorded, "a recorded stream has no row");
}

#[test]
fn a_bad_key_is_known_at_its_first_event() {
    for file in ["claude-401-default-retries-cut-at-120s.jsonl", "claude-401-gives-up.jsonl"] {
        let (_, events) = fed(&claude(), file);
        let at = events.iter().position(|event| matches!(event, AgentEvent::Verdict(_))).expect("a verdict");
        assert!(at <= 2, "{file}: event {at}");
        let AgentEvent::Verdict(verdict) = &events[at] else { unreachable!("just found") };
        assert_eq!(
            (verdict.class, verdict.reason.as_str()),
            (Class::FleetStop, "authentication_failed (401)")
        );
    }
}

#[test]
fn a_good_run_tells_what_it_does() {
    let (facts, events) = fed(&claude(), "claude-happy.jsonl");
    assert_eq!(facts.model.as_deref(), Some("claude-opus-4-8[1m]"));
    assert_eq!(facts.turns, Some(5));
    assert!(facts.text.as_deref().is_some_and(|text| text.contains("<promise>COMPLETE</promise>")));
    assert!(events.contains(&AgentEvent::Tool { name: "Edit".into(), summary: "hello.txt".into() }));
    assert_eq!(events.last(), Some(&AgentEvent::Final));
    assert!(!events.iter().any(|event| matches!(event, AgentEvent::Raw(_))));
}
