//! Running one program to its end on this thread, with a time limit and its output in a log: hooks.
//!
//! Without a guard, so several threads may do it at once beside other children of this process; the price is that a
//! descendant which leaves the program's process group outlives it. Invariant: the group is only signalled while the program
//! itself is not reaped, so that its number is nobody else's.

use std::io::{self, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::capture::Capped;
use super::guard::exit_of;
use super::spawn::{Becomes, before_exec};
use crate::model::verdict::Exit;

/// The most that a log keeps, in bytes.
const CAP: u64 = 4 << 20;

/// A program to run.
#[derive(Debug, Clone)]
pub struct Brief<'a> {
    /// The program.
    pub program: &'a Path,
    /// Its arguments.
    pub arguments: &'a [&'a str],
    /// The working directory.
    pub folder: &'a Path,
    /// Inherited variables to leave out.
    pub without: &'a [&'a str],
    /// Its time limit.
    pub timeout: Duration,
    /// Where its output goes, both streams as they come.
    pub log: &'a Path,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself.
    With(Exit),
    /// Its time was up; it is gone, with its process group.
    TimedOut,
}

/// Runs it to its end. An error says that it did not start, or that nothing is known of it.
pub fn run(brief: &Brief<'_>) -> io::Result<Ended> {
    let (mut output, theirs) = io::pipe()?;
    let mut command = Command::new(brief.program);
    command.args(brief.arguments).current_dir(brief.folder).stdin(Stdio::null());
    for name in brief.without {
        command.env_remove(name);
    }
    command.stdout(Stdio::from(theirs.try_clone()?)).stderr(Stdio::from(theirs));
    before_exec(&mut command, Becomes::DiesWithParent);
    let mut child = command.spawn()?;
    drop(command); // closes our copies of the write end
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    let pin = pidfd_open(pid, PidfdFlags::empty())?;
    let mut log = Capped::create(brief.log, CAP);
    let deadline = Instant::now() + brief.timeout;
    let mut open = true;
    let in_time = loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut watched = vec![PollFd::new(&pin, PollFlags::IN)];
        if open {
            watched.push(PollFd::new(&output, PollFlags::IN));
        }
        let limit = Timespec::try_from(left).ok();
        match poll(&mut watched, limit.as_ref()) {
            Ok(0) => break false,
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let ended = !watched[0].revents().is_empty();
        let spoke = watched.get(1).is_some_and(|output| !output.revents().is_empty());
        drop(watched);
        if spoke {
            open = take(&mut output, &mut log)?;
        } else if ended {
            // A child of it may hold the pipe for ever: what is there was read.
            break true;
        }
    };
    if !in_time {
        // It may have ended in this instant; it is not reaped yet.
        let _ = kill_process_group(pid, Signal::KILL);
    }
    let exit = exit_of(child.wait()?);
    Ok(if in_time { Ended::With(exit) } else { Ended::TimedOut })
}

/// Reads what there is; `false`: nobody can write any more.
fn take(output: &mut io::PipeReader, log: &mut Capped) -> io::Result<bool> {
    let mut chunk = [0; 16 << 10];
    let n = output.read(&mut chunk)?;
    log.write(&chunk[..n]);
    Ok(n > 0)
}
