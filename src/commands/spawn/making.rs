//! What a spawn makes: the tasks in one transaction, then the workspaces that are needed now.

use std::collections::BTreeSet;

use super::names;
use super::wish::Wish;
use crate::commands::context::Context;
use crate::commands::room;
use crate::error::{CommandError, During as _};
use crate::failpoint;
use crate::model::observer::Observer as _;
use crate::model::text::count;
use crate::model::{Clock as _, Event, Oid, TaskId, TaskName, TaskSpec};
use crate::store::Lock;
use crate::store::lock::DEADLINE;
use crate::supervise::enqueue::{self, Asked, EnqueueError, Queued};
use crate::supervise::{by_hand, pass, schedule};
use crate::ui::message;
use crate::workspace::create::{self, CreateError};
use crate::workspace::{NoRoom, PlanError, Site, Survey, notes};

/// Whether room may be made for what is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intent {
    /// It is only asked what would happen.
    Look,
    /// It is going to be made.
    Make,
}

/// Makes sure that every wish can come true, with git's books read once; makes nothing but room.
pub(super) fn check(context: &mut Context, wishes: &[Wish], intent: Intent) -> Result<(), CommandError> {
    let nothing = |name: &TaskName| match intent {
        Intent::Look => format!("`{name}` could not be made"),
        Intent::Make => format!("`{name}` cannot be made; nothing was made"),
    };
    let mut bases = Vec::with_capacity(wishes.len());
    let failed = {
        let mut survey = Survey::of(context.repo(), context.settings());
        let mut check = |wish: &Wish| survey.require_place(&wish.spec).map(|base| bases.push(base));
        wishes.iter().find_map(|wish| Some((&wish.spec.name, check(wish).err()?)))
    };
    if let Some((name, error)) = failed {
        if intent == Intent::Make {
            // What stands in the way may be the same task, which somebody else asked for in this very moment.
            names::free_now(context, name)?;
        }
        return Err(no_room(nothing(name), &error.into()));
    }
    let open: Vec<usize> = (0..wishes.len()).filter(|n| wishes[*n].spec.agent.is_none()).collect();
    let what = || match wishes {
        [wish] => nothing(&wish.spec.name),
        _ if intent == Intent::Look => format!("{} could not be made", count(wishes.len(), "task")),
        _ => "not all of them can be made; nothing was made".to_owned(),
    };
    let may = if intent == Intent::Make && room::preview(context, open.len())? == open.len() {
        room::make(context, open.len())?
    } else {
        room::preview(context, open.len())?
    };
    if may < open.len() {
        return Err(room::bounded(context, what(), open.len()));
    }
    let needed: Vec<Oid> = made_now(context, wishes, &open)?.into_iter().map(|n| bases[n].clone()).collect();
    if let Err(error) = Survey::of(context.repo(), context.settings()).require_disk(&needed) {
        let refusal = CommandError::caused(what(), &error);
        return Err(room::on_full_disk(context, refusal, &error));
    }
    Ok(())
}

/// Returns the wishes that get a workspace at once: those of persons, and of as many agents as slots are free.
fn made_now(context: &mut Context, wishes: &[Wish], open: &[usize]) -> Result<Vec<usize>, CommandError> {
    let now = context.clock().now();
    let slots = context.settings().limits.slots.saturating_sub(pass::used_slots(&context.site())) as usize;
    let waiting = schedule::line(context.roster()?, now).len();
    let at_once = |n: &usize| wishes[*n].spec.agent.is_some() && wishes[*n].after.is_empty();
    let agents = (0..wishes.len()).filter(at_once).take(slots.saturating_sub(waiting));
    Ok(open.iter().copied().chain(agents).collect())
}

