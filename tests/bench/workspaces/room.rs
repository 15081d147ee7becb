//! The disk: whether there is room for a run, and clearing up after it.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// How much of what is free a run may take.
const SHARE: u64 = 2;

/// Free bytes and free inodes.
pub fn free(folder: &Path) -> (u64, u64) {
    let found = rustix::fs::statvfs(folder).unwrap();
    // File systems without inodes of a fixed number say 0.
    let inodes = if found.f_files == 0 { u64::MAX } else { found.f_favail };
    (found.f_bavail * found.f_frsize, inodes)
}

/// Returns how many rounds there is room for, at most as many as asked; `None`: not even for two.
pub fn rounds(folder: &Path, bytes: u64, files: usize, ways: u64, asked: usize) -> Option<usize> {
    let (room, inodes) = free(folder);
    // Besides: main checkouts, spares, and unfinished workspaces.
    let beside = 8;
    let by_bytes = (room / SHARE / bytes.max(1)).saturating_sub(beside) / ways;
    let by_inodes = (inodes / SHARE / (files as u64 * 5 / 4).max(1)).saturating_sub(beside) / ways;
    let fit = usize::try_from(by_bytes.min(by_inodes)).unwrap_or(usize::MAX).min(asked);
    if fit < 2.min(asked) {
        println!("\n{files} files: left out, the disk is too full");
        return None;
    }
    if fit < asked {
        println!("\n{files} files: {fit} rounds in the place of {asked}, the disk has no room for more");
    }
    Some(fit)
}

/// Returns what a folder takes on the disk.
pub fn taken(folder: &Path) -> u64 {
    let about = std::fs::symlink_metadata(folder).unwrap();
    let own = about.blocks() * 512;
    if !about.is_dir() {
        return own;
    }
    let entries = std::fs::read_dir(folder).unwrap().flatten().filter(|entry| entry.file_name() != ".git");
    own + entries.map(|entry| taken(&entry.path())).sum::<u64>()
}

/// Deletes all that a run has made, several worktrees at once.
pub fn clear(root: &Path) {
    let next: Mutex<Vec<PathBuf>> = Mutex::new(below(root, 4));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some(path) = next.lock().unwrap().pop() else { break };
                    drop(std::fs::remove_dir_all(path));
                }
            });
        }
    });
}

/// The folders that are so deep.
fn below(folder: &Path, depth: usize) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let folders = folders.map(|entry| entry.path());
    if depth <= 1 { folders.collect() } else { folders.flat_map(|path| below(&path, depth - 1)).collect() }
}
