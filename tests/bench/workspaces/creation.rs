//! Creating one worktree, in every way, interleaved; and the first `git status` in each.
//!
//! Invariant: nothing is deleted while this runs, each name is new, and what was made is looked at: a worktree whose `HEAD`
//! is wrong or that is not clean is no figure but a fault.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use crate::Subject;
use crate::figures::Times;
use crate::floor::Tree;
use crate::place::{Place, wt};
use crate::table::{self, Aim};
use crate::{batch, pool};

/// What `-c` makes git check out with two processes.
pub const WORKERS: [&str; 4] = ["-c", "checkout.workers=2", "-c", "checkout.thresholdForParallelism=100"];

const STATUS: [&str; 3] = ["status", "--porcelain=v2", "--branch"];

/// How long it took, and where it is; or why there is none.
type Done = Result<(Duration, PathBuf), String>;

/// One way of making a worktree.
struct Way {
    label: String,
    aim: Aim,
    /// What is not measured, before each round.
    prepare: Box<dyn FnMut(usize) -> Result<(), String>>,
    make: Box<dyn FnMut(usize) -> Done>,
    /// What is not measured, after each round: leaves the machine at rest.
    settle: Box<dyn FnMut(usize) -> Result<(), String>>,
    /// The commit that it is at then; `None`: it is no worktree.
    head: Option<String>,
    times: Times,
    first: Times,
    reread: usize,
    fault: Option<String>,
    made: Vec<PathBuf>,
}

impl Way {
    fn new(label: &str, head: &str, make: impl FnMut(usize) -> Done + 'static) -> Self {
        Self {
            label: label.to_owned(),
            aim: Aim::None,
            prepare: Box::new(|_| Ok(())),
            make: Box::new(make),
            settle: Box::new(|_| Ok(())),
            head: Some(head.to_owned()),
            times: Times::default(),
            first: Times::default(),
            reread: 0,
            fault: None,
            made: Vec::new(),
        }
    }

    fn round(&mut self, place: &Place, n: usize) -> Result<(), String> {
        (self.prepare)(n)?;
        rustix::fs::sync();
        let (took, path) = (self.make)(n)?;
        self.times.add(took);
        if let Some(head) = &self.head {
            self.reread = self.reread.max(reread(place, &path));
            let first = place.git_in(&path, &STATUS);
            let right = first.out.contains(&format!("# branch.oid {head}\n"));
            if !right || first.out.lines().any(|line| !line.starts_with('#')) {
                return Err(format!("WRONG in round {n}: {}", first.out.lines().next().unwrap_or_default()));
            }
            self.first.add(first.took);
        }
        self.made.push(path);
        (self.settle)(n)
    }
}

/// The worktrees that were made, for what comes after.
#[derive(Default)]
pub struct Made {
    /// By `git worktree add`.
    pub git: Vec<PathBuf>,
    /// By another `git worktree add`, for another way of removing.
    pub others: Vec<PathBuf>,
    /// Tasks of `wt` in the place without a pool, by name.
    pub tasks: Vec<String>,
}

/// Measures and prints.
pub fn measure(subject: &Subject, rounds: usize) -> Made {
    let mut ways = ways(subject);
    for n in 0..rounds {
        for k in 0..ways.len() {
            let at = (n + k) % ways.len();
            let way = &mut ways[at];
            if way.fault.is_none()
                && let Err(why) = way.round(&subject.plain, n)
            {
                way.fault = Some(why);
            }
        }
    }
    let git = ways[0].times.median();
    table::head(&format!("creating one, {} files of {} KiB in all", subject.files, subject.bytes / 1024));
    for way in &ways {
        match &way.fault {
            Some(why) => table::missing(&way.label, why),
            None => table::line(&way.label, &way.times, git, way.aim),
        }
    }
    let settled = settled(&subject.plain, &ways[0].made);
    table::head("the first `git status` in it (ratio: to one in a worktree that has come to rest)");
    table::line("git status, at rest", &settled, None, Aim::None);
    for way in ways.iter().filter(|way| way.fault.is_none() && way.head.is_some()) {
        table::line(&way.label, &way.first, settled.median(), Aim::None);
        println!("    git reads {} files again, aim 0", way.reread);
    }
    let tasks = (0..rounds).map(|n| format!("cold-{n}")).collect();
    let mut made = Made { tasks, ..Made::default() };
    for way in ways {
        match way.label.as_str() {
            GIT => made.git = way.made,
            TWO => made.others = way.made,
            COLD if way.fault.is_some() => made.tasks.truncate(way.made.len()),
            _ => {}
        }
    }
    made
}

