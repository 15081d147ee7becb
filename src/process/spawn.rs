//! What a child does to itself between fork and exec: the one place with `unsafe`.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal, setsid};

/// What the child becomes before its program starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Becomes {
    /// The leader of a session of its own, so that no terminal reaches it.
    SessionLeader,
    /// The leader of a process group, killed when the thread that started it ends.
    DiesWithParent,
}

/// Makes `command`'s child become that before its program starts.
pub(super) fn before_exec(command: &mut Command, becomes: Becomes) {
    if becomes == Becomes::DiesWithParent {
        command.process_group(0);
    }
    let parent = getpid();
    let hook = move || -> io::Result<()> {
        match becomes {
            Becomes::SessionLeader => {
                setsid()?;
            }
            Becomes::DiesWithParent => {
                set_parent_process_death_signal(Some(Signal::KILL))?;
                if getppid() != Some(parent) {
                    // The parent died before the signal was set.
                    return Err(io::Error::from(rustix::io::Errno::SRCH));
                }
            }
        }
        Ok(())
    };
    #[expect(unsafe_code, reason = "std offers no safe way to set a session or a death signal in the child")]
    // SAFETY: the hook runs between fork and exec and only makes system calls (setsid, prctl, getppid), which are
    // async-signal-safe; it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(hook);
    }
}
