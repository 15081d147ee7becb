//! Fetching before a landing and pushing after it, against bare repositories on the disk.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;

use fs_err as fs;
use wt::model::State;

use super::field::Field;
use crate::env::TestRepo;
use crate::program::{alive, kill, ran};

/// A field whose `main` is pushed to `origin`, and somebody else's clone.
struct Scene {
    field: Field,
    origin: PathBuf,
    other: TestRepo,
}

impl Scene {
    fn new() -> Self {
        let field = Field::new();
        let root = field.program.env.root().to_owned();
        let origin = root.join("origin.git");
        field.program.env.git_in(&root, &["init", "-q", "--bare", "-b", "main", "origin.git"]);
        field.repo().git(&["remote", "add", "origin", "../origin.git"]);
        field.repo().git(&["push", "-q", "-u", "origin", "main"]);
        field.program.env.git_in(&root, &["clone", "-q", "origin.git", "other"]);
        let other = field.program.env.at(&root.join("other"));
        other.configure();
        Self { field, origin, other }
    }

    /// Somebody else lands something.
    fn elsewhere(&self, path: &str) -> String {
        self.other.git(&["pull", "-q", "--ff-only"]);
        let commit = self.other.commit(path, "elsewhere\n");
        self.other.git(&["push", "-q"]);
        commit
    }

    /// Returns the commit of `main` at the remote.
    fn there(&self) -> String {
        self.field.program.env.at(&self.origin).rev("refs/heads/main")
    }

    /// Makes every call over ssh run that script.
    fn ssh(&self, script: &str) {
        let root = self.field.program.env.root();
        let path = root.join("ssh");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        self.field.repo().git(&["remote", "set-url", "origin", "ssh://nowhere.invalid/repo"]);
        self.field.repo().git(&["config", "core.sshCommand", &path.to_string_lossy()]);
    }
}

#[test]
fn what_others_landed_comes_first_and_what_lands_here_goes_there() {
    let scene = Scene::new();
    let before = scene.field.main();
    scene.field.done("a", &[("a", "a\n")]);
    let theirs = scene.elsewhere("theirs");
    let said = scene.field.merge(&["a", "--fetch", "--push"]);
    assert_eq!((said.code(), said.result("a")), (0, "landed"), "{}", said.ran.err);
    assert_eq!(scene.field.subjects(), ["change a", "change theirs"]);
    assert_eq!(scene.field.repo().read("theirs"), "elsewhere\n", "the checkout follows");
    assert_eq!(scene.there(), scene.field.main());
    let fetched = serde_json::json!({
        "remote": "origin", "ref": "refs/heads/main", "from": before, "to": theirs, "error": null
    });
    let pushed = serde_json::json!({
        "remote": "origin", "ref": "refs/heads/main", "from": theirs, "to": scene.field.main(), "error": null
    });
    assert_eq!((&said.view["fetched"], &said.view["pushed"]), (&fetched, &pushed));
    assert_eq!(said.view["before"], theirs);
    assert!(!scene.field.repo().path().join(".git/FETCH_HEAD").exists());
    scene.field.is_whole();
}

#[test]
fn a_fast_forward_by_a_fetch_is_no_landing() {
    let scene = Scene::new();
    let theirs = scene.elsewhere("theirs");
    scene.field.program.configure("[merge]\nfetch = true\nagent = \"fake\"");
    let out = scene.field.program.wt(&["merge", "--all"]).ok();
    assert!(out.starts_with("main was behind origin: moved to"), "{out}");
    assert_eq!(scene.field.main(), theirs);
    assert_eq!(scene.field.program.journal(), Vec::<serde_json::Value>::new());
    // Ahead of it, there is nothing to do.
    scene.field.repo().commit("mine", "mine\n");
    let said = scene.field.merge(&["--all"]);
    assert_eq!((said.code(), &said.view["before"]), (0, &said.view["after"]));
    scene.elsewhere("later");
    scene.field.merge(&["--all", "--no-fetch"]).ran.ok();
    assert_eq!(scene.field.subjects(), ["change mine", "change theirs"]);
}

