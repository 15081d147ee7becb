//! `Replayer::look_ahead`: whatever was foreseen, what comes out is what git says of each commit alone.

use wt::git::Repo;
use wt::git::replay::{self, Outcome, Replayer, Stop};
use wt::model::Oid;

use crate::env::{Env, TestRepo, lines};
use crate::git_repo::oid;

/// A branch: its name, and its commits, each a path and a text.
type Branch<'a> = (&'a str, &'a [(&'a str, String)]);

/// Replays branches from one base one after the other, with a look ahead, and makes sure that each comes out as it does
/// alone. Where one stops, the next one goes onto what was there before.
fn replayed(repo: &TestRepo, branches: &[Branch<'_>]) -> Vec<Outcome> {
    let base = repo.head();
    let heads: Vec<Oid> = branches
        .iter()
        .map(|(name, commits)| {
            repo.git(&["checkout", "-q", "-b", name, &base]);
            commits.iter().for_each(|(path, text)| drop(repo.commit(path, text)));
            oid(&repo.head())
        })
        .collect();
    repo.git(&["checkout", "-q", "main"]);
    let mut tip = oid(&repo.commit("main", "moved\n"));
    let found = Repo::discover(repo.path()).unwrap();
    let mut replayer = Replayer::new(&found);
    replayer.look_ahead(&tip, &heads);
    heads
        .iter()
        .map(|head| {
            let outcome = replayer.replay(&tip, head).unwrap();
            assert_eq!(outcome, replay::replay(&found, &tip, head).unwrap());
            if outcome.stop.is_none() {
                tip = outcome.tip.clone();
            }
            outcome
        })
        .collect()
}

/// Twenty lines, some of them edited.
fn edited(edits: &[usize]) -> String {
    let edit = |n: usize, line: &str| {
        if edits.contains(&n) { format!("{line} edited\n") } else { format!("{line}\n") }
    };
    lines("line", 20).lines().enumerate().map(|(n, line)| edit(n, line)).collect()
}

#[test]
fn edits_of_one_file_come_together() {
    let (_env, repo) = Env::with_repo();
    repo.commit("f", &edited(&[]));
    let one = [("f", edited(&[1])), ("f", edited(&[1, 4]))];
    let other = [("g", "g\n".to_owned()), ("f", edited(&[8]))];
    let last = [("f", edited(&[1, 15]))];
    let outcomes = replayed(&repo, &[("one", &one), ("other", &other), ("last", &last)]);
    assert!(outcomes.iter().all(|outcome| outcome.stop.is_none()), "{outcomes:?}");
    let ways: Vec<_> = outcomes.iter().map(|outcome| (outcome.ways.walked, outcome.ways.merged)).collect();
    assert_eq!(ways, [(2, 0), (1, 1), (0, 1)]);
    assert_eq!(repo.git(&["show", &format!("{}:f", outcomes[2].tip)]), edited(&[1, 4, 8, 15]).trim_end());
    repo.git(&["fsck", "--strict"]);
}

#[test]
fn a_branch_that_does_not_merge_is_passed_over() {
    let (_env, repo) = Env::with_repo();
    repo.commit("f", &edited(&[]));
    let clash = [("f", edited(&[3]).replace("edited", "otherwise"))];
    let (one, next) = ([("f", edited(&[3]))], [("f", edited(&[9]))]);
    let outcomes = replayed(
        &repo,
        &[("one", &one), ("clash", &clash), ("next", &next), ("last", &[("f", edited(&[16]))])],
    );
    let stops: Vec<_> =
        outcomes.iter().map(|outcome| matches!(outcome.stop, Some(Stop::Conflict { .. }))).collect();
    assert_eq!(stops, [false, true, false, false]);
    assert_eq!(repo.git(&["show", &format!("{}:f", outcomes[3].tip)]), edited(&[3, 9, 16]).trim_end());
}

/// git is asked of many commits at once with the attributes of the first one's target.
#[test]
fn attributes_that_a_branch_brings_count_for_those_after_it() {
    let (_env, repo) = Env::with_repo();
    repo.commit("sub/f", &edited(&[]));
    let one = [("sub/f", edited(&[1]))];
    let two = [("sub/f", edited(&[5]))];
    let three = [("sub/f", edited(&[9]))];
    let rule = [("sub/.gitattributes", "f merge=binary\n".to_owned())];
    let four = [("sub/f", edited(&[13]))];
    let five = [("g", "g\n".to_owned())];
    let branches: [Branch<'_>; 6] =
        [("one", &one), ("two", &two), ("three", &three), ("rule", &rule), ("four", &four), ("five", &five)];
    let outcomes = replayed(&repo, &branches);
    let stops: Vec<_> =
        outcomes.iter().map(|outcome| matches!(outcome.stop, Some(Stop::Conflict { .. }))).collect();
    assert_eq!(stops, [false, false, false, false, true, false]);
}

/// A rename is what the guess knows nothing of.
#[test]
fn where_the_guess_is_wrong_git_is_right() {
    let (_env, repo) = Env::with_repo();
    repo.commit("old/f", &edited(&[]));
    let base = repo.head();
    repo.git(&["mv", "old", "new"]);
    repo.commit_all("moved");
    repo.git(&["branch", "moving"]);
    repo.git(&["reset", "-q", "--hard", &base]);
    let (one, two) = ([("old/f", edited(&[2]))], [("old/f", edited(&[7])), ("old/g", "g\n".to_owned())]);
    let outcomes = replayed(&repo, &[("one", &one), ("two", &two)]);
    assert!(outcomes.iter().all(|outcome| outcome.stop.is_none()));

    let found = Repo::discover(repo.path()).unwrap();
    let heads: Vec<Oid> =
        ["moving", "one", "two"].map(|name| found.branch_tip(name).unwrap().unwrap()).into();
    let mut replayer = Replayer::new(&found);
    let mut tip = oid(&base);
    replayer.look_ahead(&tip, &heads);
    for head in &heads {
        let outcome = replayer.replay(&tip, head).unwrap();
        assert_eq!(outcome, replay::replay(&found, &tip, head).unwrap());
        tip = outcome.tip;
    }
    assert_eq!(repo.git(&["show", &format!("{tip}:new/f")]), edited(&[2, 7]).trim_end());
}
