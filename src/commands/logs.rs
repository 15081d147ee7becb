//! `wt logs`.

pub(super) mod landing;

use std::io::{Read as _, Seek as _, SeekFrom};

use clap::Args as ClapArgs;
use clap_complete::engine::ArgValueCandidates;
use fs_err as fs;

use super::completions::task_names;
use super::context::{Context, Global};
use super::wait::Changes;
use crate::agent::{Adapter, Transcript};
use crate::error::{self, CommandError, During as _};
use crate::model::adapter::AdapterSpec;
use crate::model::{Event, State, Task};
use crate::process::capture;
use crate::store::layout::TaskFolder;
use crate::ui;
use crate::workspace::notes;

/// Show what the agent of a task said and did.
///
/// Text as it is, one line a tool call, errors, and the cost; escapes are made visible. `--raw` prints the recorded
/// stream byte for byte.
#[derive(Debug, ClapArgs)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Args {
    /// The task.
    #[arg(add = ArgValueCandidates::new(task_names))]
    name: String,
    /// Go on as the agent does, until the task comes to rest.
    #[arg(short, long)]
    follow: bool,
    /// The attempt; default: the last one.
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
    /// The output of the checks instead.
    #[arg(long, conflicts_with_all = ["follow", "raw"])]
    verify: bool,
    /// How the workspace was made instead: what was left out, and the output of hook and set-up commands.
    #[arg(long, conflicts_with_all = ["follow", "raw", "verify", "attempt"])]
    setup: bool,
    /// What the resolver of its conflicts was given and said, in its last landing, instead.
    #[arg(long, conflicts_with_all = ["follow", "verify", "attempt", "setup"])]
    landing: bool,
    /// With `--landing`: print JSON.
    #[arg(long, requires = "landing", conflicts_with = "raw")]
    json: bool,
    /// Print the recorded stream byte for byte.
    #[arg(long)]
    raw: bool,
}

/// In which form a stream is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As lines for people.
    Rendered,
    /// Byte for byte.
    Bytes,
}

impl Args {
    fn form(&self) -> Form {
        if self.raw { Form::Bytes } else { Form::Rendered }
    }
}

/// Runs the verb.
pub fn run(global: &Global, args: &Args) -> Result<u8, CommandError> {
    let mut context = Context::open_anyway(global)?;
    let task = context.task(&args.name)?;
    let folder = context.layout().task(&task.id);
    if args.landing {
        return landing::show(&mut context, &task, args.form(), args.json);
    }
    if args.setup {
        return setup(&task, &folder);
    }
    if args.verify {
        return verify(&task, &folder, args.attempt);
    }
    if args.follow {
        return follow(&mut context, &task, args);
    }
    let attempt = args.attempt.unwrap_or(task.attempt);
    let stream = match capture::read(&folder.stream(attempt)) {
        Ok(stream) => stream,
        Err(_) if attempt == task.attempt && task.attempt > 0 => Vec::new(),
        Err(_) => return Err(nothing(&task, attempt)),
    };
    let mut reader = Reader::new(&context, &task, args);
    reader.feed(&stream);
    reader.end();
    tell_end(&mut context, &task, attempt, args)?;
    Ok(error::DONE)
}

fn nothing(task: &Task, attempt: u32) -> CommandError {
    let name = task.name();
    if task.attempt == 0 {
        return CommandError::refused(format!("`{name}` is {}: no agent has run yet", task.state.word()))
            .hint(format!("wt logs {name} --follow"));
    }
    CommandError::refused(format!("`{name}` has no attempt {attempt}, its last is {}", task.attempt))
        .hint(format!("wt logs {name} --attempt {}", task.attempt))
}

fn setup(task: &Task, folder: &TaskFolder) -> Result<u8, CommandError> {
    let notes: String = notes::read(folder).into_iter().map(|line| line + "\n").collect();
    let logs = std::iter::once(folder.hook_log()).chain(folder.setup_logs());
    let said = logs.filter_map(|log| capture::read(&log).ok()).flatten();
    let output = [notes.into_bytes(), said.collect()].concat();
    if output.is_empty() {
        let name = task.name();
        return Err(CommandError::refused(format!(
            "nothing was said when the workspace of `{name}` was made"
        )));
    }
    ui::answer_text(&crate::model::text::neutralised(&String::from_utf8_lossy(&output)));
    Ok(error::DONE)
}

fn verify(task: &Task, folder: &TaskFolder, attempt: Option<u32>) -> Result<u8, CommandError> {
    let last = attempt.unwrap_or(task.attempt + 1);
    let first = attempt.unwrap_or(0);
    let read = |n: u32| -> Vec<u8> {
        folder.verify_logs(n).iter().filter_map(|log| capture::read(log).ok()).flatten().collect()
    };
    let found = (first..=last).rev().find(|n| folder.verify_log(*n).exists()).map(read);
    let output =
        found.ok_or_else(|| CommandError::refused(format!("no check of `{}` has run", task.name())))?;
    ui::answer_text(&crate::model::text::neutralised(&String::from_utf8_lossy(&output)));
    Ok(error::DONE)
}

