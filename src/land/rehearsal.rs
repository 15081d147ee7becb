//! The queue told ([`Rehearsal`]): what a landing would come to, up to its checks. Nothing is moved, recorded or asked.

use super::one::{Ready, landed, ready};
use super::publish::Way;
use super::replay::{Replay, replay};
use super::report::{Fate, Landed, Report};
use super::review::Fences;
use super::{Conflicts, LandError, Landing, resolve};
use crate::git::replay::Replayer;
use crate::model::{Oid, Roster, Task};

/// A landing that is only told.
pub(super) struct Rehearsal<'a> {
    landing: &'a Landing<'a>,
    tip: Oid,
    replayer: Replayer<'a>,
    roster: &'a Roster,
}

impl<'a> Rehearsal<'a> {
    pub(super) fn new(landing: &'a Landing<'a>, roster: &'a Roster, tip: Oid) -> Self {
        Self { landing, tip, replayer: Replayer::new(landing.repo), roster }
    }

    /// Replays `tasks` one on top of the other, without checks.
    pub(super) fn run(mut self, tasks: &[Task], report: &mut Report) -> Result<(), LandError> {
        let repo = self.landing.repo;
        let way = Way::to(repo, self.landing.target)?;
        for task in tasks {
            self.landing.observer.step(&format!("replaying `{}`", task.name()));
            let mut landed = Landed::new(task);
            landed.fate = match ready(repo, task, report)? {
                Err(why) => Fate::LeftOut(why),
                Ok(ready) => {
                    landed.head = Some(ready.head.clone());
                    self.tell(task, &ready, &way, (report, &mut landed))?
                }
            };
            report.tasks.push(landed);
        }
        report.after = self.tip;
        Ok(())
    }

    /// `about`: what was told of the others, and what is to be told of this one beside its fate.
    fn tell(
        &mut self,
        task: &Task,
        ready: &Ready<'_>,
        way: &Way,
        about: (&Report, &mut Landed),
    ) -> Result<Fate, LandError> {
        let (others, mine) = about;
        let Landing { repo, settings, conflicts, .. } = *self.landing;
        let mut replayed = replay(repo, &mut self.replayer, ready.workspace, &self.tip, &ready.head)?;
        let mut reason = None;
        if let Replay::Conflict { commit: Some(_), .. } = replayed {
            let (outcome, asked) = resolve::rehearse(repo, &self.tip, &ready.head)?;
            if outcome.stop.is_none() {
                replayed = Replay::Clean { tip: outcome.tip, commits: outcome.commits.len() };
            } else if conflicts == Conflicts::ToAgent && !asked.is_empty() {
                reason = Some(format!(
                    "`{}` would be asked to merge `{}`",
                    settings.merge.agent,
                    asked.join("`, `")
                ));
            }
        }
        Ok(match replayed {
            Replay::Conflict { paths, commit } => Fate::Conflict { paths, commit, reason },
            Replay::Impossible(why) => Fate::LeftOut(why),
            Replay::Clean { tip, commits } => {
                if let Some(why) = way.obstacle(repo, &self.tip, &tip)? {
                    return Ok(Fate::LeftOut(why));
                }
                let guarded = &settings.merge.review;
                let fences = Fences { guarded, roster: self.roster, landed: &others.tasks };
                let crossed = fences.crossed(repo, task, &ready.head, &self.tip, &tip)?;
                mine.flagged = crossed.outside;
                if let Some(reason) = crossed.held {
                    return Ok(Fate::Review { reason, paths: Vec::new() });
                }
                self.tip = tip.clone();
                landed(task, tip, commits)
            }
        })
    }
}
