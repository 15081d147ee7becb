//! Memory: what all processes hold that carry an attempt's token, and what the machine could still give to new ones.
//!
//! A page that several share counts for each by its part, so that sums are true. Only ever looked at for those that run.

use std::collections::BTreeMap;
use std::path::Path;

use fs_err as fs;
use rustix::process::Pid;

use super::sweep;

/// What the processes of one attempt hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Bytes of memory.
    pub bytes: u64,
    /// Processes.
    pub processes: u32,
}

/// Returns what the processes of attempts hold, by token; tokens that no process carries are missing.
pub fn by_token(tokens: &[&str]) -> BTreeMap<String, Held> {
    let mut found: BTreeMap<String, Held> = BTreeMap::new();
    if tokens.is_empty() {
        return found;
    }
    for (token, pid) in sweep::carried().into_iter().filter(|(token, _)| tokens.contains(&token.as_str())) {
        let held = found.entry(token).or_default();
        held.bytes += of(pid);
        held.processes += 1;
    }
    found
}

/// Returns the bytes of one process; one that has just ended holds none.
fn of(pid: Pid) -> u64 {
    let about = format!("/proc/{}", pid.as_raw_nonzero());
    let about = Path::new(&about);
    let kilobytes = |file: &str, name: &str| {
        let text = fs::read_to_string(about.join(file)).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    // A process of another user tells the whole only.
    let held = kilobytes("smaps_rollup", "Pss:").or_else(|| kilobytes("status", "VmRSS:"));
    held.unwrap_or_default().saturating_mul(1024)
}

/// Returns the bytes that are free or can be freed without swapping; `None`: this kernel does not tell.
pub fn available() -> Option<u64> {
    parse(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn parse(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_holds_something_and_one_that_is_gone_nothing() {
        let own = of(rustix::process::getpid());
        assert!(own > 100_000, "{own}");
        let none = Pid::from_raw(i32::MAX).unwrap();
        assert_eq!(of(none), 0);
        assert!(by_token(&[]).is_empty() && by_token(&["nobody-carries-this"]).is_empty());
    }

    #[test]
    fn what_the_kernel_says_is_read() {
        let text = "MemTotal:       8000000 kB\nMemFree:          10 kB\nMemAvailable:    2048 kB\n";
        assert_eq!(parse(text), Some(2 << 20));
        assert_eq!(parse("MemTotal: 1 kB\n"), None, "an old kernel");
        assert_eq!(parse("MemAvailable: much\n"), None);
    }
}
