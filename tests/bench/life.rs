//! What `wt` itself costs in the life of one task, side by side with git, in one run.
//!
//! Every pair is measured alternately on fresh names, medians are printed, ratios count: absolute times of a shared machine
//! mean little. Usage: `just bench [life]`. Nothing here ever fails a build.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark prints, and one that cannot go on panics"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const WT: &str = env!("CARGO_BIN_EXE_wt");
const ROUNDS: usize = 10;
const TASKS: usize = 20;
const FILES: usize = 500;

const CONFIG: &str = "[agent]\ndefault = \"clock\"\n[limits]\nslots = 4\n\
    [agents.clock]\ncommand = [\"date\", \"+%s%N\"]\n[agents.sleeper]\ncommand = [\"sleep\", \"1000\"]\n";

struct Place {
    root: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { root: tempfile::tempdir().unwrap() };
        let config = place.root.path().join("home/.config/wt");
        std::fs::create_dir_all(&config).unwrap();
        std::fs::write(config.join("config.toml"), CONFIG).unwrap();
        let identity = "[user]\n\tname = bench\n\temail = bench@example.invalid\n";
        std::fs::write(place.root.path().join("home/.gitconfig"), identity).unwrap();
        std::fs::create_dir_all(place.repo().join("src")).unwrap();
        for n in 0..FILES {
            std::fs::write(place.repo().join(format!("src/f{n}.txt")), format!("file {n}\n").repeat(20))
                .unwrap();
        }
        for args in [&["init", "-q", "-b", "main"][..], &["add", "-A"], &["commit", "-q", "-m", "files"]] {
            place.run("git", args);
        }
        place
    }

    fn repo(&self) -> PathBuf {
        self.root.path().join("repo")
    }

    fn command(&self, program: &str, args: &[&str]) -> Command {
        let home = self.root.path().join("home");
        let mut command = Command::new(program);
        command.args(args).current_dir(self.repo()).stdin(Stdio::null());
        command.env("HOME", &home).env("XDG_CONFIG_HOME", home.join(".config")).env_remove("GIT_DIR");
        command
    }

    fn run(&self, program: &str, args: &[&str]) -> (Duration, String) {
        let begun = Instant::now();
        let output = self.command(program, args).output().unwrap();
        let took = begun.elapsed();
        assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        (took, String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e3
}

fn line(what: &str, wt: f64, other: &str, theirs: f64, aim: &str) {
    println!(
        "{what:<40} wt {wt:>8.2} ms   {other:<16} {theirs:>8.2} ms   ratio {:>6.2}   aim {aim}",
        wt / theirs
    );
}

fn main() {
    let place = Place::new();
    println!("medians of {ROUNDS}, measured alternately; a repository of {FILES} files\n");
    start_up(&place);
    creation(&place);
    first_byte(&place);
    status(&place);
    memory(&place);
}

fn start_up(place: &Place) {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(place.run(WT, &["--version"]).0);
        theirs.push(place.run("git", &["--version"]).0);
    }
    line("start-up of `--version`", median(ours), "git", median(theirs), "< 3 ms");
}

fn creation(place: &Place) {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for n in 0..ROUNDS {
        let (path, branch) = (format!("../git-worktrees/g{n}"), format!("g{n}"));
        theirs.push(place.run("git", &["worktree", "add", "-q", "--no-track", "-b", &branch, &path]).0);
        ours.push(place.run(WT, &["spawn", &format!("open{n}"), "--no-agent"]).0);
    }
    let (ours, theirs) = (median(ours), median(theirs));
    line("`wt spawn --no-agent`", ours, "git worktree add", theirs, "own < 15 ms");
    println!("{:<39} own {:>8.2} ms", "  own time beyond git's", ours - theirs);
}

fn first_byte(place: &Place) {
    let (mut whole, mut theirs) = (Vec::new(), Vec::new());
    for n in 0..ROUNDS {
        let (path, branch) = (format!("../git-worktrees/b{n}"), format!("b{n}"));
        theirs.push(place.run("git", &["worktree", "add", "-q", "--no-track", "-b", &branch, &path]).0);
        let begun = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let name = format!("byte{n}");
        place.run(WT, &["spawn", &name, "print the time", "--retries", "0"]);
        place.command(WT, &["wait", &name]).output().unwrap();
        let (_, printed) = place.run(WT, &["logs", &name, "--raw"]);
        let at = Duration::from_nanos(printed.trim().parse().unwrap());
        whole.push(at.saturating_sub(begun));
    }
    let (whole, theirs) = (median(whole), median(theirs));
    line("`wt spawn` to the agent's first byte", whole, "git worktree add", theirs, "beyond < 30 ms");
    println!("{:<39} own {:>8.2} ms", "  beyond the worktree's creation", whole - theirs);
}

fn status(place: &Place) {
    let known = place.run(WT, &["status", "--json"]).1.matches("\"name\":").count();
    for n in known..TASKS {
        place.run(WT, &["spawn", &format!("more{n}"), "--no-agent"]);
    }
    let folders: Vec<String> = std::fs::read_dir(place.root.path().join("repo-worktrees"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join(".git").exists())
        .take(TASKS)
        .map(|path| path.to_string_lossy().into_owned())
        .collect();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(place.run(WT, &["status"]).0);
        let begun = Instant::now();
        for folder in &folders {
            place.run("git", &["-C", folder, "status", "--porcelain=v2", "--branch"]);
        }
        theirs.push(begun.elapsed());
    }
    line(
        &format!("`wt status` of {TASKS} tasks"),
        median(ours),
        "git status each",
        median(theirs),
        "< 50 ms",
    );
}

/// The proportional set size of a process, in KiB.
fn pss(pid: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = text.lines().find(|line| line.starts_with("Pss:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn memory(place: &Place) {
    place.run(WT, &["spawn", "sleeper", "sleep", "--agent", "sleeper"]);
    let begun = Instant::now();
    let roles = loop {
        let found: Vec<(String, String)> = std::fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| role_of(&entry.path(), &place.repo()))
            .collect();
        if found.len() == 2 && begun.elapsed() > Duration::from_secs(1) {
            break found;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "no runner and guard: {found:?}");
        std::thread::yield_now();
    };
    let mut sum = 0.0;
    for (role, pid) in &roles {
        let size = pss(pid);
        sum += size;
        println!("{:<40}    {size:>8.0} KiB", format!("PSS of {role}"));
    }
    println!("{:<40}    {:>8.2} MiB   aim < 2 MiB", "PSS of the pair", sum / 1024.0);
    place.run(WT, &["stop", "sleeper"]);
}

/// The role and number of a process of `wt` that works for this repository.
fn role_of(process: &Path, repo: &Path) -> Option<(String, String)> {
    let line = std::fs::read(process.join("cmdline")).ok()?;
    let line = String::from_utf8_lossy(&line).into_owned();
    let role = line.split('\0').nth(1)?.to_owned();
    let ours = ["__run", "__guard"].contains(&role.as_str()) && line.contains(&*repo.to_string_lossy());
    ours.then(|| (role, process.file_name().unwrap().to_string_lossy().into_owned()))
}
