//! The budget options of `wt spawn` and `wt retry`.

use std::time::Duration;

use clap::Args as ClapArgs;

use crate::error::CommandError;
use crate::model::budget::Budget;
use crate::model::duration;

/// What a task may use over all its attempts.
#[derive(Debug, Clone, Default, ClapArgs)]
pub struct BudgetArgs {
    /// What all of it may cost, in US dollars; 0: no bound.
    #[arg(long, value_name = "USD")]
    pub budget: Option<f64>,
    /// What all of it may use in tokens of all classes; 0: no bound.
    #[arg(long, value_name = "N")]
    pub budget_tokens: Option<u64>,
    /// How long all attempts together may take (`2h`); 0: no bound.
    #[arg(long, value_name = "DURATION")]
    pub budget_time: Option<String>,
}

impl BudgetArgs {
    /// Returns `instead` with what is asked for; `None`: nothing is.
    pub fn over(&self, instead: Budget) -> Result<Option<Budget>, CommandError> {
        if self.budget.is_none() && self.budget_tokens.is_none() && self.budget_time.is_none() {
            return Ok(None);
        }
        if self.budget.is_some_and(|usd| !(0.0..=1e6).contains(&usd)) {
            return Err(CommandError::usage("a budget is 0 (no bound) to 1000000 dollars"));
        }
        let time = match &self.budget_time {
            Some(text) => {
                Some(millis(duration::parse(text).map_err(|error| CommandError::usage(error.to_string()))?))
            }
            None => None,
        };
        Ok(Some(Budget {
            usd: self.budget.unwrap_or(instead.usd),
            tokens: self.budget_tokens.unwrap_or(instead.tokens),
            time_ms: time.unwrap_or(instead.time_ms),
        }))
    }
}

/// Returns a duration in milliseconds.
pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
