//! What a landing came to: one fate a task, as values, and the view that people and scripts read.

use std::path::PathBuf;

use super::LandError;
use super::verify::Failure;
use crate::git::GitError;
use crate::model::event::{ConflictedPath, ResolvedPath};
use crate::model::text::{count, few, one_line};
use crate::model::view::{LandResult, LandedView, MergeView, ResolvedView, SCHEMA};
use crate::model::{Oid, Task, TaskId, TaskName};

/// Whether it is done or only told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It is done.
    Real,
    /// It is only told: no event, no ref, no file.
    DryRun,
}

/// What a landing came to.
#[derive(Debug)]
pub struct Report {
    /// The branch that was landed on, short.
    pub target: String,
    /// Its commit before.
    pub before: Oid,
    /// Its commit after; in a dry run, what it would be.
    pub after: Oid,
    /// Whether it was done.
    pub mode: Mode,
    /// What became of each task, in the order of the queue, then those that were never in it.
    pub tasks: Vec<Landed>,
    /// Conflicts and rejections that were not tried again, since nothing has changed.
    pub unchanged: Vec<TaskName>,
    /// What ended the landing before its queue was empty; every task that is not in `tasks` is as it was.
    pub stopped: Option<LandError>,
}

/// What became of one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Landed {
    /// The task.
    pub id: TaskId,
    /// Its branch's commit that was looked at, if it was.
    pub head: Option<Oid>,
    /// What became of it.
    pub fate: Fate,
    /// Checks that passed only when they were run again.
    pub flaky: Vec<String>,
    /// What did not merge and was resolved.
    pub resolved: Vec<ResolvedPath>,
    /// What it changed outside of what it owns, where it owns anything.
    pub flagged: Vec<String>,
}

impl Landed {
    /// Returns a task of which nothing is known yet.
    pub(super) fn new(task: &Task) -> Self {
        Self {
            id: task.id.clone(),
            head: None,
            fate: Fate::Nothing,
            flaky: Vec::new(),
            resolved: Vec::new(),
            flagged: Vec::new(),
        }
    }
}

/// What became of one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Its work is on the target.
    Landed {
        /// The commit that its last commit became, or the target's where all of it was there already.
        tip: Oid,
        /// How many commits.
        commits: usize,
    },
    /// Its agent found nothing to do: it counts as landed.
    Nothing,
    /// It does not merge.
    Conflict {
        /// What does not merge.
        paths: Vec<ConflictedPath>,
        /// The first commit that does not, as it is on the branch; `None`: only its merges as a whole do not.
        commit: Option<Oid>,
        /// Why nobody resolved it, or who would be asked, where there is anything to say.
        reason: Option<String>,
    },
    /// Only a person can say whether it may land.
    Review {
        /// Why.
        reason: String,
        /// What did not merge; nothing: it merges, and changes what a person guards.
        paths: Vec<ConflictedPath>,
    },
    /// A check failed on the merged tree.
    Rejected(Failure),
    /// It was not landed and is as it was.
    LeftOut(LeftOut),
}

impl Fate {
    /// Tells whether the task is landed now, with commits or without.
    pub fn is_landed(&self) -> bool {
        matches!(self, Self::Landed { .. } | Self::Nothing)
    }

    /// Returns the word for it in a sentence about another task.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Landed { .. } | Self::Nothing => "landed",
            Self::Conflict { .. } => "in conflict",
            Self::Review { .. } => "in review",
            Self::Rejected(_) => "rejected",
            Self::LeftOut(_) => "left out",
        }
    }
}

