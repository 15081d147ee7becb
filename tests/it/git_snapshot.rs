//! `git::snapshot` and `git::commit`: what an agent leaves lying about is put away and comes back, byte for byte.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs as unix;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use proptest::prelude::*;
use wt::git::commit::commit_all;
use wt::git::worktree;
use wt::git::{GitError, LinkedWorktree, Repo, WorktreeTrouble, snapshot, status};

use crate::env::{Env, TestRepo};
use crate::git_repo::oid;

/// A repository with a few files, and a worktree `task` of it.
fn setup() -> (Env, Repo, LinkedWorktree) {
    let (env, repo) = Env::with_repo();
    for n in 0..4 {
        repo.write(&format!("dir/file {n}"), format!("{n}\n"));
    }
    repo.write("script", "#!/bin/sh\n");
    fs::set_permissions(repo.path().join("script"), std::fs::Permissions::from_mode(0o755)).unwrap();
    unix::symlink("script", repo.path().join("link")).unwrap();
    repo.write(".gitignore", "*.log\n.env*\ntarget/\n");
    repo.commit_all("files");
    let found = Repo::discover(repo.path()).unwrap();
    let base = oid(&repo.head());
    let task = worktree::add(&found, &env.root().join("trees/task"), "wt/task", &base).unwrap();
    (env, found, task)
}

/// Everything there is in a folder but `.git`: kind and permissions, and bytes.
fn disk(root: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let there = fs::symlink_metadata(&path).unwrap();
            let name = path.strip_prefix(root).unwrap().to_owned();
            if name == Path::new(".git") {
            } else if there.is_dir() {
                folders.push(path);
            } else if there.is_symlink() {
                found.insert(name, (0, fs::read_link(&path).unwrap().as_os_str().as_bytes().to_owned()));
            } else {
                found.insert(name, (there.permissions().mode(), fs::read(&path).unwrap()));
            }
        }
    }
    found
}

/// What git says of index and files, conflicts and flags included.
fn told(tree: &TestRepo) -> [String; 3] {
    [
        tree.git(&["ls-files", "--stage", "-v"]),
        tree.git(&["status", "--porcelain=v2", "-uall", "--ignored"]),
        tree.git(&["diff"]),
    ]
}

/// Takes a snapshot, looks that nothing changed, removes the worktree, makes it anew at the snapshot's first parent,
/// restores, and compares all that there is.
fn round_trip(env: &Env, repo: &Repo, task: &LinkedWorktree, ignored: &[&str]) -> String {
    let tree = env.at(task.path());
    let before = (disk(task.path()), told(&tree));
    let index = fs::read(task.checkout().git_dir().join("index")).ok();
    let refs = tree.git(&["for-each-ref"]);
    let ignored: Vec<String> = ignored.iter().map(|&path| path.to_owned()).collect();
    let taken = snapshot::take(repo, task.checkout(), &ignored, "a snapshot").unwrap();
    assert_eq!(fs::read(task.checkout().git_dir().join("index")).ok(), index, "the index was touched");
    assert_eq!(disk(task.path()), before.0, "the files were touched");
    assert_eq!(tree.git(&["for-each-ref"]), refs, "a ref was touched");

    tree.git(&["update-ref", "refs/wt/trash/task/1", taken.as_str()]);
    fs::rename(task.path(), env.root().join("away")).unwrap();
    worktree::remove_entry(task).unwrap();
    let first = oid(&env.git_in(repo.common_dir(), &["rev-parse", &format!("{taken}^")]));
    let again = worktree::add_detached(repo, task.path(), &first).unwrap();
    snapshot::restore(repo, again.checkout(), &taken).unwrap();
    let tree = env.at(again.path());
    assert_eq!(disk(again.path()), before.0);
    assert_eq!(told(&tree), before.1);
    tree.git(&["fsck", "--strict"]);
    taken.to_string()
}

#[test]
fn a_clean_worktree_comes_back_clean() {
    let (env, repo, task) = setup();
    let taken = round_trip(&env, &repo, &task, &[".env", "none"]);
    assert!(!status::status(task.checkout()).unwrap().dirty());
    assert_eq!(env.git_in(repo.common_dir(), &["log", "-1", "--format=%s|%an", &taken]), "a snapshot|wt");
}

