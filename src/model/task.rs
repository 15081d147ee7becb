//! A task: what was asked (immutable), and what has become of it (a fold of the journal).

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::budget::{Bound, Budget, Spent};
use super::event::{ConflictedPath, Lap, ResolvedPath};
use super::verdict::Class;
use super::{State, TaskId, TaskName, Usage};

/// A git object id in lower-case hex.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Oid(#[schemars(regex(pattern = r"^([0-9a-f]{40}|[0-9a-f]{64})$"))] String);

impl Oid {
    /// Returns `hex` as an id if it has the form of one (40 or 64 lower-case hex digits).
    pub fn parse(hex: &str) -> Option<Self> {
        let hex = hex.trim();
        let form = matches!(hex.len(), 40 | 64)
            && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        form.then(|| Self(hex.to_owned()))
    }

    /// Returns the whole id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the first ten digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..10]
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// What was asked of a task; fixed once it is queued, but for a budget that a person raises. The prompt stands beside it, in `prompt.md`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// The name.
    pub name: TaskName,
    /// The agent's adapter; `None`: no agent, a person works in the workspace.
    pub agent: Option<String>,
    /// The model to ask the agent for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The revision that the branch starts from; `None`: the target as it is when the workspace is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// The branch that the task lands on, short (`main`).
    pub target: String,
    /// Tasks that must have landed first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<TaskId>,
    /// Those of `after` that need only be done for it to start; it starts from the branch of one that has not landed by then,
    /// and lands after it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after_done: Vec<TaskName>,
    /// 1 (first) to 5.
    pub priority: u8,
    /// Globs of paths that this task is responsible for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owns: Vec<String>,
    /// Globs of paths that this task must not touch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub avoids: Vec<String>,
    /// The task's own checks; empty: the configured ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verify: Vec<String>,
    /// The time limit of one attempt, in milliseconds.
    pub timeout_ms: u64,
    /// Attempts beyond the first; of a loop, of each iteration.
    pub retries: u32,
    /// The profile that agent, model and fallback come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The models to go on with when one cannot be used, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<String>,
    /// The loop that it runs in; `None`: one finished attempt is the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looping: Option<Looping>,
    /// What all of it may cost, in US dollars; 0: no bound.
    #[serde(default)]
    pub budget_usd: f64,
    /// What all of it may use in tokens of all classes; 0: no bound.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub budget_tokens: u64,
    /// How long all attempts together may take, in milliseconds; 0: no bound.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub budget_ms: u64,
}

/// A loop: a fresh agent for each iteration, until the promise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Looping {
    /// The most iterations.
    pub max: u32,
    /// The text inside `<promise>…</promise>` that ends it.
    pub until: String,
    /// Iterations without a commit after which it is given up.
    pub no_progress: u32,
    /// The file of requirements, relative to the worktree: all of its items must pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prd: Option<String>,
}

impl TaskSpec {
    /// Returns a plain task: no agent, nothing asked, the built-in limits.
    pub fn new(name: TaskName, target: impl Into<String>) -> Self {
        Self {
            name,
            agent: None,
            model: None,
            base: None,
            target: target.into(),
            after: Vec::new(),
            after_done: Vec::new(),
            priority: 3,
            owns: Vec::new(),
            avoids: Vec::new(),
            verify: Vec::new(),
            timeout_ms: 30 * 60 * 1000,
            retries: 2,
            profile: None,
            fallback: Vec::new(),
            looping: None,
            budget_usd: 0.0,
            budget_tokens: 0,
            budget_ms: 0,
        }
    }

    /// Returns the time limit of one attempt.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    /// Returns what all of it may use.
    pub fn budget(&self) -> Budget {
        Budget { usd: self.budget_usd, tokens: self.budget_tokens, time_ms: self.budget_ms }
    }
}

/// Where a task works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workspace {
    /// The absolute path of the worktree.
    pub path: String,
    /// The branch, short (`wt/NAME`).
    pub branch: String,
    /// The commit that the branch started from.
    pub base: Oid,
    /// The name of its entry below `<git common dir>/worktrees/`.
    pub entry: String,
    /// The ignored files that `workspace.copy` brought in, relative; never committed for the agent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copied: Vec<String>,
    /// The TCP ports that are its own, in the order of `WT_PORT_0`, `WT_PORT_1` …
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<u16>,
}

/// The last landing of a task, whatever it came to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Landing {
    /// Conflicting paths, if it stopped at a conflict.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<ConflictedPath>,
    /// The target's commit that was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onto: Option<Oid>,
    /// The branch's commit that was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Oid>,
    /// The commit that the task's last commit became.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tip: Option<Oid>,
    /// How many commits landed.
    #[serde(default)]
    pub commits: usize,
    /// The output of the check that failed, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// What was resolved, and by whom.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resolved: Vec<ResolvedPath>,
    /// The commit that would land if a person approves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<Oid>,
    /// The folder that keeps what an agent saw and said of the conflicts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
    /// The branch's commit whose landing was taken back, until it lands again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_back: Option<Oid>,
    /// The state in which it was taken up, once it has landed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<State>,
}

