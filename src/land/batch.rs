//! Several tasks landed at once: a chain of their commits, whose last one is checked for all of them.
//!
//! ```text
//!  take up ▶ chain (each onto the one before) ▶ check the tip ─ green ▶ publish all
//!                │ not clean, guarded, in the way                └ red ▶ bisect ▶ publish what is before the culprit
//!                ▼                                                        │        the culprit is rejected
//!             alone, after the others                                     └ what is behind it: the next batch
//! ```
//!
//! Invariant: the target only moves to a commit on which every check of every task up to it has passed. What needs more
//! than a replay (a resolver, a person) is landed alone, after its batch, unless a task of the batch waits for it.

use std::collections::BTreeSet;

use super::LandError;
use super::one::{Course, Ready, landed, ready};
use super::publish::{Outcome, Publication, Way};
use super::replay::Replay;
use super::report::{Fate, Landed, LeftOut, Report};
use super::review;
use super::settled::Settled;
use super::verify::{Failure, Passengers, Verdict, steps_of_all};
use crate::failpoint;
use crate::model::{Event, Oid, State, Task, TaskId};
use crate::store::Journal;

/// How often a batch is chained anew because the target moved under it.
const ROUNDS: u32 = 5;

/// How many tasks are landed at once: fewer after a check failed, more again after one passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    now: usize,
    most: usize,
}

impl Size {
    pub(super) fn new(most: usize) -> Self {
        Self { now: most.max(1), most: most.max(1) }
    }

    pub(super) fn now(self) -> usize {
        self.now
    }

    pub(super) fn after(self, ended: Ended) -> Self {
        let now = match ended {
            Ended::Green => (self.now * 2).min(self.most),
            Ended::Red => (self.now / 2).max(1),
        };
        Self { now, ..self }
    }
}

/// How the checks of a batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Green,
    Red,
}

/// What became of a batch.
pub(super) struct Batched<'t> {
    pub ended: Ended,
    /// What is to be landed alone next, taken up already.
    pub alone: Vec<&'t Task>,
    /// What stood behind a culprit, taken up already.
    pub behind: Vec<&'t Task>,
}

/// A task of the batch.
struct Taken<'t> {
    task: &'t Task,
    ready: Ready<'t>,
}

/// A task's commits on the chain.
struct Link<'t> {
    task: &'t Task,
    head: Oid,
    tip: Oid,
    commits: usize,
    /// What it changes outside of what it owns.
    outside: Vec<String>,
}

/// What a chain came to.
enum Chained {
    /// It was published, or a part of it.
    Over { ended: Ended, behind: Vec<TaskId> },
    /// The target moved.
    Moved,
}

