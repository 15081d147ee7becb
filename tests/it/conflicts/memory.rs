//! What is remembered of merges, and when it no longer counts.

use fs_err as fs;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use wt::store::clashes::Clashes;

use super::{edit, field, look, pairs, task};
use crate::land::field::Field;
use crate::program::ran;

/// Looks a minute later, when nothing could have changed unseen; returns the verbs of git that this took as well.
fn look_later(field: &Field) -> (Value, Vec<String>) {
    let calls = tempfile::tempdir().unwrap();
    let mut command = field.program.command(&["conflicts", "--json"]);
    command.env("WT_TEST_NOW", (Timestamp::now() + SignedDuration::from_secs(60)).to_string());
    let said = ran(command.env("GIT_TRACE2_EVENT", calls.path()).output().unwrap());
    assert_eq!(said.code, 0, "{}", said.err);
    let mut verbs = Vec::new();
    for call in fs::read_dir(calls.path()).unwrap() {
        let text = fs::read_to_string(call.unwrap().path()).unwrap();
        let told = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        verbs.extend(
            told.filter_map(|event| (event["event"] == "cmd_name").then(|| event["name"].to_string())),
        );
    }
    verbs.sort();
    (said.json(), verbs)
}

#[test]
fn a_workspace_that_is_as_it_was_is_not_read_again() {
    let field = field();
    let work = ["one", "two", "three"].map(|name| field.open(name, &[]));
    for (workspace, line) in work.iter().zip([3, 3, 9]) {
        edit(workspace, "src/f", line, "abcd");
        workspace.write(&format!("new/{line}"), "new\n");
    }
    edit(&work[1], "src/f", 3, "efgh");
    let (first, verbs) = look_later(&field);
    assert_eq!(pairs(&first), ["one+two*: src/f (content)"]);
    assert!(verbs.iter().filter(|verb| *verb == "\"add\"").count() == 3, "{verbs:?}");
    let (again, verbs) = look_later(&field);
    let without = |mut view: Value| {
        view["merged"] = 0.into();
        view
    };
    assert_eq!((again["merged"].clone(), without(again)), (0.into(), without(first)));
    assert!(verbs.iter().all(|verb| ["\"config\"", "\"version\""].contains(&verb.as_str())), "{verbs:?}");
    // As long as before, and at the same time.
    let path = work[2].path().join("src/f");
    let then = fs::metadata(&path).unwrap().modified().unwrap();
    edit(&work[2], "src/f", 9, "f line 9");
    edit(&work[2], "src/f", 3, "ijkl");
    fs::File::options().append(true).open(&path).unwrap().file().set_modified(then).unwrap();
    let (changed, verbs) = look_later(&field);
    assert_eq!(pairs(&changed).len(), 3, "{changed}");
    assert!(verbs.contains(&"\"add\"".to_owned()));
    // What is taken back to the commit is no work any more.
    work[2].git(&["checkout", "-q", "src/f"]);
    fs::remove_dir_all(work[2].path().join("new")).unwrap();
    let (back, _) = look_later(&field);
    assert_eq!(pairs(&back).len(), 1, "{back}");
    assert_eq!(task(&back, "one")["files_changed"], 2);
    // Other attributes make another tree of the same files.
    assert_eq!(look_later(&field).0["merged"], 0);
    field.repo().git(&["config", "core.autocrlf", "input"]);
    let (_, verbs) = look_later(&field);
    assert!(verbs.contains(&"\"add\"".to_owned()), "{verbs:?}");
}

#[test]
fn only_what_changed_is_merged_again() {
    let field = field();
    for name in ["one", "two", "three"] {
        let workspace = field.open(name, &[]);
        edit(&workspace, "src/f", 3, name);
    }
    let first = look(&field, &[]);
    // Three pairs, three with the target, and three without the uncommitted work.
    assert_eq!((&first["merged"], pairs(&first).len()), (&9.into(), 3));
    assert_eq!(look(&field, &[])["merged"], 0);
    let three = field.program.env.at(&field.program.worktree("three"));
    three.git(&["checkout", "-q", "--", "src/f"]);
    edit(&three, "src/g", 3, "three");
    let second = look(&field, &[]);
    assert_eq!((&second["merged"], pairs(&second).len()), (&3.into(), 1));
}

#[test]
fn a_memory_that_is_not_whole_counts_as_none() {
    let field = field();
    for name in ["one", "two"] {
        let workspace = field.open(name, &[]);
        edit(&workspace, "src/f", 3, name);
        // Of what is not committed, more is known a while later.
        workspace.commit_all(name);
    }
    let first = look(&field, &[]);
    let path = field.layout().merged();
    let whole = fs::read(&path).unwrap();
    for broken in [&b""[..], b"wt merged 2 00000000\n{}", &whole[..whole.len() - 3], b"\xff\n"] {
        fs::write(&path, broken).unwrap();
        let again = look(&field, &[]);
        assert_eq!((&again["merged"], &again["pairs"]), (&first["merged"], &first["pairs"]));
    }
    assert_eq!(fs::read(&path).unwrap(), whole, "and is written anew");
    let beside = fs::read_dir(path.parent().unwrap()).unwrap();
    let mut names = beside.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    assert!(names.all(|name| name == "merged" || !name.starts_with("merged")), "nothing is left beside it");
}

#[test]
fn other_attributes_or_settings_make_it_another_question() {
    let field = field();
    for name in ["one", "two"] {
        let workspace = field.open(name, &[]);
        edit(&workspace, "src/f", 3, name);
        workspace.commit_all(name);
    }
    assert_eq!(pairs(&look(&field, &[])).len(), 1);
    field.repo().commit(".gitattributes", "src/f merge=union\n");
    assert_eq!(pairs(&look(&field, &[])), [] as [String; 0], "the target's attributes count");
    assert_eq!(look(&field, &[])["merged"], 0);
    field.repo().git(&["config", "merge.renames", "false"]);
    assert_ne!(look(&field, &[])["merged"], 0);
    field.repo().commit("elsewhere", "the target moves on\n");
    assert_eq!(look(&field, &[])["merged"], 2, "the pair is known, the target is new");
}

#[test]
fn what_was_found_is_kept_for_others_until_it_is_over() {
    let field = field();
    for name in ["one", "two"] {
        edit(&field.open(name, &[]), "src/f", 3, name);
    }
    drop(look(&field, &[]));
    let kept = Clashes::load(&field.layout());
    let tasks: Vec<String> = kept.pairs[0].tasks.iter().map(ToString::to_string).collect();
    assert_eq!(tasks, ["one@1", "two@1"]);
    assert_eq!(kept.pairs[0].files[0].path, "src/f");
    field.program.wt(&["gc", "one", "--force"]).ok();
    drop(look(&field, &[]));
    let over = Clashes::load(&field.layout());
    assert!(over.pairs.is_empty() && over.as_of > kept.as_of);
}
