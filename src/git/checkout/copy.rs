//! Copying files from a source, folder by folder, with a thread per core.
//!
//! Invariant: a file that is reported as made was read while its stat data was the recorded one, and has the stat data that is
//! returned; any other is not there. Files get the permissions of a fresh checkout, never the source's. Whatever is wrong with
//! a source file only means that git writes it; whatever is wrong in the new worktree ends the copying.

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use gix::index::entry::{Mode, Stat};
use gix::index::{Entry, State};
use rustix::fs::{
    AtFlags, FileType, Mode as Permissions, OFlags, Timespec, Timestamps, UTIME_OMIT, fstat, futimens,
    mkdirat, openat, readlinkat, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::convert::{Rule, Rules};
use super::folder::{self, Descent, Missing, split};
use super::source::{Owner, Source};
use crate::git::{LinkedWorktree, Repo};

/// The most entries of one folder that one thread takes at once.
const UNIT: usize = 512;

/// From this size on, in bytes, a file system is asked to share the content instead of copying it.
const LARGE: u64 = 128 * 1024;

/// Why copying came to an end.
#[derive(Debug)]
pub(super) enum Fault {
    /// Something stands where a file should be made.
    Taken,
    /// A file or folder could not be written.
    Failed(io::Error),
}

impl From<Errno> for Fault {
    fn from(cause: Errno) -> Self {
        match cause {
            // A symlink or file in the place of a folder too.
            Errno::EXIST | Errno::LOOP | Errno::NOTDIR => Self::Taken,
            _ => Self::Failed(cause.into()),
        }
    }
}

/// Neighbours in the index that lie in one folder, and what came of them.
struct Unit<'a> {
    range: Range<usize>,
    made: &'a mut [Option<Stat>],
}

/// Copies what can be copied. Returns for each entry of `wanted` the stat data of the file made for it; `None`: left to git.
pub(super) fn run(
    repo: &Repo,
    worktree: &LinkedWorktree,
    source: &Source,
    wanted: &State,
    known: &[Option<Stat>],
    rules: &Rules,
) -> Result<Vec<Option<Stat>>, Fault> {
    let into = folder::root(worktree.path())?;
    let started = statat(&into, ".git", AtFlags::SYMLINK_NOFOLLOW)?;
    let copying = Copying {
        source,
        wanted,
        known,
        rules,
        into,
        // Younger than any build that ran before, older than the index.
        spare_time: Timespec { tv_sec: started.st_mtime - 1, tv_nsec: 0 },
        sharing: AtomicBool::new(true),
        in_kernel: AtomicBool::new(true),
        over: AtomicBool::new(false),
    };
    let mut made = vec![None; wanted.entries().len()];
    let units = Mutex::new(units(wanted, &mut made).into_iter());
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    thread::scope(|scope| {
        let work = || copying.work(repo, &units);
        let others: Vec<_> = (1..cores).map(|_| scope.spawn(work)).collect();
        let own = work();
        let ended = others.into_iter().map(|other| other.join().expect("workers do not panic"));
        // Every worker is waited for before the first fault is returned.
        ended.collect::<Vec<_>>().into_iter().fold(own, Result::and)
    })?;
    Ok(made)
}

fn units<'a>(wanted: &State, made: &'a mut [Option<Stat>]) -> Vec<Unit<'a>> {
    let folder = |n: usize| split(wanted.entries()[n].path(wanted)).0;
    let (mut found, mut rest, mut start) = (Vec::new(), made, 0);
    let all = wanted.entries().len();
    while start < all {
        let here = folder(start);
        let length = (start..all).take(UNIT).take_while(|&n| folder(n) == here).count();
        let (made, later) = rest.split_at_mut(length);
        found.push(Unit { range: start..start + length, made });
        rest = later;
        start += length;
    }
    found
}

struct Copying<'a> {
    source: &'a Source,
    wanted: &'a State,
    known: &'a [Option<Stat>],
    rules: &'a Rules,
    into: OwnedFd,
    spare_time: Timespec,
    /// Whether the file system may still be asked to share content between files.
    sharing: AtomicBool,
    /// Whether the kernel may still be asked to copy.
    in_kernel: AtomicBool,
    over: AtomicBool,
}

