//! `wt man`: the manual pages, made from the definition of the command line.
//!
//! Examples come from [`examples`], exit codes from [`crate::error::CODES`]; nothing is told twice.

pub mod examples;

use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use fs_err as fs;

use self::examples::{BY_VERB, Example, GENERAL};
use crate::error::{self, CODES, CommandError, During as _};
use crate::ui;

/// Print the manual, or write a page for each command into a folder.
///
/// The pages are in the form that man(1) reads: `wt man | man -l -` shows them, `--out DIR` is for packages.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Print the page of this command instead.
    #[arg(conflicts_with = "out")]
    verb: Option<String>,
    /// Write all pages into this folder: `wt.1`, `wt-spawn.1` …
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Runs the verb. `definition`: the whole command line.
pub fn run(definition: Command, args: &Args) -> Result<u8, CommandError> {
    // Options that a short help leaves out are told here.
    let mut definition = definition.mut_args(|arg| arg.hide_short_help(false));
    definition.build();
    match (&args.out, &args.verb) {
        (Some(folder), _) => write_all(&definition, folder)?,
        (None, None) => ui::answer_bytes(&page(&definition)?),
        (None, Some(verb)) => {
            let found = visible(&definition).find(|one| one.get_name() == verb).cloned();
            let Some(command) = found else {
                let verb = crate::model::text::neutralised(verb).into_owned();
                return Err(CommandError::usage(format!("there is no command `{verb}`")).hint("wt --help"));
            };
            ui::answer_bytes(&page(&command)?);
        }
    }
    Ok(error::DONE)
}

/// The commands that people use.
fn visible(definition: &Command) -> impl Iterator<Item = &Command> {
    definition.get_subcommands().filter(|command| !command.is_hide_set())
}

fn write_all(definition: &Command, folder: &Path) -> Result<(), CommandError> {
    let kept = || format!("the pages cannot be written to {}", folder.display());
    fs::create_dir_all(folder).during(kept)?;
    for command in std::iter::once(definition).chain(visible(definition)) {
        fs::write(folder.join(format!("{}.1", title(command))), page(command)?).during(kept)?;
    }
    Ok(())
}

/// Returns `wt`, or `wt-spawn`.
fn title(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

/// Returns one page.
fn page(command: &Command) -> Result<Vec<u8>, CommandError> {
    let version = env!("CARGO_PKG_VERSION");
    let man = Man::new(command.clone()).title(title(command).to_uppercase()).manual("wt manual");
    let man = man.source(format!("wt {version}"));
    let mut bytes = Vec::new();
    let rendered = man.render_title(&mut bytes).and_then(|()| {
        man.render_name_section(&mut bytes)?;
        man.render_synopsis_section(&mut bytes)?;
        man.render_description_section(&mut bytes)?;
        man.render_options_section(&mut bytes)?;
        if visible(command).next().is_some() {
            man.render_subcommands_section(&mut bytes)?;
        }
        rest(command).to_writer(&mut bytes)
    });
    rendered.during(|| "the page cannot be made".to_owned())?;
    Ok(bytes)
}

/// What every page ends with.
fn rest(command: &Command) -> Roff {
    let mut roff = Roff::new();
    let whole = visible(command).next().is_some();
    let shown: &[Example] = if whole {
        GENERAL
    } else {
        let found = BY_VERB.iter().find(|(verb, _)| *verb == command.get_name());
        found.map_or(&[], |(_, examples)| examples)
    };
    if !shown.is_empty() {
        roff.control("SH", ["EXAMPLES"]);
        for (line, does) in shown {
            roff.control("TP", []).text([bold(*line)]).text([roman(*does)]);
        }
    }
    roff.control("SH", ["EXIT STATUS"]);
    for (code, means) in CODES {
        roff.control("TP", []).text([bold(*code)]).text([roman(*means)]);
    }
    roff.control("SH", ["SEE ALSO"]);
    let others = if whole { "git-worktree(1)" } else { "wt(1), git-worktree(1)" };
    roff.text([roman(others)]);
    roff
}
