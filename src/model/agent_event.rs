//! What an agent does, told line by line; and the lines that people read of it.

use super::Usage;
use super::verdict::Verdict;

/// Something that a line of an agent's output says.
#[derive(Debug, Clone, PartialEq)]
pub enum AgentEvent {
    /// The agent named its session.
    Session {
        /// The id that resumes it.
        session: String,
        /// The model, if it said so.
        model: Option<String>,
    },
    /// It wrote something to people.
    Text(String),
    /// It calls a tool.
    Tool {
        /// The tool's name.
        name: String,
        /// The most telling part of its input, on one line; may be empty.
        summary: String,
    },
    /// A tool answered.
    ToolResult {
        /// Whether the tool failed.
        failed: bool,
        /// What it answered.
        text: String,
    },
    /// A call to its model failed and it tries again by itself.
    Retry {
        /// The agent's word for the fault.
        reason: String,
        /// The HTTP status, where there was one.
        status: Option<u16>,
    },
    /// What it used so far.
    Usage(Usage),
    /// Its final event.
    Final,
    /// What the attempt comes to is known already: it is to be ended now, not when its own retries are over.
    Verdict(Verdict),
    /// A line that says nothing to its adapter, as it is.
    Raw(String),
}

/// What a line of a readable transcript is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogKind {
    /// The agent's words.
    Text,
    /// A tool call.
    Tool,
    /// Something failed.
    Error,
    /// About the run: its session, a retry.
    Note,
    /// The end with turns and cost.
    Summary,
    /// A line that its adapter does not know.
    Raw,
}

/// A line of a readable transcript. Its text is the agent's own: `ui` makes it safe to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// What it is.
    pub kind: LogKind,
    /// What it says; several lines for [`LogKind::Text`].
    pub text: String,
}

impl LogLine {
    /// Returns a line of that kind.
    pub fn new(kind: LogKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }
}
