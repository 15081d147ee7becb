//! What a person decides: approving what is in review, and resolving by hand what nobody else could.
//!
//! Invariant: a decision is remembered by the three sides of each file, so the next landing finds it wherever the conflict
//! comes up again; nothing is published here, and the checks have their say as always.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::conflict::TextFile;
use super::conserve::{Sides, marker_left};
use super::kept;
use super::remembered;
use super::resolve::{self, Labels, matches};
use crate::git::mergetool::Staged;
use crate::git::refs::{self, Expected, RefEdit};
use crate::git::{GitError, Repo, conflict, replay, status, tree};
use crate::model::event::{ConflictKind, ConflictedPath};
use crate::model::text::count;
use crate::model::{Event, Oid, Roster, State, Task, TaskId, TaskName, TaskSpec};
use crate::store::{Journal, JournalError};
use crate::workspace::Site;

/// Why a decision cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// The task is in another state.
    #[error("`{name}` is {state}")]
    State {
        /// The task.
        name: TaskName,
        /// Its state's word.
        state: &'static str,
    },
    /// It was changed since it was looked at.
    #[error("the branch of `{name}` has changed since; nothing was approved")]
    Changed {
        /// The task.
        name: TaskName,
    },
    /// Its branch or its target is missing.
    #[error("`{name}` has no branch, or its target is missing")]
    NoBranch {
        /// The task.
        name: TaskName,
    },
    /// There is no resolution to approve.
    #[error("there is no resolution of `{name}` to approve")]
    NoCandidate {
        /// The task.
        name: TaskName,
    },
    /// What does not merge is no text.
    #[error("it cannot be resolved as text: {0}")]
    NoText(String),
    /// A result still has markers.
    #[error("`{0}` still has conflict markers")]
    Unresolved(String),
    /// What was kept cannot be read.
    #[error("what was kept of the landing cannot be read")]
    Kept(#[from] io::Error),
    /// git.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Returns the ref that keeps what would land if a person approves it.
pub fn candidate_ref(task: &Task) -> String {
    format!("refs/wt/review/{}/{}", task.id.name, task.id.generation)
}

/// Keeps a candidate, in the place of an older one.
pub(super) fn keep_candidate(repo: &Repo, task: &Task, candidate: &Oid) -> Result<(), GitError> {
    refs::apply(
        repo,
        &[RefEdit { name: candidate_ref(task), new: Some(candidate.clone()), old: Expected::Any }],
    )
}

/// Forgets the candidate of a task that has landed.
pub(super) fn drop_candidate(repo: &Repo, task: &Task) -> Result<(), GitError> {
    let name = candidate_ref(task);
    match repo.ref_tip(&name)? {
        Some(candidate) => refs::apply(repo, &[RefEdit::delete(name, candidate)]),
        None => Ok(()),
    }
}

/// Who minds which paths, as it was when the landing began: what lands beside its owner is no less a trespass.
#[derive(Debug, Clone)]
pub(super) struct Fences<'a> {
    /// The globs of `[merge] review`.
    guarded: &'a [String],
    /// The live tasks that own anything, with the globs.
    owners: Vec<(TaskId, Vec<String>)>,
}

/// What a task's change has to do with the paths that somebody minds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Crossed {
    /// Why a person must approve it, if one must.
    pub held: Option<String>,
    /// What it changed outside of what it owns, where it owns anything.
    pub outside: Vec<String>,
}

impl<'a> Fences<'a> {
    /// Returns the fences of now.
    pub(super) fn of(guarded: &'a [String], roster: &Roster) -> Self {
        let owners = roster.live().filter(|task| !task.spec.owns.is_empty());
        Self { guarded, owners: owners.map(|task| (task.id.clone(), task.spec.owns.clone())).collect() }
    }

    /// Returns what the change from `old` to `new`, which is all the task's own, has to do with the paths that somebody
    /// minds: a person (`[merge] review`), another live task (`--own`), the task itself (`--avoid`, `--own`). A branch's
    /// commit that was approved needs no other approval.
    pub(super) fn crossed(
        &self,
        repo: &Repo,
        task: &Task,
        head: &Oid,
        old: &Oid,
        new: &Oid,
    ) -> Result<Crossed, GitError> {
        let approved = task.approved.as_ref() == Some(head);
        let TaskSpec { owns, avoids, .. } = &task.spec;
        let others: Vec<_> = self.owners.iter().filter(|(id, _)| *id != task.id).collect();
        let minded = !(approved || self.guarded.is_empty() && avoids.is_empty() && others.is_empty());
        if !minded && owns.is_empty() {
            return Ok(Crossed::default());
        }
        let changed = status::changed_paths(repo, old, new)?;
        let within = |globs: &[String]| -> Vec<&String> {
            changed.iter().filter(|path| matches(globs, path)).collect()
        };
        let mut why = Vec::new();
        if minded {
            let guarded = within(self.guarded);
            why.extend(
                and_more(&guarded).map(|paths| format!("a change of {paths} needs a person's approval")),
            );
            let avoided = and_more(&within(avoids));
            why.extend(avoided.map(|paths| format!("it changes {paths}, which it was told to avoid")));
            for (other, globs) in others {
                let mut theirs = within(globs);
                theirs.retain(|path| !matches(owns, path));
                let paths = and_more(&theirs);
                why.extend(paths.map(|paths| format!("it changes {paths}, which `{}` owns", other.name)));
            }
        }
        let outside = if owns.is_empty() {
            Vec::new()
        } else {
            changed.iter().filter(|path| !matches(owns, path)).cloned().collect()
        };
        Ok(Crossed { held: (!why.is_empty()).then(|| why.join("; ")), outside })
    }
}

