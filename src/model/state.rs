//! The state of a task, and the one function that changes it.
//!
//! ```text
//!            ┌────────────── Requeued / until ──────────────┐
//!            ▼                                              │
//!  Queued ─ Started ─▶ Running ─ Lost ─▶ lost ─ Exhausted ─▶ dead
//!    ▲  ▲                │ Ended(next)
//!    │  └── waiting ◀────┼─ Wait
//!    ├──────── Iterate ──┤
//!    │                   ├─ Failed ─▶ failed      ├─ Dead ─▶ dead     ├─ Stopped ─▶ stopped
//!    │ Retried           └─ Done ──▶ done ◀─ MarkedDone ─ open
//!    │                                │ LandingStarted          (also from conflict, rejected, failed, dead, stopped, open)
//!    └─ failed dead stopped lost …    ▼
//!                                  landing ─ Landed ─▶ landed   ─ Conflicted ─▶ conflict   ─ Rejected ─▶ rejected
//!                                     └─ LandingAborted ─▶ where it was
//!                                     └─ ReviewNeeded ─▶ review ─ Approved ─▶ done
//!  landed ─ Unlanded(to) ─▶ done, or what a landing by name found: failed, dead, stopped, open
//!  queued, waiting ─ HeldBack ─▶ waiting
//!  queued, waiting ─ OverBudget ─▶ failed, or waiting for tomorrow
//!  resting, with a workspace ─ Rewound ─▶ stopped (open and lost stay)
//!  any resting state ─ Removed ─▶ removed ─ Restored ─▶ where it was
//! ```
//!
//! Anything the diagram does not show is a [`BadTransition`].

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::{Event, Next, WaitReason};

/// Where a task stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum State {
    /// Waits for its parents and for a slot.
    Queued,
    /// Waits for a time or for a person.
    Waiting {
        /// Why.
        reason: WaitReason,
        /// When it may go on; `None`: when a person says so.
        until: Option<Timestamp>,
    },
    /// A runner holds it.
    Running {
        /// The attempt's number.
        attempt: u32,
        /// The token of the attempt's processes.
        token: String,
        /// The boot that it runs in.
        boot: String,
    },
    /// A person works in it.
    Open,
    /// Finished, verified, ready to land.
    Done {
        /// Whether there is nothing to land.
        skipped: bool,
    },
    /// A landing has taken it up.
    Landing {
        /// Where it goes back to if the landing is given up.
        from: Box<State>,
    },
    /// On the target.
    Landed,
    /// Not worth another attempt; can still be landed by name.
    Failed,
    /// All attempts are used up.
    Dead,
    /// A person stopped it.
    Stopped,
    /// Its processes vanished.
    Lost {
        /// Whether the machine restarted, so that it waits for a person.
        rebooted: bool,
    },
    /// Its commits do not merge; needs a decision.
    Conflict,
    /// Needs a person's approval.
    Review,
    /// Verification failed on the merged tree.
    Rejected,
    /// Its workspace was removed.
    Removed {
        /// Where it stood before.
        from: Box<State>,
    },
}

/// An event that cannot happen in a state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a task that is {from} cannot become {event}")]
pub struct BadTransition {
    /// The state's word.
    pub from: &'static str,
    /// The event's word.
    pub event: &'static str,
}

