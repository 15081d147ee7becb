//! Fifty branches onto a moving target, without checkouts: our replay beside git's own ways, in one run.
//!
//! On generated repositories of 5,000 and of 50,000 files: 50 branches of 3 commits, made from one base. Each commit edits
//! files of its own; the second one also edits a line of a file that all branches share, so that a third of the commits is
//! git's to merge. Every way gets a fresh copy of the repository each round, rounds are interleaved, medians count, and nothing is
//! deleted before the end: deleting slows down whoever writes next. Ratios count, absolute times of a shared machine mean
//! little. Usage: `just bench landing`. Nothing here ever fails a build but ways that come to different trees.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a benchmark prints, and one that cannot go on panics"
)]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use wt::git::Repo;
use wt::git::replay::{Replayer, Ways};
use wt::model::Oid;

const ROUNDS: usize = 3;
const BRANCHES: usize = 50;
/// Rebasing in worktrees takes long: so many branches are enough to tell how long.
const REBASED: usize = 5;
const FILES_A_FOLDER: usize = 25;

/// What a way took: on the clock, and of the processors, children included.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
struct Took {
    wall: f64,
    cpu: f64,
}

fn cpu() -> Duration {
    // Fields 14 to 17 of the process' line: user and system time of itself and of its ended children, in hundredths.
    let line = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after = line.rsplit_once(')').unwrap().1;
    let ticks: u64 = after.split_whitespace().skip(11).take(4).map(|n| n.parse::<u64>().unwrap()).sum();
    Duration::from_millis(10 * ticks)
}

