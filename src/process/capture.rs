//! A log that keeps its head and its tail: the first half of the cap, then a ring of two segments.
//!
//! `NAME` holds the head; `NAME.1` and `NAME.2` the ring, written in turn. A full disk never stops the reader of a pipe:
//! what could not be written is counted. Files are 0600.

use std::cmp::Reverse;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt as _;

/// The cap of one log unless the caller says otherwise, in bytes.
pub const CAP: u64 = 64 << 20;

/// The writing end of a capped log.
#[derive(Debug)]
pub struct Capped {
    path: PathBuf,
    cap: u64,
    file: Option<fs::File>,
    segment: usize,
    /// Bytes that are in no file: overwritten by the ring.
    dropped: u64,
    /// Bytes that the disk refused.
    unwritten: u64,
    sizes: [u64; 3],
}

fn segment(path: &Path, n: usize) -> PathBuf {
    if n == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{n}"));
    PathBuf::from(name)
}

fn fresh(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

impl Capped {
    /// Starts a log; an unwritable disk is counted, not reported.
    pub fn create(path: &Path, cap: u64) -> Self {
        for n in 1..=2 {
            drop(fs::remove_file(segment(path, n)));
        }
        let file = fresh(path).ok();
        let (dropped, unwritten) = (0, 0);
        Self { path: path.to_owned(), cap, file, segment: 0, dropped, unwritten, sizes: [0; 3] }
    }

    fn room(&self) -> u64 {
        let size = if self.segment == 0 { self.cap / 2 } else { self.cap / 4 };
        size - self.sizes[self.segment]
    }

    /// Writes `bytes`, moving on to the next segment where one is full.
    pub fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.room() == 0 {
                self.segment = if self.segment == 1 { 2 } else { 1 };
                self.dropped += std::mem::take(&mut self.sizes[self.segment]);
                let next = segment(&self.path, self.segment);
                // A file that is cut to nothing and written anew is brought to the disk when it is closed: a flood would be as
                // slow as the disk. One that is removed never gets there.
                drop(fs::remove_file(&next));
                self.file = fresh(&next).ok();
            }
            let n = usize::try_from(self.room()).map_or(bytes.len(), |room| room.min(bytes.len()));
            let (now, later) = bytes.split_at(n);
            match self.file.as_mut().map(|file| file.write_all(now)) {
                Some(Ok(())) => self.sizes[self.segment] += n as u64,
                _ => self.unwritten += n as u64,
            }
            bytes = later;
        }
    }

    /// Returns how many bytes are in no file: overwritten, and refused by the disk.
    pub fn missing(&self) -> (u64, u64) {
        (self.dropped, self.unwritten)
    }
}

/// Returns what a capped log holds: head, a line that says how much is missing if any is, tail.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut all = fs::read(path)?;
    let mut ring: Vec<(Reverse<usize>, SystemTime, Vec<u8>)> = Vec::new();
    for n in 1..=2 {
        let Ok(mut file) = fs::File::open(segment(path, n)) else { continue };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        ring.push((Reverse(bytes.len()), file.metadata()?.modified()?, bytes));
    }
    // The older one is always full; where both are, their times tell (which are too coarse to tell alone).
    ring.sort();
    if ring.len() == 2 {
        if !all.ends_with(b"\n") {
            all.push(b'\n');
        }
        all.extend_from_slice(b"[the log was longer than its cap: the middle is left out]\n");
    }
    for (_, _, bytes) in ring {
        all.extend(bytes);
    }
    Ok(all)
}
