//! What lands: in which order, as which commits, and onto what.

use wt::model::{Event, Oid, State};

use super::field::Field;

#[test]
fn several_tasks_land_with_author_dates_and_message_kept() {
    let field = Field::new();
    for n in 0..3 {
        let workspace = field.open(&format!("t{n}"), &[]);
        workspace.write(&format!("f{n}.txt"), "text\n");
        workspace.git(&["add", "-A"]);
        let author = format!("Bob Ünal {n} <bob{n}@example.org>");
        let date = format!("2025-0{}-03T04:05:06+09:00", n + 1);
        let message = format!("work {n}\n\nA body.\n\nSigned-off-by: x\n");
        workspace.git(&["commit", "-q", "--author", &author, "--date", &date, "-m", &message]);
        field.finish(&format!("t{n}"));
    }
    let about = "--format=%an|%ae|%aI|%cn|%ce|%cI|%B";
    let told = |rev: &str| field.repo().git(&["log", "-1", about, rev]);
    let before: Vec<String> = (0..3).map(|n| told(&format!("wt/t{n}"))).collect();
    let old = field.main();
    let said = field.merge(&["--all"]);
    assert_eq!(said.code(), 0, "{}", said.ran.err);
    assert_eq!(
        (said.view["before"].as_str(), said.view["after"].as_str()),
        (Some(&*old), Some(&*field.main()))
    );
    for (n, before) in before.iter().enumerate() {
        assert_eq!(
            (said.result(&format!("t{n}")), &said.of(&format!("t{n}"))["commits"]),
            ("landed", &1.into())
        );
        assert_eq!(told(&format!("main~{}", 2 - n)), *before, "task {n}");
        assert_eq!(field.state(&format!("t{n}")), State::Landed);
        assert_eq!(field.repo().read(&format!("f{n}.txt")), "text\n");
    }
    assert_eq!(field.repo().git(&["status", "--porcelain"]), "");
    field.is_whole();
    let again = field.merge(&["--all"]);
    assert_eq!((again.code(), again.view["tasks"].as_array().unwrap().len()), (0, 0));
}

#[test]
fn what_needs_no_rebase_keeps_its_id() {
    let field = Field::new();
    let head = field.done("a", &[("one", "1\n"), ("two", "2\n")]);
    let said = field.merge(&["a"]);
    assert_eq!((said.code(), &said.of("a")["commits"]), (0, &2.into()));
    assert_eq!(field.main(), head);
    let reflog = field.repo().git(&["reflog", "-1", "--format=%gs", "main"]);
    assert!(reflog.contains("Fast-forward"), "{reflog}");
}

#[test]
fn priority_decides_and_then_age() {
    let field = Field::new();
    field.done_with("late", &[("late", "")], &["--priority", "5"]);
    field.done("old", &[("old", "")]);
    field.done("young", &[("young", "")]);
    field.done_with("first", &[("first", "")], &["--priority", "1"]);
    field.merge(&["--all"]).ran.ok();
    let order: Vec<String> = ["late", "young", "old", "first"].map(|name| format!("change {name}")).into();
    assert_eq!(field.subjects(), order);
}

#[test]
fn another_branch_can_be_landed_on() {
    let field = Field::new();
    field.repo().git(&["branch", "release"]);
    let head = field.done("a", &[("a", "")]);
    let old = field.main();
    let said = field.merge(&["--all", "--into", "release"]);
    assert_eq!((said.code(), said.view["target"].as_str()), (0, Some("release")));
    assert_eq!((field.main(), field.repo().rev("release")), (old, head));
    let gone = field.program.wt(&["merge", "--all", "--into", "nowhere"]).fails(1);
    assert!(gone.contains("there is no branch `nowhere` to land on"), "{gone}");
}

#[test]
fn each_task_lands_where_it_was_meant_to() {
    let field = Field::new();
    field.repo().git(&["branch", "release"]);
    let release = field.done_with("r", &[("r", "")], &["--into", "release"]);
    let main = field.done("m", &[("m", "")]);
    let out = field.program.wt(&["merge", "--all", "--json", "--keep"]).ok();
    let targets: Vec<serde_json::Value> =
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        targets.iter().map(|view| view["target"].as_str().unwrap()).collect::<Vec<_>>(),
        ["main", "release"]
    );
    assert_eq!((field.main(), field.repo().rev("release")), (main, release));
}

#[test]
fn what_is_on_the_target_already_lands_without_commits() {
    let field = Field::new();
    field.done("picked", &[("a", "a\n")]);
    field.done("squashed", &[("b", "b\n"), ("b", "bb\n"), ("b", "bbb\n")]);
    field.repo().commit("other", "moves main\n");
    field.repo().git(&["cherry-pick", "wt/picked"]);
    field.repo().git(&["merge", "-q", "--squash", "wt/squashed"]);
    field.repo().commit_all("squashed by hand");
    let old = field.main();
    let said = field.merge(&["--all", "--check", "false"]);
    assert_eq!(said.code(), 0, "{}{}", said.ran.out, said.ran.err);
    for name in ["picked", "squashed"] {
        assert_eq!((said.result(name), &said.of(name)["commits"]), ("landed", &0.into()));
        assert_eq!(field.state(name), State::Landed);
    }
    assert_eq!(field.main(), old);
}

