//! The queue worked through ([`Course`]), and what a task alone comes to.
//!
//! Invariant: a task that was taken up leaves `landing` before the landing ends: landed, conflict, rejected, or back.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use super::batch::Size;
use super::passed::Passed;
use super::publish::{Outcome, Publication, Way, settle_held};
use super::replay::{Raw, Replay};
use super::report::{Fate, Landed, LeftOut, Report};
use super::resolve::{Resolver, Steps};
use super::review::Fences;
use super::settled::Settled;
use super::style::Style;
use super::verify::{Bench, Passengers, Verdict, steps, steps_of_all};
use super::{LandError, Landing, remembered, review};
use crate::failpoint;
use crate::git::replay::Replayer;
use crate::git::status::{InProgress, WorktreeStatus, in_progress, status};
use crate::git::{GitError, LinkedWorktree, Repo};
use crate::model::text::one_line;
use crate::model::{Event, Oid, State, Task, TaskId, Workspace};
use crate::store::{Journal, Lock};
use crate::workspace::Site;
use crate::workspace::shared;

/// How often a task is replayed because the target moved under it.
const ROUNDS: u32 = 5;

/// The longest reason for a review, in characters: `wt diff` shows every doubt.
const REASON: usize = 200;

/// A task that may be landed now.
pub(super) struct Ready<'a> {
    pub(super) workspace: &'a Workspace,
    pub(super) head: Oid,
}

/// Looks at a task's parents, branch and workspace before anything is begun.
pub(super) fn ready<'a>(
    repo: &Repo,
    task: &'a Task,
    settled: &Settled,
    report: &Report,
) -> Result<Result<Ready<'a>, LeftOut>, GitError> {
    // A parent that is not in this report has landed before: the queue says so.
    let parent = |done: &&Landed| task.spec.after.contains(&done.id) && !done.fate.is_landed();
    if let Some(parent) = report.tasks.iter().find(parent) {
        let (parent, state) = (parent.id.name.clone(), parent.fate.word());
        return Ok(Err(LeftOut::Parent { parent, state }));
    }
    let Some(workspace) = &task.workspace else { return Ok(Err(LeftOut::NoBranch)) };
    if workspace.branch == report.target {
        return Ok(Err(LeftOut::Itself));
    }
    let Some(head) = repo.branch_tip(&workspace.branch)? else { return Ok(Err(LeftOut::NoBranch)) };
    let empty = head == workspace.base && !matches!(task.state, State::Done { skipped: true });
    match shared::committed(repo, &head) {
        Ok(None) => {}
        Ok(Some(path)) => return Ok(Err(LeftOut::Generated { path })),
        Err(cause) => return Ok(Err(LeftOut::unreadable(cause)?)),
    }
    Ok(match unfit(repo, workspace, settled.has(&task.id)) {
        // Work that is on another branch, or in no commit, says more than that there is none.
        Ok(None) if empty => Err(LeftOut::Empty),
        Ok(None) => Ok(Ready { workspace, head }),
        Ok(Some(why)) => Err(why),
        Err(cause) => Err(LeftOut::unreadable(cause)?),
    })
}

/// Returns what in the workspace would be forgotten if its branch were landed now; `clean`: it was looked at already, and
/// nothing is uncommitted.
fn unfit(repo: &Repo, workspace: &Workspace, clean: bool) -> Result<Option<LeftOut>, GitError> {
    let path = std::path::Path::new(&workspace.path);
    if !path.exists() {
        return Ok(None);
    }
    let worktree = LinkedWorktree::open(repo, &workspace.entry, path)?;
    if let Some(what) = in_progress(worktree.checkout()).map(InProgress::words) {
        return Ok(Some(LeftOut::Unfinished { what }));
    }
    let status = if clean { WorktreeStatus::default() } else { status(worktree.checkout())? };
    if status.dirty() {
        let mut paths = [status.staged, status.unstaged, status.untracked, status.unmerged].concat();
        paths.sort();
        paths.dedup();
        return Ok(Some(LeftOut::Dirty { paths }));
    }
    let on = worktree.checkout().branch()?;
    Ok((on.as_ref() != Some(&workspace.branch)).then_some(LeftOut::Strayed { on }))
}

