//! Whose limits and whose key a task uses: what one agent learns of an account holds for all others of it.

use super::State;
use super::event::WaitReason;
use super::task::{Task, TaskSpec};
use super::verdict::Class;

/// Returns the account that a task's agent uses; `None`: no agent. All agents of one adapter share one account.
pub fn account(spec: &TaskSpec) -> Option<&str> {
    spec.agent.as_deref()
}

/// Returns whether the task stands still because its account cannot be used: it found out itself, or it was parked for it.
pub fn stopped_with_account(task: &Task) -> bool {
    task.class == Some(Class::FleetStop)
        && matches!(task.state, State::Failed | State::Waiting { reason: WaitReason::Parked, .. })
}
