//! The processes that a hostile agent leaves behind, each hard to find in another way.
//!
//! Each is this program again in a hidden role, so that its command line names it: the last argument is the marker.
//! No `unsafe`: a child cannot be changed between fork and exec, it sets itself up after it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::process::setsid;

/// How long a child lives if nobody ends it.
const LIFE: Duration = Duration::from_secs(1000);
/// What a sleeper says once it is set up.
const READY: &[u8] = b".";

const SLEEPER: &str = "--sleeper";
const DETACHER: &str = "--detacher";
const OWN_SESSION: &str = "own-session";
const SAME_SESSION: &str = "same-session";

/// The kinds of children. Only `HoldStdout` keeps the agent's standard output and error; the others have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// In the agent's process group.
    Plain,
    /// In a session of its own.
    Setsid,
    /// In a session of its own, holding the agent's pipes open.
    HoldStdout,
    /// Forked twice: in another session and no descendant of the agent any more.
    Daemon,
    /// As `Daemon`, with an empty environment.
    DaemonCleanEnv,
}

impl Kind {
    /// Returns the kind of that name.
    pub fn parse(name: &str) -> Option<Self> {
        let all = [Self::Plain, Self::Setsid, Self::HoldStdout, Self::Daemon, Self::DaemonCleanEnv];
        all.into_iter().find(|kind| kind.name() == name)
    }

    /// Returns the step that starts it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain-child",
            Self::Setsid => "setsid-child",
            Self::HoldStdout => "hold-stdout-child",
            Self::Daemon => "daemon",
            Self::DaemonCleanEnv => "daemon-clean-env",
        }
    }
}

/// Plays a child's role if the arguments name one.
pub fn role(arguments: &[OsString]) -> Option<ExitCode> {
    let ended = match arguments {
        [role, session, _marker] if role == SLEEPER => sleep(session == OWN_SESSION),
        [role, marker] if role == DETACHER => detach(marker),
        _ => return None,
    };
    Some(if ended.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn sleep(own_session: bool) -> io::Result<()> {
    if own_session {
        setsid()?;
    }
    File::from(io::stdin().as_fd().try_clone_to_owned()?).write_all(READY)?;
    std::thread::sleep(LIFE);
    Ok(())
}

/// The process in between: leads a new session, starts the sleeper in it, tells its id and is gone.
fn detach(marker: &OsString) -> io::Result<()> {
    setsid()?;
    let mut sleeper = itself()?;
    sleeper.args([SLEEPER, SAME_SESSION]).arg(marker).stdout(Stdio::null()).stderr(Stdio::null());
    write!(io::stdout(), "{}", sleeper_of(&mut sleeper)?)
}

/// Starts a child and returns its process id once it is what its kind says.
pub fn start(kind: Kind, marker: &str) -> io::Result<u32> {
    let mut command = itself()?;
    command.stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::null());
    match kind {
        Kind::Plain => sleeper_of(command.args([SLEEPER, SAME_SESSION, marker])),
        Kind::Setsid => sleeper_of(command.args([SLEEPER, OWN_SESSION, marker])),
        Kind::HoldStdout => sleeper_of(
            command.args([SLEEPER, OWN_SESSION, marker]).stdout(Stdio::inherit()).stderr(Stdio::inherit()),
        ),
        Kind::Daemon => daemon(command.args([DETACHER, marker])),
        Kind::DaemonCleanEnv => daemon(command.args([DETACHER, marker]).env_clear()),
    }
}

/// Starts a sleeper and waits for its word, over its standard input, that it is set up. Before that even its command
/// line may read as empty: the kernel lets a starter go on before it has laid out the new program's arguments.
fn sleeper_of(command: &mut Command) -> io::Result<u32> {
    let (mut word, told) = io::pipe()?;
    let sleeper = command.stdin(told).spawn()?;
    command.stdin(Stdio::null());
    word.read_exact(&mut [0; READY.len()])?;
    Ok(sleeper.id())
}

fn daemon(command: &mut Command) -> io::Result<u32> {
    let mut between = command.stdout(Stdio::piped()).spawn()?;
    let mut told = String::new();
    between.stdout.take().expect("it was piped").read_to_string(&mut told)?;
    between.wait()?;
    told.parse().map_err(|_| io::Error::other("the process in between told no id"))
}

fn itself() -> io::Result<Command> {
    Ok(Command::new(std::env::current_exe()?))
}
