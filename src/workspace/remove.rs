//! Taking a workspace away without losing anything.
//!
//! ```text
//!  snapshot ▶ refs/wt/trash/NAME/N ▶ folder to {root}/.trash/NAME-N ▶ entry ▶ branch and base ref
//!                                  └ or both to the pool, {root}/.trash/NAME-N for what it is cleared of
//! ```
//!
//! Invariants: nothing goes before what it holds is below a trash ref; the main checkout cannot be named, by type. A kill
//! between two steps is continued by planning and applying again: what is gone already is skipped, and the snapshot that
//! was taken stays the one that counts.
//!
//! `refs/wt/trash/NAME/N` is the snapshot. `refs/wt/trash/NAME/N.branch` stands beside it only where the branch held commits
//! that the worktree's `HEAD` did not; both at the same commit mean that there was no worktree any more, only a branch.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::apply::{base_ref, gone};
use super::edited::edited;
use super::ports::{self, PortsError};
use super::shared::{self, TRASH};
use super::trash::{free_place, trash_folder};
use super::{GitLock, Site, pool};
use crate::failpoint;
use crate::git::refs::{self, Expected, RefEdit};
use crate::git::snapshot::{self, Look};
use crate::git::worktree::Entry;
use crate::git::{GitError, LinkedWorktree, Repo, submodule, worktree};
use crate::model::{Oid, TaskId, TaskName, Workspace};

/// How often a trash ref is tried that somebody else just made.
const TRIES: u32 = 100;

/// Why a workspace was not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// Somebody locked it with `git worktree lock`.
    #[error("the worktree {} is locked{}", path.display(), if reason.is_empty() { String::new() } else { format!(": {reason}") })]
    Locked {
        /// Its folder.
        path: PathBuf,
        /// What the lock says.
        reason: String,
    },
    /// Its folder stands there, but git does not know it any more, so that its state cannot be put away.
    #[error("git does not know the worktree {} any more", path.display())]
    Orphan {
        /// Its folder.
        path: PathBuf,
    },
    /// git failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// Its ports cannot be let go; everything else of it is gone.
    #[error(transparent)]
    Ports(#[from] PortsError),
    /// A folder cannot be moved.
    #[error("the worktree cannot be moved to the trash")]
    Io(#[from] io::Error),
}

/// A workspace that is to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    id: TaskId,
    path: PathBuf,
    branch: String,
    copied: Vec<String>,
    worktree: Option<LinkedWorktree>,
}

impl Removal {
    /// Returns the worktree, if git still has it.
    pub fn worktree(&self) -> Option<&LinkedWorktree> {
        self.worktree.as_ref()
    }
}

/// What became of a removed workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// The ref that holds what it was; `None`: there was nothing left of it.
    pub trash: Option<String>,
    /// Where its folder is now, in the trash or in the pool.
    pub folder: Option<PathBuf>,
    /// Whether its branch stays: it is in use in another worktree, or it moved meanwhile.
    pub branch: BranchAfter,
}

/// What became of a branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BranchAfter {
    /// It is gone.
    Deleted,
    /// It is in use elsewhere, or it moved meanwhile.
    Kept,
}

/// Returns what a removal will take away. Changes nothing.
pub fn plan_removal(repo: &Repo, id: &TaskId, workspace: &Workspace) -> Result<Removal, RemoveError> {
    let path = PathBuf::from(&workspace.path);
    let worktree = known(repo, &path)?;
    let (branch, copied) = (workspace.branch.clone(), workspace.copied.clone());
    Ok(Removal { id: id.clone(), path, branch, copied, worktree })
}

/// Returns the worktree at `path`; a recorded name of an entry may belong to somebody else's worktree by now.
fn known(repo: &Repo, path: &Path) -> Result<Option<LinkedWorktree>, RemoveError> {
    match worktree::at(repo, path)? {
        Some(Entry { locked: Some(reason), path, .. }) => Err(RemoveError::Locked { path, reason }),
        Some(entry) => {
            Ok(Some(LinkedWorktree::open(repo, entry.entry.as_deref().unwrap_or_default(), path)?))
        }
        None if fs::symlink_metadata(path).is_ok() => Err(RemoveError::Orphan { path: path.to_owned() }),
        None => Ok(None),
    }
}

