//! What does not land: conflicts, children without their parents, workspaces with something forgotten, refusals.

use serde_json::Value;
use wt::model::State;

use super::field::Field;
use crate::program::ran;

#[test]
fn a_conflict_is_told_and_leaves_the_branch_alone() {
    let field = Field::new();
    field.done("a", &[("same.txt", "a\n")]);
    let head = field.done("b", &[("own.txt", "b\n"), ("same.txt", "b\n")]);
    field.done("c", &[("c.txt", "c\n")]);
    let said = field.merge(&["--all"]);
    assert_eq!(said.code(), 4);
    assert_eq!(["a", "b", "c"].map(|name| said.result(name)), ["landed", "conflict", "landed"]);
    let conflicts = said.of("b")["conflicts"].to_string();
    assert_eq!(conflicts, r#"[{"path":"same.txt","kind":"add-add"}]"#);
    assert!(
        said.ran.err.contains("hint: resolve it with `wt resolve b`, then land it with `wt merge b`"),
        "{}",
        said.ran.err
    );
    assert_eq!(field.state("b"), State::Conflict);
    let workspace = field.program.env.at(&field.program.worktree("b"));
    assert_eq!((field.repo().rev("wt/b"), workspace.head()), (head.clone(), head));
    assert_eq!(workspace.git(&["status", "--porcelain"]), "");
    assert!(!field.repo().path().join("own.txt").exists());
    field.is_whole();
}

#[test]
fn a_conflict_is_tried_again_only_when_something_changed() {
    let field = Field::new();
    field.done("a", &[("same.txt", "a\n")]);
    let _ = field.merge(&["--all"]);
    let workspace = field.open("b", &["--base", "main~1"]);
    workspace.commit("same.txt", "b\n");
    field.finish("b");
    assert_eq!(field.merge(&["--all"]).code(), 4);
    let events = field.program.journal().len();
    let again = field.merge(&["--all"]);
    assert_eq!((again.code(), field.program.journal().len()), (0, events));
    assert!(again.ran.err.contains("not tried again, since nothing has changed: `b`"), "{}", again.ran.err);
    // The target moves: the same conflict, looked at anew.
    field.repo().commit("other", "x\n");
    assert_eq!(field.merge(&["--all"]).result("b"), "conflict");
    // The branch moves: it fits.
    workspace.git(&["reset", "-q", "--hard", "main"]);
    workspace.commit("same.txt", "a\nb\n");
    let said = field.merge(&["--all"]);
    assert_eq!((said.code(), said.result("b")), (0, "landed"));
}

#[test]
fn a_child_waits_for_its_parent() {
    let field = Field::new();
    field.done("first", &[("same.txt", "first\n")]);
    field.done("parent", &[("same.txt", "parent\n")]);
    let workspace = field.child("child", "parent");
    workspace.commit("child.txt", "child\n");

    let alone = field.merge(&["child"]);
    assert_eq!((alone.code(), alone.result("child")), (1, "skipped"));
    assert_eq!(alone.reason("child"), "`parent` must land first and is done");
    let said = field.merge(&["child", "parent", "first"]);
    assert_eq!(said.code(), 4);
    assert_eq!(said.reason("child"), "`parent` must land first and is in conflict");
    assert_eq!(field.state("child"), State::Stopped);

    let workspace = field.program.env.at(&field.program.worktree("parent"));
    workspace.git(&["reset", "-q", "--hard", "main"]);
    workspace.commit("parent.txt", "parent\n");
    let said = field.merge(&["child", "parent"]);
    assert_eq!((said.code(), field.subjects()[0].as_str()), (0, "change child.txt"), "{}", said.ran.err);
}

#[test]
fn a_workspace_with_something_forgotten_is_left_out() {
    let field = Field::new();
    for name in ["dirty", "begun", "strayed", "detached", "fine"] {
        field.done(name, &[(name, "x\n")]);
    }
    let at = |name: &str| field.program.env.at(&field.program.worktree(name));
    at("dirty").write("dirty", "edited\n");
    at("dirty").write("new", "new\n");
    at("strayed").git(&["switch", "-q", "-c", "elsewhere"]);
    at("detached").git(&["checkout", "-q", "--detach"]);
    at("begun").git(&["branch", "side", "main"]);
    at("begun").git(&[
        "merge",
        "-q",
        "--no-commit",
        "--no-ff",
        "-s",
        "ours",
        "--allow-unrelated-histories",
        "wt/fine",
    ]);
    let said = field.merge(&["--all"]);
    assert_eq!((said.code(), said.result("fine")), (3, "landed"));
    assert_eq!(said.reason("dirty"), "its workspace has uncommitted changes: `dirty`, `new`");
    assert_eq!(said.reason("begun"), "a merge is unfinished in its workspace");
    assert_eq!(said.reason("strayed"), "its workspace is on `elsewhere`, not on its own branch");
    assert_eq!(said.reason("detached"), "its workspace is on no branch, not on its own branch");
    for name in ["dirty", "begun", "strayed", "detached"] {
        assert_eq!(field.state(name), State::Done { skipped: false }, "{name}");
    }
    assert!(said.ran.err.contains("wt exec dirty -- git status"), "{}", said.ran.err);
}

#[test]
fn what_every_workspace_makes_for_itself_never_lands() {
    let field = Field::new();
    let workspace = field.open("a", &[]);
    workspace.write("CLAUDE.local.md", "mine");
    workspace.git(&["add", "-f", "CLAUDE.local.md"]);
    workspace.commit_all("all of it");
    field.finish("a");
    let said = field.merge(&["a"]);
    assert_eq!((said.code(), said.result("a")), (1, "skipped"));
    assert!(said.reason("a").contains("`CLAUDE.local.md`"), "{}", said.reason("a"));
    workspace.git(&["rm", "-q", "--cached", "CLAUDE.local.md"]);
    workspace.git(&["commit", "-q", "-m", "out"]);
    assert_eq!(field.merge(&["a"]).result("a"), "landed");
}

#[test]
fn work_on_another_branch_is_told_as_that() {
    let field = Field::new();
    let workspace = field.open("a", &[]);
    workspace.git(&["switch", "-qc", "elsewhere"]);
    workspace.commit("x", "y");
    field.finish("a");
    let said = field.merge(&["a"]);
    assert!(said.reason("a").contains("is on `elsewhere`"), "{}", said.reason("a"));
}

#[test]
fn a_workspace_that_is_gone_does_not_keep_its_branch_from_landing() {
    let field = Field::new();
    let head = field.done("a", &[("a", "a\n")]);
    std::fs::remove_dir_all(field.program.worktree("a")).unwrap();
    field.done("b", &[("b", "b\n")]);
    field.repo().git(&["worktree", "remove", "--force", &field.program.worktree("b").to_string_lossy()]);
    field.repo().git(&["branch", "-q", "-D", "wt/b"]);
    let said = field.merge(&["--all"]);
    assert_eq!((said.code(), said.result("a"), said.reason("b")), (3, "landed", "its branch is missing"));
    assert_eq!(field.main(), head);
}

#[test]
fn a_damaged_task_does_not_keep_the_others_from_landing() {
    let field = Field::new();
    for name in ["index", "entry", "elsewhere", "object", "fine"] {
        field.done(name, &[(name, "x\n")]);
    }
    let entries = field.repo().path().join(".git/worktrees");
    std::fs::write(entries.join("index/index"), "garbage").unwrap();
    std::fs::rename(entries.join("entry"), field.program.env.root().join("entry")).unwrap();
    std::fs::write(entries.join("elsewhere/commondir"), "/nonexistent\n").unwrap();
    let tree = field.repo().rev("wt/object^{tree}");
    std::fs::remove_file(field.repo().path().join(format!(".git/objects/{}/{}", &tree[..2], &tree[2..])))
        .unwrap();
    let said = field.merge(&["--all"]);
    assert_eq!((said.code(), said.result("fine")), (3, "landed"), "{}{}", said.ran.out, said.ran.err);
    for name in ["index", "entry", "elsewhere", "object"] {
        assert_eq!(said.result(name), "skipped", "{name}");
        assert!(said.reason(name).starts_with("it cannot be read: "), "{name}: {}", said.reason(name));
        assert_eq!(field.state(name), State::Done { skipped: false }, "{name}");
    }
    assert_eq!(field.subjects(), ["change fine"]);
}

#[test]
fn what_cannot_land_is_refused_before_anything_is_begun() {
    let field = Field::new();
    field.done("a", &[("a", "a\n")]);
    field.open("b", &[]);
    let old = field.main();
    let refused = field.program.wt(&["merge", "a", "b"]).fails(1);
    assert!(refused.contains("`b` is open"), "{refused}");
    assert!(refused.contains("hint: say that it is finished with `wt done b`"), "{refused}");
    let unknown = field.program.wt(&["merge", "a", "nobody"]).fails(1);
    assert!(unknown.contains("there is no task `nobody`"), "{unknown}");
    field.program.wt(&["merge"]).fails(2);
    field.program.wt(&["merge", "a", "--all"]).fails(2);
    assert_eq!((field.main(), field.state("a")), (old, State::Done { skipped: false }));
    field.merge(&["a"]).ran.ok();
    let landed = field.program.wt(&["merge", "a"]).fails(1);
    assert!(landed.contains("`a` is landed"), "{landed}");
}

#[test]
fn a_task_that_failed_can_be_landed_by_name_if_it_has_commits() {
    let field = Field::new();
    let steps = ["write:f=x", "commit:half of it", "exit:1"];
    field.program.spawn("some", &steps, &["--retries", "0"]).ok();
    field.program.spawn("none", &["exit:1"], &["--retries", "0"]).ok();
    for name in ["some", "none"] {
        field.program.until("the agents' end", || field.state(name).at_rest().then_some(()));
    }
    assert_eq!(field.merge(&["--all"]).view["tasks"].as_array().unwrap().len(), 0);
    let said = field.merge(&["some", "none"]);
    assert_eq!((said.code(), said.result("some")), (3, "landed"), "{}", said.ran.err);
    assert_eq!(said.reason("none"), "its branch has no commits");
    assert_eq!(field.subjects(), ["half of it"]);
}

#[test]
fn people_read_a_line_a_task() {
    let field = Field::new();
    field.done("first", &[("same.txt", "a\n")]);
    field.done("second-one", &[("same.txt", "b\n")]);
    let ran = field.program.wt(&["merge", "--all"]);
    assert_eq!(ran.code, 4);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines[0], "landed    first       1 commit");
    assert!(lines[1].starts_with("conflict  second-one  commit "), "{}", ran.out);
    assert_eq!(lines[2], "            same.txt (both added)");
    assert!(lines[3].starts_with("main is at "), "{}", ran.out);
    assert!(ran.err.contains("error: `second-one` was not landed"), "{}", ran.err);
    assert!(ran.err.contains("caused by: conflict in 1 file; its branch is as it was"), "{}", ran.err);
}

