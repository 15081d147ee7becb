//! The only printing: the answer on standard output, the narration on standard error.
//!
//! Invariant: a line belongs to standard output exactly if `--json` would carry it. Text that is not ours is neutralised
//! before it is shown. A closed pipe ends the program quietly. Nothing here reads a repository or decides anything.

pub mod landing;
pub mod message;
pub mod progress;
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
