//! The form of one configuration file: every key optional, every value of its type and in its range.
//!
//! Invariant: what passes [`File::check`] in every layer is good when the layers are merged; only names that point from
//! one table to another are checked after that.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::range::{OutOfRange, branch_like, filled, globs, inside, limit, mergers, money, within};
use crate::model::Settings;
use crate::model::adapter::AdapterSpec;
use crate::model::duration;
use crate::model::settings::{CommitBy, MergeStyle, Merges, Profile, Structural, VerifyStep};

/// A duration as it is written in a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span(pub(super) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        duration::parse(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// A number of bytes as it is written in a file: `500MB`, `2GiB`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes(pub(super) u64);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let parsed = text.parse::<bytesize::ByteSize>().map_err(|_| {
            serde::de::Error::custom(format!("`{text}` is no size; write it as `500MB` or `2GiB`"))
        });
        parsed.map(|size| Self(size.as_u64()))
    }
}

/// The configuration of `wt`: `~/.config/wt/config.toml`, or `.wt.toml` in a repository.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct File {
    /// The branch that tasks land on. Default: the remote's default branch, else `main`, else the current branch.
    target: Option<String>,
    /// The template of branch names; `{name}` is the task.
    #[schemars(regex(pattern = r"\{name\}"))]
    branch: Option<String>,
    /// A shell command that gets, as JSON on standard input, each event that a person waits for: done, failed, dead, conflict,
    /// review, rejected, landed, budget, parked; empty: none. One that does not end within a minute, three times in a row, is
    /// given up and tried again every ten minutes; what happened meanwhile is told then.
    on_event: Option<String>,
    /// Limits of the fleet and of one attempt.
    limits: Limits,
    /// How a workspace is furnished.
    workspace: Workspace,
    /// Which agent, and who commits.
    agent: Agent,
    /// Agent CLIs by name: new ones, and changes to the built-in ones.
    pub(super) agents: BTreeMap<String, AdapterSpec>,
    /// Named choices of agent and model, for `wt spawn --profile NAME`.
    profiles: BTreeMap<String, ProfileTable>,
    /// When a loop ends.
    #[serde(rename = "loop")]
    looping: Loop,
    /// Checks of a finished task, and of the exact tree that lands, in order.
    verify: Vec<Verify>,
    /// How tasks land.
    merge: Merge,
    /// When workspaces go.
    gc: Gc,
}

/// Limits of the fleet and of one attempt.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
struct Limits {
    /// Agents at once.
    #[schemars(range(min = 1, max = 1000))]
    slots: Option<u32>,
    /// Workspaces at once; 0: no bound.
    #[schemars(range(min = 0, max = 100_000))]
    worktrees: Option<u32>,
    /// The time limit of one attempt; at least `1s`.
    timeout: Option<Span>,
    /// The longest silence of an agent; at least `1s`.
    stall: Option<Span>,
    /// The processor time that the start of an agent takes: two start that far from each other, divided by the processors; 0:
    /// all at once.
    stagger: Option<Span>,
    /// The memory that must be left for another agent to start; with less, tasks wait; `0B`: nobody looks.
    memory: Option<Bytes>,
    /// Attempts beyond the first.
    #[schemars(range(min = 0, max = 100))]
    retries: Option<u32>,
    /// What a task may cost, in US dollars; 0: no bound.
    #[schemars(range(min = 0, max = 1_000_000))]
    budget_usd: Option<f64>,
    /// What a task may use in tokens of all classes; 0: no bound.
    budget_tokens: Option<u64>,
    /// How long all attempts of a task may take together; 0: no bound.
    budget_time: Option<Span>,
    /// What all tasks together may cost in a local day, in US dollars; 0: no bound.
    #[schemars(range(min = 0, max = 1_000_000))]
    day_usd: Option<f64>,
    /// What all tasks together may use in a local day, in tokens of all classes; 0: no bound.
    day_tokens: Option<u64>,
    /// How long all attempts of a local day may take together; 0: no bound.
    day_time: Option<Span>,
}

