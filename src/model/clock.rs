//! Time, behind a trait: wall time for display, deadlines across restarts and nothing else; durations are taken from a
//! monotonic clock where they are needed.

use jiff::Timestamp;

/// Says what time it is.
pub trait Clock: Send + Sync {
    /// Returns the wall time, for people and for deadlines that must outlive the process.
    fn now(&self) -> Timestamp;
}

/// The machine's own clock; the variable `WT_TEST_NOW` (RFC 3339) replaces it in tests.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        match std::env::var("WT_TEST_NOW").ok().and_then(|text| text.parse().ok()) {
            Some(fixed) => fixed,
            None => Timestamp::now(),
        }
    }
}
