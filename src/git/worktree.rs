//! Worktrees: made, listed, taken from git's books, and excluded files.
//!
//! Invariants: a [`Checkout`] is made from a recorded entry name, never from the `.git` file that an agent can rewrite; a
//! [`LinkedWorktree`] can never be the main checkout; entries are removed one by one, never by a repository-wide prune,
//! which would take others' half-made ones. Whoever makes or removes worktrees holds the git lock of `store`.

use std::io::Write as _;
use std::path::{Component, Path, PathBuf};
use std::thread;
use std::time::Duration;

use fs_err as fs;

use super::command::Git;
use super::refs::{self, RefEdit};
use super::{GitError, Repo, WorktreeTrouble};
use crate::model::Oid;

/// One worktree, to be asked and worked in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    path: PathBuf,
    git_dir: PathBuf,
    common_dir: PathBuf,
}

impl Checkout {
    pub(super) fn main(repo: &Repo, path: &Path) -> Self {
        let common_dir = repo.common_dir().to_owned();
        Self { path: path.to_owned(), git_dir: common_dir.clone(), common_dir }
    }

    /// Returns its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns its own git folder, with its `HEAD` and its index.
    pub fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    /// Returns the common folder of its repository.
    pub fn common_dir(&self) -> &Path {
        &self.common_dir
    }

    /// Makes sure that its entry still belongs to this repository. git takes refs from the folder that the entry's
    /// `commondir` names, whatever `GIT_COMMON_DIR` says, and an agent can write that file.
    pub(super) fn require_honest(&self) -> Result<(), GitError> {
        if self.git_dir == self.common_dir {
            return Ok(());
        }
        let told = fs::read_to_string(self.git_dir.join("commondir")).ok();
        let told =
            told.and_then(|told| fs::canonicalize(self.git_dir.join(told.trim_end_matches('\n'))).ok());
        if told.as_ref() == Some(&self.common_dir) {
            return Ok(());
        }
        Err(GitError::Worktree { path: self.path.clone(), reason: WorktreeTrouble::Redirected })
    }

    /// Returns the commit that its `HEAD` is at; `None` on an unborn branch.
    pub fn head(&self) -> Result<Option<Oid>, GitError> {
        let ended =
            Git::at(self, "rev-parse").args(["--verify", "--quiet", "HEAD^{commit}"]).polling().finish()?;
        Ok(Oid::parse(&String::from_utf8_lossy(&ended.stdout)))
    }
}

/// A worktree that is not the main checkout: what may be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkedWorktree {
    checkout: Checkout,
    entry: String,
}

impl LinkedWorktree {
    /// Returns the worktree at `path` with the entry of that name; both as they were recorded when it was made.
    /// The folder need not exist, the entry must.
    pub fn open(repo: &Repo, entry: &str, path: &Path) -> Result<Self, GitError> {
        let trouble = |reason| GitError::Worktree { path: path.to_owned(), reason };
        let holds = |inner: &Path| inner.starts_with(path);
        let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let main = repo.main_checkout();
        if holds(repo.common_dir()) || main.is_some_and(|main| holds(main) || main == real) {
            return Err(trouble(WorktreeTrouble::Main));
        }
        let plain = matches!(Path::new(entry).components().collect::<Vec<_>>()[..], [Component::Normal(_)]);
        let git_dir = repo.common_dir().join("worktrees").join(entry);
        if !plain || !git_dir.join("HEAD").is_file() {
            return Err(trouble(WorktreeTrouble::NoEntry(entry.to_owned())));
        }
        let common_dir = repo.common_dir().to_owned();
        Ok(Self {
            checkout: Checkout { path: path.to_owned(), git_dir, common_dir },
            entry: entry.to_owned(),
        })
    }

    /// Returns it as something to ask and work in.
    pub fn checkout(&self) -> &Checkout {
        &self.checkout
    }

    /// Returns its folder.
    pub fn path(&self) -> &Path {
        &self.checkout.path
    }

    /// Returns the name of its entry below `<common dir>/worktrees/`.
    pub fn entry(&self) -> &str {
        &self.entry
    }
}

/// A worktree as git's books have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its folder.
    pub path: PathBuf,
    /// The name of its entry; `None` for the main checkout.
    pub entry: Option<String>,
    /// The commit it is at; `None` on an unborn branch.
    pub head: Option<Oid>,
    /// The branch it is on, short; `None` when detached.
    pub branch: Option<String>,
    /// Why it is locked, if it is (often empty).
    pub locked: Option<String>,
    /// Whether its folder is gone.
    pub missing: bool,
}

impl Entry {
    /// Tells whether it is the main checkout.
    pub fn is_main(&self) -> bool {
        self.entry.is_none()
    }

    /// Tells whether it is at a commit and on no branch.
    pub fn is_detached(&self) -> bool {
        self.branch.is_none()
    }

    pub(super) fn git_dir(&self, repo: &Repo) -> PathBuf {
        let common = repo.common_dir();
        self.entry.as_ref().map_or_else(|| common.to_owned(), |name| common.join("worktrees").join(name))
    }
}

