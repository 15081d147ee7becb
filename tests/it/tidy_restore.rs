//! `wt restore`: everything that a workspace held comes back, and nothing is overwritten.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use fs_err as fs;

use crate::env::TestRepo;
use crate::program::{Program, ran};
use crate::tidy_gc::{kinds, land, open};

fn mode(path: &Path, bits: u32) {
    fs::set_permissions(path, std::fs::Permissions::from_mode(bits)).unwrap();
}

/// Everything that a workspace is: files with their bytes and modes, index, `HEAD`, branch, status.
pub(crate) fn portrait(tree: &TestRepo) -> Vec<String> {
    let mut lines = vec![
        tree.head(),
        tree.git(&["branch", "--show-current"]),
        tree.git(&["ls-files", "--stage"]),
        tree.git(&["status", "--porcelain=v2", "--untracked-files=all"]),
        tree.git(&["diff", "--cached", "--binary"]),
        tree.git(&["diff", "--binary"]),
    ];
    let mut folders = vec![tree.path().to_owned()];
    while let Some(folder) = folders.pop() {
        let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries.into_iter().filter(|path| path.file_name().unwrap() != ".git") {
            let about = fs::symlink_metadata(&path).unwrap();
            let bits = about.permissions().mode() & 0o777;
            if about.is_symlink() {
                lines.push(format!("{} -> {}", path.display(), fs::read_link(&path).unwrap().display()));
            } else if about.is_dir() {
                folders.push(path);
            } else {
                lines.push(format!("{} {bits:o} {:?}", path.display(), fs::read(&path).unwrap()));
            }
        }
    }
    lines
}

/// Fault row 34.
#[test]
fn row_34_everything_comes_back_byte_by_byte() {
    let program = Program::new();
    program.repo.write(".gitignore", ".env*\n");
    program.repo.write("crlf", "a\r\nb\r\n");
    program.repo.write("script", "#!/bin/sh\n");
    program.repo.write("doomed", "x\n");
    program.repo.write("kept/deep", "x\n");
    program.repo.commit_all("files");
    program.repo.write(".env", "SECRET=1\n");
    program.repo.write(".env.same", "SAME=1\n");

    let tree = open(&program, "x");
    tree.commit("done", "done\n");
    tree.write("crlf", "a\r\nc\r\n\0\n");
    tree.git(&["add", "crlf"]);
    tree.write("crlf", "a\r\nd\n");
    mode(&tree.path().join("script"), 0o755);
    fs::remove_file(tree.path().join("doomed")).unwrap();
    tree.git(&["rm", "-q", "--cached", "kept/deep"]);
    tree.write("new/binary", b"\0\xff\r\n");
    tree.write("new/tool", "#!/bin/sh\n");
    mode(&tree.path().join("new/tool"), 0o755);
    mode(&tree.path().join("new/binary"), 0o600);
    fs_err::os::unix::fs::symlink("../nowhere", tree.path().join("new/link")).unwrap();
    tree.write("staged", "only in the index\n");
    tree.git(&["add", "staged"]);
    tree.write(".env", "SECRET=2\n");
    let before = portrait(&tree);
    assert!(before.iter().any(|line| line.contains(".env.same")), "{before:#?}");

    let dry = program.wt(&["gc", "x", "--force", "--dry-run"]).ok();
    assert!(dry.contains("would remove x: forced, with 1 unlanded commit and uncommitted changes"), "{dry}");
    assert_eq!(portrait(&tree), before, "a dry run changes nothing");
    let told = program.wt(&["gc", "x", "--force", "--json"]).json();
    assert_eq!(told["removed"][0]["trash"], "refs/wt/trash/x/1");
    assert!(!tree.path().exists());
    assert_eq!(program.state_of("x"), "removed");

    let told = program.wt(&["restore", "x", "--json"]).json();
    assert_eq!(told["state"], "open");
    assert_eq!(told["worktree"], tree.path().to_string_lossy().as_ref());
    assert_eq!(portrait(&tree), before);
    assert_eq!(program.task("x")["state"], "open");
    // And once more, for the edited copied-in file must not be forgotten on the way.
    program.wt(&["gc", "x", "--force"]).ok();
    program.wt(&["restore", "x"]).ok();
    assert_eq!(portrait(&tree), before, "a second time");
}

#[test]
fn a_detached_head_and_its_branch_both_come_back() {
    let program = Program::new();
    let tree = open(&program, "x");
    let on_branch = tree.commit("a", "a\n");
    tree.git(&["checkout", "-q", "--detach", "HEAD~1"]);
    let detached = tree.commit("b", "b\n");
    program.wt(&["gc", "x", "--force"]).ok();
    program.wt(&["restore", "x"]).ok();
    assert_eq!(tree.head(), detached);
    assert_eq!(program.repo.rev("wt/x"), on_branch);
}

#[test]
fn the_state_is_the_one_before_the_removal() {
    let program = Program::new();
    program.spawn("a", &["write:f=x", "commit:work"], &["--wait"]).ok();
    assert_eq!(program.state_of("a"), "done");
    program.wt(&["gc", "a", "--force"]).ok();
    assert_eq!(program.state_of("a"), "removed");
    let told = program.wt(&["restore", "a"]).ok();
    assert!(told.starts_with("a is done again, on wt/a in "), "{told}");
    assert_eq!(program.task("a")["ahead"], 1);
    land(&program, "a");
    program.wt(&["gc"]).ok();
    program.wt(&["restore", "a"]).ok();
    assert_eq!(program.state_of("a"), "landed");
    assert_eq!(program.env.at(&program.worktree("a")).read("f"), "x");
}

