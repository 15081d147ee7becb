//! What a checkout needs beside the repository: ignored files copied from the main checkout, ignored folders shared by link.
//!
//! Invariant: only files that git ignores and does not track, in the main checkout and at the workspace's base; nothing is
//! overwritten, no link is followed. What is brought in is listed, so that it is never committed for an agent.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use fs_err as fs;
use globset::{GlobBuilder, GlobMatcher};

use super::beneath::{Beneath, Missing, is_link};
use super::shared::{INSTRUCTIONS, SHARED};
use crate::git::{GitError, Repo, ignored, worktree};
use crate::model::settings::WorkspaceSettings;
use crate::model::{Oid, parallel};
use crate::store::Layout;

/// The file of the main checkout that names more to copy, in the syntax of `.gitignore`.
pub const INCLUDE: &str = ".worktreeinclude";
/// The most of it that is read, in bytes.
const INCLUDE_BYTES: usize = 64 * 1024;
/// How deep an ignored folder is walked.
const DEPTH: usize = 32;
/// How many files one more thread is worth.
const FEW: usize = 256;
/// A folder of more files than this stands as one in the list of what was brought in.
const MANY: usize = 1000;

/// Why the environment cannot be brought in.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// git cannot tell what it ignores.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A file cannot be copied.
    #[error("`{path}` cannot be copied")]
    Copy {
        /// The file, relative.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// One of the two checkouts cannot be opened.
    #[error("the workspace cannot be furnished")]
    Io(#[from] io::Error),
}

/// What was brought in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Furnished {
    /// Copied files and links, relative, in order; also those that were there already from an earlier try. A large folder
    /// that was asked for as a whole is one entry, ending in `/`.
    pub brought: Vec<String>,
    /// What was asked for and left out: a link, something tracked, something that is not ignored.
    pub left: Vec<String>,
}

/// Brings into the worktree `to`, which starts at `base`, what the settings and `.worktreeinclude` ask for.
pub fn furnish(
    repo: &Repo,
    settings: &WorkspaceSettings,
    base: &Oid,
    to: &Path,
) -> Result<Furnished, EnvironmentError> {
    let Some(wishes) = Wishes::of(repo, settings)? else { return Ok(Furnished::default()) };
    let Wishes { main, source, patterns, ignored } = wishes;
    let mut furnishing =
        Furnishing { repo, base, source, target: Beneath::open(to)?, done: Furnished::default() };
    for group in wanted(&main, &ignored, &patterns) {
        furnishing.copy(&group)?;
    }
    for path in &settings.symlink {
        furnishing.link(&main, path.trim_end_matches('/'), &ignored)?;
    }
    furnishing.done.brought.sort();
    Ok(furnishing.done)
}

/// Returns the main checkout and what of it [`furnish`] would bring into a worktree whose commit tracks none of it, relative
/// and in order; `None`: nothing.
pub fn sources(
    repo: &Repo,
    settings: &WorkspaceSettings,
) -> Result<Option<(PathBuf, Vec<String>)>, EnvironmentError> {
    let Some(Wishes { main, patterns, ignored, .. }) = Wishes::of(repo, settings)? else { return Ok(None) };
    let mut paths: Vec<String> =
        wanted(&main, &ignored, &patterns).into_iter().flat_map(|group| group.files).collect();
    paths.extend(settings.symlink.iter().map(|path| path.trim_end_matches('/').to_owned()));
    paths.sort();
    Ok(Some((main, paths)))
}

/// What is asked for, and what the main checkout has.
struct Wishes {
    main: PathBuf,
    source: Beneath,
    patterns: Patterns,
    ignored: Vec<String>,
}

impl Wishes {
    /// Returns `None` where nothing is asked for, or there is no main checkout.
    fn of(repo: &Repo, settings: &WorkspaceSettings) -> Result<Option<Self>, EnvironmentError> {
        let Some(main) = repo.main_worktree() else { return Ok(None) };
        let source = Beneath::open(main.path())?;
        let patterns = Patterns::new(settings.copy.iter().map(String::as_str), &included(&source));
        if patterns.0.is_empty() && settings.symlink.is_empty() {
            return Ok(None);
        }
        let ignored = ignored::list_of_main(repo, &main, &Layout::below(repo.common_dir()).ignored())?;
        Ok(Some(Self { main: main.path().to_owned(), source, patterns, ignored }))
    }
}

fn included(main: &Beneath) -> String {
    let mut bytes = Vec::new();
    let read = main.read(Path::new(INCLUDE));
    let read = read.and_then(|file| file.take(INCLUDE_BYTES as u64).read_to_end(&mut bytes));
    if read.is_ok() { String::from_utf8_lossy(&bytes).into_owned() } else { String::new() }
}

