//! `wt spawn`.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args as ClapArgs;
use serde::{Deserialize, Serialize};

use super::context::{Context, Global, Trust};
use crate::agent::Adapter;
use crate::error::{self, CommandError, During as _};
use crate::failpoint;
use crate::model::adapter::PromptBy;
use crate::model::view::SCHEMA;
use crate::model::{Clock as _, Event, Task, TaskId, TaskName, TaskSpec, duration};
use crate::store::Lock;
use crate::supervise::enqueue::{self, EnqueueError};
use crate::supervise::{by_hand, pass, schedule};
use crate::ui;
use crate::workspace::create;

/// The longest prompt, in bytes.
const LONGEST_PROMPT: u64 = 8 << 20;

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
    /// Attempts beyond the first.
    #[arg(long)]
    retries: Option<u32>,
    /// Make the workspace only: a person works there.
    #[arg(long, conflicts_with_all = ["agent", "model", "after"])]
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

/// One line of `--from`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Line {
    name: String,
    prompt: Option<String>,
    file: Option<PathBuf>,
    agent: Option<String>,
    model: Option<String>,
    base: Option<String>,
    into: Option<String>,
    #[serde(default)]
    after: Vec<String>,
    priority: Option<u8>,
    #[serde(default)]
    own: Vec<String>,
    #[serde(default)]
    avoid: Vec<String>,
    #[serde(default)]
    verify: Vec<String>,
    timeout: Option<String>,
    retries: Option<u32>,
    #[serde(default)]
    no_agent: bool,
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

