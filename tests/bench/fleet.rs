//! What supervision costs: processor time and memory for each task, and how many tasks it bears, in one run.
//!
//! The benchmark is a subreaper: every process that a `wt` leaves behind comes to it at last and is reaped here, so that
//! nothing of what supervision takes is missed, and a run is over when no process of it is left. Each part is a process of
//! its own, for the kernel keeps its sums for each process. Usage: `just bench fleet [-- --help]`. Nothing here ever fails a
//! build. `WT_BENCH_WT` measures another build of `wt` than the one of this run.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark prints, and one that cannot go on panics"
)]

#[path = "fleet/cost.rs"]
mod cost;
mod figures;
#[path = "fleet/flood.rs"]
mod flood;
#[path = "fleet/many.rs"]
mod many;
#[expect(dead_code, reason = "where worktrees are and what programs say is asked elsewhere")]
mod place;
#[path = "fleet/slots.rs"]
mod slots;
#[path = "fleet/used.rs"]
mod used;
#[path = "fleet/waiting.rs"]
mod waiting;

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{Parser, ValueEnum as _};

use place::Place;

/// Measure what supervision costs.
#[derive(Parser)]
struct Options {
    /// Measure this only; repeatable.
    #[arg(long, value_name = "NAME")]
    only: Vec<Part>,
    /// Few of everything: a look, not a measurement.
    #[arg(long)]
    quick: bool,
    /// Run 10,000 tasks to their end as well.
    #[arg(long)]
    full: bool,
    /// Work below this folder.
    #[arg(long, value_name = "FOLDER")]
    within: Option<PathBuf>,
    /// Be the part, in this process.
    #[arg(long, hide = true)]
    part: Option<Part>,
    /// What `cargo bench` says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A part of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Processor time of one task whose agent is `true`.
    Cost,
    /// Memory and wake-ups of runners and guards whose agents sleep.
    Waiting,
    /// An agent that writes as fast as it is read.
    Flood,
    /// Tasks that last two seconds, all at once.
    Slots,
    /// Tasks that last nothing, on 8 slots.
    Many,
    /// A queue of 10,000, and what it is to `wt status` and `wt spawn`.
    Queue,
}

/// How much is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// A look.
    Quick,
    /// What bears on the aims.
    Usual,
    /// What takes long as well.
    Full,
}

fn main() {
    let options = Options::parse();
    let extent = match (options.quick, options.full) {
        (true, _) => Extent::Quick,
        (_, true) => Extent::Full,
        _ => Extent::Usual,
    };
    let within = options.within.clone().unwrap_or_else(std::env::temp_dir);
    if let Some(part) = options.part {
        return measure(part, &within, extent);
    }
    println!("{}", about());
    for part in Part::value_variants() {
        if options.only.is_empty() || options.only.contains(part) {
            let name = part.to_possible_value().unwrap();
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["--part", name.get_name()]).arg("--within").arg(&within);
            command.args(options.quick.then_some("--quick")).args(options.full.then_some("--full"));
            if !command.status().unwrap().success() {
                println!("  {} was not measured to its end", name.get_name());
            }
        }
    }
}

fn measure(part: Part, within: &Path, extent: Extent) {
    used::come_here();
    let root = tempfile::Builder::new().prefix("wt-bench-").tempdir_in(within).unwrap();
    match part {
        Part::Cost => cost::measure(root.path(), extent),
        Part::Waiting => waiting::measure(root.path(), extent),
        Part::Flood => flood::measure(root.path(), extent),
        Part::Slots => slots::measure(root.path()),
        Part::Many => many::measure(root.path(), extent),
        Part::Queue => many::queue(root.path(), extent),
    }
}

/// A repository of ten small files, with `config` for `wt` beside agents that are nearly nothing. Nothing is made or looked
/// for in the background: that has its own pace, and other benchmarks.
fn tiny(folder: &Path, config: &str) -> Place {
    let agents = "[agent]\ndefault = \"true\"\n[workspace]\npool = 0\n[merge]\nforesee = \"0s\"\n[limits]\nretries = 0\n";
    let config = config.replace("[limits]\n", "");
    let place = Place::new(
        folder,
        &format!(
            "{agents}{config}[agents.true]\ncommand = [\"true\"]\n\
             [agents.nothing]\ncommand = [\"echo\", \"<promise>NOTHING</promise>\"]\n\
             [agents.sleep2]\ncommand = [\"sh\", \"-c\", \"sleep 2; echo '<promise>NOTHING</promise>'\"]\n\
             [agents.sleeper]\ncommand = [\"sleep\", \"100000\"]\n"
        ),
    );
    std::fs::create_dir_all(place.repo()).unwrap();
    for n in 0..10 {
        std::fs::write(place.repo().join(format!("f{n}.txt")), format!("file {n}\n").repeat(20)).unwrap();
    }
    for args in [&["init", "-q", "-b", "main"][..], &["add", "-A"], &["commit", "-q", "-m", "files"]] {
        place.run("git", args);
    }
    place
}

/// Whoever holds this leaves no agent behind, however it ends.
struct Stops<'a>(&'a Place);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        drop(self.0.attempt(&place::wt(), &["stop", "--all", "--quiet"]));
        used::reap_all(|| {});
    }
}

/// Writes `count` tasks for `wt spawn --from` and returns the path.
fn list(folder: &Path, prefix: &str, count: usize, agent: &str) -> String {
    let line = |n| format!("{{\"name\":\"{prefix}{n}\",\"prompt\":\"nothing\",\"agent\":\"{agent}\"}}\n");
    let path = folder.join(format!("{prefix}.jsonl"));
    std::fs::write(&path, (0..count).map(line).collect::<String>()).unwrap();
    path.to_string_lossy().into_owned()
}

/// Prints a figure with its aim: the most that it should be.
fn aimed(label: &str, value: f64, unit: &str, aim: f64) {
    let verdict = if value <= aim { "met" } else { "MISSED" };
    println!("  {label:<56}{:>10} {unit:<8} aim <= {aim} {unit}: {verdict}", figures::digits(value));
}

/// Prints a figure.
fn told(label: &str, value: f64, unit: &str) {
    println!("  {label:<56}{:>10} {unit}", figures::digits(value));
}

fn about() -> String {
    let version = |program: &str| {
        let said = Command::new(program).arg("--version").output();
        said.map_or_else(|_| "-".to_owned(), |said| String::from_utf8_lossy(&said.stdout).trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("-").to_owned();
    format!("{}; {}; {cores} cores, load {load}", version(&place::wt()), version("git"))
}
