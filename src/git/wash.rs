//! Making a used worktree equal to one that git has just checked out, touching only what differs.
//!
//! ```text
//!  fresh index ▶ folders ▶ each file against its blob ▶ what is not equal goes ▶ git writes what is missing
//!      ▶ what is in no commit goes to `rest`, caches stay ▶ entry as of a fresh worktree ▶ git says: clean
//! ```
//!
//! Invariants: the index of whoever worked there is not believed: no flag, time or size in it, only bytes and modes count.
//! Files that git writes other than they are stored (line ends, filters, keywords, encodings) are written anew always, since
//! many forms of them pass for clean. Nothing that is in no commit is deleted here, it is moved. A worktree that is not
//! proved clean at the end is an error.

use std::collections::{BTreeSet, HashSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use fs_err as fs;
use gix::index::entry::Mode;

use super::command::Git;
use super::files::write_over;
use super::worktree::entry::link_back;
use super::{Checkout, GitError, LinkedWorktree, WorktreeTrouble, status};
use crate::failpoint;
use crate::model::{Oid, parallel};

/// Files larger than this, in bytes, are never held in memory.
const LARGE: u64 = 8 << 20;

/// How many files to compare one more thread is worth.
const FEW: usize = 64;

/// The index while it is not the worktree's own yet.
const INDEX: &str = "index.wash";

/// What stays of an entry; everything else in it came after it was made.
const KEPT: [&str; 6] = ["HEAD", "commondir", "gitdir", "index", "locked", INDEX];

/// What of the files that are in no commit stays.
#[derive(Debug, Clone, Copy)]
pub struct Leaving<'a> {
    /// Patterns, as in `.gitignore`; what matches one, is ignored, and lies in a folder of the commit stays.
    pub caches: &'a [String],
    /// The folder that takes everything else, on the same device; made when it is needed.
    pub rest: &'a Path,
}

/// Makes files, index and entry of the worktree those of a fresh one that is detached at `commit`. Nobody may work in it,
/// and its entry is locked.
pub fn wash(worktree: &LinkedWorktree, commit: &Oid, leaving: Leaving<'_>) -> Result<(), GitError> {
    files(worktree, commit, leaving)?;
    let git_dir = worktree.checkout().git_dir();
    write_over(&git_dir.join("HEAD"), &format!("{commit}\n"))?;
    bare_entry(git_dir)?;
    verify(worktree.checkout())
}

/// Makes files and index of the worktree those of `commit`, wherever its `HEAD` is.
pub fn files(worktree: &LinkedWorktree, commit: &Oid, leaving: Leaving<'_>) -> Result<(), GitError> {
    let checkout = worktree.checkout();
    checkout.require_honest()?;
    let git_dir = checkout.git_dir();
    for stale in [INDEX, "index.wash.lock", "index.lock"] {
        absent(fs::remove_file(git_dir.join(stale)))?;
    }
    // Its `.git` file is not ours to trust either.
    link_back(worktree.path(), git_dir)?;
    let bench = Bench { checkout, leaving, modes: Modes::probe(git_dir)? };
    bench.call("read-tree").arg(commit.as_str()).run()?;
    let (files, links) = bench.tracked()?;
    bench.folders(&files, &links)?;
    for path in bench.unequal(&files)? {
        bench.clear(&path)?;
    }
    failpoint::hit("pool.while_washing");
    // What was found equal gets its times and sizes, everything else is missing.
    bench.call("update-index").args(["-q", "--refresh"]).finish()?;
    bench.call("read-tree").set("checkout.workers=0").args(["--reset", "-u", commit.as_str()]).run()?;
    bench.sort_out()?;
    Ok(fs::rename(git_dir.join(INDEX), git_dir.join("index"))?)
}

/// Fails unless git finds nothing changed and nothing untracked.
pub fn verify(checkout: &Checkout) -> Result<(), GitError> {
    let found = status::status(checkout)?;
    if !found.dirty() && found.in_progress.is_none() {
        return Ok(());
    }
    let reason = WorktreeTrouble::Unfinished("being cleared".to_owned());
    Err(GitError::Worktree { path: checkout.path().to_owned(), reason })
}

/// A tracked file or symlink.
struct Tracked {
    path: PathBuf,
    mode: Mode,
    blob: gix::ObjectId,
}

struct Bench<'a> {
    checkout: &'a Checkout,
    leaving: Leaving<'a>,
    modes: Modes,
}