#[test]
fn a_task_that_found_nothing_to_do_is_skipped_and_landed() {
    let field = Field::new();
    let workspace = field.open("idle", &[]);
    let head = Oid::parse(&workspace.head()).unwrap();
    field.tell("idle", Event::MarkedDone { head, skipped: true });
    let said = field.merge(&["--all"]);
    assert_eq!((said.code(), said.result("idle"), said.reason("idle")), (0, "skipped", "nothing to do"));
    assert_eq!(field.state("idle"), State::Landed);
    // Whatever was committed afterwards is not forgotten.
    let workspace = field.open("idle2", &[]);
    let head = Oid::parse(&workspace.head()).unwrap();
    field.tell("idle2", Event::MarkedDone { head, skipped: true });
    workspace.commit("late", "late\n");
    let said = field.merge(&["idle2"]);
    assert_eq!((said.result("idle2"), &said.of("idle2")["commits"]), ("landed", &1.into()));
}

#[test]
fn merges_on_the_branch_are_flattened_where_that_is_the_same() {
    let field = Field::new();
    let workspace = field.open("a", &[]);
    workspace.commit("a", "a\n");
    field.repo().commit("main-1", "m\n");
    workspace.git(&["merge", "-q", "--no-edit", "main"]);
    workspace.commit("b", "b\n");
    field.repo().commit("main-2", "m\n");
    field.finish("a");
    let said = field.merge(&["a"]);
    assert_eq!((said.code(), &said.of("a")["commits"]), (0, &2.into()));
    assert_eq!(field.subjects(), ["change b", "change a", "change main-2", "change main-1"]);
}

/// Everything that a landing could change: refs, journal, worktrees, the files of the state folder.
fn everything(field: &Field) -> Vec<String> {
    let mut all = vec![
        field.repo().git(&["for-each-ref"]),
        field.repo().git(&["worktree", "list", "--porcelain"]),
        field.repo().git(&["status", "--porcelain", "--ignored"]),
        std::fs::read_to_string(field.layout().journal()).unwrap(),
    ];
    for folder in [field.layout().root().to_owned(), field.program.worktree("")] {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        all.push(names.join(" "));
    }
    all
}

#[test]
fn a_dry_run_tells_the_same_and_touches_nothing() {
    let field = Field::with("[[verify]]\nname = \"red\"\nrun = \"false\"\n");
    field.done("a", &[("same", "a\n")]);
    field.done("b", &[("same", "b\n")]);
    field.done("c", &[("other", "c\n")]);
    let workspace = field.open("d", &[]);
    workspace.commit("d", "d\n");
    field.finish("d");
    workspace.write("forgotten", "x");
    let before = everything(&field);
    let told = field.merge(&["--all", "--dry-run"]);
    assert_eq!(everything(&field), before);
    assert_eq!((told.code(), &told.view["dry_run"]), (4, &true.into()));
    let results = |said: &super::field::Said| ["a", "b", "c", "d"].map(|name| said.result(name).to_owned());
    assert_eq!(results(&told), ["landed", "conflict", "landed", "skipped"]);
    let done = field.merge(&["--all", "--no-verify"]);
    assert_eq!(results(&done), results(&told));
    assert_eq!(done.view["after"], told.view["after"], "a dry run writes the very commits");
}

#[test]
fn landed_workspaces_go_and_can_come_back() {
    let field = Field::new();
    let head = field.done("a", &[("a", "a\n")]);
    field.done("b", &[("same", "b\n")]);
    field.repo().commit("same", "main\n");
    let ran = field.program.wt(&["merge", "--all"]);
    assert_eq!(ran.code, 4);
    assert!(!ran.err.contains("warning"), "{}", ran.err);
    let last = field.program.journal().pop().unwrap();
    assert_eq!((last["task"].as_str(), last["event"]["type"].as_str()), (Some("a@1"), Some("pruned")));
    assert!(!field.program.worktree("a").exists() && field.program.worktree("b").exists());
    let branches = field.repo().git(&["for-each-ref", "--format=%(refname:short)", "refs/heads"]);
    assert_eq!(branches, "main\nwt/b");
    assert_eq!(field.repo().rev("refs/wt/trash/a/1^1"), head);
    assert!(!field.repo().git(&["worktree", "list"]).contains("/a "));
    field.is_whole();
}

#[test]
fn a_workspace_that_changes_during_the_landing_stays() {
    let field = Field::new();
    field.done("a", &[("a", "a\n")]);
    let workspace = field.program.worktree("a");
    let late = format!("echo late > {}/late", workspace.display());
    let ran = field.program.wt(&["merge", "a", "--check", &late]);
    assert_eq!((ran.code, field.state("a")), (0, State::Landed), "{}", ran.err);
    assert!(ran.err.contains("warning: the workspace of `a` stays: uncommitted changes"), "{}", ran.err);
    assert_eq!(std::fs::read_to_string(workspace.join("late")).unwrap(), "late\n");
}
