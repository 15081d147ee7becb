//! The runner: one attempt of one task, from its lock to its recorded end. One process, one attempt.
//!
//! It holds the task's lock and a slot from before its first instruction, shares both with its guard, and lets go of the
//! slot as soon as the attempt is recorded. Whatever happens to the disk, the agent's end is written: first into the exit
//! record, whose bytes were allocated before the agent started, then into the journal.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use fs_err as fs;
use jiff::Timestamp;
use uuid::Uuid;

use super::judge::{self, JudgeError, Surroundings};
use super::order::{self, Orders};
use super::recovery::{Work, after_attempt};
use super::{Fleet, pass, settle, setup};
use crate::agent::call::{Call, Called, call};
use crate::agent::{Adapter, AdapterError, Facts, Request, StdinFrom};
use crate::failpoint;
use crate::git::{GitError, LinkedWorktree, command};
use crate::model::agent_event::AgentEvent;
use crate::model::event::Next;
use crate::model::task::Workspace;
use crate::model::text::bytes;
use crate::model::verdict::{Class, Exit, Verdict};
use crate::model::{Event, State, Task, TaskId, Usage};
use crate::process::{boot, capture};
use crate::store::exit::{ExitRecord, ExitSlot};
use crate::store::layout::{TaskFolder, private_folder};
use crate::store::live::Live;
use crate::store::{Journal, JournalError, Lock};
use crate::workspace::create::{self, CreateError};

/// How often live facts are written at most.
const LIVE_EVERY: Duration = Duration::from_millis(250);

/// How long a runner that could not record its attempt keeps lock and slot: without a rest, the pass that follows would
/// start it again at once, as long as the disk is full.
const PAUSE: Duration = Duration::from_secs(2);

/// How much of a failed check's output the next attempt is told.
const TOLD: usize = 4 << 10;

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
    /// A set-up command failed.
    #[error("set-up failed: {0}")]
    Setup(String),
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
pub fn run(fleet: &Fleet<'_>, id: &TaskId, lock: &Lock, slot: Lock) -> Result<After, RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut journal = Journal::new(fleet.layout);
    let Some(task) = journal.read()?.get(id).cloned() else { return Ok(After::Pass) };
    if !matches!(task.state, State::Queued | State::Waiting { .. }) {
        return Ok(After::Pass); // Somebody stopped it between the pass and this moment.
    }
    let ran = runtime.block_on(Attempt::new(fleet, &task, lock, &slot).run(&mut journal));
    if ran.is_err() {
        std::thread::sleep(PAUSE);
    }
    drop(slot);
    let next = ran?;
    Ok(match next {
        Next::Wait { until: Some(until), .. } => After::Wait(until),
        _ => After::Pass,
    })
}

/// Waits until `until` or until the task is stopped; the caller holds the task's lock. Returns whether it was stopped.
pub fn rest(fleet: &Fleet<'_>, id: &TaskId, until: Timestamp) -> Result<(), RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let folder = fleet.layout.task(id);
    runtime.block_on(async {
        let orders = Orders::listen(&folder)?;
        loop {
            // In pieces, since a deadline in wall time may move while the machine sleeps.
            let left = until.duration_since(fleet.clock.now());
            let Ok(left) = Duration::try_from(left) else { break };
            if left.is_zero() {
                break;
            }
            tokio::select! {
                () = orders.stop() => {
                    let mut journal = Journal::new(fleet.layout);
                    journal.append(fleet.clock.now(), vec![(Some(id.clone()), Event::Stopped)])?;
                    break;
                }
                () = tokio::time::sleep(left.min(Duration::from_secs(60))) => {}
            }
        }
        order::forget(&folder);
        Ok(())
    })
}

struct Attempt<'a> {
    fleet: &'a Fleet<'a>,
    task: &'a Task,
    folder: TaskFolder,
    number: u32,
    token: String,
    shared: [BorrowedFd<'a>; 2],
    then: Vec<String>,
}

/// What an attempt came to, before it is known what follows.
struct Tried {
    called: Called,
    work: Work,
}

impl<'a> Attempt<'a> {
    fn new(fleet: &'a Fleet<'a>, task: &'a Task, lock: &'a Lock, slot: &'a Lock) -> Self {
        Self {
            fleet,
            task,
            folder: fleet.layout.task(&task.id),
            number: task.attempt + 1,
            token: Uuid::new_v4().to_string(),
            shared: [lock.as_fd(), slot.as_fd()],
            then: pass::follow_up(fleet, &task.id),
        }
    }

    async fn run(&self, journal: &mut Journal) -> Result<Next, RunError> {
        private_folder(&self.folder.attempt(self.number))?;
        let mut record = ExitSlot::allocate(&self.folder)?;
        let orders = Orders::listen(&self.folder)?;
        failpoint::hit("runner.before_started");
        let started = Event::Started { attempt: self.number, token: self.token.clone(), boot: boot::id() };
        journal.append(self.fleet.clock.now(), vec![(Some(self.task.id.clone()), started)])?;
        failpoint::hit("runner.after_started");
        let outcome = self.work(journal, &orders).await;
        let (event, next) = self.end(outcome, &orders);
        failpoint::hit("runner.before_ended");
        // Two places, so that a full disk loses neither: the pass of a later command reads the record if need be.
        drop(record.fill(&ExitRecord { attempt: self.number, event: event.clone() }));
        order::forget(&self.folder);
        journal.append(self.fleet.clock.now(), vec![(Some(self.task.id.clone()), event)])?;
        Ok(next)
    }