impl Course<'_> {
    /// Lands a batch; what is decided goes into the report. `taken`: tasks that are in `landing` already.
    pub(super) fn batch<'t>(
        &self,
        tasks: &[&'t Task],
        taken: &mut BTreeSet<TaskId>,
        journal: &mut Journal,
        report: &mut Report,
    ) -> Result<Batched<'t>, LandError> {
        let mut fit = Vec::new();
        let settled = Settled::of(self.landing.site.repo, tasks.iter().copied());
        for task in tasks {
            match ready(self.landing.site.repo, task, &settled, report)? {
                Ok(ready) => fit.push(Taken { task, ready }),
                Err(why) => self.leave_out(task, why, taken, journal, report)?,
            }
        }
        self.take_up_all(&mut fit, taken, journal, report)?;
        let mut alone = Vec::new();
        for _ in 0..ROUNDS {
            let target = self.landing.target;
            let gone = || LandError::NoTarget { target: target.to_owned() };
            let old = self.landing.site.repo.branch_tip(target)?.ok_or_else(gone)?;
            let chain = self.chain(&mut fit, &mut alone, &old)?;
            if chain.is_empty() {
                return Ok(Batched { ended: Ended::Green, alone, behind: Vec::new() });
            }
            failpoint::hit("land.after_replay");
            if let Chained::Over { ended, behind } = self.run_chain(&old, &chain, journal, report)? {
                let behind = tasks.iter().copied().filter(|task| behind.contains(&task.id)).collect();
                return Ok(Batched { ended, alone, behind });
            }
        }
        for Taken { task, .. } in fit {
            self.leave_out(task, LeftOut::Outrun { times: ROUNDS }, taken, journal, report)?;
        }
        Ok(Batched { ended: Ended::Green, alone, behind: Vec::new() })
    }

    fn leave_out(
        &self,
        task: &Task,
        why: LeftOut,
        taken: &BTreeSet<TaskId>,
        journal: &mut Journal,
        report: &mut Report,
    ) -> Result<(), LandError> {
        if taken.contains(&task.id) {
            let event = Event::LandingAborted { reason: why.to_string() };
            journal.append(self.landing.site.clock.now(), vec![(Some(task.id.clone()), event)])?;
        }
        report.tasks.push(Landed { fate: Fate::LeftOut(why), ..Landed::new(task) });
        Ok(())
    }

    /// Records the beginning for all of them at once, but for those that somebody else changed since the queue was made.
    fn take_up_all(
        &self,
        fit: &mut Vec<Taken<'_>>,
        taken: &mut BTreeSet<TaskId>,
        journal: &mut Journal,
        report: &mut Report,
    ) -> Result<(), LandError> {
        let changed = journal.transact(self.landing.site.clock.now(), |roster| {
            let mut events = Vec::new();
            let mut changed = Vec::new();
            for Taken { task, ready } in &*fit {
                let now = roster.get(&task.id).map(|task| &task.state);
                let held = taken.contains(&task.id) && matches!(now, Some(State::Landing { .. }));
                if held {
                    continue;
                }
                if now == Some(&task.state) {
                    events.push((Some(task.id.clone()), Event::LandingStarted { head: ready.head.clone() }));
                } else {
                    changed.push((task.id.clone(), now.map_or("unknown", State::word)));
                }
            }
            Ok::<_, LandError>((events, changed))
        })?;
        for (id, state) in changed {
            if let Some(at) = fit.iter().position(|there| there.task.id == id) {
                let task = fit.remove(at).task;
                let fate = Fate::LeftOut(LeftOut::Changed { state });
                report.tasks.push(Landed { fate, ..Landed::new(task) });
            }
        }
        taken.extend(fit.iter().map(|there| there.task.id.clone()));
        failpoint::hit("land.after_started");
        Ok(())
    }

    /// Chains what goes on without anybody's help; everything else moves from `fit` to `alone`.
    fn chain<'t>(
        &self,
        fit: &mut Vec<Taken<'t>>,
        alone: &mut Vec<&'t Task>,
        old: &Oid,
    ) -> Result<Vec<Link<'t>>, LandError> {
        let repo = self.landing.site.repo;
        let way = Way::to(repo, self.landing.target)?;
        loop {
            let heads: Vec<Oid> = fit.iter().map(|there| there.ready.head.clone()).collect();
            self.replayer.borrow_mut().look_ahead(old, &heads);
            let mut chain: Vec<Link<'t>> = Vec::new();
            let mut tip = old.clone();
            let mut out: BTreeSet<TaskId> = BTreeSet::new();
            for Taken { task, ready } in &*fit {
                self.landing.observer.step(&format!(
                    "replaying `{}` onto `{}`",
                    task.name(),
                    self.landing.target
                ));
                let waits = task.spec.after.iter().any(|parent| out.contains(parent));
                let replayer = &mut self.replayer.borrow_mut();
                let link = match self.style.replay(replayer, task, ready, &tip)? {
                    Replay::Clean { tip: new, commits, .. } if !waits && new != tip => {
                        let crossed = self.fences.crossed(repo, task, &ready.head, &tip, &new)?;
                        crossed.held.is_none().then_some((new, commits, crossed.outside))
                    }
                    _ => None,
                };
                let Some((new, commits, outside)) = link else {
                    out.insert(task.id.clone());
                    continue;
                };
                tip = new.clone();
                chain.push(Link { task, head: ready.head.clone(), tip: new, commits, outside });
            }
            // Whatever is in the way of one must not keep the others from landing.
            if way.obstacle(repo, old, &tip)?.is_some() {
                let mut before = old;
                for link in &chain {
                    if way.obstacle(repo, before, &link.tip)?.is_some() {
                        out.insert(link.task.id.clone());
                    }
                    before = &link.tip;
                }
            }
            let (leaving, staying): (Vec<_>, Vec<_>) =
                std::mem::take(fit).into_iter().partition(|there| out.contains(&there.task.id));
            *fit = staying;
            let broken = leaving.iter().any(|there| chain.iter().any(|link| link.task.id == there.task.id));
            alone.extend(leaving.into_iter().map(|there| there.task));
            if !broken {
                return Ok(chain);
            }
        }
    }

    /// Checks a chain and publishes as much of it as is green.
    fn run_chain(
        &self,
        old: &Oid,
        chain: &[Link<'_>],
        journal: &mut Journal,
        report: &mut Report,
    ) -> Result<Chained, LandError> {
        let (mut green, mut red) = (0, chain.len() + 1);
        let mut failure: Option<Failure> = None;
        let mut flaky = Vec::new();
        while red - green > 1 {
            // The whole chain first; then halves, up to the first prefix that fails.
            let upto = if failure.is_none() { chain.len() } else { usize::midpoint(green, red) };
            match self.check(&chain[..upto])? {
                Verdict::Passed { flaky: steps } => {
                    flaky = steps;
                    green = upto;
                }
                Verdict::Failed(found) => {
                    failure = Some(found);
                    red = upto;
                }
            }
        }
        if green > 0 {
            let new = &chain[green - 1].tip;
            self.landing.observer.step(&format!("moving `{}` to {}", self.landing.target, new.short()));
            let tasks: Vec<_> = chain[..green]
                .iter()
                .map(|link| (link.task.id.clone(), link.tip.clone(), link.commits))
                .collect();
            let (landing, id) = (self.landing, self.id.as_str());
            match (Publication { landing, id, tasks: &tasks, old, new }).publish(journal)? {
                Outcome::Published => {}
                // What came into the way since it was chained is found when it is chained again.
                Outcome::Moved | Outcome::Blocked(_) => return Ok(Chained::Moved),
            }
            for link in &chain[..green] {
                if let Err(cause) = review::drop_candidate(self.landing.site.repo, link.task) {
                    self.landing.observer.warn(&format!("a candidate is not dropped: {cause}"));
                }
                report.tasks.push(Landed {
                    head: Some(link.head.clone()),
                    fate: landed(link.task, link.tip.clone(), link.commits),
                    flaky: flaky.clone(),
                    flagged: link.outside.clone(),
                    ..Landed::new(link.task)
                });
            }
        }
        let Some(failure) = failure else {
            return Ok(Chained::Over { ended: Ended::Green, behind: Vec::new() });
        };
        let culprit = &chain[red - 1];
        let onto = if red > 1 { chain[red - 2].tip.clone() } else { old.clone() };
        let log = Some(failure.log.to_string_lossy().into_owned());
        let event = Event::Rejected { reason: failure.to_string(), onto, log };
        journal.append(self.landing.site.clock.now(), vec![(Some(culprit.task.id.clone()), event)])?;
        report.tasks.push(Landed {
            head: Some(culprit.head.clone()),
            fate: Fate::Rejected(failure),
            flagged: culprit.outside.clone(),
            ..Landed::new(culprit.task)
        });
        let behind = chain[red..].iter().map(|link| link.task.id.clone()).collect();
        Ok(Chained::Over { ended: Ended::Red, behind })
    }

    /// Checks the last commit of a part of the chain, for all tasks in it.
    fn check(&self, part: &[Link<'_>]) -> Result<Verdict, LandError> {
        let tip = &part.last().expect("a part that is checked is never empty").tip;
        let steps =
            steps_of_all(self.landing.checks, self.landing.site.settings, part.iter().map(|link| link.task));
        let who = Passengers { first: part[0].task.name(), more: part.len() - 1 };
        Ok(self.bench.verify(&who, tip, &steps)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_shrinks_when_a_check_fails_and_grows_back() {
        let mut size = Size::new(8);
        let mut seen = Vec::new();
        for ended in [
            Ended::Red,
            Ended::Red,
            Ended::Red,
            Ended::Red,
            Ended::Green,
            Ended::Green,
            Ended::Green,
            Ended::Green,
        ] {
            size = size.after(ended);
            seen.push(size.now());
        }
        assert_eq!(seen, [4, 2, 1, 1, 2, 4, 8, 8]);
        assert_eq!(Size::new(0).now(), 1);
    }
}
