//! What comes onto the target: one commit for a task, a merge commit, or its commits; and who stands on what.

use wt::model::State;

use super::field::Field;
use super::resolve::{Scene, both, writes};

/// Commits in `workspace` by somebody else than the user.
fn commit_by(workspace: &crate::env::TestRepo, name: &str, path: &str, text: &str, message: &str) {
    workspace.write(path, text);
    workspace.git(&["add", "-A"]);
    let author = format!("{name} <{}@example.org>", name.to_lowercase());
    workspace.git(&[
        "commit",
        "-q",
        "--author",
        &author,
        "--date",
        "2025-02-03T04:05:06+09:00",
        "-m",
        message,
    ]);
}

fn message(field: &Field, rev: &str) -> String {
    let raw = field.repo().git(&["cat-file", "commit", rev]);
    raw.split_once("\n\n").map(|(_, message)| message.to_owned()).unwrap_or_default()
}

fn parents(field: &Field, rev: &str) -> String {
    field.repo().git(&["log", "-1", "--format=%P", rev])
}

#[test]
fn a_squash_is_one_commit_by_the_last_author_with_everybody_named() {
    let field = Field::new();
    let workspace = field.open("a", &[]);
    commit_by(&workspace, "Ann", "one", "1\n", "First\n\nWhy.\n\nSigned-off-by: Ann <ann@example.org>");
    commit_by(&workspace, "Bob", "two", "2\n", "Second\n\nFixes: #7");
    commit_by(&workspace, "Cid", "one", "1\n2\n", "Third\n\nSigned-off-by: Ann <ann@example.org>");
    field.finish("a");
    field.repo().commit("other", "moves main\n");
    field.done("b", &[("b", "b\n"), ("b", "bb\n")]);
    let (old, branch) = (field.main(), field.repo().rev("wt/a"));
    let said = field.merge(&["--all", "--squash"]);
    assert_eq!(said.code(), 0, "{}", said.ran.err);
    assert_eq!((&said.of("a")["commits"], &said.of("b")["commits"]), (&1.into(), &1.into()));
    assert_eq!((parents(&field, "main~1"), field.subjects().len()), (old, 3), "one commit each");
    let about = field.repo().git(&["log", "-1", "--format=%an|%ae|%aI|%cn", "main~1"]);
    assert_eq!(about, "Cid|cid@example.org|2025-02-03T04:05:06+09:00|Ada Tester");
    assert_eq!(
        message(&field, "main~1"),
        "First\n\n* First\n* Second\n* Third\n\nSigned-off-by: Ann <ann@example.org>\nFixes: #7\n\
         Co-authored-by: Ann <ann@example.org>\nCo-authored-by: Bob <bob@example.org>"
    );
    assert_eq!(field.repo().git(&["diff", "--name-only", "main~1~1", "main~1"]), "one\ntwo");
    assert_eq!((field.repo().read("one"), field.repo().read("b")), ("1\n2\n".into(), "bb\n".into()));
    assert_eq!(
        (field.repo().rev("wt/a"), field.state("a")),
        (branch, State::Landed),
        "the branch is as it was"
    );
    field.is_whole();
    // Nothing of it is left to land, whatever becomes of its lines.
    field.repo().commit("one", "changed since\n");
    assert_eq!(field.merge(&["--all"]).view["tasks"].as_array().unwrap().len(), 0);
    let said = field.program.wt(&["gc", "--json"]).json();
    let removed: Vec<&str> =
        said["removed"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap()).collect();
    assert_eq!(removed, ["a", "b"], "{said}");
}

