//! Whether there is room for more workspaces: on the disk, and within the configured bound.
//!
//! A pre-flight, so that a disk is not filled to the brim by checkouts that could never be whole. Reads only; what cannot be
//! told (a file system without figures, a tree that is not there yet) refuses nothing.

use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::git::weight::{self, Weight};
use crate::git::worktree::{self, Entry, MAKING};
use crate::git::{GitError, Repo};
use crate::model::text::{bytes, count};
use crate::model::{Oid, Settings, TaskName};
use crate::store::{Layout, Space};

use super::plan::PlanError;

/// Why there is no room.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoRoom {
    /// The configured bound is reached.
    #[error("{} there, and `limits.worktrees` allows {most}", are(*there))]
    Bound {
        /// Workspaces that there are.
        there: usize,
        /// Workspaces that there may be.
        most: usize,
    },
    /// The disk would be too full.
    #[error(
        "{} in {}, where {} free and {} must stay so (`workspace.reserve`)",
        needs(*workspaces, &bytes(*needed)), place.display(), is(&bytes(*free)), bytes(*reserve)
    )]
    Bytes {
        /// The folder of the worktrees, or the nearest one that there is.
        place: PathBuf,
        /// How many workspaces were asked for.
        workspaces: usize,
        /// What they take, in bytes.
        needed: u64,
        /// What is free, in bytes.
        free: u64,
        /// What must stay free, in bytes.
        reserve: u64,
    },
    /// The disk has too few files left to give.
    #[error(
        "{} in {}, which has room for {free}",
        needs(*workspaces, &count(usize::try_from(*needed).unwrap_or(usize::MAX), "file")), place.display()
    )]
    Files {
        /// The folder of the worktrees, or the nearest one that there is.
        place: PathBuf,
        /// How many workspaces were asked for.
        workspaces: usize,
        /// Files and folders that they need.
        needed: u64,
        /// How many more the file system can have.
        free: u64,
    },
}

fn are(there: usize) -> String {
    let verb = if there == 1 { "is" } else { "are" };
    format!("{} {verb}", count(there, "workspace"))
}

fn needs(workspaces: usize, what: &str) -> String {
    let verb = if workspaces == 1 { "needs" } else { "need" };
    format!("{} {verb} {what}", count(workspaces, "workspace"))
}

fn is(what: &str) -> String {
    format!("{what} {}", if what == "1 B" { "is" } else { "are" })
}

/// Returns how many workspaces there are, whole or being made: git's entries right below the folder of worktrees.
pub fn standing(repo: &Repo, entries: &[Entry]) -> usize {
    let root = root(repo);
    entries.iter().filter(|entry| !entry.missing && is_workspace(entry, &root)).count()
}

/// Returns how many more workspaces may be made, once those of `promised` are there; `None`: as many as one likes.
pub fn left<'a>(
    repo: &Repo,
    settings: &Settings,
    promised: impl IntoIterator<Item = &'a TaskName>,
) -> Result<Option<usize>, GitError> {
    let most = settings.limits.worktrees as usize;
    if most == 0 {
        return Ok(None);
    }
    let (entries, root) = (worktree::list(repo)?, root(repo));
    let begun = |name: &TaskName| entries.iter().any(|entry| entry.path == root.join(name.as_str()));
    let more = promised.into_iter().filter(|name| !begun(name)).count();
    Ok(Some(most.saturating_sub(standing(repo, &entries) + more)))
}

/// Makes sure that one more workspace is within the bound. `worktrees`: at most so many are there.
pub(super) fn require_bound(repo: &Repo, settings: &Settings, worktrees: usize) -> Result<(), PlanError> {
    let most = settings.limits.worktrees as usize;
    if most == 0 || worktrees < most {
        return Ok(());
    }
    let there = standing(repo, &worktree::list(repo)?);
    if there < most { Ok(()) } else { Err(NoRoom::Bound { there, most }.into()) }
}

/// Makes sure that the disk has room for a workspace from each of `bases`, beside those that are being made already.
/// `worktrees`: at most so many are; which ones is looked for only where it matters.
pub fn require_disk(repo: &Repo, settings: &Settings, worktrees: usize, bases: &[Oid]) -> Result<(), NoRoom> {
    let remembered = Layout::below(repo.common_dir()).weights();
    let (mut known, mut needed): (Vec<(&Oid, Weight)>, _) = (Vec::new(), Weight::default());
    for base in bases {
        let found = known.iter().find(|(of, _)| *of == base).map(|(_, weight)| *weight);
        let weight = found.or_else(|| weight::of_commit(repo, base, &remembered).ok());
        let Some(weight) = weight else { continue };
        known.push((base, weight));
        needed = needed.and(weight);
    }
    let root = root(repo);
    let Some((place, Space { bytes: free, files })) = Space::around(&root) else { return Ok(()) };
    let place = place.to_owned();
    let reserve = settings.workspace.reserve;
    // Others are about to write theirs, mostly from the same base: what they take is not missing on the disk yet.
    let beside = |making: u64| known.first().map(|(_, weight)| weight.times(making)).unwrap_or_default();
    let most = needed.and(beside(worktrees as u64));
    if most.bytes.saturating_add(reserve) <= free && files.is_none_or(|files| most.files <= files) {
        return Ok(());
    }
    // What git cannot tell refuses nothing.
    let entries = worktree::list(repo).unwrap_or_default();
    let making = entries.iter().filter(|entry| is_workspace(entry, &root));
    let making = making.filter(|entry| entry.locked.as_deref() == Some(MAKING)).count() as u64;
    let all = needed.and(beside(making));
    let workspaces = bases.len();
    if all.bytes.saturating_add(reserve) > free && needed != Weight::default() {
        return Err(NoRoom::Bytes { place, workspaces, needed: all.bytes, free, reserve });
    }
    match files {
        Some(free) if all.files > free => Err(NoRoom::Files { place, workspaces, needed: all.files, free }),
        _ => Ok(()),
    }
}

fn root(repo: &Repo) -> PathBuf {
    let root = repo.worktrees_root();
    fs::canonicalize(&root).unwrap_or(root)
}

/// The landing worktree and spares of a pool have hidden names, or stand deeper.
fn is_workspace(entry: &Entry, root: &Path) -> bool {
    let hidden = entry.path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    entry.path.parent() == Some(root) && !hidden && !entry.is_main()
}
