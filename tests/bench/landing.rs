//! Finished branches landed, side by side with what people script with git, in one run.
//!
//! All ways are measured in turn, the order rotated each round, with nothing deleted in between; all have to come to the
//! same tree. Ratios within the run count: absolute times of a shared machine mean little. Usage:
//! `just bench landing [-- --help]`. Nothing here ever fails a build but ways that come to different trees.
//!
//! `WT_BENCH_WT` measures another build of `wt` than the one of this run, where the program is measured and not the library.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark prints, and one that cannot go on panics"
)]

#[path = "landing/alone.rs"]
mod alone;
mod figures;
#[path = "landing/fleet.rs"]
mod fleet;
#[path = "landing/generate.rs"]
mod generate;
#[path = "landing/land.rs"]
mod land;
#[expect(dead_code, reason = "times are taken of many calls at once here")]
mod place;
#[path = "landing/took.rs"]
mod took;

use std::path::{Path, PathBuf};

use clap::Parser;

use fleet::Fleet;
use generate::Size;

/// Measure landings side by side with git.
#[derive(Parser)]
struct Options {
    /// Sizes of the repositories that are made for it.
    #[arg(long, value_delimiter = ',', default_values_t = [5_000, 50_000])]
    files: Vec<usize>,
    /// Branches that are landed.
    #[arg(long, default_value_t = 50)]
    branches: usize,
    /// Rounds of everything.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Measure this only; repeatable.
    #[arg(long, value_name = "NAME")]
    only: Vec<Part>,
    /// A small repository and few branches: a look, not a measurement.
    #[arg(long)]
    quick: bool,
    /// Work below this folder.
    #[arg(long, value_name = "FOLDER")]
    within: Option<PathBuf>,
    /// What `cargo bench` says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A part of the run.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// The replay alone, without checkouts.
    Replay,
    /// From end to end, with workspaces and checkout.
    Land,
    /// The replay of 10, 50 and 200 branches.
    Slope,
    /// Removing the workspaces of what has landed.
    Prune,
}

fn main() {
    let options = Options::parse();
    let (sizes, branches, rounds) = if options.quick {
        (vec![5_000], options.branches.min(10), options.rounds.min(2))
    } else {
        (options.files.clone(), options.branches, options.rounds)
    };
    let wants = |part: Part| options.only.is_empty() || options.only.contains(&part);
    let within = options.within.clone().unwrap_or_else(std::env::temp_dir);
    let root = tempfile::Builder::new().prefix("wt-bench-").tempdir_in(within).unwrap();
    println!("{}", about(root.path()));
    for files in &sizes {
        let size = Size { files: *files, branches };
        let folder = root.path().join(format!("files-{files}"));
        if wants(Part::Replay) {
            alone::measure(&folder.join("alone"), size, rounds);
        }
        if wants(Part::Land) || wants(Part::Prune) {
            // Two copies of each file, and inodes as many.
            let need = 2 * (*files * (branches + 2)) as u64;
            let free = rustix::fs::statvfs(root.path()).unwrap();
            // File systems without inodes of a fixed number say 0.
            if free.f_bavail * free.f_frsize / 4_096 < need || (1..need).contains(&free.f_favail) {
                println!("\n{files} files: not landed end to end, the disk is too full");
                continue;
            }
            let mut fleet = Fleet::new(&folder.join("fleet"), size, land::landings(rounds));
            if wants(Part::Land) {
                land::measure(&mut fleet, size, rounds);
            }
            if wants(Part::Prune) {
                land::prune(&mut fleet, size);
            }
        }
    }
    if wants(Part::Slope) {
        let counts: &[usize] = if options.quick { &[2, 10] } else { &[10, 50, 200] };
        let files = sizes.iter().copied().max().unwrap();
        let size = Size { files, branches: *counts.last().unwrap() };
        alone::slope(&root.path().join("slope"), size, counts, rounds);
    }
}

fn about(root: &Path) -> String {
    let version = |program: &str| {
        let said = std::process::Command::new(program).arg("--version").output();
        said.map_or_else(|_| "-".to_owned(), |said| String::from_utf8_lossy(&said.stdout).trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("-").to_owned();
    format!("{}; {}; {cores} cores, load {load}; {}", version(&place::wt()), version("git"), root.display())
}