/// Tells how the attempt ended, with the end of its standard error where it ended badly.
fn tell_end(context: &mut Context, task: &Task, attempt: u32, args: &Args) -> Result<(), CommandError> {
    let history = context.journal().history()?;
    let end = history.records.iter().rev().filter(|record| record.task.as_ref() == Some(&task.id)).find_map(
        |record| match &record.event {
            Event::Ended { attempt: n, exit, reason, .. } if *n == attempt => {
                Some(format!("{exit}: {reason}"))
            }
            Event::Lost { attempt: n, reason, .. } if *n == attempt => Some(format!("lost: {reason}")),
            _ => None,
        },
    );
    let Some(end) = end.filter(|_| !args.raw) else { return Ok(()) };
    let stderr = fs::read(context.layout().task(&task.id).stderr(attempt)).unwrap_or_default();
    let tail = String::from_utf8_lossy(&stderr[stderr.len().saturating_sub(2048)..]).into_owned();
    for line in tail.lines() {
        ui::message::note(&format!("stderr: {line}"));
    }
    ui::message::note(&format!("attempt {attempt} ended, {end}"));
    Ok(())
}

fn follow(context: &mut Context, task: &Task, args: &Args) -> Result<u8, CommandError> {
    let mut shown = args.attempt.unwrap_or(task.attempt.max(1));
    let mut reader = Reader::new(context, task, args);
    let mut offset = 0;
    let folder = context.layout().task(&task.id);
    let mut journal_changes = Changes::of(context)?;
    loop {
        context.pass();
        let now = context.roster()?.get(&task.id).cloned().unwrap_or_else(|| task.clone());
        // Read after the state, so that an end that was recorded meanwhile has all its output on disk.
        offset = reader.feed_file(&folder, shown, offset).during(|| "the log cannot be read".to_owned())?;
        if now.attempt > shown && args.attempt.is_none() {
            reader.end();
            tell_end(context, task, shown, args)?;
            (shown, offset) = (shown + 1, 0);
            reader = Reader::new(context, task, args);
            continue;
        }
        let resting = !matches!(
            now.state,
            State::Queued | State::Waiting { .. } | State::Running { .. } | State::Lost { rebooted: false }
        );
        if resting || args.attempt.is_some_and(|attempt| attempt < now.attempt) {
            reader.end();
            tell_end(context, task, shown, args)?;
            return Ok(error::DONE);
        }
        if matches!(now.state, State::Running { .. }) {
            let attempt_folder = folder.attempt(shown);
            match Changes::below_both(&attempt_folder, context.layout().root()) {
                Ok(mut changes) => {
                    // Something may have come between the look and the watch.
                    let before = offset;
                    offset = reader
                        .feed_file(&folder, shown, offset)
                        .during(|| "the log cannot be read".to_owned())?;
                    if before == offset
                        && context
                            .roster()?
                            .get(&task.id)
                            .is_some_and(|task| matches!(task.state, State::Running { .. }))
                    {
                        changes.next(context, None)?;
                    }
                }
                Err(_) => journal_changes.next(context, None)?,
            }
        } else {
            journal_changes.next(context, None)?;
        }
    }
}

/// Turns the stream into lines for people, or passes it on as it is.
struct Reader {
    transcript: Option<Transcript>,
    partial: Vec<u8>,
}

impl Reader {
    fn new(context: &Context, task: &Task, args: &Args) -> Self {
        Self::of(context, task.spec.agent.as_deref(), args.form())
    }

    /// Returns a reader for the stream of the agent of that name.
    fn of(context: &Context, agent: Option<&str>, form: Form) -> Self {
        let agents = &context.settings().agents;
        let spec = agent.and_then(|name| agents.get(name)).cloned();
        // An agent that is no longer configured is shown as plain text.
        let plain = AdapterSpec { command: vec!["unknown".to_owned()], ..AdapterSpec::default() };
        let adapter = spec
            .and_then(|spec| Adapter::new("agent", &spec).ok())
            .or_else(|| Adapter::new("agent", &plain).ok());
        let transcript = adapter.filter(|_| form == Form::Rendered).map(|adapter| Transcript::new(&adapter));
        Self { transcript, partial: Vec::new() }
    }

    fn feed_file(&mut self, folder: &TaskFolder, attempt: u32, offset: u64) -> std::io::Result<u64> {
        let Ok(mut file) = fs::File::open(folder.stream(attempt)) else { return Ok(offset) };
        file.seek(SeekFrom::Start(offset))?;
        let mut fresh = Vec::new();
        file.read_to_end(&mut fresh)?;
        self.feed(&fresh);
        Ok(offset + fresh.len() as u64)
    }

    fn feed(&mut self, bytes: &[u8]) {
        if self.transcript.is_none() {
            ui::answer_bytes(bytes);
            return;
        }
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            self.partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                self.line();
            }
        }
    }

    fn end(&mut self) {
        if !self.partial.is_empty() {
            self.line();
        }
    }

    fn line(&mut self) {
        let line = std::mem::take(&mut self.partial);
        for rendered in
            self.transcript.as_mut().map(|transcript| transcript.render_line(&line)).unwrap_or_default()
        {
            ui::log_line(&rendered);
        }
    }
}
