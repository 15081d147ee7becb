//! Files beside git's own: small ones read with few calls, whole ones put in place at once, old ones cleared away.

use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use fs_err as fs;

use super::GitError;
use crate::model::clock::{Clock as _, SystemClock};

/// The most bytes that a ref, a `HEAD` or the link of an entry has, but for an odd one.
const SMALL: usize = 1024;

/// Reads a small file, one of many, with as few calls as can be; `None`: there is none, or it is no text.
pub(super) fn read_small(path: &Path) -> Option<String> {
    let mut file = fs::File::open(path).ok()?.into_parts().0;
    let mut text = vec![0; SMALL];
    let length = file.read(&mut text).ok()?;
    text.truncate(length);
    if length == SMALL {
        file.read_to_end(&mut text).ok()?;
    }
    String::from_utf8(text).ok()
}

/// Replaces a file by one with this text, at once.
pub(super) fn write_over(path: &Path, text: &str) -> Result<(), GitError> {
    let folder = path.parent().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mode = std::fs::Permissions::from_mode(0o666);
    let mut fresh = tempfile::Builder::new().prefix(".wt").permissions(mode).tempfile_in(folder)?;
    fresh.write_all(text.as_bytes())?;
    fresh.persist(path).map_err(|failed| failed.error)?;
    Ok(())
}

/// Removes the folders in `folder` that are older than `old`: left behind by who was killed.
pub(super) fn sweep(folder: &Path, old: Duration) -> io::Result<()> {
    let now = SystemClock.now();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let made = jiff::Timestamp::try_from(entry.metadata()?.modified()?).map_err(io::Error::other)?;
        if Duration::try_from(now.duration_since(made)).is_ok_and(|age| age > old) {
            drop(fs::remove_dir_all(entry.path()));
        }
    }
    Ok(())
}
