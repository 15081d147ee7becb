//! What people do about conflicts and reviews, through the real program: `wt diff`, `wt approve`, `wt resolve`,
//! `wt logs --landing`, and what tidying makes of such tasks.

use serde_json::Value;

use crate::env::TestRepo;
use crate::land::resolve::{BASE, Scene, both, writes};
use crate::program::{Ran, ran};

/// A resolution that a person has to look at.
pub fn joined() -> String {
    both() + "# joined\n"
}

/// A scene whose task `b` is in review, with a candidate.
pub fn in_review(more: &str) -> Scene {
    let scene = Scene::combined(&writes(&joined()), more);
    scene.field.program.wt(&["merge", "--all", "--keep"]).fails(4);
    assert_eq!(scene.field.program.state_of("b"), "review");
    scene
}

/// A scene whose task `b` is in conflict, and nobody was asked.
pub fn in_conflict() -> Scene {
    let scene = Scene::combined("exit 1", "");
    scene.field.program.wt(&["merge", "--all", "--keep", "--no-agent"]).fails(4);
    assert_eq!(scene.field.program.state_of("b"), "conflict");
    scene
}

impl Scene {
    pub fn wt(&self, args: &[&str]) -> Ran {
        self.field.program.wt(args)
    }

    /// Runs `wt ARGS` with an editor that runs `script`, `$1` being the file.
    pub fn edit(&self, script: &str, args: &[&str]) -> Ran {
        let editor = self.field.script("editor", script);
        ran(self.field.program.command(args).env("GIT_EDITOR", editor).output().unwrap())
    }

    pub fn repo(&self) -> &TestRepo {
        self.field.repo()
    }

    /// Runs the first command of the hint that `said` ends with.
    pub fn follow(&self, said: &str, hint: &str) -> Ran {
        assert!(said.contains(&format!("hint: {hint}")), "{said}");
        self.wt(&hint.split_once("wt ").unwrap().1.split(' ').collect::<Vec<_>>())
    }
}

/// An editor's script that writes `text` as the file.
pub fn leaves(text: &str) -> String {
    format!("cat > \"$1\" <<'END'\n{text}END")
}

pub const MINE: &str = "import a\n\nf(x, MINE)\n\nend\n";

#[test]
fn a_review_is_shown_with_its_sides_and_every_doubt() {
    let script = format!("{}\ntouch stray", writes("f(x, RIGHT)\nend\nend\n"));
    let scene = Scene::combined(&script, "");
    scene.wt(&["merge", "--all", "--keep"]).fails(4);
    let shown = scene.wt(&["diff", "b"]).ok();
    assert!(
        shown.starts_with(
            "=== code.py: its resolution was refused (merged by an agent)\n    it also changed `stray`\n    `f(x, LEFT)`, which main added, is gone\n"
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
