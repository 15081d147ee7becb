//! The queue told ([`Rehearsal`]): what a landing would come to, up to its checks. Nothing is moved, recorded or asked.

use super::one::{Ready, landed, ready};
use super::publish::Way;
use super::replay::Replay;
use super::report::{Fate, Landed, Report};
use super::review::Fences;
use super::settled::Settled;
use super::style::Style;
use super::{Conflicts, LandError, Landing, resolve, review};
use crate::git::replay::Replayer;
use crate::model::{Oid, Task};
use crate::workspace::Site;

/// A landing that is only told.
pub(super) struct Rehearsal<'a> {
    landing: &'a Landing<'a>,
    tip: Oid,
    style: Style<'a>,
    replayer: Replayer<'a>,
    steps: resolve::Steps<'a>,
    fences: Fences<'a>,
}

impl<'a> Rehearsal<'a> {
    pub(super) fn new(
        landing: &'a Landing<'a>,
        fences: Fences<'a>,
        tip: Oid,
        style: Style<'a>,
        replayer: Replayer<'a>,
    ) -> Self {
        let steps = resolve::Steps::new(landing, None);
        Self { landing, tip, style, replayer, steps, fences }
    }

    /// Replays `tasks` one on top of the other, without checks.
    pub(super) fn run(mut self, tasks: &[Task], report: &mut Report) -> Result<(), LandError> {
        let repo = self.landing.site.repo;
        let way = Way::to(repo, self.landing.target)?;
        let settled = Settled::of(repo, tasks);
        for task in tasks {
            self.landing.observer.step(&format!("replaying `{}`", task.name()));
            let mut landed = Landed::new(task);
            landed.fate = match ready(repo, task, &settled, report)? {
                Err(why) => Fate::LeftOut(why),
                Ok(ready) => {
                    landed.head = Some(ready.head.clone());
                    self.tell(task, &ready, &way, &mut landed)?
                }
            };
            report.tasks.push(landed);
        }
        report.after = self.tip;
        Ok(())
    }

    /// Tells what would become of a task; `about` is told what else there is to know.
    fn tell(
        &mut self,
        task: &Task,
        ready: &Ready<'_>,
        way: &Way,
        about: &mut Landed,
    ) -> Result<Fate, LandError> {
        let Landing { site: &Site { repo, settings, .. }, conflicts, .. } = *self.landing;
        let mut replayed = self.style.replay(&mut self.replayer, task, ready, &self.tip)?;
        let mut reason = None;
        if let Replay::Conflict { commit: Some(_), paths } = &replayed {
            let name = task.name().as_str();
            let told = resolve::rehearse(&self.steps, repo, &self.replayer, name, &self.tip, &ready.head)?;
            let resolve::Rehearsed { outcome, asked, resolved: all, doubts } = told;
            about.resolved = all;
            if outcome.stop.is_none() {
                if let Some(reason) = review::doubtful(&doubts) {
                    return Ok(Fate::Review { reason, paths: paths.clone() });
                }
                let clean = outcome.into();
                replayed = self.style.shape(&mut self.replayer, task, ready, &self.tip, clean)?;
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
            Replay::Clean { tip, commits, .. } => {
                if let Some(why) = way.obstacle(repo, &self.tip, &tip)? {
                    return Ok(Fate::LeftOut(why));
                }
                let crossed = self.fences.crossed(repo, task, &ready.head, &self.tip, &tip)?;
                about.flagged = crossed.outside;
                if let Some(reason) = crossed.held {
                    return Ok(Fate::Review { reason, paths: Vec::new() });
                }
                self.tip = tip.clone();
                landed(task, tip, commits)
            }
        })
    }
}
