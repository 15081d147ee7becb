//! What one task costs whose agent is `true`, from `wt spawn` until nothing of it is left, beside a script.

use std::fmt::Write as _;
use std::path::Path;

use crate::figures::digits;
use crate::place::{Place, wt};
use crate::used::{Since, Used, reap_all};
use crate::{Extent, aimed, tiny, told};

/// A git that notes what processor time it took, children and all.
const COUNTING: &str = "#!/bin/bash\nREAL \"$@\"; code=$?\ntimes >> NOTE\nexit $code\n";

/// Runs a task in every way, one after another, and prints what each of them takes.
pub fn measure(folder: &Path, extent: Extent) {
    let rounds = if extent == Extent::Quick { 5 } else { 40 };
    let place = tiny(folder, "stagger = \"0s\"\n");
    // What is made only once.
    task(&place, "first", Kind::Fresh);
    let [mut fresh, mut spawn, mut again, mut script, mut empty] = [Used { cpu: 0.0, wall: 0.0 }; 5];
    for n in 0..rounds {
        let name = format!("t{n}");
        let (whole, own) = task(&place, &name, Kind::Fresh);
        add(&mut fresh, whole);
        add(&mut spawn, own);
        add(&mut again, task(&place, &name, Kind::Again).0);
        let naive = format!(
            "git worktree add -q -b s{n} ../script-worktrees/s{n} && cd ../script-worktrees/s{n} && sh -c true"
        );
        add(&mut script, ran(&place, "sh", &["-c", &naive]));
        add(&mut empty, ran(&place, "true", &[]));
    }
    let (git_fresh, calls_fresh) = of_git(&place, folder, Kind::Fresh, rounds);
    let (git_again, calls_again) = of_git(&place, folder, Kind::Again, rounds);
    let each = |used: Used| Used { cpu: used.cpu / f64::from(rounds), wall: used.wall / f64::from(rounds) };
    let [fresh, spawn, again, script, empty] = [fresh, spawn, again, script, empty].map(each);
    println!(
        "\none task, agent `true`, {rounds} in a row, each until no process of it is left (mean of each)"
    );
    told("with a worktree: all processes", fresh.cpu, "ms CPU");
    told("  of that `wt spawn`, which makes the worktree", spawn.cpu, "ms CPU");
    told(&format!("  of that git, {} processes", digits(calls_fresh)), git_fresh, "ms CPU");
    told("  of that the agent", empty.cpu, "ms CPU");
    aimed("  own", fresh.cpu - git_fresh - empty.cpu, "ms CPU", 10.0);
    told("  from `wt spawn` until nothing is left", fresh.wall, "ms");
    told("in the worktree that it has, by `wt retry`: all processes", again.cpu, "ms CPU");
    told(&format!("  of that git, {} processes", digits(calls_again)), git_again, "ms CPU");
    aimed("  own", again.cpu - git_again - empty.cpu, "ms CPU", 10.0);
    told("  from `wt retry` until nothing is left", again.wall, "ms");
    told("`git worktree add` and `sh -c true`", script.cpu, "ms CPU");
    told("  from start to end", script.wall, "ms");
    told("with a worktree, to the script: CPU", fresh.cpu / script.cpu, "times");
    told("with a worktree, to the script: time", fresh.wall / script.wall, "times");
}

/// Whether a task is new or has its worktree.
#[derive(Clone, Copy)]
enum Kind {
    Fresh,
    Again,
}

fn add(sum: &mut Used, used: Used) {
    sum.cpu += used.cpu;
    sum.wall += used.wall;
}

/// Runs a task to its end and returns what it took, and what the command that a person types did.
fn task(place: &Place, name: &str, kind: Kind) -> (Used, Used) {
    let args: &[&str] = match kind {
        Kind::Fresh => &["spawn", name, "nothing", "--quiet"],
        Kind::Again => &["retry", name, "--quiet"],
    };
    let since = Since::now();
    place.run(&wt(), args);
    let own = since.used();
    reap_all(|| {});
    (since.used(), own)
}

fn ran(place: &Place, program: &str, args: &[&str]) -> Used {
    let since = Since::now();
    place.run(program, args);
    since.used()
}

/// Returns the processor time that git takes for a task, and how often it is called. What notes it would be in the way
/// while the rest is measured, so these are tasks of their own.
fn of_git(place: &Place, folder: &Path, kind: Kind, rounds: i32) -> (f64, f64) {
    let note = folder.join("times");
    drop(std::fs::remove_file(&note));
    let bin = folder.join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    let path = std::env::var("PATH").unwrap();
    let real = std::env::split_paths(&path).map(|dir| dir.join("git")).find(|git| git.is_file()).unwrap();
    let script = COUNTING.replace("REAL", &real.to_string_lossy()).replace("NOTE", &note.to_string_lossy());
    std::fs::write(bin.join("git"), script).unwrap();
    std::fs::set_permissions(bin.join("git"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let counted = format!("{}:{path}", bin.display());
    for n in 0..rounds {
        let mut args = String::new();
        match kind {
            Kind::Fresh => write!(args, "spawn c{n} nothing --quiet").unwrap(),
            Kind::Again => write!(args, "retry c{n} --quiet").unwrap(),
        }
        let args: Vec<&str> = args.split(' ').collect();
        assert!(place.command(&wt(), &args).env("PATH", &counted).output().unwrap().status.success());
        reap_all(|| {});
    }
    let text = std::fs::read_to_string(&note).unwrap_or_default();
    // Of each two lines, the first is the shell's own.
    let lines: Vec<&str> = text.lines().skip(1).step_by(2).collect();
    let spent: f64 = lines.iter().flat_map(|line| line.split_whitespace()).map(seconds).sum();
    let calls = lines.len();
    let calls = f64::from(u32::try_from(calls).unwrap());
    (spent * 1e3 / f64::from(rounds), calls / f64::from(rounds))
}

/// Reads `0m0.012s`.
fn seconds(word: &str) -> f64 {
    let (minutes, seconds) = word.trim_end_matches('s').split_once('m').unwrap_or(("0", "0"));
    minutes.parse::<f64>().unwrap_or(0.0) * 60.0 + seconds.parse::<f64>().unwrap_or(0.0)
}
