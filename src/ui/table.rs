//! Tables for people, from the same views that `--json` prints.

use std::fmt::Write as _;
use std::time::Duration;

use comfy_table::{ContentArrangement, Table, presets};

use crate::model::budget;
use crate::model::event::ConflictedPath;
use crate::model::text::{bytes, count, duration, neutralised};
use crate::model::view::{GcView, HeartbeatView, TaskView};

/// How many files of one conflict are named.
const NAMED: usize = 5;

pub(super) fn plain(columns: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    if !columns.is_empty() {
        table.set_header(columns.iter().map(|column| column.to_uppercase()));
    }
    table
}

pub(super) fn text(table: &Table) -> String {
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

pub(super) fn millis(ms: Option<u64>) -> String {
    ms.map(|ms| duration(Duration::from_millis(ms))).unwrap_or_default()
}

/// Returns what a task starts after, as `wt spawn --after` takes it.
pub(super) fn parents(task: &TaskView) -> String {
    let done = |name: &String| if task.after_done.contains(name) { ":done" } else { "" };
    task.after.iter().map(|name| format!("{name}{}", done(name))).collect::<Vec<_>>().join(", ")
}

pub(super) fn changes(task: &TaskView) -> String {
    let mut text = String::new();
    if task.cached {
        text.push('~');
        if task.as_of.is_none() {
            text.push('?');
        }
    }
    if task.ahead + task.behind > 0 {
        let _ = write!(text, "↑{}", task.ahead);
        if task.behind > 0 {
            let _ = write!(text, " ↓{}", task.behind);
        }
    }
    if task.files_changed > 0 {
        let _ = write!(text, " +{} -{}", task.insertions, task.deletions);
    }
    if task.dirty {
        text.push_str(" *");
    }
    if task.conflicts_with_target == Some(true) {
        text.push_str(" !");
    }
    if !task.conflicts_with.is_empty() {
        let _ = write!(text, " !{}", task.conflicts_with.len());
    }
    text.trim_start().to_owned()
}

/// Returns the bounds of a budget: "$5.00, 10000 tokens, 2h".
fn bounds(budget: &budget::Budget) -> String {
    let mut words = Vec::new();
    if budget.usd > 0.0 {
        words.push(budget::money(budget.usd));
    }
    if budget.tokens > 0 {
        words.push(count(usize::try_from(budget.tokens).unwrap_or(usize::MAX), "token"));
    }
    if budget.time_ms > 0 {
        words.push(duration(Duration::from_millis(budget.time_ms)));
    }
    words.join(", ")
}

/// Returns files that do not merge: "src/lib.rs (content), docs/x (add/add) and 3 other files".
fn files(files: &[ConflictedPath]) -> String {
    let named = files.iter().take(NAMED).map(|file| format!("{} ({})", file.path, file.kind.words()));
    let named: Vec<String> = named.collect();
    match files.len().saturating_sub(NAMED) {
        0 => named.join(", "),
        more => format!("{} and {}", named.join(", "), count(more, "other file")),
    }
}

/// Returns how full a context is: "12000 tokens, 6% of 200000".
fn context(tokens: u64, beat: &HeartbeatView) -> String {
    let used = count(usize::try_from(tokens).unwrap_or(usize::MAX), "token");
    match beat.context_window.zip(beat.context_share) {
        Some((window, share)) => format!("{used}, {:.0}% of {window}", share * 100.0),
        None => used,
    }
}

/// Returns everything known of one task, for people.
pub fn task(task: &TaskView) -> String {
    let mut table = plain(&[]);
    let mut row = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            table.add_row([name.to_owned(), neutralised(&value).into_owned()]);
        }
    };
    let state = match &task.reason {
        Some(reason) => format!("{} ({reason})", task.state),
        None => task.state.clone(),
    };
    row("task", Some(task.name.clone()));
    row("state", Some(state));
    row("until", task.until.map(|until| until.to_string()));
    row("outcome", task.outcome.clone());
    row("agent", Some(task.agent.clone().unwrap_or_else(|| "none, a person works there".to_owned())));
    row("model", task.model.clone());
    row("profile", task.profile.clone());
    row("session", task.session.clone());
    row("iteration", task.iterations.map(|most| format!("{}/{most}", task.iteration)));
    row("attempt", (task.attempt > 0).then(|| task.attempt.to_string()));
    row("priority", Some(task.priority.to_string()));
    row("after", Some(parents(task)));
    row("worktree", task.worktree.clone());
    let ports: Vec<String> = task.ports.iter().map(ToString::to_string).collect();
    row("ports", Some(ports.join(", ")));
    row("branch", task.branch.clone());
    row("target", Some(task.target.clone()));
    row("base", task.base.as_ref().map(|base| base.short().to_owned()));
    row("head", task.head.as_ref().map(|head| head.short().to_owned()));
    row("changes", Some(changes(task)));
    row(
        "conflicts",
        (task.conflicts_with_target == Some(true))
            .then(|| format!("its commits do not merge with `{}` as it is now", task.target)),
    );
    for clash in &task.clashes {
        row("conflicts", Some(format!("with `{}` in {}", clash.with, files(&clash.files))));
    }
    for stray in &task.strays {
        row("stray", Some(stray.clone()));
    }
    row("seen", task.as_of.map(|at| at.to_string()));
    row("last", task.last.clone());
    row("time", Some(millis(task.elapsed_ms)));
    row("silent", Some(millis(task.silent_ms)));
    row("pace", task.pace.map(|pace| pace.word().to_owned()));
    if let Some(beat) = &task.heartbeat {
        row("tool", beat.tool.clone());
        row("fault", beat.fault.clone());
        row("errors", (beat.errors > 0).then(|| beat.errors.to_string()));
        row("context", beat.context_tokens.map(|n| context(n, beat)));
        let processes = beat.processes.map(|n| count(n as usize, "process"));
        row("memory", beat.memory_bytes.zip(processes).map(|(n, held)| format!("{} in {held}", bytes(n))));
    }
    row("cost", (task.cost_usd > 0.0).then(|| format!("${:.4}", task.cost_usd)));
    row("budget", task.budget.as_ref().map(bounds));
    row("warning", task.warning.clone());
    let tokens = task.tokens;
    let used = tokens.input + tokens.output + tokens.cache_read + tokens.cache_write;
    row(
        "tokens",
        (used > 0).then(|| {
            format!(
                "{} in, {} out, {} cached, {} to cache",
                tokens.input, tokens.output, tokens.cache_read, tokens.cache_write
            )
        }),
    );
    for conflict in &task.conflicts {
        row("conflict", Some(format!("{} ({})", conflict.path, conflict.kind.words())));
    }
    text(&table)
}

/// Returns `wt gc` for people.
pub fn gc(view: &GcView) -> String {
    let mut lines = Vec::new();
    let verb = if view.dry_run { "would remove" } else { "removed" };
    for removed in &view.removed {
        lines.push(format!("{verb} {}: {}", removed.name, neutralised(&removed.why)));
    }
    for kept in &view.kept {
        lines.push(format!("kept {}: {}", kept.name, neutralised(&kept.why)));
    }
    if lines.is_empty() {
        lines.push("nothing to remove".to_owned());
    }
    lines.join("\n")
}
