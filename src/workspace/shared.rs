//! `.shared`: the one folder of a clone in which all agents can leave notes, and the links to it.
//!
//! Invariant: a link is made only where nothing stands; what stands there and is not ours is named, never replaced.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::beneath::{Beneath, Missing};
use crate::git::{GitError, Repo, worktree};
use crate::model::Oid;

/// The name of the folder and of the links.
pub const SHARED: &str = ".shared";
/// The file with an agent's context.
pub const INSTRUCTIONS: &str = "CLAUDE.local.md";
/// Where removed workspaces stay for a day.
pub const TRASH: &str = ".trash";
/// Where spare worktrees stand.
pub const POOL: &str = ".pool";

/// Why the shared folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SharedError {
    /// Something that is not ours stands where the folder or a link belongs.
    #[error("{} is in the way", path.display())]
    InTheWay {
        /// What stands there.
        path: PathBuf,
    },
    /// Others could replace what `wt` makes in the folder of worktrees.
    #[error("the folder {} can be written by other users", path.display())]
    Exposed {
        /// The folder.
        path: PathBuf,
    },
    /// git's list of ignored names cannot be changed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A folder or link cannot be made.
    #[error("the folder of worktrees cannot be used")]
    Io(#[from] io::Error),
}

/// Returns the name that a commit tracks though it is made anew in every workspace.
pub fn committed(repo: &Repo, commit: &Oid) -> Result<Option<&'static str>, GitError> {
    for name in [SHARED, INSTRUCTIONS] {
        if repo.tracks(commit, name)? {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Makes the folder of worktrees with the shared folder in it, links the main checkout to it if nothing is there, and
/// hides both names from git. Returns the shared folder. Doing it again changes nothing.
pub fn prepare(repo: &Repo) -> Result<PathBuf, SharedError> {
    let root = repo.worktrees_root();
    fs::create_dir_all(&root)?;
    let root = fs::canonicalize(root)?;
    let found = fs::metadata(&root)?;
    let user = rustix::process::geteuid();
    let own = found.uid() == user.as_raw() || user.is_root();
    if !own || found.mode() & 0o002 != 0 {
        return Err(SharedError::Exposed { path: root });
    }
    let shared = root.join(SHARED);
    let beneath = Beneath::open(&root)?;
    for name in [SHARED, ".shared/notes", ".shared/progress"] {
        beneath.folder(Path::new(name)).map_err(|error| in_the_way(&root.join(name), error))?;
    }
    worktree::exclude(repo, &["/.shared", "/CLAUDE.local.md"])?;
    if let Some(main) = repo.main_checkout() {
        let main = Beneath::open(main)?;
        if main.look(Path::new(SHARED))?.is_none() {
            main.link(&shared, Path::new(SHARED), Missing::Fail)?;
        }
    }
    Ok(shared)
}

/// Links a worktree to the shared folder; a link that is ours already is fine.
pub fn link(worktree: &Path, shared: &Path) -> Result<(), SharedError> {
    let beneath = Beneath::open(worktree)?;
    match beneath.link(shared, Path::new(SHARED), Missing::Fail) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if beneath.target(Path::new(SHARED))?.as_deref() == Some(shared) {
                return Ok(());
            }
            Err(SharedError::InTheWay { path: worktree.join(SHARED) })
        }
        made => Ok(made?),
    }
}

/// Returns the path in a worktree of what an agent put in place of the link: git does not see it, so it must be named.
pub fn own(worktree: &Path) -> Option<String> {
    let there = fs::symlink_metadata(worktree.join(SHARED)).ok()?;
    (!there.is_symlink()).then(|| SHARED.to_owned())
}

fn in_the_way(path: &Path, error: io::Error) -> SharedError {
    let what = fs::symlink_metadata(path);
    match what {
        Ok(found) if !found.is_dir() => SharedError::InTheWay { path: path.to_owned() },
        _ => SharedError::Io(error),
    }
}
