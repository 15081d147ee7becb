//! An agent that fails again and again is left alone for a while; and what is told of one that works.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::program::{FAKE, Program, Ran, ran};

/// Three tasks that fail, one after the other.
fn broken() -> Program {
    let program = Program::new();
    for name in ["a", "b", "c"] {
        program.spawn(name, &["err:boom", "exit:1"], &["--retries", "0", "--wait"]).fails(1);
    }
    program
}

/// Runs `wt` when the breaker that opened just now has half opened.
fn later(program: &Program, args: &[&str]) -> Ran {
    let then = Timestamp::now() + SignedDuration::from_secs(301);
    ran(program.command(args).env("WT_TEST_NOW", then.to_string()).output().unwrap())
}

fn breakers(program: &Program) -> Value {
    program.wt(&["status", "--json"]).json()["breakers"].clone()
}

fn held(program: &Program, name: &str) {
    let task = program.task(name);
    assert_eq!((&task["state"], &task["reason"]), (&"waiting".into(), &"breaker".into()), "{task}");
    assert!(task["until"].is_string() && task["pace"].is_null(), "{task}");
}

#[test]
fn three_failures_open_it_one_task_tries_and_its_success_closes_it() {
    let program = broken();
    let open = breakers(&program);
    assert_eq!((&open[0]["kind"], &open[0]["name"]), (&"agent".into(), &"fake".into()), "{open}");
    assert_eq!((&open[0]["state"], &open[0]["failures"]), (&"open".into(), &3.into()), "{open}");
    assert_eq!(program.role("__pass").len(), 0, "nobody waits for it");

    let gate = program.env.root().join("gate");
    let waits = format!("wait-for:{}", gate.display());
    program.spawn("d", &[&waits, "write:d=d", "commit:d"], &[]).ok();
    program.spawn("e", &["write:e=e", "commit:e"], &[]).ok();
    for name in ["d", "e"] {
        held(&program, name);
        assert_eq!(program.told(&format!("{name}@1")), ["queued"], "it costs no workspace");
    }
    assert_eq!(breakers(&program)[0]["waiting"], serde_json::json!(["d", "e"]));
    let table = program.wt(&["status"]).ok();
    assert!(table.contains("agent `fake` failed 3 times in a row, rests until "), "{table}");
    assert!(table.contains("breaker until "), "{table}");
    program.until("one who waits for it", || (program.role("__pass").len() == 1).then_some(()));

    // Its time has come: of two that are ready, with room for both, one tries, whoever asks how often.
    later(&program, &["status"]).ok();
    program.started("d@1");
    let tried = later(&program, &["status", "--json"]).json();
    assert_eq!(tried["breakers"][0]["state"], "half_open", "{tried}");
    assert_eq!(program.told("e@1"), ["queued"]);
    held(&program, "e");
    std::fs::write(&gate, "").unwrap();
    program.wt(&["wait", "d", "e", "--timeout", "30s"]).ok();
    assert_eq!(breakers(&program), serde_json::json!([]));
}

#[test]
fn a_task_that_tries_in_vain_opens_it_again() {
    let program = broken();
    program.spawn("d", &["exit:1"], &["--retries", "0"]).ok();
    program.spawn("e", &["write:e=e", "commit:e"], &[]).ok();
    let before: Timestamp = breakers(&program)[0]["until"].as_str().unwrap().parse().unwrap();
    later(&program, &["status"]).ok();
    program.until("its end", || program.told("d@1").contains(&"ended".to_owned()).then_some(()));
    let open = breakers(&program);
    assert_eq!(open[0]["failures"], 4, "{open}");
    let until: Timestamp = open[0]["until"].as_str().unwrap().parse().unwrap();
    assert!(until >= before + SignedDuration::from_secs(300), "{until} {before}");
    held(&program, "e");
    assert_eq!(program.told("e@1"), ["queued"]);
}

#[test]
fn another_profile_goes_on_and_a_person_closes_it() {
    let program = broken();
    program.configure("[profiles.other]\nagent = \"fake\"\n");
    program.spawn("other", &["write:o=o", "commit:o"], &["--profile", "other", "--wait"]).ok();
    program.spawn("d", &["write:d=d", "commit:d"], &[]).ok();
    held(&program, "d");
    // By name, though it is queued.
    program.wt(&["retry", "d"]).ok();
    program.wt(&["wait", "d", "--timeout", "30s"]).ok();
    assert_eq!(breakers(&program), serde_json::json!([]));

    for name in ["f", "g", "h"] {
        program.spawn(name, &["exit:1"], &["--retries", "0", "--wait"]).fails(1);
    }
    program.spawn("i", &["write:i=i", "commit:i"], &[]).ok();
    program.spawn("j", &["write:j=j", "commit:j"], &[]).ok();
    held(&program, "j");
    let closed = program.wt(&["retry", "--parked"]).ok();
    assert_eq!(closed.lines().count(), 1, "one is enough: {closed}");
    program.wt(&["wait", "i", "j", "--timeout", "30s"]).ok();
    assert!(program.wt(&["retry", "--parked"]).err.contains("none waits for a breaker"));
}

