//! Starting a detached runner: lock and slot are handed over as its standard input and output, with no gap.
//!
//! Both are open file descriptions under `flock`: from the moment the runner exists it holds them, and the kernel frees
//! them on any kind of death. No descriptor needs its close-on-exec flag cleared, so no other child can inherit one.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use fs_err as fs;
use rustix::io::fcntl_dupfd_cloexec;
use rustix::stdio::{dup2_stdin, dup2_stdout};

use super::spawn::{Becomes, before_exec};

/// The roles that this process has started and that it has not seen end: one that lives long and starts many must not fill
/// the machine's table of processes with dead ones.
static STARTED: Mutex<Vec<Child>> = Mutex::new(Vec::new());

/// Returns the path of this program, also when its file was replaced meanwhile.
pub fn own_program() -> io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    if path.exists() { Ok(path) } else { Ok(PathBuf::from("/proc/self/exe")) }
}

/// Starts `wt ARGUMENTS…` in a session of its own, in `folder`, with `lock` and `slot` as standard input and output.
pub fn launch(arguments: &[&str], folder: &Path, lock: OwnedFd, slot: OwnedFd) -> io::Result<()> {
    let mut runner = Command::new(own_program()?);
    runner.args(arguments).current_dir(folder).env_remove(super::sweep::TOKEN);
    runner.stdin(Stdio::from(lock)).stdout(Stdio::from(slot)).stderr(Stdio::null());
    before_exec(&mut runner, Becomes::SessionLeader);
    // It outlives us and is reaped by init, or by us as a zombie's parent at our own end.
    runner.spawn().map(drop)
}

/// Starts `wt ARGUMENTS…` in a session of its own, in `folder`, with no standard streams.
pub fn background(arguments: &[&str], folder: &Path) -> io::Result<()> {
    let mut role = Command::new(own_program()?);
    role.args(arguments).current_dir(folder).env_remove(super::sweep::TOKEN);
    role.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    before_exec(&mut role, Becomes::SessionLeader);
    let fresh = role.spawn()?;
    let mut started = STARTED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    started.retain_mut(|role| matches!(role.try_wait(), Ok(None)));
    started.push(fresh);
    Ok(())
}

/// The same, with both output streams at the end of `log`.
pub fn logged(arguments: &[&str], folder: &Path, log: fs::File) -> io::Result<()> {
    let mut role = Command::new(own_program()?);
    role.args(arguments).current_dir(folder).env_remove(super::sweep::TOKEN);
    let log = log.into_file();
    role.stdin(Stdio::null()).stdout(Stdio::from(log.try_clone()?)).stderr(Stdio::from(log));
    before_exec(&mut role, Becomes::SessionLeader);
    role.spawn().map(drop)
}

/// Gives way to every other process, with all that is started from now on. Whoever has the lowest priority for processors
/// has the lowest for disks too, unless it was given one of its own.
pub fn give_way() {
    // Best effort: slower for others is not wrong.
    let _ = rustix::process::nice(19);
}

/// Takes over what [`launch`] handed: returns lock and slot, and leaves `/dev/null` in their places.
pub fn inherited() -> io::Result<(OwnedFd, OwnedFd)> {
    let lock = fcntl_dupfd_cloexec(io::stdin().as_fd(), 3)?;
    let slot = fcntl_dupfd_cloexec(io::stdout().as_fd(), 3)?;
    let null = fs::File::options().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    Ok((lock, slot))
}
