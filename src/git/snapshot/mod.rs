//! A worktree's whole state as one commit, and back: what is put away before a workspace goes.
//!
//! The form is that of `git stash`, so `git stash apply` understands the part of it that it knows:
//!
//! ```text
//! W  tree: the tracked files as they are on disk, raw (no filter, no line-end conversion)
//! ├─ 1  HEAD (a commit with an empty tree where the branch was unborn)
//! ├─ 2  tree: the index, less what is in conflict or only intended to be added
//! ├─ 3  tree: the untracked files, raw
//! ├─ 4  tree: the given ignored files, raw
//! └─ 5  only where needed; tree: `1` `2` `3` the stages of conflicts, `notes` flags of the index and odd permissions
//! ```
//!
//! Invariant: taking one touches neither files nor index nor refs of the worktree; [`restore`] onto a worktree just made at
//! `W^1` makes files, index and flags equal again. Not part of it: a merge or rebase in progress, empty folders, times,
//! and what lies inside repositories within the worktree, which are refused.

mod look;
mod restore;
pub mod rewind;
mod take;

pub use look::Look;
pub use restore::restore;
pub use take::{take, take_as_seen};

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use gix::bstr::ByteSlice as _;

use super::command::Git;
use super::repo::{id, oid};
use super::{Checkout, GitError, Repo};
use crate::model::Oid;

/// git's modes, as they stand in trees.
const LINK: &str = "120000";
const EXECUTABLE: &str = "100755";
const GITLINK: &str = "160000";
const REGULAR: &str = "100644";

/// The file of the fifth parent that holds [`Note`]s.
const NOTES: &str = "notes";

/// A file as it is in a tree; paths in bytes, for git has no other.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Item {
    mode: String,
    oid: Oid,
    path: Vec<u8>,
}

/// Something about a path that no tree can say.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Note {
    /// `git add -N`, with this mode.
    Intent(String),
    /// `git update-index --skip-worktree`.
    Skip,
    /// `git update-index --assume-unchanged`.
    Assume,
    /// Permission bits of an untracked or ignored file, octal.
    Permissions(u32),
}

/// Notes on disk: `WORD [VALUE]`, NUL, path, NUL.
fn written(notes: &[(Note, Vec<u8>)]) -> Vec<u8> {
    let mut text = Vec::new();
    for (note, path) in notes {
        let word = match note {
            Note::Intent(mode) => format!("intent {mode}"),
            Note::Skip => "skip".to_owned(),
            Note::Assume => "assume".to_owned(),
            Note::Permissions(bits) => format!("permissions {bits:o}"),
        };
        for part in [word.as_bytes(), b"\0", path, b"\0"] {
            text.extend_from_slice(part);
        }
    }
    text
}

/// Reads what [`written`] wrote; words of a newer `wt` are skipped.
fn read(text: &[u8]) -> Vec<(Note, Vec<u8>)> {
    let mut parts = text.split(|b| *b == 0);
    let mut notes = Vec::new();
    while let (Some(word), Some(path)) = (parts.next(), parts.next()) {
        let word = String::from_utf8_lossy(word);
        let (word, value) = word.split_once(' ').unwrap_or((&word, ""));
        let note = match word {
            "intent" => Some(Note::Intent(value.to_owned())),
            "skip" => Some(Note::Skip),
            "assume" => Some(Note::Assume),
            "permissions" => u32::from_str_radix(value, 8).ok().map(Note::Permissions),
            _ => None,
        };
        notes.extend(note.map(|note| (note, path.to_owned())));
    }
    notes
}

/// An index file of our own, so that the worktree's is not touched. It stands for that worktree nevertheless: a split index
/// is completed from its git folder.
struct ScratchIndex<'a> {
    checkout: &'a Checkout,
    file: PathBuf,
}

impl<'a> ScratchIndex<'a> {
    fn new(checkout: &'a Checkout, folder: &Path, name: &str) -> Self {
        Self { checkout, file: folder.join(name) }
    }

    fn call(&self, verb: &str) -> Git {
        // Never the other way round: what is written here must not become a split index itself.
        Git::at(self.checkout, verb).env("GIT_INDEX_FILE", &self.file).set("core.splitIndex=false")
    }

