//! Room for workspaces: the configured bound, the disk, and what a checkout weighs.

use std::path::Path;

use wt::git::{Repo, weight};
use wt::model::Oid;

use crate::env::Env;
use crate::many::{agent, lines, open};
use crate::program::Program;

const TWO: &str = "[limits]\nworktrees = 2\n";

#[test]
fn the_bound_of_workspaces_is_told_with_a_way_out() {
    let program = Program::new();
    program.configure(TWO);
    program.wt(&["spawn", "a", "--no-agent"]).ok();
    program.wt(&["spawn", "b", "--no-agent"]).ok();
    let said = program.refuses(1, &["spawn", "c", "--no-agent"]);
    assert!(said.contains("`c` cannot be made; nothing was made"), "{said}");
    assert!(said.contains("2 workspaces are there, and `limits.worktrees` allows 2"), "{said}");
    assert!(said.contains("hint: wt gc a"), "{said}");
    program.refuses(1, &["spawn", "c", "--no-agent", "--dry-run"]);
    program.wt(&["gc", "a"]).ok();
    program.wt(&["spawn", "c", "--no-agent"]).ok();
    // Unlanded work is no reason to give it up: the hint is to land it.
    program.env.at(&program.worktree("c")).commit("x", "y");
    program.wt(&["done", "c"]).ok();
    let file = lines(&program, [open("d"), open("e")]);
    let said = program.refuses(1, &["spawn", "--from", &file]);
    assert!(said.contains("hint: wt merge --all") && said.contains("2 workspaces were asked for"), "{said}");
}

#[test]
fn landed_workspaces_go_first_then_stale_ones_and_can_be_restored() {
    let program = Program::new();
    program.configure(&format!("{TWO}[gc]\nstale = \"0s\"\n"));
    program.wt(&["spawn", "stale", "--no-agent"]).ok();
    program.wt(&["spawn", "landed", "--no-agent"]).ok();
    program.env.at(&program.worktree("landed")).commit("x", "y");
    program.wt(&["done", "landed"]).ok();
    program.wt(&["merge", "landed", "--keep"]).ok();
    let ran = program.wt(&["spawn", "c", "--no-agent"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("`landed` made room: landed"), "{}", ran.err);
    assert!(program.worktree("stale").exists() && !program.worktree("landed").exists());
    let ran = program.wt(&["spawn", "d", "--no-agent"]);
    assert!(ran.err.contains("made room: stale: at rest"), "{}", ran.err);
    program.wt(&["gc", "d"]).ok();
    program.wt(&["restore", "stale"]).ok();
    assert!(program.worktree("stale").exists());
}

#[test]
fn a_queue_waits_for_room_and_nobody_waits_in_vain() {
    let program = Program::new();
    program.configure("[limits]\nworktrees = 1\nslots = 3\n");
    let file = lines(&program, ["a", "b", "c"].map(|name| agent(name, &[])));
    program.wt(&["spawn", "--from", &file]).ok();
    // `a` is done and keeps its workspace: nothing more will happen without a person.
    program.wt(&["wait"]).ok();
    assert_eq!(["a", "b", "c"].map(|name| program.state_of(name)), ["done", "queued", "queued"]);
    assert_eq!(program.repo.git(&["worktree", "list"]).lines().count(), 2);
    for (name, next) in [("a", "b"), ("b", "c")] {
        program.wt(&["merge", "--all"]).ok();
        assert_eq!(program.state_of(name), "landed");
        program.wt(&["wait", next, "--timeout", "30s"]).ok();
        assert_eq!(program.state_of(next), "done");
        assert_eq!(program.task(next)["attempt"], 1, "{:#?}", program.journal());
    }
}

#[test]
fn a_disk_without_room_is_refused_before_anything_is_made() {
    let program = Program::new();
    program.configure("[workspace]\nreserve = \"900PB\"\n");
    for args in
        [&["spawn", "a", "--no-agent"][..], &["spawn", "a", "SCRIPT:\n"], &["spawn", "a", "x", "--dry-run"]]
    {
        let said = program.refuses(1, args);
        assert!(said.contains("1 workspace needs ") && said.contains("`workspace.reserve`"), "{said}");
    }
    let file = lines(&program, [open("a"), agent("b", &[]), agent("c", &["b"])]);
    let said = program.refuses(1, &["spawn", "--from", &file]);
    assert!(said.contains("2 workspaces need "), "what waits needs none yet: {said}");
    // What only waits costs no disk.
    program.configure("[limits]\nslots = 1\n");
    let go = format!("wait-for:{}", program.env.root().join("go").display());
    program.spawn("busy", &[&go, "write:x=y", "commit:x"], &[]).ok();
    program.configure("[limits]\nslots = 1\n[workspace]\nreserve = \"900PB\"\n");
    program.spawn("queued", &["write:z=y", "commit:z"], &["--retries", "0"]).ok();
    std::fs::write(program.env.root().join("go"), "").unwrap();
    // Its runner finds the disk full, and waits for it without using up a try.
    program.until("the wait for the disk", || (program.task("queued")["reason"] == "room").then_some(()));
    let task = program.task("queued");
    assert_eq!(task["state"], "waiting");
    assert!(task["outcome"].as_str().unwrap().contains("1 workspace needs"), "{task}");
    assert!(!program.worktree("queued").exists());
    // Others of the queue would find the same: they stay where they are.
    program.configure("[limits]\nslots = 2\n[workspace]\nreserve = \"900PB\"\n");
    program.spawn("later", &["write:w=y", "commit:w"], &["--after", "busy"]).ok();
    program.configure("[limits]\nslots = 1\n");
    program.wt(&["wait", "busy", "queued", "--timeout", "30s"]).ok();
    assert_eq!((program.state_of("busy"), program.state_of("queued")), ("done".into(), "done".into()));
}

#[test]
fn no_hint_of_a_full_disk_takes_anything_away_for_good() {
    let mut program = Program::new();
    program.pool = "1";
    program.repo.write(".gitignore", "target/\n");
    program.repo.commit_all("ignore");
    for name in ["built", "spare"] {
        program.wt(&["spawn", name, "--no-agent"]).ok();
    }
    let built = program.worktree("built");
    std::fs::create_dir(built.join("target")).unwrap();
    std::fs::write(built.join("target/o"), "o".repeat(100_000)).unwrap();
    let commit = ["exec", "built", "--", "sh", "-c", "echo x > x && git add x && git commit -qm x"];
    program.wt(&commit).ok();
    program.wt(&["done", "built"]).ok();
    program.wt(&["gc", "spare"]).ok();
    let spares = || program.repo.git(&["worktree", "list"]).matches("/.pool/").count();
    program.until("the spare", || {
        program.repo.git(&["worktree", "list", "--porcelain"]).contains("wt: spare at ").then_some(())
    });
    assert_eq!(spares(), 1);
    program.configure("[workspace]\nreserve = \"900PB\"\n");
    let said = program.refuses(1, &["spawn", "more", "--no-agent"]);
    assert!(said.contains("build output of tasks at rest takes 10"), "{said}");
    assert!(said.contains("1 workspace is kept as a spare: about "), "{said}");
    let hints: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("hint: ")).collect();
    assert_eq!(hints, ["wt gc --artifacts", "wt gc"], "{said}");
    // Both work, and lose nothing.
    program.wt(&["gc", "--artifacts"]).ok();
    assert!(!built.join("target").exists() && built.join("x").exists());
    program.wt(&["gc"]).ok();
    program.until("the spare to go", || (spares() == 0).then_some(()));
    assert_eq!(program.state_of("built"), "done");
    program.wt(&["restore", "spare"]).ok();
    let said = program.wt(&["spawn", "more", "--no-agent"]).fails(1);
    assert!(!said.contains("rm ") && said.contains("hint: see what takes the space"), "{said}");
}

