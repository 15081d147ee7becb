//! `wt gc` through the program and through the library: what goes, what stays, and what a kill in between leaves.

use std::path::{Path, PathBuf};

use fs_err as fs;
use serde_json::Value;
use wt::git::Repo;
use wt::model::clock::SystemClock;
use wt::model::observer::Silent;
use wt::model::{Clock as _, Event, Oid, Settings, TaskId, Workspace};
use wt::store::{Journal, Layout};
use wt::tidy::Grounds;
use wt::tidy::gc::{self, Fate};
use wt::workspace::Site;

use crate::env::TestRepo;
use crate::program::{Program, ran};

/// A program with a person's workspace of that name.
pub fn open(program: &Program, name: &str) -> TestRepo {
    program.wt(&["spawn", name, "--no-agent"]).ok();
    program.env.at(&program.worktree(name))
}

/// Appends events to the journal behind the program's back.
pub fn tell(program: &Program, id: &str, events: Vec<Event>) {
    let id: TaskId = id.parse().unwrap();
    let layout = Layout::below(&program.repo.path().join(".git"));
    let entries = events.into_iter().map(|event| (Some(id.clone()), event)).collect();
    Journal::new(&layout).append(SystemClock.now(), entries).unwrap();
}

pub fn oid(text: &str) -> Oid {
    Oid::parse(text).unwrap()
}

/// Makes a task landed, its branch being merged into the target as it is.
pub fn land(program: &Program, name: &str) {
    let branch = format!("wt/{name}");
    program.repo.git(&["merge", "-q", "--no-edit", &branch]);
    let (head, tip) = (oid(&program.repo.rev(&branch)), oid(&program.repo.head()));
    let events = vec![Event::LandingStarted { head }, Event::Landed { tip, commits: 1 }];
    tell(program, &format!("{name}@1"), events);
}

fn gc(program: &Program, more: &[&str]) -> Value {
    let args: Vec<&str> = ["gc", "--json"].into_iter().chain(more.iter().copied()).collect();
    program.wt(&args).json()
}

fn why(answer: &Value, list: &str, name: &str) -> Option<String> {
    let found = answer[list].as_array().unwrap().iter().find(|one| one["name"] == name)?;
    Some(found["why"].as_str().unwrap().to_owned())
}

fn removed(answer: &Value, name: &str) -> String {
    why(answer, "removed", name).unwrap_or_else(|| panic!("`{name}` was not removed: {answer}"))
}

fn kept(answer: &Value, name: &str) -> String {
    why(answer, "kept", name).unwrap_or_else(|| panic!("`{name}` was not kept: {answer}"))
}

/// Nothing but the trash is left of a workspace.
fn is_gone(program: &Program, name: &str) {
    assert!(!program.worktree(name).exists(), "the folder of {name}");
    assert!(!program.repo.path().join(".git/worktrees").join(name).exists(), "the entry of {name}");
    let refs = program.repo.git(&["for-each-ref", "--format=%(refname)"]);
    assert!(!refs.contains(&format!("refs/heads/wt/{name}\n")), "{refs}");
    assert!(!refs.contains(&format!("refs/wt/base/{name}\n")), "{refs}");
    assert!(refs.contains(&format!("refs/wt/trash/{name}/1")), "{refs}");
}

#[test]
fn what_was_landed_by_hand_goes_and_other_work_stays() {
    let program = Program::new();
    let text: String = (0..20).map(|n| format!("line {n}")).collect::<Vec<_>>().join("\n") + "\n";
    program.repo.commit("f", &text);
    for (name, line) in [("merged", 2), ("squashed", 8), ("picked", 14)] {
        let tree = open(&program, name);
        tree.commit("f", &text.replace(&format!("line {line}\n"), &format!("{name}\n")));
        tree.commit(name, "more\n");
    }
    open(&program, "unlanded").commit("g", "g\n");
    open(&program, "dirty").write("notes", "half a thought");
    open(&program, "fresh");
    program.repo.git(&["merge", "-q", "--no-ff", "--no-edit", "wt/merged"]);
    program.repo.git(&["merge", "-q", "--squash", "wt/squashed"]);
    program.repo.commit_all("squash");
    program.repo.git(&["cherry-pick", "wt/picked~1", "wt/picked"]);
    let head = program.repo.head();

    let preview = gc(&program, &["--dry-run"]);
    assert_eq!(preview["dry_run"], true);
    assert_eq!(preview["removed"].as_array().unwrap().len(), 3, "{preview}");
    assert!(preview["removed"][0]["trash"].is_null() && program.worktree("merged").exists());

    let answer = gc(&program, &[]);
    assert_eq!(answer["schema"], 1);
    for name in ["merged", "squashed", "picked"] {
        assert!(removed(&answer, name).starts_with("landed: "), "{answer}");
        is_gone(&program, name);
    }
    assert!(answer["bytes"].as_u64().unwrap() > 3 * 4096, "{answer}");
    assert_eq!(kept(&answer, "unlanded"), "1 unlanded commit");
    assert_eq!(kept(&answer, "dirty"), "uncommitted changes");
    assert!(kept(&answer, "fresh").starts_with("open for "), "{answer}");
    assert_eq!(program.repo.head(), head);
    assert!(gc(&program, &[])["removed"].as_array().unwrap().is_empty(), "nothing is left to do");
}

