//! Dropping build output: the git-ignored folders that `workspace.caches` names, of workspaces that nobody uses.
//!
//! ```text
//!  facts ▶ plan (pure, shown) ▶ for each, under its lock: facts again ▶ plan again ▶ to the trash folder ▶ deleted, unlocked
//! ```
//!
//! Invariants: trees, branches and `git status` stay as they were; a folder goes by one rename, so that a kill leaves either
//! all of it in place or a piece of trash that the next sweep deletes; what is a link, tracked, brought in by the settings
//! or a repository of its own stays. The lock of a task is held for the look and the renames only.

mod look;
mod plan;

pub use plan::{Dropping, Facts, Folder, Owner, Plan, Policy, Scope, decide, plan};

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fchmod, openat, renameat, statat};
use rustix::io::Errno;
use uuid::Uuid;

use self::look::{Place, look, spares, workspaces};
use super::Grounds;
use crate::failpoint;
use crate::git::GitError;
use crate::model::text::{count, one_line};
use crate::model::view::GcKept;
use crate::model::view::disk::{DroppedFolder, DroppedView};
use crate::model::{Roster, TaskId};
use crate::store::layout::private_folder;
use crate::store::lock::{DEADLINE, Lock, LockError};
use crate::store::{Journal, JournalError};
use crate::workspace::shared::TRASH;
use crate::workspace::trash::{delete, trash_folder};

/// How long a task's lock is waited for: a runner holds it for a moment longer than its attempt.
const PATIENCE: Duration = Duration::from_secs(2);
/// What the names of dropped folders in the trash begin with; no removed workspace has such a name.
const DROPPED: &str = ".artifacts-";

/// Why dropping stopped. What one workspace alone fails at is not an error but a reason why it stays.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactsError {
    /// The git lock, which spares are taken under.
    #[error("the repository is busy")]
    Lock(#[from] LockError),
    /// git cannot list worktrees.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// There is no folder to move things to.
    #[error("the trash folder cannot be used")]
    Trash(#[source] std::io::Error),
}

/// What was dropped, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dropped {
    /// What went.
    pub dropped: Vec<DroppedView>,
    /// What stays, and why.
    pub kept: Vec<GcKept>,
    /// What it frees in all, in bytes.
    pub bytes: u64,
}

impl Dropped {
    fn keep(&mut self, name: String, why: impl Into<String>) {
        self.kept.push(GcKept { name, why: why.into() });
    }

    fn take(&mut self, name: String, why: &str, folders: &[Folder]) {
        if folders.is_empty() {
            return;
        }
        let view = |folder: &Folder| DroppedFolder {
            path: folder.path.to_string_lossy().into_owned(),
            bytes: folder.bytes,
        };
        let bytes = folders.iter().map(|folder| folder.bytes).sum();
        let folders = folders.iter().map(view).collect();
        self.dropped.push(DroppedView { name, why: why.to_owned(), folders, bytes });
        self.bytes += bytes;
    }
}

/// Returns what would be dropped. Changes nothing.
pub fn plan_artifacts(grounds: &Grounds<'_>, roster: &Roster, policy: &Policy) -> Result<Plan, GitError> {
    let site = &grounds.site;
    let places = match &policy.scope {
        Scope::Named(ids) => workspaces(site, roster, ids)?,
        Scope::Idle => {
            let all: Vec<TaskId> = roster.tasks().map(|task| task.id.clone()).collect();
            let mut places = workspaces(site, roster, &all)?;
            places.extend(spares(site)?);
            places
        }
    };
    let slow = || grounds.observer.step(&format!("measuring {}", count(places.len(), "workspace")));
    Ok(plan(look(site, &places, &slow), policy))
}

/// Returns what a plan would do, for people.
pub fn preview(plan: &Plan) -> Dropped {
    let mut told = Dropped::default();
    for drop in &plan.drop {
        told.take(drop.owner.name(), &drop.why, &drop.folders);
    }
    for (name, why) in &plan.keep {
        told.keep(name.clone(), why);
    }
    told
}

/// Does what was planned, looking at each workspace again first.
pub fn apply_artifacts(
    grounds: &Grounds<'_>,
    journal: &mut Journal,
    plan: &Plan,
) -> Result<Dropped, ArtifactsError> {
    let mut told = preview(&Plan { drop: Vec::new(), ..plan.clone() });
    let root = grounds.site.repo.worktrees_root();
    clear_leftovers(grounds, &root.join(TRASH));
    if plan.drop.is_empty() {
        return Ok(told);
    }
    let trash = trash_folder(&root).map_err(ArtifactsError::Trash)?;
    for planned in &plan.drop {
        let name = planned.owner.name();
        grounds.observer.step(&format!("dropping build output of `{name}`"));
        let bin = trash.join(format!("{DROPPED}{}", Uuid::now_v7()));
        match take_away(grounds, journal, planned, &plan.policy, &bin)? {
            Ok(Taken { gone, kept }) => {
                told.take(name.clone(), &planned.why, &gone);
                for (path, why) in kept {
                    told.keep(name.clone(), format!("`{}`: {why}", path.display()));
                }
            }
            Err(why) => told.keep(name, why),
        }
        empty(grounds, &bin);
    }
    Ok(told)
}

