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
            (
                Self::Failed
                | Self::Dead
                | Self::Stopped
                | Self::Lost { .. }
                | Self::Done { .. }
                | Self::Conflict
                | Self::Review
                | Self::Rejected
                | Self::Waiting { .. },
                E::Retried,
            ) => Self::Queued,
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
            | Event::Unknown
            | Event::Rebudgeted { .. }
            | Event::BudgetWarned { .. }
            | Event::CarriedLedger { .. }
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
        Event::Stopped => "stopped",
        Event::Parked { .. } => "parked",
        Event::Retried => "retried",
        Event::Rebudgeted { .. } => "given a budget",
        Event::BudgetWarned { .. } => "warned of its budget",
        Event::OverBudget { .. } => "held back by a budget",
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
        Event::Carried { .. } | Event::CarriedLedger { .. } => "carried over",
        Event::Unknown => "changed by an unknown event",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Usage;
    use crate::model::task::Oid;
    use crate::model::verdict::{Class, Exit};
    use proptest::prelude::*;

    fn oid() -> Oid {
        Oid::parse(&"0".repeat(40)).expect("forty digits")
    }

    fn ended(attempt: u32, next: Next) -> Event {
        let (exit, class, usage) = (Exit::Code(0), Class::Ok, Usage::default());
        let (models, lap) = (std::collections::BTreeMap::new(), None);
        Event::Ended { attempt, exit, class, reason: String::new(), usage, models, lap, swept: 0, next }
    }

    fn any_event() -> impl Strategy<Value = Event> {
        let attempt = 1..3u32;
        prop_oneof![
            attempt.clone().prop_map(|attempt| Event::Started {
                attempt,
                token: "t".to_owned(),
                boot: "b".to_owned()
            }),
            attempt.clone().prop_map(|n| ended(n, Next::Done { head: oid(), skipped: false })),
            attempt.clone().prop_map(|n| ended(
                n,
                Next::Wait { reason: WaitReason::Backoff, until: None, counted: true }
            )),
            attempt.clone().prop_map(|n| ended(n, Next::Iterate)),
            attempt.clone().prop_map(|n| ended(n, Next::Failed)),
            attempt.clone().prop_map(|n| ended(n, Next::Dead)),
            attempt.clone().prop_map(|n| ended(n, Next::Stopped)),
            (attempt, any::<bool>()).prop_map(|(attempt, rebooted)| Event::Lost {
                attempt,
                reason: String::new(),
                checkpoint: None,
                rebooted
            }),
            Just(Event::Requeued { until: Timestamp::UNIX_EPOCH }),
            Just(Event::Exhausted),
            Just(Event::Stopped),
            Just(Event::Parked { reason: String::new() }),
            Just(Event::ReviewNeeded { reason: String::new(), paths: vec![], onto: oid(), candidate: None }),
            Just(Event::Approved { head: None }),
            Just(Event::Retried),
            Just(Event::OverBudget { reason: String::new(), until: None }),
            Just(Event::OverBudget { reason: String::new(), until: Some(Timestamp::UNIX_EPOCH) }),
            Just(Event::MarkedDone { head: oid(), skipped: false }),
            Just(Event::LandingStarted { head: oid() }),
            Just(Event::LandingAborted { reason: String::new() }),
            Just(Event::Conflicted { paths: vec![], onto: oid(), reason: None }),
            Just(Event::Rejected { reason: String::new(), onto: oid(), log: None }),
            Just(Event::Landed { tip: oid(), commits: 1 }),
            Just(Event::Unlanded { to: State::Done { skipped: false } }),
            Just(Event::Unlanded { to: State::Stopped }),
            Just(Event::Unlanded { to: State::Queued }),
            Just(Event::Removed { reason: String::new(), trash: None }),
            Just(Event::Unknown),
        ]
    }

    proptest! {
        /// Whatever happens in whatever order: what is refused changes nothing, a landed task stays landed unless it is
        /// removed or its landing is taken back, which makes it land again and never run; running is entered by `Started` alone and left only by its own attempt's end or loss, and `landed`
        /// is reached from a landing alone.
        #[test]
        fn any_sequence_of_events_keeps_the_invariants(
            open: bool,
            events in prop::collection::vec(any_event(), 0..60),
        ) {
            let mut state = if open { State::Open } else { State::Queued };
            for event in events {
                let before = state.clone();
                let Ok(after) = before.clone().apply(&event) else { continue };
                match (&before, &after) {
                    (State::Landed, after) => {
                        let removed = matches!(after, State::Removed { .. });
                        let back = matches!(event, Event::Unlanded { .. })
                            && after.clone().apply(&Event::LandingStarted { head: oid() }).is_ok();
                        let stays = *after == State::Landed;
                        prop_assert!(removed || back || stays, "landed became {}", after.word());
                    }
                    (State::Running { attempt, .. }, State::Running { .. }) => {
                        let keeps = matches!(event, Event::Unknown);
                        prop_assert!(keeps, "attempt {attempt} was replaced by {event:?}");
                    }
                    (State::Running { attempt, .. }, _) => {
                        let own = matches!(&event, Event::Ended { attempt: n, .. } | Event::Lost { attempt: n, .. } if n == attempt);
                        prop_assert!(own, "attempt {attempt} was ended by {event:?}");
                    }
                    (_, State::Running { .. }) => {
                        let started = matches!(event, Event::Started { .. });
                        prop_assert!(started);
                    }
                    (from, State::Landed) => {
                        let landing = matches!(from, State::Landing { .. });
                        prop_assert!(landing);
                    }
                    _ => {}
                }
                state = after;
            }
        }
    }

    #[test]
    fn a_removed_task_comes_back_as_it_was() {
        let rejected = State::Landing { from: Box::new(State::Done { skipped: false }) }
            .apply(&Event::Rejected { reason: "red".to_owned(), onto: oid(), log: None })
            .unwrap();
        let removed = rejected.clone().apply(&Event::Removed { reason: String::new(), trash: None }).unwrap();
        assert!(removed.ended());
        let workspace = crate::model::Workspace {
            path: "/w".to_owned(),
            branch: "wt/a".to_owned(),
            base: oid(),
            entry: "a".to_owned(),
            copied: vec![],
            ports: Vec::new(),
        };
        assert_eq!(removed.apply(&Event::Restored { workspace }).unwrap(), rejected);
    }

    #[test]
    fn a_landing_that_is_taken_back_leaves_what_can_land_again() {
        let landing = |from: State| State::Landing { from: Box::new(from) };
        let landed = landing(State::Conflict).apply(&Event::Landed { tip: oid(), commits: 1 }).unwrap();
        for (before, after) in [
            (State::Done { skipped: true }, State::Done { skipped: true }),
            (State::Conflict, State::Done { skipped: false }),
            (State::Rejected, State::Done { skipped: false }),
            (State::Stopped, State::Stopped),
            (State::Open, State::Open),
        ] {
            let to = before.before_landing();
            assert_eq!(to, after);
            assert_eq!(landed.clone().apply(&Event::Unlanded { to }).unwrap(), after);
        }
        assert!(landed.apply(&Event::Unlanded { to: State::Queued }).is_err());
        let done = Event::Unlanded { to: State::Done { skipped: false } };
        assert!(State::Queued.apply(&done).is_err());
        assert!(landing(State::Open).apply(&done).is_err());
    }

    #[test]
    fn facts_that_come_later_leave_the_state_as_it_is() {
        let running = State::Running { attempt: 1, token: String::new(), boot: String::new() };
        let session = Event::Session { session: "s".to_owned(), model: None };
        assert_eq!(running.clone().apply(&session).unwrap(), running);
        assert!(State::Queued.apply(&session).is_err());
        let pruned = Event::Pruned { trash: "refs/wt/trash/a/1".to_owned() };
        assert_eq!(State::Landed.apply(&pruned).unwrap(), State::Landed);
        assert!(State::Open.apply(&pruned).is_err());
    }

    #[test]
    fn a_parked_task_starts_only_after_a_person_says_so() {
        let started = Event::Started { attempt: 1, token: String::new(), boot: String::new() };
        let parked = State::Queued.apply(&Event::Parked { reason: String::new() }).unwrap();
        assert!(parked.clone().apply(&started).is_err());
        assert!(parked.apply(&Event::Retried).unwrap().apply(&started).is_ok());
    }

    #[test]
    fn running_and_landing_tasks_cannot_be_removed() {
        let removed = Event::Removed { reason: String::new(), trash: None };
        let running = State::Running { attempt: 1, token: String::new(), boot: String::new() };
        assert!(running.apply(&removed).is_err());
        assert!(State::Landing { from: Box::new(State::Open) }.apply(&removed).is_err());
    }
}
