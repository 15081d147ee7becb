//! The steps before any agent: what git remembers of a conflict, and structural merges, by scripted stand-ins and the real one.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fs_err as fs;
use rustix::process::{Pid, Signal, kill_process};
use wt::land::conserve::Sides;
use wt::model::State;

use super::field::{Field, Said};
use super::resolve::{BASE, Scene, both, writes};
use crate::program::{alive, ran};

/// A scene whose `[merge]` has these lines too, with `script` as its resolver.
fn scene(script: &str, merge: &str, more: &str) -> Scene {
    let scene = Scene::new(script, "");
    let resolver = scene.field.program.env.root().join("resolver");
    scene.field.program.configure(&format!(
        "[merge]\nagent = \"resolver\"\nreview = []\n{merge}\n[agents.resolver]\ncommand = [\"sh\", \"{}\"]\n{more}",
        resolver.display()
    ));
    scene
}

/// Two tasks that change the same line of `code.py`.
fn clash(scene: &Scene) {
    scene.field.repo().commit("code.py", BASE);
    scene.task("a", &[("code.py", &left())]);
    scene.task("b", &[("code.py", &right())]);
}

fn left() -> String {
    BASE.replace("f(x", "f(x, LEFT")
}

fn right() -> String {
    BASE.replace("f(x", "f(x, RIGHT")
}

/// A resolver that must not be called.
const NEVER: &str = "exit 1";

fn by(said: &Said, task: &str) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let all = said.of(task)["resolved"].as_array().unwrap();
    all.iter().map(|r| (text(&r["path"]), text(&r["by"]))).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(path, by)| ((*path).to_owned(), (*by).to_owned())).collect()
}

impl Scene {
    /// Lets the user merge the second branch into the first by hand, with git remembering it, and puts everything back.
    fn user_merges(&self, style: &str, first: &str, second: &str, text: &str) {
        let repo = self.field.repo();
        repo.git(&["config", "rerere.enabled", "true"]);
        repo.git(&["config", "merge.conflictStyle", style]);
        repo.git(&["checkout", "-q", "--detach", first]);
        assert!(!repo.try_git(&["merge", "-q", second]).status.success(), "it must conflict");
        repo.write("code.py", text);
        repo.commit_all("by hand");
        repo.git(&["checkout", "-q", "main"]);
    }

    /// Returns what git remembers: paths with content and time.
    fn memory(&self) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(self.field.repo().path().join(".git/rr-cache")).unwrap() {
            for file in fs::read_dir(entry.unwrap().path()).unwrap() {
                let file = file.unwrap();
                let time = file.metadata().unwrap().modified().unwrap();
                found.insert(file.path(), (fs::read(file.path()).unwrap(), time));
            }
        }
        found
    }
}

/// The lines at both ends of what each side adds are the same: with the base between the markers they belong to the conflict,
/// without it they do not, so that git has another name for it.
#[test]
fn what_the_user_resolved_in_git_is_found_in_every_style_and_from_either_side() {
    const OLD: &str = "def a():\n    pass\n";
    let side = |word: &str| format!("{OLD}\n\n@cached\ndef {word}():\n    {word}1()\n    return 0\n");
    let merged = format!(
        "{OLD}\n\n@cached\ndef l():\n    l1()\n    return 0\n\n\n@cached\ndef r():\n    r1()\n    return 0\n"
    );
    let mut names = Vec::new();
    for (style, first, second) in [
        ("merge", "wt/a", "wt/b"),
        ("diff3", "wt/a", "wt/b"),
        ("zdiff3", "wt/b", "wt/a"),
        ("diff3", "wt/b", "wt/a"),
    ] {
        let scene = scene(NEVER, "", "");
        scene.field.repo().commit("code.py", OLD);
        scene.task("a", &[("code.py", &side("l"))]);
        scene.task("b", &[("code.py", &side("r"))]);
        scene.user_merges(style, first, second, &merged);
        let memory = scene.memory();
        names.extend(memory.keys().map(|path| path.parent().unwrap().file_name().unwrap().to_owned()));
        let told = scene.field.merge(&["--all", "--dry-run", "--no-agent"]);
        assert_eq!((told.code(), told.result("b")), (0, "landed"), "{style}: {}", told.ran.out);
        assert_eq!(by(&told, "b"), pairs(&[("code.py", "rerere")]));
        let said = scene.field.merge(&["--all", "--no-agent"]);
        assert_eq!((said.code(), said.result("b")), (0, "landed"), "{style}: {}", said.ran.out);
        assert_eq!((by(&said, "b"), scene.calls()), (pairs(&[("code.py", "rerere")]), 0));
        assert_eq!(scene.field.repo().read("code.py"), merged);
        assert_eq!(scene.memory(), memory, "{style}: git's memory was touched");
        scene.field.is_whole();
    }
    names.sort();
    names.dedup();
    assert!(names.len() > 1, "the styles have one name for it: nothing was shown");
}

