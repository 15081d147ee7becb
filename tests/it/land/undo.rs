//! `wt undo`: the last landing taken back, whole or not at all.

use fs_err as fs;
use serde_json::Value;
use wt::failpoint::POINTS;
use wt::git::Repo;
use wt::land::undo::{self as engine, Pushed, UndoError};
use wt::model::clock::SystemClock;
use wt::model::observer::Silent;
use wt::model::{Event, Settings, State};
use wt::store::{Journal, Layout};
use wt::workspace::Site;

use super::field::Field;
use crate::program::{Ran, ran};

fn done() -> State {
    State::Done { skipped: false }
}

/// Lands with pruning, as people do.
fn land(field: &Field, args: &[&str]) {
    let args: Vec<&str> = ["merge", "--quiet"].into_iter().chain(args.iter().copied()).collect();
    field.program.wt(&args).ok();
}

fn undo(field: &Field, args: &[&str]) -> (Ran, Value) {
    let args: Vec<&str> = ["undo", "--json"].into_iter().chain(args.iter().copied()).collect();
    let ran = field.program.wt(&args);
    let view = ran.json();
    (ran, view)
}

fn refs(field: &Field, prefix: &str) -> String {
    field.repo().git(&["for-each-ref", "--format=%(objectname) %(refname)", prefix])
}

#[test]
fn the_last_landing_is_taken_back_and_lands_again() {
    let field = Field::new();
    let a = field.done("a", &[("a", "a\n"), ("more", "aa\n")]);
    let b = field.done("b", &[("b", "b\n")]);
    let old = field.main();
    land(&field, &["--all"]);
    let new = field.main();
    assert!(!field.program.worktree("a").exists());

    let (told, view) = undo(&field, &["--dry-run"]);
    told.ok();
    assert_eq!((field.main(), &view["dry_run"]), (new.clone(), &Value::Bool(true)));
    assert_eq!((field.state("a"), view["commits"].as_u64()), (State::Landed, Some(3)));

    let (ran, view) = undo(&field, &[]);
    ran.ok();
    assert_eq!(
        (field.main(), view["before"].as_str(), view["after"].as_str()),
        (old.clone(), Some(&*new), Some(&*old))
    );
    assert_eq!(field.repo().git(&["status", "--porcelain"]), "");
    assert!(!field.repo().path().join("a").exists());
    assert_eq!((field.state("a"), field.state("b")), (done(), done()));
    for (name, head) in [("a", &a), ("b", &b)] {
        assert_eq!(field.repo().rev(&format!("refs/heads/wt/{name}")), *head);
        assert!(field.program.worktree(name).join(name).exists());
    }
    assert!(refs(&field, "refs/wt/undone/").starts_with(&new));
    field.is_whole();

    land(&field, &["--all"]);
    assert_eq!(
        field.repo().git(&["rev-parse", "main^{tree}"]),
        field.repo().git(&["rev-parse", &format!("{new}^{{tree}}")])
    );
    assert_eq!((field.state("a"), field.state("b")), (State::Landed, State::Landed));
}

#[test]
fn a_landing_in_several_batches_is_one() {
    let field = Field::with("[[verify]]\nname = \"t\"\nrun = \"true\"\n[merge]\nbatch = 1\n");
    field.done("a", &[("a", "a\n")]);
    field.done("b", &[("b", "b\n")]);
    let old = field.main();
    land(&field, &["--all"]);
    let told = field.program.journal();
    assert_eq!(told.iter().filter(|record| record["event"]["type"] == "publishing").count(), 2);
    undo(&field, &[]).0.ok();
    assert_eq!((field.main(), field.state("a"), field.state("b")), (old, done(), done()));
}

