//! Moving the target: where it is checked out or not, what is in the way, and who else moves it.

use std::path::Path;

use wt::model::State;

use super::field::Field;

#[test]
fn row_21_dirty_files_in_the_way_are_named_and_others_are_kept() {
    let field = Field::new();
    field.repo().commit("shared.txt", "one\n");
    field.repo().commit("mine.txt", "one\n");
    field.done("clear", &[("clear.txt", "x\n")]);
    field.done("blocked", &[("shared.txt", "theirs\n")]);
    field.done("new", &[("untracked.txt", "theirs\n")]);
    field.repo().write("shared.txt", "edited by hand\n");
    field.repo().write("untracked.txt", "by hand\n");
    field.repo().write("mine.txt", "staged\n");
    field.repo().git(&["add", "mine.txt"]);
    let status = field.repo().git(&["status", "--porcelain"]);
    let said = field.merge(&["--all", "--check", "test ! -e shared.txt || touch \"$HOME/checked\""]);
    assert_eq!((said.code(), said.result("clear")), (3, "landed"), "{}", said.ran.err);
    let at = field.repo().path().display().to_string();
    assert_eq!(said.reason("blocked"), format!("uncommitted files in {at} are in the way: `shared.txt`"));
    assert_eq!(said.reason("new"), format!("uncommitted files in {at} are in the way: `untracked.txt`"));
    assert_eq!(field.state("blocked"), State::Done { skipped: false });
    assert_eq!(field.subjects()[0], "change clear.txt");
    assert_eq!(field.repo().git(&["status", "--porcelain"]), status);
    assert_eq!(field.repo().read("shared.txt"), "edited by hand\n");
    assert_eq!(field.repo().read("untracked.txt"), "by hand\n");
    assert_eq!(field.repo().read("mine.txt"), "staged\n");
    assert!(said.ran.err.contains(&format!("git -C {at} status")), "{}", said.ran.err);
    field.is_whole();
    std::fs::remove_file(field.repo().path().join("untracked.txt")).unwrap();
    field.repo().git(&["checkout", "-q", "shared.txt"]);
    assert_eq!(field.merge(&["--all"]).code(), 0);
}

#[test]
fn a_file_that_gets_in_the_way_during_the_checks_is_named_too() {
    let field = Field::new();
    field.done("a", &[("late.txt", "theirs\n")]);
    let late = field.repo().path().join("late.txt");
    let said = field.merge(&["a", "--check", &format!("echo mine > {}", late.display())]);
    assert_eq!((said.code(), said.result("a")), (1, "skipped"));
    assert!(said.reason("a").ends_with("are in the way: `late.txt`"), "{}", said.reason("a"));
    assert_eq!(std::fs::read_to_string(late).unwrap(), "mine\n");
    assert_eq!(field.state("a"), State::Done { skipped: false });
    field.is_whole();
}

#[test]
fn a_target_that_nobody_has_checked_out_is_swapped() {
    let field = Field::new();
    field.repo().git(&["switch", "-q", "-c", "elsewhere"]);
    field.repo().write("README.md", "dirty\n");
    let head = field.done("a", &[("a", "a\n"), ("README.md", "theirs\n")]);
    field.merge(&["a"]).ran.ok();
    assert_eq!((field.main(), field.repo().read("README.md")), (head, "dirty\n".to_owned()));
    assert!(!field.repo().path().join("a").exists());
}

#[test]
fn a_target_in_a_linked_worktree_moves_there() {
    let field = Field::new();
    field.repo().git(&["switch", "-q", "-c", "elsewhere"]);
    let place = field.program.env.root().join("place");
    field.repo().git(&["worktree", "add", "-q", &place.to_string_lossy(), "main"]);
    let linked = field.program.env.at(&place);
    linked.write("untracked", "mine\n");
    let head = field.done("a", &[("a", "a\n")]);
    field.done("b", &[("untracked", "theirs\n")]);
    let said = field.merge(&["--all"]);
    assert_eq!((said.code(), said.result("a"), said.result("b")), (3, "landed", "skipped"));
    assert_eq!((linked.head(), linked.read("a")), (head, "a\n".to_owned()));
    assert_eq!(linked.git(&["status", "--porcelain"]), "?? untracked");
    // Where the folder is gone, there is nothing that could fall behind.
    std::fs::remove_dir_all(&place).unwrap();
    field.merge(&["b"]).ran.ok();
}

#[test]
fn a_bare_repository_has_a_target_too() {
    let field = Field::new();
    let bare = field.program.env.root().join("bare.git");
    field.repo().git(&["clone", "-q", "--bare", ".", &bare.to_string_lossy()]);
    let bare = field.program.env.at(&bare);
    bare.configure();
    let field = BareField { bare, field };
    let head = field.done("a");
    let second = field.done("b");
    let out =
        field.field.program.wt_in(field.bare.path(), &["merge", "--all", "--json", "--check", "test -e a"]);
    let view = out.json();
    assert_eq!(out.code, 0, "{}", out.err);
    assert_eq!(view["before"], field.field.main());
    assert_eq!((field.bare.rev("main~1"), field.bare.rev("main") == second), (head, false));
    assert_eq!(field.bare.git(&["ls-tree", "--name-only", "main"]), "README.md\na\nb");
}

