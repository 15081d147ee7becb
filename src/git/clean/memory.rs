//! What folders of worktrees were when their names were last read: a folder that is the same has the same names. And which
//! indexes git itself found to be of a clean worktree: a file that is as such an index recorded it, though the index was written
//! in the same moment, was read by git since, and need not be read again until one of them changes.
//!
//! A file system that keeps its word changes the times of a folder with every name that comes, goes or changes places in it.
//! So a folder whose inode and times are those of a reading that found in it what the index has, and nothing else, needs no
//! other reading: only its files are looked at. Invariant: what was changed so shortly before the reading that it could change
//! again unseen is not remembered, nor is anything of a file system that is not known to keep its word; a memory is of one
//! tree, of one worktree. It is a cache: whatever is wrong with its file, nothing is remembered.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use fs_err as fs;
use gix::ObjectId;
use jiff::Timestamp;
use rustix::fs::{FileType, Stat, fstat, lstat};

use super::folder::{STEP, WHOLE};

/// What the file begins with.
const BEGIN: &[u8] = b"wt folders 2\n";
/// The largest file that is read, in bytes.
const MOST: u64 = 256 << 20;
/// How many worktrees are remembered.
const WORKTREES: usize = 10_000;

/// What a folder or a file was: its inode, and its times in nanoseconds. All zero: it is not remembered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::git) struct Stamp([u64; 3]);

impl Stamp {
    pub(super) fn of(about: &Stat) -> Option<Self> {
        let at = |seconds: i64, fraction: u64| {
            u64::try_from(seconds).ok()?.checked_mul(1_000_000_000)?.checked_add(fraction)
        };
        let modified = at(about.st_mtime, about.st_mtime_nsec)?;
        let changed = at(about.st_ctime, about.st_ctime_nsec)?;
        Some(Self([about.st_ino, modified, changed]))
    }

    /// Returns what the index in a git folder is; `None`: there is none that is a file.
    pub(super) fn of_index(git_dir: &Path) -> Option<Self> {
        Self::of_file(&git_dir.join("index"))
    }

    /// Returns what the file at `path` is; `None`: there is none, or no regular one.
    pub(in crate::git) fn of_file(path: &Path) -> Option<Self> {
        let about = lstat(path).ok()?;
        FileType::from_raw_mode(about.st_mode).is_file().then(|| Self::of(&about)).flatten()
    }

    /// Tells whether it was so long before `now`, in nanoseconds, that a later change shows.
    pub(in crate::git) fn is_settled(self, now: u64) -> bool {
        let [_, modified, changed] = self.0;
        [modified, changed].into_iter().all(|at| {
            let step = if at % 1_000_000_000 == 0 { WHOLE } else { STEP };
            at.saturating_add(step.unsigned_abs()) < now
        })
    }
}

/// What is remembered of a worktree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    tree: ObjectId,
    device: u64,
    /// By number of the folder.
    stamps: Vec<Stamp>,
}

/// An index, and when, in nanoseconds, git was about to look and found its worktree clean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Vouched {
    index: Stamp,
    at: u64,
}

/// What is remembered of worktrees.
#[derive(Debug)]
pub struct Memory {
    path: PathBuf,
    /// When the reading began, in nanoseconds.
    now: u64,
    known: BTreeMap<String, Arc<Listed>>,
    vouched: BTreeMap<String, Vouched>,
    learned: Mutex<BTreeMap<String, Listed>>,
    heard: Mutex<BTreeMap<String, Vouched>>,
}

impl Memory {
    /// Reads what the file at `path` remembers; `now` is a time before anything is looked at.
    pub fn load(path: &Path, now: Timestamp) -> Self {
        let small = fs::metadata(path).is_ok_and(|about| about.len() <= MOST);
        let bytes = if small { fs::read(path).unwrap_or_default() } else { Vec::new() };
        let now = u64::try_from(now.as_nanosecond()).unwrap_or_default();
        let (known, vouched) = read(&bytes).unwrap_or_default();
        let (learned, heard) = (Mutex::default(), Mutex::default());
        Self { path: path.to_owned(), now, known, vouched, learned, heard }
    }

    /// Takes note that git found the worktree with this git folder clean. `index` was its index before git was asked; one that
    /// is another by now, or was written so shortly before that it could be written again unseen, is not remembered.
    pub(super) fn hear(&self, worktree: &Path, index: Stamp) {
        if index.is_settled(self.now)
            && Stamp::of_index(worktree) == Some(index)
            && let Some(name) = worktree.to_str()
        {
            let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.insert(name.to_owned(), Vouched { index, at: self.now });
        }
    }

    /// Returns when the look began, in nanoseconds since 1970.
    pub(super) fn began(&self) -> u64 {
        self.now
    }

