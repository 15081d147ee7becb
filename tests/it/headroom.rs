//! What the machine can bear: starts apart from each other, memory that must be left, and limits that are lowered.

use std::time::{Duration, Instant};

use crate::program::{Program, alive, ran};

#[test]
fn agents_start_one_after_another() {
    let program = Program::new();
    program.configure("[limits]\nslots = 4\n");
    let cores = std::thread::available_parallelism().unwrap().get();
    // Half a second between two, however many processors there are.
    let stagger = format!("{}ms", 500 * cores);
    let line = |n| format!("{{\"name\":\"t{n}\",\"prompt\":\"SCRIPT:\\nwrite:x{n}=y\\ncommit:x\\n\"}}\n");
    let lines: Vec<String> = (0..4).map(line).collect();
    let file = program.env.root().join("tasks.jsonl");
    std::fs::write(&file, lines.concat()).unwrap();
    let with = |args: &[&str]| ran(program.command(args).env("WT_STAGGER", &stagger).output().unwrap());
    with(&["spawn", "--from", &file.to_string_lossy()]).ok();
    with(&["wait", "--all", "--timeout", "60s"]).ok();
    let mut starts: Vec<jiff::Timestamp> = program
        .journal()
        .iter()
        .filter(|record| record["event"]["type"] == "started")
        .map(|record| record["at"].as_str().unwrap().parse().unwrap())
        .collect();
    starts.sort();
    assert_eq!(starts.len(), 4);
    let all = starts[3].duration_since(starts[0]);
    // Each is recorded a moment after its turn.
    assert!(all >= jiff::SignedDuration::from_millis(1400), "three gaps of half a second: {all:?}");
}

#[test]
fn one_whose_turn_is_late_can_be_stopped() {
    let program = Program::new();
    let with = |args: &[&str]| ran(program.command(args).env("WT_STAGGER", "1h").output().unwrap());
    let script = "SCRIPT:\nwrite:x=y\ncommit:x\n";
    with(&["spawn", "a", script, "--wait"]).ok();
    with(&["spawn", "b", script]).ok();
    program.until("b's runner", || (program.role("__run").len() == 1).then_some(()));
    let begun = Instant::now();
    program.wt(&["stop", "b"]).ok();
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(program.state_of("b"), "stopped");
}

#[test]
fn without_memory_nothing_starts_and_nothing_that_runs_is_ended() {
    let program = Program::new();
    let (pids, go) = (program.env.root().join("pids"), program.env.root().join("go"));
    let (told, wait) = (format!("pids-to:{}", pids.display()), format!("wait-for:{}", go.display()));
    program.spawn("early", &[&told, &wait, "write:e=1", "commit:e"], &[]).ok();
    let agent: u32 = program.file(&pids).split_whitespace().nth(1).unwrap().parse().unwrap();
    let script = "SCRIPT:\nwrite:x=y\ncommit:x\n";
    let short = |args: &[&str]| ran(program.command(args).env("WT_MEMORY", "9000TB").output().unwrap());
    short(&["spawn", "a", script]).ok();
    program.until("the wait", || (program.task("a")["reason"] == "memory").then_some(()));
    let outcome = program.task("a")["outcome"].as_str().unwrap().to_owned();
    assert!(outcome.contains("of memory are left"), "{outcome}");
    short(&["spawn", "b", script]).ok();
    let queued = short(&["status", "b", "--json"]).json();
    assert_eq!(queued["tasks"][0]["state"], "queued");
    assert_eq!(program.role("__run").len(), 2, "one rests, beside the one that runs");
    assert!(alive(agent));
    assert_eq!(program.told("a@1"), ["queued", "workspace_made", "held_back"]);
    // The end of another task finds memory again, and starts who is queued.
    std::fs::write(go, "").unwrap();
    program.wt(&["wait", "early", "b", "--timeout", "60s"]).ok();
    program.wt(&["resume", "a"]).ok();
    program.wt(&["wait", "a", "--timeout", "60s"]).ok();
    assert_eq!(program.task("a")["attempt"], 1);
}

#[test]
fn lowered_limits_end_nobody() {
    let program = Program::new();
    program.configure("[limits]\nslots = 3\n");
    let go = program.env.root().join("go");
    let wait = format!("wait-for:{}", go.display());
    for name in ["a", "b", "c"] {
        program.spawn(name, &[&wait, &format!("write:{name}=1"), "commit:x"], &[]).ok();
        program.started(&format!("{name}@1"));
    }
    program.configure("[limits]\nslots = 1\n[profiles.p]\nagent = \"fake\"\nslots = 1\n");
    program.spawn("d", &["write:d=1", "commit:d"], &[]).ok();
    for name in ["a", "b", "c"] {
        assert_eq!(program.state_of(name), "running");
    }
    assert_eq!(program.state_of("d"), "queued", "there is no slot until they are fewer");
    // One end is not enough: two still run where one may.
    program.wt(&["stop", "a"]).ok();
    assert_eq!(program.state_of("d"), "queued");
    program.wt(&["stop", "b"]).ok();
    assert_eq!(program.state_of("d"), "queued");
    let slots = program.wt(&["status", "--json"]).json()["slots"].clone();
    assert_eq!((&slots["used"], &slots["max"]), (&1.into(), &1.into()));
    std::fs::write(go, "").unwrap();
    program.wt(&["wait", "c", "d", "--timeout", "60s"]).ok();
    assert!(["a", "b", "c"].iter().all(|name| program.task(name)["attempt"] == 1));
    assert_eq!(program.state_of("d"), "done");
}