/// Tells what a task with these commits counts as.
pub(super) fn landed(task: &Task, tip: Oid, commits: usize) -> Fate {
    match task.state {
        State::Done { skipped: true } if commits == 0 => Fate::Nothing,
        _ => Fate::Landed { tip, commits },
    }
}

/// A landing that is done.
pub(super) struct Course<'a> {
    pub(super) landing: &'a Landing<'a>,
    pub(super) id: String,
    pub(super) bench: Bench<'a>,
    pub(super) style: Style<'a>,
    pub(super) replayer: RefCell<Replayer<'a>>,
    /// What resolves conflicts before an agent is asked.
    steps: Steps<'a>,
    pub(super) fences: Fences<'a>,
}

impl<'a> Course<'a> {
    pub(super) fn new(
        landing: &'a Landing<'a>,
        lock: &'a Lock,
        fences: Fences<'a>,
        style: Style<'a>,
        replayer: Replayer<'a>,
    ) -> Self {
        let id = uuid::Uuid::now_v7().simple().to_string();
        let logs = landing.site.layout.landing(&id);
        let passed = Passed::at(landing.site.layout.passed());
        let bench = Bench {
            landing,
            lock,
            logs,
            furnished: Cell::new(false),
            surroundings: RefCell::default(),
            passed,
        };
        let steps = Steps::new(landing, Some(lock));
        Self { landing, id, bench, style, replayer: RefCell::new(replayer), steps, fences }
    }

    /// Lands `tasks`, batch by batch; what cannot go on ends it, with every task put right.
    pub(super) fn run(&self, tasks: &[Task], journal: &mut Journal, report: &mut Report) {
        if let Err(cause) = self.batches(tasks, journal, report) {
            // Whatever it looks like: a check, an agent or git was cut short.
            let cause = self.landing.halt.cause().map_or(cause, LandError::Halted);
            self.put_right(&cause, journal);
            report.stopped = Some(cause);
        }
        let place = |id: &TaskId| tasks.iter().position(|task| task.id == *id);
        report.tasks.sort_by_key(|landed| place(&landed.id));
        if let Ok(Some(after)) = self.landing.site.repo.branch_tip(self.landing.target) {
            report.after = after;
        }
    }

    fn batches(&self, tasks: &[Task], journal: &mut Journal, report: &mut Report) -> Result<(), LandError> {
        let Landing { site: &Site { settings, .. }, checks, .. } = *self.landing;
        let most = usize::try_from(settings.merge.batch).unwrap_or(usize::MAX);
        let unchecked = steps_of_all(checks, settings, tasks).is_empty();
        let mut size = Size::new(if unchecked { tasks.len() } else { most });
        let mut line: Vec<&Task> = tasks.iter().collect();
        let mut taken: BTreeSet<TaskId> = BTreeSet::new();
        while !line.is_empty() {
            self.require_going()?;
            let next: Vec<&Task> = line.drain(..size.now().min(line.len())).collect();
            let batched = self.batch(&next, &mut taken, journal, report)?;
            if batched.behind.is_empty() {
                for task in batched.alone {
                    self.require_going()?;
                    let landed = self.alone(task, journal, report)?;
                    report.tasks.push(landed);
                }
            } else {
                // What is left keeps its order.
                let left =
                    |task: &&Task| batched.behind.iter().chain(&batched.alone).any(|left| left.id == task.id);
                line.splice(..0, next.into_iter().filter(left));
            }
            size = size.after(batched.ended);
        }
        Ok(())
    }

    /// Refuses to go on if somebody asked for the end.
    pub(super) fn require_going(&self) -> Result<(), LandError> {
        self.landing.halt.cause().map_or(Ok(()), |cause| Err(LandError::Halted(cause)))
    }

    /// A full disk, say, may make this impossible too; then the next command does it.
    fn put_right(&self, cause: &LandError, journal: &mut Journal) {
        let reason = format!("not landed: {}", one_line(&cause.to_string(), 200));
        if let Err(also) =
            settle_held(self.landing.site.repo, journal, self.landing.site.clock.now(), &reason)
        {
            self.landing.observer.warn(&format!("the landing is settled by the next command: {also}"));
        }
    }

