//! What folders take on the disk, in bytes of the blocks that they fill, walked on all cores.
//!
//! Invariants: reads only; no symbolic link is followed and no other device entered; an inode counts once, however many
//! names it has; what vanishes meanwhile is no error, what cannot be read is counted as such. Blocks that a file system
//! shares between files by itself (reflinks, deduplication) cannot be told apart: they count for each file.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, lstat, openat, statat};
use rustix::io::Errno;

/// How long a walk may take before it is told of.
const SLOW: Duration = Duration::from_millis(500);

/// What a file is to its workspace; of an inode with several names, the first of these counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sort {
    /// Tracked by git, or not tracked and not ignored.
    Own,
    /// Ignored by git.
    Ignored,
    /// Ignored, and in a folder that can be made again. Whatever is below it is of this sort too.
    Cache,
}

/// An entry of a folder, as a [`Unit`] sorts it.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// Its path below the unit's folder.
    pub path: &'a Path,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// The sort of the folder that it is in.
    pub above: Sort,
}

/// Says of what sort an entry is.
pub type Sorter<'a> = Box<dyn Fn(Found<'_>) -> Sort + Send + Sync + 'a>;

/// A folder to measure.
pub struct Unit<'a> {
    /// The folder.
    pub root: PathBuf,
    /// Of what sort it is itself.
    pub sort: Sort,
    /// Sorts what is in it; `None`: all is as the folder.
    pub sorter: Option<Sorter<'a>>,
}

impl Unit<'_> {
    /// Returns a folder of which all is of one sort.
    pub fn plain(root: impl Into<PathBuf>, sort: Sort) -> Self {
        Self { root: root.into(), sort, sorter: None }
    }
}

/// What one folder takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Bytes of [`Sort::Own`].
    pub own: u64,
    /// Bytes of [`Sort::Ignored`].
    pub ignored: u64,
    /// Bytes of [`Sort::Cache`].
    pub caches: u64,
    /// Bytes of inodes that have names outside of the folder as well: they stay when the folder goes.
    pub shared: u64,
    /// Folders and files that could not be looked at.
    pub unreadable: u64,
    /// When anything in it was last modified, in seconds since 1970.
    pub newest: i64,
    /// The top of a git repository inside it, below the folder; not the folder itself.
    pub repository: Option<PathBuf>,
}

impl Tally {
    /// Returns the bytes that are free when the folder goes.
    pub fn alone(&self) -> u64 {
        self.own + self.ignored + self.caches
    }

    fn add(&mut self, sort: Sort, bytes: u64) {
        match sort {
            Sort::Own => self.own += bytes,
            Sort::Ignored => self.ignored += bytes,
            Sort::Cache => self.caches += bytes,
        }
    }

    fn take(&mut self, other: Self) {
        self.own += other.own;
        self.ignored += other.ignored;
        self.caches += other.caches;
        self.unreadable += other.unreadable;
        self.newest = self.newest.max(other.newest);
        self.repository = match (self.repository.take(), other.repository) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
}

/// What several folders take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measured {
    /// One for each unit, in order.
    pub tallies: Vec<Tally>,
    /// Bytes of all inodes that have names outside of their unit, each counted once.
    pub shared: u64,
}

/// Measures folders; `slow` is called once if it takes over half a second. A folder that is not there takes nothing.
pub fn measure(units: &[Unit<'_>], slow: &dyn Fn()) -> Measured {
    let mut walk = Walk { units, queue: Mutex::default(), wake: Condvar::new() };
    let mut roots = Worker::new(units.len());
    let queue = walk.queue.get_mut().expect("nobody else has it yet");
    for (n, unit) in units.iter().enumerate() {
        if let Ok(stat) = lstat(&unit.root) {
            roots.count(n, unit.sort, &stat);
            if is_folder(&stat) {
                queue.jobs.push(Job {
                    unit: n,
                    path: PathBuf::new(),
                    sort: unit.sort,
                    device: device(&stat),
                });
            }
        }
    }
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    let done: Vec<Worker> = std::thread::scope(|scope| {
        let started: Vec<_> = (0..workers).map(|_| scope.spawn(|| walk.work())).collect();
        walk.watch(slow);
        started.into_iter().map(|worker| worker.join().expect("walking does not panic")).collect()
    });
    sum(units.len(), std::iter::once(roots).chain(done))
}

/// A folder that is still to be read.
struct Job {
    unit: usize,
    /// Below the unit's folder; empty: the folder itself.
    path: PathBuf,
    sort: Sort,
    device: u64,
}

#[derive(Default)]
struct Queue {
    jobs: Vec<Job>,
    busy: usize,
}

impl Queue {
    fn is_done(&self) -> bool {
        self.jobs.is_empty() && self.busy == 0
    }
}

struct Walk<'a> {
    units: &'a [Unit<'a>],
    queue: Mutex<Queue>,
    wake: Condvar,
}

