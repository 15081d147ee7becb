//! Bringing a snapshot back into a worktree that others have worked in since.
//!
//! Invariant: what goes is in the snapshot of the present; a file that is in neither snapshot is never overwritten.

use std::collections::HashSet;
use std::path::Path;

use fs_err as fs;

use super::super::objects;
use super::super::repo::id;
use super::{Item, NOTES, Note, items, on_disk, read, restore, shown};
use crate::git::command::Git;
use crate::git::{Checkout, GitError, Repo};
use crate::model::Oid;

/// How many paths an error names.
const NAMED: usize = 20;

/// Two snapshots of one worktree: how it stands, and how it shall stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewinding {
    present: Oid,
    to: Oid,
}

/// Checks whether a worktree, put away as `present`, can be brought to the snapshot `to`; changes nothing.
/// [`GitError::Overlap`] names ignored files that stand where files of `to` belong.
pub fn plan(repo: &Repo, checkout: &Checkout, present: &Oid, to: &Oid) -> Result<Rewinding, GitError> {
    let kept: HashSet<Vec<u8>> = files(repo, present)?.into_iter().map(|item| item.path).collect();
    let mut in_the_way = Vec::new();
    for item in files(repo, to)? {
        if !kept.contains(&item.path) && stranger(checkout, &item.path, &kept) {
            in_the_way.push(shown(&item.path));
        }
    }
    in_the_way.truncate(NAMED);
    if !in_the_way.is_empty() {
        return Err(GitError::Overlap { paths: in_the_way });
    }
    Ok(Rewinding { present: present.clone(), to: to.clone() })
}

/// Brings files, index, `HEAD` and `branch`, short, to the planned snapshot. Ignored files stay, but those that the
/// snapshot has itself.
pub fn apply(repo: &Repo, checkout: &Checkout, branch: &str, plan: &Rewinding) -> Result<(), GitError> {
    let Rewinding { present, to } = plan;
    let head = objects::parents(repo, to)?.into_iter().next().ok_or_else(|| bad(to))?;
    forget_flags(repo, checkout, present)?;
    for item in items(repo, &format!("{present}^3"))? {
        restore::remove(checkout, &item.path)?;
    }
    Git::at(checkout, "checkout")
        .args(["-q", "-f", "--no-track", "-B", branch, head.as_str(), "--"])
        .run()?;
    // What git does not see as tracked: files only intended to be added, tracked ones that are ignored by now.
    let wanted: HashSet<Vec<u8>> = items(repo, head.as_str())?.into_iter().map(|item| item.path).collect();
    for item in items(repo, present.as_str())?.into_iter().filter(|item| !wanted.contains(&item.path)) {
        restore::remove(checkout, &item.path)?;
    }
    restore::restore(repo, checkout, to)
}

fn bad(snapshot: &Oid) -> GitError {
    GitError::unreadable("the snapshot", snapshot)
}

/// Returns every file that a snapshot holds.
fn files(repo: &Repo, snapshot: &Oid) -> Result<Vec<Item>, GitError> {
    let mut all = items(repo, snapshot.as_str())?;
    for parent in [3, 4] {
        all.extend(items(repo, &format!("{snapshot}^{parent}"))?);
    }
    Ok(all)
}

/// Tells whether something stands at a path, or where one of its folders belongs, that no snapshot has.
fn stranger(checkout: &Checkout, path: &[u8], kept: &HashSet<Vec<u8>>) -> bool {
    let folders = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at]);
    for folder in folders {
        match fs::symlink_metadata(on_disk(checkout, folder)) {
            Ok(there) if there.is_dir() => {}
            Ok(_) => return !kept.contains(folder),
            Err(_) => return false,
        }
    }
    match fs::symlink_metadata(on_disk(checkout, path)) {
        Ok(there) if there.is_dir() => stranger_below(checkout, path, kept),
        Ok(_) => true,
        Err(_) => false,
    }
}

fn stranger_below(checkout: &Checkout, folder: &[u8], kept: &HashSet<Vec<u8>>) -> bool {
    use std::os::unix::ffi::OsStrExt as _;
    let place = on_disk(checkout, folder);
    fs::read_dir(&place).into_iter().flatten().flatten().any(|entry| {
        let mut path = folder.to_owned();
        path.push(b'/');
        path.extend_from_slice(Path::new(&entry.file_name()).as_os_str().as_bytes());
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => stranger_below(checkout, &path, kept),
            _ => !kept.contains(&path),
        }
    })
}

/// Makes git look at files again that it was told not to look at.
fn forget_flags(repo: &Repo, checkout: &Checkout, present: &Oid) -> Result<(), GitError> {
    let parents = objects::parents(repo, present)?;
    let Some(state) = parents.get(4) else { return Ok(()) };
    let state = items(repo, state.as_str())?;
    let Some(notes) = state.iter().find(|item| item.path == NOTES.as_bytes()) else { return Ok(()) };
    let notes = read(&repo.bytes_of(id(&notes.oid)?)?);
    for (flag, wanted) in [("--no-skip-worktree", Note::Skip), ("--no-assume-unchanged", Note::Assume)] {
        let paths = restore::joined(notes.iter().filter(|(note, _)| *note == wanted).map(|(_, path)| path));
        if !paths.is_empty() {
            Git::at(checkout, "update-index").args([flag, "-z", "--stdin"]).stdin(paths).run()?;
        }
    }
    Ok(())
}