    /// Returns the event that records the end, and what follows.
    fn end(&self, outcome: Result<Tried, RunError>, orders: &Orders) -> (Event, Next) {
        let now = self.fleet.clock.now();
        let ended = |exit, class, reason, usage, swept, next: &Next| Event::Ended {
            attempt: self.number,
            exit,
            class,
            reason,
            usage,
            swept,
            next: next.clone(),
        };
        match outcome {
            _ if orders.stop_given() => {
                let (exit, usage, swept) = match &outcome {
                    Ok(Tried { called, .. }) => (called.exit, called.facts.usage, called.swept),
                    Err(_) => (Exit::NotStarted, Usage::default(), 0),
                };
                let reason = "stopped by hand".to_owned();
                (ended(exit, Class::Incomplete, reason, usage, swept, &Next::Stopped), Next::Stopped)
            }
            Ok(Tried { called, work }) => {
                let (next, reason) = after_attempt(self.task, &called.verdict, &work, now);
                let reason = reason + &aside(&called);
                let class = match work {
                    Work::Unfinished { .. } | Work::NoCommit => Class::Incomplete,
                    _ => called.verdict.class,
                };
                (ended(called.exit, class, reason, called.facts.usage, called.swept, &next), next)
            }
            Err(error) => {
                let verdict = Verdict::new(class_of(&error), chain(&error));
                let (next, reason) = after_attempt(self.task, &verdict, &Work::NotJudged, now);
                (ended(Exit::NotStarted, verdict.class, reason, Usage::default(), 0, &next), next)
            }
        }
    }

    async fn work(&self, journal: &mut Journal, orders: &Orders) -> Result<Tried, RunError> {
        let workspace = self.furnished(journal)?;
        let worktree = LinkedWorktree::open(self.fleet.repo, &workspace.entry, workspace.path.as_ref())?;
        let env = setup::environment(self.fleet, self.task, &workspace);
        let log = self.folder.setup_log();
        let around = self.surroundings(&env, &log);
        if let Some(reason) = setup::run(self.fleet, &self.task.id, &workspace, &around, orders).await? {
            return Err(RunError::Setup(reason));
        }
        let called = self.call(journal, &workspace, &worktree, &env, orders).await?;
        if called.stopped.is_some() || called.swept > 0 || !matches!(called.exit, Exit::Code(_)) {
            settle::clear_debris(self.fleet, self.task, Some(&workspace));
        }
        if called.verdict.class != Class::Ok || orders.stop_given() {
            return Ok(Tried { called, work: Work::NotJudged });
        }
        let said = called.facts.text.as_deref();
        let mut work = match judge::by_git(self.fleet, self.task, &workspace, worktree.checkout(), said) {
            // What the agent did to the workspace is its own fault, and what it used still counts.
            Err(JudgeError::Git(error @ (GitError::Nested { .. } | GitError::Worktree { .. }))) => {
                Work::Unfinished { reason: error.to_string() }
            }
            judged => judged?,
        };
        if matches!(work, Work::Verified { .. }) {
            let log = self.folder.verify_log(self.number);
            let around = self.surroundings(&env, &log);
            let steps = judge::checks(self.fleet, self.task);
            if let Some(reason) = judge::by_checks(&steps, worktree.path(), &around, orders).await? {
                work = Work::Unfinished { reason };
            }
        }
        Ok(Tried { called, work })
    }

    fn furnished(&self, journal: &mut Journal) -> Result<Workspace, RunError> {
        if let Some(workspace) = &self.task.workspace {
            return Ok(workspace.clone());
        }
        Ok(create::create(&self.fleet.site(), journal, self.task)?)
    }

