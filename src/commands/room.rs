//! Room for workspaces: who goes when `limits.worktrees` is reached, and what a person can do when there is none.
//!
//! Landed workspaces go first, then stale ones, by the rules of `wt gc`, so that all can be restored; and only if that makes
//! the room that is asked for.

use std::time::Duration;

use jiff::Timestamp;

use super::context::Context;
use super::gc::with_grounds;
use crate::error::{CommandError, During as _};
use crate::model::event::WaitReason;
use crate::model::text::{bytes, count};
use crate::model::{Clock as _, State, Task, TaskId};
use crate::store::Lock;
use crate::supervise::{pass, schedule};
use crate::tidy::artifacts;
use crate::tidy::gc::{self, Facts, Force, Left, Policy, Scope};
use crate::workspace::pool;
use crate::workspace::room::{self, NoRoom};
use crate::workspace::shared::TRASH;

/// Makes sure that `wanted` more workspaces are within the bound; where landed and stale ones must go for that, they go.
/// Returns how many may be made, at most `wanted`.
pub fn make(context: &mut Context, wanted: usize) -> Result<usize, CommandError> {
    let left = left(context)?;
    if left >= wanted {
        return Ok(wanted);
    }
    let found = with_grounds(context, |grounds, journal| {
        journal.read()?;
        gc::plan_gc(grounds, journal.roster(), &policy(grounds.site.settings.gc.stale, Scope::All))
            .map_err(gc::GcError::from)
    });
    let mut plan = found.during(|| "the workspaces cannot be looked at; nothing was changed".to_owned())?;
    plan.remove.retain(|(facts, _)| stands(context, facts));
    plan.remove.sort_by_key(|(facts, _)| (facts.state != State::Landed, std::cmp::Reverse(facts.idle)));
    plan.remove.truncate(wanted - left);
    plan.keep.clear();
    if left + plan.remove.len() == 0 {
        return Ok(0);
    }
    let swept = with_grounds(context, |grounds, journal| gc::apply_gc(grounds, journal, &plan))
        .during(|| "the workspaces cannot be removed; what is gone can be restored".to_owned())?;
    for gone in &swept.removed {
        context.note(&format!("`{}` made room: {}", gone.name, gone.why));
    }
    Ok(self::left(context)?.min(wanted))
}

/// Makes room for tasks that could start if there were some, where the roster says that somebody may go by now; what goes
/// wrong is found again by the next pass.
pub fn make_for_queue(context: &mut Context) {
    let now = context.clock().now();
    let stale = context.settings().gc.stale;
    if context.settings().limits.worktrees == 0 || context.roster().is_err() {
        return;
    }
    let (site, journal) = context.parts();
    let roster = journal.roster();
    let line = schedule::line(roster, now).into_iter().filter(|task| task.workspace.is_none());
    let free = site.settings.limits.slots.saturating_sub(pass::used_slots(&site)) as usize;
    let wanted = line.count().min(free);
    let old = |at: Timestamp| Duration::try_from(now.duration_since(at)).is_ok_and(|age| age >= stale);
    let may_go = |task: &Task| {
        let rests = task.state.at_rest() && old(task.ended_at.unwrap_or(task.queued_at));
        task.workspace.is_some() && (task.state == State::Landed || rests)
    };
    let somebody = roster.tasks().any(may_go);
    if wanted > 0 && somebody && !schedule::lacks_room(roster, now) && pass::room_left(&site, roster) < wanted
    {
        drop(make(context, wanted));
    }
}

/// Whether the bound is reached and nothing is under way that could make room: then waiting for the queue is in vain.
pub fn only_a_person_makes_some(context: &mut Context) -> Result<bool, CommandError> {
    context.roster()?;
    let (site, journal) = context.parts();
    let roster = journal.roster();
    let busy = |task: &Task| match task.state {
        State::Running { .. } | State::Landing { .. } | State::Lost { rebooted: false } => true,
        State::Waiting { reason, .. } => reason != WaitReason::Parked,
        // Its runner is launched and about to say so.
        State::Queued => Lock::is_held(&site.layout.task(&task.id).lock()),
        _ => false,
    };
    Ok(site.settings.limits.worktrees > 0 && !roster.live().any(busy) && pass::room_left(&site, roster) == 0)
}

/// Returns how many of `wanted` workspaces could be made, with the room that landed and stale ones would make. Changes nothing.
pub fn preview(context: &mut Context, wanted: usize) -> Result<usize, CommandError> {
    let left = left(context)?;
    if left >= wanted {
        return Ok(wanted);
    }
    Ok((left + removable(context).iter().filter(|facts| stands(context, facts)).count()).min(wanted))
}

