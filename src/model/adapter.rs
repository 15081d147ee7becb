//! What differs between agent CLIs, as data: the schema of `[agents.NAME]` and of `templates/agents/*.toml`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::verdict::Class;

/// How the prompt reaches the agent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PromptBy {
    /// On standard input, to the end of file.
    #[default]
    Stdin,
    /// As `{prompt}` in `prompt_args`.
    Arg,
    /// As `{prompt_file}` in `prompt_args`.
    File,
}

/// What the agent prints on standard output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EventForm {
    /// One JSON document a line.
    Jsonl,
    /// Plain text: the last 16 KiB are the final message, exit 0 is a good end.
    #[default]
    Text,
}

/// The signal that asks an agent to end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum StopSignal {
    /// `SIGTERM`.
    #[default]
    Term,
    /// `SIGINT`.
    Int,
    /// `SIGHUP`.
    Hup,
}

/// Who gets that signal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StopTo {
    /// Its process group: launchers that do not pass signals on are reached too.
    #[default]
    Group,
    /// The agent's first process alone.
    Leader,
}

/// What the usage that the agent tells covers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UsageIs {
    /// Its own process alone.
    #[default]
    Attempt,
    /// The whole session: a resumed one tells what went before once more.
    Cumulative,
}

/// How much the context of a model holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Window {
    /// Part of the model's name.
    pub model: String,
    /// The most tokens.
    pub tokens: u64,
}

/// How the agent is asked to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct StopSpec {
    /// `TERM`, `INT` or `HUP`.
    pub signal: StopSignal,
    /// How long it may take before it is killed, as a duration (`5s`).
    pub grace: String,
    /// `group` or `leader`.
    pub to: StopTo,
}

impl Default for StopSpec {
    fn default() -> Self {
        Self { signal: StopSignal::Term, grace: "5s".to_owned(), to: StopTo::Group }
    }
}

/// One rule for a line of the stream; the first that matches counts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct EventRule {
    /// JSON pointer → what must stand there: a value, a list of values, `"nonempty"`, `"empty"` (nothing, null or blank)
    /// or `{ regex = "…" }`.
    pub when: BTreeMap<String, serde_json::Value>,
    /// Fact (`session`, `model`, `cwd`, `text`, `cost_usd`, `turns`, `usage`, `denials`, `error`, `status`, `question`,
    /// `window`) → JSON pointer.
    pub take: BTreeMap<String, String>,
    /// Fact → JSON pointer of text to append to it.
    pub append: BTreeMap<String, String>,
    /// `reason`, `status` → JSON pointer; a fault that the agent handles itself (an API retry), narrated and remembered.
    pub note: BTreeMap<String, String>,
    /// `name`, `input` → JSON pointer; a tool that begins, for people and for the clock of silence.
    pub tool: BTreeMap<String, String>,
    /// `status`, `text` → JSON pointer; a tool that ended. It failed where `status` is a word for that or a number but 0.
    pub result: BTreeMap<String, String>,
    /// Whether this is the final event.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// A verdict that acts at once: the agent is ended without waiting for its own retries.
    pub then: Option<Class>,
    /// The reason of that verdict for people. Default: the fault, the question or the tool that the line names.
    pub reason: Option<String>,
}

/// One rule for an ended attempt; the first that matches counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct OutcomeRule {
    /// JSON pointer into the final event, or `exit`, `stdout`, `stderr` → what must stand there, as in [`EventRule::when`].
    /// `exit` is a number, `"signal"` or `"lost"`; `stdout` the final message, else the last line.
    #[serde(default)]
    pub when: BTreeMap<String, serde_json::Value>,
    /// The class.
    pub class: Class,
    /// The reason for people; `{error}`, `{text}`, `{status}`, `{exit}`, `{stderr}` are filled in. Default: what the
    /// agent said of it, else the class in words.
    #[serde(default)]
    pub reason: Option<String>,
}

/// An agent CLI.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct AdapterSpec {
    /// Program and fixed arguments.
    pub command: Vec<String>,
    /// How the prompt reaches it.
    pub prompt: PromptBy,
    /// Arguments that carry the prompt, or tell that it comes on standard input.
    pub prompt_args: Vec<String>,
    /// What it prints.
    pub events: EventForm,
    /// How it is asked to end.
    pub stop: StopSpec,
    /// The memory file that it reads in the workspace; `None`: the context precedes the prompt, unless `events = "text"`.
    pub memory_file: Option<String>,
    /// How that file imports another, with `{path}`.
    pub import: Option<String>,
    /// The command that prints its version.
    pub version: Vec<String>,
    /// The command that resumes `{session}`, where it is not `command` with `args.resume`.
    pub resume_command: Option<Vec<String>>,
    /// The command of `wt attach`: interactive.
    pub attach_command: Option<Vec<String>>,
    /// Arguments used only when `wt` has their value: `model` (`{model}`), `fallback_model` (`{models_csv}`), `session`
    /// (`{session}`), `resume` (`{session}`), `max_turns` (`{n}`), `max_cost` (`{usd}`), `name` (`{task}`), `settings`
    /// (`{settings}`), `sandboxed`. An empty list takes a built-in one away.
    pub args: BTreeMap<String, Vec<String>>,
    /// Variables added to its environment.
    pub env: BTreeMap<String, String>,
    /// Variables added when `wt` runs as root.
    pub env_if_root: BTreeMap<String, String>,
    /// `cost_usd`, `input`, `output`, `cache_read`, `cache_write` → JSON pointer of a number added over all events.
    pub sum: BTreeMap<String, String>,
    /// `attempt`, or `cumulative` where a resumed session counts what went before again.
    pub usage_is: UsageIs,
    /// How much the contexts of its models hold, for `wt status`; the first that fits the model's name counts, unless the agent
    /// tells it itself.
    pub windows: Vec<Window>,
    /// Rules for the stream.
    pub event: Vec<EventRule>,
    /// Rules for the end.
    pub outcome: Vec<OutcomeRule>,
}
