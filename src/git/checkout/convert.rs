//! What a checkout does to a blob on its way to disk, path by path.
//!
//! A clean file need not be what a checkout would write: attributes and settings may have changed since it was written, and a
//! clean filter may drop something that no checkout brings back. So a file is copied only where a checkout writes the blob as
//! it is and the file has the blob's size, or where it is the content that a large-file pointer names. The attributes that
//! count are those of the wanted commit, of `info/attributes`, of the user and of the machine; git says what they are.

use std::path::{Path, PathBuf};

use fs_err as fs;
use gix::index::{Entry, State};

use super::index;
use crate::git::command::Git;
use crate::git::settings::Settings;
use crate::git::{GitError, LinkedWorktree, Repo};

/// Where none of these stands in any file of attributes, no path is converted.
const CONVERTING: [&str; 4] = ["filter", "ident", "working-tree-encoding", "crlf"];

/// The file that the attributes of a folder stand in.
const FILE: &[u8] = b".gitattributes";

/// How a path may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// A checkout writes the blob as it is.
    Plain,
    /// A checkout replaces the pointer in the blob by the content that it names.
    LargeFile,
    /// Only git knows.
    Git,
}

impl Rule {
    /// Tells whether a clean file of that size is what a checkout would write.
    pub(super) fn holds(self, objects: &gix::Repository, entry: &Entry, size: u64) -> bool {
        let Ok(Some(header)) = objects.try_find_header(entry.id) else { return false };
        match self {
            Self::Plain => header.size() == size,
            // Pointers are shorter than this by their definition.
            Self::LargeFile if header.size() < 1024 => {
                let blob = objects.find_object(entry.id).ok();
                blob.and_then(|blob| size_in_pointer(&blob.data)) == Some(size)
            }
            Self::LargeFile | Self::Git => false,
        }
    }
}

/// Returns the size that a pointer of Git LFS names.
fn size_in_pointer(blob: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(blob).ok()?;
    let lines = text.strip_prefix("version https://git-lfs.github.com/spec/v1\n")?;
    lines.lines().find_map(|line| line.strip_prefix("size "))?.parse().ok()
}

/// The rules of all entries of an index.
#[derive(Debug)]
pub(super) struct Rules(Option<Vec<Rule>>);

impl Rules {
    pub(super) fn of(&self, entry: usize) -> Rule {
        self.0.as_ref().map_or(Rule::Plain, |rules| rules[entry])
    }
}

/// Returns how each entry of `wanted` may be made.
pub(super) fn rules(
    repo: &Repo,
    worktree: &LinkedWorktree,
    wanted: &gix::index::File,
    settings: &Settings,
) -> Result<Rules, GitError> {
    if !in_play(repo, wanted, settings)? {
        return Ok(Rules(None));
    }
    // git takes the attributes from there, since there are no files yet.
    index::write(wanted, worktree, settings)?;
    let mut paths = Vec::new();
    for entry in wanted.entries() {
        paths.extend_from_slice(entry.path(wanted));
        paths.push(0);
    }
    let call = Git::at(worktree.checkout(), "check-attr").args(["-z", "--stdin", "--cached", "-a"]);
    let said = call.stdin(paths).output()?;
    let mut rules = vec![Rule::Plain; wanted.entries().len()];
    let (mut fields, mut at) = (said.split(|b| *b == 0), 0);
    while let (Some(path), Some(name), Some(value)) = (fields.next(), fields.next(), fields.next()) {
        // In the order in which they were asked for.
        while wanted.entries().get(at).is_some_and(|entry| entry.path(wanted) != path) {
            at += 1;
        }
        let Some(rule) = rules.get_mut(at) else {
            return Err(GitError::unreadable("the attributes of a commit", "unknown path"));
        };
        match asks(&String::from_utf8_lossy(name), &String::from_utf8_lossy(value), settings) {
            Rule::Plain => {}
            Rule::LargeFile if *rule == Rule::Git => {}
            stricter => *rule = stricter,
        }
    }
    Ok(Rules(Some(rules)))
}

