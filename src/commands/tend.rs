//! The hidden role that tends spare workspaces and deletes old trash, beside everything else and out of its way.
//!
//! One at a time: whoever holds the tend lock. A wish is a mark on the disk, made before anybody looks at the lock and looked
//! for again after it is free, so none is lost.

use std::path::Path;

use fs_err as fs;

use super::context::{Context, Global, Trust};
use crate::error::{self, CommandError};
use crate::process::launch;
use crate::store::Lock;
use crate::workspace::{pool, trash};

/// The role's first argument.
pub const ROLE: &str = "__tend";

/// Sees to it that somebody tends, if there is anything to do; waits for nothing. What goes wrong is nobody's loss: the next
/// command wishes again.
pub fn begin(context: &Context) {
    let site = context.site();
    let tip = context.target().ok().and_then(|target| site.repo.branch_tip(&target).ok().flatten());
    if !pool::is_wanted(&site, tip.as_ref()).unwrap_or(false) {
        return;
    }
    let wished = fs::write(site.layout.tend_wanted(), "");
    if wished.is_ok() && !Lock::is_held(&site.layout.lock("tend")) {
        let common = site.repo.common_dir();
        if let Some(path) = common.to_str() {
            drop(launch::background(&[ROLE, path], common));
        }
    }
}

/// Becomes the one who tends: `COMMON_DIR`.
pub fn role(arguments: &[String]) -> u8 {
    let [common] = arguments else { return error::USAGE };
    match tend(Path::new(common)) {
        Ok(()) => error::DONE,
        Err(refusal) => refusal.code,
    }
}

fn tend(common: &Path) -> Result<(), CommandError> {
    launch::give_way();
    loop {
        let context = Context::open(&Global::within(common), Trust::NotNeeded)?;
        let (path, wanted) = (context.layout().lock("tend"), context.layout().tend_wanted());
        let Some(lock) = Lock::try_take(&path)? else { return Ok(()) };
        drop(fs::remove_file(&wanted));
        let site = context.site();
        let target = context.target().ok();
        // Nobody reads what went wrong; it is found again by the next who wishes, and by `wt doctor`.
        drop(pool::tend(&site, target.as_deref()));
        for old in trash::expired(&site) {
            drop(trash::delete(&old));
        }
        drop(lock);
        if !wanted.exists() {
            return Ok(());
        }
    }
}
