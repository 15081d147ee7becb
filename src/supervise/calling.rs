//! Calling the agent of an attempt: its session, and what it tells while it runs.

use std::time::{Duration, Instant};

use fs_err as fs;
use uuid::Uuid;

use super::foresight;
use super::meter::{self, Used};
use super::order::Orders;
use super::recovery;
use super::runner::{Attempt, RunError};
use crate::agent::call::{Call, Called, call_bounded};
use crate::agent::{Adapter, Facts, Request, StdinFrom};
use crate::git::{LinkedWorktree, command};
use crate::model::agent_event::AgentEvent;
use crate::model::task::Workspace;
use crate::model::verdict::Verdict;
use crate::model::{Event, Usage};
use crate::store::Journal;
use crate::store::live::{Fault, Live};

/// How often live facts are written at most.
const LIVE_EVERY: Duration = Duration::from_millis(250);

impl Attempt<'_> {
    /// Runs the agent to its end. A further attempt takes up the session of the one before; where the agent does not know
    /// that session any more (it was killed before it wrote it down), a fresh one begins at once.
    pub(super) async fn call(
        &self,
        journal: &mut Journal,
        workspace: &Workspace,
        worktree: &LinkedWorktree,
        env: &[(String, String)],
        orders: &Orders,
    ) -> Result<Called, RunError> {
        let again = self.task.resume || self.task.tries > 0 || self.task.class.is_some();
        let known = self.task.session.as_deref().filter(|_| again);
        if known.is_some() {
            let called = self.call_once(journal, workspace, worktree, env, orders, known).await?;
            if !called.refused_session() {
                return Ok(called);
            }
        }
        self.call_once(journal, workspace, worktree, env, orders, None).await
    }

    /// Runs the agent once, in the session to resume or in a fresh one.
    async fn call_once(
        &self,
        journal: &mut Journal,
        workspace: &Workspace,
        worktree: &LinkedWorktree,
        env: &[(String, String)],
        orders: &Orders,
        resume: Option<&str>,
    ) -> Result<Called, RunError> {
        let name = self.task.spec.agent.clone().unwrap_or_default();
        let unknown = |source| RunError::Agent { name: name.clone(), source };
        let spec = self.site.settings.agents.get(&name).ok_or_else(|| unknown(None))?;
        let adapter = Adapter::new(&name, spec).map_err(|error| unknown(Some(error)))?;
        let prompt_file = self.prompt(journal, spec, workspace)?;
        let prompt = fs::read_to_string(&prompt_file)?;
        let fresh = Uuid::new_v4().to_string();
        let (run_dir, prompt_path) = (self.folder.attempt(self.number), prompt_file.to_string_lossy());
        let run_dir = run_dir.to_string_lossy();
        let git_dir = worktree.checkout().git_dir().to_string_lossy();
        let common = self.site.repo.common_dir().to_string_lossy();
        let (model, fallback) = recovery::models(self.task);
        let request = Request {
            model,
            fallback,
            session: Some(&fresh),
            resume,
            name: self.task.name().as_str(),
            prompt: &prompt,
            prompt_file: &prompt_path,
            run_dir: &run_dir,
            git_dir: &git_dir,
            git_common_dir: &common,
            max_cost: self.money_left(journal),
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
            timeout: self.time_left(journal),
            stall: self.site.settings.limits.stall,
            shared: &self.shared,
            then: &self.then,
        };
        let mut told = Told {
            attempt: self,
            journal,
            session: None,
            live: Live::default(),
            written: None,
            judged: Usage::default(),
        };
        let called = call_bounded(&run, &mut |event, facts| told.heed(event, facts), orders.stop()).await?;
        told.write_live(&called.facts);
        Ok(called)
    }

    /// Returns what the attempt used by these facts.
    pub(super) fn used(&self, facts: &Facts) -> Used {
        let agent = self.task.spec.agent.as_ref().and_then(|name| self.site.settings.agents.get(name));
        meter::used(self.task, agent.map(|agent| agent.usage_is).unwrap_or_default(), facts)
    }
}

/// Tells whether an agent may have changed something since it was heard before. Not all agents tell the ends of their tools.
fn may_have_changed(event: &AgentEvent) -> bool {
    match event {
        AgentEvent::Text(_)
        | AgentEvent::Tool { .. }
        | AgentEvent::ToolResult { .. }
        | AgentEvent::Final
        | AgentEvent::Raw(_) => true,
        AgentEvent::Session { .. }
        | AgentEvent::Retry { .. }
        | AgentEvent::Usage(_)
        | AgentEvent::Verdict(_) => false,
    }
}

/// Passes on what an agent tells while it runs: its session to the journal, the rest to the live facts.
struct Told<'a, 'b> {
    attempt: &'a Attempt<'b>,
    journal: &'a mut Journal,
    session: Option<String>,
    live: Live,
    written: Option<Instant>,
    /// What budgets were asked about last.
    judged: Usage,
}

impl Told<'_, '_> {
    fn heed(&mut self, event: &AgentEvent, facts: &Facts) -> Option<Verdict> {
        if let AgentEvent::Session { session, model } = event
            && self.session.as_ref() != Some(session)
        {
            self.session = Some(session.clone());
            let event = Event::Session { session: session.clone(), model: model.clone() };
            let now = self.attempt.site.clock.now();
            // Only a convenience for a resume: an agent must not end because a disk is full.
            drop(self.journal.append(now, vec![(Some(self.attempt.task.id.clone()), event)]));
        }
        if may_have_changed(event) {
            foresight::wish(self.attempt.site, self.journal);
        }
        // A tool or a fault may be followed by a long silence, in which people ask what it is about.
        let fault = facts.api_error.as_ref().map(|fault| fault.status);
        let news = self.live.tool != facts.tool || self.live.fault.as_ref().map(|told| told.status) != fault;
        if news || self.written.is_none_or(|at| at.elapsed() >= LIVE_EVERY) {
            self.write_live(facts);
        }
        self.judge(facts)
    }

    /// Returns the verdict that ends the attempt, at the first event that shows that a budget is used up.
    fn judge(&mut self, facts: &Facts) -> Option<Verdict> {
        if facts.usage == self.judged {
            return None;
        }
        self.judged = facts.usage;
        let judgement = self.attempt.judgement(self.journal, self.attempt.used(facts).usage);
        if let Some(warning) = judgement.warning() {
            // Told again at the attempt's end if it cannot be told now.
            let id = Some(self.attempt.task.id.clone());
            drop(self.journal.append(self.attempt.site.clock.now(), vec![(id, warning)]));
        }
        let verdict = judgement.verdict();
        if verdict.is_some() && facts.final_event.is_none() {
            self.attempt.cap.hit();
        }
        verdict
    }

    fn write_live(&mut self, facts: &Facts) {
        let usage = self.attempt.used(facts).usage;
        let fault = facts.api_error.as_ref();
        let live = Live {
            attempt: self.attempt.number,
            last: facts.last.clone(),
            usage,
            tool: facts.tool.clone(),
            errors: facts.errors,
            context: facts.context,
            window: facts.window,
            fault: fault.map(|fault| Fault { reason: fault.words(), status: fault.status }),
        };
        if live != self.live && live.save(&self.attempt.folder).is_ok() {
            self.live = live;
        }
        self.written = Some(Instant::now());
    }
}
