//! Taking the last landing back: the target to where it was before, its tasks to where a landing finds them again.
//!
//! ```text
//!  plan (nothing moves) ─▶ workspaces back ─▶ Undoing ─▶ the target moves ─▶ Unlanded… + Undone, as one append
//!                          (by the caller)      killed here: not moved        killed here: moved
//! ```
//!
//! What is taken back is what one `wt merge` published on one branch, all its batches, as far as nothing came between them.
//! Tasks that landed without a commit of their own, because that landing had brought all of theirs, come back with it; those
//! whose agent found nothing to do stay.
//!
//! Invariants: all that could stand in the way is asked before anything moves; the target goes back only from exactly where
//! that landing brought it, which a ref keeps; uncommitted files are never touched. Whoever holds the landing lock may settle.

mod standing;

use std::collections::BTreeSet;
use std::path::PathBuf;

use self::standing::last;
use super::LandError;
use super::publish::{Way, settle_held};
use super::report::LeftOut;
use crate::failpoint;
use crate::git::publish::step_back;
use crate::git::refs::{self, Expected, RefEdit};
use crate::git::{GitError, Repo, history};
use crate::model::observer::Observer;
use crate::model::roster::Intent;
use crate::model::text::few;
use crate::model::{Event, Oid, Roster, State, Task, TaskId, TaskName};
use crate::store::{Journal, JournalError, Lock, LockError, lock};
use crate::workspace::Site;

/// Where the commits are kept that were taken back.
pub const REFS: &str = "refs/wt/undone/";

