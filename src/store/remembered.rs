//! What `wt status` last saw of workspaces, for `wt status --cached` and so that nothing is computed twice.
//!
//! A cache: figures that follow from commits are kept with those commits, the rest with its time. It is replaced as a whole;
//! of two writers the last one wins. A file that is not whole, not of this version or not readable counts as none at all.

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use fs_err as fs;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::layout::{Layout, private_folder};
use crate::model::{Oid, TaskId};

/// What the file begins with; the rest of its first line is the checksum of all that follows.
const BEGIN: &str = "wt status 1 ";

/// What was seen of one task's workspace.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// When it was last looked at.
    pub as_of: Timestamp,
    /// The commit of its branch.
    #[serde(default)]
    pub head: Option<Oid>,
    /// The size of the change from one commit to the other.
    #[serde(default)]
    pub size: Option<Size>,
    /// How it stands to its target.
    #[serde(default)]
    pub toward: Option<Toward>,
    /// Whether anything is staged, unstaged or untracked.
    #[serde(default)]
    pub dirty: Option<bool>,
}

/// The size of a change, which two commits decide for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// The commit before.
    pub base: Oid,
    /// The commit after.
    pub head: Oid,
    /// Changed files.
    pub files: u32,
    /// Added lines.
    pub insertions: u32,
    /// Removed lines.
    pub deletions: u32,
}

/// How one commit stands to another, which the two decide for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Toward {
    /// The commit of the target.
    pub target: Oid,
    /// The commit of the branch.
    pub head: Oid,
    /// Commits that the target lacks.
    pub ahead: u32,
    /// Commits of the target that it lacks.
    pub behind: u32,
    /// Whether merging them conflicts; `None`: not known.
    #[serde(default)]
    pub conflicts: Option<bool>,
}

/// What was seen of all workspaces.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Remembered {
    tasks: BTreeMap<String, Seen>,
}

impl Remembered {
    /// Reads it; whatever is wrong with the file, the answer is that nothing is remembered.
    pub fn load(layout: &Layout) -> Self {
        let read = || {
            let text = fs::read_to_string(layout.remembered()).ok()?;
            let (first, rest) = text.split_once('\n')?;
            let sum = u32::from_str_radix(first.strip_prefix(BEGIN)?, 16).ok()?;
            (crc32fast::hash(rest.as_bytes()) == sum).then(|| serde_json::from_str(rest).ok())?
        };
        Self { tasks: read().unwrap_or_default() }
    }

    /// Replaces the file.
    pub fn save(&self, layout: &Layout) -> io::Result<()> {
        let path = layout.remembered();
        let folder = path.parent().expect("it stands in a folder of its own");
        private_folder(folder)?;
        let text = serde_json::to_string(&self.tasks).map_err(io::Error::other)?;
        let mut fresh = tempfile::Builder::new().prefix("status").tempfile_in(folder)?;
        writeln!(fresh, "{BEGIN}{:08x}", crc32fast::hash(text.as_bytes()))?;
        fresh.write_all(text.as_bytes())?;
        fresh.persist(&path).map_err(|failed| failed.error)?;
        Ok(())
    }

    /// Returns what was last seen of a task.
    pub fn of(&self, task: &TaskId) -> Option<&Seen> {
        self.tasks.get(&task.to_string())
    }

    /// Takes note of what was seen of a task.
    pub fn learn(&mut self, task: &TaskId, seen: Seen) {
        self.tasks.insert(task.to_string(), seen);
    }

    /// Forgets all tasks but those for which `keep` holds.
    pub fn retain(&mut self, keep: impl Fn(&TaskId) -> bool) {
        self.tasks.retain(|id, _| id.parse().is_ok_and(|id| keep(&id)));
    }
}