#[test]
fn a_branch_that_cannot_be_moved_keeps_no_other_from_landing() {
    let field = Field::new();
    for branch in ["also", "release"] {
        field.repo().git(&["branch", branch]);
        let held = field.program.env.root().join(branch);
        field.repo().git(&["worktree", "add", "-q", &held.to_string_lossy(), branch]);
    }
    let twice = field.program.env.root().join("also2");
    field.repo().git(&["worktree", "add", "-q", "-f", &twice.to_string_lossy(), "also"]);
    field.done_with("a", &[("a", "a\n")], &["--into", "also"]);
    field.done("m", &[("m", "m\n")]);
    field.done_with("r", &[("r", "r\n")], &["--into", "release"]);
    let ran = field.program.wt(&["merge", "--all", "--json"]);
    let documents: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let err = ran.fails(3);
    assert!(
        err.contains("error: nothing was landed on `also`\ncaused by: `also` is checked out twice"),
        "{err}"
    );
    let told: Vec<_> = documents.iter().map(|document| document["target"].as_str()).collect();
    assert_eq!(told, [Some("main"), Some("release"), None]);
    assert_eq!(
        (documents[2]["error"]["code"].as_u64(), field.state("a")),
        (Some(3), State::Done { skipped: false })
    );
    assert_eq!((field.state("m"), field.state("r")), (State::Landed, State::Landed));

    // What came with a landing is told beside what a check refused.
    field.done("n", &[("n", "n\n")]);
    let err = field.program.wt(&["merge", "--all", "--check", "false"]).fails(5);
    assert!(err.contains("caused by: nothing was landed on `also`: `also` is checked out twice"), "{err}");
}

