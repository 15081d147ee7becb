//! Keeping what submodules hold when their worktree goes: their commits move into the main checkout's stores.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use fs_err as fs;
use gix::index::entry::{Flags, Mode};

use super::super::command::Git;
use super::super::status::NOT_INSIDE;
use super::{Borrower, Populated, head_of, modules_of, populated, refs_of};
use crate::git::{Checkout, GitError, LinkedWorktree, Repo};
use crate::model::Oid;

/// Where the stores keep commits of removed worktrees; never deleted by `wt`.
const KEPT: &str = "refs/wt/kept";

/// Why a worktree with submodules cannot go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// The submodule, relative to the worktree.
    pub path: String,
    /// What is the matter with it, for people.
    pub why: String,
}

/// Returns the first submodule of a worktree that holds what could not be kept. Changes nothing.
pub fn obstacle(repo: &Repo, checkout: &Checkout) -> Result<Option<Obstacle>, GitError> {
    if !modules_of(checkout).is_dir() {
        return Ok(None);
    }
    let all = match populated(checkout) {
        Ok(all) => all,
        Err(GitError::Nested { path }) => {
            let why = "it is a repository of its own there".to_owned();
            return Ok(Some(Obstacle { path, why }));
        }
        Err(error) => return Err(error),
    };
    for one in &all {
        if let Some(why) = in_the_way(repo, checkout, one)? {
            return Ok(Some(Obstacle { path: shown(one), why }));
        }
    }
    Ok(None)
}

/// Moves the commits of a worktree's submodules that the main checkout's stores lack into these, below
/// `refs/wt/kept/OWNER/N/`. [`GitError::Submodule`] names one that holds what no commit has.
pub fn keep(repo: &Repo, checkout: &Checkout, owner: &str) -> Result<(), GitError> {
    if !modules_of(checkout).is_dir() {
        return Ok(());
    }
    if let Some(Obstacle { path, why }) = obstacle(repo, checkout)? {
        return Err(GitError::Submodule { path, why });
    }
    for one in populated(checkout)? {
        keep_one(repo, &one, owner)?;
    }
    Ok(())
}

/// Takes the submodules out of a worktree whose folder stays, after [`keep`]: their folders are empty as git leaves them.
pub fn forget(worktree: &LinkedWorktree) -> Result<(), GitError> {
    let modules = modules_of(worktree.checkout());
    if !modules.is_dir() {
        return Ok(());
    }
    for one in populated(worktree.checkout())? {
        if let Some(path) = &one.path {
            super::bring::empty(&worktree.path().join(path))?;
        }
    }
    Ok(fs::remove_dir_all(modules)?)
}

fn shown(one: &Populated) -> String {
    one.path.clone().unwrap_or_else(|| one.place.display().to_string())
}

fn store_of(repo: &Repo, one: &Populated) -> std::path::PathBuf {
    repo.common_dir().join("modules").join(&one.place)
}

fn in_the_way(repo: &Repo, checkout: &Checkout, one: &Populated) -> Result<Option<String>, GitError> {
    let why = |text: &str| Ok(Some(text.to_owned()));
    let Some(head) = head_of(&one.git_dir) else {
        let nothing = one.path.is_none() && tips(one).is_empty();
        return if nothing { Ok(None) } else { why("it is on a branch without a commit") };
    };
    let store = store_of(repo, one);
    if !super::is_repository(&store) && !tips(one).is_empty() {
        return why("the main checkout has no copy of it that could keep its commits");
    }
    for mark in ["rebase-merge", "rebase-apply", "MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD"] {
        if one.git_dir.join(mark).exists() {
            return why("it is in the middle of a merge or a rebase");
        }
    }
    let Some(path) = &one.path else { return Ok(None) };
    let folder = checkout.path().join(path);
    if hides(repo.hash(), &one.git_dir.join("index"), &folder)? {
        return why("its index hides changed files from git");
    }
    let view = Borrower::new(&head, &[&one.git_dir])?;
    let index = one.git_dir.join("index");
    if let Ok(about) = fs::metadata(&index) {
        let copy = view.path().join("index");
        fs::copy(&index, &copy)?;
        // Whether an entry is racy is told by the age of the index.
        fs::File::options().write(true).open(&copy)?.set_modified(about.modified()?)?;
    }
    if let Ok(exclude) = fs::read(one.git_dir.join("info/exclude")) {
        fs::write(view.path().join("info/exclude"), exclude)?;
    }
    let call = view.call("status").env("GIT_WORK_TREE", &folder).polling();
    let call = call.args(["--porcelain", "-z", "--untracked-files=normal", "--no-renames", NOT_INSIDE]);
    let ended = call.finish_in(&folder)?;
    if ended.code != Some(0) {
        return why("git cannot tell what is changed in it");
    }
    let dirty = !ended.stdout.is_empty();
    Ok(dirty.then(|| "it has uncommitted changes".to_owned()))
}

