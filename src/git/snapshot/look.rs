//! One look at a worktree: what git says of its files, and what only the index knows.
//!
//! It is taken once, to decide by and to put away by: on a large worktree nothing that `wt` does costs as much. Invariant:
//! reads only. Index and files are read at the same time; where the index was written meanwhile, it is read again.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use fs_err as fs;
use gix::bstr::{BStr, ByteSlice as _};
use gix::index::entry::{Flags, Mode, Stage};

use super::super::repo::oid;
use super::super::status::{InProgress, NOT_INSIDE, in_progress};
use super::super::submodule;
use super::{Item, Note, on_disk, shown};
use crate::git::command::Git;
use crate::git::{Checkout, GitError};
use crate::model::Oid;

/// What the size of a file is rounded up to, as most file systems do.
const BLOCK: u64 = 4096;

/// What a worktree looked like. Paths are in bytes, for git has no other.
#[derive(Debug)]
pub struct Look {
    head: Option<Oid>,
    in_progress: Option<InProgress>,
    /// Whether the index is other than `HEAD`, or files are other than the index, as far as git looks.
    changed: bool,
    /// Tracked, and on disk other than in the index.
    pub(super) edited: BTreeSet<Vec<u8>>,
    pub(super) conflicted: BTreeSet<Vec<u8>>,
    pub(super) untracked: BTreeSet<Vec<u8>>,
    /// Repositories that are not tracked; each ends in `/`.
    repositories: Vec<Vec<u8>>,
    pub(super) index: Index,
}

/// What only the index knows.
#[derive(Debug, Default)]
pub(super) struct Index {
    file: Option<gix::index::File>,
    /// Entries of conflicts, their paths below `1`, `2`, `3`.
    pub(super) stages: Vec<Item>,
    pub(super) notes: Vec<(Note, Vec<u8>)>,
    /// The tree that `git write-tree` would make of it, where the index itself says so and nothing in it is unusual.
    pub(super) tree: Option<Oid>,
    /// Submodules with files, and where they are: their commits are kept by whoever takes the worktree away.
    pub(super) submodules: BTreeMap<Vec<u8>, Oid>,
    /// A submodule whose repository is in its place and cannot be read.
    nested: Option<Vec<u8>>,
    bytes: u64,
}

impl Look {
    /// Looks at a worktree.
    pub fn at(checkout: &Checkout) -> Result<Self, GitError> {
        let path = checkout.git_dir().join("index");
        let (before, status, index) = std::thread::scope(|scope| {
            let before = stamp(&path);
            let index = scope.spawn(|| Index::read(checkout, &path));
            let status = Self::read(checkout);
            (before, status, index.join().expect("reading an index does not panic"))
        });
        let mut look = status?;
        look.index = if stamp(&path) == before { index? } else { Index::read(checkout, &path)? };
        // git does not look at files with these flags: they may be anything.
        let hidden = look.index.notes.iter().filter(|(note, _)| matches!(note, Note::Skip | Note::Assume));
        look.edited.extend(hidden.map(|(_, path)| path.clone()));
        Ok(look)
    }

    fn read(checkout: &Checkout) -> Result<Self, GitError> {
        let mut found = Self {
            head: None,
            in_progress: in_progress(checkout),
            changed: false,
            edited: BTreeSet::new(),
            conflicted: BTreeSet::new(),
            untracked: BTreeSet::new(),
            repositories: Vec::new(),
            index: Index::default(),
        };
        // The worktree's own index, not a copy of it: whether an entry is racy is told by the age of the index file.
        let call = Git::at(checkout, "status").polling();
        let call =
            call.args(["--porcelain=v2", "-z", "--branch", "--no-ahead-behind", "--untracked-files=all"]);
        let call = call.args(["--no-renames", NOT_INSIDE]);
        for line in call.output()?.split(|b| *b == 0).filter(|line| line.len() > 2) {
            let field = |n: usize| line.splitn(n + 1, |b| *b == b' ').nth(n).unwrap_or_default().to_owned();
            match line[0] {
                b'#' if line.starts_with(b"# branch.oid ") => {
                    found.head = Oid::parse(&String::from_utf8_lossy(&field(2)));
                }
                // 1 XY sub mH mI mW hH hI path
                b'1' => {
                    found.changed = true;
                    if line.get(3) != Some(&b'.') {
                        found.edited.insert(field(8));
                    }
                }
                // u XY sub m1 m2 m3 mW h1 h2 h3 path
                b'u' => drop(found.conflicted.insert(field(10))),
                b'?' if line.ends_with(b"/") => found.repositories.push(line[2..].to_owned()),
                b'?' => drop(found.untracked.insert(line[2..].to_owned())),
                _ => {}
            }
        }
        Ok(found)
    }

    /// Returns the commit that its `HEAD` was at; `None` on an unborn branch.
    pub fn head(&self) -> Option<&Oid> {
        self.head.as_ref()
    }

    /// Returns what was begun in it and not ended.
    pub fn in_progress(&self) -> Option<InProgress> {
        self.in_progress
    }

    /// Tells whether anything is staged, unstaged, untracked or in conflict, as git sees it.
    pub fn dirty(&self) -> bool {
        self.changed
            || !(self.conflicted.is_empty() && self.untracked.is_empty() && self.repositories.is_empty())
    }

