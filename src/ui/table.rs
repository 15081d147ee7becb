//! Tables for people, from the same views that `--json` prints.

use std::fmt::Write as _;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use comfy_table::{ContentArrangement, Table, presets};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::model::budget;
use crate::model::text::{count, duration, neutralised, one_line};
use crate::model::view::{GcView, StatusView, TaskView};

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

fn style(state: &str) -> Style {
    match state {
        "running" | "landing" => AnsiColor::Cyan.on_default(),
        "done" | "landed" => AnsiColor::Green.on_default(),
        "failed" | "dead" | "conflict" | "rejected" | "lost" => AnsiColor::Red.on_default(),
        "waiting" | "queued" | "review" | "stopped" => AnsiColor::Yellow.on_default(),
        _ => Style::new(),
    }
}

/// Colours the word of the state in each row: after the layout, which knows nothing of escapes.
fn coloured(lines: &str, tasks: &[TaskView]) -> String {
    let mut out = Vec::new();
    for (n, line) in lines.lines().enumerate() {
        let row = n.checked_sub(1).and_then(|n| tasks.get(n));
        out.push(match row.and_then(|task| Some((task, line.split_at_checked(task.name.len() + 1)?))) {
            Some((task, (name, rest))) => {
                let state = style(&task.state);
                format!("{name}{}", rest.replacen(&task.state, &format!("{state}{}{state:#}", task.state), 1))
            }
            None => line.to_owned(),
        });
    }
    out.join("\n")
}

fn millis(ms: Option<u64>) -> String {
    ms.map(|ms| duration(Duration::from_millis(ms))).unwrap_or_default()
}

fn changes(task: &TaskView) -> String {
    let mut text = String::new();
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
    text.trim_start().to_owned()
}

/// The time of day here, with the date if it is not today's.
fn clock(at: Timestamp) -> String {
    let here = at.to_zoned(TimeZone::system());
    let today = here.date() == Timestamp::now().to_zoned(TimeZone::system()).date();
    here.strftime(if today { "%H:%M" } else { "%b %d %H:%M" }).to_string()
}

fn told(task: &TaskView) -> String {
    let what = match (task.state.as_str(), &task.reason) {
        ("waiting", Some(reason)) if reason == "after" => format!("after {}", task.after.join(", ")),
        ("waiting", Some(reason)) => {
            let until =
                task.until.filter(|_| reason == "rate_limit").map(|until| format!(" until {}", clock(until)));
            let why = task.outcome.as_ref().map(|why| format!(": {why}"));
            format!("{reason}{}{}", until.unwrap_or_default(), why.unwrap_or_default())
        }
        ("running", _) => match (&task.warning, &task.last) {
            (Some(warning), Some(last)) => format!("{warning}; {last}"),
            (warning, last) => warning.clone().or_else(|| last.clone()).unwrap_or_default(),
        },
        _ => task.outcome.clone().or_else(|| task.last.clone()).unwrap_or_default(),
    };
    one_line(&what, 60)
}

/// Returns `wt status` for people.
pub fn status(view: &StatusView) -> String {
    if view.tasks.is_empty() {
        return "no tasks; give one to an agent with `wt spawn NAME \"what to do\"`".to_owned();
    }
    let mut table = plain(&["task", "state", "agent", "time", "changes", "cost", ""]);
    for task in &view.tasks {
        let cost = if task.cost_usd > 0.0 { format!("${:.2}", task.cost_usd) } else { String::new() };
        table.add_row([
            task.name.clone(),
            match task.iterations {
                Some(most) => format!("{} {}/{most}", task.state, task.iteration),
                None => task.state.clone(),
            },
            task.agent.clone().unwrap_or_else(|| "you".to_owned()),
            millis(task.elapsed_ms),
            changes(task),
            cost,
            told(task),
        ]);
    }
    let mut lines = coloured(&text(&table), &view.tasks);
    let _ = write!(
        lines,
        "\n{} of {} in use, landing on {}",
        view.slots.used,
        count(view.slots.max as usize, "slot"),
        view.target
    );
    if let Some(today) = &view.today {
        let shares = budget::shares(&today.spent, &today.budget);
        let words: Vec<String> = shares.iter().map(budget::Share::words).collect();
        let _ = write!(lines, ", {} today", words.join(", "));
    }
    lines
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
    row("after", Some(task.after.join(", ")));
    row("worktree", task.worktree.clone());
    let ports: Vec<String> = task.ports.iter().map(ToString::to_string).collect();
    row("ports", Some(ports.join(", ")));
    row("branch", task.branch.clone());
    row("target", Some(task.target.clone()));
    row("base", task.base.as_ref().map(|base| base.short().to_owned()));
    row("head", task.head.as_ref().map(|head| head.short().to_owned()));
    row("changes", Some(changes(task)));
    row("last", task.last.clone());
    row("time", Some(millis(task.elapsed_ms)));
    row("silent", Some(millis(task.silent_ms)));
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