impl Walk<'_> {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("no worker panics while it holds this")
    }

    /// Waits for the end, and tells once if it is long in coming.
    fn watch(&self, slow: &dyn Fn()) {
        let (queue, waited) = self
            .wake
            .wait_timeout_while(self.lock(), SLOW, |queue| !queue.is_done())
            .expect("no worker panics while it holds this");
        drop(queue);
        if waited.timed_out() {
            slow();
        }
    }

    fn work(&self) -> Worker {
        let mut worker = Worker::new(self.units.len());
        let mut found = Vec::new();
        let mut queue = self.lock();
        loop {
            if let Some(job) = queue.jobs.pop() {
                queue.busy += 1;
                drop(queue);
                worker.read(&self.units[job.unit], &job, &mut found);
                queue = self.lock();
                queue.busy -= 1;
                if !found.is_empty() || queue.is_done() {
                    queue.jobs.append(&mut found);
                    self.wake.notify_all();
                }
            } else if queue.is_done() {
                return worker;
            } else {
                queue = self.wake.wait(queue).expect("no worker panics while it holds this");
            }
        }
    }
}

/// An inode with several names, as one worker met it.
#[derive(Debug, Clone, Copy)]
struct Linked {
    unit: usize,
    sort: Sort,
    bytes: u64,
    links: u64,
    /// How many of its names were met in this unit.
    met: u64,
}

struct Worker {
    tallies: Vec<Tally>,
    /// By device, inode and unit.
    linked: HashMap<(u64, u64, usize), Linked>,
}

impl Worker {
    fn new(units: usize) -> Self {
        Self { tallies: vec![Tally::default(); units], linked: HashMap::new() }
    }

    fn read(&mut self, unit: &Unit<'_>, job: &Job, found: &mut Vec<Job>) {
        let full = unit.root.join(&job.path);
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = openat(CWD, &full, flags, Mode::empty()).and_then(Dir::new);
        let mut folder = match opened {
            Ok(folder) => folder,
            // Gone, or something else by now.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return,
            Err(_) => {
                self.tallies[job.unit].unreadable += 1;
                return;
            }
        };
        while let Some(entry) = folder.read() {
            let Ok(entry) = entry else {
                self.tallies[job.unit].unreadable += 1;
                break;
            };
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let stat = folder.fd().and_then(|fd| statat(fd, name, AtFlags::SYMLINK_NOFOLLOW));
            let stat = match stat {
                Ok(stat) if device(&stat) == job.device => stat,
                Ok(_) | Err(Errno::NOENT) => continue,
                Err(_) => {
                    self.tallies[job.unit].unreadable += 1;
                    continue;
                }
            };
            let name = OsStr::from_bytes(name.to_bytes());
            if name == ".git" && !job.path.as_os_str().is_empty() {
                let repository = Tally { repository: Some(job.path.clone()), ..Tally::default() };
                self.tallies[job.unit].take(repository);
            }
            let is_folder = is_folder(&stat);
            let mut path = None;
            let sort = match &unit.sorter {
                Some(sorter) if job.sort != Sort::Cache => {
                    let path = path.insert(job.path.join(name));
                    sorter(Found { path, is_folder, above: job.sort })
                }
                _ => job.sort,
            };
            self.count(job.unit, sort, &stat);
            if is_folder {
                let path = path.unwrap_or_else(|| job.path.join(name));
                found.push(Job { unit: job.unit, path, sort, device: job.device });
            }
        }
    }

    fn count(&mut self, unit: usize, sort: Sort, stat: &Stat) {
        #[expect(clippy::unnecessary_cast, reason = "its type differs between platforms")]
        let links = stat.st_nlink as u64;
        let bytes = u64::try_from(stat.st_blocks).unwrap_or(0) * 512;
        let tally = &mut self.tallies[unit];
        tally.newest = tally.newest.max(stat.st_mtime);
        if is_folder(stat) || links < 2 {
            tally.add(sort, bytes);
            return;
        }
        let first = Linked { unit, sort, bytes, links, met: 0 };
        let known = self.linked.entry((device(stat), stat.st_ino, unit)).or_insert(first);
        known.met += 1;
        known.sort = known.sort.min(sort);
    }
}

fn is_folder(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

#[expect(clippy::unnecessary_cast, reason = "its type differs between platforms")]
fn device(stat: &Stat) -> u64 {
    stat.st_dev as u64
}

/// Adds up what the workers found, and decides for each inode of several names whether they are all in one unit.
fn sum(units: usize, workers: impl Iterator<Item = Worker>) -> Measured {
    let mut measured = Measured { tallies: vec![Tally::default(); units], shared: 0 };
    let mut linked: HashMap<(u64, u64, usize), Linked> = HashMap::new();
    for worker in workers {
        for (tally, part) in measured.tallies.iter_mut().zip(worker.tallies) {
            tally.take(part);
        }
        for (key, part) in worker.linked {
            linked
                .entry(key)
                .and_modify(|known| {
                    known.met += part.met;
                    known.sort = known.sort.min(part.sort);
                })
                .or_insert(part);
        }
    }
    let mut shared: HashMap<(u64, u64), u64> = HashMap::new();
    for ((device, inode, _), Linked { unit, sort, bytes, links, met }) in linked {
        let tally = &mut measured.tallies[unit];
        if met >= links {
            tally.add(sort, bytes);
        } else {
            tally.shared += bytes;
            shared.insert((device, inode), bytes);
        }
    }
    measured.shared = shared.values().sum();
    measured
}

#[cfg(test)]
mod tests;
