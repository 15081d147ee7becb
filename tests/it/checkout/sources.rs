//! Where files come from: the main checkout, spares, never a task's workspace.

use std::path::Path;

use fs_err as fs;
use wt::git::checkout::{Filled, Why};
use wt::git::worktree;
use wt::git::{GitError, Repo};

use super::{LONG_AGO, commit_aged, date, files, filled, left_to_git, padded};
use crate::env::{Env, TestRepo};
use crate::fault_machine::Disk;

fn bare() -> (Env, TestRepo, String) {
    let (env, repo) = padded();
    let head = commit_aged(&repo);
    let path = env.root().join("bare.git");
    env.git_in(
        env.root(),
        &["clone", "-q", "--bare", &repo.path().to_string_lossy(), &path.to_string_lossy()],
    );
    let bare = env.at(&path);
    (env, bare, head)
}

/// Makes a clean worktree that nobody works in.
fn spare(env: &Env, repo: &TestRepo, commit: &str) -> TestRepo {
    let path = env.root().join("spare");
    repo.git(&["worktree", "add", "-q", "--detach", &path.to_string_lossy(), commit]);
    for file in files(&path) {
        date(&file, LONG_AGO);
    }
    let spare = env.at(&path);
    spare.git(&["update-index", "--refresh"]);
    spare
}

fn lock(repo: &TestRepo, spare: &Path, reason: &str) {
    repo.git(&["worktree", "lock", "--reason", reason, &spare.to_string_lossy()]);
}

#[test]
fn a_bare_repository_copies_from_a_spare_and_from_nothing_else() {
    let (env, repo, head) = bare();
    let found = Repo::discover(repo.path()).unwrap();
    assert_eq!(filled(&env, &found, "alone", &head).1, Filled::ByGit(Why::NoSource));
    let spare = spare(&env, &repo, &head);
    assert_eq!(filled(&env, &found, "unlocked", &head).1, Filled::ByGit(Why::NoSource));
    lock(&repo, spare.path(), "wt: being made");
    assert_eq!(filled(&env, &found, "half made", &head).1, Filled::ByGit(Why::NoSource));
    repo.git(&["worktree", "unlock", &spare.path().to_string_lossy()]);
    lock(&repo, spare.path(), &format!("wt: spare at {head}\nindex 1 2.3, root 4.5, rules 6"));
    let (ours, how) = filled(&env, &found, "copied", &head);
    assert_eq!(left_to_git(how), 0);
    super::assert_same(ours.path(), spare.path());
    super::assert_settled(&env, &ours, &spare);
    let about = fs::metadata(ours.path().join("README.md")).unwrap().modified().unwrap();
    let there = fs::metadata(spare.path().join("README.md")).unwrap().modified().unwrap();
    assert!(about > there, "a spare's times say nothing about the caches of the main checkout");
}

#[test]
fn a_spare_at_the_commit_is_better_than_a_main_checkout_elsewhere() {
    let (env, repo) = padded();
    let first = commit_aged(&repo);
    let spare = spare(&env, &repo, &first);
    lock(&repo, spare.path(), &format!("wt: spare at {first}\nindex 1 2.3, root 4.5, rules 6"));
    for n in 0..200 {
        repo.write(&format!("pad/{}/{n}", n % 7), "other\n");
    }
    commit_aged(&repo);
    let found = Repo::discover(repo.path()).unwrap();
    assert_eq!(left_to_git(filled(&env, &found, "old", &first).1), 0);
    let gone = env.root().join("gone");
    fs::rename(spare.path(), &gone).unwrap();
    assert_eq!(filled(&env, &found, "old again", &first).1, Filled::ByGit(Why::Different));
}

#[test]
fn an_index_that_cannot_be_read_is_no_source() {
    let (env, repo) = padded();
    let head = commit_aged(&repo);
    let path = repo.path().join(".git/index");
    let good = fs::read(&path).unwrap();
    let found = Repo::discover(repo.path()).unwrap();
    let mut bad = good.clone();
    bad[100] ^= 1;
    for (n, bytes) in [bad, good[..good.len() / 2].to_vec(), Vec::new()].into_iter().enumerate() {
        fs::write(&path, bytes).unwrap();
        let (ours, how) = filled(&env, &found, &format!("bad{n}"), &head);
        assert_eq!(how, Filled::ByGit(Why::NoSource));
        assert_eq!(env.at(ours.path()).git(&["status", "--porcelain"]), "");
    }
    fs::write(&path, &good).unwrap();
    repo.git(&["update-index", "--split-index"]);
    assert_eq!(filled(&env, &found, "split", &head).1, Filled::ByGit(Why::NoSource));
}

#[test]
fn index_version_4_and_unhashed_ones_are_read() {
    let (env, repo) = padded();
    commit_aged(&repo);
    repo.git(&["update-index", "--index-version", "4"]);
    assert_eq!(left_to_git(super::compared(&env, &repo, "four", "main")), 0);
    repo.git(&["-c", "index.skipHash=true", "update-index", "--force-write-index"]);
    assert_eq!(left_to_git(super::compared(&env, &repo, "unhashed", "main")), 0);
}

#[test]
fn another_file_system_is_filled_too_and_a_full_one_is_named() {
    let (env, repo) = padded();
    repo.write("large", vec![b'x'; 300_000]);
    commit_aged(&repo);
    let found = Repo::discover(repo.path()).unwrap();
    // Where `filled` puts it.
    let Some(_disk) = Disk::mount(&env.root().join("ours"), "64m") else { return };
    assert_eq!(left_to_git(super::compared(&env, &repo, "wide", "main")), 0);

    let Some(small) = Disk::mount(&env.root().join("small"), "256k") else { return };
    let path = env.root().join("small/tree");
    let head = crate::git_repo::oid(&repo.head());
    // By a copy, then by git alone.
    for by_git in ["false", "true"] {
        repo.git(&["config", "core.ignoreCase", by_git]);
        let failed = worktree::add(&found, &path, "wt/full", &head);
        assert!(matches!(failed, Err(GitError::NoSpace { .. })), "{failed:?}");
        assert!(!path.exists() && found.branch_tip("wt/full").unwrap().is_none());
    }
    assert_eq!(worktree::list(&found).unwrap().len(), 3, "main and the two that were made");
    drop(small);
}
