//! Commits that git makes for a target: squashed ones, merge commits, and copies that are signed.
//!
//! Invariant: git names the committer, by its own rules, and signs as it is configured; message bytes are written as they
//! come. Nothing here moves a ref.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use super::command::{Finished, Git};
use super::repo::id;
use super::{GitError, Repo};
use crate::model::Oid;

/// Who wrote a commit, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// The name, in UTF-8.
    pub name: String,
    /// The mail address.
    pub mail: String,
    /// Seconds since 1970 and the zone (`1700000000 +0100`).
    pub date: String,
}

/// A commit to be made.
#[derive(Debug, Clone)]
pub struct Draft<'a> {
    /// Its tree.
    pub tree: &'a Oid,
    /// Its parents.
    pub parents: &'a [&'a Oid],
    /// Who wrote it; `None`: the user, now.
    pub author: Option<&'a Author>,
    /// Its message, in UTF-8.
    pub message: &'a str,
}

/// How git signs.
#[derive(Debug, Clone)]
pub struct Signer {
    /// The option of `git commit-tree`.
    option: String,
}

impl Signer {
    /// Returns how commits are signed; `None`: the user does not sign them (`commit.gpgSign`).
    pub fn of(repo: &Repo) -> Result<Option<Self>, GitError> {
        let local = repo.local();
        let config = local.config_snapshot();
        if config.boolean("commit.gpgSign") != Some(true) {
            return Ok(None);
        }
        let ssh = config.string("gpg.format").is_some_and(|format| format == "ssh");
        if ssh || config.string("user.signingKey").is_some_and(|key| !key.is_empty()) {
            return Ok(Some(Self { option: "-S".to_owned() }));
        }
        // git would take the key of whoever committed before.
        let who = Git::on(repo, "var").arg("GIT_COMMITTER_IDENT").line()?;
        let key = who.rsplit_once('>').map_or("", |(who, _)| who);
        Ok(Some(Self { option: format!("-S{key}>") }))
    }
}

/// Makes a commit.
pub fn commit(repo: &Repo, draft: &Draft<'_>, signer: Option<&Signer>) -> Result<Oid, GitError> {
    let mut call = Git::on(repo, "commit-tree").set("i18n.commitEncoding=UTF-8");
    for parent in draft.parents {
        call = call.args(["-p", parent.as_str()]);
    }
    if let Some(Author { name, mail, date }) = draft.author {
        // git makes no commit without a name.
        let name = if name.is_empty() { mail } else { name };
        call = call.env("GIT_AUTHOR_NAME", name).env("GIT_AUTHOR_EMAIL", mail);
        call = call.env("GIT_AUTHOR_DATE", format!("@{date}"));
    }
    made(call.stdin(draft.message), draft.tree, signer)
}

/// Makes a commit again on another parent, signed: author, committer, both dates, encoding and message stay.
pub fn sign(repo: &Repo, commit: &Oid, parent: &Oid, signer: &Signer) -> Result<Oid, GitError> {
    let old = repo.bytes_of(id(commit)?)?;
    let bad = || GitError::unreadable(format!("commit {}", commit.short()), "its header");
    let end = old.windows(2).position(|pair| pair == b"\n\n").ok_or_else(bad)?;
    let field = |key: &[u8]| {
        let mut lines = old[..end].split(|b| *b == b'\n');
        lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(b" "))
    };
    let mut call = Git::on(repo, "commit-tree").args(["-p", parent.as_str()]);
    let encoding = field(b"encoding").unwrap_or(b"UTF-8");
    call = call.set(OsStr::from_bytes(&[b"i18n.commitEncoding=", encoding].concat()));
    for (key, names) in [
        (&b"author"[..], ["GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_AUTHOR_DATE"]),
        (b"committer", ["GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL", "GIT_COMMITTER_DATE"]),
    ] {
        // NAME <MAIL> SECONDS ZONE
        let line = field(key).ok_or_else(bad)?;
        let close = line.iter().rposition(|b| *b == b'>').ok_or_else(bad)?;
        let open = line[..close].iter().position(|b| *b == b'<').ok_or_else(bad)?;
        let (name, mail) = (line[..open].trim_ascii_end(), &line[open + 1..close]);
        let date = [b"@", line[close + 1..].trim_ascii_start()].concat();
        let name = if name.is_empty() { mail } else { name };
        for (variable, value) in names.into_iter().zip([name, mail, &date]) {
            call = call.env(variable, OsStr::from_bytes(value));
        }
    }
    made(call.stdin(&old[end + 2..]), &repo.tree_of(commit)?, Some(signer))
}

fn made(call: Git, tree: &Oid, signer: Option<&Signer>) -> Result<Oid, GitError> {
    let call = match signer {
        Some(signer) => call.arg(&signer.option),
        None => call.arg("--no-gpg-sign"),
    };
    let ended = call.arg(tree.as_str()).finish()?;
    if ended.code != Some(0) {
        return Err(refused(ended, signer));
    }
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    Oid::parse(&said).ok_or_else(|| GitError::unreadable("a new commit", said))
}

fn refused(ended: Finished, signer: Option<&Signer>) -> GitError {
    match GitError::from(ended) {
        GitError::Failed { stderr, .. } if signer.is_some() => GitError::NotSigned { said: stderr },
        other => other,
    }
}
