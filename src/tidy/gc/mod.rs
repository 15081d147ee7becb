//! Removing workspaces that are no longer needed.
//!
//! ```text
//!  facts ▶ plan (pure, shown) ▶ for each, under the git lock and the task's own: facts again ▶ plan again ▶ removal ▶ journal
//! ```
//!
//! Invariants: what moved or became dirty since the plan stays; a removal that was killed is finished by the next sweep;
//! one that fails is told and does not stop the others. While a landing is under way only what has landed goes, because
//! the landing may take up anything else at any moment. What nobody is shown a plan of is looked at once.

pub(super) mod facts;
mod plan;
mod trash;

pub use plan::{Changes, Decision, Facts, Force, Left, Plan, Policy, Scope, Tie, Work, decide, plan};
pub use trash::{Cleared, clear_expired, orphan_bases};

use std::time::Duration;

use self::facts::Seen;
use super::Grounds;
use crate::git::GitError;
use crate::model::view::{GcKept, GcRemoved};
use crate::model::{Event, Roster, State, TaskId};
use crate::store::lock::{DEADLINE, Lock, LockError};
use crate::store::{Journal, JournalError};
use crate::workspace::remove::BranchAfter;
use crate::workspace::{GitLock, RemoveError, apply_removal_as_seen, plan_removal};

/// How long a task's lock is waited for: a runner holds it for a moment longer than its attempt.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why a sweep stopped. What one workspace alone fails at is not an error but a reason why it stays.
#[derive(Debug, thiserror::Error)]
pub enum GcError {
    /// A lock.
    #[error("the repository is busy")]
    Lock(#[from] LockError),
    /// git cannot list worktrees or refs.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// What a sweep did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// What went.
    pub removed: Vec<GcRemoved>,
    /// What stays, and why.
    pub kept: Vec<GcKept>,
    /// Bytes of what went: of the files that git sees, each as whole blocks of 4 KiB; ignored files are not counted.
    pub bytes: u64,
}

/// What became of one workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It went.
    Removed {
        /// Why it could go.
        why: String,
        /// The ref that brings it back; `None`: there was nothing to keep.
        trash: Option<String>,
        /// The size of its files, counted as in [`Swept::bytes`].
        bytes: u64,
    },
    /// It stays, and why.
    Kept(String),
}

/// Returns what a sweep would do. Changes nothing.
pub fn plan_gc(grounds: &Grounds<'_>, roster: &Roster, policy: &Policy) -> Result<Plan, GitError> {
    let ids = scope(grounds, roster, policy);
    let seen = facts::gather(&grounds.site, roster, &ids)?;
    Ok(plan(seen.into_iter().map(|seen| seen.facts).collect(), policy))
}

fn scope(grounds: &Grounds<'_>, roster: &Roster, policy: &Policy) -> Vec<TaskId> {
    match &policy.scope {
        Scope::All => facts::candidates(&grounds.site, roster),
        Scope::Named(ids) => ids.clone(),
    }
}

/// Returns what a sweep would do, with sizes, for people. Changes nothing.
pub fn preview(grounds: &Grounds<'_>, roster: &Roster, policy: &Policy) -> Result<Swept, GitError> {
    let seen = facts::gather(&grounds.site, roster, &scope(grounds, roster, policy))?;
    let mut swept = Swept::default();
    for Seen { facts, bytes, .. } in seen {
        let name = facts.id.name.to_string();
        match decide(&facts, policy) {
            Decision::Remove(why) => {
                swept.removed.push(GcRemoved { name, why, trash: None });
                swept.bytes += bytes;
            }
            Decision::Keep(why) => swept.kept.push(GcKept { name, why }),
        }
    }
    Ok(swept)
}

fn kept(keep: &[(TaskId, String)]) -> Vec<GcKept> {
    keep.iter().map(|(id, why)| GcKept { name: id.name.to_string(), why: why.clone() }).collect()
}

/// Does what was planned, looking at each workspace again first.
pub fn apply_gc(grounds: &Grounds<'_>, journal: &mut Journal, plan: &Plan) -> Result<Swept, GcError> {
    let mut swept = Swept { kept: kept(&plan.keep), ..Swept::default() };
    let planned = plan.remove.iter().map(|(facts, _)| (facts.id.clone(), Some(facts))).collect();
    sweep_all(grounds, journal, planned, &plan.policy, &mut swept)?;
    Ok(swept)
}

/// Discards the tasks that a policy names: each is looked at once, under its locks, and goes or stays by what was seen. For
/// callers that have nobody to show a plan to.
pub fn discard(grounds: &Grounds<'_>, journal: &mut Journal, policy: &Policy) -> Result<Swept, GcError> {
    let ids = scope(grounds, journal.read()?, policy);
    let mut swept = Swept::default();
    let asked = ids.into_iter().map(|id| (id, None)).collect();
    sweep_all(grounds, journal, asked, policy, &mut swept)?;
    Ok(swept)
}

