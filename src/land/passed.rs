//! Checks that have passed before: an identical tree is never verified twice.
//!
//! One empty file a check, named by a hash of the tree, the command and what else the check could notice. Only a check that
//! passed at its first run is remembered; a file that is gone costs another run and nothing else.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use fs_err as fs;
use sha2::{Digest as _, Sha256};

use crate::model::Oid;
use crate::model::text::hex;
use crate::store::layout::private_folder;

/// How many are kept.
const KEPT: usize = 1000;
/// The most of such a file that is looked at, in bytes.
const LOOKED_AT: u64 = 1024 * 1024;

/// The folder of what has passed.
#[derive(Debug)]
pub(super) struct Passed {
    folder: PathBuf,
}

impl Passed {
    pub(super) fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Tells whether it has passed.
    pub(super) fn has(&self, key: &str) -> bool {
        self.folder.join(key).exists()
    }

    /// Remembers that it has passed. Best effort.
    pub(super) fn remember(&self, key: &str) {
        if private_folder(&self.folder).is_ok() && fs::write(self.folder.join(key), b"").is_ok() {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let mut all: Vec<(SystemTime, PathBuf)> = entries
            .flatten()
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        if all.len() > KEPT {
            all.sort();
            for (_, path) in &all[..all.len() - KEPT / 2] {
                drop(fs::remove_file(path));
            }
        }
    }
}

/// Returns the name of a check.
pub(super) fn key(tree: &Oid, command: &str, surroundings: &str) -> String {
    let mut hash = Sha256::new();
    for part in [tree.as_str(), command, surroundings] {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hex(&hash.finalize())
}

/// Returns what a check could notice beside the tree: ignored files that are brought in from the main checkout (`paths` in
/// `main`), set-up commands, where programs are looked for.
pub(super) fn surroundings(main: &Path, paths: &[String], setup: &[String]) -> String {
    use std::io::Read as _;
    let mut hash = Sha256::new();
    for path in paths {
        hash.update(path.as_bytes());
        hash.update([0]);
        let mut bytes = Vec::new();
        let read =
            fs::File::open(main.join(path)).and_then(|file| file.take(LOOKED_AT).read_to_end(&mut bytes));
        hash.update(read.map_or(u64::MAX, |n| u64::try_from(n).unwrap_or(u64::MAX)).to_le_bytes());
        hash.update(&bytes);
    }
    for command in setup {
        hash.update(command.as_bytes());
        hash.update([0]);
    }
    hash.update(std::env::var_os("PATH").unwrap_or_default().as_encoded_bytes());
    hex(&hash.finalize())
}
