//! Making a workspace, with an undo for each step.
//!
//! ```text
//!  record ▶ shared folder ▶ (clear debris) ▶ a spare, or entry and branch ─┐ git lock, a moment
//!  base ref ▶ files ▶ instructions ▶ environment ◀────────────────────────┘ beside others
//! ```
//!
//! Invariant: after a failure everything that this run made is gone again, in reverse order, and the error says so; what an
//! earlier run made stays for the next try. A kill leaves the record, from which [`super::plan`] continues.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::Site;
use super::environment;
use super::hook::{self, Hooks};
use super::instructions;
use super::plan::{Begun, Creation, Record};
use super::pool::{self, Taken};
use super::ports;
use super::shared;
use super::step::{ApplyError, Step, StepError};
use super::trash::{free_place, trash_folder};
use crate::failpoint;
use crate::git::refs::{self, RefEdit};
use crate::git::worktree::{self, Start};
use crate::git::{GitError, LinkedWorktree, Repo, submodule};
use crate::model::{Oid, TaskId, TaskName, Workspace};
use crate::store::lock::{DEADLINE, Lock};

/// A workspace that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Where it is.
    pub workspace: Workspace,
    /// The set-up commands that are to be run in it, for `sh -c`.
    pub setup: Vec<String>,
    /// What its post-checkout hook came to; `None`: there was none.
    pub hook: Option<hook::Ended>,
    /// Files that were asked for and not brought in.
    pub left_out: Vec<String>,
    /// What came of its submodules.
    pub submodules: submodule::Brought,
}

/// Makes a workspace as planned. `instructions` is the rendered text of `CLAUDE.local.md`; `git` is the git lock, which is
/// free again before anything is done that takes time.
pub fn apply_creation(
    site: &Site,
    git: Lock,
    creation: &Creation,
    hooks: &Hooks,
    instructions: &str,
) -> Result<Made, ApplyError> {
    let mut making = Making { site, creation, done: Vec::new() };
    if !creation.ports.is_empty() {
        making.done.push((Step::Record, Undo::Ports));
    }
    let made = making.admit().and_then(|(ground, shared)| {
        drop(git);
        making.furnish(ground, &shared, hooks, instructions)
    });
    made.map_err(|(step, source)| {
        let (undone, left) = making.undo();
        ApplyError { step, undone, left, source: Box::new(source) }
    })
}

/// What can be taken back.
enum Undo {
    Record,
    Ports,
    Worktree(LinkedWorktree),
    Branch,
    BaseRef,
    Instructions,
}

/// A worktree, and what its files are.
enum Ground {
    /// Those of its branch.
    Whole(LinkedWorktree),
    /// Not there yet.
    Empty(LinkedWorktree),
    /// Those that it had as a spare.
    Warm(Taken),
}

impl Ground {
    fn tree(&self) -> &LinkedWorktree {
        match self {
            Self::Whole(tree) | Self::Empty(tree) | Self::Warm(Taken { tree, .. }) => tree,
        }
    }
}

fn at<E: Into<StepError>>(step: Step) -> impl Fn(E) -> (Step, StepError) {
    move |error| (step, error.into())
}

struct Making<'a> {
    site: &'a Site<'a>,
    creation: &'a Creation,
    done: Vec<(Step, Undo)>,
}

