//! `wt conflicts` on twenty branches of 5,000 files, beside a shell that calls `git merge-tree` for every pair.
//!
//! Each branch changes six files of its own, and a line of a file that all of them change, far from the others' lines; two of
//! them change the same one. So no pair is plain, and each is git's to merge. Cold: nothing is remembered. Then the same
//! with uncommitted and untracked work in half of the workspaces, which the shell does not see. Usage: `just bench pairs`.
//! Nothing here ever fails a build but another answer than git's.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark prints, and one that cannot go on panics"
)]

mod figures;
mod place;

use std::fmt::Write as _;
use std::path::Path;

use figures::Times;
use place::{Place, wt};

const ROUNDS: usize = 7;
const BRANCHES: usize = 20;
const FILES: usize = 5000;

const CONFIG: &str = "[workspace]\npool = 0\n";

/// Every pair, one process each.
const SHELL: &str = "n=0; set -- $(git for-each-ref --format='%(refname)' refs/heads/wt)\n\
    while [ $# -gt 1 ]; do a=$1; shift; for b; do\n\
    git merge-tree --write-tree $a $b >/dev/null || n=$((n+1)); done; done; echo $n";

fn path(n: usize) -> String {
    format!("top{}/dir{}/file{n}.txt", n / 500, n / 25)
}

fn text(n: usize, edit: &str) -> String {
    (0..40).fold(format!("{edit}\n"), |text, line| text + &format!("line {line} of file {n}\n"))
}

fn shared(branch: Option<usize>) -> String {
    let mut text = String::new();
    for n in 0..BRANCHES {
        // The last two meet.
        let edited = branch.is_some_and(|branch| branch.min(BRANCHES - 2) == n);
        let edit = if edited { format!(" edited by {}", branch.unwrap()) } else { String::new() };
        let _ = writeln!(text, "line {n}{edit}\n{}", "room\n".repeat(8));
    }
    text
}

fn write(folder: &Path, path: &str, text: &str) {
    let path = folder.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn field(folder: &Path) -> Place {
    let place = Place::new(folder, CONFIG);
    let repo = place.repo();
    for n in 0..FILES {
        write(&repo, &path(n), &text(n, ""));
    }
    write(&repo, "shared.txt", &shared(None));
    for args in [&["init", "-q"][..], &["add", "-A"], &["commit", "-qm", "base"], &["repack", "-adq"]] {
        place.run("git", args);
    }
    for branch in 0..BRANCHES {
        let name = format!("task-{branch:02}");
        place.run(&wt(), &["spawn", &name, "--no-agent", "--quiet"]);
        let workspace = place.worktrees().join(&name);
        for k in 0..6 {
            let n = (k * BRANCHES + branch) * (FILES / (6 * BRANCHES));
            write(&workspace, &path(n), &text(n, "edited"));
        }
        write(&workspace, "shared.txt", &shared(Some(branch)));
        let there = workspace.to_string_lossy().into_owned();
        place.run("git", &["-C", &there, "add", "-A"]);
        place.run("git", &["-C", &there, "commit", "-qm", "work"]);
    }
    place
}

fn forget(place: &Place) {
    for name in ["cache/merged", "clashes/known", "folders"] {
        drop(std::fs::remove_file(place.repo().join(".git/wt").join(name)));
    }
}

/// Looks once, and returns how many pairs conflict.
fn look(place: &Place, times: &mut Times) -> usize {
    let ran = place.run(&wt(), &["conflicts", "--json"]);
    times.add(ran.took);
    ran.out.matches("\"tasks\":[\"").count()
}

fn line(label: &str, times: &Times, aim: Option<f64>) {
    let verdict = match (aim, times.median()) {
        (Some(aim), Some(median)) => {
            format!("  aim {aim} ms: {}", if median <= aim { "met" } else { "MISSED" })
        }
        _ => String::new(),
    };
    println!("  {label:<52} {:>24} ms{verdict}", times.told());
}

fn main() {
    let root = tempfile::tempdir().unwrap();
    let place = field(root.path());
    // Files as young as their index could still change unseen: as a person would find it a moment later.
    std::thread::sleep(std::time::Duration::from_secs(3));
    println!(
        "{BRANCHES} branches, {FILES} files, {} pairs, median [range] rounds",
        BRANCHES * (BRANCHES - 1) / 2
    );
    let (mut shell, mut cold, mut same) = (Times::default(), Times::default(), Times::default());
    for _ in 0..ROUNDS {
        let ran = place.run("sh", &["-c", SHELL]);
        shell.add(ran.took);
        forget(&place);
        let found = look(&place, &mut cold);
        assert_eq!((found, look(&place, &mut same)), (1, 1));
        assert_eq!(ran.out.trim(), "1", "git finds the same");
    }
    line("shell, git merge-tree for each pair", &shell, None);
    line("wt conflicts, nothing remembered", &cold, Some(1000.0));
    line("wt conflicts, trees unchanged", &same, Some(200.0));
    for branch in (0..BRANCHES).step_by(2) {
        let workspace = place.worktrees().join(format!("task-{branch:02}"));
        write(&workspace, "untracked/new.txt", &format!("of {branch}\n"));
        write(&workspace, &path(branch), &text(branch, "not committed"));
    }
    // So are these, a moment later.
    std::thread::sleep(std::time::Duration::from_secs(3));
    let (mut cold, mut same) = (Times::default(), Times::default());
    for _ in 0..ROUNDS {
        forget(&place);
        let found = look(&place, &mut cold);
        assert_eq!((found, look(&place, &mut same)), (46, 46));
    }
    println!("uncommitted and untracked work in {} of them, which the shell does not see", BRANCHES / 2);
    line("wt conflicts, nothing remembered", &cold, Some(1000.0));
    line("wt conflicts, trees unchanged", &same, Some(200.0));
}
