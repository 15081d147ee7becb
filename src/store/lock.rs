//! File locks: `flock` on an open file description, freed by the kernel on any kind of death.
//!
//! Written order, so that two holders never wait for each other: `wake` → `auto` → `land` → `tend` → `git` → `sched` → task →
//! slot → `turn` → `journal`; `clashes` is taken last, and nothing after it.
//! A lock can be handed to another process by passing its descriptor; it is free when the last holder of that open file
//! description is gone. Lock files are never deleted.

use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt as _;
use rustix::process::{Pid, test_kill_process};

use crate::model::Holder;
use crate::model::clock::{Clock as _, SystemClock};

/// How long a command waits for a lock before it gives up.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The longest text of a holder that is read, in bytes.
const LONGEST: u64 = 64 << 10;

/// A held lock.
#[derive(Debug)]
pub struct Lock {
    file: fs::File,
    /// Whether what was written of the holder goes with the lock.
    clears: bool,
}

/// Why a lock is not held.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The lock file cannot be opened or locked.
    #[error("the lock cannot be used")]
    Io(#[from] io::Error),
    /// Somebody else held it until the deadline.
    #[error("`{}` stayed busy for {}s{}", path.display(), waited.as_secs(), holder.as_ref().map(|h| format!(", held by {h}")).unwrap_or_default())]
    Busy {
        /// The lock file.
        path: PathBuf,
        /// How long was waited.
        waited: Duration,
        /// Who has it, where that is known.
        holder: Option<Box<Holder>>,
    },
}

fn open(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.custom_flags(no_follow()).open(path)
}

fn no_follow() -> i32 {
    i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).expect("open flags fit an int")
}

fn tried(lock: Result<(), std::fs::TryLockError>) -> io::Result<bool> {
    match lock {
        Ok(()) => Ok(true),
        Err(std::fs::TryLockError::WouldBlock) => Ok(false),
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    }
}

impl Lock {
    /// Takes the lock if it is free.
    pub fn try_take(path: &Path) -> io::Result<Option<Self>> {
        let file = open(path)?;
        loop {
            if tried(file.file().try_lock())? {
                return Ok(Some(Self { file, clears: false }));
            }
            // Somebody who only looks ([`Lock::is_held`]) must not pass for a holder: a task would stay unstarted and
            // nobody would come back to it. A shared lock is refused by holders alone.
            if !tried(file.file().try_lock_shared())? {
                return Ok(None);
            }
            file.file().unlock()?;
            std::thread::yield_now();
        }
    }

    /// Takes the lock, waiting for it at most `deadline`, and writes `who` into it for people to read.
    pub fn take(path: &Path, deadline: Duration, who: &str) -> Result<Self, LockError> {
        let lock = if let Some(lock) = Self::try_take(path)? { lock } else { Self::wait(path, deadline)? };
        lock.write(&Holder::this(who, SystemClock.now()));
        Ok(lock)
    }

    /// The same, and what was written of `holder` goes with the lock: where others tell who has it, nobody must be named who
    /// has it no more.
    pub fn take_signed(path: &Path, deadline: Duration, holder: &Holder) -> Result<Self, LockError> {
        let mut lock =
            if let Some(lock) = Self::try_take(path)? { lock } else { Self::wait(path, deadline)? };
        lock.write(holder);
        lock.clears = true;
        Ok(lock)
    }

    /// Takes the lock if it is free, and signs it as [`Lock::take_signed`] does.
    pub fn try_take_signed(path: &Path, holder: &Holder) -> io::Result<Option<Self>> {
        let Some(mut lock) = Self::try_take(path)? else { return Ok(None) };
        lock.write(holder);
        lock.clears = true;
        Ok(Some(lock))
    }

    /// Blocks in a thread of its own: the kernel wakes it, and a thread can be given up at the deadline.
    fn wait(path: &Path, deadline: Duration) -> Result<Self, LockError> {
        let file = open(path)?;
        let (done, taken) = mpsc::channel();
        std::thread::spawn(move || {
            let locked = file.file().lock().map(|()| Self { file, clears: false });
            // Nobody listens any more: the lock is dropped, and so freed, with the value.
            drop(done.send(locked));
        });
        if let Ok(lock) = taken.recv_timeout(deadline) {
            return Ok(lock?);
        }
        let holder = Self::holder(path).map(Box::new);
        Err(LockError::Busy { path: path.to_owned(), waited: deadline, holder })
    }

    /// Returns whether somebody holds the lock right now; a missing file is held by nobody. Looking is a shared lock for
    /// an instant, which takes nothing from anybody.
    pub fn is_held(path: &Path) -> bool {
        let Ok(file) = fs::File::open(path) else { return false };
        matches!(file.file().try_lock_shared(), Err(std::fs::TryLockError::WouldBlock))
    }

    /// Returns who holds the lock right now, as the holder wrote it. The held lock is the truth: a text that a dead process
    /// left is nobody's, whoever has the lock by now.
    pub fn holder(path: &Path) -> Option<Holder> {
        if !Self::is_held(path) {
            return None;
        }
        let mut text = String::new();
        fs::File::open(path).ok()?.take(LONGEST).read_to_string(&mut text).ok()?;
        let holder: Holder = serde_json::from_str(&text).ok()?;
        let pid = i32::try_from(holder.pid).ok().and_then(Pid::from_raw)?;
        // It may be another user's, which is alive too.
        let dead = test_kill_process(pid) == Err(rustix::io::Errno::SRCH);
        (!dead).then(|| holder.read_at(SystemClock.now()))
    }

    /// Writes who holds it, for others to read. Best effort: a full disk must not stop anybody from locking.
    pub fn write(&self, holder: &Holder) {
        let Ok(mut text) = serde_json::to_vec(holder) else { return };
        text.push(b'\n');
        let file = self.file.file();
        // Over what stands there, and never emptied: a file that is emptied and written again is sent to the disk at once by
        // some file systems, which a lock is not worth.
        let before = file.metadata().map_or(u64::MAX, |about| about.len());
        let length = text.len() as u64;
        if file.write_all_at(&text, 0).is_ok() && before > length {
            drop(file.set_len(length));
        }
    }

    /// Returns a lock around a descriptor that another process handed over.
    pub fn adopt(descriptor: OwnedFd, path: &Path) -> Self {
        let file = std::fs::File::from(descriptor);
        Self { file: fs::File::from_parts(file, path), clears: false }
    }

    /// Returns a second descriptor of the same open file description, to hand over.
    pub fn share(&self) -> io::Result<OwnedFd> {
        self.file.file().as_fd().try_clone_to_owned()
    }
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.file().as_fd()
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.clears {
            drop(self.file.file().set_len(0));
        }
    }
}
