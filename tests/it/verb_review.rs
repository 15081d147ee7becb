//! What people do about conflicts and reviews, through the real program: `wt diff`, `wt approve`, `wt resolve`,
//! `wt logs --landing`, and what tidying makes of such tasks.

use serde_json::Value;

use crate::env::TestRepo;
use crate::land::resolve::{BASE, Scene, both, writes};
use crate::program::{Ran, ran};

/// A resolution that a person has to look at.
fn joined() -> String {
    both() + "# joined\n"
}

/// A scene whose task `b` is in review, with a candidate.
fn in_review(more: &str) -> Scene {
    let scene = Scene::combined(&writes(&joined()), more);
    scene.field.program.wt(&["merge", "--all", "--keep"]).fails(4);
    assert_eq!(scene.field.program.state_of("b"), "review");
    scene
}

/// A scene whose task `b` is in conflict, and nobody was asked.
fn in_conflict() -> Scene {
    let scene = Scene::combined("exit 1", "");
    scene.field.program.wt(&["merge", "--all", "--keep", "--no-agent"]).fails(4);
    assert_eq!(scene.field.program.state_of("b"), "conflict");
    scene
}

impl Scene {
    fn wt(&self, args: &[&str]) -> Ran {
        self.field.program.wt(args)
    }

    /// Runs `wt ARGS` with an editor that runs `script`, `$1` being the file.
    fn edit(&self, script: &str, args: &[&str]) -> Ran {
        let editor = self.field.script("editor", script);
        ran(self.field.program.command(args).env("GIT_EDITOR", editor).output().unwrap())
    }

    fn repo(&self) -> &TestRepo {
        self.field.repo()
    }

    /// Runs the first command of the hint that `said` ends with.
    fn follow(&self, said: &str, hint: &str) -> Ran {
        assert!(said.contains(&format!("hint: {hint}")), "{said}");
        self.wt(&hint.split_once("wt ").unwrap().1.split(' ').collect::<Vec<_>>())
    }
}

/// An editor's script that writes `text` as the file.
fn leaves(text: &str) -> String {
    format!("cat > \"$1\" <<'END'\n{text}END")
}

const MINE: &str = "import a\n\nf(x, MINE)\n\nend\n";

#[test]
fn a_review_is_shown_with_its_sides_and_every_doubt() {
    let script = format!("{}\ntouch stray", writes("f(x, RIGHT)\nend\nend\n"));
    let scene = Scene::combined(&script, "");
    scene.wt(&["merge", "--all", "--keep"]).fails(4);
    let shown = scene.wt(&["diff", "b"]).ok();
    assert!(
        shown.starts_with(
            "=== code.py: its resolution was refused\n    it also changed `stray`\n    `f(x, LEFT)`, which main added, is gone\n"
        ),
        "{shown}"
    );
    let [head, ours, theirs, result] = shown.splitn(4, "\n--- ").collect::<Vec<_>>()[..] else {
        panic!("{shown}")
    };
    assert!(head.contains("\n    `import a`, which neither side touched, is gone\n"), "{shown}");
    assert!(head.contains("\n    `end` is there more often than the sides have it"), "{shown}");
    assert!(ours.starts_with("what `main` did (base to main)\n@@") && ours.contains("-f(x)\n+f(x, LEFT)"));
    assert!(theirs.starts_with("what `b` did (base to b)\n@@") && theirs.contains("-f(x)\n+f(x, RIGHT)"));
    assert!(result.starts_with("the resolution (main to result)\n@@"), "{shown}");
    assert!(result.contains("-f(x, LEFT)\n"), "{shown}");
    assert!(result.contains("\ndiff --git a/code.py b/code.py\n"), "{shown}");

    let view = scene.wt(&["diff", "b", "--json"]).json();
    let file = &view["resolutions"][0];
    assert_eq!((&file["path"], &file["judged"]), (&Value::from("code.py"), &Value::from("refused")));
    assert_eq!(file["doubts"].as_array().unwrap().len(), 4, "{file:#}");
    assert_eq!(file["base"], BASE);
    assert_eq!(file["ours"], BASE.replace("f(x", "f(x, LEFT"));
    assert_eq!(file["theirs"], BASE.replace("f(x", "f(x, RIGHT"));
    assert_eq!(file["result"], "f(x, RIGHT)\nend\nend\n");
}

