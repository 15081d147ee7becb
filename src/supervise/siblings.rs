//! What an attempt must not have touched, before and after it: the main checkout, the stash, other tasks' branches and
//! worktrees. What moved and no event explains is a stray.
//!
//! Invariant: only what is certain is told, as a fact: that it moved while these agents ran, never who did it. A person at
//! work is no stray: theirs are the main checkout's files and commits, and every workspace that waits for a person. Nothing is
//! put back here; where something was lost from sight, it is said where it still is. It costs a few files, and no git.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::git::shared::{self, Mark, Stash, Tips};
use crate::git::{GitError, LinkedWorktree};
use crate::model::event::WaitReason;
use crate::model::text::one_line;
use crate::model::{Event, Oid, Record, Roster, State, Task, TaskId, Workspace};
use crate::store::journal::Entry;
use crate::store::layout::TaskFolder;
use crate::store::tail::{Place, Tail};
use crate::store::{Journal, JournalError, Lock};
use crate::workspace::Site;

/// How things stood when an attempt began.
#[derive(Serialize, Deserialize)]
pub(super) struct Standing {
    place: Place,
    running: BTreeSet<TaskId>,
    main: Option<String>,
    target: (String, Option<Oid>),
    stashes: Vec<Stash>,
    siblings: Vec<Sibling>,
}

/// The workspace of another task. There may be thousands: what is as it was is known by two looks at files' times.
#[derive(Serialize, Deserialize)]
struct Sibling {
    id: TaskId,
    branch: String,
    entry: String,
    tip: Option<Oid>,
    head: Option<String>,
    /// By what branch and `HEAD` are known to be as they were; of no use to whoever takes it up after a kill.
    #[serde(skip)]
    marks: (Mark, Mark),
    /// Since when nobody has had it in hand.
    free: Option<SystemTime>,
}

/// Looks at everything that the attempt of `task` must not touch.
pub(super) fn look(site: &Site<'_>, roster: &Roster, task: &Task) -> Result<Standing, GitError> {
    // First, so that whatever is recorded from now on counts.
    let place = Tail::from_now(site.layout).place();
    let others = roster.live().filter(|other| other.id != task.id);
    let tips = Tips::of(site.repo, site.clock.now());
    let mut siblings = Vec::new();
    for other in others {
        let Some(Workspace { branch, entry, .. }) = other.workspace.clone() else { continue };
        let (tip, at) = tips.marked_tip(&branch)?;
        let (head, on) = tips.marked_head(&git_dir(site, &entry));
        let free = free(site, &other.id);
        siblings.push(Sibling { id: other.id.clone(), branch, entry, tip, head, marks: (at, on), free });
    }
    let target = task.spec.target.clone();
    Ok(Standing {
        place,
        running: running(roster).chain([task.id.clone()]).collect(),
        main: main_head(site),
        target: (target.clone(), tips.tip(&target)?),
        stashes: shared::stashes(site.repo),
        siblings,
    })
}

impl Standing {
    /// Keeps it where the attempt's logs are, for whoever finds that its runner was killed; only a convenience, so that what
    /// goes wrong says nothing.
    pub(super) fn keep(&self, folder: &TaskFolder, attempt: u32) {
        if let Ok(text) = serde_json::to_vec(self) {
            drop(fs::write(folder.standing(attempt), text));
        }
    }

    /// Takes up what the runner of an attempt kept, if it did not compare it itself.
    pub(super) fn take(folder: &TaskFolder, attempt: u32) -> Option<Self> {
        let kept = fs::read(folder.standing(attempt)).ok()?;
        Self::forget(folder, attempt);
        serde_json::from_slice(&kept).ok()
    }

    /// Removes it: it is compared.
    pub(super) fn forget(folder: &TaskFolder, attempt: u32) {
        drop(fs::remove_file(folder.standing(attempt)));
    }
}

/// Records what moved since and no event explains, once for all agents that ran.
pub(super) fn record(
    site: &Site<'_>,
    journal: &mut Journal,
    task: &Task,
    before: Standing,
) -> Result<(), JournalError> {
    let found = compare(site, journal, &task.id, before)?;
    if found.is_empty() {
        return Ok(());
    }
    journal.transact(site.clock.now(), |roster| {
        let known = |what: &str, running: &[TaskId]| {
            running.iter().filter_map(|id| roster.get(id)).any(|task| task.has_strayed(what))
        };
        let fresh = found.into_iter().filter(|(_, what, running)| !known(what, running));
        let entries: Vec<Entry> =
            fresh.map(|(id, what, running)| (Some(id), Event::Stray { what, running })).collect();
        Ok::<_, JournalError>((entries, ()))
    })
}

