//! `wt restore NAME --checkpoint [N]`.

use crate::commands::context::Context;
use crate::error::{self, CommandError, During as _};
use crate::model::view::SCHEMA;
use crate::model::view::verbs::{CheckpointView, CheckpointsView, RewoundView};
use crate::model::{TaskId, TaskName};
use crate::tidy::Grounds;
use crate::tidy::checkpoint::{self, RewindError};
use crate::tidy::restore::Which;
use crate::ui;

/// What stands for the value of a lone `--checkpoint`.
pub(super) const ALL: &str = "all";

/// What is asked of the checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A list of them.
    List,
    /// Back to that one.
    Number(u32),
}

/// Reads the value of `--checkpoint`.
pub(super) fn which(text: &str) -> Result<Wanted, String> {
    match text.parse() {
        _ if text == ALL => Ok(Wanted::List),
        Ok(0) | Err(_) => {
            Err("a checkpoint is a number from 1; to list them, write `--checkpoint` last".to_owned())
        }
        Ok(number) => Ok(Wanted::Number(number)),
    }
}

/// Lists the checkpoints of a task, or goes back to one.
pub(super) fn run(
    context: &mut Context,
    which: &Which,
    wanted: Wanted,
    json: bool,
) -> Result<u8, CommandError> {
    let (name, exactly) = match which {
        Which::Newest(name) => (name, None),
        Which::Exactly(id) => (&id.name, Some(id)),
    };
    context.roster()?;
    let id = match exactly {
        Some(id) => id.clone(),
        None => context.task(name.as_str())?.id,
    };
    match wanted {
        Wanted::List => list(context, &id, json),
        Wanted::Number(_) if context.journal().roster().live_named(name).is_none_or(|task| task.id != id) => {
            Err(CommandError::refused(format!("`{id}` has no workspace; nothing was changed"))
                .hint(format!("wt restore {id}")))
        }
        Wanted::Number(number) => back(context, name, number, json),
    }
}

fn list(context: &mut Context, id: &TaskId, json: bool) -> Result<u8, CommandError> {
    let progress = context.progress();
    let grounds = Grounds { site: context.site(), observer: &progress };
    let found =
        checkpoint::list(&grounds, id).during(|| format!("the checkpoints of `{id}` cannot be read"))?;
    let view = |checkpoint: checkpoint::Checkpoint| CheckpointView {
        number: checkpoint.number,
        about: checkpoint.about,
        at: checkpoint.at,
        commit: checkpoint.oid.to_string(),
        name: checkpoint.name,
    };
    let checkpoints: Vec<CheckpointView> = found.into_iter().map(view).collect();
    if json {
        ui::json(&CheckpointsView { schema: SCHEMA, name: id.name.to_string(), checkpoints });
    } else if checkpoints.is_empty() {
        ui::answer(&format!("{} has no checkpoints", id.name));
    } else {
        for CheckpointView { number, about, at, .. } in &checkpoints {
            ui::answer(&format!("{number:>4}  {}  {about}", at.strftime("%Y-%m-%d %H:%M:%SZ")));
        }
    }
    Ok(error::DONE)
}

fn back(context: &mut Context, name: &TaskName, number: u32, json: bool) -> Result<u8, CommandError> {
    let progress = context.progress();
    let (site, journal) = context.parts();
    let grounds = Grounds { site, observer: &progress };
    let rewound =
        checkpoint::rewind(&grounds, journal, name, number).map_err(|error| refusal(name, &error))?;
    let (kept, place) = (&rewound.kept, &rewound.workspace);
    if json {
        ui::json(&RewoundView {
            schema: SCHEMA,
            name: name.as_str(),
            state: rewound.state,
            branch: &place.branch,
            worktree: &place.path,
            checkpoint: number,
            kept: kept.number,
            kept_ref: &kept.name,
        });
    } else {
        ui::answer(&format!(
            "{name} is back at checkpoint {number} ({}), {}",
            rewound.at.about, rewound.state
        ));
        context.note(&format!(
            "how it stood is checkpoint {}: `wt restore {name} --checkpoint {}` brings it back",
            kept.number, kept.number
        ));
    }
    Ok(error::DONE)
}

fn refusal(name: &TaskName, error: &RewindError) -> CommandError {
    let what = format!("`{name}` cannot be brought back to a checkpoint");
    if let RewindError::Part { kept, .. } = error {
        return CommandError::caused(what, error).hint(format!("wt restore {name} --checkpoint {kept}"));
    }
    let refusal = CommandError::caused(format!("{what}; nothing was changed"), error);
    match error {
        RewindError::NotNow { state: "landing" | "in use by another `wt`", .. } => {
            refusal.hint(format!("wt status {name}"))
        }
        RewindError::NotNow { .. } => refusal.hint(format!("wt stop {name}")),
        RewindError::NoCheckpoint { .. } => refusal.hint(format!("wt restore {name} --checkpoint")),
        RewindError::InProgress { path, .. } => refusal.hint(format!("git -C {path} status")),
        RewindError::NoWorkspace(_) => refusal.hint(format!("wt restore {name}")),
        _ => refusal,
    }
}
