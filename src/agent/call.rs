//! One attempt of an agent, from its start to its verdict: output to capped logs, lines to facts, clocks for silence and
//! for the whole, the guard's end of the tree, and what it all comes to.
//!
//! Used for tasks and, later, for resolving conflicts. Log paths come as arguments, events leave through a callback;
//! nothing here knows the journal or the repository.

use std::future::Future;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::Instant;

use super::adapter::Adapter;
use super::facts::Facts;
use super::stream::Stream;
use super::verdict::{Ending, StoppedBy, verdict};
use crate::model::adapter::{EventForm, StopSignal};
use crate::model::agent_event::AgentEvent;
use crate::model::verdict::{Exit, Verdict};
use crate::process::capture::{CAP, Capped};
use crate::process::child::{self, Sink, Spawn, Watch};

/// The longest line that is looked at; a longer one is only kept in the log.
const LONGEST_LINE: usize = 8 << 20;

/// How much of standard error a verdict sees.
const STDERR_TAIL: usize = 8 << 10;

/// How long processes may outlive their agent.
const LEAK: Duration = Duration::from_secs(2);

/// How much longer than [`Call::stall`] an agent may be silent while a tool runs.
pub const TOOL_PATIENCE: u32 = 3;

/// How often silence is measured, in parts of the patience: what falls between two looks may be time in which nobody ran.
const LOOKS: u32 = 4;

/// How late a look may be, on a busy machine; one that is later was kept from looking.
const LATE: Duration = Duration::from_secs(1);

/// What one attempt needs.
#[derive(Debug)]
pub struct Call<'a> {
    /// The agent.
    pub adapter: &'a Adapter,
    /// Program and arguments.
    pub argv: &'a [String],
    /// Variables to set.
    pub env: &'a [(String, String)],
    /// Inherited variables to leave out.
    pub without: &'a [&'a str],
    /// The file that is its standard input.
    pub stdin: Option<&'a Path>,
    /// The worktree.
    pub folder: &'a Path,
    /// The attempt's token.
    pub token: &'a str,
    /// Where standard output is kept.
    pub stdout_log: &'a Path,
    /// Where standard error is kept.
    pub stderr_log: &'a Path,
    /// The time limit.
    pub timeout: Duration,
    /// The longest silence.
    pub stall: Duration,
    /// What the guard holds while anything of the tree lives.
    pub shared: &'a [BorrowedFd<'a>],
    /// The `wt` command that the guard becomes if we die.
    pub then: &'a [String],
}

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Called {
    /// How the process ended.
    pub exit: Exit,
    /// Why we ended it, if we did.
    pub stopped: Option<StoppedBy>,
    /// The verdict on the process; git and checks have the last word.
    pub verdict: Verdict,
    /// What its output told.
    pub facts: Facts,
    /// Processes that outlived it and were killed.
    pub swept: u32,
    /// Bytes of output that are in no log.
    pub dropped: u64,
}

impl Called {
    /// Tells whether a call that was to resume a session did nothing: the agent does not know the session any more.
    pub fn refused_session(&self) -> bool {
        let failed = matches!(self.exit, Exit::Code(code) if code != 0);
        self.facts.lines == 0 && failed && self.stopped.is_none()
    }
}

/// Runs one attempt. `heed` hears every event with the facts so far; `stop` ends it as a person would.
pub async fn call(
    call: &Call<'_>,
    heed: &mut dyn FnMut(&AgentEvent, &Facts),
    stop: impl Future<Output = ()>,
) -> io::Result<Called> {
    let mut listen = |event: &AgentEvent, facts: &Facts| {
        heed(event, facts);
        None
    };
    call_bounded(call, &mut listen, stop).await
}

/// Runs one attempt as [`call`] does; a verdict that `heed` returns ends it at once.
pub async fn call_bounded(
    call: &Call<'_>,
    heed: &mut dyn FnMut(&AgentEvent, &Facts) -> Option<Verdict>,
    stop: impl Future<Output = ()>,
) -> io::Result<Called> {
    let how = call.adapter.stop();
    let spawn = Spawn {
        argv: call.argv,
        folder: call.folder,
        env: call.env,
        without: call.without,
        stdin: call.stdin,
        token: call.token,
        signal: number(how.signal),
        grace: how.grace,
        leak: LEAK,
        shared: call.shared,
        then: call.then,
    };
    let begun = Instant::now();
    let mut listener = Listener {
        stream: Stream::new(call.adapter),
        form: call.adapter.events(),
        heed,
        out: Capped::create(call.stdout_log, CAP),
        err: Capped::create(call.stderr_log, CAP / 8),
        line: Vec::new(),
        stderr_tail: Vec::new(),
        deadline: begun + call.timeout,
        stall: call.stall,
        timeout: call.timeout,
        heard: begun,
        due: None,
        tools: 0,
        stopped: None,
    };
    let mut by_hand = false;
    let end = child::run(&spawn, &mut listener, async {
        stop.await;
        by_hand = true;
    })
    .await?;
    listener.end_line();
    let stopped = if by_hand { Some(StoppedBy::Person) } else { listener.stopped };
    let (overwritten, unwritten) = listener.out.missing();
    let facts = listener.stream.finish();
    let told = String::from_utf8_lossy(&listener.stderr_tail).into_owned();
    let stderr_tail = end.error.clone().unwrap_or(told);
    let ending =
        Ending { exit: end.exit, stopped: stopped.clone(), facts: &facts, stderr_tail: &stderr_tail };
    let verdict = verdict(call.adapter, &ending);
    Ok(Called { exit: end.exit, stopped, verdict, facts, swept: end.swept, dropped: overwritten + unwritten })
}

