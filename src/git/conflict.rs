//! A commit that does not merge, as a value: what stands on each side, and the tree with everything else merged.
//!
//! Invariant: nothing here touches a worktree, an index or a ref that is not its own.

use super::replay::{self, Stage};
use super::{GitError, Repo, objects, tree};
use crate::model::Oid;
use crate::model::event::ConflictKind;

/// What stands at a path on one side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// As it stands in trees (`100644`).
    pub mode: String,
    /// The content.
    pub blob: Oid,
}

/// A path that does not merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConflictedFile {
    /// The path in the repository.
    pub path: String,
    /// Whether `path` is exact: where git's is not UTF-8, it is only for display.
    pub exact: bool,
    /// How it conflicts.
    pub kind: ConflictKind,
    /// Before both; `None`: there was none.
    pub base: Option<Side>,
    /// On the commit that is replayed onto.
    pub ours: Option<Side>,
    /// On the commit that is replayed.
    pub theirs: Option<Side>,
}

/// A commit that does not merge onto another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The tree with everything else merged, and markers (with the lines of the base) in the files that are not.
    pub tree: Oid,
    /// What is not.
    pub files: Vec<ConflictedFile>,
}

/// Returns the conflict of replaying `commit` onto `onto`; `None` if there is none.
pub fn conflict(repo: &Repo, onto: &Oid, commit: &Oid) -> Result<Option<Conflict>, GitError> {
    let parents = objects::parents(repo, commit)?;
    let [parent] = parents.as_slice() else { return Ok(None) };
    let answer = replay::answer(repo, Some(parent), onto, commit)?;
    let told = answer.conflicts();
    if told.is_empty() {
        return Ok(None);
    }
    let side = |path: &str, number: u8| {
        let stage = answer.stages.iter().find(|stage| stage.path == path && stage.number == number)?;
        Some(Side { mode: stage.mode.clone(), blob: Oid::parse(&stage.object)? })
    };
    let exact = |path: &str| {
        let mut stages = answer.stages.iter().filter(|stage| stage.path == path).peekable();
        stages.peek().is_some() && stages.all(|stage: &Stage| stage.exact)
    };
    let files = told.into_iter().map(|conflicted| ConflictedFile {
        exact: exact(&conflicted.path),
        base: side(&conflicted.path, 1),
        ours: side(&conflicted.path, 2),
        theirs: side(&conflicted.path, 3),
        kind: conflicted.kind,
        path: conflicted.path,
    });
    Ok(Some(Conflict { files: files.collect(), tree: answer.tree()? }))
}

/// Returns the content of a conflicted file in the merged tree, with words for people in place of git's ids at its markers.
pub fn marked(
    repo: &Repo,
    conflict: &Conflict,
    path: &str,
    labels: &[(&Oid, &str)],
) -> Result<Vec<u8>, GitError> {
    let found = tree::entry(repo, &conflict.tree, path)?;
    let (_, blob) =
        found.ok_or_else(|| GitError::unreadable(format!("the merged tree, {path}"), "missing"))?;
    let text = tree::blob(repo, &blob)?;
    let mut worded = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|b| *b == b'\n') {
        match labels.iter().find_map(|(id, label)| marker(line, id).map(|rest| (rest, label))) {
            Some((head, label)) => {
                worded.extend_from_slice(head);
                worded.extend_from_slice(label.as_bytes());
                worded.push(b'\n');
            }
            None => worded.extend_from_slice(line),
        }
    }
    Ok(worded)
}

/// Returns the sign and the blank of a marker line that names `id`.
pub(super) fn marker<'a>(line: &'a [u8], id: &Oid) -> Option<&'a [u8]> {
    let sign = line.iter().take_while(|b| **b == line[0]).count();
    let is_sign = sign >= 7 && b"<|>".contains(&line[0]);
    let rest = line.get(sign + 1..)?;
    (is_sign && line[sign] == b' ' && rest.starts_with(id.as_str().as_bytes())).then(|| &line[..=sign])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_marker_that_names_the_commit_is_one() {
        let id = Oid::parse(&"a".repeat(40)).unwrap();
        let line = |sign: &str| format!("{sign} {id}\n").into_bytes();
        for sign in ["<<<<<<<", "|||||||", ">>>>>>>", ">>>>>>>>>>"] {
            assert_eq!(marker(&line(sign), &id), Some(format!("{sign} ").as_bytes()), "{sign}");
        }
        for line in [line("<<<<<<"), line("======="), b"<<<<<<< bbb\n".to_vec(), b"<<<<<<<".to_vec()] {
            assert_eq!(marker(&line, &id), None);
        }
    }
}
