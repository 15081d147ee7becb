//! The chain that one commit in conflict goes through, and the same told without an agent ([`rehearse`]).
//!
//! Invariant: a commit is resolved as a whole or not at all; each of its files is taken from the first step that has it.

use std::collections::BTreeMap;

use super::ask::{Asked, Conflicted, keep_sides};
use super::open::{Labels, Open, put, read};
use super::result::kept_file;
use super::{AskError, Found, Resolver, Settled, Steps, with_causes};
use crate::git::conflict::Conflict;
use crate::git::replay::{self, Replayer};
use crate::git::{GitError, Repo, conflict, tree};
use crate::land::kept::{Judged, KeptFile, Manifest};
use crate::land::{Conflicts, LandError, remembered};
use crate::model::event::{ConflictedPath, ResolvedBy, ResolvedPath};
use crate::model::{Oid, Roster, Usage};

/// Files with what they became, and files that nothing is known of.
type Sorted = (Vec<(Open, Found)>, Vec<Open>);

impl Resolver<'_> {
    /// Returns the merged tree of a commit that does not merge onto `tip`; `None`: it stays a conflict.
    pub(super) fn resolve(
        &mut self,
        roster: &Roster,
        old: &Oid,
        tip: &Oid,
        commit: &Oid,
    ) -> Result<Option<Oid>, LandError> {
        let repo = self.landing.site.repo;
        let Some(conflict) = conflict::conflict(repo, tip, commit)? else { return Ok(None) };
        let paths = conflict.files.iter();
        self.tally.paths.extend(paths.map(|f| ConflictedPath { path: f.path.clone(), kind: f.kind }));
        let labels = Labels::of(self.landing.target, self.task.name().as_str());
        let files = match read(repo, &conflict, tip, commit, &labels)? {
            Ok(files) => files,
            Err(why) => {
                self.tally.refusal = Some(format!("{why}: a person must decide"));
                return Ok(None);
            }
        };
        let (mut settled, mut open, mut fresh) = (Vec::new(), Vec::new(), Vec::new());
        let of = |file: &Open, blob: &Oid| (file.text.path.clone(), blob.clone());
        for mut file in files {
            let known = self.known.get(&file.key).cloned();
            if let Some(found) = known.clone().filter(|_| self.failed.is_none()) {
                self.take(&file, &found);
                if found.by != ResolvedBy::Rerere {
                    fresh.push(of(&file, &found.blob));
                }
                settled.push(put(&file.text, found.blob));
            } else if let Some((blob, by)) = remembered::recall(repo, &file.key)? {
                if by == ResolvedBy::Person {
                    self.tally.by_hand.insert(file.key.clone(), blob.clone());
                }
                self.tally.resolved.push(ResolvedPath { path: file.text.path.clone(), by });
                // It may be known by its three sides alone: a person's, or an approved one.
                fresh.push(of(&file, &blob));
                settled.push(put(&file.text, blob));
            } else {
                file.before = known;
                open.push(file);
            }
        }
        // What a check refused is for an agent: these steps would only say the same again.
        let (made, open) = match self.failed {
            Some(_) => (Vec::new(), open),
            None => self.without_agent(tip, commit, &conflict, open)?,
        };
        settled.extend(made.iter().map(|(file, found)| put(&file.text, found.blob.clone())));
        if !open.is_empty() {
            if self.landing.conflicts == Conflicts::ToPeople {
                return Ok(None);
            }
            let conflicted =
                Conflicted { roster, old, tip, commit, conflict: &conflict, settled: &settled, open: &open };
            match self.ask(&conflicted) {
                Ok(Asked::Results(results)) => {
                    for (file, found) in open.iter().zip(results) {
                        fresh.push(of(file, &found.blob));
                        settled.push(put(&file.text, found.blob.clone()));
                        self.accept(file, found);
                    }
                }
                Ok(Asked::Nothing(why)) => {
                    self.tally.refusal = Some(why);
                    return Ok(None);
                }
                Err(AskError::Git(cause @ GitError::Unusable(_))) => return Err(cause.into()),
                Err(cause) => {
                    self.tally.refusal = Some(with_causes(&cause));
                    return Ok(None);
                }
            }
        }
        if let Err(cause) = self.keep(tip, commit, &made) {
            self.tally.refusal = Some(with_causes(&cause));
            return Ok(None);
        }
        for (file, found) in made {
            if found.by != ResolvedBy::Rerere {
                fresh.push(of(&file, &found.blob));
            }
            self.accept(&file, found);
        }
        self.tally.settled.push(Settled { tip: tip.clone(), commit: commit.clone(), files: fresh });
        Ok(Some(tree::with(repo, &conflict.tree, &settled)?))
    }

    /// Sorts files into those that need no agent, with what they become, and the others.
    fn without_agent(
        &self,
        tip: &Oid,
        commit: &Oid,
        conflict: &Conflict,
        open: Vec<Open>,
    ) -> Result<Sorted, GitError> {
        let found = self.steps.take(tip, commit, conflict, &open, self.task.name().as_str())?;
        let (mut made, mut left) = (Vec::new(), Vec::new());
        for (file, found) in open.into_iter().zip(found) {
            match found {
                Some(found) => made.push((file, found)),
                None => left.push(file),
            }
        }
        Ok((made, left))
    }

    /// Keeps what was made without an agent: for people to look at, and for an approval.
    fn keep(&mut self, tip: &Oid, commit: &Oid, made: &[(Open, Found)]) -> Result<(), AskError> {
        if made.is_empty() {
            return Ok(());
        }
        let folder = self.next_folder();
        keep_sides(&folder, made.iter().map(|(file, _)| file))?;
        let mut files = Vec::new();
        for (n, (file, found)) in made.iter().enumerate() {
            folder.write_side(n, "result", &tree::blob(self.landing.site.repo, &found.blob)?)?;
            let judged = if found.doubts.is_empty() { Judged::Kept } else { Judged::Doubtful };
            files.push(KeptFile {
                result: Some(found.blob.clone()),
                by: Some(found.by),
                judged: Some(judged),
                doubts: found.doubts.clone(),
                ..kept_file(file)
            });
        }
        folder.save(&Manifest {
            schema: 1,
            task: self.task.id.clone(),
            commit: commit.clone(),
            onto: tip.clone(),
            target: self.landing.target.to_owned(),
            agent: None,
            attempt: 1,
            files,
            faults: Vec::new(),
            said: None,
            session: None,
            model: None,
            usage: Usage::default(),
            models: BTreeMap::new(),
            took_ms: 0,
        })?;
        self.unrecorded = true;
        Ok(())
    }

    fn accept(&mut self, file: &Open, found: Found) {
        self.take(file, &found);
        self.known.insert(file.key.clone(), found);
    }

    fn take(&mut self, file: &Open, found: &Found) {
        if found.by == ResolvedBy::Agent {
            if found.doubts.is_empty() {
                self.tally.fresh.insert(file.key.clone(), found.blob.clone());
            }
        } else {
            self.tally.unasked += 1;
        }
        if found.doubts.is_empty() {
            self.tally.resolved.push(ResolvedPath { path: file.text.path.clone(), by: found.by });
        }
        for doubt in &found.doubts {
            if !self.tally.doubts.contains(doubt) {
                self.tally.doubts.push(doubt.clone());
            }
        }
    }
}

