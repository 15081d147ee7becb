//! The wish that somebody looks which running tasks do not merge with each other.
//!
//! Whoever sees that a workspace may have changed wishes; the look itself is a role of its own ([`ROLE`]), one at a time and out
//! of everybody's way. A wish is a mark on the disk. It is made before the role's lock is looked at, and the role takes it away
//! before it looks and asks for it again after its lock is free: so no wish is lost, and a change that comes while the role
//! rests between two looks is in the next one.
//!
//! Invariant: a wish waits for nothing, fails silently, and costs a runner a few microseconds.

use std::time::Duration;

use fs_err as fs;

use crate::process::launch;
use crate::store::clashes::Clashes;
use crate::store::layout::private_folder;
use crate::store::{Journal, Layout, Lock};
use crate::workspace::Site;

/// The hidden command that looks.
pub const ROLE: &str = "__foresee";

/// The name of its lock.
pub const LOCK: &str = "foresee";

/// How long a role that was just started has to take its lock, before another one is started in its place.
const GRACE: Duration = Duration::from_secs(5);

/// Wishes for a look, since a workspace or the target may have changed. Where nothing can be found it does nothing.
pub fn wish(site: &Site<'_>, journal: &mut Journal) {
    if site.settings.merge.foresee.is_zero() {
        return;
    }
    let wanted = site.layout.foresee_wanted();
    // Not empty, so that its time changes when it is written once more.
    let mark = || fs::write(&wanted, "\n");
    let made = fs::metadata(&wanted).and_then(|mark| mark.modified());
    match &made {
        // Whoever made it has just started the role.
        Ok(made) if made.elapsed().is_ok_and(|age| age < GRACE) => return,
        // The role rests until it may look, or was killed.
        Ok(_) => {}
        Err(_) if !sensible(site.layout, journal) => return,
        Err(_) => {
            let folder = wanted.parent().is_some_and(|folder| private_folder(folder).is_ok());
            if !folder || mark().is_err() {
                return;
            }
        }
    }
    let common = site.repo.common_dir();
    if Lock::is_held(&site.layout.lock(LOCK)) {
        return;
    }
    // A role that cannot even begin must not be started at each event.
    if (made.is_err() || mark().is_ok())
        && let Some(path) = common.to_str()
    {
        drop(launch::background(&[ROLE, path], common));
    }
}

/// Whether there are two workspaces that could be at odds, or somebody is to be told that he is at odds with nobody now.
fn sensible(layout: &Layout, journal: &mut Journal) -> bool {
    let Ok(roster) = journal.read() else { return false };
    let two = roster.live().filter(|task| task.workspace.is_some()).nth(1).is_some();
    let known = || {
        let known = Clashes::load(layout);
        !known.pairs.is_empty() || !known.over.is_empty()
    };
    two || known()
}
