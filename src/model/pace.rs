//! How a task gets on, in one word: facts that call for different answers are never mixed.
//!
//! Who is slow may still come to an end, who is limited goes on by itself, who is parked waits for a person, and who is dead
//! does nothing more. Pure.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::State;
use super::event::WaitReason;

/// Silence from which on an agent is slow, as a part of the silence that ends it.
const PART: u32 = 4;

/// How a task gets on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Pace {
    /// Its agent works.
    Working,
    /// Its agent runs, but is silent, or its calls fail and it tries them again.
    Slow,
    /// It waits for the end of a limit, or its agent does.
    Limited,
    /// It waits for a person.
    Parked,
    /// Nothing of it runs any more, and no attempt is left; or its supervision vanished.
    Dead,
}

impl Pace {
    /// Returns the word that people read.
    pub fn word(self) -> &'static str {
        match self {
            Self::Working => "working",
            Self::Slow => "slow",
            Self::Limited => "limited",
            Self::Parked => "parked",
            Self::Dead => "dead",
        }
    }
}

/// Whether somebody holds the lock of a running task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Supervised {
    /// Its runner or its guard does.
    Yes,
    /// Nobody does.
    No,
}

/// Whether others of its account keep a task from starting, since one met a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// None does.
    Works,
    /// They do.
    Rests,
}

/// What is seen of a running agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signs {
    /// Whether it is supervised.
    pub supervised: Supervised,
    /// How long it has been silent.
    pub silent: Option<Duration>,
    /// The silence that would end it.
    pub stall: Duration,
    /// Whether a call to its model failed that it tries again right now; the HTTP status, where there is one.
    pub fault: Option<Option<u16>>,
}

/// Returns how a task gets on; `None`: neither does it run, nor is anything in its way.
pub fn pace(state: &State, account: Account, signs: &Signs) -> Option<Pace> {
    match state {
        State::Running { .. } => Some(match (signs.supervised, signs.fault) {
            (Supervised::No, _) => Pace::Dead,
            (_, Some(Some(429))) => Pace::Limited,
            (_, Some(_)) => Pace::Slow,
            _ if signs.silent.is_some_and(|silent| silent >= signs.stall / PART) => Pace::Slow,
            _ => Pace::Working,
        }),
        State::Waiting { reason: WaitReason::RateLimit, .. } => Some(Pace::Limited),
        State::Waiting { reason: WaitReason::Parked, .. } => Some(Pace::Parked),
        State::Queued | State::Waiting { .. } if account == Account::Rests => Some(Pace::Limited),
        State::Dead | State::Lost { .. } => Some(Pace::Dead),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fact_has_its_own_word() {
        let running = State::Running { attempt: 1, token: String::new(), boot: String::new() };
        let waiting = |reason| State::Waiting { reason, until: None };
        let quiet = Signs {
            supervised: Supervised::Yes,
            silent: Some(Duration::from_secs(1)),
            stall: Duration::from_secs(600),
            fault: None,
        };
        let silent = |seconds| Signs { silent: Some(Duration::from_secs(seconds)), ..quiet };
        let faulty = |status| Signs { fault: Some(status), ..quiet };
        let gone = Signs { supervised: Supervised::No, ..faulty(Some(429)) };
        let table = [
            (running.clone(), quiet, Some(Pace::Working)),
            (running.clone(), Signs { silent: None, ..quiet }, Some(Pace::Working)),
            (running.clone(), silent(149), Some(Pace::Working)),
            (running.clone(), silent(150), Some(Pace::Slow)),
            (running.clone(), faulty(None), Some(Pace::Slow)),
            (running.clone(), faulty(Some(529)), Some(Pace::Slow)),
            (running.clone(), faulty(Some(429)), Some(Pace::Limited)),
            (running, gone, Some(Pace::Dead)),
            (waiting(WaitReason::RateLimit), quiet, Some(Pace::Limited)),
            (waiting(WaitReason::Parked), quiet, Some(Pace::Parked)),
            (waiting(WaitReason::Backoff), gone, None),
            (waiting(WaitReason::Room), gone, None),
            (State::Queued, quiet, None),
            (State::Dead, quiet, Some(Pace::Dead)),
            (State::Lost { rebooted: true }, quiet, Some(Pace::Dead)),
            (State::Failed, quiet, None),
            (State::Stopped, quiet, None),
            (State::Open, gone, None),
        ];
        for (state, signs, expected) in table {
            assert_eq!(pace(&state, Account::Works, &signs), expected, "{state:?} {signs:?}");
        }
        assert_eq!(pace(&State::Queued, Account::Rests, &quiet), Some(Pace::Limited));
    }
}