/// git names a conflict by what stands in the worktree, where its line ends may be others than in the repository.
#[test]
fn what_the_user_resolved_in_a_worktree_with_other_line_ends_is_found() {
    let scene = scene(NEVER, "", "");
    clash(&scene);
    scene.field.repo().git(&["config", "core.autocrlf", "true"]);
    scene.user_merges("merge", "wt/a", "wt/b", &both().replace('\n', "\r\n"));
    let memory = scene.memory();
    assert!(memory.values().any(|(text, _)| text.contains(&b'\r')), "git remembers the other line ends");
    let said = scene.field.merge(&["--all", "--no-agent"]);
    assert_eq!((said.code(), said.result("b")), (0, "landed"), "{}", said.ran.out);
    assert_eq!((by(&said, "b"), scene.calls()), (pairs(&[("code.py", "rerere")]), 0));
    assert_eq!(scene.field.repo().git(&["show", "main:code.py"]), both().trim_end());
    assert_eq!(scene.memory(), memory, "git's memory was touched");
}

#[test]
fn a_remembered_resolution_that_loses_a_side_is_told_and_an_agent_is_asked() {
    let scene = scene(&writes(&both()), "", "");
    clash(&scene);
    scene.user_merges("merge", "wt/a", "wt/b", &left());
    let said = scene.merge();
    assert_eq!((said.code(), said.result("b"), scene.calls()), (0, "landed", 1), "{}", said.ran.err);
    assert_eq!(by(&said, "b"), pairs(&[("code.py", "agent")]));
    let warning = "warning: the resolution that `git rerere` remembers is not taken: code.py: ";
    assert!(said.ran.err.contains(warning), "{}", said.ran.err);
    assert_eq!(scene.field.repo().read("code.py"), both());
}

#[test]
fn a_doubtful_remembered_resolution_waits_for_a_person_and_lands_as_approved() {
    let joined = both() + "# joined\n";
    let scene = scene(NEVER, "", "");
    clash(&scene);
    scene.user_merges("merge", "wt/a", "wt/b", &joined);
    let told = scene.field.merge(&["--all", "--dry-run"]);
    assert_eq!((told.code(), told.result("b")), (4, "review"), "{}", told.ran.out);
    let said = scene.merge();
    assert_eq!((said.code(), said.result("b"), scene.calls()), (4, "review", 0), "{}", said.ran.out);
    assert_eq!(scene.field.state("b"), State::Review);
    let shown = scene.wt(&["diff", "b"]).ok();
    assert!(shown.contains("=== code.py: its resolution is doubtful (merged as before)"), "{shown}");
    let kept = scene.wt(&["logs", "b", "--landing"]).ok();
    assert!(kept.contains("== without an agent: commit "), "{kept}");
    assert!(kept.contains("   code.py: doubtful (merged as before)"), "{kept}");
    scene.wt(&["approve", "b"]).ok();
    fs::remove_dir_all(scene.field.repo().path().join(".git/rr-cache")).unwrap();
    let said = scene.field.merge(&["b", "--no-agent"]);
    assert_eq!((said.code(), said.result("b")), (0, "landed"), "{}", said.ran.out);
    assert_eq!(scene.field.repo().read("code.py"), joined);
    scene.field.is_whole();
}

