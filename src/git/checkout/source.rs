//! Where files may be copied from, and what of it is provably clean.
//!
//! Sources are the main checkout and worktrees of ours that nobody works in (their entries are locked as spare), never a
//! task's own workspace. A file counts as clean where the source's index has the wanted object and mode for it, without any
//! flag, and was written later than the file by more than a tick of the kernel's clock; whoever copies compares the recorded
//! stat data with the file's once its bytes are read. That is what git itself believes, and a bit less.

use std::cmp::Ordering;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use fs_err as fs;
use gix::index::entry::{Flags, Stage, Stat};
use gix::index::{Entry, State};

use super::folder;
use crate::git::repo::id;
use crate::git::{GitError, Repo, spare};
use crate::model::Oid;

/// The time within which two writes may leave one and the same time, in nanoseconds: more than a tick of the kernel's clock.
const TICK: i64 = 20_000_000;

/// Entries with one of these say nothing about the file.
const UNKNOWN: Flags = Flags::ASSUME_VALID.union(Flags::SKIP_WORKTREE).union(Flags::INTENT_TO_ADD);

/// Whose files they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// The main checkout's: their times are those that the build caches in it know.
    Main,
    /// A spare worktree's.
    Spare,
}

struct Candidate {
    path: PathBuf,
    git_dir: PathBuf,
    owner: Owner,
}

/// A checkout to copy from, with its index as it was read.
#[derive(Debug)]
pub(super) struct Source {
    folder: OwnedFd,
    index: gix::index::File,
    owner: Owner,
}

impl Source {
    /// Returns the best source for `commit`: one whose index has its tree, else the first that can be read.
    pub(super) fn find(repo: &Repo, commit: &Oid, tree: &Oid) -> Result<Option<Self>, GitError> {
        let tree = id(tree)?;
        let mut best: Option<Self> = None;
        for candidate in candidates(repo, commit) {
            let Some(found) = Self::open(&candidate, tree.kind()) else { continue };
            if found.holds(&tree) {
                return Ok(Some(found));
            }
            best = best.or(Some(found));
        }
        Ok(best)
    }

    /// Anything that cannot be read is no source, whatever the reason.
    fn open(candidate: &Candidate, hash: gix::hash::Kind) -> Option<Self> {
        let folder = folder::root(&candidate.path).ok()?;
        let split = |name: &Path| {
            name.file_name().is_some_and(|name| name.to_string_lossy().starts_with("sharedindex."))
        };
        if fs::read_dir(&candidate.git_dir).ok()?.flatten().any(|entry| split(&entry.path())) {
            return None;
        }
        let path = candidate.git_dir.join("index");
        let index = gix::index::File::at(path, hash, false, gix::index::decode::Options::default()).ok()?;
        // Only now is it sure that nobody had taken the spare when its index was read.
        let ours = candidate.owner == Owner::Main || spare(&candidate.git_dir).is_some();
        (ours && !index.is_sparse()).then_some(Self { folder, index, owner: candidate.owner })
    }

    pub(super) fn folder(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    pub(super) fn index(&self) -> &State {
        &self.index
    }

    pub(super) fn owner(&self) -> Owner {
        self.owner
    }

    /// Tells whether its index is that of `tree`, by the tree that git keeps in it.
    pub(super) fn holds(&self, tree: &gix::hash::oid) -> bool {
        let all = u32::try_from(self.index.entries().len()).ok();
        self.index.tree().is_some_and(|known| known.num_entries == all && known.id == tree)
    }

    /// Returns for each entry of `wanted` the stat data that the source's file must have to be its blob; `None` where the
    /// source says nothing about it.
    pub(super) fn known(&self, wanted: &State) -> Vec<Option<Stat>> {
        let time = self.index.timestamp();
        let time = (time.unix_seconds(), time.nanoseconds());
        let (mut known, mut here) = (vec![None; wanted.entries().len()], self.index.entries());
        for (stat, entry) in known.iter_mut().zip(wanted.entries()) {
            let path = entry.path(wanted);
            while let [first, rest @ ..] = here {
                match first.path(&self.index).cmp(path) {
                    Ordering::Less => here = rest,
                    Ordering::Equal => {
                        *stat = tells(first, entry, time).then_some(first.stat);
                        break;
                    }
                    Ordering::Greater => break,
                }
            }
        }
        known
    }
}

/// Tells whether an entry of the source stands for the wanted one, and its file cannot have changed unseen.
fn tells(there: &Entry, wanted: &Entry, index: (i64, u32)) -> bool {
    there.id == wanted.id
        && there.mode == wanted.mode
        && there.stage() == Stage::Unconflicted
        && !there.flags.intersects(UNKNOWN)
        && !is_racy(&there.stat, index)
}

/// Tells whether a file may have changed after its stat data was taken without it showing. `index` is the time of the index
/// in seconds and nanoseconds. Where neither has any nanoseconds, the clock of the file system ticks in seconds.
fn is_racy(file: &Stat, index: (i64, u32)) -> bool {
    let seconds = index.0 - i64::from(file.mtime.secs);
    if file.mtime.nsecs == 0 && index.1 == 0 {
        return seconds <= 0;
    }
    let apart = seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(i64::from(index.1) - i64::from(file.mtime.nsecs));
    apart <= TICK
}

/// Returns where files may be copied from, in the order in which they are tried.
fn candidates(repo: &Repo, commit: &Oid) -> Vec<Candidate> {
    let common = repo.common_dir();
    let main = repo.main_checkout().map(|path| Candidate {
        path: path.to_owned(),
        git_dir: common.to_owned(),
        owner: Owner::Main,
    });
    let entries = fs::read_dir(common.join("worktrees")).into_iter().flatten().flatten();
    // A spare has such a name: of the others, there may be thousands, none is looked at.
    let entries = entries.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"spare"));
    let mut spares: Vec<(bool, PathBuf)> = entries
        .filter_map(|entry| {
            let at = spare(&entry.path())?;
            Some((at != *commit, entry.path()))
        })
        .collect();
    // One at the very commit first. A spare at another commit is of use only where there is no main checkout.
    spares.sort();
    spares.retain(|(elsewhere, _)| !elsewhere || main.is_none());
    let spares = spares.into_iter().take(2).filter_map(|(_, git_dir)| {
        let link = fs::read_to_string(git_dir.join("gitdir")).ok()?;
        let link = git_dir.join(link.trim_end_matches('\n'));
        Some(Candidate { path: link.parent()?.to_owned(), git_dir, owner: Owner::Spare })
    });
    main.into_iter().chain(spares).collect()
}

/// Returns the commit at which the spare of an entry is ready; `None` where it is no such entry.
fn spare(git_dir: &Path) -> Option<Oid> {
    let locked = fs::read_to_string(git_dir.join("locked")).ok()?;
    spare::ready_at(&locked)
}

#[cfg(test)]
mod tests {
    use gix::index::entry::stat::Time;

    use super::*;

    #[test]
    fn a_file_as_young_as_the_index_is_racy() {
        let file = |secs, nsecs| Stat { mtime: Time { secs, nsecs }, ..Stat::default() };
        assert!(!is_racy(&file(100, 500_000_000), (100, 520_000_001)));
        assert!(is_racy(&file(100, 500_000_000), (100, 520_000_000)));
        assert!(is_racy(&file(100, 990_000_000), (101, 5_000_000)));
        assert!(!is_racy(&file(100, 0), (100, 30_000_000)));
        assert!(!is_racy(&file(99, 0), (100, 0)));
        assert!(is_racy(&file(100, 0), (100, 0)));
        assert!(is_racy(&file(200, 7), (100, 9)), "from the future");
    }
}
