//! Many tasks at once: from one file, or from many commands beside gits that know nothing of `wt`.

use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::program::{Program, Ran, ran};

/// Writes the lines of a file of tasks and returns its path.
pub fn lines(program: &Program, lines: impl IntoIterator<Item = String>) -> String {
    let path = program.env.root().join("tasks.jsonl");
    std::fs::write(&path, lines.into_iter().fold(String::new(), |all, line| all + &line + "\n")).unwrap();
    path.to_string_lossy().into_owned()
}

/// A line for a person.
pub fn open(name: &str) -> String {
    format!("{{\"name\":\"{name}\",\"no-agent\":true}}")
}

/// A line for the scripted agent, which starts after `after`.
pub fn agent(name: &str, after: &[&str]) -> String {
    let after = serde_json::to_string(after).unwrap();
    format!(
        "{{\"name\":\"{name}\",\"prompt\":\"SCRIPT:\\nwrite:{name}=y\\ncommit:{name}\",\"after\":{after}}}"
    )
}

/// Checks that the tasks are open, each with a clean worktree on its branch, and that nothing else is there.
pub fn all_open(program: &Program, names: &[String]) {
    let mut tasks = program.wt(&["status", "--json"]).json()["tasks"].as_array().unwrap().clone();
    tasks.retain(|task| task["state"] != "removed");
    let open = tasks.iter().filter(|task| task["state"] == "open" && task["worktree"].is_string());
    let mut found: Vec<&str> = open.map(|task| task["name"].as_str().unwrap()).collect();
    found.sort_unstable();
    let mut wanted: Vec<&str> = names.iter().map(String::as_str).collect();
    wanted.sort_unstable();
    assert_eq!((found, tasks.len()), (wanted, names.len()), "{tasks:?}");
    for name in names {
        let tree = program.env.at(&program.worktree(name));
        assert_eq!(tree.git(&["status", "--porcelain"]), "", "{name}");
        assert_eq!(tree.git(&["symbolic-ref", "--short", "HEAD"]), format!("wt/{name}"));
        assert_eq!(tree.git(&["diff", "--stat", "main"]), "", "{name}");
    }
    let count = |args: &[&str]| program.repo.git(args).lines().count();
    assert_eq!(count(&["worktree", "list"]), names.len() + 1);
    assert_eq!(count(&["for-each-ref", "refs/heads/wt/"]), names.len());
    assert_eq!(count(&["for-each-ref", "refs/wt/base/"]), names.len());
    let entries = std::fs::read_dir(program.repo.path().join(".git/worktrees")).unwrap().flatten();
    let locked: Vec<_> = entries.filter(|entry| entry.path().join("locked").exists()).collect();
    assert!(locked.is_empty(), "{locked:?}");
}

#[test]
fn fifty_from_one_file_are_one_transaction() {
    let program = Program::new();
    let names: Vec<String> = (0..50).map(|n| format!("t{n}")).collect();
    let file = lines(&program, names.iter().map(|name| open(name)));
    let said = program.wt(&["spawn", "--from", &file]).ok();
    assert_eq!(said.lines().count(), 50);
    assert!(said.starts_with("t0 open: you on wt/t0 in "), "{said}");
    let journal = program.journal();
    let types: Vec<&str> = journal.iter().map(|record| record["event"]["type"].as_str().unwrap()).collect();
    assert!(types[..50].iter().all(|kind| *kind == "queued"), "{types:?}");
    assert!(types[50..].iter().all(|kind| *kind == "workspace_made") && types.len() == 100, "{types:?}");
    all_open(&program, &names);
}

#[test]
fn lines_may_name_later_lines_as_their_parents() {
    let program = Program::new();
    let file =
        lines(&program, [agent("last", &["mid", "first"]), agent("mid", &["first"]), agent("first", &[])]);
    program.wt(&["spawn", "--from", &file]).ok();
    let queued: Vec<String> = program.journal().iter().take(3).map(|r| r["task"].to_string()).collect();
    assert_eq!(queued, ["\"first@1\"", "\"mid@1\"", "\"last@1\""], "parents are written first");
    assert_eq!(program.task("last")["after"], serde_json::json!(["mid", "first"]));
    for name in ["first", "mid", "last"] {
        program.wt(&["wait", name, "--timeout", "30s"]).ok();
        program.wt(&["merge", name]).ok();
    }
    let log = program.repo.git(&["log", "--format=%s", "main"]);
    assert_eq!(log.lines().take(3).collect::<Vec<_>>(), ["last", "mid", "first"]);
}

#[test]
fn a_circle_is_refused_by_name() {
    let program = Program::new();
    let of = |all: &[(&str, &[&str])]| lines(&program, all.iter().map(|(name, after)| agent(name, after)));
    let file = of(&[("x", &[]), ("a", &["x", "b"]), ("b", &["c"]), ("c", &["a"])]);
    let said = program.refuses(1, &["spawn", "--from", &file]);
    assert!(said.contains("`a` after `b` after `c` after `a` wait for each other"), "{said}");
    // Two ways to one parent are no circle.
    let file = of(&[("d", &["b", "c"]), ("b", &["a"]), ("c", &["a"]), ("a", &[])]);
    program.wt(&["spawn", "--from", &file, "--dry-run"]).ok();
}