#[test]
fn git_is_asked_only_where_it_remembers_something_and_the_user_wants_it() {
    let scene = scene(NEVER, "", "");
    clash(&scene);
    let trace = scene.field.program.env.root().join("trace");
    let asked = || {
        let mut merge = scene.field.program.command(&["merge", "--all", "--dry-run", "--no-agent"]);
        let told = ran(merge.env("GIT_TRACE", &trace).output().unwrap());
        let traced = fs::read_to_string(&trace).unwrap();
        assert!(traced.contains("merge-tree"), "{traced}");
        fs::remove_file(&trace).unwrap();
        (told.code, traced.contains("rerere"))
    };
    assert_eq!(asked(), (4, false), "there is no memory");
    scene.user_merges("merge", "wt/a", "wt/b", &both());
    assert_eq!(asked(), (0, true));
    scene.field.repo().git(&["config", "rerere.enabled", "false"]);
    assert_eq!(asked(), (4, false), "the user switched it off");
}

/// A stand-in for a structural merge tool: `script` with `$1` the target's side, `$2` the base, `$3` the task's side, `$4` the
/// path. Returns the line of the configuration.
fn tool(field: &Field, script: &str) -> String {
    let command = field.script("merger", script);
    format!("structural = [\"{command} %A %O %B %P\"]")
}

/// What a stand-in does that merges the file of [`clash`].
fn joins() -> String {
    format!("cat > \"$1\" <<'END'\n{}END", both())
}

/// A scene with a stand-in.
fn tooled(script: &str, resolver: &str, more: &str) -> Scene {
    let first = Scene::new(resolver, "");
    let line = tool(&first.field, script);
    let resolver = first.field.program.env.root().join("resolver");
    first.field.program.configure(&format!(
        "[merge]\nagent = \"resolver\"\nreview = []\n{line}\n[agents.resolver]\ncommand = [\"sh\", \"{}\"]\n{more}",
        resolver.display()
    ));
    first
}

#[test]
fn a_structural_merge_lands_without_an_agent() {
    let scene = tooled(&joins(), NEVER, "");
    clash(&scene);
    let told = scene.field.merge(&["--all", "--dry-run"]);
    assert_eq!((told.code(), told.result("b")), (0, "landed"), "{}", told.ran.out);
    assert_eq!(by(&told, "b"), pairs(&[("code.py", "structural")]));
    let out = scene.wt(&["merge", "--all", "--keep", "--no-agent"]).ok();
    assert!(out.contains("code.py (merged by its structure)\n"), "{out}");
    assert_eq!((scene.field.repo().read("code.py"), scene.calls()), (both(), 0));
    assert_eq!(scene.field.repo().git(&["for-each-ref", "refs/wt/resolution"]), "", "it can be made again");
    let kept = scene.wt(&["logs", "b", "--landing"]).ok();
    assert!(kept.contains("   code.py: kept both sides (merged by its structure)"), "{kept}");
    scene.field.is_whole();
}

#[test]
fn a_tool_sees_copies_in_a_folder_of_its_own_and_nothing_of_ours() {
    let path = "src/it's $(here) & there.py";
    let scene = tooled("", NEVER, "");
    let seen = scene.field.program.env.root().join("seen");
    let looks = "pwd; ls; env; cat \"$2\"; echo \"path=$4\"";
    scene.field.script("merger", &format!("{{ {looks}; }} > {}\n{}", seen.display(), joins()));
    scene.field.repo().commit(path, BASE);
    scene.task("a", &[(path, &left())]);
    scene.task("b", &[(path, &right())]);
    let mut merge = scene.field.program.command(&["merge", "--all", "--keep", "--no-agent"]);
    ran(merge.env("SECRET", "hush").output().unwrap()).ok();
    let seen = fs::read_to_string(seen).unwrap();
    let lines: Vec<&str> = seen.lines().collect();
    let folder = lines[0];
    assert_eq!(&lines[1..5], ["base.py", "ours.py", "output.log", "theirs.py"]);
    assert!(seen.contains(&format!("\nHOME={folder}\n")), "{seen}");
    assert!(seen.contains(BASE) && seen.contains(&format!("path={path}")), "{seen}");
    assert!(!seen.contains("hush") && !seen.contains("GIT_AUTHOR_DATE"), "{seen}");
    assert!(!std::path::Path::new(folder).exists(), "{folder} is left");
}

