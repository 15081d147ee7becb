//! Lock files of git that seem to have outlived their git. Told with their age and owner, never deleted: a git that works
//! slowly and one that was killed look the same.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::Duration;

use fs_err as fs;

use super::{Report, quoted};
use crate::git::{GitError, Repo, worktree};
use crate::model::Clock;
use crate::model::text::duration;

/// Below this age a lock is looked at twice: somebody may be at work this very moment.
const YOUNG: i64 = 10;
/// How long a working git is given to let go.
const PAUSE: Duration = Duration::from_millis(200);

/// Looks at the locks of the common folder and of every worktree.
pub fn examine(repo: &Repo, clock: &dyn Clock, report: &mut Report) -> Result<(), GitError> {
    let before = report.findings.len();
    let common = repo.common_dir();
    let names = ["index.lock", "HEAD.lock", "config.lock", "packed-refs.lock"];
    let mut places: Vec<PathBuf> = names.iter().map(|name| common.join(name)).collect();
    for entry in worktree::list(repo)?.into_iter().filter_map(|entry| entry.entry) {
        let folder = common.join("worktrees").join(entry);
        places.extend(["index.lock", "HEAD.lock", "config.worktree.lock"].map(|name| folder.join(name)));
    }
    let now = clock.now().as_second();
    let look = |place: &PathBuf| fs::symlink_metadata(place).ok().map(|about| (about.ino(), about.mtime()));
    let found: Vec<_> = places.iter().filter_map(|place| Some((place, look(place)?))).collect();
    if found.iter().any(|(_, (_, made))| now - made < YOUNG) {
        std::thread::sleep(PAUSE);
    }
    for (place, seen) in found {
        if look(place) != Some(seen) {
            continue;
        }
        let age = Duration::from_secs(u64::try_from(now - seen.1).unwrap_or(0));
        let owner = fs::symlink_metadata(place).map_or(0, |about| about.uid());
        let detail = format!(
            "{} old, made by user {owner}; it stops git, and may be removed if no git works there any more",
            duration(age)
        );
        report.find("stale-lock", &place.display(), detail, Some(format!("rm {}", quoted(place))));
    }
    report.well_since(before, "git locks: none left behind".to_owned());
    Ok(())
}