#[test]
fn a_landed_task_is_pruned_and_stays_landed() {
    let program = Program::new();
    open(&program, "a").commit("a", "a\n");
    open(&program, "late").commit("b", "b\n");
    land(&program, "a");
    land(&program, "late");
    program.env.at(&program.worktree("late")).commit("c", "after landing\n");
    let answer = gc(&program, &[]);
    assert_eq!(removed(&answer, "a"), "landed");
    assert_eq!(kept(&answer, "late"), "1 unlanded commit");
    is_gone(&program, "a");
    assert_eq!(program.state_of("a"), "landed");
    let last = program.journal().pop().unwrap();
    assert_eq!(last["event"]["type"], "pruned");
}

#[test]
fn names_discard_just_these_and_say_so_with_their_exit_code() {
    let program = Program::new();
    open(&program, "empty");
    open(&program, "also-empty");
    open(&program, "work").commit("w", "w\n");
    let refused = program.wt(&["gc", "work"]);
    assert!(refused.out.contains("kept work: 1 unlanded commit"), "{refused:?}");
    assert!(refused.err.contains("hint: wt gc work --force"), "{refused:?}");
    assert_eq!(refused.code, 1);
    let some = program.wt(&["gc", "work", "empty"]);
    assert_eq!(some.code, 3, "{some:?}");
    is_gone(&program, "empty");
    assert!(program.worktree("also-empty").exists(), "only what was named");
    program.wt(&["gc", "work", "--force"]).ok();
    is_gone(&program, "work");
    let again = program.wt(&["gc", "work"]).fails(1);
    assert!(again.contains("`work` is removed") && again.contains("hint: wt restore work"), "{again}");
    assert!(program.wt(&["gc", "nobody"]).fails(1).contains("there is no task `nobody`"));
    assert!(program.wt(&["gc", "--stale", "soon"]).fails(2).contains("not a duration"));
}

#[test]
fn stale_is_clean_without_work_and_at_rest() {
    let program = Program::new();
    open(&program, "old");
    open(&program, "busy").write("x", "x");
    let answer = gc(&program, &["--stale", "0"]);
    assert!(removed(&answer, "old").starts_with("stale: at rest for"), "{answer}");
    assert_eq!(kept(&answer, "busy"), "uncommitted changes");
    // A restored one begins to be at rest anew.
    program.wt(&["restore", "old"]).ok();
    assert!(kept(&gc(&program, &["--stale", "1h"]), "old").starts_with("open for "));
}

#[test]
fn force_never_takes_what_runs_is_locked_or_holds_a_repository() {
    let program = Program::new();
    program.spawn("runs", &["write:x=x", "sleep:1000"], &[]).ok();
    program.until("the agent", || program.worktree("runs").join("x").exists().then_some(()));
    open(&program, "locked").commit("l", "l\n");
    program.repo.git(&[
        "worktree",
        "lock",
        "--reason",
        "on a stick",
        &program.worktree("locked").to_string_lossy(),
    ]);
    let nested = open(&program, "nested");
    let inner = nested.path().join("deep/inner");
    fs::create_dir_all(&inner).unwrap();
    program.env.git_in(&inner, &["init", "-q"]);
    let own = open(&program, "own");
    fs::rename(own.path().join(".git"), program.env.root().join("link")).unwrap();
    program.env.git_in(own.path(), &["init", "-q"]);
    let answer = gc(&program, &["--force"]);
    assert_eq!(kept(&answer, "own"), "another repository is inside it: `.git`");
    assert_eq!(kept(&answer, "runs"), "running");
    assert_eq!(kept(&answer, "locked"), "locked by `git worktree lock`: on a stick");
    assert_eq!(kept(&answer, "nested"), "another repository is inside it: `deep/inner`");
    for name in ["runs", "locked", "nested", "own"] {
        assert_eq!(program.wt(&["gc", name, "--force"]).code, 1);
        let said = program.wt(&["gc", name]).fails(1);
        assert!(!said.contains("--force"), "no hint that does not help: {said}");
        assert!(program.worktree(name).exists());
    }
    program.wt(&["stop", "runs"]).ok();
}

