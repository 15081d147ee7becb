//! `wt spawn`.

mod looping;
mod wish;

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args as ClapArgs;
use serde::Serialize;

use self::looping::Iterations;
use self::wish::{Wish, check_names, read_lines, wish};
use super::budget::BudgetArgs;
use super::context::{Context, Global, Trust};
use crate::error::{self, CommandError, During as _};
use crate::failpoint;
use crate::model::view::SCHEMA;
use crate::model::{Clock as _, Event, TaskId, TaskSpec};
use crate::observe::status::words;
use crate::store::Lock;
use crate::supervise::enqueue::{self, EnqueueError};
use crate::supervise::{by_hand, pass, schedule};
use crate::ui;
use crate::workspace::PlanError;
use crate::workspace::create::{self, CreateError};

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
    /// Start only when this task has landed; repeatable.
    #[arg(long, value_name = "TASK")]
    after: Vec<String>,
    /// 1 (first) to 5.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=5))]
    priority: u8,
    /// Paths that this task is responsible for; repeatable.
    #[arg(long, value_name = "GLOB")]
    own: Vec<String>,
    /// Paths that this task must not touch; repeatable.
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

#[derive(Debug, Serialize)]
struct SpawnView<'a> {
    schema: u32,
    dry_run: bool,
    tasks: &'a [SpawnedView],
}

#[derive(Debug, Serialize)]
struct SpawnedView {
    name: String,
    state: String,
    branch: String,
    worktree: String,
    target: String,
    agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<String>,
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
    let wishes: Vec<Wish> = lines.iter().map(|line| wish(&context, line)).collect::<Result<_, _>>()?;
    check_names(&mut context, &wishes)?;
    let mut made = Vec::new();
    for wish in wishes {
        let spawned = if args.dry_run { plan(&context, &wish) } else { spawn(&mut context, wish) };
        match spawned {
            Ok(view) => made.push(view),
            Err(refusal) if made.is_empty() => return Err(refusal),
            Err(mut refusal) => {
                refusal.message = format!("{} (the {} before it stay)", refusal.message, made.len());
                return Err(refusal.code(error::SOME_FAILED));
            }
        }
    }
    if !args.dry_run {
        context.pass();
        super::tend::begin(&context);
    }
    let names: Vec<String> = made.iter().map(|view| view.name.clone()).collect();
    if args.wait && args.json {
        // One document: how it went, not how it began.
        let code = super::wait::silently(&mut context, &names)?;
        update(&mut context, &mut made)?;
        tell(args, &made);
        return Ok(code);
    }
    if !args.dry_run {
        update(&mut context, &mut made)?;
    }
    tell(args, &made);
    if args.wait { super::wait::for_tasks(&mut context, &names) } else { Ok(error::DONE) }
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

fn plan(context: &Context, wish: &Wish) -> Result<SpawnedView, CommandError> {
    create::check(context.repo(), context.settings(), &wish.spec)
        .map_err(|error| no_room(format!("`{}` could not be made", wish.spec.name), &error))?;
    let state = match (&wish.spec.agent, wish.after.is_empty()) {
        (None, _) => "open",
        (Some(_), true) => "running",
        (Some(_), false) => "queued",
    };
    Ok(view(context, &wish.spec, state))
}

/// Turns what is in the way of a workspace into a refusal with a way out.
fn no_room(what: String, error: &CreateError) -> CommandError {
    let refusal = CommandError::caused(what, error);
    match error {
        CreateError::Plan(
            PlanError::BranchExists { branch: there } | PlanError::BranchInTheWay { blocking: there, .. },
        ) => refusal.hint(format!("git branch -m {there} {there}-kept")),
        CreateError::Plan(PlanError::Tracked { name }) => refusal
            .hint(format!("git rm -r --cached {name} && git commit -m \"Leave {name} to each workspace\"")),
        _ => refusal,
    }
}

fn spawn(context: &mut Context, wish: Wish) -> Result<SpawnedView, CommandError> {
    let Wish { mut spec, prompt, after } = wish;
    let name = spec.name.clone();
    if let Err(error) = create::check(context.repo(), context.settings(), &spec) {
        // What stands in the way may be the same task, which somebody else asked for in this very moment.
        wish::check_free(context, &name)?;
        return Err(no_room(format!("`{name}` cannot be made; nothing was made"), &error));
    }
    context.layout().prepare()?;
    let roster = context.roster()?;
    spec.after =
        after.iter().filter_map(|parent| roster.newest(parent)).map(|task| task.id.clone()).collect();
    let now = context.clock().now();
    let layout = context.layout().clone();
    let (id, lock) =
        enqueue::enqueue(&layout, context.journal(), &spec, &prompt, now).map_err(|error| match error {
            EnqueueError::Taken { .. } => {
                CommandError::refused(format!("{error}; nothing was made")).hint(format!("wt status {name}"))
            }
            error => CommandError::caused(format!("`{name}` cannot be queued; nothing was made"), &error),
        })?;
    if starts_now(context, &id)? {
        furnish(context, &id, &lock)?;
        failpoint::hit("spawn.after_workspace");
    }
    drop(lock);
    Ok(view(context, &spec, if spec.agent.is_some() { "queued" } else { "open" }))
}

/// Whether the workspace is made now: for a person, or for an agent that will get a slot.
fn starts_now(context: &mut Context, id: &TaskId) -> Result<bool, CommandError> {
    let now = context.clock().now();
    let roster = context.roster()?;
    let Some(task) = roster.get(id) else { return Ok(false) };
    if task.spec.agent.is_none() {
        return Ok(true);
    }
    let (site, journal) = context.parts();
    let roster = journal.roster();
    let line =
        schedule::admitted(schedule::line(roster, now), roster, &BTreeSet::new(), &site.settings.profiles);
    let first = line.first().is_some_and(|task| task.id == *id);
    Ok(first && pass::used_slots(&site) < site.settings.limits.slots)
}

/// Makes the workspace; if that fails, the task is taken back and the error says so. A person's is set up at once.
fn furnish(context: &mut Context, id: &TaskId, lock: &Lock) -> Result<(), CommandError> {
    let (site, journal) = context.parts();
    let task = journal.read()?.get(id).cloned().expect("it was queued a moment ago");
    let name = &id.name;
    match create::create(&site, journal, &task) {
        Ok(_) if task.spec.agent.is_some() => Ok(()),
        Ok(workspace) => {
            let failed = by_hand::set_up(&site, &task, &workspace, lock)
                .during(|| format!("the set-up of `{name}` cannot be run; its workspace stays"))?;
            let Some(reason) = failed else { return Ok(()) };
            let mut refusal =
                CommandError::refused(format!("the set-up of `{name}` failed; its workspace stays"));
            refusal.causes.push(reason);
            let log = site.layout.task(id).setup_log();
            Err(refusal.hint(format!("see what it said: `cat {}`", log.display())))
        }
        Err(error) => {
            let reason = "its workspace could not be made".to_owned();
            let removed = Event::Removed { reason, trash: None };
            journal.append(site.clock.now(), vec![(Some(id.clone()), removed)])?;
            let what = format!("the workspace of `{name}` cannot be made; what was made is undone");
            Err(CommandError::caused(what, &error))
        }
    }
}
