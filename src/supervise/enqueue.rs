//! Asking for a task: its folder, its prompt, its lock and its first line in the journal.
//!
//! A kill at any step leaves the task absent or queued: the folder alone means nothing, the journal's line is the task.

use std::io::{self, Write as _};

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt as _;
use jiff::Timestamp;
use rustix::fs::{CWD, Mode, mkfifoat};

use crate::failpoint;
use crate::model::{Event, TaskId, TaskName, TaskSpec};
use crate::store::{Journal, JournalError, Layout, Lock};

/// Why a task was not queued.
#[derive(Debug, thiserror::Error)]
pub enum EnqueueError {
    /// Its name is taken.
    #[error("a task named `{name}` is already {state}")]
    Taken {
        /// The name.
        name: TaskName,
        /// The word of its state.
        state: &'static str,
    },
    /// Its folder or files cannot be made.
    #[error("the task's folder cannot be made; nothing is kept")]
    Folder(#[source] io::Error),
    /// The journal refused.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Makes the task of `spec` and returns its id with its lock held, so that nobody starts it yet.
pub fn enqueue(
    layout: &Layout,
    journal: &mut Journal,
    spec: &TaskSpec,
    prompt: &str,
    now: Timestamp,
) -> Result<(TaskId, Lock), EnqueueError> {
    refuse_taken(journal.read()?.live_named(&spec.name))?;
    let (id, lock) = folder(layout, spec, prompt).map_err(EnqueueError::Folder)?;
    failpoint::hit("spawn.after_folder");
    let queued = journal.transact(now, |roster| {
        refuse_taken(roster.live_named(&spec.name))?;
        let event = Event::Queued { spec: spec.clone() };
        Ok::<_, EnqueueError>((vec![(Some(id.clone()), event)], ()))
    });
    if let Err(error) = queued {
        // The folder is ours alone: nobody knows the generation.
        drop(fs::remove_dir_all(layout.task(&id).root()));
        return Err(error);
    }
    failpoint::hit("spawn.after_queued");
    Ok((id, lock))
}

fn refuse_taken(task: Option<&crate::model::Task>) -> Result<(), EnqueueError> {
    match task {
        Some(task) => Err(EnqueueError::Taken { name: task.name().clone(), state: task.state.word() }),
        None => Ok(()),
    }
}

/// Takes the first free generation by making its folder, which only one process can.
fn folder(layout: &Layout, spec: &TaskSpec, prompt: &str) -> io::Result<(TaskId, Lock)> {
    let mut id = TaskId { name: spec.name.clone(), generation: 1 };
    loop {
        match layout.task(&id).create() {
            Ok(()) => break,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => id.generation += 1,
            Err(error) => return Err(error),
        }
    }
    let filled = fill(layout, &id, spec, prompt);
    if filled.is_err() {
        drop(fs::remove_dir_all(layout.task(&id).root()));
    }
    Ok((id, filled?))
}

fn fill(layout: &Layout, id: &TaskId, spec: &TaskSpec, prompt: &str) -> io::Result<Lock> {
    let folder = layout.task(id);
    let lock = Lock::try_take(&folder.lock())?.ok_or_else(|| io::Error::other("a fresh lock is taken"))?;
    private(&folder.prompt(), prompt)?;
    private(&folder.spec(), &toml::to_string_pretty(spec).map_err(io::Error::other)?)?;
    mkfifoat(CWD, folder.control(), Mode::RUSR | Mode::WUSR)?;
    Ok(lock)
}

fn private(path: &std::path::Path, text: &str) -> io::Result<()> {
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?
        .write_all(text.as_bytes())
}
