//! `wt conflicts`: live branches merged in memory, through the real program and against git itself.

mod kinds;
mod memory;
mod stacked;
mod verdicts;

use fs_err as fs;
use serde_json::Value;
use wt::store::clashes::Clashes;

use crate::env::{TestRepo, lines};
use crate::land::field::Field;

/// A repository with two files of many lines.
fn field() -> Field {
    let field = Field::new();
    field.repo().write("src/f", lines("f", 20));
    field.repo().write("src/g", lines("g", 20));
    field.repo().commit_all("lines");
    field
}

/// Changes one line of a file.
fn edit(repo: &TestRepo, path: &str, line: usize, to: &str) {
    let text = repo.read(path);
    let changed = text.lines().enumerate().map(|(n, old)| if n == line { to } else { old });
    repo.write(path, changed.fold(String::new(), |text, line| text + line + "\n"));
}

fn look(field: &Field, args: &[&str]) -> Value {
    let args: Vec<&str> = ["conflicts", "--json"].into_iter().chain(args.iter().copied()).collect();
    let ran = field.program.wt(&args);
    assert_eq!(ran.code, 0, "{}", ran.err);
    ran.json()
}

/// Returns each pair as `A+B: FILE (KIND), …`, `*` where uncommitted work makes it so.
fn pairs(view: &Value) -> Vec<String> {
    let told = |pair: &Value| {
        let mut names = [pair["tasks"][0].as_str().unwrap(), pair["tasks"][1].as_str().unwrap()];
        names.sort_unstable();
        let files: Vec<String> = pair["files"].as_array().unwrap().iter().map(file).collect();
        let star = if pair["uncommitted"] == true { "*" } else { "" };
        format!("{}+{}{star}: {}", names[0], names[1], files.join(", "))
    };
    let mut all: Vec<String> = view["pairs"].as_array().unwrap().iter().map(told).collect();
    all.sort();
    all
}

fn file(file: &Value) -> String {
    format!("{} ({})", file["path"].as_str().unwrap(), file["kind"].as_str().unwrap())
}

fn names(view: &Value) -> Vec<&str> {
    view["tasks"].as_array().unwrap().iter().map(|task| task["name"].as_str().unwrap()).collect()
}

fn task<'a>(view: &'a Value, name: &str) -> &'a Value {
    let all = view["tasks"].as_array().unwrap();
    all.iter().find(|task| task["name"] == name).unwrap_or_else(|| panic!("{name}: {view}"))
}

