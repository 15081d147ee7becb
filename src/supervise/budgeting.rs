//! An attempt under its budgets: how much it may still use, and what they say while it runs and at its end.

use std::cell::Cell;
use std::time::Duration;

use super::governor::{self, EndedBy, Judgement};
use super::runner::Attempt;
use crate::agent::StoppedBy;
use crate::agent::call::Called;
use crate::model::Usage;
use crate::model::budget::{Budget, Spent};
use crate::model::verdict::Class;
use crate::store::Journal;

/// What an attempt was told of its budgets, and whether one ended it.
#[derive(Debug, Default)]
pub(super) struct Cap {
    /// The dollars that the agent was told to stay within.
    given: Cell<Option<f64>>,
    /// Whether a budget ended the attempt.
    hit: Cell<bool>,
    /// Whether its time limit is what a budget left of it.
    timed: Cell<bool>,
}

impl Cap {
    /// Remembers that a budget ends the attempt.
    pub(super) fn hit(&self) {
        self.hit.set(true);
    }

    /// Returns whether a budget ended the attempt: by our hand, by its time limit, or by the cap that the agent was given.
    pub(super) fn ended(&self, called: &Called, used: &Usage) -> EndedBy {
        let own = called.verdict.class == Class::Escalate
            && self.given.get().is_some_and(|cap| used.cost_usd >= cap);
        let late = self.timed.get() && matches!(called.stopped, Some(StoppedBy::Timeout(_)));
        if own || late || self.hit.get() { EndedBy::Budget } else { EndedBy::Itself }
    }
}

impl Attempt<'_> {
    fn time_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Returns what the day used without this attempt; nothing where no day is bounded.
    fn today(&self, journal: &mut Journal) -> Spent {
        if !self.site.settings.limits.day.bounds_anything() || journal.read().is_err() {
            return Spent::default();
        }
        governor::today(self.site, journal.roster(), Some(self.task))
    }

    /// Returns what budgets say when this attempt has used `usage`.
    pub(super) fn judgement(&self, journal: &mut Journal, usage: Usage) -> Judgement {
        let mine = Spent { usage, time_ms: self.time_ms() };
        let (mut spent, mut today) = (self.task.spent(), self.today(journal));
        spent += mine;
        today += mine;
        // What it was warned of stands in the journal, which this attempt itself writes.
        let warned = journal.roster().get(&self.task.id).map(|task| task.warned.clone()).unwrap_or_default();
        governor::judge(&spent, &today, &self.task.spec.budget(), &self.site.settings.limits.day, &warned)
    }

    /// Returns the dollars that the agent may still use, for its own cap, and remembers them.
    pub(super) fn money_left(&self, journal: &mut Journal) -> Option<f64> {
        let day = &self.site.settings.limits.day;
        let left = governor::left(&self.task.spent(), &self.today(journal), &self.task.spec.budget(), day);
        self.cap.given.set(left);
        left
    }

    /// Returns how long the agent may run: its own time limit, or what its budget and the day leave of it.
    pub(super) fn time_left(&self, journal: &mut Journal) -> Duration {
        let gone = self.time_ms();
        let rest = |budget: &Budget, spent: &Spent| {
            (budget.time_ms > 0).then(|| budget.time_ms.saturating_sub(spent.time_ms + gone))
        };
        let own = rest(&self.task.spec.budget(), &self.task.spent());
        let day = rest(&self.site.settings.limits.day, &self.today(journal));
        let least = [own, day].into_iter().flatten().min();
        let limit = self.task.spec.timeout();
        let least = least.map(Duration::from_millis).filter(|least| *least < limit);
        self.cap.timed.set(least.is_some());
        least.unwrap_or(limit)
    }
}
