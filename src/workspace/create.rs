//! Making a task's workspace: planned under the git lock, told to the agent, made, and written into the journal.

use std::error::Error;
use std::io;

use super::apply::apply_creation;
use super::briefing;
use super::hook::{self, Choice, Ended, Hooks};
use super::instructions::{self, Briefing, InstructionsError};
use super::notes;
use super::plan::{Creation, PlanError, Survey, plan_with};
use super::ports::{self, PortsError};
use super::room::NoRoom;
use super::step::ApplyError;
use super::{Site, briefing::Place};
use crate::git::{GitError, Repo};
use crate::model::{Event, Roster, Settings, Task, TaskId, TaskSpec, Workspace};
use crate::store::lock::{DEADLINE, Lock, LockError};
use crate::store::{Journal, JournalError};

/// Why a workspace was not made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The repository lock.
    #[error("the repository is locked")]
    Lock(#[from] LockError),
    /// Something is in the way; nothing was made.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The instructions cannot be told; nothing was made, or nothing changed.
    #[error(transparent)]
    Instructions(#[from] InstructionsError),
    /// There are no ports for it; nothing was made.
    #[error(transparent)]
    Ports(#[from] PortsError),
    /// A step failed; what was made is undone.
    #[error(transparent)]
    Apply(Box<ApplyError>),
    /// The journal refused.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl CreateError {
    /// Returns why there is no room, if that is what it is; a person, or time, can make some.
    pub fn no_room(&self) -> Option<&NoRoom> {
        match self {
            Self::Plan(PlanError::NoRoom(no_room)) => Some(no_room),
            _ => None,
        }
    }

    /// Tells whether it would work with more room, found out before it began or while it went on.
    pub fn lacks_room(&self) -> bool {
        let mut cause: Option<&(dyn Error + 'static)> = Some(self);
        while let Some(error) = cause {
            let full = |error: &io::Error| {
                matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            };
            if matches!(error.downcast_ref(), Some(GitError::NoSpace { .. }))
                || error.downcast_ref().is_some_and(full)
            {
                return true;
            }
            cause = error.source();
        }
        self.no_room().is_some()
    }
}

/// Checks whether the workspace of `spec` could be made; makes nothing.
pub fn check(repo: &Repo, settings: &Settings, spec: &TaskSpec) -> Result<(), CreateError> {
    Survey::of(repo, settings).require_place(spec)?;
    Ok(())
}

/// Makes the workspace of `task`, which has none, or finishes making it where that was cut short; the caller holds the
/// task's lock.
pub fn create(site: &Site<'_>, journal: &mut Journal, task: &Task) -> Result<Workspace, CreateError> {
    let spec = based(site, journal.read()?, task)?;
    // Whatever takes time is done before the git lock; under it, what was found is looked at again.
    let mut survey = Survey::of(site.repo, site.settings);
    let foreseen = plan_with(&mut survey, site, &task.id, &spec)?;
    let mut hooks = hook::choose(site, &foreseen.base).map_err(PlanError::from)?;
    let lock = Lock::take(&site.layout.lock("git"), DEADLINE, "creating a workspace")?;
    survey.again().map_err(PlanError::from)?;
    let mut creation = plan_with(&mut survey, site, &task.id, &spec)?;
    if (&creation.path, &creation.base) != (&foreseen.path, &foreseen.base) {
        hooks = hook::choose(site, &creation.base).map_err(PlanError::from)?;
    }
    creation.ports = ports::lease(site, &task.id)?;
    let rendered = told(site, journal, task, &creation);
    let text = rendered.inspect_err(|_| drop(ports::release(site, &task.id)))?;
    let (hooks, barred) = match hooks {
        Choice::Run(hooks) => (hooks, None),
        Choice::NotApproved(folder) => (Hooks::Off, Some(Ended::NotApproved { folder })),
    };
    let mut made = apply_creation(site, lock, &creation, &hooks, &text)
        .map_err(|failed| CreateError::Apply(Box::new(failed)))?;
    made.hook = made.hook.or(barred);
    // Words only: a disk that cannot take them takes nothing else either, and says so next.
    drop(notes::write(&site.layout.task(&task.id), &made));
    let event = Event::WorkspaceMade { workspace: made.workspace.clone() };
    journal.append(site.clock.now(), vec![(Some(task.id.clone()), event)])?;
    Ok(made.workspace)
}

/// Returns what was asked, with the commit to start from where that is another task's: a parent that is done has not landed
/// yet, so its work is on its own branch only.
fn based(site: &Site<'_>, roster: &Roster, task: &Task) -> Result<TaskSpec, CreateError> {
    let mut spec = task.spec.clone();
    let built_on = |id: &&TaskId| !roster.has_landed(id) && spec.after_done.contains(&id.name);
    let parent = spec.after.iter().find(built_on).and_then(|id| roster.get(id)?.workspace.as_ref());
    if let (None, Some(parent)) = (&spec.base, parent) {
        let tip = site.repo.branch_tip(&parent.branch).map_err(PlanError::from)?;
        spec.base = tip.map(|tip| tip.to_string());
    }
    Ok(spec)
}

fn told(
    site: &Site<'_>,
    journal: &mut Journal,
    task: &Task,
    creation: &Creation,
) -> Result<String, CreateError> {
    let path = creation.path.display().to_string();
    let place = Place { path: &path, branch: &creation.branch, base: &creation.base, ports: &creation.ports };
    let told = briefing::of(site, journal.read()?, task, &place);
    Ok(instructions::render(site.template, &told)?)
}

/// Writes the instructions anew: who else works, and what the repository asks for, changes between attempts.
pub fn refresh(
    site: &Site<'_>,
    journal: &mut Journal,
    task: &Task,
    workspace: &Workspace,
) -> Result<(), CreateError> {
    let place = Place::of(workspace);
    let told = briefing::of(site, journal.read()?, task, &place);
    let text = instructions::render(site.template, &told)?;
    instructions::write(workspace.path.as_ref(), &site.layout.task(&task.id), &text)?;
    Ok(())
}

/// Returns the instructions without the task's own text: what precedes the prompt of an agent that reads no file of them.
pub fn context(
    site: &Site<'_>,
    journal: &mut Journal,
    task: &Task,
    workspace: &Workspace,
) -> Result<String, CreateError> {
    let place = Place::of(workspace);
    let told = briefing::of(site, journal.read()?, task, &place);
    Ok(instructions::render(site.template, &Briefing { prompt: String::new(), ..told })?)
}
