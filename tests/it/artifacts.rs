//! `wt gc --artifacts`: build output of idle workspaces goes, and nothing else does.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use serde_json::Value;
use wt::model::Event;

use crate::env::TestRepo;
use crate::program::{Program, ran};
use crate::tidy_gc::{land, oid, open, tell};

fn ignoring(lines: &str) -> Program {
    let program = Program::new();
    program.repo.commit(".gitignore", lines);
    program
}

/// A task at rest whose workspace has build output in `target/`.
fn at_rest(program: &Program, name: &str) -> TestRepo {
    let tree = open(program, name);
    rest(program, name);
    tree.write("target/debug/app", vec![b'x'; 100_000]);
    tree
}

/// Brings a person's workspace to rest: what was in it did not pass.
fn rest(program: &Program, name: &str) {
    let head = oid(&program.repo.rev(&format!("wt/{name}")));
    let onto = oid(&program.repo.head());
    let rejected = Event::Rejected { reason: "red".to_owned(), onto, log: None };
    tell(program, &format!("{name}@1"), vec![Event::LandingStarted { head }, rejected]);
}

fn artifacts(program: &Program, more: &[&str]) -> Value {
    let args: Vec<&str> = ["gc", "--artifacts", "--json"].into_iter().chain(more.iter().copied()).collect();
    program.wt(&args).json()
}

/// The folders that went (or would go), as `NAME:PATH`.
fn dropped(answer: &Value) -> Vec<String> {
    let mut all = Vec::new();
    for one in answer["dropped"].as_array().unwrap() {
        for folder in one["folders"].as_array().unwrap() {
            all.push(format!("{}:{}", one["name"].as_str().unwrap(), folder["path"].as_str().unwrap()));
        }
    }
    all
}

fn kept(answer: &Value, name: &str) -> String {
    let all = answer["kept"].as_array().unwrap();
    let one = all.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("no {name}: {answer}"));
    one["why"].as_str().unwrap().to_owned()
}

/// Everything of a workspace that dropping must not change.
fn standing(tree: &TestRepo) -> String {
    [tree.git(&["status", "--porcelain"]), tree.git(&["ls-files", "-s"]), tree.rev("HEAD")].join("\n--\n")
}