#[test]
fn one_commit_keeps_its_own_message_and_nothing_makes_none() {
    let field = Field::with(
        "[merge]\nagent = \"nobody\"\nstyle = \"squash\"\n[agents.nobody]\ncommand = [\"wt-no-such-agent\"]\n",
    );
    let head = field.done("a", &[("a", "a\n")]);
    field.merge(&["a"]).ran.ok();
    assert_eq!(field.main(), head, "a fast-forward");
    field.done("back", &[("f", "x\n")]);
    let workspace = field.program.env.at(&field.program.worktree("back"));
    workspace.git(&["revert", "--no-edit", "HEAD"]);
    let workspace = field.open("one", &[]);
    commit_by(&workspace, "Ann", "one", "1\n", "Its own words\n\nat length");
    field.finish("one");
    let old = field.main();
    let said = field.merge(&["--all"]);
    assert_eq!((said.code(), &said.of("back")["commits"]), (0, &0.into()), "{}", said.ran.err);
    assert_eq!(field.state("back"), State::Landed);
    assert_eq!(parents(&field, "main"), old);
    assert_eq!(message(&field, "main"), "Its own words\n\nat length");
    assert_eq!(field.repo().git(&["log", "-1", "--format=%an", "main"]), "Ann");
    // Asked for on the command line, the setting does not count.
    field.done("two", &[("x", "1\n"), ("x", "2\n")]);
    assert_eq!(field.merge(&["two", "--rebase"]).of("two")["commits"], 2);
    field.program.wt(&["merge", "two", "--rebase", "--squash"]).fails(2);
}

#[test]
fn a_merge_commit_keeps_the_branch_as_it_is() {
    let field = Field::new();
    let a = field.done("a", &[("a", "a\n"), ("a", "aa\n")]);
    let b = field.done("b", &[("b", "b\n")]);
    let old = field.main();
    let said = field.merge(&["--all", "--merge-commit"]);
    assert_eq!((said.code(), &said.of("a")["commits"]), (0, &2.into()), "{}", said.ran.err);
    let first = field.repo().rev("main^1");
    assert_eq!(parents(&field, &first), format!("{old} {a}"), "also where it could be fast-forwarded");
    assert_eq!(parents(&field, "main"), format!("{first} {b}"));
    assert_eq!(message(&field, &first), "Merge branch 'wt/a'\n\nchange a");
    assert_eq!(field.repo().git(&["log", "--format=%an", "-1", "main"]), "Ada Tester");
    assert_eq!((field.repo().read("a"), field.repo().read("b")), ("aa\n".into(), "b\n".into()));
    assert_eq!(
        field.repo().git(&["branch", "--merged", "main", "--list", "wt/*", "--format=%(refname:short)"]),
        "wt/a\nwt/b"
    );
    field.is_whole();
    assert_eq!(field.merge(&["--all", "--merge-commit"]).view["tasks"].as_array().unwrap().len(), 0);
}

#[test]
fn what_only_a_merge_of_the_branch_has_lands_with_a_merge_commit_or_a_squash() {
    for style in ["--merge-commit", "--squash"] {
        let field = Field::new();
        let workspace = field.open("a", &[]);
        workspace.commit("a", "a\n");
        field.repo().commit("main-1", "m\n");
        workspace.git(&["merge", "-q", "--no-commit", "--no-ff", "main"]);
        workspace.write("evil", "only in the merge\n");
        workspace.commit_all("merge with a change");
        field.repo().commit("main-2", "m\n");
        field.finish("a");
        let said = field.merge(&["a"]);
        assert_eq!(said.result("a"), "conflict", "it cannot be replayed");
        assert!(said.ran.err.contains("`wt merge a --merge-commit`"), "{}", said.ran.err);
        let said = field.merge(&["a", style]);
        assert_eq!((said.code(), said.result("a")), (0, "landed"), "{style}: {}", said.ran.err);
        assert_eq!(field.repo().read("evil"), "only in the merge\n");
        assert_eq!(field.repo().read("main-2"), "m\n");
        field.is_whole();
    }
}

#[test]
fn merges_are_refused_where_the_settings_say_so() {
    let field = Field::with(
        "[merge]\nagent = \"nobody\"\nmerges = \"refuse\"\n[agents.nobody]\ncommand = [\"wt-no-such-agent\"]\n",
    );
    let workspace = field.open("a", &[]);
    workspace.commit("a", "a\n");
    field.repo().commit("main-1", "m\n");
    workspace.git(&["merge", "-q", "--no-edit", "main"]);
    let merge = workspace.head();
    workspace.commit("b", "b\n");
    field.finish("a");
    field.done("straight", &[("s", "s\n")]);
    let head = field.repo().rev("wt/a");
    for more in [&["--dry-run"][..], &[]] {
        let said = field.merge(&[&["--all"], more].concat());
        assert_eq!((said.code(), said.result("a"), said.result("straight")), (3, "skipped", "landed"));
        assert_eq!(
            said.reason("a"),
            format!("its history has the merge {}, and `[merge] merges` refuses merges", &merge[..10])
        );
        assert!(said.ran.err.contains("`wt merge a --merge-commit`"), "{}", said.ran.err);
    }
    assert_eq!((field.state("a"), field.repo().rev("wt/a")), (State::Done { skipped: false }, head));
    let said = field.merge(&["a", "--merge-commit"]);
    assert_eq!((said.code(), said.result("a")), (0, "landed"), "{}", said.ran.err);
    field.is_whole();
}

