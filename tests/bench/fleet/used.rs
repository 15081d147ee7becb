//! What processes used: of all that came here and were reaped, as the kernel sums it up, and of living ones.

use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use rustix::process::{WaitOptions, set_child_subreaper, wait};

/// Makes this process the one to which those come whose parents have ended.
pub fn come_here() {
    set_child_subreaper(Some(rustix::process::getpid())).unwrap();
}

/// Processor time and wall time from one moment to another.
#[derive(Clone, Copy)]
pub struct Used {
    /// User and system time of what was reaped in between, and below it, in milliseconds.
    pub cpu: f64,
    /// In milliseconds.
    pub wall: f64,
}

/// A moment to measure from.
pub struct Since {
    cpu: f64,
    at: Instant,
}

impl Since {
    /// Returns this moment.
    pub fn now() -> Self {
        Self { cpu: reaped(), at: Instant::now() }
    }

    /// Returns what was used since.
    pub fn used(&self) -> Used {
        Used { cpu: reaped() - self.cpu, wall: self.at.elapsed().as_secs_f64() * 1e3 }
    }
}

/// Processor time of everything that was reaped so far, in milliseconds.
#[expect(clippy::cast_precision_loss, reason = "microseconds of some hours")]
fn reaped() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e3
}

/// Peak memory of the largest process that was ever reaped, here or below, in MiB.
#[expect(clippy::cast_precision_loss, reason = "a number of KiB")]
pub fn largest() -> f64 {
    getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss() as f64 / 1024.0
}

/// Reaps whoever ends, until nobody is left; `each` hears of every one.
pub fn reap_all(mut each: impl FnMut()) {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some(_)) => each(),
            Err(rustix::io::Errno::INTR) | Ok(None) => {}
            Err(_) => return,
        }
    }
}

/// The processes of `wt` in that role for this repository.
pub fn of_role(role: &str, repo: &Path) -> Vec<u32> {
    let repo = repo.to_string_lossy().into_owned();
    let is = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|b| *b == 0).nth(1) == Some(role.as_bytes())
            && String::from_utf8_lossy(&line).contains(&repo)
    };
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is).collect()
}

/// The number behind `field` in a file of that process, if it still is.
pub fn field(pid: u32, file: &str, field: &str) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

/// How often all threads of a process were switched to and away from.
pub fn switches(pid: u32) -> f64 {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let of = |thread: std::fs::DirEntry| -> f64 {
        let text = std::fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        let lines = text.lines().filter(|line| line.contains("ctxt_switches"));
        lines.filter_map(|line| line.rsplit('\t').next()?.parse::<f64>().ok()).sum()
    };
    threads.map(of).sum()
}

/// Processor time of a living process without its children, in milliseconds.
pub fn processor(pid: u32) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    Some(text.split(' ').next()?.parse::<f64>().ok()? / 1e6)
}

/// Asks again and again, with rests, until `ask` says something; `None`: not within `limit`.
pub fn until<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    while begun.elapsed() < limit {
        if let Some(found) = ask() {
            return Some(found);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    None
}
