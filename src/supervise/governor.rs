//! Budgets: whether a task may go on, by what it used, what the day used, and what both may use.
//!
//! The rules are pure: [`judge`], [`bounded`], [`left`]. A day is a local one; what an attempt used counts for the day in
//! which it ended. What a running attempt used so far stands in its live facts. Work is never touched here: a budget
//! that is used up ends an attempt, and what it left stays in the workspace.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use crate::model::budget::{self, Bound, Budget, Share, Spent};
use crate::model::event::{Next, WaitReason};
use crate::model::verdict::{Class, Verdict};
use crate::model::{Event, Roster, State, Task};
use crate::store::live::Live;
use crate::workspace::Site;

/// The share of a bound from which on a task is warned.
pub const WARN_AT: f64 = 0.8;

/// What budgets say of a task.
#[derive(Debug, Clone, PartialEq)]
pub enum Judgement {
    /// Nothing.
    Within,
    /// Most of one bound of its own budget is used.
    Warn {
        /// Which bound.
        bound: Bound,
        /// "82% of its budget is used: $4.10 of $5.00".
        reason: String,
    },
    /// Its own budget is used up.
    Spent {
        /// "budget used up: $5.02 of $5.00".
        reason: String,
    },
    /// The budget of all tasks for today is used up.
    DaySpent {
        /// "the day's budget is used up: $20.10 of $20.00".
        reason: String,
    },
}

/// Returns what budgets say: the task's own first, since tomorrow does not help it.
pub fn judge(spent: &Spent, today: &Spent, own: &Budget, day: &Budget, warned: &[Bound]) -> Judgement {
    let fullest = |shares: Vec<Share>| shares.into_iter().max_by(|a, b| a.used.total_cmp(&b.used));
    let shares = budget::shares(spent, own);
    if let Some(share) = fullest(shares.clone()).filter(|share| share.used >= 1.0) {
        return Judgement::Spent { reason: format!("budget used up: {}", share.words()) };
    }
    if let Some(share) = fullest(budget::shares(today, day)).filter(|share| share.used >= 1.0) {
        return Judgement::DaySpent { reason: format!("the day's budget is used up: {}", share.words()) };
    }
    let near = |share: &Share| share.used >= WARN_AT && !warned.contains(&share.bound);
    match fullest(shares.into_iter().filter(near).collect()) {
        Some(share) => Judgement::Warn {
            bound: share.bound,
            reason: format!("{:.0}% of its budget is used: {}", share.used * 100.0, share.words()),
        },
        None => Judgement::Within,
    }
}

impl Judgement {
    /// Returns the event that warns of it, if it is a warning.
    pub fn warning(&self) -> Option<Event> {
        match self {
            Self::Warn { bound, reason } => {
                Some(Event::BudgetWarned { bound: *bound, reason: reason.clone() })
            }
            _ => None,
        }
    }

    /// Returns the verdict that ends a running attempt; `None`: it may go on.
    pub fn verdict(&self) -> Option<Verdict> {
        match self {
            Self::Within | Self::Warn { .. } => None,
            Self::Spent { reason } => Some(Verdict::new(Class::Escalate, reason)),
            Self::DaySpent { reason } => Some(Verdict::new(Class::Park, reason)),
        }
    }
}

/// Whether an attempt was ended by a budget, rather than by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedBy {
    /// A budget: ours, or the agent's own cap that we gave it.
    Budget,
    /// Anything else.
    Itself,
}

/// Returns what follows an attempt once budgets are looked at: what is finished stays finished, what would go on does not.
/// `tomorrow` is asked only where it matters: the machine's time zone is looked for among all that it knows.
pub fn bounded(
    judgement: &Judgement,
    by: EndedBy,
    (next, told): (Next, String),
    tomorrow: impl FnOnce() -> Timestamp,
) -> (Next, String) {
    let with = |reason: &str| match by {
        EndedBy::Budget => reason.to_owned(),
        EndedBy::Itself => format!("{reason}; {told}"),
    };
    match (judgement, &next) {
        (Judgement::Spent { reason }, Next::Wait { .. } | Next::Iterate) => (Next::Failed, with(reason)),
        (Judgement::Spent { reason }, Next::Failed | Next::Dead) if by == EndedBy::Budget => {
            (Next::Failed, with(reason))
        }
        (Judgement::DaySpent { reason }, Next::Wait { counted, .. }) => {
            let counted = *counted && by == EndedBy::Itself;
            (until(tomorrow(), counted), with(reason))
        }
        (Judgement::DaySpent { reason }, Next::Failed | Next::Dead) if by == EndedBy::Budget => {
            (until(tomorrow(), false), with(reason))
        }
        _ => (next, told),
    }
}

