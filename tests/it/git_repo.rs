//! `git::Repo`: found from everywhere, refused where it cannot work, and right in what it answers.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs as unix;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fs_err as fs;
use wt::git::refs::{self, Expected, RefEdit};
use wt::git::{GitError, Repo, Unusable};
use wt::model::Oid;

use crate::env::Env;

pub fn oid(hex: &str) -> Oid {
    Oid::parse(hex).expect("an id")
}

#[test]
fn it_is_the_same_from_every_place() {
    let (env, repo) = Env::with_repo();
    fs::create_dir_all(repo.path().join("a/b")).unwrap();
    let linked = env.root().join("linked tree");
    repo.git(&["worktree", "add", "-q", "-b", "side", &linked.to_string_lossy()]);
    fs::create_dir(linked.join("sub")).unwrap();
    unix::symlink(repo.path(), env.root().join("alias")).unwrap();
    let common = repo.path().join(".git");
    for cwd in [
        repo.path().to_owned(),
        repo.path().join("a/b"),
        linked.clone(),
        linked.join("sub"),
        common.clone(),
        common.join("refs/heads"),
        env.root().join("alias/a"),
    ] {
        let found = Repo::discover(&cwd).unwrap();
        assert_eq!(found.common_dir(), common, "{}", cwd.display());
        assert_eq!(found.main_checkout(), Some(repo.path()), "{}", cwd.display());
        assert_eq!(found.worktrees_root(), env.root().join("repo-worktrees"));
    }
}

#[test]
fn bare_repositories_and_hidden_ones_work() {
    let (env, repo) = Env::with_repo();
    let source = repo.path().to_string_lossy().into_owned();
    for (bare, root) in [
        ("plain.git", "plain-worktrees"),
        ("nameless", "nameless-worktrees"),
        ("one/.bare", "one-worktrees"),
        ("two/.git", "two-worktrees"),
    ] {
        let path = env.root().join(bare);
        env.git_in(env.root(), &["clone", "-q", "--bare", &source, &path.to_string_lossy()]);
        let found = Repo::discover(&path).unwrap();
        assert_eq!((found.common_dir(), found.main_checkout()), (path.as_path(), None), "{bare}");
        assert_eq!(found.worktrees_root(), env.root().join(root), "{bare}");
        assert_eq!(found.default_target().unwrap(), "main");

        let side = env.root().join(format!("side of {root}"));
        env.git_in(&path, &["worktree", "add", "-q", "-b", "side", &side.to_string_lossy()]);
        assert_eq!(Repo::discover(&side).unwrap().common_dir(), path);
    }
    // The folder around `.bare`, with a `.git` file that points to it.
    fs::write(env.root().join("one/.git"), "gitdir: ./.bare\n").unwrap();
    let around = Repo::discover(&env.root().join("one")).unwrap();
    assert_eq!((around.common_dir(), around.main_checkout()), (env.root().join("one/.bare").as_path(), None));
    // The folder around a bare `.git`.
    let around = Repo::discover(&env.root().join("two")).unwrap();
    assert_eq!((around.common_dir(), around.main_checkout()), (env.root().join("two/.git").as_path(), None));
}

#[test]
fn a_separate_git_folder_keeps_its_checkout() {
    let env = Env::new();
    let at = env.root().join("work");
    let store = env.root().join("store");
    env.git_in(
        env.root(),
        &["init", "-q", "--separate-git-dir", &store.to_string_lossy(), &at.to_string_lossy()],
    );
    let found = Repo::discover(&at).unwrap();
    assert_eq!((found.common_dir(), found.main_checkout()), (store.as_path(), Some(at.as_path())));
}

fn refusal(cwd: &Path) -> Unusable {
    match Repo::discover(cwd).map(|repo| repo.common_dir().to_owned()) {
        Err(GitError::Unusable(why)) => why,
        other => panic!("{} gave {other:?}", cwd.display()),
    }
}

#[test]
fn what_cannot_work_is_refused_with_its_reason() {
    let (env, repo) = Env::with_repo();
    let nowhere = env.root().join("nowhere");
    fs::create_dir(&nowhere).unwrap();
    assert!(matches!(refusal(&nowhere), Unusable::NoRepository(_)));

    let source = repo.path().to_string_lossy().into_owned();
    let outer = env.repo("outer");
    outer.git(&["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", &source, "inner"]);
    assert!(
        matches!(refusal(&outer.path().join("inner")), Unusable::Submodule(path) if path.ends_with("inner"))
    );
    assert!(Repo::discover(outer.path()).is_ok());

    let reftable = env.root().join("reftable");
    env.git_in(env.root(), &["init", "-q", "--ref-format=reftable", &reftable.to_string_lossy()]);
    assert!(matches!(refusal(&reftable), Unusable::Format { form: "reftable refs", .. }));

    let odd = env.root().join(std::ffi::OsStr::from_bytes(b"odd\xff"));
    fs::create_dir(&odd).unwrap();
    assert!(env.at(&odd).try_git(&["init", "-q"]).status.success());
    assert!(matches!(refusal(&odd), Unusable::NotUtf8(_)));

    let newline = env.repo("new\nline");
    newline.commit("a", "a");
    assert_eq!(Repo::discover(newline.path()).unwrap().default_target().unwrap(), "main");
}

