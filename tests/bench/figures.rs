//! Figures of several rounds: medians with their ranges, and what they are to a figure of the same run.

use std::time::Duration;

/// Times of one way of doing something, in milliseconds.
#[derive(Clone, Default)]
pub struct Times {
    /// In the order of the rounds.
    pub all: Vec<f64>,
}

impl Times {
    /// Adds a round.
    pub fn add(&mut self, took: Duration) {
        self.all.push(took.as_secs_f64() * 1e3);
    }

    /// The median; `None` before the first round.
    pub fn median(&self) -> Option<f64> {
        let mut sorted = self.all.clone();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (sorted.get(sorted.len().saturating_sub(1) / 2)?, sorted.get(sorted.len() / 2)?);
        Some(f64::midpoint(*low, *high))
    }

    /// `123 [110-140] 8`: median, range, rounds.
    pub fn told(&self) -> String {
        let Some(median) = self.median() else { return "-".to_owned() };
        let least = self.all.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let rounds = self.all.len();
        format!("{} [{}-{}] {rounds:>2}", digits(median), digits(least), digits(most))
    }
}

impl FromIterator<Duration> for Times {
    fn from_iter<I: IntoIterator<Item = Duration>>(times: I) -> Self {
        let mut found = Self::default();
        times.into_iter().for_each(|took| found.add(took));
        found
    }
}

/// A number with about three digits.
pub fn digits(value: f64) -> String {
    match value.abs() {
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
