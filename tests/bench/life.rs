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

mod figures;
mod place;

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use figures::Times;
use place::{Place, wt};

const ROUNDS: usize = 10;
const TASKS: usize = 20;
const FILES: usize = 500;

const CONFIG: &str = "[agent]\ndefault = \"clock\"\n[limits]\nslots = 4\n\
    [agents.clock]\ncommand = [\"date\", \"+%s%N\"]\n";

/// A small repository, made file by file.
fn small(folder: &Path) -> Place {
    let place = Place::new(folder, CONFIG);
    std::fs::create_dir_all(place.repo().join("src")).unwrap();
    for n in 0..FILES {
        std::fs::write(place.repo().join(format!("src/f{n}.txt")), format!("file {n}\n").repeat(20)).unwrap();
    }
    for args in [&["init", "-q", "-b", "main"][..], &["add", "-A"], &["commit", "-q", "-m", "files"]] {
        place.run("git", args);
    }
    place
}

fn line(what: &str, ours: &Times, other: &str, theirs: &Times, aim: &str) {
    let ratio = median(ours) / median(theirs);
    println!(
        "{what:<40} wt {:>22} ms   {other:<16} {:>22} ms   ratio {ratio:>6.2}   aim {aim}",
        ours.told(),
        theirs.told(),
    );
}

fn median(times: &Times) -> f64 {
    times.median().unwrap_or(f64::NAN)
}

fn main() {
    let root = tempfile::tempdir().unwrap();
    let place = small(root.path());
    println!("medians of {ROUNDS}, measured alternately; a repository of {FILES} files\n");
    start_up(&place);
    creation(&place);
    first_byte(&place);
    status(&place);
}

fn start_up(place: &Place) {
    let (mut ours, mut theirs) = (Times::default(), Times::default());
    for _ in 0..ROUNDS {
        ours.add(place.run(&wt(), &["--version"]).took);
        theirs.add(place.run("git", &["--version"]).took);
    }
    line("start-up of `--version`", &ours, "git", &theirs, "< 3 ms");
}

fn creation(place: &Place) {
    let (mut ours, mut theirs) = (Times::default(), Times::default());
    for n in 0..ROUNDS {
        let (path, branch) = (format!("../git-worktrees/g{n}"), format!("g{n}"));
        theirs.add(place.run("git", &["worktree", "add", "-q", "--no-track", "-b", &branch, &path]).took);
        ours.add(place.run(&wt(), &["spawn", &format!("open{n}"), "--no-agent"]).took);
    }
    line("`wt spawn --no-agent`", &ours, "git worktree add", &theirs, "own < 15 ms");
    println!("{:<39} own {:>8.2} ms", "  own time beyond git's", median(&ours) - median(&theirs));
}

fn first_byte(place: &Place) {
    let (mut whole, mut theirs) = (Times::default(), Times::default());
    for n in 0..ROUNDS {
        let (path, branch) = (format!("../git-worktrees/b{n}"), format!("b{n}"));
        theirs.add(place.run("git", &["worktree", "add", "-q", "--no-track", "-b", &branch, &path]).took);
        let begun = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let name = format!("byte{n}");
        place.run(&wt(), &["spawn", &name, "print the time", "--retries", "0"]);
        place.command(&wt(), &["wait", &name]).output().unwrap();
        let printed = place.run(&wt(), &["logs", &name, "--raw"]).out;
        let at = Duration::from_nanos(printed.trim().parse().unwrap());
        whole.add(at.saturating_sub(begun));
    }
    line("`wt spawn` to the agent's first byte", &whole, "git worktree add", &theirs, "beyond < 30 ms");
    println!("{:<39} own {:>8.2} ms", "  beyond the worktree's creation", median(&whole) - median(&theirs));
}

fn status(place: &Place) {
    let known = place.run(&wt(), &["status", "--json"]).out.matches("\"name\":").count();
    for n in known..TASKS {
        place.run(&wt(), &["spawn", &format!("more{n}"), "--no-agent"]);
    }
    let folders: Vec<String> = std::fs::read_dir(place.worktrees())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join(".git").exists())
        .take(TASKS)
        .map(|path| path.to_string_lossy().into_owned())
        .collect();
    let (mut ours, mut theirs) = (Times::default(), Times::default());
    for _ in 0..ROUNDS {
        ours.add(place.run(&wt(), &["status"]).took);
        let begun = Instant::now();
        for folder in &folders {
            place.run("git", &["-C", folder, "status", "--porcelain=v2", "--branch"]);
        }
        theirs.add(begun.elapsed());
    }
    line(&format!("`wt status` of {TASKS} tasks"), &ours, "git status each", &theirs, "< 50 ms");
}
