//! One task moved by one record: the state first, which may refuse, then the facts. Nothing else changes a task.

use std::collections::BTreeMap;

use crate::model::Usage;
use crate::model::event::{Event, Lap, Next, Record};
use crate::model::state::{BadTransition, State};
use crate::model::task::{Landing, Task};
use crate::model::verdict::Class;

/// How many iterations of a loop are remembered at least; as many as its rules look back, if those are more.
const LAPS: usize = 8;

impl Task {
    /// Takes what an iteration left.
    fn lap(&mut self, lap: &Lap) {
        self.iteration = lap.iteration;
        self.lap_over = true;
        self.round += 1;
        self.laps.push(lap.clone());
        let remembered =
            self.spec.looping.as_ref().map_or(LAPS, |looping| LAPS.max(looping.no_progress as usize));
        let old = self.laps.len().saturating_sub(remembered);
        self.laps.drain(..old);
    }

    /// Begins a new round: a loop that is used up begins again, one that was cut short goes on.
    fn begin_round(&mut self) {
        self.tries = 0;
        self.resume = !self.lap_over;
        self.round = 0;
        if self.spec.looping.as_ref().is_some_and(|looping| self.iteration >= looping.max) {
            self.iteration = 0;
        }
    }

    /// Begins anew by hand.
    fn retried(&mut self) {
        self.begin_round();
        self.stopped_with_all = None;
        self.class = None;
        self.spent_models = 0;
        self.outcome = None;
        self.ended_at = None;
    }

    fn used(&mut self, usage: Usage, models: &BTreeMap<String, Usage>) {
        self.usage += usage;
        for (model, usage) in models {
            *self.models.entry(model.clone()).or_default() += *usage;
        }
    }
}

/// Returns how long the attempt took that `record` ends, in milliseconds. When a lost one ended nobody saw: it counts for
/// no more than its time limit.
fn took(task: &Task, record: &Record) -> u64 {
    let most = match &record.event {
        Event::Ended { .. } => u64::MAX,
        Event::Lost { .. } => task.spec.timeout_ms,
        _ => return 0,
    };
    let since = task.started_at.map_or(0, |at| record.at.duration_since(at).as_millis());
    u64::try_from(since).unwrap_or_default().min(most)
}

/// Moves one task by one record: first the state, which may refuse, then the facts.
pub(super) fn advance(task: &mut Task, record: &Record) -> Result<(), BadTransition> {
    let before = task.state.at_rest();
    let took = took(task, record);
    let from = task.state.taken_up_from();
    task.state = task.state.clone().apply(&record.event)?;
    task.time_ms = task.time_ms.saturating_add(took);
    match &record.event {
        Event::WorkspaceMade { workspace } | Event::Restored { workspace } => {
            task.workspace = Some(workspace.clone());
            task.trash = None;
        }
        Event::Started { attempt, .. } => {
            task.attempt = *attempt;
            task.started_at = Some(record.at);
            task.ended_at = None;
            task.outcome = None;
            task.lap_over = false;
            task.at_once = false;
        }
        Event::Session { session, model } => {
            if task.session.as_ref() != Some(session) {
                task.thread = Usage::default();
            }
            task.session = Some(session.clone());
            task.model = model.clone().or_else(|| task.model.take());
        }
        Event::Ended { class, reason, usage, models, lap, next, .. } => {
            task.class = (!matches!(next, Next::Iterate)).then_some(*class);
            task.stopped_with_all.take_if(|_| !matches!(next, Next::Stopped));
            match (class, next) {
                (Class::NextModel, Next::Wait { .. }) => task.spent_models += 1,
                // What failed for good is tried again only because a fresh session may do better.
                (Class::Fail, Next::Wait { .. }) => task.session = None,
                _ => {}
            }
            task.used(*usage, models);
            task.thread += *usage;
            task.outcome = Some(reason.clone());
            if let Some(lap) = lap {
                task.lap(lap);
            }
            if matches!(next, Next::Iterate) {
                task.tries = 0;
                task.resume = false;
            } else if !matches!(next, Next::Wait { counted: false, .. } | Next::Stopped) {
                task.tries += 1;
            }
        }
        Event::Lost { reason, .. } => {
            task.tries += 1;
            task.outcome = Some(reason.clone());
        }
        Event::Exhausted => {
            let last = task.outcome.take().unwrap_or_default();
            task.outcome = Some(format!("{last}; no attempt left"));
        }
        Event::Stopped => task.outcome = Some("stopped by hand".to_owned()),
        Event::Rewound { checkpoint, kept } => {
            task.lap_over = true;
            task.outcome = Some(format!("brought back to {checkpoint}; {kept} has how it was"));
        }
        Event::Stray { what, running } => task.heed_stray(what, running),
        Event::Retried => {
            task.retried();
            task.at_once = true;
        }
        Event::Resumed => task.retried(),
        Event::Rebudgeted { budget } => {
            let spec = &mut task.spec;
            (spec.budget_usd, spec.budget_tokens, spec.budget_ms) =
                (budget.usd, budget.tokens, budget.time_ms);
            task.warned.clear();
        }
        Event::BudgetWarned { bound, .. } => task.warned.push(*bound),
        Event::OverBudget { reason, .. } => {
            task.outcome = Some(reason.clone());
            task.class = task.class.map(|_| Class::Escalate);
        }
        Event::Pruned { trash } => {
            task.workspace = None;
            task.trash = Some(trash.clone());
        }
        Event::Removed { trash, .. } => {
            task.workspace = None;
            task.trash.clone_from(trash);
        }
        event => land(task, event, from),
    }
    match &record.event {
        Event::Started { .. } => task.stopped_at = None,
        Event::Ended { .. } | Event::Lost { .. } => task.stopped_at = Some(record.at),
        Event::Removed { reason, .. } => task.outcome_before = task.outcome.replace(reason.clone()),
        Event::Restored { .. } if task.outcome_before.is_some() => task.outcome = task.outcome_before.take(),
        _ => {}
    }
    if task.state.at_rest()
        && (!before || matches!(record.event, Event::Removed { .. } | Event::Landed { .. }))
    {
        task.ended_at = Some(record.at);
    }
    Ok(())
}

