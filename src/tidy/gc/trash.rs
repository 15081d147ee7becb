//! What removals leave behind, once it is old enough: trash refs, refs of bases that nobody counts from. The folders are only
//! counted: they are deleted in the background (`workspace::trash`).
//!
//! Invariant: the newest trash ref of a task whose name is taken stays, whatever its age; a ref whose age is not known for
//! sure stays.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::{GcError, Grounds};
use crate::git::dates::{self, DatedRef};
use crate::git::refs::{self, RefEdit};
use crate::git::{GitError, Repo};
use crate::model::{Event, Oid, Roster, TaskId, TaskName};
use crate::store::Journal;
use crate::store::lock::{DEADLINE, Lock};
use crate::workspace::{checkpoint, trash};

const REFS: &str = "refs/wt/trash/";
const BASES: &str = "refs/wt/base/";
/// What would land of a task in review, by name and generation.
const CANDIDATES: &str = "refs/wt/review/";

/// What was taken back by `wt undo`, by landing.
const UNDONE: &str = "refs/wt/undone/";

/// What was cleared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Trash refs.
    pub refs: usize,
    /// Trash folders that may be deleted now.
    pub folders: usize,
    /// Base refs.
    pub bases: usize,
    /// Checkpoints.
    pub checkpoints: usize,
    /// Candidates of tasks that are gone.
    pub candidates: usize,
}

/// Clears what is old enough, under the git lock; folders are only counted.
pub fn clear_expired(grounds: &Grounds<'_>, journal: &mut Journal) -> Result<Cleared, GcError> {
    let site = &grounds.site;
    let mut cleared = Cleared::default();
    {
        let _git = Lock::take(&site.layout.lock("git"), DEADLINE, "clearing the trash")?;
        let history = journal.history()?;
        let recorded = removals(&history.records);
        let edits = expired(site.repo, &history.roster, &recorded, site.clock.now(), site.settings.gc.trash)?;
        cleared.refs = edits.iter().filter(|edit| !edit.name.ends_with(".branch")).count();
        refs::apply(site.repo, &edits)?;
        let edits = old_checkpoints(site.repo, &history.roster, site.clock.now(), site.settings.gc.trash)?;
        cleared.checkpoints = edits.iter().filter(|edit| !edit.name.ends_with(".branch")).count();
        refs::apply(site.repo, &edits)?;
        let edits = old_candidates(site.repo, &history.roster, site.clock.now(), site.settings.gc.trash)?;
        cleared.candidates = edits.len();
        refs::apply(site.repo, &edits)?;
        let edits = old_undone(site.repo, &history.records, site.clock.now(), site.settings.gc.trash)?;
        refs::apply(site.repo, &edits)?;
        let bases = orphan_bases(site.repo, journal.read()?)?;
        cleared.bases = bases.len();
        let edits: Vec<RefEdit> = bases.into_iter().map(|(name, at)| RefEdit::delete(name, at)).collect();
        refs::apply(site.repo, &edits)?;
    }
    cleared.folders = trash::expired(site).len();
    Ok(cleared)
}

/// Returns when each trash ref was recorded. The date of its commit is that of the snapshot, except where only a branch was
/// put away: that is as old as the branch's last commit.
fn removals(records: &[crate::model::Record]) -> BTreeMap<String, Timestamp> {
    let mut found = BTreeMap::new();
    for record in records {
        if let Event::Pruned { trash } | Event::Removed { trash: Some(trash), .. } = &record.event {
            found.insert(trash.clone(), record.at);
        }
    }
    found
}

fn expired(
    repo: &Repo,
    roster: &Roster,
    recorded: &BTreeMap<String, Timestamp>,
    now: Timestamp,
    limit: Duration,
) -> Result<Vec<RefEdit>, GitError> {
    let all = dates::list(repo, REFS)?;
    let mut newest: BTreeMap<&str, u32> = BTreeMap::new();
    for (name, n) in all.iter().filter_map(numbered) {
        let top = newest.entry(name).or_default();
        *top = n.max(*top);
    }
    let taken: BTreeSet<&str> = roster.live().map(|task| task.name().as_str()).collect();
    let mut edits = Vec::new();
    for dated in &all {
        let Some((name, n)) = numbered(dated) else { continue };
        let beside = all.iter().find(|other| other.name == format!("{}.branch", dated.name));
        let made = match (recorded.get(&dated.name), beside) {
            (Some(at), _) => dated.at.max(*at),
            (None, Some(branch)) if branch.oid == dated.oid => continue,
            (None, _) => dated.at,
        };
        let old = Duration::try_from(now.duration_since(made)).is_ok_and(|age| age >= limit);
        if old && !(taken.contains(name) && newest.get(name) == Some(&n)) {
            edits.extend([Some(dated), beside].into_iter().flatten().map(deletion));
        }
    }
    Ok(edits)
}