fn trash(program: &Program) -> Vec<String> {
    let folder = program.env.root().join("repo-worktrees/.trash");
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn caches_go_at_every_depth_and_the_rest_stays() {
    let program = ignoring("target/\nnode_modules/\nvenv/\n*.log\n");
    let tree = at_rest(&program, "a");
    tree.write("web/app/node_modules/pkg/index.js", "x");
    tree.write("venv/lib/target/nested", "x");
    tree.write("venv/lib/keep", "x");
    tree.write("run.log", "x");
    tree.write("notes.txt", "not tracked");
    tree.write("README.md", "edited\n");
    let before = standing(&tree);

    let plan = artifacts(&program, &["--dry-run"]);
    let all = ["a:target", "a:venv/lib/target", "a:web/app/node_modules"];
    assert_eq!(dropped(&plan), all, "{plan}");
    assert_eq!(plan["dry_run"], true);
    assert!(plan["bytes"].as_u64().unwrap() > 100_000, "{plan}");
    assert!(tree.path().join("target/debug/app").exists(), "a dry run drops nothing");
    assert_eq!(trash(&program), [""; 0]);

    let answer = artifacts(&program, &[]);
    assert_eq!(dropped(&answer), all, "{answer}");
    assert_eq!(answer["bytes"], plan["bytes"]);
    assert_eq!(answer["dropped"][0]["why"], "at rest: rejected");
    for gone in ["target", "venv/lib/target", "web/app/node_modules"] {
        assert!(!tree.path().join(gone).exists(), "{gone}");
    }
    for stays in ["venv/lib/keep", "run.log", "notes.txt", "CLAUDE.local.md", ".shared/notes", "web/app"] {
        assert!(tree.path().join(stays).exists(), "{stays}");
    }
    assert_eq!(standing(&tree), before);
    assert_eq!(trash(&program), [""; 0], "deleted, not only moved");
    assert_eq!(dropped(&artifacts(&program, &[])), [""; 0], "nothing is left to drop");
}

#[test]
fn what_is_tracked_linked_brought_in_or_another_repository_stays() {
    let program = Program::new();
    program.repo.write("target/tracked.txt", "a fixture\n");
    program.repo.commit_all("a tracked target");
    program.repo.commit(".gitignore", "target\nnode_modules\n.env*\nout/target/\n");
    program.repo.write("out/target/seed.bin", "brought in\n");
    program.configure("[workspace]\ncopy = [\"out/target/*.bin\"]\n");
    let tree = open(&program, "a");
    rest(&program, "a");
    tree.write("target/debug/app", "ignored, below a folder with a tracked file");
    assert!(tree.path().join("out/target/seed.bin").exists(), "the copy was made");
    let far = program.env.root().join("far");
    std::fs::create_dir_all(far.join("deep")).unwrap();
    std::fs::write(far.join("precious"), "x").unwrap();
    std::fs::create_dir_all(tree.path().join("web")).unwrap();
    symlink(&far, tree.path().join("web/node_modules")).unwrap();
    tree.write("lib/node_modules/dep/index.js", "x");
    symlink(&far, tree.path().join("lib/node_modules/link")).unwrap();
    // A repository in an ignored cache, and a cache in an ignored repository.
    tree.write("sub/node_modules/clone/.git/HEAD", "ref: refs/heads/main\n");
    let before = standing(&tree);

    let answer = artifacts(&program, &[]);
    assert_eq!(dropped(&answer), ["a:lib/node_modules"], "{answer}");
    let why: Vec<&str> =
        answer["kept"].as_array().unwrap().iter().map(|one| one["why"].as_str().unwrap()).collect();
    assert_eq!(
        why,
        [
            "`out/target`: `workspace.copy` or `workspace.symlink` brought `out/target/seed.bin` into it",
            "`sub/node_modules`: another repository is inside it: `clone`",
        ]
    );
    for stays in
        ["target/tracked.txt", "target/debug/app", "out/target/seed.bin", "web/node_modules/precious"]
    {
        assert!(tree.path().join(stays).exists(), "{stays}");
    }
    assert!(far.join("precious").exists() && far.join("deep").exists(), "a link's target is never touched");
    assert!(!tree.path().join("lib/node_modules").exists());
    assert_eq!(standing(&tree), before);
}

#[test]
fn a_cache_inside_another_repository_is_not_ours() {
    let program = ignoring("vendor/\ntarget/\n");
    let tree = at_rest(&program, "a");
    let inner = program.env.repo("a-clone");
    inner.commit("target/tracked", "their file\n");
    std::fs::create_dir_all(tree.path().join("vendor")).unwrap();
    std::fs::rename(inner.path(), tree.path().join("vendor/clone")).unwrap();
    assert_eq!(dropped(&artifacts(&program, &[])), ["a:target"]);
    assert!(tree.path().join("vendor/clone/target/tracked").exists());
}

#[test]
fn folders_that_nobody_may_write_go_too() {
    let program = ignoring("target/\n");
    let tree = at_rest(&program, "a");
    tree.write("target/mod/pkg@v1/file.go", "x");
    let closed = ["target/mod/pkg@v1", "target/mod", "target"];
    for folder in closed {
        let path = tree.path().join(folder);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o555)).unwrap();
    }
    let answer = artifacts(&program, &[]);
    assert_eq!(dropped(&answer), ["a:target"], "{answer}");
    assert!(!tree.path().join("target").exists());
    assert_eq!(trash(&program), [""; 0]);
}

#[test]
fn who_works_is_left_alone_and_a_person_too_until_named() {
    let program = ignoring("target/\n");
    let flag = program.env.root().join("flag");
    let wait = format!("wait-for:{}", flag.display());
    program.spawn("busy", &["write:target/app=x", &wait], &[]).ok();
    program.file(&program.worktree("busy").join("target/app"));
    let mine = open(&program, "mine");
    mine.write("target/app", "x");
    at_rest(&program, "idle");
    land_one(&program);

    let answer = artifacts(&program, &[]);
    assert_eq!(dropped(&answer), ["idle:target", "landed:target"], "{answer}");
    assert_eq!(kept(&answer, "busy"), "running");
    assert!(kept(&answer, "mine").starts_with("open, used "), "{answer}");
    assert!(program.worktree("busy").join("target/app").exists());

    let refused = program.wt(&["gc", "--artifacts", "busy", "--json"]);
    assert_eq!((refused.code, kept(&refused.json(), "busy").as_str()), (1, "running"));
    let some = program.wt(&["gc", "--artifacts", "busy", "mine", "--json"]);
    assert_eq!((some.code, dropped(&some.json())), (3, vec!["mine:target".to_owned()]));
    assert!(!mine.path().join("target").exists());
    mine.write("target/app", "x");
    assert_eq!(
        dropped(&artifacts(&program, &["--stale", "0"])),
        ["mine:target"],
        "left alone for long enough"
    );
    let none = program.wt(&["gc", "--artifacts", "idle", "--json"]);
    assert_eq!((none.code, kept(&none.json(), "idle").as_str()), (1, "no build output"));
    program.refuses(1, &["gc", "--artifacts", "nobody"]);
    std::fs::write(flag, "").unwrap();
}

