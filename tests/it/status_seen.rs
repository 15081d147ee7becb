//! What `wt status` sees of workspaces: at once, remembered, and whether commits would conflict with their target.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use fs_err as fs;
use serde_json::{Value, json};
use wt::git::pairs::Comparer;
use wt::git::scratch::Scratch;
use wt::git::worktree;
use wt::git::{Repo, clean};
use wt::model::Oid;
use wt::observe::look::would_conflict;

use crate::env::Env;
use crate::git_repo::oid;
use crate::program::{Program, Ran};

/// Puts a `git` first on the path that writes down what it is asked before it does it.
fn watched(program: &Program) -> (PathBuf, PathBuf) {
    let bin = program.env.root().join("bin");
    let log = program.env.root().join("asked");
    let git = std::env::split_paths(&std::env::var_os("PATH").unwrap())
        .map(|folder| folder.join("git"))
        .find(|git| git.is_file())
        .unwrap();
    fs::create_dir_all(&bin).unwrap();
    let text = format!("#!/bin/sh\necho \"$@\" >> '{}'\nexec '{}' \"$@\"\n", log.display(), git.display());
    fs::write(bin.join("git"), text).unwrap();
    fs::set_permissions(bin.join("git"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    (bin, log)
}

/// Runs `wt` with only that folder on the path; returns what git was asked for.
fn asked(program: &Program, bin: &Path, log: &Path, args: &[&str]) -> (Ran, Vec<String>) {
    let _ = fs::remove_file(log);
    let path = format!("{}:/bin:/usr/bin", bin.display());
    let output = program.command(args).env("PATH", path).output().unwrap();
    let ran = Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    };
    let verb = |line: &str| {
        let mut words = line.split(' ');
        while words.clone().next() == Some("-c") {
            words.nth(1);
        }
        words.next().unwrap_or_default().to_owned()
    };
    let told = fs::read_to_string(log).unwrap_or_default();
    (ran, told.lines().map(verb).collect())
}

fn commit(program: &Program, name: &str, path: &str, text: &str) {
    program.env.at(&program.worktree(name)).commit(path, text);
}

fn open(program: &Program, name: &str) {
    program.wt(&["spawn", name, "--no-agent"]).ok();
}

/// Makes the files of a worktree older than its index, so that git need not be asked.
fn settle(program: &Program, name: &str) {
    let then = std::time::SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 1);
    let tree = program.worktree(name);
    for entry in fs::read_dir(&tree).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && path.file_name().unwrap() != ".git" {
            fs::File::open(&path).unwrap().file().set_modified(then).unwrap();
        }
    }
    program.env.at(&tree).git(&["status"]);
}

fn by_name(program: &Program, args: &[&str]) -> Value {
    let json = program.wt(args).json();
    let tasks = json["tasks"].as_array().unwrap().iter();
    Value::Object(tasks.map(|task| (task["name"].as_str().unwrap().to_owned(), task.clone())).collect())
}

#[test]
fn conflicts_with_the_target_are_foreseen() {
    let program = Program::new();
    for name in ["clash", "beside", "level", "fresh"] {
        open(&program, name);
    }
    commit(&program, "clash", "README.md", "theirs\n");
    commit(&program, "beside", "other.txt", "x\n");
    program.repo.commit("README.md", "ours\n");
    let level = program.env.at(&program.worktree("level"));
    level.git(&["merge", "-q", "main"]);
    level.commit("README.md", "on top\n");
    let tasks = by_name(&program, &["status", "--json"]);
    let foreseen = |name: &str| tasks[name]["conflicts_with_target"].clone();
    assert_eq!(foreseen("clash"), json!(true));
    assert_eq!(foreseen("beside"), json!(false));
    assert_eq!(foreseen("level"), json!(false));
    assert_eq!(foreseen("fresh"), Value::Null, "it has no commits");
    let table = program.wt(&["status"]).ok();
    let row = |name: &str| table.lines().find(|line| line.contains(name)).unwrap().to_owned();
    assert!(row("clash").contains("↑1 ↓1 +1 -1 !"), "{table}");
    assert!(!row("beside").contains('!'), "{table}");
    assert!(program.wt(&["status", "clash"]).ok().contains("do not merge with `main` as it is now"));

    // The target takes it back: that is another pair, with another verdict.
    program.repo.git(&["reset", "-q", "--hard", "HEAD~"]);
    assert_eq!(by_name(&program, &["status", "--json"])["clash"]["conflicts_with_target"], json!(false));
}

