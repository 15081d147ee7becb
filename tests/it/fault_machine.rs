//! Fault rows of the machine: recycled process numbers, a full disk, killed writers, a reboot.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::program::{Program, alive, asleep, gone_within, kill_together, ran};

/// A process of somebody else, ended with the test.
struct Bystander(Child);

impl Bystander {
    fn new(name: &str, value: &str) -> Self {
        Self(Command::new("sleep").arg("1000").env(name, value).spawn().unwrap())
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Nobody is left to tell: whoever waits looks for itself now and then.
#[test]
fn row_05_both_killed_while_somebody_waits() {
    let program = Program::new();
    let pids = program.env.root().join("pids");
    let told = format!("pids-to:{}", pids.display());
    program.spawn("a", &[&told, "sleep:1000"], &["--retries", "0"]).ok();
    program.file(&pids);
    let mut wait = program.command(&["wait", "a"]);
    let wait = wait.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    program.until("a waiting `wt`", || asleep(wait.id()).then_some(()));
    kill_together(&["__run", "__guard"].map(|role| program.role(role)[0]));
    assert_eq!(ran(wait.wait_with_output().unwrap()).code, 1);
    assert_eq!(program.state_of("a"), "dead");
}

/// Starts a task and ends its whole supervision in one instant, as a reboot would; returns its token.
fn vanish(program: &Program, name: &str) -> String {
    let pids = program.env.root().join("pids");
    let told = format!("pids-to:{}", pids.display());
    let go = format!("wait-for:{}", program.env.root().join("go").display());
    let steps = [&told, &go, "write:x=y", "commit:x"];
    let mut spawn = program.command(&["spawn", name, &format!("SCRIPT:\n{}\n", steps.join("\n"))]);
    ran(spawn.env("WT_TEST_BOOT", "boot-one").output().unwrap()).ok();
    let agent: u32 = program.file(&pids).split_whitespace().nth(1).unwrap().parse().unwrap();
    kill_together(&["__run", "__guard"].map(|role| program.role(role)[0]));
    gone_within(Duration::from_secs(5), &[agent]);
    let events = program.events(&format!("{name}@1"));
    let started = events.iter().find(|event| event["type"] == "started").unwrap();
    started["token"].as_str().unwrap().to_owned()
}

fn in_boot(program: &Program, boot: &str, args: &[&str]) -> crate::program::Ran {
    ran(program.command(args).env("WT_TEST_BOOT", boot).output().unwrap())
}

#[test]
fn row_08_recycled_process_numbers() {
    let program = Program::new();
    let token = vanish(&program, "a");
    let mine = Bystander::new("WT_RUN_ID", &token);
    let others = [
        Bystander::new("WT_RUN_ID", "somebody-else"),
        Bystander::new("WT_RUN_ID", &format!("{token}0")),
        Bystander::new("NOTE", &format!("WT_RUN_ID={token}")),
    ];
    // Whatever was recorded of the dead task points at a living process now.
    let lock = program.state().join("tasks/a@1/lock");
    std::fs::write(&lock, format!("runner (pid {})\n", others[0].0.id())).unwrap();
    in_boot(&program, "boot-one", &["status"]).ok();
    gone_within(Duration::from_secs(2), &[mine.0.id()]);
    assert!(others.iter().all(|other| alive(other.0.id())), "an unrelated process was ended");
    assert_eq!(program.told("a@1")[3..], ["lost", "requeued"]);
}

/// A process number means nothing in another boot, and neither does a token.
#[test]
fn row_08_nothing_is_ended_after_a_reboot() {
    let program = Program::new();
    let token = vanish(&program, "a");
    let other = Bystander::new("WT_RUN_ID", &token);
    in_boot(&program, "boot-two", &["status"]).ok();
    assert!(alive(other.0.id()));
}

#[test]
fn row_17_reboot() {
    let program = Program::new();
    vanish(&program, "a");
    program.spawn("behind", &["write:x=y", "commit:x"], &["--after", "a"]).ok();
    let status = in_boot(&program, "boot-two", &["status", "a", "--json"]).json();
    assert_eq!(status["tasks"][0]["state"], "lost");
    assert_eq!(status["tasks"][0]["outcome"], "the machine restarted");
    // It waits for a person: waiting for it ends at once, and nothing starts it.
    assert_eq!(in_boot(&program, "boot-two", &["wait", "a"]).fails(1), "");
    assert_eq!(program.told("a@1"), ["queued", "workspace_made", "started", "lost"]);
    std::fs::write(program.env.root().join("go"), "").unwrap();
    in_boot(&program, "boot-two", &["retry", "a"]).ok();
    in_boot(&program, "boot-two", &["wait", "a", "--timeout", "30s"]).ok();
    assert_eq!(program.state_of("a"), "done");
    assert_eq!(program.task("a")["attempt"], 2);
}

/// A small file system in memory, gone with the test.
pub struct Disk(PathBuf);

impl Disk {
    /// Mounts it; says so and returns nothing where that is not permitted.
    pub fn mount(at: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size},mode=0700"), "none"]).arg(at);
        if mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
            return Some(Self(at.to_owned()));
        }
        drop(writeln!(std::io::stderr(), "skipped: mounting a tmpfs is not permitted here"));
        None
    }

