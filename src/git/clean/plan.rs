//! What should stand in a worktree, folder by folder, taken from its index.
//!
//! Invariant: a plan only has names that lead down: an index is an agent's, and could say `..`.

use std::ops::Range;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use fs_err as fs;
use gix::ObjectId;
use gix::bstr::{BStr, BString, ByteSlice as _};
use gix::index::entry::{Flags, Mode as Recorded, Stage};
use gix::index::{Entry, State, decode};
use rustix::fs::{CWD, Mode, OFlags, Stat, fstat, open, openat};

use super::Verdict;
use super::folder::{self, Walk};
use super::ignore::{Level, regular};
use super::memory::{Memory, Recall};
use super::rules::Rules;
use super::survey::Survey;
use crate::git::{Checkout, Repo};
use crate::model::Oid;

/// The largest index that is read here.
const MOST_INDEX: u64 = 1 << 30;

/// What should stand in a worktree.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) root: OwnedFd,
    pub(super) index: State,
    /// When the index was written: seconds and nanoseconds.
    pub(super) written: (i64, i64),
    /// When git found the worktree clean with this very index, if it is remembered.
    pub(super) vouched: Option<(i64, i64)>,
    /// Every folder that should be there, each after the one that it is in.
    pub(super) folders: Vec<Folder>,
    pub(super) rules: Arc<Rules>,
    /// What its folders were, if that is remembered.
    pub(super) recall: Option<Recall>,
    /// What is seen, if a proof of it is wanted and may be had.
    pub(super) survey: Option<Survey>,
    /// The ignore rules of the root, once they were needed.
    pub(super) ignored: Mutex<Option<Arc<Level>>>,
    /// Set when the answer is known, so that nobody looks on.
    decided: AtomicBool,
}

/// What a worktree is looked at for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Whether it is clean: the first thing that decides ends the look.
    Verdict,
    /// All that is other than in `HEAD`.
    Proof,
}

/// A folder that should be there.
#[derive(Debug)]
pub(super) struct Folder {
    /// Its path, without a slash at the end; empty: the root.
    pub(super) path: BString,
    /// What should stand in it, by name.
    pub(super) items: Vec<Item>,
}

/// A name that should be there.
#[derive(Debug)]
pub(super) struct Item {
    /// Where it stands in the path of the entry.
    name: Range<usize>,
    /// The number of the entry, or of one below the folder.
    pub(super) entry: usize,
    /// Whether it is the entry itself, or a folder that has it.
    pub(super) is: Is,
}

/// What a name should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Is {
    /// The file or symlink of an entry.
    File,
    /// A submodule.
    Submodule,
    /// A folder with tracked files.
    Folder,
}

impl Item {
    pub(super) fn name<'a>(&self, index: &'a State) -> &'a BStr {
        index.entry(self.entry).path(index)[self.name.clone()].as_bstr()
    }
}

impl Plan {
    /// Reads the index of a worktree and compares it with its `HEAD`; the error is a verdict of its own. A proof cannot be had
    /// without a memory.
    pub(super) fn of(
        repo: &Repo,
        checkout: &Checkout,
        rules: &Arc<Rules>,
        memory: Option<&Arc<Memory>>,
        wanted: Wanted,
    ) -> Result<Self, Verdict> {
        checkout.require_honest().map_err(|_| Verdict::AskGit)?;
        if rules.own_config && checkout.git_dir().join("config.worktree").exists() {
            return Err(Verdict::AskGit);
        }
        let (index, about) = read_index(repo, checkout).ok_or(Verdict::AskGit)?;
        usable(&index).ok_or(Verdict::AskGit)?;
        let whole = u32::try_from(index.entries().len()).ok();
        let tree = index.tree().filter(|tree| tree.num_entries == whole && whole.is_some());
        let tree = tree.map(|tree| tree.id);
        let head = head_tree(repo, checkout).ok_or(Verdict::AskGit)?;
        // Of no matter to who wants a proof of all there is.
        let staged = match tree {
            Some(tree) if tree == head => Ok(()),
            Some(_) => Err(Verdict::Dirty),
            None => Err(Verdict::AskGit),
        };
        if wanted == Wanted::Verdict {
            staged?;
        }
        let folders = folders(&index).ok_or(Verdict::AskGit)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = open(checkout.path(), flags, Mode::empty()).map_err(|_| Verdict::AskGit)?;
        let rules = rules.clone();
        let recall = memory.and_then(|memory| {
            let names = tree.or_else(|| names(&index, head.kind()))?;
            memory.of(checkout.git_dir(), root.as_fd(), names, folders.len())
        });
        let survey = recall.as_ref().filter(|_| wanted == Wanted::Proof);
        let survey = survey.map(|_| Survey::new(&about, staged.is_err()));
        if survey.is_none() {
            staged?;
        }
        let written = (about.st_mtime, i64::try_from(about.st_mtime_nsec).unwrap_or_default());
        let vouched = recall.as_ref().and_then(|recall| recall.vouched(&about));
        let (ignored, decided) = (Mutex::default(), AtomicBool::new(false));
        Ok(Self { root, index, written, vouched, folders, rules, recall, survey, ignored, decided })
    }

    /// Tells whether anything is known of what its folders were.
    pub(super) fn remembers(&self) -> bool {
        self.recall.as_ref().is_some_and(Recall::knows_any)
    }