/// Tells whether an index has flags that keep git from looking at files which are there.
fn hides(hash: gix::hash::Kind, index: &Path, folder: &Path) -> Result<bool, GitError> {
    if !index.exists() {
        return Ok(false);
    }
    let read = gix::index::File::at(index, hash, true, gix::index::decode::Options::default());
    let read = read.map_err(|e| GitError::unreadable(index.display().to_string(), e))?;
    Ok(read.entries().iter().any(|entry| {
        let path = String::from_utf8_lossy(entry.path(&read)).into_owned();
        let there = || fs::symlink_metadata(folder.join(path)).is_ok();
        entry.mode != Mode::DIR
            && (entry.flags.contains(Flags::ASSUME_VALID)
                || (entry.flags.contains(Flags::SKIP_WORKTREE) && there()))
    }))
}

/// Returns everything that a submodule's repository knows by name, or knew: refs, `HEAD`, and what their logs have.
fn tips(one: &Populated) -> BTreeMap<String, Oid> {
    let mut found: BTreeMap<String, Oid> = refs_of(&one.git_dir)
        .into_iter()
        .filter_map(|(name, oid)| Some((name.strip_prefix("refs/")?.to_owned(), oid)))
        .filter(|(name, _)| !name.starts_with("remotes/"))
        .collect();
    found.extend(head_of(&one.git_dir).map(|head| ("HEAD".to_owned(), head)));
    let mut logged = BTreeSet::new();
    logs(&one.git_dir.join("logs"), &mut logged, 0);
    for oid in logged {
        if !found.values().any(|known| *known == oid) {
            found.insert(format!("log/{}", oid.short()), oid);
        }
    }
    found
}

fn logs(folder: &Path, found: &mut BTreeSet<Oid>, depth: usize) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() && depth < super::DEPTH {
            logs(&entry.path(), found, depth + 1);
        } else if kind.is_file() {
            let text = fs::read(entry.path()).unwrap_or_default();
            for line in String::from_utf8_lossy(&text).lines() {
                found.extend(line.split(' ').take(2).filter_map(Oid::parse).filter(|oid| !is_zero(oid)));
            }
        }
    }
}

fn is_zero(oid: &Oid) -> bool {
    oid.as_str().bytes().all(|digit| digit == b'0')
}

fn keep_one(repo: &Repo, one: &Populated, owner: &str) -> Result<(), GitError> {
    let all = tips(one);
    let (Some(any), store) = (all.values().next(), store_of(repo, one)) else { return Ok(()) };
    let known = refs_of(&store);
    let view = Borrower::new(any, &[&one.git_dir, &store])?;
    let mut script = String::new();
    for oid in all.values() {
        let _ = writeln!(script, "{oid}");
    }
    for oid in known.values() {
        let _ = writeln!(script, "^{oid}");
    }
    let call = view.call("rev-list").args(["--ignore-missing", "--stdin"]).stdin(script);
    let text = call.output()?;
    let lacking: BTreeSet<&str> = std::str::from_utf8(&text).unwrap_or_default().lines().collect();
    let new_tag = |name: &str, oid: &Oid| {
        name.starts_with("tags/") && known.get(&format!("refs/{name}")) != Some(oid) && !lacking.is_empty()
    };
    let kept: Vec<(&String, &Oid)> =
        all.iter().filter(|(name, oid)| lacking.contains(oid.as_str()) || new_tag(name, oid)).collect();
    if kept.is_empty() {
        return Ok(());
    }
    let mut script = kept.iter().fold(String::new(), |mut text, (_, oid)| {
        let _ = writeln!(text, "{oid}");
        text
    });
    for oid in known.values() {
        let _ = writeln!(script, "^{oid}");
    }
    let pack = view.call("pack-objects").args(["--revs", "--stdout", "-q"]).stdin(script).output()?;
    let into = view.call("index-pack").env("GIT_OBJECT_DIRECTORY", store.join("objects"));
    into.args(["--stdin", "--fix-thin"]).stdin(pack).run()?;
    let taken: BTreeSet<&str> = known
        .keys()
        .filter_map(|name| name.strip_prefix(&format!("{KEPT}/{owner}/"))?.split('/').next())
        .collect();
    let number = 1 + taken.iter().filter_map(|n| n.parse::<u32>().ok()).max().unwrap_or(0);
    let mut script = Vec::new();
    for (name, oid) in kept {
        script.extend_from_slice(format!("create {KEPT}/{owner}/{number}/{name}\0{oid}\0").as_bytes());
    }
    let call = Git::alone(&store, "update-ref").env("GIT_WORK_TREE", &store);
    call.args(["-m", "wt", "--stdin", "-z"]).stdin(script).run()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_logs_know_counts_as_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        fs::create_dir_all(folder.path().join("logs/refs")).unwrap();
        fs::write(folder.path().join("HEAD"), format!("{a}\n")).unwrap();
        let log = format!("{} {b} A <a> 1 +0000\tstash\n{b} {a} A <a> 1 +0000\tx\n", "0".repeat(40));
        fs::write(folder.path().join("logs/refs/stash"), log).unwrap();
        let one = Populated { path: None, place: "x".into(), git_dir: folder.path().to_owned() };
        let names: Vec<String> = tips(&one).into_keys().collect();
        assert_eq!(names, ["HEAD".to_owned(), format!("log/{}", Oid::parse(&b).unwrap().short())]);
    }
}