#[test]
fn a_repository_of_another_user_is_refused() {
    let (env, repo) = Env::with_repo();
    if !rustix::process::getuid().is_root() {
        return; // only root can give a folder away
    }
    assert!(env.command("chown", env.root()).args(["-R", "12345", "repo"]).status().unwrap().success());
    assert!(matches!(refusal(repo.path()), Unusable::DubiousOwnership(_)));
}

#[test]
fn finding_takes_no_process_and_next_to_no_time() {
    let (_env, repo) = Env::with_repo();
    let times = (0..5).map(|_| {
        let start = Instant::now();
        Repo::discover(repo.path()).unwrap();
        start.elapsed()
    });
    let best = times.min().unwrap();
    assert!(best < Duration::from_millis(3), "{best:?}");
}

#[test]
fn the_target_is_the_remotes_default_then_main_then_the_current_branch() {
    let (env, repo) = Env::with_repo();
    let found = || Repo::discover(repo.path()).unwrap();
    repo.git(&["checkout", "-q", "-b", "feature"]);
    assert_eq!(found().default_target().unwrap(), "main");

    repo.git(&["update-ref", "refs/remotes/origin/trunk", "HEAD"]);
    repo.git(&["symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/trunk"]);
    assert_eq!(found().default_target().unwrap(), "main", "there is no local trunk");
    repo.git(&["branch", "trunk"]);
    assert_eq!(found().default_target().unwrap(), "trunk");

    repo.git(&["branch", "-D", "-q", "trunk", "main"]);
    assert_eq!(found().default_target().unwrap(), "feature");
    repo.git(&["checkout", "-q", "--detach"]);
    repo.git(&["branch", "-D", "-q", "feature"]);
    assert!(matches!(found().default_target(), Err(GitError::DetachedHead)));

    let empty = env.repo("empty");
    let unborn = Repo::discover(empty.path()).unwrap().default_target();
    assert!(matches!(unborn, Err(GitError::UnbornBranch { branch }) if branch == "main"));
}

#[test]
fn questions_about_history_and_content_are_answered() {
    let (env, repo) = Env::with_repo();
    let first = oid(&repo.head());
    repo.write("dir/file", "two\n");
    unix::symlink("dir", repo.path().join("link")).unwrap();
    let second = oid(&repo.commit_all("second"));
    repo.git(&["checkout", "-q", "-b", "side", first.as_str()]);
    let side = oid(&repo.commit("side", "s"));
    repo.git(&["tag", "-a", "-m", "v", "v1", second.as_str()]);
    let found = Repo::discover(repo.path()).unwrap();

    assert_eq!(found.branch_tip("main").unwrap(), Some(second.clone()));
    assert_eq!(found.branch_tip("none").unwrap(), None);
    assert_eq!(found.branch_tip("not a ref..").unwrap(), None);
    for (rev, meant) in
        [("HEAD", &side), ("main~1", &first), ("v1", &second), (&second.as_str()[..8], &second)]
    {
        assert_eq!(&found.commit(rev).unwrap(), meant, "{rev}");
    }
    for rev in ["nope", "--all", "main:dir", "", "HEAD\n"] {
        assert!(matches!(found.commit(rev), Err(GitError::NoSuchRevision { .. })), "{rev:?}");
    }
    assert!(found.is_ancestor(&first, &second).unwrap() && found.is_ancestor(&side, &side).unwrap());
    assert!(!found.is_ancestor(&second, &first).unwrap() && !found.is_ancestor(&side, &second).unwrap());
    assert_eq!(found.merge_base(&second, &side).unwrap(), Some(first.clone()));
    repo.git(&["checkout", "-q", "--orphan", "root"]);
    let root = oid(&repo.commit("root", "r"));
    assert_eq!(found.merge_base(&root, &side).unwrap(), None);

    for path in ["dir", "dir/file", "link", "README.md"] {
        assert!(found.tracks(&second, path).unwrap(), "{path}");
    }
    assert!(!found.tracks(&first, "dir").unwrap() && !found.tracks(&second, "dir/none").unwrap());
    assert_eq!(found.blob_at(&second, "dir/file").unwrap().as_deref(), Some(b"two\n".as_slice()));
    assert_eq!(found.blob_at(&second, "dir").unwrap(), None);

    // From a linked worktree `HEAD` is its own.
    let linked = env.root().join("linked");
    repo.git(&["worktree", "add", "-q", "--detach", &linked.to_string_lossy(), first.as_str()]);
    assert_eq!(Repo::discover(&linked).unwrap().commit("HEAD").unwrap(), first);
}

