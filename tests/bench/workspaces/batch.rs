//! Creating many at once: how long until the last is there, and how many failed.

use std::time::{Duration, Instant};

use crate::Subject;
use crate::figures::Times;
use crate::place::{Place, wt};
use crate::table::{self, Aim};

const SEQUENCE: &str = "git worktree add, one after another";
const GITS: &str = "git worktree add, all at once";
const SPAWNS: &str = "wt spawn --no-agent, all at once";
const FROM: &str = "wt spawn --no-agent --from";
const WAYS: [&str; 4] = [SEQUENCE, GITS, SPAWNS, FROM];

/// What one way came to.
#[derive(Default)]
struct Sum {
    times: Times,
    failures: Vec<String>,
    wrong: usize,
}

/// Makes ten at once, `rounds` times in each way; returns git's median for ten in sequence.
pub fn ten(subject: &Subject, rounds: usize) -> Option<f64> {
    let sums = measure(subject, 10, rounds, &WAYS, &subject.plain);
    let git = sums.first()?.times.median();
    print(subject, 10, rounds, &WAYS, &sums, git);
    git
}

/// Makes fifty at once, once in each way but in sequence, which takes five times as long as `ten`. Those of `--from` are
/// made in `place`, as `from50-0-0` and so on.
pub fn fifty(subject: &Subject, place: &Place, ten: Option<f64>) {
    let sums = measure(subject, 50, 1, &WAYS[1..], place);
    print(subject, 50, 1, &WAYS[1..], &sums, ten.map(|ten| ten * 5.0));
}

fn measure(subject: &Subject, count: usize, rounds: usize, ways: &[&str], place: &Place) -> Vec<Sum> {
    let mut sums: Vec<Sum> = ways.iter().map(|_| Sum::default()).collect();
    for n in 0..rounds {
        for k in 0..ways.len() {
            let at = (n + k) % ways.len();
            rustix::fs::sync();
            let place = if ways[at] == FROM { place } else { &subject.plain };
            one(subject, place, ways[at], count, n, &mut sums[at]);
        }
    }
    sums
}

fn print(subject: &Subject, count: usize, rounds: usize, ways: &[&str], sums: &[Sum], git: Option<f64>) {
    table::head(&format!("{count} at once, {} files each (ratio: to git one after another)", subject.files));
    for (label, sum) in ways.iter().zip(sums) {
        let ours = *label == SPAWNS || *label == FROM;
        let aim = if ours && count == 10 { Aim::Ratio(0.40) } else { Aim::None };
        table::line(label, &sum.times, git, aim);
        if !sum.failures.is_empty() || sum.wrong > 0 {
            let first = sum.failures.first().map(String::as_str).unwrap_or_default();
            println!("    {} failed, {} wrong of {}: {first}", sum.failures.len(), sum.wrong, count * rounds);
        }
    }
}

fn one(subject: &Subject, place: &Place, way: &str, count: usize, n: usize, sum: &mut Sum) {
    let word = match way {
        SEQUENCE => "row",
        GITS => "gits",
        SPAWNS => "spawns",
        _ => "from",
    };
    let names: Vec<String> = (0..count).map(|k| format!("{word}{count}-{n}-{k}")).collect();
    let folder = |name: &str| match way {
        SEQUENCE | GITS => place.beside("trees").join(name),
        _ => place.worktrees().join(name),
    };
    let added = |name: &String| -> Vec<String> {
        let folder = folder(name).display().to_string();
        let words = ["worktree", "add", "-q", "--no-track", "-b", name, &folder, &subject.head];
        words.map(str::to_owned).to_vec()
    };
    let (took, failures) = match way {
        SEQUENCE => in_sequence(place, &names.iter().map(added).collect::<Vec<_>>()),
        GITS => place.at_once("git", &names.iter().map(added).collect::<Vec<_>>()),
        SPAWNS => {
            let calls: Vec<Vec<String>> =
                names.iter().map(|name| ["spawn", name, "--no-agent"].map(str::to_owned).to_vec()).collect();
            place.at_once(&wt(), &calls)
        }
        _ => {
            let (took, failed) = from(place, &names, &format!("{word}{count}-{n}.jsonl"));
            (took, failed.into_iter().collect())
        }
    };
    sum.times.add(took);
    sum.failures.extend(failures);
    sum.wrong += names.iter().filter(|name| !whole(place, &folder(name), &subject.head)).count();
}

fn in_sequence(place: &Place, calls: &[Vec<String>]) -> (Duration, Vec<String>) {
    let begun = Instant::now();
    let failures = calls.iter().filter_map(|args| place.attempt("git", args).err()).collect();
    (begun.elapsed(), failures)
}

/// Makes workspaces of all these names by one call.
pub fn from(place: &Place, names: &[String], file: &str) -> (Duration, Option<String>) {
    let lines: Vec<String> = names.iter().map(|name| format!("{{\"name\":\"{name}\"}}\n")).collect();
    let file = place.beside(file);
    std::fs::write(&file, lines.concat()).unwrap();
    let begun = Instant::now();
    let ended = place.attempt(&wt(), &["spawn", "--no-agent", "--from", &file.display().to_string()]);
    (begun.elapsed(), ended.err())
}

/// Whether a worktree is there, at the right commit, and clean.
fn whole(place: &Place, folder: &std::path::Path, head: &str) -> bool {
    if !folder.join(".git").exists() {
        return false;
    }
    let said = place.git_in(folder, &["status", "--porcelain=v2", "--branch"]).out;
    said.contains(&format!("# branch.oid {head}\n")) && said.lines().all(|line| line.starts_with('#'))
}
