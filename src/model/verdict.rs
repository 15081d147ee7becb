//! What an attempt came to, and what the rest of `wt` should do about it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The class of an ended attempt; each names the next action, not the cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The agent ended well by its adapter's rule; git and verification still have the last word.
    Ok,
    /// Ended well, but the work is not finished (turn cap, no commit): another attempt.
    Incomplete,
    /// A passing fault: the same again after a back-off.
    Retry,
    /// A rate limit or quota: wait without using up a retry.
    Park,
    /// It asks for a permission or an answer: a person must say so, and it costs no retry.
    Ask,
    /// This model cannot be used: the next one of the chain.
    NextModel,
    /// Not worth another try.
    Fail,
    /// Only a person can help with this task.
    Escalate,
    /// Only a person can help, and every task of the account is hit.
    FleetStop,
}

impl Class {
    /// Returns the class in words, for a reason where nothing better is known.
    pub fn words(self) -> &'static str {
        match self {
            Self::Ok => "ended well",
            Self::Incomplete => "ended before its work was finished",
            Self::Retry => "failed, may work again",
            Self::Park => "rate limit or quota",
            Self::Ask => "asks a person",
            Self::NextModel => "the model cannot be used",
            Self::Fail => "failed",
            Self::Escalate => "needs a person",
            Self::FleetStop => "the account cannot be used",
        }
    }
}

/// How the agent's process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// It was ended by this signal.
    Signal(i32),
    /// Nobody saw it end: its supervision was killed.
    Lost,
    /// It could not be started.
    NotStarted,
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::Lost => f.write_str("lost"),
            Self::NotStarted => f.write_str("not started"),
        }
    }
}

/// A class with the reason that people read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// What to do next.
    pub class: Class,
    /// Why, in one line without control characters.
    pub reason: String,
}

impl Verdict {
    /// Returns a verdict of `class` for `reason`.
    pub fn new(class: Class, reason: impl Into<String>) -> Self {
        Self { class, reason: reason.into() }
    }
}