#[test]
fn identity_version_and_blocking_branches_are_checked() {
    let (_env, repo) = Env::with_repo();
    let found = Repo::discover(repo.path()).unwrap();
    found.require_git().unwrap();
    found.require_identity().unwrap();
    repo.git(&["config", "user.name", ""]);
    // Opened anew, as every command does: the configuration is read once.
    let anew = Repo::discover(repo.path()).unwrap();
    assert!(matches!(anew.require_identity(), Err(GitError::NoIdentity)));

    assert!(found.branch_conflicts("wt/a").unwrap().is_empty());
    repo.git(&["branch", "wt/a/b", "main"]);
    repo.git(&["branch", "wt/ab", "main"]);
    assert_eq!(found.branch_conflicts("wt/a").unwrap(), ["wt/a/b"]);
    repo.git(&["branch", "-D", "-q", "wt/a/b", "wt/ab"]);
    repo.git(&["branch", "wt", "main"]);
    assert_eq!(found.branch_conflicts("wt/a").unwrap(), ["wt"]);
}

#[test]
fn a_folder_of_refs_that_others_clear_away_meanwhile_is_no_ref() {
    let (_env, repo) = Env::with_repo();
    let found = Repo::discover(repo.path()).unwrap();
    let folder = repo.path().join(".git/refs/heads/wt");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                fs::create_dir(&folder).unwrap();
                fs::remove_dir(&folder).unwrap();
            }
        });
        let failed = (0..3_000).find_map(|_| found.branch_tip("wt").err());
        over.store(true, Ordering::Relaxed);
        assert!(failed.is_none(), "{failed:?}");
    });
}

#[test]
fn refs_move_together_or_not_at_all() {
    let (_env, repo) = Env::with_repo();
    let first = oid(&repo.head());
    let second = oid(&repo.commit("a", "a"));
    let found = Repo::discover(repo.path()).unwrap();
    let name = |n: &str| format!("refs/wt/trash/{n}");
    refs::apply(
        &found,
        &[RefEdit::create(name("a/1"), first.clone()), RefEdit::create(name("b/1"), first.clone())],
    )
    .unwrap();
    assert_eq!(
        refs::list(&found, "refs/wt/trash/").unwrap(),
        [(name("a/1"), first.clone()), (name("b/1"), first.clone())]
    );
    let failing = [
        (RefEdit::create(name("b/1"), second.clone()), name("b/1")),
        (RefEdit::swap(name("b/1"), second.clone(), first.clone()), name("b/1")),
        (RefEdit::delete(name("b/1"), second.clone()), name("b/1")),
        (RefEdit::swap(name("none"), first.clone(), second.clone()), name("none")),
        (RefEdit::delete(name("none"), first.clone()), name("none")),
    ];
    for (edit, blamed) in failing {
        let both = [RefEdit::swap(name("a/1"), first.clone(), second.clone()), edit.clone()];
        match refs::apply(&found, &both) {
            Err(GitError::Moved { name }) => assert_eq!(name, blamed, "{edit:?}"),
            other => panic!("{edit:?} gave {other:?}"),
        }
        assert_eq!(found.ref_tip(&name("a/1")).unwrap(), Some(first.clone()), "{edit:?}");
    }
    let any = RefEdit { name: name("a/1"), new: Some(second.clone()), old: Expected::Any };
    refs::apply(&found, &[any, RefEdit::delete(name("b/1"), first)]).unwrap();
    assert_eq!(refs::list(&found, "refs/wt/").unwrap(), [(name("a/1"), second.clone())]);
    repo.git(&["pack-refs", "--all"]);
    assert_eq!(refs::list(&found, "refs/wt/").unwrap(), [(name("a/1"), second.clone())]);

    // A lock that stays is not a ref that moved.
    fs::write(repo.path().join(".git/refs/heads/main.lock"), "").unwrap();
    let locked = refs::apply(&found, &[RefEdit::swap("refs/heads/main", second.clone(), second)]);
    assert!(matches!(locked, Err(GitError::Locked { .. })), "{locked:?}");
}