/// Deletes what a killed sweep had moved to the trash. Another one may be at it as well, which harms neither.
fn clear_leftovers(grounds: &Grounds<'_>, trash: &Path) {
    if !fs::symlink_metadata(trash).is_ok_and(|found| found.is_dir()) {
        return;
    }
    for entry in fs::read_dir(trash).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(DROPPED) {
            empty(grounds, &entry.path());
        }
    }
}

fn empty(grounds: &Grounds<'_>, bin: &Path) {
    match delete(bin) {
        Err(error) if fs::symlink_metadata(bin).is_ok() => {
            grounds.observer.warn(&format!("what was dropped is still in the trash: {error}"));
        }
        _ => {}
    }
}

/// What was taken away of one workspace.
struct Taken {
    gone: Vec<Folder>,
    /// What stays, and why.
    kept: Vec<(PathBuf, String)>,
}

/// Moves the build output of one workspace into `bin`, under its lock, if it may still go; else tells why not.
fn take_away(
    grounds: &Grounds<'_>,
    journal: &mut Journal,
    planned: &Dropping,
    policy: &Policy,
    bin: &Path,
) -> Result<Result<Taken, String>, ArtifactsError> {
    let site = &grounds.site;
    let _held: Lock;
    let places = match &planned.owner {
        Owner::Task(id, _) => {
            let lock = Lock::take(&site.layout.task(id).lock(), PATIENCE, "dropping build output");
            let Ok(lock) = lock else { return Ok(Err("in use by another `wt`".to_owned())) };
            _held = lock;
            workspaces(site, journal.read()?, std::slice::from_ref(id))?
        }
        Owner::Spare(_) => {
            // Whoever takes a spare out of the pool, or puts one in, holds it too.
            _held = Lock::take(&site.layout.lock("git"), DEADLINE, "dropping build output")?;
            spares(site)?.into_iter().filter(|place| place.owner == planned.owner).collect()
        }
    };
    let again = plan(look(site, &places, &|| {}), policy);
    let (Some(place), Some(now)) = (places.first(), again.drop.into_iter().next()) else {
        let why = again.keep.into_iter().next().map(|(_, why)| why);
        return Ok(Err(why.unwrap_or_else(|| "it is gone already".to_owned())));
    };
    private_folder(bin).map_err(ArtifactsError::Trash)?;
    let mut taken = Taken { gone: Vec::new(), kept: Vec::new() };
    for folder in now.folders {
        let known = planned
            .folders
            .iter()
            .any(|known| known.path == folder.path && known.identity == folder.identity);
        if !known {
            // It came after the plan was shown.
            continue;
        }
        match put_away(place, &folder, &bin.join(taken.gone.len().to_string())) {
            Ok(()) => {
                failpoint::hit("artifacts.after_rename");
                taken.gone.push(folder);
            }
            Err(error) => taken.kept.push((folder.path, one_line(&error.to_string(), 100))),
        }
    }
    Ok(Ok(taken))
}

/// Renames a folder of a workspace, reached without following any link, if it is still the one that was looked at.
fn put_away(place: &Place, folder: &Folder, to: &Path) -> rustix::io::Result<()> {
    const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
    let mut above: OwnedFd = openat(CWD, &place.path, FOLDER, Mode::empty())?;
    let name: &OsStr = folder.path.file_name().ok_or(Errno::INVAL)?;
    for part in folder.path.parent().into_iter().flat_map(Path::components) {
        above = openat(&above, part.as_os_str(), FOLDER, Mode::empty())?;
    }
    let found = statat(&above, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let identity = (found.st_dev, found.st_ino);
    if FileType::from_raw_mode(found.st_mode) != FileType::Directory || identity != folder.identity {
        return Err(Errno::STALE);
    }
    match renameat(&above, name, CWD, to) {
        // A folder that moves must be writable itself, for its `..` changes.
        Err(Errno::ACCESS) => {
            let moved = openat(&above, name, FOLDER, Mode::empty())?;
            fchmod(&moved, Mode::from_raw_mode(found.st_mode & 0o7777 | 0o700))?;
            renameat(&above, name, CWD, to)
        }
        renamed => renamed,
    }
}
