//! `wt resolve`: what a person makes of a conflict, in an editor or a merge tool.

use serde_json::Value;

use crate::land::resolve::{BASE, Scene, writes};
use crate::program::ran;
use crate::verb_review::{MINE, in_conflict, in_review, joined, leaves};

#[test]
fn a_person_resolves_in_the_editor_and_it_lands_as_theirs() {
    let scene = in_conflict();
    let script = format!("grep -q '^||||||| base$' \"$1\"\n{}", leaves(MINE));
    let said = scene.edit(&script, &["resolve", "b"]).ok();
    assert_eq!(said, "b done; 1 file resolved; land it with `wt merge b`\n");
    assert_eq!(scene.repo().git(&["status", "--porcelain"]), "");
    assert!(!scene.field.layout().task(&"b@1".parse().unwrap()).root().join("resolve").exists());
    let out = scene.wt(&["merge", "b", "--keep"]).ok();
    assert!(out.contains("landed    b  1 commit\n            code.py (merged by a person)\n"), "{out}");
    assert_eq!((scene.repo().read("code.py").as_str(), scene.calls()), (MINE, 0));
    assert_eq!(scene.repo().git(&["for-each-ref", "refs/wt/by-hand"]), "", "it is remembered like any other");
    assert_ne!(scene.repo().git(&["for-each-ref", "refs/wt/resolution"]), "");
    let said = scene.field.program.refuses(1, &["resolve", "b"]);
    assert!(said.contains("`b` is landed: there is nothing to resolve"), "{said}");
    scene.follow(&said, "wt status b").ok();
}

#[test]
fn a_person_may_resolve_instead_of_approving() {
    let scene = in_review("");
    let view = scene.edit(&leaves(MINE), &["resolve", "b", "--json"]).json();
    assert_eq!((&view["state"], &view["resolved"][0]), (&Value::from("done"), &Value::from("code.py")));
    let calls = scene.calls();
    let said = scene.field.merge(&["b"]);
    assert_eq!((said.code(), said.result("b"), scene.calls()), (0, "landed", calls), "{}", said.ran.out);
    assert_eq!(said.of("b")["resolved"][0]["by"], "person");
    assert_eq!(scene.repo().read("code.py"), MINE);
    assert_eq!(scene.repo().git(&["for-each-ref", "refs/wt/review"]), "");
}

#[test]
fn a_task_of_which_a_person_leaves_nothing_counts_as_landed() {
    let scene = in_review("");
    scene.edit(&leaves(&BASE.replace("f(x", "f(x, LEFT")), &["resolve", "b"]).ok();
    let said = scene.field.merge(&["b"]);
    assert_eq!((said.code(), said.result("b")), (0, "landed"), "{}", said.ran.out);
    assert_eq!(said.of("b")["commits"], 0);
    assert_eq!(scene.repo().git(&["for-each-ref", "refs/wt/review", "refs/wt/by-hand"]), "");
}

#[test]
fn who_resolves_does_not_approve_what_is_guarded() {
    let scene = Scene::new(&writes(&joined()), "");
    let resolver = scene.field.program.env.root().join("resolver");
    scene.field.program.configure(&format!(
        "[merge]\nagent = \"resolver\"\nreview = [\"migrations/**\"]\n[agents.resolver]\ncommand = [\"sh\", \"{}\"]\n",
        resolver.display()
    ));
    scene.repo().commit("code.py", BASE);
    scene.task("a", &[("code.py", &BASE.replace("f(x", "f(x, LEFT"))]);
    scene.task("b", &[("code.py", &BASE.replace("f(x", "f(x, RIGHT"))]);
    scene.wt(&["merge", "--all", "--keep"]).fails(4);
    assert_eq!(scene.field.program.state_of("b"), "review");
    scene.field.program.env.at(&scene.field.program.worktree("b")).commit("migrations/1.sql", "drop\n");
    scene.edit(&leaves(MINE), &["resolve", "b"]).ok();
    let said = scene.field.merge(&["b"]);
    assert_eq!(said.reason("b"), "a change of `migrations/1.sql` needs a person's approval");
    scene.wt(&["approve", "b"]).ok();
    scene.wt(&["merge", "b", "--keep"]).ok();
    assert_eq!(
        (scene.repo().read("code.py").as_str(), scene.repo().read("migrations/1.sql").as_str()),
        (MINE, "drop\n")
    );
}