#[test]
fn again_and_the_landing_before_it_is_taken_back() {
    let field = Field::new();
    let old = field.main();
    field.done("a", &[("a", "a\n")]);
    land(&field, &["a"]);
    let between = field.main();
    field.done("b", &[("b", "b\n")]);
    land(&field, &["b"]);
    undo(&field, &[]).0.ok();
    assert_eq!((field.main(), field.state("a"), field.state("b")), (between, State::Landed, done()));
    undo(&field, &[]).0.ok();
    assert_eq!((field.main(), field.state("a")), (old, done()));
    let (none, view) = undo(&field, &[]);
    none.fails(1);
    assert!(view["error"]["causes"][0].as_str().unwrap().contains("nothing has landed"), "{view}");
    land(&field, &["--all"]);
    assert_eq!(field.subjects().len(), 2);
    undo(&field, &[]).0.ok();
    assert!(field.subjects().is_empty());
}

#[test]
fn a_target_that_moved_stays() {
    let field = Field::new();
    field.done("a", &[("a", "a\n")]);
    let old = field.main();
    land(&field, &["a"]);
    let new = field.main();
    field.repo().commit("mine", "x\n");
    let tip = field.main();
    let (ran, view) = undo(&field, &[]);
    ran.fails(1);
    let hint = view["error"]["hints"][0].as_str().unwrap();
    assert!(hint.contains(&format!("--first-parent {}..{}", &old[..10], &new[..10])), "{hint}");
    assert_eq!((field.main(), field.state("a")), (tip, State::Landed));
    assert!(!field.program.worktree("a").exists());
    run_hint(&field, hint);
    assert!(!field.repo().path().join("a").exists());
}

/// Runs the command of a hint as a person would, in a shell.
fn run_hint(field: &Field, hint: &str) {
    let command = hint.rsplit('`').nth(1).unwrap();
    let path = field.script("hint", command);
    let mut shell = field.program.env.command("sh", field.repo().path());
    ran(shell.arg(path.strip_prefix("sh ").unwrap()).output().unwrap()).ok();
}

#[test]
fn what_came_by_merge_commits_can_be_reverted_as_the_hint_says() {
    let field = Field::new();
    for name in ["a", "b"] {
        field.done(name, &[(name, "x\n"), (&format!("{name}2"), "x\n")]);
    }
    land(&field, &["--all", "--merge-commit"]);
    field.repo().commit("mine", "x\n");
    let (_, view) = undo(&field, &[]);
    run_hint(&field, view["error"]["hints"][0].as_str().unwrap());
    assert_eq!(field.repo().git(&["ls-files", "a", "a2", "b", "b2", "mine"]), "mine");
}

#[test]
fn uncommitted_files_in_the_way_keep_everything() {
    let field = Field::new();
    field.repo().commit("gone", "g\n");
    fs::write(field.repo().path().join(".gitignore"), "*.log\n").unwrap();
    field.repo().git(&["add", ".gitignore"]);
    field.repo().git(&["commit", "-q", "-m", "ignore"]);
    fs::write(field.repo().path().join("x.log"), "old\n").unwrap();
    field.repo().git(&["add", "-f", "x.log"]);
    field.repo().git(&["commit", "-q", "-m", "a log"]);
    let work = field.open("a", &[]);
    work.git(&["rm", "-q", "gone", "x.log"]);
    work.commit("a", "a\n");
    field.finish("a");
    land(&field, &["a"]);
    let new = field.main();
    // Edited, untracked where a file comes back, ignored where one comes back.
    for (path, text) in [("a", "edited\n"), ("gone", "mine\n"), ("x.log", "mine\n")] {
        let place = field.repo().path().join(path);
        let before = fs::read(&place).ok();
        fs::write(&place, text).unwrap();
        let (ran, view) = undo(&field, &[]);
        ran.fails(1);
        let cause = view["error"]["causes"][0].as_str().unwrap();
        assert!(cause.contains(&format!("`{path}`")), "{cause}");
        assert_eq!((field.main(), field.state("a")), (new.clone(), State::Landed));
        assert_eq!(fs::read_to_string(&place).unwrap(), text);
        match before {
            Some(before) => fs::write(&place, before).unwrap(),
            None => fs::remove_file(&place).unwrap(),
        }
    }
    // One that was written again as it was is as good as untouched.
    let again = fs::File::options().write(true).open(field.repo().path().join("a")).unwrap();
    again.file().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    // What is not in the way stays, staged as it was.
    fs::write(field.repo().path().join("staged"), "s\n").unwrap();
    field.repo().git(&["add", "staged"]);
    fs::write(field.repo().path().join("staged"), "t\n").unwrap();
    undo(&field, &[]).0.ok();
    assert_eq!(field.repo().git(&["status", "--porcelain"]), "AM staged");
    assert_eq!(field.repo().git(&["show", ":staged"]), "s");
    assert!(field.repo().path().join("gone").exists());
}