#[test]
fn what_a_tool_does_not_merge_goes_to_the_agent() {
    let huge = "head -c 5000000 /dev/zero | tr '\\0' x > \"$1\"";
    for (script, why) in [
        ("exit 1", "it leaves conflicts"),
        ("printf '<<<<<<< a\\nx\\n=======\\ny\\n>>>>>>> b\\n' > \"$1\"", "the conflict marker"),
        ("cat \"$3\" > \"$1\"", "what main did is missing"),
        (": > \"$1\"", "code.py"),
        ("rm \"$1\"", "No such file"),
        ("rm \"$1\"; ln -s theirs.py \"$1\"", "what it left is no file"),
        (huge, "what it left is no file, or too large"),
        ("kill -9 $$", "it leaves conflicts"),
    ] {
        let scene = tooled(script, &writes(&both()), "");
        clash(&scene);
        let said = scene.merge();
        assert_eq!((said.code(), said.result("b"), scene.calls()), (0, "landed", 1), "{}", said.ran.err);
        assert_eq!(by(&said, "b"), pairs(&[("code.py", "agent")]), "{script}");
        let line = said.ran.err.lines().find(|line| line.contains("`sh` does not merge `code.py`: "));
        assert!(line.is_some_and(|line| line.contains(why)), "{script}: {}", said.ran.err);
    }
}

#[test]
fn a_tool_that_hangs_is_ended_with_all_that_it_started() {
    let scene = tooled("", NEVER, "");
    let pid = scene.field.program.env.root().join("pid");
    scene.field.script("merger", &format!("sleep 1000 & echo $! > {}; wait", pid.display()));
    clash(&scene);
    let begun = Instant::now();
    let said = scene.field.merge(&["--all", "--no-agent"]);
    assert_eq!((said.code(), said.result("b")), (4, "conflict"), "{}", said.ran.out);
    assert!(said.ran.err.contains("`sh` does not merge `code.py`: its time was up"), "{}", said.ran.err);
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    assert!(!alive(scene.field.program.file(&pid).trim().parse().unwrap()));
}

#[test]
fn a_landing_that_is_killed_leaves_no_tool_running_and_can_be_done_again() {
    let scene = tooled("", NEVER, "");
    let root = scene.field.program.env.root();
    let (pid, go) = (root.join("pid"), root.join("go"));
    let hangs = format!("test -e {} || {{ echo $$ > {}; exec sleep 1000; }}", go.display(), pid.display());
    scene.field.script("merger", &format!("{hangs}\n{}", joins()));
    clash(&scene);
    let mut merge = scene.field.program.command(&["merge", "--all", "--quiet", "--keep"]);
    // The copies stay where the landing was killed.
    let mut merge = merge.env("TMPDIR", root).spawn().unwrap();
    let tool: u32 = scene.field.program.file(&pid).trim().parse().unwrap();
    kill_process(Pid::from_child(&merge), Signal::KILL).unwrap();
    merge.wait().unwrap();
    scene.field.program.until("the tool's end", || (!alive(tool)).then_some(()));
    fs::write(go, "").unwrap();
    let said = scene.merge();
    assert_eq!((said.code(), said.result("b"), scene.calls()), (0, "landed", 0), "{}", said.ran.err);
    scene.field.is_whole();
}

