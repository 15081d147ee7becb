//! Submodules of a worktree: brought in without network from what the main checkout has, and kept when the worktree goes.
//!
//! ```text
//! <common>/modules/NAME                       the store: the main checkout's repository of a submodule
//! <common>/worktrees/ENTRY/modules/NAME       the one of a worktree; nested ones in `modules` of theirs
//! ```
//!
//! Invariant: whatever stands in the configuration of a store or of a worktree's submodule is never obeyed, for an agent can
//! write both: git works on git folders that were written here, which borrow the objects of those. No URL is asked. Nothing
//! is done, and no process started, in a worktree without submodules.

mod bring;
mod keep;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Component, Path, PathBuf};

use fs_err as fs;

use super::command::Git;
use super::{Checkout, GitError};
use crate::model::Oid;

pub use bring::{Brought, bring, renew};
pub use keep::{Obstacle, forget, keep, obstacle};

/// The file that names submodules.
const MODULES: &str = ".gitmodules";

/// A submodule of a worktree that has a repository of its own there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Populated {
    /// Its folder relative to the worktree; `None`: it was taken out again, only its repository is left.
    path: Option<String>,
    /// Its place below every `modules`: `NAME`, `OUTER/modules/INNER`.
    place: PathBuf,
    /// Its repository.
    git_dir: PathBuf,
}

/// Returns the folder of a worktree's submodules.
fn modules_of(checkout: &Checkout) -> PathBuf {
    checkout.git_dir().join("modules")
}

/// Returns the submodules of a worktree that have a repository; [`GitError::Nested`] names one whose repository is elsewhere.
fn populated(checkout: &Checkout) -> Result<Vec<Populated>, GitError> {
    let root = modules_of(checkout);
    let mut found = Vec::new();
    let index = checkout.git_dir().join("index");
    look(checkout.hash(), &index, checkout.path(), "", &root, Path::new(""), &mut found)?;
    for place in repositories(&root, Path::new(""), 0) {
        if !found.iter().any(|known| known.place == place) {
            found.push(Populated { path: None, git_dir: root.join(&place), place });
        }
    }
    Ok(found)
}

fn look(
    hash: gix::hash::Kind,
    index: &Path,
    worktree: &Path,
    prefix: &str,
    modules: &Path,
    place: &Path,
    found: &mut Vec<Populated>,
) -> Result<(), GitError> {
    for path in gitlinks(hash, index)? {
        let folder = worktree.join(&path);
        if fs::symlink_metadata(folder.join(".git")).is_err() {
            continue;
        }
        let shown = format!("{prefix}{path}");
        let foreign = || GitError::Nested { path: shown.clone() };
        if fs::symlink_metadata(&folder).is_ok_and(|there| there.is_symlink()) {
            return Err(foreign());
        }
        let git_dir = linked(&folder).ok_or_else(foreign)?;
        let real = fs::canonicalize(modules).map_err(|_| foreign())?;
        let inner = git_dir.strip_prefix(&real).map_err(|_| foreign())?.to_owned();
        if inner.as_os_str().is_empty() || !is_repository(&git_dir) {
            return Err(foreign());
        }
        let inner = place.join(inner);
        found.push(Populated { path: Some(shown.clone()), place: inner.clone(), git_dir: git_dir.clone() });
        let (index, modules) = (git_dir.join("index"), git_dir.join("modules"));
        look(hash, &index, &folder, &format!("{shown}/"), &modules, &inner.join("modules"), found)?;
    }
    Ok(())
}

/// Returns the git folder that the `.git` file of a submodule names.
fn linked(folder: &Path) -> Option<PathBuf> {
    let file = folder.join(".git");
    if !fs::symlink_metadata(&file).ok()?.is_file() {
        return None;
    }
    let text = fs::read_to_string(file).ok()?;
    fs::canonicalize(folder.join(text.strip_prefix("gitdir:")?.trim())).ok()
}

/// Returns the paths of submodules in an index.
fn gitlinks(hash: gix::hash::Kind, index: &Path) -> Result<Vec<String>, GitError> {
    if !index.exists() {
        return Ok(Vec::new());
    }
    let read = gix::index::File::at(index, hash, true, gix::index::decode::Options::default());
    let read = read.map_err(|e| GitError::unreadable(index.display().to_string(), e))?;
    let links = read.entries().iter().filter(|entry| entry.mode == gix::index::entry::Mode::COMMIT);
    Ok(links.filter_map(|entry| String::from_utf8(entry.path(&read).to_vec()).ok()).collect())
}

fn is_repository(folder: &Path) -> bool {
    folder.join("HEAD").is_file() && folder.join("objects").is_dir()
}

/// How deep names and nesting go.
const DEPTH: usize = 24;

/// Returns every repository below a folder of submodules, relative to it, nested ones too.
fn repositories(root: &Path, below: &Path, depth: usize) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root.join(below)).into_iter().flatten().flatten() {
        if depth > DEPTH || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let place = below.join(entry.file_name());
        if is_repository(&root.join(&place)) {
            found.push(place.clone());
            found.extend(repositories(root, &place.join("modules"), depth + 1));
        } else {
            found.extend(repositories(root, &place, depth + 1));
        }
    }
    found
}

