//! `wt gc`.

mod artifacts;

use std::io::IsTerminal as _;

use clap::Args as ClapArgs;
use clap_complete::engine::ArgValueCandidates;
use dialoguer::Confirm;

use super::completions::task_names;
use super::context::{Context, Global, Trust};
use super::tend;
use crate::error::{self, CommandError, During as _};
use crate::model::text::count;
use crate::model::view::{GcView, SCHEMA};
use crate::model::{TaskId, duration};
use crate::tidy::Grounds;
use crate::tidy::gc::{self, Cleared, Force, Plan, Policy, Scope, Swept};
use crate::ui::{self, message};

const UNASKED: &str = "git cannot be asked about the workspaces; nothing was changed";

/// Remove the workspaces of tasks that are landed or stale; lose nothing.
///
/// A workspace with unlanded commits or uncommitted changes stays, and so does one that is in use or locked. Whatever goes
/// is first put below a trash ref, from which `wt restore` brings it back. With names, just these are discarded, whatever
/// their age.
///
/// `--artifacts` removes no workspace: it drops the git-ignored folders that `workspace.caches` names (`target/`,
/// `node_modules/`) of tasks at rest, or of the named ones. What is tracked, linked or brought in by the settings stays.
#[derive(Debug, ClapArgs)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Args {
    /// Tasks to discard.
    #[arg(add = ArgValueCandidates::new(task_names))]
    names: Vec<String>,
    /// Show what would go and why, and remove nothing.
    #[arg(long)]
    dry_run: bool,
    /// The age at rest after which a workspace without unlanded work goes (`24h`, `7d`).
    #[arg(long, value_name = "DURATION")]
    stale: Option<String>,
    /// Also take unlanded commits and uncommitted changes, of whatever is at rest; they can be restored.
    #[arg(long)]
    force: bool,
    /// Drop build output only, and keep the workspaces.
    #[arg(long, conflicts_with = "force")]
    artifacts: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(global: &Global, args: &Args) -> Result<u8, CommandError> {
    // What is removed depends on the settings; what would be is only shown.
    let mut context =
        if args.dry_run { Context::open_anyway(global)? } else { Context::open(global, Trust::NotNeeded)? };
    if !args.dry_run {
        context.layout().prepare()?;
        context.pass();
    }
    if args.artifacts {
        return artifacts::run(&mut context, args);
    }
    let policy = policy(&mut context, args)?;
    if args.dry_run {
        context.roster()?;
        let swept =
            with_grounds(&mut context, |grounds, journal| gc::preview(grounds, journal.roster(), &policy))
                .during(|| UNASKED.to_owned())?;
        return Ok(finish(args, swept));
    }
    let shown = args.names.is_empty() || (args.force && somebody_answers());
    let swept = if shown {
        let plan = plan(&mut context, &policy)?;
        if args.force && !plan.remove.is_empty() {
            ask(&plan)?;
        }
        with_grounds(&mut context, |grounds, journal| gc::apply_gc(grounds, journal, &plan))
    } else {
        with_grounds(&mut context, |grounds, journal| gc::discard(grounds, journal, &policy))
    };
    let swept =
        swept.during(|| "the workspaces cannot be removed; what is gone can be restored".to_owned())?;
    if args.names.is_empty() {
        let cleared = with_grounds(&mut context, gc::clear_expired)
            .during(|| "the trash cannot be cleared; nothing is lost".to_owned())?;
        tell_cleared(&context, cleared);
    }
    tend::begin(&context);
    Ok(finish(args, swept))
}

