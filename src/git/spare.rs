//! Spare worktrees: whole and clean ones that nobody works in, kept in a folder of their own until one is needed.
//!
//! Invariants: a spare's state is the reason in its `locked` file and nothing else, replaced by rename; it is locked as long
//! as it is a spare, so nobody's prune takes it; each file that is rewritten on the way is whole before and after. What is
//! moved here is known by its entry, never by the `.git` file in its folder. The caller holds the git lock, except for
//! [`bring`] and [`advance`].
//!
//! ```text
//!  retire: folder ▶ HEAD ▶ gitdir ▶ locked ▶ entry's name ▶ .git        (a kill leaves an orphan folder, or a spare to prepare)
//!  take:   locked ▶ gitdir ▶ folder ▶ entry's name ▶ .git ▶ branch ▶ HEAD  (a kill leaves a worktree that is being made)
//! ```

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use fs_err as fs;

use super::command::Git;
use super::files::write_over;
use super::repo::Repo;
use super::worktree::entry::{branch_off, free_entry, link_back, trace_checkout};
use super::worktree::{self, LinkedWorktree, MAKING};
use super::{GitError, WorktreeTrouble, status, wash};
use crate::failpoint;
use crate::model::Oid;

/// The reason with which a spare is locked that is not known to be clean. A second line may name the folder of the trash
/// that takes what is cleared out of it.
pub const PREPARING: &str = "wt: spare, being prepared";
/// What the reason begins with of a spare that is clean, detached, and at the commit that follows. A second line says how it
/// looked then.
pub const READY: &str = "wt: spare at ";

/// What a spare is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Its way here was cut short; nothing is said of it.
    Unmarked,
    /// Not known to be clean.
    Preparing {
        /// The name of the folder of the trash that takes what is cleared out of it.
        rest: Option<String>,
    },
    /// Clean, at this commit.
    Ready(Oid),
    /// Its way out was cut short.
    Leaving,
    /// Somebody else locked it.
    Held(String),
}

/// A spare worktree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spare {
    /// The worktree.
    pub worktree: LinkedWorktree,
    /// Its state.
    pub condition: Condition,
    /// Whether its folder is gone, or holds no `.git` file.
    pub missing: bool,
}

/// Returns the spares of the folder `pool` (absolute, links resolved), by the name of their entries.
pub fn list(repo: &Repo, pool: &Path) -> Result<Vec<Spare>, GitError> {
    let mut found = Vec::new();
    for entry in worktree::list(repo)? {
        let Some(name) = entry.entry.filter(|_| entry.path.parent() == Some(pool)) else { continue };
        let worktree = LinkedWorktree::open(repo, &name, &entry.path)?;
        let condition = condition(entry.locked.as_deref());
        found.push(Spare { worktree, condition, missing: entry.missing });
    }
    Ok(found)
}

/// Returns the entries of spares that stood in another folder of this name, from where they are gone: the repository was
/// moved since, and nobody's prune takes them, for they are locked.
pub fn lost(repo: &Repo, pool: &Path) -> Result<Vec<LinkedWorktree>, GitError> {
    let mut found = Vec::new();
    for entry in worktree::list(repo)? {
        let Some(name) = entry.entry else { continue };
        let above = entry.path.parent().filter(|above| *above != pool);
        let elsewhere = above.is_some_and(|above| above.file_name() == pool.file_name());
        let ours =
            matches!(condition(entry.locked.as_deref()), Condition::Ready(_) | Condition::Preparing { .. });
        if elsewhere && ours && name.starts_with("spare-") && fs::symlink_metadata(&entry.path).is_err() {
            found.push(LinkedWorktree::open(repo, &name, &entry.path)?);
        }
    }
    Ok(found)
}

fn condition(locked: Option<&str>) -> Condition {
    let Some(reason) = locked else { return Condition::Unmarked };
    let (first, second) = reason.split_once('\n').unwrap_or((reason, ""));
    if first == PREPARING {
        let name = Path::new(second);
        let plain = !second.is_empty() && name.file_name() == Some(name.as_os_str());
        return Condition::Preparing { rest: plain.then(|| second.to_owned()) };
    }
    match ready_at(first) {
        Some(commit) => Condition::Ready(commit),
        None if reason == MAKING => Condition::Leaving,
        None => Condition::Held(reason.to_owned()),
    }
}

