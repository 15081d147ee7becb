//! Trees and blobs: looked into, written with some files replaced, and taken from a worktree.
//!
//! Invariant: no index but a scratch one is written, so that a worktree's own stays as it is.

pub(super) mod changes;
pub(super) mod entries;
pub(super) mod text;

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::command::Git;
use super::repo::{id, oid};
use super::{Checkout, GitError, Repo, objects};
use crate::model::Oid;

/// Returns mode (`100644`) and object at `path` in a tree or commit; `None` if nothing stands there.
pub fn entry(repo: &Repo, tree: &Oid, path: &str) -> Result<Option<(String, Oid)>, GitError> {
    let local = repo.local();
    let found = local.find_object(id(tree)?).map_err(|e| GitError::unreadable(tree.short(), e));
    let found = found?.peel_to_tree().map_err(|e| GitError::unreadable(tree.short(), e))?;
    let found = found.lookup_entry_by_path(path);
    let found = found.map_err(|e| GitError::unreadable(format!("{}:{path}", tree.short()), e))?;
    Ok(found.map(|entry| (format!("{:06o}", entry.mode().value()), oid(entry.object_id()))))
}

/// Returns the content of a blob.
pub fn blob(repo: &Repo, blob: &Oid) -> Result<Vec<u8>, GitError> {
    repo.bytes_of(id(blob)?)
}

/// Writes a blob; nothing holds it yet.
pub fn write_blob(repo: &Repo, bytes: &[u8]) -> Result<Oid, GitError> {
    objects::blob(repo, bytes)
}

/// A file to put into a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// The path.
    pub path: String,
    /// As it stands in trees (`100644`).
    pub mode: String,
    /// The content.
    pub blob: Oid,
}

/// Returns `tree` with these files in the places of what stood there.
pub fn with(repo: &Repo, tree: &Oid, files: &[Put]) -> Result<Oid, GitError> {
    let scratch = tempfile::tempdir()?;
    let index = scratch.path().join("index");
    let call = |verb: &str| {
        Git::on(repo, verb)
            .env("GIT_INDEX_FILE", &index)
            .set("core.splitIndex=false")
            .set("index.sparse=false")
    };
    call("read-tree").arg(tree.as_str()).run()?;
    let mut script = Vec::new();
    for Put { path, mode, blob } in files {
        script.extend_from_slice(format!("{mode} {blob}\t{path}\0").as_bytes());
    }
    call("update-index").args(["-z", "--index-info"]).stdin(script).run()?;
    written(call("write-tree"))
}

/// Writes a commit in `wt`'s own name, for a worktree to be brought to; nothing holds it.
pub fn commit(repo: &Repo, tree: &Oid, parent: &Oid, message: &str) -> Result<Oid, GitError> {
    objects::own_commit(repo, tree, std::slice::from_ref(parent), message)
}

/// What git last knew of a worktree's files: later looks tell by it what was changed, whatever is done to the worktree's own
/// index meanwhile.
#[derive(Debug)]
pub struct Watched<'a> {
    checkout: &'a Checkout,
    scratch: tempfile::TempDir,
    before: Oid,
}

impl<'a> Watched<'a> {
    /// Begins to watch a worktree as it is now.
    pub fn begin(checkout: &'a Checkout) -> Result<Self, GitError> {
        let scratch = tempfile::tempdir()?;
        copy(&checkout.git_dir().join("index"), &scratch.path().join("known"))?;
        let before = take(checkout, scratch.path())?;
        Ok(Self { checkout, scratch, before })
    }

    /// Returns the tree of its files as they were.
    pub fn before(&self) -> &Oid {
        &self.before
    }

    /// Returns the tree of its files as they are now: edited, new and missing ones, but for the ignored.
    pub fn now(&self) -> Result<Oid, GitError> {
        take(self.checkout, self.scratch.path())
    }
}

/// Copies an index with its time: by that git tells whether a file may have changed after it within one tick of the clock.
fn copy(from: &Path, to: &Path) -> Result<(), GitError> {
    fs::copy(from, to)?;
    let time = fs::metadata(from)?.modified()?;
    fs::File::options().write(true).open(to)?.file().set_modified(time)?;
    Ok(())
}

fn take(checkout: &Checkout, scratch: &Path) -> Result<Oid, GitError> {
    let index: PathBuf = scratch.join("index");
    copy(&scratch.join("known"), &index)?;
    let call = |verb: &str| {
        Git::at(checkout, verb)
            .env("GIT_INDEX_FILE", &index)
            .set("core.splitIndex=false")
            .set("add.ignoreErrors=false")
    };
    call("add").args(["-A", "--", "."]).run()?;
    written(call("write-tree"))
}

fn written(call: Git) -> Result<Oid, GitError> {
    let said = call.line()?;
    Oid::parse(&said).ok_or_else(|| GitError::unreadable("a new tree", said))
}