#[test]
fn what_was_pushed_is_taken_back_by_force_alone() {
    let field = Field::new();
    let remote = field.program.env.root().join("remote.git");
    field.repo().git(&["init", "-q", "--bare", &remote.to_string_lossy()]);
    field.repo().git(&["remote", "add", "origin", &remote.to_string_lossy()]);
    field.repo().git(&["push", "-q", "origin", "main"]);
    field.done("a", &[("a", "a\n")]);
    let old = field.main();
    land(&field, &["a"]);
    let new = field.main();
    field.repo().git(&["push", "-q", "origin", "main"]);
    let (ran, view) = undo(&field, &[]);
    ran.fails(1);
    assert!(view["error"]["causes"][0].as_str().unwrap().contains("`origin/main` has it"), "{view}");
    assert_eq!((field.main(), field.state("a")), (new, State::Landed));
    undo(&field, &["--force"]).0.ok();
    assert_eq!((field.main(), field.state("a")), (old, done()));
}

#[test]
fn a_branch_that_nobody_has_checked_out_goes_back_by_its_ref() {
    let field = Field::new();
    field.repo().git(&["branch", "release"]);
    let old = field.repo().rev("refs/heads/release");
    field.done_with("a", &[("a", "a\n")], &["--into", "release"]);
    field.done("b", &[("b", "b\n")]);
    land(&field, &["--all"]);
    let main = field.main();
    let (none, _) = undo(&field, &["--into", "nowhere"]);
    none.fails(1);
    undo(&field, &["--into", "release"]).0.ok();
    assert_eq!((field.repo().rev("refs/heads/release"), field.main()), (old, main));
    assert_eq!((field.state("a"), field.state("b")), (done(), State::Landed));
}

#[test]
fn a_name_that_was_taken_again_refuses_the_whole() {
    let field = Field::new();
    field.done("a", &[("a", "a\n")]);
    field.done("b", &[("b", "b\n")]);
    land(&field, &["--all"]);
    let new = field.main();
    field.open("a", &[]);
    let (ran, view) = undo(&field, &[]);
    ran.fails(1);
    assert!(
        view["error"]["causes"][0].as_str().unwrap().contains("a later task of that name is open"),
        "{view}"
    );
    assert_eq!((field.main(), field.state("b")), (new, State::Landed));
    assert!(!field.program.worktree("b").exists());
}

