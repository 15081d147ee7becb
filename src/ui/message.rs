//! Errors, hints and notes on standard error, always in the same shape.

use std::io::Write as _;

use anstyle::{AnsiColor, Style};

use crate::model::text::neutralised;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();
const DIM: Style = Style::new().dimmed();

fn line(style: Style, head: &str, text: &str) {
    let text = neutralised(text);
    // Nobody is left to tell when standard error is closed.
    drop(writeln!(anstream::stderr(), "{style}{head}:{style:#} {}", text.trim_end()));
}

/// Prints `error:`, `caused by:` and `hint:` lines.
pub fn error(message: &str, causes: &[String], hints: &[String]) {
    line(ERROR, "error", message);
    for cause in causes {
        line(ERROR, "caused by", cause);
    }
    for text in hints {
        hint(text);
    }
}

/// Prints a `warning:` line.
pub fn warning(text: &str) {
    line(WARNING, "warning", text);
}

/// Prints a `hint:` line.
pub fn hint(text: &str) {
    line(HINT, "hint", text);
}

/// Prints a line of narration.
pub fn note(text: &str) {
    drop(writeln!(anstream::stderr(), "{DIM}{}{DIM:#}", neutralised(text)));
}
