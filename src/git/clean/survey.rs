//! All of a worktree that decides what a commit of everything in it would hold, as one hash: its proof.
//!
//! Where proof, ignored files, attributes and settings are the same, git would write the same tree again. In it are how the
//! index and every folder that was gone through were, and every file that is other than in the index, or not in it and not
//! ignored. Files as the index has them are not: one that changes is another one then. Invariant: a proof has nothing that was
//! changed so shortly before the look that it could change again unseen; whoever changes something after the look, and takes
//! it back, has left his mark on a folder, a file or the index.

use std::sync::{Mutex, PoisonError};

use gix::bstr::{BStr, BString, ByteSlice as _};
use rustix::fs::Stat;
use sha2::{Digest as _, Sha256};

use super::folder::WHOLE;

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum About {
    /// The index.
    Index,
    /// A folder whose names were read, or that is as it was when they were.
    Folder,
    /// A file or symlink that is other than in the index, or not in it and not ignored.
    File,
    /// A name of the index where nothing stands.
    Gone,
}

/// How one thing was.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Line {
    path: BString,
    about: About,
    /// Device, inode, mode, size, and the times of content and inode in nanoseconds; nothing of what is gone.
    state: Option<[i128; 6]>,
}

impl Line {
    pub(super) fn of(about: About, path: BString, stat: &Stat) -> Self {
        let at = |seconds: i128, fraction: i128| seconds * 1_000_000_000 + fraction;
        let state = [
            i128::from(stat.st_dev),
            i128::from(stat.st_ino),
            i128::from(stat.st_mode),
            i128::from(stat.st_size),
            at(stat.st_mtime.into(), stat.st_mtime_nsec.into()),
            at(stat.st_ctime.into(), stat.st_ctime_nsec.into()),
        ];
        Self { path, about, state: Some(state) }
    }

    pub(super) fn gone(path: BString) -> Self {
        Self { path, about: About::Gone, state: None }
    }

    /// Tells whether it was so long before `now`, in nanoseconds, that a later change shows, whatever the clock.
    fn is_settled(&self, now: u64) -> bool {
        let before = |at: i128| at + i128::from(WHOLE) < i128::from(now);
        self.state.is_none_or(|[.., modified, changed]| before(modified) && before(changed))
    }
}

/// What was seen of a worktree.
#[derive(Debug)]
pub(super) struct Survey {
    lines: Mutex<Vec<Line>>,
    /// Whether the index is not known to be as `HEAD`.
    staged: bool,
}

/// Returns the path of a name in a folder.
pub(super) fn below(folder: &BStr, name: &BStr) -> BString {
    if folder.is_empty() { name.into() } else { [folder.as_bytes(), b"/", name.as_bytes()].concat().into() }
}

impl Survey {
    /// Begins with an index, by how its file was before it was read.
    pub(super) fn new(index: &Stat, staged: bool) -> Self {
        Self { lines: Mutex::new(vec![Line::of(About::Index, BString::default(), index)]), staged }
    }

    /// Adds what was seen of some folders.
    pub(super) fn add(&self, mut seen: Vec<Line>) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).append(&mut seen);
    }

    /// Tells whether anything may be other than in `HEAD`.
    pub(super) fn differs(&self) -> bool {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        self.staged || lines.iter().any(|line| matches!(line.about, About::File | About::Gone))
    }

    /// Returns the proof of the worktree with this git folder, once all was seen; `None`: something was changed too shortly
    /// before `now`, in nanoseconds, when the look began.
    pub(super) fn proof(&self, git_dir: &[u8], now: u64) -> Option<String> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if !lines.iter().all(|line| line.is_settled(now)) {
            return None;
        }
        lines.sort_unstable();
        let mut hash = Sha256::new();
        let mut take = |bytes: &[u8]| {
            hash.update(bytes.len().to_le_bytes());
            hash.update(bytes);
        };
        take(git_dir);
        for line in lines.iter() {
            take(&line.path);
            take(&[line.about as u8]);
            line.state.iter().flatten().for_each(|number| take(&number.to_le_bytes()));
        }
        Some(hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(path: &str, size: i128, at: i128) -> Line {
        Line { path: path.into(), about: About::File, state: Some([1, 2, 3, size, at, at]) }
    }

    fn survey(lines: Vec<Line>) -> Survey {
        Survey { lines: Mutex::new(lines), staged: false }
    }

    #[test]
    fn the_order_of_the_looks_is_of_no_matter_and_all_else_is() {
        let now = 10_000_000_000;
        let proof = |lines| survey(lines).proof(b"/w", now).unwrap();
        let one = proof(vec![line("a", 1, 5), line("b", 1, 5)]);
        assert_eq!(one, proof(vec![line("b", 1, 5), line("a", 1, 5)]));
        for other in [
            vec![line("a", 1, 5)],
            vec![line("a", 1, 5), line("b", 2, 5)],
            vec![line("a", 1, 5), line("b", 1, 6)],
            vec![line("a", 1, 5), line("c", 1, 5)],
            vec![line("a", 1, 5), Line::gone("b".into())],
        ] {
            assert_ne!(one, proof(other));
        }
        assert_ne!(Some(one), survey(vec![line("a", 1, 5), line("b", 1, 5)]).proof(b"/v", now));
    }

    #[test]
    fn what_has_just_changed_has_no_proof() {
        let second = 1_000_000_000;
        let at = |at: i128, now: u64| survey(vec![line("a", 1, at)]).proof(b"/w", now).is_some();
        assert!(at(second, 3_000_000_001) && !at(second, 3_000_000_000));
        assert!(!at(5 * second, 3_000_000_000), "of a clock that is ahead");
        assert!(survey(vec![Line::gone("a".into())]).proof(b"/w", 0).is_some());
    }
}
