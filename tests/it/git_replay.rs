//! `git::replay`: the same result as `git rebase`, commits kept to the byte, conflicts as values.

use std::os::unix::fs as unix;

use fs_err as fs;
use proptest::prelude::*;
use wt::git::Repo;
use wt::git::replay::{self, Replayed, Stop};
use wt::model::Oid;
use wt::model::event::ConflictKind;

use crate::env::{Env, TestRepo, lines};
use crate::git_repo::oid;
use crate::made_history::{Change, Script, change, file, first_files, with};

/// A repository whose `main` and `side` fork at a commit with the given files.
fn forked(files: &[(&str, &str)]) -> (Env, TestRepo, Repo) {
    let env = Env::new();
    let repo = env.repo("repo");
    for (path, text) in files {
        repo.write(path, text);
    }
    repo.commit_all("base");
    repo.git(&["branch", "side"]);
    let found = Repo::discover(repo.path()).unwrap();
    (env, repo, found)
}

fn on(repo: &TestRepo, branch: &str) {
    repo.git(&["checkout", "-q", branch]);
}

fn tips(found: &Repo) -> (Oid, Oid) {
    (found.branch_tip("main").unwrap().unwrap(), found.branch_tip("side").unwrap().unwrap())
}

#[test]
fn commits_are_copied_to_the_byte_and_nothing_else_moves() {
    let (env, repo, found) = forked(&[("f", "1\n")]);
    on(&repo, "side");
    repo.write("a", "a");
    repo.git(&["add", "-A"]);
    repo.git(&["config", "i18n.commitEncoding", "ISO-8859-1"]);
    let message = env.root().join("message");
    fs::write(&message, b"subject \xe9\n\n# no comment\n\n  indented  \n\n\n").unwrap();
    let mut commit = env.command("git", repo.path());
    commit.args(["commit", "-q", "--cleanup=verbatim", "-F", &message.to_string_lossy()]);
    commit
        .env("GIT_AUTHOR_DATE", "2001-02-03T04:05:06-0730")
        .env("GIT_COMMITTER_DATE", "2002-02-03T04:05:06+0545");
    assert!(commit.env("GIT_AUTHOR_NAME", "J\u{fc}rgen").status().unwrap().success());
    on(&repo, "main");
    repo.commit("b", "b");
    let (main, side) = tips(&found);
    let before = repo.git(&["for-each-ref"]);

    let outcome = replay::replay(&found, &main, &side).unwrap();
    assert_eq!((outcome.commits.len(), &outcome.stop), (1, &None));
    let raw = |commit: &Oid| {
        let output = repo.try_git(&["cat-file", "commit", commit.as_str()]).stdout;
        let at = output.windows(7).position(|w| w == b"\nauthor").unwrap();
        output[at..].to_vec()
    };
    assert_eq!(raw(&outcome.tip), raw(&side));
    assert_eq!(repo.rev(&format!("{}^", outcome.tip)), main.as_str());
    assert_eq!(repo.git(&["ls-tree", "--name-only", outcome.tip.as_str()]), "a\nb\nf");
    assert_eq!(repo.git(&["for-each-ref"]), before);
    assert_eq!(repo.git(&["status", "--porcelain"]), "");
    assert_eq!(replay::replay(&found, &main, &side).unwrap(), outcome, "the same again");
    repo.git(&["fsck", "--strict"]);
}

#[test]
fn what_stands_there_is_taken_as_it_is() {
    let (_env, repo, found) = forked(&[("f", "1\n")]);
    on(&repo, "side");
    repo.commit("a", "a");
    repo.commit("b", "b");
    let (main, side) = tips(&found);
    let outcome = replay::replay(&found, &main, &side).unwrap();
    assert_eq!((&outcome.tip, outcome.commits.len()), (&side, 2), "a fast-forward");
    assert_eq!(replay::replay(&found, &side, &main).unwrap().commits, []);

    on(&repo, "main");
    repo.commit("a", "a");
    let (main, _) = tips(&found);
    let outcome = replay::replay(&found, &main, &side).unwrap();
    assert_eq!(outcome.commits.len(), 1, "the change that is there already falls away");
    let first = oid(&repo.rev("side~1"));
    assert_eq!(replay::replay_one(&found, &main, &first).unwrap(), Replayed::Empty);
}

#[test]
fn a_change_that_the_target_took_back_is_not_lost() {
    let (_env, repo, found) = forked(&[("f", "1\n")]);
    on(&repo, "side");
    repo.commit("a", "a");
    on(&repo, "main");
    repo.commit("m", "m");
    repo.git(&["cherry-pick", "side"]);
    repo.git(&["revert", "--no-edit", "HEAD"]);
    let (main, side) = tips(&found);
    let outcome = replay::replay(&found, &main, &side).unwrap();
    assert_eq!(repo.git(&["show", &format!("{}:a", outcome.tip)]), "a");
}