fn number(signal: StopSignal) -> i32 {
    match signal {
        StopSignal::Term => Signal::TERM,
        StopSignal::Int => Signal::INT,
        StopSignal::Hup => Signal::HUP,
    }
    .as_raw()
}

struct Listener<'a> {
    stream: Stream,
    form: EventForm,
    heed: &'a mut dyn FnMut(&AgentEvent, &Facts) -> Option<Verdict>,
    out: Capped,
    err: Capped,
    line: Vec<u8>,
    stderr_tail: Vec<u8>,
    deadline: Instant,
    timeout: Duration,
    stall: Duration,
    heard: Instant,
    /// When the next look at the clock was to be.
    due: Option<Instant>,
    /// How many tools run, as far as the agent says.
    tools: usize,
    stopped: Option<StoppedBy>,
}

impl Listener<'_> {
    fn end_line(&mut self) {
        if self.line.is_empty() {
            return;
        }
        for event in self.stream.feed_line(&self.line) {
            match &event {
                AgentEvent::Tool { .. } => self.tools += 1,
                AgentEvent::ToolResult { .. } => self.tools = self.tools.saturating_sub(1),
                AgentEvent::Text(_) => self.tools = 0,
                AgentEvent::Verdict(verdict) if self.stopped.is_none() => {
                    self.stopped = Some(StoppedBy::Verdict(verdict.clone()));
                }
                _ => {}
            }
            let verdict = (self.heed)(&event, self.stream.facts());
            // Once its final event is there, it ends by itself, and what it finished is not thrown away.
            if self.stopped.is_none() && self.stream.facts().final_event.is_none() {
                self.stopped = verdict.map(StoppedBy::Verdict);
            }
        }
        self.line.clear();
    }

    /// Takes time in which we could not listen, as when everything was stopped and continued, for no silence of the agent.
    fn forgive_pause(&mut self, now: Instant) {
        let late = self.due.take().map_or(Duration::ZERO, |due| now.saturating_duration_since(due));
        if late > LATE {
            self.heard = (self.heard + late).min(now);
        }
    }

    fn patience(&self) -> Duration {
        if self.tools > 0 { self.stall * TOOL_PATIENCE } else { self.stall }
    }
}

impl Sink for Listener<'_> {
    fn stdout(&mut self, bytes: &[u8]) {
        self.heard = Instant::now();
        self.out.write(bytes);
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            if self.line.len() + piece.len() <= LONGEST_LINE {
                self.line.extend_from_slice(piece);
            }
            if piece.ends_with(b"\n") {
                self.end_line();
            }
        }
    }

    /// Noise is no sign of life: an agent that prints events says there that it works, and may warn for ever on standard
    /// error. A plain command has nothing but its two outputs.
    fn stderr(&mut self, bytes: &[u8]) {
        if self.form == EventForm::Text {
            self.heard = Instant::now();
        }
        self.err.write(bytes);
        self.stderr_tail.extend_from_slice(bytes);
        if self.stderr_tail.len() > 2 * STDERR_TAIL {
            self.stderr_tail.drain(..self.stderr_tail.len() - STDERR_TAIL);
        }
    }

    fn watch(&mut self, now: Instant) -> Watch {
        if self.stopped.is_some() {
            return Watch::Stop;
        }
        self.forgive_pause(now);
        let silent_at = self.heard + self.patience();
        if now >= self.deadline {
            self.stopped = Some(StoppedBy::Timeout(self.timeout));
        } else if now >= silent_at {
            self.stopped = Some(StoppedBy::Stall(self.patience()));
        } else {
            let next = self.deadline.min(silent_at).min(now + self.patience() / LOOKS);
            self.due = Some(next);
            return Watch::Until(Some(next));
        }
        Watch::Stop
    }
}
