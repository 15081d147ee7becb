//! Committing for an agent that left its work lying about.
//!
//! Invariant: the commit is the user's (name, address), no hook runs, and files that were only lent to the worktree are never
//! in it. A worktree in the middle of something is left alone: its conflict markers are nobody's work.

use super::command::{Git, fields};
use super::status::{self, InProgress};
use super::{Checkout, GitError, WorktreeTrouble};
use crate::model::Oid;

/// Stages and commits everything in a worktree but `except` (files or folders, relative); `None` where nothing is left to
/// commit. Refused: conflicts, a rebase, a repository inside.
pub fn commit_all(checkout: &Checkout, except: &[String], message: &str) -> Result<Option<Oid>, GitError> {
    let now = status::status(checkout)?;
    let unfinished = match now.in_progress {
        Some(InProgress::Merge) | None if now.unmerged.is_empty() => None,
        Some(what) => Some(what.words().to_owned()),
        None => Some("a conflict".to_owned()),
    };
    if let Some(what) = unfinished {
        let reason = WorktreeTrouble::Unfinished(what);
        return Err(GitError::Worktree { path: checkout.path().to_owned(), reason });
    }
    // git would record the commit of an inner repository and none of its content.
    if let Some(path) = nested(checkout)? {
        return Err(GitError::Nested { path });
    }
    let from_stdin = ["--pathspec-from-file=-", "--pathspec-file-nul"];
    // git stumbles over an ignored path even where it is told to leave it out.
    let ignored =
        Git::at(checkout, "check-ignore").args(["-z", "--stdin"]).stdin(lines("", except)).finish()?;
    let ignored: Vec<String> = fields(&ignored.stdout).collect();
    let open: Vec<String> = except.iter().filter(|path| !ignored.contains(path)).cloned().collect();
    let mut all = b".\0".to_vec();
    all.extend(lines(":(top,exclude,literal)", &open));
    Git::at(checkout, "add").arg("-A").args(from_stdin).stdin(all).run()?;
    if !except.is_empty() {
        // The agent may have staged them itself.
        let lent = lines(":(top,literal)", except);
        Git::at(checkout, "reset").arg("-q").args(from_stdin).stdin(lent).run()?;
    }
    let staged = Git::at(checkout, "diff").args(["--cached", "--quiet"]).finish()?;
    match staged.code {
        Some(0) if now.in_progress.is_none() => return Ok(None),
        Some(0 | 1) => {}
        _ => return Err(staged.into()),
    }
    let call = Git::at(checkout, "commit").args(["-q", "--no-verify", "--no-gpg-sign", "--no-status"]);
    call.args(["--cleanup=whitespace", "--allow-empty-message", "-F", "-"]).stdin(message).run()?;
    checkout.head()
}

fn lines(magic: &str, paths: &[String]) -> Vec<u8> {
    paths.iter().flat_map(|path| format!("{magic}{path}\0").into_bytes()).collect()
}

/// Returns the first repository inside the worktree that is neither tracked as a submodule nor ignored.
fn nested(checkout: &Checkout) -> Result<Option<String>, GitError> {
    let call = Git::at(checkout, "ls-files").args(["-z", "--others", "--exclude-standard"]).polling();
    // Files are listed one by one; only what git does not look into is listed as a folder.
    let found = fields(&call.output()?).find(|path| path.ends_with('/'));
    Ok(found.map(|path| path.trim_end_matches('/').to_owned()))
}
