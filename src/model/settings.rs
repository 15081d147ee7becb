//! Settings with nothing optional: what all layers of configuration come to.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::adapter::AdapterSpec;
use super::budget::Budget;
use super::task::Oid;

/// Everything that can be configured, resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The configured target branch, short; `None`: the remote's default, else `main`, else the current branch.
    pub target: Option<String>,
    /// The template of branch names; `{name}` is the task.
    pub branch: String,
    /// The shell command that is run for events that a person waits for; empty: none.
    pub on_event: String,
    /// Limits of the fleet and of one attempt.
    pub limits: Limits,
    /// How a workspace is furnished.
    pub workspace: WorkspaceSettings,
    /// Which agent, and who commits.
    pub agent: AgentSettings,
    /// Every known adapter, built-in and configured, by name.
    pub agents: BTreeMap<String, AdapterSpec>,
    /// Named choices of agent and model.
    pub profiles: BTreeMap<String, Profile>,
    /// When a loop ends.
    pub looping: LoopSettings,
    /// Checks of a finished task and of a landing.
    pub verify: Vec<VerifyStep>,
    /// How tasks land.
    pub merge: MergeSettings,
    /// When workspaces go.
    pub gc: GcSettings,
}

/// Limits of the fleet and of one attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Agents at once.
    pub slots: u32,
    /// Workspaces at once; 0: no bound.
    pub worktrees: u32,
    /// The time limit of one attempt.
    pub timeout: Duration,
    /// The longest silence of an agent.
    pub stall: Duration,
    /// The processor time that the start of an agent takes: two start that far from each other, divided by the processors;
    /// zero: all at once.
    pub stagger: Duration,
    /// The memory that must be left for another agent to start, in bytes; 0: nobody looks.
    pub memory: u64,
    /// Attempts beyond the first.
    pub retries: u32,
    /// What a task may cost, in US dollars; 0: no bound.
    pub budget_usd: f64,
    /// What a task may use in tokens of all classes; 0: no bound.
    pub budget_tokens: u64,
    /// How long all attempts of a task may take together; 0: no bound.
    pub budget_time: Duration,
    /// What all tasks together may use in a local day; 0: no bound.
    pub day: Budget,
}

/// The folder of hooks that git's `core.hooksPath` names, and what a person said of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum HooksPath {
    /// There is no such setting: git's own folder of hooks counts.
    #[default]
    NotSet,
    /// A folder without a hook that `wt` would run.
    Nothing,
    /// Nobody approved the hooks as they are.
    NotApproved {
        /// The folder, as configured.
        folder: String,
    },
    /// A folder that the repository tracks, approved as this tree.
    Tracked {
        /// The folder, relative to a worktree.
        folder: String,
        /// Its tree.
        tree: Oid,
    },
    /// A folder elsewhere, approved as it is now.
    Outside {
        /// The folder, absolute.
        folder: String,
    },
}

/// How a workspace is furnished.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WorkspaceSettings {
    /// The hooks that `core.hooksPath` names; not from any file of `wt`.
    pub hooks: HooksPath,
    /// Globs of git-ignored files that are copied from the main checkout.
    pub copy: Vec<String>,
    /// Git-ignored paths of the main checkout that workspaces share by a symbolic link, relative.
    pub symlink: Vec<String>,
    /// Shell commands that run in the workspace before its first attempt.
    pub setup: Vec<String>,
    /// The time limit of each of them.
    pub setup_timeout: Duration,
    /// Free TCP ports that each workspace gets.
    pub ports: u32,
    /// Spare workspaces that are kept ready.
    pub pool: u32,
    /// The most bytes that spare workspaces may take, with their caches.
    pub pool_disk: u64,
    /// Git-ignored folders of build output, in the syntax of `.gitignore`: a spare workspace keeps them, `wt gc --artifacts`
    /// drops them.
    pub caches: Vec<String>,
    /// The free bytes that making a workspace must leave on the disk.
    pub reserve: u64,
}

/// Who commits what the agent leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CommitBy {
    /// `wt` does.
    Auto,
    /// The agent must; uncommitted work means that it is not done.
    Agent,
}

/// Which agent, and who commits.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentSettings {
    /// The adapter's name.
    pub default: String,
    /// Who commits what the agent leaves behind.
    pub commit: CommitBy,
}

/// A named choice of agent and model.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// The adapter's name.
    pub agent: String,
    /// The model to ask for.
    pub model: Option<String>,
    /// The models to go on with when one cannot be used, in order.
    pub fallback: Vec<String>,
    /// How many agents of this profile may run at once; `None`: only the fleet's limit.
    pub slots: Option<u32>,
    /// What the agent is for, told in its instructions.
    pub role: Option<String>,
}