impl Making<'_> {
    /// The steps that other gits must not see half done: under the git lock.
    fn admit(&mut self) -> Result<(Ground, PathBuf), (Step, StepError)> {
        let (repo, creation) = (self.site.repo, self.creation);
        self.record().map_err(at(Step::Record))?;
        let shared = shared::prepare(repo).map_err(at(Step::Shared))?;
        if let Begun::Debris { entry } = &creation.begun {
            clear(repo, &creation.id, &creation.path, entry).map_err(at(Step::Clear))?;
        }
        let ground = self.worktree().map_err(at(Step::Worktree))?;
        failpoint::hit("spawn.after_entry");
        Ok((ground, shared))
    }

    /// The steps that take time and concern nobody else.
    fn furnish(
        &mut self,
        ground: Ground,
        shared: &Path,
        hooks: &Hooks,
        instructions: &str,
    ) -> Result<Made, (Step, StepError)> {
        let (repo, creation) = (self.site.repo, self.creation);
        // Nobody else writes this ref, so that it needs no turn of its own under the git lock.
        self.base_ref().map_err(at(Step::BaseRef))?;
        let (tree, hook) = self.files(ground, hooks).map_err(at(Step::Files))?;
        failpoint::hit("spawn.after_worktree");
        let modules = submodule::bring(repo, &tree, &creation.base).map_err(at(Step::Files))?;
        failpoint::hit("spawn.after_submodules");
        shared::link(tree.path(), shared).map_err(at(Step::Instructions))?;
        let folder = self.site.layout.task(&creation.id);
        self.done.push((Step::Instructions, Undo::Instructions));
        instructions::write(tree.path(), &folder, instructions).map_err(at(Step::Instructions))?;
        let settings = &self.site.settings.workspace;
        let furnished = environment::furnish(repo, settings, &creation.base, tree.path());
        let furnished = furnished.map_err(at(Step::Environment))?;
        failpoint::hit("spawn.before_journal");
        Ok(Made {
            workspace: Workspace {
                path: tree.path().display().to_string(),
                branch: creation.branch.clone(),
                base: creation.base.clone(),
                entry: tree.entry().to_owned(),
                copied: furnished.brought,
                ports: creation.ports.clone(),
            },
            setup: settings.setup.clone(),
            hook,
            left_out: furnished.left,
            submodules: modules,
        })
    }

    /// Gives the worktree its files and runs the hook; a spare that cannot be brought to them gives way to a worktree made
    /// from nothing.
    fn files(
        &mut self,
        ground: Ground,
        hooks: &Hooks,
    ) -> Result<(LinkedWorktree, Option<hook::Ended>), StepError> {
        let (site, creation) = (self.site, self.creation);
        let tree = match ground {
            Ground::Whole(tree) => return Ok((tree, None)),
            Ground::Empty(tree) => tree,
            Ground::Warm(taken) => {
                if let Ok(hook) = pool::complete(site, &taken, creation, hooks) {
                    return Ok((taken.tree, hook));
                }
                let _git = Lock::take(&site.layout.lock("git"), DEADLINE, "creating a workspace")?;
                clear(site.repo, &creation.id, &creation.path, taken.tree.entry())?;
                self.done.retain(|(_, undo)| !matches!(undo, Undo::Worktree(_)));
                let tree = worktree::begin(site.repo, &creation.path, Start::Branch(&creation.branch))?;
                self.done.push((Step::Worktree, Undo::Worktree(tree.clone())));
                tree
            }
        };
        let mut hook = None;
        worktree::complete(site.repo, &tree, |commit| {
            hook = hook::run(site, &creation.id, &tree, commit, hooks);
        })?;
        Ok((tree, hook))
    }

    fn record(&mut self) -> io::Result<()> {
        let creation = self.creation;
        if creation.begun != Begun::Nothing {
            return Ok(());
        }
        let record = Record {
            path: creation.path.display().to_string(),
            branch: creation.branch.clone(),
            base: creation.base.clone(),
        };
        self.done.push((Step::Record, Undo::Record));
        record.write(&self.site.layout.task(&creation.id).making())
    }

    fn worktree(&mut self) -> Result<Ground, GitError> {
        let (repo, creation) = (self.site.repo, self.creation);
        let branch = creation.branch.as_str();
        if let Begun::Worktree { entry } = &creation.begun {
            return LinkedWorktree::open(repo, entry, &creation.path).map(Ground::Whole);
        }
        let ground = if repo.branch_tip(branch)?.is_some() && creation.begun != Begun::Nothing {
            Ground::Empty(worktree::begin(repo, &creation.path, Start::Branch(branch))?)
        } else {
            let ground = if let Some(taken) = pool::take(self.site, creation) {
                Ground::Warm(taken)
            } else {
                let start = Start::NewBranch(branch, &creation.base);
                Ground::Empty(worktree::begin(repo, &creation.path, start)?)
            };
            self.done.push((Step::Worktree, Undo::Branch));
            ground
        };
        self.done.push((Step::Worktree, Undo::Worktree(ground.tree().clone())));
        Ok(ground)
    }

    fn base_ref(&mut self) -> Result<(), GitError> {
        let edit = RefEdit {
            name: base_ref(&self.creation.id.name),
            new: Some(self.creation.base.clone()),
            // An earlier generation of the name may have left one.
            old: refs::Expected::Any,
        };
        refs::apply(self.site.repo, &[edit])?;
        self.done.push((Step::BaseRef, Undo::BaseRef));
        Ok(())
    }

    /// Takes everything back that this run made; returns the steps that were undone and what was not.
    fn undo(&mut self) -> (Vec<Step>, Vec<String>) {
        let (mut undone, mut left) = (Vec::new(), Vec::new());
        if self.done.is_empty() {
            return (undone, left);
        }
        let _git = match Lock::take(&self.site.layout.lock("git"), DEADLINE, "taking a creation back") {
            Ok(lock) => lock,
            Err(error) => return (undone, vec![format!("everything ({error})")]),
        };
        while let Some((step, undo)) = self.done.pop() {
            match self.take_back(&undo) {
                Ok(()) if undone.last() == Some(&step) => {}
                Ok(()) => undone.push(step),
                Err(error) => left.push(format!("{step} ({error})")),
            }
        }
        (undone, left)
    }

    fn take_back(&self, undo: &Undo) -> Result<(), StepError> {
        let (repo, creation) = (self.site.repo, self.creation);
        let folder = self.site.layout.task(&creation.id);
        match undo {
            Undo::Ports => ports::release(self.site, &creation.id)?,
            Undo::Record => {
                gone(fs::remove_file(folder.making()))?;
                gone(fs::remove_file(folder.hook_log()))?;
            }
            Undo::Instructions => gone(fs::remove_file(folder.instructions()))?,
            Undo::BaseRef => {
                let edit = RefEdit::delete(base_ref(&creation.id.name), creation.base.clone());
                refs::apply(repo, &[edit])?;
            }
            Undo::Worktree(tree) => {
                gone(fs::remove_dir_all(tree.path()))?;
                worktree::unlock(tree, worktree::MAKING)?;
                worktree::remove_entry(tree)?;
            }
            Undo::Branch => delete_branch(repo, &creation.branch, &creation.base)?,
        }
        Ok(())
    }
}