/// Calls `act` with what tidying needs, and the journal.
pub(super) fn with_grounds<T>(
    context: &mut Context,
    act: impl FnOnce(&Grounds<'_>, &mut crate::store::Journal) -> T,
) -> T {
    let progress = context.progress();
    let (site, journal) = context.parts();
    act(&Grounds { site, observer: &progress }, journal)
}

fn policy(context: &mut Context, args: &Args) -> Result<Policy, CommandError> {
    let stale = match &args.stale {
        Some(text) => duration::parse(text).map_err(|error| CommandError::usage(error.to_string()))?,
        None => context.settings().gc.stale,
    };
    let ids: Vec<TaskId> =
        args.names.iter().map(|name| discardable(context, name)).collect::<Result<_, _>>()?;
    let scope = if ids.is_empty() { Scope::All } else { Scope::Named(ids) };
    let force = if args.force { Force::Unlanded } else { Force::Never };
    Ok(Policy { scope, force, stale })
}

fn discardable(context: &mut Context, name: &str) -> Result<TaskId, CommandError> {
    let task = context.task(name)?;
    let half_made = context.layout().task(&task.id).making().exists();
    if task.state.ended() && task.workspace.is_none() && !half_made {
        let word = task.state.word();
        let refusal =
            CommandError::refused(format!("`{name}` is {word} and has no workspace; nothing was changed"));
        return Err(if task.trash.is_some() { refusal.hint(format!("wt restore {name}")) } else { refusal });
    }
    Ok(task.id)
}

fn plan(context: &mut Context, policy: &Policy) -> Result<Plan, CommandError> {
    context.roster()?;
    with_grounds(context, |grounds, journal| gc::plan_gc(grounds, journal.roster(), policy))
        .during(|| UNASKED.to_owned())
}

fn somebody_answers() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks before work goes that is nowhere else; where nobody can answer, `--force` itself is the answer.
fn ask(plan: &Plan) -> Result<(), CommandError> {
    if !somebody_answers() {
        return Ok(());
    }
    for (facts, why) in &plan.remove {
        message::note(&format!("  {}: {why}", facts.id.name));
    }
    let question = format!("Move {} to the trash?", count(plan.remove.len(), "workspace"));
    let answer = Confirm::new().with_prompt(question).default(false).interact();
    match answer {
        Ok(true) => Ok(()),
        Ok(false) => Err(CommandError::refused("not confirmed; nothing was changed")),
        Err(_) => Err(CommandError::refused("nobody answered; nothing was changed")),
    }
}

fn tell_cleared(context: &Context, cleared: Cleared) {
    let Cleared { refs, folders, bases, checkpoints, candidates } = cleared;
    let parts = [
        (refs, "old trash ref"),
        (bases, "left-over base ref"),
        (checkpoints, "old checkpoint"),
        (candidates, "old candidate"),
    ];
    let told: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| count(*n, what)).collect();
    if !told.is_empty() {
        context.note(&format!("cleared {}", told.join(", ")));
    }
    if folders > 0 {
        context.note(&format!("deleting {} in the background", count(folders, "old trash folder")));
    }
}

fn finish(args: &Args, swept: Swept) -> u8 {
    let Swept { removed, kept, bytes } = swept;
    let code = match (args.names.is_empty() || kept.is_empty(), removed.is_empty()) {
        (true, _) => error::DONE,
        (false, true) => error::REFUSED,
        (false, false) => error::SOME_FAILED,
    };
    let hint = kept.first().filter(|kept| code != error::DONE && !args.force && can_be_forced(&kept.why));
    let hint = hint.map(|kept| format!("wt gc {} --force", kept.name));
    let view = GcView { schema: SCHEMA, dry_run: args.dry_run, removed, kept, bytes };
    if args.json {
        ui::json(&view);
    } else {
        ui::answer(&ui::table::gc(&view));
    }
    if let Some(hint) = hint {
        message::hint(&hint);
    }
    code
}

/// Whether what keeps a workspace is what `--force` is for.
fn can_be_forced(why: &str) -> bool {
    let tied = ["locked by", "another repository", "its submodule"].iter().any(|tie| why.starts_with(tie));
    if tied {
        return false;
    }
    ["unlanded", "uncommitted", "in progress", "queued", "waiting"].iter().any(|word| why.contains(word))
}