impl Bench<'_> {
    fn call(&self, verb: &str) -> Git {
        let index = self.checkout.git_dir().join(INDEX);
        Git::at(self.checkout, verb).env("GIT_INDEX_FILE", index).set("core.splitIndex=false")
    }

    fn at(&self, path: &Path) -> PathBuf {
        self.checkout.path().join(path)
    }

    /// Returns the files and symlinks of the index, and its submodules.
    fn tracked(&self) -> Result<(Vec<Tracked>, Vec<PathBuf>), GitError> {
        let path = self.checkout.git_dir().join(INDEX);
        let read =
            gix::index::File::at(&path, gix::hash::Kind::Sha1, true, gix::index::decode::Options::default());
        let index = read.map_err(|e| GitError::unreadable(path.display().to_string(), e))?;
        let (mut files, mut links) = (Vec::new(), Vec::new());
        for entry in index.entries() {
            let path = PathBuf::from(OsStr::from_bytes(entry.path(&index)));
            if entry.mode == Mode::COMMIT {
                links.push(path);
            } else {
                files.push(Tracked { path, mode: entry.mode, blob: entry.id });
            }
        }
        Ok((files, links))
    }

    /// Makes the folders of tracked files ones that can be worked in, from the top down, so that what is below is not
    /// reached through a link; what stands in their place goes.
    fn folders(&self, files: &[Tracked], links: &[PathBuf]) -> Result<(), GitError> {
        let mut all: BTreeSet<&Path> = BTreeSet::new();
        for path in files.iter().map(|file| file.path.as_path()).chain(links.iter().map(PathBuf::as_path)) {
            for above in path.ancestors().skip(1) {
                if !all.insert(above) {
                    break;
                }
            }
        }
        all.extend(links.iter().map(PathBuf::as_path));
        for folder in all {
            let place = self.at(folder);
            let Ok(about) = fs::symlink_metadata(&place) else { continue };
            if !about.is_dir() {
                self.put_aside(folder)?;
                continue;
            }
            let (now, wanted) = (about.mode() & 0o7777, self.modes.folder | (about.mode() & 0o2000));
            if now != wanted {
                fs::set_permissions(&place, std::fs::Permissions::from_mode(wanted))?;
            }
        }
        for link in links {
            // A submodule that nobody has filled is an empty folder.
            let filled = fs::read_dir(self.at(link)).is_ok_and(|mut inside| inside.next().is_some());
            if filled {
                self.put_aside(link)?;
            }
            fs::create_dir_all(self.at(link))?;
        }
        Ok(())
    }

    /// Returns the tracked files that are not byte for byte and mode for mode what git would write now.
    fn unequal(&self, files: &[Tracked]) -> Result<Vec<PathBuf>, GitError> {
        let converted = self.converted(files)?;
        let bad = parallel::map(files, FEW, |file| converted.contains(&file.path) || !self.equal(file));
        let files = files.iter().zip(bad).filter(|(_, bad)| *bad);
        Ok(files.map(|(file, _)| file.path.clone()).collect())
    }

    fn equal(&self, file: &Tracked) -> bool {
        let place = self.at(&file.path);
        let Ok(about) = fs::symlink_metadata(&place) else { return false };
        let bytes = if file.mode == Mode::SYMLINK {
            if !about.is_symlink() {
                return false;
            }
            fs::read_link(&place).map(|to| to.into_os_string().into_vec())
        } else {
            let mode =
                if file.mode == Mode::FILE_EXECUTABLE { self.modes.executable } else { self.modes.file };
            // A second name outside would stay a way into it.
            if !about.is_file() || about.mode() & 0o7777 != mode || about.nlink() != 1 {
                return false;
            }
            if about.len() > LARGE {
                return streamed(&place, about.len()).is_some_and(|found| found == file.blob);
            }
            fs::read(&place)
        };
        let hashed =
            bytes.map(|bytes| gix::objs::compute_hash(gix::hash::Kind::Sha1, gix::objs::Kind::Blob, &bytes));
        matches!(hashed, Ok(Ok(found)) if found == file.blob)
    }

    /// Returns the files that git writes other than they are stored.
    fn converted(&self, files: &[Tracked]) -> Result<HashSet<PathBuf>, GitError> {
        let config = |key: &str| -> Result<String, GitError> {
            let ended = self.call("config").args(["--get", key]).finish()?;
            Ok(String::from_utf8_lossy(&ended.stdout).trim().to_lowercase())
        };
        let carriage = ["true", "yes", "on", "1"].contains(&config("core.autocrlf")?.as_str())
            || config("core.eol")? == "crlf";
        if carriage {
            return Ok(files.iter().map(|file| file.path.clone()).collect());
        }
        let mut paths = Vec::new();
        for file in files.iter().filter(|file| file.mode != Mode::SYMLINK) {
            paths.extend_from_slice(file.path.as_os_str().as_bytes());
            paths.push(0);
        }
        let names = ["filter", "ident", "working-tree-encoding", "eol"];
        let call = self.call("check-attr").args(["--cached", "--stdin", "-z"]).args(names).stdin(paths);
        let said = call.output()?;
        let mut found = HashSet::new();
        let fields: Vec<&[u8]> = said.split(|byte| *byte == 0).collect();
        for answer in fields.chunks_exact(3) {
            let idle: &[&[u8]] = if answer[1] == b"eol" {
                &[b"unspecified", b"unset", b"lf"]
            } else {
                &[b"unspecified", b"unset"]
            };
            if !idle.contains(&answer[2]) {
                found.insert(PathBuf::from(OsStr::from_bytes(answer[0])));
            }
        }
        Ok(found)
    }

    /// Makes room for a tracked file.
    fn clear(&self, path: &Path) -> Result<(), GitError> {
        match fs::symlink_metadata(self.at(path)) {
            Ok(about) if about.is_dir() => self.put_aside(path),
            Ok(_) => Ok(fs::remove_file(self.at(path))?),
            Err(_) => Ok(()),
        }
    }

    /// Puts everything aside that is in no commit, except what is ignored, a cache, and in a folder that the commit has.
    fn sort_out(&self) -> Result<(), GitError> {
        let list = |more: &[OsString]| -> Result<BTreeSet<PathBuf>, GitError> {
            let call = self.call("ls-files").args(["--others", "--directory", "-z"]).args(more);
            let ended = call.finish()?;
            // A folder that cannot be looked into is left out with a warning, and would stay.
            if ended.code != Some(0) || ended.stderr.contains("could not open") {
                return Err(ended.into());
            }
            let paths = ended.stdout.split(|byte| *byte == 0).filter(|path| !path.is_empty());
            Ok(paths.map(|path| PathBuf::from(OsStr::from_bytes(path))).collect())
        };
        let others = list(&[])?;
        if others.is_empty() {
            return Ok(());
        }
        let mut caches = BTreeSet::new();
        if !self.leaving.caches.is_empty() {
            let mut patterns: Vec<OsString> = vec!["--ignored".into()];
            for pattern in self.leaving.caches {
                patterns.extend(["--exclude".into(), pattern.into()]);
            }
            let ignored = list(&["--ignored".into(), "--exclude-standard".into()])?;
            let is_ignored = |path: &PathBuf| path.ancestors().any(|above| ignored.contains(above));
            caches = list(&patterns)?;
            caches.retain(is_ignored);
        }
        for path in &others {
            // Where git lists more below, a folder is listed for what it holds and not for its name: the commit has no such
            // folder, so its caches are nobody's.
            let below = |cache: &&PathBuf| *cache != path && cache.starts_with(path);
            if !caches.contains(path) || caches.iter().any(|cache| below(&cache)) {
                self.put_aside(path)?;
            }
        }
        Ok(())
    }

    /// Moves something out of the worktree, to the same path below the folder for the rest.
    fn put_aside(&self, path: &Path) -> Result<(), GitError> {
        let from = self.at(path);
        let mut to = self.leaving.rest.join(path);
        let Some(above) = to.parent() else { return Ok(()) };
        fs::create_dir_all(above)?;
        let name = path.file_name().unwrap_or_default().to_owned();
        let mut n = 1;
        while fs::symlink_metadata(&to).is_ok() {
            n += 1;
            let mut other = name.clone();
            other.push(format!(".{n}"));
            to.set_file_name(other);
        }
        let about = fs::symlink_metadata(&from)?;
        if about.is_dir() && about.mode() & 0o700 != 0o700 {
            // A folder that is moved must be writable itself.
            fs::set_permissions(&from, std::fs::Permissions::from_mode(about.mode() & 0o7777 | 0o700))?;
        }
        Ok(fs::rename(from, to)?)
    }
}