/// What moved: the task that it is told of, what, and whose agents ran.
type Found = (TaskId, String, Vec<TaskId>);

fn compare(
    site: &Site<'_>,
    journal: &mut Journal,
    me: &TaskId,
    mut before: Standing,
) -> Result<Vec<Found>, JournalError> {
    // What git has is read before what the journal says of it, or an explanation would come too late.
    let now = Now::read(site, &before);
    let records: Vec<Record> = Tail::at(site.layout, before.place)
        .records()
        .unwrap_or_default()
        .into_iter()
        .map(|(record, _)| record)
        .collect();
    let roster = journal.read()?;
    let explained: BTreeSet<&TaskId> =
        records.iter().filter(|record| explains(&record.event)).filter_map(|r| r.task.as_ref()).collect();
    let started = records.iter().filter(|record| matches!(record.event, Event::Started { .. }));
    before.running.extend(started.filter_map(|record| record.task.clone()));
    let mut what = Vec::new();
    for (sibling, (tip, head)) in before.siblings.iter().zip(&now.siblings) {
        let known = roster.get(&sibling.id).filter(|_| !explained.contains(&sibling.id));
        if let Some(task) = known {
            what.extend(strayed(site, task, sibling, tip.as_ref(), head.as_deref()));
        }
    }
    if let (Some(old), Some(new)) = (&before.main, &now.main)
        && old != new
        // Detached, it moves with every checkout of a commit: what it was on counts.
        && (old.starts_with("refs/") || new.starts_with("refs/"))
    {
        what.push(format!("the main checkout went from {} to {}", place(old), place(new)));
    }
    let undone = records.iter().any(|r| matches!(r.event, Event::Undoing { .. } | Event::Undone { .. }));
    if let ((target, Some(old)), Some(new)) = (&before.target, &now.target)
        && old != new
        && !undone
        && roster.undoings().is_empty()
        && site.repo.is_ancestor(old, new).is_ok_and(|forward| !forward)
    {
        what.push(format!("`{target}` went back: {} is not in it any more", old.short()));
    }
    // Who takes up again what it laid aside itself has done with it.
    let own = |stash: &Stash| owner(roster, stash).is_some_and(|task| before.running.contains(&task.id));
    for stash in before.stashes.iter().filter(|stash| !now.stashes.contains(stash) && !own(stash)) {
        let (about, at) = (one_line(&stash.about, 80), stash.at.as_str());
        what.push(format!("the stash `{about}` is gone; `git stash store {at}` brings it back"));
    }
    let running: Vec<TaskId> = before.running.iter().cloned().collect();
    let mut found: Vec<Found> = what.into_iter().map(|what| (me.clone(), what, running.clone())).collect();
    for stash in now.stashes.iter().filter(|stash| !before.stashes.contains(stash)) {
        // Whose branch it was made on has it: nobody else is there. One of a person is theirs.
        if let Some(task) = owner(roster, stash).filter(|task| before.running.contains(&task.id)) {
            let about = one_line(&stash.about, 80);
            let what =
                format!("a stash was made, which all worktrees share: `{about}` ({})", stash.at.short());
            found.push((task.id.clone(), what, vec![task.id.clone()]));
        }
    }
    Ok(found)
}

/// Returns the task on whose branch a stash was made.
fn owner<'a>(roster: &'a Roster, stash: &Stash) -> Option<&'a Task> {
    let branch = stash.branch()?;
    roster.live().find(|task| task.workspace.as_ref().is_some_and(|own| own.branch == branch))
}

/// How things stand after the attempt.
struct Now {
    main: Option<String>,
    target: Option<Oid>,
    stashes: Vec<Stash>,
    siblings: Vec<(Option<Oid>, Option<String>)>,
}

impl Now {
    /// What cannot be read counts as it was before.
    fn read(site: &Site<'_>, before: &Standing) -> Self {
        let tips = Tips::of(site.repo, site.clock.now());
        let tip = |branch: &str, old: &Option<Oid>| tips.tip(branch).unwrap_or_else(|_| old.clone());
        let sibling = |sibling: &Sibling| {
            let Sibling { branch, marks: (at, on), .. } = sibling;
            let git_dir = git_dir(site, &sibling.entry);
            let there = tips.is_there(branch, at);
            (
                if there { sibling.tip.clone() } else { tip(branch, &sibling.tip) },
                if tips.is_on(&git_dir, on) { sibling.head.clone() } else { shared::head(&git_dir) },
            )
        };
        Self {
            main: main_head(site),
            target: tip(&before.target.0, &before.target.1),
            stashes: shared::stashes(site.repo),
            siblings: before.siblings.iter().map(sibling).collect(),
        }
    }
}

