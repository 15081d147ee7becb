//! What follows an attempt: another one, a rest, or a person. Pure.
//!
//! The agent's word never decides: [`Work`] is what git and the checks say.

use std::time::Duration;

use jiff::Timestamp;

use super::limit;
use super::ralph::{self, Found};
use crate::model::event::{Event, Next, WaitReason};
use crate::model::task::{Oid, Task};
use crate::model::verdict::{Class, Verdict};

/// The back-off after the first failure.
pub const FIRST_BACKOFF: Duration = Duration::from_secs(1);

/// The longest back-off.
pub const LONGEST_BACKOFF: Duration = Duration::from_secs(300);

/// How long a rate-limited task rests when nobody says until when.
pub const RATE_LIMIT_REST: Duration = Duration::from_secs(300);

/// How much later than the end of a limit tasks go on at most: not all at once.
pub const LATENESS: Duration = Duration::from_secs(5);

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
    /// What an iteration of a loop came to; judged by the rules of loops.
    Iteration(Box<Found>),
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

/// Returns the model to ask for and the ones to fall back to after it: the first of the chain that may work.
pub fn models(task: &Task) -> (Option<&str>, &[String]) {
    let spent = (task.spent_models as usize).min(task.spec.fallback.len());
    let model = match spent.checked_sub(1) {
        None => task.spec.model.as_deref(),
        Some(last) => Some(task.spec.fallback[last].as_str()),
    };
    (model, &task.spec.fallback[spent..])
}

/// What is known of an attempt's failure beside its verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Signs {
    /// The HTTP status of what went wrong.
    pub status: Option<u16>,
    /// What its session has nothing to do with: a fault of the service, a time limit.
    pub from_outside: bool,
}

/// Returns what follows an attempt that ended by itself, with its class and the reason that people read. The rungs, each
/// tried where the one before cannot help: the same again after a back-off, behind tasks that were never tried; the next
/// model; a fresh session; no more (`dead`, `failed`), which is a person's to decide.
pub fn follow(
    task: &Task,
    verdict: &Verdict,
    signs: Signs,
    work: &Work,
    now: Timestamp,
) -> (Class, Next, String) {
    if let Some(followed) = at_once(task, verdict, signs.status, now) {
        return followed;
    }
    let (next, reason) = after_attempt(task, verdict, work, now);
    let class = match work {
        Work::Unfinished { .. } | Work::NoCommit => Class::Incomplete,
        _ => verdict.class,
    };
    // It failed twice, the second time where it had left off, and nobody knows why: its session may be to blame.
    let twice = class == Class::Retry && task.class == Some(Class::Retry) && task.session.is_some();
    let known = signs.from_outside || signs.status.is_some();
    if twice && !known && matches!(next, Next::Wait { reason: WaitReason::Backoff, .. }) {
        return (Class::Fail, next, format!("{reason}; next in a fresh session"));
    }
    (class, next, reason)
}

/// Returns whether the model has no room for anybody right now: another one may have. A limit of the account is none:
/// there all models are hit.
fn overloaded(status: Option<u16>, reason: &str) -> bool {
    let said = || {
        let reason = reason.to_ascii_lowercase();
        ["overloaded", "high demand", "at capacity"].iter().any(|words| reason.contains(words))
    };
    status == Some(529) || (matches!(status, None | Some(503)) && said())
}

/// Returns what follows at once, with its class, where something other than the same again may work; no retry is used up:
/// the next model of the chain, where this one cannot be used or is overloaded beyond the agent's own patience; once a
/// fresh session, where the service refuses the request itself (`status` 400, 413: the conversation grew too long).
pub fn at_once(
    task: &Task,
    verdict: &Verdict,
    status: Option<u16>,
    now: Timestamp,
) -> Option<(Class, Next, String)> {
    let again = Next::Wait { reason: WaitReason::Backoff, until: Some(now), counted: false };
    let reason = &verdict.reason;
    match (verdict.class, status, models(task).1.first()) {
        (Class::NextModel, _, Some(model)) => {
            Some((Class::NextModel, again, format!("{reason}; next is the model {model}")))
        }
        (Class::Retry, _, Some(model)) if overloaded(status, reason) => {
            Some((Class::NextModel, again, format!("{reason}; next is the model {model}")))
        }
        (Class::Fail, Some(400 | 413), _) if task.class != Some(Class::Fail) => {
            Some((Class::Fail, again, format!("{reason}; once more in a fresh session")))
        }
        _ => None,
    }
}