fn weighed(repo: &Path, rev: &str) -> weight::Weight {
    let found = Repo::discover(repo).unwrap();
    let commit = found.commit(rev).unwrap();
    weight::of_commit(&found, &commit, Path::new("/nowhere/weights")).unwrap()
}

#[test]
fn a_checkout_weighs_what_the_disk_says() {
    let (env, repo) = Env::with_repo();
    for n in 0..50_usize {
        repo.write(&format!("a/b{}/f{n}", n % 7), "x".repeat(n * 977));
    }
    repo.write("a-b/c/d/e", "deep");
    repo.commit_all("files");
    let by_index = weighed(repo.path(), "HEAD");
    // Without the index, the objects tell the same.
    let other = env.root().join("other.git");
    repo.git(&["clone", "-q", "--bare", ".", &other.to_string_lossy()]);
    assert_eq!(weighed(&other, "HEAD"), by_index);
    let tree = env.root().join("tree");
    repo.git(&["worktree", "add", "-q", "--detach", &tree.to_string_lossy()]);
    let listed = env.command("find", &tree).arg(".").output().unwrap();
    let files = String::from_utf8(listed.stdout).unwrap().lines().count() as u64;
    // git's own `.git` file is one more.
    assert_eq!(by_index.files, files - 1);
    // Another tree than the index has.
    repo.commit("more", &"y".repeat(5000));
    let more = weighed(repo.path(), "HEAD");
    assert_eq!((more.files, weighed(repo.path(), "HEAD~1")), (by_index.files + 1, by_index));
    let grown = more.bytes - by_index.bytes;
    assert!((8192..9000).contains(&grown), "{grown}");
}

#[test]
fn a_weight_is_remembered_and_garbage_is_not_believed() {
    let (env, repo) = Env::with_repo();
    let found = Repo::discover(repo.path()).unwrap();
    let commit = Oid::parse(&repo.head()).unwrap();
    let remembered = env.root().join("weights");
    std::fs::write(&remembered, "\u{0}garbage\nmore 1\n").unwrap();
    let first = weight::of_commit(&found, &commit, &remembered).unwrap();
    let text = std::fs::read_to_string(&remembered).unwrap();
    let tree = repo.rev("HEAD^{tree}");
    assert_eq!(text, format!("{tree} {} {}\n", first.bytes, first.files));
    std::fs::write(&remembered, format!("{tree} 7 8\n")).unwrap();
    let again = weight::of_commit(&found, &commit, &remembered).unwrap();
    assert_eq!((again.bytes, again.files), (7, 8));
}

/// A tree that holds itself ten times over, ten levels deep, is weighed at once, and refused.
#[test]
fn a_tree_that_would_fill_any_disk_is_refused() {
    let program = Program::new();
    let blob = program.repo.rev("HEAD:README.md");
    let mut below = format!("100644 blob {blob}\tf\n");
    for _ in 0..12 {
        let list = program.env.root().join("list");
        std::fs::write(&list, &below).unwrap();
        let mut mktree = program.env.command("git", program.repo.path());
        let made = mktree.arg("mktree").stdin(std::fs::File::open(&list).unwrap()).output().unwrap();
        let tree = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        below = (0..10).fold(String::new(), |all, n| all + &format!("040000 tree {tree}\td{n}\n"));
    }
    let tree = below.split_whitespace().nth(2).unwrap().to_owned();
    let commit = program.repo.git(&["commit-tree", &tree, "-m", "bomb"]);
    let said = program.refuses(1, &["spawn", "a", "--no-agent", "--base", &commit]);
    assert!(said.contains("1 workspace needs") && said.contains("TiB"), "{said}");
}
