//! Moving the target: intent, move, record; and settling what a killed landing, or a killed undo, left open.
//!
//! ```text
//!  Publishing (old, new, tasks) ─▶ the target moves ─▶ Landed… + Published, as one append
//!        killed here: not moved        killed here: moved
//! ```
//!
//! Invariant: a target that is checked out moves only there, by git's own fast-forward, after it was made sure that no
//! uncommitted file is in the way; any other only from exactly the commit that the checks were about. Whoever holds the
//! landing lock may settle: the target's history tells whether it moved.

use jiff::Timestamp;

use super::report::LeftOut;
use super::{LandError, Landing};
use crate::failpoint;
use crate::git::publish::{fast_forward, follow_back, overlap, reflog_previous};
use crate::git::refs::{self, RefEdit};
use crate::git::status::{InProgress, in_progress};
use crate::git::worktree::Entry;
use crate::git::{Checkout, GitError, LinkedWorktree, Repo};
use crate::model::observer::Observer;
use crate::model::roster::Undoing;
use crate::model::{Event, Oid, Roster, State, TaskId};
use crate::store::{Journal, Layout, Lock};
use crate::workspace::Site;

/// How a target moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// Nobody has it checked out: its ref is swapped.
    Ref,
    /// By a fast-forward where it is checked out.
    Checkout(Checkout),
}

/// What publishing came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The target is there, and the journal says so.
    Published,
    /// The target is not where it was when the commits were replayed.
    Moved,
    /// Files are in the way.
    Blocked(LeftOut),
}

impl Way {
    /// Returns how `target` moves; refused where nobody may move it now.
    pub(super) fn to(repo: &Repo, target: &str) -> Result<Self, LandError> {
        let mut holders: Vec<Entry> = refs::holders(repo, target)?;
        // Where the folder is gone there are no files that could fall behind.
        holders.retain(|holder| !holder.missing);
        let holder = match holders.as_slice() {
            [] => return Ok(Self::Ref),
            [holder] => holder,
            [one, other, ..] => {
                let paths = [one.path.clone(), other.path.clone()];
                return Err(LandError::HeldTwice { target: target.to_owned(), paths });
            }
        };
        let checkout = match (&holder.entry, repo.main_worktree()) {
            (Some(name), _) => LinkedWorktree::open(repo, name, &holder.path)?.checkout().clone(),
            (None, Some(main)) => main,
            (None, None) => return Ok(Self::Ref),
        };
        match in_progress(&checkout) {
            None if holder.branch.as_deref() == Some(target) => Ok(Self::Checkout(checkout)),
            unfinished => Err(LandError::Unfinished {
                target: target.to_owned(),
                checkout: holder.path.clone(),
                what: unfinished.map_or("something", InProgress::words),
            }),
        }
    }

    /// Returns the uncommitted files that are in the way from `old` to `new`, if there are any.
    pub(super) fn obstacle(&self, repo: &Repo, old: &Oid, new: &Oid) -> Result<Option<LeftOut>, GitError> {
        let Self::Checkout(checkout) = self else { return Ok(None) };
        let paths = overlap(repo, checkout, old, new)?;
        Ok((!paths.is_empty()).then(|| LeftOut::Overlap { checkout: checkout.path().to_owned(), paths }))
    }

    /// Moves `target` from the one commit to the other, if it still is where it was.
    pub(super) fn advance(
        &self,
        repo: &Repo,
        observer: &dyn Observer,
        target: &str,
        (old, new): (&Oid, &Oid),
    ) -> Result<Outcome, LandError> {
        let Self::Checkout(checkout) = self else {
            let swap = RefEdit::swap(format!("refs/heads/{target}"), old.clone(), new.clone());
            return match refs::apply(repo, &[swap]) {
                Ok(()) => Ok(Outcome::Published),
                Err(GitError::Moved { .. }) => Ok(Outcome::Moved),
                Err(cause) => Err(cause.into()),
            };
        };
        match fast_forward(checkout, new) {
            Ok(()) => {}
            Err(GitError::Moved { .. }) => return Ok(Outcome::Moved),
            Err(GitError::Overlap { paths }) => {
                let checkout = checkout.path().to_owned();
                return Ok(Outcome::Blocked(LeftOut::Overlap { checkout, paths }));
            }
            Err(cause) => return Err(cause.into()),
        }
        // git moved whatever `HEAD` named at that moment.
        if !contains(repo, target, new) {
            return Err(LandError::Astray {
                target: target.to_owned(),
                checkout: checkout.path().to_owned(),
                new: new.clone(),
            });
        }
        match reflog_previous(repo, target)? {
            Some((from, to)) if to == *new && from != *old => observer.warn(&format!(
                "`{target}` was at {}, not at {}, when it was moved to {}",
                from.short(),
                old.short(),
                new.short()
            )),
            _ => {}
        }
        Ok(Outcome::Published)
    }
}

/// Commits that are ready to become the target.
#[derive(Debug)]
pub(super) struct Publication<'a> {
    pub landing: &'a Landing<'a>,
    /// The landing's id.
    pub id: &'a str,
    /// What lands, in order: each task, the commit that its last one became, how many there are.
    pub tasks: &'a [(TaskId, Oid, usize)],
    pub old: &'a Oid,
    pub new: &'a Oid,
}