#[test]
fn what_has_diverged_is_refused_and_can_be_joined_as_the_hint_says() {
    let scene = Scene::new();
    let mine = scene.field.repo().commit("mine", "mine\n");
    let theirs = scene.elsewhere("theirs");
    scene.field.done("a", &[("a", "a\n")]);
    let ran = scene.field.program.wt(&["merge", "--all", "--fetch", "--push", "--json"]);
    let said = ran.json()["error"].clone();
    let err = ran.fails(1);
    assert_eq!(said["message"], "nothing was landed, and nothing moved");
    assert!(err.contains(&mine[..10]) && err.contains(&theirs[..10]), "{err}");
    assert_eq!((scene.field.main(), scene.there()), (mine, theirs));
    assert_eq!(scene.field.state("a"), State::Done { skipped: false });
    let at = scene.field.repo().path().display().to_string();
    assert!(err.contains(&format!("git -C {at} merge origin/main")), "{err}");
    scene.field.repo().git(&["-C", &at, "merge", "-q", "origin/main"]);
    scene.field.merge(&["--all", "--fetch", "--push"]).ran.ok();
    assert_eq!(scene.there(), scene.field.main());
}

#[test]
fn files_in_the_way_of_what_is_fetched_are_named_and_kept() {
    let scene = Scene::new();
    let before = scene.field.main();
    scene.field.done("a", &[("a", "a\n")]);
    scene.elsewhere("theirs");
    scene.field.repo().write("theirs", "by hand\n");
    let err = scene.field.program.wt(&["merge", "a", "--fetch"]).fails(1);
    assert!(err.contains("`main` stays where it is: uncommitted files in"), "{err}");
    assert_eq!((scene.field.main(), scene.field.repo().read("theirs")), (before, "by hand\n".to_owned()));
    assert_eq!(scene.field.state("a"), State::Done { skipped: false });
}

#[test]
fn without_a_remote_a_setting_goes_on_and_a_flag_refuses() {
    let field = Field::with("[merge]\nfetch = true\npush = true\nagent = \"fake\"");
    field.done("a", &[("a", "a\n")]);
    assert!(field.program.refuses(1, &["merge", "a", "--fetch"]).contains("`main` has no remote"));
    assert!(
        field.program.refuses(1, &["merge", "a", "--push", "--no-fetch"]).contains("no remote to push to")
    );
    let said = field.merge(&["a"]);
    assert_eq!((said.code(), said.result("a")), (0, "landed"));
    assert!(said.ran.err.contains("nothing is fetched") && said.ran.err.contains("nothing is pushed"));
}

#[test]
fn a_remote_that_is_gone_lands_nothing_by_a_fetch_and_loses_nothing_by_a_push() {
    let scene = Scene::new();
    scene.field.done("a", &[("a", "a\n")]);
    let away = scene.origin.with_extension("away");
    fs::rename(&scene.origin, &away).unwrap();
    let dry = scene.field.program.wt(&["merge", "a", "--fetch", "--push", "--dry-run"]).ok();
    assert!(dry.contains("main would be fetched from origin first"), "{dry}");
    assert!(dry.contains("main would be pushed to origin, was at"), "{dry}");
    let err = scene.field.program.refuses(1, &["merge", "a", "--fetch"]);
    assert!(err.contains("`origin` cannot be fetched; nothing was landed"), "{err}");
    let said = scene.field.merge(&["a", "--push"]);
    assert_eq!((said.code(), scene.field.state("a")), (3, State::Landed), "{}", said.ran.err);
    assert!(said.view["pushed"]["error"].as_str().unwrap().contains("origin.git"));
    assert_eq!(scene.field.merge(&["--all", "--push"]).code(), 1, "nothing landed, nothing pushed");
    fs::rename(&away, &scene.origin).unwrap();
    // A run that only pushes.
    scene.field.merge(&["--all", "--push"]).ran.ok();
    assert_eq!(scene.there(), scene.field.main());
}

