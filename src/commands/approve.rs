//! `wt approve`.

use clap::Args as ClapArgs;
use clap_complete::engine::ArgValueCandidates;

use super::completions::task_names;
use super::context::{Context, Global, Trust};
use super::{auto, several};
use crate::error::CommandError;
use crate::land::review::{self, ReviewError};
use crate::model::State;
use crate::model::text::count;

/// Approve what is in review: its resolutions are remembered, and the next `wt merge` lands it.
///
/// The checks still have their say. See what you approve with `wt diff NAME`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Tasks in review.
    #[arg(required = true, add = ArgValueCandidates::new(task_names))]
    names: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(global: &Global, args: &Args) -> Result<u8, CommandError> {
    let mut context = Context::open(global, Trust::NotNeeded)?;
    let told = several::each(&mut context, &args.names, args.json, approve);
    auto::begin(&mut context);
    told
}

fn approve(context: &mut Context, name: &str) -> Result<(String, String), CommandError> {
    let task = context.task(name)?;
    let (site, journal) = context.parts();
    let paths = review::approve(&site, journal, &task).map_err(|error| {
        let refusal = CommandError::caused(format!("`{name}` is not approved; nothing was changed"), &error);
        match (&error, &task.state) {
            (ReviewError::State { .. }, State::Done { .. }) | (ReviewError::Changed { .. }, _) => {
                refusal.hint(format!("wt merge {name}"))
            }
            (ReviewError::State { .. }, State::Conflict) | (ReviewError::NoCandidate { .. }, _) => {
                refusal.hint(format!("wt resolve {name}"))
            }
            _ => refusal.hint(format!("wt status {name}")),
        }
    })?;
    let remembered = match paths.len() {
        0 => String::new(),
        n => format!("; {} approved", count(n, "resolution")),
    };
    Ok(("done".to_owned(), format!("{remembered}; {}", context.how_it_lands(name))))
}
