//! Checkpoints: how a workspace stood at the end of an attempt, kept below `refs/wt/checkpoint/NAME/N`.
//!
//! N is the attempt's number, or the next free one where that is taken. Invariant: no checkpoint replaces another; those of
//! an earlier task of the same name move to `refs/wt/checkpoint/NAME@G/N` first. The caller holds the task's lock.

use jiff::Timestamp;

use super::Site;
use crate::git::dates::{self, DatedRef};
use crate::git::refs::{self, RefEdit};
use crate::git::{Checkout, GitError, Repo, snapshot};
use crate::model::{Oid, Task, TaskId, Workspace};

/// Where all of them are.
pub const REFS: &str = "refs/wt/checkpoint/";

/// What the message of each begins with, before the task's id.
const OF: &str = "wt: checkpoint of ";

/// One checkpoint of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its number.
    pub number: u32,
    /// The full name of its ref.
    pub name: String,
    /// The snapshot.
    pub oid: Oid,
    /// When it was taken.
    pub at: Timestamp,
    /// What it was taken for.
    pub about: String,
}

/// Keeps how a workspace stands, with its untracked and copied-in files; touches neither its files nor its index. Returns
/// the ref.
pub fn take(
    site: &Site<'_>,
    task: &Task,
    workspace: &Workspace,
    checkout: &Checkout,
    attempt: u32,
    about: &str,
) -> Result<String, GitError> {
    let message = format!("{OF}{}: {about}", task.id);
    // A large folder that was brought in as one can be brought in again.
    let copied: Vec<String> = workspace.copied.iter().filter(|path| !path.ends_with('/')).cloned().collect();
    let kept = snapshot::take(site.repo, checkout, &copied, &message)?;
    make_room(site.repo, &task.id)?;
    let taken = list(site.repo, &task.id)?.last().map_or(0, |newest| newest.number);
    let name = format!("{REFS}{}/{}", task.name(), attempt.max(taken + 1));
    refs::apply(site.repo, &[RefEdit::create(&name, kept)])?;
    Ok(name)
}

/// Returns the ref that keeps a branch's commit beside a checkpoint whose `HEAD` was elsewhere.
pub fn branch_ref(name: &str) -> String {
    format!("{name}.branch")
}

/// Returns the checkpoints of a task, by number.
pub fn list(repo: &Repo, id: &TaskId) -> Result<Vec<Checkpoint>, GitError> {
    let mut found = Vec::new();
    for folder in [id.name.to_string(), id.to_string()] {
        let below = format!("{REFS}{folder}/");
        let own = dates::list(repo, &below)?.into_iter().filter(|dated| owner(dated).as_ref() == Some(id));
        found.extend(own.filter_map(|dated| {
            let number = dated.name.strip_prefix(&below)?.parse().ok()?;
            let about = dated.subject.split_once(": ")?.1.split_once(": ")?.1.to_owned();
            Some(Checkpoint { number, name: dated.name, oid: dated.oid, at: dated.at, about })
        }));
    }
    found.sort_by_key(|checkpoint| checkpoint.number);
    Ok(found)
}

/// Returns the task that a checkpoint is of.
pub fn owner(dated: &DatedRef) -> Option<TaskId> {
    let id = dated.subject.strip_prefix(OF)?.split([':', ' ']).next()?;
    id.parse().ok()
}

/// Moves the checkpoints of earlier tasks of the same name out of the way.
fn make_room(repo: &Repo, id: &TaskId) -> Result<(), GitError> {
    let below = format!("{REFS}{}/", id.name);
    let mut edits = Vec::new();
    for dated in dates::list(repo, &below)? {
        let number = dated.name.strip_prefix(&below).and_then(|number| number.parse::<u32>().ok());
        let (Some(other), Some(number)) = (owner(&dated).filter(|other| other != id), number) else {
            continue;
        };
        edits.push(RefEdit::create(format!("{REFS}{other}/{number}"), dated.oid.clone()));
        edits.push(RefEdit::delete(dated.name, dated.oid));
    }
    refs::apply(repo, &edits)
}
