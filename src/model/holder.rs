//! Who holds a lock, as the holder writes it into the lock file and others tell it.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::{duration, neutralised};

/// How many tasks are named.
const NAMED: usize = 4;

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Holder {
    /// What holds it, as on a command line.
    pub command: String,
    /// Its process; for display only.
    pub pid: u32,
    /// Since when.
    pub since: Timestamp,
    /// How long that was when it was read, in milliseconds.
    #[serde(default)]
    pub held_ms: u64,
    /// The branch that it lands on, short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The tasks that it lands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<String>,
}

impl Holder {
    /// Returns this process as the holder since `now`.
    pub fn this(command: &str, now: Timestamp) -> Self {
        let (command, pid) = (command.to_owned(), std::process::id());
        Self { command, pid, since: now, held_ms: 0, target: None, tasks: Vec::new() }
    }

    /// Returns the same, read at `now`.
    #[must_use]
    pub fn read_at(self, now: Timestamp) -> Self {
        let held_ms = u64::try_from(now.duration_since(self.since).as_millis()).unwrap_or(0);
        Self { held_ms, ..self }
    }
}

/// ``` `wt merge --all` (pid 12, since 1m05s), which lands `a`, `b` on `main` ```
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = duration(Duration::from_millis(self.held_ms));
        write!(f, "`{}` (pid {}, since {since})", neutralised(&self.command), self.pid)?;
        let shown = if self.tasks.len() <= NAMED { self.tasks.len() } else { NAMED - 1 };
        for (n, task) in self.tasks[..shown].iter().enumerate() {
            f.write_str(if n == 0 { ", which lands " } else { ", " })?;
            write!(f, "`{}`", neutralised(task))?;
        }
        if shown < self.tasks.len() {
            write!(f, " and {} more", self.tasks.len() - shown)?;
        }
        match &self.target {
            Some(target) if shown > 0 => write!(f, " on `{}`", neutralised(target)),
            Some(target) => write!(f, ", at work on `{}`", neutralised(target)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_told_in_one_line() {
        let holder = Holder { pid: 12, ..Holder::this("wt merge --all", Timestamp::UNIX_EPOCH) };
        let later = Timestamp::from_second(65).unwrap();
        let mut holder = holder.read_at(later);
        assert_eq!(holder.to_string(), "`wt merge --all` (pid 12, since 1m05s)");
        holder.target = Some("main".to_owned());
        assert!(holder.to_string().ends_with("since 1m05s), at work on `main`"));
        holder.tasks = vec!["a".to_owned(), "b".to_owned()];
        assert!(holder.to_string().ends_with("), which lands `a`, `b` on `main`"));
        holder.tasks = ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec();
        assert!(holder.to_string().ends_with("lands `a`, `b`, `c` and 2 more on `main`"));
    }

    #[test]
    fn a_clock_that_was_set_back_gives_no_nonsense() {
        let holder = Holder::this("x", Timestamp::from_second(65).unwrap());
        assert_eq!(holder.read_at(Timestamp::UNIX_EPOCH).held_ms, 0);
    }
}
