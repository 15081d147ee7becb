//! A workspace that was a spare equals one that was made from nothing, whatever its former task did.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use fs_err as fs;
use fs_err::os::unix::fs::symlink;
use proptest::prelude::*;
use wt::git::GitError;
use wt::git::spare::Condition;
use wt::workspace::RemoveError;

use super::{Place, looks, sound, with_repo};
use crate::env::{Env, TestRepo};

/// Something that an agent does in its worktree.
type Deed = (&'static str, fn(&TestRepo));

const DEEDS: &[Deed] = &[
    ("commits", |tree| drop(tree.commit("a/one", "committed\n"))),
    ("commits rules", |tree| drop(tree.commit(".gitignore", "*.tmp\n"))),
    ("commits attributes", |tree| drop(tree.commit(".gitattributes", "* -text\n"))),
    ("edits", |tree| tree.write("a/two", "edited\n")),
    ("stages", |tree| {
        tree.write("a/new", "new\n");
        tree.git(&["add", "a/new"]);
    }),
    ("deletes", |tree| fs::remove_file(tree.path().join("link")).unwrap()),
    ("makes executable", |tree| mode(tree, "a/one", 0o755)),
    ("hides a file", |tree| mode(tree, "README.md", 0o600)),
    ("opens a folder", |tree| mode(tree, "a", 0o777)),
    ("seals a folder", |tree| mode(tree, "a/b/c", 0o500)),
    ("seals what is new", |tree| {
        tree.write("build/sealed/f", "x");
        mode(tree, "build/sealed", 0o500);
    }),
    ("makes files", |tree| tree.write("fresh/file", "untracked\n")),
    ("makes an empty folder", |tree| fs::create_dir_all(tree.path().join("void/void")).unwrap()),
    ("builds", |tree| {
        tree.write("target/debug/out", "cache\n");
        tree.write("a/node_modules/m/x.js", "cache\n");
        tree.write("fresh/target/out", "cache\n");
    }),
    ("builds elsewhere", |tree| tree.write("build/out", "not a cache\n")),
    ("logs", |tree| tree.write("a/run.log", "ignored\n")),
    ("builds beside tracked files", |tree| tree.write("lib/target/out", "x\n")),
    ("stashes", |tree| {
        tree.write("a/two", "stashed\n");
        tree.git(&["stash"]);
    }),
    ("assumes", |tree| {
        tree.git(&["update-index", "--assume-unchanged", "a/one"]);
        tree.write("a/one", "behind git's back\n");
    }),
    ("skips", |tree| {
        tree.git(&["update-index", "--skip-worktree", "plain.txt"]);
        fs::remove_file(tree.path().join("plain.txt")).unwrap();
    }),
    ("intends", |tree| {
        tree.write("later", "x\n");
        tree.git(&["add", "-N", "later"]);
    }),
    ("has another index", |tree| drop(tree.git(&["update-index", "--index-version", "4"]))),
    ("splits its index", |tree| drop(tree.git(&["update-index", "--split-index"]))),
    ("loses its index", |tree| {
        let index = tree.git(&["rev-parse", "--git-path", "index"]);
        fs::remove_file(tree.path().join(index)).unwrap();
        tree.git(&["read-tree", "HEAD"]);
    }),
    ("bisects and ends", |tree| {
        tree.git(&["bisect", "start", "HEAD", "HEAD~1"]);
        tree.git(&["bisect", "reset"]);
    }),
    ("bisects", |tree| drop(tree.git(&["bisect", "start"]))),
    ("keeps refs of its own", |tree| drop(tree.git(&["update-ref", "refs/worktree/mine", "HEAD"]))),
    ("leaves its branch", |tree| drop(tree.git(&["checkout", "-q", "--detach"]))),
    ("makes a branch", |tree| drop(tree.git(&["checkout", "-q", "-b", &format!("own-{}", tree.head())]))),
    ("links a file out", |tree| {
        let out =
            tree.path().parent().unwrap().join(format!("out-{}", fs::read_dir(tree.path()).unwrap().count()));
        drop(fs::hard_link(tree.path().join("a/two"), out));
    }),
    ("puts a file in place of a folder", |tree| {
        fs::remove_dir_all(tree.path().join("a/b")).unwrap();
        tree.write("a/b", "a file\n");
    }),
    ("puts a link in place of a folder", |tree| {
        if tree.path().join("lib").is_dir() {
            fs::rename(tree.path().join("lib"), tree.path().join("elsewhere")).unwrap();
            symlink("elsewhere", tree.path().join("lib")).unwrap();
        }
    }),
    ("puts a folder in place of a file", |tree| {
        fs::remove_file(tree.path().join("key.id")).unwrap();
        tree.write("key.id/inside", "x\n");
    }),
    ("changes line ends", |tree| {
        tree.write("lines.crlf", "one\ntwo\n");
        tree.write("odd name\u{e9}", "odd\r\n");
    }),
    ("fills keywords in", |tree| tree.write("key.id", "$Id: mine $\n")),
    ("passes for clean", |tree| {
        if tree.path().join("plain.txt").exists() {
            tree.write("plain.txt", "text\r\nmore\r\n");
            tree.git(&["add", "--renormalize", "plain.txt"]);
        }
    }),
    ("keeps the time", |tree| {
        let path = tree.path().join("README.md");
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        tree.write("README.md", "reaDme\n");
        fs::File::options().write(true).open(path).unwrap().set_modified(before).unwrap();
    }),
    ("links its caches", |tree| drop(symlink("/tmp", tree.path().join("node_modules")))),
    ("tracks a cache", |tree| {
        tree.write("target/tracked", "x\n");
        tree.git(&["add", "-f", "target/tracked"]);
    }),
    ("changes its instructions", |tree| tree.write("CLAUDE.local.md", "mine\n")),
    ("has a repository among ignored files", |tree| {
        drop(tree.git(&["init", "-q", "build/inner"]));
        tree.write("build/inner/f", "x\n");
    }),
];

fn mode(tree: &TestRepo, path: &str, mode: u32) {
    let path = tree.path().join(path);
    if path.exists() {
        fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
}

/// Lets a former task do these deeds, lets the target move on if `moved`, and compares what comes of its workspace with one
/// that was made from nothing.
fn same_after(deeds: &[Deed], moved: bool) {
    let (env, repo) = with_repo();
    repo.write("main", "x\n");
    repo.commit_all("one more");
    let place = Place::at(repo.path(), 2);
    let tree = env.at(place.make("x").path.as_ref());
    let inode = fs::metadata(tree.path()).unwrap().ino();
    for (what, deed) in deeds {
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| deed(&tree))).is_err() {
            // One that an earlier one has made impossible; its own test would fail.
            assert!(deeds.len() > 1, "{what}");
        }
    }
    // One deed may end what another has begun.
    let bisects = std::path::Path::new(&tree.git(&["rev-parse", "--git-path", "BISECT_START"])).exists();
    let removed = match place.try_remove("x") {
        // A repository that is no longer ignored: nothing is removed then.
        Err(RemoveError::Git(GitError::Nested { .. })) if deeds.len() > 1 => return,
        removed => removed.unwrap(),
    };
    let folder = removed.folder.unwrap();
    assert_eq!(folder.parent().unwrap().ends_with(".pool"), !bisects, "{}", folder.display());
    if moved {
        repo.write("a/two", "moved on\n");
        repo.write("a/four", "moved on\n");
        repo.commit_all("moved on");
    }
    place.tend();
    if !bisects {
        assert_eq!(place.ready(), inode);
    }
    let tree = env.at(place.make("y").path.as_ref());
    assert_eq!(fs::metadata(tree.path()).unwrap().ino() == inode, !bisects);
    let cold = Place::at(repo.path(), 0);
    let fresh = env.at(cold.make("z").path.as_ref());
    let named: Vec<&str> = deeds.iter().map(|(what, _)| *what).collect();
    equal(&named, &looks(&tree, "y"), &looks(&fresh, "z"));
}

