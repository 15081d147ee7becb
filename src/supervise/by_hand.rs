//! What a person asks of a task from outside: stop it, run it again, call it finished.

use std::collections::BTreeSet;
use std::time::Duration;

use super::enqueue::HELD;
use super::governor::{self, Judgement};
use super::judge::{self, JudgeError, Surroundings};
use super::order::{self, Orders};
use super::recovery::Work;
use super::{pass, setup};
use crate::failpoint;
use crate::git::{GitError, LinkedWorktree, command, status};
use crate::model::budget::{Budget, Spent};
use crate::model::state::BadTransition;
use crate::model::{Event, State, Task, TaskId, Workspace};
use crate::store::layout::private_folder;
use crate::store::lock::{DEADLINE, Lock, LockError};
use crate::store::{Journal, JournalError};
use crate::workspace::Site;

/// How long the task's lock is waited for: a runner holds it for a moment longer than its attempt.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why a task is not stopped, run again or finished.
#[derive(Debug, thiserror::Error)]
pub enum ByHandError {
    /// The journal or the state machine.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A lock.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Files or processes.
    #[error("the task's files cannot be used")]
    Io(#[from] std::io::Error),
    /// The scheduler.
    #[error(transparent)]
    Pass(#[from] pass::PassError),
    /// git refused.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The work cannot be judged.
    #[error(transparent)]
    Judge(#[from] JudgeError),
    /// The task is in a state in which this makes no sense.
    #[error("`{}` is {state}", task.name)]
    NotNow {
        /// The task.
        task: TaskId,
        /// The word of its state.
        state: &'static str,
    },
    /// The task has no workspace.
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
    /// Its budget is used up, so that it would not start.
    #[error("{reason}")]
    BudgetSpent {
        /// "budget used up: $5.02 of $5.00".
        reason: String,
    },
    /// Somebody else works on the task right now.
    #[error("`{}` is in use by another `wt`", .0.name)]
    InUse(TaskId),
}

fn current(journal: &mut Journal, id: &TaskId) -> Result<Task, ByHandError> {
    let unknown = || JournalError::from(BadTransition { from: "unknown", event: "changed" });
    Ok(journal.read()?.get(id).cloned().ok_or_else(unknown)?)
}

/// Refuses what makes no sense in the task's state.
fn require_fit(task: &Task, event: &Event) -> Result<(), ByHandError> {
    match task.state.clone().apply(event) {
        Ok(_) => Ok(()),
        Err(_) => Err(ByHandError::NotNow { task: task.id.clone(), state: task.state.word() }),
    }
}

/// Stops a task: ends its agent with all descendants if it runs, takes it out of the queue if it waits. Its work stays.
/// Returns the task as it is then.
pub fn stop(site: &Site<'_>, journal: &mut Journal, id: &TaskId) -> Result<Task, ByHandError> {
    let folder = site.layout.task(id);
    // Nothing is launched while this is held, so a held task lock belongs to a runner that will see the order.
    let turn = Lock::take(&site.layout.lock("sched"), DEADLINE, "stopping a task")?;
    let free = Lock::try_take(&folder.lock())?;
    let task = current(journal, id)?;
    if !task.state.can_be_stopped() {
        return Err(ByHandError::NotNow { task: id.clone(), state: task.state.word() });
    }
    if free.is_none() {
        order::give(&folder)?;
    }
    let lock = if let Some(lock) = free {
        lock
    } else {
        drop(turn);
        Lock::take(&folder.lock(), DEADLINE, "stopping a task")?
    };
    settle_vanished(site, journal, id, &lock)?;
    let task = current(journal, id)?;
    if matches!(task.state, State::Queued | State::Waiting { .. } | State::Lost { .. }) {
        journal.append(site.clock.now(), vec![(Some(id.clone()), Event::Stopped)])?;
    }
    order::forget(&folder);
    current(journal, id)
}

/// What stopping one of all tasks came to: the task as it is then.
pub type Stopped = (TaskId, Result<Task, ByHandError>);

/// Stops every task that runs or waits, and returns them, the last in line first. What only waits is out of the queue in one
/// transaction before the first agent ends, so that no end of one starts another; then all that run are told at once, and
/// waited for.
pub fn stop_all(site: &Site<'_>, journal: &mut Journal) -> Result<Vec<Stopped>, ByHandError> {
    // Nothing is launched while this is held: whoever was before is known by its lock.
    let turn = Lock::take(&site.layout.lock("sched"), DEADLINE, "stopping all tasks")?;
    let held = |id: &TaskId| Lock::is_held(&site.layout.task(id).lock());
    let (tasks, busy) = journal.transact(site.clock.now(), |roster| {
        let live: Vec<&Task> = roster.live().filter(|task| task.state.can_be_stopped()).collect();
        let tasks: Vec<TaskId> = live.iter().map(|task| task.id.clone()).collect();
        let runs = |task: &&&Task| matches!(task.state, State::Running { .. }) || held(&task.id);
        let busy: BTreeSet<TaskId> = live.iter().filter(runs).map(|task| task.id.clone()).collect();
        let wait = tasks.iter().filter(|id| !busy.contains(*id));
        let stopped = wait.map(|id| (Some(id.clone()), Event::Stopped));
        // First of all, so that what was alive is known whatever happens in between.
        let all = (!tasks.is_empty()).then(|| (None, Event::StoppingAll { tasks: tasks.clone() }));
        let entries = all.into_iter().chain(stopped).collect();
        Ok::<_, ByHandError>((entries, (tasks, busy)))
    })?;
    for id in busy.iter().filter(|id| held(id)) {
        // One that cannot be told now is told again below.
        drop(order::give(&site.layout.task(id)));
    }
    drop(turn);
    failpoint::hit("stop.waiting_stopped");
    let end = |id: TaskId| {
        let ended = if busy.contains(&id) { stop(site, journal, &id) } else { current(journal, &id) };
        let ended = match ended {
            // It came to rest meanwhile, by itself or by somebody else who stops all.
            Err(ByHandError::NotNow { .. }) => current(journal, &id),
            ended => ended,
        };
        (id, ended)
    };
    Ok(tasks.into_iter().rev().map(end).collect())
}

fn settle_vanished(
    site: &Site<'_>,
    journal: &mut Journal,
    id: &TaskId,
    lock: &Lock,
) -> Result<(), ByHandError> {
    let task = current(journal, id)?;
    Ok(super::settle::settle(site, journal, &task, lock)?)
}

/// Queues a task again, in the same workspace, with a new round of attempts and, if a person says so, another budget.
/// What it used so far counts on. It also closes the breaker of its profile or agent, and it starts though its account
/// rests, and so takes up one that is queued and waits for that.
pub fn retry(
    site: &Site<'_>,
    journal: &mut Journal,
    id: &TaskId,
    budget: Option<Budget>,
) -> Result<(), ByHandError> {
    let task = current(journal, id)?;
    let kept = journal.roster().held_until(&task).filter(|until| *until > site.clock.now());
    if task.state == State::Queued && kept.or(journal.roster().broken_until(&task)).is_none() {
        return Err(ByHandError::NotNow { task: task.id, state: task.state.word() });
    }
    take_up(site, journal, &task, budget, &Event::Retried)
}

/// Queues a task again that was alive before everything stood still, in the same workspace, with a new round of attempts. No
/// person says that the agent works: its breaker, and the rest of its account, hold it as they hold the others.
pub fn resume(site: &Site<'_>, journal: &mut Journal, id: &TaskId) -> Result<(), ByHandError> {
    let task = current(journal, id)?;
    take_up(site, journal, &task, None, &Event::Resumed)
}

/// Does as [`resume`] does to each of `ids`, in few transactions, and returns what came of each.
pub fn resume_several(
    site: &Site<'_>,
    journal: &mut Journal,
    ids: &[TaskId],
) -> Vec<Result<(), ByHandError>> {
    let mut answers = Vec::with_capacity(ids.len());
    for some in ids.chunks(HELD) {
        // What does not go together goes alone, and says why if it does not.
        let together = resume_together(site, journal, some).unwrap_or_default();
        answers.extend(
            some.iter().map(|id| if together.contains(id) { Ok(()) } else { resume(site, journal, id) }),
        );
    }
    answers
}

/// Queues those again in one transaction that nothing stands against, and returns them.
fn resume_together(
    site: &Site<'_>,
    journal: &mut Journal,
    ids: &[TaskId],
) -> Result<BTreeSet<TaskId>, ByHandError> {
    let lock = |id: &TaskId| Some((id.clone(), Lock::try_take(&site.layout.task(id).lock()).ok()??));
    let locks: Vec<(TaskId, Lock)> = ids.iter().filter_map(lock).collect();
    for (id, _) in &locks {
        order::forget(&site.layout.task(id));
    }
    journal.transact(site.clock.now(), |roster| {
        let tasks = locks.iter().filter_map(|(id, _)| roster.get(id));
        let fit = tasks.filter(|task| {
            require_startable(task, None).is_ok()
                && !matches!(task.state, State::Waiting { .. })
                && require_fit(task, &Event::Resumed).is_ok()
                && require_folder(task).is_ok()
        });
        let fit: BTreeSet<TaskId> = fit.map(|task| task.id.clone()).collect();
        Ok((fit.iter().map(|id| (Some(id.clone()), Event::Resumed)).collect(), fit))
    })
}

/// Refuses a task that has no agent, or whose budget is used up.
fn require_startable(task: &Task, budget: Option<Budget>) -> Result<(), ByHandError> {
    let nothing = Spent::default();
    let (own, day) = (budget.unwrap_or_else(|| task.spec.budget()), Budget::default());
    if let Judgement::Spent { reason } = governor::judge(&task.spent(), &nothing, &own, &day, &[]) {
        return Err(ByHandError::BudgetSpent { reason });
    }
    match task.spec.agent {
        Some(_) => Ok(()),
        None => Err(ByHandError::NotNow { task: task.id.clone(), state: "without an agent" }),
    }
}

/// Refuses a task whose workspace was deleted or moved away.
fn require_folder(task: &Task) -> Result<(), ByHandError> {
    let gone = |it: &&Workspace| !std::path::Path::new(&it.path).exists();
    match task.workspace.as_ref().filter(gone) {
        Some(Workspace { path, .. }) => {
            Err(ByHandError::NoFolder { task: task.id.clone(), path: path.clone() })
        }
        None => Ok(()),
    }
}

fn take_up(
    site: &Site<'_>,
    journal: &mut Journal,
    task: &Task,
    budget: Option<Budget>,
    how: &Event,
) -> Result<(), ByHandError> {
    let id = &task.id;
    require_startable(task, budget)?;
    if matches!(task.state, State::Waiting { .. }) {
        // Its runner may be resting with the lock held: that one must go first.
        stop(site, journal, id)?;
    }
    require_fit(&current(journal, id)?, how)?;
    let Ok(_lock) = Lock::take(&site.layout.task(id).lock(), PATIENCE, "running a task again") else {
        return Err(ByHandError::InUse(id.clone()));
    };
    order::forget(&site.layout.task(id));
    require_fit(&current(journal, id)?, how)?;
    require_folder(task)?;
    let raised = budget.map(|budget| Event::Rebudgeted { budget });
    let events = raised.into_iter().chain([how.clone()]);
    Ok(journal.append(site.clock.now(), events.map(|event| (Some(id.clone()), event)).collect())?)
}

/// Runs the set-up commands of a person's workspace; returns why one failed, if one did. The workspace stays either way.
pub fn set_up(
    site: &Site<'_>,
    task: &Task,
    workspace: &Workspace,
    lock: &Lock,
    begun: &dyn Fn(&str),
) -> Result<Option<setup::Failed>, ByHandError> {
    let (log, token) = (site.layout.task(&task.id).setup_log(), uuid::Uuid::new_v4().to_string());
    let shared = [std::os::fd::AsFd::as_fd(lock)];
    let around = Surroundings {
        env: &setup::environment(site, task, workspace),
        without: command::REDIRECTING,
        token: &token,
        shared: &shared,
        then: &[],
        log: &log,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(setup::run(site, &task.id, workspace, &around, &Orders::never(), begun))?)
}

/// What calling a task finished came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finished {
    /// It is done.
    Done,
    /// These files are not committed.
    Uncommitted(Vec<String>),
    /// It has no commit to land.
    NothingToLand,
    /// Something else that git says against it.
    Refused(String),
    /// A check failed.
    CheckFailed(String),
}

/// Takes a person's word that a workspace is finished, after git and the checks agree.
pub fn finish(site: &Site<'_>, journal: &mut Journal, id: &TaskId) -> Result<Finished, ByHandError> {
    let folder = site.layout.task(id);
    let probe = Event::MarkedDone {
        head: crate::model::Oid::parse(&"0".repeat(40)).expect("forty digits"),
        skipped: false,
    };
    require_fit(&current(journal, id)?, &probe)?;
    let Some(lock) = Lock::try_take(&folder.lock())? else { return Err(ByHandError::InUse(id.clone())) };
    let task = current(journal, id)?;
    require_fit(&task, &probe)?;
    let workspace = task.workspace.clone().ok_or_else(|| ByHandError::NoWorkspace(id.clone()))?;
    let worktree = LinkedWorktree::open(site.repo, &workspace.entry, workspace.path.as_ref())?;
    let status = status::status(worktree.checkout())?;
    if let Some(operation) = status.in_progress {
        return Ok(Finished::Refused(format!("{} is in progress in the workspace", operation.words())));
    }
    let mut loose: Vec<String> = [status.staged, status.unstaged, status.untracked, status.unmerged].concat();
    loose.sort();
    loose.dedup();
    if !loose.is_empty() {
        return Ok(Finished::Uncommitted(loose));
    }
    let head = match judge::by_git(site, &task, &workspace, worktree.checkout(), None)? {
        Work::Verified { head } => head,
        Work::NoCommit | Work::Nothing { .. } | Work::NotJudged | Work::Iteration(_) => {
            return Ok(Finished::NothingToLand);
        }
        Work::Unfinished { reason } | Work::Blocked { reason } => return Ok(Finished::Refused(reason)),
    };
    let attempt = task.attempt + 1;
    private_folder(&folder.attempt(attempt))?;
    let (log, token) = (folder.verify_log(attempt), uuid::Uuid::new_v4().to_string());
    let shared = [std::os::fd::AsFd::as_fd(&lock)];
    let around = Surroundings {
        env: &setup::environment(site, &task, &workspace),
        without: command::REDIRECTING,
        token: &token,
        shared: &shared,
        then: &[],
        log: &log,
    };
    let steps = judge::checks(site, &task);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if let Some(reason) =
        runtime.block_on(judge::by_checks(&steps, worktree.path(), &around, &Orders::never()))?
    {
        return Ok(Finished::CheckFailed(reason));
    }
    let done = Event::MarkedDone { head, skipped: false };
    journal.append(site.clock.now(), vec![(Some(id.clone()), done)])?;
    Ok(Finished::Done)
}