/// Everything of git's that a look must leave as it is: objects, refs, and the files of each worktree's entry.
fn untouched(field: &Field) -> Vec<String> {
    let git = field.repo().path().join(".git");
    let mut found = Vec::new();
    let mut folders = vec![git.join("objects"), git.join("refs"), git.join("worktrees"), git.join("logs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let about = entry.metadata().unwrap();
            if about.is_dir() {
                folders.push(entry.path());
            } else {
                let path = entry.path();
                // git gives an object that it would write and finds there a new time.
                let time = (!path.starts_with(git.join("objects"))).then(|| about.modified().unwrap());
                found.push(format!("{} {time:?}", path.display()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn uncommitted_and_untracked_work_counts_and_nothing_is_written() {
    let field = field();
    let [a, b, c, d] = ["alpha", "beta", "gamma", "delta"].map(|name| field.open(name, &[]));
    edit(&a, "src/f", 3, "three of alpha");
    a.commit_all("alpha");
    edit(&b, "src/f", 3, "three of beta");
    b.write("new/file", "of beta\n");
    edit(&c, "src/g", 5, "five of gamma");
    c.git(&["add", "-A"]);
    c.write("new/file", "of gamma\n");
    edit(&d, "src/f", 3, "three of delta");
    d.commit_all("delta");
    let before = untouched(&field);
    let ran = field.program.wt(&["conflicts", "--files"]);
    insta::assert_snapshot!(ran.ok(), @r"
     #  TASK   STATE  FILES  WITH TARGET
     1  gamma  open   2*     ·
     2  alpha  open   1      ·
     3  delta  open   1      ·
     4  beta   open   2*     ·

        1  2  3  4
     1  -  ·  ·  1*
     2  ·  -  1  1*
     3  ·  1  -  1*
     4  1* 1* 1* -

    gamma with beta (by uncommitted work):
      new/file (both added)

    alpha with delta:
      src/f (both changed)

    alpha with beta (by uncommitted work):
      src/f (both changed)

    delta with beta (by uncommitted work):
      src/f (both changed)

    4 branches, 4 pairs in conflict; *: with uncommitted work
    ");
    assert_eq!(untouched(&field), before);
    let named = field.program.wt(&["conflicts", "gamma"]);
    insta::assert_snapshot!(named.ok(), @r"
     #  TASK   STATE  FILES  WITH TARGET
     1  gamma  open   2*     ·
     4  beta   open   2*     ·

        1  4
     1  -  1*
     4  1* -

    gamma with beta (by uncommitted work):
      new/file (both added)

    4 branches, 1 pair in conflict; *: with uncommitted work
    ");
    assert_eq!(untouched(&field), before);
}

#[test]
fn with_no_work_or_one_branch_there_is_a_sentence() {
    let field = field();
    let said = |args: &[&str]| field.program.wt(args).ok().trim().to_owned();
    assert_eq!(said(&["conflicts"]), "nothing to compare: no live task has changed anything yet");
    assert!(!field.program.state().exists(), "looking at nothing makes nothing");
    let idle = field.open("idle", &[]);
    assert_eq!(said(&["conflicts"]), "nothing to compare: no live task has changed anything yet");
    let ran = field.program.wt(&["conflicts", "idle"]);
    assert!(ran.err.contains("`idle` is not compared: it is without changes"), "{}", ran.err);
    idle.write("x", "x\n");
    assert!(said(&["conflicts"]).ends_with("1 branch to compare; *: with uncommitted work"));
    let refused = field.program.wt(&["conflicts", "idel"]).fails(1);
    assert!(refused.contains("there is no task `idel`"), "{refused}");
}

#[test]
fn twenty_branches_stand_in_the_order_of_their_landing() {
    let field = field();
    for n in 0..20 {
        let name = format!("task-{n:02}");
        let workspace = field.open(&name, &[]);
        workspace.write(&format!("own/{n}"), "own\n");
        // Three of them meet in one file, and two in another.
        if n < 3 {
            edit(&workspace, "src/f", 3, &name);
        }
        if (2..4).contains(&n) {
            edit(&workspace, "src/g", 3, &name);
        }
        workspace.commit_all("work");
        field.finish(&name);
    }
    let view = look(&field, &[]);
    assert_eq!(view["merged"], 210, "190 pairs, and each with the target");
    let order = names(&view);
    assert_eq!(order[..2], ["task-04", "task-05"], "without a conflict first");
    assert_eq!(order[16..], ["task-03", "task-00", "task-01", "task-02"]);
    let said = field.merge(&["--all", "--dry-run", "--no-verify", "--no-agent"]);
    let landing: Vec<&str> =
        said.view["tasks"].as_array().unwrap().iter().map(|task| task["name"].as_str().unwrap()).collect();
    assert_eq!(landing, order, "`wt merge` takes the same order");
    assert_eq!(pairs(&view).len(), 4);
    let again = look(&field, &[]);
    assert_eq!((&again["merged"], &again["pairs"]), (&0.into(), &view["pairs"]));
}

#[test]
fn a_file_that_two_change_is_no_conflict_if_they_merge() {
    let field = field();
    for (name, path, line) in [("first", "src/f", 1), ("second", "src/f", 18), ("third", "src/g", 1)] {
        let workspace = field.open(name, &[]);
        edit(&workspace, path, line, name);
        workspace.commit_all(name);
        field.finish(name);
    }
    let order = ["first", "second", "third"];
    let landing = |field: &Field| {
        let said = field.merge(&["--all", "--dry-run", "--no-verify", "--no-agent"]);
        let tasks = said.view["tasks"].as_array().unwrap().clone();
        tasks.into_iter().map(|task| task["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(landing(&field), order, "before anybody asked");
    let view = look(&field, &[]);
    assert_eq!((names(&view), pairs(&view)), (order.to_vec(), vec![]));
    assert_eq!(landing(&field), order);
}

#[test]
fn parents_priority_and_what_is_not_done_yet_have_their_places() {
    let field = field();
    for (name, more) in [("late", "5"), ("early", "1"), ("open", "1")] {
        let workspace = field.open(name, &["--priority", more]);
        workspace.commit(name, "x\n");
        if name != "open" {
            field.finish(name);
        }
    }
    let child = field.child("child", "late");
    child.commit("child", "x\n");
    assert_eq!(names(&look(&field, &[])), ["early", "late", "open", "child"]);
}

#[test]
fn a_working_agent_is_looked_at_beside_its_work() {
    let field = field();
    let program = &field.program;
    let go = program.env.root().join("go");
    let steps =
        ["write:src/f=of the agent", "touch:written", &format!("wait-for:{}", go.display()), "exit:0"];
    program.spawn("agent", &steps, &[]).ok();
    let person = field.open("person", &[]);
    edit(&person, "src/f", 3, "of a person");
    let written = program.worktree("agent").join("written");
    program.until("its file", || written.exists().then_some(()));
    let view = look(&field, &[]);
    assert_eq!(task(&view, "agent")["state"], "running");
    assert_eq!(pairs(&view), ["agent+person*: src/f (content)"]);
    fs::write(go, "").unwrap();
    program.until("its end", || (program.state_of("agent") != "running").then_some(()));
}

#[test]
fn what_cannot_be_looked_at_stands_for_its_commits() {
    let field = field();
    let [a, b, c] = ["gone", "detached", "other"].map(|name| field.open(name, &[]));
    for (workspace, name) in [(&a, "gone"), (&b, "detached"), (&c, "other")] {
        edit(workspace, "src/f", 3, name);
        workspace.commit_all(name);
    }
    fs::remove_dir_all(a.path()).unwrap();
    b.git(&["checkout", "-q", "--detach", "main"]);
    b.write("src/f", "nothing of the branch\n");
    // Nothing is committed here, and what there is belongs to another branch.
    let strayed = field.open("strayed", &[]);
    strayed.git(&["checkout", "-q", "-b", "elsewhere"]);
    strayed.write("src/f", "of the other branch\n");
    let rebasing = field.open("rebasing", &[]);
    edit(&rebasing, "src/g", 3, "rebasing");
    rebasing.commit_all("rebasing");
    rebasing.git(&["bisect", "start"]);
    let view = look(&field, &[]);
    let why = |name: &str| task(&view, name)["commits_only"].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        ["gone", "detached", "other", "strayed", "rebasing"].map(why),
        [
            "its workspace is gone",
            "its workspace is on no branch",
            "",
            "its workspace is on the branch `elsewhere`",
            "its workspace is in the middle of a bisect"
        ]
    );
    let said = field.program.wt(&["conflicts"]).ok();
    assert!(
        said.contains("strayed: only its commits are compared, its workspace is on the branch `elsewhere`"),
        "{said}"
    );
    assert_eq!(
        pairs(&view),
        ["detached+gone: src/f (content)", "detached+other: src/f (content)", "gone+other: src/f (content)"]
    );
    assert!(names(&view).iter().all(|name| task(&view, name)["uncommitted"] == false), "{view}");
    fs::remove_file(c.path().join(".git")).unwrap();
    field.repo().git(&["update-ref", "-d", "refs/heads/wt/gone"]);
    let view = look(&field, &[]);
    assert_eq!(pairs(&view), ["detached+other: src/f (content)"]);
    assert_eq!(task(&view, "gone")["skipped"], "its branch `wt/gone` does not exist");
}

#[test]
fn a_target_that_is_gone_is_said() {
    let field = field();
    field.repo().git(&["branch", "next"]);
    let lost = field.open("lost", &["--into", "next"]);
    edit(&lost, "src/f", 3, "lost");
    field.repo().git(&["branch", "-D", "next"]);
    let ran = field.program.wt(&["conflicts", "lost"]);
    assert!(!ran.err.contains("without changes"), "{}", ran.err);
    assert!(ran.ok().contains("not compared: its target `next` does not exist"));
}

#[test]
fn looks_and_notes_at_once_lose_nothing_of_each_other() {
    let field = field();
    for name in ["one", "two"] {
        let workspace = field.open(name, &[]);
        edit(&workspace, "src/f", 3, name);
    }
    look(&field, &[]);
    let layout = field.layout();
    let told = Clashes::load(&layout).pairs;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| look(&field, &[]));
        }
        // As whoever tells them does, while others look.
        scope.spawn(|| Clashes::change(&layout, |known| known.tell(&told)).unwrap());
    });
    assert!(Clashes::load(&layout).pairs[0].told);
}
