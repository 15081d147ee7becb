//! How much a checkout of a commit takes on the disk: an estimate, found cheaply.
//!
//! The index of the main checkout knows the size of each file as it stands there, filters applied; where it is of another
//! tree, the sizes of blobs stand in. What was found is remembered by tree. Nothing is written into the repository and
//! nothing is fetched: an object that is missing counts as the smallest file. An estimate refuses or warns, it proves nothing.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;

use fs_err as fs;
use gix::index::entry::{Flags, Mode, Stage};

use super::repo::{id, oid};
use super::{GitError, Repo};
use crate::model::Oid;

/// What file systems give out at least, in bytes.
const BLOCK: u64 = 4096;
/// What an entry takes in an index, in bytes, about.
const INDEXED: u64 = 128;
/// How many trees are remembered.
const REMEMBERED: usize = 64;
/// How deep folders are looked into; a path of more parts fits into no system call.
const DEPTH: usize = 2048;

/// What a checkout takes on the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weight {
    /// Bytes, in whole blocks, with folders and the index.
    pub bytes: u64,
    /// Files and folders.
    pub files: u64,
}

impl Weight {
    /// Returns what both take together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { bytes: self.bytes.saturating_add(other.bytes), files: self.files.saturating_add(other.files) }
    }

    /// Returns what `n` of them take.
    #[must_use]
    pub fn times(self, n: u64) -> Self {
        Self { bytes: self.bytes.saturating_mul(n), files: self.files.saturating_mul(n) }
    }

    fn of_file(size: u64) -> Self {
        let blocks = size.max(1).div_ceil(BLOCK);
        Self { bytes: blocks.saturating_mul(BLOCK).saturating_add(INDEXED), files: 1 }
    }

    const FOLDER: Self = Self { bytes: BLOCK, files: 1 };
}

/// Returns what a checkout of `commit` takes. `remembered` is the file that keeps what was found; where its folder is
/// missing nothing is kept.
pub fn of_commit(repo: &Repo, commit: &Oid, remembered: &Path) -> Result<Weight, GitError> {
    let tree = repo.tree_of(commit)?;
    let known = fs::read_to_string(remembered).unwrap_or_default();
    if let Some(weight) = known.lines().filter_map(read_line).find_map(|(t, w)| (t == tree).then_some(w)) {
        return Ok(weight);
    }
    let index = index(repo);
    let whole = index.as_ref().filter(|index| {
        let root = index.tree().filter(|root| root.num_entries.is_some());
        root.is_some_and(|root| oid(root.id) == tree)
    });
    let found = match whole {
        Some(index) => of_index(index),
        None => Walk::new(repo, index.as_ref()).tree(id(&tree)?, 0)?,
    };
    remember(remembered, &known, &tree, found);
    Ok(found)
}

/// Returns the index of the main checkout, if all its entries are in it.
fn index(repo: &Repo) -> Option<gix::index::File> {
    repo.main_checkout()?;
    let path = repo.common_dir().join("index");
    let options = gix::index::decode::Options::default();
    let index = gix::index::File::at(path, repo.hash(), true, options).ok()?;
    (index.link().is_none() && !index.is_sparse()).then_some(index)
}

fn of_index(index: &gix::index::State) -> Weight {
    let mut sum = Weight::FOLDER;
    let mut above: &[u8] = b"";
    for entry in index.entries() {
        let path: &[u8] = entry.path(index);
        let folder = path.iter().rposition(|b| *b == b'/').map_or(&path[..0], |at| &path[..at]);
        if folder != above {
            // In sorted order each folder comes once: count those that the one before was not in.
            let parts = folder.split(|b| *b == b'/').filter(|part| !part.is_empty());
            let shared = parts.zip(above.split(|b| *b == b'/')).take_while(|(a, b)| a == b).count();
            let all = folder.split(|b| *b == b'/').filter(|part| !part.is_empty()).count();
            sum = sum.and(Weight::FOLDER.times((all - shared) as u64));
            above = folder;
        }
        sum = sum.and(match entry.mode {
            Mode::COMMIT | Mode::DIR => Weight::FOLDER,
            _ => Weight::of_file(u64::from(entry.stat.size)),
        });
    }
    sum
}

/// A walk over a tree. Each distinct tree is looked at once, so that one which holds itself many times costs nothing.
struct Walk {
    local: gix::Repository,
    sizes: HashMap<gix::ObjectId, u64>,
    seen: HashMap<gix::ObjectId, Weight>,
}