/// Makes without measuring what [`crate::removal`] needs.
pub fn unmeasured(subject: &Subject, rounds: usize) -> Made {
    let mut made = Made::default();
    for (list, word) in [(&mut made.git, "git"), (&mut made.others, "workers")] {
        let mut way = added(word, &subject.plain, &subject.head, &WORKERS, word);
        list.extend((0..rounds).filter_map(|n| Some((way.make)(n).ok()?.1)));
    }
    made.tasks = (0..rounds).map(|n| format!("cold-{n}")).collect();
    if let (_, Some(why)) = batch::from(&subject.plain, &made.tasks, "cold.jsonl") {
        table::missing("wt spawn --from", &why);
        made.tasks.clear();
    }
    made
}

const GIT: &str = "git worktree add";
const TWO: &str = "  the same, checkout.workers=2";
const COLD: &str = "wt spawn --no-agent, pool = 0";

fn ways(subject: &Subject) -> Vec<Way> {
    let (head, plain) = (&subject.head, &subject.plain);
    let mut ways = vec![added(GIT, plain, head, &[], "git")];
    if subject.whole {
        ways.push(added(TWO, plain, head, &WORKERS, "workers"));
        ways.push(worktrunk(plain, head, subject.worktrunk.as_deref()));
    }
    let place = plain.clone();
    let mut cold = Way::new(COLD, head, move |n| {
        let name = format!("cold-{n}");
        let ran = place.attempt(&wt(), &["spawn", &name, "--no-agent"])?;
        Ok((ran.took, place.worktrees().join(name)))
    });
    cold.aim = Aim::Ratio(0.55);
    ways.push(cold);
    ways.push(pooled(&subject.pooled, head));
    if let (Some(behind), Some(old)) = (&subject.behind, &subject.old) {
        ways.push(moved(behind, head, old));
    }
    if subject.whole {
        let (place, tree) = (plain.clone(), Rc::new(Tree::read(&plain.repo())));
        let mut floor = Way::new("floor: the bytes alone, from memory", head, move |n| {
            let path = place.beside(&format!("floor-{n}"));
            Ok((tree.write(&path), path))
        });
        floor.head = None;
        ways.push(floor);
    }
    ways
}

fn added(label: &str, place: &Place, head: &str, settings: &'static [&str], word: &'static str) -> Way {
    let (place, base) = (place.clone(), head.to_owned());
    Way::new(label, head, move |n| {
        let name = format!("{word}-{n}");
        let path = place.beside("trees").join(&name);
        let folder = path.display().to_string();
        let args = ["worktree", "add", "-q", "--no-track", "-b", &name, &folder, &base];
        let ran = place.attempt("git", &[settings, &args].concat())?;
        Ok((ran.took, path))
    })
}

fn worktrunk(place: &Place, head: &str, program: Option<&str>) -> Way {
    let (place, base, program) = (place.clone(), head.to_owned(), program.map(str::to_owned));
    Way::new("worktrunk switch --create", head, move |n| {
        let program =
            program.as_ref().ok_or("not found: `cargo install worktrunk`, or WT_BENCH_WORKTRUNK")?;
        let name = format!("trunk-{n}");
        let ran =
            place.attempt(program, &["switch", "--create", &name, "--base", &base, "--no-cd", "--yes"])?;
        Ok((ran.took, place.beside(&format!("repo.{name}"))))
    })
}

