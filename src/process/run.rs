//! Running one command under a guard from code that does not wait for anything else: checks and set-up commands.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::Instant;

use super::capture::Capped;
use super::child::{self, End, Sink, Spawn, Watch};

/// A shell command to run under a guard of its own.
#[derive(Debug, Clone)]
pub struct Shell<'a> {
    /// The command, for `sh -c`.
    pub command: &'a str,
    /// The working directory.
    pub folder: &'a Path,
    /// Variables to set, beside the inherited ones.
    pub env: &'a [(String, String)],
    /// Inherited variables to leave out.
    pub without: &'a [&'a str],
    /// The file that it reads; `None`: nothing.
    pub stdin: Option<&'a Path>,
    /// Its time limit.
    pub timeout: Duration,
    /// Where its output goes, both streams as they come.
    pub log: &'a Path,
    /// The random token that marks every process of its tree.
    pub token: &'a str,
    /// What its guard holds as long as anything of the tree lives.
    pub shared: &'a [BorrowedFd<'a>],
    /// The `wt` command that its guard becomes if we die.
    pub then: &'a [String],
}

/// What a shell command came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// Whether its time was up.
    pub timed_out: bool,
    /// How long it took.
    pub took: Duration,
    /// The last 16 KiB of its output.
    pub tail: String,
}

impl Outcome {
    /// Returns whether it ended with exit code 0 in time.
    pub fn passed(&self) -> bool {
        !self.timed_out && self.end.exit == crate::model::verdict::Exit::Code(0)
    }
}

/// The bytes of a tail.
const TAIL: usize = 16 << 10;

struct Log {
    file: Capped,
    tail: Vec<u8>,
    deadline: Instant,
    timed_out: bool,
}

impl Log {
    fn take(&mut self, bytes: &[u8]) {
        self.file.write(bytes);
        self.tail.extend_from_slice(bytes);
        if self.tail.len() > 2 * TAIL {
            self.tail.drain(..self.tail.len() - TAIL);
        }
    }
}

impl Sink for Log {
    fn stdout(&mut self, bytes: &[u8]) {
        self.take(bytes);
    }

    fn stderr(&mut self, bytes: &[u8]) {
        self.take(bytes);
    }

    fn watch(&mut self, now: Instant) -> Watch {
        if now >= self.deadline {
            self.timed_out = true;
            return Watch::Stop;
        }
        Watch::Until(Some(self.deadline))
    }
}

/// Runs `shell` to its end, waiting for it on the current thread's runtime.
/// `stop` ends it early.
pub async fn shell(shell: &Shell<'_>, stop: impl Future<Output = ()>) -> io::Result<Outcome> {
    let argv = ["sh".to_owned(), "-c".to_owned(), shell.command.to_owned()];
    let spawn = Spawn {
        argv: &argv,
        folder: shell.folder,
        env: shell.env,
        without: shell.without,
        stdin: shell.stdin,
        token: shell.token,
        signal: Signal::TERM.as_raw(),
        grace: Duration::from_secs(5),
        leak: Duration::from_millis(200),
        shared: shell.shared,
        then: shell.then,
    };
    let begun = Instant::now();
    let mut log = Log {
        file: Capped::create(shell.log, super::capture::CAP),
        tail: Vec::new(),
        deadline: begun + shell.timeout,
        timed_out: false,
    };
    let end = child::run(&spawn, &mut log, stop).await?;
    let from = log.tail.len().saturating_sub(TAIL);
    let tail = String::from_utf8_lossy(&log.tail[from..]).into_owned();
    Ok(Outcome { end, timed_out: log.timed_out, took: begun.elapsed(), tail })
}

/// The same, for callers without a runtime.
pub fn shell_blocking(command: &Shell<'_>, stop: impl Future<Output = ()>) -> io::Result<Outcome> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(shell(command, stop))
}