/// Returns the commit that a submodule's `HEAD` is at, if its repository is where git keeps those of this worktree.
pub(super) fn head(checkout: &Checkout, path: &[u8]) -> Option<Oid> {
    let path = std::str::from_utf8(path).ok()?;
    let git_dir = linked(&checkout.path().join(path))?;
    let modules = fs::canonicalize(modules_of(checkout)).ok()?;
    (git_dir.starts_with(modules) && is_repository(&git_dir)).then(|| head_of(&git_dir))?
}

fn head_of(git_dir: &Path) -> Option<Oid> {
    let text = fs::read_to_string(git_dir.join("HEAD")).ok()?;
    match text.trim().strip_prefix("ref:") {
        Some(name) => refs_of(git_dir).remove(name.trim()),
        None => Oid::parse(text.trim()),
    }
}

/// Returns the refs of a repository that point to objects, read from their files.
fn refs_of(git_dir: &Path) -> BTreeMap<String, Oid> {
    let mut found = BTreeMap::new();
    let packed = fs::read_to_string(git_dir.join("packed-refs")).unwrap_or_default();
    for line in packed.lines() {
        if let Some((oid, name)) = line.split_once(' ')
            && let Some(oid) = Oid::parse(oid)
        {
            found.insert(name.to_owned(), oid);
        }
    }
    loose(git_dir, "refs", 0, &mut found);
    found
}

fn loose(git_dir: &Path, below: &str, depth: usize, found: &mut BTreeMap<String, Oid>) {
    for entry in fs::read_dir(git_dir.join(below)).into_iter().flatten().flatten() {
        let (Ok(name), Ok(kind)) = (entry.file_name().into_string(), entry.file_type()) else { continue };
        let name = format!("{below}/{name}");
        if kind.is_dir() && depth < DEPTH {
            loose(git_dir, &name, depth + 1, found);
        } else if kind.is_file()
            && let Some(oid) = fs::read_to_string(entry.path()).ok().and_then(|text| Oid::parse(text.trim()))
        {
            found.insert(name, oid);
        }
    }
}

/// Tells whether a text is a relative path of plain parts.
fn is_plain(path: &str) -> bool {
    !path.is_empty()
        && path.split('/').all(|part| !part.is_empty() && part != "." && part != ".." && part != ".git")
        && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
        && !path.chars().any(char::is_control)
}

/// A git folder of our own, with our own configuration, that borrows the objects of others.
#[derive(Debug)]
struct Borrower {
    folder: tempfile::TempDir,
}

impl Borrower {
    /// Makes one at the commit `head` with the objects of `lenders`.
    fn new(head: &Oid, lenders: &[&Path]) -> Result<Self, GitError> {
        let folder = tempfile::Builder::new().prefix("wt-submodule-").tempdir()?;
        let own = Self { folder };
        skeleton(own.path(), head, "\tbare = false\n")?;
        let mut text = String::new();
        for lender in lenders {
            // git takes a line as it is, unless it begins with a quote or a `#`; ours begin with a slash.
            let _ = writeln!(text, "{}", lender.join("objects").display());
        }
        fs::write(own.path().join("objects/info/alternates"), text)?;
        for lender in lenders {
            if let Ok(shallow) = fs::read(lender.join("shallow")) {
                fs::write(own.path().join("shallow"), shallow)?;
            }
        }
        Ok(own)
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn call(&self, verb: &str) -> Git {
        Git::alone(self.path(), verb)
    }
}

/// Writes the least that is a git folder.
fn skeleton(git_dir: &Path, head: &Oid, core: &str) -> Result<(), GitError> {
    for folder in ["objects/info", "objects/pack", "refs/heads", "refs/tags", "info"] {
        fs::create_dir_all(git_dir.join(folder))?;
    }
    let config = format!("[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n{core}");
    fs::write(git_dir.join("config"), config)?;
    fs::write(git_dir.join("HEAD"), format!("{head}\n"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_relative_paths_name_a_submodule() {
        for good in ["a", "deps/lib", "a.b/c d", "é"] {
            assert!(is_plain(good), "{good}");
        }
        for bad in ["", "/a", "a//b", "../a", "a/..", "./a", "a/.git/hooks", "a\nb", "a/"] {
            assert!(!is_plain(bad), "{bad}");
        }
    }

    #[test]
    fn refs_are_read_from_their_files_and_loose_ones_win() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        fs::create_dir_all(folder.path().join("refs/heads/x")).unwrap();
        fs::write(
            folder.path().join("packed-refs"),
            format!("# pack-refs with: peeled\n{a} refs/heads/main\n{a} refs/tags/v1\n^{b}\n"),
        )
        .unwrap();
        fs::write(folder.path().join("refs/heads/main"), format!("{b}\n")).unwrap();
        fs::write(folder.path().join("refs/heads/x/y"), "ref: refs/heads/main\n").unwrap();
        fs::write(folder.path().join("HEAD"), "ref: refs/heads/main\n").unwrap();
        let refs = refs_of(folder.path());
        assert_eq!(refs.keys().collect::<Vec<_>>(), ["refs/heads/main", "refs/tags/v1"]);
        assert_eq!(refs["refs/heads/main"].as_str(), b);
        assert_eq!(head_of(folder.path()).unwrap().as_str(), b);
    }
}
