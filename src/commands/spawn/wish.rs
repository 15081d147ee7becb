//! What a spawn is asked for: words from the command line, a file or lines of JSON, checked before anything is made.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::{Args, looping};
use crate::agent::Adapter;
use crate::commands::budget::{BudgetArgs, millis};
use crate::commands::context::Context;
use crate::error::{self, CommandError, During as _};
use crate::model::adapter::PromptBy;
use crate::model::budget::Budget;
use crate::model::settings::Profile;
use crate::model::text::one_line;
use crate::model::{Settings, TaskName, TaskSpec, duration};

/// The longest prompt, in bytes.
const LONGEST_PROMPT: u64 = 8 << 20;

/// One line of `--from`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Line {
    name: String,
    prompt: Option<String>,
    file: Option<PathBuf>,
    agent: Option<String>,
    model: Option<String>,
    profile: Option<String>,
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
    /// A number of iterations, or `true`.
    #[serde(default, rename = "loop")]
    looping: Option<Value>,
    until: Option<String>,
    prd: Option<String>,
    budget: Option<f64>,
    budget_tokens: Option<u64>,
    budget_time: Option<String>,
    #[serde(default)]
    no_agent: bool,
}

/// What is asked for, checked as far as words go.
pub(super) struct Wish {
    pub(super) spec: TaskSpec,
    pub(super) prompt: String,
    pub(super) after: Vec<TaskName>,
}

