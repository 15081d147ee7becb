//! `git::worktree::entry`: what `wt` writes into git's books by itself is what git would.

use std::collections::BTreeMap;
use std::path::Path;

use fs_err as fs;
use rstest::rstest;
use wt::git::Repo;
use wt::git::worktree::{self, MAKING, Start};

use crate::env::{Env, TestRepo};
use crate::git_repo::oid;

/// The files of the entry, of the folder and of the branch's log, without the times in logs; names that follow from the
/// worktree's are `NAME`.
fn books(repo: &TestRepo, path: &Path, name: &str) -> BTreeMap<String, String> {
    let entry = repo.path().join(".git/worktrees").join(name);
    let mut found = BTreeMap::new();
    let mut put = |path: &Path, key: String| {
        let text = fs::read_to_string(path).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions());
        let text = text.replace(&format!("trees/{name}"), "trees/NAME");
        let text = text.replace(&format!("worktrees/{name}"), "worktrees/NAME");
        let text = text.replace(&format!("wt/{name}"), "wt/NAME");
        // `wt` names the commit that it lets git check out.
        let text = text.replace(&format!("moving to {}", repo.head()), "moving to HEAD");
        let lines: Vec<String> = text.lines().map(timeless).collect();
        found.insert(key, format!("{mode:o} {}", lines.join("\n")));
    };
    put(&path.join(".git"), "folder/.git".to_owned());
    let mut names = Vec::new();
    put(&repo.path().join(".git/logs/refs/heads/wt").join(name), "log of the branch".to_owned());
    let mut folders = vec![entry.clone()];
    while let Some(folder) = folders.pop() {
        for file in fs::read_dir(folder).unwrap() {
            let file = file.unwrap().path();
            let key = file.strip_prefix(&entry).unwrap().display().to_string();
            names.push(key.clone());
            if file.is_dir() {
                folders.push(file);
            } else if key != "index" {
                // An index holds the times of files.
                put(&file, key);
            }
        }
    }
    // Not every git makes this empty folder.
    names.retain(|name| name != "refs");
    names.sort();
    found.insert("names".to_owned(), names.join(" "));
    found
}

fn timeless(line: &str) -> String {
    let times = |word: &str| word.len() == 10 && word.bytes().all(|byte| byte.is_ascii_digit());
    line.split(' ').filter(|word| !times(word)).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_worktree_by_wt_and_one_by_git_are_alike_in_all_files() {
    let (env, repo) = Env::with_repo();
    let found = Repo::discover(repo.path()).unwrap();
    let base = oid(&repo.commit("a/file", "text\n"));
    let ours = env.root().join("trees/ours");
    worktree::add(&found, &ours, "wt/ours", &base).unwrap();
    let theirs = env.root().join("trees/theirs");
    let path = theirs.to_string_lossy().into_owned();
    repo.git(&["worktree", "add", "-q", "--no-track", "-b", "wt/theirs", "--", &path, base.as_str()]);
    let (ours, theirs) = (books(&repo, &ours, "ours"), books(&repo, &theirs, "theirs"));
    assert!(ours.len() >= 6, "{ours:?}");
    assert_eq!(ours, theirs);
    repo.git(&["fsck", "--strict"]);
    repo.git(&["worktree", "prune"]);
    assert_eq!(worktree::list(&found).unwrap().len(), 3);
}

#[test]
fn an_entry_is_locked_until_its_files_are_whole_and_prunes_leave_it() {
    let (env, repo) = Env::with_repo();
    let found = Repo::discover(repo.path()).unwrap();
    let base = oid(&repo.head());
    let path = env.root().join("trees/a");
    let made = worktree::begin(&found, &path, Start::NewBranch("wt/a", &base)).unwrap();
    repo.git(&["worktree", "prune"]);
    let entry = worktree::at(&found, &path).unwrap().unwrap();
    assert_eq!((entry.locked.as_deref(), entry.branch.as_deref()), (Some(MAKING), Some("wt/a")));
    worktree::complete(&found, &made, |_| {}).unwrap();
    assert_eq!(env.at(&path).git(&["status", "--porcelain"]), "");
}

#[test]
fn a_name_that_is_taken_in_the_books_counts_on_as_gits_does() {
    let (env, repo) = Env::with_repo();
    let found = Repo::discover(repo.path()).unwrap();
    let base = oid(&repo.head());
    let names = ["one", "two", "three"].map(|folder| {
        let path = env.root().join(folder).join("same");
        worktree::add(&found, &path, &format!("wt/{folder}"), &base).unwrap().entry().to_owned()
    });
    assert_eq!(names, ["same", "same1", "same2"]);
}

/// What git does otherwise there is git's to do: it asks for more than the usual files, or names the entry otherwise.
#[rstest]
#[case::own_settings(&["extensions.worktreeConfig", "true"], "a")]
#[case::relative_links(&["worktree.useRelativePaths", "true"], "a")]
#[case::shared_with_a_group(&["core.sharedRepository", "group"], "a")]
#[case::odd_name(&["wt.nothing", "1"], "a b.lock")]
fn an_unusual_repository_gets_what_git_makes(#[case] setting: &[&str], #[case] name: &str) {
    let (env, repo) = Env::with_repo();
    let base = oid(&repo.commit("a/file", "text\n"));
    repo.git(&[&["config"], setting].concat());
    fs::write(repo.path().join(".git/config.worktree"), "[wt]\n\town = 1\n").unwrap();
    let found = Repo::discover(repo.path()).unwrap();
    let path = env.root().join("trees").join(name);
    let made = worktree::add(&found, &path, "wt/a", &base).unwrap();
    let theirs = env.root().join("theirs").join(name);
    let there = theirs.to_string_lossy().into_owned();
    repo.git(&["worktree", "add", "-q", "--no-track", "-b", "wt/b", "--", &there, base.as_str()]);
    let files = |folder: &Path| {
        let git_dir = env.at(folder).git(&["rev-parse", "--absolute-git-dir"]);
        let mut names: Vec<_> = fs::read_dir(git_dir)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(files(made.path()), files(&theirs));
    assert_eq!(env.at(made.path()).git(&["status", "--porcelain"]), "");
    assert_eq!(env.at(made.path()).git(&["symbolic-ref", "HEAD"]), "refs/heads/wt/a");
}
