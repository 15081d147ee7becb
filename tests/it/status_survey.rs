//! `git::clean::survey`: a worktree with the same proof stands for the same tree, and one that is as it was has the same proof.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fs_err as fs;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use wt::git::clean::{self, Memory, PATIENCE};
use wt::git::scratch::Scratch;
use wt::git::standing;
use wt::model::Oid;

use crate::status_clean::{Deed, Place, act, deed};

/// Looks as if `later` than now, with what earlier looks remember of folders; tells whether the worktree is dirty, and its
/// proof.
fn look(place: &Place, later: SignedDuration) -> (bool, Option<String>) {
    let memory = Arc::new(Memory::load(&place.env.root().join("folders"), Timestamp::now() + later));
    let mut answers = clean::survey(&place.repo, vec![place.tree.checkout().clone()], PATIENCE, &memory);
    let (_, dirty) = answers.next().unwrap();
    let proof = answers.proof(0);
    memory.save().unwrap();
    (dirty.unwrap(), proof)
}

/// Looks at a time when all that was done is long ago.
fn proof(place: &Place) -> Option<String> {
    look(place, SignedDuration::from_secs(60)).1
}

fn tree(place: &Place) -> Result<Oid, String> {
    let scratch = Scratch::beside(&place.repo).unwrap();
    let head = Oid::parse(&place.at().rev("HEAD^{tree}")).unwrap();
    let tree = standing::tree(&scratch, place.tree.checkout(), &head, &[], Duration::from_secs(30));
    tree.map_err(|error| error.to_string())
}

#[test]
fn a_worktree_as_it_was_has_the_proof_that_it_had() {
    let place = Place::new();
    assert_eq!(look(&place, SignedDuration::from_secs(60)), (false, None), "clean, and nothing to prove");
    for deed in [
        Deed::Write("src/b.txt", 3),
        Deed::Write("new/a/b", 1),
        Deed::Delete("src/deep"),
        Deed::Git(&["add", "-A"]),
        Deed::Write("src/x.log", 1),
        Deed::Ignore("new/", vec!["*"]),
        Deed::Touch("a.txt"),
    ] {
        act(&place, &deed);
        let first = proof(&place);
        assert!(first.is_some(), "{deed:?}");
        assert_eq!(proof(&place), first, "{deed:?}");
    }
}

#[test]
fn a_change_that_leaves_size_and_time_as_they_were_is_seen() {
    let place = Place::new();
    for path in ["src/b.txt", "new.txt"] {
        place.at().write(path, "one\n");
        let now = look(&place, SignedDuration::ZERO);
        assert_eq!(now, (true, None), "{path} is too young for a proof");
        let first = proof(&place).unwrap();
        let then = fs::metadata(place.path(path)).unwrap().modified().unwrap();
        // The clock of the file system advances in steps, which git takes longer than.
        assert!(tree(&place).is_ok());
        place.at().write(path, "two\n");
        fs::File::options().append(true).open(place.path(path)).unwrap().file().set_modified(then).unwrap();
        assert_ne!(proof(&place).unwrap(), first, "{path}");
    }
}

#[test]
fn what_came_and_went_between_leaves_its_mark() {
    let place = Place::new();
    place.at().write("src/new.txt", "x");
    let first = proof(&place).unwrap();
    assert!(tree(&place).is_ok());
    place.at().write("src/deep/passing.txt", "x");
    fs::remove_file(place.path("src/deep/passing.txt")).unwrap();
    assert_ne!(proof(&place).unwrap(), first, "a file that a look between may have had");
    let first = proof(&place).unwrap();
    place.at().git(&["add", "src/new.txt"]);
    place.at().git(&["reset", "-q"]);
    assert_ne!(proof(&place).unwrap(), first, "an index that a look between may have had");
}

#[test]
fn attributes_that_are_ignored_themselves_allow_no_proof() {
    let place = Place::new();
    place.at().write("src/new.txt", "x\r\n");
    fs::write(place.path("src/.gitignore"), ".gitattributes\n").unwrap();
    assert!(proof(&place).is_some());
    fs::write(place.path("src/.gitattributes"), "* text\n").unwrap();
    assert_eq!(look(&place, SignedDuration::from_secs(60)), (true, None));
}

#[test]
fn what_is_not_understood_is_left_to_git() {
    let place = Place::new();
    place.at().write("nested/file", "x");
    place.env.git_in(&place.path("nested"), &["init", "-q"]);
    assert_eq!(look(&place, SignedDuration::from_secs(60)), (true, None));
    fs::remove_dir_all(place.path("nested")).unwrap();
    place.at().git(&["update-index", "--assume-unchanged", "a.txt"]);
    place.at().write("a.txt", "other\n");
    assert_eq!(look(&place, SignedDuration::from_secs(60)), (false, None), "git does not look at it");
}

#[test]
fn whatever_is_done_the_same_proof_is_of_the_same_tree() {
    let cases = std::env::var("WT_TEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(16);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 64, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let counted = std::cell::RefCell::new((0, 0));
    let run = runner.run(&proptest::collection::vec(deed(), 1..16), |deeds| {
        let place = Place::new();
        let mut known: BTreeMap<String, Result<Oid, String>> = BTreeMap::new();
        for (n, deed) in deeds.iter().enumerate() {
            act(&place, deed);
            let (dirty, proof) = look(&place, SignedDuration::from_secs(60));
            let tree = tree(&place);
            if !dirty {
                let head = Oid::parse(&place.at().rev("HEAD^{tree}")).unwrap();
                prop_assert_eq!(&tree, &Ok(head), "clean: {:?}", &deeds[..=n]);
            }
            let Some(proof) = proof else { continue };
            counted.borrow_mut().0 += 1;
            if let Some(then) = known.insert(proof, tree.clone()) {
                counted.borrow_mut().1 += 1;
                prop_assert_eq!(then, tree, "{:?}", &deeds[..=n]);
            }
        }
        Ok(())
    });
    run.unwrap();
    let (proofs, again) = counted.into_inner();
    assert!(proofs > 20 && again > 0, "{proofs} proofs, {again} of them known: hardly anything is shown");
}
