//! Workspaces made, removed and looked at, side by side with git and with what else there is, in one run.
//!
//! All ways of one thing are measured in turn, the order rotated each round, on fresh names, with nothing deleted in
//! between and the disk at rest before each; every result is checked. Ratios to git in the same run count: absolute times
//! of a shared machine mean little. Usage: `just bench workspaces [-- --help]`. Nothing here ever fails a build.
//!
//! Another program called `wt`, worktrunk (`cargo install worktrunk --root DIR`), is measured beside it where it is found:
//! on the path, or as `WT_BENCH_WORKTRUNK` says. `WT_BENCH_WT` measures another build of `wt` than the one of this run.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark prints, and one that cannot go on panics"
)]

#[path = "workspaces/batch.rs"]
mod batch;
#[path = "workspaces/calls.rs"]
mod calls;
#[path = "workspaces/creation.rs"]
mod creation;
mod figures;
#[path = "workspaces/floor.rs"]
mod floor;
#[path = "workspaces/generate.rs"]
mod generate;
#[path = "workspaces/many.rs"]
mod many;
mod place;
#[path = "workspaces/pool.rs"]
mod pool;
#[path = "workspaces/removal.rs"]
mod removal;
#[path = "workspaces/room.rs"]
mod room;
#[path = "workspaces/table.rs"]
mod table;

use std::path::{Path, PathBuf};

use clap::Parser;

use place::Place;

/// Measure workspaces side by side with git.
#[derive(Parser)]
struct Options {
    /// Sizes of the repositories that are made for it.
    #[arg(long, value_delimiter = ',', default_values_t = [5_000, 20_000, 60_000])]
    files: Vec<usize>,
    /// Measure with a clone of this repository in their place.
    #[arg(long, value_name = "PATH")]
    repo: Option<PathBuf>,
    /// Rounds of everything that is made one at a time.
    #[arg(long, default_value_t = 8)]
    rounds: usize,
    /// Measure this only; repeatable.
    #[arg(long, value_name = "NAME")]
    only: Vec<Part>,
    /// A small repository and few rounds: a look, not a measurement.
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
    /// Creating one, and the first status in it.
    Create,
    /// 10 and 50 at once.
    Batch,
    /// Status of 50.
    Status,
    /// Removing.
    Remove,
}

/// A repository that is measured with, in several clones.
struct Subject {
    /// Without a pool; git's own worktrees are made here too.
    plain: Place,
    /// With a pool.
    pooled: Place,
    /// With a pool, and with a target that nobody has checked out; only where the history is long enough.
    behind: Option<Place>,
    head: String,
    /// 50 commits before that.
    old: Option<String>,
    files: usize,
    /// What one checkout takes on the disk.
    bytes: u64,
    /// Whether every way is measured, also those that nothing is aimed at.
    whole: bool,
    worktrunk: Option<String>,
}

fn main() {
    let options = Options::parse();
    let sizes = if options.quick { vec![3_000] } else { options.files.clone() };
    let rounds = if options.quick { options.rounds.min(3) } else { options.rounds };
    let wants = |part: Part| options.only.is_empty() || options.only.contains(&part);
    let within = options.within.clone().unwrap_or_else(std::env::temp_dir);
    let root = tempfile::Builder::new().prefix("wt-bench-").tempdir_in(within).unwrap();
    let worktrunk = worktrunk();
    println!("{}", about(worktrunk.as_deref(), root.path()));

    let mut removals = Vec::new();
    for (n, files) in sizes.iter().enumerate() {
        let folder = root.path().join(format!("size-{n}"));
        let Some((subject, rounds)) =
            Subject::new(&folder, *files, options.repo.as_deref(), worktrunk.clone(), rounds)
        else {
            continue;
        };
        let mut made = wants(Part::Create).then(|| creation::measure(&subject, rounds));
        if n == 0 {
            let many = subject.another(&folder.join("many"), NO_POOL);
            if wants(Part::Batch) {
                let ten = batch::ten(&subject, if options.quick { 1 } else { 3 });
                if !options.quick {
                    batch::fifty(&subject, &many, ten);
                }
            }
            if wants(Part::Status) {
                many::measure(&subject, &many, if options.quick { 10 } else { 50 }, rounds);
            }
        }
        if wants(Part::Remove) && subject.whole {
            let made = made.take().unwrap_or_else(|| creation::unmeasured(&subject, rounds));
            removals.push((subject, made));
        }
        if options.repo.is_some() {
            break;
        }
    }
    // Last, since creating is several times slower for a while where much was just deleted.
    for (subject, made) in &removals {
        removal::measure(subject, made);
    }
    room::clear(root.path());
}