fn equal(after: &[&str], warm: &BTreeMap<String, String>, cold: &BTreeMap<String, String>) {
    for key in warm.keys().chain(cold.keys()) {
        assert_eq!(warm.get(key), cold.get(key), "{key} after {after:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, max_shrink_iters: 12, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_workspace_that_was_a_spare_equals_a_new_one(
        deeds in prop::sample::subsequence(DEEDS.to_vec(), 1..12).prop_shuffle(),
        moved in any::<bool>(),
    ) {
        same_after(&deeds, moved);
    }
}

#[test]
fn it_does_so_after_each_deed_alone() {
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for share in DEEDS.chunks(DEEDS.len().div_ceil(workers)) {
            scope.spawn(move || {
                for deed in share {
                    same_after(std::slice::from_ref(deed), true);
                }
            });
        }
    });
}

fn recycled() -> (Env, TestRepo, Place) {
    let (env, repo) = with_repo();
    let place = Place::at(repo.path(), 2);
    let tree = env.at(place.make("x").path.as_ref());
    for path in [
        "target/debug/out",
        "a/node_modules/m/x.js",
        "build/out",
        "lib/target/out",
        "fresh/target/out",
        ".env",
    ] {
        tree.write(path, "x\n");
    }
    place.remove("x");
    place.tend();
    place.ready();
    (env, repo, place)
}