#[test]
fn a_configuration_that_cannot_be_used_never_lands() {
    let field = Field::new();
    field.done("bad", &[(".wt.toml", "[merge\n")]);
    field.done("worse", &[(".wt.toml", "[merge]\nbatch = 2\nagent = \"nobody-knows\"\n")]);
    field.done("good", &[("a", "a\n")]);
    for style in ["--rebase", "--squash", "--merge-commit"] {
        let said = field.merge(&["--all", style]);
        assert_eq!((said.code(), said.result("bad")), (if style == "--rebase" { 3 } else { 1 }, "skipped"));
        let why = said.reason("bad");
        assert!(why.starts_with("it would make the configuration useless: .wt.toml:1:"), "{why}");
        assert!(said.reason("worse").contains("`nobody-knows`"), "{}", said.reason("worse"));
    }
    assert_eq!(field.subjects(), ["change a"]);
    // One that mends itself, and another branch than the one it is read from.
    field.repo().git(&["branch", "release"]);
    field.merge(&["bad", "--into", "release"]).ran.ok();
    field.program.env.at(&field.program.worktree("worse")).commit(".wt.toml", "[merge]\nbatch = 2\n");
    field.merge(&["worse", "--squash"]).ran.ok();
    field.program.wt(&["status"]).ok();
    field.is_whole();
}