/// Returns the checkpoints of tasks that ended so long ago; of one that nobody knows any more, its own age counts.
fn old_checkpoints(
    repo: &Repo,
    roster: &Roster,
    now: Timestamp,
    limit: Duration,
) -> Result<Vec<RefEdit>, GitError> {
    let all = dates::list(repo, checkpoint::REFS)?;
    let mut edits = Vec::new();
    for dated in &all {
        let Some(id) = checkpoint::owner(dated) else { continue };
        if outlived(roster, &id, dated, now, limit) {
            let beside = all.iter().find(|other| other.name == checkpoint::branch_ref(&dated.name));
            edits.extend([Some(dated), beside].into_iter().flatten().map(deletion));
        }
    }
    Ok(edits)
}

/// Returns the candidates of tasks that ended so long ago: until then a removed one may come back to its review.
fn old_candidates(
    repo: &Repo,
    roster: &Roster,
    now: Timestamp,
    limit: Duration,
) -> Result<Vec<RefEdit>, GitError> {
    let of = |dated: &DatedRef| -> Option<TaskId> {
        dated.name.strip_prefix(CANDIDATES)?.replace('/', "@").parse().ok()
    };
    let mut all = dates::list(repo, CANDIDATES)?;
    all.retain(|dated| of(dated).is_some_and(|id| outlived(roster, &id, dated, now, limit)));
    Ok(all.iter().map(deletion).collect())
}

/// Returns the refs of landings that were taken back so long ago.
fn old_undone(
    repo: &Repo,
    records: &[crate::model::Record],
    now: Timestamp,
    limit: Duration,
) -> Result<Vec<RefEdit>, GitError> {
    let mut all = dates::list(repo, UNDONE)?;
    all.retain(|dated| {
        let mine = |landing: &String| dated.name.strip_prefix(UNDONE) == Some(landing);
        let told = records
            .iter()
            .rev()
            .find(|record| matches!(&record.event, Event::Undoing { landing, .. } if mine(landing)));
        let at = told.map(|record| record.at);
        at.is_some_and(|at| Duration::try_from(now.duration_since(at)).is_ok_and(|age| age >= limit))
    });
    Ok(all.iter().map(deletion).collect())
}

/// Tells whether a ref of a task is old enough to go: counted from the end of the task, of one that nobody knows any more
/// from the ref's own date.
fn outlived(roster: &Roster, id: &TaskId, dated: &DatedRef, now: Timestamp, limit: Duration) -> bool {
    let task = roster.get(id);
    let since = task.and_then(|task| task.ended_at).map_or(dated.at, |ended| ended.max(dated.at));
    task.is_none_or(|task| task.state.ended())
        && Duration::try_from(now.duration_since(since)).is_ok_and(|age| age >= limit)
}

fn numbered(dated: &DatedRef) -> Option<(&str, u32)> {
    let (name, n) = dated.name.strip_prefix(REFS)?.rsplit_once('/')?;
    Some((name, n.parse().ok()?))
}

fn deletion(dated: &DatedRef) -> RefEdit {
    RefEdit::delete(&dated.name, dated.oid.clone())
}

/// Returns the base refs that no task counts from: none of that name is live or still has its workspace.
pub fn orphan_bases(repo: &Repo, roster: &Roster) -> Result<Vec<(String, Oid)>, GitError> {
    let needed = |name: &TaskName| {
        let mut all = roster.tasks().filter(|task| task.name() == name);
        all.any(|task| !task.state.ended() || task.workspace.is_some())
    };
    let mut orphans = refs::list(repo, BASES)?;
    orphans.retain(|(full, _)| {
        full.strip_prefix(BASES).and_then(|name| name.parse().ok()).is_some_and(|name| !needed(&name))
    });
    Ok(orphans)
}
