//! Taking a snapshot: reads the worktree, writes objects.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path};

use fs_err as fs;
use gix::index::entry::{Flags, Mode, Stage};

use super::super::objects::{blob, blob_of_file, own_commit};
use super::super::repo::oid;
use super::super::status::NOT_INSIDE;
use super::super::submodule;
use super::{EXECUTABLE, GITLINK, Item, LINK, NOTES, Note, REGULAR, ScratchIndex, on_disk, shown, written};
use crate::git::command::Git;
use crate::git::{Checkout, GitError, Repo};
use crate::model::Oid;

/// Files larger than this, in bytes, are never held in memory: an agent may leave gigabytes behind.
const LARGE: u64 = 8 << 20;

/// Writes the state of a worktree as one commit, which no ref holds yet: `HEAD`, index, tracked edits, untracked files, and
/// of the ignored files those below the paths of `ignored`. [`GitError::Nested`] names a repository inside it.
pub fn take(repo: &Repo, checkout: &Checkout, ignored: &[String], message: &str) -> Result<Oid, GitError> {
    let scratch = tempfile::tempdir()?;
    let mut worktree = Worktree::read(checkout)?;
    worktree.read_index()?;

    let index = ScratchIndex::new(checkout, scratch.path(), "index");
    let own = checkout.git_dir().join("index");
    if own.exists() {
        fs::copy(own, &index.file)?;
    }
    index.change(&worktree.unmerged(), &[])?;
    let index_tree = index.tree()?;

    let (mut edits, mut gone) = (Vec::new(), Vec::new());
    for path in worktree.edited.iter().chain(&worktree.conflicted) {
        if let Some(head) = worktree.submodules.get(path) {
            edits.push(Item { mode: GITLINK.to_owned(), oid: head.clone(), path: path.clone() });
            continue;
        }
        match capture(repo, checkout, path)? {
            Some((item, _)) => edits.push(item),
            None => gone.push(path.clone()),
        }
    }
    index.change(&gone, &edits)?;
    let files_tree = index.tree()?;

    let mut notes = std::mem::take(&mut worktree.notes);
    let untracked: Vec<Vec<u8>> = worktree.untracked.iter().cloned().collect();
    let untracked_tree = tree_of_files(repo, checkout, scratch.path(), "untracked", &untracked, &mut notes)?;
    let mut extra = BTreeSet::new();
    for path in ignored {
        files_below(checkout, Path::new(path), &mut extra)?;
    }
    extra.retain(|path| !worktree.untracked.contains(path) && !worktree.tracked.contains(path));
    let extra: Vec<Vec<u8>> = extra.into_iter().collect();
    let extra_tree = tree_of_files(repo, checkout, scratch.path(), "extra", &extra, &mut notes)?;

    let head = match checkout.head()? {
        Some(head) => head,
        None => {
            own_commit(repo, &ScratchIndex::new(checkout, scratch.path(), "none").tree()?, &[], "wt: unborn")?
        }
    };
    let mut parents = vec![
        head.clone(),
        own_commit(repo, &index_tree, std::slice::from_ref(&head), "wt: index")?,
        own_commit(repo, &untracked_tree, &[], "wt: untracked files")?,
        own_commit(repo, &extra_tree, &[], "wt: ignored files")?,
    ];
    if !(worktree.stages.is_empty() && notes.is_empty()) {
        let state = ScratchIndex::new(checkout, scratch.path(), "state");
        let mut items = worktree.stages.clone();
        let oid = blob(repo, &written(&notes))?;
        items.push(Item { mode: REGULAR.to_owned(), oid, path: NOTES.into() });
        state.change(&[], &items)?;
        parents.push(own_commit(repo, &state.tree()?, &[], "wt: state of the index")?);
    }
    own_commit(repo, &files_tree, &parents, message)
}

/// What git says of a worktree, in bytes.
struct Worktree<'a> {
    checkout: &'a Checkout,
    /// Tracked, and on disk other than in the index.
    edited: BTreeSet<Vec<u8>>,
    conflicted: BTreeSet<Vec<u8>>,
    untracked: BTreeSet<Vec<u8>>,
    tracked: BTreeSet<Vec<u8>>,
    /// Submodules with files, and where they are.
    submodules: BTreeMap<Vec<u8>, Oid>,
    /// Entries of conflicts, their paths below `1`, `2`, `3`.
    stages: Vec<Item>,
    notes: Vec<(Note, Vec<u8>)>,
}

impl<'a> Worktree<'a> {
    fn read(checkout: &'a Checkout) -> Result<Self, GitError> {
        let mut found = Self {
            checkout,
            edited: BTreeSet::new(),
            conflicted: BTreeSet::new(),
            untracked: BTreeSet::new(),
            tracked: BTreeSet::new(),
            submodules: BTreeMap::new(),
            stages: Vec::new(),
            notes: Vec::new(),
        };
        // The worktree's own index, not a copy of it: whether an entry is racy is told by the age of the index file.
        let call = Git::at(checkout, "status").polling();
        let call = call.args(["--porcelain=v2", "-z", "--untracked-files=all", "--no-renames", NOT_INSIDE]);
        for line in call.output()?.split(|b| *b == 0).filter(|line| line.len() > 2) {
            let field = |n: usize| line.splitn(n + 1, |b| *b == b' ').nth(n).unwrap_or_default().to_owned();
            match line[0] {
                // 1 XY sub mH mI mW hH hI path
                b'1' if line.get(3) != Some(&b'.') => drop(found.edited.insert(field(8))),
                // u XY sub m1 m2 m3 mW h1 h2 h3 path
                b'u' => drop(found.conflicted.insert(field(10))),
                b'?' if line.ends_with(b"/") => {
                    return Err(GitError::Nested { path: shown(line[2..].trim_ascii_end()) });
                }
                b'?' => drop(found.untracked.insert(line[2..].to_owned())),
                _ => {}
            }
        }
        Ok(found)
    }