/// Returns the refusal to make `wanted` workspaces where the bound allows fewer.
pub fn bounded(context: &mut Context, what: String, wanted: usize) -> CommandError {
    let most = context.settings().limits.worktrees as usize;
    let there = most.saturating_sub(left(context).unwrap_or_default());
    let mut refusal = CommandError::caused(what, &NoRoom::Bound { there, most });
    if wanted > 1 {
        refusal.causes.push(format!("{} were asked for", count(wanted, "workspace")));
    }
    with_ways_out(context, refusal)
}

/// Adds commands that make room now.
pub fn with_ways_out(context: &mut Context, refusal: CommandError) -> CommandError {
    ways_out(context).into_iter().fold(refusal, CommandError::hint)
}

/// Adds to a refusal for want of disk what could be given back, and how.
pub fn on_full_disk(context: &mut Context, mut refusal: CommandError, error: &NoRoom) -> CommandError {
    let (NoRoom::Bytes { place, workspaces, needed, .. } | NoRoom::Files { place, workspaces, needed, .. }) =
        error
    else {
        return refusal;
    };
    let each = needed / (*workspaces).max(1) as u64;
    let about = |n: usize| match error {
        NoRoom::Bytes { .. } => format!("about {}", bytes(each.saturating_mul(n as u64))),
        _ => format!("about {} files", each.saturating_mul(n as u64)),
    };
    let output = build_output(context);
    if output > 0 {
        refusal.causes.push(format!("build output of tasks at rest takes {}", bytes(output)));
        refusal = refusal.hint("wt gc --artifacts");
    }
    let gone = removable(context).iter().filter(|facts| stands(context, facts)).count();
    let spares = pool::spares(context.repo()).unwrap_or_default();
    for (n, are) in [
        (gone, ["workspace is landed or stale", "workspaces are landed or stale"]),
        (spares, ["workspace is kept as a spare", "workspaces are kept as spares"]),
    ] {
        if n > 0 {
            refusal.causes.push(format!("{n} {}: {}", are[usize::from(n > 1)], about(n)));
        }
    }
    if gone + spares > 0 {
        refusal = refusal.hint("wt gc");
    }
    let trash = context.repo().worktrees_root().join(TRASH);
    let thrown = fs_err::read_dir(&trash).map_or(0, |entries| entries.flatten().count());
    if thrown > 0 {
        let what = count(thrown, "removed workspace");
        refusal.causes.push(format!("{what} can be looked at in the trash for a day: {}", about(thrown)));
    }
    if refusal.hints.is_empty() {
        refusal = refusal.hint(format!("see what takes the space: `du -xsh '{}'/*`", place.display()));
    }
    refusal
}

fn left(context: &Context) -> Result<usize, CommandError> {
    let left = room::left(context.repo(), context.settings(), []);
    Ok(left.during(|| "git's worktrees cannot be read; nothing was made".to_owned())?.unwrap_or(usize::MAX))
}

fn policy(stale: Duration, scope: Scope) -> Policy {
    Policy { scope, force: Force::Never, stale }
}

/// Returns the bytes that a `wt gc --artifacts` would free now.
fn build_output(context: &mut Context) -> u64 {
    let plan = with_grounds(context, |grounds, journal| {
        journal.read().ok()?;
        let stale = grounds.site.settings.gc.stale;
        let policy = artifacts::Policy { scope: artifacts::Scope::Idle, stale };
        artifacts::plan_artifacts(grounds, journal.roster(), &policy).ok()
    });
    plan.map_or(0, |plan| artifacts::preview(&plan).bytes)
}

/// Returns what a `wt gc` would take now.
fn removable(context: &mut Context) -> Vec<Facts> {
    planned(context, Scope::All)
}

fn planned(context: &mut Context, scope: Scope) -> Vec<Facts> {
    let plan = with_grounds(context, |grounds, journal| {
        journal.read().ok()?;
        let policy = policy(grounds.site.settings.gc.stale, scope);
        gc::plan_gc(grounds, journal.roster(), &policy).ok()
    });
    plan.map(|plan| plan.remove.into_iter().map(|(facts, _)| facts).collect()).unwrap_or_default()
}

/// Whether a workspace takes room: its folder is there.
fn stands(context: &Context, facts: &Facts) -> bool {
    facts.left == Left::Standing && context.repo().worktrees_root().join(facts.id.name.as_str()).exists()
}

/// Returns commands that make room now, the most useful first.
fn ways_out(context: &mut Context) -> Vec<String> {
    let mut ways = Vec::new();
    let at_rest: Vec<TaskId> = {
        let Ok(roster) = context.roster() else { return ways };
        if roster.live().any(|task| task.state.lands_by_itself()) {
            ways.push("wt merge --all".to_owned());
        }
        roster.tasks().filter(|task| task.workspace.is_some()).map(|task| task.id.clone()).collect()
    };
    let free = planned(context, Scope::Named(at_rest));
    if let Some(facts) = free.iter().find(|facts| stands(context, facts)) {
        ways.push(format!("wt gc {}", facts.id.name));
    }
    if ways.is_empty() {
        ways.push("see who works: `wt status`".to_owned());
    }
    ways
}
