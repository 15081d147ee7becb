//! A task's commits on the moving tip, in memory: clean, in conflict, or not replayable at all. Nothing is moved.

use super::report::LeftOut;
use crate::git::replay::{Replayer, Stop};
use crate::git::{GitError, Repo, landed};
use crate::model::event::ConflictedPath;
use crate::model::{Oid, Workspace};

/// What replaying a task came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Replay {
    /// All of it goes onto the tip; no commits at all: it is there already.
    Clean { tip: Oid, commits: usize },
    /// It does not merge.
    Conflict { paths: Vec<ConflictedPath>, commit: Option<Oid> },
    /// There is nothing that could be replayed.
    Impossible(LeftOut),
}

/// Replays what `head` has beyond `tip`.
pub(super) fn replay(
    repo: &Repo,
    replayer: &mut Replayer<'_>,
    workspace: &Workspace,
    tip: &Oid,
    head: &Oid,
) -> Result<Replay, GitError> {
    match try_replay(repo, replayer, workspace, tip, head) {
        Err(cause) => LeftOut::unreadable(cause).map(Replay::Impossible),
        done => done,
    }
}

fn try_replay(
    repo: &Repo,
    replayer: &mut Replayer<'_>,
    workspace: &Workspace,
    tip: &Oid,
    head: &Oid,
) -> Result<Replay, GitError> {
    let outcome = replayer.replay(tip, head)?;
    let Some(stop) = outcome.stop else {
        return Ok(Replay::Clean { tip: outcome.tip, commits: outcome.commits.len() });
    };
    // Commits that were squashed onto the target by hand no longer merge one by one, and need not.
    if landed::landed(repo, head, &workspace.base, tip)?.is_landed() {
        return Ok(Replay::Clean { tip: tip.clone(), commits: 0 });
    }
    Ok(match stop {
        Stop::Conflict { commit, paths } => Replay::Conflict { paths, commit: Some(commit) },
        Stop::MergesDiffer(paths) => Replay::Conflict { paths, commit: None },
        Stop::Root(commit) => Replay::Impossible(LeftOut::Unrelated { commit }),
    })
}