impl State {
    /// Returns the word that `status` shows.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Waiting { .. } => "waiting",
            Self::Running { .. } => "running",
            Self::Open => "open",
            Self::Done { .. } => "done",
            Self::Landing { .. } => "landing",
            Self::Landed => "landed",
            Self::Failed => "failed",
            Self::Dead => "dead",
            Self::Stopped => "stopped",
            Self::Lost { .. } => "lost",
            Self::Conflict => "conflict",
            Self::Review => "review",
            Self::Rejected => "rejected",
            Self::Removed { .. } => "removed",
        }
    }

    /// Returns whether the task's name is free again.
    pub fn ended(&self) -> bool {
        matches!(self, Self::Landed | Self::Removed { .. })
    }

    /// Returns whether nothing will happen to the task unless a person or a landing acts.
    pub fn at_rest(&self) -> bool {
        !matches!(self, Self::Queued | Self::Waiting { .. } | Self::Running { .. } | Self::Landing { .. })
    }

    /// Returns whether a person can stop the task: it runs, or it would run some time.
    pub fn can_be_stopped(&self) -> bool {
        matches!(self, Self::Queued | Self::Waiting { .. } | Self::Running { .. } | Self::Lost { .. })
    }

    /// Returns the state in which a landing took the task up, while it has it.
    pub fn taken_up_from(&self) -> Option<Self> {
        if let Self::Landing { from } = self { Some((**from).clone()) } else { None }
    }

    /// Returns where a task goes back to that a landing took up in this state, when that landing is taken back: what stood
    /// in its way once was overcome, but what only a person's word lets land is still theirs to say.
    #[must_use]
    pub fn before_landing(&self) -> Self {
        match self {
            Self::Done { .. } | Self::Failed | Self::Dead | Self::Stopped | Self::Open => self.clone(),
            _ => Self::Done { skipped: false },
        }
    }

    /// Returns whether its work is finished, so that another task can be built on it before it has landed.
    pub fn has_finished_work(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Landing { .. } | Self::Review | Self::Landed)
    }

    /// Returns whether `wt merge --all` takes it up.
    pub fn lands_by_itself(&self) -> bool {
        matches!(self, Self::Done { .. })
    }

    /// Returns the state after `event`, or why there is none.
    pub fn apply(self, event: &Event) -> Result<Self, BadTransition> {
        use Event as E;
        let bad = BadTransition { from: self.word(), event: word(event) };
        Ok(match (self, event) {
            (state, event) if only_a_fact(event) => state,
            (state @ Self::Running { .. }, E::Session { .. })
            | (state @ Self::Landing { .. }, E::Resolved { .. })
            | (state @ Self::Landed, E::Pruned { .. } | E::Restored { .. }) => state,
            (state, E::Rewound { .. }) => state.rewound().ok_or(bad)?,
            (Self::Waiting { reason: WaitReason::Parked, .. }, E::Started { .. }) => return Err(bad),
            (Self::Queued | Self::Waiting { .. }, E::Started { attempt, token, boot }) => {
                Self::Running { attempt: *attempt, token: token.clone(), boot: boot.clone() }
            }
            (Self::Running { attempt, .. }, E::Ended { attempt: ended, next, .. }) if attempt == *ended => {
                match next {
                    Next::Done { skipped, .. } => Self::Done { skipped: *skipped },
                    Next::Wait { reason, until, .. } => Self::Waiting { reason: *reason, until: *until },
                    Next::Iterate => Self::Queued,
                    Next::Failed => Self::Failed,
                    Next::Dead => Self::Dead,
                    Next::Stopped => Self::Stopped,
                }
            }
            (Self::Running { attempt, .. }, E::Lost { attempt: lost, rebooted, .. }) if attempt == *lost => {
                Self::Lost { rebooted: *rebooted }
            }
            (Self::Lost { rebooted: false }, E::Requeued { until }) => {
                Self::Waiting { reason: WaitReason::Backoff, until: Some(*until) }
            }
            (Self::Lost { .. }, E::Exhausted) => Self::Dead,
            (Self::Queued | Self::Waiting { .. } | Self::Lost { .. }, E::Stopped) => Self::Stopped,
            (Self::Queued | Self::Waiting { .. }, E::Parked { .. }) => {
                Self::Waiting { reason: WaitReason::Parked, until: None }
            }
            (Self::Queued | Self::Waiting { .. }, E::OverBudget { until: None, .. }) => Self::Failed,
            (Self::Queued | Self::Waiting { .. }, E::OverBudget { until, .. }) => {
                Self::Waiting { reason: WaitReason::RateLimit, until: *until }
            }
            (Self::Queued | Self::Waiting { .. }, E::HeldBack { cause, until, .. }) => {
                Self::Waiting { reason: *cause, until: Some(*until) }
            }
            (
                Self::Failed
                | Self::Dead
                | Self::Stopped
                | Self::Lost { .. }
                | Self::Done { .. }
                | Self::Conflict
                | Self::Review
                | Self::Rejected
                | Self::Queued
                | Self::Waiting { .. },
                E::Retried,
            )
            | (Self::Stopped | Self::Lost { .. }, E::Resumed) => Self::Queued,
            (
                Self::Open
                | Self::Conflict
                | Self::Rejected
                | Self::Review
                | Self::Failed
                | Self::Dead
                | Self::Stopped,
                E::MarkedDone { skipped, .. },
            ) => Self::Done { skipped: *skipped },
            (
                from @ (Self::Done { .. }
                | Self::Conflict
                | Self::Rejected
                | Self::Review
                | Self::Failed
                | Self::Dead
                | Self::Stopped
                | Self::Open),
                E::LandingStarted { .. },
            ) => Self::Landing { from: Box::new(from) },
            (Self::Landing { .. }, E::Conflicted { .. }) => Self::Conflict,
            (Self::Landing { .. }, E::ReviewNeeded { .. }) => Self::Review,
            (Self::Review, E::Approved { .. }) => Self::Done { skipped: false },
            (Self::Landing { .. }, E::Rejected { .. }) => Self::Rejected,
            (Self::Landing { .. }, E::Landed { .. }) => Self::Landed,
            (Self::Landed, E::Unlanded { to }) if to.before_landing() == *to => to.clone(),
            (Self::Landing { from }, E::LandingAborted { .. })
            | (Self::Removed { from }, E::Restored { .. }) => *from,
            (Self::Running { .. } | Self::Landing { .. } | Self::Removed { .. }, E::Removed { .. }) => {
                return Err(bad);
            }
            (from, E::Removed { .. }) => Self::Removed { from: Box::new(from) },
            (_, E::Carried { task }) => task.state.clone(),
            _ => return Err(bad),
        })
    }
}