impl Walk {
    /// Most files are those of the main checkout: their sizes need not be looked up one by one.
    fn new(repo: &Repo, index: Option<&gix::index::File>) -> Self {
        let entries = index.map(|index| index.entries()).unwrap_or_default();
        let plain = entries.iter().filter(|entry| {
            let real = !entry.flags.intersects(Flags::SKIP_WORKTREE | Flags::INTENT_TO_ADD);
            real && entry.stat.size > 0 && entry.stage() == Stage::Unconflicted
        });
        let sizes = plain.map(|entry| (entry.id, u64::from(entry.stat.size))).collect();
        Self { local: repo.local(), sizes, seen: HashMap::new() }
    }

    fn tree(&mut self, tree: gix::ObjectId, depth: usize) -> Result<Weight, GitError> {
        if let Some(weight) = self.seen.get(&tree) {
            return Ok(*weight);
        }
        let unreadable = |what: String| GitError::unreadable(format!("tree {tree}"), what);
        if depth > DEPTH {
            return Err(unreadable("its folders are too deep".to_owned()));
        }
        let data = self.local.find_object(tree).map_err(|e| unreadable(e.to_string()))?.detach().data;
        let mut sum = Weight::FOLDER;
        for entry in gix::objs::TreeRefIter::from_bytes(&data, tree.kind()) {
            let entry = entry.map_err(|e| unreadable(e.to_string()))?;
            let child = entry.oid.to_owned();
            sum = sum.and(if entry.mode.is_tree() {
                self.tree(child, depth + 1)?
            } else if entry.mode.is_commit() {
                Weight::FOLDER
            } else {
                Weight::of_file(self.blob(child))
            });
        }
        self.seen.insert(tree, sum);
        Ok(sum)
    }

    fn blob(&self, blob: gix::ObjectId) -> u64 {
        let known = self.sizes.get(&blob).copied();
        known.unwrap_or_else(|| self.local.find_header(blob).map_or(0, |header| header.size()))
    }
}

fn read_line(line: &str) -> Option<(Oid, Weight)> {
    let mut parts = line.split(' ');
    let tree = Oid::parse(parts.next()?)?;
    let bytes = parts.next()?.parse().ok()?;
    Some((tree, Weight { bytes, files: parts.next()?.parse().ok()? }))
}

/// Keeps what was found, as far as that can be: of two who write at once one wins, and the other finds it again.
fn remember(path: &Path, known: &str, tree: &Oid, Weight { bytes, files }: Weight) {
    let Some(folder) = path.parent().filter(|folder| folder.is_dir()) else { return };
    let old: Vec<&str> = known.lines().filter(|line| read_line(line).is_some()).collect();
    let mut text = format!("{tree} {bytes} {files}\n");
    for line in old.iter().take(REMEMBERED - 1) {
        text.push_str(line);
        text.push('\n');
    }
    let write = || -> std::io::Result<()> {
        let mut fresh = tempfile::Builder::new().prefix("weights").tempfile_in(folder)?;
        fresh.write_all(text.as_bytes())?;
        fresh.persist(path).map_err(|failed| failed.error)?;
        Ok(())
    };
    drop(write());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_reads_back_and_garbage_does_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("weights");
        let (a, b) =
            (Oid::parse(&"a".repeat(40)).expect("an id"), Oid::parse(&"b".repeat(40)).expect("an id"));
        let weight = Weight { bytes: 5, files: 7 };
        remember(&path, "no line\n", &a, weight);
        remember(&path, &fs::read_to_string(&path).expect("text"), &b, weight.times(2));
        let text = fs::read_to_string(&path).expect("text");
        let lines: Vec<_> = text.lines().filter_map(read_line).collect();
        assert_eq!(lines, [(b, weight.times(2)), (a, weight)]);
        assert!(["", "x", "aa 1 2", "1 2 3"].into_iter().all(|line| read_line(line).is_none()));
    }

    #[test]
    fn files_take_whole_blocks_and_sums_do_not_overflow() {
        assert_eq!(Weight::of_file(0), Weight { bytes: BLOCK + INDEXED, files: 1 });
        assert_eq!(Weight::of_file(BLOCK + 1).bytes, 2 * BLOCK + INDEXED);
        assert_eq!(Weight::of_file(u64::MAX).times(9).and(Weight::FOLDER).bytes, u64::MAX);
    }
}
