//! The queue told ([`Rehearsal`]): what a landing would come to, up to its checks. Nothing is moved, recorded or asked.

use super::one::{Ready, landed, ready};
use super::publish::Way;
use super::replay::{Replay, replay};
use super::report::{Fate, Landed, Report};
use super::{Conflicts, LandError, Landing, resolve, review};
use crate::git::replay::Replayer;
use crate::model::event::ResolvedPath;
use crate::model::{Oid, Task};

/// A landing that is only told.
pub(super) struct Rehearsal<'a> {
    landing: &'a Landing<'a>,
    tip: Oid,
    replayer: Replayer<'a>,
    steps: resolve::Steps<'a>,
}

impl<'a> Rehearsal<'a> {
    pub(super) fn new(landing: &'a Landing<'a>, tip: Oid) -> Self {
        let steps = resolve::Steps::new(landing, None);
        Self { landing, tip, replayer: Replayer::new(landing.repo), steps }
    }

    /// Replays `tasks` one on top of the other, without checks.
    pub(super) fn run(mut self, tasks: &[Task], report: &mut Report) -> Result<(), LandError> {
        let repo = self.landing.repo;
        let way = Way::to(repo, self.landing.target)?;
        for task in tasks {
            self.landing.observer.step(&format!("replaying `{}`", task.name()));
            let mut about = Landed::new(task);
            about.fate = match ready(repo, task, report)? {
                Err(why) => Fate::LeftOut(why),
                Ok(ready) => {
                    about.head = Some(ready.head.clone());
                    self.tell(task, &ready, &way, &mut about.resolved)?
                }
            };
            report.tasks.push(about);
        }
        report.after = self.tip;
        Ok(())
    }

    /// `resolved` becomes what of the task would be resolved.
    fn tell(
        &mut self,
        task: &Task,
        ready: &Ready<'_>,
        way: &Way,
        resolved: &mut Vec<ResolvedPath>,
    ) -> Result<Fate, LandError> {
        let Landing { repo, settings, conflicts, .. } = *self.landing;
        let mut replayed = replay(repo, &mut self.replayer, ready.workspace, &self.tip, &ready.head)?;
        let mut reason = None;
        if let Replay::Conflict { commit: Some(_), paths } = &replayed {
            let name = task.name().as_str();
            let told = resolve::rehearse(&self.steps, repo, name, &self.tip, &ready.head)?;
            let resolve::Rehearsed { outcome, asked, resolved: all, doubts } = told;
            *resolved = all;
            if outcome.stop.is_none() {
                if let Some(reason) = review::doubtful(&doubts) {
                    return Ok(Fate::Review { reason, paths: paths.clone() });
                }
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
                let guarded =
                    review::guarded(repo, &settings.merge.review, task, &ready.head, &self.tip, &tip)?;
                if !guarded.is_empty() {
                    return Ok(Fate::Review { reason: review::approval(&guarded), paths: Vec::new() });
                }
                self.tip = tip.clone();
                landed(task, tip, commits)
            }
        })
    }
}