fn conflict(make_side: impl Fn(&TestRepo), make_main: impl Fn(&TestRepo)) -> Vec<(String, ConflictKind)> {
    let lines = lines("line", 20);
    let (_env, repo, found) =
        forked(&[("f", &lines), ("dir/a", "aa\naa\n"), ("dir/b", "bb\nbb\n"), ("bin", "\0one")]);
    on(&repo, "side");
    make_side(&repo);
    repo.commit_all("side");
    on(&repo, "main");
    make_main(&repo);
    repo.commit_all("main");
    let (main, side) = tips(&found);
    let outcome = replay::replay(&found, &main, &side).unwrap();
    assert_eq!(outcome.tip, main);
    match outcome.stop {
        Some(Stop::Conflict { commit, paths }) => {
            assert_eq!(commit, side);
            paths.into_iter().map(|c| (c.path, c.kind)).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_kind_of_conflict_has_its_name() {
    let path = |path: &str, kind| (path.to_owned(), kind);
    let write = |file: &'static str, text: &'static str| move |repo: &TestRepo| repo.write(file, text);
    assert_eq!(conflict(write("f", "x\n"), write("f", "y\n")), [path("f", ConflictKind::Content)]);
    assert_eq!(conflict(write("n", "x\n"), write("n", "y\n")), [path("n", ConflictKind::AddAdd)]);
    assert_eq!(conflict(write("bin", "\0two"), write("bin", "\0three")), [path("bin", ConflictKind::Binary)]);
    let delete = |repo: &TestRepo| fs::remove_file(repo.path().join("f")).unwrap();
    assert_eq!(conflict(write("f", "x\n"), delete), [path("f", ConflictKind::ModifyDelete)]);
    let moved = |to: &'static str| {
        move |repo: &TestRepo| {
            repo.git(&["mv", "f", to]);
        }
    };
    let kinds = conflict(moved("g"), moved("h"));
    assert!(kinds.iter().all(|(_, kind)| *kind == ConflictKind::Rename), "{kinds:?}");
    let kinds = conflict(moved("g"), delete);
    assert!(kinds.iter().all(|(_, kind)| *kind == ConflictKind::Rename), "{kinds:?}");
    let kinds = conflict(write("new", "file\n"), write("new/inner", "file\n"));
    assert!(kinds.iter().all(|(_, kind)| *kind == ConflictKind::FileDirectory), "{kinds:?}");
    let link = |repo: &TestRepo| {
        fs::remove_file(repo.path().join("f")).unwrap();
        unix::symlink("nowhere", repo.path().join("f")).unwrap();
    };
    let kinds = conflict(link, write("f", "text\n"));
    assert!(kinds.iter().all(|(_, kind)| *kind == ConflictKind::Mode), "{kinds:?}");
    let submodule = |id: &'static str| {
        move |repo: &TestRepo| {
            repo.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{},sub", id.repeat(40))]);
            repo.git(&["commit", "-q", "-m", "sub"]);
            fs::create_dir_all(repo.path().join("sub")).unwrap();
        }
    };
    let kinds = conflict_of_submodule(submodule("1"), submodule("2"));
    assert!(
        kinds.iter().all(|(_, kind)| matches!(kind, ConflictKind::Submodule | ConflictKind::AddAdd)),
        "{kinds:?}"
    );
}

fn conflict_of_submodule(
    make_side: impl Fn(&TestRepo),
    make_main: impl Fn(&TestRepo),
) -> Vec<(String, ConflictKind)> {
    let (_env, repo, found) = forked(&[("f", "f\n")]);
    on(&repo, "side");
    make_side(&repo);
    on(&repo, "main");
    make_main(&repo);
    let (main, side) = tips(&found);
    match replay::replay(&found, &main, &side).unwrap().stop {
        Some(Stop::Conflict { paths, .. }) => paths.into_iter().map(|c| (c.path, c.kind)).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn attributes_of_the_target_count() {
    let (_env, repo, found) = forked(&[("log", "0\n"), (".gitattributes", "log merge=union\n")]);
    on(&repo, "side");
    repo.commit("log", "0\nside\n");
    on(&repo, "main");
    repo.commit("log", "0\nmain\n");
    let (main, side) = tips(&found);
    let outcome = replay::replay(&found, &main, &side).unwrap();
    assert_eq!(outcome.stop, None);
    assert_eq!(repo.git(&["show", &format!("{}:log", outcome.tip)]), "0\nmain\nside");
}

#[test]
fn merges_are_linearised_only_where_nothing_is_lost() {
    let (_env, repo, found) = forked(&[("f", "1\n2\n3\n")]);
    on(&repo, "main");
    repo.commit("m", "m");
    on(&repo, "side");
    repo.commit("s", "s");
    repo.git(&["merge", "-q", "--no-edit", "main"]);
    repo.commit("t", "t");
    on(&repo, "main");
    repo.commit("m2", "m");
    let (main, side) = tips(&found);
    let outcome = replay::replay(&found, &main, &side).unwrap();
    assert_eq!((outcome.commits.len(), &outcome.stop), (2, &None));
    assert_eq!(repo.git(&["rev-list", "--merges", &format!("{main}..{}", outcome.tip)]), "");

    // A change that only the merge commit has.
    on(&repo, "side");
    repo.git(&["merge", "-q", "--no-commit", "main"]);
    repo.write("evil", "only here\n");
    repo.commit_all("merge with a change");
    let (main, side) = tips(&found);
    let outcome = replay::replay(&found, &main, &side).unwrap();
    match outcome.stop {
        Some(Stop::MergesDiffer(paths)) => assert_eq!(paths[0].path, "evil"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_root_commit_is_refused_as_a_value() {
    let (_env, repo, found) = forked(&[("f", "1\n")]);
    repo.git(&["checkout", "-q", "--orphan", "other"]);
    repo.commit("g", "g");
    let root = oid(&repo.head());
    let (main, _) = tips(&found);
    assert_eq!(replay::replay(&found, &main, &root).unwrap().stop, Some(Stop::Root(root.clone())));
    assert_eq!(replay::replay_one(&found, &main, &root).unwrap(), Replayed::NoChange);
}

fn commits(most: usize) -> impl Strategy<Value = Vec<Vec<Change>>> {
    // Now and then a commit changes nothing.
    prop::collection::vec(prop::collection::vec(change(), 0..4), 1..most)
}

/// What a person wrote into the commits from `from` to `to`, oldest first: author, date, message.
fn written(repo: &TestRepo, from: &str, to: &str) -> Vec<String> {
    let range = format!("{from}..{to}");
    let log = ["log", "-z", "--reverse", "--topo-order", "--format=%an <%ae> %ad%n%B", &range];
    let log = repo.try_git(&log).stdout;
    log.split(|b| *b == 0).map(|one| String::from_utf8_lossy(one).into_owned()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Lines, renames of files and folders, deletions, modes, symlinks, submodules, files that become folders and back, names
    /// that change in case only or are no UTF-8, and empty commits.
    #[test]
    fn replay_gives_what_git_rebase_gives(ours in commits(4), theirs in commits(5)) {
        let (_env, repo) = Env::with_repo();
        let mut script = Script::default();
        let first = first_files();
        let fork = script.commit(&first, &[], 1_000, "first");
        let mut line = |changes: &[Vec<Change>], own: Option<&str>, who: &str| {
            let (mut files, mut tip) = (first.clone(), fork);
            for (n, changes) in changes.iter().enumerate() {
                files = with(&files, changes);
                files.extend(own.map(|path| (path.to_owned(), file(path))));
                let date = 2_000 + i64::try_from(n).unwrap();
                tip = script.commit(&files, &[tip], date, &format!("{who} {n}\n\n  body {n}\n\nSigned-off-by: {who}\n"));
            }
            tip
        };
        // The target has something of its own: what stands on it already is taken as it is.
        let (onto, head) = (line(&ours, Some("target's own"), "ours"), line(&theirs, None, "theirs"));
        let ids = script.run(&repo);
        let (onto, head) = (&ids[onto], &ids[head]);
        let found = Repo::discover(repo.path()).unwrap();
        let replayed = replay::replay(&found, onto, head);
        repo.git(&["checkout", "-q", "-f", "--detach", head.as_str()]);
        let rebase = repo.try_git(&["rebase", "-q", "--no-keep-empty", "--empty=drop", "--reapply-cherry-picks", onto.as_str()]);
        let said = String::from_utf8_lossy(&rebase.stderr).into_owned();
        let stopped = repo.try_git(&["rev-parse", "--verify", "-q", "REBASE_HEAD"]);
        let stopped = stopped.status.success().then(|| oid(String::from_utf8_lossy(&stopped.stdout).trim()));
        // git dies of an assertion of its own of some moves of folders beside submodules.
        let died = |said: &str| said.contains("Assertion") || said.contains("BUG:");
        if died(&said) || replayed.as_ref().is_err_and(|error| died(&format!("{error:?}"))) {
            prop_assert!(!rebase.status.success(), "git rebase lived");
            return Ok(());
        }
        let outcome = replayed.unwrap();
        let ours = match &outcome.stop {
            None => None,
            Some(Stop::Conflict { commit, .. }) => Some(commit.clone()),
            Some(other) => panic!("{other:?}"),
        };
        prop_assert_eq!(&ours, &stopped, "git rebase: {}", said);
        prop_assert_eq!(repo.rev(&format!("{}^{{tree}}", outcome.tip)), repo.rev("HEAD^{tree}"));
        prop_assert_eq!(written(&repo, onto.as_str(), outcome.tip.as_str()), written(&repo, onto.as_str(), "HEAD"));
    }
}
