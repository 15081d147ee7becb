//! `wt spawn`.

mod looping;
mod making;
mod names;
mod wish;

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args as ClapArgs;

use self::looping::Iterations;
use self::making::{Intent, Spawned};
use self::wish::{Wish, read_lines, wish};
use super::budget::BudgetArgs;
use super::context::{Context, Global, Trust};
use crate::error::{self, CommandError};
use crate::model::TaskSpec;
use crate::model::text::count;
use crate::model::view::SCHEMA;
use crate::model::view::verbs::{SpawnView, SpawnedView};
use crate::observe::status::words;
use crate::ui::{self, message};

/// Give a task a worktree and branch of its own and start an agent in it; returns at once.
///
/// The prompt comes from the argument, from `-f FILE`, or from standard input with `-`. Without a free slot, or with
/// `--after`, the task is queued and its workspace made when it starts.
#[derive(Debug, Clone, ClapArgs)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub struct Args {
    /// The task: a-z, 0-9, `.`, `_`, `-`; also its branch (`wt/NAME`) and folder.
    #[arg(required_unless_present = "from")]
    name: Option<String>,
    /// What the agent is to do; `-` reads it from standard input.
    prompt: Option<String>,
    /// Read the prompt from this file; `-` is standard input.
    #[arg(short, long, value_name = "FILE", conflicts_with = "prompt")]
    file: Option<PathBuf>,
    /// The agent (`claude`, or any `[agents.NAME]` of the configuration).
    #[arg(long)]
    agent: Option<String>,
    /// The model to ask the agent for.
    #[arg(long)]
    model: Option<String>,
    /// Take agent, model, fall-back models and role from this `[profiles.NAME]` of the configuration.
    #[arg(long)]
    profile: Option<String>,
    /// The revision to start from; default: the target as it is when the task starts.
    #[arg(long, value_name = "REF")]
    base: Option<String>,
    /// The branch to land on; default: the configured target.
    #[arg(long, value_name = "TARGET")]
    into: Option<String>,
    /// Start only when this task has landed, or with `TASK:done` when it is done, from its branch; repeatable. It lands after it.
    #[arg(long, value_name = "TASK")]
    after: Vec<String>,
    /// 1 (first) to 5.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=5))]
    priority: u8,
    /// Paths that this task is responsible for; repeatable. As long as it has not landed, another task that changes them
    /// lands only after `wt approve`; what this one changes elsewhere is told when it lands.
    #[arg(long, value_name = "GLOB")]
    own: Vec<String>,
    /// Paths that this task must not touch; repeatable. If it does, it lands only after `wt approve`.
    #[arg(long, value_name = "GLOB")]
    avoid: Vec<String>,
    /// A check that must pass before the task is done, instead of the configured ones; repeatable.
    #[arg(long, value_name = "CMD")]
    verify: Vec<String>,
    /// The time limit of one attempt (`30m`, `2h`).
    #[arg(long, value_name = "DURATION")]
    timeout: Option<String>,
    /// Attempts beyond the first; of a loop, of each iteration.
    #[arg(long)]
    retries: Option<u32>,
    /// Run in a loop of at most N iterations, a fresh agent for each, until the promise; default N: `[loop] max`.
    #[arg(
        long = "loop",
        value_name = "N",
        num_args = 0..=1,
        default_missing_value = looping::CONFIGURED,
        value_parser = looping::iterations
    )]
    looping: Option<Iterations>,
    /// The text inside `<promise>…</promise>` of an agent's final message that ends the loop.
    #[arg(long, value_name = "TEXT", requires = "looping")]
    until: Option<String>,
    /// A JSON file of requirements in the worktree: each item's `passes` must be true before the loop can end.
    #[arg(long, value_name = "FILE", requires = "looping")]
    prd: Option<String>,
    #[command(flatten)]
    budget: BudgetArgs,
    /// Make the workspace only: a person works there.
    #[arg(long, conflicts_with_all = ["agent", "model", "after", "profile", "looping"])]
    no_agent: bool,
    /// Wait until the task is done, and say how it went.
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,
    /// Show what would be made, and make nothing.
    #[arg(long)]
    dry_run: bool,
    /// Read tasks from this file as JSON lines (`-`: standard input); keys are the long option names with `name`, `prompt`.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "prompt", "file"])]
    from: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(global: &Global, args: &Args) -> Result<u8, CommandError> {
    let mut context = Context::open(global, Trust::Required)?;
    context.repo().require_identity().map_err(|error| {
        CommandError::caused("agents could not commit here; nothing was made", &error)
            .hint("git config --global user.name \"Your Name\"")
            .hint("git config --global user.email you@example.org")
    })?;
    let lines = match &args.from {
        Some(path) => read_lines(path, args)?,
        None => vec![args.clone()],
    };
    let mut bases = BTreeSet::new();
    let wishes: Vec<Wish> =
        lines.iter().map(|line| wish(&context, line, &mut bases)).collect::<Result<_, _>>()?;
    names::check(&mut context, &wishes)?;
    if args.dry_run {
        making::check(&mut context, &wishes, Intent::Look)?;
        let would: Vec<SpawnedView> = wishes.iter().map(|wish| planned(&context, wish)).collect();
        tell(args, &would);
        return Ok(error::DONE);
    }
    making::check(&mut context, &wishes, Intent::Make)?;
    let spawned = making::spawn(&mut context, wishes)?;
    context.pass();
    super::tend::begin(&context);
    let (mut made, mut failures) = (Vec::with_capacity(spawned.len()), Vec::new());
    for Spawned { spec, failed } in spawned {
        match failed {
            Some(refusal) if args.from.is_none() => return Err(refusal),
            Some(refusal) => failures.push(refusal),
            None => made.push(view(&context, &spec, if spec.agent.is_some() { "queued" } else { "open" })),
        }
    }
    let names: Vec<String> = made.iter().map(|view| view.name.clone()).collect();
    if args.wait && args.json {
        // One document: how it went, not how it began.
        let code = super::wait::silently(&mut context, &names)?;
        update(&mut context, &mut made)?;
        tell(args, &made);
        return tell_failures(&failures, made.len(), code);
    }
    update(&mut context, &mut made)?;
    tell(args, &made);
    let code = if args.wait { super::wait::for_tasks(&mut context, &names)? } else { error::DONE };
    tell_failures(&failures, made.len(), code)
}