#[test]
fn caches_stay_and_everything_else_goes_to_the_trash() {
    let (env, _repo, place) = recycled();
    let tree = env.at(place.make("y").path.as_ref());
    let trash = env.at(&env.root().join("repo-worktrees/.trash/x-1"));
    for path in ["target/debug/out", "a/node_modules/m/x.js", "lib/target/out"] {
        assert_eq!(tree.read(path), "x\n", "{path}");
        assert!(!trash.path().join(path).exists(), "{path}");
    }
    // A cache of something that the commit does not have is of no use.
    assert!(!tree.path().join("fresh").exists());
    for path in ["fresh/target/out", "build/out", ".env", "CLAUDE.local.md"] {
        assert!(trash.path().join(path).exists(), "{path}");
    }
    assert!(!tree.path().join("build").exists() && !tree.path().join(".env").exists());
    assert_eq!(tree.git(&["status", "--porcelain"]), "");
}

#[test]
fn a_spare_that_somebody_touched_is_not_handed_out() {
    for touch in [
        (|spare: &TestRepo| spare.write("planted", "x")) as fn(&TestRepo),
        |spare| {
            spare.write("a/one", "changed\n");
            spare.git(&["add", "a/one"]);
        },
        |spare| drop(spare.git(&["checkout", "-q", "--detach", "HEAD~1"])),
        |spare| drop(spare.git(&["config", "core.autocrlf", "true"])),
    ] {
        let (env, _repo, place) = recycled();
        let spare = place.spares().remove(0);
        let inode = fs::metadata(spare.worktree.path()).unwrap().ino();
        touch(&env.at(spare.worktree.path()));
        let place = Place::at(place.repo.main_checkout().unwrap(), 2);
        let made = place.make("y");
        assert_ne!(fs::metadata(&made.path).unwrap().ino(), inode);
        assert_eq!(env.at(made.path.as_ref()).git(&["status", "--porcelain"]), "");
        place.tend();
        assert_eq!(place.ready(), inode);
    }
}

#[test]
fn a_spare_behind_the_base_is_brought_to_it() {
    let (env, repo, place) = recycled();
    let inode = place.ready();
    repo.write("a/two", "moved\n");
    fs::remove_file(repo.path().join("run")).unwrap();
    repo.commit_all("moved");
    let tree = env.at(place.make("y").path.as_ref());
    assert_eq!(fs::metadata(tree.path()).unwrap().ino(), inode);
    let cold = Place::at(repo.path(), 0);
    let fresh = env.at(cold.make("z").path.as_ref());
    equal(&[], &looks(&tree, "y"), &looks(&fresh, "z"));
    assert_eq!(tree.read("target/debug/out"), "x\n");
}

