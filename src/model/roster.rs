//! All tasks, as the journal tells them: the one fold that every room reads.
//!
//! Invariant: a [`Roster`] is only changed by [`Roster::apply`], in journal order. A record that does not fit the state
//! machine is counted and skipped, never half applied: reading must not fail because of one bad line.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::account::account;
use super::budget::{Ledger, Spent};
use super::event::{Event, Lap, Next, Record, WaitReason};
use super::state::{BadTransition, State};
use super::task::{Landing, Oid, Task};
use super::verdict::{Class, Exit};
use super::{TaskId, TaskName, Usage};

/// A target that was about to move when its record was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The landing's id.
    pub landing: String,
    /// The target, short.
    pub target: String,
    /// Where it stood.
    pub old: Oid,
    /// Where it was to go.
    pub new: Oid,
    /// The tasks that land with it: id, resulting commit, number of commits.
    pub tasks: Vec<(TaskId, Oid, usize)>,
}

/// All tasks and open intents.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Roster {
    tasks: BTreeMap<TaskId, Task>,
    intents: Vec<Intent>,
    next_order: u64,
    /// By account, the task whose attempt ended last.
    spoke_last: BTreeMap<String, TaskId>,
    misfits: usize,
    ledger: Ledger,
}

impl Roster {
    /// Returns the roster that `records` tell.
    pub fn fold<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut roster = Self::default();
        for record in records {
            if roster.apply(record).is_err() {
                roster.misfits += 1;
            }
        }
        roster
    }

    /// Counts a record that [`Roster::apply`] refused while reading.
    pub fn count_misfit(&mut self) {
        self.misfits += 1;
    }

    /// Returns how many records did not fit the state machine.
    pub fn misfits(&self) -> usize {
        self.misfits
    }

    /// Returns every task, by name and generation.
    pub fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.values()
    }

    /// Returns the tasks whose names are taken.
    pub fn live(&self) -> impl Iterator<Item = &Task> {
        self.tasks.values().filter(|task| !task.state.ended())
    }

    /// Returns the task of that id.
    pub fn get(&self, id: &TaskId) -> Option<&Task> {
        self.tasks.get(id)
    }

    /// Returns the newest generation of `name`.
    pub fn newest(&self, name: &TaskName) -> Option<&Task> {
        self.tasks.values().rfind(|task| task.name() == name)
    }

    /// Returns the live task of that name.
    pub fn live_named(&self, name: &TaskName) -> Option<&Task> {
        self.newest(name).filter(|task| !task.state.ended())
    }

    /// Returns whether the task has landed. One that is not known any more ended long ago and holds nobody up.
    pub fn has_landed(&self, id: &TaskId) -> bool {
        self.get(id).is_none_or(|task| task.state == State::Landed)
    }

    /// Returns intents that were never settled.
    pub fn intents(&self) -> &[Intent] {
        &self.intents
    }

    /// Returns what was used lately, by all tasks.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Applies one record; the only mutator. On an error nothing changed.
    pub fn apply(&mut self, record: &Record) -> Result<(), BadTransition> {
        match &record.event {
            Event::Publishing { landing, target, old, new, tasks } => self.intents.push(Intent {
                landing: landing.clone(),
                target: target.clone(),
                old: old.clone(),
                new: new.clone(),
                tasks: tasks.clone(),
            }),
            Event::Published { landing, .. } => self.intents.retain(|intent| intent.landing != *landing),
            Event::CarriedLedger { ledger } => self.ledger = ledger.clone(),
            _ => {}
        }
        let Some(id) = &record.task else { return Ok(()) };
        match &record.event {
            Event::Queued { spec } => {
                if self.tasks.contains_key(id) {
                    return Err(BadTransition { from: "known", event: "queued" });
                }
                self.next_order += 1;
                let task = Task {
                    id: id.clone(),
                    state: if spec.agent.is_some() { State::Queued } else { State::Open },
                    spec: spec.clone(),
                    order: self.next_order,
                    workspace: None,
                    attempt: 0,
                    tries: 0,
                    resume: false,
                    session: None,
                    model: None,
                    class: None,
                    spent_models: 0,
                    iteration: 0,
                    laps: Vec::new(),
                    lap_over: false,
                    round: 0,
                    usage: Usage::default(),
                    models: BTreeMap::new(),
                    thread: Usage::default(),
                    time_ms: 0,
                    warned: Vec::new(),
                    queued_at: record.at,
                    started_at: None,
                    stopped_at: None,
                    ended_at: None,
                    outcome: None,
                    outcome_before: None,
                    landing: None,
                    approved: None,
                    trash: None,
                };
                self.tasks.insert(id.clone(), task);
                Ok(())
            }
            Event::Carried { task } => {
                self.next_order = self.next_order.max(task.order);
                self.hear_carried(task);
                self.tasks.insert(id.clone(), (**task).clone());
                Ok(())
            }
            _ => match self.tasks.get_mut(id) {
                Some(task) => {
                    let before = task.spent();
                    advance(task, record)?;
                    let now = task.spent();
                    if now != before {
                        let time_ms = now.time_ms.saturating_sub(before.time_ms);
                        self.ledger.add(record.at, Spent { usage: now.usage.since(&before.usage), time_ms });
                    }
                    self.hear(record);
                    Ok(())
                }
                None => Err(BadTransition { from: "unknown", event: "changed" }),
            },
        }
    }
}