#[test]
fn edits_stages_untracked_and_ignored_files_come_back() {
    let (env, repo, task) = setup();
    let tree = env.at(task.path());
    let path = |name: &str| task.path().join(name);
    tree.write("dir/file 0", "staged\n");
    tree.git(&["add", "-A"]);
    tree.write("dir/file 0", "staged and then edited\r\nwith\nmixed ends");
    tree.write("dir/file 1", "");
    fs::remove_file(path("dir/file 2")).unwrap();
    tree.git(&["rm", "-q", "--cached", "dir/file 3"]);
    tree.git(&["mv", "README.md", "renamed"]);
    fs::set_permissions(path("script"), std::fs::Permissions::from_mode(0o644)).unwrap();
    fs::remove_file(path("link")).unwrap();
    unix::symlink("../outside", path("link")).unwrap();
    tree.write("new/deep/file", b"\0binary\xff");
    tree.write("new/run", "#!/bin/sh\n");
    fs::set_permissions(path("new/run"), std::fs::Permissions::from_mode(0o750)).unwrap();
    unix::symlink("dangling", path("new/link")).unwrap();
    tree.write(" odd\n\"name\"\t\\ ü -x", "odd\n");
    fs::write(task.path().join(OsStr::from_bytes(b"not\xffutf8")), "bytes").unwrap();
    tree.write("-rf", "dash\n");
    tree.write(".env", "SECRET=1\n");
    fs::set_permissions(path(".env"), std::fs::Permissions::from_mode(0o600)).unwrap();
    tree.write("target/debug/x.log", "log\n");
    let taken =
        round_trip(&env, &repo, &task, &[".env", "target", "../../repo/README.md", "/etc/passwd", ""]);
    // git's own stash understands it.
    let plain = worktree::add_detached(
        &repo,
        &env.root().join("plain"),
        &oid(&env.git_in(repo.common_dir(), &["rev-parse", &format!("{taken}^")])),
    )
    .unwrap();
    let plain = env.at(plain.path());
    plain.git(&["stash", "apply", "-q", &taken]);
    assert_eq!(plain.read("dir/file 0"), "staged and then edited\r\nwith\nmixed ends");
    assert_eq!(plain.read("-rf"), "dash\n");
}

/// Large files are not read into memory; they are kept byte for byte all the same.
#[test]
fn large_files_come_back() {
    let (env, repo, task) = setup();
    let tree = env.at(task.path());
    let line = |n: u32| format!("line {n}\r\n");
    let large: String = (0..1_000_000).map(line).collect();
    assert!(large.len() > 8 << 20);
    tree.write("new/-large file", &large);
    tree.write("dir/file 1", format!("{large}.\n"));
    tree.write(".env", large);
    fs::set_permissions(task.path().join("new/-large file"), std::fs::Permissions::from_mode(0o700)).unwrap();
    round_trip(&env, &repo, &task, &[".env"]);
}

#[test]
fn conflicts_come_back_with_all_their_stages() {
    let (env, repo, task) = setup();
    let tree = env.at(task.path());
    tree.git(&["checkout", "-q", "-b", "other"]);
    tree.write("dir/file 0", "theirs\n");
    tree.write("both", "theirs\n");
    fs::remove_file(task.path().join("dir/file 1")).unwrap();
    tree.commit_all("theirs");
    tree.git(&["checkout", "-q", "wt/task"]);
    tree.write("dir/file 0", "ours\n");
    tree.write("both", "ours\n");
    tree.write("dir/file 1", "ours\n");
    tree.commit_all("ours");
    assert!(!tree.try_git(&["merge", "other"]).status.success());
    tree.write("dir/file 0", "half resolved\n");
    fs::remove_file(task.path().join("both")).unwrap();
    tree.write("staged", "beside\n");
    tree.git(&["add", "staged"]);
    round_trip(&env, &repo, &task, &[]);
    assert_eq!(status::status(task.checkout()).unwrap().unmerged, ["both", "dir/file 0", "dir/file 1"]);
}

