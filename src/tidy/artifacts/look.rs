//! What is true of the build output of each workspace right now: which folders there are, what they free, what keeps them.
//!
//! Invariants: reads only; no symbolic link is followed. A folder counts only if the settings name it, git ignores it and
//! nothing in it is tracked; one inside another repository is not ours to judge and is not even looked at.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use jiff::Timestamp;

use super::plan::{Facts, Folder, Owner};
use crate::git::ignored::{Ignored, Patterns};
use crate::git::worktree::{self, Entry, MAKING};
use crate::git::{Checkout, GitError, LinkedWorktree};
use crate::model::text::one_line;
use crate::model::{Roster, TaskId};
use crate::store::measure::{Sort, Tally, Unit, measure};
use crate::tidy::gc::facts::{misplaced, quiet};
use crate::workspace::Site;
use crate::workspace::shared::SHARED;

/// Where the pool keeps its spares, below the folder of worktrees.
pub(super) const POOL: &str = ".pool";
/// How deep ignored folders are searched.
const DEPTH: usize = 64;

/// Where build output is looked for.
pub(super) struct Place {
    pub owner: Owner,
    pub path: PathBuf,
    /// The name of its entry in git's books.
    pub entry: Result<String, String>,
    /// What was brought in for the workspace, relative.
    pub brought: Vec<String>,
}

/// Returns the workspaces of `ids`, in order; those without one are left out.
pub(super) fn workspaces(site: &Site<'_>, roster: &Roster, ids: &[TaskId]) -> Result<Vec<Place>, GitError> {
    let entries = worktree::list(site.repo)?;
    let tasks = ids.iter().filter_map(|id| roster.get(id));
    Ok(tasks
        .filter_map(|task| {
            let workspace = task.workspace.as_ref()?;
            let path = PathBuf::from(&workspace.path);
            let entry = match misplaced(site.repo, task, workspace, &path) {
                Some(how) => Err(format!("its record names {how}")),
                None => entry_at(&entries, &path),
            };
            let owner = Owner::Task(task.id.clone(), task.state.clone());
            fs::symlink_metadata(&path).is_ok().then(|| Place {
                owner,
                path,
                entry,
                brought: workspace.copied.clone(),
            })
        })
        .collect())
}

fn entry_at(entries: &[Entry], path: &Path) -> Result<String, String> {
    let entry = entries.iter().find(|entry| entry.path == path);
    match entry {
        Some(Entry { locked: Some(reason), .. }) if reason.is_empty() => {
            Err("locked by `git worktree lock`".to_owned())
        }
        Some(Entry { locked: Some(reason), .. }) => {
            Err(format!("locked by `git worktree lock`: {}", one_line(reason, 100)))
        }
        Some(Entry { entry: Some(name), .. }) => Ok(name.clone()),
        _ => Err("git does not know its folder any more".to_owned()),
    }
}

/// Returns the spares of the pool that are not being made right now.
pub(super) fn spares(site: &Site<'_>) -> Result<Vec<Place>, GitError> {
    let root = site.repo.worktrees_root();
    let pool = fs::canonicalize(&root).unwrap_or(root).join(POOL);
    if !fs::symlink_metadata(&pool).is_ok_and(|found| found.is_dir()) {
        return Ok(Vec::new());
    }
    let spare = |entry: Entry| {
        let name = entry.path.strip_prefix(&pool).ok()?.to_str()?.to_owned();
        let idle = !name.contains('/') && entry.locked.as_deref() != Some(MAKING) && !entry.missing;
        idle.then_some(Place {
            owner: Owner::Spare(name),
            path: entry.path,
            entry: Ok(entry.entry?),
            brought: Vec::new(),
        })
    };
    Ok(worktree::list(site.repo)?.into_iter().filter_map(spare).collect())
}

