//! The guard: a small second process between runner and agent that ends the agent's whole tree, whatever dies first.
//!
//! Protocol on standard input, a socket: the owner sends the descriptors that it shares (task lock, slot) with one byte,
//! then orders, one letter each (`s`: stop). The guard answers with lines of JSON: [`Report`]. End of file from the owner
//! means that it is dead.
//!
//! It must stay single-threaded (the agent's death signal follows the thread that started it) and small: it does not
//! read configuration, the journal or the repository.

use std::io::{self, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use serde::{Deserialize, Serialize};

use super::footprint::{self, SOON};
use super::spawn::{Becomes, before_exec};
use super::tree::{self, Orphans};
use crate::model::verdict::Exit;

/// The hidden command that becomes a guard.
pub const ROLE: &str = "__guard";

/// What a guard is told on its command line, as one JSON argument before the agent's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Duty {
    /// The number of the signal that asks the agent to end.
    pub signal: i32,
    /// How long it may take, in milliseconds.
    pub grace_ms: u64,
    /// How long processes may outlive the agent, in milliseconds.
    pub leak_ms: u64,
    /// The file that is the agent's standard input; `None`: nothing.
    pub stdin: Option<String>,
    /// The arguments of the `wt` command that follows when the owner died: a pass.
    pub then: Vec<String>,
}

/// What a guard tells its owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Report {
    /// The agent runs.
    Started {
        /// Its process id, for display only.
        pid: u32,
    },
    /// The agent could not be started.
    Failed {
        /// Why.
        error: String,
    },
    /// The agent ended, and nothing of it is left.
    Ended {
        /// How.
        exit: Exit,
        /// Processes that outlived it and were killed.
        swept: u32,
    },
}

/// Why the guard stopped waiting.
enum Wake {
    AgentEnded,
    OwnerDied,
    Order,
    Deadline,
}

/// Runs the guard: `arguments` are the duty and the agent's command. Returns when nothing of the agent is left.
pub fn run(arguments: &[String]) -> io::Result<()> {
    let (duty, command) = arguments.split_first().ok_or_else(|| io::Error::other("a guard needs a duty"))?;
    let duty: Duty = serde_json::from_str(duty).map_err(io::Error::other)?;
    tree::set_orphans(Orphans::ComeHere)?;
    let mut owner = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let null = fs::File::options().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    let shared = receive(&owner)?;

    let mut agent = match start(&duty, command) {
        Ok(agent) => agent,
        Err(error) => return tell(&mut owner, &Report::Failed { error: error.to_string() }),
    };
    // The agent's output must end when the agent's tree ends: no copy of the pipes stays here.
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    // An owner that is already gone is noticed by the first wait.
    drop(tell(&mut owner, &Report::Started { pid: agent.id() }));

    let (exit, owner_died) = watch(&duty, &mut agent, &mut owner)?;
    let patience = if owner_died { Duration::ZERO } else { Duration::from_millis(duty.leak_ms) };
    let swept = if tree::wait_for_all(patience) { 0 } else { tree::end_all() };
    if !owner_died && tell(&mut owner, &Report::Ended { exit, swept }).is_ok() {
        return Ok(());
    }
    // The owner cannot record anything any more: free what it held, then let a pass see what happened.
    drop(shared);
    follow_up(&duty)
}

fn start(duty: &Duty, command: &[String]) -> io::Result<Child> {
    let (program, arguments) = command.split_first().ok_or_else(|| io::Error::other("nothing to start"))?;
    let mut start = Command::new(program);
    start.args(arguments).stdin(match &duty.stdin {
        Some(path) => Stdio::from(fs::File::open(path)?.into_file()),
        None => Stdio::null(),
    });
    before_exec(&mut start, Becomes::DiesWithParent);
    start.spawn()
}

/// Waits for the agent's end; passes orders on; returns how it ended and whether the owner died meanwhile.
fn watch(duty: &Duty, agent: &mut Child, owner: &mut UnixStream) -> io::Result<(Exit, bool)> {
    let pid = i32::try_from(agent.id()).ok().and_then(Pid::from_raw).expect("a child has a process id");
    let pin = pidfd_open(pid, PidfdFlags::empty())?;
    let signal = Signal::from_named_raw(duty.signal).unwrap_or(Signal::TERM);
    let mut deadline: Option<Instant> = None;
    let mut owner_died = false;
    let mut long = Some(Instant::now() + SOON);
    loop {
        match wait(&pin, owner, owner_died, deadline.or(long))? {
            // Not reaped yet: the group's number is still the agent's.
            Wake::AgentEnded => {
                let _ = kill_process_group(pid, Signal::KILL);
                return Ok((exit_of(agent.wait()?), owner_died));
            }
            Wake::OwnerDied => {
                owner_died = true;
                let _ = kill_process_group(pid, Signal::KILL);
            }
            Wake::Order if deadline.is_none() => {
                let _ = kill_process_group(pid, signal);
                deadline = Some(Instant::now() + Duration::from_millis(duty.grace_ms));
            }
            Wake::Order => {}
            Wake::Deadline if deadline.is_none() => {
                long = None;
                footprint::drop_code_pages();
            }
            Wake::Deadline => {
                let _ = kill_process_group(pid, Signal::KILL);
                deadline = None;
            }
        }
    }
}

fn wait(
    agent: &OwnedFd,
    owner: &mut UnixStream,
    owner_died: bool,
    deadline: Option<Instant>,
) -> io::Result<Wake> {
    loop {
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let mut watched = vec![PollFd::new(agent, PollFlags::IN)];
        if !owner_died {
            watched.push(PollFd::new(owner, PollFlags::IN));
        }
        let limit = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut watched, limit.as_ref()) {
            Ok(0) => return Ok(Wake::Deadline),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let ended = !watched[0].revents().is_empty();
        let spoke = watched.get(1).is_some_and(|owner| !owner.revents().is_empty());
        drop(watched);
        if ended {
            return Ok(Wake::AgentEnded);
        }
        if spoke {
            let mut order = [0; 16];
            return Ok(match owner.read(&mut order) {
                Ok(0) | Err(_) => Wake::OwnerDied,
                Ok(_) => Wake::Order,
            });
        }
    }
}

pub(super) fn exit_of(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Lost,
    }
}

fn tell(owner: &mut UnixStream, report: &Report) -> io::Result<()> {
    let mut line = serde_json::to_vec(report).map_err(io::Error::other)?;
    line.push(b'\n');
    owner.write_all(&line)
}

/// Receives the descriptors that the owner shares.
fn receive(owner: &UnixStream) -> io::Result<Vec<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(owner, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let mut shared = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            shared.extend(descriptors);
        }
    }
    Ok(shared)
}

/// Becomes the `wt` command that follows.
fn follow_up(duty: &Duty) -> io::Result<()> {
    use std::os::unix::process::CommandExt as _;
    if duty.then.is_empty() {
        return Ok(());
    }
    tree::set_orphans(Orphans::GoUp)?;
    Err(Command::new(super::launch::own_program()?).args(&duty.then).env_remove(super::sweep::TOKEN).exec())
}
