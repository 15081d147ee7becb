//! `git::walk` and the replay on it: where the walk says clean, git says clean, with the very same tree.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use wt::git::Repo;
use wt::git::replay::{self, Replayer, Stop};
use wt::git::status;
use wt::git::walk::{Refusal, Walked, Walker};
use wt::model::Oid;

use crate::env::{Env, TestRepo};
use crate::git_repo::oid;
use crate::made_history::{Change, FOLDERS, PATHS, Script, change, file, first_files, with};

/// What git says of one merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The merged tree.
    Clean(Oid),
    Conflict,
    /// git died of an assertion of its own, as it does of some moves of folders beside submodules.
    Died,
}

/// Asks git for many merges (base, ours, theirs), in one process if it does not die.
pub fn git_merges(git_dir: &Path, asked: &[(Oid, Oid, Oid)]) -> Vec<Verdict> {
    if let Some(verdicts) = batch(git_dir, asked) {
        return verdicts;
    }
    if asked.len() == 1 {
        return vec![Verdict::Died];
    }
    let (one, other) = asked.split_at(asked.len() / 2);
    [git_merges(git_dir, one), git_merges(git_dir, other)].concat()
}

fn batch(git_dir: &Path, asked: &[(Oid, Oid, Oid)]) -> Option<Vec<Verdict>> {
    let mut child = Command::new("git")
        .arg("--git-dir")
        .arg(git_dir)
        .args(["merge-tree", "--write-tree", "--stdin", "--no-messages", "--allow-unrelated-histories"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let script = asked
        .iter()
        .fold(String::new(), |script, (base, ours, theirs)| script + &format!("{base} -- {ours} {theirs}\n"));
    // It fails where git dies.
    let feeding = std::thread::spawn(move || drop(input.write_all(script.as_bytes())));
    let mut answers = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut answers).unwrap();
    feeding.join().unwrap();
    if !child.wait().unwrap().success() {
        return None;
    }
    let mut fields = answers.split(|b| *b == 0).map(|field| String::from_utf8_lossy(field).trim().to_owned());
    let verdicts = asked.iter().map(|asked| {
        let clean = fields.next().expect("one answer each") == "1";
        let tree = fields.next().expect("a tree");
        let more = fields.by_ref().take_while(|field| !field.is_empty()).count();
        // A folder of which git cannot tell where it was moved is a conflict at no path.
        assert!(!clean || more == 0, "{asked:?}");
        if clean { Verdict::Clean(oid(&tree)) } else { Verdict::Conflict }
    });
    Some(verdicts.collect())
}

/// Walks the trees of three commits.
pub fn walked(repo: &Repo, walker: &mut Walker, (base, ours, theirs): &(Oid, Oid, Oid)) -> Walked {
    let tree = |commit| repo.tree_of(commit).unwrap();
    walker.walk(&tree(base), &tree(ours), &tree(theirs)).unwrap()
}

/// What the walk and git say of changes on both sides of the first files.
fn both_say(ours: &[Change], theirs: &[Change]) -> (Walked, Verdict) {
    let (_env, repo) = Env::with_repo();
    let mut script = Script::default();
    let first = first_files();
    script.commit(&first, &[], 1_000, "first");
    script.commit(&with(&first, ours), &[1], 2_000, "ours");
    script.commit(&with(&first, theirs), &[1], 3_000, "theirs");
    let ids = script.run(&repo);
    let found = Repo::discover(repo.path()).unwrap();
    let asked = (ids[1].clone(), ids[2].clone(), ids[3].clone());
    let said = walked(&found, &mut Walker::new(&found), &asked);
    let verdict = git_merges(&repo.path().join(".git"), &[asked]).remove(0);
    repo.git(&["fsck", "--strict"]);
    (said, verdict)
}

fn path(path: &str) -> usize {
    PATHS.iter().position(|there| *there == path).unwrap()
}

fn folder(path: &str) -> usize {
    FOLDERS.iter().position(|there| *there == path).unwrap()
}

#[test]
fn what_only_one_side_changed_is_taken_as_git_takes_it() {
    use Change::{Add, Delete, DeleteFolder, Exec, Line, Link, Rename, RenameFolder, Submodule};
    let b = || Line(path("b/one"), 3, 1);
    let cases: [(&str, Vec<Change>, Vec<Change>); 15] = [
        ("an edit beside an edit", vec![b()], vec![Line(path("b/two"), 3, 1)]),
        ("an edit deep down", vec![Line(path("b/sub/three"), 0, 0)], vec![Line(path("d/e/f/six"), 1, 1)]),
        ("a file of its own", vec![b()], vec![Add(path("new"), 1)]),
        ("a new file in a folder that the target changed", vec![b()], vec![Link(path("b/sub/four"), 2)]),
        ("a new file in a folder that both made", vec![Add(path("d/e/f/new"), 1)], vec![Add(path("new"), 2)]),
        ("a mode", vec![b()], vec![Exec(path("b/two"))]),
        ("a symlink", vec![b()], vec![Link(path("a"), 1)]),
        ("a submodule", vec![b()], vec![Submodule(path("a0"), 1)]),
        (
            "a file that became a folder",
            vec![b()],
            vec![Delete(path("a")), Rename(path("c/five"), path("c"))],
        ),
        ("a folder that became a file", vec![b()], vec![Add(path("d/e"), 1)]),
        ("a rename", vec![b()], vec![Rename(path("c/five"), path("new"))]),
        ("a folder moved away", vec![b()], vec![RenameFolder(folder("c"), folder("z"))]),
        ("the last file of a folder", vec![Delete(path("b/sub/three"))], vec![Delete(path("b/sub/four"))]),
        ("a folder taken away", vec![b()], vec![DeleteFolder(folder("d"))]),
        ("nothing", vec![b()], vec![]),
    ];
    for (what, ours, theirs) in cases {
        let (said, verdict) = both_say(&ours, &theirs);
        let Walked::Tree(tree) = said else { panic!("{what}: {said:?}") };
        assert_eq!(Verdict::Clean(tree), verdict, "{what}");
    }
}

#[test]
fn what_both_sides_touched_is_gits_to_judge() {
    use Change::{Add, Delete, Exec, Line, Link, Rename, RenameFolder};
    let edit = |at: &str, value| Line(path(at), 3, value);
    let cases: [(&str, Vec<Change>, Vec<Change>, Refusal); 12] = [
        ("one file", vec![edit("a", 1)], vec![Line(path("a"), 9, 1)], Refusal::BothChanged),
        ("the same edit", vec![edit("a", 1)], vec![edit("a", 1)], Refusal::SameChange),
        ("the same deletion", vec![Delete(path("a"))], vec![Delete(path("a"))], Refusal::SameChange),
        (
            "a deletion, and a rename that deletes too",
            vec![Delete(path("a"))],
            vec![Rename(path("a"), path("new"))],
            Refusal::SameChange,
        ),
        ("one new path", vec![Add(path("new"), 1)], vec![Add(path("new"), 2)], Refusal::BothAdded),
        (
            "an edit of what was moved",
            vec![Rename(path("a"), path("new"))],
            vec![edit("a", 1)],
            Refusal::Gone,
        ),
        (
            "a move of what was edited",
            vec![edit("a", 1)],
            vec![Rename(path("a"), path("new"))],
            Refusal::Deleted,
        ),
        (
            "a new file in a folder that was moved",
            vec![RenameFolder(folder("d/e"), folder("z"))],
            vec![Add(path("d/e/f/new"), 1)],
            Refusal::Gone,
        ),
        (
            "a folder moved under a new file",
            vec![Add(path("d/e/f/new"), 1)],
            vec![RenameFolder(folder("d"), folder("z"))],
            Refusal::Deleted,
        ),
        (
            "a symlink in place of what was edited",
            vec![edit("a", 1)],
            vec![Link(path("a"), 1)],
            Refusal::OtherKind,
        ),
        ("a mode of what was edited", vec![edit("a", 1)], vec![Exec(path("a"))], Refusal::OtherKind),
        (
            "a folder in place of what was edited",
            vec![edit("c/five", 1)],
            vec![Add(path("c"), 1)],
            Refusal::OtherKind,
        ),
    ];
    for (what, ours, theirs, why) in cases {
        assert_eq!(both_say(&ours, &theirs).0, Walked::Refused(why), "{what}");
    }
}

#[test]
fn trees_that_git_would_write_otherwise_are_refused() {
    let (_env, repo) = Env::with_repo();
    let found = Repo::discover(repo.path()).unwrap();
    let blob = |text: &str| {
        repo.write("scratch", text);
        repo.git(&["hash-object", "-w", "scratch"])
    };
    let (one, two) = (blob("1\n"), blob("2\n"));
    let tree = |entries: &[(&str, &str, &str)]| {
        let mut raw = Vec::new();
        for (mode, name, id) in entries {
            raw.extend_from_slice(format!("{mode} {name}\0").as_bytes());
            raw.extend((0..20).map(|n| u8::from_str_radix(&id[2 * n..2 * n + 2], 16).unwrap()));
        }
        repo.write("scratch", raw);
        repo.git(&["hash-object", "-w", "-t", "tree", "--literally", "scratch"])
    };
    let file = "100644";
    let empty = tree(&[]);
    for (what, mode, name, id) in [
        ("a mode of old", "100664", "m", &one),
        ("a leading zero", "040000", "m", &tree(&[(file, "x", &one)])),
        ("an empty folder", "40000", "m", &empty),
        ("no order", file, "0", &one),
    ] {
        let odd = (mode, name, id.as_str());
        let base = tree(&[(file, "f", &one)]);
        let theirs = tree(&[(file, "f", &two)]);
        let ours = tree(&[(file, "f", &one), odd]);
        let walk = |base: &str, ours: &str, theirs: &str| {
            Walker::new(&found).walk(&oid(base), &oid(ours), &oid(theirs)).unwrap()
        };
        assert_eq!(walk(&base, &ours, &theirs), Walked::Refused(Refusal::Odd), "{what}, on the target");
        assert_eq!(walk(&base, &base, &ours), Walked::Refused(Refusal::Odd), "{what}, on the branch");
        let deep = |tree_id: &str| tree(&[("40000", "d", tree_id)]);
        let said = walk(&deep(&base), &deep(&base), &deep(&ours));
        assert_eq!(said, Walked::Refused(Refusal::Odd), "{what}, in a folder that is taken whole");
        assert!(matches!(walk(&base, &base, &theirs), Walked::Tree(_)));
    }
    let gone = "1".repeat(40);
    let (base, theirs) = (tree(&[(file, "f", &one)]), tree(&[(file, "f", &two)]));
    let said = Walker::new(&found).walk(&oid(&base), &oid(&gone), &oid(&theirs)).unwrap();
    assert_eq!(said, Walked::Refused(Refusal::Unread));
}

fn sides() -> impl Strategy<Value = Vec<(Vec<Change>, Vec<Change>)>> {
    let side = || prop::collection::vec(change(), 1..5);
    prop::collection::vec((side(), side()), 40..=40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// 480 pairs of sides a run: the walk takes about every second one that git merges.
    #[test]
    fn the_walk_is_clean_only_where_git_is_and_with_its_tree(start in prop::collection::vec(change(), 0..4), pairs in sides()) {
        let (_env, repo) = Env::with_repo();
        let first = with(&first_files(), &start);
        let mut script = Script::default();
        script.commit(&first, &[], 1_000, "first");
        for (ours, theirs) in &pairs {
            script.commit(&with(&first, ours), &[1], 2_000, "ours");
            script.commit(&with(&first, theirs), &[1], 3_000, "theirs");
        }
        let ids = script.run(&repo);
        let asked: Vec<_> = ids[2..].chunks(2).map(|two| (ids[1].clone(), two[0].clone(), two[1].clone())).collect();
        let found = Repo::discover(repo.path()).unwrap();
        let mut walker = Walker::new(&found);
        let mut taken = 0;
        let verdicts = git_merges(&repo.path().join(".git"), &asked);
        let ends: Vec<_> = asked.iter().map(|(_, ours, theirs)| (ours.clone(), theirs.clone())).collect();
        for ((ours, theirs), listed) in ends.iter().zip(status::paths_of_changes(&found, &ends).unwrap()) {
            prop_assert_eq!(status::changed_paths(&found, ours, theirs).unwrap(), listed, "as git lists them");
        }
        for ((asked, verdict), sides) in asked.iter().zip(verdicts).zip(&pairs) {
            if let Walked::Tree(tree) = walked(&found, &mut walker, asked) {
                taken += 1;
                prop_assert!(verdict == Verdict::Died || verdict == Verdict::Clean(tree), "{:?}", sides);
            }
        }
        prop_assert!(taken > 0, "none of {} was taken", pairs.len());
    }
}

/// What replaying by git alone comes to: commits of `head` that `onto` lacks, each merged by `git merge-tree` and written
/// anew with its own lines; the commit that conflicts, if one does. `None`: git died of it, see [`Verdict::Died`].
fn by_git(repo: &TestRepo, onto: &Oid, head: &Oid) -> Option<(Oid, Vec<Oid>, Option<Oid>)> {
    let listed = |of: &Oid| repo.git(&["rev-list", "--reverse", "--topo-order", of.as_str()]);
    let target = listed(onto);
    let target: BTreeSet<&str> = target.lines().collect();
    let (mut tip, mut commits) = (onto.clone(), Vec::new());
    for commit in listed(head).lines().filter(|commit| !target.contains(commit)) {
        let parent = repo.rev(&format!("{commit}^"));
        if parent == tip.as_str() {
            tip = oid(commit);
            commits.push(tip.clone());
            continue;
        }
        let base = format!("--merge-base={parent}");
        let merged =
            repo.try_git(&["merge-tree", "--write-tree", "--no-messages", &base, tip.as_str(), commit]);
        match merged.status.code() {
            Some(0) => {}
            Some(1) => return Some((tip, commits, Some(oid(commit)))),
            _ => return None,
        }
        let tree = String::from_utf8(merged.stdout).unwrap().trim().to_owned();
        if tree == repo.rev(&format!("{tip}^{{tree}}")) {
            continue;
        }
        let raw = repo.try_git(&["cat-file", "commit", commit]).stdout;
        let at = raw.windows(8).position(|w| w == b"\nauthor ").unwrap();
        let new = [format!("tree {tree}\nparent {tip}").as_bytes(), &raw[at..]].concat();
        repo.write(".git/scratch", new);
        let written = ["hash-object", "-t", "commit", "-w", "--no-filters", ".git/scratch"];
        tip = oid(&repo.git(&written));
        commits.push(tip.clone());
    }
    Some((tip, commits, None))
}

/// A branch: the commit of the target that it forks from, and the changes of its commits.
type Branch = (usize, Vec<(Vec<Change>, i64)>);

fn branches() -> impl Strategy<Value = Vec<Branch>> {
    // Dates go backwards now and then.
    let commit = || (prop::collection::vec(change(), 0..3), 0..5_000i64);
    prop::collection::vec((0..3usize, prop::collection::vec(commit(), 1..4)), 2..5)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// Branch after branch onto the moving tip, what was read kept, against git alone: the same commits, byte for byte.
    #[test]
    fn a_landing_of_branches_gives_the_commits_of_git_alone(target in prop::collection::vec(prop::collection::vec(change(), 0..3), 3), branches in branches()) {
        let (_env, repo) = Env::with_repo();
        let mut script = Script::default();
        let mut line = vec![(first_files(), script.commit(&first_files(), &[], 1_000, "first"))];
        for (n, changes) in target.iter().enumerate() {
            let (files, parent) = line[n].clone();
            let files = with(&files, changes);
            let mark = script.commit(&files, &[parent], 2_000, "on the target");
            line.push((files, mark));
        }
        let mut heads = Vec::new();
        for (fork, commits) in &branches {
            let (mut files, mut parent) = line[*fork].clone();
            for (n, (changes, date)) in commits.iter().enumerate() {
                files = with(&files, changes);
                parent = script.commit(&files, &[parent], 500 + date, &format!("step {n}\n\nSigned-off-by: a\n\n"));
            }
            heads.push(parent);
        }
        let ids = script.run(&repo);
        let found = Repo::discover(repo.path()).unwrap();
        let mut replayer = Replayer::new(&found);
        let mut tip = ids[line[3].1].clone();
        let mut foreseen = Replayer::new(&found);
        foreseen.look_ahead(&tip, &heads.iter().map(|head| ids[*head].clone()).collect::<Vec<_>>());
        for head in heads {
            let Some(wanted) = by_git(&repo, &tip, &ids[head]) else { break };
            let outcome = replayer.replay(&tip, &ids[head]).unwrap();
            let stopped = match &outcome.stop {
                None => None,
                Some(Stop::Conflict { commit, .. }) => Some(commit.clone()),
                Some(other) => panic!("{other:?}"),
            };
            prop_assert_eq!((&outcome.tip, &outcome.commits, &stopped), (&wanted.0, &wanted.1, &wanted.2));
            let alone = replay::replay(&found, &tip, &ids[head]).unwrap();
            prop_assert_eq!(&alone, &outcome, "nothing read before");
            prop_assert_eq!(&foreseen.replay(&tip, &ids[head]).unwrap(), &outcome, "looked at before");
            if stopped.is_none() {
                tip = outcome.tip;
            }
        }
    }

    /// Whatever the dates and merges of the target are, the commits to replay are those that it does not have.
    #[test]
    fn commits_to_replay_are_those_that_the_target_lacks(
        shape in prop::collection::vec((0..99usize, 0..99usize, any::<bool>(), 0..6i64), 3..24),
        pairs in prop::collection::vec((0..99usize, 0..99usize), 6),
    ) {
        let (_env, repo) = Env::with_repo();
        let mut script = Script::default();
        let mut made = vec![(script.commit(&first_files(), &[], 1_000, "first"), first_files())];
        for (n, (a, b, merge, date)) in shape.iter().enumerate() {
            let first = made.len().saturating_sub(1 + a % 3);
            let (parent, mut files) = made[first].clone();
            let mut parents = vec![parent];
            if *merge && made[b % made.len()].0 != parent {
                let (other, more) = made[b % made.len()].clone();
                parents.push(other);
                files.extend(more);
            }
            files.insert(format!("own/{n}"), file("own"));
            made.push((script.commit(&files, &parents, 1_000 + date, "one"), files));
        }
        let ids = script.run(&repo);
        let found = Repo::discover(repo.path()).unwrap();
        let mut replayer = Replayer::new(&found);
        for (onto, head) in pairs {
            let (onto, head) = (&ids[made[onto % made.len()].0], &ids[made[head % made.len()].0]);
            let range = format!("{onto}..{head}");
            if !repo.git(&["rev-list", "--merges", &range]).is_empty() {
                continue;
            }
            let outcome = replayer.replay(onto, head).unwrap();
            let wanted = by_git(&repo, onto, head).expect("files of their own cannot make git die");
            prop_assert_eq!((&outcome.tip, &outcome.commits), (&wanted.0, &wanted.1));
            let ways = outcome.ways;
            prop_assert_eq!((ways.standing + ways.walked + ways.merged).to_string(), repo.git(&["rev-list", "--count", &range]));
        }
    }
}

#[test]
fn a_replay_tells_how_its_commits_were_merged() {
    let (_env, repo) = Env::with_repo();
    let mut script = Script::default();
    let first = first_files();
    script.commit(&first, &[], 1_000, "first");
    let target = with(&first, &[Change::Line(path("a"), 1, 1)]);
    script.commit(&target, &[1], 2_000, "on the target");
    let walked = with(&first, &[Change::Line(path("b/one"), 1, 1)]);
    script.commit(&walked, &[1], 3_000, "beside it");
    let merged = with(&walked, &[Change::Line(path("a"), 9, 1)]);
    script.commit(&merged, &[3], 4_000, "in the same file");
    script.commit(&with(&target, &[Change::Line(path("b/two"), 1, 1)]), &[2], 5_000, "on top");
    let ids = script.run(&repo);
    let found = Repo::discover(repo.path()).unwrap();
    let ways = |head: usize| {
        let ways = replay::replay(&found, &ids[2], &ids[head]).unwrap().ways;
        (ways.standing, ways.walked, ways.merged)
    };
    assert_eq!(ways(4), (0, 1, 1));
    assert_eq!(ways(5), (1, 0, 0));
}

#[test]
fn a_history_that_ends_early_is_gits_to_read() {
    let (env, repo) = Env::with_repo();
    for n in 0..4 {
        repo.commit("f", &format!("{n}\n"));
    }
    repo.git(&["checkout", "-q", "-b", "side"]);
    repo.commit("side", "side\n");
    repo.git(&["checkout", "-q", "main"]);
    repo.commit("main", "main\n");
    let url = format!("file://{}", repo.path().display());
    env.git_in(env.root(), &["clone", "-q", "--depth", "2", "--no-single-branch", &url, "shallow"]);
    let shallow = env.root().join("shallow");
    let found = Repo::discover(&shallow).unwrap();
    let (main, side) = (oid(&repo.rev("main")), oid(&repo.rev("side")));
    let outcome = replay::replay(&found, &main, &side).unwrap();
    assert_eq!((outcome.commits.len(), &outcome.stop), (1, &None));
    assert_eq!(outcome, replay::replay(&Repo::discover(repo.path()).unwrap(), &main, &side).unwrap());
}
