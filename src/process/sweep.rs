//! Ending what outlived both runner and guard: every process whose environment carries the attempt's token.
//!
//! Each one is pinned by a pidfd and looked at again before it is signalled, so that a recycled number is never hit.

use std::os::fd::OwnedFd;

use fs_err as fs;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal};

/// The variable that carries an attempt's token.
pub const TOKEN: &str = "WT_RUN_ID";

fn carries(pid: Pid, needle: &[u8]) -> bool {
    let environment = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).unwrap_or_default();
    environment.split(|b| *b == 0).any(|variable| variable == needle)
}

/// Returns the processes that carry `token`, without this one.
pub fn find(token: &str) -> Vec<Pid> {
    let needle = format!("{TOKEN}={token}");
    let Ok(all) = fs::read_dir("/proc") else { return Vec::new() };
    all.flatten()
        .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
        .filter(|pid| *pid != getpid() && carries(*pid, needle.as_bytes()))
        .collect()
}

/// Returns every token that some process carries, with that process, this one left out.
pub fn carried() -> Vec<(String, Pid)> {
    let Ok(all) = fs::read_dir("/proc") else { return Vec::new() };
    let head = format!("{TOKEN}=");
    let mut found = Vec::new();
    for entry in all.flatten() {
        let pid = entry.file_name().to_str().and_then(|name| Pid::from_raw(name.parse().ok()?));
        let Some(pid) = pid.filter(|pid| *pid != getpid()) else { continue };
        // Another user's process cannot be read, and is not ours.
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        let mut variables = environment.split(|b| *b == 0);
        let token = variables.find_map(|variable| variable.strip_prefix(head.as_bytes()));
        found.extend(token.map(|token| (String::from_utf8_lossy(token).into_owned(), pid)));
    }
    found
}

/// Kills every process that carries `token`, until none is found; returns how many were hit.
pub fn end(token: &str) -> u32 {
    let needle = format!("{TOKEN}={token}");
    let mut ended = 0;
    for _ in 0..50 {
        let mut pinned: Vec<OwnedFd> = Vec::new();
        for pid in find(token) {
            let Ok(pin) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
            if carries(pid, needle.as_bytes()) && pidfd_send_signal(&pin, Signal::KILL).is_ok() {
                pinned.push(pin);
            }
        }
        if pinned.is_empty() {
            break;
        }
        ended += u32::try_from(pinned.len()).unwrap_or(u32::MAX);
        for pin in &pinned {
            let patience = Timespec { tv_sec: 1, tv_nsec: 0 };
            let _ = poll(&mut [PollFd::new(pin, PollFlags::IN)], Some(&patience));
        }
    }
    ended
}
