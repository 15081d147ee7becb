//! Whose limits and whose key a task uses: what one agent learns of an account holds for all others of it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::{Event, Next, WaitReason};
use super::task::{Task, TaskSpec};
use super::verdict::{Class, Exit};
use super::{State, TaskId};

/// Returns the account that a task's agent uses; `None`: no agent. All agents of one adapter share one account.
pub fn account(spec: &TaskSpec) -> Option<&str> {
    spec.agent.as_deref()
}

/// Returns whether the task stands still because its account cannot be used: it found out itself, or it was parked for it.
pub fn stopped_with_account(task: &Task) -> bool {
    task.class == Some(Class::FleetStop)
        && matches!(task.state, State::Failed | State::Waiting { reason: WaitReason::Parked, .. })
}

/// An account that met a limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Rest {
    /// The task whose attempt met it.
    task: TaskId,
    /// When the limit ends.
    until: Timestamp,
}

/// The accounts that rest, by what their newest attempts said. There are few.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rests(BTreeMap<String, Rest>);

impl Rests {
    /// Returns whether nobody met a limit last.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns until when the account rests: its newest attempt met a limit that ends then.
    pub fn until(&self, account: &str) -> Option<Timestamp> {
        Some(self.0.get(account)?.until)
    }

    /// Takes what an event says of the account of a task. What becomes of the task that met the limit says nothing of the
    /// limit; that a person runs just that one again does.
    pub fn hear(&mut self, id: &TaskId, spec: &TaskSpec, event: &Event) {
        let Some(account) = account(spec) else { return };
        match event {
            Event::Retried => self.0.retain(|_, rest| rest.task != *id),
            // One that a person ended, or whose agent did not even start, says nothing of it.
            Event::Ended { next: Next::Stopped, .. } | Event::Ended { exit: Exit::NotStarted, .. } => {}
            Event::Ended { class, next, .. } => match (class, next) {
                (Class::Park, Next::Wait { reason: WaitReason::RateLimit, until: Some(until), .. }) => {
                    self.0.insert(account.to_owned(), Rest { task: id.clone(), until: *until });
                }
                _ => drop(self.0.remove(account)),
            },
            _ => {}
        }
    }
}