    /// Takes paths out, then puts items in.
    fn change(&self, gone: &[Vec<u8>], items: &[Item]) -> Result<(), GitError> {
        if gone.is_empty() && items.is_empty() {
            return Ok(());
        }
        if !gone.is_empty() {
            let mut paths = Vec::new();
            for path in gone {
                paths.extend_from_slice(path);
                paths.push(0);
            }
            self.call("update-index").args(["-z", "--force-remove", "--stdin"]).stdin(paths).run()?;
        }
        let mut script = Vec::new();
        for Item { mode, oid, path } in items {
            script.extend_from_slice(format!("{mode} {oid}\t").as_bytes());
            script.extend_from_slice(path);
            script.push(0);
        }
        self.call("update-index").args(["-z", "--index-info"]).stdin(script).run()
    }

    fn tree(&self) -> Result<Oid, GitError> {
        let said = self.call("write-tree").line()?;
        Oid::parse(&said).ok_or_else(|| GitError::unreadable("a new tree", said))
    }
}

/// Writes a tree anew, or one from nothing, without the paths of `gone` and with those of `items`; starts no process.
fn changed_tree(repo: &Repo, tree: Option<&Oid>, gone: &[Vec<u8>], items: &[Item]) -> Result<Oid, GitError> {
    use gix::objs::tree::{Editor, EntryKind};
    let parts =
        |path: &[u8]| path.split(|b| *b == b'/').map(|part| part.as_bstr().to_owned()).collect::<Vec<_>>();
    let failed = |e: gix::Error| GitError::unreadable("a new tree", e);
    let local = repo.local();
    let root = match tree {
        Some(tree) => local.find_tree(id(tree)?).and_then(|tree| Ok(tree.decode()?.to_owned())),
        None => Ok(gix::objs::Tree::empty()),
    };
    let mut editor = Editor::new(root.map_err(failed)?, &local.objects, repo.hash());
    for path in gone {
        editor.remove(parts(path)).map_err(failed)?;
    }
    for Item { mode, oid, path } in items {
        let kind = match mode.as_str() {
            LINK => EntryKind::Link,
            EXECUTABLE => EntryKind::BlobExecutable,
            "160000" => EntryKind::Commit,
            _ => EntryKind::Blob,
        };
        editor.upsert(parts(path), kind, id(oid)?).map_err(failed)?;
    }
    let written = editor.write(|tree| local.write_object(tree).map(gix::Id::detach));
    written.map(oid).map_err(failed)
}

/// Returns the files of a tree, or nothing for no tree.
fn items(repo: &Repo, tree: &str) -> Result<Vec<Item>, GitError> {
    let text = Git::on(repo, "ls-tree").args(["-r", "-z", "--full-tree", tree]).output()?;
    let mut found = Vec::new();
    for line in text.split(|b| *b == 0).filter(|line| !line.is_empty()) {
        // MODE TYPE ID<tab>PATH
        let item = line.iter().position(|b| *b == b'\t').and_then(|tab| {
            let about = std::str::from_utf8(&line[..tab]).ok()?;
            let mut parts = about.split(' ');
            let (mode, oid) = (parts.next()?.to_owned(), Oid::parse(parts.nth(1)?)?);
            Some(Item { mode, oid, path: line[tab + 1..].to_owned() })
        });
        found.push(item.ok_or_else(|| GitError::unreadable(format!("tree {tree}"), shown(line)))?);
    }
    Ok(found)
}

fn on_disk(checkout: &Checkout, path: &[u8]) -> PathBuf {
    checkout.path().join(OsStr::from_bytes(path))
}

fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_survive_and_unknown_ones_are_skipped() {
        let notes = vec![
            (Note::Intent(EXECUTABLE.to_owned()), b"a\n b".to_vec()),
            (Note::Skip, b"\xff".to_vec()),
            (Note::Assume, b"c".to_vec()),
            (Note::Permissions(0o600), b".env".to_vec()),
        ];
        let mut text = written(&notes);
        assert_eq!(read(&text), notes);
        text.extend_from_slice(b"newer 1\0x\0");
        assert_eq!(read(&text), notes);
    }
}