/// Why a landing is not taken back.
#[derive(Debug, thiserror::Error)]
pub enum UndoError {
    /// There is none.
    #[error("{}", .target.as_ref().map_or_else(|| "nothing has landed".to_owned(), |target| format!("nothing has landed on `{target}`")))]
    Nothing {
        /// The branch that was asked for, short.
        target: Option<String>,
    },
    /// The target has moved since.
    #[error("`{target}` has moved since, from {} to {}", .from.short(), .tip.short())]
    Moved {
        /// The branch, short.
        target: String,
        /// Where it was before the landing.
        to: Oid,
        /// Where the landing brought it.
        from: Oid,
        /// Where it is now.
        tip: Oid,
        /// Whether the landing is still in its history.
        contains: bool,
    },
    /// Somebody moved the target in the very moment in which it was to go back.
    #[error("`{target}` was moved meanwhile")]
    Outrun {
        /// The branch, short.
        target: String,
    },
    /// Others may have it already.
    #[error("it was pushed: {} has it", few(.refs))]
    Pushed {
        /// The remote-tracking branches that have it.
        refs: Vec<String>,
    },
    /// A task's name is taken by a later one.
    #[error("`{name}` cannot come back: a later task of that name is {state}")]
    NameTaken {
        /// The name.
        name: TaskName,
        /// The word of the other one's state.
        state: &'static str,
    },
    /// Nothing is left to restore a task from.
    #[error("`{name}` cannot come back: neither its branch nor its trash is left, and its commits are gone")]
    Gone {
        /// The task.
        name: TaskName,
    },
    /// A task was changed since it landed.
    #[error("`{name}` is {state}")]
    Changed {
        /// The task.
        name: TaskName,
        /// Its state's word.
        state: &'static str,
    },
    /// Its workspace was removed after it was looked at: a landing prunes when its lock is free again.
    #[error("the workspace of `{name}` was removed meanwhile")]
    Pruned {
        /// The task.
        name: TaskName,
    },
    /// Uncommitted files are in the way.
    #[error("uncommitted files in {} are in the way: {}", .checkout.display(), few(.paths))]
    Overlap {
        /// The checkout.
        checkout: PathBuf,
        /// The files, relative to it.
        paths: Vec<String>,
    },
    /// A landing is under way.
    #[error("a landing is under way")]
    Busy(#[source] LockError),
    /// The target cannot be moved now.
    #[error(transparent)]
    Land(#[from] LandError),
    /// git.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Whether what was pushed is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It stays.
    Stays,
    /// It is taken back here all the same.
    TakenBack,
}

/// A task that comes back.
#[derive(Debug, Clone, PartialEq)]
pub struct Returning {
    /// The task.
    pub id: TaskId,
    /// The state that it goes back to.
    pub to: State,
    /// Its branch's commit that landed, if that still exists.
    pub head: Option<Oid>,
    /// Whether its workspace is gone and must be restored first.
    pub gone: bool,
}

/// What taking the last landing back comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Undo {
    /// The landing's id.
    pub landing: String,
    /// The branch, short.
    pub target: String,
    /// Where it is.
    pub from: Oid,
    /// Where it goes.
    pub to: Oid,
    /// How many commits leave it.
    pub commits: u32,
    /// The tasks that come back, in the order in which they landed.
    pub tasks: Vec<Returning>,
    /// Tasks that stay, and whose branches hold commits that are taken back.
    pub relying: Vec<TaskName>,
}

impl Undo {
    /// Returns the ref that keeps what is taken back.
    pub fn kept(&self) -> String {
        format!("{REFS}{}", self.landing)
    }
}

/// The landing lock, held from the plan to the end.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "held, never read")] Lock);

/// Waits until no landing is under way, and settles what a killed one left.
pub fn turn(site: &Site<'_>, observer: &dyn Observer, journal: &mut Journal) -> Result<Turn, UndoError> {
    let path = site.layout.lock("land");
    if Lock::is_held(&path) {
        observer.step("waiting for a landing");
    }
    let lock = Lock::take(&path, lock::DEADLINE, "wt undo").map_err(UndoError::Busy)?;
    settle_held(site.repo, journal, site.clock.now(), "the landing was interrupted")?;
    Ok(Turn(lock))
}

/// Returns what taking back the last landing comes to: on `target`, or on whichever branch it was. Changes nothing.
pub fn plan(
    site: &Site<'_>,
    journal: &mut Journal,
    target: Option<&str>,
    pushed: Pushed,
) -> Result<Undo, UndoError> {
    let repo = site.repo;
    journal.read()?;
    // The journal may have been rolled since: the earlier parts still know the landing, and its tasks.
    let history = journal.history()?;
    let run = last(&history.records, target);
    let (Some(first), Some(last)) = (run.first(), run.last()) else {
        return Err(UndoError::Nothing { target: target.map(str::to_owned) });
    };
    let (target, from, to) = (&last.target, &last.new, &first.old);
    let tip = repo.branch_tip(target)?.ok_or_else(|| LandError::NoTarget { target: target.clone() })?;
    if tip != *from {
        let contains = repo.is_ancestor(from, &tip).unwrap_or(false);
        let (target, to, from) = (target.clone(), to.clone(), from.clone());
        return Err(UndoError::Moved { target, to, from, tip, contains });
    }
    if pushed == Pushed::Stays {
        refuse_pushed(repo, target, from, to)?;
    }
    let inside = |commit: &Oid| -> Result<bool, GitError> {
        Ok(repo.is_ancestor(commit, from)? && !repo.is_ancestor(commit, to)?)
    };
    let mut tasks = Vec::new();
    for id in returning(&history.roster, &run, &inside) {
        tasks.push(required(site, journal.roster(), &history.roster, id)?);
    }
    if let Some(LeftOut::Overlap { checkout, paths }) = Way::to(repo, target)?.obstacle(repo, from, to)? {
        return Err(UndoError::Overlap { checkout, paths });
    }
    let back: BTreeSet<&TaskId> = tasks.iter().map(|task| &task.id).collect();
    let mut relying = Vec::new();
    for task in journal.roster().live().filter(|task| !back.contains(&task.id)) {
        let base = task.workspace.as_ref().map(|workspace| &workspace.base);
        // A base that cannot be read is nobody's reason to keep a landing.
        if base.is_some_and(|base| inside(base).unwrap_or(false)) {
            relying.push(task.name().clone());
        }
    }
    Ok(Undo {
        landing: last.landing.clone(),
        target: target.clone(),
        from: from.clone(),
        to: to.clone(),
        commits: history::count(repo, to, from)?,
        tasks,
        relying,
    })
}

/// Returns the tasks that such a landing brought, and those that brought nothing themselves since it had all of theirs.
fn returning<'r>(
    roster: &'r Roster,
    run: &'r [Intent],
    inside: &dyn Fn(&Oid) -> Result<bool, GitError>,
) -> Vec<&'r TaskId> {
    let mut found: Vec<&TaskId> =
        run.iter().flat_map(|there| there.tasks.iter().map(|(id, ..)| id)).collect();
    for task in roster.tasks().filter(|task| task.state == State::Landed && !found_in(run, &task.id)) {
        let Some(landing) = &task.landing else { continue };
        let nothing = matches!(landing.from, Some(State::Done { skipped: true }));
        if landing.commits == 0 && !nothing {
            let tip = landing.tip.as_ref();
            // What cannot be read any more was landed long before.
            if tip.is_some_and(|tip| inside(tip).unwrap_or(false)) {
                found.push(&task.id);
            }
        }
    }
    found
}

fn found_in(run: &[Intent], id: &TaskId) -> bool {
    run.iter().any(|there| there.tasks.iter().any(|(known, ..)| known == id))
}

