//! What an attempt used: what its agent told, without what was counted before, by model.
//!
//! Invariant: nothing is counted twice, and nothing that was told is lost. Pure.

use std::collections::BTreeMap;

use crate::agent::Facts;
use crate::model::adapter::UsageIs;
use crate::model::{Task, Usage};

/// What an attempt used, and the same by model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Used {
    /// Over all models.
    pub usage: Usage,
    /// By model; sums up to `usage`, as far as the agent tells models apart.
    pub models: BTreeMap<String, Usage>,
}

/// Returns what an attempt of `task` used by its `facts`. An agent that counts a resumed session as a whole has told once
/// more what the task's earlier attempts in that session used.
pub fn used(task: &Task, usage_is: UsageIs, facts: &Facts) -> Used {
    let same = facts.session.is_some() && facts.session == task.session;
    let usage = match usage_is {
        UsageIs::Cumulative if same => facts.usage.since(&task.thread),
        UsageIs::Cumulative | UsageIs::Attempt => facts.usage,
    };
    let apart = !facts.models.is_empty() && usage == facts.usage;
    let models = match apart {
        true => facts.models.clone(),
        false if usage.is_nothing() => BTreeMap::new(),
        false => BTreeMap::from([(model(task, facts), usage)]),
    };
    Used { usage, models }
}

/// Returns the model of an agent that works with one: as it said, as it was asked for, else the agent's own name.
fn model(task: &Task, facts: &Facts) -> String {
    let named = facts.model.as_ref().or(task.spec.model.as_ref()).or(task.spec.agent.as_ref());
    named.cloned().unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::Record;
    use crate::model::usage::Tokens;
    use crate::model::verdict::{Class, Exit};
    use crate::model::{Event, Roster, TaskId, TaskSpec};
    use jiff::Timestamp;

    fn tokens(input: u64) -> Usage {
        Usage { tokens: Tokens { input, ..Tokens::default() }, cost_usd: 0.0 }
    }

    fn told(session: &str, input: u64) -> Facts {
        Facts { session: Some(session.to_owned()), usage: tokens(input), ..Facts::default() }
    }

    /// The task after attempts that told these sessions and counts.
    fn after(usage_is: UsageIs, attempts: &[(&str, u64)]) -> (Task, Vec<u64>) {
        let id: TaskId = "t@1".parse().unwrap();
        let spec = TaskSpec { agent: Some("codex".to_owned()), ..TaskSpec::new(id.name.clone(), "main") };
        let mut roster = Roster::default();
        let record = |event| Record { v: 1, at: Timestamp::UNIX_EPOCH, task: Some(id.clone()), event };
        roster.apply(&record(Event::Queued { spec })).unwrap();
        let mut counted = Vec::new();
        for (n, (session, input)) in (1..).zip(attempts) {
            let task = roster.get(&id).unwrap().clone();
            let started = Event::Started { attempt: n, token: String::new(), boot: String::new() };
            roster.apply(&record(started)).unwrap();
            let named = Event::Session { session: (*session).to_owned(), model: None };
            roster.apply(&record(named)).unwrap();
            let Used { usage, models } = used(&task, usage_is, &told(session, *input));
            counted.push(usage.tokens.input);
            let ended = Event::Ended {
                attempt: n,
                exit: Exit::Code(1),
                class: Class::Retry,
                reason: String::new(),
                usage,
                models,
                lap: None,
                swept: 0,
                next: crate::model::event::Next::Iterate,
            };
            roster.apply(&record(ended)).unwrap();
        }
        (roster.get(&id).unwrap().clone(), counted)
    }

    #[test]
    fn a_resumed_thread_that_counts_everything_again_is_counted_once() {
        let attempts = [("a", 100), ("a", 250), ("b", 40), ("b", 90)];
        let (task, counted) = after(UsageIs::Cumulative, &attempts);
        assert_eq!(counted, [100, 150, 40, 50]);
        assert_eq!(task.usage.tokens.input, 340);
        assert_eq!(
            task.models["codex"].tokens.input, 340,
            "the agent stands in for a model that nobody named"
        );
        let (task, _) = after(UsageIs::Attempt, &attempts);
        assert_eq!(task.usage.tokens.input, 480);
    }

    #[test]
    fn models_are_told_apart_where_the_agent_does() {
        let (task, _) = after(UsageIs::Attempt, &[]);
        let models = BTreeMap::from([("big".to_owned(), tokens(3)), ("small".to_owned(), tokens(1))]);
        let facts = Facts { usage: tokens(4), models: models.clone(), ..Facts::default() };
        assert_eq!(used(&task, UsageIs::Attempt, &facts).models, models);
        let facts = Facts { usage: tokens(4), model: Some("big".to_owned()), ..Facts::default() };
        assert_eq!(
            used(&task, UsageIs::Attempt, &facts).models,
            BTreeMap::from([("big".to_owned(), tokens(4))])
        );
        assert_eq!(used(&task, UsageIs::Attempt, &Facts::default()), Used::default());
    }
}
