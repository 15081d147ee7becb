//! What has landed is given to the memory of `git rerere`, or to one like it: the next such conflict needs nobody.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fs_err as fs;
use wt::model::State;

use super::field::Said;
use super::resolve::{BASE, Scene, both, writes};
use crate::env::TestRepo;

/// What a memory holds.
fn memory(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        for file in fs::read_dir(entry.path()).unwrap() {
            let path = file.unwrap().path();
            found.insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap());
        }
    }
    found
}

fn of_git(scene: &Scene) -> PathBuf {
    scene.field.repo().path().join(".git/rr-cache")
}

fn by(said: &Said, task: &str) -> String {
    said.of(task)["resolved"][0]["by"].as_str().unwrap_or_default().to_owned()
}

/// Makes the same conflict once more, in a file that is another one around it: no side of it is a text that was seen before.
fn again(scene: &Scene, path: &str, names: [&str; 2]) {
    let base = format!("{BASE}\none\n\ntwo\n\nthree more lines\n");
    scene.field.repo().commit(path, &base);
    for (name, word) in names.into_iter().zip(["LEFT", "RIGHT"]) {
        scene.task(name, &[(path, &base.replace("f(x", &format!("f(x, {word}")))]);
    }
}

#[test]
fn what_an_agent_resolved_is_remembered_for_the_like_of_it_and_gits_own_memory_is_not_begun() {
    let scene = Scene::combined(&writes(&both()), "");
    assert_eq!((scene.merge().code(), scene.calls()), (0, 1));
    again(&scene, "code.py", ["c", "d"]);
    let told = scene.field.merge(&["--all", "--dry-run"]);
    assert_eq!((told.code(), told.result("d"), by(&told, "d").as_str()), (0, "landed", "rerere"));
    let said = scene.merge();
    assert_eq!((said.code(), said.result("d")), (0, "landed"), "{}", said.ran.err);
    assert_eq!((by(&said, "d").as_str(), scene.calls()), ("rerere", 1));
    let text = scene.field.repo().read("code.py");
    assert!(text.starts_with(&both()) && text.ends_with("three more lines\n"), "{text}");
    again(&scene, "elsewhere.py", ["e", "g"]);
    let said = scene.merge();
    assert_eq!((by(&said, "g").as_str(), scene.calls()), ("rerere", 1), "{}", said.ran.err);
    assert!(!of_git(&scene).exists(), "from now on git would remember, which nobody wished");
    scene.field.is_whole();
}

#[test]
fn where_git_remembers_by_itself_it_is_given_what_has_landed_and_takes_it_too() {
    let scene = Scene::combined(&writes(&both()), "");
    let repo = scene.field.repo();
    repo.git(&["config", "rerere.enabled", "true"]);
    repo.git(&["config", "merge.conflictStyle", "diff3"]);
    assert_eq!((scene.merge().code(), scene.calls()), (0, 1));
    assert!(!scene.field.layout().resolutions().exists());
    let names: Vec<String> = memory(&of_git(&scene)).keys().map(|path| path.display().to_string()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names[0].ends_with("/postimage") && names[1].ends_with("/preimage"), "{names:?}");
    again(&scene, "code.py", ["c", "d"]);
    // As a person would: git resolves it, and says so.
    repo.git(&["checkout", "-q", "--detach", "wt/c"]);
    let said = repo.try_git(&["merge", "wt/d"]);
    let said = String::from_utf8_lossy(&said.stderr).into_owned() + &String::from_utf8_lossy(&said.stdout);
    assert!(said.contains("Resolved 'code.py' using previous resolution."), "{said}");
    assert!(repo.read("code.py").starts_with(&both()));
    repo.git(&["merge", "--abort"]);
    repo.git(&["checkout", "-q", "main"]);
    let said = scene.merge();
    assert_eq!((by(&said, "d").as_str(), scene.calls()), ("rerere", 1), "{}", said.ran.err);
}

