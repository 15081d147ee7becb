//! The command line: global options, one variant a verb, and the way from an error to an exit code.

use std::path::PathBuf;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::commands::{self, Global};
use crate::error::{self, CommandError};
use crate::ui::{self, message};

/// What `wt` prints when it is asked nothing.
const FIRST_SCREEN: &str = "\
A task is a git worktree, a branch and an agent of its own. `wt` lands all of
them on main and loses nothing.

  wt spawn feature-auth \"Add JWT login\"  hand a task to an agent, at once
  wt status                              who works, who waits, who is done
  wt merge --all                         rebase, verify, fast-forward, tidy up
  wt gc                                  remove what is landed or stale

New here? `wt demo` shows it all in a scratch repository, with no key and no
network.";

#[derive(Debug, Parser)]
#[command(
    name = "wt",
    version,
    about = "Git worktree workspaces for fleets of coding agents",
    before_help = FIRST_SCREEN,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    max_term_width = 110
)]
struct Cli {
    /// Work as if started in this folder.
    #[arg(short = 'C', global = true, value_name = "DIR", hide_short_help = true)]
    folder: Option<PathBuf>,
    /// Tell only results, warnings and errors.
    #[arg(short, long, global = true, hide_short_help = true)]
    quiet: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "one value a run; a box would only add words")]
enum Verb {
    Spawn(commands::spawn::Args),
    Status(commands::status::Args),
    Logs(commands::logs::Args),
    Wait(commands::wait::Args),
    Events(commands::events::Args),
    Stop(commands::stop::Args),
    Retry(commands::retry::Args),
    Resume(commands::resume::Args),
    Attach(commands::attach::Args),
    Done(commands::done::Args),
    Diff(commands::diff::Args),
    Merge(commands::merge::Args),
    Conflicts(commands::conflicts::Args),
    Undo(commands::undo::Args),
    Cost(commands::cost::Args),
    Approve(commands::approve::Args),
    Resolve(commands::resolve::Args),
    Exec(commands::exec::Args),
    Path(commands::path::Args),
    Gc(commands::gc::Args),
    Restore(commands::restore::Args),
    Doctor(commands::doctor::Args),
    Trust(commands::trust::Args),
    Demo(commands::demo::Args),
    Completions(commands::completions::Args),
    Man(commands::man::Args),
    Schema(commands::schema::Args),
}

fn dispatch(global: &Global, verb: Verb) -> Result<u8, CommandError> {
    match verb {
        Verb::Spawn(args) => commands::spawn::run(global, &args),
        Verb::Status(args) => commands::status::run(global, &args),
        Verb::Logs(args) => commands::logs::run(global, &args),
        Verb::Events(args) => commands::events::run(global, &args),
        Verb::Wait(args) => commands::wait::run(global, &args),
        Verb::Stop(args) => commands::stop::run(global, &args),
        Verb::Retry(args) => commands::retry::run(global, &args),
        Verb::Resume(args) => commands::resume::run(global, &args),
        Verb::Attach(args) => commands::attach::run(global, &args),
        Verb::Done(args) => commands::done::run(global, &args),
        Verb::Diff(args) => commands::diff::run(global, &args),
        Verb::Conflicts(args) => commands::conflicts::run(global, &args),
        Verb::Cost(args) => commands::cost::run(global, &args),
        Verb::Approve(args) => commands::approve::run(global, &args),
        Verb::Resolve(args) => commands::resolve::run(global, &args),
        Verb::Exec(args) => commands::exec::run(global, &args),
        Verb::Path(args) => commands::path::run(global, &args),
        Verb::Demo(args) => commands::demo::run(global, &args),
        Verb::Gc(args) => commands::gc::run(global, &args),
        Verb::Restore(args) => commands::restore::run(global, &args),
        Verb::Doctor(args) => commands::doctor::run(global, &args),
        Verb::Trust(args) => commands::trust::run(global, &args),
        Verb::Completions(args) => commands::completions::run(&args),
        Verb::Man(args) => commands::man::run(definition(), &args),
        Verb::Schema(args) => commands::schema::run(&args),
        Verb::Merge(args) => commands::merge::run(global, &args),
        Verb::Undo(args) => commands::undo::run(global, &args),
    }
}

/// Returns the definition of the whole command line, for completions.
pub(crate) fn definition() -> clap::Command {
    Cli::command()
}

/// Whether the answer is to be JSON, whatever verb was asked: then a refusal is an answer too.
fn wants_json() -> bool {
    std::env::args().skip(1).take_while(|argument| argument != "--").any(|argument| argument == "--json")
}

/// Parses the command line, runs its verb, and returns the exit code.
pub(crate) fn run() -> u8 {
    clap_complete::CompleteEnv::with_factory(definition).complete();
    let parsed = definition().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(refusal) => {
            // Help and version are answers; clap knows which stream each belongs to.
            drop(refusal.print());
            return u8::try_from(refusal.exit_code()).unwrap_or(error::USAGE);
        }
    };
    let global = Global { folder: cli.folder, quiet: cli.quiet };
    match dispatch(&global, cli.verb) {
        Ok(code) => code,
        Err(refusal) => {
            message::error(&refusal.message, &refusal.causes, &refusal.hints);
            if wants_json() && !refusal.answered {
                ui::json(&refusal.view());
            }
            refusal.code
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_well_formed() {
        super::definition().debug_assert();
    }

    /// Splits a line as a shell does, as far as the examples need it.
    fn words(line: &str) -> Vec<String> {
        let mut words = Vec::new();
        for (n, part) in line.split('"').enumerate() {
            if n % 2 == 1 {
                words.push(part.to_owned());
            } else {
                words.extend(part.split_whitespace().map(str::to_owned));
            }
        }
        words
    }

    #[test]
    fn every_example_of_the_manual_is_a_command_line_of_its_verb() {
        use crate::commands::man::examples::{BY_VERB, GENERAL};
        let general = GENERAL.iter().map(|(line, _)| (line.split(' ').nth(1).unwrap(), *line));
        let by_verb = BY_VERB.iter().flat_map(|(verb, all)| all.iter().map(move |(line, _)| (*verb, *line)));
        for (verb, line) in general.chain(by_verb) {
            let parsed = super::definition().try_get_matches_from(words(line));
            let parsed = parsed.unwrap_or_else(|error| panic!("{line}: {error}"));
            assert_eq!(parsed.subcommand_name(), Some(verb), "{line}");
        }
        let told: Vec<&str> = BY_VERB.iter().map(|(verb, _)| *verb).collect();
        for command in super::definition().get_subcommands().filter(|command| !command.is_hide_set()) {
            assert!(told.contains(&command.get_name()), "{} has no example", command.get_name());
        }
    }
}
