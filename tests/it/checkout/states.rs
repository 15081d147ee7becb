//! Every state that a source may be in: its edits, flags, swaps and races never reach a new worktree.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use fs_err as fs;
use proptest::prelude::*;
use wt::git::Repo;

use super::{LONG_AGO, assert_same, by_git, commit_aged, compared, date, filled, left_to_git, padded};
use crate::env::{Env, TestRepo};

/// A repository with the files that the changes below are about.
fn subject() -> (Env, TestRepo, String) {
    let (env, repo) = padded();
    for n in 0..4 {
        repo.write(&format!("f{n}"), format!("four {n}\n"));
        repo.write(&format!("folder/g{n}"), format!("five {n}\n"));
    }
    let first = commit_aged(&repo);
    (env, repo, first)
}

/// Writes a file without any change of size or of the time that the index knows.
fn forge(path: &Path) {
    let text = fs::read(path).unwrap();
    fs::write(path, vec![b'!'; text.len()]).unwrap();
    date(path, LONG_AGO);
}

#[test]
fn a_clean_source_gives_everything() {
    let (env, repo, first) = subject();
    assert_eq!(left_to_git(compared(&env, &repo, "clean", &first)), 0);
    let kept = fs::metadata(env.root().join("ours/clean/f1")).unwrap().modified().unwrap();
    let theirs = fs::metadata(repo.path().join("f1")).unwrap().modified().unwrap();
    assert_eq!(kept, theirs, "build caches know files by their time");
    // Racy: as young as the index, for all that anybody knows.
    let future = 4_000_000_000;
    date(&repo.path().join("f1"), future);
    repo.git(&["update-index", "--refresh"]);
    assert_eq!(left_to_git(compared(&env, &repo, "racy", &first)), 1);
}

#[test]
fn edits_and_flags_stay_where_they_are() {
    let (env, repo, first) = subject();
    let at = |name: &str| repo.path().join(name);
    repo.write("f0", "edit 0\n");
    fs::remove_file(at("f1")).unwrap();
    repo.write("f2", "staged\n");
    repo.git(&["add", "f2"]);
    forge(&at("f3"));
    assert_eq!(left_to_git(compared(&env, &repo, "edits", &first)), 4);

    repo.git(&["update-index", "--assume-unchanged", "folder/g0"]);
    repo.git(&["update-index", "--skip-worktree", "folder/g1"]);
    forge(&at("folder/g0"));
    repo.write("folder/g1", "mine\n");
    repo.write("new", "untracked\n");
    repo.write("planned", "later\n");
    repo.git(&["add", "-N", "planned"]);
    assert_eq!(left_to_git(compared(&env, &repo, "flags", &first)), 6);
    assert!(!env.root().join("ours/flags/new").exists());
}

#[test]
fn flags_do_not_come_along() {
    let (env, repo, first) = subject();
    repo.git(&["update-index", "--assume-unchanged", "folder/g0"]);
    repo.git(&["update-index", "--skip-worktree", "folder/g1"]);
    assert_eq!(left_to_git(compared(&env, &repo, "flags", &first)), 2);
}

#[test]
fn the_index_of_the_source_may_be_at_another_commit() {
    let (env, repo, first) = subject();
    repo.write("f0", "the second text\n");
    fs::remove_file(repo.path().join("f1")).unwrap();
    repo.write("folder/more", "more\n");
    let second = commit_aged(&repo);
    assert_eq!(left_to_git(compared(&env, &repo, "older", &first)), 2);
    repo.git(&["checkout", "-q", "-b", "side", &first]);
    for name in ["f0", "f1"] {
        date(&repo.path().join(name), LONG_AGO);
    }
    repo.git(&["update-index", "--refresh"]);
    assert_eq!(left_to_git(compared(&env, &repo, "newer", &second)), 2);
}

#[test]
fn a_conflict_in_the_source_is_no_obstacle() {
    let (env, repo, first) = subject();
    repo.git(&["checkout", "-q", "-b", "side"]);
    repo.write("f0", "theirs\n");
    repo.commit_all("theirs");
    repo.git(&["checkout", "-q", "main"]);
    repo.write("f0", "ours\n");
    repo.commit_all("ours");
    assert!(!repo.try_git(&["merge", "side"]).status.success());
    assert_eq!(left_to_git(compared(&env, &repo, "conflict", &first)), 1);
}