fn land_one(program: &Program) {
    let tree = open(program, "landed");
    tree.commit("x.txt", "x\n");
    tree.write("target/app", "x");
    land(program, "landed");
}

#[test]
fn a_held_or_locked_workspace_stays() {
    let program = ignoring("target/\n");
    at_rest(&program, "held");
    at_rest(&program, "locked");
    let lock = wt::store::Lock::try_take(&program.state().join("tasks/held@1/lock")).unwrap().unwrap();
    let path = program.worktree("locked");
    program.repo.git(&["worktree", "lock", "--reason", "on a stick", &path.to_string_lossy()]);
    let answer = artifacts(&program, &[]);
    assert_eq!(dropped(&answer), [""; 0], "{answer}");
    assert_eq!(kept(&answer, "held"), "in use by another `wt`");
    assert_eq!(kept(&answer, "locked"), "locked by `git worktree lock`: on a stick");
    drop(lock);
    assert_eq!(dropped(&artifacts(&program, &[])), ["held:target"]);
}

#[test]
fn a_kill_leaves_all_of_a_folder_or_none_and_the_next_sweep_cleans_up() {
    let program = ignoring("target/\nnode_modules/\n");
    let tree = at_rest(&program, "a");
    tree.write("node_modules/x", "x");
    let mut command = program.command(&["gc", "--artifacts"]);
    let killed = ran(command.env("WT_FAILPOINT", "artifacts.after_rename").output().unwrap());
    assert_eq!(killed.code, -1, "{}", killed.err);
    assert!(!tree.path().join("node_modules").exists(), "the first one was moved");
    assert!(tree.path().join("target/debug/app").exists(), "the second one is whole");
    assert_eq!(trash(&program).len(), 1);
    assert_eq!(dropped(&artifacts(&program, &[])), ["a:target"]);
    assert_eq!(trash(&program), [""; 0]);
}

#[test]
fn spares_of_the_pool_lose_theirs_as_well() {
    let program = ignoring("target/\n");
    program.wt(&["spawn", "a", "--no-agent"]).ok();
    let pool = program.env.root().join("repo-worktrees/.pool");
    let (one, made) = (pool.join("1"), pool.join("2"));
    for spare in [&one, &made] {
        program.repo.git(&["worktree", "add", "-q", "--detach", &spare.to_string_lossy()]);
        std::fs::create_dir(spare.join("target")).unwrap();
        std::fs::write(spare.join("target/app"), "x").unwrap();
    }
    let making = wt::git::worktree::MAKING;
    program.repo.git(&["worktree", "lock", "--reason", making, &made.to_string_lossy()]);
    let before = standing(&program.env.at(&one));
    let answer = artifacts(&program, &[]);
    assert_eq!(dropped(&answer), [".pool/1:target"], "{answer}");
    assert!(made.join("target/app").exists(), "one that is being made is not touched");
    assert_eq!(standing(&program.env.at(&one)), before);
}

#[test]
fn the_answer_reads_well() {
    let program = ignoring("target/\n");
    at_rest(&program, "a");
    open(&program, "empty");
    assert_eq!(program.wt(&["gc", "--artifacts", "--dry-run", "empty"]).fails(1), "");
    let size = |text: String| {
        let words: Vec<&str> = text.split(' ').collect();
        let unit = |word: &str| word.ends_with("iB") || word.ends_with("iB\n") || word.contains("iB\n");
        assert!(words.iter().any(|word| unit(word)), "{text}");
        text
    };
    let plan = size(program.wt(&["gc", "--artifacts", "--dry-run"]).ok());
    assert!(plan.starts_with("would drop target of a: "), "{plan}");
    let said = size(program.wt(&["gc", "--artifacts"]).ok());
    assert!(said.starts_with("dropped target of a: ") && said.ends_with(" are free\n"), "{said}");
    assert_eq!(program.wt(&["gc", "--artifacts"]).ok(), "no build output to drop\n");
    assert_eq!(program.wt(&["gc", "--artifacts", "--force"]).code, 2);
    assert!(Path::new(&program.worktree("a")).is_dir());
}

#[test]
fn the_json_keeps_its_form() {
    let program = ignoring("target/\n");
    at_rest(&program, "a");
    let flag = program.env.root().join("flag");
    program.spawn("busy", &["write:target/app=x", &format!("wait-for:{}", flag.display())], &[]).ok();
    program.file(&program.worktree("busy").join("target/app"));
    insta::assert_json_snapshot!(artifacts(&program, &[]), {
        ".bytes" => "[bytes]",
        ".dropped[].bytes" => "[bytes]",
        ".dropped[].folders[].bytes" => "[bytes]",
    });
    std::fs::write(flag, "").unwrap();
}