/// Takes what a landing says of a task, a person in its place, or who could not let it start; `from`: the state in which it was taken up.
fn land(task: &mut Task, event: &Event, from: Option<State>) {
    match event {
        Event::LandingStarted { head } => {
            task.landing = Some(Landing { head: Some(head.clone()), ..Landing::default() });
        }
        Event::LandingAborted { reason } | Event::HeldBack { reason, .. } => {
            task.outcome = Some(reason.clone());
        }
        Event::MarkedDone { .. } => task.outcome = Some("finished by hand".to_owned()),
        Event::Parked { reason } => {
            task.outcome = Some(reason.clone());
            task.class = Some(Class::FleetStop);
        }
        Event::Conflicted { paths, onto, reason } => {
            let landing = task.landing.get_or_insert_default();
            landing.conflicts.clone_from(paths);
            landing.onto = Some(onto.clone());
            let why = reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
            task.outcome =
                Some(format!("conflict in {}{why}", crate::model::text::count(paths.len(), "file")));
        }
        Event::Resolved { paths, usage, models, kept } => {
            task.used(*usage, models);
            let landing = task.landing.get_or_insert_default();
            landing.resolved.clone_from(paths);
            landing.kept = kept.clone().or_else(|| landing.kept.take());
        }
        Event::ReviewNeeded { reason, paths, onto, candidate } => {
            let landing = task.landing.get_or_insert_default();
            landing.conflicts.clone_from(paths);
            landing.onto = Some(onto.clone());
            landing.candidate.clone_from(candidate);
            task.outcome = Some(reason.clone());
        }
        Event::Approved { head } => {
            task.approved.clone_from(head);
            task.outcome = Some("approved by hand".to_owned());
        }
        Event::Rejected { reason, onto, log } => {
            let landing = task.landing.get_or_insert_default();
            landing.onto = Some(onto.clone());
            landing.log.clone_from(log);
            task.outcome = Some(reason.clone());
        }
        Event::Landed { tip, commits } => {
            let landing = task.landing.get_or_insert_default();
            landing.tip = Some(tip.clone());
            landing.commits = *commits;
            landing.from = from;
            landing.taken_back = None;
            task.outcome = Some(crate::model::text::count(*commits, "commit"));
        }
        Event::Unlanded { .. } => {
            let landing = task.landing.get_or_insert_default();
            (landing.tip, landing.commits, landing.from) = (None, 0, None);
            landing.taken_back.clone_from(&landing.head);
            task.outcome = Some("its landing was taken back".to_owned());
        }
        _ => {}
    }
}
