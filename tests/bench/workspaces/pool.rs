//! What can be seen of `wt`'s spare worktrees from outside: whether one is ready, and whether a workspace was one.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use crate::place::{Place, wt};

/// How long the preparation of a spare may take, and how long it may take to begin.
const LONGEST: Duration = Duration::from_secs(120);
const BEGINNING: Duration = Duration::from_millis(1500);

/// The spares of a place that are there now.
pub fn spares(place: &Place) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(place.worktrees().join(".pool")).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.join(".git").exists()).collect()
}

/// Whether every spare says of itself that it is ready.
fn prepared(place: &Place) -> bool {
    spares(place).iter().all(|spare| {
        let git = std::fs::read_to_string(spare.join(".git")).unwrap_or_default();
        let entry = PathBuf::from(git.strip_prefix("gitdir:").unwrap_or_default().trim());
        std::fs::read_to_string(entry.join("locked")).is_ok_and(|why| why.starts_with("wt: spare at "))
    })
}

/// Tells a folder whatever its name.
pub fn inode(path: &std::path::Path) -> u64 {
    std::fs::metadata(path).map_or(0, |about| about.ino())
}

/// Whether somebody tends the pool right now.
fn tended(place: &Place) -> bool {
    let lock = place.repo().join(".git/wt/tend.lock");
    let Ok(file) = std::fs::File::open(lock) else { return false };
    flock(&file, FlockOperation::NonBlockingLockShared).is_err()
}

/// Waits until nobody tends the pool.
pub fn rest(place: &Place) {
    let begun = Instant::now();
    while tended(place) && begun.elapsed() < LONGEST {
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits for a spare; a place that makes none says so.
pub fn ready(place: &Place) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        if tended(place) {
            rest(place);
        } else if !spares(place).is_empty() && prepared(place) {
            return Ok(());
        } else if begun.elapsed() > BEGINNING && (spares(place).is_empty() || begun.elapsed() > LONGEST) {
            return Err("not available: no spare was prepared".to_owned());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Makes a workspace and discards it, so that the pool is looked after.
pub fn stir(place: &Place, name: &str) -> Result<(), String> {
    place.attempt(&wt(), &["spawn", name, "--no-agent"])?;
    rest(place);
    place.attempt(&wt(), &["gc", name, "--force"])?;
    ready(place)
}

/// Brings every spare to a commit, which must be where the target is.
pub fn bring(place: &Place, name: &str, commit: &str) -> Result<(), String> {
    let there = |place: &Place| {
        spares(place).iter().all(|spare| place.git_in(spare, &["rev-parse", "HEAD"]).out.trim() == commit)
    };
    for n in 0..4 {
        if ready(place).is_ok() && there(place) {
            return Ok(());
        }
        stir(place, &format!("{name}-{n}"))?;
    }
    Err("not available: the spares do not follow the target".to_owned())
}
