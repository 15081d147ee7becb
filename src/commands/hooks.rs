//! The hooks of git's `core.hooksPath`: what they are now, and whether a person approved exactly that.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use fs_err as fs;

use crate::config::{Approvals, Executable, trust};
use crate::git::{GitError, Repo};
use crate::model::Oid;
use crate::model::settings::HooksPath;

/// The hook that `wt` runs.
const NAME: &str = "post-checkout";
/// The most files of a folder of hooks; one with more is no folder of hooks.
const FILES: usize = 500;
/// The most bytes of all of them.
const BYTES: u64 = 4 << 20;
/// How deep it is looked into.
const DEPTH: usize = 4;

/// Hooks that a person may approve.
pub struct Found {
    /// What is approved.
    pub executable: Executable,
    /// What they are if it is approved.
    approved: HooksPath,
    folder: String,
}

/// Returns the hooks that the repository's configuration names; the settings where there is nothing to approve.
pub fn find(repo: &Repo, target: Option<&Oid>) -> Result<Result<Found, HooksPath>, GitError> {
    let Some(path) = repo.hooks_path() else { return Ok(Err(HooksPath::NotSet)) };
    let common = repo.common_dir();
    if path.is_absolute() {
        let Some((content, text)) = on_disk(&path) else { return Ok(Err(HooksPath::Nothing)) };
        let folder = path.display().to_string();
        let executable = trust::hooks(common, &folder, &content, &text);
        return Ok(Ok(Found { executable, approved: HooksPath::Outside { folder: folder.clone() }, folder }));
    }
    // Relative to the top of each worktree: only what the target tracks is there in a new one.
    let (Some(folder), Some(target)) = (plain(&path), target) else { return Ok(Err(HooksPath::Nothing)) };
    let text = repo.blob_at(target, &format!("{folder}/{NAME}"))?;
    let (Some(text), Some(tree)) = (text, repo.object_at(target, &folder)?) else {
        return Ok(Err(HooksPath::Nothing));
    };
    let executable = trust::hooks(common, &folder, tree.as_str().as_bytes(), &text);
    Ok(Ok(Found { executable, approved: HooksPath::Tracked { folder: folder.clone(), tree }, folder }))
}

impl Found {
    /// Returns what the hooks are, by what was approved; approvals that cannot be read approve nothing.
    pub fn judged(self, approvals: Option<&Approvals>) -> HooksPath {
        let approved = |approvals: &Approvals| approvals.approved(&self.executable.hash).unwrap_or(false);
        if approvals.is_some_and(approved) {
            self.approved
        } else {
            HooksPath::NotApproved { folder: self.folder }
        }
    }
}

/// Returns a relative path without `.` and without a slash at its end; `None` where it leaves the worktree.
fn plain(path: &Path) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::CurDir => {}
            _ => return None,
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// Returns the identity of a folder of hooks on the disk, and the text of the one that would run.
fn on_disk(folder: &Path) -> Option<(Vec<u8>, Vec<u8>)> {
    let text = fs::read(folder.join(NAME)).ok()?;
    let mut files = BTreeMap::new();
    let mut left = BYTES;
    gather(folder, Path::new(""), 0, &mut left, &mut files)?;
    let mut content = Vec::new();
    for (name, bytes) in files {
        for part in [name.as_os_str().as_encoded_bytes(), &bytes] {
            content.extend_from_slice(&(part.len() as u64).to_be_bytes());
            content.extend_from_slice(part);
        }
    }
    Some((content, text))
}

fn gather(
    root: &Path,
    below: &Path,
    depth: usize,
    left: &mut u64,
    files: &mut BTreeMap<PathBuf, Vec<u8>>,
) -> Option<()> {
    for entry in fs::read_dir(root.join(below)).ok()? {
        let entry = entry.ok()?;
        let name = below.join(entry.file_name());
        let about = fs::metadata(entry.path()).ok();
        match about {
            Some(about) if about.is_dir() => {
                if depth >= DEPTH {
                    return None;
                }
                gather(root, &name, depth + 1, left, files)?;
            }
            Some(about) if about.is_file() => {
                *left = left.checked_sub(about.len())?;
                files.insert(name, fs::read(entry.path()).ok()?);
                if files.len() > FILES {
                    return None;
                }
            }
            _ => {}
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_hooks_stays_inside_of_a_worktree() {
        assert_eq!(plain(Path::new("./.husky/")).as_deref(), Some(".husky"));
        assert_eq!(plain(Path::new("a/./b")).as_deref(), Some("a/b"));
        for bad in ["..", "../x", "a/../../b", "."] {
            assert_eq!(plain(Path::new(bad)), None, "{bad}");
        }
    }

    #[test]
    fn every_file_beside_the_hook_counts() {
        let folder = tempfile::tempdir().unwrap();
        assert!(on_disk(folder.path()).is_none(), "no hook, nothing to approve");
        fs::write(folder.path().join(NAME), "a").unwrap();
        let one = on_disk(folder.path()).unwrap();
        fs::create_dir(folder.path().join("_")).unwrap();
        fs::write(folder.path().join("_/lib.sh"), "b").unwrap();
        let two = on_disk(folder.path()).unwrap();
        fs::write(folder.path().join("_/lib.sh"), "c").unwrap();
        let three = on_disk(folder.path()).unwrap();
        assert!(one.0 != two.0 && two.0 != three.0);
        assert_eq!(one.1, three.1);
    }
}