/// The status of worktrees whose files are older than their index.
fn settled(place: &Place, made: &[PathBuf]) -> Times {
    std::thread::sleep(Duration::from_millis(1100));
    let status = |path: &PathBuf| {
        place.git_in(path, &STATUS);
        place.git_in(path, &STATUS).took
    };
    made.iter().map(status).collect()
}

/// Takes a spare and says so if it was none.
fn spawned(place: &Place, name: &str) -> Done {
    let before: Vec<u64> = pool::spares(place).iter().map(|spare| pool::inode(spare)).collect();
    let ran = place.attempt(&wt(), &["spawn", name, "--no-agent"])?;
    let path = place.worktrees().join(name);
    if before.contains(&pool::inode(&path)) {
        return Ok((ran.took, path));
    }
    Err("not available: the spare was not taken".to_owned())
}

/// Discards a task, so that its folder becomes a spare again: fewer files are made that way.
fn given_back(place: &Place, name: &str) -> Result<(), String> {
    pool::rest(place);
    place.attempt(&wt(), &["gc", name])?;
    pool::rest(place);
    Ok(())
}

fn pooled(place: &Place, head: &str) -> Way {
    let (make, prepare, settle) = (place.clone(), place.clone(), place.clone());
    let mut way =
        Way::new("wt spawn --no-agent, from the pool", head, move |n| spawned(&make, &format!("pooled-{n}")));
    let at = head.to_owned();
    way.prepare = Box::new(move |n| pool::bring(&prepare, &format!("fill-{n}"), &at));
    way.settle = Box::new(move |n| given_back(&settle, &format!("pooled-{n}")));
    way.aim = Aim::Ratio(0.02);
    way
}

/// The spare is 50 commits behind the target, which moved meanwhile. The target is not what the main checkout is on, so that
/// it can be moved without touching a file.
fn moved(place: &Place, head: &str, old: &str) -> Way {
    let (make, prepare, settle) = (place.clone(), place.clone(), place.clone());
    let mut way = Way::new("  the same, the spare 50 commits behind", head, move |n| {
        spawned(&make, &format!("moved-{n}"))
    });
    let (head, old) = (head.to_owned(), old.to_owned());
    way.prepare = Box::new(move |n| {
        prepare.run("git", &["update-ref", "refs/heads/trunk", &old]);
        pool::bring(&prepare, &format!("back-{n}"), &old)?;
        prepare.run("git", &["update-ref", "refs/heads/trunk", &head]);
        Ok(())
    });
    way.settle = Box::new(move |n| given_back(&settle, &format!("moved-{n}")));
    way.aim = Aim::Ratio(0.20);
    way
}

/// How many files git will have to read again, since what the index says of them does not prove that they are the same:
/// other times, or times that are not before that of the index, to the second as git compares them.
fn reread(place: &Place, worktree: &Path) -> usize {
    let index = place.git_in(worktree, &["rev-parse", "--path-format=absolute", "--git-path", "index"]).out;
    let index = Path::new(index.trim());
    let written = std::fs::metadata(index).unwrap().mtime();
    let read =
        gix::index::File::at(index, gix::hash::Kind::Sha1, true, gix::index::decode::Options::default());
    let read = read.unwrap();
    let differs = |entry: &&gix::index::Entry| {
        let path = worktree.join(OsStr::from_bytes(entry.path(&read)));
        let Ok(about) = std::fs::symlink_metadata(path) else { return true };
        let told = |time: gix::index::entry::stat::Time| i64::from(time.secs);
        told(entry.stat.mtime) >= written
            || told(entry.stat.mtime) != about.mtime()
            || told(entry.stat.ctime) != about.ctime()
            || u64::from(entry.stat.ino) != about.ino() & 0xffff_ffff
    };
    read.entries().iter().filter(differs).count()
}
