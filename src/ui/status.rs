//! `wt status` for people, row by row: a row is shown as soon as all of it is known, and none is ever shown again.
//!
//! Columns are as wide as what is known before the first row asks for; a cell that outgrows its column moves the rest of its row.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::table::{changes, millis, parents};
use crate::model::breaker::Stance;
use crate::model::budget;
use crate::model::text::{count, neutralised, one_line};
use crate::model::view::{StatusView, TaskView};

const HEADS: [&str; 7] = ["TASK", "STATE", "AGENT", "TIME", "CHANGES", "COST", ""];

/// The column of the changes.
const CHANGES: usize = 4;

/// The widest marks behind the changes, which are known last.
const MARKS: &str = " * ! !9";

/// The columns of a table whose rows are still to come.
#[derive(Debug, Clone)]
pub struct Columns {
    widths: [usize; 7],
}

impl Columns {
    /// Returns columns for these tasks, as far as they are known; each of `growing` may still get marks behind its changes.
    pub fn of<'a>(tasks: impl Iterator<Item = (&'a TaskView, Growing)>) -> Self {
        let mut widths = HEADS.map(width);
        for (task, growing) in tasks {
            for (n, cell) in cells(task).iter().enumerate() {
                let more = if n == CHANGES && growing == Growing::Yes { width(MARKS) } else { 0 };
                widths[n] = widths[n].max(width(cell) + more);
            }
        }
        Self { widths }
    }

    /// Returns the first line.
    pub fn head(&self) -> String {
        self.line(&HEADS.map(str::to_owned), Style::new())
    }

    /// Returns the line of a task.
    pub fn row(&self, task: &TaskView) -> String {
        self.line(&cells(task), style(&task.state))
    }

    fn line(&self, cells: &[String; 7], style: Style) -> String {
        let mut line = String::new();
        for (n, cell) in cells.iter().enumerate() {
            let gap = " ".repeat(self.widths[n].saturating_sub(width(cell)) + 2);
            line.push(' ');
            match cell.split_once(' ').unwrap_or((cell, "")) {
                // Only the word of the state has a colour.
                (word, rest) if n == 1 && !word.is_empty() && style != Style::new() => {
                    let _ = write!(
                        line,
                        "{style}{word}{style:#}{}",
                        &cell[cell.len() - rest.len() - usize::from(!rest.is_empty())..]
                    );
                }
                _ => line.push_str(cell),
            }
            line.push_str(&gap[1..]);
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// Whether more will be known of a task than is known now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growing {
    /// It will.
    Yes,
    /// All of it is known.
    No,
}

fn width(text: &str) -> usize {
    text.chars().count()
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

/// The time of day here, with the date if it is not today's.
fn clock(at: Timestamp) -> String {
    let here = at.to_zoned(TimeZone::system());
    let today = here.date() == Timestamp::now().to_zoned(TimeZone::system()).date();
    here.strftime(if today { "%H:%M" } else { "%b %d %H:%M" }).to_string()
}

fn told(task: &TaskView) -> String {
    let what = match (task.state.as_str(), &task.reason) {
        ("waiting", Some(reason)) if reason == "after" => format!("after {}", parents(task)),
        ("waiting", Some(reason)) => {
            let timed = ["rate_limit", "breaker"].contains(&reason.as_str());
            let until = task.until.filter(|_| timed).map(|until| match reason.as_str() {
                "breaker" if until <= Timestamp::now() => " while one task tries".to_owned(),
                _ => format!(" until {}", clock(until)),
            });
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

fn cells(task: &TaskView) -> [String; 7] {
    let cost = if task.cost_usd > 0.0 { format!("${:.2}", task.cost_usd) } else { String::new() };
    let cells = [
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
    ];
    cells.map(|cell| neutralised(&cell).into_owned())
}

/// What stands in the place of a table without rows.
pub const NONE: &str = "no tasks; give one to an agent with `wt spawn NAME \"what to do\"`";

/// How many tasks a table leaves out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unlisted {
    /// Of those that wait for their turn.
    pub queued: usize,
    /// Of those that ended.
    pub ended: usize,
}

/// Returns what stands below the table.
pub fn foot(view: &StatusView, unlisted: Unlisted) -> String {
    let left_out = [(unlisted.queued, "in the queue"), (unlisted.ended, "that ended before")];
    let left_out = left_out.iter().filter(|(n, _)| *n > 0);
    let left_out: Vec<String> = left_out.map(|(n, what)| format!("{n} more {what}")).collect();
    let mut line = match left_out.join(", ") {
        none if none.is_empty() => none,
        some => format!("not listed: {some}; `wt status --all` lists all\n"),
    };
    let _ = write!(
        line,
        "{} of {} in use, landing on {}",
        view.slots.used,
        count(view.slots.max as usize, "slot"),
        view.target
    );
    if let Some(today) = &view.today {
        let shares = budget::shares(&today.spent, &today.budget);
        let words: Vec<String> = shares.iter().map(budget::Share::words).collect();
        let _ = write!(line, ", {} today", words.join(", "));
    }
    for breaker in &view.breakers {
        let (what, name) = (breaker.kind.word(), &breaker.name);
        let failed = format!("{what} `{name}` failed {} times in a row", breaker.failures);
        let then = match (breaker.state, breaker.until) {
            (Stance::Open, Some(until)) => format!("rests until {}", clock(until)),
            _ => "one task may try".to_owned(),
        };
        let _ = write!(
            line,
            "\n{}",
            neutralised(&one_line(&format!("{failed}, {then}: {}", breaker.reason), 160))
        );
    }
    if let Some(error) = &view.auto_error {
        let _ = write!(line, "\nnot landed by itself: {}", one_line(error, 400));
    }
    line
}