    /// Lands a task that was taken up, by itself.
    fn alone(&self, task: &Task, journal: &mut Journal, report: &Report) -> Result<Landed, LandError> {
        let mut landed = Landed::new(task);
        let settled = Settled::of(self.landing.site.repo, [task]);
        landed.fate = match ready(self.landing.site.repo, task, &settled, report)? {
            Err(why) => {
                let event = Event::LandingAborted { reason: why.to_string() };
                journal.append(self.landing.site.clock.now(), vec![(Some(task.id.clone()), event)])?;
                Fate::LeftOut(why)
            }
            Ok(ready) => {
                landed.head = Some(ready.head.clone());
                self.rounds(task, &ready, journal, &mut landed)?
            }
        };
        Ok(landed)
    }

    fn rounds(
        &self,
        task: &Task,
        ready: &Ready<'_>,
        journal: &mut Journal,
        landed: &mut Landed,
    ) -> Result<Fate, LandError> {
        let record = |journal: &mut Journal, event| {
            journal.append(self.landing.site.clock.now(), vec![(Some(task.id.clone()), event)])
        };
        let checks = steps(self.landing.checks, self.landing.site.settings, task);
        let checks = checks.into_iter().map(|step| (step.name, step.run)).collect();
        let logs = self.bench.logs.clone();
        let mut resolver = Resolver::new(self.landing, self.bench.lock, &self.steps, task, logs, checks);
        for _ in 0..ROUNDS {
            let (fate, event) = match self.round(task, ready, journal, landed, &mut resolver)? {
                Round::Again => continue,
                Round::Published(fate) => {
                    self.remember(task, &resolver);
                    return Ok(fate);
                }
                Round::Over(fate, event) => (fate, *event),
            };
            record(journal, event)?;
            return Ok(fate);
        }
        let why = LeftOut::Outrun { times: ROUNDS };
        record(journal, Event::LandingAborted { reason: why.to_string() })?;
        Ok(Fate::LeftOut(why))
    }

    /// Remembers what was resolved, for it has landed. A failure costs another call some day, and no work.
    fn remember(&self, task: &Task, resolver: &Resolver<'_>) {
        let repo = self.landing.site.repo;
        let tally = &resolver.tally;
        let new = tally.fresh.iter().chain(&tally.by_hand).map(|(key, text)| (key.as_str(), text));
        if let Err(cause) = remembered::keep(repo, new).and_then(|()| review::drop_candidate(repo, task)) {
            self.landing.observer.warn(&format!("the resolution is not remembered: {cause}"));
        }
        if let Err(cause) = resolver.give_to_memory() {
            self.landing.observer.warn(&format!("the resolution is not given to git's memory: {cause}"));
        }
    }