const NO_POOL: &str = "[workspace]\npool = 0\n";
const POOL: &str = "[workspace]\npool = 1\n";
const POOL_AND_TRUNK: &str = "target = \"trunk\"\n[workspace]\npool = 1\n";

impl Subject {
    /// Makes the repositories, and returns how many rounds there is room for; `None`: not even for two.
    fn new(
        folder: &Path,
        files: usize,
        given: Option<&Path>,
        worktrunk: Option<String>,
        rounds: usize,
    ) -> Option<(Self, usize)> {
        if given.is_none() && room::free(folder.parent()?).0 / 6_000 < 8 * files as u64 {
            println!("\n{files} files: left out, the disk is too full");
            return None;
        }
        let plain = Place::new(&folder.join("plain"), NO_POOL);
        match given {
            Some(path) => cloned(&plain, path),
            None => generate::generate(&plain, files),
        }
        let head = plain.run("git", &["rev-parse", "HEAD"]).out.trim().to_owned();
        let old = plain.attempt("git", &["rev-parse", "--verify", "-q", "HEAD~50"]);
        let old = old.ok().map(|ran| ran.out.trim().to_owned());
        let files = plain.run("git", &["ls-files", "-z"]).out.matches('\0').count();
        let bytes = room::taken(&plain.repo());
        let whole = files <= 30_000;
        let mut subject =
            Self { pooled: plain.clone(), behind: None, plain, head, old, files, bytes, whole, worktrunk };
        let ways = if whole { 6 } else { 3 };
        let fit = room::rounds(folder, bytes, files, ways, rounds)?;
        subject.pooled = subject.another(&folder.join("pooled"), POOL);
        if subject.old.is_some() {
            let behind = subject.another(&folder.join("behind"), POOL_AND_TRUNK);
            behind.run("git", &["branch", "trunk"]);
            subject.behind = Some(behind);
        }
        Some((subject, fit))
    }

    /// Makes the same repository once more.
    fn another(&self, folder: &Path, config: &str) -> Place {
        let place = Place::new(folder, config);
        cloned(&place, &self.plain.repo());
        place
    }
}

/// Makes the repository of a place a clone of another one, on a branch `main`, without a remote.
fn cloned(place: &Place, from: &Path) {
    let from = std::fs::canonicalize(from).unwrap().display().to_string();
    let into = place.repo().display().to_string();
    std::fs::create_dir_all(place.repo()).unwrap();
    place.run("git", &["clone", "-q", "--no-tags", &from, &into]);
    place.run("git", &["checkout", "-q", "-B", "main", "--no-track"]);
    place.run("git", &["remote", "remove", "origin"]);
    generate::settle(place);
}

/// Finds worktrunk: the variable, or a `wt` on the path that says so.
fn worktrunk() -> Option<String> {
    let named = std::env::var("WT_BENCH_WORKTRUNK").ok().filter(|path| !path.is_empty());
    let found =
        ["wt", "worktrunk", "git-wt"].iter().flat_map(|name| which::which_all(name).into_iter().flatten());
    named.into_iter().chain(found.map(|path| path.display().to_string())).find(|path| {
        let said = std::process::Command::new(path).arg("--help").output();
        said.is_ok_and(|said| String::from_utf8_lossy(&said.stdout).to_lowercase().contains("worktrunk"))
    })
}

fn about(worktrunk: Option<&str>, root: &Path) -> String {
    let version = |program: &str| {
        let said = std::process::Command::new(program).arg("--version").output();
        said.map_or_else(|_| "-".to_owned(), |said| String::from_utf8_lossy(&said.stdout).trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let trunk = worktrunk.map_or_else(|| "worktrunk: not found".to_owned(), version);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("-").to_owned();
    let ours = version(&place::wt());
    format!("{ours}; {}; {trunk}; {cores} cores, load {load}; {}", version("git"), root.display())
}