/// Names the first of several paths and how many more there are; `None`: there is none.
fn and_more(paths: &[&String]) -> Option<String> {
    let (first, more) = paths.split_first()?;
    Some(match more.len() {
        0 => format!("`{first}`"),
        more => format!("`{first}` and {more} more"),
    })
}

/// Returns why a person must look at a resolution, if one must: a file that all doubts are about is named once.
pub(super) fn doubtful(doubts: &[String]) -> Option<String> {
    let (first, more) = doubts.split_first()?;
    if more.is_empty() {
        return Some(first.clone());
    }
    let number = count(doubts.len(), "doubt");
    let of_one = first.split_once(": ").and_then(|(path, _)| {
        let told = doubts.iter().map(|doubt| doubt.strip_prefix(path)?.strip_prefix(": "));
        Some(format!("{number} in {path}: {}", told.collect::<Option<Vec<_>>>()?.join("; ")))
    });
    Some(of_one.unwrap_or_else(|| format!("{number}: {}", doubts.join("; "))))
}

/// Approves what is in review: its resolutions are remembered, and the task is ready to land again. Returns the paths whose
/// resolutions were approved.
pub fn approve(site: &Site<'_>, journal: &mut Journal, task: &Task) -> Result<Vec<String>, ReviewError> {
    let name = || task.name().clone();
    if task.state != State::Review {
        return Err(ReviewError::State { name: name(), state: task.state.word() });
    }
    let landing = task.landing.clone().unwrap_or_default();
    let head = head_of(site, task)?;
    if landing.head.as_ref() != Some(&head) {
        return Err(ReviewError::Changed { name: name() });
    }
    if landing.candidate.is_none() {
        return Err(ReviewError::NoCandidate { name: name() });
    }
    // Of several tries at a commit the last one that left something is the one in the candidate; an earlier one may have
    // been about other sides, which nobody looked at.
    let mut results: BTreeMap<(Oid, String), (String, Oid)> = BTreeMap::new();
    if let Some(folder) = &landing.kept {
        for call in kept::calls(folder.as_ref(), task.name())? {
            let Some(manifest) = call.load()? else { continue };
            for file in manifest.files {
                if let Some(result) = file.result {
                    results.insert((manifest.commit.clone(), file.path), (file.key, result));
                }
            }
        }
    }
    remembered::keep(site.repo, results.values().map(|(key, blob)| (key.as_str(), blob)))?;
    advance(site, journal, task, Event::Approved { head: Some(head) })?;
    let paths: BTreeSet<String> = results.into_keys().map(|(_, path)| path).collect();
    Ok(paths.into_iter().collect())
}

/// A file that a person has to merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByHand {
    /// The path in the repository.
    pub path: String,
    /// How it conflicts.
    pub kind: ConflictKind,
    /// What both sides started from.
    pub base: Option<Vec<u8>>,
    /// The target's text.
    pub ours: Vec<u8>,
    /// The task's text.
    pub theirs: Vec<u8>,
    /// The text with markers.
    pub marked: Vec<u8>,
    text: TextFile,
}

impl ByHand {
    /// Tells whether a text is a decision: no conflict marker is left in it.
    pub fn is_resolved(&self, text: &[u8]) -> bool {
        let Self { path, base, ours, theirs, .. } = self;
        marker_left(&Sides { path, base: base.as_deref(), ours, theirs }, text).is_none()
    }

    /// Returns the file with its sides, for a merge tool.
    pub fn staged(&self) -> Staged<'_> {
        let TextFile { path, mode, base, ours, theirs, .. } = &self.text;
        Staged { path, mode, base: base.as_ref(), ours, theirs }
    }
}

/// The first commit of a task that nobody resolved yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unresolved {
    /// The commit.
    pub commit: Oid,
    /// The commit that it is replayed onto.
    pub onto: Oid,
    /// Its files that do not merge.
    pub files: Vec<ByHand>,
}

