//! Tokens and money that an attempt used, as the agent itself reported them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Token counts, by price class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tokens {
    /// Input tokens that came from no cache.
    pub input: u64,
    /// Output tokens.
    pub output: u64,
    /// Input tokens read from a prompt cache.
    pub cache_read: u64,
    /// Input tokens written to a prompt cache.
    pub cache_write: u64,
}

/// What an attempt, or a task over all its attempts, used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    /// Tokens by price class.
    pub tokens: Tokens,
    /// US dollars, as the agent computed them; 0 where it says nothing.
    pub cost_usd: f64,
}

impl Tokens {
    /// Returns the count over all classes.
    pub fn total(&self) -> u64 {
        [self.input, self.output, self.cache_read, self.cache_write].into_iter().fold(0, u64::saturating_add)
    }
}

impl Usage {
    /// Returns whether nothing was used, as far as anybody told.
    pub fn is_nothing(&self) -> bool {
        self.tokens == Tokens::default() && self.cost_usd == 0.0
    }

    /// Returns what was used beyond `before`; never less than nothing.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let (now, then) = (&self.tokens, &before.tokens);
        Self {
            tokens: Tokens {
                input: now.input.saturating_sub(then.input),
                output: now.output.saturating_sub(then.output),
                cache_read: now.cache_read.saturating_sub(then.cache_read),
                cache_write: now.cache_write.saturating_sub(then.cache_write),
            },
            cost_usd: (self.cost_usd - before.cost_usd).max(0.0),
        }
    }
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.tokens.input += other.tokens.input;
        self.tokens.output += other.tokens.output;
        self.tokens.cache_read += other.tokens.cache_read;
        self.tokens.cache_write += other.tokens.cache_write;
        self.cost_usd += other.cost_usd;
    }
}
