//! What a worktree holds that git ignores.

mod unchanged;

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use gix::glob::pattern::Case;
use gix::glob::wildmatch::Mode;

use super::command::{Git, fields};
use super::{Checkout, GitError};

pub use unchanged::list as list_of_main;

/// Returns the ignored paths that are not tracked, relative; a folder of nothing else is one entry, ending in `/`.
pub fn list(checkout: &Checkout) -> Result<Vec<String>, GitError> {
    Ok(fields(&asked(checkout)?).collect())
}

/// The ignored paths of a worktree, relative and as the disk has them. A folder stands for all that is in it: nothing at or
/// below it is tracked. Some of what is below may be named as well.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ignored(HashSet<PathBuf>);

impl Ignored {
    /// Asks git. Takes no lock, so it may be asked beside a working agent.
    pub fn of(checkout: &Checkout) -> Result<Self, GitError> {
        let bytes = asked(checkout)?;
        let paths = bytes.split(|b| *b == 0).filter(|path| !path.is_empty());
        let plain = |path: &[u8]| PathBuf::from(OsStr::from_bytes(path.strip_suffix(b"/").unwrap_or(path)));
        Ok(Self(paths.map(plain).collect()))
    }

    /// Tells whether `path`, relative, is one of them; of what is below one of them it says nothing.
    pub fn has(&self, path: &Path) -> bool {
        self.0.contains(path)
    }

    /// Returns them all, in no order.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(PathBuf::as_path)
    }
}

fn asked(checkout: &Checkout) -> Result<Vec<u8>, GitError> {
    let call = Git::at(checkout, "ls-files").polling();
    call.args(["--others", "--ignored", "--exclude-standard", "--directory", "-z"]).output()
}

/// Patterns in the syntax of `.gitignore`, as they would stand in a file at the top of a worktree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patterns(Vec<gix::glob::Pattern>);

impl Patterns {
    /// Reads them, one a line; comments and empty lines are none.
    pub fn new<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let lines = lines.into_iter().filter(|line| !line.starts_with('#'));
        Self(lines.filter_map(|line| gix::glob::Pattern::from_bytes(line.as_bytes())).collect())
    }

    /// Tells whether the folder `path`, relative, is named itself; the last pattern that matches counts.
    pub fn name_folder(&self, path: &Path) -> bool {
        let bytes = path.as_os_str().as_bytes();
        let name = bytes.iter().rposition(|b| *b == b'/').map(|slash| slash + 1);
        let matches = |pattern: &&gix::glob::Pattern| {
            let mode = Mode::NO_MATCH_SLASH_LITERAL;
            pattern.matches_repo_relative_path(bytes.into(), name, Some(true), Case::Sensitive, mode)
        };
        self.0.iter().rev().find(matches).is_some_and(|pattern| !pattern.is_negative())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(patterns: &[&str], path: &str) -> bool {
        Patterns::new(patterns.iter().copied()).name_folder(Path::new(path))
    }

    #[test]
    fn folders_are_named_as_in_gitignore() {
        assert!(named(&["target/"], "target") && named(&["target/"], "crates/a/target"));
        assert!(!named(&["target/"], "target/debug"), "what is below a named folder is not named itself");
        assert!(!named(&["target/"], "targets"));
        assert!(named(&["/build"], "build") && !named(&["/build"], "a/build"));
        assert!(named(&["a/*/out"], "a/b/out") && !named(&["a/*/out"], "a/b/c/out"));
        assert!(named(&["**/x-*/"], "a/b/x-1"));
        assert!(!named(&["target/", "!keep/target/"], "keep/target"));
        assert!(!named(&[], "target") && !named(&["# target", ""], "target"));
    }
}