#[test]
fn what_is_approved_wins_over_what_was_begun_by_hand() {
    let scene = Scene::new("for f in one two; do echo 'a b c' > $f; done", "");
    scene.task("a", &[("one", "a\n"), ("two", "a a\n")]);
    scene.task("b", &[("one", "b\n"), ("two", "b b\n")]);
    scene.wt(&["merge", "--all", "--keep"]).fails(4);
    assert_eq!(scene.field.program.state_of("b"), "review");
    let said = scene.edit("test \"$1\" != \"${1%one}\"; echo mine > \"$1\"", &["resolve", "b"]).fails(1);
    assert!(said.contains("the editor failed"), "{said}");
    scene.wt(&["approve", "b"]).ok();
    scene.wt(&["merge", "b", "--keep"]).ok();
    assert_eq!((scene.repo().read("one"), scene.repo().read("two")), ("a b c\n".into(), "a b c\n".into()));
}

#[test]
fn an_editor_that_fails_and_markers_that_stay_change_nothing() {
    let scene = in_conflict();
    let before = scene.field.program.world();
    let said = scene.edit("exit 1", &["resolve", "b"]).fails(1);
    assert!(
        said.contains("the editor failed; `b` is as it was") && said.contains("hint: go on with"),
        "{said}"
    );
    let said = scene.edit("true", &["resolve", "b"]).fails(1);
    assert!(said.contains("hint: go on with `wt resolve b`"), "{said}");
    let half = "import a\nMINE\n<<<<<<< ours (target main)\nf(x, LEFT)\n=======\nend\n";
    let said = scene.edit(&leaves(half), &["resolve", "b"]).fails(1);
    assert!(
        said.contains("`code.py` still has conflict markers; `b` is as it was, your edits are kept"),
        "{said}"
    );
    assert_eq!(scene.field.program.world(), before);
    // The edits are there, and a separator alone counts too.
    let script = "grep -q MINE \"$1\"\nsed -i '/^<<<</d' \"$1\"";
    let said = scene.edit(script, &["resolve", "b"]).fails(1);
    assert!(said.contains("still has conflict markers"), "{said}");
    scene.edit("grep -q MINE \"$1\"\nsed -i '/^====/d' \"$1\"", &["resolve", "b"]).ok();
    scene.wt(&["merge", "b", "--keep"]).ok();
    assert_eq!(scene.repo().read("code.py"), "import a\nMINE\nf(x, LEFT)\nend\n");
}

#[test]
fn without_any_editor_nothing_is_run() {
    let scene = in_conflict();
    let mut command = scene.field.program.command(&["resolve", "b"]);
    let said = ran(command.env_remove("GIT_EDITOR").env("TERM", "dumb").output().unwrap()).fails(1);
    assert!(said.contains("the editor failed"), "{said}");
}

#[test]
fn commits_that_conflict_one_after_the_other_are_resolved_in_order() {
    let scene = Scene::new("exit 1", "");
    scene.repo().commit("x", "x\n");
    scene.task("a", &[("x", "a\n")]);
    scene.task("b", &[("x", "one\n"), ("x", "two\n")]);
    scene.wt(&["merge", "--all", "--keep", "--no-agent"]).fails(4);
    // The first is resolved, the second is begun and left.
    let script = "if grep -q one \"$1\" && ! grep -q two \"$1\"; then echo 'a one' > \"$1\"\n\
                  else echo half >> \"$1\"; fi";
    let said = scene.edit(script, &["resolve", "b"]).fails(1);
    assert!(said.contains("still has conflict markers"), "{said}");
    assert_eq!(scene.field.program.state_of("b"), "conflict");
    let view = scene.edit("grep -q half \"$1\"; echo 'a two' > \"$1\"", &["resolve", "b", "--json"]).json();
    assert_eq!(view["resolved"].as_array().unwrap().len(), 1, "{view}");
    scene.wt(&["merge", "b", "--keep"]).ok();
    assert_eq!(scene.repo().read("x"), "a two\n");
    assert_eq!(scene.repo().git(&["show", "main~1:x"]), "a one");
}