#[test]
fn a_conflict_that_nobody_was_asked_about_is_shown_with_both_sides() {
    let scene = in_conflict();
    let ran = scene.wt(&["diff", "b"]);
    assert!(ran.err.contains("code.py does not merge (both changed)"), "{}", ran.err);
    let shown = ran.ok();
    assert!(shown.starts_with("=== code.py: nobody has resolved it\n--- what `main` did"), "{shown}");
    assert!(shown.contains("\n+f(x, LEFT)\n") && shown.contains("\n+f(x, RIGHT)\n"), "{shown}");
    let view = scene.wt(&["diff", "b", "--json"]).json();
    let file = &view["resolutions"][0];
    assert_eq!((&file["base"], &file["result"]), (&Value::from(BASE), &Value::Null));
    assert_eq!(file["ours"], BASE.replace("f(x", "f(x, LEFT"));
    assert_eq!(view["conflicts"][0]["path"], "code.py");
}

#[test]
fn what_is_approved_lands_as_it_was_seen_and_is_checked() {
    let scene = in_review("");
    let candidate = scene.repo().rev("refs/wt/review/b/1^{tree}");
    let said = scene.wt(&["approve", "b"]).ok();
    assert_eq!(said, "b done; 1 resolution approved; land it with `wt merge b`\n");
    let refused = scene.wt(&["merge", "b", "--keep", "--check", "grep -c nothing code.py"]).fails(5);
    assert!(refused.contains("its branch is as it was"), "{refused}");
    let calls = scene.calls();
    let said = scene.field.merge(&["b", "--check", "grep -q joined code.py"]);
    assert_eq!((said.code(), said.result("b")), (0, "landed"), "{}", said.ran.out);
    assert_eq!(said.of("b")["resolved"][0]["by"], "rerere");
    assert_eq!((scene.repo().rev("main^{tree}"), scene.calls()), (candidate, calls));
}

#[test]
fn what_cannot_be_approved_says_what_can_be_done() {
    let scene = in_conflict();
    let said = scene.field.program.refuses(1, &["approve", "b"]);
    assert!(said.contains("`b` is conflict") && said.contains("hint: wt resolve b"), "{said}");
    let said = scene.field.program.refuses(1, &["approve", "a"]);
    scene.follow(&said, "wt status a").ok();
    let view = scene.wt(&["approve", "b", "--json"]).json();
    assert_eq!(view["tasks"][0]["error"], "`b` is not approved; nothing was changed");

    let scene = in_review("");
    scene.field.program.env.at(&scene.field.program.worktree("b")).commit("late", "late\n");
    let said = scene.field.program.refuses(1, &["approve", "b"]);
    assert!(said.contains("the branch of `b` has changed since"), "{said}");
    scene.follow(&said, "wt merge b").fails(4);
    scene.wt(&["approve", "b"]).ok();
    let said = scene.field.program.refuses(1, &["approve", "b"]);
    scene.follow(&said, "wt merge b").ok();
    assert_eq!(scene.repo().read("code.py"), joined());
}