/// Returns how long a task rests whose `attempt` found no room for its workspace. It uses up no try, so that the number of
/// the attempt tells how often that was so.
pub fn room_rest(task: &Task, attempt: u32) -> Duration {
    backoff(attempt.saturating_add(2), seed(task))
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
        (_, Work::Iteration(found)) => ralph::after_iteration(task, found),
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
            let spread = f64::from(seed(task)) / 255.0;
            let until = Some(match limit::said_until(&verdict.reason, now) {
                Some(until) => until + LATENESS.mul_f64(spread),
                None => now + RATE_LIMIT_REST.mul_f64(1.0 + spread / 5.0),
            });
            (Next::Wait { reason: WaitReason::RateLimit, until, counted: false }, verdict.reason.clone())
        }
        (Class::Ask, _) => {
            (Next::Wait { reason: WaitReason::Parked, until: None, counted: false }, verdict.reason.clone())
        }
        (Class::NextModel, _) => (Next::Failed, no_model(task, &verdict.reason)),
        (Class::Fail | Class::Escalate | Class::FleetStop, _) => (Next::Failed, verdict.reason.clone()),
    }
}

fn no_model(task: &Task, reason: &str) -> String {
    if task.spec.fallback.is_empty() { reason.to_owned() } else { format!("{reason}; no model is left") }
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
    use crate::model::event::Record;
    use crate::model::{Roster, TaskId, TaskSpec};
    use proptest::prelude::*;

    fn task(fallback: &[&str]) -> Task {
        let spec = TaskSpec {
            agent: Some("a".to_owned()),
            model: Some("one".to_owned()),
            fallback: fallback.iter().map(|model| (*model).to_owned()).collect(),
            ..TaskSpec::new("t".parse().expect("a name"), "main")
        };
        let id: TaskId = "t@1".parse().expect("an id");
        let queued = Record { v: 1, at: NOW, task: Some(id.clone()), event: Event::Queued { spec } };
        Roster::fold([&queued]).get(&id).expect("it was queued").clone()
    }

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn next(task: &Task, class: Class, status: Option<u16>) -> (Class, Next) {
        let verdict = Verdict::new(class, "why");
        at_once(task, &verdict, status, NOW).map_or_else(
            || (class, after_attempt(task, &verdict, &Work::NotJudged, NOW).0),
            |(class, next, _)| (class, next),
        )
    }

    #[test]
    fn a_chain_of_models_is_gone_through_without_using_up_tries() {
        let again = Next::Wait { reason: WaitReason::Backoff, until: Some(NOW), counted: false };
        let mut task = task(&["two", "three"]);
        for model in ["one", "two"] {
            assert_eq!(models(&task).0, Some(model));
            assert_eq!(next(&task, Class::NextModel, Some(404)), (Class::NextModel, again.clone()));
            assert_eq!(next(&task, Class::Retry, Some(529)), (Class::NextModel, again.clone()));
            assert_eq!(next(&task, Class::Retry, Some(500)).0, Class::Retry);
            task.spent_models += 1;
        }
        assert_eq!(models(&task), (Some("three"), &[][..]));
        assert_eq!(next(&task, Class::NextModel, Some(404)).1, Next::Failed);
        // An overload passes: the last model is tried again as after any passing fault.
        assert!(matches!(
            next(&task, Class::Retry, Some(529)).1,
            Next::Dead | Next::Wait { counted: true, .. }
        ));
    }

    #[test]
    fn the_ladder_is_climbed_rung_by_rung() {
        let at_hand = |tries: u32, models: &[&str], before: Option<Class>| Task {
            tries,
            class: before,
            session: before.map(|_| "s".to_owned()),
            ..task(models)
        };
        let first = || at_hand(0, &[], None);
        let (again, last) =
            (|before| at_hand(1, &["two"], before), || at_hand(2, &["two"], Some(Class::Retry)));
        let plain = |status| Signs { status, from_outside: false };
        let outside = Signs { status: None, from_outside: true };
        let retry = Some(Class::Retry);
        let table = vec![
            // Passing faults: back-off, a fresh session, dead.
            (Class::Retry, "reset", plain(None), first(), "retry"),
            (Class::Retry, "reset", plain(None), again(retry), "fresh"),
            (Class::Retry, "reset", plain(Some(500)), again(retry), "retry"),
            (Class::Retry, "time limit", outside, again(retry), "retry"),
            (Class::Retry, "reset", plain(None), again(Some(Class::Fail)), "retry"),
            (Class::Retry, "reset", plain(None), again(Some(Class::Incomplete)), "retry"),
            (Class::Retry, "reset", plain(None), last(), "dead"),
            // The server has no room: another model, while there is one.
            (Class::Retry, "x", plain(Some(529)), first(), "retry"),
            (Class::Retry, "x", plain(Some(529)), last(), "model"),
            (Class::Retry, "The model is overloaded", plain(Some(503)), again(retry), "model"),
            (Class::Retry, "We are experiencing high demand", plain(None), again(retry), "model"),
            (Class::Retry, "Service Unavailable", plain(Some(503)), again(retry), "retry"),
            (Class::Retry, "overloaded method", plain(Some(500)), again(retry), "retry"),
            // The account has none: every model of it is hit, and no try is used up, however many there were.
            (Class::Park, "rate limit", plain(Some(429)), first(), "limit"),
            (Class::Park, "overloaded with requests", plain(Some(429)), again(retry), "limit"),
            (Class::Park, "quota", plain(None), last(), "limit"),
            (Class::NextModel, "gone", plain(Some(404)), last(), "model"),
            (Class::NextModel, "gone", plain(Some(404)), first(), "failed"),
            (Class::Incomplete, "red", plain(None), again(retry), "retry"),
            (Class::Incomplete, "red", plain(None), last(), "dead"),
            (Class::Fail, "too long", plain(Some(413)), last(), "fresh at once"),
            (Class::Fail, "too long", plain(Some(413)), again(Some(Class::Fail)), "failed"),
            (Class::Fail, "bad flag", plain(None), first(), "failed"),
            (Class::Ask, "may I", plain(None), last(), "person"),
            (Class::Escalate, "budget", plain(None), first(), "failed"),
            (Class::FleetStop, "no credit", plain(Some(400)), first(), "failed"),
        ];
        for (class, reason, signs, task, expected) in table {
            let verdict = Verdict::new(class, reason);
            let (class, next, said) = follow(&task, &verdict, signs, &Work::NotJudged, NOW);
            let found = match (class, &next) {
                (_, Next::Wait { reason: WaitReason::RateLimit, until: Some(_), counted: false }) => "limit",
                (_, Next::Wait { reason: WaitReason::Parked, until: None, counted: false }) => "person",
                (Class::NextModel, Next::Wait { counted: false, .. }) => "model",
                (Class::Fail, Next::Wait { counted: false, .. }) => "fresh at once",
                (Class::Fail, Next::Wait { counted: true, .. }) => "fresh",
                (_, Next::Wait { reason: WaitReason::Backoff, until: Some(until), counted: true })
                    if *until > NOW =>
                {
                    "retry"
                }
                (_, Next::Failed) => "failed",
                (_, Next::Dead) => "dead",
                next => panic!("{next:?}"),
            };
            assert_eq!(found, expected, "{verdict:?} {signs:?} tries {} {said}", task.tries);
        }
    }

    #[test]
    fn a_refused_request_gets_one_fresh_session() {
        let mut task = task(&[]);
        assert!(matches!(next(&task, Class::Fail, Some(413)).1, Next::Wait { counted: false, .. }));
        assert_eq!(next(&task, Class::Fail, None).1, Next::Failed);
        task.class = Some(Class::Fail);
        assert_eq!(next(&task, Class::Fail, Some(400)).1, Next::Failed);
    }

    #[test]
    fn a_limit_ends_when_the_agent_says_and_uses_up_no_try() {
        let task = task(&[]);
        let until = |reason: &str| match after_attempt(
            &task,
            &Verdict::new(Class::Park, reason),
            &Work::NotJudged,
            NOW,
        )
        .0
        {
            Next::Wait { reason: WaitReason::RateLimit, until: Some(until), counted: false } => until,
            next => panic!("{next:?}"),
        };
        let said = until("try again in 1 hour") - Duration::from_secs(3600);
        assert!(said >= NOW && said <= NOW + LATENESS);
        assert!(until("rate limit") >= NOW + RATE_LIMIT_REST);
    }

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