#[test]
fn flags_of_the_index_come_back() {
    let (env, repo, task) = setup();
    let tree = env.at(task.path());
    tree.write("intended", "text\n");
    tree.write("run", "text\n");
    fs::set_permissions(task.path().join("run"), std::fs::Permissions::from_mode(0o755)).unwrap();
    tree.write("intended and gone", "text\n");
    tree.write("x.log", "ignored and intended\n");
    tree.git(&["add", "-N", "-f", "intended", "run", "intended and gone", "x.log"]);
    fs::remove_file(task.path().join("intended and gone")).unwrap();
    tree.git(&["update-index", "--assume-unchanged", "dir/file 0"]);
    tree.write("dir/file 0", "hidden edit\n");
    tree.git(&["update-index", "--skip-worktree", "dir/file 1", "dir/file 2"]);
    tree.write("dir/file 1", "hidden too\n");
    fs::remove_file(task.path().join("dir/file 2")).unwrap();
    round_trip(&env, &repo, &task, &[]);
}

#[test]
fn unusual_forms_of_the_index_are_understood() {
    for form in ["--split-index", "--index-version=4", "--untracked-cache"] {
        let (env, repo, task) = setup();
        let tree = env.at(task.path());
        tree.git(&["update-index", form]);
        tree.write("dir/file 0", "staged\n");
        tree.write("new", "staged\n");
        tree.git(&["add", "-A"]);
        tree.write("dir/file 0", "edited\n");
        tree.write("untracked", "x\n");
        round_trip(&env, &repo, &task, &[]);
    }
    let (env, repo, task) = setup();
    let tree = env.at(task.path());
    tree.git(&["sparse-checkout", "set", "--no-cone", "/dir/", "/script"]);
    tree.write("dir/file 0", "edited\n");
    tree.write("dir/new", "new\n");
    round_trip(&env, &repo, &task, &[]);
}

#[test]
fn files_and_folders_may_have_changed_places() {
    let (env, repo, task) = setup();
    let tree = env.at(task.path());
    fs::remove_dir_all(task.path().join("dir")).unwrap();
    tree.write("dir", "now a file\n");
    fs::remove_file(task.path().join("link")).unwrap();
    tree.write("link/inner", "now a folder\n");
    fs::remove_file(task.path().join("script")).unwrap();
    unix::symlink("link", task.path().join("script")).unwrap();
    round_trip(&env, &repo, &task, &[]);
}

#[test]
fn empty_bare_and_unborn_worktrees_work() {
    let (env, repo, task) = setup();
    for entry in fs::read_dir(task.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else if !path.ends_with(".git") {
            fs::remove_file(path).unwrap();
        }
    }
    round_trip(&env, &repo, &task, &[]);

    let (env, repo, task) = setup();
    fs::remove_file(task.checkout().git_dir().join("index")).unwrap();
    env.at(task.path()).write("untracked", "x");
    let tree = env.at(task.path());
    let before = (disk(task.path()), tree.git(&["status", "--porcelain"]));
    let taken = snapshot::take(&repo, task.checkout(), &[], "without index").unwrap();
    let again =
        worktree::add_detached(&repo, &env.root().join("again"), &task.checkout().head().unwrap().unwrap());
    let again = again.unwrap();
    snapshot::restore(&repo, again.checkout(), &taken).unwrap();
    let tree = env.at(again.path());
    assert_eq!((disk(again.path()), tree.git(&["status", "--porcelain"])), before);

    let (env, repo, task) = setup();
    let tree = env.at(task.path());
    tree.git(&["checkout", "-q", "--orphan", "fresh"]);
    tree.write("dir/file 0", "unborn\n");
    round_trip(&env, &repo, &task, &[]);
}

#[test]
fn an_edit_in_the_same_tick_is_not_missed() {
    let (env, repo, task) = setup();
    let tree = env.at(task.path());
    for round in 0..5 {
        tree.write("dir/file 0", format!("{round}a"));
        tree.git(&["add", "-A"]);
        tree.write("dir/file 0", format!("{round}b"));
        let taken = snapshot::take(&repo, task.checkout(), &[], "racy").unwrap();
        assert_eq!(tree.git(&["show", &format!("{taken}:dir/file 0")]), format!("{round}b"));
        assert_eq!(tree.git(&["show", &format!("{taken}^2:dir/file 0")]), format!("{round}a"));
    }
}

