//! What making a workspace will do, found out without changing anything.
//!
//! A creation that was killed left a record in the task's folder. If this task's own record is there, what it names is
//! continued; everything else in the way is a refusal.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt as _;
use serde::{Deserialize, Serialize};

use super::Site;
use super::room::{self, NoRoom};
use super::shared::{self, SHARED};
use crate::git::worktree::{self, MAKING, Places};
use crate::git::{GitError, Repo};
use crate::model::{Oid, Settings, TaskId, TaskName, TaskSpec};

/// How long a git that seems to be filling a worktree is waited for: it may have outlived the `wt` that started it.
const PATIENCE: Duration = Duration::from_secs(3);
/// The age from which its lock is that of a git which was killed too.
const STALE: Duration = Duration::from_secs(60);

/// Why a workspace cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Something stands where the worktree belongs.
    #[error("{} exists already", path.display())]
    FolderExists {
        /// The place.
        path: PathBuf,
    },
    /// git has a worktree there whose folder is gone.
    #[error("git still has a worktree at {}, but its folder is gone", path.display())]
    Registered {
        /// The place.
        path: PathBuf,
    },
    /// The branch exists.
    #[error("branch `{branch}` exists already")]
    BranchExists {
        /// The branch, short.
        branch: String,
    },
    /// Other branches make it impossible (`wt` is in the way of `wt/x`).
    #[error("branch `{blocking}` is in the way of `{branch}`")]
    BranchInTheWay {
        /// The branch that should be made.
        branch: String,
        /// The one that exists.
        blocking: String,
    },
    /// The repository has a file of its own under a name that every workspace needs.
    #[error("the repository tracks `{name}`, which every workspace needs for itself")]
    Tracked {
        /// `.shared` or `CLAUDE.local.md`.
        name: &'static str,
    },
    /// There is no such target branch.
    #[error("there is no branch `{target}` to start from")]
    NoTarget {
        /// The branch, short.
        target: String,
    },
    /// There is no room for one more.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// git failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The record of an earlier try cannot be read.
    #[error("the record of an earlier try cannot be read")]
    Record(#[source] io::Error),
}

/// What of a workspace is there already, from a creation of the same task that was killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// Nothing.
    Nothing,
    /// The branch alone.
    Branch,
    /// A whole worktree on the branch; what comes after it is done again.
    Worktree {
        /// The name of its entry.
        entry: String,
    },
    /// A worktree that is not whole: it is put into the trash, then made again.
    Debris {
        /// The name of its entry.
        entry: String,
    },
}

/// A workspace that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Creation {
    /// The task.
    pub id: TaskId,
    /// The worktree's folder, absolute.
    pub path: PathBuf,
    /// The branch, short.
    pub branch: String,
    /// The commit that it starts from.
    pub base: Oid,
    /// What is there already.
    pub begun: Begun,
    /// The TCP ports that it gets; none where nobody leased any.
    pub ports: Vec<u16>,
}

impl Creation {
    /// Returns the folder of all worktrees.
    pub fn root(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    /// Returns the folder that all agents share.
    pub fn shared(&self) -> PathBuf {
        self.root().join(SHARED)
    }
}

/// The record of a creation, written before its first step.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) path: String,
    pub(super) branch: String,
    pub(super) base: Oid,
}