/// A file or symlink to be made, and the folder that its source is in.
struct Item<'a> {
    from: BorrowedFd<'a>,
    to: BorrowedFd<'a>,
    name: &'a [u8],
    entry: &'a Entry,
    rule: Rule,
    known: &'a Stat,
}

impl Copying<'_> {
    fn work(&self, repo: &Repo, units: &Mutex<std::vec::IntoIter<Unit<'_>>>) -> Result<(), Fault> {
        let objects = repo.local();
        let mut from = Descent::new(self.source.folder(), Missing::Fail);
        let mut to = Descent::new(self.into.as_fd(), Missing::Make);
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let next = units.lock().expect("workers do not panic").next();
            let Some(unit) = next.filter(|_| !self.over.load(Ordering::Relaxed)) else { return Ok(()) };
            let done = self.unit(unit, &objects, &mut from, &mut to, &mut buffer);
            if done.is_err() {
                self.over.store(true, Ordering::Relaxed);
                return done;
            }
        }
    }

    fn unit(
        &self,
        unit: Unit<'_>,
        objects: &gix::Repository,
        from: &mut Descent<'_>,
        to: &mut Descent<'_>,
        buffer: &mut [u8],
    ) -> Result<(), Fault> {
        let entries = &self.wanted.entries()[unit.range.clone()];
        let folder = split(entries[0].path(self.wanted)).0;
        let from = from.at(folder).ok();
        for ((n, entry), made) in unit.range.zip(entries).zip(unit.made) {
            let name = split(entry.path(self.wanted)).1;
            if super::is_submodule(entry) {
                *made = Some(submodule(to.at(folder)?, name)?);
                continue;
            }
            let rule = self.rules.of(n);
            let (Some(known), Some(from)) = (&self.known[n], from) else { continue };
            if rule == Rule::Git {
                continue;
            }
            let item = Item { from, to: to.at(folder)?, name, entry, rule, known };
            *made = match entry.mode {
                Mode::SYMLINK => self.symlink(&item, objects)?,
                _ => self.file(&item, objects, buffer)?,
            };
        }
        Ok(())
    }

    fn symlink(&self, item: &Item<'_>, objects: &gix::Repository) -> Result<Option<Stat>, Fault> {
        let Ok(target) = readlinkat(item.from, item.name, Vec::new()) else { return Ok(None) };
        let Ok(there) = statat(item.from, item.name, AtFlags::SYMLINK_NOFOLLOW) else { return Ok(None) };
        let size = target.as_bytes().len() as u64;
        if stat(&there) != comparable(item.known) || !item.rule.holds(objects, item.entry, size) {
            return Ok(None);
        }
        symlinkat(&target, item.to, item.name)?;
        let times = self.times(&there);
        utimensat(item.to, item.name, &times, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(Some(full(&statat(item.to, item.name, AtFlags::SYMLINK_NOFOLLOW)?)))
    }

    fn file(
        &self,
        item: &Item<'_>,
        objects: &gix::Repository,
        buffer: &mut [u8],
    ) -> Result<Option<Stat>, Fault> {
        // A pipe in its place must not make anybody wait.
        let reading = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let Ok(from) = openat(item.from, item.name, reading, Permissions::empty()) else { return Ok(None) };
        let clean =
            || fstat(&from).ok().filter(|there| is_file(there) && stat(there) == comparable(item.known));
        let Some(there) = clean() else { return Ok(None) };
        let size = u64::try_from(there.st_size).unwrap_or_default();
        if !item.rule.holds(objects, item.entry, size) {
            return Ok(None);
        }
        let making = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let permissions = if item.entry.mode == Mode::FILE_EXECUTABLE { 0o777 } else { 0o666 };
        let to = openat(item.to, item.name, making, Permissions::from_raw_mode(permissions))?;
        let whole = self.content(&from, &to, size, buffer)?;
        if !whole || clean().is_none() {
            unlinkat(item.to, item.name, AtFlags::empty())?;
            return Ok(None);
        }
        futimens(&to, &self.times(&there))?;
        Ok(Some(full(&fstat(&to)?)))
    }

    /// Returns the times for the copy of a file. Build caches that come along know the files of the main checkout by theirs.
    fn times(&self, there: &rustix::fs::Stat) -> Timestamps {
        let last_modification = match self.source.owner() {
            Owner::Main => Timespec { tv_sec: there.st_mtime, tv_nsec: nanoseconds(there.st_mtime_nsec) },
            Owner::Spare => self.spare_time,
        };
        Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification }
    }

    /// Brings the content over; `false` if it is shorter than `size` or cannot be read.
    fn content(&self, from: &OwnedFd, to: &OwnedFd, size: u64, buffer: &mut [u8]) -> Result<bool, Fault> {
        if size >= LARGE && self.sharing.load(Ordering::Relaxed) {
            match rustix::fs::ioctl_ficlone(to, from) {
                Ok(()) => return Ok(true),
                // Only this file cannot be shared.
                Err(Errno::INVAL | Errno::TXTBSY | Errno::PERM) => {}
                Err(_) => self.sharing.store(false, Ordering::Relaxed),
            }
        }
        let mut done: u64 = 0;
        while done < size && self.in_kernel.load(Ordering::Relaxed) {
            let (mut input, mut output) = (done, done);
            let left = usize::try_from(size - done).unwrap_or(usize::MAX);
            match rustix::fs::copy_file_range(from, Some(&mut input), to, Some(&mut output), left) {
                Ok(0) => return Ok(false),
                Ok(copied) => done += copied as u64,
                Err(Errno::INTR) => {}
                Err(cause @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG)) => return Err(cause.into()),
                // Reading and writing says which side it was, if it was more than an unknown call.
                Err(_) => self.in_kernel.store(false, Ordering::Relaxed),
            }
        }
        while done < size {
            let read = match rustix::io::pread(from, &mut *buffer, done) {
                Ok(0) => return Ok(false),
                Ok(read) => read,
                Err(Errno::INTR) => continue,
                Err(_) => return Ok(false),
            };
            let mut rest = &buffer[..read];
            while !rest.is_empty() {
                match rustix::io::pwrite(to, rest, done) {
                    Ok(written) => {
                        done += written as u64;
                        rest = &rest[written..];
                    }
                    Err(Errno::INTR) => {}
                    Err(cause) => return Err(cause.into()),
                }
            }
        }
        Ok(done == size)
    }
}