#[test]
fn a_task_whose_trash_has_expired_comes_back_from_its_commits() {
    let field = Field::new();
    field.repo().git(&["config", "gc.auto", "0"]);
    let head = field.done("a", &[("a", "a\n")]);
    field.done("b", &[("b", "b\n")]);
    let old = field.main();
    land(&field, &["--all"]);
    for line in refs(&field, "refs/wt/trash/").lines() {
        field.repo().git(&["update-ref", "-d", line.split_once(' ').unwrap().1]);
    }
    undo(&field, &[]).0.ok();
    assert_eq!((field.main(), field.state("a")), (old, done()));
    assert_eq!(field.repo().rev("refs/heads/wt/a"), head);
    assert!(field.program.worktree("a").join("a").exists());
    land(&field, &["--all"]);

    // Now the commits of `b`, which was rebased, are gone as well.
    for line in refs(&field, "refs/wt/").lines() {
        field.repo().git(&["update-ref", "-d", line.split_once(' ').unwrap().1]);
    }
    field.repo().git(&["reflog", "expire", "--expire=now", "--all"]);
    field.repo().git(&["gc", "-q", "--prune=now"]);
    let new = field.main();
    let (ran, view) = undo(&field, &[]);
    ran.fails(1);
    assert!(view["error"]["causes"][0].as_str().unwrap().contains("`b` cannot come back"), "{view}");
    assert_eq!((field.main(), field.state("a")), (new, State::Landed));
}

#[test]
fn tasks_that_landed_nothing_themselves_come_back_only_with_what_they_relied_on() {
    let field = Field::new();
    field.done("a", &[("a", "a\n")]);
    // The same change once more: all of it is there when it lands.
    field.done("same", &[("a", "a\n")]);
    field.open("nothing", &[]);
    field.finish_skipped("nothing");
    land(&field, &["--all"]);
    assert_eq!(field.subjects().len(), 1);
    undo(&field, &[]).0.ok();
    assert_eq!((field.state("a"), field.state("same")), (done(), done()));
    assert_eq!(field.state("nothing"), State::Landed);
    field.done("later", &[("later", "l\n")]);
    land(&field, &["a", "same", "later"]);
    assert_eq!(field.state("same"), State::Landed);
}

#[test]
fn who_began_with_it_is_named_and_stays() {
    let field = Field::new();
    field.done("a", &[("a", "a\n")]);
    land(&field, &["a"]);
    field.open("child", &[]);
    let (ran, view) = undo(&field, &[]);
    assert_eq!(view["relying"], serde_json::json!(["child"]));
    assert!(ran.err.contains("`child` began with what was taken back"), "{}", ran.err);
    assert_eq!(field.state("child"), State::Open);
}

#[test]
fn a_task_that_a_person_landed_by_name_is_what_it_was() {
    let field = Field::new();
    field.done("a", &[("a", "a\n")]);
    field.child("b", "a").commit("b", "b\n");
    assert_eq!(field.state("b"), State::Stopped);
    land(&field, &["a"]);
    land(&field, &["b"]);
    undo(&field, &[]).0.ok();
    assert_eq!(field.state("b"), State::Stopped);
}

#[test]
fn a_kept_workspace_is_left_as_it_is() {
    let field = Field::new();
    field.done("a", &[("a", "a\n")]);
    field.merge(&["a"]).ran.ok();
    fs::write(field.program.worktree("a").join("note"), "n\n").unwrap();
    undo(&field, &[]).0.ok();
    assert_eq!(field.state("a"), done());
    assert_eq!(fs::read_to_string(field.program.worktree("a").join("note")).unwrap(), "n\n");
}

#[test]
fn the_last_landing_survives_a_roll_of_the_journal() {
    let field = Field::new();
    field.done("a", &[("a", "a\n")]);
    let old = field.main();
    land(&field, &["a"]);
    let layout = field.layout();
    // As a roll leaves it, a day later: the task is not carried over.
    fs::rename(layout.journal(), layout.rolled(1)).unwrap();
    fs::write(layout.journal(), "").unwrap();
    undo(&field, &[]).0.ok();
    assert_eq!((field.main(), field.state("a")), (old, done()));
    land(&field, &["a"]);
    assert_eq!(field.state("a"), State::Landed);
}