    fn round(
        &self,
        task: &Task,
        ready: &Ready<'_>,
        journal: &mut Journal,
        about: &mut Landed,
        resolver: &mut Resolver<'_>,
    ) -> Result<Round, LandError> {
        let Landing { site: &Site { repo, settings, .. }, observer, target, .. } = *self.landing;
        let gone = || LandError::NoTarget { target: target.to_owned() };
        let old = repo.branch_tip(target)?.ok_or_else(gone)?;
        observer.step(&format!("replaying `{}` onto `{target}`", task.name()));
        let mut replayed = self.style.replay(&mut self.replayer.borrow_mut(), task, ready, &old)?;
        if let Replay::Conflict { commit: Some(_), .. } = replayed {
            replayed = self.resolve(&old, ready, journal, resolver)?;
            about.resolved.clone_from(&resolver.tally.resolved);
        }
        let (new, commits) = match replayed {
            Replay::Clean { tip, commits, .. } => (tip, commits),
            Replay::Conflict { paths, commit } => {
                let reason = resolver.tally.refusal.clone();
                let event = Event::Conflicted { paths: paths.clone(), onto: old, reason: reason.clone() };
                return Ok(Round::over(Fate::Conflict { paths, commit, reason }, event));
            }
            Replay::Impossible(why) => return Ok(Round::left_out(why)),
        };
        failpoint::hit("land.after_replay");
        // Before anything is said of the result: a resolver that drops all of a task leaves nothing to land.
        if let Some(reason) = review::doubtful(&resolver.tally.doubts) {
            return self.review(task, resolver, &reason, old, new);
        }
        if new == old {
            self.remember(task, resolver);
            let event = Event::Landed { tip: old.clone(), commits: 0 };
            return Ok(Round::over(landed(task, old, 0), event));
        }
        // Asked here too: nobody should wait for checks to learn that a file is in the way.
        if let Some(why) = Way::to(repo, target)?.obstacle(repo, &old, &new)? {
            return Ok(Round::left_out(why));
        }
        let steps = steps(self.landing.checks, settings, task);
        let who = Passengers { first: task.name(), more: 0 };
        match self.bench.verify(&who, &new, &steps)? {
            Verdict::Passed { flaky } => about.flaky = flaky,
            Verdict::Failed(failure) if resolver.hear(&failure) => return Ok(Round::Again),
            Verdict::Failed(failure) => {
                let log = Some(failure.log.to_string_lossy().into_owned());
                let event = Event::Rejected { reason: failure.to_string(), onto: old, log };
                return Ok(Round::over(Fate::Rejected(failure), event));
            }
        }
        let crossed = self.fences.crossed(repo, task, &ready.head, &old, &new)?;
        about.flagged = crossed.outside;
        if let Some(reason) = crossed.held {
            return self.review(task, resolver, &reason, old, new);
        }
        observer.step(&format!("moving `{target}` to {}", new.short()));
        let (landing, id) = (self.landing, self.id.as_str());
        let tasks = [(task.id.clone(), new.clone(), commits)];
        let publication = Publication { landing, id, tasks: &tasks, old: &old, new: &new };
        Ok(match publication.publish(journal)? {
            Outcome::Published => Round::Published(landed(task, new, commits)),
            Outcome::Moved => Round::Again,
            Outcome::Blocked(why) => Round::left_out(why),
        })
    }

    /// Replays with whoever can resolve, and records what that used at once: a kill later must not forget it.
    fn resolve(
        &self,
        old: &Oid,
        ready: &Ready<'_>,
        journal: &mut Journal,
        resolver: &mut Resolver<'_>,
    ) -> Result<Replay, LandError> {
        let replayed = match resolver.replay(journal.read()?, &self.replayer.borrow(), old, &ready.head) {
            Err(LandError::Git(cause)) => Replay::Impossible(LeftOut::unreadable(cause)?),
            replayed => replayed?,
        };
        if let Some(event) = resolver.record() {
            journal.append(self.landing.site.clock.now(), vec![(Some(resolver.task().id.clone()), event)])?;
            failpoint::hit("land.resolve.after_recorded");
        }
        // An agent that was cut short has not refused anything.
        self.require_going()?;
        self.style.shape(
            &mut self.replayer.borrow_mut(),
            resolver.task(),
            ready,
            old,
            Raw::Replayed(replayed),
        )
    }

    /// Ends with a person's approval needed, and keeps what would land.
    fn review(
        &self,
        task: &Task,
        resolver: &Resolver<'_>,
        reason: &str,
        onto: Oid,
        candidate: Oid,
    ) -> Result<Round, LandError> {
        review::keep_candidate(self.landing.site.repo, task, &candidate)?;
        let reason = one_line(reason, REASON);
        let paths = resolver.tally.paths.clone();
        let event = Event::ReviewNeeded {
            reason: reason.clone(),
            paths: paths.clone(),
            onto,
            candidate: Some(candidate),
        };
        Ok(Round::over(Fate::Review { reason, paths }, event))
    }
}

/// What one try came to.
enum Round {
    /// Once more: the target moved meanwhile, or a resolver is to mend what a check refused.
    Again,
    /// Landed, and recorded.
    Published(Fate),
    /// Decided, and to be recorded so.
    Over(Fate, Box<Event>),
}

impl Round {
    fn over(fate: Fate, event: Event) -> Self {
        Self::Over(fate, Box::new(event))
    }

    fn left_out(why: LeftOut) -> Self {
        let event = Event::LandingAborted { reason: why.to_string() };
        Self::over(Fate::LeftOut(why), event)
    }
}