fn submodule(to: BorrowedFd<'_>, name: &[u8]) -> Result<Stat, Fault> {
    mkdirat(to, name, Permissions::from_raw_mode(0o777))?;
    Ok(full(&statat(to, name, AtFlags::SYMLINK_NOFOLLOW)?))
}

fn is_file(there: &rustix::fs::Stat) -> bool {
    FileType::from_raw_mode(there.st_mode) == FileType::RegularFile
}

/// Returns stat data as git writes it into an index.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index has 32 bits for each, and git cuts them the same way"
)]
pub(super) fn full(there: &rustix::fs::Stat) -> Stat {
    use gix::index::entry::stat::Time;
    // A size that is a multiple of 4 GiB must not look like that of an empty or racy file.
    let size = match there.st_size as u32 {
        0 if there.st_size != 0 => 1 << 31,
        size => size,
    };
    Stat {
        mtime: Time { secs: there.st_mtime as u32, nsecs: there.st_mtime_nsec as u32 },
        ctime: Time { secs: there.st_ctime as u32, nsecs: there.st_ctime_nsec as u32 },
        dev: there.st_dev as u32,
        ino: there.st_ino as u32,
        uid: there.st_uid,
        gid: there.st_gid,
        size,
    }
}

/// Returns the part of stat data that is compared: all but the device, whose number changes with each mount.
fn comparable(stat: &Stat) -> Stat {
    Stat { dev: 0, ..*stat }
}

fn stat(there: &rustix::fs::Stat) -> Stat {
    comparable(&full(there))
}

fn nanoseconds(told: impl TryInto<i64>) -> rustix::fs::Nsecs {
    told.try_into().ok().unwrap_or_default()
}