/// Returns the commit that a ready spare is at, by the reason with which it is locked; `None`: it is no ready spare.
pub fn ready_at(reason: &str) -> Option<Oid> {
    reason.lines().next()?.trim_end().strip_prefix(READY).and_then(Oid::parse)
}

/// Why a worktree cannot become a spare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// The repository checks out only a part, shares its files with a group, or lies on a file system without modes, links
    /// or case; or worktrees have settings of their own.
    Repository,
    /// The worktree has settings, a choice of files or submodules of its own.
    Own,
    /// Its folder or entry is not as `wt` made it: another owner, another device, links of another form.
    Form,
    /// A merge, rebase or bisect is under way in it.
    Unfinished,
}

/// Tells what keeps worktrees of this repository from being spares, if anything does.
pub fn unfit_repository(repo: &Repo) -> Option<Unfit> {
    let local = repo.local();
    let config = local.config_snapshot();
    let is = |key: &str, value: bool| config.boolean(key) == Some(value);
    let shared = config.string("core.sharedRepository").is_some_and(|value| {
        let value = value.to_string();
        !["umask", "false", "0", "no", "off"].contains(&value.as_str())
    });
    let odd = is("core.sparseCheckout", true)
        || is("core.symlinks", false)
        || is("core.fileMode", false)
        || is("core.ignoreCase", true)
        || shared
        || (is("extensions.worktreeConfig", true) && repo.common_dir().join("config.worktree").exists());
    odd.then_some(Unfit::Repository)
}

/// Tells what keeps this worktree from becoming a spare in `pool`, if anything does. Inner repositories are not looked for:
/// a snapshot refuses them, and what git ignores is moved out with all it holds.
pub fn unfit(repo: &Repo, worktree: &LinkedWorktree, pool: &Path) -> Option<Unfit> {
    let git_dir = worktree.checkout().git_dir();
    let owned = |about: &std::fs::Metadata| about.uid() == rustix::process::geteuid().as_raw();
    let folder = fs::symlink_metadata(worktree.path()).ok().filter(|about| about.is_dir() && owned(about));
    let entry = fs::symlink_metadata(git_dir).ok().filter(|about| about.is_dir() && owned(about));
    let pool = fs::symlink_metadata(pool).ok();
    let (Some(folder), Some(_), Some(pool)) = (folder, entry, pool) else { return Some(Unfit::Form) };
    let link = format!("{}\n", worktree.path().join(".git").display());
    if folder.dev() != pool.dev()
        || fs::read_to_string(git_dir.join("gitdir")).ok() != Some(link)
        || fs::read_to_string(git_dir.join("commondir")).ok().as_deref() != Some("../..\n")
    {
        return Some(Unfit::Form);
    }
    if ["config.worktree", "modules", "info/sparse-checkout"].iter().any(|own| git_dir.join(own).exists()) {
        return Some(Unfit::Own);
    }
    if status::in_progress(worktree.checkout()).is_some() {
        return Some(Unfit::Unfinished);
    }
    unfit_repository(repo)
}

/// Makes a worktree a spare that is to be prepared, in the folder `place`, which does not exist. `rest` names the folder of
/// the trash that takes what is cleared out of it. It is on no branch any more.
pub fn retire(repo: &Repo, worktree: &LinkedWorktree, place: &Path, rest: &str) -> Result<(), GitError> {
    let git_dir = worktree.checkout().git_dir();
    let head = worktree::named_entry(repo, worktree.entry())?;
    let head = head.and_then(|entry| entry.head).ok_or_else(|| GitError::Worktree {
        path: worktree.path().to_owned(),
        reason: WorktreeTrouble::NoEntry(worktree.entry().to_owned()),
    })?;
    fs::rename(worktree.path(), place)?;
    failpoint::hit("pool.after_rename");
    write_over(&git_dir.join("HEAD"), &format!("{head}\n"))?;
    write_over(&git_dir.join("gitdir"), &format!("{}\n", place.join(".git").display()))?;
    failpoint::hit("pool.after_link");
    write_over(&git_dir.join("locked"), &format!("{PREPARING}\n{rest}\n"))?;
    let id = place.file_name().unwrap_or_default().to_string_lossy();
    let entry = free_entry(repo, &format!("spare-{id}"));
    fs::rename(git_dir, &entry)?;
    failpoint::hit("pool.after_entry");
    link_back(place, &entry)
}

