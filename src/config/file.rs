//! The form of one configuration file: every key optional, every value of its type and in its range.
//!
//! Invariant: what passes [`File::check`] in every layer is good when the layers are merged; only names that point from
//! one table to another are checked after that.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::range::{OutOfRange, branch_like, filled, globs, inside, limit, money, within};
use crate::model::Settings;
use crate::model::adapter::AdapterSpec;
use crate::model::duration;
use crate::model::settings::{CommitBy, Profile, VerifyStep};

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

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct File {
    target: Option<String>,
    branch: Option<String>,
    limits: Limits,
    workspace: Workspace,
    agent: Agent,
    pub(super) agents: BTreeMap<String, AdapterSpec>,
    profiles: BTreeMap<String, ProfileTable>,
    #[serde(rename = "loop")]
    looping: Loop,
    verify: Vec<Verify>,
    merge: Merge,
    gc: Gc,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Limits {
    slots: Option<u32>,
    worktrees: Option<u32>,
    timeout: Option<Span>,
    stall: Option<Span>,
    retries: Option<u32>,
    budget_usd: Option<f64>,
    budget_tokens: Option<u64>,
    budget_time: Option<Span>,
    day_usd: Option<f64>,
    day_tokens: Option<u64>,
    day_time: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Workspace {
    copy: Option<Vec<String>>,
    symlink: Option<Vec<String>>,
    setup: Option<Vec<String>>,
    setup_timeout: Option<Span>,
    ports: Option<u32>,
    pool: Option<u32>,
    pool_disk: Option<Bytes>,
    caches: Option<Vec<String>>,
    reserve: Option<Bytes>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Agent {
    default: Option<String>,
    commit: Option<CommitBy>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ProfileTable {
    agent: Option<String>,
    model: Option<String>,
    fallback: Vec<String>,
    slots: Option<u32>,
    role: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Loop {
    max: Option<u32>,
    until: Option<String>,
    no_progress: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct Verify {
    #[serde(default)]
    name: Option<String>,
    run: String,
    #[serde(default)]
    timeout: Option<Span>,
    #[serde(default)]
    retries: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Merge {
    agent: Option<String>,
    auto: Option<bool>,
    batch: Option<u32>,
    structural: Option<Vec<String>>,
    review: Option<Vec<String>>,
    fetch: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Gc {
    stale: Option<Span>,
    trash: Option<Span>,
}

/// Every key of a file, with `*` for a name or a number; what a misspelt key is compared with.
pub(super) const KEYS: &[&str] = &[
    "target",
    "branch",
    "limits",
    "limits.slots",
    "limits.worktrees",
    "limits.timeout",
    "limits.stall",
    "limits.retries",
    "limits.budget_usd",
    "limits.budget_tokens",
    "limits.budget_time",
    "limits.day_usd",
    "limits.day_tokens",
    "limits.day_time",
    "workspace",
    "workspace.copy",
    "workspace.symlink",
    "workspace.setup",
    "workspace.setup_timeout",
    "workspace.ports",
    "workspace.pool",
    "workspace.pool_disk",
    "workspace.caches",
    "workspace.reserve",
    "agent",
    "agent.default",
    "agent.commit",
    "agents",
    "agents.*",
    "agents.*.command",
    "agents.*.prompt",
    "agents.*.prompt_args",
    "agents.*.events",
    "agents.*.stop",
    "agents.*.stop.signal",
    "agents.*.stop.grace",
    "agents.*.stop.to",
    "agents.*.memory_file",
    "agents.*.import",
    "agents.*.version",
    "agents.*.resume_command",
    "agents.*.attach_command",
    "agents.*.args",
    "agents.*.env",
    "agents.*.env_if_root",
    "agents.*.sum",
    "agents.*.usage_is",
    "agents.*.event",
    "agents.*.event.*.when",
    "agents.*.event.*.take",
    "agents.*.event.*.append",
    "agents.*.event.*.note",
    "agents.*.event.*.tool",
    "agents.*.event.*.result",
    "agents.*.event.*.final",
    "agents.*.event.*.then",
    "agents.*.event.*.reason",
    "agents.*.outcome",
    "agents.*.outcome.*.when",
    "agents.*.outcome.*.class",
    "agents.*.outcome.*.reason",
    "profiles",
    "profiles.*",
    "profiles.*.agent",
    "profiles.*.model",
    "profiles.*.fallback",
    "profiles.*.slots",
    "profiles.*.role",
    "loop",
    "loop.max",
    "loop.until",
    "loop.no_progress",
    "verify",
    "verify.*.name",
    "verify.*.run",
    "verify.*.timeout",
    "verify.*.retries",
    "merge",
    "merge.agent",
    "merge.auto",
    "merge.batch",
    "merge.structural",
    "merge.review",
    "merge.fetch",
    "gc",
    "gc.stale",
    "gc.trash",
];

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
        set(&mut s.limits.slots, self.limits.slots);
        set(&mut s.limits.worktrees, self.limits.worktrees);
        set(&mut s.limits.timeout, span(self.limits.timeout));
        set(&mut s.limits.stall, span(self.limits.stall));
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
        set(&mut s.merge.structural, self.merge.structural);
        set(&mut s.merge.review, self.merge.review);
        set(&mut s.merge.fetch, self.merge.fetch);
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
