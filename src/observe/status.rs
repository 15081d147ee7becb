//! `wt status`: the view of a task, from what the journal says of it and what was seen of its workspace.

use jiff::Timestamp;

use super::look::Known;
use crate::model::budget::{self, Budget, Spent};
use crate::model::event::WaitReason;
use crate::model::view::{ClashingView, TaskView};
use crate::model::{Roster, State, Task, TaskId, Usage};
use crate::store::clashes::Clashes;
use crate::store::{Layout, Lock, live};

/// Returns the view of one task; `clashes` is what is known of all.
pub fn view(
    task: &Task,
    roster: &Roster,
    layout: &Layout,
    known: &Known,
    clashes: &Clashes,
    now: Timestamp,
) -> TaskView {
    let folder = layout.task(&task.id);
    let live = live::Live::load(&folder, task.attempt);
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
            State::Waiting { until, .. } => until.max(roster.held_until(task)),
            _ => roster.held_until(task),
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
        tokens: usage.tokens,
        cost_usd: usage.cost_usd,
        budget: Some(task.spec.budget()).filter(Budget::bounds_anything),
        warning: warning(task, usage),
        last: live.and_then(|live| live.last),
        outcome: task.outcome.clone(),
        conflicts: match (&task.state, &task.landing) {
            (State::Conflict, Some(landing)) => landing.conflicts.clone(),
            _ => Vec::new(),
        },
    }
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
        State::Waiting { reason, .. } => (word, Some(reason.word().to_owned())),
        _ => (word, None),
    }
}