/// Removes a workspace as planned. Nothing may work in it any more.
pub fn apply_removal(site: &Site, lock: GitLock, removal: &Removal) -> Result<Removed, RemoveError> {
    apply_removal_as_seen(site, lock, removal, None)
}

/// Does what [`apply_removal`] does; what is put away is what `look` saw, which was taken under the same locks a moment ago.
pub fn apply_removal_as_seen(
    site: &Site,
    _lock: GitLock,
    removal: &Removal,
    look: Option<&Look>,
) -> Result<Removed, RemoveError> {
    let repo = site.repo;
    let name = &removal.id.name;
    // Again, for time has passed since the plan.
    let removal = &Removal { worktree: known(repo, &removal.path)?, ..removal.clone() };
    let tip = repo.branch_tip(&removal.branch)?;
    let kept = put_away(repo, removal, tip.as_ref(), look)?;
    failpoint::hit("remove.after_trash");
    let root = removal.path.parent().unwrap_or(&removal.path);
    let mut folder = None;
    if fs::symlink_metadata(&removal.path).is_ok() {
        let number = kept.map(|n| format!("-{n}")).unwrap_or_default();
        let (trash, stem) = (trash_folder(root)?, format!("{name}{number}"));
        let recycled = match (&removal.worktree, kept) {
            (Some(tree), Some(_)) => pool::recycle(site, tree, &trash, &stem),
            _ => None,
        };
        let place = if let Some(place) = recycled {
            place
        } else {
            let place = free_place(&trash, &stem);
            fs::rename(&removal.path, &place)?;
            place
        };
        folder = Some(place);
    }
    failpoint::hit("remove.after_rename");
    if let Some(worktree) = &removal.worktree
        && fs::symlink_metadata(worktree.checkout().git_dir()).is_ok()
    {
        worktree::remove_entry(worktree)?;
    }
    failpoint::hit("remove.after_entry");
    let branch = forget(repo, name, &removal.branch, tip.as_ref())?;
    failpoint::hit("remove.after_branch");
    gone(fs::remove_file(site.layout.task(&removal.id).making()))?;
    // A workspace that comes back is a new one to its set-up commands: what they made was ignored, and is gone.
    gone(fs::remove_file(site.layout.task(&removal.id).setup_done()))?;
    ports::release(site, &removal.id)?;
    Ok(Removed { trash: kept.map(|n| trash_ref(name, n)), folder, branch })
}

/// Returns the name of a trash ref.
pub fn trash_ref(name: &TaskName, n: u32) -> String {
    format!("refs/wt/trash/{name}/{n}")
}

/// Returns the name of the ref that keeps a branch beside a trash ref.
pub(super) fn branch_ref(trash: &str) -> String {
    format!("{trash}.branch")
}

/// Puts a branch without worktree below the trash ref of that name, from which it is restored like any other.
pub fn put_away_branch(repo: &Repo, trash: &str, tip: &Oid) -> Result<(), GitError> {
    let beside = RefEdit { name: branch_ref(trash), new: Some(tip.clone()), old: Expected::Any };
    refs::apply(repo, &[RefEdit::create(trash, tip.clone()), beside])
}

/// Returns the name that the next trash ref of a task gets.
pub fn next_trash(repo: &Repo, name: &TaskName) -> Result<String, GitError> {
    Ok(trash_ref(name, trash_of(repo, name)?.last().map_or(1, |(n, _)| n + 1)))
}

/// Returns the numbers of a name's trash refs with their snapshots, in order.
pub fn trash_of(repo: &Repo, name: &TaskName) -> Result<Vec<(u32, Oid)>, GitError> {
    let prefix = format!("refs/wt/trash/{name}/");
    let refs = refs::list(repo, &prefix)?;
    let mut found: Vec<(u32, Oid)> = refs
        .into_iter()
        .filter_map(|(full, at)| Some((full.strip_prefix(&prefix)?.parse().ok()?, at)))
        .collect();
    found.sort_unstable_by_key(|(n, _)| *n);
    Ok(found)
}