/// When a loop ends.
#[derive(Debug, Clone, PartialEq)]
pub struct LoopSettings {
    /// The most iterations.
    pub max: u32,
    /// The promise that ends it.
    pub until: String,
    /// Iterations without a commit after which it is given up.
    pub no_progress: u32,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VerifyStep {
    /// What people call it.
    pub name: String,
    /// The command, for `sh -c`.
    pub run: String,
    /// Its time limit.
    pub timeout: Duration,
    /// Runs beyond the first when it fails.
    pub retries: u32,
}

/// How tasks land.
#[derive(Debug, Clone, PartialEq)]
pub struct MergeSettings {
    /// The adapter that resolves conflicts.
    pub agent: String,
    /// Whether each runner's end also lands what is done.
    pub auto: bool,
    /// The most tasks that are verified together.
    pub batch: u32,
    /// Structural merge tools, tried before an agent.
    pub structural: Structural,
    /// Globs of paths whose change needs a person's approval.
    pub review: Vec<String>,
    /// Whether the target is fetched first.
    pub fetch: bool,
    /// Whether the target is pushed afterwards.
    pub push: bool,
    /// What comes onto the target of a task.
    pub style: MergeStyle,
    /// The template of the message of the one commit that a task becomes; empty: the built-in one.
    pub message: String,
    /// What becomes of a task whose history has merges.
    pub merges: Merges,
    /// The least time between two looks for running tasks that do not merge with each other; zero: nobody looks.
    pub foresee: Duration,
}

/// Which structural merge tools are tried on a file that does not merge, before an agent is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Structural {
    /// The known ones, where they are installed.
    Installed,
    /// These, in order: the name of a known one, or a command line like that of a git merge driver.
    Named(Vec<String>),
}

impl Structural {
    /// The tools that need no command line.
    pub const KNOWN: &[&str] = &["mergiraf"];

    /// Returns the tools, in order.
    pub fn tools(&self) -> Vec<String> {
        match self {
            Self::Installed => Self::KNOWN.iter().map(|name| (*name).to_owned()).collect(),
            Self::Named(tools) => tools.clone(),
        }
    }
}

/// What comes onto the target of a task.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MergeStyle {
    /// Its commits, one by one.
    #[default]
    Rebase,
    /// One commit with all that it changes.
    Squash,
    /// Its commits as they are, and a merge commit.
    MergeCommit,
}

/// What becomes of a task whose history has merges.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Merges {
    /// It is replayed without them, where that comes to the same tree.
    #[default]
    Linearise,
    /// It does not land.
    Refuse,
}

/// When workspaces go.
#[derive(Debug, Clone, PartialEq)]
pub struct GcSettings {
    /// The age at rest after which a workspace without unlanded work goes.
    pub stale: Duration,
    /// How long a trash ref is kept.
    pub trash: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            target: None,
            branch: "wt/{name}".to_owned(),
            on_event: String::new(),
            limits: Limits {
                slots: 3,
                worktrees: 0,
                timeout: Duration::from_secs(30 * 60),
                stall: Duration::from_secs(10 * 60),
                stagger: Duration::from_secs(1),
                memory: 512_000_000,
                retries: 2,
                budget_usd: 0.0,
                budget_tokens: 0,
                budget_time: Duration::ZERO,
                day: Budget::default(),
            },
            workspace: WorkspaceSettings {
                copy: vec![".env*".to_owned()],
                pool: 2,
                pool_disk: 20_000_000_000,
                caches: vec!["target/".to_owned(), "node_modules/".to_owned()],
                reserve: 1_000_000_000,
                setup_timeout: Duration::from_secs(30 * 60),
                ..WorkspaceSettings::default()
            },
            agent: AgentSettings { default: "claude".to_owned(), commit: CommitBy::Auto },
            agents: BTreeMap::new(),
            profiles: BTreeMap::new(),
            looping: LoopSettings { max: 25, until: "COMPLETE".to_owned(), no_progress: 3 },
            verify: Vec::new(),
            merge: MergeSettings {
                agent: "claude".to_owned(),
                auto: false,
                batch: 8,
                structural: Structural::Installed,
                review: vec!["migrations/**".to_owned()],
                fetch: false,
                push: false,
                style: MergeStyle::default(),
                message: String::new(),
                merges: Merges::default(),
                foresee: Duration::from_secs(20),
            },
            gc: GcSettings {
                stale: Duration::from_secs(24 * 3600),
                trash: Duration::from_secs(30 * 24 * 3600),
            },
        }
    }
}
