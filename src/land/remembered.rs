//! Resolutions that were accepted before: a ref for each, named by the three sides, on the text that they became.
//!
//! Invariant: only what landed, what a person approved, or what a person made is remembered; what a person made stands apart
//! until it has landed, so that the landing can say whose it is.
//!
//! They never expire: a blob has no date, it is small, and the same sides may meet again on any branch.

use std::collections::BTreeMap;

use crate::git::refs::{self, Expected, RefEdit};
use crate::git::{GitError, Repo};
use crate::model::Oid;
use crate::model::event::ResolvedBy;

const PREFIX: &str = "refs/wt/resolution/";
const BY_HAND: &str = "refs/wt/by-hand/";

/// Returns the text that the conflict of that key became before, and whether a person made it for this landing.
pub(super) fn recall(repo: &Repo, key: &str) -> Result<Option<(Oid, ResolvedBy)>, GitError> {
    for (prefix, by) in [(BY_HAND, ResolvedBy::Person), (PREFIX, ResolvedBy::Rerere)] {
        if let Some(text) = repo.ref_tip(&format!("{prefix}{key}"))? {
            return Ok(Some((text, by)));
        }
    }
    Ok(None)
}

/// Remembers texts by the keys of their conflicts; a newer one takes the place of an older, whoever made it.
pub(super) fn keep<'a>(
    repo: &Repo,
    resolutions: impl IntoIterator<Item = (&'a str, &'a Oid)>,
) -> Result<(), GitError> {
    let mut edits = edits(PREFIX, resolutions);
    let replaced: Vec<RefEdit> = refs::list(repo, BY_HAND)?
        .into_iter()
        .filter(|(name, _)| edits.iter().any(|edit| key(&edit.name) == key(name)))
        .map(|(name, text)| RefEdit::delete(name, text))
        .collect();
    edits.extend(replaced);
    refs::apply(repo, &edits)
}

/// Remembers what a person made.
pub(super) fn keep_by_hand<'a>(
    repo: &Repo,
    resolutions: impl IntoIterator<Item = (&'a str, &'a Oid)>,
) -> Result<(), GitError> {
    refs::apply(repo, &edits(BY_HAND, resolutions))
}

fn edits<'a>(prefix: &str, resolutions: impl IntoIterator<Item = (&'a str, &'a Oid)>) -> Vec<RefEdit> {
    // Two files of one commit may have the same sides.
    let one_each: BTreeMap<&str, &Oid> = resolutions.into_iter().collect();
    let edit = |(key, text): (&str, &Oid)| RefEdit {
        name: format!("{prefix}{key}"),
        new: Some(text.clone()),
        old: Expected::Any,
    };
    one_each.into_iter().map(edit).collect()
}

fn key(name: &str) -> Option<&str> {
    name.rsplit('/').next()
}