    /// Returns the folders in parts with about `entries` names each.
    pub(super) fn parts(&self, entries: usize) -> impl Iterator<Item = Range<usize>> {
        let mut from = 0;
        std::iter::from_fn(move || {
            let mut to = from;
            let mut names = 0;
            while to < self.folders.len() && (to == from || names < entries) {
                names += self.folders[to].items.len() + 3;
                to += 1;
            }
            let part = from..to;
            from = to;
            (!part.is_empty()).then_some(part)
        })
    }

    /// Looks at some of the folders. Once one look has found what decides, the others end early.
    pub(super) fn look(&self, part: &Range<usize>) -> Verdict {
        let mut walk = Walk::new(self);
        for number in part.clone() {
            if self.decided.load(Ordering::Relaxed) {
                break;
            }
            let verdict = folder::look(&mut walk, number);
            if verdict != Verdict::Clean {
                self.decided.store(true, Ordering::Relaxed);
                return verdict;
            }
        }
        if let Some(survey) = &self.survey {
            survey.add(walk.seen());
        }
        Verdict::Clean
    }
}

/// Reads an index; with it comes how its file was.
fn read_index(repo: &Repo, checkout: &Checkout) -> Option<(State, Stat)> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(CWD, checkout.git_dir().join("index"), flags, Mode::empty()).ok()?;
    let about = fstat(&file).ok()?;
    let bytes = regular(file.as_fd(), MOST_INDEX)?;
    let options = decode::Options {
        thread_limit: Some(1),
        alloc_limit_bytes: usize::try_from(MOST_INDEX).ok(),
        ..decode::Options::default()
    };
    let hash = repo.local().object_hash();
    // The time stands beside it: what the reader would make of one is of no matter.
    let no_time = State::new(hash).timestamp();
    let (state, _) = State::from_bytes(&bytes, no_time, hash, options).ok()?;
    Some((state, about))
}

/// Returns a name for the names of an index that stands for no tree.
fn names(index: &State, kind: gix::hash::Kind) -> Option<ObjectId> {
    let mut all = Vec::new();
    for entry in index.entries() {
        all.extend_from_slice(entry.path(index));
        all.push(0);
    }
    gix::objs::compute_hash(kind, gix::objs::Kind::Blob, &all).ok()
}

/// Tells whether the index has only what is understood here.
fn usable(index: &State) -> Option<()> {
    let odd = Flags::ASSUME_VALID | Flags::SKIP_WORKTREE | Flags::INTENT_TO_ADD | Flags::EXTENDED_2;
    let plain = |entry: &Entry| {
        let mode = entry.mode;
        let known = [Recorded::FILE, Recorded::FILE_EXECUTABLE, Recorded::SYMLINK, Recorded::COMMIT];
        known.contains(&mode) && entry.stage() == Stage::Unconflicted && !entry.flags.intersects(odd)
    };
    let whole = index.link().is_none() && index.fs_monitor().is_none() && !index.is_sparse();
    (whole && index.entries().iter().all(plain)).then_some(())
}

/// Returns the tree of the commit that the worktree's `HEAD` is at.
fn head_tree(repo: &Repo, checkout: &Checkout) -> Option<ObjectId> {
    let head = fs::symlink_metadata(checkout.git_dir().join("HEAD")).ok()?;
    let head = head.is_file().then(|| fs::read_to_string(checkout.git_dir().join("HEAD")))?.ok()?;
    let head = head.trim_end();
    let commit = match head.strip_prefix("ref: ") {
        // Other refs may be a worktree's own.
        Some(name) if name.starts_with("refs/heads/") => repo.ref_tip(name).ok()??,
        Some(_) => return None,
        None => Oid::parse(head)?,
    };
    ObjectId::from_hex(repo.tree_of(&commit).ok()?.as_str().as_bytes()).ok()
}

/// Returns the folders of an index; `None` if its paths are not sorted, or lead anywhere but down.
fn folders(index: &State) -> Option<Vec<Folder>> {
    let mut found = vec![Folder { path: BString::default(), items: Vec::new() }];
    // The folders that lead to the last entry, outermost first.
    let mut open = vec![0];
    let mut before: &[u8] = b"";
    for (number, entry) in index.entries().iter().enumerate() {
        let path: &[u8] = entry.path(index);
        if path <= before {
            return None;
        }
        while !inside(path, &found[*open.last()?].path) {
            open.pop();
        }
        let mut from = match found[*open.last()?].path.len() {
            0 => 0,
            length => length + 1,
        };
        while let Some(slash) = path[from..].iter().position(|b| *b == b'/') {
            let name = from..from + slash;
            safe(&path[name.clone()])?;
            let is = Item { name: name.clone(), entry: number, is: Is::Folder };
            found[*open.last()?].items.push(is);
            open.push(found.len());
            found.push(Folder { path: path[..name.end].into(), items: Vec::new() });
            from = name.end + 1;
        }
        safe(&path[from..])?;
        let is = if entry.mode == Recorded::COMMIT { Is::Submodule } else { Is::File };
        found[*open.last()?].items.push(Item { name: from..path.len(), entry: number, is });
        before = path;
    }
    for folder in &mut found {
        folder.items.sort_unstable_by(|a, b| a.name(index).cmp(b.name(index)));
        if folder.items.windows(2).any(|two| two[0].name(index) == two[1].name(index)) {
            return None;
        }
    }
    Some(found)
}

fn inside(path: &[u8], folder: &[u8]) -> bool {
    folder.is_empty() || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with(b"/"))
}

fn safe(name: &[u8]) -> Option<()> {
    let leads_down = !name.is_empty() && name != b"." && name != b"..";
    (leads_down && !name.eq_ignore_ascii_case(b".git") && !name.contains(&0)).then_some(())
}