/// What a landing would come to without an agent.
pub(in crate::land) struct Rehearsed {
    pub(in crate::land) outcome: replay::Outcome,
    /// The files of the first conflict that an agent would be asked to merge; none: a person must decide.
    pub(in crate::land) asked: Vec<String>,
    /// What was resolved up to there.
    pub(in crate::land) resolved: Vec<ResolvedPath>,
    /// What speaks against landing that without a person.
    pub(in crate::land) doubts: Vec<String>,
}

/// Replays as far as git, memory and tools go; for telling what would happen. `task`: its name.
pub(in crate::land) fn rehearse(
    steps: &Steps<'_>,
    repo: &Repo,
    like: &Replayer<'_>,
    task: &str,
    old: &Oid,
    head: &Oid,
) -> Result<Rehearsed, LandError> {
    let (mut asked, mut resolved, mut doubts) = (Vec::new(), Vec::new(), Vec::new());
    let outcome = like.again().replay_resolving(old, head, &mut |tip, commit| {
        let Some(conflict) = conflict::conflict(repo, tip, commit)? else { return Ok(None) };
        let Ok(files) = read(repo, &conflict, tip, commit, &Labels::default())? else { return Ok(None) };
        let (mut settled, mut open) = (Vec::new(), Vec::new());
        for file in files {
            match remembered::recall(repo, &file.key)? {
                Some((blob, by)) => {
                    resolved.push(ResolvedPath { path: file.text.path.clone(), by });
                    settled.push(put(&file.text, blob));
                }
                None => open.push(file),
            }
        }
        let found = steps.take(tip, commit, &conflict, &open, task)?;
        for (file, found) in open.into_iter().zip(found) {
            match found {
                Some(found) => {
                    if found.doubts.is_empty() {
                        resolved.push(ResolvedPath { path: file.text.path.clone(), by: found.by });
                    }
                    doubts.extend(found.doubts);
                    settled.push(put(&file.text, found.blob));
                }
                None => asked.push(file.text.path),
            }
        }
        if asked.is_empty() {
            Ok(Some(tree::with(repo, &conflict.tree, &settled)?))
        } else {
            Ok::<_, LandError>(None)
        }
    })?;
    Ok(Rehearsed { outcome, asked, resolved, doubts })
}
