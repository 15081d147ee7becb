//! The processes below this one: listing children, waiting for them, ending all of them.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use fs_err as fs;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, kill_process, pidfd_open, set_child_subreaper, wait, waitpid,
};

/// Whether orphans below this process become its children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Orphans {
    /// They do.
    ComeHere,
    /// They go to whoever is above.
    GoUp,
}

/// Says what becomes of orphans below this process.
pub fn set_orphans(orphans: Orphans) -> io::Result<()> {
    set_child_subreaper((orphans == Orphans::ComeHere).then(rustix::process::getpid))?;
    Ok(())
}

/// Returns this process's children that were not reaped yet, without runners: an agent may have run a `wt` that started
/// another task, and that one is no part of the agent's tree.
pub fn children() -> Vec<Pid> {
    let mut found = all_children();
    found.retain(|pid| !is_runner(*pid));
    found
}

/// Whether a child is a detached `wt` of its own: this program in such a role.
fn is_runner(pid: Pid) -> bool {
    let about = format!("/proc/{}", pid.as_raw_nonzero());
    let line = fs::read(format!("{about}/cmdline")).unwrap_or_default();
    let role = line.split(|b| *b == 0).nth(1);
    [&b"__run"[..], b"__pass"].iter().any(|detached| role == Some(*detached))
        && matches!((fs::read_link(format!("{about}/exe")), fs::read_link("/proc/self/exe")), (Ok(its), Ok(ours)) if its == ours)
}

fn all_children() -> Vec<Pid> {
    let mut found = Vec::new();
    let Ok(threads) = fs::read_dir("/proc/self/task") else { return found };
    for thread in threads.flatten() {
        // A thread may end while we look; its children move to another one and are seen on the next look.
        let list = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        found.extend(list.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)));
    }
    found
}

/// Waits until every child has ended by itself, at most `limit`; returns whether they all have.
pub fn wait_for_all(limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        reap();
        let pinned: Vec<OwnedFd> =
            children().into_iter().filter_map(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()).collect();
        let left = deadline.saturating_duration_since(Instant::now());
        if pinned.is_empty() {
            return true;
        }
        if left.is_zero() {
            return false;
        }
        let mut watched: Vec<PollFd<'_>> = pinned.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        // Any error, a signal say, only means that we look again.
        let _ = poll(&mut watched, Timespec::try_from(left).ok().as_ref());
    }
}

/// Takes note of children that have ended by themselves.
fn reap() {
    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
}

/// Kills every descendant of this subreaper, generation after generation, until none is left; returns how many.
/// Orphans keep coming while their parents are killed, so it looks again until the list is empty.
pub fn end_all() -> u32 {
    let mut ended = 0;
    let mut untouchable: Vec<Pid> = Vec::new();
    loop {
        reap();
        let mut alive = children();
        alive.retain(|pid| !untouchable.contains(pid));
        if alive.is_empty() {
            return ended;
        }
        for pid in alive {
            // Not reaped yet, so the number cannot have been given to another process.
            match kill_process(pid, Signal::KILL) {
                Ok(()) => {
                    if waitpid(Some(pid), WaitOptions::empty()).is_ok() {
                        ended += 1;
                    }
                }
                // Another user's process (set-user-id): not ours to end.
                Err(_) => untouchable.push(pid),
            }
        }
    }
}