#[test]
fn filters_and_line_ends_do_not_change_what_is_kept() {
    let (env, repo, task) = setup();
    let tree = env.at(task.path());
    tree.git(&["config", "filter.up.clean", "tr a-z A-Z"]);
    tree.git(&["config", "filter.up.smudge", "tr A-Z a-z"]);
    tree.write(".gitattributes", "*.up filter=up\n*.txt text eol=crlf\n*.id ident\n");
    tree.write("a.up", "hello\n");
    tree.write("b.txt", "one\r\ntwo\r\n");
    tree.write("c.id", "$Id$\n");
    tree.commit_all("attributes");
    tree.write("a.up", "Mixed Case\n");
    tree.write("b.txt", "one\nmixed\r\n");
    tree.write("c.id", "$Id: something else $\nmore\n");
    tree.write("new.txt", "lf\n");
    round_trip(&env, &repo, &task, &[]);
}

#[test]
fn inner_repositories_are_refused_by_name() {
    let (env, repo, task) = setup();
    let take = || match snapshot::take(&repo, task.checkout(), &["target".to_owned()], "x") {
        Err(GitError::Nested { path }) => path,
        other => panic!("{other:?}"),
    };
    let init = |path: &str| {
        fs::create_dir_all(task.path().join(path)).unwrap();
        env.git_in(&task.path().join(path), &["init", "-q"]);
    };
    init("a/empty");
    assert_eq!(take(), "a/empty/");
    fs::remove_dir_all(task.path().join("a")).unwrap();
    init("inner");
    env.at(&task.path().join("inner")).commit("x", "x");
    assert_eq!(take(), "inner/");
    let refused = commit_all(task.checkout(), &[], "all");
    assert!(matches!(refused, Err(GitError::Nested { path }) if path == "inner"));
    // Once it is in the index it is a submodule, and its content is still elsewhere.
    env.at(task.path()).git(&["-c", "advice.addEmbeddedRepo=false", "add", "inner"]);
    assert_eq!(take(), "inner");
    env.at(task.path()).git(&["rm", "-q", "-f", "--cached", "inner"]);
    fs::remove_dir_all(task.path().join("inner")).unwrap();
    init("target/inner");
    assert_eq!(take(), "target/inner");
}

#[test]
fn restoring_needs_the_right_place() {
    let (env, repo, task) = setup();
    let taken = snapshot::take(&repo, task.checkout(), &[], "x").unwrap();
    env.at(task.path()).commit("more", "more");
    let refused = snapshot::restore(&repo, task.checkout(), &taken);
    assert!(matches!(refused, Err(GitError::Moved { .. })), "{refused:?}");
    let head = task.checkout().head().unwrap().unwrap();
    let refused = snapshot::restore(&repo, task.checkout(), &head);
    assert!(matches!(refused, Err(GitError::Unreadable { .. })), "{refused:?}");
}

#[test]
fn everything_is_committed_for_the_agent_but_what_was_lent() {
    let (env, _repo, task) = setup();
    let tree = env.at(task.path());
    let witness = env.root().join("witness");
    tree.git(&["config", "core.hooksPath", "hooks"]);
    tree.git(&["config", "commit.gpgsign", "true"]);
    tree.write("hooks/pre-commit", format!("#!/bin/sh\ntouch {}\nexit 1\n", witness.display()));
    fs::set_permissions(task.path().join("hooks/pre-commit"), std::fs::Permissions::from_mode(0o755))
        .unwrap();
    tree.write("dir/file 0", "edited\n");
    fs::remove_file(task.path().join("dir/file 1")).unwrap();
    tree.write("lent [1].txt", "secret\n");
    tree.write("lent [1].txtx", "not lent\n");
    tree.write("lent/dir/file", "secret\n");
    tree.git(&["add", "-A"]);
    tree.write(".env", "SECRET\n");
    let except = ["lent [1].txt".to_owned(), "lent".to_owned(), ".env".to_owned()];
    let made = commit_all(task.checkout(), &except, "for the agent\n\n# kept\n").unwrap().unwrap();
    assert_eq!(tree.head(), made.as_str());
    assert_eq!(tree.git(&["log", "-1", "--format=%an|%B"]), "Ada Tester|for the agent\n\n# kept");
    let changed = tree.git(&["diff-tree", "-r", "--name-status", "HEAD^", "HEAD"]);
    assert_eq!(changed, "M\tdir/file 0\nD\tdir/file 1\nA\thooks/pre-commit\nA\tlent [1].txtx");
    assert_eq!(tree.git(&["status", "--porcelain"]), "?? \"lent [1].txt\"\n?? lent/");
    assert_eq!(commit_all(task.checkout(), &except, "again").unwrap(), None);
    assert!(!witness.exists(), "a hook ran");
}

