//! A person takes a task's agent over at the terminal: in its workspace, resuming its session.
//!
//! Invariant: the task's lock is held from before the agent starts until it has ended, so that no runner starts beside it
//! and nothing removes its workspace. The journal is not written: what a person does there changes no state.

use std::io;
use std::time::Duration;

use super::setup;
use crate::agent::{Adapter, AdapterError, Request};
use crate::git::command;
use crate::model::verdict::Exit;
use crate::model::{State, TaskId};
use crate::process::terminal::{self, Interactive};
use crate::store::lock::LockError;
use crate::store::{Journal, JournalError, Lock};
use crate::workspace::Site;

/// How long a runner that has recorded its end may take to leave.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why an agent is not handed over.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Its agent works right now, or a landing has taken the task up.
    #[error("`{}` is {state}", task.name)]
    Busy {
        /// The task.
        task: TaskId,
        /// The word of its state.
        state: &'static str,
    },
    /// Its runner rests, or another command works on it.
    #[error("`{}` is in use by another `wt`", .0.name)]
    InUse(TaskId),
    /// No agent was asked for.
    #[error("`{}` has no agent", .0.name)]
    NoAgent(TaskId),
    /// There is no place to work in.
    #[error("`{}` has no workspace", .0.name)]
    NoWorkspace(TaskId),
    /// Its worktree was deleted or moved away.
    #[error("the folder {path} of `{}` is gone", task.name)]
    NoFolder {
        /// The task.
        task: TaskId,
        /// The folder.
        path: String,
    },
    /// The agent's table is wrong, or the agent is not known any more.
    #[error("the agent `{name}` cannot be used")]
    Agent {
        /// The agent.
        name: String,
        /// Why; `None`: nobody knows it.
        #[source]
        source: Option<AdapterError>,
    },
    /// The agent has no interactive form.
    #[error("the agent `{0}` has no `attach_command`")]
    NoCommand(String),
    /// The agent could not be started.
    #[error("`{program}` cannot be run")]
    Run {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Lock or runtime.
    #[error("the task's files cannot be used")]
    Io(#[from] io::Error),
}

/// Runs the agent of `id` at the terminal to its end and returns how it ended.
pub fn attach(site: &Site<'_>, journal: &mut Journal, id: &TaskId) -> Result<Exit, AttachError> {
    require_rest(journal, id)?;
    let _lock = match Lock::take(&site.layout.task(id).lock(), PATIENCE, "a person is attached") {
        Ok(lock) => lock,
        Err(LockError::Io(error)) => return Err(error.into()),
        Err(LockError::Busy { .. }) => {
            require_rest(journal, id)?;
            return Err(AttachError::InUse(id.clone()));
        }
    };
    // Again, now that nobody can start it any more.
    require_rest(journal, id)?;
    let gone = || AttachError::NoWorkspace(id.clone());
    let task = journal.roster().get(id).cloned().ok_or_else(gone)?;
    let name = task.spec.agent.clone().ok_or_else(|| AttachError::NoAgent(id.clone()))?;
    let workspace = task.workspace.clone().ok_or_else(gone)?;
    if !std::path::Path::new(&workspace.path).exists() {
        return Err(AttachError::NoFolder { task: id.clone(), path: workspace.path });
    }
    let unusable = |source| AttachError::Agent { name: name.clone(), source };
    let spec = site.settings.agents.get(&name).ok_or_else(|| unusable(None))?;
    let adapter = Adapter::new(&name, spec).map_err(|error| unusable(Some(error)))?;
    let argv = adapter
        .attach_invocation(task.session.as_deref())
        .filter(|argv| !argv.is_empty())
        .ok_or_else(|| AttachError::NoCommand(name.clone()))?;
    let headless = adapter.invocation(&Request::default()).map_err(|error| unusable(Some(error)))?;
    let mut env = setup::environment(site, &task, &workspace);
    env.extend(headless.env);
    let program = Interactive {
        argv: &argv,
        folder: workspace.path.as_ref(),
        env: &env,
        without: command::REDIRECTING,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ran = runtime.block_on(terminal::run(&program));
    ran.map_err(|source| AttachError::Run { program: argv[0].clone(), source })
}

/// Refuses while an agent or a landing is at work on the task.
fn require_rest(journal: &mut Journal, id: &TaskId) -> Result<(), AttachError> {
    match journal.read()?.get(id).map(|task| &task.state) {
        Some(state @ (State::Running { .. } | State::Landing { .. })) => {
            Err(AttachError::Busy { task: id.clone(), state: state.word() })
        }
        _ => Ok(()),
    }
}