struct BareField {
    bare: crate::env::TestRepo,
    field: Field,
}

impl BareField {
    fn done(&self, name: &str) -> String {
        let spawn = ["spawn", name, "--no-agent", "--json"];
        let view = self.field.program.wt_in(self.bare.path(), &spawn);
        let path = view.json()["tasks"][0]["worktree"].as_str().unwrap().to_owned();
        let head = self.field.program.env.at(Path::new(&path)).commit(name, "x\n");
        let layout = wt::store::Layout::below(self.bare.path());
        let event =
            wt::model::Event::MarkedDone { head: wt::model::Oid::parse(&head).unwrap(), skipped: false };
        let id = format!("{name}@1").parse().unwrap();
        wt::store::Journal::new(&layout)
            .append(jiff::Timestamp::UNIX_EPOCH, vec![(Some(id), event)])
            .unwrap();
        head
    }
}

#[test]
fn row_23_a_target_that_moves_meanwhile_is_landed_on_again() {
    let field = Field::new();
    let main = field.repo().path().display();
    let script = field.script(
        "check",
        &format!(
            "ls >> \"$HOME/seen\"; echo - >> \"$HOME/seen\"\n\
             test -e \"$HOME/once\" && exit 0; touch \"$HOME/once\"\n\
             git -C {main} commit -q --allow-empty -m 'by hand'; echo x > {main}/hand; git -C {main} add hand\n\
             git -C {main} commit -q -m 'by hand too'"
        ),
    );
    field.done("a", &[("a", "a\n")]);
    let said = field.merge(&["a", "--check", &script]);
    assert_eq!((said.code(), &said.of("a")["commits"]), (0, &1.into()), "{}", said.ran.err);
    assert_eq!(field.subjects(), ["change a", "by hand too", "by hand"]);
    let seen = std::fs::read_to_string(field.program.env.root().join("home/seen")).unwrap();
    assert_eq!(seen, "README.md\na\n-\nREADME.md\na\nhand\n-\n", "the checks saw what was published");
    field.is_whole();
}

#[test]
fn a_target_that_never_rests_is_given_up() {
    let field = Field::new();
    let main = field.repo().path().display();
    field.done("a", &[("a", "a\n")]);
    let commit =
        format!("echo x >> {main}/hand; git -C {main} add hand; git -C {main} commit -q -m 'by hand'");
    let said = field.merge(&["a", "--check", &commit]);
    assert_eq!((said.code(), said.result("a")), (1, "skipped"));
    assert_eq!(said.reason("a"), "the target moved 5 times while it was being landed");
    assert_eq!(field.subjects().len(), 5);
    assert_eq!(field.state("a"), State::Done { skipped: false });
    field.is_whole();
}

#[test]
fn somebody_in_the_middle_of_something_is_not_disturbed() {
    let field = Field::new();
    field.done("a", &[("a", "a\n")]);
    field.repo().git(&["branch", "side"]);
    field.repo().commit("x", "main\n");
    field.repo().git(&["switch", "-q", "side"]);
    field.repo().commit("x", "side\n");
    field.repo().git(&["switch", "-q", "main"]);
    assert!(!field.repo().try_git(&["rebase", "side"]).status.success());
    let refused = field.program.wt(&["merge", "a"]).fails(1);
    assert!(refused.contains("a rebase of `main` is unfinished in "), "{refused}");
    field.repo().git(&["rebase", "--abort"]);
    assert!(!field.repo().try_git(&["merge", "side"]).status.success());
    let refused = field.program.wt(&["merge", "a", "--dry-run"]).fails(1);
    assert!(refused.contains("a merge of `main` is unfinished in "), "{refused}");
    field.repo().git(&["merge", "--abort"]);
    let twice = field.program.env.root().join("twice");
    field.repo().git(&["worktree", "add", "-q", "--force", &twice.to_string_lossy(), "main"]);
    let refused = field.program.wt(&["merge", "a"]).fails(1);
    assert!(refused.contains("`main` is checked out twice"), "{refused}");
    assert_eq!(field.state("a"), State::Done { skipped: false });
    field.repo().git(&["worktree", "remove", "--force", &twice.to_string_lossy()]);
    field.merge(&["a"]).ran.ok();
}

#[test]
fn no_hook_runs() {
    let field = Field::new();
    let hooks = field.repo().path().join(".git/hooks");
    std::fs::create_dir_all(&hooks).unwrap();
    for hook in ["post-merge", "post-checkout", "reference-transaction", "pre-merge-commit", "post-rewrite"] {
        let path = hooks.join(hook);
        std::fs::write(&path, "#!/bin/sh\necho \"$0\" >> \"$HOME/hooked\"\n").unwrap();
        let mut mode = std::fs::metadata(&path).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
        std::fs::set_permissions(&path, mode).unwrap();
    }
    field.done("a", &[("a", "a\n")]);
    field.repo().commit("b", "b\n");
    let hooked = field.program.env.root().join("home/hooked");
    assert!(std::fs::remove_file(&hooked).is_ok(), "the hooks are good for something");
    field.merge(&["a", "--check", "true"]).ran.ok();
    assert!(!hooked.exists());
}