impl Record {
    /// Writes the record so that it outlives a kill of this process.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = fs::OpenOptions::new();
        let mut file = file.write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(&serde_json::to_vec(self).map_err(io::Error::other)?)?;
        file.sync_data()
    }

    /// Returns the record at `path`; one that cannot be understood was cut short by the kill, before anything was made.
    pub(super) fn read(path: &Path) -> io::Result<Option<Self>> {
        match fs::read(path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Returns the folder and the branch of the workspaces of that name.
pub(super) fn place(repo: &Repo, settings: &Settings, name: &TaskName) -> (PathBuf, String) {
    let root = repo.worktrees_root();
    let path = fs::canonicalize(&root).unwrap_or(root).join(name.as_str());
    (path, settings.branch.replace("{name}", name.as_str()))
}

/// What was read of a repository once, to look at many wishes: where its worktrees are, and the commits that were asked for.
/// No worktree is looked at unless disk or bound could be too small for all of them: there may be thousands.
pub struct Survey<'a> {
    repo: &'a Repo,
    settings: &'a Settings,
    places: Option<Places>,
    bases: HashMap<(Option<String>, String), Oid>,
}

impl<'a> Survey<'a> {
    /// Returns one that has read nothing yet.
    pub fn of(repo: &'a Repo, settings: &'a Settings) -> Self {
        Self { repo, settings, places: None, bases: HashMap::new() }
    }

    /// Reads git's books again when they are needed, for time has passed.
    pub(super) fn again(&mut self) -> Result<(), GitError> {
        self.bases.clear();
        self.places.as_mut().map_or(Ok(()), |places| places.read(self.repo))
    }

    /// Returns the commit that a new workspace would start from, or what stands in its way.
    pub fn require_place(&mut self, spec: &TaskSpec) -> Result<Oid, PlanError> {
        let repo = self.repo;
        let (path, branch) = place(repo, self.settings, &spec.name);
        let base = self.base(spec)?;
        if let Some(blocking) = repo.branch_conflicts(&branch)?.into_iter().next() {
            return Err(PlanError::BranchInTheWay { branch, blocking });
        }
        if repo.branch_tip(&branch)?.is_some() {
            return Err(PlanError::BranchExists { branch });
        }
        if fs::symlink_metadata(&path).is_ok() {
            return Err(PlanError::FolderExists { path });
        }
        let places = match &self.places {
            Some(places) => places,
            None => self.places.insert(Places::of(repo)?),
        };
        if places.name(&path) {
            return Err(PlanError::Registered { path });
        }
        Ok(base)
    }

    /// Makes sure that the disk has room for a workspace from each of `bases`.
    pub fn require_disk(&self, bases: &[Oid]) -> Result<(), NoRoom> {
        room::require_disk(self.repo, self.settings, self.worktrees(), bases)
    }

    /// Returns how many worktrees there are at most.
    fn worktrees(&self) -> usize {
        self.places.as_ref().map_or_else(|| worktree::count(self.repo), Places::count)
    }

    fn require_one(&self, base: &Oid) -> Result<(), PlanError> {
        room::require_bound(self.repo, self.settings, self.worktrees())?;
        Ok(self.require_disk(std::slice::from_ref(base))?)
    }

    fn base(&mut self, spec: &TaskSpec) -> Result<Oid, PlanError> {
        let key = (spec.base.clone(), spec.target.clone());
        if let Some(base) = self.bases.get(&key) {
            return Ok(base.clone());
        }
        let base = match &spec.base {
            Some(rev) => self.repo.commit(rev)?,
            None => self
                .repo
                .branch_tip(&spec.target)?
                .ok_or_else(|| PlanError::NoTarget { target: spec.target.clone() })?,
        };
        if let Some(name) = shared::committed(self.repo, &base)? {
            return Err(PlanError::Tracked { name });
        }
        self.bases.insert(key, base.clone());
        Ok(base)
    }
}

/// Returns how the workspace of a task will be made, or why it cannot. Changes nothing.
pub fn plan_creation(site: &Site, id: &TaskId, spec: &TaskSpec) -> Result<Creation, PlanError> {
    plan_with(&mut Survey::of(site.repo, site.settings), site, id, spec)
}

/// Does what [`plan_creation`] does, with books that were read a moment ago.
pub(super) fn plan_with(
    survey: &mut Survey<'_>,
    site: &Site,
    id: &TaskId,
    spec: &TaskSpec,
) -> Result<Creation, PlanError> {
    let (path, branch) = place(site.repo, site.settings, &id.name);
    let record = Record::read(&site.layout.task(id).making()).map_err(PlanError::Record)?;
    let ours = record.filter(|record| Path::new(&record.path) == path && record.branch == branch);
    if let Some(record) = ours {
        let begun = begun(site.repo, &path, &record)?;
        if begun != Begun::Nothing {
            if !matches!(begun, Begun::Worktree { .. }) {
                survey.require_disk(std::slice::from_ref(&record.base))?;
            }
            return Ok(Creation {
                id: id.clone(),
                path,
                branch,
                base: record.base,
                begun,
                ports: Vec::new(),
            });
        }
    }
    let base = survey.require_place(spec)?;
    survey.require_one(&base)?;
    Ok(Creation { id: id.clone(), path, branch, base, begun: Begun::Nothing, ports: Vec::new() })
}

/// Returns what of a recorded creation is there.
pub(super) fn begun(repo: &Repo, path: &Path, record: &Record) -> Result<Begun, PlanError> {
    let tip = repo.branch_tip(&record.branch)?;
    let entry = settled(repo, path)?;
    let ours = match &tip {
        Some(tip) => repo.is_ancestor(&record.base, tip)?,
        None => true,
    };
    if !ours {
        return Err(PlanError::BranchExists { branch: record.branch.clone() });
    }
    match (entry, tip) {
        (None, _) if fs::symlink_metadata(path).is_ok() => {
            Err(PlanError::FolderExists { path: path.to_owned() })
        }
        (None, None) => Ok(Begun::Nothing),
        (None, Some(_)) => Ok(Begun::Branch),
        (Some(entry), tip) => {
            let whole = entry.locked.is_none() && !entry.missing && tip.is_some();
            let on_branch = entry.branch.as_deref() == Some(record.branch.as_str());
            match entry.entry {
                // Somebody made a worktree of their own there.
                None => Err(PlanError::FolderExists { path: path.to_owned() }),
                Some(_) if whole && !on_branch => Err(PlanError::FolderExists { path: path.to_owned() }),
                Some(entry) if whole => Ok(Begun::Worktree { entry }),
                Some(entry) => Ok(Begun::Debris { entry }),
            }
        }
    }
}

/// Returns the worktree at `path` once no git is filling it, or when there is no use in waiting.
fn settled(repo: &Repo, path: &Path) -> Result<Option<worktree::Entry>, GitError> {
    let start = Instant::now();
    loop {
        let found = worktree::at(repo, path)?;
        // A git that makes a worktree locks its entry; one that fills a worktree of ours, whose entry is locked until it is
        // whole, locks the index.
        let lock = found.as_ref().and_then(|entry| {
            let held = if entry.locked.as_deref()? == MAKING { "index.lock" } else { "locked" };
            let git_dir = repo.common_dir().join("worktrees").join(entry.entry.as_ref()?);
            fs::metadata(git_dir.join(held)).ok()
        });
        let fresh = lock
            .and_then(|lock| lock.modified().ok()?.elapsed().ok())
            .is_some_and(|age| age < STALE && start.elapsed() < PATIENCE);
        if !fresh {
            return Ok(found);
        }
        thread::sleep(Duration::from_millis(50));
    }
}
