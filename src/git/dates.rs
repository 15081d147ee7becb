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
}

/// Returns the refs below `prefix` (`refs/wt/trash/`), in order of their names; what points to no commit is left out.
pub fn list(repo: &Repo, prefix: &str) -> Result<Vec<DatedRef>, GitError> {
    let format = "--format=%(refname) %(objectname) %(committerdate:unix)";
    let text = Git::on(repo, "for-each-ref").polling().args([format, prefix]).line()?;
    let dated = |line: &str| {
        let mut parts = line.split(' ');
        let (name, oid) = (parts.next()?.to_owned(), Oid::parse(parts.next()?)?);
        let at = Timestamp::from_second(parts.next()?.parse().ok()?).ok()?;
        Some(DatedRef { name, oid, at })
    };
    Ok(text.lines().filter_map(dated).collect())
}
