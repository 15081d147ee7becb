//! The owner's side of a guard: start it, drain the agent's output, pass on the order to stop, learn how it ended.

use std::future::Future;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::path::Path;
use std::pin::pin;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::pipe::Receiver;
use tokio::time::Instant;

use super::footprint::{self, SOON};
use super::guard::{Duty, ROLE, Report};
use super::spawn::{Becomes, before_exec};
use super::tree::{self, Orphans};
use super::{launch, sweep};
use crate::model::verdict::Exit;

/// How much output one read takes.
const CHUNK: usize = 64 << 10;

/// How long output may still come after the tree is gone.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What to start under a guard.
#[derive(Debug, Clone)]
pub struct Spawn<'a> {
    /// Program and arguments; no shell is involved.
    pub argv: &'a [String],
    /// The working directory.
    pub folder: &'a Path,
    /// Variables to set, beside the inherited ones.
    pub env: &'a [(String, String)],
    /// Inherited variables to leave out.
    pub without: &'a [&'a str],
    /// The file that is its standard input.
    pub stdin: Option<&'a Path>,
    /// The random token that marks every process of its tree.
    pub token: &'a str,
    /// The signal that asks it to end.
    pub signal: i32,
    /// How long it may take to end.
    pub grace: Duration,
    /// How long processes may outlive it.
    pub leak: Duration,
    /// What the guard holds as long as anything of the tree lives.
    pub shared: &'a [BorrowedFd<'a>],
    /// The `wt` command that the guard becomes if we die.
    pub then: &'a [String],
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// How the process ended.
    pub exit: Exit,
    /// Processes that outlived it and were killed.
    pub swept: u32,
    /// Why it could not be started, if it could not.
    pub error: Option<String>,
}

/// When to look again, or to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    /// Nothing to do before that moment.
    Until(Option<Instant>),
    /// Ask it to end now.
    Stop,
}

/// Receives output, and decides when enough is enough.
pub trait Sink {
    /// Takes a piece of standard output.
    fn stdout(&mut self, bytes: &[u8]);
    /// Takes a piece of standard error.
    fn stderr(&mut self, bytes: &[u8]);
    /// Is asked after every happening, and at the moment it last named.
    fn watch(&mut self, now: Instant) -> Watch;
}

struct Pipes {
    link: UnixStream,
    stdout: Receiver,
    stderr: Receiver,
    guard: std::process::Child,
}

/// Runs `spawn` to its end. `stop` ends it early. Must run on a current-thread runtime with I/O and time.
pub async fn run(spawn: &Spawn<'_>, sink: &mut dyn Sink, stop: impl Future<Output = ()>) -> io::Result<End> {
    tree::set_orphans(Orphans::ComeHere)?;
    let ended = drive(spawn, sink, stop).await;
    tree::set_orphans(Orphans::GoUp)?;
    ended
}

