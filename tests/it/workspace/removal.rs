//! Removing and restoring workspaces: nothing is lost, and what must not go does not go.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use fs_err as fs;
use fs_err::os::unix::fs::symlink;
use wt::git::GitError;
use wt::model::Workspace;
use wt::workspace::remove::{BranchAfter, trash_of};
use wt::workspace::{RemoveError, RestoreError};

use crate::env::{Env, TestRepo};

use super::{Place, killed_at, with_repo};

/// Makes a workspace `x` with every kind of work in it.
fn busy(repo: &TestRepo, env: &Env, place: &Place) -> (Workspace, TestRepo) {
    repo.commit(".gitignore", ".env*\nbuild/\n");
    repo.write(".env", "KEPT=secret\n");
    repo.write(".env.local", "EDIT=old\n");
    let workspace = place.make("x");
    fs::write(place.layout.root().join("test-workspace.json"), serde_json::to_vec(&workspace).expect("JSON"))
        .expect("written");
    let tree = env.at(Path::new(&workspace.path));
    tree.commit("done", "committed\n");
    tree.write("staged", "staged\n");
    tree.git(&["add", "staged"]);
    tree.write("README.md", "edited\n");
    tree.write("new/file", "untracked\n");
    let script = tree.path().join("new/script");
    fs::write(&script, "#!/bin/sh\n").expect("written");
    fs::set_permissions(script, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    symlink("file", tree.path().join("new/link")).expect("a link");
    tree.write(".env.local", "EDIT=new\n");
    tree.write("build/out", "ignored\n");
    (workspace, tree)
}

fn looks(tree: &TestRepo) -> Vec<String> {
    let mut looks = vec![
        tree.head(),
        tree.git(&["symbolic-ref", "HEAD"]),
        tree.git(&["status", "--porcelain", "--untracked-files=all"]),
        tree.git(&["diff"]),
        tree.git(&["diff", "--cached"]),
    ];
    for file in ["README.md", "staged", "new/file", "new/script", ".env", ".env.local"] {
        let mode = fs::metadata(tree.path().join(file)).expect("a file").permissions().mode();
        looks.push(format!("{file} {mode:o} {}", tree.read(file)));
    }
    looks.push(fs::read_link(tree.path().join("new/link")).expect("a link").display().to_string());
    looks
}

#[test]
fn a_removed_workspace_comes_back_as_it_was() {
    let (env, repo, place) = with_repo();
    let (workspace, tree) = busy(&repo, &env, &place);
    let (before, head) = (looks(&tree), tree.head());
    let removed = place.remove("x", &workspace).expect("removed");
    assert_eq!(removed.trash.as_deref(), Some("refs/wt/trash/x/1"));
    assert_eq!(removed.branch, BranchAfter::Deleted);
    let folder = env.root().join("repo-worktrees/.trash/x-1");
    assert_eq!(removed.folder.as_deref(), Some(folder.as_path()));
    assert_eq!(env.at(&folder).read("build/out"), "ignored\n");
    assert!(!Path::new(&workspace.path).exists() && !repo.path().join(".git/worktrees/x").exists());
    assert!(!repo.try_git(&["rev-parse", "-q", "--verify", "wt/x"]).status.success());
    assert!(!repo.try_git(&["rev-parse", "-q", "--verify", "refs/wt/base/x"]).status.success());
    assert_eq!(repo.git(&["worktree", "prune", "--dry-run"]), "");
    // The edited file is kept, the secret that nobody changed is not among git's objects.
    assert_eq!(repo.git(&["ls-tree", "-r", "--name-only", "refs/wt/trash/x/1^4"]), ".env.local");

    let made = place.restore("x", "refs/wt/trash/x/1").expect("restored");
    assert_eq!(looks(&tree), before);
    assert_eq!((made.workspace.path.as_str(), made.workspace.entry.as_str()), (workspace.path.as_str(), "x"));
    assert_eq!((&made.workspace.base, &made.workspace.copied), (&workspace.base, &workspace.copied));
    assert_eq!(tree.read("CLAUDE.local.md"), "restored instructions\n");
    assert_eq!(repo.rev("wt/x"), head);
    assert_eq!(repo.rev("refs/wt/base/x"), workspace.base.as_str());
    assert!(tree.path().join(".shared/notes").is_dir());

    // The next one has the next number.
    let again = place.remove("x", &made.workspace).expect("removed");
    assert_eq!(again.trash.as_deref(), Some("refs/wt/trash/x/2"));
    let name = "x".parse().expect("a name");
    let numbers: Vec<u32> =
        trash_of(&place.repo, &name).expect("the trash").into_iter().map(|(n, _)| n).collect();
    assert_eq!(numbers, [1, 2]);
}

#[test]
fn a_removal_that_was_killed_is_continued_and_loses_nothing() {
    for point in ["remove.after_trash", "remove.after_rename", "remove.after_entry", "remove.after_branch"] {
        let (env, repo, place) = with_repo();
        let (workspace, tree) = busy(&repo, &env, &place);
        let before = looks(&tree);
        drop(place);
        killed_at(point, "remove", &repo);
        let place = Place::at(repo.path());
        let removed = place.remove("x", &workspace).unwrap_or_else(|error| panic!("{point}: {error}"));
        let trash = removed.trash.unwrap_or_else(|| panic!("{point}: no trash"));
        assert!(!Path::new(&workspace.path).exists() && !repo.path().join(".git/worktrees/x").exists());
        assert!(!repo.try_git(&["rev-parse", "-q", "--verify", "wt/x"]).status.success(), "{point}");
        place.restore("x", &trash).unwrap_or_else(|error| panic!("{point}: {error:?}"));
        assert_eq!(looks(&tree), before, "{point}");
    }
}

#[test]
fn a_branch_that_the_worktree_has_left_is_kept_beside_the_snapshot() {
    let (env, repo, place) = with_repo();
    let (workspace, tree) = busy(&repo, &env, &place);
    let tip = tree.head();
    tree.git(&["checkout", "-q", "--detach", "HEAD~1"]);
    let head = tree.head();
    let removed = place.remove("x", &workspace).expect("removed");
    assert_eq!(repo.rev("refs/wt/trash/x/1.branch"), tip);
    place.restore("x", &removed.trash.expect("a ref")).expect("restored");
    assert_eq!((repo.rev("wt/x"), tree.head()), (tip, head));
    assert_eq!(tree.read("new/file"), "untracked\n");
    assert!(!tree.try_git(&["symbolic-ref", "-q", "HEAD"]).status.success());
}

#[test]
fn a_worktree_whose_folder_is_gone_leaves_its_branch_in_the_trash() {
    let (env, repo, place) = with_repo();
    let (workspace, tree) = busy(&repo, &env, &place);
    let tip = tree.head();
    fs::remove_dir_all(tree.path()).expect("removed");
    let removed = place.remove("x", &workspace).expect("removed");
    assert_eq!((removed.folder, removed.trash.as_deref()), (None, Some("refs/wt/trash/x/1")));
    assert_eq!(repo.rev("refs/wt/trash/x/1"), tip);
    place.restore("x", "refs/wt/trash/x/1").expect("restored");
    assert_eq!((tree.head(), tree.git(&["status", "--porcelain"])), (tip, String::new()));
    // And with nothing at all left there is nothing to keep.
    repo.git(&["worktree", "remove", "--force", &workspace.path]);
    repo.git(&["branch", "-D", "wt/x"]);
    let removed = place.remove("x", &workspace).expect("removed");
    assert_eq!(removed.trash, None);
}

#[test]
fn what_must_not_go_does_not_go() {
    let (env, repo, place) = with_repo();
    let (workspace, tree) = busy(&repo, &env, &place);
    let before = looks(&tree);
    // The main checkout, whatever a record says.
    let main = Workspace { path: repo.path().display().to_string(), ..workspace.clone() };
    let refused = place.remove("x", &main).expect_err("the main checkout stays");
    assert!(matches!(refused, RemoveError::Git(GitError::Worktree { .. })), "{refused:?}");
    // A locked worktree.
    repo.git(&["worktree", "lock", "--reason", "on a stick", &workspace.path]);
    let refused = place.remove("x", &workspace).expect_err("it is locked");
    assert!(matches!(&refused, RemoveError::Locked { reason, .. } if reason == "on a stick"));
    repo.git(&["worktree", "unlock", &workspace.path]);
    // A repository inside it would not be captured.
    env.git_in(env.root(), &["init", "-q", &tree.path().join("nested").display().to_string()]);
    tree.write("nested/work", "x");
    let refused = place.remove("x", &workspace).expect_err("a repository inside");
    assert!(matches!(refused, RemoveError::Git(GitError::Nested { .. })), "{refused:?}");
    fs::remove_dir_all(tree.path().join("nested")).expect("removed");
    // A folder that git does not know.
    fs::rename(repo.path().join(".git/worktrees/x"), env.root().join("entry")).expect("moved");
    assert!(matches!(place.remove("x", &workspace), Err(RemoveError::Orphan { .. })));
    fs::rename(env.root().join("entry"), repo.path().join(".git/worktrees/x")).expect("moved");
    assert_eq!(looks(&tree), before);
    assert_eq!(trash_of(&place.repo, &"x".parse().expect("a name")).expect("the trash"), []);
}

#[test]
fn a_branch_in_use_elsewhere_is_kept() {
    let (env, repo, place) = with_repo();
    let (workspace, tree) = busy(&repo, &env, &place);
    let tip = tree.head();
    tree.git(&["checkout", "-q", "--detach"]);
    repo.git(&["checkout", "-q", "wt/x"]);
    let removed = place.remove("x", &workspace).expect("removed");
    assert_eq!((removed.branch, repo.rev("wt/x")), (BranchAfter::Kept, tip));
    assert!(removed.trash.is_some());
}

#[test]
fn a_restore_refuses_what_is_in_the_way_and_can_be_tried_again() {
    let (env, repo, place) = with_repo();
    let (workspace, tree) = busy(&repo, &env, &place);
    let before = looks(&tree);
    place.remove("x", &workspace).expect("removed");
    assert!(matches!(place.restore("x", "refs/wt/trash/x/7"), Err(RestoreError::NoTrash { .. })));
    repo.git(&["branch", "wt/x", "main"]);
    assert!(matches!(place.restore("x", "refs/wt/trash/x/1"), Err(RestoreError::BranchExists { .. })));
    repo.git(&["branch", "-D", "wt/x"]);
    fs::create_dir(&workspace.path).expect("a folder");
    assert!(matches!(place.restore("x", "refs/wt/trash/x/1"), Err(RestoreError::FolderExists { .. })));
    fs::remove_dir(&workspace.path).expect("removed");
    // A failure in the middle takes back what was made.
    let shared = env.root().join("repo-worktrees/.shared");
    fs::rename(&shared, env.root().join("aside")).expect("moved");
    fs::write(&shared, "").expect("written");
    assert!(matches!(place.restore("x", "refs/wt/trash/x/1"), Err(RestoreError::Step { .. })));
    assert!(!repo.try_git(&["rev-parse", "-q", "--verify", "wt/x"]).status.success());
    fs::remove_file(&shared).expect("removed");
    fs::rename(env.root().join("aside"), &shared).expect("moved");
    // What a killed restore left is cleared: its record says that it is ours.
    let head = repo.rev("refs/wt/trash/x/1^1");
    repo.git(&["worktree", "add", "-q", "-b", "wt/x", &workspace.path, &head]);
    let record = serde_json::json!({"path": workspace.path, "branch": "wt/x", "base": workspace.base});
    fs::write(place.layout.task(&place.task("x").0).making(), record.to_string()).expect("written");
    place.restore("x", "refs/wt/trash/x/1").expect("restored");
    assert_eq!(looks(&tree), before);
}
