//! One line for an event: when, which task, what, why.

use anstyle::{AnsiColor, Style};

use crate::model::text::{neutralised, one_line};
use crate::model::view::verbs::EventView;

/// Returns the line.
pub fn line(event: &EventView) -> String {
    let zone = jiff::tz::TimeZone::system();
    let at = event.at.to_zoned(zone).strftime("%Y-%m-%d %H:%M:%S");
    let style = match event.kind {
        "done" | "landed" | "published" => AnsiColor::Green.on_default(),
        "failed" | "dead" | "lost" | "rejected" => AnsiColor::Red.on_default(),
        "conflict" | "review" | "parked" | "budget" | "breaker" => AnsiColor::Yellow.on_default(),
        _ => Style::new(),
    };
    let task = event.task.as_deref().unwrap_or("-");
    let reason = event.reason.as_deref().map(|reason| format!("  {}", neutralised(&one_line(reason, 160))));
    format!("{at}  {task:<20}  {style}{:<10}{style:#}{}", event.kind, reason.unwrap_or_default())
}