/// The branch is removed once it has landed, and with it the only one that has its commits.
#[test]
fn a_task_never_lands_on_its_own_branch() {
    let field = Field::new();
    let head = field.done("a", &[("a", "a\n")]);
    field.done("b", &[("b", "b\n")]);
    field.program.refuses(1, &["merge", "a", "--into", "wt/a", "--dry-run"]);
    let err = field.program.wt(&["merge", "a", "--into", "wt/a"]).fails(1);
    assert!(err.contains("it cannot land on its own branch"), "{err}");
    assert_eq!(
        (field.state("a"), field.repo().rev("refs/heads/wt/a")),
        (State::Done { skipped: false }, head)
    );
    let said = field.merge(&["--all", "--into", "wt/a"]);
    assert_eq!((said.code(), said.result("a"), said.result("b")), (3, "skipped", "landed"));
    field.merge(&["a"]).ran.ok();
    assert_eq!(field.subjects(), ["change b", "change a"]);
    field.is_whole();
}

#[test]
fn a_branch_over_which_git_dies_keeps_no_other_from_landing() {
    let field = Field::new();
    let lines: Vec<String> = (1..20).map(|n| format!("line {n}\n")).collect();
    let with = |n: usize| {
        let mut lines = lines.clone();
        lines[n] = "changed\n".to_owned();
        lines.concat()
    };
    field.repo().commit("text", &lines.concat());
    field.done("a", &[("text", &with(1))]);
    let head = field.done("b", &[("text", &with(9))]);
    field.done("c", &[("text", &with(17))]);
    field.done("d", &[("own", "d\n")]);
    // git ends itself by an assertion where it is asked to merge that branch, in any way.
    let bin = field.program.env.root().join("bin");
    let real = std::env::split_paths(&std::env::var_os("PATH").unwrap())
        .map(|folder| folder.join("git"))
        .find(|git| git.is_file())
        .unwrap();
    let tree = field.repo().rev(&format!("{head}^{{tree}}"));
    let script = format!(
        "#!/bin/sh\ncase \" $* \" in\n*' merge-tree '*)\n\
         case \" $* \" in *' --stdin '*) fed=$(cat) ;; esac\n\
         case \"$* $fed\" in *{head}*|*{tree}*) echo died >> '{bin}/died'; kill -ABRT $$ ;; esac\n\
         case \" $* \" in *' --stdin '*) printf '%s\\n' \"$fed\" | '{real}' \"$@\"; exit ;; esac ;;\nesac\n\
         exec '{real}' \"$@\"\n",
        bin = bin.display(),
        real = real.display(),
    );
    std::fs::create_dir(&bin).unwrap();
    std::fs::write(bin.join("git"), script).unwrap();
    std::fs::set_permissions(bin.join("git"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let wt = |args: &[&str]| ran(field.program.command(args).env("PATH", &path).output().unwrap());
    let rehearsed = wt(&["merge", "--all", "--dry-run", "--json"]).json();
    let merged = wt(&["merge", "--all", "--keep", "--json"]);
    for view in [&rehearsed, &merged.json()] {
        let of = |name: &str| {
            let tasks = view["tasks"].as_array().unwrap();
            tasks.iter().find(|task| task["name"] == name).unwrap_or_else(|| panic!("{view}"))
        };
        assert_eq!(
            ["a", "b", "c", "d"].map(|name| of(name)["result"].as_str().unwrap()),
            ["landed", "skipped", "landed", "landed"]
        );
        let why = of("b")["reason"].as_str().unwrap();
        assert!(why.contains("merge-tree") && why.contains("was ended by a signal"), "{why}");
    }
    assert_eq!(merged.code, 3, "{}", merged.err);
    assert!(bin.join("died").exists());
    assert_eq!((field.repo().rev("wt/b"), field.state("b")), (head, State::Done { skipped: false }));
    wt(&["status"]).ok();
    wt(&["conflicts"]).ok();
    field.is_whole();
}
