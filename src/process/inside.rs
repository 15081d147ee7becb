//! Which processes are at work in a folder: those whose working directory is in it, or that hold a file of it open.
//!
//! Invariant: reads only. Another user's processes cannot be seen, and a process may come the moment after: who asks must lose
//! nothing by a wrong answer.

use std::path::Path;

use fs_err as fs;
use rustix::process::{Pid, getpid};

/// How closely is looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// At working directories: a link a process.
    Directories,
    /// At open files too: as many links as there are open files.
    Files,
}

/// Returns the first process found at work in `folder` (absolute, links resolved), without this one.
pub fn inside(folder: &Path, look: Look) -> Option<Pid> {
    let leads_in = |link: &Path| fs::read_link(link).is_ok_and(|to| to.starts_with(folder));
    let all = fs::read_dir("/proc").ok()?;
    for entry in all.flatten() {
        let pid = entry.file_name().to_str().and_then(|name| Pid::from_raw(name.parse().ok()?));
        let Some(pid) = pid.filter(|pid| *pid != getpid()) else { continue };
        let open = || {
            let open = fs::read_dir(entry.path().join("fd")).into_iter().flatten().flatten();
            open.map(|file| file.path()).any(|file| leads_in(&file))
        };
        if leads_in(&entry.path().join("cwd")) || (look == Look::Files && open()) {
            return Some(pid);
        }
    }
    None
}
