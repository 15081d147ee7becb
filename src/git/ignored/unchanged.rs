//! What git ignores in the main checkout, asked again only where that can have changed.
//!
//! Kept beside the answer: how every folder that git went through, every list of patterns in them and the index were. A name
//! that comes or goes changes its folder's times, a pattern its file's. Invariant: whatever is not known for sure (a file
//! system, a setting, a change as young as the answer) is asked of git; what is kept is a cache, replaced as a whole.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::super::clean::{excludes_file, keeps_its_word};
use super::super::spare;
use crate::git::{Checkout, GitError, Repo, ignored};
use crate::model::clock::{Clock as _, SystemClock};

/// What the file begins with.
const BEGIN: &str = "wt ignored 1";
/// More folders than this are not kept.
const MOST: usize = 50_000;
/// How much older than the answer what it is about must be, in nanoseconds.
const STEP: i128 = 20_000_000;
/// The same where times have no fraction of a second.
const WHOLE: i128 = 2_000_000_000;

/// Returns what [`super::list`] does for the main checkout `main`. `kept` is the file that keeps the answer; where its folder
/// is missing nothing is kept.
pub fn list(repo: &Repo, main: &Checkout, kept: &Path) -> Result<Vec<String>, GitError> {
    let Some(rules) = rules(repo, main) else { return ignored::list(main) };
    let text = fs::read_to_string(kept).unwrap_or_default();
    if let Some(found) = recall(main, &text, &rules) {
        return Ok(found);
    }
    let now = SystemClock.now();
    let found = ignored::list(main)?;
    if let Some(text) = learned(main, &found, &rules, now.as_nanosecond()) {
        keep(kept, &text);
    }
    Ok(found)
}

/// Returns in a line what decides beside the files of the checkout; `None`: that is not known.
fn rules(repo: &Repo, main: &Checkout) -> Option<String> {
    let folder = fs::File::open(main.path()).ok()?;
    if !keeps_its_word(std::os::fd::AsFd::as_fd(folder.file())) {
        return None;
    }
    let local = repo.local();
    let told = local.config_snapshot().string("core.excludesFile").map(|told| told.to_string());
    let user = excludes_file(told).ok()?;
    let user = match user {
        None => String::new(),
        Some(file) => format!("{}", fs::read(file).map_or(0, |bytes| crc32fast::hash(&bytes))),
    };
    Some(format!("{} {} {user}", main.path().to_str()?, spare::rules(repo)))
}

/// How a file or folder is, and the last time that anything of it changed; `None`: something else stands there, or nothing.
fn stamp(path: &Path) -> Option<(String, i128)> {
    let about = fs::symlink_metadata(path).ok()?;
    let at = |seconds: i64, fraction: i64| i128::from(seconds) * 1_000_000_000 + i128::from(fraction);
    let (modified, changed) = (at(about.mtime(), about.mtime_nsec()), at(about.ctime(), about.ctime_nsec()));
    let text = format!(
        "{:x} {:x} {:x} {:x} {modified:x} {changed:x}",
        about.dev(),
        about.ino(),
        about.mode(),
        about.len()
    );
    let age = |at: i128| at + if at % 1_000_000_000 == 0 { WHOLE } else { STEP };
    Some((text, age(modified).max(age(changed))))
}

/// Returns the answer that was kept, if nothing that it is about has changed.
fn recall(main: &Checkout, text: &str, rules: &str) -> Option<Vec<String>> {
    let (text, sum) = text.rsplit_once('\0')?;
    if sum != format!("{:08x}", crc32fast::hash(text.as_bytes())) {
        return None;
    }
    let mut parts = text.split('\0');
    if parts.next()? != BEGIN || parts.next()? != rules {
        return None;
    }
    if parts.next()? != stamp(&main.git_dir().join("index")).map(|(now, _)| now).unwrap_or_default() {
        return None;
    }
    let mut found = Vec::new();
    while let Some(part) = parts.next() {
        match part.split_at_checked(1)? {
            ("+", path) => found.push(path.to_owned()),
            (_, then) => {
                let path = main.path().join(parts.next()?);
                stamp(&path).filter(|(now, _)| now == then)?;
            }
        }
    }
    Some(found)
}

/// Returns what is to be kept of an answer that was asked for at `now`; `None`: something is too young, or too much.
fn learned(main: &Checkout, found: &[String], rules: &str, now: i128) -> Option<String> {
    let settled = |path: &Path| stamp(path).filter(|(_, until)| *until < now).map(|(text, _)| text);
    let index = settled(&main.git_dir().join("index"))?;
    let mut text = format!("{BEGIN}\0{rules}\0{index}");
    let ignored: std::collections::HashSet<&str> = found.iter().map(String::as_str).collect();
    let mut next: Vec<PathBuf> = vec![PathBuf::new()];
    let mut folders = 0;
    while let Some(below) = next.pop() {
        folders += 1;
        let place = main.path().join(&below);
        let _ = write!(text, "\0={}\0{}", settled(&place)?, below.to_str()?);
        if folders > MOST || below.to_str()?.contains('\0') {
            return None;
        }
        let mut inside = Vec::new();
        let mut inner = false;
        for entry in fs::read_dir(&place).ok()? {
            let entry = entry.ok()?;
            let name = entry.file_name();
            let path = below.join(&name);
            if name == ".git" {
                inner = !below.as_os_str().is_empty();
            } else if name == ".gitignore" {
                let _ = write!(text, "\0={}\0{}", settled(&main.path().join(&path))?, path.to_str()?);
            } else if entry.file_type().ok()?.is_dir()
                && !ignored.contains(format!("{}/", path.to_str()?).as_str())
            {
                inside.push(path);
            }
        }
        // git does not go into another repository.
        if !inner {
            next.append(&mut inside);
        }
    }
    for path in found {
        let _ = write!(text, "\0+{path}");
    }
    let sum = crc32fast::hash(text.as_bytes());
    let _ = write!(text, "\0{sum:08x}");
    Some(text)
}

fn keep(path: &Path, text: &str) {
    let Some(folder) = path.parent().filter(|folder| folder.is_dir()) else { return };
    let write = || -> std::io::Result<()> {
        let mut fresh = tempfile::Builder::new().prefix("ignored").tempfile_in(folder)?;
        fresh.write_all(text.as_bytes())?;
        fresh.persist(path).map_err(|failed| failed.error)?;
        Ok(())
    };
    drop(write());
}