/// A task with everything the journal says of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Name and generation.
    pub id: TaskId,
    /// What was asked.
    pub spec: TaskSpec,
    /// Where it stands.
    pub state: State,
    /// Its position among all tasks ever queued: the age that order is decided by, never a clock.
    pub order: u64,
    /// Its worktree and branch, while it has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<Workspace>,
    /// The number of the last attempt, over all rounds; its logs are in `attempts/N`.
    pub attempt: u32,
    /// Attempts used since it was last queued by a person.
    pub tries: u32,
    /// Whether the last round was taken up again by `wt retry`, so that the next attempt resumes the session.
    #[serde(default)]
    pub resume: bool,
    /// Whether a person took it up again by name: it starts though its account rests.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_once: bool,
    /// The agent's session, to resume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The model that the agent said it uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What its last attempt came to in this round; [`Class::FleetStop`] as well if only its account kept it from starting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// How many models of its chain cannot be used, from the first on.
    #[serde(default)]
    pub spent_models: u32,
    /// Iterations of its loop that have ended.
    #[serde(default)]
    pub iteration: u32,
    /// The last iterations of its loop, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub laps: Vec<Lap>,
    /// Whether its last attempt ended an iteration, so that the next one begins another.
    #[serde(default)]
    pub lap_over: bool,
    /// Iterations that ended since a person asked for this round.
    #[serde(default)]
    pub round: u32,
    /// What all attempts and all resolvers used together.
    #[serde(default)]
    pub usage: Usage,
    /// The same by model, where the agent tells.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<String, Usage>,
    /// What its current session used so far, over all attempts that took it up.
    #[serde(default, skip_serializing_if = "Usage::is_nothing")]
    pub thread: Usage,
    /// How long all attempts took together, in milliseconds of wall time.
    #[serde(default)]
    pub time_ms: u64,
    /// The bounds of its budget that it was warned of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warned: Vec<Bound>,
    /// When it was queued.
    pub queued_at: Timestamp,
    /// When its last attempt started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When its last attempt ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_at: Option<Timestamp>,
    /// When it came to rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Why it is where it is, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Where it stood when a person last stopped all tasks at once; `None`: it was not alive then, or was taken up since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_with_all: Option<State>,
    /// The outcome before it was removed, for when it is restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome_before: Option<String>,
    /// Its last landing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub landing: Option<Landing>,
    /// The branch's commit that a person approved: it needs no other approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<Oid>,
    /// What moved beside its attempts that no event explains, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strays: Vec<String>,
    /// The ref that holds what its removal put away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trash: Option<String>,
}

/// How many strays of a task are remembered.
const STRAYS: usize = 20;

/// What stands between a stray and the other tasks whose agents ran.
const BESIDE: &str = " (beside ";

impl Task {
    /// Returns what it used so far, without a running attempt.
    pub fn spent(&self) -> Spent {
        Spent { usage: self.usage, time_ms: self.time_ms }
    }

    /// Returns whether that was told of it as a stray.
    pub fn has_strayed(&self, what: &str) -> bool {
        self.strays.iter().any(|told| {
            told.strip_prefix(what).is_some_and(|rest| rest.is_empty() || rest.starts_with(BESIDE))
        })
    }

    /// Takes what moved while its attempt ran, and whose agents ran.
    pub(super) fn heed_stray(&mut self, what: &str, running: &[TaskId]) {
        let others: Vec<String> =
            running.iter().filter(|id| **id != self.id).map(|id| format!("`{}`", id.name)).collect();
        let beside =
            if others.is_empty() { String::new() } else { format!("{BESIDE}{})", others.join(", ")) };
        self.strays.push(format!("{what}{beside}"));
        let old = self.strays.len().saturating_sub(STRAYS);
        self.strays.drain(..old);
    }

    /// Returns the name that people use.
    pub fn name(&self) -> &TaskName {
        &self.id.name
    }

    /// Returns the iteration that its next attempt belongs to, from 1; 0: it runs in no loop.
    pub fn next_iteration(&self) -> u32 {
        if self.spec.looping.is_some() { self.iteration + 1 } else { 0 }
    }

    /// Returns the iteration that its last attempt belongs to; 0: there was none, or it runs in no loop.
    pub fn last_iteration(&self) -> u32 {
        match (&self.spec.looping, self.attempt, self.lap_over) {
            (None, ..) | (_, 0, _) => 0,
            (Some(_), _, true) => self.iteration,
            (Some(_), _, false) => self.iteration + 1,
        }
    }
}