impl Publication<'_> {
    /// Moves the target and records it. After an error the caller settles: it may have moved.
    pub(super) fn publish(&self, journal: &mut Journal) -> Result<Outcome, LandError> {
        let Landing { site: &Site { repo, clock, .. }, target, .. } = *self.landing;
        let way = Way::to(repo, target)?;
        if repo.branch_tip(target)?.as_ref() != Some(self.old) {
            return Ok(Outcome::Moved);
        }
        if let Some(obstacle) = way.obstacle(repo, self.old, self.new)? {
            return Ok(Outcome::Blocked(obstacle));
        }
        let intent = Event::Publishing {
            landing: self.id.to_owned(),
            target: target.to_owned(),
            old: self.old.clone(),
            new: self.new.clone(),
            tasks: self.tasks.to_vec(),
        };
        journal.append(clock.now(), vec![(None, intent)])?;
        failpoint::hit("land.after_intent");
        let outcome = way.advance(repo, self.landing.observer, target, (self.old, self.new))?;
        let moved = outcome == Outcome::Published;
        let mut entries = Vec::new();
        if moved {
            failpoint::hit("land.after_move");
            entries.extend(self.tasks.iter().map(|(id, tip, commits)| {
                (Some(id.clone()), Event::Landed { tip: tip.clone(), commits: *commits })
            }));
        }
        entries.push((None, Event::Published { landing: self.id.to_owned(), moved }));
        journal.append(clock.now(), entries)?;
        if moved {
            failpoint::hit("land.after_landed");
        }
        Ok(outcome)
    }
}

/// Tells whether `commit` is in the history of `branch`. What cannot be read is in nobody's history.
fn contains(repo: &Repo, branch: &str, commit: &Oid) -> bool {
    let tip = repo.branch_tip(branch).ok().flatten();
    tip.is_some_and(|tip| repo.is_ancestor(commit, &tip).unwrap_or(false))
}

/// Settles what a killed landing left open, unless a landing is under way: every command asks for it as it starts.
/// Returns how many tasks were put right; reads nothing but the journal where there is nothing to do.
pub fn settle(
    repo: &Repo,
    layout: &Layout,
    journal: &mut Journal,
    now: Timestamp,
) -> Result<usize, LandError> {
    if !unsettled(journal.read()?) {
        return Ok(0);
    }
    let lock = Lock::try_take(&layout.lock("land")).map_err(|cause| LandError::Busy(cause.into()))?;
    if lock.is_none() {
        return Ok(0);
    }
    settle_held(repo, journal, now, "the landing was interrupted")
}

fn unsettled(roster: &Roster) -> bool {
    !roster.intents().is_empty()
        || !roster.undoings().is_empty()
        || roster.live().any(|task| matches!(task.state, State::Landing { .. }))
}

/// Settles; the caller holds the landing lock. A task whose intent came true has landed, any other goes back to where it
/// was, for `reason`.
pub(super) fn settle_held(
    repo: &Repo,
    journal: &mut Journal,
    now: Timestamp,
    reason: &str,
) -> Result<usize, LandError> {
    if !unsettled(journal.read()?) {
        return Ok(0);
    }
    for undoing in journal.roster().undoings() {
        finish_undoing(repo, undoing)?;
    }
    journal.transact(now, |roster| {
        let mut landed: Vec<(Option<TaskId>, Event)> = Vec::new();
        let mut published = Vec::new();
        let landing = |id: &TaskId| matches!(roster.get(id).map(|t| &t.state), Some(State::Landing { .. }));
        for intent in roster.intents() {
            let moved = contains(repo, &intent.target, &intent.new);
            for (id, tip, commits) in intent.tasks.iter().filter(|(id, ..)| moved && landing(id)) {
                landed.push((Some(id.clone()), Event::Landed { tip: tip.clone(), commits: *commits }));
            }
            published.push((None, Event::Published { landing: intent.landing.clone(), moved }));
        }
        let aborted: Vec<_> = roster
            .live()
            .filter(|task| landing(&task.id) && !landed.iter().any(|(id, _)| id.as_ref() == Some(&task.id)))
            .map(|task| (Some(task.id.clone()), Event::LandingAborted { reason: reason.to_owned() }))
            .collect();
        let mut back: Vec<(Option<TaskId>, Event)> = Vec::new();
        for undoing in roster.undoings() {
            let moved = !contains(repo, &undoing.target, &undoing.from);
            if moved {
                back.extend(unlanded(roster, &undoing.tasks));
            }
            published.push((None, Event::Undone { landing: undoing.landing.clone(), moved }));
        }
        let tasks = landed.len() + aborted.len() + back.len();
        Ok((landed.into_iter().chain(aborted).chain(back).chain(published).collect(), tasks))
    })
}

/// Returns what is to be recorded of tasks whose landing was taken back, those left out of which it is recorded already.
fn unlanded<'t>(
    roster: &'t Roster,
    tasks: &'t [(TaskId, State)],
) -> impl Iterator<Item = (Option<TaskId>, Event)> + 't {
    let landed = |id: &TaskId| roster.get(id).is_some_and(|task| task.state == State::Landed);
    tasks.iter().filter(move |(id, _)| landed(id)).map(|(id, to)| {
        let event = Event::Unlanded { to: to.clone() };
        (Some(id.clone()), event)
    })
}

/// Brings the files of a checkout after its branch, where an undo was killed between the two.
fn finish_undoing(repo: &Repo, undoing: &Undoing) -> Result<(), LandError> {
    let Undoing { target, from, to, .. } = undoing;
    if repo.branch_tip(target)?.as_ref() != Some(to) {
        return Ok(());
    }
    let Ok(Way::Checkout(checkout)) = Way::to(repo, target) else { return Ok(()) };
    match follow_back(&checkout, from, to) {
        // Somebody has changed these files since: git shows both, and nothing is lost.
        Ok(()) | Err(GitError::Overlap { .. }) => Ok(()),
        Err(cause) => Err(cause.into()),
    }
}