async fn drive(spawn: &Spawn<'_>, sink: &mut dyn Sink, stop: impl Future<Output = ()>) -> io::Result<End> {
    let Pipes { link, mut stdout, mut stderr, mut guard } = start(spawn)?;
    let (heard, mut orders) = link.into_split();
    let mut heard = BufReader::new(heard).lines();
    let mut stop = pin!(stop);
    let (mut out, mut err) = (vec![0; CHUNK], vec![0; CHUNK / 4]);
    let (mut out_open, mut err_open, mut stopping) = (true, true, false);
    let mut end: Option<End> = None;
    let mut last_words: Option<Instant> = None;
    let mut long: Option<Instant> = None;
    while end.is_none() || out_open || err_open {
        let wake = match sink.watch(Instant::now()) {
            Watch::Stop if !stopping => {
                stopping = true;
                // A guard that is gone is noticed by reading.
                drop(orders.write_all(b"s").await);
                None
            }
            Watch::Stop => None,
            Watch::Until(at) => at,
        };
        let wake = last_words.or_else(|| wake.into_iter().chain(long).min());
        tokio::select! {
            report = heard.next_line(), if end.is_none() => {
                end = heed(report, &mut guard)?;
                last_words = end.as_ref().map(|_| Instant::now() + LAST_WORDS);
                // The preparation is over.
                long = end.is_none().then(|| Instant::now() + SOON);
            }
            n = stdout.read(&mut out), if out_open => match n {
                Ok(n) if n > 0 => sink.stdout(&out[..n]),
                _ => out_open = false,
            },
            n = stderr.read(&mut err), if err_open => match n {
                Ok(n) if n > 0 => sink.stderr(&err[..n]),
                _ => err_open = false,
            },
            () = &mut stop, if !stopping => {
                stopping = true;
                drop(orders.write_all(b"s").await);
            }
            () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {
                if last_words.is_some_and(|at| at <= Instant::now()) {
                    break;
                }
                if long.take_if(|at| *at <= Instant::now()).is_some() {
                    footprint::drop_code_pages();
                }
            }
        }
    }
    drop(orders);
    guard.wait()?;
    Ok(end.unwrap_or(End { exit: Exit::Lost, swept: 0, error: None }))
}

/// Understands a line from the guard; its silence means that it died, and that its tree is now ours.
fn heed(line: io::Result<Option<String>>, guard: &mut std::process::Child) -> io::Result<Option<End>> {
    let line = line.ok().flatten();
    match line.as_deref().map(serde_json::from_str::<Report>) {
        Some(Ok(Report::Started { .. })) => Ok(None),
        Some(Ok(Report::Failed { error })) => {
            Ok(Some(End { exit: Exit::NotStarted, swept: 0, error: Some(error) }))
        }
        Some(Ok(Report::Ended { exit, swept })) => Ok(Some(End { exit, swept, error: None })),
        Some(Err(_)) | None => {
            guard.wait()?;
            Ok(Some(End { exit: Exit::Lost, swept: tree::end_all(), error: None }))
        }
    }
}

fn start(spawn: &Spawn<'_>) -> io::Result<Pipes> {
    let (ours, theirs) = StdStream::pair()?;
    let (out_read, out_write) = pipe_with(PipeFlags::CLOEXEC)?;
    let (err_read, err_write) = pipe_with(PipeFlags::CLOEXEC)?;
    // A larger pipe only saves wake-ups; the kernel may refuse it.
    let _ = fcntl_setpipe_size(&out_write, 1 << 20);
    let duty = Duty {
        signal: spawn.signal,
        grace_ms: millis(spawn.grace),
        leak_ms: millis(spawn.leak),
        stdin: spawn.stdin.map(|path| path.to_string_lossy().into_owned()),
        then: spawn.then.to_vec(),
    };
    let mut command = Command::new(launch::own_program()?);
    command.arg(ROLE).arg(serde_json::to_string(&duty).map_err(io::Error::other)?).args(spawn.argv);
    command.current_dir(spawn.folder);
    for name in spawn.without {
        command.env_remove(name);
    }
    command.envs(spawn.env.iter().map(|(k, v)| (k, v)));
    command.env(sweep::TOKEN, spawn.token);
    command.stdin(OwnedFd::from(theirs)).stdout(Stdio::from(out_write)).stderr(Stdio::from(err_write));
    before_exec(&mut command, Becomes::SessionLeader);
    let guard = command.spawn()?;
    drop(command); // closes our copies of the write ends
    share(&ours, spawn.shared)?;
    ours.set_nonblocking(true)?;
    for end in [&out_read, &err_read] {
        rustix::io::ioctl_fionbio(end, true)?;
    }
    Ok(Pipes {
        link: UnixStream::from_std(ours)?,
        stdout: Receiver::from_owned_fd(out_read)?,
        stderr: Receiver::from_owned_fd(err_read)?,
        guard,
    })
}

fn share(guard: &StdStream, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("too many descriptors to share with a guard"));
    }
    sendmsg(guard, &[IoSlice::new(b"d")], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
