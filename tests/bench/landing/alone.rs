//! The replay alone, without any checkout but the naive way's: ours beside git's own ways, and how all grow.
//!
//! Every way gets a fresh copy of a bare repository each round, and nothing is deleted before the end: deleting slows down
//! whoever writes next.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use wt::git::Repo;
use wt::git::replay::{Replayer, Ways};
use wt::model::Oid;

use crate::generate::{self, Size};
use crate::place::{Place, ended};
use crate::took::{self, Took};

/// Rebasing in worktrees takes long: so many branches are enough to tell how long.
pub const REBASED: usize = 5;

/// A bare repository that was made up, and its copies.
struct Field {
    place: Place,
    size: Size,
    copies: usize,
}

impl Field {
    fn new(folder: &Path, size: Size) -> Self {
        let field = Self { place: Place::new(folder, ""), size, copies: 0 };
        let first = field.place.repo();
        std::fs::create_dir_all(&first).unwrap();
        field.git(&first, &["init", "-q", "--bare", "-b", "main", "."]);
        let git = |args: &[&str]| field.place.command("git", args);
        generate::base(&git, size);
        generate::branches(&git, size, &names(size.branches).collect::<Vec<_>>());
        field
    }

    fn git(&self, folder: &Path, args: &[&str]) -> String {
        let ran = ended(self.place.command("git", args).current_dir(folder));
        ran.unwrap_or_else(|why| panic!("{why}")).out.trim().to_owned()
    }

    /// Returns a fresh copy, its data on the disk.
    fn copy(&mut self) -> PathBuf {
        self.copies += 1;
        let to = self.place.repo().with_file_name(format!("copy-{}.git", self.copies));
        assert!(Command::new("cp").arg("-r").args([&self.place.repo(), &to]).status().unwrap().success());
        rustix::fs::sync();
        to
    }

    /// `git replay` and `git update-ref`, a process each for every branch.
    fn git_replay(&self, repo: &Path, branches: usize) -> String {
        for name in names(branches) {
            let moves = self.git(repo, &["replay", "--onto", "main", &format!("main..{name}")]);
            let tip = moves.split(' ').nth(2).unwrap();
            let mut update = self.place.command("git", &["update-ref", "--stdin"]);
            let mut update = update.current_dir(repo).stdin(Stdio::piped()).spawn().unwrap();
            let script = format!("{moves}\nupdate refs/heads/main {tip}\n");
            update.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
            assert!(update.wait().unwrap().success());
        }
        self.git(repo, &["rev-parse", "main^{tree}"])
    }

    /// `git merge-tree` and `git commit-tree`, a process each for every commit.
    fn merge_tree(&self, repo: &Path) -> String {
        let mut tip = self.git(repo, &["rev-parse", "main"]);
        for name in names(self.size.branches) {
            let listed = self.git(repo, &["rev-list", "--reverse", "--parents", &format!("main..{name}")]);
            for line in listed.lines() {
                let (commit, parent) = line.split_once(' ').unwrap();
                let base = format!("--merge-base={parent}");
                let tree = self.git(repo, &["merge-tree", "--write-tree", &base, &tip, commit]);
                tip = self.git(repo, &["commit-tree", "-p", &tip, "-m", "c", &tree]);
            }
            self.git(repo, &["update-ref", "refs/heads/main", &tip]);
        }
        self.git(repo, &["rev-parse", "main^{tree}"])
    }

    /// Ours, through the library; the target's ref is moved once at the end.
    fn ours(&self, path: &Path, branches: usize) -> (String, Ways) {
        let repo = Repo::discover(path).unwrap();
        let mut replayer = Replayer::new(&repo);
        let mut tip: Oid = repo.branch_tip("main").unwrap().unwrap();
        let mut ways = Ways::default();
        let heads: Vec<Oid> = names(branches).map(|name| repo.branch_tip(&name).unwrap().unwrap()).collect();
        replayer.look_ahead(&tip, &heads);
        for head in &heads {
            let outcome = replayer.replay(&tip, head).unwrap();
            assert_eq!(outcome.stop, None);
            tip = outcome.tip;
            ways += outcome.ways;
        }
        self.git(path, &["update-ref", "refs/heads/main", tip.as_str()]);
        (repo.tree_of(&tip).unwrap().to_string(), ways)
    }

