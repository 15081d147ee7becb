//! What is remembered of merges, and when it no longer counts.

use fs_err as fs;
use wt::store::clashes::Clashes;

use super::{edit, field, look, pairs};

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
        edit(&field.open(name, &[]), "src/f", 3, name);
    }
    let first = look(&field, &[]);
    let path = field.layout().merged();
    let whole = fs::read(&path).unwrap();
    for broken in [&b""[..], b"wt merged 1 00000000\n{}", &whole[..whole.len() - 3], b"\xff\n"] {
        fs::write(&path, broken).unwrap();
        let again = look(&field, &[]);
        assert_eq!((&again["merged"], &again["pairs"]), (&first["merged"], &first["pairs"]));
    }
    assert_eq!(fs::read(&path).unwrap(), whole, "and is written anew");
    let folder = fs::read_dir(path.parent().unwrap()).unwrap();
    assert_eq!(folder.count(), 1, "nothing else is left beside it");
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