/// Tells which of several have no workspace; returns the exit code of all, where `code` is that of the others.
fn tell_failures(failures: &[CommandError], made: usize, code: u8) -> Result<u8, CommandError> {
    for CommandError { message, causes, hints, .. } in failures {
        message::error(message, causes, hints);
    }
    if failures.is_empty() {
        return Ok(code);
    }
    let all = made + failures.len();
    let stay = if made == 1 { "the other one stays" } else { "the others stay" };
    let refusal = CommandError::refused(match made {
        0 => format!("none of {} was made", count(all, "task")),
        _ => format!("{} of {all} failed, {stay}", failures.len()),
    });
    Err(refusal.code(if made == 0 { error::REFUSED } else { error::SOME_FAILED }).answered())
}

/// Brings the told states up to date.
fn update(context: &mut Context, made: &mut [SpawnedView]) -> Result<(), CommandError> {
    let layout = context.layout().clone();
    let roster = context.roster()?;
    for view in made {
        let name = view.name.parse().expect("it was a name before");
        if let Some(task) = roster.newest(&name) {
            view.state = words(task, roster, &layout).0;
            view.outcome.clone_from(&task.outcome);
        }
    }
    Ok(())
}

fn tell(args: &Args, made: &[SpawnedView]) {
    if args.json {
        ui::json(&SpawnView { schema: SCHEMA, dry_run: args.dry_run, tasks: made });
        return;
    }
    for view in made {
        let what = if args.dry_run { "would be " } else { "" };
        let who = view.agent.as_deref().unwrap_or("you");
        let SpawnedView { name, state, branch, worktree, .. } = view;
        ui::answer(&format!("{name} {what}{state}: {who} on {branch} in {worktree}"));
    }
}

fn view(context: &Context, spec: &TaskSpec, state: &str) -> SpawnedView {
    let name = spec.name.as_str();
    SpawnedView {
        name: name.to_owned(),
        state: state.to_owned(),
        branch: context.settings().branch.replace("{name}", name),
        worktree: context.repo().worktrees_root().join(name).to_string_lossy().into_owned(),
        target: spec.target.clone(),
        agent: spec.agent.clone(),
        outcome: None,
    }
}

fn planned(context: &Context, wish: &Wish) -> SpawnedView {
    let state = match (&wish.spec.agent, wish.after.is_empty()) {
        (None, _) => "open",
        (Some(_), true) => "running",
        (Some(_), false) => "queued",
    };
    view(context, &wish.spec, state)
}
