//! The entry of a linked worktree in git's books: how `wt` writes it by itself, as git would.
//!
//! `git worktree add` reads every other entry before it makes one, which costs the more the more there are. What it makes is
//! five small files, the same in every version of git as long as the repository asks for nothing beside (`enter` leaves the
//! others to git).
//!
//! Invariant: an entry comes into the books whole and locked, by a rename, so that nobody reads half of one and no prune takes
//! it. A kill before that leaves a folder in `wt/entries`, which a later one clears away.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::MAKING;
use crate::failpoint;
use crate::git::command::Git;
use crate::git::files::{sweep, write_over};
use crate::git::spare::unfit_repository;
use crate::git::{GitError, Repo};
use crate::model::Oid;

/// What is older was left by somebody who was killed.
const OLD: Duration = Duration::from_secs(60);

/// Makes the entry of a worktree at `path`, whose files come later, and its folder; it is locked as [`MAKING`] and on no
/// branch. `None`: git is to make this one. Whoever calls knows that no other entry names that folder.
pub(super) fn enter(repo: &Repo, path: &Path, head: &Oid) -> Result<Option<PathBuf>, GitError> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|name| is_plain(name)) else {
        return Ok(None);
    };
    if path.exists() || !is_usual(repo) {
        return Ok(None);
    }
    let own = repo.common_dir().join("wt/entries");
    fs::create_dir_all(&own)?;
    drop(sweep(&own, OLD));
    let fresh = tempfile::tempdir_in(own)?;
    write(fresh.path(), path, head)?;
    failpoint::hit("entry.before_rename");
    let Some(entry) = put_in(repo, fresh.path(), name)? else { return Ok(None) };
    fs::create_dir(path)?;
    link_back(path, &entry)?;
    Ok(Some(entry))
}

fn write(entry: &Path, path: &Path, head: &Oid) -> Result<(), GitError> {
    fs::set_permissions(entry, fs::metadata(entry.parent().unwrap_or(entry))?.permissions())?;
    // Only to look alike: newer gits make it, and read nothing of it where refs are files.
    fs::create_dir(entry.join("refs"))?;
    for (name, text) in [
        ("commondir", "../..".to_owned()),
        ("HEAD", head.to_string()),
        ("gitdir", path.join(".git").display().to_string()),
        ("locked", MAKING.to_owned()),
    ] {
        fs::write(entry.join(name), text + "\n")?;
    }
    Ok(())
}

/// Moves an entry into the books under a name that nobody has; `None`: this file system cannot do that safely.
fn put_in(repo: &Repo, fresh: &Path, name: &str) -> Result<Option<PathBuf>, GitError> {
    loop {
        fs::create_dir_all(repo.common_dir().join("worktrees"))?;
        let entry = free_entry(repo, name);
        // A folder that another git has just made is empty, and would be replaced.
        match renameat_with(CWD, fresh, CWD, &entry, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(Some(entry)),
            // Somebody else had the same idea; or the last entry went, and git took the folder of all with it.
            Err(Errno::EXIST | Errno::NOENT) => {}
            Err(Errno::INVAL | Errno::NOSYS | Errno::XDEV) => return Ok(None),
            Err(error) => return Err(io::Error::from(error).into()),
        }
    }
}

/// Tells whether git would name the entry like the folder.
fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    !name.is_empty() && name.bytes().all(plain)
}

/// Tells whether an entry has nothing but its usual files: refs are files, paths are absolute, no settings or choice of files
/// of its own.
fn is_usual(repo: &Repo) -> bool {
    let local = repo.local();
    let config = local.config_snapshot();
    let on = |key: &str| config.boolean(key) == Some(true);
    let files = config.string("extensions.refStorage").is_none_or(|kind| kind.as_slice() == b"files");
    files
        && !on("worktree.useRelativePaths")
        && !on("extensions.relativeWorktrees")
        && unfit_repository(repo).is_none()
}

/// Lets the folder name its entry.
pub(in crate::git) fn link_back(folder: &Path, entry: &Path) -> Result<(), GitError> {
    write_over(&folder.join(".git"), &format!("gitdir: {}\n", entry.display()))
}

/// Makes the branch and puts the worktree on it, with the traces that `git worktree add -b` leaves in logs.
pub(in crate::git) fn branch_off(
    repo: &Repo,
    entry: &Path,
    branch: &str,
    base: &Oid,
) -> Result<(), GitError> {
    let full = format!("refs/heads/{branch}");
    let (why, nothing) = (format!("branch: Created from {base}"), "0".repeat(base.as_str().len()));
    let call = Git::on(repo, "update-ref").args(["-m", &why, &full, base.as_str(), &nothing]);
    call.run()?;
    write_over(&entry.join("HEAD"), &format!("ref: {full}\n"))?;
    // Who and when stand in the branch's own log, if git keeps one.
    let log = fs::read_to_string(repo.common_dir().join("logs").join(&full)).unwrap_or_default();
    if let Some((line, _)) = log.lines().next_back().and_then(|line| line.split_once('\t'))
        && let Some(who) = line.get(2 * base.as_str().len() + 2..)
    {
        fs::create_dir_all(entry.join("logs"))?;
        write_over(&entry.join("logs/HEAD"), &format!("{nothing} {base} {who}\n"))?;
    }
    Ok(())
}

/// Leaves the traces of a checkout of the commit that the worktree came to a moment ago by [`branch_off`].
pub(in crate::git) fn trace_checkout(entry: &Path, base: &Oid) -> Result<(), GitError> {
    write_over(&entry.join("ORIG_HEAD"), &format!("{base}\n"))?;
    let log = entry.join("logs/HEAD");
    let before = fs::read_to_string(&log).unwrap_or_default();
    match before.trim_end().get(2 * base.as_str().len() + 2..) {
        Some(who) => write_over(&log, &format!("{before}{base} {base} {who}\treset: moving to {base}\n")),
        None => Ok(()),
    }
}

/// Returns a path below git's entries that nothing has: NAME, NAME1, NAME2, as git counts.
pub(in crate::git) fn free_entry(repo: &Repo, name: &str) -> PathBuf {
    let folder = repo.common_dir().join("worktrees");
    let (mut place, mut n) = (folder.join(name), 0);
    while fs::symlink_metadata(&place).is_ok() {
        n += 1;
        place = folder.join(format!("{name}{n}"));
    }
    place
}
