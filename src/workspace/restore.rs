//! Bringing a removed workspace back from its trash ref: branch, `HEAD`, index, edits, untracked and edited ignored files.
//!
//! Invariant: the trash ref is only read, so a restore that fails or is killed can be tried again; what it had made is
//! cleared first.

use std::io;
use std::path::PathBuf;

use fs_err as fs;

use super::apply::{Made, base_ref, clear};
use super::environment;
use super::instructions::{self, InstructionsError};
use super::plan::{Begun, PlanError, Record, begun, place};
use super::ports;
use super::remove::branch_ref;
use super::shared::{self, INSTRUCTIONS, SharedError};
use super::step::StepError;
use super::{GitLock, Site};
use crate::git::refs::{self, Expected, RefEdit};
use crate::git::worktree;
use crate::git::{GitError, LinkedWorktree, snapshot, submodule};
use crate::model::{Oid, TaskId, Workspace};

/// Why a workspace was not restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The trash ref is gone: too much time has passed.
    #[error("`{trash}` does not exist any more")]
    NoTrash {
        /// The ref.
        trash: String,
    },
    /// Something stands where the workspace belongs.
    #[error("{} exists already", path.display())]
    FolderExists {
        /// The place.
        path: PathBuf,
    },
    /// A branch of that name exists, with other commits.
    #[error("branch `{branch}` exists already")]
    BranchExists {
        /// The branch, short.
        branch: String,
    },
    /// git failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The record of an earlier try.
    #[error(transparent)]
    Plan(Box<PlanError>),
    /// A step of making the workspace again failed; what was made is gone, the trash ref is kept.
    #[error("the workspace cannot be made again, `{trash}` is kept")]
    Step {
        /// The ref.
        trash: String,
        /// Why.
        #[source]
        source: Box<StepError>,
    },
}

/// A workspace that is to be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restoration {
    /// The task.
    pub id: TaskId,
    /// The trash ref.
    pub trash: String,
    /// The worktree's folder, absolute.
    pub path: PathBuf,
    /// The branch, short.
    pub branch: String,
    /// The commit that the branch counts from.
    pub base: Oid,
    /// Where the branch goes; `None`: there was none.
    tip: Option<Oid>,
    /// Where `HEAD` goes.
    head: Oid,
    /// The snapshot; `None`: only a branch was put away.
    snapshot: Option<Oid>,
    debris: Option<String>,
}

/// Returns how the workspace of a task comes back from `trash`, its ref. Changes nothing. `target` is the branch that the
/// task lands on: what it has in common with the workspace is the new base.
pub fn plan_restoration(
    site: &Site,
    id: &TaskId,
    trash: &str,
    target: &str,
) -> Result<Restoration, RestoreError> {
    plan_restoration_onto(site, id, trash, site.repo.branch_tip(target)?.as_ref())
}

/// Does what [`plan_restoration`] does, for a target that is, or will be, at that commit.
pub fn plan_restoration_onto(
    site: &Site,
    id: &TaskId,
    trash: &str,
    target: Option<&Oid>,
) -> Result<Restoration, RestoreError> {
    let repo = site.repo;
    let kept = repo.ref_tip(trash)?.ok_or_else(|| RestoreError::NoTrash { trash: trash.to_owned() })?;
    let beside = repo.ref_tip(&branch_ref(trash))?;
    let (head, snapshot) = if beside.as_ref() == Some(&kept) {
        (kept, None)
    } else {
        (repo.commit(&format!("{kept}^1"))?, Some(kept))
    };
    let tip = Some(beside.unwrap_or_else(|| head.clone()));
    let (path, branch) = place(repo, site.settings, &id.name);
    let debris = debris(site, id, &path, &branch)?;
    if debris.is_none() && fs::symlink_metadata(&path).is_ok() {
        return Err(RestoreError::FolderExists { path });
    }
    if let Some(there) = repo.branch_tip(&branch)?
        && Some(&there) != tip.as_ref()
    {
        return Err(RestoreError::BranchExists { branch });
    }
    let common = match target {
        Some(target) => repo.merge_base(&head, target)?,
        None => None,
    };
    let base = common.unwrap_or_else(|| head.clone());
    Ok(Restoration {
        id: id.clone(),
        trash: trash.to_owned(),
        path,
        branch,
        base,
        tip,
        head,
        snapshot,
        debris,
    })
}