#[test]
fn an_agent_is_given_only_what_the_tool_did_not_merge() {
    let resolver = format!("cp code.py \"$HOME/seen.py\"\ncat > two.py <<'END'\n{}END", both());
    let scene = tooled(&format!("test \"$4\" = code.py\n{}", joins()), &resolver, "");
    let seen = scene.field.program.env.root().join("home/seen.py");
    scene.field.repo().write("two.py", BASE);
    scene.field.repo().commit("code.py", BASE);
    for (name, text) in [("a", left()), ("b", right())] {
        let workspace = scene.field.open(name, &[]);
        workspace.write("two.py", &text);
        workspace.commit("code.py", &text);
        scene.field.finish(name);
    }
    let said = scene.merge();
    assert_eq!((said.code(), said.result("b"), scene.calls()), (0, "landed", 1), "{}", said.ran.out);
    let mut all = by(&said, "b");
    all.sort();
    assert_eq!(all, pairs(&[("code.py", "structural"), ("two.py", "agent")]));
    assert!(scene.prompts()[0].contains("### 1. `two.py`") && !scene.prompts()[0].contains("### 2."));
    assert_eq!(fs::read_to_string(seen).unwrap(), both(), "the other file is merged already");
    assert_eq!((scene.field.repo().read("code.py"), scene.field.repo().read("two.py")), (both(), both()));
    scene.field.is_whole();
}

const ORDER: &str = "[[verify]]\nname = \"order\"\nretries = 0\nrun = \"! grep -q 'LEFT, RIGHT' code.py || { echo wrong order; exit 1; }\"\n";

#[test]
fn a_structural_merge_that_a_check_refuses_goes_to_the_agent() {
    let scene = tooled(&joins(), &writes(&BASE.replace("f(x", "f(x, RIGHT, LEFT")), ORDER);
    clash(&scene);
    let said = scene.merge();
    assert_eq!((said.code(), said.result("b"), scene.calls()), (0, "landed", 1), "{}", said.ran.err);
    assert_eq!(by(&said, "b"), pairs(&[("code.py", "agent")]));
    let prompt = scene.prompts().remove(0);
    assert!(prompt.starts_with("# The merge was not accepted") && prompt.contains("wrong order"), "{prompt}");
    assert!(
        prompt.contains("(`code.py`, by a structural merge tool)") && !prompt.contains("your result"),
        "{prompt}"
    );
    scene.field.is_whole();
}

#[test]
fn where_no_agent_may_be_asked_a_check_that_refuses_it_rejects_the_task() {
    let scene = tooled(&joins(), NEVER, ORDER);
    clash(&scene);
    let said = scene.field.merge(&["--all", "--no-agent"]);
    assert_eq!((said.code(), said.result("b"), scene.calls()), (5, "rejected", 0), "{}", said.ran.out);
    assert_eq!(scene.field.state("b"), State::Rejected);
    scene.field.is_whole();
}

#[test]
fn a_tool_that_is_named_and_not_there_is_told_once() {
    for (named, times) in [("\"wt-no-such-tool %A %O %B\", \"mergiraf\"", 1), ("", 0)] {
        let line = if named.is_empty() { String::new() } else { format!("structural = [{named}]") };
        let scene = scene(NEVER, &line, "");
        scene.field.repo().commit("code.py", BASE);
        for (name, word) in [("a", "ONE"), ("b", "TWO"), ("c", "THREE")] {
            scene.task(name, &[("code.py", &BASE.replace("f(x", &format!("f(x, {word}")))]);
        }
        let mut merge = scene.field.program.command(&["merge", "--all", "--no-agent", "--keep"]);
        // Only what git and a shell need, so that no tool of this machine is found.
        let path = std::env::split_paths(&std::env::var_os("PATH").unwrap())
            .filter(|folder| !folder.join("mergiraf").exists())
            .collect::<Vec<_>>();
        merge.env("PATH", std::env::join_paths(path).unwrap());
        let said = ran(merge.output().unwrap());
        assert_eq!(said.code, 4, "{}", said.out);
        let warning = "`merge.structural` names `wt-no-such-tool`, which is not on PATH";
        assert_eq!(said.err.matches(warning).count(), times, "{}", said.err);
    }
}