#[test]
fn a_spare_is_not_used_where_the_rules_for_files_changed_since() {
    for (file, text) in [(".gitignore", "nothing\n"), (".gitattributes", "*.txt eol=crlf\n")] {
        let (env, repo, place) = recycled();
        let inode = place.ready();
        repo.commit(file, text);
        let tree = env.at(place.make("y").path.as_ref());
        assert_ne!(fs::metadata(tree.path()).unwrap().ino(), inode, "{file}");
        // But tending brings it there.
        place.tend();
        assert_eq!(place.ready(), inode, "{file}");
        let tree = env.at(place.make("z").path.as_ref());
        let fresh = env.at(Place::at(repo.path(), 0).make("cold").path.as_ref());
        equal(&[], &looks(&tree, "z"), &looks(&fresh, "cold"));
    }
}

#[test]
fn what_stands_in_the_way_of_the_short_way_does_not_stop_anybody() {
    let (env, repo, place) = recycled();
    let inode = place.ready();
    // Tracked from now on, where the spare has its cache.
    repo.write("target/debug/out", "tracked\n");
    repo.git(&["add", "-f", "target/debug/out"]);
    repo.git(&["commit", "-qm", "track it"]);
    let tree = env.at(place.make("y").path.as_ref());
    assert_eq!(fs::metadata(tree.path()).unwrap().ino(), inode);
    assert_eq!(
        (tree.read("target/debug/out").as_str(), tree.git(&["status", "--porcelain"]).as_str()),
        ("tracked\n", "")
    );
    let fresh = env.at(Place::at(repo.path(), 0).make("z").path.as_ref());
    assert_eq!(looks(&tree, "y")["entry"], looks(&fresh, "z")["entry"]);
}

#[test]
fn what_cannot_be_made_as_new_goes_to_the_trash() {
    let unfit: [Deed; 4] = [
        ("settings of its own", |tree| {
            tree.git(&["config", "extensions.worktreeConfig", "true"]);
            tree.git(&["config", "--worktree", "user.name", "Somebody"]);
        }),
        ("a part of the files", |tree| drop(tree.git(&["sparse-checkout", "set", "a"]))),
        ("a bisect under way", |tree| drop(tree.git(&["bisect", "start"]))),
        ("submodules", |tree| {
            let git_dir = tree.git(&["rev-parse", "--absolute-git-dir"]);
            fs::create_dir(std::path::Path::new(&git_dir).join("modules")).unwrap();
        }),
    ];
    for (what, deed) in unfit {
        let (env, repo) = with_repo();
        let place = Place::at(repo.path(), 2);
        deed(&env.at(place.make("x").path.as_ref()));
        let folder = Place::at(repo.path(), 2).remove("x").folder.unwrap();
        assert_eq!(folder, env.root().join("repo-worktrees/.trash/x-1"), "{what}");
        assert_eq!(place.spares(), [], "{what}");
    }
}

#[test]
fn the_pool_has_bounds() {
    let (env, repo) = with_repo();
    let mut place = Place::at(repo.path(), 2);
    for name in ["a", "b", "c"] {
        place.make(name);
    }
    for name in ["a", "b", "c"] {
        place.remove(name);
    }
    assert_eq!(place.spares().len(), 2, "no more than the pool holds");
    place.tend();
    assert!(place.spares().iter().all(|spare| matches!(spare.condition, Condition::Ready(_))));
    // Somebody else's lock makes it theirs.
    let theirs = place.spares().remove(0);
    fs::write(theirs.worktree.checkout().git_dir().join("locked"), "mine now\n").unwrap();
    place.settings.workspace.pool_disk = 1;
    place.tend();
    assert_eq!(place.spares().len(), 1);
    assert_eq!(place.spares()[0].condition, Condition::Held("mine now".to_owned()));
    repo.git(&["worktree", "unlock", &theirs.worktree.path().display().to_string()]);
    place.settings.workspace.pool = 0;
    place.tend();
    assert_eq!(place.spares(), []);
    place.settings.workspace.pool = 2;
    place.make("d");
    place.settings.workspace.reserve = u64::MAX;
    place.remove("d");
    assert_eq!(place.spares(), [], "the disk must keep its reserve");
    assert!(env.root().join("repo-worktrees/.trash/d-1/README.md").exists());
}

