//! The prompt of an attempt, put together in one place.
//!
//! Invariant: what was asked is never changed. What is told beside it stands before or after it, with a blank line
//! between; an agent that needs neither gets the user's own bytes.

use std::borrow::Cow;
use std::path::PathBuf;

use fs_err as fs;

use super::iteration;
use super::runner::{Attempt, RunError};
use crate::model::adapter::{AdapterSpec, EventForm};
use crate::model::task::Workspace;
use crate::model::verdict::Class;
use crate::process::capture;
use crate::store::Journal;
use crate::workspace::create;

/// How much of a failed check's output the next attempt is told.
const TOLD: usize = 4 << 10;

/// What a prompt is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts<'a> {
    /// What the agent should know of its place; empty where it reads that in a file, or must not be told.
    pub context: &'a str,
    /// What was asked.
    pub asked: &'a str,
    /// What is to be said of the attempt before, or of the iteration; may be empty.
    pub addition: &'a str,
}

/// Returns the prompt; borrowed where there is nothing beside what was asked.
pub fn put_together<'a>(parts: &Parts<'a>) -> Cow<'a, str> {
    let mut text = Cow::Borrowed("");
    for part in [parts.context, parts.asked, parts.addition] {
        if part.trim().is_empty() {
            continue;
        }
        if text.is_empty() {
            text = Cow::Borrowed(part);
            continue;
        }
        let text = text.to_mut();
        text.push_str(if text.ends_with('\n') { "\n" } else { "\n\n" });
        text.push_str(part);
    }
    text
}

/// How an agent comes to know its context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContextBy {
    /// It reads the file in its workspace.
    File,
    /// It is told before the prompt.
    Prompt,
    /// Not at all: a command of the user's own gets the prompt and nothing else.
    Nothing,
}

/// Returns how the agent of that table comes to know its context.
pub fn context_by(spec: &AdapterSpec) -> ContextBy {
    match (&spec.memory_file, spec.events) {
        (Some(_), _) => ContextBy::File,
        (None, EventForm::Jsonl) => ContextBy::Prompt,
        (None, EventForm::Text) => ContextBy::Nothing,
    }
}

/// Returns what a further attempt is told of the one before: why it was not accepted, and the end of the failed check's
/// output, which may be empty.
fn after_refusal(reason: &str, output: &str) -> String {
    let mut text = format!(
        "The attempt before this one was not accepted: {reason}.\nIts work is in this worktree; go on from there.\n"
    );
    if !output.trim().is_empty() {
        text.push_str("\nThe end of the failed check's output:\n\n");
        text.push_str(output);
    }
    text
}

impl Attempt<'_> {
    /// Returns the file that this attempt's agent was given.
    pub(super) fn prompt_file(&self) -> PathBuf {
        let own = self.folder.attempt(self.number).join("prompt.md");
        if own.exists() { own } else { self.folder.prompt() }
    }

    /// Returns the file with this attempt's prompt for the agent of that table.
    pub(super) fn prompt(
        &self,
        journal: &mut Journal,
        spec: &AdapterSpec,
        workspace: &Workspace,
    ) -> Result<PathBuf, RunError> {
        let file = self.folder.prompt();
        let context = match context_by(spec) {
            ContextBy::Prompt => create::context(self.site, journal, self.task, workspace)?,
            ContextBy::File | ContextBy::Nothing => String::new(),
        };
        let addition = self.addition(workspace)?;
        if context.is_empty() && addition.is_empty() {
            return Ok(file);
        }
        let asked = fs::read_to_string(file)?;
        let path = self.folder.attempt(self.number).join("prompt.md");
        let parts = Parts { context: &context, asked: &asked, addition: &addition };
        fs::write(&path, put_together(&parts).as_bytes())?;
        Ok(path)
    }

    /// Returns what follows the prompt: what the iteration of a loop is told, and what went wrong in the attempt before.
    fn addition(&self, workspace: &Workspace) -> Result<String, RunError> {
        let refused = self.refused();
        let Some(looping) = &self.task.spec.looping else { return Ok(refused) };
        let part = iteration::part(self.site, self.task, looping, workspace)?;
        Ok(put_together(&Parts { context: "", asked: &part, addition: &refused }).into_owned())
    }

    /// Returns why the attempt before was not accepted; empty in a first attempt.
    fn refused(&self) -> String {
        let told = self.task.tries > 0 || self.task.class == Some(Class::Fail);
        let Some(reason) = self.task.outcome.as_deref().filter(|_| told) else {
            return String::new();
        };
        // Checks run one after another until one fails: the last log is that one's.
        let logs = self.folder.verify_logs(self.number - 1);
        let output = logs.last().and_then(|log| capture::read(log).ok()).unwrap_or_default();
        let output = String::from_utf8_lossy(&output[output.len().saturating_sub(TOLD)..]);
        after_refusal(reason, &output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(context: &str, asked: &str, addition: &str) -> String {
        put_together(&Parts { context, asked, addition }).into_owned()
    }

    #[test]
    fn what_was_asked_stands_alone_or_between_blank_lines() {
        assert_eq!(of("", "do it \n\n\n", ""), "do it \n\n\n");
        assert_eq!(of("You are here.\n", "do it", ""), "You are here.\n\ndo it");
        assert_eq!(of("", "do it", "go on\n"), "do it\n\ngo on\n");
        assert_eq!(of("here", "do it\n", "go on"), "here\n\ndo it\n\ngo on");
        assert!(matches!(put_together(&Parts { context: "", asked: "a", addition: "" }), Cow::Borrowed("a")));
    }

    #[test]
    fn the_context_is_told_where_no_file_has_it_and_never_to_a_plain_command() {
        let spec = |memory_file: Option<&str>, events| AdapterSpec {
            memory_file: memory_file.map(str::to_owned),
            events,
            ..AdapterSpec::default()
        };
        assert_eq!(context_by(&spec(Some("CLAUDE.local.md"), EventForm::Jsonl)), ContextBy::File);
        assert_eq!(context_by(&spec(None, EventForm::Jsonl)), ContextBy::Prompt);
        assert_eq!(context_by(&spec(None, EventForm::Text)), ContextBy::Nothing);
        assert_eq!(context_by(&spec(Some("NOTES.md"), EventForm::Text)), ContextBy::File);
    }

    #[test]
    fn a_refusal_tells_the_failed_check() {
        assert!(after_refusal("red", " \n").ends_with("go on from there.\n"));
        assert!(after_refusal("red", "1 failed").ends_with("output:\n\n1 failed"));
    }
}
