//! Objects written as they must be, byte for byte: commits copied onto other parents, and commits of `wt`'s own.
//!
//! Invariant: nothing here moves a ref; what is written is unreachable until somebody points to it.

use std::fmt::Write as _;
use std::path::Path;

use gix::ObjectId;
use gix::objs::{Kind, Write as _};

use super::command::Git;
use super::repo::{id, oid};
use super::{Checkout, GitError, Repo};
use crate::model::Oid;
use crate::model::clock::{Clock as _, SystemClock};

/// Who makes the commits that are `wt`'s own.
const SELF: &str = "wt <wt@localhost>";

/// Writes `commit` again with another tree and parent. Author, committer, both dates, encoding and message stay as they
/// are, to the byte; signatures go, for they would no longer be true.
pub(super) fn copy_commit(
    local: &gix::Repository,
    commit: ObjectId,
    tree: ObjectId,
    parent: ObjectId,
) -> Result<ObjectId, GitError> {
    let old = local.find_object(commit);
    let old = old.map_err(|e| GitError::unreadable(format!("object {commit}"), e))?;
    let new = rewritten(&old.data, tree, parent);
    let written = local.objects.write_buf(Kind::Commit, &new);
    written.map_err(|e| GitError::unreadable("a new commit", e))
}

/// Writes a commit in `wt`'s own name, dated now.
pub(super) fn own_commit(repo: &Repo, tree: &Oid, parents: &[Oid], message: &str) -> Result<Oid, GitError> {
    let now = SystemClock.now().as_second();
    let mut text = format!("tree {tree}\n");
    for parent in parents {
        let _ = writeln!(text, "parent {parent}");
    }
    let message = message.trim_end();
    let _ = write!(text, "author {SELF} {now} +0000\ncommitter {SELF} {now} +0000\n\n{message}\n");
    write(repo, Kind::Commit, text.as_bytes())
}

/// Writes a blob.
pub(super) fn blob(repo: &Repo, bytes: &[u8]) -> Result<Oid, GitError> {
    write(repo, Kind::Blob, bytes)
}

/// Writes the content of a file as it is, without holding all of it in memory.
pub(super) fn blob_of_file(checkout: &Checkout, path: &Path) -> Result<Oid, GitError> {
    // git streams what is larger than the first into a pack; the second is several times faster.
    let call = Git::at(checkout, "hash-object").set("core.bigFileThreshold=8m").set("core.compression=1");
    let said = call.args(["-w", "--no-filters", "--"]).arg(path).line()?;
    Oid::parse(&said).ok_or_else(|| GitError::unreadable(path.display().to_string(), said))
}

fn write(repo: &Repo, kind: Kind, bytes: &[u8]) -> Result<Oid, GitError> {
    let written = repo.local().objects.write_buf(kind, bytes);
    written.map(oid).map_err(|e| GitError::unreadable(format!("a new {kind}"), e))
}

/// Tells whether an object is there.
pub(super) fn has(repo: &Repo, object: &Oid) -> bool {
    id(object).is_ok_and(|id| repo.local().has_object(id))
}

/// The parents of a commit.
pub(super) fn parents(repo: &Repo, commit: &Oid) -> Result<Vec<Oid>, GitError> {
    let local = repo.local();
    let found = local.find_commit(id(commit)?);
    let found = found.map_err(|e| GitError::unreadable(format!("commit {}", commit.short()), e))?;
    Ok(found.parent_ids().map(|id| oid(id.detach())).collect())
}

/// Header lines that sign or embed what is no longer there; they go with their continuation lines.
const DROPPED: &[&[u8]] = &[b"tree", b"parent", b"gpgsig", b"gpgsig-sha256", b"mergetag"];

fn rewritten(old: &[u8], tree: ObjectId, parent: ObjectId) -> Vec<u8> {
    let mut new = format!("tree {tree}\nparent {parent}\n").into_bytes();
    let mut rest = old;
    let mut dropping = false;
    while let Some(end) = rest.iter().position(|b| *b == b'\n') {
        let line = &rest[..end];
        if line.is_empty() {
            break;
        }
        if line[0] != b' ' {
            let key = line.split(|b| *b == b' ').next().unwrap_or_default();
            dropping = DROPPED.contains(&key);
        }
        if !dropping {
            new.extend_from_slice(&rest[..=end]);
        }
        rest = &rest[end + 1..];
    }
    // The empty line, and the message as it is.
    new.extend_from_slice(rest);
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tree_parents_and_signatures_change() {
        let a = ObjectId::from_hex(&[b'a'; 40]).unwrap();
        let b = ObjectId::from_hex(&[b'b'; 40]).unwrap();
        let old = b"tree 0\nparent 1\nparent 2\nauthor \xe9 <e> 1 +0130\ncommitter C <c> 2 -0000\nencoding latin1\n\
            gpgsig -----BEGIN\n \n abc\n -----END\nextra kept\n and its second line\n\n\n tree in the \xff message\n\n";
        let new = rewritten(old, a, b);
        let mut wanted = format!("tree {a}\nparent {b}\n").into_bytes();
        wanted.extend_from_slice(
            b"author \xe9 <e> 1 +0130\ncommitter C <c> 2 -0000\nencoding latin1\nextra kept\n and its second line\n\n\n \
              tree in the \xff message\n\n",
        );
        assert_eq!(new, wanted, "{}", String::from_utf8_lossy(&new));
        assert!(rewritten(b"tree 0\nauthor x\n\n", a, b).ends_with(b"author x\n\n"), "an empty message");
    }
}
