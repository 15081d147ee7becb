//! Budgets and `wt cost`, with an agent that prints what it costs.

use std::io::Write as _;

use serde_json::Value;

use crate::fake_api::{FakeApi, Scenario, Turn};
use crate::program::{FAKE, Program, ran};
use crate::real_claude::{claude_program, with_claude};

/// A program with the agent `paid`, which tells its cost step by step (`cost`) or at its end (`total`), and `counted`, which
/// tells tokens of its whole session.
fn program(more: &str) -> Program {
    let program = Program::new();
    program.configure(&format!(
        r#"
        [agents.paid]
        command = ["{FAKE}"]
        events = "jsonl"
        stop = {{ grace = "500ms" }}
        sum = {{ cost_usd = "/cost" }}
        event = [
          {{ when = {{ "/type" = "start" }}, take = {{ session = "/id", model = "/model" }} }},
          {{ when = {{ "/type" = "end" }}, final = true, take = {{ text = "/text", cost_usd = "/total", usage = "/usage" }} }},
          {{ when = {{ "/type" = "step" }}, take = {{ usage = "/usage" }} }},
        ]
        outcome = [{{ when = {{ exit = 0, "/type" = "end" }}, class = "ok", reason = "ended well" }}]
        [agents.counted]
        command = ["{FAKE}"]
        events = "jsonl"
        usage_is = "cumulative"
        resume_command = ["{FAKE}"]
        event = [
          {{ when = {{ "/type" = "start" }}, take = {{ session = "/id" }} }},
          {{ when = {{ "/type" = "end" }}, final = true, take = {{ text = "/text", usage = "/usage" }} }},
        ]
        outcome = [{{ when = {{ exit = 0, "/type" = "end" }}, class = "ok" }}]
        {more}
        "#
    ));
    program
}

/// Spawns a task of `paid` and waits until it rests.
fn paid(program: &Program, name: &str, steps: &[&str], more: &[&str]) -> Value {
    let more: Vec<&str> = ["--agent", "paid", "--wait"].into_iter().chain(more.iter().copied()).collect();
    drop(program.spawn(name, steps, &more));
    program.task(name)
}

fn near(told: &Value, usd: f64) -> bool {
    told.as_f64().is_some_and(|told| (told - usd).abs() < 1e-9)
}

#[test]
fn a_budget_ends_an_attempt_at_the_event_that_passes_it_and_keeps_the_work() {
    let program = program("");
    let steps = [
        "append:kept.txt=kept\\n",
        "commit:keep",
        r#"say:{"type":"step","cost":0.9}"#,
        "append:loose.txt=loose\\n",
        r#"say:{"type":"step","cost":0.05}"#,
        r#"say:{"type":"step","cost":0.3}"#,
        "wait-for:never",
    ];
    let task = paid(&program, "greedy", &steps, &["--budget", "1"]);
    assert_eq!(task["state"], "failed", "{task}");
    assert_eq!(task["outcome"], "budget used up: $1.25 of $1.00");
    assert!(near(&task["cost_usd"], 1.25), "{task}");
    assert!(task["warning"].as_str().unwrap().contains("$1.25 of $1.00"), "{task}");
    let warned = program.told("greedy@1").into_iter().filter(|event| event == "budget_warned").count();
    assert_eq!(warned, 1);
    let ended = program.events("greedy@1").into_iter().find(|event| event["type"] == "ended").unwrap();
    assert!(near(&ended["models"]["paid"]["cost_usd"], 1.25), "{ended}");
    assert_eq!(program.repo.git(&["show", "wt/greedy:kept.txt"]), "kept");
    assert!(program.worktree("greedy").join("loose.txt").exists(), "uncommitted work is kept");

    let said = program.refuses(1, &["retry", "greedy"]);
    assert!(said.contains("budget used up: $1.25 of $1.00"), "{said}");
    assert!(said.contains("wt retry greedy --budget 2.25"), "{said}");
    program.wt(&["retry", "greedy", "--budget", "2.25"]).ok();
    program.wt(&["wait", "greedy"]).fails(1);
    let task = program.task("greedy");
    assert_eq!(task["outcome"], "budget used up: $2.50 of $2.25", "what was used counts on: {task}");
    assert_eq!(task["attempt"], 2, "{task}");
    assert!(near(&task["budget"]["usd"], 2.25), "{task}");
}

