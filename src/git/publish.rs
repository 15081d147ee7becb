//! A branch moved in the worktree that has it checked out: files, index and ref together, in git's own safe order; and back.
//!
//! Invariant: nothing that is not committed is ever overwritten, ignored files included; what is in the way is named
//! before anything moves ([`overlap`]), and again if it turned up since ([`GitError::Overlap`]).

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use fs_err as fs;

use super::clean::{self, PATIENCE};
use super::command::Git;
use super::refs::{self, RefEdit};
use super::status::{self, WorktreeStatus};
use super::{Checkout, GitError, Repo};
use crate::failpoint;
use crate::model::Oid;

/// Moves the branch of a worktree forward to `new`, with its files and index; no hook runs.
/// [`GitError::Overlap`]: files are in the way; [`GitError::Moved`]: `new` is not ahead of where the branch is.
/// Either way nothing was changed.
pub fn fast_forward(checkout: &Checkout, new: &Oid) -> Result<(), GitError> {
    let call = Git::at(checkout, "merge").args(["--ff-only", "--no-stat", "--no-verify-signatures"]);
    // git's default overwrites ignored files without a word, and a user's setting may stash dirty ones.
    let ended =
        call.args(["--no-overwrite-ignore", "--no-autostash", "-q", new.as_str()]).apart().finish()?;
    if ended.code == Some(0) {
        let there = checkout.head()?.as_ref() == Some(new);
        return if there { Ok(()) } else { Err(GitError::Moved { name: "HEAD".to_owned() }) };
    }
    let paths: Vec<String> =
        ended.stderr.lines().filter_map(|line| line.strip_prefix('\t')).map(str::to_owned).collect();
    if !paths.is_empty() {
        return Err(GitError::Overlap { paths });
    }
    if ended.stderr.contains("Not possible to fast-forward") || ended.stderr.contains("Diverging branches") {
        return Err(GitError::Moved { name: "HEAD".to_owned() });
    }
    Err(ended.into())
}

/// Moves the branch of a worktree back from `from` to `to`, an earlier commit, with its files and index; no hook runs.
/// [`GitError::Moved`]: it is not at `from`; [`GitError::Overlap`]: files are in the way. Either way nothing was changed.
///
/// The ref goes first, since git can move only a ref from exactly the value that it is expected to have; a kill before the
/// files follow is made good by [`follow_back`].
pub fn step_back(
    repo: &Repo,
    checkout: &Checkout,
    branch: &str,
    from: &Oid,
    to: &Oid,
) -> Result<(), GitError> {
    let full = format!("refs/heads/{branch}");
    refs::apply(repo, &[RefEdit::swap(&full, from.clone(), to.clone())])?;
    failpoint::hit("undo.after_ref");
    follow_back(checkout, from, to).inspect_err(|_| {
        // Nothing of the files was touched. Where this fails too, the branch has moved on already.
        drop(refs::apply(repo, &[RefEdit::swap(full, to.clone(), from.clone())]));
    })
}

/// Brings files and index of a worktree whose branch went back from `from` to `to` after it; files that are there already
/// stay as they are. [`GitError::Overlap`]: files are in the way; nothing was changed.
pub fn follow_back(checkout: &Checkout, from: &Oid, to: &Oid) -> Result<(), GitError> {
    // A file that was written again as it was looks changed by its times, which `read-tree` goes by. That something does differ
    // is for `read-tree` to say.
    Git::at(checkout, "update-index").args(["-q", "--refresh"]).finish()?;
    let call = Git::at(checkout, "read-tree").args(["-m", "-u", from.as_str(), to.as_str()]);
    let ended = call.apart().finish()?;
    if ended.code == Some(0) {
        return Ok(());
    }
    // The branch is at `to` by now, so that all between the two would look changed to `status`; git names one.
    let named = |line: &str| {
        let of = ["Entry '", "Untracked working tree file '", "Updating '"];
        let rest = of.iter().find_map(|head| line.strip_prefix("error: ")?.strip_prefix(head))?;
        rest.split_once("' ").map(|(path, _)| path.to_owned())
    };
    let paths: Vec<String> = ended.stderr.lines().filter_map(named).collect();
    if paths.is_empty() { Err(ended.into()) } else { Err(GitError::Overlap { paths }) }
}

/// Returns the uncommitted files of a worktree at `old` that moving it to `new` would touch: dirty ones, conflicts of any
/// path, and whatever untracked or ignored stands where something new would be written.
pub fn overlap(repo: &Repo, checkout: &Checkout, old: &Oid, new: &Oid) -> Result<Vec<String>, GitError> {
    // Most often it is clean, which is proved sooner than git tells it.
    let clean = clean::ask(repo, vec![checkout.clone()], PATIENCE).next() == Some((0, Some(false)));
    let dirty = if clean { WorktreeStatus::default() } else { status::status(checkout)? };
    let touched: BTreeSet<&String> = dirty.staged.iter().chain(&dirty.unstaged).collect();
    let mut found: BTreeSet<String> = dirty.unmerged.iter().cloned().collect();
    let call = Git::on(repo, "diff-tree").args(["-r", "-z", "--no-renames", "--name-status"]);
    let text = call.args([old.as_str(), new.as_str()]).output()?;
    let mut fields = text.split(|b| *b == 0);
    while let (Some(kind), Some(path)) = (fields.next(), fields.next()) {
        let shown = String::from_utf8_lossy(path).into_owned();
        if touched.contains(&shown) {
            found.insert(shown);
        } else if kind == b"A" {
            in_the_way(repo, checkout.path(), old, Path::new(OsStr::from_bytes(path)), &mut found)?;
        }
    }
    Ok(found.into_iter().collect())
}

/// Adds what stands at a path that `old` does not have: a file, a file in place of one of its folders, or files in a
/// folder of that name.
fn in_the_way(
    repo: &Repo,
    root: &Path,
    old: &Oid,
    path: &Path,
    found: &mut BTreeSet<String>,
) -> Result<(), GitError> {
    for part in path.ancestors().filter(|part| !part.as_os_str().is_empty()) {
        let Ok(there) = fs::symlink_metadata(root.join(part)) else { continue };
        if there.is_dir() {
            if part == path {
                files_below(repo, root, old, part, found)?;
            }
            break;
        }
        let shown = part.to_string_lossy().into_owned();
        if !repo.tracks(old, &shown)? {
            found.insert(shown);
        }
    }
    Ok(())
}

fn files_below(
    repo: &Repo,
    root: &Path,
    old: &Oid,
    folder: &Path,
    found: &mut BTreeSet<String>,
) -> Result<(), GitError> {
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            files_below(repo, root, old, &path, found)?;
        } else if !repo.tracks(old, &path.to_string_lossy())? {
            found.insert(path.to_string_lossy().into_owned());
        }
    }
    Ok(())
}

/// Returns the last move of a branch by its reflog, from where to where; `None` where there is no reflog.
pub fn reflog_previous(repo: &Repo, branch: &str) -> Result<Option<(Oid, Oid)>, GitError> {
    let text = match fs::read(repo.common_dir().join("logs/refs/heads").join(branch)) {
        Ok(text) => text,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(cause.into()),
    };
    let text = String::from_utf8_lossy(&text);
    let Some(last) = text.lines().last() else { return Ok(None) };
    let mut ids = last.splitn(3, ' ').map(Oid::parse);
    match (ids.next().flatten(), ids.next().flatten()) {
        (Some(from), Some(to)) => Ok(Some((from, to))),
        _ => Err(GitError::unreadable(format!("the reflog of `{branch}`"), last)),
    }
}
