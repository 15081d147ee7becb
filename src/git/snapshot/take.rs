//! Taking a snapshot: reads the worktree, writes objects.
//!
//! A usual worktree costs one `git status` and no other process: the tree of its index stands in the index itself, and
//! what differs from that is written in this process. Where the index holds anything unusual, or does not know its tree,
//! git writes the trees.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path};

use fs_err as fs;

use super::super::objects::{blob, blob_of_file, has, own_commit};
use super::{
    EXECUTABLE, GITLINK, Item, LINK, Look, NOTES, Note, REGULAR, ScratchIndex, changed_tree, on_disk, written,
};
use crate::git::{Checkout, GitError, Repo};
use crate::model::Oid;

/// Files larger than this, in bytes, are never held in memory: an agent may leave gigabytes behind.
const LARGE: u64 = 8 << 20;

/// Writes the state of a worktree as one commit, which no ref holds yet: `HEAD`, index, tracked edits, untracked files, and
/// of the ignored files those below the paths of `ignored`. [`GitError::Nested`] names a repository inside it.
pub fn take(repo: &Repo, checkout: &Checkout, ignored: &[String], message: &str) -> Result<Oid, GitError> {
    take_as_seen(repo, checkout, &Look::at(checkout)?, ignored, message)
}

/// Does what [`take`] does, from a look that was just taken: what changed since is not in it.
pub fn take_as_seen(
    repo: &Repo,
    checkout: &Checkout,
    look: &Look,
    ignored: &[String],
    message: &str,
) -> Result<Oid, GitError> {
    look.require_no_repository()?;
    let scratch = tempfile::tempdir()?;
    let (mut edits, mut gone) = (Vec::new(), Vec::new());
    for path in look.edited.iter().chain(&look.conflicted) {
        if let Some(head) = look.index.submodules.get(path) {
            edits.push(Item { mode: GITLINK.to_owned(), oid: head.clone(), path: path.clone() });
            continue;
        }
        match capture(repo, checkout, path)? {
            Some((item, _)) => edits.push(item),
            None => gone.push(path.clone()),
        }
    }
    let (index_tree, files_tree) = match &look.index.tree {
        Some(tree) if whole(repo, look, tree)? => {
            (tree.clone(), changed_tree(repo, Some(tree), &gone, &edits)?)
        }
        _ => by_git(checkout, look, scratch.path(), &gone, &edits)?,
    };

    let mut notes = look.index.notes.clone();
    let untracked_tree = tree_of_files(repo, checkout, &look.untracked, &mut notes)?;
    let mut extra = BTreeSet::new();
    for path in ignored {
        files_below(checkout, Path::new(path), &mut extra)?;
    }
    extra.retain(|path| !look.untracked.contains(path) && !look.index.tracks(path));
    let extra_tree = tree_of_files(repo, checkout, &extra, &mut notes)?;

    let head = match look.head() {
        Some(head) => head.clone(),
        None => own_commit(repo, &changed_tree(repo, None, &[], &[])?, &[], "wt: unborn")?,
    };
    let mut parents = vec![
        head.clone(),
        own_commit(repo, &index_tree, std::slice::from_ref(&head), "wt: index")?,
        own_commit(repo, &untracked_tree, &[], "wt: untracked files")?,
        own_commit(repo, &extra_tree, &[], "wt: ignored files")?,
    ];
    if !(look.index.stages.is_empty() && notes.is_empty()) {
        let mut items = look.index.stages.clone();
        let oid = blob(repo, &written(&notes))?;
        items.push(Item { mode: REGULAR.to_owned(), oid, path: NOTES.into() });
        let state = changed_tree(repo, None, &[], &items)?;
        parents.push(own_commit(repo, &state, &[], "wt: state of the index")?);
    }
    own_commit(repo, &files_tree, &parents, message)
}

/// Tells whether all of the tree that the index names is there, which git makes sure of too before it believes it.
fn whole(repo: &Repo, look: &Look, tree: &Oid) -> Result<bool, GitError> {
    let of_head = look.head().map(|head| repo.tree_of(head)).transpose()?;
    Ok(of_head.as_ref() == Some(tree) || look.index.trees().all(|tree| has(repo, &tree)))
}

/// Has git write the trees of index and files, whatever is in the index.
fn by_git(
    checkout: &Checkout,
    look: &Look,
    scratch: &Path,
    gone: &[Vec<u8>],
    edits: &[Item],
) -> Result<(Oid, Oid), GitError> {
    let index = ScratchIndex::new(checkout, scratch, "index");
    let own = checkout.git_dir().join("index");
    if own.exists() {
        fs::copy(own, &index.file)?;
    }
    index.change(&look.conflicted.iter().cloned().collect::<Vec<_>>(), &[])?;
    let index_tree = index.tree()?;
    index.change(gone, edits)?;
    Ok((index_tree, index.tree()?))
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
    paths: &BTreeSet<Vec<u8>>,
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
    changed_tree(repo, None, &[], &items)
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
