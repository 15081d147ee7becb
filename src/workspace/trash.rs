//! The folder of the trash: what removed workspaces leave beside their trash refs, until it is a day old.
//!
//! Invariants: what is named here lies directly below the one trash folder; deletion follows no link. A name that begins
//! with a dot is that of a spare: nothing in it was anybody's work, so it need not wait.

use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;

use super::Site;
use super::shared::TRASH;
use crate::store::layout::private_folder;

/// How long the folder of a removed workspace is kept.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// What a discarded spare's name in the trash begins with.
pub(super) const SPARE: &str = ".spare-";

/// Makes the folder that removed worktrees are moved to, and returns it.
pub fn trash_folder(root: &Path) -> io::Result<PathBuf> {
    let trash = root.join(TRASH);
    private_folder(&trash)?;
    if fs::symlink_metadata(&trash)?.is_dir() {
        return Ok(trash);
    }
    Err(io::Error::new(io::ErrorKind::NotADirectory, format!("{} is not a folder", trash.display())))
}

/// Returns a name in `folder` that nothing has: `stem`, `stem.2`, `stem.3`.
pub(super) fn free_place(folder: &Path, stem: &str) -> PathBuf {
    let mut place = folder.join(stem);
    let mut n = 1;
    while fs::symlink_metadata(&place).is_ok() {
        n += 1;
        place = folder.join(format!("{stem}.{n}"));
    }
    place
}

/// Returns what of the trash folder may be deleted now: what is old enough, and discarded spares.
pub fn expired(site: &Site<'_>) -> Vec<PathBuf> {
    let trash = site.repo.worktrees_root().join(TRASH);
    if !fs::symlink_metadata(&trash).is_ok_and(|found| found.is_dir()) {
        return Vec::new();
    }
    let now = site.clock.now().as_second();
    let old = |entry: &fs::DirEntry| {
        // A move changes the time of the inode, not of its content.
        entry.metadata().is_ok_and(|about| {
            let age = now - about.ctime().max(about.mtime());
            u64::try_from(age).is_ok_and(|age| age >= KEPT.as_secs())
        })
    };
    let spare = |entry: &fs::DirEntry| entry.file_name().as_encoded_bytes().starts_with(SPARE.as_bytes());
    let entries = fs::read_dir(&trash).into_iter().flatten().flatten();
    entries.filter(|entry| spare(entry) || old(entry)).map(|entry| entry.path()).collect()
}

/// Deletes a file or a folder with all it holds, read-only parts too.
pub fn delete(path: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.is_dir() {
        return fs::remove_file(path);
    }
    if fs::remove_dir_all(path).is_ok() {
        return Ok(());
    }
    // Package caches are read-only, folders and all.
    open_up(path);
    fs::remove_dir_all(path)
}

/// Makes folders writable for their owner; never through a link.
fn open_up(folder: &Path) {
    let Ok(about) = fs::symlink_metadata(folder) else { return };
    if !about.is_dir() {
        return;
    }
    let mode = about.permissions().mode();
    if mode & 0o700 != 0o700 {
        drop(fs::set_permissions(folder, std::fs::Permissions::from_mode(mode | 0o700)));
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        open_up(&entry.path());
    }
}

/// Returns the bytes that a folder takes on the disk, links not followed.
pub fn size(folder: &Path) -> u64 {
    let Ok(about) = fs::symlink_metadata(folder) else { return 0 };
    let own = about.blocks() * 512;
    if !about.is_dir() {
        return own;
    }
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    own + entries.map(|entry| size(&entry.path())).sum::<u64>()
}
