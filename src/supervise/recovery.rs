//! What follows an attempt: another one, a rest, or a person. Pure.
//!
//! The agent's word never decides: [`Work`] is what git and the checks say.

use std::time::Duration;

use jiff::Timestamp;

use crate::model::event::{Event, Next, WaitReason};
use crate::model::task::{Oid, Task};
use crate::model::verdict::{Class, Verdict};

/// The back-off after the first failure.
pub const FIRST_BACKOFF: Duration = Duration::from_secs(1);

/// The longest back-off.
pub const LONGEST_BACKOFF: Duration = Duration::from_secs(300);

/// How long a rate-limited task rests when nobody says until when.
pub const RATE_LIMIT_REST: Duration = Duration::from_secs(300);

/// What git and the checks say of an attempt that ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Commits that the checks accept.
    Verified {
        /// The branch's commit.
        head: Oid,
    },
    /// Nothing to do, and the agent said so.
    Nothing {
        /// The branch's commit.
        head: Oid,
    },
    /// No commit beyond its base, and the agent did not say that there is nothing to do.
    NoCommit,
    /// Not finished: a dirty tree, a red check.
    Unfinished {
        /// Why, for people and for the next attempt.
        reason: String,
    },
    /// The agent says that only a person can help.
    Blocked {
        /// Why.
        reason: String,
    },
    /// It was not looked at, since the attempt did not end well.
    NotJudged,
}

/// Returns the back-off before try `tries + 1`: doubled each time, capped, with up to a fifth of jitter.
/// `seed` (0..=255) spreads tasks that fail together.
pub fn backoff(tries: u32, seed: u8) -> Duration {
    let doubled =
        FIRST_BACKOFF.saturating_mul(1_u32.checked_shl(tries.saturating_sub(1)).unwrap_or(u32::MAX));
    let base = doubled.min(LONGEST_BACKOFF);
    base + base.mul_f64(f64::from(seed) / 255.0 / 5.0)
}

fn seed(task: &Task) -> u8 {
    (crc32fast::hash(task.id.to_string().as_bytes()) & 0xff) as u8
}

/// Returns what follows an ended attempt, with the reason that people read.
pub fn after_attempt(task: &Task, verdict: &Verdict, work: &Work, now: Timestamp) -> (Next, String) {
    let again = |reason: String| {
        let used = task.tries + 1;
        if used > task.spec.retries {
            return (
                Next::Dead,
                format!("{reason}; {} used up", crate::model::text::count(used as usize, "attempt")),
            );
        }
        let until = Some(now + backoff(used, seed(task)));
        (Next::Wait { reason: WaitReason::Backoff, until, counted: true }, reason)
    };
    match (verdict.class, work) {
        (Class::Ok, Work::Verified { head }) => {
            (Next::Done { head: head.clone(), skipped: false }, verdict.reason.clone())
        }
        (Class::Ok, Work::Nothing { head }) => {
            (Next::Done { head: head.clone(), skipped: true }, "nothing to do".to_owned())
        }
        (Class::Ok, Work::Unfinished { reason }) => again(reason.clone()),
        (Class::Ok, Work::NoCommit) => again("no commit beyond its base".to_owned()),
        (Class::Ok, Work::Blocked { reason }) => (Next::Failed, reason.clone()),
        (Class::Ok, Work::NotJudged) => again("the work was not judged".to_owned()),
        (Class::Incomplete | Class::Retry, _) => again(verdict.reason.clone()),
        (Class::Park, _) => {
            let until = Some(now + RATE_LIMIT_REST.mul_f64(1.0 + f64::from(seed(task)) / 255.0 / 5.0));
            (Next::Wait { reason: WaitReason::RateLimit, until, counted: false }, verdict.reason.clone())
        }
        (Class::Ask, _) => {
            (Next::Wait { reason: WaitReason::Parked, until: None, counted: false }, verdict.reason.clone())
        }
        (Class::NextModel | Class::Fail | Class::Escalate | Class::FleetStop, _) => {
            (Next::Failed, verdict.reason.clone())
        }
    }
}

/// Returns what follows a vanished attempt; `None`: it rests until a person says so (the machine restarted).
/// `task` is as it was before the loss.
pub fn after_loss(task: &Task, rebooted: bool, now: Timestamp) -> Option<Event> {
    let used = task.tries + 1;
    match (rebooted, used > task.spec.retries) {
        (true, _) => None,
        (false, true) => Some(Event::Exhausted),
        (false, false) => Some(Event::Requeued { until: now + backoff(used, seed(task)) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn back_off_doubles_and_is_capped() {
        assert_eq!(backoff(1, 0), Duration::from_secs(1));
        assert_eq!(backoff(3, 0), Duration::from_secs(4));
        assert_eq!(backoff(40, 0), LONGEST_BACKOFF);
        assert!(backoff(1, 255) <= Duration::from_millis(1200));
    }

    proptest! {
        #[test]
        fn back_off_never_shrinks_nor_runs_away(tries in 0..100u32, seed: u8) {
            prop_assert!(backoff(tries + 1, seed) >= backoff(tries, seed));
            prop_assert!(backoff(tries, seed) <= LONGEST_BACKOFF.mul_f64(1.21));
        }
    }
}
