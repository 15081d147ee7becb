//! `wt status`: the view of a task, from what the journal says of it and what was seen of its workspace.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::look::Known;
use crate::agent::call::TOOL_PATIENCE;
use crate::model::breaker;
use crate::model::budget::{self, Budget, Spent};
use crate::model::event::WaitReason;
use crate::model::pace::{self, Account, Pace, Signs, Supervised};
use crate::model::view::{BreakerView, ClashingView, HeartbeatView, TaskView};
use crate::model::{Roster, State, Task, TaskId, Usage};
use crate::process::memory::Held;
use crate::store::clashes::Clashes;
use crate::store::live::{self, Live};
use crate::store::{Layout, Lock};

/// What is known of all running agents together.
#[derive(Debug, Clone, Default)]
pub struct Vital {
    /// The memory of attempts by token, where it was asked.
    pub memory: Option<BTreeMap<String, Held>>,
    /// The silence that ends an agent.
    pub stall: Duration,
}

impl Vital {
    /// Returns the one word for how a task gets on.
    fn pace(&self, task: &Task, roster: &Roster, layout: &Layout, live: Option<&Live>) -> Option<Pace> {
        let running = matches!(task.state, State::Running { .. });
        let held = running && Lock::is_held(&layout.task(&task.id).lock());
        let fault = live.and_then(|live| live.fault.as_ref()).filter(|_| running);
        let signs = Signs {
            supervised: if held { Supervised::Yes } else { Supervised::No },
            silent: running.then(|| live::silence(&layout.task(&task.id), task.attempt)).flatten(),
            stall: self.stall * live.and_then(|live| live.tool.as_ref()).map_or(1, |_| TOOL_PATIENCE),
            fault: fault.map(|fault| fault.status),
        };
        let account = if roster.held_until(task).is_some() { Account::Rests } else { Account::Works };
        pace::pace(&task.state, account, &signs)
    }

    /// Returns what is known of a running agent.
    fn heartbeat(&self, task: &Task, live: Option<&Live>) -> Option<HeartbeatView> {
        let State::Running { token, .. } = &task.state else { return None };
        let held = self.memory.as_ref().and_then(|memory| memory.get(token));
        let mut view = HeartbeatView {
            memory_bytes: held.map(|held| held.bytes),
            processes: held.map(|held| held.processes),
            ..HeartbeatView::default()
        };
        if let Some(live) = live {
            view.context_tokens = live.context;
            view.context_window = live.window;
            view.context_share = live.context.zip(live.window).and_then(share);
            view.tokens = live.usage.tokens;
            view.tool.clone_from(&live.tool);
            view.errors = live.errors;
            view.fault = live.fault.as_ref().map(|fault| fault.reason.clone());
        }
        Some(view)
    }
}

/// Returns a part of a whole, to a thousandth.
#[expect(clippy::cast_precision_loss, reason = "no context has so many tokens")]
fn share((part, whole): (u64, u64)) -> Option<f64> {
    (whole > 0).then(|| (part as f64 / whole as f64 * 1000.0).round() / 1000.0)
}