struct Furnishing<'a> {
    repo: &'a Repo,
    base: &'a Oid,
    source: Beneath,
    target: Beneath,
    done: Furnished,
}

/// Whether a file that was asked for is there now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Copied {
    There,
    Left,
}

impl Furnishing<'_> {
    /// Copies a group: on all cores where there is much of it.
    fn copy(&mut self, group: &Group) -> Result<(), EnvironmentError> {
        // What a commit does not have as a folder, it does not have below it.
        let looks = self.repo.tracks(self.base, &group.entry)?;
        let tracked =
            |path: &str| -> Result<bool, GitError> { Ok(looks && self.repo.tracks(self.base, path)?) };
        let copied = parallel::map(&group.files, FEW, |path| {
            if tracked(path)? { Ok(Copied::Left) } else { self.copy_file(path) }
        });
        let copied = copied.into_iter().collect::<Result<Vec<Copied>, EnvironmentError>>()?;
        let (there, left): (Vec<_>, Vec<_>) =
            group.files.iter().cloned().zip(copied).partition(|(_, copied)| *copied == Copied::There);
        self.done.left.extend(left.into_iter().map(|(path, _)| path));
        if group.whole && there.len() > MANY {
            self.done.brought.push(format!("{}/", group.entry));
        } else {
            self.done.brought.extend(there.into_iter().map(|(path, _)| path));
        }
        Ok(())
    }

    fn copy_file(&self, path: &str) -> Result<Copied, EnvironmentError> {
        let failed = |source| EnvironmentError::Copy { path: path.to_owned(), source };
        let at = Path::new(path);
        match self.target.look(at) {
            Ok(None) => {}
            Ok(Some(there)) if !is_link(&there) => return Ok(Copied::There),
            _ => return Ok(Copied::Left),
        }
        // A link, a pipe, or gone since the list was made.
        let Ok(mut from) = self.source.read(at) else { return Ok(Copied::Left) };
        let mut to = self.target.create(at, 0o600, Missing::Make).map_err(failed)?;
        // Shares its blocks where the file system can.
        let copied = io::copy(&mut from, &mut to).and_then(|_| {
            let found = from.metadata()?;
            to.set_permissions(found.permissions())?;
            to.set_modified(found.modified()?)
        });
        copied.map_err(failed)?;
        Ok(Copied::There)
    }

    fn link(&mut self, main: &Path, path: &str, ignored: &[String]) -> Result<(), EnvironmentError> {
        let at = Path::new(path);
        let hidden = ignored.iter().any(|entry| {
            entry.trim_end_matches('/') == path || (entry.ends_with('/') && path.starts_with(entry.as_str()))
        });
        let there = hidden && self.source.look(at).is_ok_and(|found| found.is_some());
        if !there || self.repo.tracks(self.base, path)? {
            self.done.left.push(path.to_owned());
            return Ok(());
        }
        let full = main.join(path);
        // A pattern such as `node_modules/` ignores the folder, and not a link of that name.
        worktree::exclude(self.repo, &[&format!("/{path}")])?;
        match self.target.link(&full, at, Missing::Make) {
            Ok(()) => self.done.brought.push(path.to_owned()),
            Err(_) if self.target.target(at).ok().flatten().as_ref() == Some(&full) => {
                self.done.brought.push(path.to_owned());
            }
            Err(_) => self.done.left.push(path.to_owned()),
        }
        Ok(())
    }
}

/// What is copied of one entry of the list of ignored paths.
struct Group {
    /// The entry: a file, or a folder that git ignores with all that is in it.
    entry: String,
    files: Vec<String>,
    /// Whether it is a folder that was asked for by its own name, or by one above it.
    whole: bool,
}

/// Returns the files below `main` that the patterns ask for, out of what git ignores.
fn wanted(main: &Path, ignored: &[String], patterns: &Patterns) -> Vec<Group> {
    let mut found = Vec::new();
    for entry in ignored {
        match entry.strip_suffix('/') {
            Some(folder) if patterns.ask_for(folder) || patterns.reach_into(folder) => {
                let mut files = Vec::new();
                walk(main, folder, patterns, DEPTH, &mut files);
                found.push(Group { entry: folder.to_owned(), files, whole: patterns.ask_for(folder) });
            }
            None if entry == SHARED || entry == INSTRUCTIONS => {}
            None if patterns.ask_for(entry) => {
                found.push(Group { entry: entry.clone(), files: vec![entry.clone()], whole: false });
            }
            _ => {}
        }
    }
    found
}

