//! `git::checkout`: a filled worktree is what `git worktree add` makes, byte for byte, whatever the source looks like.

mod conversions;
mod sha256;
mod sources;
mod speed;
mod states;

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use fs_err as fs;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use wt::git::checkout::{self, Filled};
use wt::git::worktree::{self, Start};
use wt::git::{LinkedWorktree, Repo};

use crate::env::{Env, TestRepo};
use crate::git_repo::oid;

/// More files than git would be left alone with.
const PADDING: usize = 240;

/// The time that files get which must not be taken for younger than an index, in seconds.
const LONG_AGO: i64 = 1_000_000_000;

/// Makes a repository with enough files to be worth a copy; they are not committed yet.
fn padded() -> (Env, TestRepo) {
    let (env, repo) = Env::with_repo();
    pad(&repo);
    (env, repo)
}

fn pad(repo: &TestRepo) {
    for n in 0..PADDING {
        repo.write(&format!("pad/{}/{n}", n % 7), format!("padding {n}\n"));
    }
}

/// Gives a file or symlink a time.
fn date(path: &Path, seconds: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// Returns everything below a folder but `.git`, by path.
fn files(root: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_name() == ".git" {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found
}

/// Makes all files old, then commits them: none is racy.
fn commit_aged(repo: &TestRepo) -> String {
    for path in files(repo.path()) {
        // A new change time alone is seen by git only where it lies in another second.
        if fs::symlink_metadata(&path).unwrap().mtime() > LONG_AGO + 1000 {
            date(&path, LONG_AGO);
        }
    }
    repo.commit_all("aged")
}

/// Fills a new worktree at `commit`.
fn filled(env: &Env, found: &Repo, name: &str, commit: &str) -> (LinkedWorktree, Filled) {
    let path = env.root().join("ours").join(name);
    let made = worktree::begin(found, &path, Start::Commit(&oid(commit))).unwrap();
    let how = checkout::fill(found, &made, &oid(commit)).unwrap();
    (made, how)
}

/// What stands at a path: permissions, kind, and content.
#[derive(Debug, PartialEq, Eq)]
enum There {
    Folder,
    Link(PathBuf),
    File(u32, Vec<u8>),
}

fn content(root: &Path) -> BTreeMap<Vec<u8>, There> {
    let what = |path: &Path| {
        let about = fs::symlink_metadata(path).unwrap();
        if about.is_dir() {
            There::Folder
        } else if about.is_symlink() {
            There::Link(fs::read_link(path).unwrap())
        } else {
            There::File(about.permissions().mode(), fs::read(path).unwrap())
        }
    };
    let name = |path: &Path| path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_owned();
    files(root).iter().map(|path| (name(path), what(path))).collect()
}

/// Makes a worktree by git alone, at `commit`.
fn by_git(env: &Env, repo: &TestRepo, name: &str, commit: &str) -> TestRepo {
    let path = env.root().join("theirs").join(name);
    repo.git(&["worktree", "add", "-q", "--detach", &path.to_string_lossy(), commit]);
    env.at(&path)
}

fn assert_same(ours: &Path, theirs: &Path) {
    let (ours, theirs) = (content(ours), content(theirs));
    for (path, there) in &theirs {
        assert_eq!(ours.get(path), Some(there), "{}", String::from_utf8_lossy(path));
    }
    assert_eq!(ours.len(), theirs.len(), "files that git does not make");
}

/// The index is git's to the entry, knows every file as it is, and no file has to be read for a status.
fn assert_settled(env: &Env, ours: &LinkedWorktree, theirs: &TestRepo) {
    let tree = env.at(ours.path());
    let path = ours.checkout().git_dir().join("index");
    let before = fs::read(&path).unwrap();
    assert_eq!(tree.git(&["status", "--porcelain"]), "");
    assert!(fs::read(&path).unwrap() == before, "status had to write the index");
    assert_eq!(tree.git(&["ls-files", "-s", "-t", "-v"]), theirs.git(&["ls-files", "-s", "-t", "-v"]));
    let tree_id = tree.git(&["rev-parse", "HEAD^{tree}"]);
    let kind = gix::ObjectId::from_hex(tree_id.as_bytes()).unwrap().kind();
    let index = gix::index::File::at(&path, kind, false, gix::index::decode::Options::default()).unwrap();
    assert_eq!(index.tree().unwrap().id.to_string(), tree_id);
    let written = fs::metadata(&path).unwrap().mtime();
    for (entry, name) in index.entries().iter().map(|entry| (entry, entry.path(&index))) {
        let about = fs::symlink_metadata(ours.path().join(std::ffi::OsStr::from_bytes(name))).unwrap();
        if about.is_dir() {
            continue;
        }
        let (known, real) = (&entry.stat, (about.mtime(), about.ctime(), about.size(), about.ino()));
        let known_as =
            (known.mtime.secs.into(), known.ctime.secs.into(), known.size.into(), known.ino.into());
        assert_eq!(real, known_as, "{name}");
        assert!(about.mtime() < written, "{name} is racy");
    }
    assert_eq!(theirs.git(&["fsck", "--connectivity-only", "--no-dangling"]), "");
}

/// Fills a worktree, makes one by git, compares; returns how the former was made.
fn compared(env: &Env, repo: &TestRepo, name: &str, commit: &str) -> Filled {
    let found = Repo::discover(repo.path()).unwrap();
    let (ours, how) = filled(env, &found, name, &repo.rev(commit));
    let theirs = by_git(env, repo, name, commit);
    assert_same(ours.path(), theirs.path());
    if matches!(how, Filled::Copied { .. }) {
        assert_settled(env, &ours, &theirs);
    }
    assert_eq!(env.at(ours.path()).git(&["status", "--porcelain"]), "");
    how
}

/// Returns how many files were left to git by a copy.
#[track_caller]
fn left_to_git(how: Filled) -> usize {
    match how {
        Filled::Copied { written, .. } => written,
        Filled::ByGit(why) => panic!("not copied: {why:?}"),
    }
}
