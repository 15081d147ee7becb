//! `wt completions`.

use clap::Args as ClapArgs;
use clap_complete::engine::CompletionCandidate;
use clap_complete::env::Shells;

use super::context::{Context, Global, Trust};
use crate::error::{self, CommandError};
use crate::ui;

/// Print the line that switches on completions, task names included, for a shell.
///
/// For example `source <(wt completions bash)` in `~/.bashrc`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// bash, zsh, fish, elvish or powershell.
    shell: String,
}

/// Runs the verb.
pub fn run(args: &Args) -> Result<u8, CommandError> {
    let shells = Shells::builtins();
    let Some(shell) = shells.completer(&args.shell) else {
        let known: Vec<_> = shells.names().collect();
        return Err(CommandError::usage(format!(
            "no completions for `{}`",
            crate::model::text::neutralised(&args.shell)
        ))
        .hint(format!("known are: {}", known.join(", "))));
    };
    let mut script = Vec::new();
    shell
        .write_registration("COMPLETE", "wt", "wt", "wt", &mut script)
        .map_err(|error| CommandError::caused("the completions cannot be written", &error))?;
    ui::answer_bytes(&script);
    Ok(error::DONE)
}

/// Returns the names of live tasks, for completion; of none where there is no repository.
pub fn task_names() -> Vec<CompletionCandidate> {
    let Ok(mut context) = Context::open(&Global::default(), Trust::NotNeeded) else { return Vec::new() };
    let Ok(roster) = context.roster() else { return Vec::new() };
    roster
        .live()
        .map(|task| CompletionCandidate::new(task.name().as_str()).help(Some(task.state.word().into())))
        .collect()
}
