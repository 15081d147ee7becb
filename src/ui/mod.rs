//! The only printing: the answer on standard output, the narration on standard error.
//!
//! Invariant: a line belongs to standard output exactly if `--json` would carry it. Text that is not ours is neutralised
//! before it is shown. A closed pipe ends the program quietly. Nothing here reads a repository or decides anything.

pub mod conflicts;
pub mod cost;
pub mod disk;
pub mod doctor;
pub mod events;
pub mod landing;
pub mod message;
pub mod progress;
pub mod status;
pub mod table;

use std::io::{self, Write as _};

use serde::Serialize;

/// Prints a line of the answer.
pub fn answer(line: &str) {
    finish(writeln!(anstream::stdout(), "{line}"));
}

/// Prints text of the answer as it is, without adding a newline.
pub fn answer_text(text: &str) {
    finish(write!(anstream::stdout(), "{text}").and_then(|()| anstream::stdout().flush()));
}

/// Prints raw bytes of the answer.
pub fn answer_bytes(bytes: &[u8]) {
    finish(io::stdout().write_all(bytes).and_then(|()| io::stdout().flush()));
}

/// Prints a document of the answer as JSON on one line.
pub fn json(document: &impl Serialize) {
    let text = serde_json::to_string(document).expect("views have only string keys");
    answer(&text);
}

/// Ends quietly when nobody reads any more.
#[expect(clippy::exit, reason = "a closed pipe is the reader's way to say enough; nothing is left to unwind")]
#[expect(clippy::needless_pass_by_value, reason = "it takes what a write returns")]
fn finish(written: io::Result<()>) {
    if written.is_err() {
        std::process::exit(0);
    }
}

/// Clears the terminal before a view is shown again; elsewhere an empty line parts the two.
pub fn clear() {
    use std::io::IsTerminal as _;
    if io::stdout().is_terminal() {
        answer_text("\u{1b}[H\u{1b}[2J\u{1b}[3J");
    } else {
        answer("");
    }
}

/// Rings the terminal's bell; elsewhere nothing.
pub fn bell() {
    use std::io::IsTerminal as _;
    if io::stdout().is_terminal() {
        answer_text("\u{7}");
    }
}

/// Prints a patch, neutralised, its lines coloured as git does.
pub fn patch(bytes: &[u8]) {
    use anstyle::{AnsiColor, Style};
    let text = String::from_utf8_lossy(bytes);
    for line in text.lines() {
        let style = match line.as_bytes().first() {
            _ if line.starts_with("+++") || line.starts_with("---") || line.starts_with("diff ") => {
                Style::new().bold()
            }
            Some(b'+') => AnsiColor::Green.on_default(),
            Some(b'-') => AnsiColor::Red.on_default(),
            Some(b'@') => AnsiColor::Cyan.on_default(),
            _ => Style::new(),
        };
        answer(&format!("{style}{}{style:#}", crate::model::text::neutralised(line)));
    }
}

/// Prints a line of a transcript, neutralised.
pub fn log_line(line: &crate::model::agent_event::LogLine) {
    use crate::model::agent_event::LogKind;
    use anstyle::{AnsiColor, Style};
    let (style, mark) = match line.kind {
        LogKind::Text => (Style::new(), ""),
        LogKind::Tool => (AnsiColor::Cyan.on_default(), "▸ "),
        LogKind::Error => (AnsiColor::Red.on_default(), "✗ "),
        LogKind::Note | LogKind::Raw => (Style::new().dimmed(), "· "),
        LogKind::Summary => (Style::new().bold(), "■ "),
    };
    for text in line.text.lines() {
        answer(&format!("{style}{mark}{}{style:#}", crate::model::text::neutralised(text)));
    }
}
