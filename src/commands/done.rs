//! `wt done`.

use clap::Args as ClapArgs;
use clap_complete::engine::ArgValueCandidates;

use super::completions::task_names;
use super::context::{Context, Global, Trust};
use super::{auto, several};
use crate::error::{self, CommandError};
use crate::model::State;
use crate::model::text::count;
use crate::supervise::by_hand::{self, ByHandError, Finished};

/// Say that a person's work in a workspace is finished: everything committed, checks passed, ready to land.
///
/// For `open` workspaces, and for tasks in conflict, rejected, failed or stopped that a person has put right. With
/// `[merge] auto`, what is finished lands by itself.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Tasks that are finished.
    #[arg(required = true, add = ArgValueCandidates::new(task_names))]
    names: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(global: &Global, args: &Args) -> Result<u8, CommandError> {
    let mut context = Context::open(global, Trust::Required)?;
    let told = several::each(&mut context, &args.names, args.json, done);
    auto::begin(&mut context);
    super::foresee::begin(&mut context);
    told
}

fn done(context: &mut Context, name: &str) -> Result<(String, String), CommandError> {
    let task = context.task(name)?;
    let commit = format!("wt exec {name} -- sh -c 'git add -A && git commit'");
    let (site, journal) = context.parts();
    let finished = by_hand::finish(&site, journal, &task.id).map_err(|error| {
        let refusal = CommandError::caused(format!("`{name}` is not done; nothing was changed"), &error);
        match (&error, &task.state) {
            (ByHandError::NotNow { .. }, State::Done { .. }) => refusal.hint(format!("wt merge {name}")),
            (ByHandError::NotNow { .. } | ByHandError::InUse(_), _) => {
                refusal.hint(format!("wt status {name}"))
            }
            _ => refusal,
        }
    })?;
    let refused = |why: String| Err(CommandError::refused(format!("`{name}` is not done: {why}")));
    match finished {
        Finished::Done => Ok(("done".to_owned(), format!("; {}", context.how_it_lands(name)))),
        Finished::Uncommitted(files) => {
            let shown = files.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
            refused(format!("{} not committed: {shown}", count(files.len(), "file")))
                .map_err(|refusal: CommandError| refusal.hint(commit))
        }
        Finished::NothingToLand => refused("its branch has no commit that the target lacks".to_owned())
            .map_err(|refusal: CommandError| refusal.hint(format!("drop the workspace with `wt gc {name}`"))),
        Finished::Refused(reason) => refused(reason).map_err(|refusal: CommandError| {
            refusal.hint(format!("see how it stands with `wt exec {name} -- git status`"))
        }),
        Finished::CheckFailed(reason) => refused(reason).map_err(|refusal: CommandError| {
            refusal.code(error::VERIFICATION).hint(format!("wt logs {name} --verify"))
        }),
    }
}
