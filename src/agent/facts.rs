//! What is known of an attempt from its output: the facts that its verdict needs.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::model::Usage;

/// A fault that the agent met and handled itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// The agent's word for it.
    pub reason: String,
    /// The HTTP status, where there was one.
    pub status: Option<u16>,
}

/// What is known of an attempt from its output.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// The session's id.
    pub session: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// The final message. For plain text: the last 16 KiB, known once the stream is finished.
    pub text: Option<String>,
    /// Tokens and money. Before the agent tells them itself: the tokens that its messages began with, a lower bound.
    pub usage: Usage,
    /// The same by model, where the agent tells models apart.
    pub models: BTreeMap<String, Usage>,
    /// Turns, where the agent counts them.
    pub turns: Option<u64>,
    /// The tools that were denied, as the final event says.
    pub denials: Vec<String>,
    /// What the agent says went wrong.
    pub error: Option<String>,
    /// The HTTP status of what went wrong.
    pub status: Option<u16>,
    /// What it last asked a person.
    pub question: Option<String>,
    /// The fault that it handles itself right now; work goes on when it is over.
    pub api_error: Option<ApiError>,
    /// What it did last ("Edit src/auth.rs").
    pub last: Option<String>,
    /// The tool that it waits for.
    pub tool: Option<String>,
    /// Tools that failed, and calls to its model that it had to try again.
    pub errors: u64,
    /// The tokens that its last call to its model took in: how full its context is.
    pub context: Option<u64>,
    /// The most tokens that its context holds.
    pub window: Option<u64>,
    /// The final event as it was printed.
    pub final_event: Option<Value>,
    /// How many lines were not blank.
    pub lines: u64,
    /// The last line that was not blank, cut.
    pub last_line: Option<String>,
}

impl ApiError {
    /// Returns "overloaded (529)".
    pub fn words(&self) -> String {
        match self.status {
            Some(status) => format!("{} ({status})", self.reason),
            None => self.reason.clone(),
        }
    }
}
