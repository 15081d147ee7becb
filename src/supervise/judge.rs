//! Judging an attempt that ended well: by git and by the checks, never by the agent's word.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use super::order::Orders;
use super::recovery::Work;
use crate::agent::Promise;
use crate::git::{Checkout, GitError, commit, replay, status};
use crate::model::settings::{CommitBy, VerifyStep};
use crate::model::task::{Oid, Task, Workspace};
use crate::model::text::one_line;
use crate::model::verdict::Exit;
use crate::process::run::{Outcome, Shell};
use crate::store::layout::nth_log;
use crate::workspace::Site;
use crate::workspace::shared;

/// What the checks need to run like the agent did.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// Variables to set.
    pub env: &'a [(String, String)],
    /// Inherited variables to leave out.
    pub without: &'a [&'a str],
    /// The attempt's token.
    pub token: &'a str,
    /// What guards hold.
    pub shared: &'a [std::os::fd::BorrowedFd<'a>],
    /// What guards become if we die.
    pub then: &'a [String],
    /// Where the output of the checks goes.
    pub log: &'a Path,
}

/// Why an attempt could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// git refused.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A check could not be started.
    #[error("a check cannot be started")]
    Check(#[from] io::Error),
}

/// What git says of a workspace, whatever its agent says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ground {
    /// Everything is committed, on its branch.
    Clean {
        /// The branch's commit.
        head: Oid,
        /// Whether it has commits that the target lacks.
        new: bool,
    },
    /// It cannot be taken as it is.
    Unfinished {
        /// Why, for people and for the next attempt.
        reason: String,
    },
}

/// Returns what git says of a finished workspace, before any check; commits for the agent where that is asked for.
/// `said` is the agent's final message, if it has one.
pub fn by_git(
    site: &Site<'_>,
    task: &Task,
    workspace: &Workspace,
    checkout: &Checkout,
    said: Option<&str>,
) -> Result<Work, JudgeError> {
    let promise = said.and_then(Promise::of);
    if let Some(Promise::Blocked(reason)) = &promise {
        return Ok(Work::Blocked { reason: blocked(reason) });
    }
    Ok(match (ground(site, task, workspace, checkout)?, promise) {
        (Ground::Unfinished { reason }, _) => Work::Unfinished { reason },
        (Ground::Clean { head, new: true }, _) => Work::Verified { head },
        (Ground::Clean { head, new: false }, Some(Promise::Nothing)) => Work::Nothing { head },
        (Ground::Clean { new: false, .. }, _) => Work::NoCommit,
    })
}

/// Returns an agent's reason for not going on, as people read it.
pub fn blocked(reason: &str) -> String {
    format!("the agent is blocked: {}", one_line(reason, 200))
}

/// Returns how a workspace stands; commits for the agent where that is asked for.
pub fn ground(
    site: &Site<'_>,
    task: &Task,
    workspace: &Workspace,
    checkout: &Checkout,
) -> Result<Ground, JudgeError> {
    let unfinished = |reason: String| Ok(Ground::Unfinished { reason });
    if !checkout.path().exists() {
        return unfinished(format!("the folder {} is gone", checkout.path().display()));
    }
    let status = status::status(checkout)?;
    if let Some(operation) = status.in_progress {
        return unfinished(format!("{} is in progress in the workspace", operation.words()));
    }
    if status.dirty() {
        match site.settings.agent.commit {
            CommitBy::Agent => return unfinished("uncommitted changes are left".to_owned()),
            CommitBy::Auto => {
                let message = format!(
                    "{}: work left uncommitted by {}",
                    task.name(),
                    task.spec.agent.as_deref().unwrap_or("hand")
                );
                commit::commit_all(checkout, &workspace.copied, &message)?;
            }
        }
    }
    let tip = site.repo.branch_tip(&workspace.branch)?;
    let head = checkout.tip(site.repo)?;
    let Some(head) = head.filter(|head| Some(head) == tip.as_ref()) else {
        return unfinished(format!("the workspace is no longer on its branch `{}`", workspace.branch));
    };
    if let Some(path) = shared::committed(site.repo, &head)? {
        return unfinished(format!(
            "`{path}` is committed, which is made for each workspace (`git rm --cached {path}`)"
        ));
    }
    let target = site.repo.branch_tip(&task.spec.target)?;
    let onto = target.as_ref().unwrap_or(&workspace.base);
    let new = head != workspace.base && !replay::pending(site.repo, &head, onto)?.is_empty();
    Ok(Ground::Clean { head, new })
}

/// Returns the checks of a task: its own, else the configured ones.
pub fn checks(site: &Site<'_>, task: &Task) -> Vec<VerifyStep> {
    if task.spec.verify.is_empty() {
        return site.settings.verify.clone();
    }
    let own = |(n, run): (usize, &String)| VerifyStep {
        name: if task.spec.verify.len() == 1 { "verify".to_owned() } else { format!("verify {}", n + 1) },
        run: run.clone(),
        timeout: task.spec.timeout(),
        retries: 0,
    };
    task.spec.verify.iter().enumerate().map(own).collect()
}

/// Runs `steps` in the workspace, one after another; returns the first that fails, as the reason that people read.
pub async fn by_checks(
    steps: &[VerifyStep],
    folder: &Path,
    around: &Surroundings<'_>,
    orders: &Orders,
) -> Result<Option<String>, JudgeError> {
    for (n, step) in steps.iter().enumerate() {
        let log = nth_log(around.log, n);
        let shell = Shell {
            command: &step.run,
            folder,
            env: around.env,
            without: around.without,
            stdin: None,
            timeout: step.timeout,
            log: &log,
            token: around.token,
            shared: around.shared,
            then: around.then,
        };
        let mut outcome = crate::process::run::shell(&shell, orders.stop()).await?;
        for _ in 0..step.retries {
            if outcome.passed() || orders.stop_given() {
                break;
            }
            outcome = crate::process::run::shell(&shell, orders.stop()).await?;
        }
        if !outcome.passed() {
            return Ok(Some(failure(step, &outcome)));
        }
    }
    Ok(None)
}

/// Returns why a check failed, in one line.
pub fn failure(step: &VerifyStep, outcome: &Outcome) -> String {
    let mut text = format!("`{}` ", one_line(&step.run, 60));
    let took = crate::model::text::duration(outcome.took);
    let written = match (outcome.timed_out, outcome.end.exit) {
        (true, _) => write!(text, "took longer than {took}"),
        (false, Exit::Code(code)) => write!(text, "exited with code {code} after {took}"),
        (false, exit) => write!(text, "ended by {exit} after {took}"),
    };
    debug_assert!(written.is_ok(), "writing to a string cannot fail");
    text
}
