//! `wt doctor`: each trouble is planted, found, and mended or left alone as it should be.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use fs_err as fs;
use serde_json::Value;
use wt::model::clock::SystemClock;
use wt::model::{Clock as _, Event};

use crate::program::{Program, Ran, alive, ran};
use crate::tidy_gc::{kinds, oid, open, tell};

fn doctor(program: &Program, more: &[&str]) -> Ran {
    let args: Vec<&str> = ["doctor", "--json"].into_iter().chain(more.iter().copied()).collect();
    program.wt(&args)
}

fn found<'a>(answer: &'a Value, kind: &str) -> Vec<&'a Value> {
    answer["findings"].as_array().unwrap().iter().filter(|finding| finding["kind"] == kind).collect()
}

fn one<'a>(answer: &'a Value, kind: &str) -> &'a Value {
    let all = found(answer, kind);
    assert_eq!(all.len(), 1, "{kind}: {answer}");
    all[0]
}

fn text<'a>(finding: &'a Value, field: &str) -> &'a str {
    finding[field].as_str().unwrap_or_else(|| panic!("no {field}: {finding}"))
}

/// An executable script.
fn script(path: &Path, body: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_repository_in_order_is_well() {
    let program = Program::new();
    assert_eq!(kinds(&doctor(&program, &[]).json()), Vec::<&str>::new(), "before the first task");
    assert!(!program.state().exists(), "looking makes nothing");
    open(&program, "a").commit("a", "a\n");
    open(&program, "b");
    program.wt(&["gc", "b"]).ok();
    program.spawn("c", &["write:f=x"], &["--wait"]).ok();
    let answer = doctor(&program, &[]).json();
    assert_eq!(answer["schema"], 1);
    assert_eq!(kinds(&answer), Vec::<&str>::new(), "{answer}");
    let well = answer["well"].to_string();
    for word in ["journal:", "supervision:", "processes:", "worktrees: 2", "git locks:", "identity:", "disk:"]
    {
        assert!(well.contains(word), "{word}: {well}");
    }
}

#[test]
fn torn_lines_and_records_that_do_not_fit_are_counted() {
    let program = Program::new();
    open(&program, "a");
    let journal = program.state().join("journal.jsonl");
    let mut file = fs::OpenOptions::new().append(true).open(&journal).unwrap();
    file.write_all(b"{\"v\":1,\"at\":\"2026-01").unwrap();
    assert_eq!(kinds(&doctor(&program, &[]).json()), ["torn-journal"], "a torn tail");
    open(&program, "b");
    let answer = doctor(&program, &["--fix"]);
    assert_eq!(answer.code, 1, "it stays counted");
    assert!(text(one(&answer.json(), "torn-journal"), "detail").starts_with("1 line cannot be read"));
    // A record that is whole and makes no sense: copied, with its checksum, to where it does not fit.
    let whole = fs::read_to_string(&journal).unwrap();
    let queued = whole.lines().find(|line| line.contains("\"queued\"")).unwrap();
    file.write_all(format!("{queued}\n").as_bytes()).unwrap();
    let answer = doctor(&program, &[]).json();
    assert!(text(one(&answer, "misfit-record"), "detail").starts_with("1 record fit"), "{answer}");
    assert_eq!(program.state_of("a"), "open");
}

#[test]
fn stray_processes_of_an_attempt_that_is_over_are_ended_and_no_others() {
    let program = Program::new();
    program.spawn("a", &["write:f=x", "commit:f"], &["--wait"]).ok();
    program.spawn("busy", &["write:g=x", "sleep:1000"], &[]).ok();
    program.until("the agent", || program.worktree("busy").join("g").exists().then_some(()));
    let token = |task: &str| {
        let records = program.journal();
        let started =
            records.iter().find(|record| record["task"] == task && record["event"]["type"] == "started");
        started.unwrap()["event"]["token"].as_str().unwrap().to_owned()
    };
    let sleep = |token: &str| Command::new("sleep").arg("1000").env("WT_RUN_ID", token).spawn().unwrap();
    let (mut stray, mut foreign) = (sleep(&token("a@1")), sleep("somebody-else"));
    let answer = doctor(&program, &[]).json();
    let finding = one(&answer, "stray-process");
    assert_eq!(text(finding, "subject"), "a");
    assert!(text(finding, "detail").contains(&format!("process {} of an attempt", stray.id())), "{finding}");
    assert_eq!(finding["fixed"], false);
    assert!(alive(stray.id()), "looking ends nothing");
    let answer = doctor(&program, &["--fix"]).json();
    assert_eq!(one(&answer, "stray-process")["fixed"], true);
    stray.wait().unwrap();
    assert!(alive(foreign.id()), "another repository's");
    assert_eq!(program.state_of("busy"), "running");
    foreign.kill().unwrap();
    foreign.wait().unwrap();
    program.wt(&["stop", "busy"]).ok();
}

#[test]
fn a_running_task_that_nobody_holds_is_settled() {
    let program = Program::new();
    program.spawn("a", &["write:f=x", "commit:f"], &["--wait", "--retries", "0"]).ok();
    // Its runner's last pass would settle what is planted.
    program.until("nobody passes any more", || program.role("__run").is_empty().then_some(()));
    let boot = wt::process::boot::id();
    let started = Event::Started { attempt: 2, token: "t".to_owned(), boot };
    tell(&program, "a@1", vec![Event::Retried, started]);
    let answer = doctor(&program, &[]).json();
    assert_eq!(text(one(&answer, "lost-task"), "subject"), "a");
    let answer = doctor(&program, &["--fix"]).json();
    assert_eq!(one(&answer, "lost-task")["fixed"], true);
    assert_ne!(program.state_of("a"), "running");
}

#[test]
fn worktrees_are_compared_both_ways() {
    let program = Program::new();
    let root = program.env.root().join("repo-worktrees");
    open(&program, "gone").commit("w", "w\n");
    open(&program, "loose");
    open(&program, "headless");
    fs::remove_dir_all(program.worktree("gone")).unwrap();
    fs::remove_dir_all(program.repo.path().join(".git/worktrees/loose")).unwrap();
    program.env.at(&program.worktree("headless")).git(&["checkout", "-q", "--detach"]);
    program.repo.git(&["branch", "-q", "-D", "wt/headless"]);
    let mine = root.join("mine");
    program.repo.git(&["worktree", "add", "-q", "-b", "wt/mine", &mine.to_string_lossy()]);
    let lost = root.join("lost");
    program.repo.git(&["worktree", "add", "-q", "-b", "lost", &lost.to_string_lossy()]);
    fs::remove_dir_all(&lost).unwrap();
    let elsewhere = program.env.root().join("elsewhere");
    program.repo.git(&["worktree", "add", "-q", "--detach", &elsewhere.to_string_lossy()]);
    fs::remove_dir_all(&elsewhere).unwrap();
    fs::create_dir(root.join("junk")).unwrap();
    fs::create_dir(root.join(".verify")).unwrap();

    let answer = doctor(&program, &[]).json();
    let missing: Vec<&str> =
        found(&answer, "missing-worktree").into_iter().map(|finding| text(finding, "subject")).collect();
    assert_eq!(missing, ["gone", "loose", &*lost.to_string_lossy()], "{answer}");
    let orphans: Vec<&str> =
        found(&answer, "orphan-worktree").into_iter().map(|finding| text(finding, "subject")).collect();
    assert_eq!(orphans, [&*mine.to_string_lossy(), &*root.join("junk").to_string_lossy()], "{answer}");
    assert_eq!(text(one(&answer, "missing-branch"), "subject"), "headless");
    let orphan = one(&answer, "orphan-branch");
    assert_eq!((text(orphan, "subject"), text(orphan, "hint")), ("wt/mine", "git branch -d wt/mine"));

    let answer = doctor(&program, &["--fix"]).json();
    let fixed: Vec<&Value> =
        answer["findings"].as_array().unwrap().iter().filter(|finding| finding["fixed"] == true).collect();
    assert_eq!(fixed.len(), 1, "{answer}");
    assert_eq!(text(fixed[0], "subject"), lost.to_string_lossy());
    assert!(mine.join("README.md").exists() && root.join("junk").exists());
    program.repo.rev("wt/mine");
    program.repo.rev("lost");
    assert!(program.repo.path().join(".git/worktrees/elsewhere").exists(), "not below the root, not ours");

    // The hints do what they say.
    open(&program, "broken");
    fs::remove_file(program.worktree("broken").join(".git")).unwrap();
    let answer = doctor(&program, &[]).json();
    let broken = answer["findings"].as_array().unwrap().iter().find(|finding| finding["subject"] == "broken");
    assert_eq!(text(broken.unwrap(), "hint"), "git worktree repair");
    program.repo.git(&["worktree", "repair"]);
    let answer = doctor(&program, &[]).json();
    assert!(!answer["findings"].to_string().contains("broken"), "{answer}");
    let hints = found(&answer, "missing-worktree");
    let hint = hints.iter().find(|finding| finding["subject"] == "gone").unwrap();
    assert_eq!(text(hint, "hint"), "wt gc gone --force && wt restore gone");
    program.wt(&["gc", "gone", "--force"]).ok();
    program.wt(&["restore", "gone"]).ok();
    assert_eq!(program.env.at(&program.worktree("gone")).read("w"), "w\n");
}

#[test]
fn base_refs_that_nobody_counts_from_are_deleted() {
    let program = Program::new();
    open(&program, "a");
    let head = program.repo.head();
    program.repo.git(&["update-ref", "refs/wt/base/nobody", &head]);
    let answer = doctor(&program, &[]).json();
    assert_eq!(text(one(&answer, "orphan-ref"), "subject"), "refs/wt/base/nobody");
    assert_eq!(one(&doctor(&program, &["--fix"]).json(), "orphan-ref")["fixed"], true);
    assert_eq!(program.repo.git(&["for-each-ref", "--format=%(refname)", "refs/wt/base"]), "refs/wt/base/a");
}

/// Fault row 20.
#[test]
fn row_20_stale_locks_are_told_with_their_age_and_left_alone() {
    let program = Program::new();
    open(&program, "a");
    let common = program.repo.path().join(".git");
    let locks = [
        common.join("config.lock"),
        common.join("index.lock"),
        common.join("packed-refs.lock"),
        common.join("worktrees/a/HEAD.lock"),
        common.join("worktrees/a/index.lock"),
    ];
    for lock in &locks {
        let file = fs::File::create(lock).unwrap();
        let then = SystemClock.now() - jiff::SignedDuration::from_hours(3);
        file.set_modified(then.into()).unwrap();
    }
    for more in [&[][..], &["--fix"][..]] {
        let ran = doctor(&program, more);
        assert_eq!(ran.code, 1);
        let answer = ran.json();
        let found = found(&answer, "stale-lock");
        assert_eq!(found.len(), locks.len(), "{answer}");
        assert!(locks.iter().all(|lock| lock.exists()));
        let user = rustix::process::geteuid().as_raw();
        for lock in &locks {
            let finding = found_at(&answer, lock);
            assert!(
                text(finding, "detail").starts_with(&format!("3h old, made by user {user};")),
                "{finding}"
            );
            assert_eq!(text(finding, "hint"), format!("rm {}", lock.display()));
        }
    }
    for lock in &locks {
        fs::remove_file(lock).unwrap();
    }
    assert_eq!(kinds(&doctor(&program, &[]).json()), Vec::<&str>::new());
}

fn found_at<'a>(answer: &'a Value, place: &Path) -> &'a Value {
    let all = answer["findings"].as_array().unwrap();
    all.iter().find(|finding| finding["subject"] == *place.to_string_lossy()).unwrap()
}