#[test]
fn a_task_that_others_wait_for_stays() {
    let program = Program::new();
    open(&program, "parent").commit("p", "p\n");
    program.repo.git(&["merge", "-q", "wt/parent"]);
    program.spawn("child", &["write:c=c"], &["--after", "parent"]).ok();
    assert_eq!(kept(&gc(&program, &[]), "parent"), "`child` waits for it to land");
    assert_eq!(kept(&gc(&program, &["--force"]), "parent"), "`child` waits for it to land");
    assert_eq!(kept(&gc(&program, &["child"]), "child"), "queued");
    program.wt(&["gc", "child", "--force"]).ok();
    assert_eq!(program.state_of("child"), "removed");
    removed(&gc(&program, &[]), "parent");
}

/// A workspace as it would be recorded by somebody who wants `wt` to remove something else.
fn forged(program: &Program, path: &Path, branch: &str, entry: &str) -> Event {
    let base = oid(&program.repo.head());
    let (path, branch) = (path.to_string_lossy().into_owned(), branch.to_owned());
    Event::WorkspaceMade {
        workspace: Workspace {
            path,
            branch,
            base,
            entry: entry.to_owned(),
            copied: vec![],
            ports: Vec::new(),
        },
    }
}

#[test]
fn the_main_checkout_is_refused_even_where_a_record_names_it() {
    let program = Program::new();
    open(&program, "x");
    let own = program.worktree("x");
    let main = program.repo.path().to_owned();
    let elsewhere = program.env.root().join("mine");
    program.repo.git(&["worktree", "add", "-q", "-b", "mine", &elsewhere.to_string_lossy()]);
    fs_err::os::unix::fs::symlink(&main, program.env.root().join("link")).unwrap();
    let places: [(PathBuf, &str, &str, &str); 6] = [
        (main.clone(), "wt/x", "x", "the main checkout"),
        (main.join("../repo"), "wt/x", "x", "the main checkout"),
        (program.env.root().join("link"), "wt/x", "x", "the main checkout"),
        (program.env.root().to_owned(), "wt/x", "x", "the main checkout"),
        (elsewhere.clone(), "mine", "mine", "a folder where `wt` makes no workspaces"),
        (own, "main", "x", "a branch that tasks land on"),
    ];
    for (path, branch, entry, wanted) in places {
        tell(&program, "x@1", vec![forged(&program, &path, branch, entry)]);
        let answer = gc(&program, &["--force"]);
        assert_eq!(kept(&answer, "x"), format!("its record names {wanted}"));
        let answer = gc(&program, &["x", "--force"]);
        assert_eq!(kept(&answer, "x"), format!("its record names {wanted}"));
        assert_eq!(program.repo.read("README.md"), "readme\n");
        assert!(elsewhere.join("README.md").exists());
        assert_eq!(program.repo.git(&["branch", "--show-current"]), "main");
    }
}

#[test]
fn a_kill_at_any_point_is_finished_by_the_next_gc_and_can_be_restored() {
    let points: Vec<&str> =
        wt::failpoint::POINTS.iter().copied().filter(|point| point.starts_with("remove.")).collect();
    assert_eq!(points.len(), 5);
    for point in points {
        let program = Program::new();
        let tree = open(&program, "x");
        let head = tree.commit("w", "w\n");
        tree.write("README.md", "edited\n");
        tree.write("new", "new\n");
        let mut command = program.command(&["gc", "x", "--force"]);
        let killed = ran(command.env("WT_FAILPOINT", point).output().unwrap());
        assert_eq!(killed.code, -1, "{point}: {killed:?}");
        // Once everything is put away, force is no longer needed.
        let stands = ["remove.after_submodules", "remove.after_trash"].contains(&point);
        let more: &[&str] = if stands { &["x", "--force"] } else { &[] };
        let answer = gc(&program, more);
        removed(&answer, "x");
        is_gone(&program, "x");
        assert_eq!(program.state_of("x"), "removed", "{point}");
        program.wt(&["restore", "x"]).ok();
        assert_eq!(tree.head(), head, "{point}");
        assert_eq!(tree.git(&["status", "--porcelain"]), " M README.md\n?? new", "{point}");
        assert_eq!(program.state_of("x"), "open", "{point}");
        let last = program.wt(&["doctor", "--json"]).json();
        assert_eq!(kinds(&last), Vec::<&str>::new(), "{point}: {last}");
    }
}

