//! The status of many workspaces.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::Subject;
use crate::figures::Times;
use crate::place::{Place, wt};
use crate::table::{self, Aim};
use crate::{batch, pool};

const STATUS: [&str; 3] = ["status", "--porcelain=v2", "--branch"];
const WAYS: [&str; 5] = [
    "git status, one after another",
    "git status, 2 at once",
    "worktrunk list",
    "wt status",
    "wt status --cached",
];

/// Asks for the status of `count` workspaces, which [`batch::fifty`] has made or which are made now.
pub fn measure(subject: &Subject, place: &Place, count: usize, rounds: usize) {
    let names: Vec<String> = (0..count).map(|n| format!("from50-0-{n}")).collect();
    let folders: Vec<PathBuf> = names.iter().map(|name| place.worktrees().join(name)).collect();
    if !folders.iter().any(|folder| folder.exists())
        && let (_, Some(why)) = batch::from(place, &names, "many.jsonl")
    {
        table::missing("wt spawn --from", &why);
        return;
    }
    pool::rest(place);
    std::thread::sleep(Duration::from_millis(1100));
    in_sequence(place, &folders);
    let mut times: [Times; WAYS.len()] = Default::default();
    let mut faults: [Option<String>; WAYS.len()] = Default::default();
    for n in 0..rounds {
        for k in 0..WAYS.len() {
            let at = (n + k) % WAYS.len();
            let took = match at {
                0 => Ok(in_sequence(place, &folders)),
                1 => Ok(two_at_once(place, &folders)),
                2 => listed(place, subject.worktrunk.as_deref()),
                3 => told(place, &["status"], count),
                _ => told(place, &["status", "--cached"], count).map_err(|why| {
                    if why.contains("unexpected argument") { "not available".to_owned() } else { why }
                }),
            };
            match took {
                Ok(took) => times[at].add(took),
                Err(why) => faults[at] = Some(why),
            }
        }
    }
    table::head(&format!("status of {count}, {} files each, clean", subject.files));
    let git = times[0].median();
    for (at, label) in WAYS.iter().enumerate() {
        let aim = [Aim::None, Aim::None, Aim::None, Aim::Ratio(0.45), Aim::Ratio(0.10)][at];
        match &faults[at] {
            Some(why) => table::missing(label, why),
            None => table::line(label, &times[at], git, aim),
        }
    }
    if let (Some(ours), Some(theirs)) = (times[3].median(), times[2].median()) {
        let verdict = if ours < theirs { "met" } else { "MISSED" };
        println!("  wt status to worktrunk list: {:.2}, aim < 1  {verdict}", ours / theirs);
    }
}

fn in_sequence(place: &Place, folders: &[PathBuf]) -> Duration {
    let begun = Instant::now();
    for folder in folders {
        place.git_in(folder, &STATUS);
    }
    begun.elapsed()
}

fn two_at_once(place: &Place, folders: &[PathBuf]) -> Duration {
    let begun = Instant::now();
    let (even, odd) = folders.split_at(folders.len() / 2);
    std::thread::scope(|scope| {
        for half in [even, odd] {
            scope.spawn(|| in_sequence(place, half));
        }
    });
    begun.elapsed()
}

fn listed(place: &Place, program: Option<&str>) -> Result<Duration, String> {
    let program = program.ok_or("not found: `cargo install worktrunk`, or WT_BENCH_WORKTRUNK")?;
    Ok(place.attempt(program, &["list"])?.took)
}

fn told(place: &Place, args: &[&str], count: usize) -> Result<Duration, String> {
    let ran = place.attempt(&wt(), args)?;
    let lines = ran.out.lines().filter(|line| line.contains("from50-")).count();
    if lines == count { Ok(ran.took) } else { Err(format!("WRONG: {lines} of {count} are told")) }
}
