//! Conflicts handed to a resolver over several commits, landings, checks and deaths; and what never reaches one.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;

use rustix::process::{Pid, Signal, kill_process};
use wt::failpoint::POINTS;
use wt::land::kept;
use wt::model::State;

use super::resolve::{BASE, Scene, both, writes};
use crate::program::alive;

#[test]
fn each_commit_that_conflicts_is_asked_about() {
    let script = "sed -i '/^<<<<<<</,/^>>>>>>>/c f(x, LEFT, RIGHT)' *.py";
    let scene = Scene::new(script, "");
    scene.field.repo().commit("one.py", BASE);
    let other = |text: &str| text.replace("import a", "import b");
    scene.field.repo().commit("two.py", &other(BASE));
    let (left, right) = (BASE.replace("f(x", "f(x, LEFT"), BASE.replace("f(x", "f(x, RIGHT"));
    scene.task("a", &[("one.py", &left), ("two.py", &other(&left))]);
    scene.task("b", &[("one.py", &right), ("clean", "x\n"), ("two.py", &other(&right))]);
    let said = scene.merge();
    assert_eq!((said.code(), said.result("b")), (0, "landed"), "{}", said.ran.out);
    assert_eq!(&said.of("b")["commits"], &3);
    let paths: Vec<&str> =
        said.of("b")["resolved"].as_array().unwrap().iter().map(|r| r["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["one.py", "two.py"]);
    assert_eq!(scene.calls(), 2);
    assert!(scene.prompts()[1].contains("The task `a`, landed before"));
    assert_eq!(scene.field.repo().read("one.py"), both());
    assert_eq!(scene.field.repo().read("two.py"), other(&both()));
    assert_eq!(&scene.field.subjects()[..3], ["change two.py", "change clean", "change one.py"]);
    scene.field.is_whole();
}

#[test]
fn what_has_landed_once_is_not_asked_again() {
    let scene = Scene::combined(&writes(&both()), "");
    scene.field.repo().git(&["branch", "release"]);
    scene.merge().ran.ok();
    assert_eq!(scene.calls(), 1);
    // The same two changes meet on another branch.
    for (name, line) in [("c", "f(x, LEFT"), ("d", "f(x, RIGHT")] {
        let workspace = scene.field.open(name, &["--into", "release", "--base", "release"]);
        workspace.commit("code.py", &BASE.replace("f(x", line));
        scene.field.finish(name);
    }
    let said = scene.field.merge(&["c", "d", "--no-agent"]);
    assert_eq!((said.code(), said.result("d"), scene.calls()), (0, "landed", 1), "{}", said.ran.out);
    assert_eq!(said.of("d")["resolved"][0]["by"], "rerere");
    assert_eq!(scene.field.repo().git(&["show", "release:code.py"]), both().trim_end());
}

#[test]
fn a_red_check_goes_back_to_the_resolver_once() {
    let checks = "[[verify]]\nname = \"tests\"\nrun = \"! grep -q 'RIGHT, LEFT' code.py || { echo wrong order; exit 1; }\"\n";
    let swapped = BASE.replace("f(x", "f(x, RIGHT, LEFT");
    let script = format!(
        "if test $n = 1; then\n{}\nelse\ngrep -q 'RIGHT, LEFT' code.py\n{}\nfi",
        writes(&swapped),
        writes(&both())
    );
    let scene = Scene::combined(&script, checks);
    let said = scene.merge();
    if said.result("b") == "landed" {
        assert_eq!((scene.calls(), scene.field.repo().read("code.py")), (2, both()));
        let again = &scene.prompts()[1];
        assert!(again.contains("A check failed on the merged tree: `tests` exited with code 1"), "{again}");
        assert!(again.contains("wrong order"), "{again}");
    } else {
        panic!("{}", said.ran.out);
    }

    let scene = Scene::combined(
        &writes(&both()),
        "[[verify]]\nname = \"tests\"\nrun = \"! grep -q 'LEFT, RIGHT' code.py\"\n",
    );
    let said = scene.merge();
    assert_eq!((said.code(), said.result("b"), scene.calls()), (5, "rejected", 2), "{}", said.ran.out);
    assert_eq!(scene.field.state("b"), State::Rejected);
    scene.field.is_whole();
}

#[test]
fn the_journal_and_the_folder_tell_what_was_asked_and_said() {
    let scene = Scene::combined(&format!("{}\necho I joined them", writes(&both())), "");
    scene.merge().ran.ok();
    let resolved =
        scene.field.program.events("b@1").into_iter().find(|event| event["type"] == "resolved").unwrap();
    assert_eq!(resolved["paths"][0]["by"], "agent");
    let folder = scene.landing("b").kept.unwrap();
    assert_eq!(resolved["kept"], folder);
    let calls = kept::calls(folder.as_ref(), &"b".parse().unwrap()).unwrap();
    assert_eq!(calls.len(), 1);
    let manifest = calls[0].load().unwrap().unwrap();
    assert_eq!(
        (manifest.agent.as_deref(), manifest.attempt, manifest.faults.len()),
        (Some("resolver"), 1, 0)
    );
    assert!(manifest.said.unwrap().contains("I joined them"));
    let file = &manifest.files[0];
    assert_eq!(
        (file.path.as_str(), file.judged, file.doubts.len()),
        ("code.py", Some(kept::Judged::Kept), 0)
    );
    let side = |name: &str| std::fs::read_to_string(calls[0].sides(0).join(name)).unwrap();
    assert_eq!((side("base"), side("result")), (BASE.to_owned(), both()));
    assert!(side("ours").contains("LEFT") && side("theirs").contains("RIGHT"));
    assert!(std::fs::read_to_string(calls[0].prompt()).unwrap().contains("# Merge two changes"));
    assert!(std::fs::read_to_string(calls[0].stream()).unwrap().contains("I joined them"));
    let about = std::fs::metadata(calls[0].path()).unwrap();
    assert_eq!(about.permissions().mode() & 0o777, 0o700);
}

/// Lands `b` on what `change` left on main after its workspace was made, beside a text that conflicts too: nobody is asked.
fn is_for_a_person(
    what: &str,
    base: impl Fn(&Scene),
    theirs: impl Fn(&crate::env::TestRepo),
    ours: impl Fn(&crate::env::TestRepo),
) {
    let scene = Scene::new("touch \"$HOME/asked\"", "");
    scene.field.repo().write("code.py", BASE);
    base(&scene);
    scene.field.repo().commit_all("base");
    let workspace = scene.field.open("b", &[]);
    workspace.write("code.py", BASE.replace("f(x", "f(x, RIGHT"));
    theirs(&workspace);
    workspace.commit_all("theirs");
    scene.field.finish("b");
    scene.field.repo().write("code.py", BASE.replace("f(x", "f(x, LEFT"));
    ours(scene.field.repo());
    scene.field.repo().commit_all("ours");
    let said = scene.merge();
    assert_eq!((said.code(), said.result("b")), (4, "conflict"), "{what}: {}", said.ran.out);
    assert!(said.reason("b").contains("a person must decide"), "{what}: {}", said.reason("b"));
    assert!(said.of("b")["conflicts"].as_array().unwrap().len() > 1, "{what}: {}", said.ran.out);
    assert_eq!(scene.calls(), 0, "{what} went to the agent");
    assert!(!scene.resolve_worktree().exists(), "{what}");
    scene.field.is_whole();
}

#[test]
fn what_is_no_pair_of_texts_never_reaches_a_resolver() {
    let file = |repo: &crate::env::TestRepo, text: &str| repo.write("f", text);
    let lines = crate::env::lines("some words", 20);
    is_for_a_person(
        "modify/delete",
        |scene| file(scene.field.repo(), &lines),
        |theirs| std::fs::remove_file(theirs.path().join("f")).unwrap(),
        |ours| file(ours, &(lines.clone() + "more\n")),
    );
    is_for_a_person(
        "binary",
        |scene| scene.field.repo().write("f", b"\0\x01base"),
        |theirs| theirs.write("f", b"\0\x01theirs"),
        |ours| ours.write("f", b"\0\x01ours"),
    );
    is_for_a_person(
        "not UTF-8",
        |scene| scene.field.repo().write("f", b"\xe4 base\n"),
        |theirs| theirs.write("f", b"\xe4 theirs\n"),
        |ours| ours.write("f", b"\xe4 ours\n"),
    );
    is_for_a_person(
        "type",
        |scene| file(scene.field.repo(), "base\n"),
        |theirs| {
            std::fs::remove_file(theirs.path().join("f")).unwrap();
            symlink("code.py", theirs.path().join("f")).unwrap();
        },
        |ours| file(ours, "ours\n"),
    );
    is_for_a_person(
        "mode",
        |_| {},
        |theirs| file(theirs, "theirs\n"),
        |ours| {
            file(ours, "ours\n");
            let executable = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(ours.path().join("f"), executable).unwrap();
        },
    );
    is_for_a_person(
        "rename/rename",
        |scene| file(scene.field.repo(), &lines),
        |theirs| std::fs::rename(theirs.path().join("f"), theirs.path().join("theirs")).unwrap(),
        |ours| std::fs::rename(ours.path().join("f"), ours.path().join("ours")).unwrap(),
    );
    is_for_a_person(
        "file/folder",
        |_| {},
        |theirs| theirs.write("f/x", "theirs\n"),
        |ours| file(ours, "ours\n"),
    );
    let module = |repo: &crate::env::TestRepo, digit: &str| {
        let info = format!("160000,{},sub", digit.repeat(40));
        repo.git(&["update-index", "--add", "--cacheinfo", &info]);
        std::fs::create_dir_all(repo.path().join("sub")).unwrap();
    };
    is_for_a_person(
        "submodule",
        |scene| module(scene.field.repo(), "1"),
        |theirs| module(theirs, "2"),
        |ours| module(ours, "3"),
    );
}

#[test]
fn a_branch_with_merges_is_for_a_person() {
    let scene = Scene::new("touch \"$HOME/asked\"", "");
    scene.field.repo().commit("code.py", BASE);
    let workspace = scene.field.open("b", &[]);
    workspace.commit("code.py", &BASE.replace("f(x", "f(x, RIGHT"));
    scene.field.repo().commit("other", "x\n");
    workspace.git(&["merge", "-q", "--no-edit", "main"]);
    scene.field.finish("b");
    scene.field.repo().commit("code.py", &BASE.replace("f(x", "f(x, LEFT"));
    let said = scene.merge();
    assert_eq!((said.result("b"), scene.calls()), ("conflict", 0));
    assert!(said.reason("b").contains("its branch holds merges"), "{}", said.reason("b"));
}

#[test]
fn a_landing_that_is_killed_leaves_no_resolver_running_and_can_be_done_again() {
    let script = format!(
        "if ! test -e \"$HOME/go\"; then (setsid sleep 1000 & echo $! > \"$HOME/child\"); echo $$ > \"$HOME/pid\"; exec sleep 1000; fi\n{}",
        writes(&both())
    );
    let scene = Scene::combined(&script, "");
    let home = scene.field.program.env.root().join("home");
    let mut merge = scene.field.program.command(&["merge", "--all", "--quiet", "--keep"]).spawn().unwrap();
    let pid: u32 = scene.field.program.file(&home.join("pid")).trim().parse().unwrap();
    let child: u32 = scene.field.program.file(&home.join("child")).trim().parse().unwrap();
    kill_process(Pid::from_child(&merge), Signal::KILL).unwrap();
    merge.wait().unwrap();
    scene.field.program.until("the resolver's end", || (!alive(pid) && !alive(child)).then_some(()));
    assert!(matches!(scene.field.state("b"), State::Landing { .. }));
    std::fs::write(home.join("go"), "").unwrap();
    let said = scene.merge();
    assert_eq!((said.code(), said.result("b")), (0, "landed"), "{}", said.ran.out);
    scene.field.is_whole();
}

#[test]
fn a_kill_at_any_point_of_a_resolution_loses_nothing() {
    let points: Vec<&&str> = POINTS.iter().filter(|point| point.starts_with("land.resolve.")).collect();
    assert_eq!(points.len(), 4);
    for point in points {
        let scene = Scene::combined(&writes(&both()), "");
        let mut merge = scene.field.program.command(&["merge", "--all", "--keep", "--quiet"]);
        let killed = crate::program::ran(merge.env("WT_FAILPOINT", point).output().unwrap());
        assert_eq!(killed.code, -1, "{point} was not reached: {}", killed.err);
        assert_eq!(scene.field.state("a"), State::Landed, "{point}");
        let said = scene.merge();
        assert_eq!((said.code(), said.result("b")), (0, "landed"), "{point}: {}", said.ran.err);
        assert_eq!(scene.field.repo().read("code.py"), both(), "{point}");
        scene.field.is_whole();
    }
}

#[test]
fn the_worktree_for_conflicts_is_nobodys_task_and_is_made_again() {
    let scene = Scene::combined(&writes(&both()), "");
    scene.merge().ran.ok();
    let place = scene.resolve_worktree();
    assert!(place.exists());
    for verb in [&["status", "--all"][..], &["doctor"], &["gc", "--dry-run"]] {
        let ran = scene.field.program.wt(verb);
        assert!(!ran.out.contains(".resolve"), "{verb:?}: {}", ran.out);
    }
    std::fs::remove_file(place.join(".git")).unwrap();
    scene.field.repo().commit("code.py", BASE);
    scene.task("c", &[("code.py", &BASE.replace("end", "END"))]);
    scene.field.repo().commit("code.py", &BASE.replace("end", "The end"));
    let said = scene.merge();
    assert_eq!((scene.calls(), said.code()), (3, 4), "asked again, in a worktree that was made again");
    assert!(place.join(".git").exists());
}

#[test]
fn a_landing_asks_so_often_and_no_more() {
    let scene = Scene::new("sed -i '/^<<<<<<</,/^>>>>>>>/c f(x, LEFT, RIGHT)' *.py", "");
    let paths: Vec<String> = (0..7).map(|n| format!("f{n}.py")).collect();
    let text = |n: usize, with: &str| BASE.replace("import a", &format!("import a{n}")).replace("f(x", with);
    let files = |with: &str| -> Vec<String> { (0..7).map(|n| text(n, with)).collect() };
    let (base, left, right) = (files("f(x"), files("f(x, LEFT"), files("f(x, RIGHT"));
    for (path, text) in paths.iter().zip(&base) {
        scene.field.repo().write(path, text);
    }
    scene.field.repo().commit_all("base");
    let each = |texts: &[String]| -> Vec<(String, String)> {
        paths.iter().cloned().zip(texts.iter().cloned()).collect()
    };
    for (name, texts) in [("a", &left), ("b", &right)] {
        let files = each(texts);
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (&**path, &**text)).collect();
        scene.task(name, &files);
    }
    let said = scene.merge();
    assert_eq!((said.code(), said.result("b"), scene.calls()), (4, "conflict", 6), "{}", said.ran.out);
    assert!(said.reason("b").contains("an agent was asked 6 times already"), "{}", said.reason("b"));
    scene.field.is_whole();
}

#[test]
fn the_owners_side_is_named_and_a_person_looks_at_what_was_given_up() {
    let script = format!(
        "{}\necho '<superseded path=\"code.py\">f(x, LEFT) ||| incompatible, b owns the file</superseded>'",
        writes(&BASE.replace("f(x", "g(x"))
    );
    let scene = Scene::new(&script, "");
    scene.field.repo().commit("code.py", BASE);
    scene.field.done("a", &[("code.py", &BASE.replace("f(x", "f(x, LEFT"))]);
    scene.field.done_with("b", &[("code.py", &BASE.replace("f(x", "g(x"))], &["--own", "*.py"]);
    // What `b` owns is changed by `a` only if a person says so.
    assert_eq!(scene.field.merge(&["a"]).result("a"), "review");
    scene.field.program.wt(&["approve", "a"]).ok();
    let said = scene.merge();
    assert_eq!((said.code(), said.result("b")), (4, "review"), "{}", said.ran.out);
    assert!(scene.prompts()[0].contains("Owned by the task `b`."), "{}", scene.prompts()[0]);
    let folder = scene.landing("b").kept.unwrap();
    let calls = kept::calls(folder.as_ref(), &"b".parse().unwrap()).unwrap();
    let file = calls.last().unwrap().load().unwrap().unwrap().files.remove(0);
    assert_eq!(file.superseded[0].1, "incompatible, b owns the file");
    assert!(!file.doubts.is_empty());
}
