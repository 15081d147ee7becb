//! Which of the files that were copied into a workspace are not what they were copied from.
//!
//! Invariant: what cannot be compared counts as edited, so that nothing is lost with the workspace; no link is followed.

use std::io::{self, Read as _};
use std::path::Path;

use fs_err as fs;

use super::beneath::Beneath;
use crate::git::Repo;

/// How deep a folder is walked that was brought in as one.
const DEPTH: usize = 32;

/// Returns the copied-in files that are not what the main checkout has; of a folder that was brought in as one, those that
/// are below it. Only these are put away with a workspace, so that secrets that nobody changed do not get into git's objects.
pub(super) fn edited(repo: &Repo, worktree: &Path, copied: &[String]) -> Vec<String> {
    let Ok(here) = Beneath::open(worktree) else { return Vec::new() };
    let main = repo.main_checkout().and_then(|main| Beneath::open(main).ok());
    let mut found = Vec::new();
    for path in copied {
        let (mut files, by) = match path.strip_suffix('/') {
            Some(_) => (Vec::new(), Compare::Times),
            None => (vec![path.clone()], Compare::Content),
        };
        if by == Compare::Times {
            below(worktree, path.trim_end_matches('/'), DEPTH, &mut files);
        }
        files.retain(|path| is_edited(&here, main.as_ref(), path, by));
        found.append(&mut files);
    }
    found
}

fn below(root: &Path, folder: &str, depth: usize, found: &mut Vec<String>) {
    for entry in fs::read_dir(root.join(folder)).into_iter().flatten().flatten() {
        let (Ok(name), Ok(kind)) = (entry.file_name().into_string(), entry.file_type()) else { continue };
        let path = format!("{folder}/{name}");
        if kind.is_file() {
            found.push(path);
        } else if kind.is_dir() && depth > 0 && name != ".git" {
            below(root, &path, depth - 1, found);
        }
    }
}

/// How a copy is told from what it was copied from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compare {
    Content,
    /// By size and time, and by content where these differ: a copy has the time of what it was copied from.
    Times,
}

fn is_edited(here: &Beneath, main: Option<&Beneath>, path: &str, by: Compare) -> bool {
    let at = Path::new(path);
    let Ok(mut own) = here.read(at) else { return false };
    let Some(mut theirs) = main.and_then(|main| main.read(at).ok()) else { return true };
    let mut same = || -> io::Result<bool> {
        let (a, b) = (own.metadata()?, theirs.metadata()?);
        if a.len() != b.len() {
            return Ok(false);
        }
        if by == Compare::Times && a.modified()? == b.modified()? {
            return Ok(true);
        }
        let (mut left, mut right) = (Vec::new(), Vec::new());
        own.read_to_end(&mut left)?;
        theirs.read_to_end(&mut right)?;
        Ok(left == right)
    };
    !same().unwrap_or(false)
}
