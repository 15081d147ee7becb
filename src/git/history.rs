//! What commits say of themselves, for those who have to understand two sides of a conflict.

use super::command::Git;
use super::{GitError, Repo};
use crate::model::Oid;

/// A commit in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The commit.
    pub oid: Oid,
    /// Who wrote it.
    pub author: String,
    /// Its whole message.
    pub message: String,
}

/// Returns the commits that `head` has and `without` has not, newest first, at most `most`; with `paths`, only those that
/// touch one of them.
pub fn commits(
    repo: &Repo,
    head: &Oid,
    without: &Oid,
    paths: &[String],
    most: usize,
) -> Result<Vec<Told>, GitError> {
    let call = Git::on(repo, "log").args(["-z", "--format=%H%n%an%n%B", "--no-show-signature"]);
    let call = call.arg(format!("--max-count={most}")).arg(head.as_str()).arg(format!("^{without}"));
    let text = call.arg("--").args(paths.iter().map(|path| format!(":(top,literal){path}"))).output()?;
    let told = String::from_utf8_lossy(&text);
    let read = |record: &str| {
        let (oid, rest) = record.split_once('\n')?;
        let (author, message) = rest.split_once('\n')?;
        let (author, message) = (author.to_owned(), message.trim().to_owned());
        Some(Told { oid: Oid::parse(oid)?, author, message })
    };
    Ok(told.split('\0').filter_map(read).collect())
}

/// Returns the difference between two commits in these files, as people read it.
pub fn changes(repo: &Repo, old: &Oid, new: &Oid, paths: &[String]) -> Result<Vec<u8>, GitError> {
    let call = Git::on(repo, "diff").args(["--patch", "--no-ext-diff", "--no-textconv", "--no-color"]);
    let call = call.args([old.as_str(), new.as_str(), "--"]);
    call.args(paths.iter().map(|path| format!(":(top,literal){path}"))).output()
}

/// Returns the only parent of a commit; `None` for a merge and for a first commit.
pub fn only_parent(repo: &Repo, commit: &Oid) -> Result<Option<Oid>, GitError> {
    let mut parents = super::objects::parents(repo, commit)?;
    Ok(if parents.len() == 1 { parents.pop() } else { None })
}
