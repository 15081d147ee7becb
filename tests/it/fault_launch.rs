//! Fault rows of launching: the terminal or the launching `wt` dies, or many of them run at once.

use std::process::{Child, Stdio};

use rstest::rstest;
use wt::failpoint::POINTS;

use crate::program::{Program, Ran, alive, kill, processes, ran};

/// An agent that says so in a file outside its workspace, works and commits.
fn counted(program: &Program) -> Vec<String> {
    let starts = program.env.root().join("starts");
    vec![format!("append:{}=x", starts.display()), "write:work.txt=done".to_owned(), "commit:work".to_owned()]
}

fn starts(program: &Program) -> usize {
    std::fs::read_to_string(program.env.root().join("starts")).unwrap_or_default().len()
}

fn killed_at(program: &Program, point: &str, args: &[&str]) {
    let ran = ran(program.command(args).env("WT_FAILPOINT", point).output().unwrap());
    assert_eq!(ran.code, -1, "{point} was not reached: {}", ran.err);
}

fn script(steps: &[String]) -> String {
    format!("SCRIPT:\n{}\n", steps.join("\n"))
}

#[test]
fn row_01_terminal_closes() {
    let program = Program::new();
    let (pids, go) = (program.env.root().join("pids"), program.env.root().join("go"));
    let steps = [
        "say:before".to_owned(),
        format!("pids-to:{}", pids.display()),
        format!("wait-for:{}", go.display()),
        "say:after".to_owned(),
        "write:x=y".to_owned(),
        "commit:x".to_owned(),
    ];
    let prompt = program.env.root().join("prompt.md");
    std::fs::write(&prompt, script(&steps)).unwrap();
    let line = format!("{} spawn a -f {} --wait", crate::program::WT, prompt.display());
    // `script` gives its command a terminal of its own, whose other end it holds.
    // It must hang up, also where whoever runs the tests ignores that.
    let mut terminal = program.env.command("env", program.repo.path());
    let terminal = terminal
        .args(["--default-signal=HUP", "script", "-qec", &line, "/dev/null"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut terminal = terminal.spawn().unwrap();
    let agent: u32 = program.file(&pids).split_whitespace().nth(1).unwrap().parse().unwrap();
    let text = prompt.to_string_lossy().into_owned();
    let waiting = || {
        processes(|line| {
            line.starts_with(crate::program::WT.as_bytes()) && String::from_utf8_lossy(line).contains(&text)
        })
    };
    assert_eq!(waiting().len(), 1, "`wt spawn --wait` sits in the terminal");
    kill(terminal.id());
    terminal.wait().unwrap();
    program.until("the waiting `wt` to be hung up", || waiting().is_empty().then_some(()));

    assert_eq!(program.state_of("a"), "running");
    assert!(alive(agent));
    let log = program.state().join("tasks/a@1/attempts/1/stream.jsonl");
    let before = std::fs::metadata(&log).unwrap().len();
    std::fs::write(go, "").unwrap();
    program.wt(&["wait", "a", "--timeout", "30s"]).ok();
    assert!(std::fs::metadata(&log).unwrap().len() > before);
    assert_eq!(program.wt(&["logs", "a"]).ok(), "before\nafter\n");
}

/// The points at which a launching `wt spawn` is killed, and whether the task is known afterwards.
const LAUNCH: &[(&str, bool)] = &[
    ("spawn.after_folder", false),
    ("journal.before_append", false),
    ("journal.after_append", true),
    ("spawn.after_queued", true),
    ("entry.before_rename", true),
    ("entry.before_branch", true),
    ("spawn.after_entry", true),
    ("spawn.while_filling", true),
    ("spawn.after_files", true),
    ("spawn.after_hook", true),
    ("spawn.after_worktree", true),
    ("spawn.before_journal", true),
    ("journal.before_append:2", true),
    ("journal.after_append:2", true),
    ("spawn.after_workspace", true),
    ("pass.before_launch", true),
    ("pass.after_launch", true),
];

#[test]
fn row_02_launcher_killed_at_any_point() {
    for (point, known) in LAUNCH {
        let program = Program::new();
        let prompt = script(&counted(&program));
        killed_at(&program, point, &["spawn", "a", &prompt]);
        let state = program.wt(&["status", "--json"]).json()["tasks"][0]["state"].clone();
        let expected: &[&str] = if *known { &["queued", "running", "done"] } else { &[] };
        assert!(
            expected.iter().any(|word| state == *word) || (!known && state.is_null()),
            "{point}: {state}"
        );
        if !known {
            // Nothing stands in the way of the next one.
            program.wt(&["spawn", "a", &prompt]).ok();
        }
        program.wt(&["wait", "a", "--timeout", "30s"]).ok();
        assert_eq!(program.state_of("a"), "done", "{point}");
        assert_eq!(starts(&program), 1, "{point}: one agent, once");
        let journal = program.journal();
        let started = journal.iter().filter(|record| record["event"]["type"] == "started").count();
        assert_eq!(started, 1, "{point}");
        assert_eq!(program.repo.git(&["for-each-ref", "refs/heads/wt/"]).lines().count(), 1, "{point}");
    }
}

/// A workspace for a person that was never finished does not hold its name.
#[test]
fn row_02_launcher_of_an_open_workspace_killed() {
    for (point, known) in LAUNCH.iter().filter(|(point, _)| !point.starts_with("pass.")) {
        let program = Program::new();
        killed_at(&program, point, &["spawn", "a", "--no-agent"]);
        program.wt(&["status"]).ok();
        if !known {
            program.wt(&["spawn", "a", "--no-agent"]).ok();
        }
        assert_eq!(program.state_of("a"), "open", "{point}");
        let path = program.wt(&["path", "a"]).ok();
        assert_eq!(path.trim(), program.worktree("a").to_string_lossy(), "{point}");
        let tree = program.env.at(&program.worktree("a"));
        tree.commit("x", "y");
        program.wt(&["done", "a"]).ok();
        assert_eq!(program.repo.git(&["for-each-ref", "refs/heads/wt/"]).lines().count(), 1, "{point}");
    }
}

/// The runner, started by a `wt status`, is killed; returns how often the agent starts in all.
#[rstest]
#[case("runner.before_started", 1)]
#[case("journal.before_append", 1)]
#[case("journal.after_append", 1)]
#[case("runner.after_started", 1)]
#[case("runner.before_ended", 2)]
#[case("journal.before_append:2", 1)]
#[case("journal.after_append:2", 1)]
fn row_02_runner_killed_at_any_point(#[case] point: &str, #[case] agents: usize) {
    let program = Program::new();
    let prompt = script(&counted(&program));
    killed_at(&program, "pass.before_launch", &["spawn", "a", &prompt]);
    let status = ran(program.command(&["status"]).env("WT_FAILPOINT", point).output().unwrap());
    status.ok();
    program.until("the runner's end", || {
        let held = wt::store::Lock::is_held(&program.state().join("tasks/a@1/lock"));
        (!held && program.role("__run").is_empty()).then_some(())
    });
    program.wt(&["wait", "a", "--timeout", "30s"]).ok();
    assert_eq!(program.state_of("a"), "done");
    assert_eq!(starts(&program), agents);
    assert_eq!(program.repo.git(&["log", "--format=%s", "main..wt/a"]), "work");
}

/// Every crash point is somewhere in the tables of the tests.
#[test]
fn row_02_every_point_is_exercised() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let mut sources = String::new();
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                sources += &std::fs::read_to_string(entry.path()).unwrap_or_default();
            }
        }
    }
    // These points are taken from the list itself.
    let listed = |point: &str| point.starts_with("land.") || point.starts_with("undo.");
    for point in POINTS.iter().filter(|point| !listed(point)) {
        assert!(sources.contains(&format!("\"{point}\"")), "no test kills at `{point}`");
    }
    for kind in ["land", "undo"] {
        assert!(sources.contains(&format!("point| point.starts_with(\"{kind}.")), "{kind}");
    }
}

