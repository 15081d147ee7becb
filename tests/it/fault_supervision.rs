//! Fault rows of supervision: who dies, and what must be true afterwards.

use std::path::Path;
use std::time::Duration;

use crate::program::{Program, alive, gone_within, kill, kill_together};

/// An agent that leaves descendants of four kinds, says so, and then works on for a long time.
fn evil<'a>() -> Vec<&'a str> {
    vec![
        "write:work.txt=half done\\n",
        "plain-child",
        "setsid-child",
        "daemon",
        "daemon-clean-env",
        "pids-to:.pids",
        "sleep:1000",
    ]
}

/// The agent and its four kinds of descendants.
fn descendants(program: &Program, name: &str) -> Vec<u32> {
    let pids = program.worktree(name).join(".pids");
    let text = program.until("the agent's descendants", || {
        std::fs::read_to_string(&pids).ok().filter(|text| text.lines().count() >= 5)
    });
    let found: Vec<u32> =
        text.lines().filter_map(|line| line.split_whitespace().nth(1)?.parse().ok()).collect();
    assert_eq!(found.len(), 5, "{text}");
    assert!(found.iter().all(|pid| alive(*pid)), "{text}");
    found
}

fn slot_is_free(state: &Path) -> bool {
    !wt::store::Lock::is_held(&state.join("slots/0"))
}

/// Kills what `victims` names and checks what rows 3 to 5 demand.
fn kill_and_check(victims: &[&str], limit: Duration) {
    let program = Program::new();
    program.configure("[limits]\nslots = 1\n");
    program.spawn("evil", &evil(), &["--retries", "0"]).ok();
    let tree = descendants(&program, "evil");
    program.spawn("next", &["write:next.txt=x", "commit:next"], &[]).ok();
    assert_eq!(program.state_of("next"), "queued");
    let pids: Vec<u32> = victims.iter().map(|victim| program.role(victim)[0]).collect();
    kill_together(&pids);
    if victims.len() == 2 {
        // Nobody is left to notice: the next `wt` command does.
        program.wt(&["status"]).ok();
    }
    let left: &[u32] = if victims.len() == 2 {
        // Documented residue: a daemon with a cleared environment that loses both guards in one instant.
        &tree[..4]
    } else {
        &tree
    };
    gone_within(limit, left);
    for pid in tree.iter().filter(|pid| alive(**pid)) {
        kill(*pid);
    }
    let ended = program.until("the task's end", || {
        let task = program.task("evil");
        (task["state"] == "dead").then_some(task)
    });
    assert_eq!(ended["attempt"], 1, "{ended}");
    let events: Vec<String> = program
        .journal()
        .iter()
        .filter(|record| record["task"] == "evil@1")
        .map(|record| record["event"]["type"].as_str().unwrap().to_owned())
        .collect();
    let kind =
        events.iter().find(|event| ["lost", "ended"].contains(&event.as_str())).expect("an end is recorded");
    if victims.contains(&"__run") {
        assert_eq!(kind, "lost", "{events:?}");
    }
    assert_eq!(std::fs::read_to_string(program.worktree("evil").join("work.txt")).unwrap(), "half done\n");
    program.until("the next task", || (program.state_of("next") == "done").then_some(()));
    program.until("a free slot", || slot_is_free(&program.state()).then_some(()));
}

#[test]
fn row_03_runner_killed() {
    kill_and_check(&["__run"], Duration::from_secs(2));
}

#[test]
fn row_04_guard_killed() {
    kill_and_check(&["__guard"], Duration::from_secs(2));
}

#[test]
fn row_05_both_killed() {
    kill_and_check(&["__run", "__guard"], Duration::from_secs(2));
}