/// Sweeps one after another; only what has landed while a landing is under way.
fn sweep_all(
    grounds: &Grounds<'_>,
    journal: &mut Journal,
    all: Vec<(TaskId, Option<&Facts>)>,
    policy: &Policy,
    swept: &mut Swept,
) -> Result<(), GcError> {
    if all.is_empty() {
        return Ok(());
    }
    let no_landing = Lock::try_take(&grounds.site.layout.lock("land")).map_err(LockError::from)?;
    for (id, planned) in all {
        let name = id.name.to_string();
        grounds.observer.step(&format!("removing `{name}`"));
        let state = planned.map(|facts| &facts.state).or_else(|| Some(&journal.roster().get(&id)?.state));
        let fate = if no_landing.is_none() && state != Some(&State::Landed) {
            Fate::Kept("a landing is under way, and may take it up".to_owned())
        } else {
            sweep(grounds, journal, &id, policy, planned)?
        };
        match fate {
            Fate::Removed { why, trash, bytes } => {
                swept.bytes += bytes;
                swept.removed.push(GcRemoved { name, why, trash });
            }
            Fate::Kept(why) => swept.kept.push(GcKept { name, why }),
        }
    }
    Ok(())
}

/// Removes the workspace of one landed task, as a landing does at its end; whatever else it holds by now keeps it.
pub fn prune(grounds: &Grounds<'_>, journal: &mut Journal, id: &TaskId) -> Result<Fate, GcError> {
    let stale = grounds.site.settings.gc.stale;
    let policy = Policy { scope: Scope::All, force: Force::Never, stale };
    let landed = journal.read()?.get(id).is_some_and(|task| task.state == State::Landed);
    if !landed {
        return Ok(Fate::Kept("it has not landed".to_owned()));
    }
    sweep(grounds, journal, id, &policy, None)
}

/// Looks at one workspace under its locks and removes it if it may still go. `planned`: what it was when that was decided.
fn sweep(
    grounds: &Grounds<'_>,
    journal: &mut Journal,
    id: &TaskId,
    policy: &Policy,
    planned: Option<&Facts>,
) -> Result<Fate, GcError> {
    let site = &grounds.site;
    let git = Lock::take(&site.layout.lock("git"), DEADLINE, "removing a workspace")?;
    let folder = site.layout.task(id);
    if let Err(error) = crate::store::layout::private_folder(folder.root()) {
        return Ok(Fate::Kept(error.to_string()));
    }
    let Ok(_held) = Lock::take(&folder.lock(), PATIENCE, "removing a workspace") else {
        return Ok(Fate::Kept("in use by another `wt`".to_owned()));
    };
    let roster = journal.read()?;
    let task = roster.get(id).cloned();
    let mut found = facts::gather(site, roster, std::slice::from_ref(id))?;
    let (Some(task), Some(Seen { facts, look, bytes })) = (task, found.pop()) else {
        return Ok(Fate::Kept("it is no longer known".to_owned()));
    };
    let workspace = facts::workspace_of(site, &task);
    if task.state.ended() && workspace.is_none() {
        // Another sweep was faster.
        return Ok(Fate::Kept("its workspace is gone already".to_owned()));
    }
    if let Some(planned) = planned.filter(|planned| planned.left == facts.left) {
        if planned.tips != facts.tips {
            return Ok(Fate::Kept("its branch moved meanwhile".to_owned()));
        }
        if planned.changes == Changes::Nothing && facts.changes != Changes::Nothing {
            return Ok(Fate::Kept("it became dirty meanwhile".to_owned()));
        }
    }
    let why = match decide(&facts, policy) {
        Decision::Keep(why) => return Ok(Fate::Kept(why)),
        Decision::Remove(why) => why,
    };
    let gone = match workspace {
        None => None,
        Some(workspace) => {
            let removal = plan_removal(site.repo, id, &workspace);
            let removed = removal.and_then(|removal| {
                apply_removal_as_seen(site, GitLock::held(&git), &removal, look.as_ref())
            });
            match removed {
                Err(error) => return Ok(Fate::Kept(in_words(&error))),
                Ok(removed) => Some((removed, workspace.branch)),
            }
        }
    };
    let trash = gone.as_ref().and_then(|(removed, _)| removed.trash.clone());
    let event = match (&task.state, &trash) {
        (State::Landed, Some(trash)) => Some(Event::Pruned { trash: trash.clone() }),
        (State::Landed, None) => Some(Event::Pruned { trash: String::new() }),
        (State::Removed { .. }, _) => None,
        _ => Some(Event::Removed { reason: why.clone(), trash: trash.clone() }),
    };
    let entries = event.map(|event| (Some(id.clone()), event)).into_iter().collect();
    journal.append(site.clock.now(), entries)?;
    drop(git);
    if let Some((_, branch)) = gone.iter().find(|(removed, _)| removed.branch == BranchAfter::Kept) {
        grounds.observer.warn(&format!("branch `{branch}` stays: it is in use, or it moved meanwhile"));
    }
    Ok(Fate::Removed { why, trash, bytes })
}

/// An error with its causes, on one line.
fn in_words(error: &RemoveError) -> String {
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if !words.ends_with(&text) {
            words = format!("{words}: {text}");
        }
        cause = error.source();
    }
    crate::model::text::one_line(&words, 200)
}