/// A parent whose commits change the same line one after the other, and a child on top: both as tasks that are done.
fn family(field: &Field, on: &str) {
    field.repo().commit("f", "0\n");
    field.done("parent", &[("f", "1\n"), ("f", "2\n"), ("f", "3\n")]);
    let child = field.open("child", &["--base", on]);
    child.commit("c", "c\n");
    field.finish("child");
}

#[test]
fn a_child_brings_only_its_own_commits_after_its_parent_was_squashed() {
    // All of the parent, and the first half of it.
    for on in ["wt/parent", "wt/parent~1"] {
        // At once, and one after the other with something in between.
        for together in [true, false] {
            let field = Field::new();
            family(&field, on);
            if together {
                let told = field.merge(&["--all", "--squash", "--dry-run"]);
                assert_eq!(told.code(), 0, "{on}: {}", told.ran.err);
                let said = field.merge(&["--all", "--squash"]);
                assert_eq!(said.code(), 0, "{on}: {}", said.ran.err);
            } else {
                field.merge(&["parent", "--squash"]).ran.ok();
                field.repo().commit("f", "3 and more\n");
                let task = field.program.task("child");
                assert_eq!(task["conflicts_with_target"], false, "{on}: foreseen as it will land");
                let told = field.program.wt(&["diff", "child", "--json"]).json();
                assert_eq!(
                    (told["files"].to_string(), &told["commits"]),
                    ("[\"c\"]".into(), &1.into()),
                    "{told}"
                );
                let said = field.merge(&["child"]);
                assert_eq!(
                    (said.code(), &said.of("child")["commits"]),
                    (0, &1.into()),
                    "{on}: {}",
                    said.ran.err
                );
            }
            let expected: &[&str] = if together {
                &["change c", "change f", "change f"]
            } else {
                &["change c", "change f", "change f", "change f"]
            };
            assert_eq!(field.subjects(), expected, "{on}, together: {together}");
            assert_eq!(field.repo().read("f"), if together { "3\n" } else { "3 and more\n" });
            field.is_whole();
        }
    }
}

#[test]
fn a_parent_that_is_not_on_the_target_any_more_is_brought_again() {
    let field = Field::new();
    family(&field, "wt/parent");
    field.merge(&["parent", "--squash"]).ran.ok();
    field.repo().git(&["reset", "-q", "--hard", "main~1"]);
    let said = field.merge(&["child"]);
    assert_eq!((said.code(), &said.of("child")["commits"]), (0, &4.into()), "{}", said.ran.err);
    assert_eq!((field.repo().read("f"), field.repo().read("c")), ("3\n".into(), "c\n".into()));
}

#[test]
fn a_child_of_a_rejected_parent_brings_the_parents_commits_itself() {
    let field = Field::with("[[verify]]\nname = \"check\"\nrun = \"test ! -e bad\"\n");
    field.done("parent", &[("bad", "1\n"), ("bad", "2\n")]);
    let child = field.open("child", &["--base", "wt/parent"]);
    child.git(&["rm", "-q", "bad"]);
    child.commit("c", "c\n");
    child.commit("d", "d\n");
    field.finish("child");
    field.merge(&["parent", "--squash"]);
    assert_eq!(field.state("parent"), State::Rejected);
    let said = field.merge(&["child", "--squash"]);
    assert_eq!((said.code(), said.result("child")), (0, "landed"), "{}", said.ran.err);
    assert_eq!(field.repo().git(&["ls-tree", "--name-only", "main"]), "README.md\nc\nd");
}