    /// Adds what only the index knows: stages of conflicts, flags, submodules.
    fn read_index(&mut self) -> Result<(), GitError> {
        let path = self.checkout.git_dir().join("index");
        if !path.exists() {
            return Ok(());
        }
        let read =
            gix::index::File::at(&path, gix::hash::Kind::Sha1, true, gix::index::decode::Options::default());
        let index = read.map_err(|e| GitError::unreadable(path.display().to_string(), e))?;
        for entry in index.entries() {
            let path = entry.path(&index).to_vec();
            if entry.mode == Mode::COMMIT && on_disk(self.checkout, &path).join(".git").exists() {
                // Its commits are kept by whoever takes the worktree away.
                let Some(head) = submodule::head(self.checkout, &path) else {
                    return Err(GitError::Nested { path: shown(&path) });
                };
                self.submodules.insert(path.clone(), head);
            }
            let mode = format!("{:06o}", entry.mode.bits());
            if entry.stage() != Stage::Unconflicted {
                let mut below = format!("{}/", entry.stage_raw()).into_bytes();
                below.extend_from_slice(&path);
                self.stages.push(Item { mode, oid: oid(entry.id), path: below });
                continue;
            }
            for (flag, note) in [
                (Flags::INTENT_TO_ADD, Note::Intent(mode)),
                (Flags::SKIP_WORKTREE, Note::Skip),
                (Flags::ASSUME_VALID, Note::Assume),
            ] {
                if entry.flags.contains(flag) && entry.mode != Mode::DIR {
                    // git does not look at the files of the latter two: they may be anything.
                    if note == Note::Skip || note == Note::Assume {
                        self.edited.insert(path.clone());
                    }
                    self.notes.push((note, path.clone()));
                }
            }
            self.tracked.insert(path);
        }
        Ok(())
    }

    fn unmerged(&self) -> Vec<Vec<u8>> {
        self.conflicted.iter().cloned().collect()
    }
}

/// Writes the content of a file or symlink as it is on disk; `None` where there is neither. Also returns its permissions.
fn capture(repo: &Repo, checkout: &Checkout, path: &[u8]) -> Result<Option<(Item, u32)>, GitError> {
    let place = on_disk(checkout, path);
    let Ok(there) = fs::symlink_metadata(&place) else { return Ok(None) };
    let bits = there.permissions().mode() & 0o7777;
    let (mode, oid) = if there.is_symlink() {
        (LINK, blob(repo, fs::read_link(&place)?.as_os_str().as_bytes())?)
    } else if there.is_file() {
        let large = there.len() > LARGE;
        let oid = if large { blob_of_file(checkout, &place)? } else { blob(repo, &fs::read(&place)?)? };
        (if bits & 0o100 == 0 { REGULAR } else { EXECUTABLE }, oid)
    } else {
        return Ok(None);
    };
    Ok(Some((Item { mode: mode.to_owned(), oid, path: path.to_owned() }, bits)))
}

/// Writes files as a tree, with notes of permissions that the tree cannot say.
fn tree_of_files(
    repo: &Repo,
    checkout: &Checkout,
    scratch: &Path,
    name: &str,
    paths: &[Vec<u8>],
    notes: &mut Vec<(Note, Vec<u8>)>,
) -> Result<Oid, GitError> {
    let mut items = Vec::new();
    for path in paths {
        let Some((item, bits)) = capture(repo, checkout, path)? else { continue };
        if item.mode != LINK && ![0o644, 0o755].contains(&bits) {
            notes.push((Note::Permissions(bits), path.clone()));
        }
        items.push(item);
    }
    let index = ScratchIndex::new(checkout, scratch, name);
    index.change(&[], &items)?;
    index.tree()
}

/// Collects the files at or below a path of the worktree. A path that leaves it, or goes through a symlink, has none.
fn files_below(checkout: &Checkout, path: &Path, found: &mut BTreeSet<Vec<u8>>) -> Result<(), GitError> {
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    let above = path.ancestors().skip(1).filter(|part| !part.as_os_str().is_empty());
    let real = |part: &Path| fs::symlink_metadata(checkout.path().join(part)).is_ok_and(|m| m.is_dir());
    if path.as_os_str().is_empty() || !plain || !above.into_iter().all(real) {
        return Ok(());
    }
    let place = checkout.path().join(path);
    match fs::symlink_metadata(&place) {
        Ok(there) if there.is_dir() => {
            for entry in fs::read_dir(&place)? {
                let name = entry?.file_name();
                if name == ".git" {
                    return Err(GitError::Nested { path: path.to_string_lossy().into_owned() });
                }
                files_below(checkout, &path.join(name), found)?;
            }
        }
        Ok(_) => drop(found.insert(path.as_os_str().as_bytes().to_owned())),
        Err(_) => {}
    }
    Ok(())
}
