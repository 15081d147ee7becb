//! When the commits were made that refs point to.

use jiff::Timestamp;

use super::command::Git;
use super::{GitError, Repo};
use crate::model::Oid;

/// A ref with the commit it points to and the date of that commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatedRef {
    /// The full name.
    pub name: String,
    /// The commit.
    pub oid: Oid,
    /// The committer's date.
    pub at: Timestamp,
    /// The first line of its message, lossily where it is not UTF-8.
    pub subject: String,
}

/// Returns the refs below `prefix` (`refs/wt/trash/`), in order of their names; what points to no commit is left out.
pub fn list(repo: &Repo, prefix: &str) -> Result<Vec<DatedRef>, GitError> {
    let format = "--format=%(refname) %(objectname) %(committerdate:unix) %(contents:subject)";
    let text = Git::on(repo, "for-each-ref").polling().args([format, prefix]).line()?;
    let dated = |line: &str| {
        let mut parts = line.splitn(4, ' ');
        let (name, oid) = (parts.next()?.to_owned(), Oid::parse(parts.next()?)?);
        let at = Timestamp::from_second(parts.next()?.parse().ok()?).ok()?;
        let subject = parts.next().unwrap_or_default().to_owned();
        Some(DatedRef { name, oid, at, subject })
    };
    Ok(text.lines().filter_map(dated).collect())
}