#[test]
fn a_guarded_path_is_approved_and_not_resolved() {
    let field = crate::land::field::Field::with("");
    field.done("a", &[("migrations/1.sql", "create\n")]);
    let said = field.program.wt(&["merge", "a", "--keep"]);
    assert!(
        said.out.starts_with("review    a  a change of `migrations/1.sql` needs a person's approval\n"),
        "{}",
        said.out
    );
    said.fails(4);
    let shown = field.program.wt(&["diff", "a"]).ok();
    assert!(shown.starts_with("diff --git a/migrations/1.sql"), "{shown}");
    let said = field.program.refuses(1, &["resolve", "a"]);
    assert!(said.contains("hint: see it with `wt diff a`, then `wt approve a`"), "{said}");
    assert_eq!(field.program.wt(&["approve", "a"]).ok(), "a done; land it with `wt merge a`\n");
    field.program.wt(&["merge", "a", "--keep"]).ok();
}

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

#[test]
fn a_bare_repository_has_reviews_and_conflicts_too() {
    let scene = Scene::new("exit 1", "");
    scene.repo().commit("code.py", BASE);
    let program = &scene.field.program;
    let bare = program.env.root().join("bare.git");
    scene.repo().git(&["clone", "-q", "--bare", ".", &bare.to_string_lossy()]);
    program.env.at(&bare).configure();
    let wt = |args: &[&str]| program.wt_in(&bare, args);
    for (name, side) in [("a", "LEFT"), ("b", "RIGHT")] {
        wt(&["spawn", name, "--no-agent", "--quiet"]).ok();
        let path = wt(&["path", name]).ok();
        let workspace = program.env.at(path.trim().as_ref());
        workspace.commit("code.py", &BASE.replace("f(x", &format!("f(x, {side}")));
        wt(&["done", name]).ok();
    }
    wt(&["merge", "--all", "--keep"]).fails(4);
    assert!(wt(&["diff", "b"]).ok().contains("what `main` did (base to main)"));
    let editor = scene.field.script("editor", &leaves(MINE));
    ran(program.command_in(&bare, &["resolve", "b"]).env("GIT_EDITOR", editor).output().unwrap()).ok();
    wt(&["merge", "b"]).ok();
    assert_eq!(program.env.at(&bare).git(&["show", "main:code.py"]), MINE.trim_end());
}

#[test]
fn what_a_resolver_saw_and_said_is_shown_even_after_pruning() {
    let script =
        format!("{}\nprintf 'a \\033[31mred\\033[0m word\\n'\nprintf '\\033oops\\n' >&2", writes(&both()));
    let scene = Scene::combined(&script, "[[verify]]\nname = \"v\"\nrun = \"echo checked\"\n");
    scene.wt(&["merge", "--all"]).ok();
    assert!(!scene.field.program.worktree("b").exists());
    let shown = scene.wt(&["logs", "b", "--landing"]).ok();
    assert!(shown.starts_with("== call 1: resolver, commit "), "{shown}");
    assert!(shown.contains("\n# Merge two changes\n"), "{shown}");
    assert!(
        shown.contains("-- what it said\n<promise>COMPLETE</promise>\na \\x1b[31mred\\x1b[0m word\n-- what it wrote to standard error\n\\x1boops\n"),
        "{shown}"
    );
    assert!(shown.contains("\n   code.py: kept both sides\n   1 file in "), "{shown}");
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
    let log = shown.lines().last().unwrap().strip_prefix("== output of a check: ").unwrap();
    assert_eq!(std::fs::read_to_string(log).unwrap(), "checked\n");
    let raw = scene.wt(&["logs", "b", "--landing", "--raw"]).ok();
    assert_eq!(raw, "<promise>COMPLETE</promise>\na \u{1b}[31mred\u{1b}[0m word\n");
    let view = scene.wt(&["logs", "b", "--landing", "--json"]).json();
    assert_eq!(view["calls"][0]["manifest"]["files"][0]["judged"], "kept");
    assert!(view["calls"][0]["prompt"].as_str().unwrap().starts_with("# Merge two changes"), "{view}");
    assert_eq!(view["checks"][0], log);

    let said = scene.wt(&["logs", "a", "--landing"]).fails(1);
    assert!(said.contains("no agent was asked to merge anything of `a`"), "{said}");
    let log = said.split("less ").nth(1).unwrap().split('`').next().unwrap();
    assert_eq!(std::fs::read_to_string(log).unwrap(), "checked\n");
}

