//! What a worktree holds that git ignores.

use super::command::{Git, fields};
use super::{Checkout, GitError};

/// Returns the ignored paths that are not tracked, relative; a folder of nothing else is one entry, ending in `/`.
pub fn list(checkout: &Checkout) -> Result<Vec<String>, GitError> {
    let call = Git::at(checkout, "ls-files").polling();
    let call = call.args(["--others", "--ignored", "--exclude-standard", "--directory", "-z"]);
    Ok(fields(&call.output()?).collect())
}