/// Reads tasks from lines of JSON; the options of the command line stand in for what a line does not say.
pub(super) fn read_lines(path: &Path, args: &Args) -> Result<Vec<Args>, CommandError> {
    let text = read_text(path)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
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
        if line.no_agent
            && (line.agent.is_some()
                || line.model.is_some()
                || line.profile.is_some()
                || !line.after.is_empty())
        {
            return Err(CommandError::usage(format!(
                "line {}: with no-agent go neither agent nor model nor profile nor after; nothing was made",
                n + 1
            )));
        }
        let told = looping::of_line(line.looping.as_ref()).map_err(|why| {
            CommandError::usage(format!("line {}: `loop` is {why}; nothing was made", n + 1))
        })?;
        let looped = told.or(args.looping);
        let alone = [("until", &line.until), ("prd", &line.prd)];
        if let Some((key, _)) = alone.iter().find(|(_, value)| value.is_some() && looped.is_none()) {
            return Err(CommandError::usage(format!(
                "line {}: `{key}` needs `loop`; nothing was made",
                n + 1
            )));
        }
        if line.no_agent && looped.is_some() {
            return Err(CommandError::usage(format!(
                "line {}: with no-agent goes no loop; nothing was made",
                n + 1
            )));
        }
        lines.push(Args {
            looping: looped,
            until: line.until.or_else(|| args.until.clone()),
            prd: line.prd.or_else(|| args.prd.clone()),
            name: Some(line.name),
            prompt: line.prompt,
            file: line.file,
            agent: line.agent.or_else(|| args.agent.clone()),
            model: line.model.or_else(|| args.model.clone()),
            profile: line.profile.or_else(|| args.profile.clone()),
            base: line.base.or_else(|| args.base.clone()),
            into: line.into.or_else(|| args.into.clone()),
            after: line.after.into_iter().chain(args.after.clone()).collect(),
            priority: line.priority.unwrap_or(args.priority),
            own: line.own,
            avoid: line.avoid,
            verify: if line.verify.is_empty() { args.verify.clone() } else { line.verify },
            timeout: line.timeout.or_else(|| args.timeout.clone()),
            retries: line.retries.or(args.retries),
            budget: BudgetArgs {
                budget: line.budget.or(args.budget.budget),
                budget_tokens: line.budget_tokens.or(args.budget.budget_tokens),
                budget_time: line.budget_time.or_else(|| args.budget.budget_time.clone()),
            },
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

/// Returns what `args` ask for; `bases` are the revisions that were found to be usable.
pub(super) fn wish(
    context: &Context,
    args: &Args,
    bases: &mut BTreeSet<String>,
) -> Result<Wish, CommandError> {
    let given = args.name.as_deref().unwrap_or_default();
    let name: TaskName = given.parse().map_err(|error| {
        let refusal = CommandError::caused("not a task name; nothing was made", &error);
        match TaskName::suggestion(given) {
            Some(name) => refusal.hint(format!("for example: `wt spawn {name} …`")),
            None => refusal,
        }
    })?;
    let prompt = prompt(args)?;
    looping::warn_of_swallowed_options(args);
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
    if let Some(base) = args.base.as_ref().filter(|base| bases.insert((*base).clone())) {
        repo.commit(base).during(|| "the base is not usable; nothing was made".to_owned())?;
    }
    let settings = context.settings();
    let profile = args.profile.as_deref().filter(|_| !args.no_agent);
    let profile = profile.map(|name| require_profile(settings, name)).transpose()?;
    let chosen = || args.agent.clone().or_else(|| Some(profile?.agent.clone()));
    let agent = (!args.no_agent).then(|| chosen().unwrap_or_else(|| settings.agent.default.clone()));
    // The models of a profile are its own agent's.
    let models = profile.filter(|profile| agent.as_ref() == Some(&profile.agent));
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
    let (after, after_done) = parents(args)?;
    let limits = &settings.limits;
    let budget =
        Budget { usd: limits.budget_usd, tokens: limits.budget_tokens, time_ms: millis(limits.budget_time) };
    let budget = args.budget.over(budget)?.unwrap_or(budget);
    let spec = TaskSpec {
        agent,
        model: args.model.clone().or_else(|| models?.model.clone()),
        profile: profile.and(args.profile.clone()),
        fallback: models.map(|profile| profile.fallback.clone()).unwrap_or_default(),
        base: args.base.clone(),
        after_done,
        priority: args.priority,
        owns: args.own.clone(),
        avoids: args.avoid.clone(),
        verify: args.verify.clone(),
        timeout_ms: u64::try_from(timeout.min(Duration::from_secs(1 << 31)).as_millis()).unwrap_or(u64::MAX),
        retries: args.retries.unwrap_or(settings.limits.retries),
        looping: looping::wish(context, args, &target)?,
        budget_usd: budget.usd,
        budget_tokens: budget.tokens,
        budget_ms: budget.time_ms,
        ..TaskSpec::new(name, target)
    };
    Ok(Wish { spec, prompt, after })
}

/// Returns the tasks to start after, and those of them that need only be done (`TASK:done`).
fn parents(args: &Args) -> Result<(Vec<TaskName>, Vec<TaskName>), CommandError> {
    let (mut after, mut done) = (Vec::new(), Vec::new());
    for given in &args.after {
        let (name, only_done) =
            given.strip_suffix(":done").map_or((given.as_str(), false), |name| (name, true));
        let name: TaskName = name.parse().during(|| "`--after` needs a task; nothing was made".to_owned())?;
        if only_done {
            done.push(name.clone());
        }
        after.push(name);
    }
    if done.len() > 1 && args.base.is_none() {
        return Err(CommandError::usage("a task starts from the branch of one that is done, not of several")
            .hint("name what it starts from with `--base REF`, or let the others land first"));
    }
    Ok((after, done))
}

/// Returns the profile of that name, or refuses with the nearest one that there is.
fn require_profile<'a>(settings: &'a Settings, name: &str) -> Result<&'a Profile, CommandError> {
    if let Some(profile) = settings.profiles.get(name) {
        return Ok(profile);
    }
    let refusal =
        CommandError::refused(format!("no profile is called `{}`; nothing was made", one_line(name, 80)));
    let known: Vec<&str> = settings.profiles.keys().map(String::as_str).collect();
    let nearest = known.iter().min_by_key(|known| strsim::damerau_levenshtein(known, name));
    Err(match nearest.filter(|known| strsim::damerau_levenshtein(known, name) <= 2) {
        Some(near) => refusal.hint(format!("the nearest name is `{near}`: `--profile {near}`")),
        None if known.is_empty() => refusal.hint("profiles are `[profiles.NAME]` of the configuration"),
        None => refusal.hint(format!("known are: {}", known.join(", "))),
    })
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