/// What a doctor found of this repository; what it says of the machine is not ours to know.
pub fn kinds(answer: &Value) -> Vec<&str> {
    let all = answer["findings"].as_array().unwrap().iter().map(|finding| finding["kind"].as_str().unwrap());
    all.filter(|kind| !["other-wt", "agent-missing", "low-disk"].contains(kind)).collect()
}

#[test]
fn a_kill_at_the_journal_is_finished_too() {
    for point in ["journal.before_append", "journal.after_append"] {
        let program = Program::new();
        open(&program, "x").commit("w", "w\n");
        let mut command = program.command(&["gc", "x", "--force"]);
        let killed = ran(command.env("WT_FAILPOINT", point).output().unwrap());
        assert_eq!(killed.code, -1, "{point}: {killed:?}");
        gc(&program, &[]);
        is_gone(&program, "x");
        assert_eq!(program.state_of("x"), "removed", "{point}");
        program.wt(&["restore", "x"]).ok();
        assert_eq!(program.env.at(&program.worktree("x")).read("w"), "w\n");
    }
}

#[test]
fn old_trash_is_cleared_but_never_the_last_of_a_live_task() {
    let program = Program::new();
    for name in ["gone", "back"] {
        open(&program, name).commit(name, "x\n");
        program.wt(&["gc", name, "--force"]).ok();
    }
    program.wt(&["restore", "back"]).ok();
    let trash = program.env.root().join("repo-worktrees/.trash");
    let sealed = trash.join("gone-1/sealed");
    fs::create_dir(&sealed).unwrap();
    fs::write(sealed.join("f"), "x").unwrap();
    fs::set_permissions(&sealed, std::os::unix::fs::PermissionsExt::from_mode(0o500)).unwrap();
    let at = |days: i64| {
        let then = SystemClock.now() + jiff::SignedDuration::from_hours(24 * days);
        let mut command = program.command(&["gc", "--stale", "99d"]);
        ran(command.env("WT_TEST_NOW", then.to_string()).output().unwrap())
    };
    let refs = || program.repo.git(&["for-each-ref", "--format=%(refname)", "refs/wt/trash"]);
    program.wt(&["gc"]).ok();
    assert!(trash.join("gone-1").exists());
    assert!(at(2).err.contains("deleting 2 old trash folders in the background"));
    program.until("the folders to go", || {
        (!trash.join("gone-1").exists() && !trash.join("back-1").exists()).then_some(())
    });
    assert_eq!(refs(), "refs/wt/trash/back/1\nrefs/wt/trash/gone/1");
    assert!(at(31).err.contains("cleared 1 old trash ref\n"));
    assert_eq!(refs(), "refs/wt/trash/back/1");
    let late = program.wt(&["restore", "gone"]).fails(1);
    assert!(late.contains("nothing of `gone` is in the trash"), "{late}");
}

#[test]
fn a_landing_prunes_one_task_and_keeps_it_where_it_became_dirty() {
    let program = Program::new();
    let tree = open(&program, "a");
    tree.commit("a", "a\n");
    open(&program, "b").commit("b", "b\n");
    land(&program, "a");
    let repo = Repo::discover(program.repo.path()).unwrap();
    let layout = Layout::below(repo.common_dir());
    let settings = Settings::default();
    let clock = SystemClock;
    let site = Site {
        repo: &repo,
        layout: &layout,
        settings: &settings,
        clock: &clock,
        template: None,
        iteration: None,
    };
    let grounds = Grounds { site, observer: &Silent };
    let mut journal = Journal::new(&layout);
    let mut prune = |id: &str| gc::prune(&grounds, &mut journal, &id.parse().unwrap()).unwrap();
    assert_eq!(prune("b@1"), Fate::Kept("it has not landed".to_owned()));
    tree.write("late", "x");
    assert_eq!(prune("a@1"), Fate::Kept("uncommitted changes".to_owned()));
    fs::remove_file(tree.path().join("late")).unwrap();
    let Fate::Removed { trash, bytes, .. } = prune("a@1") else { panic!("kept") };
    assert_eq!(trash.as_deref(), Some("refs/wt/trash/a/1"));
    assert!(bytes > 0);
    is_gone(&program, "a");
    assert_eq!(prune("a@1"), Fate::Kept("its workspace is gone already".to_owned()));
}

