//! The runner: one attempt of one task, from its lock to its recorded end. One process, one attempt.
//!
//! It holds the task's lock and a slot from before its first instruction, shares both with its guard, and lets go of the
//! slot as soon as the attempt is recorded. Whatever happens to the disk, the agent's end is written: first into the exit
//! record, whose bytes were allocated before the agent started, then into the journal.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use uuid::Uuid;

use super::budgeting::Cap;
use super::ending::{Tried, chain};
use super::governor::{self, Judgement};
use super::iteration::IterationError;
use super::judge::{self, JudgeError, Surroundings};
use super::order::{self, Order, Orders};
use super::recovery::Work;
use super::siblings::{self, Standing};
use super::{account, headroom, pass, ralph, settle, setup};
use crate::agent::AdapterError;
use crate::failpoint;
use crate::git::{GitError, LinkedWorktree, command};
use crate::model::event::{Next, WaitReason};
use crate::model::task::Workspace;
use crate::model::verdict::{Class, Exit};
use crate::model::{Event, State, Task, TaskId};
use crate::process::boot;
use crate::store::exit::{ExitRecord, ExitSlot};
use crate::store::layout::{TaskFolder, private_folder};
use crate::store::{Journal, JournalError, Lock};
use crate::workspace::Site;
use crate::workspace::create::{self, CreateError};

/// How long a runner that could not record its attempt keeps lock and slot: without a rest, the pass that follows would
/// start it again at once, as long as the disk is full.
const PAUSE: Duration = Duration::from_secs(2);

