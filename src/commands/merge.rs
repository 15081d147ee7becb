//! `wt merge`.

mod advice;
mod remote;

pub(super) use advice::hinted;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use clap::Args as ClapArgs;
use clap_complete::engine::ArgValueCandidates;

use self::remote::Wish;
use super::completions::task_names;
use super::context::{Context, Global, Trust, config_fault};
use super::{foresee, tend};
use crate::error::{self, CommandError, During as _};
use crate::land::{self, Aborted, Checks, Conflicts, Fate, Landing, Mode, Report, Wanted};
use crate::model::settings::MergeStyle;
use crate::model::text::{count, one_line};
use crate::model::view::verbs::AbortView;
use crate::model::view::{MergeView, SCHEMA};
use crate::model::{Oid, State, Task};
use crate::process::halt::Halt;
use crate::store::{auto, lock};
use crate::tidy::{Grounds, gc};
use crate::ui;
use crate::ui::message;

/// How many lines of a failed check's output are shown.
const SHOWN: usize = 12;

/// Land finished tasks: rebase each onto the target, verify the exact result, fast-forward, prune.
///
/// Order and checks: parents land first, then by priority, fewest conflicts with others, and age. Up to `[merge] batch` tasks
/// are checked together; if the check fails, halves of them are, until the culprit is found, and the others land. What has
/// passed on the same tree is not checked again.
///
/// Conflicts: where two texts do not merge, what `wt` or `git rerere` remembers of it is taken, then a structural merge
/// (`[merge] structural`), then an agent is asked (`[merge] agent`). A result lands if all that either side did is still there,
/// else it waits for a review. A task that stays in conflict or fails its checks is set aside with the reason and keeps its
/// branch.
///
/// Styles: onto the target comes each commit of a task; or one for all of it (`--squash`); or its branch as it is, with a merge
/// commit (`--merge-commit`). `[merge] style` says which, and `[merge] message` words the one commit.
///
/// Remotes: with `--fetch`, a target that is behind its upstream is moved forward first, and one that has diverged is refused.
/// With `--push`, it is pushed there afterwards, forward only and from where it was seen; no hook runs, the `pre-push` hook
/// included. A push that fails leaves what has landed as it is: run it again.
///
/// Ending it: `wt merge --abort` or Ctrl-C; a landing that was killed goes on with the next `wt merge`. `wt undo` takes the last
/// one back.
///
/// Exit code: 0 all landed, 4 a conflict or review needs a decision, 5 a check failed, 3 some were left out, or landed and
/// not pushed.
#[derive(Debug, Default, ClapArgs)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Args {
    /// Tasks to land.
    #[arg(required_unless_present_any = ["all", "abort"], add = ArgValueCandidates::new(task_names))]
    names: Vec<String>,
    /// Land every task that is done, and conflicts and rejections where something has changed since.
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// End the landing that is under way: its checks are ended, and what it has not landed is as it was.
    #[arg(long, conflicts_with_all = ["names", "all", "into", "dry_run", "check", "no_verify", "no_agent", "keep"])]
    abort: bool,
    /// Land on this branch instead of the one that each task was meant for.
    #[arg(long, value_name = "BRANCH")]
    into: Option<String>,
    /// Show what would land, and change nothing; no check is run.
    #[arg(long)]
    dry_run: bool,
    /// Verify with this command instead of the configured checks and the tasks' own.
    #[arg(long, value_name = "CMD", conflicts_with = "no_verify")]
    check: Option<String>,
    /// Verify nothing.
    #[arg(long)]
    no_verify: bool,
    /// Put one commit for each task on the target, instead of what `[merge] style` says.
    #[arg(long, group = "style")]
    squash: bool,
    /// Keep each task's commits as they are, and put a merge commit on the target.
    #[arg(long, group = "style")]
    merge_commit: bool,
    /// Put each task's commits on the target, one by one.
    #[arg(long, group = "style")]
    rebase: bool,
    /// Start no agent: leave conflicts to people that neither memory nor a structural merge resolves.
    #[arg(long)]
    no_agent: bool,
    /// Keep the workspaces of landed tasks.
    #[arg(long)]
    keep: bool,
    /// Fetch the target first, and move it forward if it is behind.
    #[arg(long, overrides_with = "no_fetch")]
    fetch: bool,
    /// Fetch nothing, whatever `[merge] fetch` says.
    #[arg(long, overrides_with = "fetch")]
    no_fetch: bool,
    /// Push the target afterwards; with `--all` and nothing to land, what was not pushed before.
    #[arg(long, overrides_with = "no_push")]
    push: bool,
    /// Push nothing, whatever `[merge] push` says.
    #[arg(long, overrides_with = "push")]
    no_push: bool,
    /// Print JSON, one document for each branch that is landed on.
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Returns the arguments of `wt merge --all`.
    pub(super) fn all_done() -> Self {
        Self { all: true, ..Self::default() }
    }

    fn checks(&self) -> Checks {
        match &self.check {
            Some(command) => Checks::Replaced(command.clone()),
            None if self.no_verify => Checks::None,
            None => Checks::Configured,
        }
    }

    fn conflicts(&self) -> Conflicts {
        if self.no_agent { Conflicts::ToPeople } else { Conflicts::ToAgent }
    }

    fn fetch(&self, setting: bool) -> Wish {
        Wish::of([self.fetch, self.no_fetch], setting)
    }

    fn push(&self, setting: bool) -> Wish {
        Wish::of([self.push, self.no_push], setting)
    }

    /// Returns the command line, as others read it who wait for it.
    fn command(&self) -> String {
        let what = if self.all { "--all".to_owned() } else { self.names.join(" ") };
        one_line(&format!("wt merge {what}"), 60)
    }

    fn style(&self, configured: MergeStyle) -> MergeStyle {
        match (self.squash, self.merge_commit, self.rebase) {
            (true, ..) => MergeStyle::Squash,
            (_, true, _) => MergeStyle::MergeCommit,
            (.., true) => MergeStyle::Rebase,
            _ => configured,
        }
    }

    fn mode(&self) -> Mode {
        if self.dry_run { Mode::DryRun } else { Mode::Real }
    }
}

