//! Finished tasks in workspaces of their own, landed and put back as often as there are rounds.
//!
//! Making the workspaces is what takes long, so they are made once. After a landing everything that it changed is put back:
//! the target and its checkout, branches and worktrees that were rebased, `wt`'s state, and the objects, whose folder is
//! moved aside for a copy that was made before. Nothing is deleted in between, and the disk is at rest before each round.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::generate::{self, Size};
use crate::place::{Place, ended, wt};

/// Whether the target is checked out where it is landed on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// In the main checkout, which is brought along.
    CheckedOut,
    /// Nowhere.
    RefOnly,
}

/// A repository with finished tasks.
pub struct Fleet {
    place: Place,
    base: String,
    branches: Vec<String>,
    heads: Vec<String>,
    /// Copies of what git keeps objects in, and of `wt`'s state, not used yet.
    copies: Vec<(PathBuf, PathBuf)>,
    used: usize,
}

impl Fleet {
    /// Makes it, with as many copies as there will be landings.
    pub fn new(folder: &Path, size: Size, landings: usize) -> Self {
        let place = Place::new(folder, "[workspace]\npool = 0\n");
        std::fs::create_dir_all(place.repo()).unwrap();
        place.run("git", &["init", "-q", "-b", "main"]);
        place.run("git", &["config", "gc.auto", "0"]);
        let git = |args: &[&str]| place.command("git", args);
        generate::base(&git, size);
        place.run("git", &["reset", "-q", "--hard"]);
        settle(&place, &[place.repo()]);
        let names: Vec<String> = (0..size.branches).map(task).collect();
        let lines: Vec<String> = names.iter().map(|name| format!("{{\"name\":\"{name}\"}}\n")).collect();
        let list = folder.join("tasks.jsonl");
        std::fs::write(&list, lines.concat()).unwrap();
        place.run(&wt(), &["spawn", "--no-agent", "--from", &list.display().to_string()]);
        let branches: Vec<String> = names.iter().map(|name| format!("wt/{name}")).collect();
        generate::branches(&git, size, &branches);
        let worktrees: Vec<PathBuf> = names.iter().map(|name| place.worktrees().join(name)).collect();
        for worktree in &worktrees {
            git_in(&place, worktree, &["reset", "-q", "--hard"]);
        }
        settle(&place, &worktrees);
        let finished: Vec<&str> = std::iter::once("done").chain(names.iter().map(String::as_str)).collect();
        place.run(&wt(), &finished);

        let tip = |rev: &str| place.run("git", &["rev-parse", rev]).out.trim().to_owned();
        let (base, heads) = (tip("main"), branches.iter().map(|name| tip(name)).collect());
        let git_folder = place.repo().join(".git");
        let copies = (0..landings)
            .map(|n| {
                let copy = |of: &str| {
                    let to = folder.join(format!("{of}-{n}"));
                    let from = git_folder.join(of);
                    assert!(Command::new("cp").arg("-a").args([&from, &to]).status().unwrap().success());
                    to
                };
                (copy("objects"), copy("wt"))
            })
            .collect();
        Self { place, base, branches, heads, copies, used: 0 }
    }

    /// Runs git in a folder; it must not fail.
    pub fn git(&self, folder: &Path, args: &[&str]) -> String {
        git_in(&self.place, folder, args)
    }

    /// The repository.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The worktree of a task, by its number.
    pub fn worktree(&self, n: usize) -> PathBuf {
        self.place.worktrees().join(task(n))
    }

    /// Puts everything back to before the first landing; `rebased`: how many tasks were rebased where they are.
    pub fn put_back(&mut self, target: Target, rebased: usize) {
        let git_folder = self.place.repo().join(".git");
        let (objects, state) = self.copies.pop().expect("one for each landing");
        self.used += 1;
        for (copy, of) in [(objects, "objects"), (state, "wt")] {
            let there = git_folder.join(of);
            std::fs::rename(&there, copy.with_file_name(format!("used-{of}-{}", self.used))).unwrap();
            std::fs::rename(copy, there).unwrap();
        }
        let reset = |folder: &Path, to: &str| {
            self.git(folder, &["reset", "-q", "--hard", to]);
        };
        self.place.run("git", &["update-ref", "refs/heads/main", &self.base]);
        let call: &[&str] = match target {
            Target::CheckedOut => &["symbolic-ref", "HEAD", "refs/heads/main"],
            Target::RefOnly => &["checkout", "-q", "-f", "--detach", &self.base],
        };
        self.place.run("git", call);
        reset(&self.place.repo(), &self.base);
        let rebased: Vec<PathBuf> = (0..rebased).map(|n| self.worktree(n)).collect();
        for (worktree, head) in rebased.iter().zip(&self.heads) {
            reset(worktree, head);
        }
        let changed: Vec<PathBuf> = rebased.into_iter().chain([self.place.repo()]).collect();
        settle(&self.place, &changed);
    }

    /// The branch of a task, by its number.
    pub fn branch(&self, n: usize) -> &str {
        &self.branches[n]
    }

    /// The tree of the target.
    pub fn tree(&self) -> String {
        self.place.run("git", &["rev-parse", "main^{tree}"]).out.trim().to_owned()
    }
}

/// The name of a task, by its number.
pub fn task(n: usize) -> String {
    format!("t{n:03}")
}

fn git_in(place: &Place, folder: &Path, args: &[&str]) -> String {
    let ran = ended(place.command("git", args).current_dir(folder));
    ran.unwrap_or_else(|why| panic!("{why}")).out
}

/// Waits until files are older than the indexes, as those of a checkout that somebody works in are.
fn settle(place: &Place, folders: &[PathBuf]) {
    std::thread::sleep(Duration::from_millis(1100));
    for folder in folders {
        // An index with files as young as itself is written anew by this.
        let said = git_in(place, folder, &["status", "--porcelain"]);
        assert_eq!(said, "", "{} is not clean", folder.display());
    }
    rustix::fs::sync();
}
