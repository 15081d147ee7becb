//! The steps before any agent: what git remembers (`git rerere`), then a structural merge; each judged like an agent's result.
//!
//! Invariant: nothing here costs money, changes the repository or needs a person; what cannot be used is told and passed over.

use super::Found;
use super::open::Open;
use super::structural::Tools;
use crate::git::conflict::Conflict;
use crate::git::{GitError, rerere, tree};
use crate::land::Landing;
use crate::land::conserve::{self, Judgement, Names, Sides};
use crate::model::Oid;
use crate::model::event::ResolvedBy;
use crate::model::observer::Silent;
use crate::model::settings::Structural;
use crate::model::text::one_line;
use crate::store::Lock;

/// What a file became without an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The merged text.
    pub text: Vec<u8>,
    /// Which step made it.
    pub by: ResolvedBy,
}

/// Returns what the steps that need neither a repository nor an agent make of one conflicted file, as a landing would take
/// it: a structural merge that keeps both sides. The tool is started under a guard, which is this very program started again
/// with [`crate::process::guard::ROLE`]: a program that is not `wt` has to answer to that as `wt` does.
pub fn without_agent(sides: &Sides<'_>, structural: &Structural) -> Option<Resolved> {
    let text = Tools::new(structural, &Silent, None).merge(sides, &Names::default())?;
    Some(Resolved { text, by: ResolvedBy::Structural })
}

/// The steps of one landing, or of telling what it would come to.
pub(in crate::land) struct Steps<'a> {
    landing: &'a Landing<'a>,
    tools: Tools<'a>,
}

impl<'a> Steps<'a> {
    /// `lock`: the landing lock, where it is held.
    pub(in crate::land) fn new(landing: &'a Landing<'a>, lock: Option<&'a Lock>) -> Self {
        let tools = Tools::new(&landing.site.settings.merge.structural, landing.observer, lock);
        Self { landing, tools }
    }

    /// Returns for each of these files of one commit what it becomes, where one of the steps knows.
    pub(super) fn take(
        &self,
        tip: &Oid,
        commit: &Oid,
        conflict: &Conflict,
        open: &[Open],
        task: &str,
    ) -> Result<Vec<Option<Found>>, GitError> {
        let repo = self.landing.site.repo;
        let names = Names { ours: self.landing.target, theirs: task };
        let recorded = self.recorded(tip, commit, conflict, open)?;
        let mut found = Vec::new();
        for (file, recorded) in open.iter().zip(recorded) {
            let made = match recorded.and_then(|text| self.judged(file, text, &names)) {
                Some((text, doubts)) => Some((text, doubts, ResolvedBy::Rerere)),
                None => self
                    .tools
                    .merge(&file.sides(), &names)
                    .map(|text| (text, Vec::new(), ResolvedBy::Structural)),
            };
            found.push(match made {
                Some((text, doubts, by)) => {
                    Some(Found { blob: tree::write_blob(repo, &text)?, doubts, session: None, by })
                }
                None => None,
            });
        }
        Ok(found)
    }

    /// What git cannot tell is not remembered: the next step goes on.
    fn recorded(
        &self,
        tip: &Oid,
        commit: &Oid,
        conflict: &Conflict,
        open: &[Open],
    ) -> Result<Vec<Option<Vec<u8>>>, GitError> {
        let paths: Vec<&str> = open.iter().map(|file| file.text.path.as_str()).collect();
        let beside = self.landing.site.layout.resolutions();
        match rerere::recorded(self.landing.site.repo, &beside, tip, commit, conflict, &paths) {
            Err(cause @ GitError::Unusable(_)) => Err(cause),
            Err(cause) => {
                let why = one_line(&cause.to_string(), 200);
                self.landing.observer.warn(&format!("what git remembers of conflicts cannot be used: {why}"));
                Ok(vec![None; paths.len()])
            }
            found => found,
        }
    }

    /// Returns a remembered text with what speaks against it, unless something is shown to be wrong with it.
    fn judged(&self, file: &Open, text: Vec<u8>, names: &Names<'_>) -> Option<(Vec<u8>, Vec<String>)> {
        let judgement = conserve::judge(&file.sides(), &text, &[], None);
        let told = judgement.doubts().iter().map(|doubt| format!("{}: {}", doubt.path, doubt.told(names)));
        if let Judgement::Refused(_) = judgement {
            let first = one_line(&told.into_iter().next().unwrap_or_default(), 300);
            let warning = format!("the resolution that `git rerere` remembers is not taken: {first}");
            self.landing.observer.warn(&warning);
            return None;
        }
        let doubts = told.collect();
        Some((text, doubts))
    }
}
