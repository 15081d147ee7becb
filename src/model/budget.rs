//! Budgets: what a task, or all tasks of a day, may use, and what was used of it. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Usage;
use super::text::duration;

/// What may be used; 0: no bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Budget {
    /// US dollars.
    #[serde(default)]
    pub usd: f64,
    /// Tokens of all classes together.
    #[serde(default)]
    pub tokens: u64,
    /// Time of all attempts together, in milliseconds.
    #[serde(default)]
    pub time_ms: u64,
}

impl Budget {
    /// Returns whether anything is bounded.
    pub fn bounds_anything(&self) -> bool {
        self.usd > 0.0 || self.tokens > 0 || self.time_ms > 0
    }
}

/// What was used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Spent {
    /// Money and tokens.
    pub usage: Usage,
    /// The time of attempts, in milliseconds.
    pub time_ms: u64,
}

impl std::ops::AddAssign for Spent {
    fn add_assign(&mut self, other: Self) {
        self.usage += other.usage;
        self.time_ms = self.time_ms.saturating_add(other.time_ms);
    }
}

/// One of the things that a budget bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bound {
    /// Money.
    Money,
    /// Tokens.
    Tokens,
    /// Time.
    Time,
}

/// How much of one bound is used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    /// Which bound.
    pub bound: Bound,
    /// Used by allowed: 1 is all of it.
    pub used: f64,
    spent: Spent,
    budget: Budget,
}

impl Share {
    /// Returns "$5.02 of $5.00".
    pub fn words(&self) -> String {
        let span = |ms| duration(Duration::from_millis(ms));
        match self.bound {
            Bound::Money => format!("{} of {}", money(self.spent.usage.cost_usd), money(self.budget.usd)),
            Bound::Tokens => {
                format!("{} of {} tokens", self.spent.usage.tokens.total(), self.budget.tokens)
            }
            Bound::Time => format!("{} of {}", span(self.spent.time_ms), span(self.budget.time_ms)),
        }
    }
}

/// Returns what is used of each bound that `budget` has.
#[expect(clippy::cast_precision_loss, reason = "a share need not be exact to the last token")]
pub fn shares(spent: &Spent, budget: &Budget) -> Vec<Share> {
    let (spent, budget) = (*spent, *budget);
    let share = |bound, used: f64, most: f64| Share { bound, used: used / most, spent, budget };
    let mut shares = Vec::new();
    if budget.usd > 0.0 {
        shares.push(share(Bound::Money, spent.usage.cost_usd, budget.usd));
    }
    if budget.tokens > 0 {
        shares.push(share(Bound::Tokens, spent.usage.tokens.total() as f64, budget.tokens as f64));
    }
    if budget.time_ms > 0 {
        shares.push(share(Bound::Time, spent.time_ms as f64, budget.time_ms as f64));
    }
    shares
}

/// Returns dollars as people read them: `$5.02`, and `$0.0042` where cents would say nothing.
pub fn money(usd: f64) -> String {
    if usd > 0.0 && usd < 0.1 { format!("${usd:.4}") } else { format!("${usd:.2}") }
}

/// How long a bucket of the ledger is, in seconds: every time zone's midnight is the beginning of one.
const BUCKET: i64 = 15 * 60;

/// How long the ledger remembers, in seconds: longer than the longest day of any time zone.
const REMEMBERED: i64 = 27 * 3600;

/// What was used lately, by the quarter of an hour in which it was recorded. Bounded, however much is recorded, so that
/// today's sum needs no history.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<(i64, Spent)>", into = "Vec<(i64, Spent)>")]
pub struct Ledger(BTreeMap<i64, Spent>);

impl From<Vec<(i64, Spent)>> for Ledger {
    fn from(buckets: Vec<(i64, Spent)>) -> Self {
        Self(buckets.into_iter().collect())
    }
}

impl From<Ledger> for Vec<(i64, Spent)> {
    fn from(ledger: Ledger) -> Self {
        ledger.0.into_iter().collect()
    }
}

impl Ledger {
    /// Adds what was recorded at that moment.
    pub fn add(&mut self, at: Timestamp, spent: Spent) {
        *self.0.entry(at.as_second().div_euclid(BUCKET)).or_default() += spent;
        let newest = self.0.last_key_value().map_or(0, |(bucket, _)| *bucket);
        self.0 = self.0.split_off(&(newest - REMEMBERED / BUCKET));
    }

    /// Returns what was recorded from that moment on, a midnight.
    pub fn since(&self, midnight: Timestamp) -> Spent {
        let first = midnight.as_second().div_euclid(BUCKET);
        self.0.range(first..).fold(Spent::default(), |mut sum, (_, spent)| {
            sum += *spent;
            sum
        })
    }

    /// Returns whether nothing was recorded lately.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use jiff::tz::TimeZone;

    fn usd(cost_usd: f64) -> Spent {
        Spent { usage: Usage { cost_usd, ..Usage::default() }, time_ms: 1000 }
    }

    #[test]
    fn a_day_begins_at_midnight_of_its_zone() {
        // The offset of Kathmandu is 5 h 45 min.
        for zone in ["UTC", "Asia/Kathmandu", "America/St_Johns"] {
            let zone = TimeZone::get(zone).unwrap();
            let at = |day, hour, minute| {
                date(2026, 3, day).at(hour, minute, 0, 0).to_zoned(zone.clone()).unwrap().timestamp()
            };
            let mut ledger = Ledger::default();
            ledger.add(at(5, 23, 59), usd(1.0));
            ledger.add(at(6, 0, 0), usd(2.0));
            ledger.add(at(6, 18, 30), usd(4.0));
            let today = ledger.since(at(6, 0, 0));
            assert!((today.usage.cost_usd - 6.0).abs() < 1e-9, "{zone:?}: {today:?}");
            assert_eq!(today.time_ms, 2000);
        }
    }

    #[test]
    fn a_ledger_stays_small_and_goes_through_json() {
        let mut ledger = Ledger::default();
        for minute in 0..20_000 {
            ledger.add(Timestamp::from_second(minute * 60).unwrap(), usd(1.0));
        }
        assert!(ledger.0.len() <= 110, "{}", ledger.0.len());
        let text = serde_json::to_string(&ledger).unwrap();
        assert_eq!(serde_json::from_str::<Ledger>(&text).unwrap(), ledger);
    }

    #[test]
    fn shares_are_told_as_people_read_them() {
        let budget = Budget { usd: 5.0, tokens: 1000, time_ms: 60_000 };
        let words: Vec<String> = shares(&usd(5.02), &budget).iter().map(Share::words).collect();
        assert_eq!(words, ["$5.02 of $5.00", "0 of 1000 tokens", "1s of 1m"]);
        assert!(shares(&usd(5.0), &Budget::default()).is_empty());
    }
}
