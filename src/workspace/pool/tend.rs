//! Tending the spares: put in order, cleaned, brought to the target's tip, and let go where there are too many.
//!
//! ```text
//!  git lock: order, spares over the number go, the next one is marked as being prepared ─┐ again for each
//!  beside others: washed or brought forward ▶ proved clean ▶ marked as ready ◀───────────┘
//! ```
//!
//! Invariants: whoever tends holds the tend lock, and only it touches a spare that is being prepared; a spare that is being
//! prepared is never taken; it is marked as ready after everything else. One that cannot be prepared goes.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::{counts, folder};
use crate::failpoint;
use crate::git::spare::{self, Condition, Spare};
use crate::git::wash::{self, Leaving};
use crate::git::{GitError, LinkedWorktree, Repo};
use crate::model::Oid;
use crate::process::inside::{Look, inside};
use crate::store::Space;
use crate::store::lock::{DEADLINE, Lock, LockError};
use crate::workspace::trash::{self, SPARE, free_place, trash_folder};
use crate::workspace::{GitLock, Site};

/// Why tending stopped.
#[derive(Debug, thiserror::Error)]
pub enum TendError {
    /// git cannot list or move a spare.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The git lock.
    #[error("the repository is busy")]
    Lock(#[from] LockError),
    /// Somebody is at work in a spare, who would go on in the next workspace.
    #[error("a process works in the spare")]
    InUse,
    /// A folder.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What is out of order with a spare, or with something in the folder of spares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Its folder.
    pub path: PathBuf,
    /// What is the matter, for people.
    pub what: &'static str,
}

/// Tells whether there is anything to do for spares that should be at `tip`, or for the trash. Changes nothing.
pub fn is_wanted(site: &Site<'_>, tip: Option<&Oid>) -> Result<bool, GitError> {
    if !trash::expired(site).is_empty() {
        return Ok(true);
    }
    let pool = folder(site.repo);
    if fs::symlink_metadata(&pool).is_err() {
        return Ok(false);
    }
    let spares = spare::list(site.repo, &pool)?;
    let ready = |spare: &Spare| tip.is_some_and(|tip| spare.condition == Condition::Ready(tip.clone()));
    let settled = |spare: &Spare| matches!(spare.condition, Condition::Held(_)) || ready(spare);
    let counted = spares.iter().filter(|spare| counts(spare)).count();
    Ok(counted > site.settings.workspace.pool as usize
        || (counted > 0 && is_short(site, &pool))
        || !spares.iter().all(settled)
        || !orphans(&pool, &spares).is_empty()
        || !spare::lost(site.repo, &pool)?.is_empty())
}

/// Prepares every spare for the tip of the branch `target` and lets go what is too much. The caller holds the tend lock, and
/// no other.
pub fn tend(site: &Site<'_>, target: Option<&str>) -> Result<(), TendError> {
    let pool = folder(site.repo);
    if fs::symlink_metadata(&pool).is_err() {
        return Ok(());
    }
    // One that does not stay as it was made is left to the next time.
    let mut done = BTreeSet::new();
    while let Some(job) = next(site, &pool, target, &mut done)? {
        if prepare(site, &job).is_err() {
            let _git = Lock::take(&site.layout.lock("git"), DEADLINE, "tending spare workspaces")?;
            let condition = Condition::Preparing { rest: job.rest };
            discard(&Spare { worktree: job.tree, condition, missing: false })?;
        }
    }
    bound(site, &pool)
}

/// A spare that is being prepared.
struct Job {
    tree: LinkedWorktree,
    /// The commit that it is clean at, if it is.
    from: Option<Oid>,
    to: Oid,
    rest: Option<String>,
}

/// Puts the pool in order and marks the next spare that needs work.
fn next(
    site: &Site<'_>,
    pool: &Path,
    target: Option<&str>,
    done: &mut BTreeSet<(PathBuf, String)>,
) -> Result<Option<Job>, TendError> {
    let _git = Lock::take(&site.layout.lock("git"), DEADLINE, "tending spare workspaces")?;
    let repo = site.repo;
    let tip = match target {
        Some(target) => repo.branch_tip(target)?,
        None => None,
    };
    let mut spares = in_order(repo, pool)?;
    // The best first: those at the tip, then other ready ones.
    spares.sort_by_key(|spare| match &spare.condition {
        Condition::Ready(at) if Some(at) == tip.as_ref() => 0,
        Condition::Ready(_) => 1,
        _ => 2,
    });
    let most =
        if spare::unfit_repository(repo).is_some() { 0 } else { site.settings.workspace.pool as usize };
    for spare in spares.drain(most.min(spares.len())..) {
        discard(&spare)?;
    }
    let Some(to) = tip else { return Ok(None) };
    for spare in spares {
        let round = (spare.worktree.path().to_owned(), to.to_string());
        if done.contains(&round) {
            continue;
        }
        let untouched = spare::untouched(repo, &spare);
        let (from, rest) = match spare.condition {
            Condition::Ready(at) if untouched && at == to => continue,
            Condition::Ready(at) => {
                let near = untouched && spare::distance(repo, &at, &to)?.is_some();
                (near.then_some(at), None)
            }
            Condition::Preparing { rest } => (None, rest),
            _ => continue,
        };
        done.insert(round);
        spare::mark_preparing(&spare.worktree, rest.as_deref())?;
        failpoint::hit("pool.after_mark");
        return Ok(Some(Job { tree: spare.worktree, from, to, rest }));
    }
    Ok(None)
}

/// Returns the spares of the pool after those whose way was cut short are put in order, and the remains of others are gone.
fn in_order(repo: &Repo, pool: &Path) -> Result<Vec<Spare>, TendError> {
    let found = spare::list(repo, pool)?;
    for orphan in orphans(pool, &found) {
        // What git ignores may be in it, and in no trash ref.
        let id = orphan.file_name().unwrap_or_default().to_string_lossy();
        let into = trash_folder(pool.parent().unwrap_or(pool))?;
        fs::rename(&orphan, free_place(&into, &format!("spare-{id}")))?;
    }
    for lost in spare::lost(repo, pool)? {
        spare::forget(&lost)?;
    }
    let mut spares = Vec::new();
    for spare in found {
        let gone = fs::symlink_metadata(spare.worktree.path()).is_err();
        match spare.condition {
            Condition::Held(_) => {}
            _ if gone => spare::forget(&spare.worktree)?,
            Condition::Preparing { rest } if spare.missing => {
                let worktree = spare::settle(repo, &Spare { condition: Condition::Unmarked, ..spare })?;
                spare::mark_preparing(&worktree, rest.as_deref())?;
                spares.push(Spare { worktree, condition: Condition::Preparing { rest }, missing: false });
            }
            Condition::Unmarked | Condition::Leaving => {
                let worktree = spare::settle(repo, &spare)?;
                spares.push(Spare {
                    worktree,
                    condition: Condition::Preparing { rest: None },
                    missing: false,
                });
            }
            _ => spares.push(spare),
        }
    }
    Ok(spares)
}

/// Returns what stands in the folder of spares and is no spare's folder.
fn orphans(pool: &Path, spares: &[Spare]) -> Vec<PathBuf> {
    let entries = fs::read_dir(pool).into_iter().flatten().flatten();
    let spare = |path: &PathBuf| spares.iter().any(|spare| spare.worktree.path() == path);
    entries.map(|entry| entry.path()).filter(|path| !spare(path)).collect()
}

/// Makes a spare clean at the commit wanted, proves it, and says so.
fn prepare(site: &Site<'_>, job: &Job) -> Result<(), TendError> {
    let Job { tree, from, to, rest } = job;
    let brought = from.as_ref().is_some_and(|from| spare::advance(tree, from, to).is_ok());
    if !brought {
        let root = site.repo.worktrees_root();
        let trash = trash_folder(&fs::canonicalize(&root).unwrap_or(root))?;
        let id = tree.path().file_name().unwrap_or_default().to_string_lossy();
        let own = format!("{SPARE}{id}");
        let rest = trash.join(rest.as_deref().unwrap_or(&own));
        wash::wash(tree, to, Leaving { caches: &site.settings.workspace.caches, rest: &rest })?;
    }
    if inside(tree.path(), Look::Files).is_some() {
        return Err(TendError::InUse);
    }
    failpoint::hit("pool.before_ready");
    Ok(spare::mark_ready(site.repo, tree, to)?)
}

/// Returns how many spares there are that nobody else has locked.
pub fn spares(repo: &Repo) -> Result<usize, GitError> {
    Ok(spare::list(repo, &folder(repo))?.iter().filter(|spare| counts(spare)).count())
}

/// Whether the disk has less free than it should.
fn is_short(site: &Site<'_>, pool: &Path) -> bool {
    Space::at(pool).is_some_and(|free| free.bytes < site.settings.workspace.reserve)
}

/// Lets spares go as long as they take more than they may, or the disk has less free than it should.
fn bound(site: &Site<'_>, pool: &Path) -> Result<(), TendError> {
    let settings = &site.settings.workspace;
    let mut sizes = Vec::new();
    for spare in spare::list(site.repo, pool)?.into_iter().filter(counts) {
        sizes.push((trash::size(spare.worktree.path()), spare));
    }
    sizes.sort_by_key(|(size, _)| *size);
    let mut used: u64 = sizes.iter().map(|(size, _)| size).sum();
    while let Some((size, spare)) = sizes.pop() {
        let short = is_short(site, pool);
        if used <= settings.pool_disk && !short {
            return Ok(());
        }
        let _git = Lock::take(&site.layout.lock("git"), DEADLINE, "tending spare workspaces")?;
        // It may have been taken meanwhile.
        let there = spare::list(site.repo, pool)?;
        if let Some(spare) = there.iter().find(|there| there.worktree == spare.worktree) {
            if let Some(gone) = discard(spare)?
                && short
            {
                drop(trash::delete(&gone));
            }
            used -= size;
        }
    }
    Ok(())
}

/// Takes a spare away: its folder goes to the trash, where one that was not washed yet stays as long as any workspace.
/// Returns where it is, if it can be deleted at once. The caller holds the git lock.
fn discard(spare: &Spare) -> Result<Option<PathBuf>, TendError> {
    let path = spare.worktree.path();
    let root = path.parent().and_then(Path::parent).unwrap_or(path);
    let id = path.file_name().unwrap_or_default().to_string_lossy();
    let trash = trash_folder(root)?;
    let mut at_once = None;
    if fs::symlink_metadata(path).is_ok() {
        let stem = match &spare.condition {
            Condition::Ready(_) | Condition::Preparing { rest: None } => format!("{SPARE}{id}"),
            Condition::Preparing { rest: Some(rest) } => {
                // Made empty when the workspace was recycled.
                drop(fs::remove_dir(trash.join(rest)));
                rest.clone()
            }
            _ => format!("spare-{id}"),
        };
        let place = free_place(&trash, &stem);
        fs::rename(path, &place)?;
        at_once = Some(place).filter(|_| stem.starts_with(SPARE));
    }
    failpoint::hit("pool.while_discarding");
    spare::forget(&spare.worktree)?;
    Ok(at_once)
}

/// Returns what is out of order in the pool while nobody tends it. Changes nothing.
pub fn faults(repo: &Repo) -> Result<Vec<Fault>, GitError> {
    let pool = folder(repo);
    let spares = spare::list(repo, &pool)?;
    let mut found: Vec<Fault> = orphans(&pool, &spares)
        .into_iter()
        .map(|path| Fault { path, what: "neither git nor the pool knows this folder" })
        .collect();
    let lost = spare::lost(repo, &pool)?.into_iter();
    found.extend(lost.map(|lost| Fault { path: lost.path().to_owned(), what: "its folder is gone" }));
    for spare in spares {
        let what = match &spare.condition {
            Condition::Held(_) => continue,
            _ if fs::symlink_metadata(spare.worktree.path()).is_err() => "its folder is gone",
            Condition::Unmarked => "its way into the pool was cut short",
            Condition::Leaving => "its way out of the pool was cut short",
            Condition::Preparing { .. } => "its preparation was cut short",
            Condition::Ready(_) if !spare::untouched(repo, &spare) => {
                "it was changed after it was made ready"
            }
            Condition::Ready(_) => continue,
        };
        found.push(Fault { path: spare.worktree.path().to_owned(), what });
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// Lets everything go that [`faults`] names. The caller holds the tend lock.
pub fn discard_faulty(repo: &Repo, _git: GitLock<'_>) -> Result<(), TendError> {
    let faults = faults(repo)?;
    for spare in in_order(repo, &folder(repo))? {
        if faults.iter().any(|fault| fault.path == spare.worktree.path()) {
            discard(&spare)?;
        }
    }
    Ok(())
}