    fn fill(&self) {
        let filler = std::fs::File::create(self.0.join("filler")).unwrap();
        drop(std::io::copy(&mut std::io::repeat(b'x'), &mut { filler }));
    }

    fn free(&self) {
        std::fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

#[test]
fn row_10_disk_full_while_an_agent_writes() {
    let program = Program::new();
    let Some(disk) = Disk::mount(&program.state(), "1m") else { return };
    let go = format!("wait-for:{}", program.env.root().join("go").display());
    program.spawn("a", &["flood:2", &go, "exit:7"], &["--retries", "0"]).ok();
    program.until("a full disk", || {
        let log = program.state().join("tasks/a@1/attempts/1/stream.jsonl");
        (std::fs::metadata(log).ok()?.len() > 800 << 10).then_some(())
    });
    disk.fill();
    std::fs::write(program.env.root().join("go"), "").unwrap();
    let lock = program.state().join("tasks/a@1/lock");
    program.until("the runner's end", || (!wt::store::Lock::is_held(&lock)).then_some(()));
    let record = std::fs::read_to_string(program.state().join("tasks/a@1/exit")).unwrap();
    let record: Value = serde_json::from_str(record.trim()).unwrap();
    assert_eq!(record["event"]["exit"]["code"], 7, "the exit code is kept");
    disk.free();
    assert_eq!(program.state_of("a"), "dead");
    let ended = program.events("a@1").pop().unwrap();
    assert_eq!((ended["type"].as_str(), ended["exit"]["code"].as_i64()), (Some("ended"), Some(7)));
    let outcome = program.task("a")["outcome"].as_str().unwrap().to_owned();
    assert!(outcome.contains("output dropped"), "{outcome}");
}

#[test]
fn row_10_spawning_on_a_full_disk() {
    let program = Program::new();
    let Some(disk) = Disk::mount(&program.state(), "1m") else { return };
    program.spawn("first", &["write:x=y", "commit:x"], &["--wait"]).ok();
    disk.fill();
    let before = program.world();
    let said = program.spawn("a", &["write:x=y", "commit:x"], &[]).fails(1);
    assert!(said.contains("nothing was made") && said.to_lowercase().contains("no space"), "{said}");
    assert_eq!(program.world(), before);
    program.wt(&["status"]).ok();
    disk.free();
    program.spawn("a", &["write:x=y", "commit:x"], &["--wait"]).ok();
}

/// A runner that can record nothing does not start again and again: it rests, and goes on when there is space.
#[test]
fn row_10_disk_full_before_an_attempt() {
    let program = Program::new();
    program.configure("[limits]\nslots = 1\n");
    let Some(disk) = Disk::mount(&program.state(), "1m") else { return };
    let go = format!("wait-for:{}", program.env.root().join("go").display());
    program.spawn("first", &[&go, "write:x=y", "commit:x"], &[]).ok();
    program.spawn("second", &["write:x=y", "commit:x"], &[]).ok();
    program.until("the first agent", || (program.role("__guard").len() == 1).then_some(()));
    disk.fill();
    std::fs::write(program.env.root().join("go"), "").unwrap();
    let lock = |name: &str| program.state().join(format!("tasks/{name}@1/lock"));
    program.until("the first runner's end", || (!wt::store::Lock::is_held(&lock("first"))).then_some(()));
    disk.free();
    program.wt(&["wait", "--timeout", "30s"]).ok();
    assert_eq!(program.told("second@1").iter().filter(|told| *told == "started").count(), 1);
}

/// The disk of the worktrees is full: everything that was made is taken back.
#[test]
fn row_10_making_a_workspace_on_a_full_disk() {
    let program = Program::new();
    program.configure("[workspace]\nreserve = \"0B\"\n");
    let worktrees = program.env.root().join("repo-worktrees");
    let Some(disk) = Disk::mount(&worktrees, "2m") else { return };
    program.wt(&["spawn", "first", "--no-agent"]).ok();
    for n in 0..40 {
        program.repo.write(&format!("files/{n}"), crate::env::lines("text", 10_000));
    }
    program.repo.commit_all("many files");
    // Whatever the figures say before, it can fill up while a workspace is made.
    let refused = program.refuses(1, &["spawn", "a", "--no-agent"]);
    assert!(refused.contains("nothing was made") && refused.contains("1 workspace needs"), "{refused}");
    program.repo.git(&["rm", "-q", "-r", "files"]);
    program.repo.git(&["commit", "-q", "-m", "none"]);
    let filler = worktrees.join("filler");
    let hook = program.repo.path().join(".git/hooks/post-checkout");
    std::fs::write(&hook, format!("#!/bin/sh\ncat /dev/zero > '{}'\n", filler.display())).unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    let refs = || program.repo.git(&["for-each-ref"]);
    let (before, listed) = (refs(), program.repo.git(&["worktree", "list"]));
    for args in [&["spawn", "a", "p"][..], &["spawn", "a", "--no-agent"]] {
        let said = program.wt(args).fails(1);
        assert!(said.contains("what was made is undone") && said.contains("No space left"), "{said}");
        std::fs::remove_file(&filler).unwrap();
        assert_eq!((refs(), program.repo.git(&["worktree", "list"])), (before.clone(), listed.clone()));
        assert!(!worktrees.join("a").exists());
        assert_eq!(program.state_of("a"), "removed");
    }
    assert_eq!(program.state_of("first"), "open");
    drop(disk);
    std::fs::remove_file(hook).unwrap();
    program.wt(&["spawn", "a", "--no-agent"]).ok();
}

/// Eight writers, three killed while all write: every complete record is sound, and the others lose nothing.
#[test]
fn row_12_writers_killed() {
    let program = Program::new();
    let start = |writer: usize| {
        let tasks = (0..8).map(|n| format!("{{\"name\":\"w{writer}-{n}\",\"no-agent\":true}}\n"));
        let list = program.env.root().join(format!("list-{writer}"));
        std::fs::write(&list, tasks.collect::<String>()).unwrap();
        let mut spawn = program.command(&["spawn", "--from", &list.to_string_lossy()]);
        spawn.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut writers: Vec<Child> = (0..8).map(start).collect();
    for (n, victim) in writers.iter_mut().take(3).enumerate() {
        program.until("a few more records", || (program.journal().len() > 12 * (n + 1)).then_some(()));
        victim.kill().unwrap();
    }
    let codes: Vec<Option<i32>> = writers.iter_mut().map(|writer| writer.wait().unwrap().code()).collect();
    assert_eq!(codes[3..], [Some(0); 5]);
    let layout = wt::store::Layout::below(&program.repo.path().join(".git"));
    let mut journal = wt::store::Journal::new(&layout);
    let roster = journal.read().unwrap();
    let whole = (3..8).flat_map(|writer| (0..8).map(move |n| format!("w{writer}-{n}")));
    assert!(whole.into_iter().all(|name| roster.newest(&name.parse().unwrap()).is_some()));
    assert_eq!((roster.misfits(), journal.bad_lines()), (0, 0));
    program.wt(&["status"]).ok();
    assert_eq!(program.repo.git(&["fsck", "--no-progress"]), "");
}