    /// Makes the worktrees of the naive way: of the target, and of the first branches.
    fn worktrees(&self, repo: &Path) -> (PathBuf, Vec<PathBuf>) {
        let add = |name: &str| {
            let path = repo.with_extension("wt").join(name);
            self.git(repo, &["worktree", "add", "-q", &path.to_string_lossy(), name]);
            self.git(&path, &["status"]);
            path
        };
        let made = (add("main"), names(REBASED.min(self.size.branches)).map(|name| add(&name)).collect());
        rustix::fs::sync();
        made
    }

    /// `git rebase` in a worktree of each branch, and `git merge --ff-only` in the one of the target.
    fn naive(&self, (main, worktrees): &(PathBuf, Vec<PathBuf>)) {
        for (name, worktree) in names(worktrees.len()).zip(worktrees) {
            self.git(worktree, &["rebase", "-q", "main"]);
            self.git(main, &["merge", "-q", "--ff-only", &name]);
        }
    }
}

fn names(branches: usize) -> impl Iterator<Item = String> {
    (0..branches).map(|n| format!("task/{n:03}"))
}

/// Measures the replay of all branches, `rounds` times.
pub fn measure(folder: &Path, size: Size, rounds: usize) {
    let mut field = Field::new(folder, size);
    let mut took: [Took; 4] = Default::default();
    let mut ways = Ways::default();
    let all = size.branches;
    for n in 0..rounds {
        let mut trees = Vec::new();
        for k in 0..took.len() {
            let way = (n + k) % took.len();
            let copy = field.copy();
            match way {
                0 => trees.push(took[0].round(all, || field.git_replay(&copy, all))),
                1 => trees.push(took[1].round(all, || field.merge_tree(&copy))),
                2 => {
                    let made = field.worktrees(&copy);
                    took[2].round(made.1.len(), || field.naive(&made));
                }
                _ => {
                    let (tree, how) = took[3].round(all, || field.ours(&copy, all));
                    trees.push(tree);
                    ways = how;
                }
            }
        }
        assert!(trees.iter().all(|tree| *tree == trees[0]), "the ways come to different trees: {trees:?}");
    }
    took::head(&format!("replay alone, {} files, {all} branches of 3 commits", size.files));
    let large = (size.files >= 50_000).then_some(60.0);
    took::line("git replay, git update-ref", &took[0], &took[3], Some(2.0));
    took::line("git merge-tree, git commit-tree", &took[1], &took[3], None);
    took::line("git rebase, git merge --ff-only", &took[2], &took[3], large);
    took::line("wt", &took[3], &took[3], None);
    let picked = ways.walked + ways.merged;
    println!(
        "  on the walk: {} of {picked} commits; {} stood there already, {} by git",
        ways.walked, ways.standing, ways.merged
    );
}

/// Measures how the time of a branch grows with the number of branches.
pub fn slope(folder: &Path, size: Size, counts: &[usize], rounds: usize) {
    let mut field = Field::new(folder, size);
    let mut took: Vec<[Took; 2]> = vec![Default::default(); counts.len()];
    for n in 0..rounds {
        for k in 0..2 * counts.len() {
            let at = (n + k) % (2 * counts.len());
            let (row, count) = (at / 2, counts[at / 2]);
            let copy = field.copy();
            if at.is_multiple_of(2) {
                took[row][0].round(count, || field.git_replay(&copy, count));
            } else {
                took[row][1].round(count, || field.ours(&copy, count));
            }
        }
    }
    took::head(&format!("replay alone by number of branches, {} files", size.files));
    for ([git, ours], count) in took.iter().zip(counts) {
        took::line(&format!("git replay, {count} branches"), git, ours, None);
        took::line(&format!("wt, {count} branches"), ours, ours, None);
    }
}