#[test]
fn what_moved_since_the_plan_stays() {
    let program = Program::new();
    let (moved, dirty) = (open(&program, "moved"), open(&program, "dirty"));
    open(&program, "same");
    let repo = Repo::discover(program.repo.path()).unwrap();
    let layout = Layout::below(repo.common_dir());
    let settings = Settings::default();
    let clock = SystemClock;
    let site = Site {
        repo: &repo,
        layout: &layout,
        settings: &settings,
        clock: &clock,
        template: None,
        iteration: None,
    };
    let grounds = Grounds { site, observer: &Silent };
    let mut journal = Journal::new(&layout);
    journal.read().unwrap();
    let policy =
        gc::Policy { scope: gc::Scope::All, force: gc::Force::Unlanded, stale: std::time::Duration::ZERO };
    let plan = gc::plan_gc(&grounds, journal.roster(), &policy).unwrap();
    assert_eq!(plan.remove.len(), 3);
    moved.commit("m", "m\n");
    dirty.write("d", "d\n");
    let swept = gc::apply_gc(&grounds, &mut journal, &plan).unwrap();
    let kept: Vec<(&str, &str)> =
        swept.kept.iter().map(|kept| (kept.name.as_str(), kept.why.as_str())).collect();
    assert_eq!(kept, [("dirty", "it became dirty meanwhile"), ("moved", "its branch moved meanwhile")]);
    assert_eq!(swept.removed.len(), 1);
}

#[test]
fn a_half_made_workspace_goes_with_its_task_and_also_after_it() {
    for removed_already in [false, true] {
        let program = Program::new();
        let mut command = program.command(&["spawn", "x", "--no-agent"]);
        let killed = ran(command.env("WT_FAILPOINT", "spawn.after_worktree").output().unwrap());
        assert_eq!(killed.code, -1, "{killed:?}");
        assert!(program.worktree("x").exists());
        let answer = if removed_already {
            let event = Event::Removed { reason: "its workspace could not be made".to_owned(), trash: None };
            tell(&program, "x@1", vec![event]);
            gc(&program, &[])
        } else {
            gc(&program, &["x"])
        };
        removed(&answer, "x");
        is_gone(&program, "x");
        assert_eq!(program.state_of("x"), "removed");
        assert_eq!(kinds(&program.wt(&["doctor", "--json"]).json()), Vec::<&str>::new());
        assert_eq!(gc(&program, &[])["removed"].as_array().unwrap().len(), 0, "nothing is left to do");
    }
}

#[test]
fn several_at_once_remove_each_workspace_once() {
    let program = Program::new();
    let names: Vec<String> = (0..4).map(|n| format!("t{n}")).collect();
    for name in &names {
        open(&program, name).commit(name, "x\n");
    }
    let run = || program.command(&["gc", "--force", "--json"]).stdout(std::process::Stdio::piped()).spawn();
    let running: Vec<_> = (0..3).map(|_| run().unwrap()).collect();
    let answers: Vec<Value> =
        running.into_iter().map(|one| ran(one.wait_with_output().unwrap()).json()).collect();
    let times =
        |name: &String| answers.iter().filter(|answer| why(answer, "removed", name).is_some()).count();
    assert!(names.iter().all(|name| times(name) == 1), "{answers:?}");
    let refs = program.repo.git(&["for-each-ref", "--format=%(refname)", "refs/wt/trash"]);
    assert_eq!(refs.lines().count(), names.len(), "{refs}");
    program.repo.git(&["fsck", "--no-dangling"]);
    assert_eq!(kinds(&program.wt(&["doctor", "--json"]).json()), Vec::<&str>::new());
}

#[test]
fn bare_repositories_are_tidied_too() {
    let program = Program::new();
    let bare = program.env.root().join("bare.git");
    program.repo.git(&["clone", "-q", "--bare", ".", &bare.to_string_lossy()]);
    program.wt_in(&bare, &["spawn", "x", "--no-agent"]).ok();
    let tree = program.env.at(&program.env.root().join("bare-worktrees/x"));
    tree.commit("w", "w\n");
    assert_eq!(program.wt_in(&bare, &["gc", "x"]).code, 1);
    program.wt_in(&bare, &["gc", "x", "--force"]).ok();
    assert!(!tree.path().exists());
    program.wt_in(&bare, &["restore", "x"]).ok();
    assert_eq!(tree.read("w"), "w\n");
    assert_eq!(kinds(&program.wt_in(&bare, &["doctor", "--json"]).json()), Vec::<&str>::new());
}
