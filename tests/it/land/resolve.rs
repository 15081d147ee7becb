//! Conflicts handed to a scripted resolver: what is accepted, what is not, and what is left.

use std::path::PathBuf;

use wt::model::State;
use wt::model::task::Landing;

use super::field::{Field, Said};

/// A field with a resolver that runs a script.
pub struct Scene {
    pub field: Field,
}

/// The file that both sides change, before.
pub const BASE: &str = "import a\n\nf(x)\n\nend\n";

impl Scene {
    /// Returns a field whose resolver runs `script` in the worktree, and `more` configuration. Each call leaves its prompt
    /// in `prompt.N` of the environment's root, N from 1.
    pub fn new(script: &str, more: &str) -> Self {
        let field = Field::new();
        let root = field.program.env.root().to_owned();
        let scene = Self { field };
        let count = format!(
            "n=1; while test -e {0}/prompt.$n; do n=$((n+1)); done; cat > {0}/prompt.$n\n",
            root.display()
        );
        let command = scene.field.script("resolver", &format!("{count}{script}"));
        let path = command.strip_prefix("sh ").unwrap();
        scene.field.program.configure(&format!(
            "[merge]\nagent = \"resolver\"\nreview = []\n[agents.resolver]\ncommand = [\"sh\", \"{path}\"]\n\
             stop = {{ grace = \"200ms\" }}\n{more}"
        ));
        scene
    }

    /// The same with two tasks, `a` and `b`, that change the same line of `code.py`: a combined line is wanted.
    pub fn combined(script: &str, more: &str) -> Self {
        let scene = Self::new(script, more);
        scene.field.repo().commit("code.py", BASE);
        scene.task("a", &[("code.py", &BASE.replace("f(x", "f(x, LEFT"))]);
        scene.task("b", &[("code.py", &BASE.replace("f(x", "f(x, RIGHT"))]);
        scene
    }

    pub fn task(&self, name: &str, files: &[(&str, &str)]) {
        self.field.done(name, files);
    }

    /// Returns the prompts of the calls so far.
    pub fn prompts(&self) -> Vec<String> {
        let path = |n: usize| self.field.program.env.root().join(format!("prompt.{n}"));
        (1..).map(path).map_while(|path| std::fs::read_to_string(path).ok()).collect()
    }

    pub fn calls(&self) -> usize {
        self.prompts().len()
    }

    /// Lands everything.
    pub fn merge(&self) -> Said {
        self.field.merge(&["--all"])
    }

    /// Returns what the journal says of a task's last landing.
    pub fn landing(&self, name: &str) -> Landing {
        let mut journal = self.field.journal();
        let name = name.parse().unwrap();
        journal.read().unwrap().newest(&name).unwrap().landing.clone().unwrap()
    }

    pub fn resolve_worktree(&self) -> PathBuf {
        self.field.program.worktree(".resolve")
    }

    pub fn outcome(&self, name: &str) -> String {
        let mut journal = self.field.journal();
        let name = name.parse().unwrap();
        journal.read().unwrap().newest(&name).unwrap().outcome.clone().unwrap_or_default()
    }
}

/// A script that writes this as `code.py`.
pub fn writes(text: &str) -> String {
    format!("cat > code.py <<'END'\n{text}END\necho '<promise>COMPLETE</promise>'")
}

pub fn both() -> String {
    BASE.replace("f(x", "f(x, LEFT, RIGHT")
}

#[test]
fn a_combined_line_is_accepted_and_lands() {
    let scene = Scene::combined(&writes(&both()), "");
    let said = scene.merge();
    assert_eq!((said.code(), said.result("b")), (0, "landed"), "{}\n{}", said.ran.out, said.ran.err);
    assert_eq!(said.of("b")["resolved"][0]["path"], "code.py");
    assert_eq!(said.of("b")["resolved"][0]["by"], "agent");
    assert_eq!(scene.field.repo().read("code.py"), both());
    assert_eq!((scene.calls(), scene.field.state("b")), (1, State::Landed));
    assert_eq!(scene.field.subjects(), ["change code.py", "change code.py", "change code.py"]);
    scene.field.is_whole();
}