#[test]
fn a_budget_counts_over_attempts() {
    let program = program("");
    let steps = [r#"say:{"type":"end","text":"no luck","total":0.6}"#, "exit:1"];
    let task = paid(&program, "twice", &steps, &["--budget", "1", "--retries", "9"]);
    assert_eq!((&task["state"], &task["attempt"]), (&"failed".into(), &2.into()), "{task}");
    assert_eq!(task["outcome"], "budget used up: $1.20 of $1.00; no luck");
}

#[test]
fn tokens_and_time_are_bounds_too() {
    let program = program("");
    let tokens =
        [r#"say:{"type":"step","usage":{"input_tokens":900,"output_tokens":100}}"#, "wait-for:never"];
    let task = paid(&program, "wordy", &tokens, &["--budget-tokens", "1000"]);
    assert_eq!(task["outcome"], "budget used up: 1000 of 1000 tokens", "{task}");
    for (name, retries) in [("slow", "2"), ("last", "0")] {
        let more = ["--budget-time", "300ms", "--retries", retries];
        let task = paid(&program, name, &["wait-for:never"], &more);
        assert_eq!(task["state"], "failed", "{task}");
        let outcome = task["outcome"].as_str().unwrap();
        assert!(outcome.starts_with("budget used up: ") && outcome.ends_with(" of 300ms"), "{outcome}");
    }
}

#[test]
fn finished_work_is_not_thrown_away_for_its_price() {
    let program = program("");
    let steps = ["write:a.txt=a", "commit:a", r#"say:{"type":"end","text":"done","total":3.0}"#];
    let task = paid(&program, "dear", &steps, &["--budget", "1"]);
    assert_eq!((&task["state"], &task["outcome"]), (&"done".into(), &"ended well".into()), "{task}");
}

#[test]
fn the_days_budget_lets_tasks_wait_for_midnight() {
    let program = program("[limits]\nday_usd = 1.0\nslots = 2\n");
    let work = |name: &str| [format!("write:{name}.txt=x"), format!("commit:{name}")];
    let end = r#"say:{"type":"end","text":"done","total":1.5}"#;
    let spawn = |name: &str, more: &[&str]| {
        let [write, commit] = work(name);
        let more: Vec<&str> = ["--agent", "paid"].into_iter().chain(more.iter().copied()).collect();
        program.spawn(name, &[&write, &commit, end], &more)
    };
    spawn("first", &["--wait"]).ok();
    spawn("second", &[]).ok();
    let waits = |name: &str| {
        program.until("the wait for midnight", || {
            let task = program.task(name);
            (task["state"] == "waiting").then_some(task)
        })
    };
    let task = waits("second");
    assert_eq!(task["reason"], "rate_limit", "{task}");
    assert_eq!(task["outcome"], "the day's budget is used up: $1.50 of $1.00");
    assert_eq!(task["attempt"], 0, "{task}");
    spawn("third", &[]).ok();
    waits("third");
    assert_eq!(program.role("__run").len(), 1, "one runner waits for all of them");
    let told = program.wt(&["status"]).ok();
    assert!(told.contains("$1.50 of $1.00 today"), "{told}");

    let held = program.events("third@1").into_iter().find(|event| event["type"] == "over_budget").unwrap();
    let midnight: jiff::Timestamp = held["until"].as_str().unwrap().parse().unwrap();
    let local = midnight.to_zoned(jiff::tz::TimeZone::system());
    assert_eq!(local.time(), jiff::civil::time(0, 0, 0, 0), "{local}");
    // The next day, as far as this command and what it starts know; the other one sleeps on in the old one.
    let mut tomorrow = program.command(&["wait", "third"]);
    tomorrow.env("WT_TEST_NOW", (midnight + jiff::SignedDuration::from_secs(60)).to_string());
    ran(tomorrow.output().unwrap()).ok();
    assert_eq!(program.state_of("third"), "done");
    assert_eq!(program.state_of("second"), "waiting");
}

#[test]
fn a_session_that_counts_everything_again_is_counted_once() {
    let program = program("");
    let runs = program.env.root().join("runs");
    let usage = |input: u32| format!(r#"say:{{"type":"end","text":"x","usage":{{"input_tokens":{input}}}}}"#);
    let steps = [
        "write:a.txt=a",
        r#"say:{"type":"start","id":"thread-1"}"#,
        &usage(100),
        &format!("fail-first:1:{}", runs.display()),
        &usage(250),
        "commit:a",
    ];
    program.spawn("threaded", &steps, &["--agent", "counted", "--wait"]).ok();
    let task = program.task("threaded");
    assert_eq!((&task["attempt"], &task["tokens"]["input"]), (&2.into(), &250.into()), "{task}");
}

#[test]
fn cost_is_told_by_task_model_day_and_agent_even_of_what_is_gone() {
    let program = program("");
    let start = r#"say:{"type":"start","id":"s","model":"big"}"#;
    let end = |usage: &str| format!(r#"say:{{"type":"end","text":"done","total":0.75,"usage":{usage}}}"#);
    let both = end(
        r#"{"big":{"inputTokens":100,"outputTokens":10,"costUSD":0.5},"small":{"inputTokens":7,"costUSD":0.25}}"#,
    );
    paid(&program, "auth", &["write:a.txt=a", "commit:a", start, &both], &[]);
    program.wt(&["merge", "auth"]).ok();
    let one = end(r#"{"input_tokens":50}"#);
    paid(&program, "docs", &["write:b.txt=b", "commit:b", start, &one], &[]);
    program.wt(&["gc", "docs", "--force"]).ok();
    let free = r#"say:{"type":"end","text":"done","usage":{"input_tokens":9}}"#;
    paid(&program, "free", &["write:c.txt=c", "commit:c", free], &[]);

    let rows = |args: &[&str]| {
        let args: Vec<&str> = ["cost", "--json"].into_iter().chain(args.iter().copied()).collect();
        let told = program.wt(&args).json();
        let mut rows = told["rows"].as_array().unwrap().clone();
        rows.push(told["total"].clone());
        rows.iter()
            .map(|row| {
                format!("{} {} {}", row["key"].as_str().unwrap(), row["tokens"]["input"], row["cost_usd"])
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(rows(&[]), ["auth 107 0.75", "docs 50 0.75", "free 9 null", "total 166 1.5"]);
    assert_eq!(rows(&["--by", "model"]), ["big 150 1.25", "paid 9 null", "small 7 0.25", "total 166 1.5"]);
    assert_eq!(rows(&["--by", "agent", "docs"]), ["paid 50 0.75", "total 50 0.75"]);
    let today = jiff::Zoned::now().date().to_string();
    assert_eq!(rows(&["--by", "day", "--since", "1h"]).last().unwrap(), "total 166 1.5");
    assert!(rows(&["--by", "day"]).iter().any(|row| row.starts_with(&today)));
    let told = program.wt(&["cost"]).ok();
    let free = told.lines().find(|line| line.trim_start().starts_with("free")).unwrap();
    assert!(free.contains(" - ") && !free.contains('$'), "{told}");
    let said = program.refuses(1, &["cost", "nobody"]);
    assert!(said.contains("no task is called `nobody`"), "{said}");
}

#[test]
fn claude_code_stops_at_the_tasks_budget_and_its_work_is_kept() {
    let Some(claude) = claude_program() else { return };
    let program = Program::new();
    let api = FakeApi::start(Scenario::new([Turn::write("hello.txt", "hello\n")]));
    let begun = std::time::Instant::now();
    let told = [
        "spawn",
        "dear",
        "Write hello.txt again and again",
        "--agent",
        "claude",
        "--wait",
        "--budget",
        "0.05",
    ];
    assert_eq!(with_claude(&program, &claude, &api, &told).code, 1);
    let took = begun.elapsed();
    let task = program.task("dear");
    assert_eq!((&task["state"], &task["attempt"]), (&"failed".into(), &1.into()), "{task}");
    let outcome = task["outcome"].as_str().unwrap();
    assert!(outcome.starts_with("budget used up: $0.0") && outcome.ends_with(" of $0.0500"), "{outcome}");
    assert!(task["cost_usd"].as_f64().unwrap() >= 0.05, "{task}");
    assert!(program.worktree("dear").join("hello.txt").exists(), "its work is kept");
    let ended = program.events("dear@1").into_iter().find(|event| event["type"] == "ended").unwrap();
    assert_eq!(ended["models"].as_object().unwrap().len(), 1, "{ended}");
    assert_eq!(ended["models"].as_object().unwrap().values().next().unwrap()["cost_usd"], task["cost_usd"]);
    // Not through `println!`, which the harness hides where a test passes.
    let _ = writeln!(std::io::stderr(), "claude over its budget: failed after {:.1} s", took.as_secs_f64());
}
