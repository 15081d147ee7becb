//! Notes on the way of a loop, in `.shared/progress/NAME.md`: `wt` begins the file and adds a line an iteration, agents add
//! what the next one must know. Kept after the task is gone.
//!
//! Invariant: only ever added to, and never through a link that an agent put there. Folders that an agent took away are made
//! again: later iterations are told to read the file.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::beneath::{Beneath, Missing};
use super::shared::SHARED;
use crate::git::Repo;
use crate::model::TaskName;

/// Returns where the notes of a task are, relative to its worktree.
pub fn path(name: &TaskName) -> String {
    format!("{SHARED}/progress/{name}.md")
}

/// Adds text, with a newline at its end, to the notes of a task.
pub fn add(repo: &Repo, name: &TaskName, text: &str) -> io::Result<()> {
    let beneath = Beneath::open(&real(repo.worktrees_root())?)?;
    let mut file = beneath.append(Path::new(&path(name)), 0o644, Missing::Make)?;
    file.write_all(format!("{text}\n").as_bytes())
}

fn real(folder: PathBuf) -> io::Result<PathBuf> {
    fs_err::canonicalize(folder)
}
