//! What a person should know of how a workspace was made: what was left out of it, and what its hook came to.
//!
//! Kept in the task's folder (`making.log`), for a workspace is often made where nobody reads.

use std::io;

use fs_err as fs;

use super::apply::Made;
use super::hook::Ended;
use crate::store::layout::TaskFolder;

/// Keeps the notes of a workspace that was made; those of an earlier life of it go.
pub(super) fn write(folder: &TaskFolder, made: &Made) -> io::Result<()> {
    let text: String = lines(made).into_iter().map(|line| line + "\n").collect();
    fs::write(folder.making_log(), text)
}

/// Returns the notes of a task's workspace, one a line.
pub fn read(folder: &TaskFolder) -> Vec<String> {
    let text = fs::read_to_string(folder.making_log()).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn lines(made: &Made) -> Vec<String> {
    let left = made.left_out.iter().map(|path| {
        format!("`{path}` is not brought in: it is missing, tracked, not ignored, or a link is in the way")
    });
    let empty =
        made.submodules.left.iter().map(|(path, why)| format!("the submodule `{path}` is empty: {why}"));
    let hook = match &made.hook {
        None | Some(Ended::Well) => None,
        Some(Ended::NotApproved { folder }) => {
            Some(format!("the hooks in `{folder}` are not approved, so post-checkout did not run"))
        }
        Some(Ended::Failed { how }) => Some(format!("the post-checkout hook {how}")),
    };
    left.chain(empty).chain(hook).collect()
}
