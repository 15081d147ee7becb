//! What a repository's own configuration would make `wt` run, and whether a person has approved exactly that.
//!
//! Invariant: an approval is for one repository and for every byte of what it makes run; any change asks again. A broken
//! or exposed approvals file approves nothing. Asking the person is not done here.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt as _;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use toml::{Table, Value};

use super::layers::{ConfigError, REPOSITORY, layer, text};
use crate::model::text::hex;

/// Why approvals cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file cannot be read.
    #[error("the approvals cannot be read")]
    Read(#[source] std::io::Error),
    /// The file cannot be written.
    #[error("the approval cannot be kept")]
    Write(#[source] std::io::Error),
    /// The file is not in its form.
    #[error("the approvals in {path} are broken")]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// Somebody else could have written it.
    #[error("the approvals in {path} can be written by others")]
    Exposed {
        /// The file.
        path: PathBuf,
    },
}

/// What a repository's configuration makes `wt` run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executable {
    /// Each key with its text, in order; templates stand as `.wt/templates/…`.
    pub items: Vec<(String, String)>,
    /// The identity of all of it in this repository, in hex.
    pub hash: String,
}

/// Returns what `.wt.toml` and the templates beside it, as committed on the target, make `wt` run or tell agents; `None`
/// where there is nothing to approve. `common_dir` is the canonical path of the repository's git folder.
pub fn executable(
    common_dir: &Path,
    file: Option<&[u8]>,
    templates: &[(String, Vec<u8>)],
) -> Result<Option<Executable>, ConfigError> {
    let table = match file {
        Some(bytes) => layer(REPOSITORY, text(REPOSITORY, bytes)?, &mut Vec::new())?,
        None => Table::new(),
    };
    let mut items: Vec<(String, Vec<u8>)> = Vec::new();
    for path in RUN {
        if let Some(value) = at(&table, path) {
            items.push(((*path).to_owned(), rendered(value).into_bytes()));
        }
    }
    let mut templates: Vec<_> = templates.iter().collect();
    templates.sort();
    for (name, bytes) in templates {
        items.push((format!(".wt/templates/{name}"), bytes.clone()));
    }
    if items.is_empty() {
        return Ok(None);
    }
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        // With its length before it, no part can pass for the end of another.
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    part(b"wt trust 1");
    part(common_dir.as_os_str().as_encoded_bytes());
    for (key, bytes) in &items {
        part(key.as_bytes());
        part(bytes);
    }
    let hash = hex(&hash.finalize());
    let items =
        items.into_iter().map(|(key, bytes)| (key, String::from_utf8_lossy(&bytes).into_owned())).collect();
    Ok(Some(Executable { items, hash }))
}

/// Returns the hooks of git's `core.hooksPath` as something to approve: `folder` as configured, `content` the identity of
/// all that is in it, `text` the one that `wt` would run.
pub fn hooks(common_dir: &Path, folder: &str, content: &[u8], text: &[u8]) -> Executable {
    let parts: [&[u8]; 4] =
        [b"wt trust hooks 1", common_dir.as_os_str().as_encoded_bytes(), folder.as_bytes(), content];
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let hash = hex(&hash.finalize());
    let text = String::from_utf8_lossy(text).into_owned();
    Executable { items: vec![(format!("core.hooksPath {folder}/post-checkout"), text)], hash }
}

/// Keys that start a program, choose which one is started, or speak to an agent.
const RUN: &[&str] = &[
    "on_event",
    "workspace.setup",
    "verify",
    "agent.default",
    "agents",
    "profiles",
    "merge.agent",
    "merge.structural",
];

/// Returns the value at `path` unless it is empty.
fn at<'a>(table: &'a Table, path: &str) -> Option<&'a Value> {
    let mut parts = path.split('.');
    let first = table.get(parts.next()?)?;
    let found = parts.try_fold(first, |value, part| value.get(part))?;
    let empty = match found {
        Value::Array(values) => values.is_empty(),
        Value::String(text) => text.trim().is_empty(),
        Value::Table(table) => table.is_empty(),
        _ => false,
    };
    (!empty).then_some(found)
}

/// Returns a value as people read it: one command a line where it is a list of them, else TOML.
fn rendered(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) if values.iter().all(Value::is_str) => {
            values.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        }
        other => other.to_string(),
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    schema: u32,
    approved: Vec<Approval>,
}

/// One approval as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// What was approved.
    pub hash: String,
    /// The repository's git folder, for people.
    pub repository: String,
    /// When.
    pub at: Timestamp,
}

/// The file that keeps a user's approvals.
#[derive(Debug, Clone)]
pub struct Approvals {
    path: PathBuf,
}

impl Approvals {
    /// Returns the approvals in `folder`, the user's configuration folder; it need not exist.
    pub fn within(folder: &Path) -> Self {
        Self { path: folder.join("trust.json") }
    }

    /// Returns whether exactly `hash` was approved.
    pub fn approved(&self, hash: &str) -> Result<bool, TrustError> {
        Ok(self.read()?.approved.iter().any(|approval| approval.hash == hash))
    }

