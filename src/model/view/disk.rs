//! What workspaces take on the disk, and what was taken of it: `wt status --disk`, `wt gc --artifacts`.
//!
//! All sizes are bytes of the blocks that files fill, not their lengths.

use schemars::JsonSchema;
use serde::Serialize;

use super::GcKept;

/// `wt status --disk`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DiskView {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// The repository: its main checkout, or the bare repository itself.
    pub repo: String,
    /// The workspaces, in the order of `wt status`.
    pub workspaces: Vec<WorkspaceDisk>,
    /// What else there is of `wt` and of the repository; empty where tasks are named.
    pub places: Vec<PlaceDisk>,
    /// All of it.
    pub total: TotalDisk,
    /// Bytes that are free for this user where the worktrees are.
    pub free: Option<u64>,
}

/// What one workspace takes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WorkspaceDisk {
    /// The task.
    pub name: String,
    /// Its state's word.
    pub state: String,
    /// Its worktree.
    pub worktree: String,
    /// Tracked and untracked files that git does not ignore.
    pub own: u64,
    /// Ignored folders that `workspace.caches` names: what `wt gc --artifacts` can drop.
    pub caches: u64,
    /// Whatever else git ignores.
    pub ignored: u64,
    /// Files that have names outside of it as well (hard links to a store of packages): they stay when it goes. Blocks that
    /// the file system shares by itself (reflinks) cannot be told apart and stand with the others.
    pub shared: u64,
    /// `own`, `caches` and `ignored` together: what is free when it goes.
    pub bytes: u64,
    /// Folders and files that could not be looked at; the sizes lack them.
    pub unreadable: u64,
    /// Why git cannot tell what it ignores, if it cannot; then all of it stands in `own`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unsorted: Option<String>,
}

/// What a folder beside the workspaces takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PlaceDisk {
    /// What it is.
    pub what: Place,
    /// The folder.
    pub path: String,
    /// What is free when it goes.
    pub bytes: u64,
    /// Files that have names elsewhere as well.
    pub shared: u64,
    /// Folders and files that could not be looked at.
    pub unreadable: u64,
}

/// What a folder beside the workspaces is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// The repository's own objects.
    Objects,
    /// The state of `wt`: journal, prompts, logs.
    State,
    /// Spare workspaces, with their caches.
    Pool,
    /// Where landings are verified.
    Verify,
    /// Where conflicts are resolved.
    Resolve,
    /// Removed workspaces, kept for a day.
    Trash,
    /// The folder that all workspaces share.
    Shared,
    /// A folder of the main checkout that workspaces link to (`workspace.symlink`).
    Linked,
    /// Something beside the workspaces that no task has.
    Other,
}

impl Place {
    /// Returns its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Objects => "objects",
            Self::State => "state",
            Self::Pool => "pool",
            Self::Verify => "verify",
            Self::Resolve => "resolve",
            Self::Trash => "trash",
            Self::Shared => "shared",
            Self::Linked => "linked",
            Self::Other => "other",
        }
    }
}

/// All of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TotalDisk {
    /// Over all workspaces.
    pub own: u64,
    /// Over all workspaces.
    pub caches: u64,
    /// Over all workspaces.
    pub ignored: u64,
    /// Files that have names outside of their workspace or folder, each counted once.
    pub shared: u64,
    /// Over all places.
    pub places: u64,
    /// The five together.
    pub bytes: u64,
}

/// `wt gc --artifacts`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ArtifactsView {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// Whether nothing was really done.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// What was dropped, or would be.
    pub dropped: Vec<DroppedView>,
    /// The workspaces that were left alone, and folders that stay, with the reason.
    pub kept: Vec<GcKept>,
    /// What it frees in all.
    pub bytes: u64,
}

/// What was dropped of one workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DroppedView {
    /// The task, or the folder of a spare workspace (`.pool/…`).
    pub name: String,
    /// Why it could go.
    pub why: String,
    /// The folders.
    pub folders: Vec<DroppedFolder>,
    /// What they free together.
    pub bytes: u64,
}

/// A folder of build output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DroppedFolder {
    /// Its path in the workspace.
    pub path: String,
    /// What it frees; files with names elsewhere not counted.
    pub bytes: u64,
}
