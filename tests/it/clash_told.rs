//! Tasks at work are told when what they change does not merge: who sees a change wishes for a look, one role looks, both hear.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use fs_err as fs;
use serde_json::{Value, json};
use wt::store::clashes::Clashes;
use wt::store::{Layout, Lock};

use crate::env::lines;
use crate::program::{Program, kill_if_alive};

/// A repository with a file to quarrel about, and a look soon after each wish.
fn program() -> Program {
    let mut program = Program::new();
    program.repo.commit("file", &lines("line", 5));
    program.foresee = "100ms";
    program
}

fn layout(program: &Program) -> Layout {
    Layout::below(&program.repo.path().join(".git"))
}

fn notes(program: &Program, name: &str) -> PathBuf {
    program.env.root().join(format!("repo-worktrees/.shared/notes/{name}.md"))
}

/// What `wt` told a task so far.
fn told(program: &Program, name: &str) -> String {
    fs::read_to_string(notes(program, name)).unwrap_or_default()
}

/// The files below a task's worktree by which its agent is told to go on.
fn go(program: &Program, name: &str, file: &str) {
    fs::write(program.worktree(name).join(file), "").unwrap();
}

/// Spawns an agent that changes the file, says so, and then waits to be told to go on.
fn quarrel(program: &Program, name: &str, more: &[&str]) {
    let write = format!("write:file=changed by {name}\\n");
    let steps: Vec<&str> = [&*write, "say:changed"].into_iter().chain(more.iter().copied()).collect();
    program.spawn(name, &steps, &[]).ok();
}

/// Waits until nobody looks any more.
fn calm(program: &Program) {
    program.until("the end of the looks", || program.role("__foresee").is_empty().then_some(()));
    let mark = layout(program).foresee_wanted();
    // A runner that is about to end wishes once more.
    if mark.exists() {
        program.until("the last look", || {
            (!mark.exists() && program.role("__foresee").is_empty()).then_some(())
        });
    }
}

fn with(program: &Program, name: &str) -> Value {
    program.wt(&["status", name, "--json"]).json()["tasks"][0]["conflicts_with"].clone()
}

#[test]
fn two_agents_at_work_are_told_once_and_told_when_it_is_over() {
    let program = program();
    quarrel(&program, "a", &["wait-for:go", "write:file=changed by b\\n", "say:agreed", "wait-for:end"]);
    // Nobody runs a command from here on but this one: the agents' own doings wake whoever looks.
    quarrel(&program, "b", &["wait-for:go", "say:still here", "wait-for:end"]);
    let a = program.file(&notes(&program, "a"));
    let b = program.file(&notes(&program, "b"));
    assert!(a.contains("does not merge with task `b`") && a.contains("In conflict: `file`"), "{a}");
    assert!(a.contains("its task: SCRIPT:") && a.contains("`git show wt/b:file`"), "{a}");
    assert!(b.contains("does not merge with task `a`"), "{b}");
    let worktree = program.file(&program.worktree("a").join("CLAUDE.local.md"));
    assert!(worktree.contains("`.shared/notes/a.md`"), "an agent knows where to look");
    assert_eq!((with(&program, "a"), with(&program, "b")), (json!(["b"]), json!(["a"])));
    let full = program.wt(&["status", "a"]).ok();
    assert!(full.contains("with `b` in file ("), "{full}");
    let table = program.wt(&["status"]).ok();
    assert!(table.lines().filter(|line| line.contains("* !1")).count() == 2, "{table}");

    // An agent's own words stay, and what was told is not told again.
    fs::write(notes(&program, "a"), format!("{a}an agent's note")).unwrap();
    go(&program, "b", "go");
    let seen = || Clashes::load(&layout(&program)).as_of;
    let before = seen();
    program.until("another look", || (seen() > before).then_some(()));
    calm(&program);
    assert_eq!(told(&program, "b"), b);
    assert_eq!(told(&program, "a"), format!("{a}an agent's note"));

    go(&program, "a", "go");
    program.until("the end of the conflict", || told(&program, "b").contains(") is over: ").then_some(()));
    program.until("the other's", || told(&program, "a").contains(") is over: ").then_some(()));
    let said = told(&program, "a");
    let last = said.strip_prefix(&format!("{a}an agent's note\n\nwt: the conflict with task `b` (")).unwrap();
    assert!(last.ends_with(") is over: the changes merge now.\n") && last.lines().count() == 1, "{last}");
    assert_eq!(with(&program, "a"), json!([]));
    for name in ["a", "b"] {
        go(&program, name, "end");
    }
    program.wt(&["wait", "--all"]).ok();
    calm(&program);
    assert_eq!(told(&program, "a"), said);
}

