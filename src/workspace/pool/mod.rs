//! The pool of spare worktrees: a removed workspace becomes a spare, a spare becomes the next workspace, both by renames.
//!
//! ```text
//!  removal ▶ recycle ▶ {root}/.pool/ID, being prepared ▶ tend (in the background) ▶ ready ▶ take ▶ workspace
//! ```
//!
//! Invariants: a workspace is recycled only after all it holds is below a trash ref, and what a spare is cleared of goes to
//! the folder of the trash that the whole workspace would have gone to. A folder that some process still works in becomes no
//! spare. Only a spare that is ready and untouched is taken. A
//! workspace is made and removed without the pool wherever the pool cannot be used: nothing here is an error for a user.

mod tend;

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::Site;
use super::hook::{self, Ended, Hooks};
use super::plan::Creation;
use super::shared::POOL;
use super::step::StepError;
use super::trash::{SPARE, free_place, trash_folder};
use crate::failpoint;
use crate::git::spare::{self, Condition, Spare};
use crate::git::wash::{self, Leaving};
use crate::git::worktree::{self, MAKING};
use crate::git::{LinkedWorktree, Repo};
use crate::model::Oid;
use crate::process::inside::{Look, inside};
use crate::store::Space;
use crate::store::layout::private_folder;

pub use tend::{Fault, TendError, discard_faulty, faults, is_wanted, spares, tend};

/// Returns the folder of the spares, links resolved, whether or not it is there.
pub fn folder(repo: &Repo) -> PathBuf {
    let root = repo.worktrees_root();
    fs::canonicalize(&root).unwrap_or(root).join(POOL)
}

/// Makes a worktree a spare, if the pool has room for it and it is fit; returns its folder then. All it holds is below a
/// trash ref, and `rest` names its folder of the trash, which exists afterwards. The caller holds the git lock.
pub(super) fn recycle(site: &Site, tree: &LinkedWorktree, trash: &Path, rest: &str) -> Option<PathBuf> {
    let (repo, settings) = (site.repo, &site.settings.workspace);
    if settings.pool == 0 || settings.pool_disk == 0 {
        return None;
    }
    let pool = folder(repo);
    private_folder(&pool).ok()?;
    let fits = Space::at(&pool).is_some_and(|free| free.bytes >= settings.reserve);
    let counted = spare::list(repo, &pool).ok()?.iter().filter(|spare| counts(spare)).count();
    if !fits || counted >= settings.pool as usize || spare::unfit(repo, tree, &pool).is_some() {
        return None;
    }
    // It would go on working in the folder, which is the next workspace by then.
    if inside(tree.path(), Look::Directories).is_some() {
        return None;
    }
    let place = free_place(&pool, &id());
    // By this a removal that is continued knows that the folder was moved away.
    let rest_folder = trash.join(rest);
    private_folder(&rest_folder).ok()?;
    if spare::retire(repo, tree, &place, rest).is_ok() {
        return Some(place);
    }
    // Back to where the usual way finds it.
    drop(fs::remove_dir(rest_folder));
    if fs::symlink_metadata(&place).is_ok() {
        drop(fs::rename(&place, tree.path()));
    }
    for half in spare::list(repo, &pool).unwrap_or_default() {
        if half.worktree.path() == place {
            drop(spare::forget(&half.worktree));
        }
    }
    None
}

/// A spare that became a workspace's worktree.
pub(super) struct Taken {
    /// The worktree, on its branch; locked until it is complete.
    pub(super) tree: LinkedWorktree,
    /// The commit whose files stand in it.
    pub(super) from: Oid,
}

/// Makes the nearest ready spare the worktree of a new workspace, if there is one. The caller holds the git lock.
pub(super) fn take(site: &Site, creation: &Creation) -> Option<Taken> {
    let repo = site.repo;
    let pool = folder(repo);
    if site.settings.workspace.pool == 0 || fs::symlink_metadata(&pool).is_err() {
        return None;
    }
    let (spare, from) = nearest(repo, &pool, &creation.base)?;
    if let Ok(tree) = spare::take(repo, &spare, &creation.path, &creation.branch, &creation.base) {
        return Some(Taken { tree, from });
    }
    give_up(site, &spare, creation);
    None
}

fn nearest(repo: &Repo, pool: &Path, base: &Oid) -> Option<(Spare, Oid)> {
    if spare::unfit_repository(repo).is_some() {
        return None;
    }
    let ready = spare::list(repo, pool).ok()?.into_iter().filter_map(|spare| match &spare.condition {
        Condition::Ready(at) if !spare.missing && spare::untouched(repo, &spare) => {
            let at = at.clone();
            Some((spare, at))
        }
        _ => None,
    });
    let mut best: Option<(usize, (Spare, Oid))> = None;
    for (spare, at) in ready {
        let Ok(Some(far)) = spare::distance(repo, &at, base) else { continue };
        if best.as_ref().is_none_or(|(nearest, _)| far < *nearest) {
            best = Some((far, (spare, at)));
        }
        if far == 0 {
            break;
        }
    }
    best.map(|(_, found)| found)
}

/// Clears what a taking that failed has left: the way is free for a worktree that is made from nothing.
fn give_up(site: &Site, spare: &Spare, creation: &Creation) {
    let repo = site.repo;
    let root = creation.root();
    for folder in [spare.worktree.path(), &creation.path] {
        if fs::symlink_metadata(folder).is_ok()
            && let Ok(trash) = trash_folder(root)
        {
            drop(fs::rename(folder, free_place(&trash, &format!("{SPARE}{}", id()))));
        }
    }
    for path in [&creation.path, spare.worktree.path()] {
        if let Ok(Some(entry)) = worktree::at(repo, path)
            && let Some(name) = entry.entry
            && let Ok(half) = LinkedWorktree::open(repo, &name, &entry.path)
        {
            drop(spare::forget(&half));
        }
    }
    drop(super::apply::delete_branch(repo, &creation.branch, &creation.base));
}

/// Gives a taken spare the files of its branch, runs the hook and unlocks it; needs no lock. Returns what the hook came to.
pub(super) fn complete(
    site: &Site,
    taken: &Taken,
    creation: &Creation,
    hooks: &Hooks,
) -> Result<Option<Ended>, StepError> {
    let Taken { tree, from } = taken;
    if spare::bring(tree, from, &creation.base).is_err() {
        // Something stood in the way of git's short way.
        let rest = free_place(&trash_folder(creation.root())?, &format!("{SPARE}{}", id()));
        let caches = &site.settings.workspace.caches;
        wash::files(tree, &creation.base, Leaving { caches, rest: &rest })?;
        wash::verify(tree.checkout())?;
    }
    failpoint::hit("take.after_files");
    let ended = hook::run(site, &creation.id, tree, &creation.base, hooks);
    worktree::unlock(tree, MAKING)?;
    Ok(ended)
}

/// Whether a spare takes a place of the pool: one that somebody else locked is not ours any more.
fn counts(spare: &Spare) -> bool {
    !spare.missing && !matches!(spare.condition, Condition::Held(_))
}

/// Returns a name that no other spare has.
fn id() -> String {
    let mut id = uuid::Uuid::new_v4().simple().to_string();
    id.truncate(8);
    id
}