/// Returns what one attribute asks for.
fn asks(name: &str, value: &str, settings: &Settings) -> Rule {
    let off = matches!(value, "unset" | "unspecified" | "");
    match name {
        "ident" | "working-tree-encoding" if !off => Rule::Git,
        "eol" if !off && value != "lf" => Rule::Git,
        "filter" if !off => {
            let command = |kind| settings.text(&format!("filter.{value}.{kind}")).filter(|c| !c.is_empty());
            match command("process").or(command("smudge")).or(command("clean")) {
                Some(command) if is_large_file(command) => Rule::LargeFile,
                // One that only cleans may have dropped something that stands in the file.
                Some(_) => Rule::Git,
                None => Rule::Plain,
            }
        }
        _ => Rule::Plain,
    }
}

/// Tells whether a filter is Git LFS, whose pointers name exactly one content.
fn is_large_file(command: &str) -> bool {
    let mut words = command.split_whitespace();
    let program = words.next().unwrap_or_default();
    let program = Path::new(program).file_name().unwrap_or_default();
    program == "git-lfs" || (program == "git" && words.next() == Some("lfs"))
}

/// Tells whether any attribute could convert any path; rather once too often.
fn in_play(repo: &Repo, wanted: &State, settings: &Settings) -> Result<bool, GitError> {
    let objects = repo.local();
    for entry in wanted.entries() {
        let path: &[u8] = entry.path(wanted);
        if path.ends_with(FILE) && !super::is_submodule(entry) {
            match objects.find_object(entry.id) {
                Ok(blob) if !converts(&blob.data) => {}
                _ => return Ok(true),
            }
        }
    }
    let mut files = vec![repo.common_dir().join("info/attributes")];
    match user_file(settings) {
        Ok(file) => files.extend(file),
        Err(Elsewhere) => return Ok(true),
    }
    let told = Git::on(repo, "var").arg("GIT_ATTR_SYSTEM").finish()?;
    if told.code != Some(0) {
        // git before 2.42 does not say, nor one that is told to leave it alone.
        return Ok(true);
    }
    files.push(PathBuf::from(String::from_utf8_lossy(&told.stdout).trim_end_matches('\n')));
    Ok(files.iter().any(|file| match fs::read(file) {
        Ok(text) => converts(&text),
        Err(cause) => cause.kind() != std::io::ErrorKind::NotFound,
    }))
}

fn converts(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    CONVERTING.iter().any(|word| text.contains(word))
}

/// A place that is written in a way which only git reads.
struct Elsewhere;

/// Returns the user's file of attributes, which need not exist.
fn user_file(settings: &Settings) -> Result<Option<PathBuf>, Elsewhere> {
    let folder = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    match settings.text("core.attributesfile") {
        Some(path) if Path::new(path).is_absolute() => Ok(Some(path.into())),
        Some(_) => Err(Elsewhere),
        None => {
            let config =
                folder("XDG_CONFIG_HOME").or_else(|| folder("HOME").map(|home| home.join(".config")));
            Ok(config.map(|config| config.join("git/attributes")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_name_a_size() {
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 4096\n";
        assert_eq!(size_in_pointer(pointer), Some(4096));
        assert_eq!(size_in_pointer(b"oid sha256:ab\nsize 4096\n"), None);
        assert_eq!(size_in_pointer(b"version https://git-lfs.github.com/spec/v1\nsize x\n"), None);
        assert_eq!(size_in_pointer(b"\xff"), None);
    }

    #[test]
    fn only_large_files_are_known_to_come_back() {
        for command in ["git-lfs filter-process", "git lfs smudge -- %f", "/opt/bin/git-lfs smudge"] {
            assert!(is_large_file(command), "{command}");
        }
        for command in ["git-crypt smudge", "git", "cat", "", "git cat-file lfs", "sh -c 'git lfs smudge'"] {
            assert!(!is_large_file(command), "{command}");
        }
    }
}