/// How a workspace is furnished.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
struct Workspace {
    /// Globs of git-ignored files that are copied from the main checkout.
    copy: Option<Vec<String>>,
    /// Git-ignored paths of the main checkout that workspaces share by a symbolic link.
    symlink: Option<Vec<String>>,
    /// Shell commands that run in the workspace before its first attempt.
    setup: Option<Vec<String>>,
    /// The time limit of each of them.
    #[schemars(with = "Option<String>")]
    setup_timeout: Option<Span>,
    /// Free TCP ports that each workspace gets, in `WT_PORT_0` …
    #[schemars(range(min = 0, max = 100))]
    ports: Option<u32>,
    /// Spare workspaces that are kept ready.
    #[schemars(range(min = 0, max = 100))]
    pool: Option<u32>,
    /// The most that spare workspaces may take on the disk, with their caches.
    pool_disk: Option<Bytes>,
    /// Git-ignored folders of build output, in the syntax of `.gitignore`: spare workspaces keep them, `wt gc --artifacts` drops them.
    caches: Option<Vec<String>>,
    /// The free space that making a workspace must leave on the disk.
    reserve: Option<Bytes>,
}

/// Which agent, and who commits.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
struct Agent {
    /// The agent of a task that names none: `claude`, `codex`, `opencode`, `gemini`, or one of `[agents]`.
    default: Option<String>,
    /// Who commits what the agent leaves behind.
    commit: Option<CommitBy>,
}

/// A named choice of agent and model.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
struct ProfileTable {
    /// The agent. Default: `agent.default`.
    agent: Option<String>,
    /// The model to ask for.
    model: Option<String>,
    /// The models to go on with when one cannot be used, in order.
    fallback: Vec<String>,
    /// How many agents of this profile may run at once. Default: only the fleet's limit.
    #[schemars(range(min = 1, max = 1000))]
    slots: Option<u32>,
    /// What the agent is for, told in its instructions.
    role: Option<String>,
}

/// When a loop ends.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
struct Loop {
    /// The most iterations of `--loop` without a number.
    #[schemars(range(min = 1, max = 10_000))]
    max: Option<u32>,
    /// The text inside `<promise>…</promise>` of the agent's final message that ends it.
    #[schemars(regex(pattern = r"\S"))]
    until: Option<String>,
    /// Iterations without a new commit after which it is given up.
    #[schemars(range(min = 1, max = 10_000))]
    no_progress: Option<u32>,
}

/// One check.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Verify {
    /// What people call it. Default: the command.
    #[schemars(regex(pattern = r"\S"))]
    #[serde(default)]
    name: Option<String>,
    /// The command, for `sh -c`.
    #[schemars(regex(pattern = r"\S"))]
    run: String,
    /// Its time limit; at least `1s`. Default: `10m`.
    #[serde(default)]
    timeout: Option<Span>,
    /// Runs beyond the first when it fails. Default: 1.
    #[schemars(range(min = 0, max = 100))]
    #[serde(default)]
    retries: Option<u32>,
}

/// How tasks land.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
struct Merge {
    /// The agent that merges what git cannot.
    agent: Option<String>,
    /// Whether the end of each task, and `wt done`, `approve` and `resolve`, also land what is done.
    auto: Option<bool>,
    /// The most tasks that are verified together.
    #[schemars(range(min = 1, max = 1000))]
    batch: Option<u32>,
    /// Structural merge tools, in order, tried before an agent: `mergiraf`, or a command line with `%A` (the target's side,
    /// where the result is left; exit code 0), `%O` (the base), `%B` (the task's side) and `%P` (the path). One that is not
    /// installed is passed over. An empty list: none.
    structural: Option<Vec<String>>,
    /// Globs of paths whose change a person must approve.
    review: Option<Vec<String>>,
    /// Whether the target is fetched first: behind its upstream, it is moved forward; diverged, nothing lands.
    fetch: Option<bool>,
    /// Whether the target is pushed to its upstream afterwards, forward only and from where that was seen; no hook runs.
    push: Option<bool>,
    /// What comes onto the target: a task's commits, one commit for all of it, or its commits as they are and a merge
    /// commit.
    style: Option<MergeStyle>,
    /// The template of that one commit's message (minijinja); empty: the built-in one, and a single commit keeps its own.
    /// Values: `name`, `branch`, `target`, `style` (`squash` or `merge-commit`), `title` (the prompt's first line, else the
    /// first commit's subject), `prompt`, `commits` (each `oid`, `short`, `subject`, `body`, `author`; oldest first),
    /// `trailers` (a list of lines, each once).
    message: Option<String>,
    /// What becomes of a task whose history has merges: it is replayed without them, or does not land. With a merge commit
    /// its history stays as it is.
    merges: Option<Merges>,
    /// The least time between two looks, in the background, for running tasks that do not merge with each other; 0: never.
    foresee: Option<Span>,
}

