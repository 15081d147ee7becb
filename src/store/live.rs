//! Live facts of a running attempt, for `status`: written by its runner alone, replaced as a whole, never the truth.

use std::io;
use std::time::Duration;

use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::layout::TaskFolder;
use crate::model::Usage;

/// What is known of an attempt while it runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Live {
    /// The attempt's number.
    pub attempt: u32,
    /// What the agent did last.
    pub last: Option<String>,
    /// What it used so far.
    pub usage: Usage,
    /// The tool that it waits for.
    #[serde(default)]
    pub tool: Option<String>,
    /// Tools that failed, and calls to its model that it had to try again.
    #[serde(default)]
    pub errors: u64,
    /// The tokens that its last call to its model took in.
    #[serde(default)]
    pub context: Option<u64>,
    /// The most tokens that its context holds.
    #[serde(default)]
    pub window: Option<u64>,
    /// The call that failed and that it tries again right now.
    #[serde(default)]
    pub fault: Option<Fault>,
}

/// A call to its model that failed and that an agent tries again by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// How it failed ("overloaded (529)").
    pub reason: String,
    /// The HTTP status, where there was one.
    #[serde(default)]
    pub status: Option<u16>,
}

impl Live {
    /// Replaces the live facts of a task.
    pub fn save(&self, folder: &TaskFolder) -> io::Result<()> {
        let fresh = folder.live().with_extension("new");
        fs::write(&fresh, serde_json::to_vec(self).map_err(io::Error::other)?)?;
        fs::rename(&fresh, folder.live())
    }

    /// Returns the live facts of `attempt`, if its runner wrote any.
    pub fn load(folder: &TaskFolder, attempt: u32) -> Option<Self> {
        let live: Self = serde_json::from_slice(&fs::read(folder.live()).ok()?).ok()?;
        (live.attempt == attempt).then_some(live)
    }
}

/// Returns how long ago the agent of an attempt last printed anything.
pub fn silence(folder: &TaskFolder, attempt: u32) -> Option<Duration> {
    let logs = [folder.stream(attempt), folder.stderr(attempt)];
    logs.iter().filter_map(|log| fs::metadata(log).ok()?.modified().ok()?.elapsed().ok()).min()
}
