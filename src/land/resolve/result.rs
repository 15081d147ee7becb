//! What a resolver left: read off its worktree, and judged file by file.
//!
//! Invariant: only the conflicted files are ever taken from there; whatever else changed counts against the call.

use std::collections::BTreeSet;

use super::AskError;
use super::ask::Conflicted;
use super::open::Open;
use crate::agent::call::Called;
use crate::git::Repo;
use crate::git::status::changed_paths;
use crate::git::tree::{self, Watched};
use crate::land::conserve::{self, DoubtKind, Judgement, Names, Side, Superseded};
use crate::land::kept::{Judged, KeptFile};
use crate::model::Oid;
use crate::model::event::ResolvedBy;
use crate::model::text::{few, one_line};

/// What one call came to.
pub(super) struct Tried {
    /// For each file what it became, and the judgement.
    pub(super) files: Vec<Option<(Oid, Judgement)>>,
    /// What is wrong with the call as a whole.
    pub(super) faults: Vec<String>,
    /// Whether telling it what is wrong may help.
    pub(super) again: bool,
    pub(super) session: Option<String>,
}

impl Tried {
    /// Returns what speaks against file `n`, a sentence each; faults of the call count against all.
    pub(super) fn doubts(&self, n: usize, names: &Names<'_>) -> Vec<String> {
        let judged = self.files[n].iter().flat_map(|(_, judgement)| judgement.doubts());
        let judged = judged.map(|doubt| format!("{}: {}", doubt.path, doubt.told(names)));
        self.faults.iter().cloned().chain(judged).collect()
    }

    pub(super) fn refused(&self) -> bool {
        let bad = |file: &Option<(Oid, Judgement)>| {
            file.as_ref().is_none_or(|(_, judgement)| matches!(judgement, Judgement::Refused(_)))
        };
        !self.faults.is_empty() || self.files.iter().any(bad)
    }

    /// Tells whether every file is there and without markers: something that a person can look at.
    pub(super) fn usable(&self) -> bool {
        self.files.iter().all(|file| {
            let doubts = file.as_ref().map(|(_, judgement)| judgement.doubts());
            doubts.is_some_and(|doubts| !doubts.iter().any(|doubt| doubt.kind == DoubtKind::Marker))
        })
    }
}

/// Reads what the agent left, and judges it.
pub(super) fn judged(
    repo: &Repo,
    what: &Conflicted<'_>,
    owners: &[Option<Side>],
    watched: &Watched<'_>,
    called: &Called,
    superseded: &[Superseded],
) -> Result<Tried, AskError> {
    let (mut files, mut faults) = (Vec::new(), Vec::new());
    match watched.now() {
        Ok(now) => {
            let open: BTreeSet<&str> = what.open.iter().map(|file| file.text.path.as_str()).collect();
            let changed = changed_paths(repo, watched.before(), &now)?;
            let stray: Vec<&str> =
                changed.iter().map(String::as_str).filter(|path| !open.contains(path)).collect();
            if !stray.is_empty() {
                faults.push(format!("it also changed {}", few(&stray)));
            }
            for (n, file) in what.open.iter().enumerate() {
                let path = &file.text.path;
                let found = match tree::entry(repo, &now, path)? {
                    None => Err(format!("it deleted `{path}`")),
                    Some((mode, _)) if mode != file.text.mode => {
                        Err(format!("it changed the type or mode of `{path}`"))
                    }
                    Some((_, blob)) => Ok(blob),
                };
                let found = found.map_err(|fault| faults.push(fault)).ok();
                files.push(match found {
                    Some(blob) => {
                        let judgement = judge(repo, file, &blob, superseded, owners[n])?;
                        Some((blob, judgement))
                    }
                    None => None,
                });
            }
        }
        Err(cause) => {
            files.resize_with(what.open.len(), || None);
            faults.push(format!("what it left cannot be read: {}", one_line(&cause.to_string(), 200)));
        }
    }
    Ok(Tried { files, faults, again: true, session: called.facts.session.clone() })
}

fn judge(
    repo: &Repo,
    file: &Open,
    blob: &Oid,
    superseded: &[Superseded],
    owner: Option<Side>,
) -> Result<Judgement, AskError> {
    Ok(conserve::judge(&file.sides(), &tree::blob(repo, blob)?, superseded, owner))
}

/// Returns what is kept of the files.
pub(super) fn kept_files(
    open: &[Open],
    tried: &Tried,
    superseded: &[Superseded],
    ours: &str,
    theirs: &str,
) -> Vec<KeptFile> {
    let names = Names { ours, theirs };
    let kept = |(n, file): (usize, &Open)| {
        let found = tried.files[n].as_ref();
        let given_up = superseded.iter().filter(|tag| tag.path == file.text.path);
        KeptFile {
            result: found.map(|(blob, _)| blob.clone()),
            by: found.map(|_| ResolvedBy::Agent),
            judged: found.map(|(_, judgement)| match judgement {
                Judgement::Kept => Judged::Kept,
                Judgement::Doubtful(_) => Judged::Doubtful,
                Judgement::Refused(_) => Judged::Refused,
            }),
            doubts: found.iter().flat_map(|(_, j)| j.doubts()).map(|doubt| doubt.told(&names)).collect(),
            superseded: given_up.map(|tag| (tag.quote.clone(), tag.reason.clone())).collect(),
            ..kept_file(file)
        }
    };
    open.iter().enumerate().map(kept).collect()
}

/// Returns what is kept of a file that became nothing yet.
pub(super) fn kept_file(file: &Open) -> KeptFile {
    KeptFile {
        path: file.text.path.clone(),
        key: file.key.clone(),
        kind: file.text.kind,
        mode: file.text.mode.clone(),
        base: file.text.base.clone(),
        ours: file.text.ours.clone(),
        theirs: file.text.theirs.clone(),
        result: None,
        by: None,
        judged: None,
        doubts: Vec::new(),
        superseded: Vec::new(),
    }
}
