//! `git::publish`: a checked-out branch moves with its files, and nothing uncommitted is ever lost.

use fs_err as fs;
use wt::git::publish::{fast_forward, overlap, reflog_previous};
use wt::git::{Checkout, GitError, Repo};
use wt::model::Oid;

use crate::env::{Env, TestRepo};
use crate::git_repo::oid;

/// `main` checked out at the first of two commits; the second one edits, deletes, adds.
fn behind() -> (Env, TestRepo, Repo, Checkout, Oid, Oid) {
    let env = Env::new();
    let repo = env.repo("repo");
    for file in ["edited", "deleted", "kept", "folder/file"] {
        repo.write(file, format!("{file}\n"));
    }
    repo.write(".gitignore", "*.ignored\n");
    let old = oid(&repo.commit_all("old"));
    repo.git(&["checkout", "-q", "-b", "ahead"]);
    repo.write("edited", "new\n");
    fs::remove_file(repo.path().join("deleted")).unwrap();
    fs::remove_dir_all(repo.path().join("folder")).unwrap();
    repo.write("folder", "now a file\n");
    repo.write("added", "new\n");
    repo.write("deep/er/added", "new\n");
    repo.write("x.ignored", "new\n");
    repo.git(&["add", "-f", "x.ignored"]);
    let new = oid(&repo.commit_all("new"));
    repo.git(&["checkout", "-q", "main"]);
    let found = Repo::discover(repo.path()).unwrap();
    let main = found.main_worktree().unwrap();
    (env, repo, found, main, old, new)
}

#[test]
fn files_index_and_branch_move_together_without_hooks() {
    let (env, repo, found, main, old, new) = behind();
    let witness = env.root().join("witness");
    for hook in ["post-merge", "post-checkout", "reference-transaction"] {
        repo.write(&format!(".git/hooks/{hook}"), format!("#!/bin/sh\ntouch {}\n", witness.display()));
        env.command("chmod", repo.path()).args(["+x", &format!(".git/hooks/{hook}")]).status().unwrap();
    }
    repo.write("kept", "my own edit\n");
    repo.write("untracked", "mine\n");
    assert_eq!(overlap(&found, &main, &old, &new).unwrap(), Vec::<String>::new());
    fast_forward(&main, &new).unwrap();
    assert_eq!(repo.head(), new.as_str());
    assert_eq!(repo.git(&["status", "--porcelain"]), " M kept\n?? untracked");
    assert_eq!((repo.read("kept"), repo.read("edited")), ("my own edit\n".into(), "new\n".into()));
    assert_eq!(reflog_previous(&found, "main").unwrap(), Some((old.clone(), new.clone())));
    assert_eq!(reflog_previous(&found, "none").unwrap(), None);
    assert!(!witness.exists(), "a hook ran");

    let back = fast_forward(&main, &old);
    assert!(matches!(back, Err(GitError::Moved { .. })), "{back:?}");
    assert_eq!(repo.head(), new.as_str());
    repo.commit("own", "own\n");
    repo.git(&["checkout", "-q", "-b", "fork", old.as_str()]);
    repo.commit("fork", "fork\n");
    let diverged = fast_forward(&main, &new);
    assert!(matches!(diverged, Err(GitError::Moved { .. })), "{diverged:?}");
}

#[test]
fn whatever_is_in_the_way_is_named_before_and_kept_after() {
    type Mess = fn(&TestRepo);
    let cases: [(&str, Mess, &[&str]); 9] = [
        ("an edit", |r| r.write("edited", "mine\n"), &["edited"]),
        (
            "a staged edit",
            |r| {
                r.write("edited", "mine\n");
                r.git(&["add", "edited"]);
            },
            &["edited"],
        ),
        ("an edit of what goes", |r| r.write("deleted", "mine\n"), &["deleted"]),
        ("an untracked file", |r| r.write("added", "mine\n"), &["added"]),
        ("an ignored file", |r| r.write("x.ignored", "mine\n"), &["x.ignored"]),
        ("a file for a folder", |r| r.write("deep", "mine\n"), &["deep"]),
        ("a folder for a file", |r| r.write("added/mine", "mine\n"), &["added/mine"]),
        ("an untracked file in a folder that goes", |r| r.write("folder/mine", "mine\n"), &["folder/mine"]),
        (
            "an ignored file in a folder that goes",
            |r| r.write("folder/m.ignored", "mine\n"),
            &["folder/m.ignored"],
        ),
    ];
    for (what, mess, named) in cases {
        let (_env, repo, found, main, old, new) = behind();
        mess(&repo);
        assert_eq!(overlap(&found, &main, &old, &new).unwrap(), named, "{what}");
        let before = repo.git(&["status", "--porcelain", "--ignored"]);
        match fast_forward(&main, &new) {
            Err(GitError::Overlap { paths }) => assert!(!paths.is_empty(), "{what}"),
            other => panic!("{what} gave {other:?}"),
        }
        assert_eq!(repo.head(), old.as_str(), "{what}");
        assert_eq!(repo.git(&["status", "--porcelain", "--ignored"]), before, "{what}");
        assert_eq!(repo.read(named[0]), "mine\n", "{what}");
    }
}

#[test]
fn empty_folders_and_a_users_autostash_do_no_harm() {
    let (_env, repo, found, main, old, new) = behind();
    fs::create_dir_all(repo.path().join("added/empty")).unwrap();
    assert_eq!(overlap(&found, &main, &old, &new).unwrap(), Vec::<String>::new());
    repo.git(&["config", "merge.autoStash", "true"]);
    repo.git(&["config", "merge.ff", "false"]);
    repo.write("edited", "mine\n");
    assert!(matches!(fast_forward(&main, &new), Err(GitError::Overlap { .. })));
    assert_eq!(repo.git(&["stash", "list"]), "");
    repo.git(&["checkout", "-q", "edited"]);
    fast_forward(&main, &new).unwrap();
    assert_eq!(repo.read("added"), "new\n");
}
