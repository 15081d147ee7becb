//! Finished tasks landed from end to end: `wt merge --all --keep` beside the scripts that people write.

use crate::alone::REBASED;
use crate::fleet::{Fleet, Target, task};
use crate::generate::Size;
use crate::place::wt;
use crate::took::{self, Took};

const WAYS: [&str; 4] = [
    "git rebase, git merge --ff-only",
    "git replay, git merge --ff-only",
    "wt merge --all --keep",
    "wt merge --all --keep, no checkout",
];
const OURS: usize = 2;

/// How many landings are needed for so many rounds, the one for [`prune`] included.
pub fn landings(rounds: usize) -> usize {
    WAYS.len() * rounds + 1
}

/// Measures landings, `rounds` times.
pub fn measure(fleet: &mut Fleet, size: Size, rounds: usize) {
    let mut took: [Took; WAYS.len()] = Default::default();
    let all = size.branches;
    for n in 0..rounds {
        let mut trees = Vec::new();
        for k in 0..WAYS.len() {
            let way = (n + k) % WAYS.len();
            let target = if way == 3 { Target::RefOnly } else { Target::CheckedOut };
            fleet.put_back(target, REBASED.min(all));
            let took = &mut took[way];
            match way {
                0 => took.round(REBASED.min(all), || naive(fleet, REBASED.min(all))),
                1 => took.round(all, || replayed(fleet, all)),
                _ => took.round(all, || merged(fleet)),
            }
            if way > 0 {
                trees.push(fleet.tree());
            }
        }
        assert!(trees.iter().all(|tree| *tree == trees[0]), "the ways come to different trees: {trees:?}");
    }
    took::head(&format!("landed end to end, {} files, {all} branches of 3 commits", size.files));
    let large = (size.files >= 50_000).then_some(25.0);
    for (way, label) in WAYS.iter().enumerate() {
        took::line(label, &took[way], &took[OURS], if way == 0 { large } else { None });
    }
}

/// `git rebase` in the worktree of each branch, and `git merge --ff-only` where the target is checked out.
fn naive(fleet: &Fleet, branches: usize) {
    for n in 0..branches {
        fleet.git(&fleet.worktree(n), &["rebase", "-q", "main"]);
        fleet.place().run("git", &["merge", "-q", "--ff-only", fleet.branch(n)]);
    }
}

/// `git replay` of each branch, and `git merge --ff-only` where the target is checked out; the branches stay where they are.
fn replayed(fleet: &Fleet, branches: usize) {
    for n in 0..branches {
        let range = format!("main..{}", fleet.branch(n));
        let moves = fleet.place().run("git", &["replay", "--onto", "main", &range]).out;
        fleet.place().run("git", &["merge", "-q", "--ff-only", moves.split(' ').nth(2).unwrap()]);
    }
}

/// `wt merge`, with no checks configured.
fn merged(fleet: &Fleet) {
    fleet.place().run(&wt(), &["merge", "--all", "--keep", "--no-agent"]);
}

/// Measures the removal of all workspaces after a landing, beside git's of a few: the last thing that is done with a fleet.
pub fn prune(fleet: &mut Fleet, size: Size) {
    fleet.put_back(Target::CheckedOut, REBASED.min(size.branches));
    merged(fleet);
    let few = REBASED.min(size.branches / 2);
    let mut took: [Took; 2] = Default::default();
    let place = fleet.place();
    took[0].round(few, || {
        for n in 0..few {
            place.run("git", &["worktree", "remove", "--force", &fleet.worktree(n).to_string_lossy()]);
            place.run("git", &["branch", "-q", "-D", fleet.branch(n)]);
        }
    });
    rustix::fs::sync();
    let left = size.branches - few;
    let names: Vec<String> = (few..size.branches).map(task).collect();
    took[1].round(left, || {
        place.run(&wt(), &[vec!["gc".to_owned()], names].concat());
    });
    assert!((few..size.branches).all(|n| !fleet.worktree(n).exists()), "workspaces are left");
    took::head(&format!("pruning apart, {} files", size.files));
    took::line("git worktree remove, git branch -D", &took[0], &took[1], None);
    took::line("wt gc", &took[1], &took[1], None);
}
