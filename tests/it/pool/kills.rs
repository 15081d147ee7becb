//! Kills on the way into the pool, in it, and out of it: nothing is lost, and the same command brings the right end.

use std::collections::BTreeMap;
use std::path::Path;

use fs_err as fs;
use wt::git::spare::Condition;
use wt::workspace::GitLock;
use wt::workspace::pool;

use super::{Place, killed_at, looks, sound, with_repo};
use crate::env::{Env, TestRepo};

/// A workspace `x` with work in it.
fn used() -> (Env, TestRepo, Place, TestRepo) {
    let (env, repo) = with_repo();
    let place = Place::at(repo.path(), 2);
    let tree = env.at(place.make("x").path.as_ref());
    tree.commit("a/one", "committed\n");
    tree.write("a/two", "edited\n");
    tree.write("new", "untracked\n");
    tree.write("build/out", "ignored\n");
    tree.write("target/out", "cache\n");
    (env, repo, place, tree)
}

fn work(tree: &TestRepo) -> Vec<String> {
    let mut work =
        vec![tree.head(), tree.git(&["symbolic-ref", "HEAD"]), tree.git(&["status", "--porcelain"])];
    work.extend(["a/one", "a/two", "new"].map(|path| tree.read(path)));
    work
}

/// Returns the text of every file of that name below the trash.
fn in_trash(env: &Env, name: &str) -> Vec<String> {
    fn search(folder: &Path, name: &str, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                search(&path, name, found);
            } else if path.ends_with(name) {
                found.push(fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut found = Vec::new();
    search(&env.root().join("repo-worktrees/.trash"), name, &mut found);
    found
}

fn fresh(env: &Env, repo: &TestRepo) -> BTreeMap<String, String> {
    looks(&env.at(Place::at(repo.path(), 0).make("cold").path.as_ref()), "cold")
}

#[test]
fn a_recycling_that_was_killed_is_continued_and_loses_nothing() {
    for point in [
        "remove.after_trash",
        "pool.after_rename",
        "pool.after_link",
        "pool.after_entry",
        "remove.after_rename",
        "remove.after_entry",
        "remove.after_branch",
    ] {
        let (env, repo, place, tree) = used();
        let (before, main) = (work(&tree), repo.rev("main"));
        killed_at(point, "remove", 2, &repo);
        let removed = place.remove("x");
        assert!(!tree.path().exists(), "{point}");
        assert!(!repo.try_git(&["rev-parse", "-q", "--verify", "wt/x"]).status.success(), "{point}");
        assert_eq!(
            pool::is_wanted(&place.site(), None).unwrap(),
            !place.spares().is_empty() || point == "pool.after_rename",
            "{point}"
        );
        place.tend();
        assert_eq!(pool::faults(&place.repo).unwrap(), [], "{point}");
        sound(&repo, &place);
        // What is in no trash ref is in the trash folder.
        assert_eq!(in_trash(&env, "build/out"), ["ignored\n"], "{point}");
        place.restore("x", &removed.trash.unwrap_or_else(|| panic!("{point}: no trash")));
        assert_eq!(work(&tree), before, "{point}");
        assert_eq!(repo.rev("main"), main);
        sound(&repo, &place);
    }
}

#[test]
fn a_preparation_that_was_killed_is_done_again_or_mended() {
    for point in ["pool.after_mark", "pool.while_washing", "pool.before_ready"] {
        for mend in [false, true] {
            let (env, repo, place, _) = used();
            place.remove("x");
            killed_at(point, "tend", 2, &repo);
            let faults = pool::faults(&place.repo).unwrap();
            assert_eq!(faults.len(), 1, "{point}: {faults:?}");
            assert_eq!(faults[0].what, "its preparation was cut short");
            // It is not handed out.
            let made = place.make("y");
            assert_eq!(looks(&env.at(made.path.as_ref()), "y"), fresh(&env, &repo));
            if mend {
                let lock = place.git_lock();
                pool::discard_faulty(&place.repo, GitLock::held(&lock)).unwrap();
                assert_eq!(place.spares(), [], "{point}");
            } else {
                place.tend();
                place.ready();
                assert_eq!(looks(&env.at(place.make("z").path.as_ref()), "z"), fresh_again(&env, &repo));
            }
            assert_eq!(in_trash(&env, "build/out"), ["ignored\n"], "{point}");
            assert_eq!(pool::faults(&place.repo).unwrap(), []);
            sound(&repo, &place);
        }
    }
}

fn fresh_again(env: &Env, repo: &TestRepo) -> BTreeMap<String, String> {
    looks(&env.at(Place::at(repo.path(), 0).make("other").path.as_ref()), "other")
}

#[test]
fn a_refresh_that_was_killed_is_done_again() {
    for point in ["pool.after_mark", "pool.before_ready"] {
        let (env, repo, place, _) = used();
        place.remove("x");
        place.tend();
        place.ready();
        repo.commit("a/one", "moved on\n");
        killed_at(point, "tend", 2, &repo);
        place.tend();
        place.ready();
        assert_eq!(looks(&env.at(place.make("y").path.as_ref()), "y"), fresh(&env, &repo), "{point}");
        sound(&repo, &place);
    }
}

#[test]
fn a_discarding_that_was_killed_is_ended() {
    let (_env, repo, place, _) = used();
    place.remove("x");
    place.tend();
    killed_at("pool.while_discarding", "tend", 0, &repo);
    assert_eq!(pool::faults(&place.repo).unwrap()[0].what, "its folder is gone");
    let lock = place.git_lock();
    pool::discard_faulty(&place.repo, GitLock::held(&lock)).unwrap();
    assert_eq!((place.spares(), pool::faults(&place.repo).unwrap()), (vec![], vec![]));
    sound(&repo, &place);
}

#[test]
fn a_taking_that_was_killed_is_made_good_by_the_same_command() {
    std::thread::scope(|scope| {
        for (point, delta) in [
            ("take.after_mark", false),
            ("take.after_link", false),
            ("take.after_rename", false),
            ("take.after_entry", false),
            ("take.after_branch", false),
            ("take.after_branch", true),
            ("spawn.after_entry", true),
            ("take.after_files", true),
            ("spawn.after_worktree", false),
            ("spawn.before_journal", true),
        ] {
            scope.spawn(move || taking_killed(point, delta));
        }
    });
}

fn taking_killed(point: &str, delta: bool) {
    let (env, repo, place, _) = used();
    place.remove("x");
    place.tend();
    place.ready();
    if delta {
        repo.commit("a/one", "moved on\n");
    }
    let main = repo.rev("main");
    killed_at(point, "make", 2, &repo);
    let tree = env.at(place.make("y").path.as_ref());
    assert_eq!(tree.git(&["status", "--porcelain"]), "", "{point}");
    assert_eq!((tree.head(), repo.rev("wt/y"), repo.rev("main")), (main.clone(), main.clone(), main));
    let (mut warm, mut cold) = (looks(&tree, "y"), fresh(&env, &repo));
    // What a making that went on from a branch leaves in logs is no different from what it was without spares.
    for key in ["branch log", "log -g --format=%H %gs %gn HEAD"] {
        warm.remove(key);
        cold.remove(key);
    }
    assert_eq!(warm, cold, "{point}");
    place.tend();
    assert_eq!(pool::faults(&place.repo).unwrap(), [], "{point}");
    sound(&repo, &place);
    place.remove("y");
    place.tend();
    assert!(place.spares().iter().all(|spare| matches!(spare.condition, Condition::Ready(_))), "{point}");
    sound(&repo, &place);
}