    /// Returns what the folders of a worktree were that stands for `tree` and has so many folders.
    pub(super) fn of(
        self: &Arc<Self>,
        worktree: &Path,
        root: BorrowedFd<'_>,
        tree: ObjectId,
        folders: usize,
    ) -> Option<Recall> {
        if !keeps_its_word(root) {
            return None;
        }
        let (name, device) = (worktree.to_str()?.to_owned(), fstat(root).ok()?.st_dev);
        let fits = |listed: &&Arc<Listed>| {
            listed.tree == tree && listed.device == device && listed.stamps.len() == folders
        };
        let known = self.known.get(&name).filter(fits).cloned();
        let vouched = self.vouched.get(&name).copied();
        Some(Recall {
            memory: self.clone(),
            name,
            tree,
            device,
            folders,
            known,
            vouched,
            fresh: Mutex::default(),
        })
    }

    /// Keeps what was learned, as far as that can be; worktrees that are gone are forgotten.
    pub fn save(&self) -> io::Result<()> {
        let learned = std::mem::take(&mut *self.learned.lock().unwrap_or_else(PoisonError::into_inner));
        let heard = std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        let any = !learned.is_empty() || !heard.is_empty();
        let Some(folder) = self.path.parent().filter(|_| any) else { return Ok(()) };
        let mut all: BTreeMap<&str, &Listed> =
            self.known.iter().map(|(name, listed)| (name.as_str(), &**listed)).collect();
        all.extend(learned.iter().map(|(name, listed)| (name.as_str(), listed)));
        all.retain(|name, _| Path::new(name).exists());
        let mut vouched = self.vouched.clone();
        vouched.extend(heard);
        vouched.retain(|name, vouched| Stamp::of_index(Path::new(name)) == Some(vouched.index));
        let mut bytes = BEGIN.to_vec();
        given(&vouched, &mut bytes);
        for (name, listed) in all.into_iter().take(WORKTREES) {
            let before = bytes.len();
            written(name, listed, &mut bytes);
            if bytes.len() as u64 >= MOST {
                bytes.truncate(before);
                break;
            }
        }
        let sum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        let mut fresh = tempfile::Builder::new().prefix("folders").tempfile_in(folder)?;
        fresh.write_all(&bytes)?;
        fresh.persist(&self.path).map_err(|failed| failed.error)?;
        Ok(())
    }
}

/// What is remembered of one worktree while it is looked at.
#[derive(Debug)]
pub(super) struct Recall {
    memory: Arc<Memory>,
    name: String,
    tree: ObjectId,
    device: u64,
    folders: usize,
    known: Option<Arc<Listed>>,
    vouched: Option<Vouched>,
    fresh: Mutex<Vec<(usize, Stamp)>>,
}

impl Recall {
    /// Tells whether anything is known of the worktree as it is.
    pub(super) fn knows_any(&self) -> bool {
        self.known.is_some()
    }

    /// Tells whether the `n`th folder is as it was when all its names were those of the index.
    pub(super) fn knows(&self, n: usize, about: &Stat) -> bool {
        let known =
            self.known.as_ref().map(|listed| listed.stamps[n]).filter(|stamp| *stamp != Stamp::default());
        about.st_dev == self.device && known.is_some() && known == Stamp::of(about)
    }

    /// Returns when git found the worktree clean, in seconds and nanoseconds, with the index that `about` is of.
    pub(super) fn vouched(&self, about: &Stat) -> Option<(i64, i64)> {
        let vouched = self.vouched.filter(|vouched| Stamp::of(about) == Some(vouched.index))?;
        let part = |number: u64| i64::try_from(number).ok();
        Some((part(vouched.at / 1_000_000_000)?, part(vouched.at % 1_000_000_000)?))
    }

    /// Takes note of a folder whose names were read after `about` was, and are those of the index.
    pub(super) fn learn(&self, n: usize, about: &Stat) {
        let settled = |stamp: &Stamp| about.st_dev == self.device && stamp.is_settled(self.memory.now);
        if let Some(stamp) = Stamp::of(about).filter(settled) {
            self.fresh.lock().unwrap_or_else(PoisonError::into_inner).push((n, stamp));
        }
    }

    /// Hands on what was learned, once nobody looks at the worktree any more.
    pub(super) fn end(&self) {
        let fresh = std::mem::take(&mut *self.fresh.lock().unwrap_or_else(PoisonError::into_inner));
        if fresh.is_empty() {
            return;
        }
        let known = self.known.as_ref().map(|listed| listed.stamps.clone());
        let mut stamps = known.unwrap_or_else(|| vec![Stamp::default(); self.folders]);
        for (n, stamp) in fresh {
            stamps[n] = stamp;
        }
        let listed = Listed { tree: self.tree, device: self.device, stamps };
        let mut learned = self.memory.learned.lock().unwrap_or_else(PoisonError::into_inner);
        learned.insert(self.name.clone(), listed);
    }
}

