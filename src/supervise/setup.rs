//! Furnishing a workspace for work: the variables that everything in it sees, and the set-up commands, run once in its life.

use std::io;

use fs_err as fs;
use uuid::Uuid;

use super::judge::{self, Surroundings};
use super::order::Orders;
use crate::git::shielded;
use crate::model::settings::VerifyStep;
use crate::model::text::{neutralised, one_line};
use crate::model::{Task, TaskId, Workspace};
use crate::process::run::{Shell, shell};
use crate::store::layout::nth_log;
use crate::workspace::{Site, ports};

/// Returns the variables that an agent and its checks see beside the inherited ones.
pub fn environment(site: &Site<'_>, task: &Task, workspace: &Workspace) -> Vec<(String, String)> {
    let trace = Uuid::new_v4().simple().to_string();
    let span = Uuid::new_v4().simple().to_string();
    let shared = site.repo.worktrees_root().join(".shared");
    let named = [
        ("WT_TASK", task.name().to_string()),
        ("WT_WORKTREE", workspace.path.clone()),
        ("WT_BRANCH", workspace.branch.clone()),
        ("WT_SHARED", shared.to_string_lossy().into_owned()),
        ("WT_ITERATION", task.next_iteration().to_string()),
        ("TRACEPARENT", format!("00-{trace}-{}-01", &span[..16])),
    ]
    .map(|(name, value)| (name.to_owned(), value));
    named.into_iter().chain(ports::variables(&workspace.ports)).chain(shielded::variables()).collect()
}

/// A set-up command that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// Which one, and how.
    pub reason: String,
    /// The last lines of what it said, less what a terminal would obey.
    pub said: Vec<String>,
}

impl Failed {
    /// Returns the reason with the last line of what it said.
    pub fn in_a_line(&self) -> String {
        let last = self.said.iter().rev().find(|line| !line.trim().is_empty());
        last.map_or_else(|| self.reason.clone(), |last| format!("{}: {}", self.reason, one_line(last, 200)))
    }
}

/// How many lines of a failed command are told.
const LINES: usize = 10;

/// Runs the configured set-up commands, once in the life of a workspace: again where one failed. Each has a log of its own.
/// `begun` hears each command before it runs. Returns what failed, if one did.
pub async fn run(
    site: &Site<'_>,
    id: &TaskId,
    workspace: &Workspace,
    around: &Surroundings<'_>,
    orders: &Orders,
    begun: &dyn Fn(&str),
) -> io::Result<Option<Failed>> {
    let done = site.layout.task(id).setup_done();
    let settings = &site.settings.workspace;
    if settings.setup.is_empty() || done.exists() {
        return Ok(None);
    }
    for (n, command) in settings.setup.iter().enumerate() {
        begun(command);
        let run = Shell {
            command,
            folder: workspace.path.as_ref(),
            env: around.env,
            without: around.without,
            stdin: None,
            timeout: settings.setup_timeout,
            log: &nth_log(around.log, n),
            token: around.token,
            shared: around.shared,
            then: around.then,
        };
        let outcome = shell(&run, orders.stop()).await?;
        if !outcome.passed() {
            let (name, timeout) = ("setup".to_owned(), run.timeout);
            let step = VerifyStep { name, run: command.clone(), timeout, retries: 0 };
            let tail = neutralised(&outcome.tail).into_owned();
            let lines: Vec<&str> = tail.lines().collect();
            let said = lines[lines.len().saturating_sub(LINES)..].iter().map(|line| (*line).to_owned());
            return Ok(Some(Failed { reason: judge::failure(&step, &outcome), said: said.collect() }));
        }
    }
    fs::write(done, b"")?;
    Ok(None)
}
