//! Tasks that change what they must not: held for a person, or flagged.

use wt::model::State;

use super::field::Field;

#[test]
fn what_a_task_was_to_avoid_lands_only_after_a_person_approved_it() {
    let field = Field::new();
    field.done_with("a", &[("db/1", "x\n"), ("db/2", "x\n")], &["--avoid", "db/**"]);
    field.done("b", &[("b", "b\n")]);
    let old = field.main();
    let told = field.merge(&["--all", "--dry-run"]);
    assert_eq!((told.result("a"), told.result("b")), ("review", "landed"));
    assert_eq!(told.reason("a"), "it changes `db/1` and 1 more, which it was told to avoid");
    assert_eq!(field.main(), old);

    // In a batch: the other one lands.
    let said = field.merge(&["--all"]);
    assert_eq!((said.code(), said.result("a"), said.result("b")), (4, "review", "landed"));
    assert_eq!(said.reason("a"), told.reason("a"));
    assert_eq!((field.state("a"), field.subjects()), (State::Review, vec!["change b".to_owned()]));

    field.program.wt(&["approve", "a"]).ok();
    assert_eq!(field.merge(&["a"]).result("a"), "landed");
    field.is_whole();
}

#[test]
fn an_approval_counts_for_the_commit_that_was_approved() {
    let field = Field::new();
    field.done_with("a", &[("m", "x\n")], &["--avoid", "m"]);
    assert_eq!(field.merge(&["a"]).result("a"), "review");
    field.program.wt(&["approve", "a"]).ok();
    field.program.env.at(&field.program.worktree("a")).commit("m", "y\n");
    assert_eq!(field.merge(&["a"]).result("a"), "review");
    assert_eq!(field.state("a"), State::Review);
}

#[test]
fn what_a_live_task_owns_is_held_until_it_has_landed() {
    let field = Field::new();
    field.open("owner", &["--own", "src/pay/**", "--own", "shared"]);
    field.done("a", &[("src/pay/a", "a\n"), ("other", "o\n")]);
    field.done_with("both", &[("shared", "s\n")], &["--own", "shared"]);
    let said = field.merge(&["--all"]);
    assert_eq!((said.result("a"), said.result("both")), ("review", "landed"));
    assert_eq!(said.reason("a"), "it changes `src/pay/a`, which `owner` owns");

    // What lands beside its owner is held all the same, whatever the order; once it has landed, nobody minds.
    field.program.env.at(&field.program.worktree("owner")).commit("src/pay/o", "o\n");
    field.finish("owner");
    field.done_with("first", &[("src/pay/f", "f\n")], &["--priority", "1"]);
    field.done_with("last", &[("src/pay/l", "l\n")], &["--priority", "5"]);
    let told = field.merge(&["--all", "--dry-run"]);
    let said = field.merge(&["--all"]);
    for said in [told, said] {
        assert_eq!(
            (said.result("first"), said.result("owner"), said.result("last")),
            ("review", "landed", "review")
        );
    }
    let said = field.merge(&["a", "first", "last"]);
    assert!(["a", "first", "last"].iter().all(|name| said.result(name) == "landed"));
    field.is_whole();
}

#[test]
fn what_lies_outside_of_what_a_task_owns_is_told_and_lands() {
    let field = Field::new();
    field.done_with("a", &[("src/a", "a\n"), ("docs/b", "b\n")], &["--own", "src/**"]);
    let told = field.merge(&["a", "--dry-run"]);
    let said = field.merge(&["a"]);
    for said in [told, said] {
        assert_eq!((said.result("a"), &said.of("a")["flagged"]), ("landed", &serde_json::json!(["docs/b"])));
    }
    field.done_with("b", &[("src/b", "a\n")], &["--own", "src/**"]);
    assert!(field.merge(&["b"]).of("b").get("flagged").is_none());
}

#[test]
fn several_reasons_are_all_named() {
    let field = Field::with("[merge]\nagent = \"fake\"\nreview = [\"m/**\"]\n");
    field.open("owner", &["--own", "m/1"]);
    field.done_with("b", &[("m/1", "x\n")], &["--avoid", "m/*"]);
    let said = field.merge(&["--all"]);
    assert_eq!(
        said.reason("b"),
        "a change of `m/1` needs a person's approval; it changes `m/1`, which it was told to avoid; it changes `m/1`, which `owner` owns"
    );
}