/// Runs the doctor with just these folders before the ones of the system on PATH.
fn with_path(program: &Program, folders: &[&Path]) -> Value {
    let system = ["/usr/bin", "/bin"].map(Path::new);
    let path = std::env::join_paths(folders.iter().copied().chain(system)).unwrap();
    ran(program.command(&["doctor", "--json"]).env("PATH", path).output().unwrap()).json()
}

#[test]
fn other_programs_of_the_same_name_are_told_with_their_place() {
    let program = Program::new();
    let (other, ours) = (program.env.root().join("other"), program.env.root().join("ours"));
    script(&other.join("wt"), "echo other");
    fs::create_dir(&ours).unwrap();
    fs_err::os::unix::fs::symlink(crate::program::WT, ours.join("wt")).unwrap();
    let detail = |folders: &[&Path]| {
        let answer = with_path(&program, folders);
        let finding = found_at(&answer, &other.join("wt")).clone();
        assert_eq!(finding["kind"], "other-wt");
        text(&finding, "detail").to_owned()
    };
    assert!(detail(&[&ours, &other]).contains("behind this one"));
    assert!(detail(&[&other, &ours]).contains("before this one"));
    assert!(detail(&[&other]).contains("this one is not on PATH"));
    let answer = with_path(&program, &[&ours]);
    assert!(answer["well"].to_string().contains("PATH: no other `wt`"), "{answer}");
}