/// When workspaces go.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
struct Gc {
    /// The age at rest after which a workspace without unlanded work goes.
    stale: Option<Span>,
    /// How long what was removed can be restored.
    trash: Option<Span>,
}

impl File {
    /// Checks ranges, so that no later room has to.
    pub(super) fn check(&self) -> Result<(), OutOfRange> {
        const COUNT: &str = "1 to 1000";
        let Limits { slots, worktrees, timeout, stall, retries, budget_usd, day_usd, .. } = &self.limits;
        within("limits.slots", *slots, 1, 1000, COUNT)?;
        within("limits.worktrees", *worktrees, 0, 100_000, "0 (no bound) to 100000")?;
        within("limits.retries", *retries, 0, 100, "0 to 100")?;
        limit("limits.timeout", *timeout)?;
        limit("limits.stall", *stall)?;
        money("limits.budget_usd", *budget_usd)?;
        money("limits.day_usd", *day_usd)?;
        globs("workspace.copy", self.workspace.copy.as_ref())?;
        inside("workspace.copy", self.workspace.copy.as_ref())?;
        inside("workspace.symlink", self.workspace.symlink.as_ref())?;
        limit("workspace.setup_timeout", self.workspace.setup_timeout)?;
        within("workspace.ports", self.workspace.ports, 0, 100, "0 to 100")?;
        within("workspace.pool", self.workspace.pool, 0, 100, "0 to 100")?;
        globs("workspace.caches", self.workspace.caches.as_ref())?;
        inside("workspace.caches", self.workspace.caches.as_ref())?;
        within("loop.max", self.looping.max, 1, 10_000, "1 to 10000")?;
        within("loop.no_progress", self.looping.no_progress, 1, 10_000, "1 to 10000")?;
        filled("loop.until", self.looping.until.as_ref())?;
        within("merge.batch", self.merge.batch, 1, 1000, COUNT)?;
        mergers("merge.structural", self.merge.structural.as_ref())?;
        globs("merge.review", self.merge.review.as_ref())?;
        for (name, profile) in &self.profiles {
            within(&format!("profiles.{name}.slots"), profile.slots, 1, 1000, COUNT)?;
        }
        for (index, step) in self.verify.iter().enumerate() {
            filled(&format!("verify.{index}.run"), Some(&step.run))?;
            filled(&format!("verify.{index}.name"), step.name.as_ref())?;
            limit(&format!("verify.{index}.timeout"), step.timeout)?;
            within(&format!("verify.{index}.retries"), step.retries, 0, 100, "0 to 100")?;
        }
        self.check_branches()
    }

    fn check_branches(&self) -> Result<(), OutOfRange> {
        if let Some(target) = self.target.as_ref().filter(|target| !branch_like(target)) {
            let (key, value) = ("target".to_owned(), target.clone());
            return Err(OutOfRange { key, value, allowed: "a branch" });
        }
        let good = |branch: &str| {
            branch.matches("{name}").count() == 1 && branch_like(&branch.replace("{name}", "x"))
        };
        match self.branch.as_ref().filter(|branch| !good(branch)) {
            Some(branch) => Err(OutOfRange {
                key: "branch".to_owned(),
                value: branch.clone(),
                allowed: "a branch with `{name}` in it once",
            }),
            None => Ok(()),
        }
    }

