//! Where scratch folders stand: a folder of this user's in the folder of temporary files. A process that is killed leaves
//! its own there; the next one that needs one clears it away.

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use tempfile::TempDir;

use crate::git::files::sweep;

/// Nobody needs one for that long: what is older was left behind.
const OLD: Duration = Duration::from_secs(24 * 3600);

/// A folder that is gone once it is dropped, and the user's own with the last one.
#[derive(Debug)]
pub(super) struct Place {
    folder: TempDir,
    /// Dropped after the folder in it.
    _own: Option<Own>,
}

impl Place {
    /// Makes one.
    pub(super) fn fresh() -> io::Result<Self> {
        Self::below(&std::env::temp_dir())
    }

    fn below(root: &Path) -> io::Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("wt-merged-");
        loop {
            // Where somebody else has the name, theirs is left alone.
            let Ok(own) = own(root) else {
                return Ok(Self { folder: builder.tempdir_in(root)?, _own: None });
            };
            drop(sweep(&own, OLD));
            match builder.tempdir_in(&own) {
                // Another process dropped its last one in between.
                Err(error) if error.kind() == io::ErrorKind::NotFound && root.exists() => {}
                made => return Ok(Self { folder: made?, _own: Some(Own(own)) }),
            }
        }
    }

    /// Returns its path.
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// The user's own folder, which goes when nothing is left in it.
#[derive(Debug)]
struct Own(PathBuf);

impl Drop for Own {
    fn drop(&mut self) {
        drop(std::fs::remove_dir(&self.0));
    }
}

/// Returns the folder below `root` that only this user can enter.
fn own(root: &Path) -> io::Result<PathBuf> {
    let user = rustix::process::geteuid().as_raw();
    let folder = root.join(format!("wt-{user}"));
    match std::fs::DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let about = fs::symlink_metadata(&folder)?;
    let ours = about.is_dir() && about.uid() == user && about.mode() & 0o777 == 0o700;
    if ours { Ok(folder) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::SystemTime;

    use super::*;
    use crate::model::clock::{Clock as _, SystemClock};

    #[test]
    fn what_was_left_behind_goes_and_what_is_in_use_stays() {
        let root = tempfile::tempdir().unwrap();
        let own = own(root.path()).unwrap();
        assert_eq!(fs::metadata(&own).unwrap().mode() & 0o777, 0o700);
        let (left, used) = (own.join("left"), own.join("used"));
        for folder in [&left, &used] {
            fs::create_dir(folder).unwrap();
            fs::write(folder.join("object"), "x").unwrap();
        }
        let long_ago = SystemTime::from(SystemClock.now()) - OLD - Duration::from_secs(60);
        fs::File::open(&left).unwrap().file().set_modified(long_ago).unwrap();
        sweep(&own, OLD).unwrap();
        assert!(!left.exists());
        assert!(used.join("object").exists());
    }

    #[test]
    fn the_last_one_takes_the_users_folder_with_it() {
        let root = tempfile::tempdir().unwrap();
        let count = || fs::read_dir(root.path()).unwrap().count();
        let (first, second) = (Place::below(root.path()).unwrap(), Place::below(root.path()).unwrap());
        drop(first);
        assert!(second.path().is_dir());
        assert_eq!(count(), 1);
        drop(second);
        assert_eq!(count(), 0);
    }

    #[test]
    fn folders_that_come_and_go_at_once_are_all_made() {
        let root = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..200).for_each(|_| drop(Place::below(root.path()).unwrap())));
            }
        });
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_others_can_enter_or_that_is_a_link_is_not_used() {
        let root = tempfile::tempdir().unwrap();
        let folder = own(root.path()).unwrap();
        assert_eq!(own(root.path()).unwrap(), folder, "a second time it is there");
        fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        own(root.path()).unwrap_err();
        fs::remove_dir(&folder).unwrap();
        std::os::unix::fs::symlink(root.path(), &folder).unwrap();
        own(root.path()).unwrap_err();
    }
}
