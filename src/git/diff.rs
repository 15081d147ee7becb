//! Differences between two commits as people read them.

use super::command::Git;
use super::{GitError, Repo};
use crate::model::Oid;

/// How a difference is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Every hunk.
    Patch,
    /// A line a file.
    Stat,
}

/// Returns the difference from `old` to `new`; no external diff program or text conversion of the repository runs.
pub fn diff(repo: &Repo, old: &Oid, new: &Oid, form: Form) -> Result<Vec<u8>, GitError> {
    let form = match form {
        Form::Patch => "--patch",
        Form::Stat => "--stat=100",
    };
    let call =
        Git::on(repo, "diff").args([form, "--no-ext-diff", "--no-textconv", "--no-color", "--find-renames"]);
    call.args([old.as_str(), new.as_str()]).output()
}