#[test]
fn what_is_in_the_way_is_refused_and_nothing_is_changed() {
    let program = Program::new();
    let tree = open(&program, "x");
    let head = tree.commit("a", "a\n");
    assert!(program.wt(&["restore", "x"]).fails(1).contains("a task named `x` is open"));
    assert!(program.wt(&["restore", "y"]).fails(1).contains("there is no task `y`"));
    assert!(program.wt(&["restore", "../y"]).fails(1).contains("not a task name"));
    program.wt(&["gc", "x", "--force"]).ok();

    fs::create_dir(tree.path()).unwrap();
    tree_file(&tree, "mine");
    assert!(program.wt(&["restore", "x"]).fails(1).contains("exists already"));
    assert_eq!(tree.read("mine"), "mine");
    fs::remove_dir_all(tree.path()).unwrap();

    program.repo.git(&["branch", "wt/x", "main"]);
    let taken = program.wt(&["restore", "x"]).fails(1);
    assert!(taken.contains("branch `wt/x` exists already"), "{taken}");
    assert!(taken.contains("hint: git branch -m wt/x wt/x-kept"), "{taken}");
    program.repo.git(&["branch", "-m", "wt/x", "wt/x-kept"]);

    // A namesake has the name; each has its own trash.
    let second = open(&program, "x");
    second.write("second", "second\n");
    assert!(program.wt(&["restore", "x@1"]).fails(1).contains("a task named `x` is open"));
    program.wt(&["gc", "x", "--force"]).ok();
    program.wt(&["restore", "x@1"]).ok();
    assert_eq!(tree.head(), head);
    assert!(!tree.path().join("second").exists());
    assert!(program.wt(&["restore", "x"]).fails(1).contains("is open") || program.state_of("x") == "removed");
}

/// git does not see what stands at `.shared`; an agent may have put a folder there instead of the link.
#[test]
fn an_agents_own_shared_folder_comes_back() {
    let program = Program::new();
    let tree = open(&program, "x");
    fs::remove_file(tree.path().join(".shared")).unwrap();
    tree.write(".shared/progress/x.md", "learned\n");
    program.wt(&["gc", "x", "--force"]).ok();
    program.wt(&["restore", "x"]).ok();
    assert_eq!(tree.read(".shared/progress/x.md"), "learned\n");
}

/// The journal was rolled since, and its new part does not know the task any more.
#[test]
fn a_task_that_only_the_rolled_journal_knows_comes_back() {
    let program = Program::new();
    let tree = open(&program, "x");
    tree.commit("a", "a\n");
    program.wt(&["gc", "x", "--force"]).ok();
    let state = program.state();
    fs::rename(state.join("journal.jsonl"), state.join("journal-0001.jsonl")).unwrap();
    open(&program, "other");
    program.wt(&["restore", "x"]).ok();
    assert_eq!(tree.read("a"), "a\n");
    assert_eq!((program.state_of("x"), program.state_of("other")), ("open".to_owned(), "open".to_owned()));
    assert_eq!(
        program.wt(&["doctor", "--json"]).json()["findings"].to_string().matches("journal").count(),
        0
    );
}

/// Killed when the journal has it: it is restored, and says so.
#[test]
fn a_restore_that_was_killed_after_the_journal_is_complete() {
    let program = Program::new();
    let tree = open(&program, "x");
    tree.write("new", "new\n");
    program.wt(&["gc", "x", "--force"]).ok();
    let mut command = program.command(&["restore", "x"]);
    let killed = ran(command.env("WT_FAILPOINT", "journal.after_append").output().unwrap());
    assert_eq!(killed.code, -1, "{killed:?}");
    assert!(program.wt(&["restore", "x"]).fails(1).contains("a task named `x` is open"));
    assert_eq!(tree.read("new"), "new\n");
    assert_eq!(kinds(&program.wt(&["doctor", "--json"]).json()), Vec::<&str>::new());
}

fn tree_file(tree: &TestRepo, name: &str) {
    fs::write(tree.path().join(name), name).unwrap();
}

#[test]
fn an_older_task_that_came_back_is_the_one_that_its_name_means() {
    let program = Program::new();
    for text in ["first\n", "second\n"] {
        open(&program, "a").commit("f", text);
        program.wt(&["gc", "a", "--force"]).ok();
    }
    program.wt(&["restore", "a@1"]).ok();
    assert_eq!(program.state_of("a"), "open");
    let path = program.wt(&["path", "a"]).ok();
    assert_eq!(program.env.at(path.trim().as_ref()).read("f"), "first\n");
    assert!(program.wt(&["spawn", "a", "--no-agent"]).fails(1).contains("open"));
    land(&program, "a");
    assert_eq!(program.repo.read("f"), "first\n");
    program.wt(&["gc", "a"]).ok();
    // Both have ended: the newest again.
    program.wt(&["restore", "a"]).ok();
    assert_eq!(program.env.at(&program.worktree("a")).read("f"), "second\n");
}
