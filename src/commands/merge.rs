//! `wt merge`.

mod advice;

use std::collections::BTreeSet;

use clap::Args as ClapArgs;
use clap_complete::engine::ArgValueCandidates;

use super::completions::task_names;
use super::context::{Context, Global, Trust};
use super::tend;
use crate::error::CommandError;
use crate::land::{self, Checks, Conflicts, Fate, Landing, Mode, Report, Wanted};
use crate::model::settings::MergeStyle;
use crate::model::{State, Task};
use crate::tidy::{Grounds, gc};
use crate::ui;
use crate::ui::message;

/// How many lines of a failed check's output are shown.
const SHOWN: usize = 12;

/// Land finished tasks: rebase each onto the target, verify the exact result, fast-forward, prune.
///
/// What comes onto the target is each commit of a task; or one for all of it (`--squash`), or its branch as it is with a
/// merge commit (`--merge-commit`); `[merge] style` says which, and `[merge] message` words the one commit.
///
/// Tasks land in the order of parents, priority and age, several at once (`[merge] batch`): checked together, and if the
/// check fails, by halves until the culprit is found; the others land. Where two texts conflict, an agent merges them
/// (`[merge] agent`); its result lands if all that either side did is still there, else it waits for a review. A task that
/// stays in conflict or fails its checks is set aside with the reason and keeps its branch.
/// Exit code: 0 all landed, 4 a conflict or review needs a decision, 5 a check failed, 3 some were left out.
#[derive(Debug, ClapArgs)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Args {
    /// Tasks to land.
    #[arg(required_unless_present = "all", add = ArgValueCandidates::new(task_names))]
    names: Vec<String>,
    /// Land every task that is done, and conflicts and rejections where something has changed since.
    #[arg(long, conflicts_with = "names")]
    all: bool,
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
    /// Leave conflicts to people: start no agent to resolve them.
    #[arg(long)]
    no_agent: bool,
    /// Keep the workspaces of landed tasks.
    #[arg(long)]
    keep: bool,
    /// Print JSON, one document for each branch that is landed on.
    #[arg(long)]
    json: bool,
}

impl Args {
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

/// Runs the verb.
pub fn run(global: &Global, args: &Args) -> Result<u8, CommandError> {
    let runs_commands = !args.dry_run && (!args.no_verify || !args.no_agent);
    let trust = if runs_commands { Trust::Required } else { Trust::NotNeeded };
    let mut context = Context::open(global, trust)?;
    if args.mode() == Mode::Real {
        context.layout().prepare()?;
    }
    let mut reports = Vec::new();
    for share in shares(&mut context, args)? {
        let report = land(&mut context, args, &share)?;
        tell(args, &report);
        if args.mode() == Mode::Real && !args.keep {
            prune(&mut context, &report);
        }
        let stopped = report.stopped.is_some();
        reports.push(report);
        if stopped {
            break;
        }
    }
    if args.mode() == Mode::Real {
        context.pass();
        tend::begin(&context);
    }
    // One document for each branch was printed above.
    advice::verdict(reports).map_err(CommandError::answered)
}

fn land(context: &mut Context, args: &Args, share: &Share) -> Result<Report, CommandError> {
    let progress = context.progress();
    let checks = args.checks();
    let template = context.resolver_template().map(<[u8]>::to_vec);
    let (site, journal) = context.parts();
    let landing = Landing {
        repo: site.repo,
        layout: site.layout,
        settings: site.settings,
        clock: site.clock,
        observer: &progress,
        target: &share.target,
        wanted: &share.wanted,
        style: args.style(site.settings.merge.style),
        checks: &checks,
        mode: args.mode(),
        conflicts: args.conflicts(),
        template: template.as_deref(),
    };
    land::land(&landing, journal).map_err(advice::refusal)
}

/// Sorts what is asked for by the branch that it lands on.
fn shares(context: &mut Context, args: &Args) -> Result<Vec<Share>, CommandError> {
    let named: Vec<Task> = args.names.iter().map(|name| context.task(name)).collect::<Result<_, _>>()?;
    for task in &named {
        land::queue::require_landable(task).map_err(|error| advice::refusal(error.into()))?;
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
            return Ok(vec![Share { target: context.target()?, wanted: Wanted::Ready }]);
        }
        return Ok(targets.into_iter().map(|target| Share { target, wanted: Wanted::Ready }).collect());
    }
    let targets: BTreeSet<&String> = named.iter().map(|task| &task.spec.target).collect();
    let of = |target: &String| {
        let mine = named.iter().filter(|task| task.spec.target == *target);
        let wanted = Wanted::Named(mine.map(|task| task.name().clone()).collect());
        Share { target: target.clone(), wanted }
    };
    Ok(targets.into_iter().map(of).collect())
}

fn tell(args: &Args, report: &Report) {
    if args.json {
        ui::json(&report.view());
    } else if report.stopped.is_none() || !report.tasks.is_empty() {
        ui::answer(&ui::landing::merge(&report.view()));
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
