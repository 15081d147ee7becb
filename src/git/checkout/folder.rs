//! Folders by descriptor, one step at a time and never through a symlink.
//!
//! Invariant: whatever a [`Descent`] opens is a real folder below its root, whoever swaps folders for symlinks meanwhile.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
use rustix::io::{Errno, Result};

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens the folder that a descent starts from; its own path may lead through symlinks, but for its last part.
pub(super) fn root(path: &Path) -> Result<OwnedFd> {
    openat(CWD, path, FOLDER, Mode::empty())
}

/// Splits a path of the index into folder (empty: the root) and name.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

/// What to do about a folder that misses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    Fail,
    Make,
}

/// A way down from a root; the folders that two paths share are opened once.
#[derive(Debug)]
pub(super) struct Descent<'a> {
    root: BorrowedFd<'a>,
    missing: Missing,
    held: Vec<(Vec<u8>, OwnedFd)>,
}

impl<'a> Descent<'a> {
    pub(super) fn new(root: BorrowedFd<'a>, missing: Missing) -> Self {
        Self { root, missing, held: Vec::new() }
    }

    /// Returns the folder at `path` below the root (empty: the root itself).
    pub(super) fn at(&mut self, path: &[u8]) -> Result<BorrowedFd<'_>> {
        let parts = || path.split(|b| *b == b'/').filter(|part| !part.is_empty());
        let shared = parts().zip(&self.held).take_while(|(part, (name, _))| part == name).count();
        self.held.truncate(shared);
        for part in parts().skip(shared) {
            let above = self.held.last().map_or(self.root, |(_, folder)| folder.as_fd());
            let opened = match openat(above, part, FOLDER, Mode::empty()) {
                Err(Errno::NOENT) if self.missing == Missing::Make => {
                    // Another thread may make it first.
                    match mkdirat(above, part, Mode::from_raw_mode(0o777)) {
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(cause) => return Err(cause),
                    }
                    openat(above, part, FOLDER, Mode::empty())?
                }
                other => other?,
            };
            self.held.push((part.to_owned(), opened));
        }
        Ok(self.held.last().map_or(self.root, |(_, folder)| folder.as_fd()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use fs_err as fs;

    use super::*;

    #[test]
    fn it_goes_through_no_symlink_and_makes_what_misses() {
        let place = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::create_dir_all(outside.path().join("in")).unwrap();
        fs::create_dir_all(place.path().join("a/b")).unwrap();
        symlink(outside.path(), place.path().join("a/link")).unwrap();
        let top = root(place.path()).unwrap();
        let mut reading = Descent::new(top.as_fd(), Missing::Fail);
        assert!(reading.at(b"a/b").is_ok());
        assert!(reading.at(b"").is_ok());
        assert!(matches!(reading.at(b"a/link"), Err(Errno::LOOP | Errno::NOTDIR)));
        assert!(matches!(reading.at(b"a/link/in"), Err(Errno::LOOP | Errno::NOTDIR)));
        assert_eq!(reading.at(b"a/b/c").map(drop), Err(Errno::NOENT));
        assert!(reading.at(b"a/b").is_ok(), "usable after a failure");

        let mut making = Descent::new(top.as_fd(), Missing::Make);
        assert!(making.at(b"x/y/z").is_ok() && place.path().join("x/y/z").is_dir());
        assert!(making.at(b"x/w").is_ok() && place.path().join("x/w").is_dir());
        assert!(making.at(b"a/link/new").is_err() && !outside.path().join("new").exists());
    }

    #[test]
    fn paths_fall_into_folder_and_name() {
        assert_eq!(split(b"a/b/c"), (&b"a/b"[..], &b"c"[..]));
        assert_eq!(split(b"c"), (&b""[..], &b"c"[..]));
    }
}