#[test]
fn what_was_approved_still_shows_who_made_it() {
    let scene = in_review("");
    scene.wt(&["approve", "b"]).ok();
    scene.wt(&["merge", "b"]).ok();
    let shown = scene.wt(&["logs", "b", "--landing"]).ok();
    assert!(shown.contains("   code.py: doubtful\n"), "{shown}");

    let scene = in_conflict();
    let said = scene.field.program.refuses(1, &["logs", "b", "--landing"]);
    scene.follow(&said, "wt status b").ok();
}

#[test]
fn a_merge_reads_well() {
    let scene = Scene::combined(&writes(&both()), "");
    let ran = scene.wt(&["merge", "--all"]);
    let main = scene.repo().rev("main")[..10].to_owned();
    let first = scene.repo().rev("main~2")[..10].to_owned();
    assert_eq!(
        ran.out,
        format!(
            "landed    a  1 commit\nlanded    b  1 commit\n            code.py (merged by an agent)\n\
             main is at {main}, was at {first}\n"
        )
    );

    let scene = Scene::combined(&format!("{}\ntouch stray", writes("f(x, RIGHT)\nend\nend\n")), "");
    let ran = scene.wt(&["merge", "--all"]);
    let main = scene.repo().rev("main")[..10].to_owned();
    let first = scene.repo().rev("main~1")[..10].to_owned();
    assert_eq!(
        ran.out,
        format!(
            "landed    a  1 commit\nreview    b  4 doubts: it also changed `stray`; code.py: `f(x, LEFT)`, which main added, is gone; \
             code.py: `import a`, which neither side touched, is gone; code.py: `end` is there more often than the sides have it\n            \
             code.py (both changed)\nmain is at {main}, was at {first}\n"
        )
    );
    let said = ran.fails(4);
    let end = said.find("error: ").map(|at| &said[at..]).unwrap();
    assert_eq!(
        end,
        "error: `b` was not landed\ncaused by: a person must decide; its branch is as it was\n\
         hint: see it with `wt diff b`; then `wt approve b` or `wt resolve b`, and `wt merge b`\n"
    );
}

#[test]
fn a_review_survives_tidying_until_the_trash_expires() {
    let scene = in_review("");
    let candidate = scene.repo().rev("refs/wt/review/b/1");
    let findings = scene.wt(&["doctor", "--json"]).json();
    assert!(!findings.to_string().contains("orphan"), "{findings:#}");
    scene.wt(&["gc"]).ok();
    assert!(scene.field.program.worktree("b").exists());
    scene.wt(&["gc", "b"]).fails(1);
    assert_eq!(scene.field.program.state_of("b"), "review");

    scene.wt(&["gc", "b", "--force"]).ok();
    assert_eq!(scene.repo().rev("refs/wt/review/b/1"), candidate);
    scene.wt(&["restore", "b"]).ok();
    assert_eq!(scene.field.program.state_of("b"), "review");
    assert!(scene.wt(&["diff", "b"]).ok().contains("# joined"));
    scene.wt(&["approve", "b"]).ok();
    scene.wt(&["merge", "b"]).ok();
    assert_eq!(scene.repo().read("code.py"), joined());

    let scene = in_review("[gc]\ntrash = \"0s\"\n");
    scene.wt(&["gc"]).ok();
    assert_ne!(scene.repo().git(&["for-each-ref", "refs/wt/review"]), "", "it is in review");
    scene.wt(&["gc", "b", "--force"]).ok();
    scene.wt(&["gc"]).ok();
    assert_eq!(scene.repo().git(&["for-each-ref", "refs/wt/review", "refs/wt/trash"]), "");
    let findings = scene.wt(&["doctor", "--json"]).json();
    assert!(!findings.to_string().contains("orphan"), "{findings:#}");
}