fn timed(branches: usize, way: impl FnOnce()) -> Took {
    let (begun, used) = (Instant::now(), cpu());
    way();
    let each = |time: Duration| time.as_secs_f64() * 1e3 / branches as f64;
    Took { wall: each(begun.elapsed()), cpu: each(cpu().saturating_sub(used)) }
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// A repository that was made up, and its copies.
struct Place {
    root: tempfile::TempDir,
    copies: usize,
}

impl Place {
    fn new(files: usize) -> Self {
        let place = Self { root: tempfile::tempdir().unwrap(), copies: 0 };
        let home = place.root.path().join("home");
        std::fs::create_dir_all(&home).unwrap();
        let config = "[user]\n\tname = bench\n\temail = bench@example.invalid\n[gc]\n\tauto = 0\n";
        std::fs::write(home.join(".gitconfig"), config).unwrap();
        let first = place.root.path().join("first.git");
        place.git(place.root.path(), &["init", "-q", "--bare", "-b", "main", "first.git"]);
        let mut import = place.command(&first, &["fast-import", "--quiet"]);
        let mut import = import.stdin(Stdio::piped()).spawn().unwrap();
        import.stdin.take().unwrap().write_all(script(files).as_bytes()).unwrap();
        assert!(import.wait().unwrap().success());
        place.git(&first, &["repack", "-adq"]);
        place
    }

    fn command(&self, cwd: &Path, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.args(args).current_dir(cwd).stdin(Stdio::null()).env_remove("GIT_DIR");
        command.env("HOME", self.root.path().join("home")).env("GIT_CONFIG_NOSYSTEM", "1");
        command
    }

    fn git(&self, cwd: &Path, args: &[&str]) -> String {
        let output = self.command(cwd, args).output().unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Returns a fresh copy, its data on the disk.
    fn copy(&mut self) -> PathBuf {
        self.copies += 1;
        let to = self.root.path().join(format!("copy-{}.git", self.copies));
        let from = self.root.path().join("first.git");
        assert!(Command::new("cp").arg("-r").args([&from, &to]).status().unwrap().success());
        assert!(Command::new("sync").status().unwrap().success());
        to
    }
}

fn path(n: usize) -> String {
    format!("top{}/dir{}/file{n}.txt", n / (FILES_A_FOLDER * 20), n / FILES_A_FOLDER)
}

fn text(n: usize, edit: &str) -> String {
    let lines = (0..40).fold(String::new(), |text, line| text + &format!("line {line} of file {n}\n"));
    lines.replacen("line 20 ", &format!("line 20 {edit}"), 1)
}

fn script(files: usize) -> String {
    let mut script = String::new();
    let mut commit = |branch: &str, from: Option<&str>, date: usize, files: &[(String, String)]| {
        let _ = writeln!(script, "commit refs/heads/{branch}");
        let _ = writeln!(script, "committer A <a@example.invalid> {} +0000\ndata 2\nc", 1_700_000_000 + date);
        if let Some(from) = from {
            let _ = writeln!(script, "from {from}");
        }
        for (path, text) in files {
            let _ = writeln!(script, "M 100644 inline {path}\ndata {}\n{text}", text.len());
        }
    };
    let shared = |edited: Option<usize>| {
        let line = |n| {
            let edit = if edited == Some(n) { " edited" } else { "" };
            format!("line {n}{edit}\n") + &"room between two branches\n".repeat(8)
        };
        ("shared.txt".to_owned(), (0..BRANCHES).map(line).collect::<String>())
    };
    let mut base: Vec<(String, String)> = (0..files).map(|n| (path(n), text(n, ""))).collect();
    base.push(shared(None));
    commit("main", None, 0, &base);
    for branch in 0..BRANCHES {
        // Files far from each other, and of no other branch.
        let own = |k: usize| (k * BRANCHES + branch) * (files / (8 * BRANCHES));
        let edited = |k: usize| (path(own(k)), text(own(k), "edited "));
        let name = format!("task/{branch:03}");
        let date = 100 + 10 * branch;
        commit(&name, Some("refs/heads/main"), date, &[edited(0), edited(1), edited(2)]);
        let new = (path(own(0)).replace("file", "new"), text(branch, "new "));
        commit(&name, None, date + 1, &[new, shared(Some(branch))]);
        commit(&name, None, date + 2, &[edited(3), (path(own(0)), text(own(0), "edited again "))]);
    }
    script
}

fn names(branches: usize) -> impl Iterator<Item = String> {
    (0..branches).map(|n| format!("task/{n:03}"))
}

/// `git replay` and `git update-ref`, a process each for every branch.
fn git_replay(place: &Place, repo: &Path) -> String {
    for name in names(BRANCHES) {
        let onto = ["replay", "--onto", "main", &format!("main..{name}")];
        let moves = place.git(repo, &onto);
        let tip = moves.split(' ').nth(2).unwrap().to_owned();
        let mut update =
            place.command(repo, &["update-ref", "--stdin"]).stdin(Stdio::piped()).spawn().unwrap();
        let script = format!("{moves}\nupdate refs/heads/main {tip}\n");
        update.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        assert!(update.wait().unwrap().success());
    }
    place.git(repo, &["rev-parse", "main^{tree}"])
}

/// `git merge-tree` and `git commit-tree`, a process each for every commit.
fn merge_tree(place: &Place, repo: &Path) -> String {
    let mut tip = place.git(repo, &["rev-parse", "main"]);
    for name in names(BRANCHES) {
        let listed = place.git(repo, &["rev-list", "--reverse", "--parents", &format!("main..{name}")]);
        for line in listed.lines() {
            let (commit, parent) = line.split_once(' ').unwrap();
            let base = format!("--merge-base={parent}");
            let tree = place.git(repo, &["merge-tree", "--write-tree", &base, &tip, commit]);
            tip = place.git(repo, &["commit-tree", "-p", &tip, "-m", "c", &tree]);
        }
        place.git(repo, &["update-ref", "refs/heads/main", &tip]);
    }
    place.git(repo, &["rev-parse", "main^{tree}"])
}

/// `git rebase` in a worktree of each branch, and `git merge --ff-only` in the one of the target.
struct Naive {
    main: PathBuf,
    worktrees: Vec<PathBuf>,
}

impl Naive {
    fn new(place: &Place, repo: &Path) -> Self {
        let beside = |name: &str| repo.with_extension("wt").join(name);
        let add = |name: &str| {
            let path = beside(name);
            place.git(repo, &["worktree", "add", "-q", &path.to_string_lossy(), name]);
            place.git(&path, &["status"]);
            path
        };
        let naive = Self { main: add("main"), worktrees: names(REBASED).map(|name| add(&name)).collect() };
        assert!(Command::new("sync").status().unwrap().success());
        naive
    }

    fn land(&self, place: &Place) {
        for (name, worktree) in names(REBASED).zip(&self.worktrees) {
            place.git(worktree, &["rebase", "-q", "main"]);
            place.git(&self.main, &["merge", "-q", "--ff-only", &name]);
        }
    }
}

/// Our replay alone, through the library; the target's ref is moved once at the end.
fn ours(place: &Place, path: &Path, ways: &mut Ways) -> String {
    let repo = Repo::discover(path).unwrap();
    let mut replayer = Replayer::new(&repo);
    let mut tip: Oid = repo.branch_tip("main").unwrap().unwrap();
    *ways = Ways::default();
    for name in names(BRANCHES) {
        let outcome = replayer.replay(&tip, &repo.branch_tip(&name).unwrap().unwrap()).unwrap();
        assert_eq!(outcome.stop, None);
        tip = outcome.tip;
        *ways += outcome.ways;
    }
    place.git(path, &["update-ref", "refs/heads/main", tip.as_str()]);
    repo.tree_of(&tip).unwrap().to_string()
}

fn main() {
    println!("{BRANCHES} branches of 3 commits; ms a branch, medians of {ROUNDS} interleaved rounds\n");
    for files in [5_000, 50_000] {
        measure(files);
    }
}

fn measure(files: usize) {
    let mut place = Place::new(files);
    let titles = ["git replay", "git merge-tree", "git rebase", "ours"];
    let mut took: [Vec<Took>; 4] = Default::default();
    let mut ways = Ways::default();
    for _ in 0..ROUNDS {
        let mut trees = Vec::new();
        let copy = place.copy();
        took[0].push(timed(BRANCHES, || trees.push(git_replay(&place, &copy))));
        let copy = place.copy();
        took[1].push(timed(BRANCHES, || trees.push(merge_tree(&place, &copy))));
        let copy = place.copy();
        let naive = Naive::new(&place, &copy);
        took[2].push(timed(REBASED, || naive.land(&place)));
        let copy = place.copy();
        took[3].push(timed(BRANCHES, || trees.push(ours(&place, &copy, &mut ways))));
        assert!(trees.iter().all(|tree| *tree == trees[0]), "the ways come to different trees: {trees:?}");
    }
    let median_of = |way: usize, part: fn(&Took) -> f64| median(took[way].iter().map(part).collect());
    let ours = median_of(3, |took| took.wall);
    println!("{files} files");
    for (way, title) in titles.iter().enumerate() {
        let (wall, used) = (median_of(way, |took| took.wall), median_of(way, |took| took.cpu));
        let walls = took[way].iter().map(|took| took.wall);
        let (least, most) = walls.fold((f64::MAX, 0.0_f64), |(a, b), wall| (a.min(wall), b.max(wall)));
        let aim = match way {
            0 => "aim ≥ 2",
            2 if files == 50_000 => "aim ≥ 60",
            _ => "",
        };
        println!(
            "  {title:<16} wall {wall:>8.2} [{least:.2}-{most:.2}]   cpu {used:>8.2}   / ours {:>6.1}   {aim}",
            wall / ours
        );
    }
    let all = ways.walked + ways.merged;
    println!(
        "  on the walk: {} of {all} commits ({:.0} %); {} stood there already, {} by git\n",
        ways.walked,
        100.0 * ways.walked as f64 / all as f64,
        ways.standing,
        ways.merged
    );
}
