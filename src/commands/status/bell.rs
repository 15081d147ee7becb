//! The bell of `wt status --watch`: it rings once when a task comes to where a person may have to do something.

use std::collections::BTreeMap;

use crate::model::event::WaitReason;
use crate::model::{State, Task, TaskId};

/// What was seen of the tasks last time.
#[derive(Debug, Default)]
pub(super) struct Bell {
    /// The word of each task that called for a person; `None`: nobody has looked yet.
    calling: Option<BTreeMap<TaskId, &'static str>>,
}

impl Bell {
    /// Takes what is seen now, and returns whether some task calls that did not call before, or for something else. What calls
    /// when it is first looked at is on the screen already.
    pub(super) fn heed<'a>(&mut self, tasks: impl Iterator<Item = &'a Task>) -> bool {
        let now: BTreeMap<TaskId, &'static str> =
            tasks.filter_map(|task| Some((task.id.clone(), call(&task.state)?))).collect();
        let before = self.calling.replace(now);
        let (Some(before), Some(now)) = (before, &self.calling) else { return false };
        now.iter().any(|(id, word)| before.get(id) != Some(word))
    }
}

/// Returns the word of a state that calls for a person.
fn call(state: &State) -> Option<&'static str> {
    match state {
        State::Done { .. }
        | State::Failed
        | State::Dead
        | State::Conflict
        | State::Review
        | State::Rejected
        | State::Lost { rebooted: true } => Some(state.word()),
        State::Waiting { reason: WaitReason::Parked, .. } => Some("parked"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{Event, Record};
    use crate::model::{Oid, Roster, TaskSpec};

    #[test]
    fn it_rings_once_for_each_thing_that_calls() {
        let id: TaskId = "a@1".parse().expect("an id");
        let mut roster = Roster::default();
        let mut tell = |event: Event, bell: &mut Bell| {
            let at = jiff::Timestamp::UNIX_EPOCH;
            roster.apply(&Record { v: 1, at, task: Some(id.clone()), event }).expect("it fits");
            bell.heed(roster.live())
        };
        let spec = TaskSpec { agent: Some("x".to_owned()), ..TaskSpec::new(id.name.clone(), "main") };
        let head = Oid::parse(&"0".repeat(40)).expect("forty digits");
        let (mut early, mut late) = (Bell::default(), Bell::default());
        assert!(!tell(Event::Queued { spec }, &mut early));
        assert!(!tell(Event::Stopped, &mut early), "a person did that");
        assert!(tell(Event::MarkedDone { head: head.clone(), skipped: false }, &mut early));
        assert!(!tell(Event::WorkspaceMade { workspace: workspace(&head) }, &mut early), "it rang for that");
        assert!(
            !tell(
                Event::Publishing {
                    landing: String::new(),
                    target: String::new(),
                    old: head.clone(),
                    new: head,
                    tasks: vec![]
                },
                &mut late
            ),
            "it is on the screen"
        );
    }

    fn workspace(base: &Oid) -> crate::model::Workspace {
        crate::model::Workspace {
            path: String::new(),
            branch: String::new(),
            base: base.clone(),
            entry: String::new(),
            copied: vec![],
            ports: vec![],
        }
    }
}