/// Makes a spare the worktree at `path`, which does not exist, on the new branch `branch` at `base`. Its files are still
/// those of the commit that it was ready at, and its entry is locked as [`MAKING`]: [`bring`] comes next, then it is unlocked.
pub fn take(
    repo: &Repo,
    spare: &Spare,
    path: &Path,
    branch: &str,
    base: &Oid,
) -> Result<LinkedWorktree, GitError> {
    let git_dir = spare.worktree.checkout().git_dir();
    write_over(&git_dir.join("locked"), &format!("{MAKING}\n"))?;
    failpoint::hit("take.after_mark");
    write_over(&git_dir.join("gitdir"), &format!("{}\n", path.join(".git").display()))?;
    failpoint::hit("take.after_link");
    fs::rename(spare.worktree.path(), path)?;
    failpoint::hit("take.after_rename");
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let entry = free_entry(repo, &name);
    fs::rename(git_dir, &entry)?;
    failpoint::hit("take.after_entry");
    link_back(path, &entry)?;
    branch_off(repo, &entry, branch, base)?;
    trace_checkout(&entry, base)?;
    failpoint::hit("take.after_branch");
    let entry = entry.file_name().unwrap_or_default().to_string_lossy();
    LinkedWorktree::open(repo, &entry, path)
}

/// Changes the files of a worktree that is clean at `from` to those of `to`, touching only what differs.
pub fn bring(worktree: &LinkedWorktree, from: &Oid, to: &Oid) -> Result<(), GitError> {
    if from == to {
        return Ok(());
    }
    let call = Git::at(worktree.checkout(), "read-tree").set("checkout.workers=0");
    call.args(["-m", "-u", from.as_str(), to.as_str()]).run()
}

/// Brings a spare that is clean at `from` to `to`, and makes sure that it is clean there.
pub fn advance(worktree: &LinkedWorktree, from: &Oid, to: &Oid) -> Result<(), GitError> {
    bring(worktree, from, to)?;
    write_over(&worktree.checkout().git_dir().join("HEAD"), &format!("{to}\n"))?;
    wash::verify(worktree.checkout())
}

/// Returns how many files differ between two commits; `None` where the change also touches what decides how *other* files
/// are written, or which ones are ignored.
pub fn distance(repo: &Repo, from: &Oid, to: &Oid) -> Result<Option<usize>, GitError> {
    if from == to {
        return Ok(Some(0));
    }
    let paths = status::changed_paths(repo, from, to)?;
    let rule =
        |path: &String| [".gitignore", ".gitattributes", ".gitmodules"].iter().any(|n| path.ends_with(n));
    Ok((!paths.iter().any(rule)).then_some(paths.len()))
}

/// Says that a spare is not known to be clean.
pub fn mark_preparing(spare: &LinkedWorktree, rest: Option<&str>) -> Result<(), GitError> {
    let second = rest.map(|rest| format!("{rest}\n")).unwrap_or_default();
    write_over(&spare.checkout().git_dir().join("locked"), &format!("{PREPARING}\n{second}"))
}

/// Says that a spare is clean at `commit`, and how it looks now.
pub fn mark_ready(repo: &Repo, spare: &LinkedWorktree, commit: &Oid) -> Result<(), GitError> {
    write_over(&spare.checkout().git_dir().join("locked"), &looks(repo, spare, commit)?)
}

