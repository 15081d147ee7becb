//! What the agent of a task has told of its session's usage: the base for agents that count over a whole session.
//!
//! Only the runner writes it, replaced as a whole. Losing it counts a resumed session's tokens twice, nothing worse.

use std::io;

use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::layout::TaskFolder;
use crate::model::Usage;

/// The usage of a session.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Thread {
    /// The session's id.
    pub session: String,
    /// What it used in all, as told last.
    pub usage: Usage,
}

impl Thread {
    /// Replaces what is known.
    pub fn save(&self, folder: &TaskFolder) -> io::Result<()> {
        let fresh = folder.thread().with_extension("new");
        fs::write(&fresh, serde_json::to_vec(self).map_err(io::Error::other)?)?;
        fs::rename(&fresh, folder.thread())
    }

    /// Returns what `session` had used when it was last told; nothing if that is not known.
    pub fn used_before(folder: &TaskFolder, session: &str) -> Usage {
        let read = || -> Option<Self> { serde_json::from_slice(&fs::read(folder.thread()).ok()?).ok() };
        read().filter(|thread| thread.session == session).map(|thread| thread.usage).unwrap_or_default()
    }
}
