//! What a landing that began by itself leaves for people: its log, and why the last one did not go through.

use std::io::{self, Write as _};

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt as _;
use serde::{Deserialize, Serialize};

use super::Layout;

/// The size from which the log is begun anew, in bytes.
const LARGE: u64 = 1 << 20;

/// Why a landing that began by itself did not go through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// What was not done.
    pub message: String,
    /// What lies behind it, outermost first.
    #[serde(default)]
    pub causes: Vec<String>,
    /// Commands that help.
    #[serde(default)]
    pub hints: Vec<String>,
}

impl Trouble {
    /// Returns all of it in one line.
    pub fn in_a_line(&self) -> String {
        std::iter::once(&self.message).chain(&self.causes).map(String::as_str).collect::<Vec<_>>().join(": ")
    }
}

/// Opens the log of landings that begin by themselves, to write at its end.
pub fn log(layout: &Layout) -> io::Result<fs::File> {
    let path = layout.auto_log();
    let large = fs::metadata(&path).is_ok_and(|about| about.len() > LARGE);
    let mut options = fs::OpenOptions::new();
    options.create(true).mode(0o600);
    if large {
        options.write(true).truncate(true)
    } else {
        options.append(true)
    };
    options.open(path)
}

/// Keeps why the last landing did not go through, whole or not at all.
pub fn keep(layout: &Layout, trouble: &Trouble) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(layout.root())?;
    file.write_all(&serde_json::to_vec(trouble).map_err(io::Error::other)?)?;
    file.persist(layout.auto_failed()).map(drop).map_err(|failed| failed.error)
}

/// Forgets it: one has gone through.
pub fn settle(layout: &Layout) {
    // Usually there is nothing to forget.
    drop(fs::remove_file(layout.auto_failed()));
}

/// Returns why the last landing that began by itself did not go through, if it did not.
pub fn trouble(layout: &Layout) -> Option<Trouble> {
    serde_json::from_slice(&fs::read(layout.auto_failed()).ok()?).ok()
}