/// What became of another task's workspace that nothing explains.
fn strayed(
    site: &Site<'_>,
    task: &Task,
    sibling: &Sibling,
    tip: Option<&Oid>,
    head: Option<&str>,
) -> Option<String> {
    let (name, branch) = (task.name(), &sibling.branch);
    if tip == sibling.tip.as_ref() && head == sibling.head.as_deref() || in_hand(site, task, sibling) {
        return None;
    }
    let (old, workspace) = (sibling.tip.as_ref()?, task.workspace.as_ref()?);
    // A removal, or a landing that clears up after itself, tells of it when it is done.
    let clearing = || ["land", "git"].iter().any(|name| Lock::is_held(&site.layout.lock(name)));
    if (tip.is_none() || head.is_none()) && clearing() {
        return None;
    }
    let Some(tip) = tip else {
        return Some(format!("the branch `{branch}` of `{name}` is gone; it was at {}", old.as_str()));
    };
    if sibling.head.is_some() && head.is_none() {
        return Some(format!("git does not know the worktree of `{name}` any more ({})", workspace.path));
    }
    let worktree = LinkedWorktree::open(site.repo, &sibling.entry, Path::new(&workspace.path)).ok()?;
    let (from, to) = (old.short(), tip.short());
    if tip != old && !shared::was_at(worktree.checkout(), old, tip) {
        return Some(format!(
            "`{branch}` of `{name}` was moved from {from} to {to}, not in its own worktree"
        ));
    }
    if !untouched(&task.state) {
        return None;
    }
    if tip != old {
        return Some(format!("`{branch}` of `{name}` went from {from} to {to} in its worktree"));
    }
    let (old, new) = (sibling.head.as_deref()?, head?);
    Some(format!("the worktree of `{name}` went from {} to {}", place(old), place(new)))
}

/// Whether nobody has any business in the workspace of a task in that state: neither its agent nor a person.
fn untouched(state: &State) -> bool {
    match state {
        State::Queued | State::Done { .. } => true,
        State::Waiting { reason, .. } => *reason != WaitReason::Parked,
        _ => false,
    }
}

/// Whether a `wt` has the task in hand, or had it meanwhile: a person at its terminal, a landing, a removal.
fn in_hand(site: &Site<'_>, task: &Task, sibling: &Sibling) -> bool {
    match task.state {
        // Its own runner has the lock all the time.
        State::Running { .. } => false,
        State::Landing { .. } => true,
        _ => sibling.free.is_none() || free(site, &task.id) != sibling.free,
    }
}

/// Returns since when nobody has had the task's lock, as the time at which it was last signed; `None`: somebody has it.
fn free(site: &Site<'_>, id: &TaskId) -> Option<SystemTime> {
    let lock = site.layout.task(id).lock();
    let signed = fs::metadata(&lock).and_then(|about| about.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    (!Lock::is_held(&lock)).then_some(signed)
}

/// Whether the event may have moved the task's branch or worktree, or says that somebody worked there.
fn explains(event: &Event) -> bool {
    !matches!(
        event,
        Event::Session { .. }
            | Event::BudgetWarned { .. }
            | Event::Rebudgeted { .. }
            | Event::OverBudget { .. }
            | Event::Parked { .. }
            | Event::Stray { .. }
    )
}

fn running(roster: &Roster) -> impl Iterator<Item = TaskId> {
    roster.live().filter(|task| matches!(task.state, State::Running { .. })).map(|task| task.id.clone())
}

fn main_head(site: &Site<'_>) -> Option<String> {
    shared::head(site.repo.main_worktree()?.git_dir())
}

fn git_dir(site: &Site<'_>, entry: &str) -> PathBuf {
    site.repo.common_dir().join("worktrees").join(entry)
}

/// Returns what a `HEAD` says, for people.
fn place(head: &str) -> String {
    match head.strip_prefix("refs/heads/") {
        Some(branch) => format!("`{branch}`"),
        None => head.get(..7).unwrap_or(head).to_owned(),
    }
}
