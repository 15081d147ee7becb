//! What merges in memory came to, so that none is made twice: by everything that decides it. With it the trees that workspaces
//! stood for, and how many files branches changed, so that neither is found out twice.
//!
//! A cache: it is replaced as a whole by what the last look at all live branches needed, so it does not grow with the tasks
//! there once were; a file that is not whole or not of this version counts as none at all.

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use fs_err as fs;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::layout::{Layout, private_folder};
use crate::model::Oid;
use crate::model::event::ConflictedPath;

/// What the file begins with; the rest of its first line is the checksum of all that follows.
const BEGIN: &str = "wt merged 2 ";
/// The largest file that is read, in bytes.
const MOST: u64 = 64 << 20;

/// What was merged, and what of it did not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merged {
    /// By the name of the workspace's state: the tree of everything in it.
    trees: BTreeMap<String, Oid>,
    /// By the name of the two trees and what led to them: how many files differ.
    files: BTreeMap<String, usize>,
    verdicts: BTreeMap<String, Vec<ConflictedPath>>,
}

/// Returns the name of a merge: what it depends on beside commits, then of each side the commit and the tree that stands on
/// it.
pub fn key(rules: &str, one: (&Oid, &Oid), other: (&Oid, &Oid)) -> String {
    name([rules, one.0.as_str(), one.1.as_str(), other.0.as_str(), other.1.as_str()])
}

/// Returns the name of what all of these decide together.
pub fn name<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update(b"\0");
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

impl Merged {
    /// Reads it; whatever is wrong with the file, the answer is that nothing is known.
    pub fn load(layout: &Layout) -> Self {
        let path = layout.merged();
        let read = || {
            let small = fs::metadata(&path).is_ok_and(|about| about.is_file() && about.len() <= MOST);
            let text = small.then(|| fs::read_to_string(&path).ok())??;
            let (first, rest) = text.split_once('\n')?;
            let sum = u32::from_str_radix(first.strip_prefix(BEGIN)?, 16).ok()?;
            (crc32fast::hash(rest.as_bytes()) == sum).then(|| serde_json::from_str(rest).ok())?
        };
        read().unwrap_or_default()
    }

    /// Replaces the file.
    pub fn save(&self, layout: &Layout) -> io::Result<()> {
        let path = layout.merged();
        let folder = path.parent().expect("it stands in a folder of its own");
        private_folder(folder)?;
        let text = serde_json::to_string(self).map_err(io::Error::other)?;
        let mut fresh = tempfile::Builder::new().prefix("merged").tempfile_in(folder)?;
        writeln!(fresh, "{BEGIN}{:08x}", crc32fast::hash(text.as_bytes()))?;
        fresh.write_all(text.as_bytes())?;
        fresh.persist(&path).map_err(|failed| failed.error)?;
        Ok(())
    }

    /// Returns what did not merge, nothing where all did; `None`: it was never merged.
    pub fn verdict(&self, key: &str) -> Option<&[ConflictedPath]> {
        self.verdicts.get(key).map(Vec::as_slice)
    }

    /// Returns the tree that a workspace stood for in a state.
    pub fn tree(&self, key: &str) -> Option<&Oid> {
        self.trees.get(key)
    }

    /// Takes note of the tree of a workspace.
    pub fn learn_tree(&mut self, key: String, tree: Oid) {
        self.trees.insert(key, tree);
    }

    /// Returns how many files were changed.
    pub fn files(&self, key: &str) -> Option<usize> {
        self.files.get(key).copied()
    }

    /// Takes note of how many files were changed.
    pub fn learn_files(&mut self, key: String, files: usize) {
        self.files.insert(key, files);
    }

    /// Takes note of a merge.
    pub fn learn(&mut self, key: String, conflicts: Vec<ConflictedPath>) {
        self.verdicts.insert(key, conflicts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::ConflictKind;

    #[test]
    fn what_is_not_whole_counts_as_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::below(folder.path());
        fs::create_dir(layout.root()).unwrap();
        let mut merged = Merged::default();
        let path = ConflictedPath { path: "f".to_owned(), kind: ConflictKind::Content };
        let [a, b, c] = ["a", "b", "c"].map(|digit| Oid::parse(&digit.repeat(40)).unwrap());
        let (one, other) = (key("r", (&a, &a), (&b, &b)), key("r", (&a, &a), (&b, &c)));
        merged.learn(one.clone(), vec![path]);
        merged.learn(other, Vec::new());
        merged.learn_tree(one.clone(), a.clone());
        merged.learn_files(one.clone(), 3);
        assert_eq!(Merged::load(&layout), Merged::default());
        merged.save(&layout).unwrap();
        assert_eq!(Merged::load(&layout), merged);
        assert_eq!(merged.verdict(&one).map(<[_]>::len), Some(1));
        assert_eq!((merged.tree(&one), merged.files(&one)), (Some(&a), Some(3)));
        assert_eq!(merged.verdict(&key("other", (&a, &a), (&b, &b))), None);
        let whole = fs::read(layout.merged()).unwrap();
        for cut in 0..whole.len() {
            fs::write(layout.merged(), &whole[..cut]).unwrap();
            assert_eq!(Merged::load(&layout), Merged::default(), "{cut}");
        }
    }
}