/// Returns how a task comes back, or why it cannot.
fn required(site: &Site<'_>, now: &Roster, ever: &Roster, id: &TaskId) -> Result<Returning, UndoError> {
    let repo = site.repo;
    let gone = || UndoError::Gone { name: id.name.clone() };
    let task: &Task = now.get(id).or_else(|| ever.get(id)).ok_or_else(gone)?;
    if task.state != State::Landed {
        return Err(UndoError::Changed { name: id.name.clone(), state: task.state.word() });
    }
    // Any generation's workspace has the same folder and the same branch.
    let namesake = |other: &&Task| {
        other.name() == task.name() && other.id != *id && (!other.state.ended() || other.workspace.is_some())
    };
    if let Some(other) = now.tasks().find(namesake) {
        return Err(UndoError::NameTaken { name: id.name.clone(), state: other.state.word() });
    }
    let landing = ever.get(id).and_then(|task| task.landing.as_ref()).or(task.landing.as_ref());
    let head = landing.and_then(|landing| landing.head.clone());
    let head = head.filter(|head| repo.commit(head.as_str()).is_ok());
    let back = task.workspace.as_ref().map(|workspace| repo.branch_tip(&workspace.branch));
    match back.transpose()? {
        Some(Some(_)) => {}
        // Somebody deleted the branch of a workspace that was kept.
        Some(None) => return Err(gone()),
        None => {
            let trash = task.trash.as_deref().filter(|trash| !trash.is_empty());
            let trash = trash.map(|trash| repo.ref_tip(trash)).transpose()?.flatten();
            if trash.is_none() && head.is_none() {
                return Err(gone());
            }
        }
    }
    let from = landing.and_then(|landing| landing.from.as_ref());
    let to = from.map_or(State::Done { skipped: false }, State::before_landing);
    Ok(Returning { id: id.clone(), to, head, gone: task.workspace.is_none() })
}

fn refuse_pushed(repo: &Repo, target: &str, from: &Oid, to: &Oid) -> Result<(), UndoError> {
    let mut having = Vec::new();
    for (name, tip) in refs::tracking(repo, target)? {
        let common = repo.merge_base(&tip, from)?;
        if common.is_some_and(|common| !repo.is_ancestor(&common, to).unwrap_or(false)) {
            having.push(name.strip_prefix("refs/remotes/").unwrap_or(&name).to_owned());
        }
    }
    if having.is_empty() { Ok(()) } else { Err(UndoError::Pushed { refs: having }) }
}

/// Takes a landing back as planned; the workspaces of its tasks are back already. After [`UndoError::Pruned`] nothing has
/// happened, and it is to be planned anew.
pub fn apply(site: &Site<'_>, _turn: &Turn, journal: &mut Journal, undo: &Undo) -> Result<(), UndoError> {
    let Undo { landing, target, from, to, .. } = undo;
    let repo = site.repo;
    failpoint::hit("undo.before_intent");
    refs::apply(repo, &[RefEdit { name: undo.kept(), new: Some(from.clone()), old: Expected::Any }])?;
    // Whoever removes a workspace holds it from the look at its task to the record: none goes while its task comes back.
    let _git = Lock::take(&site.layout.lock("git"), lock::DEADLINE, "wt undo").map_err(UndoError::Busy)?;
    let tasks: Vec<(TaskId, State)> =
        undo.tasks.iter().map(|task| (task.id.clone(), task.to.clone())).collect();
    journal.transact(site.clock.now(), |roster| {
        let mut entries = Vec::new();
        for (id, _) in &tasks {
            let task = roster.get(id);
            let state = task.map_or("unknown", |task| task.state.word());
            if state != State::Landed.word() {
                return Err(UndoError::Changed { name: id.name.clone(), state });
            }
            if task.is_none_or(|task| task.workspace.is_none()) {
                return Err(UndoError::Pruned { name: id.name.clone() });
            }
        }
        let (landing, target) = (landing.clone(), target.clone());
        let (from, to) = (from.clone(), to.clone());
        entries.push((None, Event::Undoing { landing, target, from, to, tasks: tasks.clone() }));
        Ok::<_, UndoError>((entries, ()))
    })?;
    failpoint::hit("undo.after_intent");
    let moved = move_back(repo, target, from, to);
    if moved.is_ok() {
        failpoint::hit("undo.after_move");
    }
    // Whatever happened: where the target is tells.
    let settled = settle_held(repo, journal, site.clock.now(), "the landing was interrupted");
    moved?;
    settled?;
    failpoint::hit("undo.after_undone");
    Ok(())
}

fn move_back(repo: &Repo, target: &str, from: &Oid, to: &Oid) -> Result<(), UndoError> {
    let outrun = |cause| match cause {
        GitError::Moved { .. } => UndoError::Outrun { target: target.to_owned() },
        cause => cause.into(),
    };
    match Way::to(repo, target)? {
        Way::Ref => {
            let swap = RefEdit::swap(format!("refs/heads/{target}"), from.clone(), to.clone());
            refs::apply(repo, &[swap]).map_err(outrun)
        }
        Way::Checkout(checkout) => {
            // Again, for the workspaces took their time.
            let way = Way::Checkout(checkout.clone());
            if let Some(LeftOut::Overlap { checkout, paths }) = way.obstacle(repo, from, to)? {
                return Err(UndoError::Overlap { checkout, paths });
            }
            step_back(repo, &checkout, target, from, to).map_err(|cause| match cause {
                GitError::Overlap { paths } => {
                    UndoError::Overlap { checkout: checkout.path().to_owned(), paths }
                }
                cause => outrun(cause),
            })
        }
    }
}