/// Tells whether the file system is one that changes a folder's times with its names, at once and for everybody.
#[cfg(target_os = "linux")]
pub(in crate::git) fn keeps_its_word(folder: BorrowedFd<'_>) -> bool {
    // ext2 to ext4, XFS, Btrfs, tmpfs, F2FS.
    const KNOWN: [i64; 5] = [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994, 0xF2F5_2010];
    rustix::fs::fstatfs(folder)
        .is_ok_and(|about| KNOWN.iter().any(|known| i128::from(*known) == i128::from(about.f_type)))
}

#[cfg(not(target_os = "linux"))]
pub(in crate::git) fn keeps_its_word(_folder: BorrowedFd<'_>) -> bool {
    false
}

fn count(n: usize) -> [u8; 4] {
    u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes()
}

fn given(vouched: &BTreeMap<String, Vouched>, bytes: &mut Vec<u8>) {
    let vouched: Vec<_> = vouched.iter().take(WORKTREES).collect();
    bytes.extend_from_slice(&count(vouched.len()));
    for (name, Vouched { index, at }) in vouched {
        bytes.extend_from_slice(&count(name.len()));
        bytes.extend_from_slice(name.as_bytes());
        for number in index.0.iter().chain([at]) {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
    }
}

fn written(name: &str, listed: &Listed, bytes: &mut Vec<u8>) {
    for part in [name.as_bytes(), listed.tree.as_slice()] {
        bytes.extend_from_slice(&count(part.len()));
        bytes.extend_from_slice(part);
    }
    bytes.extend_from_slice(&listed.device.to_le_bytes());
    bytes.extend_from_slice(&count(listed.stamps.len()));
    for number in listed.stamps.iter().flat_map(|stamp| stamp.0) {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
}

/// Folders and indexes of worktrees, by their git folders.
type All = (BTreeMap<String, Arc<Listed>>, BTreeMap<String, Vouched>);

/// Reads what [`Memory::save`] wrote; `None`: it is not whole.
fn read(bytes: &[u8]) -> Option<All> {
    let (bytes, sum) = bytes.split_last_chunk::<4>()?;
    if crc32fast::hash(bytes) != u32::from_le_bytes(*sum) {
        return None;
    }
    let mut rest = bytes.strip_prefix(BEGIN)?;
    let (mut found, mut vouched) = (BTreeMap::new(), BTreeMap::new());
    for _ in 0..number(&mut rest)? {
        let length = number(&mut rest)?;
        let name = String::from_utf8(taken(&mut rest, length)?.to_vec()).ok()?;
        let (index, at) = (Stamp([long(&mut rest)?, long(&mut rest)?, long(&mut rest)?]), long(&mut rest)?);
        vouched.insert(name, Vouched { index, at });
    }
    while !rest.is_empty() {
        let length = number(&mut rest)?;
        let name = String::from_utf8(taken(&mut rest, length)?.to_vec()).ok()?;
        let length = number(&mut rest)?;
        let tree = ObjectId::try_from(taken(&mut rest, length)?).ok()?;
        let device = long(&mut rest)?;
        let length = number(&mut rest)?;
        let stamps = taken(&mut rest, length.checked_mul(24)?)?.chunks_exact(24).map(|stamp| {
            let part =
                |n: usize| stamp[8 * n..8 * n + 8].try_into().map(u64::from_le_bytes).unwrap_or_default();
            Stamp([part(0), part(1), part(2)])
        });
        let stamps = stamps.collect();
        found.insert(name, Arc::new(Listed { tree, device, stamps }));
    }
    Some((found, vouched))
}

fn long(rest: &mut &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(taken(rest, 8)?.try_into().ok()?))
}

fn number(rest: &mut &[u8]) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(taken(rest, 4)?.try_into().ok()?)).ok()
}

fn taken<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_and_anything_else_does_not() {
        let tree = ObjectId::null(gix::hash::Kind::Sha1);
        let listed = Listed { tree, device: 7, stamps: vec![Stamp([1, 2, 3]), Stamp::default()] };
        let vouched = [("c".to_owned(), Vouched { index: Stamp([4, 5, 6]), at: 7 })].into();
        let mut bytes = BEGIN.to_vec();
        given(&vouched, &mut bytes);
        written("a", &listed, &mut bytes);
        written("b", &listed, &mut bytes);
        let sum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        let (known, told) = read(&bytes).unwrap();
        assert_eq!(told, vouched);
        assert_eq!(known.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(*known["b"], listed);
        for cut in 0..bytes.len() {
            assert!(read(&bytes[..cut]).is_none(), "{cut}");
        }
        bytes[BEGIN.len() + 4] ^= 1;
        assert!(read(&bytes).is_none());
    }

    #[test]
    fn a_folder_that_has_just_changed_is_not_remembered() {
        let second = 1_000_000_000;
        assert!(Stamp([1, second + 1, second + 1]).is_settled(second + 20_000_002));
        assert!(!Stamp([1, second + 1, second + 1]).is_settled(second + 20_000_001));
        assert!(!Stamp([1, second + 1, second + 5]).is_settled(second + 20_000_004), "moved here just now");
        assert!(!Stamp([1, second, second]).is_settled(2 * second), "a clock of whole seconds");
    }
}