/// What is landed on one branch.
struct Share {
    target: String,
    wanted: Wanted,
}

/// Who lands, and how long it waits for its turn.
#[derive(Debug, Clone)]
pub(super) struct How<'a> {
    /// What it is called by others who wait for it.
    pub(super) command: &'a str,
    /// How long another landing is waited for.
    pub(super) patience: Duration,
    /// What it takes of each branch where all is asked for.
    pub(super) all: Wanted,
    /// A mark that is taken away by who no longer wants it to land.
    pub(super) mark: Option<&'a Path>,
}

/// Runs the verb.
pub fn run(global: &Global, args: &Args) -> Result<u8, CommandError> {
    if args.abort {
        return abort(global, args);
    }
    let (command, patience) = (args.command(), lock::DEADLINE);
    run_as(global, args, &How { command: &command, patience, all: Wanted::Ready, mark: None })
}

/// Runs the verb for somebody.
pub(super) fn run_as(global: &Global, args: &Args, how: &How<'_>) -> Result<u8, CommandError> {
    let runs_commands = !args.dry_run && (!args.no_verify || !args.no_agent);
    let trust = if runs_commands { Trust::Required } else { Trust::NotNeeded };
    let mut context = Context::open(global, trust)?;
    if trust == Trust::NotNeeded {
        context.without_unapproved_tools()?;
    }
    if args.mode() == Mode::Real {
        context.layout().prepare()?;
    }
    let mut shares = shares(&mut context, args, how)?;
    for target in remote::unpushed(&mut context, args)? {
        if shares.iter().all(|share| share.target != target) {
            shares.push(Share { target, wanted: how.all.clone() });
        }
    }
    let targets: Vec<&str> = shares.iter().map(|share| share.target.as_str()).collect();
    remote::require_upstreams(&context, args, &targets)?;
    let fetched = remote::fetch(&mut context, args, how, &targets)?;
    if fetched.moved {
        // What was fetched may bring another configuration, and commands that nobody has approved.
        context = Context::open(global, trust).map_err(|refusal| fetched.behind(refusal))?;
    }
    let halt = match args.mode() {
        Mode::Real => {
            Halt::on_signals().during(|| "signals cannot be heard; nothing was landed".to_owned())?
        }
        Mode::DryRun => Halt::never(),
    };
    let (mut reports, mut not_pushed, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for share in &shares {
        let report = match land(&mut context, args, how, share, &halt) {
            Ok(report) => report,
            // What keeps one branch where it is says nothing of the others.
            Err(mut refusal) if shares.len() > 1 => {
                refusal.message = format!("{} on `{}`", refusal.message, share.target);
                let ends = refusal.code == error::BUSY;
                refused.push(refusal);
                if ends {
                    break;
                }
                continue;
            }
            Err(refusal) => return Err(refusal),
        };
        if args.mode() == Mode::Real && !args.keep {
            prune(&mut context, &report);
        }
        let (pushed, failed) = remote::push(&mut context, args, &share.target, &fetched);
        not_pushed.extend(failed);
        let view = MergeView { fetched: fetched.view(&share.target), pushed, ..report.view() };
        tell(args, &report, &view);
        let stopped = report.stopped.is_some();
        reports.push(report);
        if stopped {
            break;
        }
    }
    if args.mode() == Mode::Real {
        context.pass();
        tend::begin(&context);
        foresee::begin(&mut context);
    }
    let any_landed = reports.iter().any(|report| report.landed().next().is_some());
    // One document for each branch was printed above.
    let verdict = remote::verdict(advice::verdict(reports), any_landed, not_pushed);
    let verdict = advice::joined(verdict.map_err(CommandError::answered), any_landed, refused);
    if args.mode() == Mode::Real && verdict.is_ok() {
        auto::settle(context.layout());
    }
    verdict
}

fn land(
    context: &mut Context,
    args: &Args,
    how: &How<'_>,
    share: &Share,
    halt: &Halt,
) -> Result<Report, CommandError> {
    let progress = context.progress();
    let checks = args.checks();
    let template = context.resolver_template().map(<[u8]>::to_vec);
    let is_home = context.is_home(&share.target);
    let (site, journal) = context.parts();
    let config_fault = |old: &Oid, new: &Oid| is_home.then(|| config_fault(site.repo, old, new)).flatten();
    let withdrawn = || how.mark.is_some_and(|mark| !mark.exists());
    let landing = Landing {
        site: &site,
        observer: &progress,
        target: &share.target,
        wanted: &share.wanted,
        style: args.style(site.settings.merge.style),
        checks: &checks,
        mode: args.mode(),
        conflicts: args.conflicts(),
        command: how.command,
        patience: how.patience,
        template: template.as_deref(),
        config_fault: &config_fault,
        halt,
        withdrawn: &withdrawn,
    };
    land::land(&landing, journal).map_err(|error| advice::refusal(&error))
}

/// Ends the landing of another process.
fn abort(global: &Global, args: &Args) -> Result<u8, CommandError> {
    let mut context = Context::open_anyway(global)?;
    context.layout().prepare()?;
    let (site, journal) = context.parts();
    let aborted = land::abort(site.repo, site.layout, site.clock, journal);
    let aborted = aborted.during(|| "the landing was not ended".to_owned())?;
    let (ended, settled) = match aborted {
        Aborted::Ended => (true, 0),
        Aborted::Settled(settled) => (false, settled),
    };
    if args.json {
        ui::json(&AbortView { schema: SCHEMA, ended, settled });
    } else {
        ui::answer(&match (ended, settled) {
            (true, _) => "the landing was ended; what it had not landed is as it was".to_owned(),
            (false, 0) => "no landing is under way".to_owned(),
            (false, n) => format!("an interrupted landing was settled: {}", count(n, "task")),
        });
    }
    context.pass();
    Ok(error::DONE)
}

/// Sorts what is asked for by the branch that it lands on.
fn shares(context: &mut Context, args: &Args, how: &How<'_>) -> Result<Vec<Share>, CommandError> {
    let named: Vec<Task> = args.names.iter().map(|name| context.task(name)).collect::<Result<_, _>>()?;
    // One that another process lands is for the queue to judge, once that one has ended or was settled.
    for task in named.iter().filter(|task| !matches!(task.state, State::Landing { .. })) {
        land::queue::require_landable(task).map_err(|error| advice::refusal(&error.into()))?;
    }
    if let Some(target) = &args.into {
        let every = || named.iter().map(|task| task.name().clone()).collect();
        let wanted = if args.all { Wanted::ReadyForAny } else { Wanted::Named(every()) };
        return Ok(vec![Share { target: target.clone(), wanted }]);
    }
    if args.all {
        let ready = |task: &&Task| {
            matches!(
                task.state,
                State::Done { .. } | State::Conflict | State::Rejected | State::Landing { .. }
            )
        };
        let roster = context.roster()?;
        let targets: BTreeSet<String> = roster.live().filter(ready).map(|t| t.spec.target.clone()).collect();
        if targets.is_empty() {
            return Ok(vec![Share { target: context.target()?, wanted: how.all.clone() }]);
        }
        let share = |target| Share { target, wanted: how.all.clone() };
        return Ok(targets.into_iter().map(share).collect());
    }
    let targets: BTreeSet<&String> = named.iter().map(|task| &task.spec.target).collect();
    let of = |target: &String| {
        let mine = named.iter().filter(|task| task.spec.target == *target);
        let wanted = Wanted::Named(mine.map(|task| task.name().clone()).collect());
        Share { target: target.clone(), wanted }
    };
    Ok(targets.into_iter().map(of).collect())
}

fn tell(args: &Args, report: &Report, view: &MergeView) {
    if args.json {
        ui::json(view);
    } else if report.stopped.is_none() || !report.tasks.is_empty() {
        ui::answer(&ui::landing::merge(view));
    }
    for landed in &report.tasks {
        if let Fate::Rejected(failure) = &landed.fate {
            let lines: Vec<&str> = failure.tail.lines().collect();
            for line in &lines[lines.len().saturating_sub(SHOWN)..] {
                message::note(&format!("{} | {line}", landed.id.name));
            }
        }
    }
}

/// Removes the workspaces of landed tasks; one that somebody has changed meanwhile stays, and is told of.
fn prune(context: &mut Context, report: &Report) {
    let progress = context.progress();
    let (site, journal) = context.parts();
    let grounds = Grounds { site, observer: &progress };
    for landed in report.tasks.iter().filter(|landed| landed.fate.is_landed()) {
        let why = match gc::prune(&grounds, journal, &landed.id) {
            Ok(gc::Fate::Removed { .. }) => continue,
            Ok(gc::Fate::Kept(why)) => why,
            Err(error) => error.to_string(),
        };
        message::warning(&format!("the workspace of `{}` stays: {why}", landed.id.name));
    }
}
