//! What follows when an attempt has ended.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::task::Oid;

/// Why a task waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitReason {
    /// Between two attempts.
    Backoff,
    /// The account's rate limit or quota.
    RateLimit,
    /// A question, a permission or the account needs a person.
    Parked,
    /// The disk, or the bound of workspaces, has no room for its workspace; or the machine has no descriptor, process or memory
    /// left to run it.
    Room,
    /// The machine has no memory for another agent.
    Memory,
}

impl WaitReason {
    /// Returns the word that `status` shows.
    pub fn word(self) -> &'static str {
        match self {
            Self::Backoff => "backoff",
            Self::RateLimit => "rate_limit",
            Self::Parked => "parked",
            Self::Room => "room",
            Self::Memory => "memory",
        }
    }
}

/// What follows an ended attempt; decided by `supervise::recovery`, recorded with the attempt's end in one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "to", rename_all = "snake_case")]
pub enum Next {
    /// The work is finished and verified; `skipped`: the agent found nothing to do.
    Done {
        /// The branch's commit.
        head: Oid,
        /// Whether there is nothing to land.
        skipped: bool,
    },
    /// Another attempt, not before `until`.
    Wait {
        /// Why it waits.
        reason: WaitReason,
        /// When it may go on; `None`: when a person says so.
        until: Option<Timestamp>,
        /// Whether this attempt used up one of the tries.
        counted: bool,
    },
    /// The next iteration of its loop, as soon as there is a slot.
    Iterate,
    /// Not worth another attempt.
    Failed,
    /// All attempts are used up.
    Dead,
    /// A person stopped it.
    Stopped,
}

/// What an iteration of a loop left, for the one after it and for the rules that give a loop up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lap {
    /// The iteration, from 1.
    pub iteration: u32,
    /// The branch's commit at its end.
    pub head: Oid,
    /// Commits that it added.
    pub commits: u32,
    /// What it changed and what failed, as a hash: the same again means that it goes round in circles.
    pub fingerprint: String,
    /// The attempt that ended it; its logs are the iteration's.
    #[serde(default)]
    pub attempt: u32,
    /// What it came to, in one line; the next iteration is told.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// The check that failed at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub red: Option<String>,
}