/// Returns the id of a file's content without holding it in memory.
fn streamed(path: &Path, length: u64) -> Option<gix::ObjectId> {
    let mut file = fs::File::open(path).ok()?;
    let (kind, blob) = (gix::hash::Kind::Sha1, gix::objs::Kind::Blob);
    let (mut silent, never) = (gix::progress::Discard, AtomicBool::new(false));
    gix::objs::compute_stream_hash(kind, blob, &mut file, length, &mut silent, &never).ok()
}

/// The permissions of what git makes for this user.
struct Modes {
    file: u32,
    executable: u32,
    folder: u32,
}

impl Modes {
    /// Finds out by making a folder; the umask can be asked for in no other way without changing it.
    fn probe(within: &Path) -> io::Result<Self> {
        let probe = within.join("probe.wash");
        absent(fs::remove_dir(&probe))?;
        fs::create_dir(&probe)?;
        let folder = fs::symlink_metadata(&probe)?.mode() & 0o777;
        fs::remove_dir(&probe)?;
        Ok(Self { file: folder & 0o666, executable: folder, folder })
    }
}

/// Removes from an entry what came after it was made: states of merges, logs, refs, settings of its own.
fn bare_entry(git_dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(git_dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if KEPT.iter().any(|kept| name == *kept) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    fs::create_dir(git_dir.join("refs"))
}

fn absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