/// Which post-checkout hook runs when a worktree is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hooks {
    /// The one in `<common dir>/hooks`, if there is one.
    Common,
    /// The one in this folder (a `core.hooksPath` that was approved).
    At(PathBuf),
    /// None.
    Off,
}

/// A worktree that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// The worktree.
    pub worktree: LinkedWorktree,
    /// The exit code of a post-checkout hook that failed; git calls the worktree made nevertheless.
    pub hook_failed: Option<i32>,
}

/// What a new worktree is on.
#[derive(Clone, Copy)]
enum Start<'a> {
    NewBranch(&'a str, &'a Oid),
    Branch(&'a str),
    Commit(&'a Oid),
}

/// Makes a worktree at `path` on the new branch `branch`, which starts at `base` and follows nothing.
/// After a failure neither branch nor entry nor folder is left.
pub fn add(repo: &Repo, path: &Path, branch: &str, base: &Oid, hooks: &Hooks) -> Result<Added, GitError> {
    if repo.branch_tip(branch)?.is_some() {
        return Err(GitError::BranchExists { branch: branch.to_owned() });
    }
    add_at(repo, path, Start::NewBranch(branch, base), hooks)
}

/// Makes a worktree at `path` on a branch that exists: for a restore, or for a task whose making was cut short.
pub fn add_existing(repo: &Repo, path: &Path, branch: &str, hooks: &Hooks) -> Result<Added, GitError> {
    if repo.branch_tip(branch)?.is_none() {
        return Err(GitError::NoSuchRevision { rev: format!("refs/heads/{branch}") });
    }
    add_at(repo, path, Start::Branch(branch), hooks)
}

/// Makes a worktree at `path` that is on no branch; no hook runs.
pub fn add_detached(repo: &Repo, path: &Path, commit: &Oid) -> Result<LinkedWorktree, GitError> {
    add_at(repo, path, Start::Commit(commit), &Hooks::Off).map(|added| added.worktree)
}

fn add_at(repo: &Repo, path: &Path, start: Start<'_>, hooks: &Hooks) -> Result<Added, GitError> {
    let path = real_parent(path)?;
    let (found_folder, mut attempt) = (path.exists(), 0);
    loop {
        attempt += 1;
        match add_once(repo, &path, start, hooks) {
            Ok(made) => return Ok(made),
            Err(cause) => {
                undo_add(repo, &path, start, found_folder)?;
                let race = matches!(&cause, GitError::Failed { stderr, .. } if is_race(stderr));
                if attempt >= RACE_TRIES || !race {
                    return Err(cause);
                }
                thread::sleep(pause(attempt, &path));
            }
        }
    }
}

fn add_once(repo: &Repo, path: &Path, start: Start<'_>, hooks: &Hooks) -> Result<Added, GitError> {
    let call = Git::on(repo, "worktree").args(["add", "--quiet"]).set("checkout.workers=0");
    let call = match hooks {
        Hooks::Off => call,
        Hooks::Common => call.set(setting("core.hooksPath", &repo.common_dir().join("hooks"))),
        Hooks::At(folder) => call.set(setting("core.hooksPath", folder)),
    };
    let call = match start {
        Start::NewBranch(branch, base) => {
            call.args(["--no-track", "-b", branch, "--"]).arg(path).arg(base.as_str())
        }
        Start::Branch(branch) => call.arg("--").arg(path).arg(branch),
        Start::Commit(commit) => call.args(["--detach", "--"]).arg(path).arg(commit.as_str()),
    };
    let ended = call.finish()?;
    // git takes a worktree back that it could not fill, but not one whose hook failed.
    match (ended.code, entry_of(repo, path)?) {
        (Some(code), Some(entry)) if code == 0 || (code < 128 && *hooks != Hooks::Off) => {
            let worktree = LinkedWorktree::open(repo, &entry, path)?;
            Ok(Added { worktree, hook_failed: Some(code).filter(|code| *code != 0) })
        }
        _ => Err(ended.into()),
    }
}

const RACE_TRIES: u32 = 5;

/// Tells the two messages of a race with another git that does not take our lock: it reads a half-made entry of ours, or we
/// read one of its.
fn is_race(stderr: &str) -> bool {
    (stderr.contains("failed to read") && stderr.contains("commondir"))
        || stderr.contains("could not lock config file")
        || (stderr.contains("could not open") && stderr.contains("/locked"))
}

/// Grows with each try and differs between racers, without asking a clock or a dice.
fn pause(attempt: u32, path: &Path) -> Duration {
    let odd = path
        .as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(std::process::id(), |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(*byte)));
    Duration::from_millis(u64::from(attempt * 10 + odd.wrapping_mul(attempt) % 40))
}

fn undo_add(repo: &Repo, path: &Path, start: Start<'_>, found_folder: bool) -> Result<(), GitError> {
    if let Some(entry) = entry_of(repo, path)? {
        fs::remove_dir_all(repo.common_dir().join("worktrees").join(entry))?;
    }
    if !found_folder && path.exists() {
        fs::remove_dir_all(path)?;
    }
    // A failed `add -b` leaves its branch. It goes only where it still is at its base and nobody has it: else it is work.
    if let Start::NewBranch(branch, base) = start
        && repo.branch_tip(branch)?.as_ref() == Some(base)
        && refs::holders(repo, branch)?.is_empty()
    {
        refs::apply(repo, &[RefEdit::delete(format!("refs/heads/{branch}"), base.clone())])?;
    }
    Ok(())
}