fn walk(main: &Path, folder: &str, patterns: &Patterns, depth: usize, found: &mut Vec<String>) {
    // What cannot be listed cannot be copied.
    let Ok(entries) = fs::read_dir(main.join(folder)) else { return };
    for entry in entries.flatten() {
        let (Ok(name), Ok(kind)) = (entry.file_name().into_string(), entry.file_type()) else { continue };
        let path = format!("{folder}/{name}");
        if kind.is_dir() {
            if depth > 0 && name != ".git" {
                walk(main, &path, patterns, depth - 1, found);
            }
        } else if patterns.ask_for(&path) {
            found.push(path);
        }
    }
}

/// Patterns in the syntax of `.gitignore`, simplified: the last one that matches a path or a folder above it counts.
#[derive(Debug)]
struct Patterns(Vec<Pattern>);

#[derive(Debug)]
struct Pattern {
    matcher: GlobMatcher,
    /// What stands before the first wildcard; empty for a pattern that fits at any depth.
    prefix: String,
    folder_only: bool,
    leave_out: bool,
}

impl Patterns {
    fn new<'a>(globs: impl Iterator<Item = &'a str>, include: &'a str) -> Self {
        Self(globs.chain(include.lines()).filter_map(Pattern::parse).collect())
    }

    fn ask_for(&self, path: &str) -> bool {
        let above = path.match_indices('/').map(|(at, _)| (&path[..at], true));
        let mut places: Vec<(&str, bool)> = above.collect();
        places.push((path, false));
        let last = self.0.iter().rev().find(|pattern| {
            places.iter().any(|(place, folder)| {
                // Whether the path itself is a folder is not known here; asked for one, it is.
                (*folder || !pattern.folder_only || *place == path) && pattern.matcher.is_match(place)
            })
        });
        last.is_some_and(|pattern| !pattern.leave_out)
    }

    /// Tells whether a pattern names something below `folder`, so that an ignored folder is worth a walk.
    fn reach_into(&self, folder: &str) -> bool {
        let folder = format!("{folder}/");
        self.0.iter().any(|pattern| {
            !pattern.leave_out
                && !pattern.prefix.is_empty()
                && (pattern.prefix.starts_with(&folder) || folder.starts_with(&pattern.prefix))
        })
    }
}

impl Pattern {
    fn parse(line: &str) -> Option<Self> {
        let line = line.trim_end();
        let (leave_out, line) = match line.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        if line.is_empty() || line.starts_with('#') {
            return None;
        }
        let (folder_only, line) = match line.strip_suffix('/') {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let anchored = line.contains('/');
        let line = line.trim_start_matches('/');
        let glob = if anchored { line.to_owned() } else { format!("**/{line}") };
        let matcher = GlobBuilder::new(&glob).literal_separator(true).build().ok()?.compile_matcher();
        let prefix = glob.split(['*', '?', '[', '{', '\\']).next().unwrap_or_default().to_owned();
        Some(Self { matcher, prefix, folder_only, leave_out })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(globs: &[&str], include: &str, path: &str) -> bool {
        Patterns::new(globs.iter().copied(), include).ask_for(path)
    }

    #[test]
    fn patterns_read_like_those_of_gitignore() {
        assert!(asked(&[".env*"], "", ".env"));
        assert!(asked(&[".env*"], "", "packages/a/.env.local"));
        assert!(!asked(&[".env*"], "", "env"));
        assert!(asked(&["/.env"], "", ".env") && !asked(&["/.env"], "", "a/.env"));
        assert!(asked(&["config/*.key"], "", "config/a.key"));
        assert!(
            !asked(&["config/*.key"], "", "x/config/a.key")
                && !asked(&["config/*.key"], "", "config/b/a.key")
        );
        assert!(asked(&["config/**"], "", "config/b/a.key"));
        assert!(asked(&[], "# secrets\n\nsecrets/\n", "secrets/a/b"));
        assert!(asked(&[".env*"], "", ".env.prod") && !asked(&[".env*"], "!.env.prod", ".env.prod"));
        assert!(!asked(&[], "", ".env"));
    }

    #[test]
    fn ignored_folders_are_walked_only_where_a_pattern_names_them() {
        let reach = |glob: &str, folder: &str| Patterns::new([glob].into_iter(), "").reach_into(folder);
        assert!(!reach(".env*", "node_modules"));
        assert!(!reach("**/x.json", "node_modules"));
        assert!(reach("config/secrets/*.key", "config"));
        assert!(reach("config/*.key", "config/deep"));
        assert!(!reach("config/*.key", "conf"));
    }
}