#[test]
fn only_what_is_new_is_asked_of_git() {
    let program = Program::new();
    // What both sides changed in one file, git must merge.
    program.repo.commit("text", "1\n2\n3\n4\n5\n");
    for name in ["a", "b"] {
        open(&program, name);
        commit(&program, name, "text", &format!("{name}\n2\n3\n4\n5\n"));
        settle(&program, name);
    }
    program.repo.commit("text", "1\n2\n3\n4\nmain\n");
    let (bin, log) = watched(&program);
    let (ran, first) = asked(&program, &bin, &log, &["status"]);
    ran.ok();
    for verb in ["for-each-ref", "diff-tree", "merge-tree"] {
        assert_eq!(first.iter().filter(|asked| *asked == verb).count(), 1, "{verb} in {first:?}");
    }
    assert!(!first.contains(&"status".to_owned()), "the worktrees are proved clean: {first:?}");
    let (ran, second) = asked(&program, &bin, &log, &["status", "--json"]);
    assert_eq!(second, ["config"]);
    assert_eq!(ran.json()["tasks"][0]["conflicts_with_target"], json!(false));
    commit(&program, "b", "more.txt", "x\n");
    let (_, third) = asked(&program, &bin, &log, &["status"]);
    assert_eq!(third.iter().filter(|asked| *asked == "merge-tree").count(), 1, "{third:?}");
}

/// A workspace that `wt` has just made is like that for ever: its index is as old as its files.
#[test]
fn what_git_found_clean_is_asked_again_only_when_something_changed() {
    let program = Program::new();
    open(&program, "a");
    settle(&program, "a");
    let then = std::time::SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 1);
    let age =
        |path: &Path| fs::File::options().append(true).open(path).unwrap().file().set_modified(then).unwrap();
    age(&program.repo.path().join(".git/worktrees/a/index"));
    let (bin, log) = watched(&program);
    let look = || asked(&program, &bin, &log, &["status"]).1.contains(&"status".to_owned());
    assert!(look(), "nothing else can tell");
    // What was written a moment ago could be written again unseen.
    assert!((0..50).any(|_| !look()), "git is asked again and again");
    assert!(!look());
    let file = program.worktree("a").join("README.md");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.to_uppercase()).unwrap();
    age(&file);
    assert!(look(), "of the same size and time, and yet another");
    assert_eq!(by_name(&program, &["status", "--json"])["a"]["dirty"], json!(true));
}

