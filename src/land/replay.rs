//! A task's commits on the moving tip, in memory: clean, in conflict, or not replayable at all. Nothing is moved.

use super::Landing;
use super::report::LeftOut;
use crate::git::replay::{self, Brought, Merged, Outcome, Pending, Replayer, Stop};
use crate::git::{GitError, Repo, landed};
use crate::model::event::ConflictedPath;
use crate::model::settings::{MergeStyle, Merges};
use crate::model::{Oid, Roster, Workspace};
use crate::workspace::Site;

/// How many landed tasks are looked at, newest first: on older ones nothing stands any more.
const LOOK_BACK: usize = 2000;

/// What replaying a task came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Replay {
    /// All of it goes onto the tip; no commits at all: it is there already.
    Clean {
        tip: Oid,
        commits: usize,
        /// What the branch has beyond the tip.
        own: Vec<Pending>,
    },
    /// It does not merge.
    Conflict { paths: Vec<ConflictedPath>, commit: Option<Oid> },
    /// There is nothing that could be replayed.
    Impossible(LeftOut),
}

/// The same, before it has its form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Raw {
    /// As it was replayed.
    Replayed(Replay),
    /// Its commits do not go there one by one, and need not: this is the tree that git makes of the whole.
    Whole { tree: Oid, own: Vec<Pending> },
}

impl From<Outcome> for Raw {
    fn from(outcome: Outcome) -> Self {
        Self::Replayed(outcome.into())
    }
}

impl From<Outcome> for Replay {
    fn from(outcome: Outcome) -> Self {
        match outcome.stop {
            None => Self::Clean { tip: outcome.tip, commits: outcome.commits.len(), own: outcome.pending },
            Some(Stop::Conflict { commit, paths }) => Self::Conflict { paths, commit: Some(commit) },
            Some(Stop::MergesDiffer(paths)) => Self::Conflict { paths, commit: None },
            Some(Stop::Root(commit)) => Self::Impossible(LeftOut::Unrelated { commit }),
        }
    }
}

/// Replays what `head` has beyond `tip`.
pub(super) fn replay(
    landing: &Landing<'_>,
    replayer: &mut Replayer<'_>,
    workspace: &Workspace,
    tip: &Oid,
    head: &Oid,
) -> Result<Raw, GitError> {
    match try_replay(landing, replayer, workspace, tip, head) {
        Err(cause) => LeftOut::unreadable(cause).map(|why| Raw::Replayed(Replay::Impossible(why))),
        done => done,
    }
}

fn try_replay(
    landing: &Landing<'_>,
    replayer: &mut Replayer<'_>,
    workspace: &Workspace,
    tip: &Oid,
    head: &Oid,
) -> Result<Raw, GitError> {
    let Landing { site: &Site { repo, settings, .. }, style, .. } = *landing;
    let outcome = replayer.replay(tip, head)?;
    if let Some(merge) = outcome.pending.iter().find(|commit| commit.is_merge())
        && style != MergeStyle::MergeCommit
        && settings.merge.merges == Merges::Refuse
    {
        let why = LeftOut::Merges { commit: merge.oid.clone() };
        return Ok(Raw::Replayed(Replay::Impossible(why)));
    }
    if matches!(outcome.stop, None | Some(Stop::Root(_))) {
        return Ok(outcome.into());
    }
    // Commits that were squashed onto the target by hand no longer merge one by one, and need not.
    if landed::landed(repo, head, &workspace.base, tip)?.is_landed() {
        let there = Replay::Clean { tip: tip.clone(), commits: 0, own: outcome.pending };
        return Ok(Raw::Replayed(there));
    }
    // Where they become one change anyway, it is enough if the whole merges.
    if style != MergeStyle::Rebase
        && let Merged::Clean(tree) = replay::merge(repo, None, tip, head)?
    {
        return Ok(Raw::Whole { tree, own: outcome.pending });
    }
    Ok(outcome.into())
}

/// Returns what of the landed tasks' own commits is not on `target` as it is: who stands on it must not bring it again.
pub fn brought(repo: &Repo, roster: &Roster, target: &Oid) -> Result<Brought, GitError> {
    let newest: Vec<_> = roster.landings().into_iter().take(LOOK_BACK).collect();
    Brought::of(repo, target, &newest)
}
