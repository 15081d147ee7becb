//! Which names in a folder are ignored: git's rules, list by list, the deepest `.gitignore` first.
//!
//! Patterns are parsed and matched by `gix`; what is read, and from where, is decided here, since the files are an agent's.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gix::bstr::{BStr, ByteSlice as _};
use gix::glob::pattern::Case;
use gix::ignore::search::{Ignore, pattern_matching_relative_path};
use rustix::fs::{FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;

use super::Verdict;
use super::rules::{MOST_PATTERNS, Rules};

/// One file of patterns.
pub(super) type Patterns = gix::glob::search::pattern::List<Ignore>;

/// What is ignored in one folder.
#[derive(Debug)]
pub(super) struct Level {
    above: Option<Arc<Level>>,
    own: Option<Patterns>,
    /// Whether the folder itself is ignored, and with it all that is not tracked in it.
    excluded: bool,
}

impl Level {
    /// Returns the level of a worktree's root.
    pub(super) fn root(rules: &Rules, folder: BorrowedFd<'_>) -> Result<Arc<Self>, Verdict> {
        let mut above = None;
        for list in rules.lists.iter().rev() {
            above = Some(Arc::new(Self { above, own: Some(list.clone()), excluded: false }));
        }
        Ok(Arc::new(Self { above, own: own(folder, b"".into())?, excluded: false }))
    }

    /// Returns the level of the folder at `path`, open as `folder`, inside of this one.
    pub(super) fn below(self: &Arc<Self>, folder: BorrowedFd<'_>, path: &BStr) -> Result<Arc<Self>, Verdict> {
        let excluded = self.excluded || self.ignores(path, Kind::Folder);
        let own = if excluded { None } else { own(folder, path)? };
        Ok(Arc::new(Self { above: Some(self.clone()), own, excluded }))
    }

    /// Tells whether `path`, a name in this folder, is ignored.
    pub(super) fn ignores(&self, path: &BStr, kind: Kind) -> bool {
        if self.excluded {
            return true;
        }
        let name = path.rfind_byte(b'/').map(|at| at + 1);
        let mut level = Some(self);
        while let Some(at) = level {
            let found = at.own.as_ref().and_then(|list| {
                let folder = Some(kind == Kind::Folder);
                pattern_matching_relative_path(list, path, name, folder, Case::Sensitive)
            });
            if let Some(found) = found {
                return !found.pattern.is_negative();
            }
            level = at.above.as_deref();
        }
        false
    }
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A regular file or a symlink.
    File,
    /// A folder.
    Folder,
}

/// Reads the `.gitignore` of a folder.
fn own(folder: BorrowedFd<'_>, path: &BStr) -> Result<Option<Patterns>, Verdict> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match openat(folder, ".gitignore", flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(_) => return Err(Verdict::AskGit),
    };
    let bytes = regular(file.as_fd(), MOST_PATTERNS).ok_or(Verdict::AskGit)?;
    let source = Path::new(std::ffi::OsStr::from_bytes(path)).join(".gitignore");
    let parsed = Patterns::from_bytes(&bytes, source, Some(&PathBuf::new()), Ignore::default());
    parsed.map(Some).map_err(|_| Verdict::AskGit)
}

/// Reads a regular file of at most so many bytes.
pub(super) fn regular(file: BorrowedFd<'_>, most: u64) -> Option<Vec<u8>> {
    let about = fstat(file).ok()?;
    let size = u64::try_from(about.st_size).ok()?;
    if FileType::from_raw_mode(about.st_mode) != FileType::RegularFile || size > most {
        return None;
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).ok()? + 1);
    while rustix::io::read(file, rustix::buffer::spare_capacity(&mut bytes)).ok()? > 0 {
        if bytes.len() as u64 > most {
            return None;
        }
        bytes.reserve(4096);
    }
    Some(bytes)
}
