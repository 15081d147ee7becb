//! `wt restore`.

mod checkpoint;

use clap::Args as ClapArgs;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};

use super::context::{Context, Global, Trust};
use crate::error::{self, CommandError};
use crate::model::view::SCHEMA;
use crate::model::view::verbs::RestoreView;
use crate::model::{State, TaskId, TaskName};
use crate::tidy::Grounds;
use crate::tidy::restore::{self, RestoreError, Which};
use crate::ui::{self, message};
use crate::workspace;

/// Bring back a removed task: branch, commits, index, edits, untracked files, and its state.
///
/// Works as long as its trash ref is kept (30 days unless configured). With `--checkpoint`, the workspace of a task that is
/// there goes back to how it stood at the end of an attempt; how it stands now is kept as a checkpoint first.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// The task; `NAME@2` is the second one of that name.
    #[arg(add = ArgValueCandidates::new(removed_names))]
    name: String,
    /// Go back to this checkpoint; without a number, list them.
    #[arg(
        long,
        value_name = "N",
        num_args = 0..=1,
        default_missing_value = checkpoint::ALL,
        value_parser = checkpoint::which
    )]
    checkpoint: Option<checkpoint::Wanted>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(global: &Global, args: &Args) -> Result<u8, CommandError> {
    let mut context = Context::open(global, Trust::NotNeeded)?;
    let which = which(&args.name)?;
    if let Some(wanted) = args.checkpoint {
        return checkpoint::run(&mut context, &which, wanted, args.json);
    }
    context.layout().prepare()?;
    let progress = context.progress();
    let (site, journal) = context.parts();
    let grounds = Grounds { site, observer: &progress };
    let restored = restore::restore(&grounds, journal, &which);
    let restored = restored.map_err(|error| refusal(&which, &error, folder_gone(&mut context, &which)))?;
    for path in &restored.left_out {
        message::warning(&format!("`{path}` was not copied in again"));
    }
    let name = restored.id.name.as_str();
    let place = &restored.workspace;
    if args.json {
        ui::json(&RestoreView {
            schema: SCHEMA,
            name,
            state: restored.state,
            branch: &place.branch,
            worktree: &place.path,
            trash: &restored.trash,
        });
    } else {
        ui::answer(&format!("{name} is {} again, on {} in {}", restored.state, place.branch, place.path));
    }
    Ok(error::DONE)
}

fn which(text: &str) -> Result<Which, CommandError> {
    if let Ok(id) = text.parse::<TaskId>() {
        return Ok(Which::Exactly(id));
    }
    match text.parse::<TaskName>() {
        Ok(name) => Ok(Which::Newest(name)),
        Err(error) => Err(CommandError::caused("not a task name; nothing was changed", &error)),
    }
}

/// Tells whether a task of that name is there without its folder: a removal was killed, or somebody deleted it.
fn folder_gone(context: &mut Context, which: &Which) -> bool {
    let name = match which {
        Which::Newest(name) => name,
        Which::Exactly(id) => &id.name,
    };
    let roster = context.journal().roster();
    let workspace = roster.live_named(name).and_then(|task| task.workspace.as_ref());
    workspace.is_some_and(|workspace| !std::path::Path::new(&workspace.path).exists())
}

fn refusal(which: &Which, error: &RestoreError, cut_short: bool) -> CommandError {
    let name = match which {
        Which::Newest(name) => name,
        Which::Exactly(id) => &id.name,
    };
    let refusal = CommandError::caused(format!("`{name}` cannot be restored; nothing was changed"), error);
    match error {
        RestoreError::Unknown { .. } => refusal.hint("see all tasks with `wt status --all`"),
        RestoreError::Live { .. } if cut_short => {
            refusal.hint(format!("its removal was cut short: `wt gc {name} --force && wt restore {name}`"))
        }
        RestoreError::Live { .. } => refusal.hint(format!("wt status {name}")),
        RestoreError::Standing { .. } => refusal.hint(format!("wt gc {name}")),
        RestoreError::Workspace(workspace::RestoreError::BranchExists { branch }) => {
            refusal.hint(format!("git branch -m {branch} {branch}-kept"))
        }
        _ => refusal,
    }
}

/// Returns the names of tasks whose workspace can be restored, for completion.
fn removed_names() -> Vec<CompletionCandidate> {
    let Ok(mut context) = Context::open(&Global::default(), Trust::NotNeeded) else { return Vec::new() };
    let Ok(roster) = context.roster() else { return Vec::new() };
    roster
        .tasks()
        .filter(|task| task.trash.is_some() && matches!(task.state, State::Removed { .. } | State::Landed))
        .map(|task| CompletionCandidate::new(task.name().as_str()).help(Some(task.state.word().into())))
        .collect()
}