/// Turns what is in the way of a workspace into a refusal with a way out.
fn no_room(what: String, error: &CreateError) -> CommandError {
    let refusal = CommandError::caused(what, error);
    match error {
        CreateError::Plan(
            PlanError::BranchExists { branch: there } | PlanError::BranchInTheWay { blocking: there, .. },
        ) => refusal.hint(format!("git branch -m {there} {there}-kept")),
        CreateError::Plan(PlanError::FolderExists { path }) if !path.to_string_lossy().contains('\'') => {
            let there = path.display();
            refusal.hint(format!("mv '{there}' '{there}-kept'"))
        }
        CreateError::Plan(PlanError::Tracked { name }) => refusal
            .hint(format!("git rm -r --cached {name} && git commit -m \"Leave {name} to each workspace\"")),
        _ => refusal,
    }
}

/// A task that was made, and what became of its workspace.
pub(super) struct Spawned {
    /// What was asked.
    pub(super) spec: TaskSpec,
    /// Why it has no workspace though it needs one, or its set-up failed.
    pub(super) failed: Option<CommandError>,
}

/// Makes the tasks of all `wishes` or none; then the workspaces that are needed now, each for itself.
pub(super) fn spawn(context: &mut Context, wishes: Vec<Wish>) -> Result<Vec<Spawned>, CommandError> {
    context.layout().prepare()?;
    let names: Vec<TaskName> = wishes.iter().map(|wish| wish.spec.name.clone()).collect();
    let roster = context.roster()?;
    let asked = wishes.into_iter().map(|Wish { mut spec, prompt, after }| {
        let place = |parent: &TaskName| names.iter().position(|name| name == parent && *name != spec.name);
        let beside = after.iter().filter_map(place).collect();
        let known = after.iter().filter(|parent| place(parent).is_none());
        spec.after = known.filter_map(|parent| roster.newest(parent)).map(|task| task.id.clone()).collect();
        Asked { spec, prompt, beside }
    });
    let asked: Vec<Asked> = asked.collect();
    let people = asked.iter().filter(|one| one.spec.agent.is_none()).count();
    let (site, journal) = context.parts();
    let room = pass::room_left(&site, journal.roster()).saturating_sub(people);
    let (now, layout) = (context.clock().now(), context.layout().clone());
    let mut queued =
        enqueue::enqueue(&layout, context.journal(), asked, now).map_err(|error| match error {
            EnqueueError::Taken { ref name, .. } => {
                CommandError::refused(format!("{error}; nothing was made")).hint(format!("wt status {name}"))
            }
            error => {
                let what = match &names[..] {
                    [name] => format!("`{name}`"),
                    names => count(names.len(), "task"),
                };
                CommandError::caused(format!("{what} cannot be queued; nothing was made"), &error)
            }
        })?;
    let first = started_now(context, room)?;
    // Nobody waits for the others: a pass may start them, and finds its own for those that are started here.
    for queued in queued.iter_mut().filter(|queued| queued.spec.agent.is_some()) {
        if !first.contains(&queued.id) {
            queued.lock = None;
        }
    }
    let mut spawned: Vec<Spawned> = Vec::with_capacity(queued.len());
    let (agents, people): (Vec<_>, Vec<_>) =
        queued.into_iter().enumerate().partition(|(_, queued)| queued.spec.agent.is_some());
    let alone = people.is_empty();
    let mut places = Vec::with_capacity(names.len());
    let mut furnished = |context: &mut Context, all: Vec<(usize, Queued)>| {
        for (place, Queued { id, spec, lock }) in all {
            let now = spec.agent.is_none() || first.contains(&id);
            let failed = if now { furnish(context, &id, lock).err() } else { None };
            spawned.push(Spawned { spec, failed });
            places.push(place);
        }
    };
    let any = !agents.is_empty();
    furnished(context, agents);
    if any && !alone {
        // Agents need not wait until all is ready for the people.
        context.pass();
    }
    furnished(context, people);
    let mut all: Vec<(usize, Spawned)> = places.into_iter().zip(spawned).collect();
    all.sort_by_key(|(place, _)| *place);
    Ok(all.into_iter().map(|(_, spawned)| spawned).collect())
}