/// What is asked for, checked as far as words go.
struct Wish {
    spec: TaskSpec,
    prompt: String,
    after: Vec<TaskName>,
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
    let roster = context.roster()?;
    for view in made {
        let name = view.name.parse().expect("it was a name before");
        if let Some(task) = roster.newest(&name) {
            task.state.word().clone_into(&mut view.state);
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

fn read_lines(path: &Path, args: &Args) -> Result<Vec<Args>, CommandError> {
    let text = read_text(path)?;
    let mut lines = Vec::new();
    for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let line: Line = serde_json::from_str(line).map_err(|error| {
            CommandError::caused(
                format!("line {} of `{}` is no task; nothing was made", n + 1, path.display()),
                &error,
            )
        })?;
        if line.priority.is_some_and(|priority| !(1..=5).contains(&priority)) {
            return Err(CommandError::usage(format!("line {}: priority is 1 to 5; nothing was made", n + 1)));
        }
        if line.no_agent && (line.agent.is_some() || line.model.is_some() || !line.after.is_empty()) {
            return Err(CommandError::usage(format!(
                "line {}: with no-agent go neither agent nor model nor after; nothing was made",
                n + 1
            )));
        }
        lines.push(Args {
            name: Some(line.name),
            prompt: line.prompt,
            file: line.file,
            agent: line.agent.or_else(|| args.agent.clone()),
            model: line.model.or_else(|| args.model.clone()),
            base: line.base.or_else(|| args.base.clone()),
            into: line.into.or_else(|| args.into.clone()),
            after: line.after.into_iter().chain(args.after.clone()).collect(),
            priority: line.priority.unwrap_or(args.priority),
            own: line.own,
            avoid: line.avoid,
            verify: if line.verify.is_empty() { args.verify.clone() } else { line.verify },
            timeout: line.timeout.or_else(|| args.timeout.clone()),
            retries: line.retries.or(args.retries),
            no_agent: line.no_agent || args.no_agent,
            ..args.clone()
        });
    }
    if lines.is_empty() {
        return Err(CommandError::usage(format!("`{}` has no task", path.display())));
    }
    Ok(lines)
}

/// Reads a file, or standard input for `-`, bounded.
fn read_text(path: &Path) -> Result<String, CommandError> {
    let shown = path.display();
    let what = || format!("`{shown}` cannot be read; nothing was made");
    let mut bytes = Vec::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().lock().take(LONGEST_PROMPT + 1).read_to_end(&mut bytes)
    } else {
        fs_err::File::open(path).during(what)?.take(LONGEST_PROMPT + 1).read_to_end(&mut bytes)
    };
    if read.during(what)? as u64 > LONGEST_PROMPT {
        return Err(CommandError::refused(format!("`{shown}` is longer than 8 MiB; nothing was made")));
    }
    String::from_utf8(bytes)
        .map_err(|_| CommandError::refused(format!("`{shown}` is not UTF-8; nothing was made")))
}

fn prompt(args: &Args) -> Result<String, CommandError> {
    if args.no_agent && args.prompt.is_none() && args.file.is_none() {
        return Ok(String::new());
    }
    let text = match (&args.file, args.prompt.as_deref()) {
        (Some(path), _) => read_text(path)?,
        (None, Some("-")) => read_text(Path::new("-"))?,
        (None, Some(text)) => text.to_owned(),
        (None, None) => {
            return Err(CommandError::usage("a task needs a prompt")
                .hint("give it as an argument, with `-f FILE`, or `-` for standard input")
                .hint("for a workspace without an agent: `wt spawn NAME --no-agent`"));
        }
    };
    if text.trim().is_empty() && !args.no_agent {
        return Err(CommandError::refused("the prompt is empty; nothing was made"));
    }
    if text.contains('\0') {
        return Err(CommandError::refused("the prompt holds a NUL byte; nothing was made"));
    }
    Ok(text)
}

fn wish(context: &Context, args: &Args) -> Result<Wish, CommandError> {
    let given = args.name.as_deref().unwrap_or_default();
    let name: TaskName = given.parse().map_err(|error| {
        let refusal = CommandError::caused("not a task name; nothing was made", &error);
        match TaskName::suggestion(given) {
            Some(name) => refusal.hint(format!("for example: `wt spawn {name} …`")),
            None => refusal,
        }
    })?;
    let prompt = prompt(args)?;
    let target = match &args.into {
        Some(target) => target.clone(),
        None => context.target()?,
    };
    let repo = context.repo();
    let tip = repo.branch_tip(&target).during(|| format!("target `{target}` cannot be read"))?;
    if tip.is_none() {
        return Err(CommandError::refused(format!(
            "the target branch `{target}` does not exist; nothing was made"
        ))
        .hint("see the branches with `git branch`, and name one with `--into BRANCH`"));
    }
    if let Some(base) = &args.base {
        repo.commit(base).during(|| "the base is not usable; nothing was made".to_owned())?;
    }
    let settings = context.settings();
    let agent =
        (!args.no_agent).then(|| args.agent.clone().unwrap_or_else(|| settings.agent.default.clone()));
    if let Some(agent) = &agent {
        check_agent(context, agent, &prompt)?;
    }
    let timeout = match &args.timeout {
        Some(text) => duration::parse(text).map_err(|error| CommandError::usage(error.to_string()))?,
        None => settings.limits.timeout,
    };
    if timeout.is_zero() {
        return Err(CommandError::usage("a time limit of nothing leaves no time to start"));
    }
    for glob in args.own.iter().chain(&args.avoid) {
        globset::Glob::new(glob)
            .during(|| format!("`{glob}` is not a pattern of paths; nothing was made"))
            .map_err(|refusal| refusal.code(error::USAGE))?;
    }
    let after = args
        .after
        .iter()
        .map(|name| name.parse::<TaskName>().during(|| "`--after` needs a task; nothing was made".to_owned()))
        .collect::<Result<_, _>>()?;
    let spec = TaskSpec {
        name,
        agent,
        model: args.model.clone(),
        base: args.base.clone(),
        target,
        after: Vec::new(),
        priority: args.priority,
        owns: args.own.clone(),
        avoids: args.avoid.clone(),
        verify: args.verify.clone(),
        timeout_ms: u64::try_from(timeout.min(Duration::from_secs(1 << 31)).as_millis()).unwrap_or(u64::MAX),
        retries: args.retries.unwrap_or(settings.limits.retries),
    };
    Ok(Wish { spec, prompt, after })
}

fn check_agent(context: &Context, agent: &str, prompt: &str) -> Result<(), CommandError> {
    let agents = &context.settings().agents;
    let Some(spec) = agents.get(agent) else {
        let known: Vec<_> = agents.keys().map(String::as_str).collect();
        return Err(CommandError::refused(format!(
            "no agent is called `{}`; nothing was made",
            crate::model::text::neutralised(agent)
        ))
        .hint(format!(
            "known are: {}; others go into `[agents.NAME]` of the configuration",
            known.join(", ")
        )));
    };
    let adapter = Adapter::new(agent, spec).during(|| format!("the agent `{agent}` is not usable"))?;
    if spec.prompt == PromptBy::Arg && prompt.len() >= 128 << 10 {
        return Err(CommandError::refused(format!(
            "a prompt of {} bytes is too long for the command line of `{agent}`; nothing was made",
            prompt.len()
        )));
    }
    let path = std::env::var_os("PATH");
    if adapter.program_on_path(path.as_deref(), context.repo().common_dir()).is_none() {
        let program = spec.command.first().map_or("", String::as_str);
        return Err(CommandError::refused(format!(
            "the program `{program}` of agent `{agent}` is not on PATH; nothing was made"
        ))
        .hint(format!(
            "install `{program}`, or choose another with `--agent NAME`; `wt doctor` lists what is found"
        )));
    }
    Ok(())
}

/// Checks names against the roster and against each other, before anything is made.
fn check_names(context: &mut Context, wishes: &[Wish]) -> Result<(), CommandError> {
    let roster = context.roster()?;
    for (n, wish) in wishes.iter().enumerate() {
        let name = &wish.spec.name;
        if let Some(task) = roster.live_named(name) {
            return Err(taken(task));
        }
        if wishes[..n].iter().any(|other| other.spec.name == *name) {
            return Err(CommandError::refused(format!("`{name}` is asked for twice; nothing was made")));
        }
        for parent in &wish.after {
            let earlier = wishes[..n].iter().any(|other| other.spec.name == *parent);
            if !earlier && roster.newest(parent).is_none() {
                return Err(CommandError::refused(format!(
                    "`{name}` is to start after `{parent}`, which does not exist; nothing was made"
                ))
                .hint("see the tasks with `wt status`"));
            }
        }
    }
    Ok(())
}

fn taken(task: &Task) -> CommandError {
    let name = task.name();
    let refusal = CommandError::refused(format!(
        "a task named `{name}` is already {}; nothing was made",
        task.state.word()
    ));
    match task.state.word() {
        "done" => refusal.hint(format!("wt merge {name}")),
        "failed" | "dead" | "stopped" | "lost" => refusal.hint(format!("wt retry {name}")),
        _ => refusal.hint(format!("wt status {name}")),
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
        .during(|| format!("`{}` could not be made", wish.spec.name))?;
    let state = match (&wish.spec.agent, wish.after.is_empty()) {
        (None, _) => "open",
        (Some(_), true) => "running",
        (Some(_), false) => "queued",
    };
    Ok(view(context, &wish.spec, state))
}

fn spawn(context: &mut Context, wish: Wish) -> Result<SpawnedView, CommandError> {
    let Wish { mut spec, prompt, after } = wish;
    let name = spec.name.clone();
    create::check(context.repo(), context.settings(), &spec)
        .during(|| format!("`{name}` cannot be made; nothing was made"))?;
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
    let first = schedule::line(roster, now).first().is_some_and(|task| task.id == *id);
    Ok(first && pass::free_slot(&context.fleet()).is_some())
}

/// Makes the workspace; if that fails, the task is taken back and the error says so. A person's is set up at once.
fn furnish(context: &mut Context, id: &TaskId, lock: &Lock) -> Result<(), CommandError> {
    let (fleet, journal) = context.parts();
    let task = journal.read()?.get(id).cloned().expect("it was queued a moment ago");
    let name = &id.name;
    match create::create(&fleet.site(), journal, &task) {
        Ok(_) if task.spec.agent.is_some() => Ok(()),
        Ok(workspace) => {
            let failed = by_hand::set_up(&fleet, &task, &workspace, lock)
                .during(|| format!("the set-up of `{name}` cannot be run; its workspace stays"))?;
            let Some(reason) = failed else { return Ok(()) };
            let mut refusal =
                CommandError::refused(format!("the set-up of `{name}` failed; its workspace stays"));
            refusal.causes.push(reason);
            let log = fleet.layout.task(id).setup_log();
            Err(refusal.hint(format!("see what it said: `cat {}`", log.display())))
        }
        Err(error) => {
            let reason = "its workspace could not be made".to_owned();
            let removed = Event::Removed { reason, trash: None };
            journal.append(fleet.clock.now(), vec![(Some(id.clone()), removed)])?;
            let what = format!("the workspace of `{name}` cannot be made; what was made is undone");
            Err(CommandError::caused(what, &error))
        }
    }
}