/// The scripted agent, speaking as Claude Code does.
fn claude() -> Program {
    let program = Program::new();
    program.configure(&format!("[agents.claude]\ncommand = [\"{FAKE}\", \"--\"]\n"));
    program
}

const RESULT: &str =
    r#"say:{"type":"result","is_error":false,"result":"all done","permission_denials":[],"session_id":"s1"}"#;

#[test]
fn a_session_that_fails_twice_is_left() {
    let program = claude();
    let root = program.env.root();
    let args = |n: u32| format!("args-to:{}", root.join(format!("args{n}")).display());
    let fails = |n: u32| format!("fail-first:{n}:{}", root.join(format!("runs{n}")).display());
    let init = r#"say:{"type":"system","subtype":"init","session_id":"s1"}"#;
    // `argsN` is written by the runs from the Nth on.
    let script = [
        &args(1),
        init,
        &fails(1),
        &args(2),
        &fails(1).replace("runs1", "runs2"),
        "write:x=y",
        "commit:x",
        &args(3),
        RESULT,
    ];
    program.spawn("a", &script, &["--agent", "claude", "--wait"]).ok();
    let task = program.task("a");
    assert_eq!((&task["state"], &task["attempt"]), (&"done".into(), &3.into()), "{task}");
    let ends: Vec<Value> =
        program.events("a@1").into_iter().filter(|event| event["type"] == "ended").collect();
    assert!(!ends[0]["reason"].as_str().unwrap().contains("fresh session"), "{}", ends[0]);
    assert!(ends[1]["reason"].as_str().unwrap().ends_with("next in a fresh session"), "{}", ends[1]);
    let third = std::fs::read_to_string(root.join("args3")).unwrap();
    assert!(third.contains("--session-id") && !third.contains("--resume"), "{third}");
}

#[test]
fn a_running_agent_tells_what_it_is_about() {
    let program = claude();
    let root = program.env.root();
    let gate = |name: &str| format!("wait-for:{}", root.join(name).display());
    let init = r#"say:{"type":"system","subtype":"init","session_id":"s1","model":"claude-big"}"#;
    let calls = r#"say:{"type":"assistant","parent_tool_use_id":null,"message":{"id":"m1","model":"big","usage":{"input_tokens":10,"cache_read_input_tokens":900,"cache_creation_input_tokens":90,"output_tokens":7},"content":[{"type":"tool_use","id":"t1","name":"Bash","input":{"command":"make"}}]}}"#;
    let failed = r#"say:{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"t1","is_error":true,"content":"no rule"}]}}"#;
    let fault =
        r#"say:{"type":"system","subtype":"api_retry","attempt":1,"error_status":529,"error":"overloaded"}"#;
    let limit =
        r#"say:{"type":"system","subtype":"api_retry","attempt":1,"error_status":429,"error":"rate_limit"}"#;
    let script = [
        init,
        calls,
        &gate("1"),
        failed,
        fault,
        &gate("2"),
        limit,
        &gate("3"),
        "write:x=y",
        "commit:x",
        RESULT,
    ];
    program.spawn("a", &script, &["--agent", "claude"]).ok();
    let heard = |what: &str, is: &dyn Fn(&Value) -> bool| {
        program.until(what, || Some(program.task("a")).filter(|task| is(task)))
    };
    // Processes are looked at before what they said: of one that starts meanwhile only the words may be known.
    let task = heard("its tool and its memory", &|task| {
        task["heartbeat"]["tool"] == "Bash" && task["heartbeat"]["memory_bytes"].is_number()
    });
    let beat = &task["heartbeat"];
    assert_eq!((&task["pace"], &beat["context_tokens"]), (&"working".into(), &1000.into()), "{task}");
    assert_eq!((&beat["context_window"], &beat["context_share"]), (&200_000.into(), &0.005.into()), "{task}");
    assert_eq!((&beat["errors"], &beat["fault"]), (&0.into(), &Value::Null), "{task}");
    assert_eq!(beat["tokens"]["cache_read"], 900, "{task}");
    assert!(beat["memory_bytes"].as_u64().unwrap() > 100_000 && beat["processes"].as_u64().unwrap() > 0);
    assert!(task["silent_ms"].is_number(), "{task}");
    let shown = program.wt(&["status", "a"]).ok();
    assert!(
        shown.contains("working") && shown.contains("Bash") && shown.contains("1000 tokens, 0% of 200000"),
        "{shown}"
    );

    std::fs::write(root.join("1"), "").unwrap();
    let task = heard("its fault", &|task| task["heartbeat"]["fault"] == "overloaded (529)");
    assert_eq!((&task["pace"], &task["heartbeat"]["tool"]), (&"slow".into(), &Value::Null), "{task}");
    assert_eq!(task["heartbeat"]["errors"], 2, "{task}");
    std::fs::write(root.join("2"), "").unwrap();
    heard("its limit", &|task| task["pace"] == "limited");
    std::fs::write(root.join("3"), "").unwrap();
    program.wt(&["wait", "a", "--timeout", "30s"]).ok();
    let task = program.task("a");
    assert!(task["pace"].is_null() && task.get("heartbeat").is_none(), "{task}");
}
