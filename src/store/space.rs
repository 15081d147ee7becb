//! How much room a file system has left.

use std::path::Path;

/// What this user may still write in some folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes.
    pub bytes: u64,
    /// Files and folders; `None`: as many as there are bytes for.
    pub files: Option<u64>,
}

impl Space {
    /// Asks the file system of `folder`; `None`: the folder is not there, or nobody counts there.
    pub fn at(folder: &Path) -> Option<Self> {
        let about = rustix::fs::statvfs(folder).ok().filter(|about| about.f_blocks > 0)?;
        let files = (about.f_files > 0).then_some(about.f_favail);
        Some(Self { bytes: about.f_bavail.saturating_mul(about.f_frsize), files })
    }

    /// The same of a folder that may still have to be made: where the nearest one above it is that there is, and that one.
    pub fn around(folder: &Path) -> Option<(&Path, Self)> {
        let place = folder.ancestors().find(|folder| folder.is_dir())?;
        Some((place, Self::at(place)?))
    }
}
