//! Files beneath a folder, reached one component at a time and never through a symbolic link.
//!
//! Invariant: whatever an agent or a repository puts in the way, nothing outside the folder is read or written.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, mkdirat, openat, statat, symlinkat, unlinkat};
use rustix::io::Errno;

/// An open folder.
#[derive(Debug)]
pub(super) struct Beneath(OwnedFd);

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Whether missing folders on the way are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    Make,
    Fail,
}

impl Beneath {
    /// Opens `folder`, which must be a folder itself and no link to one.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        Ok(Self(openat(CWD, folder, FOLDER, Mode::empty())?))
    }

    /// Opens the folder that holds `path` and returns it with the last name.
    fn parent<'p>(&self, path: &'p Path, missing: Missing) -> io::Result<(OwnedFd, &'p OsStr)> {
        let mut names = Vec::new();
        for component in path.components() {
            match component {
                Component::Normal(name) => names.push(name),
                Component::CurDir => {}
                _ => return Err(io::ErrorKind::InvalidInput.into()),
            }
        }
        let last = names.pop().ok_or(io::ErrorKind::InvalidInput)?;
        let mut folder = self.0.try_clone()?;
        for name in names {
            folder = match openat(&folder, name, FOLDER, Mode::empty()) {
                Err(Errno::NOENT) if missing == Missing::Make => {
                    match mkdirat(&folder, name, Mode::from_raw_mode(0o777)) {
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(error) => return Err(error.into()),
                    }
                    openat(&folder, name, FOLDER, Mode::empty())?
                }
                opened => opened?,
            };
        }
        Ok((folder, last))
    }

    /// Returns what stands at `path` itself; `None` if nothing does.
    pub(super) fn look(&self, path: &Path) -> io::Result<Option<Stat>> {
        let (folder, name) = match self.parent(path, Missing::Fail) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            found => found?,
        };
        match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(None),
            found => Ok(Some(found?)),
        }
    }

    /// Opens the regular file at `path` for reading.
    pub(super) fn read(&self, path: &Path) -> io::Result<std::fs::File> {
        let (folder, name) = self.parent(path, Missing::Fail)?;
        // Not to wait for the writer of a pipe.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = std::fs::File::from(openat(folder, name, flags, Mode::empty())?);
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
    }

    /// Makes a new file at `path`; anything that stands there is an error.
    pub(super) fn create(&self, path: &Path, mode: u32, missing: Missing) -> io::Result<std::fs::File> {
        let (folder, name) = self.parent(path, missing)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(std::fs::File::from(openat(folder, name, flags, Mode::from_raw_mode(mode))?))
    }

    /// Opens the regular file at `path` to add to its end, making it if it is missing.
    pub(super) fn append(&self, path: &Path, mode: u32, missing: Missing) -> io::Result<std::fs::File> {
        let (folder, name) = self.parent(path, missing)?;
        let flags = OFlags::WRONLY
            | OFlags::APPEND
            | OFlags::CREATE
            | OFlags::NOFOLLOW
            | OFlags::CLOEXEC
            | OFlags::NONBLOCK;
        let file = std::fs::File::from(openat(folder, name, flags, Mode::from_raw_mode(mode))?);
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
    }

    /// Makes a symbolic link at `path`; anything that stands there is an error.
    pub(super) fn link(&self, target: &Path, path: &Path, missing: Missing) -> io::Result<()> {
        let (folder, name) = self.parent(path, missing)?;
        Ok(symlinkat(target, folder, name)?)
    }

    /// Makes the folder at `path` if nothing stands there; a link or a file there is an error.
    pub(super) fn folder(&self, path: &Path) -> io::Result<()> {
        let (folder, name) = self.parent(path, Missing::Make)?;
        match mkdirat(&folder, name, Mode::from_raw_mode(0o777)) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => {
                openat(folder, name, FOLDER, Mode::empty())?;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Takes the file or link at `path` away, if one is there.
    pub(super) fn unlink(&self, path: &Path) -> io::Result<()> {
        let (folder, name) = match self.parent(path, Missing::Fail) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            found => found?,
        };
        match unlinkat(folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns where the link at `path` points; `None` if there is no link.
    pub(super) fn target(&self, path: &Path) -> io::Result<Option<std::path::PathBuf>> {
        let (folder, name) = match self.parent(path, Missing::Fail) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            found => found?,
        };
        match rustix::fs::readlinkat(folder.as_fd(), name, Vec::new()) {
            Ok(target) => {
                use std::os::unix::ffi::OsStringExt as _;
                Ok(Some(std::ffi::OsString::from_vec(target.into_bytes()).into()))
            }
            Err(Errno::NOENT | Errno::INVAL) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Tells whether a mode is that of a link.
pub(super) fn is_link(found: &Stat) -> bool {
    FileType::from_raw_mode(found.st_mode) == FileType::Symlink
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use fs_err as fs;

    use super::*;

    #[test]
    fn links_on_the_way_stop_everything() {
        let outside = tempfile::tempdir().unwrap();
        let inside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "s").unwrap();
        fs::os::unix::fs::symlink(outside.path(), inside.path().join("way")).unwrap();
        fs::os::unix::fs::symlink(outside.path().join("secret"), inside.path().join("file")).unwrap();
        let beneath = Beneath::open(inside.path()).unwrap();
        assert!(beneath.read(Path::new("way/secret")).is_err());
        assert!(beneath.read(Path::new("file")).is_err());
        assert!(beneath.create(Path::new("way/new"), 0o600, Missing::Make).is_err());
        assert!(beneath.create(Path::new("file"), 0o600, Missing::Make).is_err());
        assert!(beneath.append(Path::new("file"), 0o600, Missing::Fail).is_err());
        assert!(beneath.folder(Path::new("way")).is_err());
        assert!(beneath.link(Path::new("x"), Path::new("way/link"), Missing::Make).is_err());
        assert!(beneath.read(Path::new("../x")).is_err());
        assert!(beneath.read(Path::new("/etc/passwd")).is_err());
        assert!(Beneath::open(&inside.path().join("way")).is_err());
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    }

    #[test]
    fn plain_files_folders_and_links_work() {
        let inside = tempfile::tempdir().unwrap();
        let beneath = Beneath::open(inside.path()).unwrap();
        beneath.create(Path::new("a/b/c"), 0o600, Missing::Make).unwrap().write_all(b"text").unwrap();
        let mut text = String::new();
        beneath.read(Path::new("a/b/c")).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
        assert!(beneath.create(Path::new("x/y"), 0o600, Missing::Fail).is_err());
        beneath.folder(Path::new("a/b")).unwrap();
        beneath.link(Path::new("b/c"), Path::new("a/l"), Missing::Fail).unwrap();
        assert!(is_link(&beneath.look(Path::new("a/l")).unwrap().unwrap()));
        assert_eq!(beneath.target(Path::new("a/l")).unwrap().unwrap(), Path::new("b/c"));
        assert_eq!(beneath.target(Path::new("a/b")).unwrap(), None);
        beneath.unlink(Path::new("a/l")).unwrap();
        beneath.unlink(Path::new("a/l")).unwrap();
        assert!(beneath.look(Path::new("a/l")).unwrap().is_none());
        assert!(beneath.look(Path::new("no/l")).unwrap().is_none());
    }
}