fn until(tomorrow: Timestamp, counted: bool) -> Next {
    Next::Wait { reason: WaitReason::RateLimit, until: Some(tomorrow), counted }
}

/// Returns the dollars that an attempt may still cost, for an agent that has a cap of its own; `None`: no bound.
pub fn left(spent: &Spent, today: &Spent, own: &Budget, day: &Budget) -> Option<f64> {
    let rest = |budget: &Budget, spent: &Spent| {
        (budget.usd > 0.0).then(|| (budget.usd - spent.usage.cost_usd).max(0.01))
    };
    let least = [rest(own, spent), rest(day, today)].into_iter().flatten().min_by(f64::total_cmp);
    least.map(|usd| (usd * 1e4).round() / 1e4)
}

/// Returns the local midnights before and after `now`.
pub fn day_of(now: Timestamp, zone: &TimeZone) -> (Timestamp, Timestamp) {
    let today = now.to_zoned(zone.clone()).start_of_day();
    let Ok(today) = today else { return (now, now + 24.hours()) };
    let tomorrow = today.checked_add(1.day()).and_then(|day| day.start_of_day());
    (today.timestamp(), tomorrow.map_or_else(|_| now + 24.hours(), |day| day.timestamp()))
}

/// Returns the next local midnight.
pub fn tomorrow(site: &Site<'_>) -> Timestamp {
    day_of(site.clock.now(), &TimeZone::system()).1
}

/// Returns what all tasks used today, running attempts but that of `beside` included.
pub fn today(site: &Site<'_>, roster: &Roster, beside: Option<&Task>) -> Spent {
    let now = site.clock.now();
    let mut sum = roster.ledger().since(day_of(now, &TimeZone::system()).0);
    for task in roster.live().filter(|task| beside.is_none_or(|beside| beside.id != task.id)) {
        if matches!(task.state, State::Running { .. }) {
            sum += running(site, task, now);
        }
    }
    sum
}

/// Returns what the running attempt of a task used so far.
fn running(site: &Site<'_>, task: &Task, now: Timestamp) -> Spent {
    let live = Live::load(&site.layout.task(&task.id), task.attempt);
    let time = task.started_at.map_or(0, |at| now.duration_since(at).as_millis());
    Spent {
        usage: live.map(|live| live.usage).unwrap_or_default(),
        time_ms: u64::try_from(time).unwrap_or_default(),
    }
}

