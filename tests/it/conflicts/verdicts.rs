//! Pairs of commits against git itself, one `git merge-tree` each.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use wt::git::Repo;
use wt::git::pairs::{Comparer, Side, Verdict};
use wt::git::scratch::Scratch;
use wt::model::Oid;

use crate::env::{Env, TestRepo};
use crate::made_history::{Change, Script, change, first_files, with};

const LIMIT: Duration = Duration::from_secs(60);

/// What plain git says: the paths that conflict; `None` where it dies.
fn by_git(repo: &TestRepo, a: &Oid, b: &Oid) -> Option<BTreeSet<String>> {
    let plain =
        ["merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", "--allow-unrelated-histories"];
    let args: Vec<&str> = plain.into_iter().chain([a.as_str(), b.as_str()]).collect();
    let ended = repo.try_git(&args);
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    let paths = said.split('\0').skip(1).filter(|path| !path.is_empty()).map(str::to_owned);
    match ended.status.code() {
        Some(0) => Some(BTreeSet::new()),
        Some(1) => Some(paths.collect()),
        _ => None,
    }
}

fn compared(repo: &TestRepo, pairs: &[(Oid, Oid)], attributes: &Oid) -> Vec<Verdict> {
    let found = Repo::discover(repo.path()).unwrap();
    let side = |commit: &Oid| Side { commit: commit.clone(), tree: found.tree_of(commit).unwrap() };
    let sides: Vec<(Side, Side)> = pairs.iter().map(|(a, b)| (side(a), side(b))).collect();
    let sides: Vec<(&Side, &Side)> = sides.iter().map(|(a, b)| (a, b)).collect();
    let scratch = Scratch::beside(&found).unwrap();
    let mut comparer = Comparer::new(&found, &scratch).unwrap();
    comparer.merge(&sides, attributes, LIMIT, &|_| {}).unwrap()
}

/// A commit: its changes, and which earlier ones it comes from.
type Made = (Vec<Change>, prop::sample::Index, Option<prop::sample::Index>);

fn history() -> impl Strategy<Value = Vec<Made>> {
    let parent = any::<prop::sample::Index>;
    let commit = (prop::collection::vec(change(), 0..3), parent(), prop::option::weighted(0.3, parent()));
    prop::collection::vec(commit, 9)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, failure_persistence: None, ..ProptestConfig::default() })]

    /// Histories with merges, several roots of a comparison and none: every two of their last commits.
    #[test]
    fn each_verdict_is_the_one_of_git(commits in history()) {
        let (_env, repo) = Env::with_repo();
        let mut script = Script::default();
        let mut files = vec![first_files()];
        script.commit(&files[0], &[], 1_000, "first");
        for (n, (changes, parent, second)) in commits.iter().enumerate() {
            let first = parent.index(files.len());
            let mut parents = vec![first + 1];
            parents.extend(second.map(|second| second.index(files.len()) + 1).filter(|mark| *mark != first + 1));
            let now = with(&files[first], changes);
            script.commit(&now, &parents, 2_000 + 10 * i64::try_from(n).unwrap(), "work");
            files.push(now);
        }
        let ids = script.run(&repo);
        let last = &ids[4..];
        let pairs: Vec<(Oid, Oid)> = last.iter().enumerate()
            .flat_map(|(n, a)| last[n + 1..].iter().map(|b| (a.clone(), b.clone()))).collect();
        for ((a, b), verdict) in pairs.iter().zip(compared(&repo, &pairs, &ids[1])) {
            let found = verdict.map(|files| files.into_iter().map(|file| file.path).collect::<BTreeSet<_>>());
            let told = by_git(&repo, a, b);
            if let (Some(found), Some(told)) = (&found, &told) {
                // What git moved aside without a conflict of its own it names in words alone.
                let words = repo.try_git(&["merge-tree", "--allow-unrelated-histories", a.as_str(), b.as_str()]);
                let words = String::from_utf8_lossy(&words.stdout).into_owned();
                let aside = |path: &&String| path.contains('~') && words.contains(&format!("moving it to {path} "));
                let more: Vec<&String> = found.difference(told).filter(|path| !aside(path)).collect();
                prop_assert!(told.is_subset(found) && more.is_empty(), "{} {}: {:?} {:?}", a, b, found, told);
                prop_assert_eq!(found.is_empty(), told.is_empty(), "{} {}", a, b);
            } else {
                prop_assert_eq!(found, told, "{} {}", a, b);
            }
        }
    }
}

#[test]
fn a_pair_that_git_cannot_merge_takes_none_with_it() {
    let (env, repo) = Env::with_repo();
    repo.write("f", crate::env::lines("f", 9));
    let base = repo.commit_all("base");
    let branch = |name: &str, line: &str| {
        repo.git(&["checkout", "-q", "-b", name, &base]);
        repo.write("f", repo.read("f").replace("f 4\n", line));
        crate::git_repo::oid(&repo.commit_all(name))
    };
    let (a, b, broken) = (branch("a", "a\n"), branch("b", "b\n"), branch("broken", "broken\n"));
    let other = env.repo("other");
    other.commit("f", "another history\n");
    let path = other.path().to_string_lossy().into_owned();
    repo.git(&["fetch", "-q", &path, "main:unrelated"]);
    let unrelated = crate::git_repo::oid(&repo.rev("unrelated"));
    let blob = repo.git(&["rev-parse", "broken:f"]);
    let object = repo.path().join(".git/objects").join(&blob[..2]).join(&blob[2..]);
    fs_err::remove_file(object).unwrap();
    let pairs = [(&a, &b), (&a, &broken), (&a, &unrelated), (&b, &broken), (&b, &a)];
    let pairs: Vec<(Oid, Oid)> = pairs.map(|(a, b)| (a.clone(), b.clone())).into();
    let told: Vec<Option<usize>> =
        compared(&repo, &pairs, &a).into_iter().map(|files| files.map(|files| files.len())).collect();
    assert_eq!(told, [Some(1), None, Some(1), None, Some(1)]);
}
