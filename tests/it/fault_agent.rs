//! Fault rows of hostile agents: they daemonise, ignore signals, flood, leave locks behind.

use std::time::{Duration, Instant};

use crate::program::{Program, gone_within};

fn pids(program: &Program) -> Vec<u32> {
    let text = program.file(&program.env.root().join("pids"));
    text.lines().filter_map(|line| line.split_whitespace().nth(1)?.parse().ok()).collect()
}

fn place(program: &Program, step: &str, name: &str) -> String {
    format!("{step}:{}", program.env.root().join(name).display())
}

#[test]
fn row_06_daemonises_and_exits_well() {
    let program = Program::new();
    let told = place(&program, "pids-to", "pids");
    let steps =
        ["setsid-child", "hold-stdout-child", "daemon", "daemon-clean-env", &told, "write:x=y", "commit:x"];
    let begun = Instant::now();
    program.spawn("a", &steps, &["--wait"]).ok();
    assert!(begun.elapsed() < Duration::from_secs(10), "within the leak timeout");
    let pids = pids(&program);
    assert_eq!(pids.len(), 5);
    gone_within(Duration::ZERO, &pids);
    let task = program.task("a");
    assert_eq!(task["state"], "done");
    let outcome = task["outcome"].as_str().unwrap();
    assert!(outcome.contains("leaked: 4"), "{outcome}");
}

#[test]
fn row_07_ignores_the_polite_signal() {
    let program = Program::new();
    let told = place(&program, "pids-to", "pids");
    program.spawn("a", &["ignore-term", "plain-child", "write:x=y", &told, "sleep:1000"], &[]).ok();
    let pids = pids(&program);
    let begun = Instant::now();
    let said = program.wt(&["stop", "a"]).ok();
    assert!(begun.elapsed() >= Duration::from_millis(500), "it had its grace");
    assert!(begun.elapsed() < Duration::from_secs(10));
    gone_within(Duration::ZERO, &pids);
    assert!(said.starts_with("a stopped; its work is in "), "{said}");
    assert_eq!(program.state_of("a"), "stopped");
    assert_eq!(std::fs::read_to_string(program.worktree("a").join("x")).unwrap(), "y");
    let ended = program.events("a@1").pop().unwrap();
    assert_eq!(ended["exit"]["signal"], 9, "{ended}");
}

#[test]
fn row_09_flood() {
    let program = Program::new();
    let (done, go) = (place(&program, "write", "flooded") + "=x", place(&program, "wait-for", "go"));
    program.spawn("a", &["flood:80", &done, &go, "say:last words", "write:x=y", "commit:x"], &[]).ok();
    program.file(&program.env.root().join("flooded"));
    let runner = program.role("__run")[0];
    let status = std::fs::read_to_string(format!("/proc/{runner}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    std::fs::write(program.env.root().join("go"), "").unwrap();
    program.wt(&["wait", "a", "--timeout", "60s"]).ok();
    // Its code is part of it; the flood of 80 MiB is not.
    assert!(peak < 32 << 10, "the runner took {peak} KiB");

    let attempt = program.state().join("tasks/a@1/attempts/1");
    let size = |name: &str| std::fs::metadata(attempt.join(name)).map_or(0, |about| about.len());
    let kept = size("stream.jsonl") + size("stream.jsonl.1") + size("stream.jsonl.2");
    assert!(kept <= 64 << 20 && kept > 32 << 20, "{kept}");
    let log = wt::process::capture::read(&attempt.join("stream.jsonl")).unwrap();
    assert!(log.starts_with(b"flood-begin\n"));
    assert!(log.ends_with(b"flood-end\nlast words\n"));
    let outcome = program.task("a")["outcome"].as_str().unwrap().to_owned();
    let dropped = (80_u64 << 20) + "flood-begin\nflood-end\nlast words\n".len() as u64 - kept;
    assert!(outcome.contains(&format!("output dropped: {} MiB", dropped >> 20)), "{outcome}");
}

#[test]
fn row_09_one_line_without_end() {
    let program = Program::new();
    program.spawn("a", &["nonewline:40", "write:x=y", "commit:x"], &["--wait"]).ok();
    assert_eq!(program.wt(&["logs", "a", "--raw"]).ok().len(), 40 << 20);
}

/// A lock that a killed agent's git left is cleared, so that the next attempt and the person can work.
#[test]
fn row_20_lock_of_a_killed_agent() {
    let program = Program::new();
    let lock = program.repo.path().join(".git/worktrees/a/index.lock");
    let old = program.repo.path().join(".git/config.lock");
    std::fs::write(&old, "").unwrap();
    let (touch, told) = (format!("touch:{}", lock.display()), place(&program, "pids-to", "pids"));
    program.spawn("a", &["write:x=y", &touch, &told, "sleep:1000"], &[]).ok();
    pids(&program);
    assert!(lock.exists());
    program.wt(&["stop", "a"]).ok();
    assert!(!lock.exists(), "nobody is left who could hold it");
    assert!(old.exists(), "no other lock is ever touched");
    program.env.at(&program.worktree("a")).git(&["add", "-A"]);
}

/// A lock that nobody was killed over is somebody's: told, and never deleted.
#[test]
fn row_20_lock_of_somebody_else() {
    let program = Program::new();
    let lock = program.repo.path().join(".git/worktrees/a/index.lock");
    let touch = format!("touch:{}", lock.display());
    program.spawn("a", &["write:x=y", &touch], &["--retries", "0", "--wait"]).fails(1);
    assert!(lock.exists());
    let task = program.task("a");
    assert_eq!(task["state"], "dead");
    let outcome = task["outcome"].as_str().unwrap();
    assert!(
        outcome.contains("index.lock is in the way: ") && outcome.contains(" old, made by user "),
        "{outcome}"
    );
    assert_eq!(std::fs::read_to_string(program.worktree("a").join("x")).unwrap(), "y");
}

/// An agent that gives work to others: its end is not theirs.
#[test]
fn row_06_a_task_that_an_agent_spawned_outlives_it() {
    let program = Program::new();
    program.configure("[agents.sh]\ncommand = [\"sh\", \"-s\"]\nevents = \"text\"\n");
    let root = program.env.root();
    let inner = format!(
        "SCRIPT:\npids-to:{}\nwait-for:{}\nwrite:x=y\ncommit:x\n",
        root.join("pids").display(),
        root.join("go").display()
    );
    std::fs::write(root.join("inner.md"), inner).unwrap();
    let outer = format!(
        "{} spawn inner -f {} && while ! test -s {}; do :; done; echo x > x\n",
        crate::program::WT,
        root.join("inner.md").display(),
        root.join("pids").display()
    );
    program.wt(&["spawn", "outer", "--agent", "sh", &outer, "--wait"]).ok();
    assert_eq!(program.state_of("inner"), "running");
    std::fs::write(root.join("go"), "").unwrap();
    program.wt(&["wait", "inner", "--timeout", "30s"]).ok();
    assert_eq!(program.told("inner@1"), ["queued", "workspace_made", "started", "ended"]);
    assert!(!program.task("outer")["outcome"].as_str().unwrap().contains("leaked"));
}