    /// Returns the folders in which nothing is tracked and something untracked is, topmost ones only, in the order of their
    /// names; each ends in `/`. Lossily where they are not UTF-8.
    pub fn untracked_folders(&self) -> Vec<String> {
        let mut found: BTreeSet<&[u8]> = BTreeSet::new();
        for path in self.untracked.iter().chain(&self.repositories) {
            let ends = path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at + 1);
            let folder = ends.map(|end| &path[..end]).find(|folder| !self.index.holds_below(folder));
            found.extend(folder);
        }
        found.into_iter().map(shown).collect()
    }

    /// Returns the bytes that the files take which git sees, tracked and not: each as whole blocks of 4 KiB, as it was when
    /// git last looked at it. Ignored files are not counted: nobody has looked at them.
    pub fn bytes(&self, checkout: &Checkout) -> u64 {
        let size =
            |path: &Vec<u8>| fs::symlink_metadata(on_disk(checkout, path)).map_or(0, |about| about.len());
        let untracked = self.untracked.iter().map(|path| size(path).next_multiple_of(BLOCK)).sum::<u64>();
        self.index.bytes + untracked
    }

    /// Refuses a worktree that holds another repository, by its name.
    pub(super) fn require_no_repository(&self) -> Result<(), GitError> {
        let nested = self.repositories.first().or(self.index.nested.as_ref());
        nested.map_or(Ok(()), |path| Err(GitError::Nested { path: shown(path) }))
    }
}

impl Index {
    fn read(checkout: &Checkout, path: &Path) -> Result<Self, GitError> {
        let mut found = Self::default();
        if !path.exists() {
            return Ok(found);
        }
        let read = gix::index::File::at(path, checkout.hash(), true, gix::index::decode::Options::default());
        let index = read.map_err(|e| GitError::unreadable(path.display().to_string(), e))?;
        let mut plain = true;
        for entry in index.entries() {
            found.bytes += u64::from(entry.stat.size).next_multiple_of(BLOCK);
            let usual = [Mode::FILE, Mode::FILE_EXECUTABLE, Mode::SYMLINK].contains(&entry.mode);
            let unusual = Flags::INTENT_TO_ADD | Flags::SKIP_WORKTREE | Flags::ASSUME_VALID;
            if usual && entry.stage() == Stage::Unconflicted && !entry.flags.intersects(unusual) {
                continue;
            }
            plain = false;
            found.unusual(checkout, &index, entry);
        }
        let whole = u32::try_from(index.entries().len()).ok();
        let tree = index.tree().filter(|tree| plain && tree.num_entries == whole);
        found.tree = tree.map(|tree| oid(tree.id));
        found.file = Some(index);
        Ok(found)
    }

    /// Notes a submodule, an entry of a conflict or one with flags.
    fn unusual(&mut self, checkout: &Checkout, index: &gix::index::File, entry: &gix::index::Entry) {
        let path = entry.path(index).to_vec();
        if entry.mode == Mode::COMMIT && on_disk(checkout, &path).join(".git").exists() {
            match submodule::head(checkout, &path) {
                Some(head) => drop(self.submodules.insert(path.clone(), head)),
                None => self.nested = Some(path.clone()),
            }
        }
        let mode = format!("{:06o}", entry.mode.bits());
        if entry.stage() != Stage::Unconflicted {
            let mut below = format!("{}/", entry.stage_raw()).into_bytes();
            below.extend_from_slice(&path);
            self.stages.push(Item { mode, oid: oid(entry.id), path: below });
            return;
        }
        for (flag, note) in [
            (Flags::INTENT_TO_ADD, Note::Intent(mode)),
            (Flags::SKIP_WORKTREE, Note::Skip),
            (Flags::ASSUME_VALID, Note::Assume),
        ] {
            if entry.flags.contains(flag) && entry.mode != Mode::DIR {
                self.notes.push((note, path.clone()));
            }
        }
    }

    /// Returns the trees that the index knows.
    pub(super) fn trees(&self) -> impl Iterator<Item = Oid> {
        let mut next: Vec<_> = self.file.iter().filter_map(|index| index.tree()).collect();
        std::iter::from_fn(move || {
            let tree = next.pop()?;
            next.extend(&tree.children);
            Some(oid(tree.id))
        })
    }

    /// Tells whether there is an entry at this path that is not in conflict.
    pub(super) fn tracks(&self, path: &[u8]) -> bool {
        let file = self.file.as_ref();
        file.is_some_and(|index| index.entry_by_path_and_stage(path.as_bstr(), Stage::Unconflicted).is_some())
    }

    /// Tells whether there is an entry below this folder, which ends in `/`.
    fn holds_below(&self, folder: &[u8]) -> bool {
        let folder: &BStr = folder.as_bstr();
        self.file.as_ref().is_some_and(|index| index.prefixed_entries(folder).is_some())
    }
}

/// What tells one state of a file from another.
fn stamp(path: &Path) -> Option<[i64; 4]> {
    let about = fs::metadata(path).ok()?;
    let (size, inode) = (about.size().cast_signed(), about.ino().cast_signed());
    Some([about.mtime(), about.mtime_nsec(), size, inode])
}