#[test]
fn agents_are_found_with_their_version_and_slow_ones_are_not_waited_for() {
    let program = Program::new();
    let bin = program.env.root().join("bin");
    script(&bin.join("good"), "echo 'good 1.2.3'");
    let pid = program.env.root().join("pid");
    script(&bin.join("slow"), &format!("sleep 1000 & echo $! > {}; sleep 1000", pid.display()));
    let agent =
        |name: &str| format!("[agents.{name}]\ncommand = [\"{name}\"]\nversion = [\"{name}\", \"-v\"]\n");
    program.configure(&format!("{}{}", agent("good"), agent("slow")));
    let begun = std::time::Instant::now();
    let answer = with_path(&program, &[&bin]);
    assert!(begun.elapsed() < std::time::Duration::from_secs(20));
    let well = answer["well"].to_string();
    assert!(well.contains(&format!("agent good: good 1.2.3 at {}", bin.join("good").display())), "{well}");
    assert!(well.contains("agent slow: at "), "{well}");
    let left: u32 = fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
    assert!(!alive(left), "what it had started is ended too");
    assert_eq!(found(&answer, "agent-missing"), Vec::<&Value>::new(), "{answer}");
    let config = program.env.root().join("home/.config/wt/config.toml");
    let text = fs::read_to_string(&config).unwrap().replace("default = \"fake\"", "default = \"nowhere\"");
    fs::write(&config, text + "[agents.nowhere]\ncommand = [\"nowhere-to-be-found\"]\n").unwrap();
    let answer = with_path(&program, &[]);
    assert_eq!(one(&answer, "agent-missing")["subject"], "nowhere");
}

