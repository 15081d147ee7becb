//! The post-checkout hook of a new workspace: which one, and run with a time limit, its output kept.
//!
//! Invariant: a hook that `core.hooksPath` names runs only while it is, byte for byte, what a person approved. A hook that
//! fails fails nothing: for git too the worktree is made then.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use fs_err as fs;

use super::Site;
use crate::git::{GitError, LinkedWorktree, command};
use crate::model::settings::HooksPath;
use crate::model::text::duration;
use crate::model::verdict::Exit;
use crate::model::{Oid, TaskId};
use crate::process::brief::{self, Brief};

/// The longest that a hook may take.
const LIMIT: Duration = Duration::from_secs(600);
/// The hook.
const NAME: &str = "post-checkout";

/// Which post-checkout hook runs when a workspace is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hooks {
    /// The one in `<common dir>/hooks`, if there is one.
    Common,
    /// The one in this folder (a `core.hooksPath` that was approved).
    At(PathBuf),
    /// None.
    Off,
}

/// What a hook came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It did its work.
    Well,
    /// It failed, and how ("exited with code 3").
    Failed {
        /// In words.
        how: String,
    },
    /// It did not run, because nobody approved it as it is.
    NotApproved {
        /// The folder of hooks, as configured.
        folder: String,
    },
}

/// Which hook a workspace gets that starts from some commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// One of these, if there is one.
    Run(Hooks),
    /// None: nobody approved it as it is.
    NotApproved(String),
}

/// Returns the hook of a workspace that starts from `base`.
pub fn choose(site: &Site<'_>, base: &Oid) -> Result<Choice, GitError> {
    Ok(match &site.settings.workspace.hooks {
        HooksPath::NotSet => Choice::Run(Hooks::Common),
        HooksPath::Nothing => Choice::Run(Hooks::Off),
        HooksPath::NotApproved { folder } => Choice::NotApproved(folder.clone()),
        HooksPath::Outside { folder } => Choice::Run(Hooks::At(PathBuf::from(folder))),
        HooksPath::Tracked { folder, tree } => {
            // The target's hooks were approved; those of another base may be others.
            match site.repo.object_at(base, folder)? {
                Some(there) if there == *tree => Choice::Run(Hooks::At(PathBuf::from(folder))),
                Some(_) => Choice::NotApproved(folder.clone()),
                None => Choice::Run(Hooks::Off),
            }
        }
    })
}

/// Runs the hook as git does after a checkout from no commit to `commit`; `None`: there is none.
pub(super) fn run(
    site: &Site<'_>,
    id: &TaskId,
    tree: &LinkedWorktree,
    commit: &Oid,
    hooks: &Hooks,
) -> Option<Ended> {
    let folder = match hooks {
        Hooks::Off => return None,
        Hooks::Common => site.repo.common_dir().join("hooks"),
        Hooks::At(folder) => tree.path().join(folder),
    };
    let hook = folder.join(NAME);
    if !fs::metadata(&hook).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0) {
        return None;
    }
    let nothing = "0".repeat(commit.as_str().len());
    let limit = site.settings.limits.timeout.min(LIMIT);
    let ended = brief::run(&Brief {
        program: &hook,
        arguments: &[&nothing, commit.as_str(), "1"],
        folder: tree.path(),
        without: command::REDIRECTING,
        timeout: limit,
        log: &site.layout.task(id).hook_log(),
    });
    let how = match ended {
        Ok(brief::Ended::With(Exit::Code(0))) => return Some(Ended::Well),
        Ok(brief::Ended::With(Exit::Code(code))) => format!("exited with code {code}"),
        Ok(brief::Ended::With(Exit::Signal(signal))) => format!("was ended by signal {signal}"),
        Ok(brief::Ended::TimedOut) => format!("was ended after its time limit of {}", duration(limit)),
        Ok(brief::Ended::With(Exit::NotStarted | Exit::Lost)) => "was lost".to_owned(),
        Err(error) => format!("could not be run: {error}"),
    };
    Some(Ended::Failed { how })
}