#[test]
fn what_was_seen_is_told_again_without_looking() {
    let program = Program::new();
    for name in ["a", "b"] {
        open(&program, name);
    }
    commit(&program, "a", "README.md", "theirs\n");
    program.repo.commit("README.md", "ours\n");
    fs::write(program.worktree("a").join("new.txt"), "x").unwrap();
    let never = by_name(&program, &["status", "--cached", "--json"]);
    assert_eq!((&never["a"]["cached"], &never["a"]["as_of"]), (&json!(true), &Value::Null));
    assert!(program.wt(&["status", "--cached"]).ok().contains(" ~?"));

    let seen = by_name(&program, &["status", "--json"]);
    assert_eq!(seen["a"].get("cached"), None);
    open(&program, "late");
    // Neither git nor the worktrees are there to be asked.
    let empty = program.env.root().join("empty");
    fs::create_dir(&empty).unwrap();
    fs::rename(program.worktree("a"), program.env.root().join("away")).unwrap();
    let without = |args: &[&str]| {
        let output = program.command(args).env("PATH", &empty).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let told: Value = serde_json::from_str(&without(&["status", "--cached", "--json"])).unwrap();
    let told = &told["tasks"][0];
    for figure in
        ["name", "head", "ahead", "behind", "dirty", "insertions", "deletions", "conflicts_with_target"]
    {
        assert_eq!(told[figure], seen["a"][figure], "{figure}");
    }
    assert_eq!((&told["cached"], &told["dirty"]), (&json!(true), &json!(true)));
    assert!(told["as_of"].is_string());
    let table = without(&["status", "--cached"]);
    assert!(table.contains(" ~↑1 ↓1 +1 -1 * !"), "{table}");
    let late = table.lines().find(|line| line.contains("late")).unwrap();
    assert!(late.contains(" ~?"), "{table}");
    assert!(without(&["status", "a", "--cached"]).contains("seen"));
}

#[test]
fn a_broken_memory_is_none() {
    let program = Program::new();
    open(&program, "a");
    commit(&program, "a", "a.txt", "x\n");
    program.wt(&["status"]).ok();
    let file = program.state().join("cache/status");
    let whole = fs::read(&file).unwrap();
    let mut flipped = whole.clone();
    let at = flipped.windows(9).position(|text| text == b"\"ahead\":1").unwrap() + 8;
    flipped[at] = b'7';
    let newer = String::from_utf8(whole.clone()).unwrap().replacen("wt status 1 ", "wt status 2 ", 1);
    for broken in [flipped, newer.into_bytes(), whole[..whole.len() / 2].to_vec(), Vec::new()] {
        fs::write(&file, &broken).unwrap();
        let task = &by_name(&program, &["status", "--cached", "--json"])["a"];
        assert_eq!((&task["as_of"], &task["ahead"]), (&Value::Null, &json!(0)));
        assert_eq!(by_name(&program, &["status", "--json"])["a"]["ahead"], json!(1));
        fs::remove_file(&file).unwrap();
    }
    // A folder that cannot be written to keeps nobody from an answer.
    fs::remove_dir(program.state().join("cache")).unwrap();
    fs::write(program.state().join("cache"), "in the way").unwrap();
    assert_eq!(by_name(&program, &["status", "--json"])["a"]["ahead"], json!(1));
}

#[test]
fn what_was_seen_of_ended_tasks_is_forgotten() {
    let program = Program::new();
    for name in ["a", "b"] {
        open(&program, name);
    }
    program.wt(&["status"]).ok();
    let file = program.state().join("cache/status");
    assert!(fs::read_to_string(&file).unwrap().contains("a@1"));
    program.wt(&["gc", "a", "--force"]).ok();
    program.wt(&["status"]).ok();
    let kept = fs::read_to_string(&file).unwrap();
    assert!(!kept.contains("a@1") && kept.contains("b@1"), "{kept}");
}

/// Makes git hang where it reads a worktree's patterns: nobody writes to them.
fn hang(env: &Env, tree: &Path) {
    fs::write(tree.join("new"), "x").unwrap();
    assert!(env.command("mkfifo", tree).arg(".gitignore").status().unwrap().success());
}

/// Lets it go on.
fn release(tree: &Path) {
    let file = tree.join(".gitignore");
    let writer = fs::OpenOptions::new().read(true).write(true).open(&file).unwrap();
    fs::remove_file(&file).unwrap();
    drop(writer);
}

#[test]
fn rows_are_shown_before_the_last_worktree_has_answered() {
    let program = Program::new();
    for name in ["a", "b"] {
        open(&program, name);
    }
    settle(&program, "a");
    hang(&program.env, &program.worktree("b"));
    let mut child = program.command(&["status"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let head = lines.next().unwrap().unwrap();
    let first = lines.next().unwrap().unwrap();
    assert!(head.contains("TASK") && first.contains(" a "), "{head}\n{first}");
    // Only now can the other one answer.
    release(&program.worktree("b"));
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert!(rest[0].contains(" b ") && rest[1].contains("in use"), "{rest:?}");
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_worktree_that_never_answers_keeps_the_others_from_nothing() {
    let (env, at) = Env::with_repo();
    let repo = Repo::discover(at.path()).unwrap();
    let base = oid(&at.head());
    let mut trees = Vec::new();
    for name in ["a", "b", "c", "d"] {
        let path = env.root().join(name);
        trees.push(worktree::add(&repo, &path, &format!("wt/{name}"), &base).unwrap());
    }
    trees[..3].iter().for_each(|tree| hang(&env, tree.path()));
    fs::write(trees[3].path().join("new"), "x").unwrap();
    let checkouts = trees.iter().map(|tree| tree.checkout().clone()).collect();
    let mut answers: Vec<_> = clean::ask(&repo, checkouts, Duration::from_secs(6)).collect();
    assert_eq!(answers[0], (3, Some(true)), "more hang than there are cores, and yet it is heard first");
    answers.sort_unstable();
    assert_eq!(answers, [(0, None), (1, None), (2, None), (3, Some(true))]);
}

fn foreseen(repo: &Repo, target: &str, heads: &[Oid]) -> Vec<Option<bool>> {
    let scratch = Scratch::beside(repo).unwrap();
    let mut comparer = Comparer::new(repo, &scratch).unwrap();
    would_conflict(repo, &mut comparer, &oid(target), heads, &[], clean::PATIENCE).unwrap()
}

#[test]
fn one_pair_that_cannot_be_merged_spoils_no_other() {
    let (_env, at) = Env::with_repo();
    let base = at.head();
    let clash = at.commit("README.md", "theirs\n");
    at.git(&["reset", "-q", "--hard", &base]);
    let beside = at.commit("other", "x\n");
    at.git(&["reset", "-q", "--hard", &base]);
    let target = at.commit("README.md", "ours\n");
    let alone = at.git(&["commit-tree", "-m", "alone", &format!("{beside}^{{tree}}")]);
    let tree = at.rev("HEAD^{tree}");
    let repo = Repo::discover(at.path()).unwrap();
    let heads: Vec<_> = [&clash, &tree, &beside, &alone].map(|id| oid(id)).into();
    let verdicts = foreseen(&repo, &target, &heads);
    assert_eq!(verdicts[..3], [Some(true), None, Some(false)]);
    assert_eq!(verdicts[3], Some(true), "an unrelated history has its own README.md");
}

#[test]
fn foreseeing_leaves_no_objects() {
    let (_env, at) = Env::with_repo();
    let base = at.head();
    let clash = at.commit("README.md", "theirs\n");
    at.git(&["reset", "-q", "--hard", &base]);
    let target = at.commit("README.md", "ours\n");
    let repo = Repo::discover(at.path()).unwrap();
    let before = at.git(&["count-objects"]);
    let verdicts = foreseen(&repo, &target, &[oid(&clash)]);
    assert_eq!((verdicts, at.git(&["count-objects"])), (vec![Some(true)], before));
}