/// Deletes a branch that is still at `base`; one that has moved is somebody's work and stays.
pub(super) fn delete_branch(repo: &Repo, branch: &str, base: &Oid) -> Result<(), GitError> {
    if repo.branch_tip(branch)?.as_ref() != Some(base) {
        return Ok(());
    }
    refs::apply(repo, &[RefEdit::delete(format!("refs/heads/{branch}"), base.clone())])
}

/// Returns the ref that marks the commit which a task's branch started from.
pub fn base_ref(name: &TaskName) -> String {
    format!("refs/wt/base/{name}")
}

/// Puts a worktree that is not whole into the trash, without looking into it.
pub(super) fn clear(repo: &Repo, id: &TaskId, path: &Path, entry: &str) -> Result<(), StepError> {
    let tree = LinkedWorktree::open(repo, entry, path)?;
    if fs::symlink_metadata(tree.path()).is_ok() {
        let into = trash_folder(path.parent().unwrap_or(path))?;
        fs::rename(tree.path(), free_place(&into, &format!("{}-half", id.name)))?;
    }
    // The lock is that of whoever was killed while it filled the worktree.
    gone(fs::remove_file(tree.checkout().git_dir().join("locked")))?;
    Ok(worktree::remove_entry(&tree)?)
}

/// Takes what is missing already for removed.
pub(super) fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
