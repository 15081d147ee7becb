//! Running one program under a guard and hearing what it says: for programs that talk to other machines.
//!
//! It has a session of its own, so no terminal can be asked anything; at its time limit, and when we die, its whole tree is
//! ended.

use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::Instant;
use uuid::Uuid;

use super::child::{self, End, Sink, Spawn, Watch};

/// The most that is kept of each stream, in bytes.
const MOST: usize = 1 << 20;

/// A program to run.
#[derive(Debug, Clone, Copy)]
pub struct Tool<'a> {
    /// Program and arguments; no shell is involved.
    pub argv: &'a [String],
    /// The working directory.
    pub folder: &'a Path,
    /// Variables to set, beside the inherited ones.
    pub env: &'a [(String, String)],
    /// Inherited variables to leave out.
    pub without: &'a [&'a str],
    /// Its time limit.
    pub timeout: Duration,
}

/// What it said, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// How it ended.
    pub end: End,
    /// Whether its time was up.
    pub timed_out: bool,
    /// The beginning of its standard output.
    pub stdout: String,
    /// The beginning of its standard error.
    pub stderr: String,
}

struct Ears {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    deadline: Instant,
    timed_out: bool,
}

fn hear(into: &mut Vec<u8>, bytes: &[u8]) {
    into.extend_from_slice(&bytes[..bytes.len().min(MOST - into.len())]);
}

impl Sink for Ears {
    fn stdout(&mut self, bytes: &[u8]) {
        hear(&mut self.stdout, bytes);
    }

    fn stderr(&mut self, bytes: &[u8]) {
        hear(&mut self.stderr, bytes);
    }

    fn watch(&mut self, now: Instant) -> Watch {
        if now >= self.deadline {
            self.timed_out = true;
            return Watch::Stop;
        }
        Watch::Until(Some(self.deadline))
    }
}

/// Runs it to its end.
pub fn run(tool: &Tool<'_>) -> io::Result<Said> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let token = Uuid::new_v4().simple().to_string();
    let spawn = Spawn {
        argv: tool.argv,
        folder: tool.folder,
        env: tool.env,
        without: tool.without,
        stdin: None,
        token: &token,
        signal: Signal::TERM.as_raw(),
        grace: Duration::from_secs(2),
        leak: Duration::from_millis(200),
        shared: &[],
        then: &[],
    };
    let end = async {
        let deadline = Instant::now() + tool.timeout;
        let mut ears = Ears { stdout: Vec::new(), stderr: Vec::new(), deadline, timed_out: false };
        child::run(&spawn, &mut ears, std::future::pending()).await.map(|end| (end, ears))
    };
    let (end, ears) = runtime.block_on(end)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Said { end, timed_out: ears.timed_out, stdout: text(&ears.stdout), stderr: text(&ears.stderr) })
}