/// Why an attempt could not be run to its end; each becomes the attempt's recorded reason.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The journal refused; the exit record has the end.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The workspace could not be made.
    #[error("the workspace cannot be made")]
    Create(#[from] CreateError),
    /// git refused.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The agent's table is wrong, or the agent is not known.
    #[error("the agent `{name}` cannot be used")]
    Agent {
        /// The agent.
        name: String,
        /// Why; `None`: nobody knows it.
        #[source]
        source: Option<AdapterError>,
    },
    /// Its worktree was deleted or moved away; the branch is kept.
    #[error("the folder {0} is gone; its branch is kept")]
    NoFolder(String),
    /// A set-up command failed.
    #[error("set-up failed: {0}")]
    Setup(String),
    /// What its iteration is told cannot be put together.
    #[error(transparent)]
    Iteration(#[from] IterationError),
    /// It could not be judged.
    #[error("the work cannot be judged")]
    Judge(#[from] JudgeError),
    /// Files or processes.
    #[error("the attempt cannot be supervised")]
    Io(#[from] io::Error),
}

/// What the caller does after the attempt, once the slot is free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum After {
    /// Nothing but a pass.
    Pass,
    /// The task waits: keep its lock, without a slot, until then or until told to stop; then another pass.
    Wait(Timestamp),
}

/// Runs one attempt of `id`. `lock` is the task's; `slot` is let go when the attempt is recorded.
pub fn run(
    site: &Site<'_>,
    journal: &mut Journal,
    id: &TaskId,
    lock: &Lock,
    slot: Lock,
) -> Result<After, RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let Some(task) = journal.read()?.get(id).cloned() else { return Ok(After::Pass) };
    if !matches!(task.state, State::Queued | State::Waiting { .. }) {
        return Ok(After::Pass); // Somebody stopped it between the pass and this moment.
    }
    match governor::before_start(site, journal.roster(), &task) {
        Judgement::Within | Judgement::Warn { .. } => {}
        Judgement::Spent { reason } => {
            hold_back(site, journal, id, reason, None)?;
            return Ok(After::Pass);
        }
        Judgement::DaySpent { reason } => {
            let until = governor::tomorrow(site);
            hold_back(site, journal, id, reason, Some(until))?;
            drop(slot);
            return Ok(After::Wait(until));
        }
    }
    if let Some(reason) = headroom::short_of_memory(site) {
        let until = site.clock.now() + headroom::LOOK_AGAIN;
        let held = Event::HeldBack { cause: WaitReason::Memory, reason, until };
        journal.append(site.clock.now(), vec![(Some(id.clone()), held)])?;
        drop(slot);
        return Ok(After::Wait(until));
    }
    let ran = runtime.block_on(Attempt::new(site, &task, lock, &slot).run(journal));
    if ran.is_err() {
        std::thread::sleep(PAUSE);
    }
    drop(slot);
    let next = ran?;
    Ok(match next {
        Some(Next::Wait { until: Some(until), .. }) => After::Wait(until),
        _ => After::Pass,
    })
}

fn hold_back(
    site: &Site<'_>,
    journal: &mut Journal,
    id: &TaskId,
    reason: String,
    until: Option<Timestamp>,
) -> Result<(), JournalError> {
    journal.append(site.clock.now(), vec![(Some(id.clone()), Event::OverBudget { reason, until })])
}

/// Waits until `until` or until the task is stopped; the caller holds the task's lock.
pub fn rest(site: &Site<'_>, id: &TaskId, until: Timestamp) -> Result<(), RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let folder = site.layout.task(id);
    runtime.block_on(async {
        let mut journal = Journal::new(site.layout);
        let attempt = journal.read()?.get(id).map_or(0, |task| task.attempt);
        let orders = Orders::listen(&folder, attempt)?;
        loop {
            // In pieces, since a deadline in wall time may move while the machine sleeps.
            let left = until.duration_since(site.clock.now());
            let Ok(left) = Duration::try_from(left) else { break };
            if left.is_zero() {
                break;
            }
            tokio::select! {
                () = orders.stop() => {
                    // One that was parked is that in the journal already.
                    if orders.given() == Some(Order::Stop) {
                        journal.append(site.clock.now(), vec![(Some(id.clone()), Event::Stopped)])?;
                    }
                    break;
                }
                () = tokio::time::sleep(left.min(Duration::from_secs(60))) => {}
            }
        }
        order::forget(&folder);
        Ok(())
    })
}

/// One attempt of one task, under way.
pub(super) struct Attempt<'a> {
    pub(super) site: &'a Site<'a>,
    pub(super) task: &'a Task,
    pub(super) folder: TaskFolder,
    pub(super) number: u32,
    pub(super) token: String,
    pub(super) shared: [BorrowedFd<'a>; 2],
    pub(super) then: Vec<String>,
    pub(super) begun: Instant,
    pub(super) cap: Cap,
}

impl<'a> Attempt<'a> {
    fn new(site: &'a Site<'a>, task: &'a Task, lock: &'a Lock, slot: &'a Lock) -> Self {
        Self {
            site,
            task,
            folder: site.layout.task(&task.id),
            number: task.attempt + 1,
            token: Uuid::new_v4().to_string(),
            shared: [lock.as_fd(), slot.as_fd()],
            then: pass::follow_up(site, &task.id),
            begun: Instant::now(),
            cap: Cap::default(),
        }
    }

    /// Runs the attempt and returns what follows; `None`: the task may not start any more (its account was found unusable
    /// between the pass and this moment).
    async fn run(&self, journal: &mut Journal) -> Result<Option<Next>, RunError> {
        private_folder(&self.folder.attempt(self.number))?;
        let mut record = ExitSlot::allocate(&self.folder)?;
        let orders = Orders::listen(&self.folder, self.number)?;
        headroom::turn(self.site, &orders).await;
        failpoint::hit("runner.before_started");
        let started = Event::Started { attempt: self.number, token: self.token.clone(), boot: boot::id() };
        let begun = journal.transact(self.site.clock.now(), |roster| {
            let now = roster.get(&self.task.id).map(|task| task.state.clone());
            let fits = now.is_some_and(|state| state.apply(&started).is_ok());
            let entry = fits.then(|| (Some(self.task.id.clone()), started));
            Ok::<_, JournalError>((entry.into_iter().collect(), fits))
        })?;
        if !begun {
            return Ok(None);
        }
        failpoint::hit("runner.after_started");
        // What cannot be seen is not compared: no attempt fails for it.
        let beside = siblings::look(self.site, journal.roster(), self.task).ok();
        if let Some(beside) = &beside {
            beside.keep(&self.folder, self.number);
        }
        let outcome = self.work(journal, &orders).await;
        let used = outcome.as_ref().map(|tried| tried.used.usage).unwrap_or_default();
        let judgement = self.judgement(journal, used);
        let (event, next) = self.end(outcome, &orders, &judgement);
        if let Event::Ended { lap: Some(lap), .. } = &event {
            self.note(lap);
        }
        failpoint::hit("runner.before_ended");
        // Two places, so that a full disk loses neither: the pass of a later command reads the record if need be.
        drop(record.fill(&ExitRecord { attempt: self.number, event: event.clone() }));
        order::forget_stop(&self.folder);
        if let Some(warning) = judgement.warning() {
            journal.append(self.site.clock.now(), vec![(Some(self.task.id.clone()), warning)])?;
        }
        if let Some(beside) = beside {
            drop(siblings::record(self.site, journal, self.task, beside));
            Standing::forget(&self.folder, self.number);
        }
        Ok(Some(account::record(self.site, journal, self.task, event, next)?))
    }

    async fn work(&self, journal: &mut Journal, orders: &Orders) -> Result<Tried, RunError> {
        let workspace = self.furnished(journal)?;
        if !Path::new(&workspace.path).is_dir() {
            return Err(RunError::NoFolder(workspace.path));
        }
        let worktree = LinkedWorktree::open(self.site.repo, &workspace.entry, workspace.path.as_ref())?;
        let env = setup::environment(self.site, self.task, &workspace);
        let log = self.folder.setup_log();
        let around = self.surroundings(&env, &log);
        let set_up = setup::run(self.site, &self.task.id, &workspace, &around, orders, &|_| {});
        if let Some(failed) = set_up.await? {
            return Err(RunError::Setup(failed.in_a_line()));
        }
        self.begin_notes();
        let called = self.call(journal, &workspace, &worktree, &env, orders).await?;
        let used = self.used(&called.facts);
        if called.stopped.is_some() || called.swept > 0 || !matches!(called.exit, Exit::Code(_)) {
            settle::clear_debris(self.site, self.task, Some(&workspace));
        }
        if let Some(looping) = &self.task.spec.looping
            && matches!(called.verdict.class, Class::Ok | Class::Incomplete)
            && !orders.stop_given()
        {
            let found = self.found(looping, (&workspace, &worktree), &env, &called, orders).await;
            let work = match found {
                // An order to end came while it was judged: a check that was cut short says nothing.
                Ok(found) if orders.stop_given() && !ralph::is_done(self.task, &found) => Work::NotJudged,
                Ok(found) => Work::Iteration(Box::new(found)),
                Err(error) => Work::Unfinished { reason: chain(&error) },
            };
            return Ok(Tried { called, used, work });
        }
        if called.verdict.class != Class::Ok || orders.stop_given() {
            if self.task.spec.looping.is_some() {
                drop(self.checkpoint(&workspace, &worktree));
            }
            return Ok(Tried { called, used, work: Work::NotJudged });
        }
        // Whatever goes wrong from here on, the attempt did end, and what it used was used.
        let judged = self.judge(&workspace, &worktree, &env, called.facts.text.as_deref(), orders).await;
        let work = judged.unwrap_or_else(|error| Work::Unfinished { reason: chain(&error) });
        Ok(Tried { called, used, work })
    }

    async fn judge(
        &self,
        workspace: &Workspace,
        worktree: &LinkedWorktree,
        env: &[(String, String)],
        said: Option<&str>,
        orders: &Orders,
    ) -> Result<Work, RunError> {
        let work = judge::by_git(self.site, self.task, workspace, worktree.checkout(), said)?;
        if !matches!(work, Work::Verified { .. }) {
            return Ok(work);
        }
        let log = self.folder.verify_log(self.number);
        let around = self.surroundings(env, &log);
        let steps = judge::checks(self.site, self.task);
        let failed = judge::by_checks(&steps, worktree.path(), &around, orders).await?;
        Ok(failed.map_or(work, |reason| Work::Unfinished { reason }))
    }

    fn furnished(&self, journal: &mut Journal) -> Result<Workspace, RunError> {
        if let Some(workspace) = &self.task.workspace {
            // Who else works has changed since. An agent that spoilt the file gets it back; one that cannot be written is
            // no reason not to run.
            drop(create::refresh(self.site, journal, self.task, workspace));
            return Ok(workspace.clone());
        }
        Ok(create::create(self.site, journal, self.task)?)
    }

    pub(super) fn surroundings<'b>(&'b self, env: &'b [(String, String)], log: &'b Path) -> Surroundings<'b> {
        Surroundings {
            env,
            without: command::REDIRECTING,
            token: &self.token,
            shared: &self.shared,
            then: &self.then,
            log,
        }
    }
}