#[test]
fn the_hook_runs_in_a_workspace_that_was_a_spare() {
    let (env, repo, place) = recycled();
    let inode = place.ready();
    repo.write(".git/hooks/post-checkout", "#!/bin/sh\npwd > hooked; echo \"$@\" >> hooked\n");
    fs::set_permissions(repo.path().join(".git/hooks/post-checkout"), std::fs::Permissions::from_mode(0o755))
        .unwrap();
    let tree = env.at(place.make("y").path.as_ref());
    assert_eq!(fs::metadata(tree.path()).unwrap().ino(), inode);
    let said = format!("{}\n{} {} 1\n", tree.path().display(), "0".repeat(40), tree.head());
    assert_eq!(tree.read("hooked"), said);
}

#[test]
fn files_that_are_equal_are_left_alone_whatever_their_size() {
    let (env, repo) = with_repo();
    repo.write("big", vec![b'x'; 9 << 20]);
    repo.write("large", vec![b'y'; 9 << 20]);
    repo.commit_all("large files");
    let place = Place::at(repo.path(), 2);
    let tree = env.at(place.make("x").path.as_ref());
    tree.write("big", vec![b'z'; 9 << 20]);
    let inode = |tree: &TestRepo, path: &str| fs::metadata(tree.path().join(path)).unwrap().ino();
    let before = ["README.md", "large"].map(|path| inode(&tree, path));
    let times = |tree: &TestRepo| fs::metadata(tree.path().join("README.md")).unwrap().modified().unwrap();
    let written = times(&tree);
    place.remove("x");
    place.tend();
    let tree = env.at(place.make("y").path.as_ref());
    assert_eq!((["README.md", "large"].map(|path| inode(&tree, path)), times(&tree)), (before, written));
    assert_eq!(fs::read(tree.path().join("big")).unwrap(), vec![b'x'; 9 << 20]);
}

fn at_work_in(folder: &Path) -> Child {
    let mut command = Command::new("cat");
    command.current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::null());
    command.spawn().unwrap()
}

#[test]
fn a_folder_that_somebody_works_in_is_nobody_elses_workspace() {
    let (env, repo) = with_repo();
    let place = Place::at(repo.path(), 2);
    let tree = env.at(place.make("x").path.as_ref());
    let mut shell = at_work_in(&tree.path().join("a/b"));
    let removed = place.remove("x");
    assert_eq!(removed.folder, Some(env.root().join("repo-worktrees/.trash/x-1")));
    assert_eq!(place.spares(), []);
    drop(shell.stdin.take());
    shell.wait().unwrap();
    // Nor is one that is written to from elsewhere: by a log that is open, say.
    let tree = env.at(place.make("y").path.as_ref());
    fs::create_dir(tree.path().join("target")).unwrap();
    let mut log = Command::new("cat");
    log.stdin(Stdio::piped()).stdout(std::fs::File::create(tree.path().join("target/log")).unwrap());
    let mut log = log.spawn().unwrap();
    place.remove("y");
    assert_eq!(place.spares().len(), 1);
    place.tend();
    assert_eq!(place.spares(), []);
    assert!(env.root().join("repo-worktrees/.trash/y-1").exists());
    drop(log.stdin.take());
    log.wait().unwrap();
    sound(&repo, &place);
}