#[test]
fn a_parent_whose_child_went_first_has_nothing_left_to_bring() {
    for style in ["--squash", "--rebase"] {
        let field = Field::new();
        family(&field, "wt/parent~1");
        field.repo().commit("other", "moves main\n");
        field.merge(&["child", style]).ran.ok();
        assert_eq!(field.repo().read("f"), "2\n");
        field.repo().commit("f", "2\nafter\n");
        let said = field.merge(&["parent", style, "--dry-run"]);
        assert_eq!((said.code(), said.result("parent")), (4, "conflict"), "its last commit is its own");
        field.repo().git(&["reset", "-q", "--hard", "HEAD~1"]);
        let said = field.merge(&["parent", style]);
        assert_eq!((said.code(), &said.of("parent")["commits"]), (0, &1.into()), "{}", said.ran.err);
        assert_eq!(field.repo().read("f"), "3\n");
        field.is_whole();
    }
}

#[test]
fn a_child_of_a_parent_that_a_resolver_rewrote_lands_without_another_call() {
    let scene = Scene::combined(&writes(&both()), "");
    let child = scene.field.open("child", &["--base", "wt/b"]);
    child.commit("c", "c\n");
    scene.field.finish("child");
    let said = scene.field.merge(&["a", "b"]);
    assert_eq!((said.code(), scene.calls()), (0, 1), "{}", said.ran.err);
    // Later the combined line is changed again: what `b` did is not to be merged a second time.
    scene.field.repo().commit("code.py", &both().replace("LEFT, RIGHT", "BOTH"));
    let said = scene.field.merge(&["child"]);
    assert_eq!(
        (said.code(), &said.of("child")["commits"], scene.calls()),
        (0, &1.into(), 1),
        "{}",
        said.ran.err
    );
    assert_eq!(scene.field.repo().read("code.py"), both().replace("LEFT, RIGHT", "BOTH"));
    scene.field.is_whole();
}

#[test]
fn what_an_agent_resolved_is_squashed_or_merged_like_any_other() {
    for style in ["--squash", "--merge-commit"] {
        let scene = Scene::combined(&writes(&both()), "");
        let workspace = scene.field.program.env.at(&scene.field.program.worktree("b"));
        workspace.commit("more", "more\n");
        let said = scene.field.merge(&["--all", style]);
        assert_eq!((said.code(), said.result("b"), scene.calls()), (0, "landed", 1), "{}", said.ran.err);
        assert_eq!(scene.field.repo().read("code.py"), both());
        assert_eq!(scene.field.repo().read("more"), "more\n");
        let ahead = scene.field.repo().git(&["rev-list", "--count", "--first-parent", "main"]);
        assert_eq!(ahead, "4", "{style}: the first two, and one each");
        let merged = parents(&scene.field, "main").split(' ').count();
        assert_eq!(merged, if style == "--squash" { 1 } else { 2 });
        scene.field.is_whole();
    }
}

#[test]
fn what_waits_for_a_person_is_shown_and_lands_in_its_form() {
    let field = Field::new();
    field.done("a", &[("migrations/1.sql", "1\n"), ("migrations/1.sql", "2\n")]);
    let said = field.merge(&["a", "--squash"]);
    assert_eq!((said.code(), said.result("a")), (4, "review"));
    let candidate = field.repo().rev("refs/wt/review/a/1");
    assert_eq!(parents(&field, &candidate), field.main());
    field.program.wt(&["approve", "a"]).ok();
    let said = field.merge(&["a", "--squash"]);
    assert_eq!((said.code(), &said.of("a")["commits"]), (0, &1.into()), "{}", said.ran.err);
    assert_eq!(field.repo().rev("main^{tree}"), field.repo().rev(&format!("{candidate}^{{tree}}")));
}

#[test]
fn a_kill_is_settled_in_every_style() {
    for style in ["--squash", "--merge-commit"] {
        for (point, moved) in [("land.after_intent", false), ("land.after_move", true)] {
            let field = Field::new();
            field.done("a", &[("a", "a\n"), ("a", "aa\n")]);
            let old = field.main();
            let mut merge = field.program.command(&["merge", "--all", "--keep", "--quiet", style]);
            let killed = crate::program::ran(merge.env("WT_FAILPOINT", point).output().unwrap());
            assert_eq!((killed.code, field.main() != old), (-1, moved), "{point}: {}", killed.err);
            field.merge(&["--all", style]).ran.ok();
            assert_eq!((field.state("a"), field.repo().read("a")), (State::Landed, "aa\n".into()));
            assert_eq!(field.repo().git(&["rev-list", "--count", "--first-parent", "main"]), "2");
            field.is_whole();
        }
    }
}