/// Begins a merge in which the user's git remembers a conflict.
fn left_open(repo: &TestRepo) {
    repo.git(&["config", "rerere.enabled", "true"]);
    repo.git(&["checkout", "-q", "--detach", "wt/a"]);
    assert!(!repo.try_git(&["merge", "-q", "wt/b"]).status.success());
}

#[test]
fn what_the_user_has_made_of_it_is_never_replaced_nor_anything_begun_where_it_is_switched_off() {
    let scene = Scene::combined(&writes(&both()), "");
    let repo = scene.field.repo();
    // The user's resolution loses a side: it is not taken, and stays nevertheless.
    left_open(repo);
    repo.write("code.py", BASE.replace("f(x", "f(x, LEFT"));
    repo.commit_all("by hand");
    repo.git(&["checkout", "-q", "main"]);
    let before = memory(&of_git(&scene));
    assert_eq!((scene.merge().code(), scene.calls()), (0, 1));
    assert_eq!(memory(&of_git(&scene)), before);
    assert!(!scene.field.layout().resolutions().exists());
    repo.git(&["config", "rerere.enabled", "false"]);
    again(&scene, "code.py", ["c", "d"]);
    let said = scene.field.merge(&["--all", "--no-agent"]);
    assert_eq!((said.code(), said.result("d")), (4, "conflict"), "{}", said.ran.out);
    assert_eq!(memory(&of_git(&scene)), before);
}

/// The user left a conflict of that name open: it is another variant of it, as git itself would make one.
#[test]
fn a_conflict_that_the_user_left_open_stays_open() {
    let scene = Scene::combined(&writes(&both()), "");
    let repo = scene.field.repo();
    left_open(repo);
    let before = memory(&of_git(&scene));
    assert_eq!(before.len(), 1);
    assert_eq!((scene.field.merge(&["--all"]).code(), scene.calls()), (0, 1));
    let after = memory(&of_git(&scene));
    assert!(before.iter().all(|(path, text)| after.get(path) == Some(text)));
    assert!(after.keys().any(|path| path.ends_with("postimage.1")), "{:?}", after.keys());
    // In the middle of the merge, git still knows what it waits for.
    repo.write("code.py", both());
    repo.git(&["add", "code.py"]);
    repo.git(&["rerere"]);
    assert!(memory(&of_git(&scene)).keys().any(|path| path.ends_with("postimage")));
    repo.git(&["commit", "-q", "--no-edit"]);
    repo.git(&["checkout", "-q", "main"]);
    again(&scene, "code.py", ["c", "d"]);
    let said = scene.merge();
    assert_eq!((by(&said, "d").as_str(), scene.calls()), ("rerere", 1), "{}", said.ran.err);
}

#[test]
fn what_a_check_refused_is_not_remembered_and_what_a_person_made_is() {
    let never = "[[verify]]\nname = \"never\"\nretries = 0\nrun = \"! grep -q LEFT,.RIGHT code.py\"\n";
    let scene = Scene::combined(&writes(&both()), never);
    assert_eq!((scene.merge().code(), scene.field.state("b")), (5, State::Rejected));
    assert!(!scene.field.layout().resolutions().exists() && !of_git(&scene).exists());

    let scene = Scene::combined("exit 1", "");
    assert_eq!(scene.field.merge(&["--all", "--no-agent"]).result("b"), "conflict");
    let editor = scene.field.script("editor", &format!("cat > \"$1\" <<'END'\n{}END", both()));
    let mut resolve = scene.field.program.command(&["resolve", "b"]);
    let ran = crate::program::ran(resolve.env("GIT_EDITOR", editor).output().unwrap());
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(scene.field.merge(&["b", "--no-agent"]).result("b"), "landed");
    again(&scene, "code.py", ["c", "d"]);
    let said = scene.field.merge(&["--all", "--no-agent"]);
    assert_eq!((said.result("d"), by(&said, "d").as_str()), ("landed", "rerere"), "{}", said.ran.err);
}
