//! Running a program that has the terminal to itself, until it ends.
//!
//! It stays in our process group, so that the keys of the terminal reach it; those signals reach us as well and must not
//! end us, since we hold a lock for it. Nothing is captured and nothing is swept: a person is there.

use std::io;
use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::signal::unix::{SignalKind, signal};

use super::guard::exit_of;
use super::sweep::TOKEN;
use crate::model::verdict::Exit;

/// A program to run at the terminal.
#[derive(Debug, Clone, Copy)]
pub struct Interactive<'a> {
    /// Program and arguments.
    pub argv: &'a [String],
    /// The working directory.
    pub folder: &'a Path,
    /// Variables to set, beside the inherited ones.
    pub env: &'a [(String, String)],
    /// Inherited variables to leave out.
    pub without: &'a [&'a str],
}

/// Runs it to its end. A request to end us is passed on to it; what comes from the keyboard it hears itself.
pub async fn run(program: &Interactive<'_>) -> io::Result<Exit> {
    let Some((name, arguments)) = program.argv.split_first() else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    // Never read: from now on they do nothing here.
    let _heard_by_the_program = [SignalKind::interrupt(), SignalKind::quit(), SignalKind::hangup()]
        .map(signal)
        .into_iter()
        .collect::<io::Result<Vec<_>>>()?;
    let mut asked = signal(SignalKind::terminate())?;
    let mut command = Command::new(name);
    command.args(arguments).current_dir(program.folder);
    for name in program.without {
        command.env_remove(name);
    }
    command.envs(program.env.iter().map(|(name, value)| (name, value)));
    // No attempt's: nothing of it is ever swept, nor taken for a stray.
    command.env_remove(TOKEN);
    let mut child = command.spawn()?;
    // Pinned before anybody waits for it, so that its number cannot be somebody else's.
    let pinned = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pinned = pinned.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    let mut ended = tokio::task::spawn_blocking(move || child.wait());
    let status = loop {
        tokio::select! {
            status = &mut ended => break status.map_err(io::Error::other)??,
            _ = asked.recv() => {
                // It may have ended in this instant.
                let _ = pinned.as_ref().map(|child| pidfd_send_signal(child, Signal::TERM));
            }
        }
    };
    Ok(exit_of(status))
}
