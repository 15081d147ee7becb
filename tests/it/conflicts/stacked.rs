//! Branches that stand on another one which was squashed onto the target.

use super::{edit, field, look, pairs, task, untouched};

#[test]
fn what_a_child_has_from_a_squashed_parent_conflicts_with_nobody() {
    let field = field();
    let parent = field.open("parent", &[]);
    edit(&parent, "src/f", 3, "three of the parent");
    parent.commit_all("one");
    edit(&parent, "src/f", 4, "four of the parent");
    parent.commit_all("two");
    field.finish("parent");
    let child = field.open("child", &["--base", "wt/parent"]);
    edit(&child, "src/f", 3, "three of the child");
    child.commit_all("child");
    let early = field.open("early", &[]);
    edit(&early, "src/f", 3, "three of the early one");
    early.commit_all("early");
    field.merge(&["parent", "--squash"]).ran.ok();
    let later = field.open("later", &[]);
    edit(&later, "src/f", 15, "fifteen of the later one");
    later.commit_all("later");
    let rival = field.open("rival", &[]);
    edit(&rival, "src/f", 3, "three of the rival");
    rival.commit_all("rival");
    let expected = ["child+early", "child+rival", "early+later", "early+rival"]
        .map(|pair| format!("{pair}: src/f (content)"));
    let before = untouched(&field);
    for _ in 0..2 {
        let view = look(&field, &[]);
        assert_eq!(task(&view, "child")["target_conflicts"], serde_json::json!([]), "{view}");
        assert_eq!(task(&view, "early")["target_conflicts"][0]["path"], "src/f");
        assert_eq!(pairs(&view), expected);
    }
    // The same of what is in no commit; the second look knows its tree by name only.
    edit(&child, "src/f", 4, "four of the child");
    for _ in 0..2 {
        let view = look(&field, &[]);
        assert_eq!(task(&view, "child")["target_conflicts"], serde_json::json!([]), "{view}");
        assert_eq!(pairs(&view), expected);
    }
    assert_eq!(untouched(&field), before);
    child.commit_all("more");
    field.repo().commit("src/f", &field.repo().read("src/f").replace("three of the parent", "of main"));
    let view = look(&field, &[]);
    assert_eq!(task(&view, "child")["target_conflicts"][0]["path"], "src/f", "what it changes itself does");
}