fn setting(key: &str, value: &Path) -> std::ffi::OsString {
    let mut setting = std::ffi::OsString::from(key);
    setting.push("=");
    setting.push(value);
    setting
}

/// Makes the folder above a new worktree and resolves its symlinks, so that the path that git records is the one we use.
fn real_parent(path: &Path) -> Result<PathBuf, GitError> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(GitError::Worktree { path: path.to_owned(), reason: WorktreeTrouble::Main });
    };
    fs::create_dir_all(parent)?;
    Ok(fs::canonicalize(parent)?.join(name))
}

/// Returns the name of the entry whose folder is `path`.
fn entry_of(repo: &Repo, path: &Path) -> Result<Option<String>, GitError> {
    Ok(list(repo)?.into_iter().find(|entry| entry.path == path).and_then(|entry| entry.entry))
}

/// Returns every worktree in git's books, the main checkout first (if there is one), then by the name of their entries.
/// Entries that another git is just making are left out.
pub fn list(repo: &Repo) -> Result<Vec<Entry>, GitError> {
    let mut found: Vec<Entry> = Vec::new();
    if let Some(main) = repo.main_checkout() {
        found.extend(read_entry(repo, repo.common_dir(), None, main.to_owned())?);
    }
    let folder = repo.common_dir().join("worktrees");
    let mut names: Vec<String> = match fs::read_dir(&folder) {
        Ok(entries) => entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect(),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(cause) => return Err(cause.into()),
    };
    names.sort();
    for name in names {
        let git_dir = folder.join(&name);
        let Ok(link) = fs::read_to_string(git_dir.join("gitdir")) else { continue };
        let link = git_dir.join(link.trim_end_matches('\n'));
        let Some(path) = link.parent().filter(|_| link.ends_with(".git")) else { continue };
        // With relative links (git 2.48) the folder is written from the entry's point of view.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        found.extend(read_entry(repo, &git_dir, Some(name), path)?);
    }
    Ok(found)
}

fn read_entry(
    repo: &Repo,
    git_dir: &Path,
    entry: Option<String>,
    path: PathBuf,
) -> Result<Option<Entry>, GitError> {
    let Ok(head) = fs::read_to_string(git_dir.join("HEAD")) else { return Ok(None) };
    let head = head.trim();
    let (head, branch) = match head.strip_prefix("ref:").map(str::trim) {
        Some(full) => {
            let short = full.strip_prefix("refs/heads/").unwrap_or(full);
            (repo.ref_tip(full)?, Some(short.to_owned()))
        }
        None => (Oid::parse(head), None),
    };
    let locked = entry.as_ref().and_then(|_| fs::read_to_string(git_dir.join("locked")).ok());
    let missing = !path.join(".git").exists();
    let locked = locked.map(|reason| reason.trim().to_owned());
    Ok(Some(Entry { path, entry, head, branch, locked, missing }))
}

/// Takes a worktree out of git's books, after its folder was moved away. Nothing else is touched, the branch stays.
pub fn remove_entry(worktree: &LinkedWorktree) -> Result<(), GitError> {
    let trouble = |reason| GitError::Worktree { path: worktree.path().to_owned(), reason };
    let git_dir = worktree.checkout.git_dir();
    if let Ok(reason) = fs::read_to_string(git_dir.join("locked")) {
        return Err(trouble(WorktreeTrouble::Locked(reason.trim().to_owned())));
    }
    if worktree.path().join(".git").exists() {
        return Err(trouble(WorktreeTrouble::InPlace));
    }
    fs::remove_dir_all(git_dir)?;
    Ok(())
}

/// Adds lines to `<common dir>/info/exclude`, each once; what stands there stays, byte for byte.
pub fn exclude(repo: &Repo, lines: &[&str]) -> Result<(), GitError> {
    let folder = repo.common_dir().join("info");
    fs::create_dir_all(&folder)?;
    let path = folder.join("exclude");
    let mut text = match fs::read(&path) {
        Ok(text) => text,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(cause) => return Err(cause.into()),
    };
    let before = text.len();
    for line in lines {
        if text.split(|b| *b == b'\n').any(|there| there == line.as_bytes()) {
            continue;
        }
        if text.last().is_some_and(|last| *last != b'\n') {
            text.push(b'\n');
        }
        text.extend_from_slice(line.as_bytes());
        text.push(b'\n');
    }
    if text.len() == before {
        return Ok(());
    }
    let mut fresh = tempfile::Builder::new().prefix("exclude").tempfile_in(&folder)?;
    fresh.write_all(&text)?;
    if let Ok(old) = fs::metadata(&path) {
        fresh.as_file().set_permissions(old.permissions())?;
    }
    fresh.as_file().sync_all()?;
    fresh.persist(&path).map_err(|failed| failed.error)?;
    Ok(())
}
