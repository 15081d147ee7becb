//! `wt conflicts`.

use clap::Args as ClapArgs;
use clap_complete::engine::ArgValueCandidates;

use super::completions::task_names;
use super::context::{Context, Global};
use crate::error::{self, CommandError, During as _};
use crate::model::view::SCHEMA;
use crate::model::view::conflicts::ConflictsView;
use crate::model::{Clock as _, Task};
use crate::observe::conflicts::look;
use crate::ui;
use crate::ui::conflicts::Files;

/// Show which live branches would not merge with which, and in which order they had best land.
///
/// Every two branches with the same target are merged in memory, and each with its target, with their uncommitted and
/// untracked files (`*`). In the matrix stands the number of files that do not merge, `·` where all do. The order: parents
/// first, then priority, fewest conflicts, age; what is done stands before what is not. With names, only the pairs in which
/// these stand, with their files. Exit code 0 whether or not there are conflicts.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Tasks whose conflicts to show in full.
    #[arg(add = ArgValueCandidates::new(task_names))]
    names: Vec<String>,
    /// List the files that do not merge.
    #[arg(long)]
    files: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(global: &Global, args: &Args) -> Result<u8, CommandError> {
    let mut context = Context::open_anyway(global)?;
    let named: Vec<Task> = args.names.iter().map(|name| context.task(name)).collect::<Result<_, _>>()?;
    let now = context.clock().now();
    let roster = context.roster()?.clone();
    let progress = context.progress();
    let found = look(context.repo(), context.layout(), &roster, now, &progress);
    drop(progress);
    let found = found.during(|| "the branches cannot be compared; nothing was changed".to_owned())?;
    for task in
        named.iter().filter(|task| !found.tasks.iter().any(|there| there.name == task.name().as_str()))
    {
        let why = if task.state.ended() { task.state.word() } else { "without changes" };
        context.note(&format!("`{}` is not compared: it is {why}", task.name()));
    }
    let mut view = ConflictsView {
        schema: SCHEMA,
        target: context.target().unwrap_or_default(),
        tasks: found.tasks,
        pairs: found.pairs,
        unknown: found.unknown,
        merged: found.merged,
    };
    let compared = view.tasks.iter().filter(|task| task.skipped.is_none()).count();
    if !named.is_empty() {
        let is_named = |name: &String| named.iter().any(|task| task.name().as_str() == name);
        view.pairs.retain(|pair| pair.tasks.iter().any(is_named));
        view.unknown.retain(|pair| pair.iter().any(is_named));
        let stands = |name: &String| {
            is_named(name)
                || view.pairs.iter().any(|pair| pair.tasks.contains(name))
                || view.unknown.iter().any(|pair| pair.contains(name))
        };
        view.tasks.retain(|task| stands(&task.name));
    }
    if args.json {
        ui::json(&view);
    } else {
        let files = if args.files || !named.is_empty() { Files::Listed } else { Files::Counted };
        ui::answer(&ui::conflicts::conflicts(&view, files, compared));
    }
    Ok(error::DONE)
}