#[test]
fn one_that_cannot_be_made_leaves_the_others() {
    let program = Program::new();
    // What stands in the way comes only while the workspaces are made.
    let hook = program.repo.path().join(".git/hooks/post-checkout");
    let body = "#!/bin/sh\ncase \"$PWD\" in */t1) ln -s /elsewhere .shared;; esac\n";
    std::fs::write(&hook, body).unwrap();
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let file = lines(&program, (0..4).map(|n| open(&format!("t{n}"))));
    let ran = program.wt(&["spawn", "--from", &file, "--json"]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    let said = &ran.err;
    assert!(said.contains("the workspace of `t1` cannot be made; what was made is undone"), "{said}");
    assert!(said.contains("1 of 4 failed, the others stay"), "{said}");
    let json = ran.json();
    let told: Vec<&str> =
        json["tasks"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert_eq!(told, ["t0", "t2", "t3"]);
    assert_eq!(program.task("t1")["state"], "removed");
    assert_eq!(program.repo.git(&["for-each-ref", "refs/heads/wt/"]).lines().count(), 3);
    std::fs::remove_file(hook).unwrap();
    program.wt(&["spawn", "t1", "--no-agent"]).ok();
    all_open(&program, &["t0", "t1", "t2", "t3"].map(str::to_owned));
}

#[test]
fn agents_start_before_all_is_ready_for_the_people() {
    let program = Program::new();
    let file =
        lines(&program, [open("p0"), agent("a0", &[]), agent("a1", &[]), open("p1"), agent("a2", &["a0"])]);
    let said = program.wt(&["spawn", "--from", &file]).ok();
    let names: Vec<&str> = said.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(names, ["p0", "a0", "a1", "p1", "a2"], "told in the order of the file");
    program.wt(&["wait", "--timeout", "30s"]).ok();
    let states = ["p0", "a0", "a1", "p1", "a2"].map(|name| program.state_of(name));
    assert_eq!(states, ["open", "done", "done", "open", "waiting"]);
    for name in ["a0", "a1"] {
        assert_eq!(program.told(&format!("{name}@1"))[..3], ["queued", "workspace_made", "started"]);
    }
    assert!(!program.worktree("a2").exists());
}

/// Says that it is over when it goes.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Fault row 19: gits that prune, pack and list all the time, as editors and people do, while tasks are made, worked on and
/// landed.
#[test]
fn row_19_spawns_and_landings_beside_gits_that_prune_and_pack() {
    let program = Program::new();
    for n in 0..5 {
        program.repo.commit(&format!("f{n}"), "x");
        program.repo.git(&["branch", &format!("b{n}")]);
    }
    let busy: &[&[&str]] = &[
        &["worktree", "prune", "--expire=now"],
        &["-c", "gc.auto=1", "-c", "gc.autoDetach=false", "gc", "--auto", "--quiet"],
        &["pack-refs", "--all"],
        &["worktree", "list"],
    ];
    let over = AtomicBool::new(false);
    let names: Vec<String> = (0..20).map(|n| format!("t{n}")).collect();
    let mut heads = Vec::new();
    std::thread::scope(|scope| {
        // Whatever fails in here, the gits end.
        let _over = Over(&over);
        for args in busy {
            let (program, over) = (&program, &over);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    // They may lose a race with us; we may not lose one with them.
                    drop(program.env.command("git", program.repo.path()).args(*args).output());
                }
            });
        }
        let start = |name: &String| -> Child {
            let mut spawn = program.command(&["spawn", name, "--no-agent"]);
            spawn.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let children: Vec<Child> = names.iter().map(start).collect();
        let all: Vec<Ran> =
            children.into_iter().map(|child| ran(child.wait_with_output().unwrap())).collect();
        let spawned: Vec<_> = all.iter().map(|ran| (ran.code, ran.err.as_str())).collect();
        assert!(spawned.iter().all(|said| *said == (0, "")), "{spawned:?}");
        all_open(&program, &names);
        for name in &names {
            heads.push(program.env.at(&program.worktree(name)).commit(name, "x"));
        }
        let done: Vec<&str> = ["done"].into_iter().chain(names.iter().map(String::as_str)).collect();
        program.wt(&done).ok();
        let landed = program.wt(&["merge", "--all", "--keep", "--json"]);
        assert_eq!(landed.code, 0, "{}", landed.err);
    });
    for (name, head) in names.iter().zip(heads) {
        assert_eq!(program.repo.rev(&format!("refs/heads/wt/{name}")), head);
        assert_eq!(program.repo.git(&["show", &format!("main:{name}")]), "x");
    }
    assert_eq!(program.repo.git(&["fsck", "--no-progress", "--no-dangling"]), "");
}
