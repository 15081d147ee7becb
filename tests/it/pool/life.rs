//! The pool seen through the program: workspaces of landed tasks come back, and nobody has to know.

use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use fs_err as fs;
use wt::store::{Layout, Lock};

use crate::program::{Program, ran};
use crate::tidy_gc::{kinds, open};

fn with_pool() -> Program {
    let mut program = Program::new();
    program.pool = "2";
    program
}

/// Waits until there is a spare at the tip of `main`.
fn ready(program: &Program) {
    let wanted = format!("wt: spare at {}", program.repo.rev("main"));
    program.until("a spare", || {
        program.repo.git(&["worktree", "list", "--porcelain"]).contains(&wanted).then_some(())
    });
}

fn inode(program: &Program, name: &str) -> u64 {
    fs::metadata(program.worktree(name)).unwrap().ino()
}

#[test]
fn the_workspace_of_a_landed_task_is_the_next_ones() {
    let program = with_pool();
    let tree = open(&program, "a");
    tree.commit("file", "landed\n");
    let first = inode(&program, "a");
    program.wt(&["done", "a"]).ok();
    program.wt(&["merge", "a"]).ok();
    assert!(!program.worktree("a").exists());
    ready(&program);
    // Nobody sees it.
    let status = program.wt(&["status", "--all", "--json"]).json().to_string();
    assert!(!status.contains(".pool"), "{status}");
    assert_eq!(kinds(&program.wt(&["doctor", "--json"]).json()), Vec::<&str>::new());
    // The target moves on by itself.
    program.repo.commit("file", "moved on\n");
    let tree = open(&program, "b");
    assert_eq!((inode(&program, "b"), tree.read("file").as_str()), (first, "moved on\n"));
    assert_eq!(tree.git(&["status", "--porcelain"]), "");
    assert!(tree.read("CLAUDE.local.md").contains("wt/b"));
    // What was in it comes back from the trash.
    tree.write("new", "work\n");
    program.wt(&["gc", "b", "--force"]).ok();
    ready(&program);
    program.wt(&["restore", "b"]).ok();
    assert_eq!(program.env.at(&program.worktree("b")).read("new"), "work\n");
    // An agent gets one as well.
    program.spawn("c", &["write:x=1"], &["--wait"]).ok();
    assert_eq!(inode(&program, "c"), first);
}

#[test]
fn a_spare_follows_the_target() {
    let program = with_pool();
    open(&program, "a");
    program.wt(&["gc", "a", "--force"]).ok();
    ready(&program);
    program.repo.commit("file", "new\n");
    program.wt(&["gc"]).ok();
    ready(&program);
}

#[test]
fn without_a_pool_the_spares_go() {
    let mut program = with_pool();
    open(&program, "a");
    program.wt(&["gc", "a", "--force"]).ok();
    ready(&program);
    program.pool = "0";
    program.wt(&["gc"]).ok();
    program.until("the spares to go", || {
        let listed = program.repo.git(&["worktree", "list", "--porcelain"]);
        let root = program.env.root().join("repo-worktrees");
        let empty = |name: &str| {
            fs::read_dir(root.join(name)).is_ok_and(|inside| {
                inside.flatten().all(|entry| !entry.file_name().to_string_lossy().contains("spare"))
            })
        };
        (!listed.contains("spare") && empty(".pool") && empty(".trash")).then_some(())
    });
}

#[test]
fn the_doctor_mends_a_pool_whose_keeper_was_killed() {
    let program = with_pool();
    open(&program, "a");
    let mut command = program.command(&["gc", "a", "--force"]);
    ran(command.env("WT_FAILPOINT", "pool.while_washing").output().unwrap()).ok();
    let found = program.until("the kill", || {
        let found = program.wt(&["doctor", "--json"]).json();
        kinds(&found).contains(&"faulty-spare").then_some(found)
    });
    assert!(found.to_string().contains("its preparation was cut short"), "{found}");
    let mended = program.wt(&["doctor", "--fix", "--json"]).json();
    assert_eq!(kinds(&mended), ["faulty-spare"]);
    assert_eq!(mended["findings"][0]["fixed"], true, "{mended}");
    assert!(!program.repo.git(&["worktree", "list"]).contains(".pool"));
    program.wt(&["restore", "a"]).ok();
}

#[test]
fn a_wish_that_comes_while_somebody_tends_is_kept() {
    let program = with_pool();
    open(&program, "a");
    let layout = Layout::below(&program.repo.path().join(".git"));
    let busy = Lock::take(&layout.lock("tend"), Duration::from_secs(30), "a test").unwrap();
    program.wt(&["gc", "a", "--force"]).ok();
    assert!(layout.tend_wanted().exists());
    assert_eq!(program.role("__tend"), Vec::<u32>::new());
    assert_eq!(kinds(&program.wt(&["doctor", "--json"]).json()), Vec::<&str>::new(), "somebody sees to it");
    drop(busy);
    program.wt(&["gc"]).ok();
    ready(&program);
    program.until("the end of it", || program.role("__tend").is_empty().then_some(()));
    assert!(!layout.tend_wanted().exists());
}

#[test]
fn a_gc_that_was_killed_while_it_recycled_is_finished_by_the_next() {
    for point in [
        "pool.after_rename",
        "pool.after_link",
        "pool.after_entry",
        "remove.after_rename",
        "remove.after_branch",
    ] {
        let program = with_pool();
        let tree = open(&program, "a");
        let head = tree.commit("file", "work\n");
        tree.write("new", "untracked\n");
        let mut command = program.command(&["gc", "a", "--force"]);
        assert_eq!(ran(command.env("WT_FAILPOINT", point).output().unwrap()).code, -1, "{point}");
        program.wt(&["gc"]).ok();
        assert!(!program.worktree("a").exists(), "{point}");
        assert!(!program.repo.try_git(&["rev-parse", "-q", "--verify", "wt/a"]).status.success(), "{point}");
        program.until("the end of it", || {
            let found = program.wt(&["doctor", "--json"]).json();
            (kinds(&found).is_empty() && program.role("__tend").is_empty()).then_some(())
        });
        program.wt(&["restore", "a"]).ok();
        assert_eq!((tree.head(), tree.read("new")), (head, "untracked\n".to_owned()), "{point}");
        program.repo.git(&["fsck"]);
    }
}

#[test]
fn a_repository_that_was_moved_forgets_the_spares_of_the_old_place() {
    let program = with_pool();
    open(&program, "a");
    program.wt(&["gc", "a"]).ok();
    ready(&program);
    program.until("the end of it", || program.role("__tend").is_empty().then_some(()));
    let new = program.env.root().join("elsewhere");
    fs::create_dir(&new).unwrap();
    for folder in ["repo", "repo-worktrees"] {
        fs::rename(program.env.root().join(folder), new.join(folder)).unwrap();
    }
    let moved = new.join("repo");
    let found = program.wt_in(&moved, &["doctor", "--json"]).json();
    assert_eq!(kinds(&found), ["faulty-spare", "faulty-spare"], "{found}");
    program.wt_in(&moved, &["doctor", "--fix"]).ok();
    assert_eq!(program.env.at(&moved).git(&["worktree", "list"]).lines().count(), 1);
    program.wt_in(&moved, &["spawn", "b", "--no-agent"]).ok();
    assert_eq!(kinds(&program.wt_in(&moved, &["doctor", "--json"]).json()), Vec::<&str>::new());
}
