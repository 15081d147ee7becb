//! The words of the script: text → [`Step`].
//!
//! Invariant: parsing has no effect, so that a script with a wrong step does nothing at all.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;

use crate::child::Kind;

/// One step. In every `TEXT`, `\n`, `\t` and `\\` are escapes.
#[derive(Debug, Clone)]
pub enum Step {
    /// `write:PATH=TEXT`: the file holds exactly TEXT (no newline is added); folders are made.
    Write(PathBuf, String),
    /// `append:PATH=TEXT`.
    Append(PathBuf, String),
    /// `delete:PATH`.
    Delete(PathBuf),
    /// `touch:PATH`: an empty file, if there is none.
    Touch(PathBuf),
    /// `commit:MESSAGE`: `git add -A` and `git commit`, with the identity that git finds; nothing to commit is no failure.
    Commit(String),
    /// `stage`: `git add -A`.
    Stage,
    /// `say:TEXT`: a line on standard output.
    Say(String),
    /// `err:TEXT`: a line on standard error.
    Err(String),
    /// `promise:TEXT`: the line `<promise>TEXT</promise>` on standard output.
    Promise(String),
    /// `prompt-to:PATH`: standard input, to its end. Without this step (or a script in the prompt) it is never read.
    PromptTo(PathBuf),
    /// `args-to:PATH`: the arguments after `--`, one a line.
    ArgsTo(PathBuf),
    /// `env-to:PATH`: `NAME=VALUE` lines of `WT_*` and `TRACEPARENT`, sorted.
    EnvTo(PathBuf),
    /// `pids-to:PATH`: lines `KIND PID`, first `agent` itself, then each child so far in order, KIND as in its step.
    PidsTo(PathBuf),
    /// `sleep:SECONDS`, with a fraction if need be.
    Sleep(Duration),
    /// `wait-for:PATH`: until the file exists.
    WaitFor(PathBuf),
    /// `flood:MIB`: that many MiB of 64-byte lines on standard output, between the lines `flood-begin` and `flood-end`.
    Flood(u64),
    /// `flood-for:SECONDS`: the same, as fast as it is taken, for so long.
    FloodFor(Duration),
    /// `nonewline:MIB`: that many MiB of `x` without a newline.
    NoNewline(u64),
    /// `replay:FILE`: a recorded stream on standard output, line by line.
    Replay(PathBuf),
    /// `escapes`: everything that a terminal should never be given from a log.
    Escapes,
    /// `close-stdout`: from here on the reader of standard output sees its end (unless a child holds it).
    CloseStdout,
    /// `ignore-term`: from here on SIGTERM does nothing, in the children started from here on too.
    IgnoreTerm,
    /// `marker:TEXT`: the whole last argument of each child from here on; first it is `wt-fake-child`.
    Marker(String),
    /// `plain-child`, `setsid-child`, `hold-stdout-child`, `daemon`, `daemon-clean-env`: see [`Kind`].
    Child(Kind),
    /// `known:KIND=PID`: internal, hands a child over where the program replaces itself.
    Known(Kind, u32),
    /// `exit:N`: ends at once.
    Exit(u8),
    /// `signal:N`: dies by that signal; fails where its parent handed it down ignored, as a shell does SIGINT with `&`.
    Signal(Signal),
    /// `in:N:STEP`: the step, in iteration N of a loop only (`WT_ITERATION`); `in:N+:STEP`: from N on.
    In(RangeInclusive<u32>, Box<Step>),
    /// `hang-first:N:PATH`: no end for the first N runs, counted in PATH; then goes on.
    HangFirst(u32, PathBuf),
    /// `fail-first:N:PATH`: exit 1 for the first N runs, counted in PATH; then goes on.
    FailFirst(u32, PathBuf),
}

/// Returns the step that `text` says; `None` if it says none.
pub fn parse(text: &str) -> Option<Step> {
    let (word, value) = match text.split_once(':') {
        Some((word, value)) => (word, Some(value)),
        None => (text, None),
    };
    if let Some(kind) = Kind::parse(word) {
        return value.is_none().then_some(Step::Child(kind));
    }
    let Some(value) = value else {
        return match word {
            "escapes" => Some(Step::Escapes),
            "close-stdout" => Some(Step::CloseStdout),
            "ignore-term" => Some(Step::IgnoreTerm),
            "stage" => Some(Step::Stage),
            _ => None,
        };
    };
    let path = || (!value.is_empty()).then(|| PathBuf::from(value));
    Some(match word {
        "write" => file_and_text(value, Step::Write)?,
        "append" => file_and_text(value, Step::Append)?,
        "delete" => Step::Delete(path()?),
        "touch" => Step::Touch(path()?),
        "commit" => Step::Commit(unescaped(value)),
        "say" => Step::Say(unescaped(value)),
        "err" => Step::Err(unescaped(value)),
        "promise" => Step::Promise(unescaped(value)),
        "prompt-to" => Step::PromptTo(path()?),
        "args-to" => Step::ArgsTo(path()?),
        "env-to" => Step::EnvTo(path()?),
        "pids-to" => Step::PidsTo(path()?),
        "sleep" => Step::Sleep(seconds(value)?),
        "wait-for" => Step::WaitFor(path()?),
        "flood" => Step::Flood(value.parse().ok()?),
        "flood-for" => Step::FloodFor(seconds(value)?),
        "nonewline" => Step::NoNewline(value.parse().ok()?),
        "replay" => Step::Replay(path()?),
        "marker" => Step::Marker(value.to_owned()),
        "known" => {
            let (kind, pid) = value.split_once('=')?;
            Step::Known(Kind::parse(kind)?, pid.parse().ok()?)
        }
        "exit" => Step::Exit(value.parse().ok()?),
        "signal" => Step::Signal(Signal::from_named_raw(value.parse().ok()?)?),
        "in" => {
            let (which, step) = value.split_once(':')?;
            let range = match which.strip_suffix('+') {
                Some(first) => first.parse().ok()?..=u32::MAX,
                None => which.parse().ok()?..=which.parse().ok()?,
            };
            Step::In(range, Box::new(parse(step)?))
        }
        "fail-first" | "hang-first" => {
            let (runs, path) = value.split_once(':')?;
            let step = if word == "fail-first" { Step::FailFirst } else { Step::HangFirst };
            step(runs.parse().ok()?, PathBuf::from(path))
        }
        _ => return None,
    })
}

fn file_and_text(value: &str, step: fn(PathBuf, String) -> Step) -> Option<Step> {
    let (path, text) = value.split_once('=')?;
    (!path.is_empty()).then(|| step(PathBuf::from(path), unescaped(text)))
}

fn seconds(value: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(value.parse().ok()?).ok()
}

fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (c, rest.as_str().chars().next()) {
            ('\\', Some('n')) => plain.push('\n'),
            ('\\', Some('t')) => plain.push('\t'),
            ('\\', Some('\\')) => plain.push('\\'),
            _ => {
                plain.push(c);
                continue;
            }
        }
        rest.next();
    }
    plain
}