/// Tells whether a spare that is ready looks as it did when that was said, and git's rules for files are the same. A change
/// below its folder that went through neither git nor the folder itself is not seen.
pub fn untouched(repo: &Repo, spare: &Spare) -> bool {
    let Condition::Ready(commit) = &spare.condition else { return false };
    let git_dir = spare.worktree.checkout().git_dir();
    let read = |name: &str| fs::read_to_string(git_dir.join(name)).ok();
    let back = format!("gitdir: {}\n", git_dir.display());
    read("locked").is_some_and(|said| looks(repo, &spare.worktree, commit).is_ok_and(|now| now == said))
        && read("HEAD") == Some(format!("{commit}\n"))
        && fs::read_to_string(spare.worktree.path().join(".git")).ok() == Some(back)
        && !git_dir.join("index.lock").exists()
}

fn looks(repo: &Repo, spare: &LinkedWorktree, commit: &Oid) -> Result<String, GitError> {
    let index = fs::metadata(spare.checkout().git_dir().join("index"))?;
    let root = fs::symlink_metadata(spare.path())?;
    let (size, at, at_ns) = (index.len(), index.mtime(), index.mtime_nsec());
    let (root, root_ns) = (root.mtime(), root.mtime_nsec());
    let rules = rules(repo);
    Ok(format!(
        "{READY}{commit}\nindex {size} {at}.{at_ns:09}, root {root}.{root_ns:09}, rules {rules:08x}\n"
    ))
}

/// A sum over what decides how git writes files and which ones it ignores, beside what the commit itself says.
pub(super) fn rules(repo: &Repo) -> u32 {
    const KEYS: &[&str] = &[
        "core.attributesFile",
        "core.autocrlf",
        "core.eol",
        "core.excludesFile",
        "core.fileMode",
        "core.ignoreCase",
        "core.sparseCheckout",
        "core.symlinks",
        "extensions.worktreeConfig",
        "index.version",
    ];
    let local = repo.local();
    let config = local.config_snapshot();
    let mut text = String::new();
    for key in KEYS {
        let value = config.string(*key).map(|value| value.to_string()).unwrap_or_default();
        let _ = writeln!(text, "{key}={value}");
    }
    for file in ["info/attributes", "info/exclude"] {
        let _ = writeln!(text, "{:?}", fs::read(repo.common_dir().join(file)).unwrap_or_default());
    }
    crc32fast::hash(text.as_bytes())
}

/// Puts a spare in order whose way was cut short: it is one that is to be prepared, under a name of its own.
pub fn settle(repo: &Repo, spare: &Spare) -> Result<LinkedWorktree, GitError> {
    mark_preparing(&spare.worktree, None)?;
    let (path, mut entry) = (spare.worktree.path(), spare.worktree.checkout().git_dir().to_owned());
    if !spare.worktree.entry().starts_with("spare-") {
        let id = path.file_name().unwrap_or_default().to_string_lossy();
        let own = free_entry(repo, &format!("spare-{id}"));
        fs::rename(&entry, &own)?;
        entry = own;
    }
    link_back(path, &entry)?;
    LinkedWorktree::open(repo, &entry.file_name().unwrap_or_default().to_string_lossy(), path)
}

/// Takes a spare, or what is left of one, out of git's books. Its folder stays where it is.
pub fn forget(spare: &LinkedWorktree) -> Result<(), GitError> {
    Ok(fs::remove_dir_all(spare.checkout().git_dir())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_the_lock_is_the_state() {
        let oid = "1234567890123456789012345678901234567890";
        let ready = format!("wt: spare at {oid}\nindex 1 2.3");
        assert_eq!(condition(Some(&ready)), Condition::Ready(Oid::parse(oid).unwrap()));
        assert_eq!(condition(None), Condition::Unmarked);
        assert_eq!(condition(Some(MAKING)), Condition::Leaving);
        let preparing = |second: &str| condition(Some(&format!("{PREPARING}\n{second}")));
        assert_eq!(preparing("x-1"), Condition::Preparing { rest: Some("x-1".to_owned()) });
        for second in ["", "..", "a/b", "/etc"] {
            assert_eq!(preparing(second), Condition::Preparing { rest: None }, "{second}");
        }
        assert_eq!(condition(Some("on a stick")), Condition::Held("on a stick".to_owned()));
        assert_eq!(condition(Some("wt: spare at x")), Condition::Held("wt: spare at x".to_owned()));
    }
}
