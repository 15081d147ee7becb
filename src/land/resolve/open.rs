//! The files of a conflict, read: their three texts, and the text with markers.
//!
//! Invariant: all of a commit's files are texts that can be merged, or none is read.

use super::Found;
use crate::git::conflict::{self, Conflict};
use crate::git::tree::{self, Put};
use crate::git::{GitError, Repo};
use crate::land::conflict::{TextFile, no_text, texts};
use crate::land::conserve::Sides;
use crate::model::Oid;

/// The three texts of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::land) struct Texts {
    pub(in crate::land) base: Option<Vec<u8>>,
    pub(in crate::land) ours: Vec<u8>,
    pub(in crate::land) theirs: Vec<u8>,
}

/// A file that nobody resolved yet.
#[derive(Debug, Clone)]
pub(in crate::land) struct Open {
    pub(in crate::land) text: TextFile,
    pub(in crate::land) key: String,
    pub(in crate::land) sides: Texts,
    /// The file with markers.
    pub(in crate::land) marked: Vec<u8>,
    /// A result that a check refused.
    pub(in crate::land) before: Option<Found>,
}

impl Open {
    /// Returns its three texts, to be judged.
    pub(super) fn sides(&self) -> Sides<'_> {
        let Texts { base, ours, theirs } = &self.sides;
        Sides { path: &self.text.path, base: base.as_deref(), ours, theirs }
    }
}

/// What the sides are called at the markers.
#[derive(Debug, Clone, Default)]
pub(in crate::land) struct Labels {
    ours: String,
    theirs: String,
}

impl Labels {
    pub(in crate::land) fn of(target: &str, task: &str) -> Self {
        Self { ours: format!("ours (target {target})"), theirs: format!("theirs (task {task})") }
    }
}

/// Reads the files of a conflict, or says why a person must decide.
pub(in crate::land) fn read(
    repo: &Repo,
    conflict: &Conflict,
    tip: &Oid,
    commit: &Oid,
    labels: &Labels,
) -> Result<Result<Vec<Open>, String>, GitError> {
    let files = match texts(conflict) {
        Ok(files) => files,
        Err(why) => return Ok(Err(why)),
    };
    let parent = crate::git::history::only_parent(repo, commit)?;
    let mut open = Vec::new();
    for text in files {
        let side = |blob: &Oid| tree::blob(repo, blob);
        let sides = Texts {
            base: text.base.as_ref().map(side).transpose()?,
            ours: side(&text.ours)?,
            theirs: side(&text.theirs)?,
        };
        let every = [sides.base.as_ref(), Some(&sides.ours), Some(&sides.theirs)];
        if let Some(why) = every.into_iter().flatten().find_map(|side| no_text(side)) {
            return Ok(Err(format!("`{}` {why}", text.path)));
        }
        let mut words = vec![(tip, labels.ours.as_str()), (commit, labels.theirs.as_str())];
        words.extend(parent.as_ref().map(|parent| (parent, "base")));
        let marked = conflict::marked(repo, conflict, &text.path, &words)?;
        open.push(Open { key: text.key(), text, sides, marked, before: None });
    }
    Ok(Ok(open))
}

pub(in crate::land) fn put(text: &TextFile, blob: Oid) -> Put {
    Put { path: text.path.clone(), mode: text.mode.clone(), blob }
}