    /// Returns every approval, oldest first.
    pub fn list(&self) -> Result<Vec<Approval>, TrustError> {
        Ok(self.read()?.approved)
    }

    /// Keeps an approval; those of the same repository stay, so that branches with different commands do not compete.
    pub fn approve(&self, approval: Approval) -> Result<(), TrustError> {
        self.change(|kept| {
            kept.approved.retain(|known| known.hash != approval.hash);
            kept.approved.push(approval);
        })
    }

    /// Forgets every approval of `repository`; returns how many there were.
    pub fn revoke(&self, repository: &str) -> Result<usize, TrustError> {
        let mut forgotten = 0;
        self.change(|kept| {
            let before = kept.approved.len();
            kept.approved.retain(|known| known.repository != repository);
            forgotten = before - kept.approved.len();
        })?;
        Ok(forgotten)
    }

    fn read(&self) -> Result<Kept, TrustError> {
        let found = match fs::metadata(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Kept::default()),
            found => found.map_err(TrustError::Read)?,
        };
        if found.permissions().mode() & 0o022 != 0 {
            return Err(TrustError::Exposed { path: self.path.clone() });
        }
        let bytes = fs::read(&self.path).map_err(TrustError::Read)?;
        serde_json::from_slice(&bytes)
            .map_err(|source| TrustError::Broken { path: self.path.clone(), source })
    }

    /// Reads, changes and replaces the file as one step among all processes of the user.
    fn change(&self, change: impl FnOnce(&mut Kept)) -> Result<(), TrustError> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(TrustError::Write)?;
        let lock = fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(folder.join("trust.lock"))
            .map_err(TrustError::Write)?;
        lock.lock().map_err(TrustError::Write)?;
        let mut kept = self.read()?;
        change(&mut kept);
        kept.schema = 1;
        let text = serde_json::to_vec_pretty(&kept)
            .map_err(|source| TrustError::Broken { path: self.path.clone(), source })?;
        // Temporary files are 0600 from the start.
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(TrustError::Write)?;
        file.write_all(&text).map_err(TrustError::Write)?;
        file.as_file().sync_all().map_err(TrustError::Write)?;
        file.persist(&self.path).map_err(|failed| TrustError::Write(failed.error))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(common: &str, file: &str, templates: &[(&str, &[u8])]) -> Option<String> {
        let templates: Vec<_> =
            templates.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect();
        executable(Path::new(common), Some(file.as_bytes()), &templates).unwrap().map(|found| found.hash)
    }

    #[test]
    fn harmless_files_need_no_approval() {
        for file in
            ["", "target = \"dev\"", "[limits]\nslots = 9", "on_event = \"\"", "[workspace]\nsetup = []"]
        {
            assert_eq!(hash("/r", file, &[]), None, "{file}");
        }
        assert_eq!(executable(Path::new("/r"), None, &[]).unwrap(), None);
    }

    #[test]
    fn everything_that_runs_is_listed() {
        let file = "on_event = \"n\"\n[workspace]\nsetup = [\"npm ci\", \"curl x | sh\"]\n[[verify]]\nrun = \"make\"\n[agents.x]\ncommand = [\"x\"]\n\
                    [merge]\nagent = \"x\"\nstructural = [\"m %A\"]\n[profiles.p]\nagent = \"x\"\n[agent]\ndefault = \"x\"";
        let found = executable(
            Path::new("/r"),
            Some(file.as_bytes()),
            &[("CLAUDE.local.md.j2".to_owned(), b"be good".to_vec())],
        );
        let found = found.unwrap().unwrap();
        let keys: Vec<_> = found.items.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, [RUN, &[".wt/templates/CLAUDE.local.md.j2"]].concat());
        assert_eq!(found.items[1].1, "\"npm ci\"\n\"curl x | sh\"");
    }

    #[test]
    fn the_hash_changes_with_every_part_and_with_nothing_else() {
        let run = "[[verify]]\nrun = \"make\"";
        let base = hash("/r", run, &[]);
        assert!(base.is_some());
        assert_eq!(hash("/r", "# note\n[limits]\nslots = 2\n[[verify]]\nrun   = \"make\"", &[]), base);
        assert_ne!(hash("/other", run, &[]), base);
        assert_ne!(hash("/r", "[[verify]]\nrun = \"make \"", &[]), base);
        assert_ne!(hash("/r", "[[verify]]\nrun = \"make\"\ntimeout = \"1m\"", &[]), base);
        assert_ne!(hash("/r", run, &[("a", b"")]), base);
        assert_ne!(hash("/r", "", &[("a", b"bc")]), hash("/r", "", &[("ab", b"c")]));
        assert_ne!(hash("/r", "", &[("a", b"\xff")]), hash("/r", "", &[("a", b"\xfe")]));
        assert_eq!(hash("/r", "", &[("a", b"1"), ("b", b"2")]), hash("/r", "", &[("b", b"2"), ("a", b"1")]));
    }
}
