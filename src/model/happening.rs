//! What an event is called by those who follow them: one word for what came of it; and what follows from events only once
//! they are added up.

use jiff::Timestamp;
use serde::Serialize;

use super::breaker::{self, Breaker, Kind, REST, Stance};
use super::event::{Event, Next, Record, WaitReason};
use super::roster::Roster;
use super::text::{count, duration};

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
    BREAKER,
];

/// The word for a breaker that opens or closes.
pub const BREAKER: &str = "breaker";

/// The words that `on_event` is run for: a person may have to do something, or waits for it.
pub const TOLD: &[&str] =
    &["done", "failed", "dead", "conflict", "review", "rejected", "landed", "budget", "parked", BREAKER];

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

/// A breaker that opened or closed. No record says so: it follows from the records up to one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Turn {
    /// [`BREAKER`].
    #[serde(rename = "type")]
    type_: &'static str,
    /// `profile` or `agent`.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// `open` or `closed`.
    pub state: Stance,
    /// Failures in a row that opened it.
    pub failures: u32,
    /// When one task may try, if it is open.
    pub until: Option<Timestamp>,
    /// What happened, for people.
    pub reason: String,
}

impl Turn {
    fn of(breaker: Breaker, state: Stance, by_hand: bool) -> Self {
        let Breaker { kind, name, failures, until, reason } = breaker;
        let who = format!("{} `{name}`", kind.word());
        let reason = match state {
            Stance::Closed if by_hand => format!("{who} may start again: closed by hand"),
            Stance::Closed => format!("{who} works again"),
            _ => {
                let (times, rest) = (count(failures as usize, "time"), duration(REST.unsigned_abs()));
                format!("{who} failed {times} in a row and rests for {rest}: {reason}")
            }
        };
        let until = until.filter(|_| state != Stance::Closed);
        Self { type_: BREAKER, kind, name, state, failures, until, reason }
    }
}

/// Follows the breakers from record to record.
#[derive(Debug, Default)]
pub struct Turns {
    roster: Roster,
}

impl Turns {
    /// Begins where `roster` stands.
    pub fn from(roster: Roster) -> Self {
        Self { roster }
    }

    /// Takes the next record, and returns the breaker that opened or closed by it. One that only stays open for longer says
    /// nothing new.
    pub fn hear(&mut self, record: &Record) -> Option<Turn> {
        let before: Vec<Breaker> = self.roster.breakers().tripped().cloned().collect();
        // What does not fit is skipped here as everywhere.
        drop(self.roster.apply(record));
        let task = self.roster.get(record.task.as_ref()?)?;
        let whose = breaker::of(&task.spec);
        let before = before.into_iter().find(|breaker| Some(breaker.of()) == whose);
        let after = self.roster.breakers().over(&task.spec).cloned();
        match (before, after) {
            (Some(before), None) => {
                let by_hand = record.event == Event::Retried;
                Some(Turn::of(before, Stance::Closed, by_hand))
            }
            (before, Some(after)) => {
                let was_open = before.is_some_and(|before| before.stance(record.at) == Stance::Open);
                (!was_open && after.stance(record.at) == Stance::Open)
                    .then(|| Turn::of(after, Stance::Open, false))
            }
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::verdict::{Class, Exit};
    use crate::model::{TaskId, TaskSpec, Usage};

    #[test]
    fn a_breaker_is_told_when_it_opens_and_when_it_closes() {
        let id: TaskId = "a@1".parse().expect("an id");
        let spec = TaskSpec { agent: Some("x".to_owned()), ..TaskSpec::new(id.name.clone(), "main") };
        let mut turns = Turns::default();
        let mut hear = |second: i64, event: Event| {
            let at = Timestamp::from_second(second).expect("a small number");
            turns
                .hear(&Record { v: 1, at, task: Some(id.clone()), event })
                .map(|turn| (turn.state, turn.reason))
        };
        assert_eq!(hear(0, Event::Queued { spec }), None);
        let mut attempt = 0;
        let mut fails = |second: i64, hear: &mut dyn FnMut(i64, Event) -> Option<(Stance, String)>| {
            attempt += 1;
            assert_eq!(
                hear(second, Event::Started { attempt, token: String::new(), boot: String::new() }),
                None
            );
            let until = Timestamp::from_second(second).ok();
            let ended = Event::Ended {
                attempt,
                exit: Exit::Code(1),
                class: Class::Retry,
                reason: "boom".to_owned(),
                usage: Usage::default(),
                models: std::collections::BTreeMap::new(),
                lap: None,
                swept: 0,
                next: Next::Wait { reason: WaitReason::Backoff, until, counted: true },
            };
            hear(second, ended)
        };
        assert_eq!((fails(1, &mut hear), fails(2, &mut hear)), (None, None));
        let opened = |times: &str| format!("agent `x` failed {times} times in a row and rests for 5m: boom");
        assert_eq!(fails(3, &mut hear), Some((Stance::Open, opened("3"))));
        assert_eq!(fails(4, &mut hear), None, "one that ran already: it is open");
        assert_eq!(fails(400, &mut hear), Some((Stance::Open, opened("5"))), "it was half open");
        let by_hand = "agent `x` may start again: closed by hand".to_owned();
        assert_eq!(hear(401, Event::Retried), Some((Stance::Closed, by_hand)));
        assert_eq!(hear(402, Event::Stopped), None);
    }

    #[test]
    fn what_is_told_is_a_kind() {
        assert!(TOLD.iter().all(|kind| KINDS.contains(kind)));
        let stopped = Event::Stopped;
        assert_eq!((stopped.kind(), stopped.reason()), (Some("stopped"), None));
        assert_eq!(Event::Published { landing: String::new(), moved: false }.kind(), None);
        assert_eq!(Event::Parked { reason: "why".to_owned() }.reason(), Some("why"));
    }
}