fn together(commands: &[Vec<String>], program: &Program) -> Vec<Ran> {
    let start = |args: &Vec<String>| -> Child {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        program.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<Child> = commands.iter().map(start).collect();
    children.into_iter().map(|child| ran(child.wait_with_output().unwrap())).collect()
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

#[test]
fn row_13_a_hundred_at_once() {
    let program = Program::new();
    let spawns = (0..50).map(|n| words(&format!("spawn t{n} --no-agent")));
    let looks = (0..50).map(|_| words("status --json"));
    let mixed = spawns.zip(looks).flat_map(|(spawn, look)| [spawn, look]).collect::<Vec<_>>();
    for ran in together(&mixed, &program) {
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert_eq!(ran.err, "");
    }
    let tasks = program.wt(&["status", "--json"]).json()["tasks"].as_array().unwrap().clone();
    let mut names: Vec<&str> = tasks.iter().map(|task| task["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!((tasks.len(), names.len()), (50, 50));
    assert!(tasks.iter().all(|task| task["state"] == "open"));
    assert_eq!(program.repo.git(&["for-each-ref", "refs/heads/wt/"]).lines().count(), 50);
    assert_eq!(program.repo.git(&["worktree", "list"]).lines().count(), 51);
    assert_eq!(program.repo.git(&["fsck", "--no-progress"]), "");
    assert_eq!(program.told("t0@1"), ["queued", "workspace_made"]);
}

#[test]
fn row_13_one_name_asked_for_at_once_is_one_task() {
    let program = Program::new();
    let spawns = (0..10).map(|_| words("spawn same --no-agent")).collect::<Vec<_>>();
    let all = together(&spawns, &program);
    assert_eq!(all.iter().filter(|ran| ran.code == 0).count(), 1);
    assert!(
        all.iter().all(|ran| ran.code == 0 || (ran.code == 1 && ran.err.contains("is already"))),
        "{all:?}"
    );
    assert_eq!(program.repo.git(&["worktree", "list"]).lines().count(), 2);
    let folders = std::fs::read_dir(program.state().join("tasks")).unwrap().count();
    assert_eq!(folders, 1, "the refused ones left nothing");
}

#[test]
fn row_18_fifty_parallel_spawns() {
    let program = Program::new();
    let prompt = script(&["write:work.txt=done".to_owned(), "commit:work".to_owned()]);
    let spawns: Vec<_> = (0..50).map(|n| vec!["spawn".to_owned(), format!("t{n}"), prompt.clone()]).collect();
    for ran in together(&spawns, &program) {
        assert_eq!(ran.code, 0, "{}", ran.err);
    }
    program.wt(&["wait", "--timeout", "90s"]).ok();
    let tasks = program.wt(&["status", "--json"]).json()["tasks"].as_array().unwrap().clone();
    assert_eq!(tasks.iter().filter(|task| task["state"] == "done" && task["attempt"] == 1).count(), 50);
    assert_eq!(program.repo.git(&["for-each-ref", "refs/heads/wt/"]).lines().count(), 50);
    program.until("all slots free", || {
        let held = |n: u32| wt::store::Lock::is_held(&program.state().join(format!("slots/{n}")));
        (0..3).all(|n| !held(n)).then_some(())
    });
}

#[test]
fn a_wt_that_finds_no_agent_leaves_the_task_to_one_that_does() {
    let program = Program::new();
    let bin = program.env.root().join("bin");
    std::fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(crate::program::FAKE, bin.join("rare-agent")).unwrap();
    program.configure("[agents.rare]\ncommand = [\"rare-agent\"]\nevents = \"text\"\n");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let finds = |args: &[&str]| {
        let mut command = program.command(args);
        command.env("PATH", &path);
        command
    };
    let prompt = script(&counted(&program));
    let killed = finds(&["spawn", "a", &prompt, "--agent", "rare"])
        .env("WT_FAILPOINT", "pass.before_launch")
        .output()
        .unwrap();
    assert_eq!(ran(killed).code, -1);
    let looked = program.wt(&["status"]);
    assert!(
        looked.err.contains("held in the queue: 1 task; `rare-agent` is not on this PATH"),
        "{}",
        looked.err
    );
    assert_eq!((program.state_of("a").as_str(), starts(&program)), ("queued", 0));
    ran(finds(&["wait", "a"]).output().unwrap()).ok();
    assert_eq!((program.state_of("a").as_str(), starts(&program)), ("done", 1));
}