/// Tells whether the event leaves every state as it is.
fn only_a_fact(event: &Event) -> bool {
    matches!(
        event,
        Event::WorkspaceMade { .. }
            | Event::Publishing { .. }
            | Event::Published { .. }
            | Event::Undoing { .. }
            | Event::Undone { .. }
            | Event::StoppingAll { .. }
            | Event::Unknown
            | Event::Rebudgeted { .. }
            | Event::BudgetWarned { .. }
            | Event::CarriedLedger { .. }
            | Event::CarriedBreakers { .. }
            | Event::Stray { .. }
    )
}

impl State {
    /// Returns the state of a workspace that was brought back to a checkpoint: what was judged is not what is there now.
    fn rewound(self) -> Option<Self> {
        match self {
            Self::Open | Self::Lost { .. } => Some(self),
            Self::Done { .. }
            | Self::Conflict
            | Self::Rejected
            | Self::Review
            | Self::Failed
            | Self::Dead
            | Self::Stopped => Some(Self::Stopped),
            Self::Queued
            | Self::Waiting { .. }
            | Self::Running { .. }
            | Self::Landing { .. }
            | Self::Landed
            | Self::Removed { .. } => None,
        }
    }
}

fn word(event: &Event) -> &'static str {
    match event {
        Event::Queued { .. } => "queued",
        Event::Stray { .. } => "found beside a stray",
        Event::WorkspaceMade { .. } => "given a workspace",
        Event::Started { .. } => "started",
        Event::Session { .. } => "given a session",
        Event::Ended { .. } => "ended",
        Event::Lost { .. } => "lost",
        Event::Requeued { .. } => "requeued",
        Event::Exhausted => "dead",
        Event::Stopped | Event::StoppingAll { .. } => "stopped",
        Event::Parked { .. } => "parked",
        Event::Retried => "retried",
        Event::Resumed => "resumed",
        Event::Rebudgeted { .. } => "given a budget",
        Event::BudgetWarned { .. } => "warned of its budget",
        Event::OverBudget { .. } => "held back by a budget",
        Event::HeldBack { .. } => "held back",
        Event::MarkedDone { .. } => "done",
        Event::LandingStarted { .. } => "landing",
        Event::LandingAborted { .. } => "taken back from landing",
        Event::Conflicted { .. } => "conflicted",
        Event::Resolved { .. } => "resolved",
        Event::ReviewNeeded { .. } => "in review",
        Event::Approved { .. } => "approved",
        Event::Rejected { .. } => "rejected",
        Event::Rewound { .. } => "brought back to a checkpoint",
        Event::Landed { .. } => "landed",
        Event::Pruned { .. } => "pruned",
        Event::Removed { .. } => "removed",
        Event::Restored { .. } => "restored",
        Event::Publishing { .. } => "publishing",
        Event::Published { .. } => "published",
        Event::Undoing { .. } => "about to be taken back",
        Event::Undone { .. } | Event::Unlanded { .. } => "taken back",
        Event::Carried { .. } | Event::CarriedLedger { .. } | Event::CarriedBreakers { .. } => "carried over",
        Event::Unknown => "changed by an unknown event",
    }
}

#[cfg(test)]
mod tests;
