//! All tasks, as the journal tells them: the one fold that every room reads.
//!
//! Invariant: a [`Roster`] is only changed by [`Roster::apply`], in journal order. A record that does not fit the state
//! machine is counted and skipped, never half applied: reading must not fail because of one bad line.

mod fold;

use std::collections::BTreeMap;

use jiff::Timestamp;

use self::fold::advance;
use super::account::{Rests, account};
use super::breaker::Breakers;
use super::budget::{Ledger, Spent};
use super::event::{Event, Record, WaitReason};
use super::state::{BadTransition, State};
use super::task::{Oid, Task};
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

/// A landing that was about to be taken back when its record was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undoing {
    /// The landing's id.
    pub landing: String,
    /// The target, short.
    pub target: String,
    /// Where it stood.
    pub from: Oid,
    /// Where it was to go.
    pub to: Oid,
    /// The tasks that are taken back, with the state that each one goes back to.
    pub tasks: Vec<(TaskId, State)>,
}

/// All tasks and open intents.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Roster {
    tasks: BTreeMap<TaskId, Task>,
    intents: Vec<Intent>,
    undoings: Vec<Undoing>,
    next_order: u64,
    misfits: usize,
    ledger: Ledger,
    breakers: Breakers,
    rests: Rests,
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

    /// Returns the task that is meant by `name`: the one that has not ended, else one that still has a workspace, else the
    /// newest generation. An older one comes first where it was restored after the newer one was removed.
    pub fn newest(&self, name: &TaskName) -> Option<&Task> {
        let of = |generation| TaskId { name: name.clone(), generation };
        let of_name = self.tasks.range(of(0)..=of(u32::MAX)).map(|(_, task)| task);
        of_name.max_by_key(|task| (!task.state.ended(), task.workspace.is_some(), task.id.generation))
    }

    /// Returns the live task of that name.
    pub fn live_named(&self, name: &TaskName) -> Option<&Task> {
        self.newest(name).filter(|task| !task.state.ended())
    }

    /// Returns whether the task has landed. One that is not known any more ended long ago and holds nobody up.
    pub fn has_landed(&self, id: &TaskId) -> bool {
        self.get(id).is_none_or(|task| task.state == State::Landed)
    }

    /// Returns whether `parent` holds `task` up no more: it has landed, or its work is done where that is enough.
    pub fn is_met(&self, task: &Task, parent: &TaskId) -> bool {
        let done = || self.get(parent).is_some_and(|parent| parent.state.has_finished_work());
        self.has_landed(parent) || (task.spec.after_done.contains(&parent.name) && done())
    }

    /// Returns what each task that has landed was and became, newest first: its branch's commit, and the one on the target.
    pub fn landings(&self) -> Vec<(Oid, Oid)> {
        let landed = self.tasks.values().filter(|task| task.state == State::Landed);
        let mut landings: Vec<_> = landed
            .filter_map(|task| {
                let landing = task.landing.as_ref()?;
                Some((task.order, landing.head.clone()?, landing.tip.clone()?))
            })
            .collect();
        landings.sort_by_key(|(order, ..)| std::cmp::Reverse(*order));
        landings.into_iter().map(|(_, head, tip)| (head, tip)).collect()
    }

    /// Returns intents that were never settled.
    pub fn intents(&self) -> &[Intent] {
        &self.intents
    }

    /// Returns intents to take a landing back that were never settled.
    pub fn undoings(&self) -> &[Undoing] {
        &self.undoings
    }

    /// Returns what was used lately, by all tasks.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Returns the breakers of profiles and agents.
    pub fn breakers(&self) -> &Breakers {
        &self.breakers
    }

    /// Returns until when the breaker of its profile or agent keeps a task that would start otherwise. From then on one
    /// may start, and the others wait for what comes of it.
    pub fn broken_until(&self, task: &Task) -> Option<Timestamp> {
        let until = self.breakers.over(&task.spec)?.until?;
        match task.state {
            State::Queued => Some(until),
            State::Waiting { reason: WaitReason::Backoff, until: Some(own) } => {
                (own < until).then_some(until)
            }
            _ => None,
        }
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
            Event::Undoing { landing, target, from, to, tasks } => self.undoings.push(Undoing {
                landing: landing.clone(),
                target: target.clone(),
                from: from.clone(),
                to: to.clone(),
                tasks: tasks.clone(),
            }),
            Event::Undone { landing, .. } => self.undoings.retain(|undoing| undoing.landing != *landing),
            Event::StoppingAll { tasks } => self.mark_stopped(tasks),
            Event::CarriedLedger { ledger } => self.ledger = ledger.clone(),
            Event::CarriedBreakers { breakers, rests } => {
                self.breakers = breakers.clone();
                self.rests = rests.clone();
            }
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
                    at_once: false,
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
                    stopped_with_all: None,
                    landing: None,
                    approved: None,
                    strays: Vec::new(),
                    trash: None,
                };
                self.tasks.insert(id.clone(), task);
                Ok(())
            }
            Event::Carried { task } => {
                self.next_order = self.next_order.max(task.order);
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
                    self.breakers.hear(&task.spec, &record.event, record.at);
                    self.rests.hear(&task.id, &task.spec, &record.event);
                    Ok(())
                }
                None => Err(BadTransition { from: "unknown", event: "changed" }),
            },
        }
    }
}

impl Roster {
    /// Marks the tasks that are stopped all at once. Only the last time counts; the same again, for one that did not end the
    /// first time, is no other time.
    fn mark_stopped(&mut self, tasks: &[TaskId]) {
        let again = |id: &TaskId| self.get(id).is_some_and(|task| task.stopped_with_all.is_some());
        if !tasks.iter().all(again) {
            self.tasks.values_mut().for_each(|task| task.stopped_with_all = None);
        }
        for id in tasks {
            if let Some(task) = self.tasks.get_mut(id) {
                let state = &task.state;
                task.stopped_with_all.get_or_insert_with(|| state.clone());
            }
        }
    }
}

/// What the attempts of an account say of it.
impl Roster {
    /// Returns the accounts that rest.
    pub fn rests(&self) -> &Rests {
        &self.rests
    }

    /// Returns until when others of its account keep a task that has not met the limit itself. One that a person took up
    /// again by name is not kept: they may know better.
    pub fn held_until(&self, task: &Task) -> Option<Timestamp> {
        let held = match task.state {
            State::Queued => !task.at_once,
            State::Waiting { reason: WaitReason::Backoff, .. } => true,
            _ => false,
        };
        held.then(|| self.rests.until(account(&task.spec)?)).flatten()
    }

    /// Returns when a task could start at the earliest if it were queued at `now`: its account rests until then, or the
    /// breaker of its profile or agent is open. `None`: nothing of the kind keeps it.
    pub fn kept_until(&self, task: &Task, now: Timestamp) -> Option<Timestamp> {
        let rests = account(&task.spec).and_then(|account| self.rests.until(account));
        let broken = self.breakers.over(&task.spec).and_then(|breaker| breaker.until);
        rests.max(broken).filter(|until| *until > now)
    }
}