#[test]
fn the_agents_that_wt_knows_are_found_with_their_versions_and_missed_by_nobody() {
    let program = Program::new();
    let bin = program.env.root().join("bin");
    for (name, version) in
        [("claude", "2.1.197 (Claude Code)"), ("codex", "codex-cli 0.169.0"), ("opencode", "1.18.33")]
    {
        script(&bin.join(name), &format!("[ \"$*\" = --version ] && echo '{version}'"));
    }
    let answer = with_path(&program, &[&bin]);
    let well = answer["well"].to_string();
    for line in [
        "agent claude: 2.1.197 (Claude Code) at ",
        "agent codex: codex-cli 0.169.0 at ",
        "agent opencode: 1.18.33 at ",
    ] {
        assert!(well.contains(line), "`{line}` is not in {well}");
    }
    assert_eq!(found(&answer, "agent-missing"), Vec::<&Value>::new(), "nobody asked for gemini: {answer}");
}

#[test]
fn a_program_that_the_repository_names_is_not_run_before_it_is_trusted() {
    let program = Program::new();
    let (mark, bin) = (program.env.root().join("ran"), program.env.root().join("bin"));
    script(&bin.join("evil"), &format!("touch {}; echo evil", mark.display()));
    let config = "[agents.evil]\ncommand = [\"evil\"]\nversion = [\"evil\", \"--version\"]\n";
    program.repo.commit(".wt.toml", config);
    let answer = with_path(&program, &[&bin]);
    assert!(answer["well"].to_string().contains("agent evil: at "), "{answer}");
    assert!(!mark.exists());
    program.wt(&["trust", "--approve"]).ok();
    let answer = with_path(&program, &[&bin]);
    assert!(answer["well"].to_string().contains("agent evil: evil at "), "{answer}");
    assert!(mark.exists());
}

#[test]
fn no_identity_is_told() {
    let program = Program::new();
    for key in ["user.name", "user.email"] {
        program.repo.git(&["config", "--unset", key]);
    }
    fs::write(program.env.root().join("home/.gitconfig"), "[user]\n\tuseConfigOnly = true\n").unwrap();
    let answer = doctor(&program, &[]);
    assert_eq!(answer.code, 1);
    assert!(text(one(&answer.json(), "no-identity"), "hint").contains("user.name"));
}

#[test]
fn people_read_it_too() {
    let program = Program::new();
    let head = program.repo.head();
    program.repo.git(&["update-ref", "refs/wt/base/nobody", oid(&head).as_str()]);
    let ran = program.wt(&["doctor"]);
    assert_eq!(ran.code, 1);
    let line = "found orphan-ref refs/wt/base/nobody: marks the base of a task that is gone\n      hint: wt doctor --fix\n";
    assert!(ran.out.contains(line), "{}", ran.out);
    assert!(program.wt(&["doctor", "--fix"]).out.contains("fixed orphan-ref refs/wt/base/nobody"));
}