#[test]
fn nothing_is_read_through_a_symlink_or_from_a_pipe() {
    let (env, repo, first) = subject();
    let elsewhere = env.root().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    for n in 0..4 {
        fs::write(elsewhere.join(format!("g{n}")), "evil 1\n").unwrap();
        date(&elsewhere.join(format!("g{n}")), LONG_AGO);
    }
    fs::rename(repo.path().join("folder"), env.root().join("moved")).unwrap();
    symlink(&elsewhere, repo.path().join("folder")).unwrap();
    assert_eq!(left_to_git(compared(&env, &repo, "linked folder", &first)), 4);
    // The very files that the index knows: the stat data would be right.
    fs::remove_file(repo.path().join("folder")).unwrap();
    symlink(env.root().join("moved"), repo.path().join("folder")).unwrap();
    assert_eq!(left_to_git(compared(&env, &repo, "same folder", &first)), 4);

    fs::rename(repo.path().join("f0"), env.root().join("f0")).unwrap();
    symlink(env.root().join("f0"), repo.path().join("f0")).unwrap();
    fs::remove_file(repo.path().join("f1")).unwrap();
    let pipe = repo.path().join("f1");
    assert!(env.command("mkfifo", env.root()).arg(&pipe).status().unwrap().success());
    fs::remove_file(repo.path().join("f2")).unwrap();
    fs::create_dir(repo.path().join("f2")).unwrap();
    assert_eq!(left_to_git(compared(&env, &repo, "files", &first)), 7);
}

#[test]
fn what_cannot_be_read_is_written_by_git() {
    let (env, repo, first) = subject();
    let shut = |name: &str| {
        fs::set_permissions(repo.path().join(name), std::fs::Permissions::from_mode(0o000)).unwrap();
    };
    shut("f0");
    shut("folder");
    let found = Repo::discover(repo.path()).unwrap();
    let (ours, _) = filled(&env, &found, "unreadable", &first);
    fs::set_permissions(repo.path().join("folder"), std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_same(ours.path(), by_git(&env, &repo, "unreadable", &first).path());
}

#[test]
fn a_file_that_changes_while_it_is_copied_is_not_taken() {
    let (env, repo, first) = subject();
    let found = Repo::discover(repo.path()).unwrap();
    let theirs = by_git(&env, &repo, "all", &first);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let (over, repo) = (&over, &repo);
        scope.spawn(move || {
            while !over.load(Ordering::Relaxed) {
                for name in ["f0", "f1", "f2", "f3"] {
                    fs::write(repo.path().join(name), "wild 7\n").unwrap();
                }
            }
        });
        for n in 0..6 {
            let (ours, _) = filled(&env, &found, &format!("during{n}"), &first);
            assert_same(ours.path(), theirs.path());
        }
        over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn something_in_the_way_is_left_to_git() {
    let (env, repo, first) = subject();
    let found = Repo::discover(repo.path()).unwrap();
    let path = env.root().join("taken");
    let commit = crate::git_repo::oid(&first);
    let start = wt::git::worktree::Start::Commit(&commit);
    let made = wt::git::worktree::begin(&found, &path, start).unwrap();
    fs::write(path.join("f1"), "somebody was here\n").unwrap();
    let how = wt::git::checkout::fill(&found, &made, &commit).unwrap();
    assert_eq!(how, wt::git::checkout::Filled::ByGit(wt::git::checkout::Why::Taken));
    assert_same(&path, by_git(&env, &repo, "taken", &first).path());
}

/// Something that can happen to a file of the main checkout.
#[derive(Debug, Clone, Copy)]
enum Change {
    Edit,
    Forge,
    Delete,
    Stage,
    Assume,
    Skip,
    Link,
    Folder,
    Touch,
    Execute,
    Commit,
    Unstage,
}

fn change(repo: &TestRepo, what: Change, name: &str) {
    let path = repo.path().join(name);
    let gone = || {
        drop(fs::remove_dir_all(&path));
        drop(fs::remove_file(&path));
    };
    // Several changes of one file may rule each other out; then git refuses, and nothing happens.
    let git = |args: &[&str]| drop(repo.try_git(args));
    let is_file = fs::symlink_metadata(&path).is_ok_and(|about| about.is_file());
    match what {
        Change::Edit if is_file => fs::write(&path, "another text\n").unwrap(),
        Change::Forge if is_file => forge(&path),
        Change::Delete => gone(),
        Change::Stage => git(&["add", "-A", "--", name]),
        Change::Assume => git(&["update-index", "--assume-unchanged", name]),
        Change::Skip => git(&["update-index", "--skip-worktree", name]),
        Change::Link => {
            gone();
            drop(symlink("f0", &path));
        }
        Change::Folder => {
            gone();
            fs::create_dir_all(&path).unwrap();
        }
        Change::Touch if is_file => date(&path, LONG_AGO + 7),
        Change::Execute if is_file => {
            fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        Change::Commit => git(&["commit", "-q", "-m", "on the way"]),
        Change::Unstage => git(&["reset", "-q"]),
        _ => {}
    }
}

fn changes() -> impl Strategy<Value = Vec<(Change, usize)>> {
    use Change::*;
    let what = prop::sample::select(vec![
        Edit, Forge, Delete, Stage, Assume, Skip, Link, Folder, Touch, Execute, Commit, Unstage,
    ]);
    prop::collection::vec((what, 0..5_usize), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happened_to_the_source_a_new_worktree_is_gits(changes in changes()) {
        let (env, repo, first) = subject();
        for (what, n) in changes {
            change(&repo, what, ["f0", "f1", "folder/g0", "folder/g1", "pad/3/3"][n]);
        }
        compared(&env, &repo, "first", &first);
        compared(&env, &repo, "head", &repo.head());
    }
}
