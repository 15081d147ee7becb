//! What commits say of themselves, and what a branch gained from one commit to another.

use sha2::{Digest as _, Sha256};

use super::command::Git;
use super::diff::{self, Form};
use super::made::Author;
use super::{GitError, Repo};
use crate::model::Oid;

/// A commit as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The commit.
    pub oid: Oid,
    /// The first line of its message, lossily where it is not UTF-8.
    pub subject: String,
}

/// Returns how many commits `new` has that `old` has not.
pub fn count(repo: &Repo, old: &Oid, new: &Oid) -> Result<u32, GitError> {
    let said = Git::on(repo, "rev-list").args(["--count", &format!("{old}..{new}"), "--"]).line()?;
    said.parse().map_err(|_| GitError::unreadable("a count of commits", said))
}

/// Returns the newest `most` commits that `new` has and `old` has not, oldest first.
pub fn subjects(repo: &Repo, old: &Oid, new: &Oid, most: usize) -> Result<Vec<Subject>, GitError> {
    let call =
        Git::on(repo, "log").args(["--no-show-signature", "--no-notes", "--no-mailmap", "--format=%H %s"]);
    let text = call.arg(format!("--max-count={most}")).args([&format!("{old}..{new}"), "--"]).output()?;
    let text = String::from_utf8_lossy(&text);
    let read = |line: &str| {
        let (oid, subject) = line.split_once(' ').unwrap_or((line, ""));
        Some(Subject { oid: Oid::parse(oid)?, subject: subject.to_owned() })
    };
    let mut found: Vec<Subject> = text.lines().filter_map(read).collect();
    found.reverse();
    Ok(found)
}

/// Returns a hash of what changes from `old` to `new`, wherever in the files it stands; `None` where nothing does.
pub fn change(repo: &Repo, old: &Oid, new: &Oid) -> Result<Option<String>, GitError> {
    if repo.tree_of(old)? == repo.tree_of(new)? {
        return Ok(None);
    }
    Ok(Some(hash(&diff::diff(repo, old, new, Form::Patch)?)))
}

/// Hashes a patch without what tells only where the change stands, like `git patch-id`.
fn hash(patch: &[u8]) -> String {
    let mut hash = Sha256::new();
    let mut index: &[u8] = b"";
    for line in patch.split(|byte| *byte == b'\n') {
        if line.starts_with(b"index ") {
            index = line;
        } else if line.starts_with(b"Binary files ") {
            // The content is not in the patch; the ids of the blobs stand for it.
            hash.update(index);
            hash.update(line);
            hash.update(b"\n");
        } else if matches!(line.first(), Some(b'+' | b'-')) || line.starts_with(b"diff --git ") {
            hash.update(line);
            hash.update(b"\n");
        }
    }
    short(&hash.finalize())
}

/// Returns a hash of a text, as short as that of [`change`].
pub fn of_text(text: &str) -> String {
    short(&Sha256::digest(text))
}

/// Returns the first bytes of a digest in hex: enough to tell a few iterations apart.
fn short(digest: &[u8]) -> String {
    let first = digest.first_chunk().expect("a digest is longer than eight bytes");
    format!("{:016x}", u64::from_be_bytes(*first))
}

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

/// Returns the last commit in the history of `head` that changed the file at `path`, with the first line of its message.
pub fn last_change(repo: &Repo, head: &Oid, path: &str) -> Result<Option<Told>, GitError> {
    let call = Git::on(repo, "log").args(["-1", "--format=%H%n%an%n%s", "--no-show-signature"]);
    let text = call.args([head.as_str(), "--", &format!(":(top,literal){path}")]).line()?;
    let mut lines = text.splitn(3, '\n');
    let mut next = || lines.next().unwrap_or_default().to_owned();
    let (oid, author, message) = (Oid::parse(&next()), next(), next());
    Ok(oid.map(|oid| Told { oid, author, message }))
}

/// A commit with everything that it says of itself, in UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The commit.
    pub oid: Oid,
    /// Who wrote it.
    pub author: Author,
    /// The first paragraph of its message, on one line.
    pub subject: String,
    /// The rest of its message.
    pub body: String,
    /// The trailers of its message, each on one line.
    pub trailers: Vec<String>,
}

/// Returns what these commits say of themselves, in their order.
pub fn accounts(repo: &Repo, commits: &[Oid]) -> Result<Vec<Account>, GitError> {
    const FIELDS: usize = 7;
    if commits.is_empty() {
        return Ok(Vec::new());
    }
    let call = Git::on(repo, "log").args(["--stdin", "--no-walk=unsorted", "-z", "--encoding=UTF-8"]);
    let call = call.args(["--date=raw", "--no-show-signature", "--no-notes", "--no-mailmap"]);
    let call = call.arg("--format=%H%x00%an%x00%ae%x00%ad%x00%s%x00%b%x00%(trailers:only,unfold)");
    let asked: String = commits.iter().flat_map(|commit| [commit.as_str(), "\n"]).collect();
    let text = call.stdin(asked).output()?;
    let fields: Vec<_> = text.split(|b| *b == 0).map(String::from_utf8_lossy).collect();
    let read = |fields: &[std::borrow::Cow<'_, str>]| {
        let [oid, name, mail, date, subject, body, trailers] = fields else { return None };
        let author = Author { name: name.to_string(), mail: mail.to_string(), date: date.to_string() };
        let trailers = trailers.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
        let (subject, body) = (subject.to_string(), body.trim_end().to_owned());
        Some(Account { oid: Oid::parse(oid)?, author, subject, body, trailers })
    };
    fields
        .chunks_exact(FIELDS)
        .map(|record| {
            read(record)
                .ok_or_else(|| GitError::unreadable("what commits say", String::from_utf8_lossy(&text)))
        })
        .collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_lines_elsewhere_are_the_same_change() {
        let patch = |hunk: &str, added: &str| {
            format!("diff --git a/f b/f\nindex 1..2\n--- a/f\n+++ b/f\n@@ {hunk} @@\n near\n+{added}\n")
        };
        assert_eq!(hash(patch("-1 +1,2", "x").as_bytes()), hash(patch("-9 +9,2", "x").as_bytes()));
        assert_ne!(hash(patch("-1 +1,2", "x").as_bytes()), hash(patch("-1 +1,2", "y").as_bytes()));
        let binary = |id: &str| format!("diff --git a/f b/f\nindex {id}\nBinary files a/f and b/f differ\n");
        assert_ne!(hash(binary("1..2").as_bytes()), hash(binary("1..3").as_bytes()));
    }
}
