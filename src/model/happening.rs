//! What an event is called by those who follow them: one word for what came of it.

use super::event::{Event, Next, WaitReason};

/// Every word, in the order of a task's life.
pub const KINDS: &[&str] = &[
    "queued",
    "workspace",
    "started",
    "session",
    "retry",
    "iterate",
    "rate_limit",
    "parked",
    "budget",
    "room",
    "memory",
    "done",
    "failed",
    "dead",
    "stopped",
    "lost",
    "retried",
    "resumed",
    "landing",
    "landing_aborted",
    "resolved",
    "conflict",
    "review",
    "approved",
    "rejected",
    "landed",
    "published",
    "undone",
    "pruned",
    "removed",
    "restored",
    "rewound",
    "stray",
];

/// The words that `on_event` is run for: a person may have to do something, or waits for it.
pub const TOLD: &[&str] =
    &["done", "failed", "dead", "conflict", "review", "rejected", "landed", "budget", "parked"];

impl Event {
    /// Returns the word for what happened; `None`: it is a matter of the journal itself.
    pub fn kind(&self) -> Option<&'static str> {
        Some(match self {
            Self::Queued { .. } => "queued",
            Self::WorkspaceMade { .. } => "workspace",
            Self::Started { .. } => "started",
            Self::Session { .. } => "session",
            Self::Ended { next, .. } => match next {
                Next::Done { .. } => "done",
                Next::Wait { reason, .. } => match reason {
                    WaitReason::Backoff => "retry",
                    WaitReason::RateLimit => "rate_limit",
                    WaitReason::Parked => "parked",
                    WaitReason::Room => "room",
                    WaitReason::Memory => "memory",
                },
                Next::Iterate => "iterate",
                Next::Failed => "failed",
                Next::Dead => "dead",
                Next::Stopped => "stopped",
            },
            Self::Lost { .. } => "lost",
            Self::Requeued { .. } => "retry",
            Self::Exhausted => "dead",
            Self::Stopped => "stopped",
            Self::Parked { .. } => "parked",
            Self::Retried => "retried",
            Self::Resumed => "resumed",
            Self::Rebudgeted { .. } | Self::BudgetWarned { .. } | Self::OverBudget { .. } => "budget",
            Self::HeldBack { cause, .. } => cause.word(),
            Self::MarkedDone { .. } => "done",
            Self::LandingStarted { .. } => "landing",
            Self::LandingAborted { .. } => "landing_aborted",
            Self::Conflicted { .. } => "conflict",
            Self::Resolved { .. } => "resolved",
            Self::ReviewNeeded { .. } => "review",
            Self::Approved { .. } => "approved",
            Self::Rejected { .. } => "rejected",
            Self::Rewound { .. } => "rewound",
            Self::Stray { .. } => "stray",
            Self::Landed { .. } => "landed",
            Self::Published { moved: true, .. } => "published",
            Self::Unlanded { .. } => "undone",
            Self::Pruned { .. } => "pruned",
            Self::Removed { .. } => "removed",
            Self::Restored { .. } => "restored",
            Self::Publishing { .. }
            | Self::Undoing { .. }
            | Self::Undone { .. }
            | Self::StoppingAll { .. }
            | Self::Published { .. }
            | Self::Carried { .. }
            | Self::CarriedLedger { .. }
            | Self::CarriedBreakers { .. }
            | Self::Unknown => return None,
        })
    }

    /// Returns why it happened, for people, where the event says so.
    pub fn reason(&self) -> Option<&str> {
        let said = match self {
            Self::Ended { reason, .. }
            | Self::Lost { reason, .. }
            | Self::Parked { reason }
            | Self::BudgetWarned { reason, .. }
            | Self::OverBudget { reason, .. }
            | Self::HeldBack { reason, .. }
            | Self::LandingAborted { reason }
            | Self::ReviewNeeded { reason, .. }
            | Self::Rejected { reason, .. }
            | Self::Removed { reason, .. }
            | Self::Stray { what: reason, .. } => Some(reason.as_str()),
            Self::Conflicted { reason, .. } => reason.as_deref(),
            _ => None,
        };
        said.filter(|reason| !reason.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_a_kind() {
        assert!(TOLD.iter().all(|kind| KINDS.contains(kind)));
        let stopped = Event::Stopped;
        assert_eq!((stopped.kind(), stopped.reason()), (Some("stopped"), None));
        assert_eq!(Event::Published { landing: String::new(), moved: false }.kind(), None);
        assert_eq!(Event::Parked { reason: "why".to_owned() }.reason(), Some("why"));
    }
}