/// Puts all that the workspace holds below a trash ref and returns its number; `None` if it holds nothing.
fn put_away(
    repo: &Repo,
    removal: &Removal,
    tip: Option<&Oid>,
    look: Option<&Look>,
) -> Result<Option<u32>, RemoveError> {
    let name = &removal.id.name;
    let stands = fs::symlink_metadata(&removal.path).is_ok_and(|found| found.is_dir());
    if let Some(tree) = &removal.worktree {
        submodule::keep(repo, tree.checkout(), &removal.id.to_string())?;
        failpoint::hit("remove.after_submodules");
    }
    let taken = match &removal.worktree {
        Some(tree) if stands => {
            let mut edited = edited(repo, &removal.path, &removal.copied);
            edited.extend(shared::own(&removal.path));
            let message = format!("wt: workspace of {}", removal.id);
            Some(match look {
                Some(look) => snapshot::take_as_seen(repo, tree.checkout(), look, &edited, &message)?,
                None => snapshot::take(repo, tree.checkout(), &edited, &message)?,
            })
        }
        _ => None,
    };
    let Some(kept) = taken.as_ref().or(tip) else {
        return Ok(trash_of(repo, name)?.pop().map(|(n, _)| n).filter(|n| moved_there(removal, *n)));
    };
    if taken.is_none()
        && let Some((n, snapshot)) = trash_of(repo, name)?.pop()
        && moved_there(removal, n)
        && holds(repo, &trash_ref(name, n), &snapshot, kept)?
    {
        // Killed after the folder was moved.
        return Ok(Some(n));
    }
    let mut n = trash_of(repo, name)?.last().map_or(1, |(n, _)| n + 1);
    for _ in 0..TRIES {
        let trash = trash_ref(name, n);
        let mut edits = vec![RefEdit::create(&trash, kept.clone())];
        if let Some(tip) = tip
            && (taken.is_none() || !repo.is_ancestor(tip, kept)?)
        {
            edits.push(RefEdit::create(branch_ref(&trash), tip.clone()));
        }
        match refs::apply(repo, &edits) {
            Err(GitError::Moved { .. }) => n += 1,
            done => {
                done?;
                return Ok(Some(n));
            }
        }
    }
    Err(GitError::Moved { name: trash_ref(name, n) }.into())
}

fn moved_there(removal: &Removal, n: u32) -> bool {
    let root = removal.path.parent().unwrap_or(&removal.path);
    root.join(TRASH).join(format!("{}-{n}", removal.id.name)).is_dir()
}

/// Tells whether the trash ref holds the commit `tip`.
fn holds(repo: &Repo, trash: &str, snapshot: &Oid, tip: &Oid) -> Result<bool, GitError> {
    Ok(repo.ref_tip(&branch_ref(trash))?.as_ref() == Some(tip) || repo.is_ancestor(tip, snapshot)?)
}

/// Deletes the branch, if it is still where it was put away from and nobody else uses it, and the base ref.
fn forget(repo: &Repo, name: &TaskName, branch: &str, tip: Option<&Oid>) -> Result<BranchAfter, GitError> {
    let base = base_ref(name);
    let base = repo.ref_tip(&base)?.map(|_| RefEdit { name: base, new: None, old: Expected::Any });
    let alone = |after| refs::apply(repo, base.as_slice()).map(|()| after);
    let Some(tip) = tip else { return alone(BranchAfter::Deleted) };
    if !refs::holders(repo, branch)?.is_empty() {
        return alone(BranchAfter::Kept);
    }
    // Both at once: each transaction waits for the disk.
    let mut edits = vec![RefEdit::delete(format!("refs/heads/{branch}"), tip.clone())];
    edits.extend(base.clone());
    match refs::apply(repo, &edits) {
        Ok(()) => Ok(BranchAfter::Deleted),
        Err(GitError::Moved { .. }) => alone(BranchAfter::Kept),
        Err(error) => Err(error),
    }
}
