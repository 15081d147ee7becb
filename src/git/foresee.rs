//! Whether branches would conflict with their target, foreseen by merging in memory; one git call for many.
//!
//! It is the merge of the two commits: uncommitted work is not in it, and a landing, which replays commit by commit, may still
//! stop at a conflict that a later commit of the branch makes good.
//!
//! Invariant: nothing is left behind, not even objects: those of the trial merges go to a folder that is deleted.

use std::fmt::Write as _;
use std::time::Duration;

use super::command::Git;
use super::{GitError, Repo, replay};
use crate::model::Oid;

/// Tells for each of the heads whether merging it with `target` would conflict; `None` where git cannot merge them at all.
/// `limit` bounds the whole question.
pub fn would_conflict(
    repo: &Repo,
    target: &Oid,
    heads: &[Oid],
    limit: Duration,
) -> Result<Vec<Option<bool>>, GitError> {
    if heads.is_empty() {
        return Ok(Vec::new());
    }
    repo.require_git()?;
    let scratch = tempfile::tempdir()?;
    let mut pairs = String::new();
    for head in heads {
        let _ = writeln!(pairs, "{target} {head}");
    }
    let call = Git::on(repo, "merge-tree")
        .args(["--write-tree", "--stdin", "--name-only", "--no-messages", "--allow-unrelated-histories"])
        .attributes_of(target.as_str())
        .env("GIT_OBJECT_DIRECTORY", scratch.path())
        .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", repo.common_dir().join("objects"));
    let ended = call.stdin(pairs).within(limit).finish()?;
    let mut verdicts: Vec<Option<bool>> = read(&ended.stdout).map(Some).take(heads.len()).collect();
    // One pair that cannot be merged ends the call: it is asked for alone, as are those after it.
    for head in &heads[verdicts.len()..] {
        verdicts.push(replay::merge(repo, None, target, head).ok().map(|merged| merged.is_conflict()));
    }
    Ok(verdicts)
}

/// Reads the verdicts: for each pair 0 (conflict) or 1 (clean), the tree, the paths that conflict, and an empty field.
fn read(answer: &[u8]) -> impl Iterator<Item = bool> {
    let mut fields = answer.split(|b| *b == 0);
    std::iter::from_fn(move || {
        let conflicts = match fields.next()? {
            b"0" => true,
            b"1" => false,
            _ => return None,
        };
        // One that was cut short is none.
        fields.find(|field| field.is_empty())?;
        Some(conflicts)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_read_up_to_the_one_that_was_cut_short() {
        let all = |text: &str| read(text.replace('|', "\0").as_bytes()).collect::<Vec<_>>();
        assert_eq!(all("0|aaaa|f|g||1|bbbb||"), [true, false]);
        assert_eq!(all("0|aaaa|f||1"), [true]);
        assert_eq!(all("-1|"), [] as [bool; 0]);
        assert_eq!(all(""), [] as [bool; 0]);
    }
}
