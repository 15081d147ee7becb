//! `wt gc --artifacts`.

use super::{Args, Context, with_grounds};
use crate::error::{self, CommandError, During as _};
use crate::model::view::SCHEMA;
use crate::model::view::disk::ArtifactsView;
use crate::model::{TaskId, duration};
use crate::tidy::artifacts::{self, Dropped, Plan, Policy, Scope};
use crate::ui;

/// Drops the build output of idle workspaces, or of the named ones.
pub(super) fn run(context: &mut Context, args: &Args) -> Result<u8, CommandError> {
    let policy = policy(context, args)?;
    context.roster()?;
    let plan: Plan = with_grounds(context, |grounds, journal| {
        artifacts::plan_artifacts(grounds, journal.roster(), &policy)
    })
    .during(|| "git cannot be asked about the workspaces; nothing was changed".to_owned())?;
    let dropped = if args.dry_run {
        artifacts::preview(&plan)
    } else {
        let dropped =
            with_grounds(context, |grounds, journal| artifacts::apply_artifacts(grounds, journal, &plan));
        // A task that became ready while its lock was held here was passed over.
        context.pass();
        dropped.during(|| "the build output cannot be dropped; workspaces are as they were".to_owned())?
    };
    Ok(finish(args, dropped))
}

fn policy(context: &mut Context, args: &Args) -> Result<Policy, CommandError> {
    let stale = match &args.stale {
        Some(text) => duration::parse(text).map_err(|error| CommandError::usage(error.to_string()))?,
        None => context.settings().gc.stale,
    };
    let ids: Vec<TaskId> =
        args.names.iter().map(|name| furnished(context, name)).collect::<Result<_, _>>()?;
    let scope = if ids.is_empty() { Scope::Idle } else { Scope::Named(ids) };
    Ok(Policy { scope, stale })
}

fn furnished(context: &mut Context, name: &str) -> Result<TaskId, CommandError> {
    let task = context.task(name)?;
    if task.workspace.is_some() {
        return Ok(task.id);
    }
    let word = task.state.word();
    Err(CommandError::refused(format!("`{name}` is {word} and has no workspace; nothing was changed")))
}

fn finish(args: &Args, dropped: Dropped) -> u8 {
    let Dropped { dropped, kept, bytes } = dropped;
    let code = match (args.names.is_empty() || kept.is_empty(), dropped.is_empty()) {
        (true, _) => error::DONE,
        (false, true) => error::REFUSED,
        (false, false) => error::SOME_FAILED,
    };
    let view = ArtifactsView { schema: SCHEMA, dry_run: args.dry_run, dropped, kept, bytes };
    if args.json {
        ui::json(&view);
    } else {
        ui::answer(&ui::disk::artifacts(&view));
    }
    code
}
