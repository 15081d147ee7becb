//! Named crash points: with the feature `failpoints`, `WT_FAILPOINT=NAME` ends the process at that point as `kill -9` would;
//! `NAME:N` where it comes there for the Nth time.
//!
//! Without the feature a point is nothing at all. Every name is listed in [`POINTS`], and the tests kill at each of them.

/// Every crash point there is.
pub const POINTS: &[&str] = &[
    "journal.before_append",
    "journal.after_append",
    "spawn.after_folder",
    "spawn.after_queued",
    "entry.before_rename",
    "entry.before_branch",
    "spawn.after_entry",
    "spawn.while_filling",
    "spawn.after_files",
    "spawn.after_hook",
    "spawn.after_worktree",
    "spawn.after_submodules",
    "spawn.before_journal",
    "spawn.after_workspace",
    "ports.after_record",
    "ports.after_leases",
    "ports.after_release",
    "pass.before_launch",
    "pass.after_launch",
    "runner.before_started",
    "runner.after_started",
    "runner.before_ended",
    "stop.waiting_stopped",
    "land.after_started",
    "land.after_replay",
    "land.after_intent",
    "land.after_move",
    "land.after_landed",
    "undo.before_intent",
    "undo.after_intent",
    "undo.after_ref",
    "undo.after_move",
    "undo.after_undone",
    "land.resolve.before_call",
    "land.resolve.after_call",
    "land.resolve.after_kept",
    "land.resolve.after_recorded",
    "remove.after_submodules",
    "artifacts.after_rename",
    "remove.after_trash",
    "remove.after_rename",
    "remove.after_entry",
    "remove.after_branch",
    "pool.after_rename",
    "pool.after_link",
    "pool.after_entry",
    "pool.after_mark",
    "pool.while_washing",
    "pool.before_ready",
    "pool.while_discarding",
    "take.after_mark",
    "take.after_link",
    "take.after_rename",
    "take.after_entry",
    "take.after_branch",
    "take.after_files",
];

/// Ends the process here if the environment names this point.
#[cfg(feature = "failpoints")]
pub fn hit(point: &str) {
    use std::sync::atomic::{AtomicU32, Ordering};
    static HITS: AtomicU32 = AtomicU32::new(0);
    debug_assert!(POINTS.contains(&point), "`{point}` is not listed");
    let wanted = std::env::var("WT_FAILPOINT").unwrap_or_default();
    let (name, nth) = wanted.split_once(':').unwrap_or((&wanted, "1"));
    if name == point && nth.parse() == Ok(HITS.fetch_add(1, Ordering::Relaxed) + 1) {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

/// Nothing: crash points are not compiled in.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn hit(_point: &str) {}