    /// Returns the settings that this file, with everything below it merged in, comes to.
    pub(super) fn settle(self) -> Settings {
        fn set<T>(to: &mut T, from: Option<T>) {
            if let Some(value) = from {
                *to = value;
            }
        }
        let span = |from: Option<Span>| from.map(|Span(duration)| duration);
        let mut s = Settings { target: self.target, agents: self.agents, ..Settings::default() };
        set(&mut s.branch, self.branch);
        set(&mut s.on_event, self.on_event);
        set(&mut s.limits.slots, self.limits.slots);
        set(&mut s.limits.worktrees, self.limits.worktrees);
        set(&mut s.limits.timeout, span(self.limits.timeout));
        set(&mut s.limits.stall, span(self.limits.stall));
        set(&mut s.limits.stagger, span(self.limits.stagger));
        set(&mut s.limits.memory, self.limits.memory.map(|Bytes(bytes)| bytes));
        set(&mut s.limits.retries, self.limits.retries);
        set(&mut s.limits.budget_usd, self.limits.budget_usd);
        set(&mut s.limits.budget_tokens, self.limits.budget_tokens);
        set(&mut s.limits.budget_time, span(self.limits.budget_time));
        set(&mut s.limits.day.usd, self.limits.day_usd);
        set(&mut s.limits.day.tokens, self.limits.day_tokens);
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        set(&mut s.limits.day.time_ms, span(self.limits.day_time).map(millis));
        set(&mut s.workspace.copy, self.workspace.copy);
        set(&mut s.workspace.symlink, self.workspace.symlink);
        set(&mut s.workspace.setup, self.workspace.setup);
        set(&mut s.workspace.setup_timeout, span(self.workspace.setup_timeout));
        set(&mut s.workspace.ports, self.workspace.ports);
        set(&mut s.workspace.pool, self.workspace.pool);
        set(&mut s.workspace.pool_disk, self.workspace.pool_disk.map(|Bytes(bytes)| bytes));
        set(&mut s.workspace.caches, self.workspace.caches);
        set(&mut s.workspace.reserve, self.workspace.reserve.map(|Bytes(bytes)| bytes));
        set(&mut s.agent.default, self.agent.default);
        set(&mut s.agent.commit, self.agent.commit);
        set(&mut s.looping.max, self.looping.max);
        set(&mut s.looping.until, self.looping.until);
        set(&mut s.looping.no_progress, self.looping.no_progress);
        set(&mut s.merge.agent, self.merge.agent);
        set(&mut s.merge.auto, self.merge.auto);
        set(&mut s.merge.batch, self.merge.batch);
        set(&mut s.merge.structural, self.merge.structural.map(Structural::Named));
        set(&mut s.merge.review, self.merge.review);
        set(&mut s.merge.fetch, self.merge.fetch);
        set(&mut s.merge.push, self.merge.push);
        set(&mut s.merge.style, self.merge.style);
        set(&mut s.merge.message, self.merge.message);
        set(&mut s.merge.merges, self.merge.merges);
        set(&mut s.merge.foresee, span(self.merge.foresee));
        set(&mut s.gc.stale, span(self.gc.stale));
        set(&mut s.gc.trash, span(self.gc.trash));
        s.verify = self.verify.into_iter().map(Verify::settle).collect();
        let default = s.agent.default.clone();
        s.profiles = self.profiles.into_iter().map(|(name, table)| (name, table.settle(&default))).collect();
        s
    }
}

impl Verify {
    fn settle(self) -> VerifyStep {
        VerifyStep {
            name: self.name.unwrap_or_else(|| self.run.clone()),
            run: self.run,
            timeout: self.timeout.map_or(Duration::from_secs(600), |Span(duration)| duration),
            retries: self.retries.unwrap_or(1),
        }
    }
}

impl ProfileTable {
    fn settle(self, default: &str) -> Profile {
        Profile {
            agent: self.agent.unwrap_or_else(|| default.to_owned()),
            model: self.model,
            fallback: self.fallback,
            slots: self.slots,
            role: self.role,
        }
    }
}