/// What a resolver that may not land leads to: the target stays, a candidate is kept where there is something to look at.
fn in_review(scene: &Scene, said: &Said, why: &str) {
    assert_eq!((said.code(), said.result("b")), (4, "review"), "{}\n{}", said.ran.out, said.ran.err);
    assert!(said.reason("b").contains(why), "{}", said.reason("b"));
    assert!(
        said.ran.err.contains("hint: see it with `wt diff b`; then `wt approve b` or `wt resolve b`"),
        "{}",
        said.ran.err
    );
    assert_eq!(scene.field.state("b"), State::Review);
    let candidate = scene.field.repo().rev("refs/wt/review/b/1");
    let landing = scene.landing("b");
    assert_eq!(landing.candidate.map(|oid| oid.to_string()), Some(candidate.clone()));
    assert_eq!(scene.field.repo().rev(&format!("{candidate}~1")), scene.field.main());
    untouched(scene);
}

/// What a resolver that left nothing to use leads to.
fn in_conflict(scene: &Scene, said: &Said, why: &str) {
    assert_eq!((said.code(), said.result("b")), (4, "conflict"), "{}\n{}", said.ran.out, said.ran.err);
    assert!(said.reason("b").contains(why), "{}", said.reason("b"));
    assert!(scene.outcome("b").contains(why), "{}", scene.outcome("b"));
    assert_eq!(scene.field.state("b"), State::Conflict);
    assert_eq!(scene.field.repo().git(&["for-each-ref", "refs/wt/review"]), "");
    untouched(scene);
}

fn untouched(scene: &Scene) {
    assert_eq!(scene.field.subjects(), ["change code.py", "change code.py"], "only `a` landed");
    assert_eq!(scene.field.repo().git(&["for-each-ref", "refs/wt/resolution"]), "", "nothing is remembered");
    assert_eq!(scene.field.repo().git(&["status", "--porcelain"]), "");
    scene.field.is_whole();
}

#[test]
fn a_one_sided_result_is_refused_and_told_why() {
    let scene = Scene::combined(&writes(&BASE.replace("f(x", "f(x, RIGHT")), "");
    let said = scene.merge();
    in_review(&scene, &said, "what main did is missing");
    let prompts = scene.prompts();
    assert_eq!(prompts.len(), 2);
    assert!(prompts[1].starts_with("# Your merge was not accepted"), "{}", prompts[1]);
    assert!(prompts[1].contains("what main did is missing"), "{}", prompts[1]);
}

#[test]
fn a_result_that_drops_all_of_a_task_does_not_count_as_landed() {
    let scene = Scene::combined(&writes(&BASE.replace("f(x", "f(x, LEFT")), "");
    let said = scene.merge();
    assert_eq!((said.code(), said.result("b")), (4, "review"), "{}", said.ran.out);
    assert!(said.reason("b").contains("what b did is missing"), "{}", said.reason("b"));
    assert_eq!(scene.field.state("b"), State::Review);
    assert_eq!(scene.landing("b").candidate.map(|oid| oid.to_string()), Some(scene.field.main()));
    assert_ne!(scene.field.repo().rev("wt/b"), "");
    scene.field.is_whole();
}

#[test]
fn lost_doubled_and_returned_text_is_refused() {
    for result in
        [both().replace("import a\n", ""), both() + &both(), both().replace("end\n", ""), String::new()]
    {
        let scene = Scene::combined(&writes(&result), "");
        let said = scene.merge();
        in_review(&scene, &said, "code.py: ");
        assert_eq!(scene.calls(), 2, "{result:?}: {}", said.reason("b"));
    }
}

#[test]
fn what_a_side_deleted_does_not_come_back() {
    let scene = Scene::new("cat > code.py <<'END'\nold\nf(x, LEFT, RIGHT)\nEND", "");
    scene.field.repo().commit("code.py", "old\nf(x)\n");
    scene.task("a", &[("code.py", "f(x, LEFT)\n")]);
    scene.task("b", &[("code.py", "old\nf(x, RIGHT)\n")]);
    let said = scene.merge();
    in_review(&scene, &said, "`old`, which main deleted, is back");
}

