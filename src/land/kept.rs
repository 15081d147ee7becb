//! What is kept of each call of a resolver: what it was given, what it said, what came of it. Of what git's memory or a
//! structural merge resolved the same is kept, but for prompt and streams.
//!
//! ```text
//! landings/ID/NAME.N/   the Nth call for the task NAME in the landing ID, or the Nth commit that needed none
//!   manifest.json       [`Manifest`]
//!   prompt.md stream.jsonl stderr.log
//!   sides/I/            base ours theirs result, of the Ith file, from 0; none where there is none
//! ```
//!
//! Fields are only added, with a default.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use fs_err as fs;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::event::{ConflictKind, ResolvedBy};
use crate::model::{Oid, TaskId, TaskName, Usage};
use crate::store::layout::private_folder;

/// The file that describes a call.
const MANIFEST: &str = "manifest.json";

/// What is to be thought of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Judged {
    /// Everything that either side did is in it.
    Kept,
    /// A person should look.
    Doubtful,
    /// Something is lost, doubled, brought back or unfinished.
    Refused,
}

/// One conflicted file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeptFile {
    /// The path in the repository.
    pub path: String,
    /// The name of its conflict.
    pub key: String,
    /// How it conflicts.
    pub kind: ConflictKind,
    /// Its mode.
    pub mode: String,
    /// What both sides started from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Oid>,
    /// The target's side.
    pub ours: Oid,
    /// The task's side.
    pub theirs: Oid,
    /// What it became; `None`: nothing that could be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Oid>,
    /// Who resolved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<ResolvedBy>,
    /// What is to be thought of the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged: Option<Judged>,
    /// What speaks against it, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<String>,
    /// What the resolver says it gave up, with its reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub superseded: Vec<(String, String)>,
}

/// One call of a resolver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Manifest {
    /// The version of this form.
    pub schema: u32,
    /// The task that was landing.
    #[schemars(with = "String")]
    pub task: TaskId,
    /// Its commit that does not merge.
    pub commit: Oid,
    /// The commit that it was replayed onto.
    pub onto: Oid,
    /// The target, short.
    pub target: String,
    /// The resolver's adapter; `None`: no agent was asked, `files` say who resolved each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The try at this conflict, from 1.
    pub attempt: u32,
    /// The files that it was asked to merge.
    pub files: Vec<KeptFile>,
    /// What is wrong with the call as a whole: how it failed, what else it changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    /// What it said at last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// Its session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Its model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What it used.
    #[serde(default)]
    pub usage: Usage,
    /// The same by model, where it tells.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<String, Usage>,
    /// How long it took.
    pub took_ms: u64,
}

/// The folder of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallFolder(PathBuf);

impl CallFolder {
    /// Returns the folder of the `n`th call for a task, from 1, below the folder of its landing.
    pub fn nth(landing: &Path, task: &TaskName, n: u32) -> Self {
        Self(landing.join(format!("{task}.{n}")))
    }

    /// Makes it.
    pub(super) fn create(&self) -> io::Result<()> {
        private_folder(&self.0)
    }

    /// Returns the folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Returns what the resolver was told.
    pub fn prompt(&self) -> PathBuf {
        self.0.join("prompt.md")
    }

    /// Tells whether an agent was called: what needed none is kept in the same form.
    pub fn was_call(&self) -> bool {
        self.prompt().exists()
    }

    /// Returns its standard output, as it came.
    pub fn stream(&self) -> PathBuf {
        self.0.join("stream.jsonl")
    }

    /// Returns its standard error, as it came.
    pub fn stderr(&self) -> PathBuf {
        self.0.join("stderr.log")
    }

    /// Returns the folder with the sides of a file, counted from 0.
    pub fn sides(&self, file: usize) -> PathBuf {
        self.0.join("sides").join(file.to_string())
    }

    /// Writes a side (`base`, `ours`, `theirs`, `result`) of a file.
    pub(super) fn write_side(&self, file: usize, side: &str, text: &[u8]) -> io::Result<()> {
        let folder = self.sides(file);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(side), text)
    }

    /// Writes the manifest, whole or not at all.
    pub(super) fn save(&self, manifest: &Manifest) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.0)?;
        file.write_all(&serde_json::to_vec_pretty(manifest).map_err(io::Error::other)?)?;
        file.persist(self.0.join(MANIFEST)).map(drop).map_err(|failed| failed.error)
    }

    /// Reads the manifest; `None`: the call was cut short.
    pub fn load(&self) -> io::Result<Option<Manifest>> {
        match fs::read(self.0.join(MANIFEST)) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Returns the calls for a task in the landing of that folder, oldest first.
pub fn calls(landing: &Path, task: &TaskName) -> io::Result<Vec<CallFolder>> {
    let entries = match fs::read_dir(landing) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let prefix = format!("{task}.");
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let number = name.strip_prefix(&prefix).and_then(|number| number.parse::<u32>().ok());
        if let Some(number) = number.filter(|_| entry.path().is_dir()) {
            found.push((number, CallFolder(entry.path())));
        }
    }
    found.sort_by_key(|(number, _)| *number);
    Ok(found.into_iter().map(|(_, folder)| folder).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_found_by_task_in_order() {
        let place = tempfile::tempdir().unwrap();
        for name in ["a.2", "a.10", "a.1", "a.1.1", "a.x", "b.1"] {
            fs::create_dir(place.path().join(name)).unwrap();
        }
        fs::write(place.path().join("a.3"), "").unwrap();
        let names = |task: &str| {
            let calls = calls(place.path(), &task.parse().unwrap()).unwrap();
            calls
                .iter()
                .map(|call| call.path().file_name().unwrap().to_string_lossy().into_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(names("a"), ["a.1", "a.2", "a.10"]);
        assert_eq!(names("a.1"), ["a.1.1"]);
        assert_eq!(calls(&place.path().join("none"), &"a".parse().unwrap()).unwrap(), []);
    }
}