/// Returns the facts of each place, in order; `slow` is called once if measuring takes over half a second.
pub(super) fn look(site: &Site<'_>, places: &[Place], slow: &dyn Fn()) -> Vec<Facts> {
    let patterns = Patterns::new(site.settings.workspace.caches.iter().map(String::as_str));
    let now = site.clock.now();
    let mut all: Vec<Facts> = places.iter().map(|place| bare(site, place, &patterns, now)).collect();
    let units: Vec<Unit<'_>> = places
        .iter()
        .zip(&all)
        .flat_map(|(place, facts)| {
            facts.folders.iter().map(|folder| Unit::plain(place.path.join(&folder.path), Sort::Cache))
        })
        .collect();
    let mut tallies = measure(&units, slow).tallies.into_iter();
    for facts in &mut all {
        for (folder, tally) in facts.folders.iter_mut().zip(&mut tallies) {
            weigh(folder, &tally);
            facts.idle = facts.idle.min(since(tally.newest, now));
        }
    }
    all
}

/// Fills in what only the walk tells.
fn weigh(folder: &mut Folder, tally: &Tally) {
    folder.bytes = tally.alone();
    if let Some(inner) = &tally.repository {
        folder.tie = Some(format!("another repository is inside it: `{}`", inner.display()));
    } else if tally.unreadable > 0 && folder.tie.is_none() {
        folder.tie = Some("not all of it can be read".to_owned());
    }
}

fn since(second: i64, now: Timestamp) -> Duration {
    Duration::from_secs(u64::try_from(now.as_second() - second).unwrap_or(0))
}

/// The facts but for what the folders take.
fn bare(site: &Site<'_>, place: &Place, patterns: &Patterns, now: Timestamp) -> Facts {
    let (owner, mut tie, mut idle) = (place.owner.clone(), None, Duration::MAX);
    let opened = place.entry.clone().and_then(|entry| {
        LinkedWorktree::open(site.repo, &entry, &place.path).map_err(|error| error.to_string())
    });
    let folders = opened.and_then(|tree| {
        idle = quiet(tree.checkout(), now);
        folders(tree.checkout(), patterns, &place.brought).map_err(|error| error.to_string())
    });
    let folders = folders.unwrap_or_else(|why| {
        tie = Some(one_line(&why, 160));
        Vec::new()
    });
    Facts { owner, tie, idle, folders }
}

/// Returns the folders of a worktree that could go, by path.
fn folders(checkout: &Checkout, patterns: &Patterns, brought: &[String]) -> Result<Vec<Folder>, GitError> {
    let ignored = Ignored::of(checkout)?;
    let mut found = Vec::new();
    for path in ignored.paths().filter(|path| *path != Path::new(SHARED)) {
        search(checkout.path(), path, patterns, DEPTH, &mut found);
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    // Of a folder that is not ignored itself, but all that is in it, git names both.
    found.dedup_by(|a, b| a.path == b.path);
    for folder in &mut found {
        if let Some(copied) = brought.iter().find(|copied| Path::new(copied).starts_with(&folder.path)) {
            let copied = one_line(copied, 100);
            folder.tie = Some(format!("`workspace.copy` or `workspace.symlink` brought `{copied}` into it"));
        }
    }
    Ok(found)
}

/// Finds the topmost folders at and below `path`, which git ignores, that the patterns name.
fn search(root: &Path, path: &Path, patterns: &Patterns, depth: usize, found: &mut Vec<Folder>) {
    let full = root.join(path);
    // A link is no folder, wherever it leads.
    let Ok(about) = fs::symlink_metadata(&full) else { return };
    if !about.is_dir() {
        return;
    }
    if patterns.name_folder(path) {
        let identity = (about.dev(), about.ino());
        found.push(Folder { path: path.to_owned(), identity, bytes: 0, tie: None });
        return;
    }
    if depth == 0 || fs::symlink_metadata(full.join(".git")).is_ok() {
        return;
    }
    for entry in fs::read_dir(&full).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            search(root, &path.join(entry.file_name()), patterns, depth - 1, found);
        }
    }
}