/// Returns the entry of a restore of the same task that was killed.
fn debris(
    site: &Site,
    id: &TaskId,
    path: &std::path::Path,
    branch: &str,
) -> Result<Option<String>, RestoreError> {
    let record = Record::read(&site.layout.task(id).making())
        .map_err(|e| RestoreError::Plan(Box::new(PlanError::Record(e))))?;
    let Some(record) =
        record.filter(|record| record.path == path.display().to_string() && record.branch == branch)
    else {
        return Ok(None);
    };
    match begun(site.repo, path, &record) {
        Ok(Begun::Worktree { entry } | Begun::Debris { entry }) => Ok(Some(entry)),
        Ok(Begun::Nothing | Begun::Branch) | Err(PlanError::BranchExists { .. }) => Ok(None),
        Err(PlanError::FolderExists { path }) => Err(RestoreError::FolderExists { path }),
        Err(error) => Err(RestoreError::Plan(Box::new(error))),
    }
}

/// Restores a workspace as planned. `instructions` is the rendered text of `CLAUDE.local.md`.
pub fn apply_restoration(
    site: &Site,
    _lock: GitLock,
    restoration: &Restoration,
    instructions: &str,
) -> Result<Made, RestoreError> {
    let mut made = Undo::default();
    restore(site, restoration, instructions, &mut made).map_err(|source| {
        made.take_back(site, restoration);
        RestoreError::Step { trash: restoration.trash.clone(), source: Box::new(source) }
    })
}

/// What this run made.
#[derive(Default)]
struct Undo {
    tree: Option<LinkedWorktree>,
    branch: bool,
}

impl Undo {
    /// Best effort: what stays is found by the next try through the record.
    fn take_back(&self, site: &Site, restoration: &Restoration) {
        if let Some(tree) = &self.tree {
            drop(fs::remove_dir_all(tree.path()));
            drop(worktree::remove_entry(tree));
        }
        if let (true, Some(tip)) = (self.branch, &restoration.tip) {
            let edit = RefEdit::delete(format!("refs/heads/{}", restoration.branch), tip.clone());
            drop(refs::apply(site.repo, &[edit]));
        }
    }
}

fn restore(
    site: &Site,
    restoration: &Restoration,
    instructions: &str,
    made: &mut Undo,
) -> Result<Made, StepError> {
    let repo = site.repo;
    let Restoration { id, path, branch, base, tip, head, .. } = restoration;
    let record = Record { path: path.display().to_string(), branch: branch.clone(), base: base.clone() };
    let folder = site.layout.task(id);
    if let Some(entry) = &restoration.debris {
        clear(repo, id, path, entry)?;
    }
    record.write(&folder.making())?;
    let shared = shared::prepare(repo)?;
    if let Some(tip) = tip
        && repo.branch_tip(branch)?.is_none()
    {
        refs::apply(repo, &[RefEdit::create(format!("refs/heads/{branch}"), tip.clone())])?;
        made.branch = true;
    }
    let tree = if tip.as_ref() == Some(head) {
        worktree::add_existing(repo, path, branch)?
    } else {
        worktree::add_detached(repo, path, head)?
    };
    made.tree = Some(tree.clone());
    if let Some(snapshot) = &restoration.snapshot {
        snapshot::restore(repo, tree.checkout(), snapshot)?;
    }
    // As its files were, whatever its index or its branch say.
    let modules = submodule::bring(repo, &tree, restoration.snapshot.as_ref().unwrap_or(head))?;
    refs::apply(repo, &[RefEdit { name: base_ref(&id.name), new: Some(base.clone()), old: Expected::Any }])?;
    match shared::link(tree.path(), &shared) {
        // The agent had put something of its own there; it is back as it was.
        Ok(()) | Err(SharedError::InTheWay { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    if !repo.tracks(head, INSTRUCTIONS)? {
        write_instructions(&tree, &folder, instructions)?;
    }
    let settings = &site.settings.workspace;
    let furnished = environment::furnish(repo, settings, head, tree.path())?;
    let leased = ports::lease(site, id)?;
    // The record stays until the journal knows: a kill in between is found and cleared by it.
    Ok(Made {
        workspace: Workspace {
            path: record.path,
            branch: record.branch,
            base: record.base,
            entry: tree.entry().to_owned(),
            copied: furnished.brought,
            ports: leased,
        },
        setup: settings.setup.clone(),
        hook: None,
        left_out: furnished.left,
        submodules: modules,
    })
}

fn write_instructions(
    tree: &LinkedWorktree,
    folder: &crate::store::layout::TaskFolder,
    text: &str,
) -> Result<(), InstructionsError> {
    match instructions::write(tree.path(), folder, text) {
        // A folder of that name, made by the agent, stays.
        Err(InstructionsError::Io(error)) if error.kind() == io::ErrorKind::IsADirectory => Ok(()),
        other => other,
    }
}