    fn surroundings<'b>(&'b self, env: &'b [(String, String)], log: &'b Path) -> Surroundings<'b> {
        Surroundings {
            env,
            without: command::REDIRECTING,
            token: &self.token,
            shared: &self.shared,
            then: &self.then,
            log,
        }
    }

    async fn call(
        &self,
        journal: &mut Journal,
        workspace: &Workspace,
        worktree: &LinkedWorktree,
        env: &[(String, String)],
        orders: &Orders,
    ) -> Result<Called, RunError> {
        let name = self.task.spec.agent.clone().unwrap_or_default();
        let unknown = |source| RunError::Agent { name: name.clone(), source };
        let spec = self.fleet.settings.agents.get(&name).ok_or_else(|| unknown(None))?;
        let adapter = Adapter::new(&name, spec).map_err(|error| unknown(Some(error)))?;
        let prompt_file = self.prompt()?;
        let prompt = fs::read_to_string(&prompt_file)?;
        let fresh = Uuid::new_v4().to_string();
        let resume = self.task.session.as_deref().filter(|_| self.task.resume || self.task.tries > 0);
        let (run_dir, prompt_path) = (self.folder.attempt(self.number), prompt_file.to_string_lossy());
        let run_dir = run_dir.to_string_lossy();
        let git_dir = worktree.checkout().git_dir().to_string_lossy();
        let common = self.fleet.repo.common_dir().to_string_lossy();
        let request = Request {
            model: self.task.spec.model.as_deref(),
            session: Some(&fresh),
            resume,
            name: self.task.name().as_str(),
            prompt: &prompt,
            prompt_file: &prompt_path,
            run_dir: &run_dir,
            git_dir: &git_dir,
            git_common_dir: &common,
            ..Request::default()
        };
        let invocation = adapter.invocation(&request).map_err(|error| unknown(Some(error)))?;
        let env: Vec<_> = env.iter().chain(&invocation.env).cloned().collect();
        let (out, err) = (self.folder.stream(self.number), self.folder.stderr(self.number));
        let run = Call {
            adapter: &adapter,
            argv: &invocation.argv,
            env: &env,
            without: command::REDIRECTING,
            stdin: (invocation.stdin == StdinFrom::PromptFile).then_some(prompt_file.as_path()),
            folder: workspace.path.as_ref(),
            token: &self.token,
            stdout_log: &out,
            stderr_log: &err,
            timeout: self.task.spec.timeout(),
            stall: self.fleet.settings.limits.stall,
            shared: &self.shared,
            then: &self.then,
        };
        let mut told = Told { attempt: self, journal, session: None, live: Live::default(), written: None };
        let called = call(&run, &mut |event, facts| told.heed(event, facts), orders.stop()).await?;
        told.write_live(&called.facts);
        Ok(called)
    }

    /// Returns the file with this attempt's prompt: what was asked, and for a further attempt what went wrong before.
    fn prompt(&self) -> Result<std::path::PathBuf, RunError> {
        let asked = self.folder.prompt();
        let Some(reason) = self.task.outcome.as_deref().filter(|_| self.task.tries > 0) else {
            return Ok(asked);
        };
        // Checks run one after another until one fails: the last log is that one's.
        let logs = self.folder.verify_logs(self.number - 1);
        let output = logs.last().and_then(|log| capture::read(log).ok()).unwrap_or_default();
        let output = String::from_utf8_lossy(&output[output.len().saturating_sub(TOLD)..]).into_owned();
        let mut text = fs::read_to_string(asked)?;
        text.push_str("\n\nThe attempt before this one was not accepted: ");
        text.push_str(reason);
        text.push_str(".\nIts work is in this worktree; go on from there.\n");
        if !output.trim().is_empty() {
            text.push_str("\nThe end of the failed check's output:\n\n");
            text.push_str(&output);
        }
        let path = self.folder.attempt(self.number).join("prompt.md");
        fs::write(&path, text)?;
        Ok(path)
    }
}

/// Passes on what an agent tells while it runs: its session to the journal, the rest to the live facts.
struct Told<'a, 'b> {
    attempt: &'a Attempt<'b>,
    journal: &'a mut Journal,
    session: Option<String>,
    live: Live,
    written: Option<Instant>,
}

impl Told<'_, '_> {
    fn heed(&mut self, event: &AgentEvent, facts: &Facts) {
        if let AgentEvent::Session { session, model } = event
            && self.session.as_ref() != Some(session)
        {
            self.session = Some(session.clone());
            let event = Event::Session { session: session.clone(), model: model.clone() };
            let now = self.attempt.fleet.clock.now();
            // Only a convenience for a resume: an agent must not end because a disk is full.
            drop(self.journal.append(now, vec![(Some(self.attempt.task.id.clone()), event)]));
        }
        if self.written.is_none_or(|at| at.elapsed() >= LIVE_EVERY) {
            self.write_live(facts);
        }
    }

    fn write_live(&mut self, facts: &Facts) {
        let live = Live { attempt: self.attempt.number, last: facts.last.clone(), usage: facts.usage };
        if live != self.live && live.save(&self.attempt.folder).is_ok() {
            self.live = live;
        }
        self.written = Some(Instant::now());
    }
}

/// Returns what else people should know of an attempt: processes that outlived it, output that no log holds.
fn aside(called: &Called) -> String {
    let mut told = Vec::new();
    if called.swept > 0 {
        told.push(format!("leaked: {}", called.swept));
    }
    if called.dropped > 0 {
        told.push(format!("output dropped: {}", bytes(called.dropped)));
    }
    if told.is_empty() { String::new() } else { format!(" ({})", told.join(", ")) }
}

fn class_of(error: &RunError) -> Class {
    match error {
        RunError::Agent { .. } | RunError::Setup(_) => Class::Fail,
        RunError::Create(_)
        | RunError::Git(_)
        | RunError::Judge(_)
        | RunError::Io(_)
        | RunError::Journal(_) => Class::Retry,
    }
}

fn chain(error: &RunError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    crate::model::text::one_line(&text, 400)
}
