//! Asking for tasks: their folders, their prompts, their locks and their first lines in the journal.
//!
//! A kill at any step leaves all of them absent or all queued: the folder alone means nothing, the journal's line is the task.

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

/// One task that is asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// What is asked.
    pub spec: TaskSpec,
    /// Its prompt.
    pub prompt: String,
    /// Which of the others that are asked for in the same breath it starts after, by their place among them.
    pub beside: Vec<usize>,
}

/// A task that was made.
#[derive(Debug)]
pub struct Queued {
    /// Its id.
    pub id: TaskId,
    /// What was asked, with everything that it starts after.
    pub spec: TaskSpec,
    /// Its lock, so that nobody else starts it yet; `None` beyond the first [`HELD`] tasks.
    pub lock: Option<Lock>,
}

/// How many locks are held at most: each is an open file.
pub const HELD: usize = 200;

/// Makes all tasks or none, in one transaction of the journal, and returns them in the order in which they were asked for.
pub fn enqueue(
    layout: &Layout,
    journal: &mut Journal,
    asked: Vec<Asked>,
    now: Timestamp,
) -> Result<Vec<Queued>, EnqueueError> {
    let roster = journal.read()?;
    asked.iter().try_for_each(|one| refuse_taken(roster.live_named(&one.spec.name)))?;
    let order = parents_first(&asked);
    let mut folders = Folders { layout, made: Vec::new() };
    let made = folders.fill(asked).map_err(EnqueueError::Folder)?;
    failpoint::hit("spawn.after_folder");
    journal.transact(now, |roster| {
        made.iter().try_for_each(|queued| refuse_taken(roster.live_named(&queued.spec.name)))?;
        // A write that is cut short by a power cut loses children first: none may forget that it has a parent.
        let events = order.iter().map(|n| {
            let Queued { id, spec, .. } = &made[*n];
            (Some(id.clone()), Event::Queued { spec: spec.clone() })
        });
        Ok::<_, EnqueueError>((events.collect(), ()))
    })?;
    folders.made.clear();
    failpoint::hit("spawn.after_queued");
    Ok(made)
}

/// Returns the places of `asked`, each after those that it starts after, otherwise as they came.
fn parents_first(asked: &[Asked]) -> Vec<usize> {
    let mut order: Vec<usize> = Vec::with_capacity(asked.len());
    let mut placed = vec![false; asked.len()];
    while order.len() < asked.len() {
        let before = order.len();
        for (n, one) in asked.iter().enumerate() {
            if !placed[n] && one.beside.iter().all(|parent| placed[*parent]) {
                placed[n] = true;
                order.push(n);
            }
        }
        if order.len() == before {
            // A circle, which whoever asks has refused: nobody of it would ever start.
            order.extend((0..asked.len()).filter(|n| !placed[*n]));
        }
    }
    order
}

/// Folders of tasks that nobody knows yet: without the journal's line they go again.
struct Folders<'a> {
    layout: &'a Layout,
    made: Vec<TaskId>,
}

impl Folders<'_> {
    fn fill(&mut self, asked: Vec<Asked>) -> io::Result<Vec<Queued>> {
        for one in &asked {
            self.made.push(folder(self.layout, &one.spec.name)?);
        }
        let mut queued = Vec::with_capacity(asked.len());
        for (n, Asked { mut spec, prompt, beside }) in asked.into_iter().enumerate() {
            let id = self.made[n].clone();
            spec.after.extend(beside.iter().map(|parent| self.made[*parent].clone()));
            let lock = fill(self.layout, &id, &spec, &prompt)?;
            queued.push(Queued { id, spec, lock: (n < HELD).then_some(lock) });
        }
        Ok(queued)
    }
}

impl Drop for Folders<'_> {
    fn drop(&mut self) {
        for id in &self.made {
            drop(fs::remove_dir_all(self.layout.task(id).root()));
        }
    }
}

fn refuse_taken(task: Option<&crate::model::Task>) -> Result<(), EnqueueError> {
    match task {
        Some(task) => Err(EnqueueError::Taken { name: task.name().clone(), state: task.state.word() }),
        None => Ok(()),
    }
}

/// Takes the first free generation by making its folder, which only one process can.
fn folder(layout: &Layout, name: &TaskName) -> io::Result<TaskId> {
    let mut id = TaskId { name: name.clone(), generation: 1 };
    loop {
        match layout.task(&id).create() {
            Ok(()) => return Ok(id),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => id.generation += 1,
            Err(error) => return Err(error),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_come_first_and_the_others_as_they_were() {
        let asked = |beside: &[&[usize]]| -> Vec<Asked> {
            let one = |(n, beside): (usize, &&[usize])| Asked {
                spec: TaskSpec::new(format!("t{n}").parse().expect("a name"), "main"),
                prompt: String::new(),
                beside: beside.to_vec(),
            };
            beside.iter().enumerate().map(one).collect()
        };
        assert_eq!(parents_first(&asked(&[&[], &[0], &[]])), [0, 1, 2]);
        assert_eq!(parents_first(&asked(&[&[2], &[], &[3], &[]])), [1, 3, 2, 0]);
        assert_eq!(parents_first(&asked(&[&[1], &[0], &[]])), [2, 0, 1], "a circle loses nobody");
    }
}