/// Returns the view of one task; `clashes` is what is known of all.
pub fn view(
    task: &Task,
    roster: &Roster,
    layout: &Layout,
    known: &Known,
    clashes: &Clashes,
    vital: &Vital,
    now: Timestamp,
) -> TaskView {
    let folder = layout.task(&task.id);
    // One that was never begun has none, and there may be many of those.
    let live = (task.attempt > 0).then(|| Live::load(&folder, task.attempt)).flatten();
    let running = matches!(task.state, State::Running { .. });
    let mut usage = task.usage;
    if let (true, Some(live)) = (running, &live) {
        usage += live.usage;
    }
    let (state, reason) = words(task, roster, layout);
    let seen = known.seen.as_ref();
    let toward = seen.and_then(|seen| seen.toward.as_ref());
    let size = seen.and_then(|seen| seen.size.as_ref());
    let until = task.stopped_at.unwrap_or(now);
    let elapsed = task.started_at.map(|start| until.duration_since(start));
    let clashes = clashing(task, roster, clashes);
    let held = roster.held_until(task).max(roster.broken_until(task));
    TaskView {
        name: task.name().to_string(),
        state,
        reason,
        branch: task.workspace.as_ref().map(|workspace| workspace.branch.clone()),
        worktree: task.workspace.as_ref().map(|workspace| workspace.path.clone()),
        ports: task.workspace.as_ref().map(|workspace| workspace.ports.clone()).unwrap_or_default(),
        target: task.spec.target.clone(),
        base: task.workspace.as_ref().map(|workspace| workspace.base.clone()),
        head: seen.and_then(|seen| seen.head.clone()),
        ahead: toward.map_or(0, |toward| toward.ahead),
        behind: toward.map_or(0, |toward| toward.behind),
        dirty: seen.and_then(|seen| seen.dirty).unwrap_or(false),
        files_changed: size.map_or(0, |size| size.files),
        insertions: size.map_or(0, |size| size.insertions),
        deletions: size.map_or(0, |size| size.deletions),
        conflicts_with_target: toward.filter(|_| !task.state.ended()).and_then(|toward| toward.conflicts),
        conflicts_with: clashes.iter().map(|clash| clash.with.clone()).collect(),
        clashes,
        cached: known.remembered,
        as_of: seen.filter(|_| known.remembered).map(|seen| seen.as_of),
        agent: task.spec.agent.clone(),
        model: task.model.clone().or_else(|| task.spec.model.clone()),
        profile: task.spec.profile.clone(),
        until: match task.state {
            State::Waiting { until, .. } => until.max(held),
            _ => held,
        },
        priority: task.spec.priority,
        after: task.spec.after.iter().map(|id| id.name.to_string()).collect(),
        after_done: task.spec.after_done.iter().map(ToString::to_string).collect(),
        attempt: task.attempt,
        iteration: task.last_iteration(),
        iterations: task.spec.looping.as_ref().map(|looping| looping.max),
        session: task.session.clone(),
        queued_at: task.queued_at,
        started_at: task.started_at,
        ended_at: task.ended_at,
        elapsed_ms: elapsed.and_then(|elapsed| u64::try_from(elapsed.as_millis()).ok()),
        silent_ms: if running {
            live::silence(&folder, task.attempt).and_then(|silence| u64::try_from(silence.as_millis()).ok())
        } else {
            None
        },
        pace: vital.pace(task, roster, layout, live.as_ref()),
        heartbeat: vital.heartbeat(task, live.as_ref()),
        tokens: usage.tokens,
        cost_usd: usage.cost_usd,
        budget: Some(task.spec.budget()).filter(Budget::bounds_anything),
        warning: warning(task, usage),
        last: live.and_then(|live| live.last),
        outcome: task.outcome.clone(),
        strays: task.strays.clone(),
        conflicts: match (&task.state, &task.landing) {
            (State::Conflict, Some(landing)) => landing.conflicts.clone(),
            _ => Vec::new(),
        },
    }
}

/// Returns the breakers that are not closed.
pub fn breakers(roster: &Roster, now: Timestamp) -> Vec<BreakerView> {
    let tripped = roster.breakers().tripped();
    let waits_for =
        |task: &&Task, of| breaker::of(&task.spec) == Some(of) && roster.broken_until(task).is_some();
    tripped
        .map(|breaker| BreakerView {
            kind: breaker.kind,
            name: breaker.name.clone(),
            state: breaker.stance(now),
            failures: breaker.failures,
            until: breaker.until,
            reason: breaker.reason.clone(),
            waiting: {
                let waiting = roster.live().filter(|task| waits_for(task, breaker.of()));
                waiting.map(|task| task.name().to_string()).collect()
            },
        })
        .collect()
}

/// Returns the live tasks that a live one does not merge with.
fn clashing(task: &Task, roster: &Roster, known: &Clashes) -> Vec<ClashingView> {
    let live = |id: &TaskId| roster.get(id).is_some_and(|task| !task.state.ended());
    let mine = known.pairs.iter().filter(|_| live(&task.id));
    let with = mine.filter_map(|clash| Some((clash, clash.other(&task.id).filter(|other| live(other))?)));
    with.map(|(clash, other)| ClashingView {
        with: other.name.to_string(),
        files: clash.files.clone(),
        since: clash.since,
    })
    .collect()
}

/// Returns how much of the task's budget is used, if it was warned of it.
fn warning(task: &Task, usage: Usage) -> Option<String> {
    let spent = Spent { usage, ..task.spent() };
    let shares = budget::shares(&spent, &task.spec.budget());
    let warned = shares.into_iter().filter(|share| task.warned.contains(&share.bound));
    let fullest = warned.max_by(|a, b| a.used.total_cmp(&b.used))?;
    Some(format!("{} of its budget", fullest.words()))
}

/// Returns the word of a task's state and why it waits; a queued task that its parents hold up waits for them.
pub fn words(task: &Task, roster: &Roster, layout: &Layout) -> (String, Option<String>) {
    let word = task.state.word().to_owned();
    match &task.state {
        State::Queued if task.spec.after.iter().any(|id| !roster.is_met(task, id)) => {
            ("waiting".to_owned(), Some("after".to_owned()))
        }
        // Its runner is launched and about to say so.
        State::Queued if Lock::is_held(&layout.task(&task.id).lock()) => ("running".to_owned(), None),
        // Others of its account met a limit.
        State::Queued if roster.held_until(task).is_some() => {
            ("waiting".to_owned(), Some(WaitReason::RateLimit.word().to_owned()))
        }
        State::Queued | State::Waiting { .. } if roster.broken_until(task).is_some() => {
            ("waiting".to_owned(), Some("breaker".to_owned()))
        }
        State::Waiting { reason, .. } => (word, Some(reason.word().to_owned())),
        _ => (word, None),
    }
}
