//! Progress of long work: a spinner on a terminal, plain lines elsewhere, nothing with `--quiet`.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::message;
use crate::model::observer::Observer;
use crate::model::text::neutralised;

/// How often the spinner turns.
const TICK: Duration = Duration::from_millis(120);

/// How much is narrated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Narration {
    /// Steps and warnings.
    Full,
    /// Warnings only.
    Quiet,
}

/// Shows the steps of an engine.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    narration: Narration,
}

impl Progress {
    /// Returns progress for this terminal.
    pub fn new(narration: Narration) -> Self {
        let terminal = std::io::stderr().is_terminal() && narration == Narration::Full;
        let bar = terminal.then(|| {
            let bar = ProgressBar::new_spinner();
            let style = ProgressStyle::with_template("{spinner} {msg} {elapsed:.dim}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar
        });
        Self { bar, narration }
    }
}

impl Progress {
    /// Shows what is waited for; only on a terminal, since nothing has happened that a log should tell.
    pub fn waiting(&self, text: &str) {
        if self.bar.is_some() {
            self.step(text);
        }
    }
}

impl Observer for Progress {
    fn step(&self, text: &str) {
        let text = neutralised(text).into_owned();
        match &self.bar {
            Some(bar) => {
                bar.set_message(text);
                // One step may take minutes: the spinner must turn without another.
                bar.enable_steady_tick(TICK);
            }
            None if self.narration == Narration::Full => message::note(&text),
            None => {}
        }
    }

    fn warn(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| message::warning(text)),
            None => message::warning(text),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