#[test]
fn markers_that_are_left_leave_a_conflict() {
    let scene = Scene::combined("true", "");
    let said = scene.merge();
    in_conflict(&scene, &said, "`resolver` did not merge it: code.py: the conflict marker");
    assert_eq!(scene.calls(), 2);
}

#[test]
fn a_stray_file_is_refused_and_never_lands() {
    for stray in ["echo x > stray.txt", "echo x >> README.md", "rm README.md", "chmod +x README.md"] {
        let scene = Scene::combined(&format!("{}\n{stray}", writes(&both())), "");
        let said = scene.merge();
        in_review(&scene, &said, "it also changed `");
        assert_eq!(scene.calls(), 2, "{stray}");
        let changed = scene.field.repo().git(&["diff", "--name-only", "main", "refs/wt/review/b/1"]);
        assert_eq!(changed, "code.py", "{stray}");
    }
}

#[test]
fn a_file_that_is_gone_or_changes_its_kind_leaves_a_conflict() {
    for (script, why) in [
        ("rm code.py", "it deleted `code.py`"),
        ("rm code.py; ln -s README.md code.py", "it changed the type or mode of `code.py`"),
        ("git init -q sub", "what it left cannot be read"),
        ("rm code.py; mkdir code.py; echo x > code.py/x", "it deleted `code.py`"),
    ] {
        let scene = Scene::combined(script, "");
        let said = scene.merge();
        assert_eq!((said.code(), said.result("b")), (4, "conflict"), "{script}: {}", said.ran.out);
        assert!(
            said.reason("b").contains(why) || said.reason("b").contains("also changed"),
            "{}",
            said.reason("b")
        );
        untouched(&scene);
    }
    let scene = Scene::combined(&format!("{}\nchmod +x code.py", writes(&both())), "");
    let said = scene.merge();
    in_conflict(&scene, &said, "it changed the type or mode of `code.py`");
}

#[test]
fn a_second_try_hears_what_was_wrong() {
    let right = writes(&both());
    let wrong = writes(&BASE.replace("f(x", "f(x, LEFT"));
    let scene = Scene::combined(&format!("if test $n = 1; then\n{wrong}\nelse\n{right}\nfi"), "");
    let said = scene.merge();
    assert_eq!((said.code(), said.result("b")), (0, "landed"), "{}", said.ran.out);
    assert_eq!((scene.calls(), scene.field.repo().read("code.py")), (2, both()));
}

#[test]
fn a_stray_file_is_gone_before_the_second_try() {
    let script = format!("if test $n = 1; then touch stray; else test ! -e stray; fi\n{}", writes(&both()));
    let scene = Scene::combined(&script, "");
    assert_eq!(scene.merge().result("b"), "landed");
    assert_eq!(scene.calls(), 2);
}

#[test]
fn a_resolver_that_hangs_is_ended_at_its_limit() {
    let script = "sleep 1000 & echo $! > \"$HOME/pid\"; wait";
    let scene = Scene::combined(script, "[limits]\ntimeout = \"1s\"\n");
    let said = scene.merge();
    in_conflict(&scene, &said, "resolver: ");
    assert_eq!(scene.calls(), 1, "a hang is not tried again");
    let pid: u32 =
        scene.field.program.file(&scene.field.program.env.root().join("home/pid")).trim().parse().unwrap();
    assert!(!crate::program::alive(pid));
}

#[test]
fn a_hang_after_the_work_is_for_a_person() {
    let script = format!("{}\nsleep 1000", writes(&both()));
    let scene = Scene::combined(&script, "[limits]\nstall = \"1s\"\n");
    let said = scene.merge();
    in_review(&scene, &said, "resolver: ");
}

#[test]
fn a_crash_leaves_a_conflict() {
    let scene = Scene::combined("echo half > code.py; kill -9 $$", "");
    let said = scene.merge();
    assert_eq!((said.code(), said.result("b")), (4, "review"), "{}", said.ran.out);
    let scene = Scene::combined("exit 3", "");
    let said = scene.merge();
    in_conflict(&scene, &said, "resolver: ");
}