/// What the attempts of an account say of it.
impl Roster {
    /// Returns until when the account rests: its newest attempt met a rate limit, and the task waits for its end. An
    /// attempt that ends otherwise, or a person who takes that task up, ends the rest.
    pub fn rests_until(&self, account: &str) -> Option<Timestamp> {
        let last = self.get(self.spoke_last.get(account)?)?;
        match last.state {
            // A budget of the day makes a task wait as well, and is no limit of the account.
            State::Waiting { reason: WaitReason::RateLimit, until } if last.class == Some(Class::Park) => {
                until
            }
            _ => None,
        }
    }

    /// Returns until when others of its account keep a task that has not met the limit itself. One that a person took up
    /// again is not kept: they may know better.
    pub fn held_until(&self, task: &Task) -> Option<Timestamp> {
        let held = match task.state {
            State::Queued => !task.resume,
            State::Waiting { reason: WaitReason::Backoff, .. } => true,
            _ => false,
        };
        held.then(|| self.rests_until(account(&task.spec)?)).flatten()
    }

    /// Takes from the end of an attempt who spoke last for its account; one that a person stopped, or whose agent did not
    /// even start, says nothing of it.
    fn hear(&mut self, record: &Record) {
        let Event::Ended { next, exit, .. } = &record.event else { return };
        let silent = matches!(next, Next::Stopped) || *exit == Exit::NotStarted;
        let task = record.task.as_ref().and_then(|id| self.tasks.get(id));
        if let (false, Some(task)) = (silent, task)
            && let Some(account) = account(&task.spec)
        {
            self.spoke_last.insert(account.to_owned(), task.id.clone());
        }
    }

    /// The same from a task that was carried over: there the time of its end is all that is left of the order.
    fn hear_carried(&mut self, task: &Task) {
        let Some(account) = account(&task.spec).filter(|_| task.class.is_some()) else { return };
        let last = self.spoke_last.get(account).and_then(|id| self.get(id));
        if last.is_none_or(|last| last.stopped_at < task.stopped_at) {
            self.spoke_last.insert(account.to_owned(), task.id.clone());
        }
    }
}

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
fn advance(task: &mut Task, record: &Record) -> Result<(), BadTransition> {
    let before = task.state.at_rest();
    let took = took(task, record);
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
        Event::Retried => {
            task.begin_round();
            task.class = None;
            task.spent_models = 0;
            task.outcome = None;
            task.ended_at = None;
        }
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
        Event::MarkedDone { .. } => task.outcome = Some("finished by hand".to_owned()),
        Event::Pruned { trash } => {
            task.workspace = None;
            task.trash = Some(trash.clone());
        }
        Event::Removed { trash, .. } => {
            task.workspace = None;
            task.trash.clone_from(trash);
        }
        event => land(task, event),
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

/// Takes what a landing says of a task.
fn land(task: &mut Task, event: &Event) {
    match event {
        Event::LandingStarted { head } => {
            task.landing = Some(Landing { head: Some(head.clone()), ..Landing::default() });
        }
        Event::LandingAborted { reason } => task.outcome = Some(reason.clone()),
        Event::Parked { reason } => {
            task.outcome = Some(reason.clone());
            task.class = Some(Class::FleetStop);
        }
        Event::Conflicted { paths, onto, reason } => {
            let landing = task.landing.get_or_insert_default();
            landing.conflicts.clone_from(paths);
            landing.onto = Some(onto.clone());
            let why = reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
            task.outcome = Some(format!("conflict in {}{why}", super::text::count(paths.len(), "file")));
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
            task.outcome = Some(super::text::count(*commits, "commit"));
        }
        _ => {}
    }
}
