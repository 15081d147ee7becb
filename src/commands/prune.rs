//! Taking a landed task's workspace away: the join between landing and `workspace`.

use super::context::Context;
use crate::error::{CommandError, During as _};
use crate::git::status;
use crate::model::{Event, State, TaskId};
use crate::store::lock::{DEADLINE, Lock};
use crate::workspace::{GitLock, apply_removal, plan_removal};

/// Removes the workspace of a landed task to its trash ref; refuses where something was changed since it landed.
pub fn prune(context: &mut Context, id: &TaskId) -> Result<(), CommandError> {
    let (fleet, journal) = context.parts();
    let lock = Lock::take(&fleet.layout.lock("git"), DEADLINE, "pruning a workspace")?;
    let Some(task) = journal.read()?.get(id).cloned() else { return Ok(()) };
    let (State::Landed, Some(workspace)) = (&task.state, &task.workspace) else { return Ok(()) };
    let what = || "it cannot be removed".to_owned();
    let removal = plan_removal(fleet.repo, id, workspace).during(what)?;
    let landed = task.landing.as_ref().and_then(|landing| landing.head.clone());
    if fleet.repo.branch_tip(&workspace.branch).during(what)? != landed {
        return Err(CommandError::refused("its branch moved after it was landed"));
    }
    if let Some(worktree) = removal.worktree().filter(|worktree| worktree.path().exists())
        && status::status(worktree.checkout()).during(what)?.dirty()
    {
        return Err(CommandError::refused("it was changed after it was landed"));
    }
    let removed = apply_removal(&fleet.site(), GitLock::held(&lock), &removal).during(what)?;
    let trash = removed.trash.unwrap_or_default();
    journal.append(fleet.clock.now(), vec![(Some(id.clone()), Event::Pruned { trash })])?;
    Ok(())
}