#[test]
fn whoever_still_works_hears_that_the_other_one_has_landed() {
    let program = program();
    quarrel(&program, "a", &[]);
    program.wt(&["wait", "a"]).ok();
    quarrel(&program, "b", &["wait-for:end"]);
    assert!(program.file(&notes(&program, "b")).contains("- `a` is done; its task: SCRIPT:"));
    program.wt(&["merge", "a", "--no-verify"]).ok();
    program.until("the news", || {
        told(&program, "b").contains(") is over: `a` has landed on `main`").then_some(())
    });
    assert_eq!(with(&program, "b"), json!([]));
    calm(&program);
    assert!(!told(&program, "a").contains(") is over: "), "who has ended hears no more");
}

#[test]
fn two_that_are_done_are_told_nothing_until_one_works_again() {
    let program = program();
    quarrel(&program, "a", &[]);
    quarrel(&program, "b", &[]);
    program.wt(&["wait", "--all"]).ok();
    program.until("what is known", || (with(&program, "a") == json!(["b"])).then_some(()));
    calm(&program);
    // The first one to be done may have been told while the other one worked; nobody else was.
    let before = [told(&program, "a"), told(&program, "b")];
    program.wt(&["status"]).ok();
    calm(&program);
    assert_eq!([told(&program, "a"), told(&program, "b")], before);
}

#[test]
fn a_loop_is_told_in_its_next_iteration() {
    let program = program();
    quarrel(&program, "a", &["wait-for:end"]);
    let steps = ["in:1:write:file=mine\\n", "in:1:say:changed", "in:1:wait-for:go", "in:2:promise:COMPLETE"];
    program.spawn("b", &steps, &["--loop", "2"]).ok();
    program.file(&notes(&program, "b"));
    program.until("the note of it", || {
        Clashes::load(&layout(&program)).pairs.iter().any(|clash| clash.told).then_some(())
    });
    go(&program, "b", "go");
    program.wt(&["wait", "b"]).ok();
    let prompt = program.file(&program.state().join("tasks/b@1/attempts/2/prompt.md"));
    assert!(
        prompt.contains("`.shared/notes/b.md` says more") && prompt.contains("- `a` in `file` ("),
        "{prompt}"
    );
    let first = program.file(&program.state().join("tasks/b@1/attempts/1/prompt.md"));
    assert!(!first.contains("does not merge"), "{first}");
}

#[test]
fn what_agents_put_in_the_way_of_their_notes_stays_and_others_hear() {
    type Trap = fn(&Path, &Path);
    let traps: [(&str, Trap); 4] = [
        ("a link", |at, outside| symlink(outside.join("secret"), at).unwrap()),
        ("a folder", |at, _| fs::create_dir(at).unwrap()),
        ("a pipe", |at, _| {
            assert!(Command::new("mkfifo").arg(at).status().unwrap().success());
        }),
        ("no folder", |at, outside| {
            let folder = at.parent().unwrap();
            fs::remove_dir_all(folder).unwrap();
            symlink(outside, folder).unwrap();
        }),
    ];
    for (what, trap) in traps {
        let program = program();
        let outside = program.env.root().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("secret"), "untouched").unwrap();
        quarrel(&program, "a", &["wait-for:end"]);
        let steps = ["wait-for:go", "write:file=mine\\n", "say:changed", "wait-for:end"];
        program.spawn("b", &steps, &[]).ok();
        trap(&notes(&program, "a"), &outside);
        go(&program, "b", "go");
        program.until(what, || (with(&program, "a") == json!(["b"])).then_some(()));
        if what == "no folder" {
            calm(&program);
            assert!(!Clashes::load(&layout(&program)).pairs[0].told, "somebody may mend it");
        } else {
            assert!(program.file(&notes(&program, "b")).contains("task `a`"), "{what}");
            calm(&program);
            assert!(fs::symlink_metadata(notes(&program, "a")).is_ok_and(|it| !it.is_file()), "{what}");
        }
        assert_eq!(fs::read_to_string(outside.join("secret")).unwrap(), "untouched", "{what}");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "{what}");
        assert_eq!(program.state_of("a"), "running", "{what}");
    }
}

#[test]
fn a_full_file_is_left_alone() {
    let program = program();
    quarrel(&program, "a", &["wait-for:end"]);
    let much = "x".repeat(70 << 10);
    fs::write(notes(&program, "a"), &much).unwrap();
    quarrel(&program, "b", &["wait-for:end"]);
    program.file(&notes(&program, "b"));
    calm(&program);
    assert_eq!(told(&program, "a"), much);
}

#[test]
fn one_looks_at_a_time_and_a_wish_that_comes_meanwhile_is_kept() {
    let program = program();
    let layout = layout(&program);
    layout.prepare().unwrap();
    let busy = Lock::take(&layout.lock("foresee"), Duration::from_secs(30), "a test").unwrap();
    quarrel(&program, "a", &["wait-for:end"]);
    quarrel(&program, "b", &["wait-for:go", "say:on it", "wait-for:end"]);
    program.until("a wish", || layout.foresee_wanted().exists().then_some(()));
    assert_eq!(program.role("__foresee"), Vec::<u32>::new());
    drop(busy);
    // Older than any role needs to begin: whoever made it was killed.
    let then = std::time::SystemTime::now() - Duration::from_secs(60);
    fs::File::options().write(true).open(layout.foresee_wanted()).unwrap().file().set_modified(then).unwrap();
    go(&program, "b", "go");
    program.file(&notes(&program, "a"));
    calm(&program);
    assert!(!layout.foresee_wanted().exists());
}