/// Returns the tasks of agents that will get the free slots: their workspaces are made now.
fn started_now(context: &mut Context, room: usize) -> Result<BTreeSet<TaskId>, CommandError> {
    let now = context.clock().now();
    context.roster()?;
    let (site, journal) = context.parts();
    let roster = journal.roster();
    let (line, profiles) = (schedule::line(roster, now), &site.settings.profiles);
    let line = schedule::admitted(line, roster, &BTreeSet::new(), profiles, now);
    if line.is_empty() {
        return Ok(BTreeSet::new());
    }
    let free = site.settings.limits.slots.saturating_sub(pass::used_slots(&site)) as usize;
    let line = line.into_iter().take(free).filter(|task| task.workspace.is_none());
    Ok(line.take(room).map(|task| task.id.clone()).collect())
}

/// Tells what was left out of a workspace, and where its hook's output is.
fn tell_notes(site: &Site<'_>, id: &TaskId) {
    for line in notes::read(&site.layout.task(id)) {
        let barred = line.contains("not approved");
        let told = site.layout.hooks_told();
        if barred && fs_err::read_to_string(&told).is_ok_and(|before| before == line) {
            continue;
        }
        message::warning(&format!("`{}`: {line}", id.name));
        if barred {
            // Once for this folder; a mark that cannot be kept is told again.
            drop(fs_err::write(&told, &line));
            message::hint("see and approve them with `wt trust --approve`");
        } else if line.contains("hook") {
            message::hint(&format!("see what it said with `wt logs {} --setup`", id.name));
        }
    }
}

/// Makes the workspace; if that fails, the task is taken back and the error says so. A person's is set up at once.
fn furnish(context: &mut Context, id: &TaskId, lock: Option<Lock>) -> Result<(), CommandError> {
    let name = &id.name;
    let lock = match lock {
        Some(lock) => lock,
        None => Lock::take(&context.layout().task(id).lock(), DEADLINE, "furnishing")?,
    };
    let (making, progress) = (context.progress(), context.progress());
    let (site, journal) = context.parts();
    let task = journal.read()?.get(id).cloned().expect("it was queued a moment ago");
    if task.workspace.is_some() || task.state.ended() {
        return Ok(()); // A pass of somebody else was faster.
    }
    making.waiting(&format!("making the workspace of `{name}`"));
    let created = create::create(&site, journal, &task);
    drop(making);
    match created {
        Ok(workspace) => {
            failpoint::hit("spawn.after_workspace");
            tell_notes(&site, id);
            if task.spec.agent.is_some() {
                return Ok(());
            }
            let begun = |command: &str| progress.step(&format!("setting up `{name}`: {command}"));
            let failed = by_hand::set_up(&site, &task, &workspace, &lock, &begun)
                .during(|| format!("the set-up of `{name}` cannot be run; its workspace stays"))?;
            drop(progress);
            let Some(failed) = failed else { return Ok(()) };
            for line in &failed.said {
                message::note(&format!("  {line}"));
            }
            let mut refusal =
                CommandError::refused(format!("the set-up of `{name}` failed; its workspace stays"));
            refusal.causes.push(failed.reason);
            Err(refusal.hint(format!("see all that it said with `wt logs {name} --setup`")))
        }
        // Others took the room since it was looked for: it stays queued, and is served when there is some.
        Err(error) if error.no_room().is_some() && task.spec.agent.is_some() => Ok(()),
        Err(error) => {
            let reason = "its workspace could not be made".to_owned();
            let removed = Event::Removed { reason, trash: None };
            journal.append(site.clock.now(), vec![(Some(id.clone()), removed)])?;
            let what = format!("the workspace of `{name}` cannot be made; what was made is undone");
            let refusal = CommandError::caused(what, &error);
            Err(match error.no_room() {
                Some(NoRoom::Bound { .. }) => room::with_ways_out(context, refusal),
                Some(full) => room::on_full_disk(context, refusal, full),
                None => refusal,
            })
        }
    }
}
