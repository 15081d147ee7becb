//! Tokens and money that an attempt used, as the agent itself reported them.

use serde::{Deserialize, Serialize};

/// Token counts, by price class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens by price class.
    pub tokens: Tokens,
    /// US dollars, as the agent computed them; 0 where it says nothing.
    pub cost_usd: f64,
}

impl Usage {
    /// Returns what of this came after `before`; nothing is ever negative.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        let (tokens, less) = (self.tokens, before.tokens);
        Self {
            tokens: Tokens {
                input: tokens.input.saturating_sub(less.input),
                output: tokens.output.saturating_sub(less.output),
                cache_read: tokens.cache_read.saturating_sub(less.cache_read),
                cache_write: tokens.cache_write.saturating_sub(less.cache_write),
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