/// Returns what of a task is to be resolved by hand next; `None`: it merges, all of it is remembered.
pub fn next_by_hand(site: &Site<'_>, task: &Task) -> Result<Option<Unresolved>, ReviewError> {
    let repo = site.repo;
    let head = head_of(site, task)?;
    let gone = || ReviewError::NoBranch { name: task.name().clone() };
    let old = repo.branch_tip(&task.spec.target)?.ok_or_else(gone)?;
    let labels = Labels::of(&task.spec.target, task.name().as_str());
    let mut next = None;
    let brought = super::brought(repo, Journal::new(site.layout).read()?, &old)?;
    let mut replayer = replay::Replayer::without(repo, brought);
    let outcome = replayer.replay_resolving(&old, &head, &mut |tip, commit| {
        let Some(found) = conflict::conflict(repo, tip, commit)? else { return Ok(None) };
        let read = resolve::read(repo, &found, tip, commit, &labels)?.map_err(ReviewError::NoText)?;
        let (mut settled, mut files) = (Vec::new(), Vec::new());
        for file in read {
            match remembered::recall(repo, &file.key)? {
                Some((blob, _)) => settled.push(resolve::put(&file.text, blob)),
                None => files.push(ByHand {
                    path: file.text.path.clone(),
                    kind: file.text.kind,
                    base: file.sides.base,
                    ours: file.sides.ours,
                    theirs: file.sides.theirs,
                    marked: file.marked,
                    text: file.text,
                }),
            }
        }
        if files.is_empty() {
            return Ok::<_, ReviewError>(Some(tree::with(repo, &found.tree, &settled)?));
        }
        next = Some(Unresolved { commit: commit.clone(), onto: tip.clone(), files });
        Ok(None)
    })?;
    match outcome.stop {
        Some(replay::Stop::MergesDiffer(paths)) => Err(ReviewError::NoText(merges(&paths))),
        Some(replay::Stop::Root(_)) => Err(ReviewError::NoText("its history is not the target's".to_owned())),
        _ => Ok(next),
    }
}

fn merges(paths: &[ConflictedPath]) -> String {
    let first = paths.first().map_or("a file", |conflicted| conflicted.path.as_str());
    format!("its branch holds merges, and without them `{first}` would come out differently")
}

/// Remembers what a person made of the files of [`next_by_hand`], in their order.
pub fn settle_by_hand(
    site: &Site<'_>,
    unresolved: &Unresolved,
    results: &[Vec<u8>],
) -> Result<(), ReviewError> {
    let mut kept = Vec::new();
    for (file, result) in unresolved.files.iter().zip(results) {
        if !file.is_resolved(result) {
            return Err(ReviewError::Unresolved(file.path.clone()));
        }
        kept.push((file.text.key(), tree::write_blob(site.repo, result)?));
    }
    Ok(remembered::keep_by_hand(site.repo, kept.iter().map(|(key, blob)| (key.as_str(), blob)))?)
}

/// Makes a task ready to land again whose conflicts were all resolved by hand.
pub fn finish_by_hand(site: &Site<'_>, journal: &mut Journal, task: &Task) -> Result<(), ReviewError> {
    let head = head_of(site, task)?;
    let event = match task.state {
        // Who resolves a conflict has not looked at the rest: what is guarded is still to be approved.
        State::Review => Event::Approved { head: None },
        State::Conflict => Event::MarkedDone { head, skipped: false },
        _ => {
            return Err(ReviewError::State { name: task.name().clone(), state: task.state.word() });
        }
    };
    advance(site, journal, task, event)
}

/// Records a decision unless somebody else changed the task meanwhile.
fn advance(site: &Site<'_>, journal: &mut Journal, task: &Task, event: Event) -> Result<(), ReviewError> {
    journal.transact(site.clock.now(), |roster| {
        let state = roster.get(&task.id).map(|task| &task.state);
        if state != Some(&task.state) {
            let state = state.map_or("unknown", State::word);
            return Err(ReviewError::State { name: task.name().clone(), state });
        }
        Ok((vec![(Some(task.id.clone()), event)], ()))
    })
}

fn head_of(site: &Site<'_>, task: &Task) -> Result<Oid, ReviewError> {
    let branch = task.workspace.as_ref().map(|workspace| &workspace.branch);
    let tip = branch.map(|branch| site.repo.branch_tip(branch)).transpose()?.flatten();
    tip.ok_or_else(|| ReviewError::NoBranch { name: task.name().clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_all_doubts_are_about_is_named_once() {
        let told = |doubts: &[&str]| {
            doubtful(&doubts.iter().map(|doubt| (*doubt).to_owned()).collect::<Vec<_>>()).unwrap_or_default()
        };
        assert_eq!(told(&[]), "");
        assert_eq!(told(&["a.py: x is gone"]), "a.py: x is gone");
        assert_eq!(
            told(&["a.py: x is gone", "a.py: y: z is back"]),
            "2 doubts in a.py: x is gone; y: z is back"
        );
        assert_eq!(told(&["a.py: x", "b.py: y"]), "2 doubts: a.py: x; b.py: y");
        assert_eq!(told(&["it also changed `s`", "a.py: y"]), "2 doubts: it also changed `s`; a.py: y");
    }
}