/// Whatever the moment: the target is where the landing brought it and its tasks have landed, or it is back and they are.
#[test]
fn a_kill_at_any_point_takes_back_all_or_nothing() {
    let points: Vec<&&str> = POINTS.iter().filter(|point| point.starts_with("undo.")).collect();
    assert_eq!(points.len(), 5);
    for point in points {
        let field = Field::new();
        field.done("a", &[("a", "a\n"), ("a", "aa\n")]);
        field.done("b", &[("b", "b\n")]);
        let old = field.main();
        land(&field, &["--all"]);
        let new = field.main();
        let mut killed = field.program.command(&["undo", "--quiet"]);
        let killed = crate::program::ran(killed.env("WT_FAILPOINT", point).output().unwrap());
        assert_eq!(killed.code, -1, "{point} was not reached: {}", killed.err);
        // Any command settles.
        field.program.wt(&["status"]).ok();
        let back = ["undo.after_ref", "undo.after_move", "undo.after_undone"].contains(point);
        let (state, main) = if back { (done(), &old) } else { (State::Landed, &new) };
        assert_eq!(
            (&field.main(), field.state("a"), field.state("b")),
            (main, state.clone(), state),
            "{point}"
        );
        assert_eq!(field.repo().git(&["status", "--porcelain"]), "", "{point}");
        field.is_whole();
        if !back {
            undo(&field, &[]).0.ok();
        }
        assert_eq!((field.main(), field.state("a")), (old, done()), "{point}");
        land(&field, &["--all"]);
        assert_eq!(field.subjects(), ["change b", "change a", "change a"], "{point}");
        field.is_whole();
        let told = field.program.journal();
        let count = |word: &str| told.iter().filter(|record| record["event"]["type"] == word).count();
        assert_eq!((count("unlanded"), count("landed")), (2, 4), "{point}");
    }
}

#[test]
fn an_intent_that_did_not_come_true_leaves_the_landing() {
    let field = Field::new();
    field.done("a", &[("a", "a\n")]);
    let old = field.main();
    land(&field, &["a"]);
    let oid = |text: &str| wt::model::Oid::parse(text).unwrap();
    let intent = Event::Undoing {
        landing: "l".to_owned(),
        target: "main".to_owned(),
        from: oid(&field.main()),
        to: oid(&old),
        tasks: vec![("a@1".parse().unwrap(), done())],
    };
    field.journal().append(jiff::Timestamp::UNIX_EPOCH, vec![(None, intent)]).unwrap();
    field.repo().commit("later", "x\n");
    field.program.wt(&["status"]).ok();
    assert_eq!(field.state("a"), State::Landed);
    let told = field.program.journal();
    assert_eq!(told.last().unwrap()["event"]["moved"], Value::Bool(false));
    field.is_whole();
}

/// A landing prunes when its lock is free again, so an undo that waited for it meets the pruning.
#[test]
fn a_workspace_that_is_pruned_meanwhile_is_brought_back_first() {
    let field = Field::new();
    let head = field.done("a", &[("a", "a\n")]);
    land(&field, &["a", "--keep"]);
    let new = field.main();
    let repo = Repo::discover(field.repo().path()).unwrap();
    let layout = Layout::below(repo.common_dir());
    let (settings, clock) = (Settings::default(), SystemClock);
    let site = Site {
        repo: &repo,
        layout: &layout,
        settings: &settings,
        clock: &clock,
        template: None,
        iteration: None,
    };
    let mut journal = Journal::new(&layout);
    let turn = engine::turn(&site, &Silent, &mut journal).unwrap();
    let planned = engine::plan(&site, &mut journal, None, Pushed::Stays).unwrap();
    assert!(!planned.tasks[0].gone);
    field.program.wt(&["gc"]).ok();
    let refused = engine::apply(&site, &turn, &mut journal, &planned).unwrap_err();
    assert!(matches!(refused, UndoError::Pruned { .. }), "{refused}");
    assert_eq!((field.main(), field.state("a")), (new, State::Landed));
    drop(turn);

    undo(&field, &[]).0.ok();
    assert_eq!((field.state("a"), field.repo().rev("refs/heads/wt/a")), (done(), head));
    field.is_whole();
}