/// Why a task was not landed, though nothing is wrong with its commits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeftOut {
    /// A task that must land first has not.
    #[error("`{parent}` must land first and is {state}")]
    Parent {
        /// That task.
        parent: TaskName,
        /// Its state's word.
        state: &'static str,
    },
    /// It has no branch.
    #[error("its branch is missing")]
    NoBranch,
    /// It was to land on its own branch, which is removed once it has landed.
    #[error("it cannot land on its own branch")]
    Itself,
    /// Nothing was ever committed on its branch.
    #[error("its branch has no commits")]
    Empty,
    /// It would bring a file to the target that `wt` makes anew in every workspace.
    #[error("its branch commits `{path}`, which is made for each workspace and never committed")]
    Generated {
        /// The file.
        path: &'static str,
    },
    /// Its workspace has changes that are in no commit.
    #[error("its workspace has uncommitted changes: {}", few(.paths))]
    Dirty {
        /// Them, relative to the worktree.
        paths: Vec<String>,
    },
    /// Something was begun in its workspace and not ended.
    #[error("{what} is unfinished in its workspace")]
    Unfinished {
        /// What (`a rebase`).
        what: &'static str,
    },
    /// Its workspace is on another branch.
    #[error("its workspace is on {}, not on its own branch", .on.as_ref().map_or_else(|| "no branch".to_owned(), |on| format!("`{on}`")))]
    Strayed {
        /// That branch; `None`: detached.
        on: Option<String>,
    },
    /// git cannot read its workspace or its commits.
    #[error("it cannot be read: {reason}")]
    Unreadable {
        /// What git said, in one line.
        reason: String,
    },
    /// Its history has nothing in common with the target's.
    #[error("its commit {} has no parent, so its history is not the target's", .commit.short())]
    Unrelated {
        /// The commit without parent.
        commit: Oid,
    },
    /// Its history has merges, and the settings refuse them.
    #[error("its history has the merge {}, and `[merge] merges` refuses merges", .commit.short())]
    Merges {
        /// The merge commit.
        commit: Oid,
    },
    /// With it no command could be run any more, the one that takes it back included.
    #[error("it would make the configuration useless: {reason}")]
    Configuration {
        /// What is wrong.
        reason: String,
    },
    /// The template of messages does not fit it.
    #[error("its commit has no message: {reason}")]
    Message {
        /// What is wrong.
        reason: String,
    },
    /// Files in the target's checkout are in the way.
    #[error("uncommitted files in {} are in the way: {}", .checkout.display(), few(.paths))]
    Overlap {
        /// The checkout.
        checkout: PathBuf,
        /// The files, relative to it.
        paths: Vec<String>,
    },
    /// Other commits came onto the target each time before these could.
    #[error("the target moved {} while it was being landed", count(usize::try_from(*.times).unwrap_or(usize::MAX), "time"))]
    Outrun {
        /// How often it was tried.
        times: u32,
    },
    /// Somebody else changed it meanwhile.
    #[error("it became {state} meanwhile")]
    Changed {
        /// Its state's word.
        state: &'static str,
    },
}

impl LeftOut {
    /// Returns the reason for an error that is about one task only, so that it does not keep the others from landing;
    /// where git itself cannot be used, there is nothing to land at all.
    pub(super) fn unreadable(cause: GitError) -> Result<Self, GitError> {
        match cause {
            GitError::Unusable(_) => Err(cause),
            _ => Ok(Self::Unreadable { reason: one_line(&cause.to_string(), 200) }),
        }
    }
}

impl Report {
    /// Returns the tasks that are landed now, with commits or without.
    pub fn landed(&self) -> impl Iterator<Item = &Landed> {
        self.tasks.iter().filter(|task| task.fate.is_landed())
    }

    /// Returns what people and scripts read.
    pub fn view(&self) -> MergeView {
        MergeView {
            schema: SCHEMA,
            target: self.target.clone(),
            before: self.before.clone(),
            after: self.after.clone(),
            dry_run: self.mode == Mode::DryRun,
            tasks: self.tasks.iter().map(Landed::view).collect(),
            fetched: None,
            pushed: None,
        }
    }
}

impl Landed {
    fn view(&self) -> LandedView {
        let mut view = LandedView {
            name: self.id.name.to_string(),
            result: LandResult::Skipped,
            commits: 0,
            resolved: self.resolved.iter().map(resolved).collect(),
            reason: None,
            conflicts: Vec::new(),
            log: None,
            flagged: self.flagged.clone(),
        };
        match &self.fate {
            Fate::Landed { commits, .. } => {
                view.result = LandResult::Landed;
                view.commits = *commits;
                view.reason = match self.flaky.as_slice() {
                    [] if *commits == 0 => Some("all of it was on the target already".to_owned()),
                    [] => None,
                    flaky => Some(format!("passed only when run again: {}", few(flaky))),
                };
            }
            Fate::Nothing => view.reason = Some("nothing to do".to_owned()),
            Fate::Conflict { paths, commit, reason } => {
                view.result = LandResult::Conflict;
                view.conflicts.clone_from(paths);
                let what = commit.as_ref().map_or_else(
                    || "its merges cannot be replayed".to_owned(),
                    |commit| format!("commit {} does not merge", commit.short()),
                );
                let why = reason.as_ref().map_or_else(String::new, |reason| format!("; {reason}"));
                view.reason = Some(format!("{what}: conflict in {}{why}", count(paths.len(), "file")));
            }
            Fate::Review { reason, paths } => {
                view.result = LandResult::Review;
                view.conflicts.clone_from(paths);
                view.reason = Some(reason.clone());
            }
            Fate::Rejected(failure) => {
                view.result = LandResult::Rejected;
                view.reason = Some(failure.to_string());
                view.log = Some(failure.log.to_string_lossy().into_owned());
            }
            Fate::LeftOut(why) => view.reason = Some(why.to_string()),
        }
        view
    }
}

fn resolved(resolved: &ResolvedPath) -> ResolvedView {
    ResolvedView { path: resolved.path.clone(), by: resolved.by.word().to_owned() }
}