#[test]
fn a_remote_that_moved_is_never_overwritten() {
    let scene = Scene::new();
    scene.field.done("a", &[("a", "a\n")]);
    let theirs = scene.elsewhere("theirs");
    let said = scene.field.merge(&["a", "--push"]);
    assert_eq!((said.code(), said.result("a"), scene.there()), (3, "landed", theirs.clone()));
    assert_eq!(said.view["pushed"]["error"], "`main` of `origin` has moved meanwhile");

    // Every command that is told then works.
    let hint = "hint: land it on top of theirs: `wt undo --into main`, then `wt merge --all --fetch --push`";
    assert!(said.ran.err.contains(hint), "{}", said.ran.err);
    let refused = scene.field.program.wt(&["merge", "--all", "--fetch", "--push"]).fails(1);
    assert!(refused.contains("neither has all of the other") && refused.contains(hint), "{refused}");
    scene.field.program.wt(&["undo", "--into", "main"]).ok();
    scene.field.merge(&["--all", "--fetch", "--push"]).ran.ok();
    assert_eq!(
        (scene.there(), scene.field.subjects()),
        (scene.field.main(), vec!["change a".into(), "change theirs".into()])
    );
    scene.field.is_whole();
}

/// Where the remote was put back, a plain push would bring back what somebody took away.
#[test]
fn a_remote_that_was_put_back_is_not_pushed_forward_again() {
    let scene = Scene::new();
    let first = scene.there();
    scene.field.done("a", &[("a", "a\n")]);
    scene.field.merge(&["a", "--push"]).ran.ok();
    scene.other.git(&["push", "-q", "-f", "origin", &format!("{first}:refs/heads/main")]);
    scene.field.done("b", &[("b", "b\n")]);
    let said = scene.field.merge(&["b", "--push"]);
    assert_eq!((said.code(), said.result("b"), scene.there()), (3, "landed", first), "{}", said.ran.out);
}

#[test]
fn the_remotes_own_rules_are_told_and_our_hooks_do_not_run() {
    let scene = Scene::new();
    let hook = |path: PathBuf, text: &str| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    hook(scene.field.repo().path().join(".git/hooks/pre-push"), "echo ran > \"$HOME/pre-push\"; exit 1");
    hook(scene.origin.join("hooks/pre-receive"), "echo no pushes on Friday; exit 1");
    scene.field.done("a", &[("a", "a\n")]);
    let said = scene.field.merge(&["a", "--push"]);
    assert_eq!(said.code(), 3);
    assert_eq!(said.view["pushed"]["error"], "pre-receive hook declined; no pushes on Friday");
    fs::remove_file(scene.origin.join("hooks/pre-receive")).unwrap();
    scene.field.merge(&["--all", "--push"]).ran.ok();
    assert!(!scene.field.program.env.root().join("home/pre-push").exists());
}