#[test]
fn a_tool_of_the_repository_runs_only_if_it_is_approved() {
    let scene = Scene::new(NEVER, "");
    let resolver = scene.field.program.env.root().join("resolver");
    // A setting of the user that the repository's replaces.
    scene.field.program.configure(&format!(
        "[merge]\nagent = \"resolver\"\nreview = []\nstructural = [\"mergiraf\"]\n[agents.resolver]\ncommand = [\"sh\", \"{}\"]\n",
        resolver.display()
    ));
    let ran_at = scene.field.program.env.root().join("ran");
    let line = tool(&scene.field, &format!("touch {}\n{}", ran_at.display(), joins()));
    clash(&scene);
    scene.field.repo().commit(".wt.toml", &format!("[merge]\n{line}\n"));
    let told = scene.field.merge(&["--all", "--dry-run"]);
    assert_eq!((told.result("b"), ran_at.exists()), ("conflict", false), "{}", told.ran.out);
    let said = scene.field.merge(&["a", "--no-verify", "--no-agent"]);
    said.ran.ok();
    let said = scene.field.merge(&["b", "--no-verify", "--no-agent"]);
    assert_eq!((said.result("b"), ran_at.exists()), ("conflict", false), "{}", said.ran.out);
    scene.wt(&["trust", "--approve"]).ok();
    let said = scene.field.merge(&["b", "--no-verify", "--no-agent"]);
    assert_eq!((said.result("b"), ran_at.exists()), ("landed", true), "{}", said.ran.out);
}

#[test]
fn a_tool_without_a_place_for_its_result_is_refused() {
    let field = Field::with("[merge]\nagent = \"fake\"\nstructural = [\"weave\"]\n");
    let said = field.program.wt(&["status"]).fails(1);
    assert!(
        said.contains("`merge.structural` is `weave`, allowed is `mergiraf`, or a command line with `%A`"),
        "{said}"
    );
}

/// Nothing of the real tool is assumed but its command line; where it is missing, nothing is shown.
#[test]
fn the_real_tool_merges_what_two_tasks_add_at_one_place() {
    let there = std::env::split_paths(&std::env::var_os("PATH").unwrap())
        .any(|folder| folder.join("mergiraf").is_file());
    if !there {
        let _ = writeln!(io::stderr(), "skipped: `mergiraf` is not installed");
        return;
    }
    let scene = scene(NEVER, "structural = [\"mergiraf\"]", "");
    let old = "use std::fmt;\nuse std::io;\n\nfn a() {}\n\nfn z() {}\n";
    let side = |name: &str, import: &str| {
        old.replace("use std::io;", &format!("use std::{import};\nuse std::io;"))
            .replace("fn z", &format!("fn {name}() {{\n    {name}_of();\n}}\n\nfn z"))
    };
    scene.field.repo().commit("lib.rs", old);
    scene.task("a", &[("lib.rs", &side("left", "fs"))]);
    scene.task("b", &[("lib.rs", &side("right", "path"))]);
    let said = scene.merge();
    assert_eq!((said.code(), said.result("b"), scene.calls()), (0, "landed", 0), "{}", said.ran.err);
    assert_eq!(by(&said, "b"), pairs(&[("lib.rs", "structural")]));
    let text = scene.field.repo().read("lib.rs");
    for part in ["use std::fs;", "use std::path;", "left_of();", "right_of();"] {
        assert_eq!(text.matches(part).count(), 1, "{text}");
    }
    let home = scene.field.program.env.root().join("home");
    assert!(!home.join(".local").exists() && !home.join(".cache").exists(), "it wrote to the user's home");
}

#[test]
fn what_is_no_text_never_reaches_a_tool() {
    use wt::land::resolve::without_agent;
    use wt::model::settings::Structural;
    let tools = Structural::Named(vec!["touch /dev/null; exit 0; : %A".to_owned()]);
    let sides = Sides { path: "a.py", base: Some(b"a\0"), ours: b"b", theirs: b"c" };
    assert_eq!(without_agent(&sides, &tools), None);
    let large = vec![b'x'; (1 << 20) + 1];
    let sides = Sides { path: "a.py", base: None, ours: &large, theirs: b"c" };
    assert_eq!(without_agent(&sides, &tools), None);
}
