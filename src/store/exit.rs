//! The exit record: how an attempt ended, kept even when the disk is full.
//!
//! Its bytes are allocated before the agent starts and overwritten at its end, so that no new block is needed. The
//! journal stays the truth: a record is read only when an attempt's end is missing there.

use std::io::{self, Write as _};
use std::time::SystemTime;

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt as _;
use rustix::fs::{FallocateFlags, fallocate};
use serde::{Deserialize, Serialize};

use super::layout::TaskFolder;
use crate::model::Event;

/// The size of a record, in bytes.
const SIZE: usize = 4096;

/// The end of one attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// The attempt's number.
    pub attempt: u32,
    /// The event that the journal should hold.
    pub event: Event,
}

/// An allocated record, to be filled in.
#[derive(Debug)]
pub struct ExitSlot {
    file: fs::File,
}

impl ExitSlot {
    /// Allocates the record of a task; what an earlier attempt wrote is gone.
    pub fn allocate(folder: &TaskFolder) -> io::Result<Self> {
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(false).mode(0o600).open(folder.exit())?;
        if file.metadata()?.len() == SIZE as u64 {
            // Its bytes are there, whatever the disk has left by now.
            file.write_all(&[b' '; SIZE])?;
            return Ok(Self { file });
        }
        file.set_len(0)?;
        if fallocate(&file, FallocateFlags::empty(), 0, SIZE as u64).is_err() {
            // Not every file system allocates ahead; writing the bytes comes close.
            file.write_all(&[b' '; SIZE])?;
        }
        Ok(Self { file })
    }

    /// Writes the record over the allocated bytes and waits until the disk has it.
    pub fn fill(&mut self, record: &ExitRecord) -> io::Result<()> {
        use std::io::Seek as _;
        let mut line = serde_json::to_vec(record).map_err(io::Error::other)?;
        line.truncate(SIZE - 1);
        line.resize(SIZE - 1, b' ');
        line.push(b'\n');
        self.file.rewind()?;
        self.file.write_all(&line)?;
        self.file.sync_data()
    }
}

/// Returns when the running attempt began, by the clock of the file system: what it made is never older. Wall time would not
/// do, since times of files lag behind it by some milliseconds.
pub fn begun(folder: &TaskFolder) -> io::Result<SystemTime> {
    fs::metadata(folder.exit())?.modified()
}

/// Returns the record of `attempt`, if its end was written.
pub fn load(folder: &TaskFolder, attempt: u32) -> Option<ExitRecord> {
    let bytes = fs::read(folder.exit()).ok()?;
    let record: ExitRecord = serde_json::from_slice(bytes.trim_ascii()).ok()?;
    (record.attempt == attempt).then_some(record)
}