/// Returns what budgets say of a task before it starts.
pub fn before_start(site: &Site<'_>, roster: &Roster, task: &Task) -> Judgement {
    let (own, day) = (task.spec.budget(), site.settings.limits.day);
    let spent_today = if day.bounds_anything() { today(site, roster, Some(task)) } else { Spent::default() };
    judge(&task.spent(), &spent_today, &own, &day, &task.warned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Usage;
    use crate::model::task::Oid;
    use crate::model::usage::Tokens;
    use jiff::civil::date;

    fn spent(cost_usd: f64, input: u64, time_ms: u64) -> Spent {
        Spent { usage: Usage { tokens: Tokens { input, ..Tokens::default() }, cost_usd }, time_ms }
    }

    fn word(judgement: &Judgement) -> String {
        match judgement {
            Judgement::Within => "within".to_owned(),
            Judgement::Warn { reason, .. } | Judgement::Spent { reason } | Judgement::DaySpent { reason } => {
                reason.clone()
            }
        }
    }

    #[test]
    fn budgets_are_judged_by_the_fullest_bound_and_the_tasks_own_first() {
        let own = Budget { usd: 5.0, tokens: 1000, time_ms: 60_000 };
        let day = Budget { usd: 20.0, ..Budget::default() };
        let nothing = Spent::default();
        let table = [
            (spent(3.99, 0, 0), nothing, "within"),
            (spent(4.1, 0, 0), nothing, "82% of its budget is used: $4.10 of $5.00"),
            (spent(4.1, 990, 0), nothing, "99% of its budget is used: 990 of 1000 tokens"),
            (spent(5.02, 0, 0), nothing, "budget used up: $5.02 of $5.00"),
            (spent(0.0, 1000, 0), nothing, "budget used up: 1000 of 1000 tokens"),
            (spent(0.0, 0, 61_000), nothing, "budget used up: 1m01s of 1m"),
            (spent(1.0, 0, 0), spent(20.1, 0, 0), "the day's budget is used up: $20.10 of $20.00"),
            (spent(6.0, 0, 0), spent(20.1, 0, 0), "budget used up: $6.00 of $5.00"),
        ];
        for (used, today, words) in table {
            assert_eq!(word(&judge(&used, &today, &own, &day, &[])), words);
        }
        let none = Budget::default();
        assert_eq!(
            judge(&spent(1e5, 1 << 40, 1 << 40), &spent(1e5, 0, 0), &none, &none, &[]),
            Judgement::Within
        );
    }

    #[test]
    fn a_task_is_warned_of_each_bound_once() {
        let own = Budget { usd: 5.0, tokens: 1000, time_ms: 0 };
        let none = Budget::default();
        let said = |warned: &[Bound]| judge(&spent(4.5, 850, 0), &Spent::default(), &own, &none, warned);
        assert!(matches!(said(&[]), Judgement::Warn { bound: Bound::Money, .. }));
        assert!(matches!(said(&[Bound::Money]), Judgement::Warn { bound: Bound::Tokens, .. }));
        assert_eq!(said(&[Bound::Money, Bound::Tokens]), Judgement::Within);
    }

    #[test]
    fn what_is_finished_stays_finished_and_what_would_go_on_does_not() {
        let midnight = Timestamp::from_second(1000).unwrap();
        let wait = |counted| Next::Wait { reason: WaitReason::Backoff, until: None, counted };
        let own = Judgement::Spent { reason: "budget used up".to_owned() };
        let day = Judgement::DaySpent { reason: "day".to_owned() };
        let after =
            |judgement: &Judgement, by, next| bounded(judgement, by, (next, "why".to_owned()), || midnight);
        let done = Next::Done { head: Oid::parse(&"a".repeat(40)).unwrap(), skipped: false };

        assert_eq!(after(&own, EndedBy::Itself, done.clone()), (done.clone(), "why".to_owned()));
        assert_eq!(after(&day, EndedBy::Itself, done.clone()), (done, "why".to_owned()));
        let failed = (Next::Failed, "budget used up; why".to_owned());
        assert_eq!(after(&own, EndedBy::Itself, wait(true)), failed);
        assert_eq!(after(&own, EndedBy::Itself, Next::Iterate), failed);
        assert_eq!(after(&own, EndedBy::Budget, Next::Failed), (Next::Failed, "budget used up".to_owned()));
        assert_eq!(after(&own, EndedBy::Itself, Next::Failed), (Next::Failed, "why".to_owned()));
        // The last attempt was cut short by the budget, which is what a person must know; it had no chance to fail.
        assert_eq!(after(&own, EndedBy::Budget, Next::Dead), (Next::Failed, "budget used up".to_owned()));
        assert_eq!(after(&own, EndedBy::Itself, Next::Dead), (Next::Dead, "why".to_owned()));
        assert_eq!(after(&day, EndedBy::Budget, Next::Dead), (until(midnight, false), "day".to_owned()));
        assert_eq!(after(&day, EndedBy::Itself, wait(true)), (until(midnight, true), "day; why".to_owned()));
        assert_eq!(after(&day, EndedBy::Budget, Next::Failed), (until(midnight, false), "day".to_owned()));
        assert_eq!(
            after(&day, EndedBy::Itself, Next::Iterate).0,
            Next::Iterate,
            "it is held back at its start"
        );
        assert_eq!(after(&day, EndedBy::Itself, Next::Stopped).0, Next::Stopped);
    }

    #[test]
    fn what_is_left_is_the_smaller_rest_and_never_nothing() {
        let usd = |usd| Budget { usd, ..Budget::default() };
        let rest = |own, day| left(&spent(2.0, 0, 0), &spent(9.0, 0, 0), &usd(own), &usd(day));
        assert_eq!(rest(5.0, 0.0), Some(3.0));
        assert_eq!(rest(5.0, 10.0), Some(1.0));
        assert_eq!(rest(2.0, 0.0), Some(0.01));
        assert_eq!(rest(0.0, 0.0), None);
    }

    #[test]
    fn a_day_is_a_local_one_however_long() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let at = |day, hour, minute| {
            date(2026, 3, day).at(hour, minute, 0, 0).to_zoned(zone.clone()).unwrap().timestamp()
        };
        assert_eq!(day_of(at(10, 23, 59), &zone), (at(10, 0, 0), at(11, 0, 0)));
        assert_eq!(day_of(at(11, 0, 0), &zone), (at(11, 0, 0), at(12, 0, 0)));
        let (from, to) = day_of(at(29, 12, 0), &zone);
        assert_eq!(to.as_second() - from.as_second(), 23 * 3600, "clocks go forward that day");
    }
}
