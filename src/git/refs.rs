//! Refs: many moved at once or none, listed, and who has a branch checked out.
//!
//! Invariant: a ref changes only together with its expected old value being true; a branch that [`holders`] names must not be
//! moved here but in its worktree (see `publish`).

use std::path::Path;

use fs_err as fs;

use gix::refs::transaction::{Change, LogChange, PreviousValue, RefEdit as Edit};
use gix::refs::{FullName, Target};

use super::command::Git;
use super::objects::has;
use super::repo::{id, oid};
use super::worktree::{self, Entry};
use super::{GitError, Repo};
use crate::model::Oid;

/// Where the refs are that nobody but `wt` writes.
const OWN: &str = "refs/wt/";

/// What a ref must be for an edit to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// It does not exist.
    Absent,
    /// It is at this object.
    Oid(Oid),
    /// Whatever it is.
    Any,
}

/// One change of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefEdit {
    /// The full name (`refs/…`).
    pub name: String,
    /// Where it goes; `None`: it is deleted.
    pub new: Option<Oid>,
    /// What it must be before.
    pub old: Expected,
}

impl RefEdit {
    /// Returns the edit that makes a ref which must not exist yet.
    pub fn create(name: impl Into<String>, new: Oid) -> Self {
        Self { name: name.into(), new: Some(new), old: Expected::Absent }
    }

    /// Returns the edit that moves a ref from one object to another.
    pub fn swap(name: impl Into<String>, old: Oid, new: Oid) -> Self {
        Self { name: name.into(), new: Some(new), old: Expected::Oid(old) }
    }

    /// Returns the edit that deletes a ref which must be at `old`.
    pub fn delete(name: impl Into<String>, old: Oid) -> Self {
        Self { name: name.into(), new: None, old: Expected::Oid(old) }
    }
}

/// Makes all edits or none; [`GitError::Moved`] names the first ref that is not what it was expected to be.
pub fn apply(repo: &Repo, edits: &[RefEdit]) -> Result<(), GitError> {
    if edits.is_empty() || by_ourselves(repo, edits) {
        return Ok(());
    }
    let (mut script, nothing) = (Vec::new(), repo.hash().null().to_string());
    for edit in edits {
        let old = match &edit.old {
            Expected::Absent => nothing.clone(),
            Expected::Oid(old) => old.to_string(),
            Expected::Any => String::new(),
        };
        let line = match &edit.new {
            Some(new) => format!("update {}\0{new}\0{old}\0", edit.name),
            None if edit.old == Expected::Absent => format!("verify {}\0{old}\0", edit.name),
            None => format!("delete {}\0{old}\0", edit.name),
        };
        script.extend_from_slice(line.as_bytes());
    }
    let ended = Git::on(repo, "update-ref").args(["-m", "wt", "--stdin", "-z"]).stdin(script).finish()?;
    if ended.code == Some(0) {
        return Ok(());
    }
    match moved(&ended.stderr) {
        Some(name) => Err(GitError::Moved { name }),
        None => Err(ended.into()),
    }
}

/// Makes edits that write refs of `wt`'s own in this process, which saves starting another; tells whether it did. Whatever is
/// in the way is told by git, which is asked next: nothing was changed then.
fn by_ourselves(repo: &Repo, edits: &[RefEdit]) -> bool {
    let edit = |edit: &RefEdit| {
        let new = edit.new.as_ref().filter(|new| edit.name.starts_with(OWN) && has(repo, new))?;
        let expected = match &edit.old {
            Expected::Absent => PreviousValue::MustNotExist,
            Expected::Oid(old) => PreviousValue::MustExistAndMatch(Target::Object(id(old).ok()?)),
            Expected::Any => PreviousValue::Any,
        };
        let log = LogChange { message: "wt".into(), ..LogChange::default() };
        let change = Change::Update { log, expected, new: Target::Object(id(new).ok()?) };
        let name = FullName::try_from(edit.name.as_str()).ok()?;
        Some(Edit { change, name, deref: false })
    };
    let edits: Option<Vec<Edit>> = edits.iter().map(edit).collect();
    edits.is_some_and(|edits| repo.local().edit_references(edits).is_ok())
}

/// Reads git's "cannot lock ref" where it is about the value, not about the lock.
fn moved(stderr: &str) -> Option<String> {
    let (_, rest) = stderr.split_once("cannot lock ref '")?;
    let (name, why) = rest.split_once("': ")?;
    let value = ["but expected", "reference already exists", "unable to resolve reference"];
    (value.iter().any(|part| why.contains(part)) && !why.contains("Unable to create"))
        .then(|| name.to_owned())
}

/// Returns the refs whose full name starts with `prefix`, with the object each one points to, in order of their names.
pub fn list(repo: &Repo, prefix: &str) -> Result<Vec<(String, Oid)>, GitError> {
    let local = repo.local();
    let unreadable = |e: gix::Error| GitError::unreadable(prefix, e);
    let platform = local.references().map_err(unreadable)?;
    let mut found = Vec::new();
    for reference in platform.prefixed(prefix).map_err(unreadable)? {
        let mut reference = reference.map_err(|e| GitError::unreadable(prefix, e))?;
        let name = reference.name().as_bstr().to_string();
        // A symbolic ref to nothing is no place.
        if let Ok(id) = reference.peel_to_id() {
            found.push((name, oid(id.detach())));
        }
    }
    found.sort();
    Ok(found)
}

/// Returns the refs that show where a branch, named short, is in other repositories, as far as known: its upstream, and the
/// branch of its name in each remote.
pub fn tracking(repo: &Repo, branch: &str) -> Result<Vec<(String, Oid)>, GitError> {
    let call = Git::on(repo, "for-each-ref").args(["--format=%(upstream)"]);
    let upstream = call.arg(format!("refs/heads/{branch}")).line()?;
    let mut found = list(repo, "refs/remotes/")?;
    let same = format!("/{branch}");
    found.retain(|(name, _)| *name == upstream || name.ends_with(&same));
    Ok(found)
}

/// Returns the worktrees that a branch, named short, is in use in: checked out, being rebased or being bisected.
pub fn holders(repo: &Repo, branch: &str) -> Result<Vec<Entry>, GitError> {
    let full = format!("refs/heads/{branch}");
    let all = worktree::list(repo)?;
    Ok(all
        .into_iter()
        .filter(|entry| {
            entry.branch.as_deref() == Some(branch)
                || ["rebase-merge/head-name", "rebase-apply/head-name", "BISECT_START"]
                    .iter()
                    .any(|file| names(&entry.git_dir(repo).join(file), branch, &full))
        })
        .collect())
}

fn names(file: &Path, short: &str, full: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|text| [short, full].contains(&text.trim()))
}