#[test]
fn files_with_odd_names_and_without_a_base_are_resolved() {
    let scene = Scene::new("exit 1", "");
    let path = "sub folder/größe [1]'s $x.txt";
    scene.task("a", &[(path, "a\n")]);
    scene.task("b", &[(path, "b\n")]);
    scene.wt(&["merge", "--all", "--keep", "--no-agent"]).fails(4);
    let shown = scene.wt(&["diff", "b", "--json"]).json();
    assert_eq!(shown["resolutions"][0]["path"], path);
    assert_eq!(shown["resolutions"][0]["base"], Value::Null);
    scene.edit("echo 'a b' > \"$1\"", &["resolve", "b"]).ok();
    scene.wt(&["merge", "b", "--keep"]).ok();
    assert_eq!(scene.repo().read(path), "a b\n");
}

#[test]
fn what_is_no_text_is_not_resolved_and_the_hint_works() {
    let scene = Scene::new("exit 1", "");
    scene.repo().commit("x", "x\n");
    scene.task("a", &[("x", "a\n")]);
    let workspace = scene.field.open("b", &[]);
    workspace.git(&["rm", "-q", "x"]);
    workspace.commit_all("drop x");
    scene.field.finish("b");
    scene.wt(&["merge", "--all", "--keep", "--no-agent"]).fails(4);
    let said = scene.field.program.refuses(1, &["resolve", "b"]);
    assert!(said.contains("it cannot be resolved as text: `x`"), "{said}");
    assert!(said.contains("hint: wt exec b -- git rebase main, then `wt done b` and `wt merge b`"), "{said}");
    let shown = scene.wt(&["diff", "b"]);
    assert!(shown.err.contains("x does not merge ("), "{}", shown.err);
    shown.ok();
    let rebase = scene.wt(&["exec", "b", "--", "git", "rebase", "main"]);
    assert_ne!(rebase.code, 0, "{}", rebase.out);
    workspace.git(&["rm", "-q", "x"]);
    workspace.git(&["rebase", "--continue"]);
    scene.wt(&["done", "b"]).ok();
    scene.wt(&["merge", "b", "--keep"]).ok();
    assert!(!scene.repo().path().join("x").exists());
}

#[test]
fn merge_tools_of_the_user_and_of_the_repository_are_used() {
    let scene = in_conflict();
    let home = scene.field.program.env.root().join("home/.gitconfig");
    let config = |file: &str, key: &str, value: &str| {
        scene.repo().git(&["config", "--file", file, key, value]);
    };
    let user = home.to_string_lossy().into_owned();
    let command = "cat \"$BASE\" \"$LOCAL\" \"$REMOTE\" > \"$MERGED\"";
    config(&user, "mergetool.joins.cmd", command);
    config(&user, "mergetool.joins.trustExitCode", "true");
    scene.wt(&["resolve", "b", "--tool", "joins"]).ok();
    scene.wt(&["merge", "b", "--keep"]).ok();
    let [left, right] = ["LEFT", "RIGHT"].map(|side| BASE.replace("f(x", &format!("f(x, {side}")));
    assert_eq!(scene.repo().read("code.py"), format!("{BASE}{left}{right}"));

    let scene = in_conflict();
    scene.repo().git(&["config", "mergetool.mine.cmd", "cp \"$REMOTE\" \"$MERGED\""]);
    scene.repo().git(&["config", "merge.tool", "mine"]);
    // From inside a worktree the repository's configuration counts as well.
    let inside = scene.field.program.worktree("a");
    scene.field.program.wt_in(&inside, &["resolve", "b"]).ok();
    scene.wt(&["merge", "b", "--keep"]).ok();
    assert_eq!(scene.repo().read("code.py"), right);

    let scene = in_conflict();
    let said = scene.wt(&["resolve", "b", "--tool", "no-such-tool"]).fails(1);
    assert!(
        said.contains("the merge tool `no-such-tool` failed, or git does not know it; `b` is as it was"),
        "{said}"
    );
}