#[test]
fn a_role_rests_between_looks_and_looks_again_for_what_came_meanwhile() {
    let mut program = program();
    program.foresee = "3s";
    quarrel(&program, "a", &["wait-for:end"]);
    program
        .spawn("b", &["say:hello", "wait-for:go", "write:file=b\\n", "say:changed", "wait-for:end"], &[])
        .ok();
    let seen = || Clashes::load(&layout(&program)).as_of;
    let first = program.until("the first look", seen);
    go(&program, "b", "go");
    program.file(&notes(&program, "b"));
    let rest = seen().unwrap().duration_since(first).as_millis();
    assert!(rest >= 2900, "only {rest} ms between two looks");
    calm(&program);
}

#[test]
fn one_that_was_killed_while_it_told_does_not_tell_twice() {
    let program = program();
    quarrel(&program, "a", &["wait-for:end"]);
    quarrel(&program, "b", &["wait-for:go", "say:x", "wait-for:end"]);
    let [a, b] = ["a", "b"].map(|name| program.file(&notes(&program, name)));
    calm(&program);
    // As if it had been killed after the first file, before it noted anything.
    Clashes::change(&layout(&program), |known| known.pairs[0].told = false).unwrap();
    fs::remove_file(notes(&program, "b")).unwrap();
    go(&program, "b", "go");
    assert_eq!(program.file(&notes(&program, "b")).lines().next(), b.lines().next());
    calm(&program);
    assert_eq!(told(&program, "a"), a);
    assert!(Clashes::load(&layout(&program)).pairs[0].told);
}

#[test]
fn a_runner_outlives_its_role_and_leaves_no_dead_ones() {
    let mut program = program();
    program.foresee = "600s";
    // Silent, so that the first look comes when both have changed the file.
    program.spawn("a", &["write:file=mine\\n", "touch:ready", "wait-for:end"], &[]).ok();
    program.until("its change", || program.worktree("a").join("ready").exists().then_some(()));
    quarrel(&program, "b", &["wait-for:go", "say:x", "wait-for:end"]);
    program.file(&notes(&program, "b"));
    go(&program, "b", "go");
    program.until("one that rests", || program.role("__foresee").first().copied());
    // What is said may begin another just after.
    program.until("their end", || {
        let resting = program.role("__foresee");
        for pid in &resting {
            kill_if_alive(*pid);
        }
        resting.is_empty().then_some(())
    });
    for name in ["a", "b"] {
        assert_eq!(program.state_of(name), "running");
        go(&program, name, "end");
    }
    program.wt(&["wait", "--all"]).ok();
    assert!(program.role("__foresee").len() <= 1);
    for pid in program.role("__foresee") {
        kill_if_alive(pid);
    }
}

#[test]
fn switched_off_nobody_looks() {
    let mut program = program();
    program.foresee = "0";
    quarrel(&program, "a", &[]);
    quarrel(&program, "b", &[]);
    program.wt(&["wait", "--all"]).ok();
    program.wt(&["status"]).ok();
    assert!(!layout(&program).foresee_wanted().exists() && !layout(&program).clashes().exists());
    assert_eq!(told(&program, "a"), "");
}

#[test]
fn one_task_alone_wishes_for_nothing() {
    let program = program();
    quarrel(&program, "a", &["say:x", "say:y"]);
    program.wt(&["wait", "a"]).ok();
    program.wt(&["status"]).ok();
    assert!(!layout(&program).foresee_wanted().exists() && !layout(&program).clashes().exists());
}

#[test]
fn people_without_an_agent_are_told_by_what_status_sees() {
    let program = program();
    for name in ["a", "b"] {
        program.wt(&["spawn", name, "--no-agent"]).ok();
    }
    calm(&program);
    for name in ["a", "b"] {
        fs::write(program.worktree(name).join("file"), name).unwrap();
    }
    program.wt(&["status"]).ok();
    assert!(program.file(&notes(&program, "a")).contains("- `b` is open.\n"));
    assert!(program.file(&notes(&program, "b")).contains("task `a`"));
    calm(&program);
    let begun = fs::metadata(layout(&program).foresee_begun()).unwrap().modified().unwrap();
    program.wt(&["status"]).ok();
    calm(&program);
    let after = fs::metadata(layout(&program).foresee_begun()).unwrap().modified().unwrap();
    assert_eq!(begun, after, "nothing is new");
}