#[test]
fn nothing_is_committed_in_the_middle_of_something() {
    let (env, _repo, task) = setup();
    let tree = env.at(task.path());
    tree.git(&["checkout", "-q", "-b", "other"]);
    tree.commit("dir/file 0", "theirs\n");
    tree.git(&["checkout", "-q", "wt/task"]);
    let head = tree.commit("dir/file 0", "ours\n");
    for (begin, abort) in [("merge", "merge"), ("rebase", "rebase"), ("cherry-pick", "cherry-pick")] {
        assert!(!tree.try_git(&[begin, "other"]).status.success());
        let refused = commit_all(task.checkout(), &[], "markers");
        assert!(
            matches!(&refused, Err(GitError::Worktree { reason: WorktreeTrouble::Unfinished(_), .. })),
            "{begin}: {refused:?}"
        );
        tree.git(&[abort, "--abort"]);
        assert_eq!(tree.head(), head);
    }
    assert!(!tree.try_git(&["merge", "other"]).status.success());
    tree.write("dir/file 0", "resolved\n");
    tree.git(&["add", "-A"]);
    commit_all(task.checkout(), &[], "resolved").unwrap().unwrap();
    assert_eq!(tree.git(&["rev-list", "--parents", "-1", "HEAD"]).split(' ').count(), 3, "a merge");
}

/// One thing that happens to a path of the worktree.
#[derive(Debug, Clone)]
enum Act {
    Write(usize, u8),
    Remove(usize),
    Link(usize, u8),
    Exec(usize),
    Stage(usize),
    Intend(usize),
    Unstage(usize),
    Commit,
}

const NAMES: [&str; 8] =
    ["dir/file 0", "dir/file 1", "link", "script", "new", "new dir/a", "new dir/b\n", "x.log"];

fn act() -> impl Strategy<Value = Act> {
    let path = 0..NAMES.len();
    prop_oneof![
        4 => (path.clone(), 0..3u8).prop_map(|(p, v)| Act::Write(p, v)),
        2 => path.clone().prop_map(Act::Remove),
        1 => (path.clone(), 0..3u8).prop_map(|(p, v)| Act::Link(p, v)),
        1 => path.clone().prop_map(Act::Exec),
        3 => path.clone().prop_map(Act::Stage),
        1 => path.clone().prop_map(Act::Intend),
        1 => path.prop_map(Act::Unstage),
        1 => Just(Act::Commit),
    ]
}

fn perform(tree: &TestRepo, act: &Act) {
    let place = |p: usize| tree.path().join(NAMES[p]);
    match *act {
        Act::Write(p, value) => {
            let _ = fs::remove_file(place(p));
            tree.write(NAMES[p], format!("{value}\n"));
        }
        Act::Remove(p) => drop(fs::remove_file(place(p))),
        Act::Link(p, value) => {
            let _ = fs::remove_file(place(p));
            fs::create_dir_all(place(p).parent().unwrap()).unwrap();
            unix::symlink(format!("to {value}"), place(p)).unwrap();
        }
        Act::Exec(p) => {
            if fs::symlink_metadata(place(p)).is_ok_and(|there| there.is_file()) {
                fs::set_permissions(place(p), std::fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
        // These may fail where there is nothing to do.
        Act::Stage(p) => drop(tree.try_git(&["add", "-f", "--", NAMES[p]])),
        Act::Intend(p) => drop(tree.try_git(&["add", "-N", "-f", "--", NAMES[p]])),
        Act::Unstage(p) => drop(tree.try_git(&["reset", "-q", "--", NAMES[p]])),
        Act::Commit => drop(tree.try_git(&["commit", "-q", "-m", "c"])),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_state_survives_the_round_trip(acts in prop::collection::vec(act(), 1..14)) {
        let (env, repo, task) = setup();
        for act in &acts {
            perform(&env.at(task.path()), act);
        }
        round_trip(&env, &repo, &task, &["x.log"]);
    }
}
