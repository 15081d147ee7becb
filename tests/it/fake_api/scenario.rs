//! What the scripted model says, and how its service fails.
//!
//! Invariant: a scenario is a value; the server keeps nothing of a conversation. Which turn is due is read off the
//! request, so any number of agents can share one scenario, and a resumed session starts its script again.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Value, json};
use wt::model::usage::Tokens;

/// A reply of the model.
#[derive(Debug, Clone)]
pub struct Turn {
    /// What it says; may be empty.
    pub text: String,
    /// The tools that it calls, by name and input. `{{cwd}}` in a text is the agent's working directory.
    pub tools: Vec<(String, Value)>,
    /// The tokens that the service charges for it.
    pub usage: Tokens,
    /// How long the service is silent before its first byte.
    pub delay: Duration,
}

impl Turn {
    /// Returns a turn that only says `text`, and so ends the agent's run.
    pub fn say(text: impl Into<String>) -> Self {
        let usage = Tokens { input: 1200, output: 150, cache_read: 5000, cache_write: 300 };
        Self { text: text.into(), tools: Vec::new(), usage, delay: Duration::ZERO }
    }

    /// Returns a turn that calls a tool.
    pub fn tool(name: impl Into<String>, input: Value) -> Self {
        Self { tools: vec![(name.into(), input)], ..Self::say("") }
    }

    /// Returns a turn that writes a file, by its path in the working directory, with Claude Code's tool.
    pub fn write(path: &str, content: &str) -> Self {
        Self::tool("Write", json!({"file_path": format!("{{{{cwd}}}}/{path}"), "content": content}))
    }

    /// Returns a turn that runs a shell command with Claude Code's tool.
    pub fn bash(command: &str) -> Self {
        Self::tool("Bash", json!({"command": command, "description": "scripted"}))
    }
}

/// Which requests a fault meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// Those that offer tools: the agent's own turns.
    Main,
    /// Those that offer none: a title, a summary.
    Side,
    /// Both.
    All,
}

/// What goes wrong.
#[derive(Debug, Clone)]
pub enum Effect {
    /// An error reply.
    Status {
        /// The HTTP status.
        status: u16,
        /// Headers such as `retry-after`.
        headers: Vec<(String, String)>,
        /// The body.
        body: Value,
    },
    /// No byte, until the client gives up.
    Hang,
    /// The TCP connection is reset.
    Reset,
    /// The connection ends after so many stream events.
    CutAfter(usize),
    /// Silence after so many stream events, until the client gives up.
    StallAfter(usize),
    /// An overload error in the stream, in place of the event after so many.
    ErrorAfter(usize),
    /// So long between two stream events.
    Drip(Duration),
}

impl Effect {
    /// Returns an error reply in the service's form, such as 529 `overloaded_error`.
    pub fn error(status: u16, kind: &str, message: &str) -> Self {
        Self::Status { status, headers: Vec::new(), body: error_body(kind, message) }
    }
}

/// Returns an error in the service's form.
pub fn error_body(kind: &str, message: &str) -> Value {
    json!({"type": "error", "error": {"type": kind, "message": message}})
}

/// An effect and the requests that it meets.
#[derive(Debug, Clone)]
pub struct Fault {
    /// What goes wrong.
    pub effect: Effect,
    /// Which kind of requests.
    pub on: On,
    /// Which of them, counted from 1 over all agents.
    pub requests: RangeInclusive<usize>,
    /// For which model; `None`: for any.
    pub model: Option<String>,
}

impl Fault {
    /// Returns a fault of the agent's every turn.
    pub fn new(effect: Effect) -> Self {
        Self { effect, on: On::Main, requests: 1..=usize::MAX, model: None }
    }
}

/// All that the service does for one test.
#[derive(Debug, Clone, Default)]
pub struct Scenario {
    turns: Vec<Turn>,
    scripts: Vec<(String, Vec<Turn>)>,
    faults: Vec<Fault>,
}

impl Scenario {
    /// Returns a scenario in which every prompt is answered by these turns; the last repeats.
    pub fn new(turns: impl Into<Vec<Turn>>) -> Self {
        Self { turns: turns.into(), ..Self::default() }
    }

    /// Adds turns for the prompts that hold `text`; the first such script counts.
    pub fn script(mut self, text: &str, turns: impl Into<Vec<Turn>>) -> Self {
        self.scripts.push((text.to_owned(), turns.into()));
        self
    }

    /// Adds a fault; the first that meets a request counts.
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Returns the turn with that number, from 0, of the answer to `prompt`.
    pub(super) fn turn(&self, prompt: &str, number: usize) -> Turn {
        let script = self.scripts.iter().find(|(text, _)| prompt.contains(text));
        let turns = script.map_or(&self.turns, |(_, turns)| turns);
        turns.get(number).or(turns.last()).cloned().unwrap_or_else(|| Turn::say("ok"))
    }

    /// Returns the effect for the request with that number, from 1, of its kind.
    pub(super) fn effect(&self, on: On, number: usize, model: &str) -> Option<&Effect> {
        let meets = |fault: &&Fault| {
            (fault.on == on || fault.on == On::All)
                && fault.requests.contains(&number)
                && fault.model.as_deref().is_none_or(|only| only == model)
        };
        self.faults.iter().find(meets).map(|fault| &fault.effect)
    }
}