#[test]
fn a_resolver_that_is_blocked_says_why() {
    let scene = Scene::combined("echo '<promise>BLOCKED: two meanings</promise>'", "");
    let said = scene.merge();
    in_conflict(&scene, &said, "blocked: two meanings");
    assert_eq!(scene.calls(), 1);
}

#[test]
fn what_a_resolver_commits_is_taken_as_files() {
    let script = format!("{}\ngit add -A; git commit -qm mine; git checkout -q -b mine", writes(&both()));
    let scene = Scene::combined(&script, "");
    assert_eq!(scene.merge().result("b"), "landed");
    assert_eq!(scene.field.subjects(), ["change code.py", "change code.py", "change code.py"]);
    assert_eq!(scene.field.repo().git(&["show", "main:code.py"]), both().trim_end());
}

#[test]
fn an_agent_that_is_not_there_leaves_a_conflict_and_the_others_land() {
    let field = Field::new();
    field.done("a", &[("same", "a\n")]);
    field.done("b", &[("same", "b\n")]);
    field.done("c", &[("other", "c\n")]);
    let said = field.merge(&["--all"]);
    assert_eq!((said.code(), said.result("b"), said.result("c")), (4, "conflict", "landed"));
    assert!(said.reason("b").contains("`wt-no-such-agent` is not on PATH"), "{}", said.reason("b"));
    assert!(said.ran.err.contains("is not on PATH"), "{}", said.ran.err);
}

#[test]
fn nobody_is_asked_where_people_are_to_decide_or_it_is_only_told() {
    let scene = Scene::combined(&writes(&both()), "");
    let told = scene.field.merge(&["--all", "--dry-run"]);
    assert_eq!((told.code(), told.result("b")), (4, "conflict"));
    assert!(
        told.reason("b").ends_with("`resolver` would be asked to merge `code.py`"),
        "{}",
        told.reason("b")
    );
    let said = scene.field.merge(&["--all", "--no-agent"]);
    assert_eq!((said.code(), said.result("b"), scene.calls()), (4, "conflict", 0));
    assert!(said.reason("b").ends_with("conflict in 1 file"), "{}", said.reason("b"));
    assert!(!scene.resolve_worktree().exists());
    let again = scene.field.merge(&["--all", "--no-agent"]);
    assert_eq!((again.code(), again.view["tasks"].as_array().unwrap().len()), (0, 0));
    // What was never given to an agent is, as soon as one may be asked.
    let said = scene.merge();
    assert_eq!((said.code(), said.result("b"), scene.calls()), (0, "landed", 1));
}

#[test]
fn people_read_who_merged_a_file() {
    let scene = Scene::combined(&writes(&both()), "");
    let out = scene.field.program.wt(&["merge", "--all"]).ok();
    assert!(out.contains("landed    b  1 commit\n            code.py (merged by an agent)\n"), "{out}");
}

#[test]
fn a_template_of_the_repository_counts_once_it_is_approved() {
    let scene = Scene::combined(&writes(&both()), "");
    let template = "Merge {% for file in files %}{{ file.path }}{% endfor %} for {{ task }}";
    scene.field.repo().commit(".wt/templates/resolve.md", template);
    let refused = scene.field.program.wt(&["merge", "--all"]).fails(1);
    assert!(refused.contains("wt trust --approve"), "{refused}");
    scene.field.program.wt(&["trust", "--approve"]).ok();
    scene.merge().ran.ok();
    assert_eq!(scene.prompts(), ["Merge code.py for b"]);
}

#[test]
fn a_broken_template_leaves_a_conflict_and_says_where() {
    let scene = Scene::combined(&writes(&both()), "");
    scene.field.repo().commit(".wt/templates/resolve.md", "one\n{{ nothing }}");
    scene.field.program.wt(&["trust", "--approve"]).ok();
    let said = scene.merge();
    assert_eq!((said.result("b"), scene.calls()), ("conflict", 0));
    assert!(said.reason("b").contains("the template `resolve.md` fails in line 2"), "{}", said.reason("b"));
}
