//! Furnishing a workspace for work: the variables that everything in it sees, and the set-up commands, run once in its life.

use std::io;

use fs_err as fs;
use uuid::Uuid;

use super::judge::{self, Surroundings};
use super::order::Orders;
use crate::model::settings::VerifyStep;
use crate::model::{Task, TaskId, Workspace};
use crate::process::run::{Shell, shell};
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
    named.into_iter().chain(ports::variables(&workspace.ports)).collect()
}

/// Runs the configured set-up commands, once in the life of a workspace; returns why one failed, if one did.
pub async fn run(
    site: &Site<'_>,
    id: &TaskId,
    workspace: &Workspace,
    around: &Surroundings<'_>,
    orders: &Orders,
) -> io::Result<Option<String>> {
    let done = site.layout.task(id).setup_done();
    if site.settings.workspace.setup.is_empty() || done.exists() {
        return Ok(None);
    }
    for command in &site.settings.workspace.setup {
        let run = Shell {
            command,
            folder: workspace.path.as_ref(),
            env: around.env,
            without: around.without,
            timeout: site.settings.limits.timeout,
            log: around.log,
            token: around.token,
            shared: around.shared,
            then: around.then,
        };
        let outcome = shell(&run, orders.stop()).await?;
        if !outcome.passed() {
            let (name, timeout) = ("setup".to_owned(), run.timeout);
            let step = VerifyStep { name, run: command.clone(), timeout, retries: 0 };
            return Ok(Some(judge::failure(&step, &outcome)));
        }
    }
    fs::write(done, b"")?;
    Ok(None)
}
