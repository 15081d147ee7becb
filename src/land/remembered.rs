//! Resolutions that were accepted before: a ref for each, named by the three sides, on the text that they became.
//!
//! Invariant: only what landed, or what a person approved, is remembered.

use crate::git::refs::{self, Expected, RefEdit};
use crate::git::{GitError, Repo};
use crate::model::Oid;

const PREFIX: &str = "refs/wt/resolution/";

/// Returns the text that the conflict of that key became before.
pub(super) fn recall(repo: &Repo, key: &str) -> Result<Option<Oid>, GitError> {
    repo.ref_tip(&format!("{PREFIX}{key}"))
}

/// Remembers texts by the keys of their conflicts; a newer one takes the place of an older.
pub(super) fn keep<'a>(
    repo: &Repo,
    resolutions: impl IntoIterator<Item = (&'a str, &'a Oid)>,
) -> Result<(), GitError> {
    let edit = |(key, text): (&str, &Oid)| RefEdit {
        name: format!("{PREFIX}{key}"),
        new: Some(text.clone()),
        old: Expected::Any,
    };
    let mut edits: Vec<RefEdit> = resolutions.into_iter().map(edit).collect();
    edits.sort_by(|a, b| a.name.cmp(&b.name));
    edits.dedup_by(|later, first| later.name == first.name);
    refs::apply(repo, &edits)
}
