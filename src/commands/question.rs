//! How a task goes on whose agent asked something: told by every verb that shows one.

use super::context::Context;
use crate::model::account::stopped_with_account;
use crate::model::event::WaitReason;
use crate::model::{State, Task};
use crate::ui::message;

/// Says for each task that waits for a person's answer which command gives it.
pub fn tell(context: &Context, tasks: &[Task]) {
    for task in tasks.iter().filter(|task| asks(task)) {
        let agent = task.spec.agent.as_deref().and_then(|name| context.settings().agents.get(name));
        let interactive =
            agent.and_then(|agent| agent.attach_command.as_ref()).is_some_and(|it| !it.is_empty());
        message::hint(&advice(task, interactive));
    }
}

/// Whether a person's answer is what the task waits for.
fn asks(task: &Task) -> bool {
    matches!(task.state, State::Waiting { reason: WaitReason::Parked, .. }) && !stopped_with_account(task)
}

/// An agent that nobody can talk to is only asked again.
fn advice(task: &Task, interactive: bool) -> String {
    let name = task.name();
    if interactive {
        format!("answer it: `wt attach {name}`")
    } else {
        format!("ask it again: `wt retry {name}`")
    }
}