#[test]
fn each_target_goes_where_it_came_from() {
    let scene = Scene::new();
    let env = &scene.field.program.env;
    env.git_in(env.root(), &["init", "-q", "--bare", "fork.git"]);
    scene.field.repo().git(&["remote", "add", "fork", "../fork.git"]);
    scene.field.repo().git(&["branch", "next"]);
    scene.field.repo().git(&["config", "branch.next.remote", "fork"]);
    scene.field.repo().git(&["config", "branch.next.merge", "refs/heads/trunk"]);
    scene.field.done("a", &[("a", "a\n")]);
    scene.field.done_with("b", &[("b", "b\n")], &["--into", "next"]);
    // The branch is not there yet: nothing to fetch, and a push makes it.
    let ran = scene.field.program.wt(&["merge", "--all", "--fetch", "--push", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let fork = env.at(&env.root().join("fork.git"));
    assert_eq!(fork.rev("refs/heads/trunk"), scene.field.repo().rev("refs/heads/next"));
    assert_eq!(scene.there(), scene.field.main());
    let refs = fork.git(&["for-each-ref", "--format=%(refname)"]);
    assert_eq!(refs, "refs/heads/trunk");
    // What could not be pushed is pushed by the next run, whether anything lands there or not.
    let away = env.root().join("away.git");
    fs::rename(fork.path(), &away).unwrap();
    scene.field.done_with("c", &[("c", "c\n")], &["--into", "next"]);
    assert_eq!(scene.field.merge(&["c", "--push"]).code(), 3);
    fs::rename(&away, fork.path()).unwrap();
    scene.field.done("d", &[("d", "d\n")]);
    scene.field.program.wt(&["merge", "--all", "--push"]).ok();
    assert_eq!(fork.rev("refs/heads/trunk"), scene.field.repo().rev("refs/heads/next"));
    assert_eq!(scene.there(), scene.field.main());
}

#[test]
fn a_mirror_is_fetched_beside_its_branches() {
    let scene = Scene::new();
    scene.field.repo().git(&["config", "remote.origin.fetch", "+refs/*:refs/*"]);
    let mine = scene.field.repo().commit("mine", "mine\n");
    scene.elsewhere("theirs");
    // Where it is checked out git would refuse.
    scene.field.repo().git(&["checkout", "-q", "--detach"]);
    let err = scene.field.program.wt(&["merge", "--all", "--fetch"]).fails(1);
    assert!(err.contains("neither has all of the other"), "{err}");
    assert_eq!(scene.field.main(), mine, "the configured mapping would have overwritten it");
    let said = scene.field.merge(&["--all", "--push"]);
    let why = "`remote.origin.fetch` writes over branches here, and so would a push";
    assert_eq!((said.code(), said.view["pushed"]["error"].as_str()), (1, Some(why)));
}

#[test]
fn commands_that_come_with_a_fetch_run_only_when_approved() {
    let scene = Scene::new();
    scene.field.done("a", &[("a", "a\n")]);
    scene.other.write(".wt.toml", "[[verify]]\nname = \"x\"\nrun = \"touch $HOME/ran\"\n");
    scene.other.commit_all("checks");
    scene.other.git(&["push", "-q"]);
    let err = scene.field.program.wt(&["merge", "a", "--fetch"]).fails(1);
    assert!(err.contains("are not approved") && err.contains("was moved forward"), "{err}");
    assert_eq!((scene.field.main(), scene.field.state("a")), (scene.there(), State::Done { skipped: false }));
    assert!(!scene.field.program.env.root().join("home/ran").exists());
    scene.field.program.wt(&["trust", "--approve"]).ok();
    scene.field.merge(&["a", "--fetch"]).ran.ok();
    assert!(scene.field.program.env.root().join("home/ran").exists());
}

#[test]
fn ssh_is_asked_not_to_ask_and_nothing_waits_for_ever() {
    let scene = Scene::new();
    scene.ssh("echo \"$@\" > \"$HOME/asked\"; echo $$ > \"$HOME/pid\"; exec sleep 1000");
    scene.field.done("a", &[("a", "a\n")]);
    let home = scene.field.program.env.root().join("home");
    let mut merge = scene.field.program.command(&["merge", "a", "--fetch"]);
    let late = ran(merge.env("WT_TEST_REMOTE_LIMIT", "1").output().unwrap()).fails(1);
    assert!(late.contains("`origin` took longer than 1s"), "{late}");
    assert!(fs::read_to_string(home.join("asked")).unwrap().contains("-o BatchMode=yes"));
    let pid = || scene.field.program.file(&home.join("pid")).trim().parse::<u32>().unwrap();
    assert!(!alive(pid()), "its ssh is gone too");
    // Meanwhile others land, and whoever is killed leaves nothing running.
    fs::remove_file(home.join("pid")).unwrap();
    let mut merge = scene.field.program.command(&["merge", "a", "--fetch", "--quiet"]);
    let mut merge = merge.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let ssh = pid();
    scene.field.merge(&["a"]).ran.ok();
    assert!(alive(ssh));
    kill(merge.id());
    merge.wait().unwrap();
    scene.field.program.until("its end", || (!alive(ssh)).then_some(()));
}
