//! How a worktree stands, as a tree: what a commit of everything in it would hold.
//!
//! Invariant: the worktree is only read. Its index is copied, and the copy has the time of the original, for by that git
//! tells which files it must read again; what git writes goes to a [`Scratch`] folder.

use std::io;
use std::time::Duration;

use fs_err as fs;

use super::command::Git;
use super::scratch::Scratch;
use super::status::{InProgress, in_progress};
use super::{Checkout, GitError};
use crate::model::Oid;

/// What a worktree stands at, where that is not the tip of its branch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Foreign {
    /// The folder is not there.
    #[error("gone")]
    Gone,
    /// Something was begun and not ended.
    #[error("in the middle of {}", .0.words())]
    Unfinished(InProgress),
    /// It is on another branch, short.
    #[error("on the branch `{0}`")]
    Branch(String),
    /// It is on none.
    #[error("on no branch")]
    Detached,
}

/// Returns nothing if what lies in a worktree belongs to the tip of `branch`, short: it is on it, and in the middle of nothing.
pub fn belongs(checkout: &Checkout, branch: &str) -> Result<(), Foreign> {
    if !checkout.path().is_dir() {
        return Err(Foreign::Gone);
    }
    if let Some(what) = in_progress(checkout) {
        return Err(Foreign::Unfinished(what));
    }
    let head = fs::read_to_string(checkout.git_dir().join("HEAD")).unwrap_or_default();
    match head.trim_end().strip_prefix("ref: refs/heads/") {
        Some(on) if on == branch => Ok(()),
        Some(on) => Err(Foreign::Branch(on.to_owned())),
        None => Err(Foreign::Detached),
    }
}

/// Returns the tree of everything in a worktree at `head`, as git would commit it: staged, unstaged and untracked files, not
/// the ignored ones. At the paths of `except` stands what `head` has there. Each call to git ends within `limit`.
pub fn tree(
    scratch: &Scratch,
    checkout: &Checkout,
    head_tree: &Oid,
    except: &[String],
    limit: Duration,
) -> Result<Oid, GitError> {
    let name = checkout.git_dir().file_name().map(|name| name.to_string_lossy().into_owned());
    let index = scratch.file(&format!("{}.index", name.unwrap_or_default()));
    copy(checkout, &index)?;
    let call = |verb: &str| {
        let call = scratch.taking(Git::at(checkout, verb)).env("GIT_INDEX_FILE", &index).within(limit);
        // What is written here must not become a split index, and no file is refused for its line ends.
        call.set("core.splitIndex=false").set("core.safecrlf=false")
    };
    call("add").args(["-A", "--sparse", "--", ":/"]).run()?;
    let said = call("write-tree").line()?;
    let tree = Oid::parse(&said).ok_or_else(|| GitError::unreadable("a new tree", said))?;
    scratch.with_paths_of(&tree, head_tree, except)
}

/// Copies the index of a worktree, if it has one.
fn copy(checkout: &Checkout, to: &std::path::Path) -> Result<(), GitError> {
    let mut from = match fs::File::open(checkout.git_dir().join("index")) {
        Ok(from) => from,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(cause.into()),
    };
    // Of the file that was opened: it may be another one by now.
    let written = from.metadata()?.modified()?;
    let mut file = fs::File::create(to)?;
    io::copy(&mut from, &mut file)?;
    Ok(file.file().set_modified(written)?)
}
