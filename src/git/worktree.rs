//! Worktrees: made, listed, taken from git's books, and excluded files.
//!
//! Invariants: a [`Checkout`] is made from a recorded entry name, never from the `.git` file that an agent can rewrite; a
//! [`LinkedWorktree`] can never be the main checkout; entries are removed one by one, never by a repository-wide prune,
//! which would take others' half-made ones. Whoever makes or removes worktrees holds the git lock of `store`.

mod add;
pub(in crate::git) mod entry;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Component, Path, PathBuf};

use fs_err as fs;

use super::command::Git;
use super::files::read_small;
use super::repo::oid;
use super::{GitError, Repo, WorktreeTrouble};
use crate::model::Oid;

pub use add::{MAKING, Start, add, add_detached, add_existing, begin, complete};

/// One worktree, to be asked and worked in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    path: PathBuf,
    git_dir: PathBuf,
    common_dir: PathBuf,
    hash: gix::hash::Kind,
}

impl Checkout {
    pub(super) fn main(repo: &Repo, path: &Path) -> Self {
        let common_dir = repo.common_dir().to_owned();
        Self { path: path.to_owned(), git_dir: common_dir.clone(), common_dir, hash: repo.hash() }
    }

    /// Returns its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns its own git folder, with its `HEAD` and its index.
    pub fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    /// Returns the kind of its repository's object ids.
    pub(super) fn hash(&self) -> gix::hash::Kind {
        self.hash
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

    /// Returns the branch that it is on, short; `None` when detached.
    pub fn branch(&self) -> Result<Option<String>, GitError> {
        let head = fs::read_to_string(self.git_dir.join("HEAD"))?;
        Ok(named(&head).map(|full| full.strip_prefix("refs/heads/").unwrap_or(full).to_owned()))
    }

    /// Returns the commit that its `HEAD` is at; `None` on an unborn branch.
    pub fn head(&self) -> Result<Option<Oid>, GitError> {
        let ended =
            Git::at(self, "rev-parse").args(["--verify", "--quiet", "HEAD^{commit}"]).polling().finish()?;
        Ok(Oid::parse(&String::from_utf8_lossy(&ended.stdout)))
    }

    /// Returns the same, without a process where it is on a branch.
    pub fn tip(&self, repo: &Repo) -> Result<Option<Oid>, GitError> {
        match self.branch()? {
            Some(branch) => repo.branch_tip(&branch),
            None => self.head(),
        }
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
            checkout: Checkout { path: path.to_owned(), git_dir, common_dir, hash: repo.hash() },
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

/// Returns every worktree in git's books, the main checkout first (if there is one), then by the name of their entries.
/// Entries that another git is just making are left out.
pub fn list(repo: &Repo) -> Result<Vec<Entry>, GitError> {
    let mut found: Vec<Entry> = Vec::new();
    let local = repo.local();
    if let Some(main) = repo.main_checkout() {
        found.extend(read_entry(repo, &local, repo.common_dir(), None, main.to_owned())?);
    }
    for name in names(repo)? {
        let git_dir = repo.common_dir().join("worktrees").join(&name);
        let Some(path) = linked(&git_dir) else { continue };
        // With relative links (git 2.48) the folder is written from the entry's point of view.
        let path = fs::canonicalize(&path).unwrap_or(path);
        found.extend(read_entry(repo, &local, &git_dir, Some(name), path)?);
    }
    Ok(found)
}

/// Returns the worktree whose folder is `path` (absolute, links resolved) as [`list`] has it, without a look at the others
/// where its entry has the name of its folder, as those have that `wt` makes.
pub fn at(repo: &Repo, path: &Path) -> Result<Option<Entry>, GitError> {
    let local = repo.local();
    if repo.main_checkout() == Some(path) {
        return read_entry(repo, &local, repo.common_dir(), None, path.to_owned());
    }
    let entry = |name: &str| -> Option<PathBuf> {
        let git_dir = repo.common_dir().join("worktrees").join(name);
        let told = linked(&git_dir)?;
        (told == path || fs::canonicalize(&told).is_ok_and(|real| real == path)).then_some(git_dir)
    };
    let likely = path.file_name().and_then(|name| name.to_str());
    if let Some((name, git_dir)) = likely.and_then(|name| Some((name, entry(name)?))) {
        return read_entry(repo, &local, &git_dir, Some(name.to_owned()), path.to_owned());
    }
    // What is not there has no links to resolve.
    let there = fs::symlink_metadata(path).is_ok();
    for name in names(repo)? {
        let git_dir = repo.common_dir().join("worktrees").join(&name);
        let found = if there { entry(&name).is_some() } else { linked(&git_dir).as_deref() == Some(path) };
        if found {
            return read_entry(repo, &local, &git_dir, Some(name), path.to_owned());
        }
    }
    Ok(None)
}

/// Returns the worktree with the entry of that name; `None` where [`list`] has none.
pub fn named_entry(repo: &Repo, name: &str) -> Result<Option<Entry>, GitError> {
    let git_dir = repo.common_dir().join("worktrees").join(name);
    let Some(path) = linked(&git_dir) else { return Ok(None) };
    let path = fs::canonicalize(&path).unwrap_or(path);
    read_entry(repo, &repo.local(), &git_dir, Some(name.to_owned()), path)
}

/// Where git's books have linked worktrees, by the words of their entries: links are not resolved, and no worktree is looked at.
#[derive(Debug, Default)]
pub struct Places {
    by_name: BTreeMap<String, Option<PathBuf>>,
}

impl Places {
    /// Reads git's books.
    pub fn of(repo: &Repo) -> Result<Self, GitError> {
        let mut places = Self::default();
        places.read(repo)?;
        Ok(places)
    }

    /// Reads them again; of entries that were read before, only whether they are still there.
    pub fn read(&mut self, repo: &Repo) -> Result<(), GitError> {
        let mut before = std::mem::take(&mut self.by_name);
        let folder = repo.common_dir().join("worktrees");
        for name in names(repo)? {
            // One that git is just making tells its place a moment later.
            let path = before.remove(&name).flatten().or_else(|| linked(&folder.join(&name)));
            self.by_name.insert(name, path);
        }
        Ok(())
    }

    /// Tells whether an entry names this folder. Where nothing stands there, that is all there is to it.
    pub fn name(&self, path: &Path) -> bool {
        self.by_name.values().flatten().any(|there| there == path)
    }

    /// Returns how many entries there are.
    pub fn count(&self) -> usize {
        self.by_name.len()
    }
}

/// Returns how many linked worktrees git has entries of, as far as that can be told.
pub fn count(repo: &Repo) -> usize {
    names(repo).map_or(0, |names| names.len())
}

/// Returns the names of the entries, in their order.
fn names(repo: &Repo) -> Result<Vec<String>, GitError> {
    let mut names: Vec<String> = match fs::read_dir(repo.common_dir().join("worktrees")) {
        Ok(entries) => entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect(),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(cause) => return Err(cause.into()),
    };
    names.sort();
    Ok(names)
}

/// Returns the folder that an entry names, as it is written there.
fn linked(git_dir: &Path) -> Option<PathBuf> {
    let text = read_small(&git_dir.join("gitdir"))?;
    let link = git_dir.join(text.trim_end_matches('\n'));
    link.parent().filter(|_| link.ends_with(".git")).map(Path::to_owned)
}

fn read_entry(
    repo: &Repo,
    local: &gix::Repository,
    git_dir: &Path,
    entry: Option<String>,
    path: PathBuf,
) -> Result<Option<Entry>, GitError> {
    let Ok(head) = fs::read_to_string(git_dir.join("HEAD")) else { return Ok(None) };
    let head = head.trim();
    let (head, branch) = match named(head) {
        Some(full) => {
            let short = full.strip_prefix("refs/heads/").unwrap_or(full);
            (tip(repo, local, full)?, Some(short.to_owned()))
        }
        None => (Oid::parse(head), None),
    };
    let locked = entry.as_ref().and_then(|_| fs::read_to_string(git_dir.join("locked")).ok());
    let missing = !path.join(".git").exists();
    let locked = locked.map(|reason| reason.trim().to_owned());
    Ok(Some(Entry { path, entry, head, branch, locked, missing }))
}

/// Returns the ref that a `HEAD` names, in full.
fn named(head: &str) -> Option<&str> {
    head.trim().strip_prefix("ref:").map(str::trim)
}

/// Returns the commit of a ref. A branch is at a commit: nothing needs to be looked up to find one behind a tag.
pub(super) fn tip(repo: &Repo, local: &gix::Repository, full: &str) -> Result<Option<Oid>, GitError> {
    let branch = gix::refs::FullName::try_from(full).ok().filter(|_| full.starts_with("refs/heads/"));
    let found = branch.and_then(|name| local.try_find_reference(name.as_ref()).ok().flatten());
    match found.as_ref().and_then(gix::Reference::try_id) {
        Some(id) => Ok(Some(oid(id.detach()))),
        None => repo.ref_tip(full),
    }
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

/// Takes away the lock of an entry that `wt` locked with `reason`; one of somebody else stays.
pub fn unlock(worktree: &LinkedWorktree, reason: &str) -> Result<(), GitError> {
    let lock = worktree.checkout.git_dir().join("locked");
    match fs::read_to_string(&lock) {
        Ok(there) if there.trim() == reason => Ok(fs::remove_file(lock)?),
        _ => Ok(()),
    }
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
