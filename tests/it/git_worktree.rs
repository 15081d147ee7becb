//! `git::worktree`, `git::refs::holders` and `git::status`: what is made, listed, removed and seen.

use std::os::unix::fs as unix;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::thread;

use fs_err as fs;
use jiff::{SignedDuration, Timestamp};
use wt::git::shared::Tips;
use wt::git::status::{self, DiffStat, Distance, InProgress};
use wt::git::worktree;
use wt::git::{Checkout, GitError, LinkedWorktree, Repo, WorktreeTrouble, refs};
use wt::model::Oid;

use crate::env::{Env, TestRepo};
use crate::git_repo::oid;

fn setup() -> (Env, TestRepo, Repo, Oid) {
    let (env, repo) = Env::with_repo();
    let found = Repo::discover(repo.path()).unwrap();
    let base = oid(&repo.head());
    (env, repo, found, base)
}

fn hook(repo: &TestRepo, folder: &str, text: &str) {
    repo.write(&format!("{folder}/post-checkout"), format!("#!/bin/sh\n{text}\n"));
    let path = repo.path().join(folder).join("post-checkout");
    fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn one_worktree_is_found_as_the_list_has_it() {
    let (env, repo, found, base) = setup();
    let tree = |name: &str| env.root().join(name);
    for name in ["trees/a", "trees/b", "trees/gone"] {
        worktree::add(&found, &tree(name), &format!("wt/{}", &name[6..]), &base).unwrap();
    }
    let word = |path: &Path| path.to_string_lossy().into_owned();
    // Its entry has another name than its folder, and another worktree has a folder of that name.
    repo.git(&["worktree", "move", &word(&tree("trees/a")), &word(&tree("trees/c"))]);
    worktree::add_detached(&found, &tree("other/a"), &base).unwrap();
    repo.git(&["worktree", "lock", "--reason", "mine", &word(&tree("trees/b"))]);
    fs::remove_dir_all(tree("trees/gone")).unwrap();
    fs::write(repo.path().join(".git/worktrees/b/gitdir"), "../../../../trees/b/.git\n").unwrap();
    let mut places = worktree::Places::of(&found).unwrap();
    let all = worktree::list(&found).unwrap();
    assert_eq!((all.len(), places.count(), worktree::count(&found)), (5, 4, 4));
    for entry in all {
        assert_eq!(worktree::at(&found, &entry.path).unwrap().as_ref(), Some(&entry));
        if let Some(name) = &entry.entry {
            assert_eq!(worktree::named_entry(&found, name).unwrap().as_ref(), Some(&entry));
        }
    }
    for nothing in ["trees/a", "trees/x", "other/c"] {
        assert_eq!(worktree::at(&found, &tree(nothing)).unwrap(), None, "{nothing}");
        assert!(!places.name(&tree(nothing)), "{nothing}");
    }
    assert!(places.name(&tree("trees/gone")), "git has it still");
    repo.git(&["worktree", "prune"]);
    worktree::add_detached(&found, &tree("trees/x"), &base).unwrap();
    places.read(&found).unwrap();
    assert!(!places.name(&tree("trees/gone")) && places.name(&tree("trees/x")), "read again");
}

#[test]
fn what_was_not_moved_is_known_without_reading_it() {
    let (env, repo, found, base) = setup();
    let made = worktree::add(&found, &env.root().join("a"), "wt/a", &base).unwrap();
    let next = oid(&repo.commit("next", "x"));
    let now = Timestamp::now();
    let ask = |later: i64| Tips::of(&found, now + SignedDuration::from_secs(later));
    let later = ask(60);
    let (tip, at) = later.marked_tip("wt/a").unwrap();
    let (head, on) = later.marked_head(made.checkout().git_dir());
    assert_eq!((tip.as_ref(), head.as_deref()), (Some(&base), Some("refs/heads/wt/a")));
    assert!(later.is_there("wt/a", &at) && later.is_on(made.checkout().git_dir(), &on));
    let (tip, just) = ask(-60).marked_tip("wt/a").unwrap();
    assert!(tip == Some(base) && !later.is_there("wt/a", &just), "it could be written again unseen");
    repo.git(&["update-ref", "refs/heads/wt/a", next.as_str()]);
    repo.git(&["-C", &made.path().to_string_lossy(), "checkout", "-q", "--detach"]);
    assert!(!later.is_there("wt/a", &at) && !later.is_on(made.checkout().git_dir(), &on));
    let (_, at) = later.marked_tip("wt/a").unwrap();
    repo.git(&["pack-refs", "--all"]);
    assert!(!later.is_there("wt/a", &at), "it has no file any more");
    let (tip, packed) = later.marked_tip("wt/a").unwrap();
    assert!(tip == Some(next) && !later.is_there("wt/a", &packed));
    assert_eq!(later.marked_tip("../../HEAD").unwrap().0, None);
}

#[test]
fn a_worktree_is_made_listed_and_taken_from_the_books() {
    let (env, repo, found, base) = setup();
    hook(&repo, ".git/hooks", "pwd > hooked");
    let path = env.root().join("trees/task");
    let made = worktree::add(&found, &path, "wt/task", &base).unwrap();
    assert_eq!((made.entry(), made.path()), ("task", path.as_path()));
    assert!(!path.join("hooked").exists(), "hooks are for whoever asked");
    assert_eq!(repo.try_git(&["config", "branch.wt/task.merge"]).status.code(), Some(1), "follows nothing");
    assert_eq!(made.checkout().head().unwrap(), Some(base.clone()));

    let quiet = worktree::add_detached(&found, &env.root().join("other/task"), &base).unwrap();
    assert_eq!(quiet.entry(), "task1");

    let all = worktree::list(&found).unwrap();
    let paths: Vec<_> = all.iter().map(|e| (e.path.clone(), e.branch.clone(), e.is_main())).collect();
    assert_eq!(
        paths,
        [
            (repo.path().to_owned(), Some("main".to_owned()), true),
            (path.clone(), Some("wt/task".to_owned()), false),
            (env.root().join("other/task"), None, false),
        ]
    );
    assert!(all.iter().all(|e| e.head.as_ref() == Some(&base) && !e.missing && e.locked.is_none()));

    let early = worktree::remove_entry(&made);
    assert!(matches!(early, Err(GitError::Worktree { reason: WorktreeTrouble::InPlace, .. })), "{early:?}");
    fs::rename(&path, env.root().join("moved")).unwrap();
    assert!(worktree::list(&found).unwrap()[1].missing);
    repo.git(&["worktree", "lock", "--reason", "usb stick", &path.to_string_lossy()]);
    let locked = worktree::remove_entry(&made);
    assert!(
        matches!(&locked, Err(GitError::Worktree { reason: WorktreeTrouble::Locked(why), .. }) if why == "usb stick")
    );
    repo.git(&["worktree", "unlock", &path.to_string_lossy()]);
    worktree::remove_entry(&made).unwrap();
    assert_eq!(worktree::list(&found).unwrap().len(), 2);
    assert!(found.branch_tip("wt/task").unwrap().is_some());

    let again = worktree::add_existing(&found, &path, "wt/task").unwrap();
    assert_eq!(again.checkout().head().unwrap(), Some(base));
    repo.git(&["fsck", "--strict"]);
}

#[test]
fn a_failed_add_leaves_nothing() {
    let (env, repo, found, base) = setup();
    let path = env.root().join("task");
    repo.git(&["branch", "wt/task"]);
    let taken = worktree::add(&found, &path, "wt/task", &base);
    assert!(matches!(taken, Err(GitError::BranchExists { .. })));
    assert!(found.branch_tip("wt/task").unwrap().is_some(), "not ours to delete");

    // The folder is taken: the branch that `add -b` made first goes again.
    fs::create_dir(&path).unwrap();
    fs::write(path.join("theirs"), "x").unwrap();
    let failed = worktree::add(&found, &path, "wt/new", &base);
    assert!(matches!(failed, Err(GitError::Failed { .. })), "{failed:?}");
    assert_eq!(found.branch_tip("wt/new").unwrap(), None);
    assert_eq!(fs::read_to_string(path.join("theirs")).unwrap(), "x");

    // Half-way: the files cannot be written (a filter that fails and is required).
    repo.git(&["config", "filter.bad.smudge", "false"]);
    repo.git(&["config", "filter.bad.clean", "cat"]);
    repo.git(&["config", "filter.bad.required", "true"]);
    repo.write(".gitattributes", "*.x filter=bad\n");
    repo.write("f.x", "x");
    repo.git(&["add", "-A"]);
    repo.git(&["commit", "-q", "-m", "bad"]);
    let broken = env.root().join("broken");
    let head = oid(&repo.head());
    let failed = worktree::add(&found, &broken, "wt/broken", &head);
    assert!(matches!(failed, Err(GitError::Failed { .. })), "{failed:?}");
    assert!(!broken.exists() && found.branch_tip("wt/broken").unwrap().is_none());
    assert_eq!(worktree::list(&found).unwrap().len(), 1);
}

#[test]
fn many_at_once_all_come_into_being() {
    let (env, _repo, found, base) = setup();
    thread::scope(|scope| {
        for n in 0..8 {
            let (found, base, root) = (&found, &base, env.root());
            scope.spawn(move || {
                let path = root.join(format!("trees/t{n}"));
                worktree::add(found, &path, &format!("wt/t{n}"), base).unwrap();
            });
        }
    });
    let all = worktree::list(&found).unwrap();
    assert_eq!(all.iter().filter(|e| e.head.as_ref() == Some(&base) && !e.missing).count(), 9);
}

#[test]
fn the_main_checkout_is_never_a_linked_worktree() {
    let (env, repo, found, base) = setup();
    let made = worktree::add(&found, &env.root().join("t"), "wt/t", &base).unwrap();
    unix::symlink(repo.path(), env.root().join("alias")).unwrap();
    let main = |path: &Path| {
        let opened = LinkedWorktree::open(&found, made.entry(), path);
        matches!(opened, Err(GitError::Worktree { reason: WorktreeTrouble::Main, .. }))
    };
    assert!(main(repo.path()) && main(env.root()) && main(&env.root().join("alias")));
    assert!(main(&repo.path().join(".git")));
    for entry in ["", ".", "..", "../..", "t/..", "none", "/"] {
        let opened = LinkedWorktree::open(&found, entry, made.path());
        assert!(
            matches!(&opened, Err(GitError::Worktree { reason: WorktreeTrouble::NoEntry(_), .. })),
            "{entry:?} gave {opened:?}"
        );
    }
}

#[test]
fn a_rewritten_git_file_redirects_nothing() {
    let (env, _repo, found, base) = setup();
    let made = worktree::add(&found, &env.root().join("t"), "wt/t", &base).unwrap();
    let evil = env.repo("evil");
    let witness = env.root().join("witness");
    evil.git(&["config", "core.fsmonitor", &format!("touch {}; true", witness.display())]);
    fs::write(made.path().join(".git"), format!("gitdir: {}/.git\n", evil.path().display())).unwrap();
    fs::write(made.path().join("new"), "x").unwrap();
    let status = status::status(made.checkout()).unwrap();
    assert_eq!(status.untracked, ["new"]);
    assert_eq!(made.checkout().head().unwrap(), Some(base));
    // git would take the refs of the folder that this file names.
    fs::write(made.checkout().git_dir().join("commondir"), format!("{}/.git\n", evil.path().display()))
        .unwrap();
    let redirected = status::status(made.checkout());
    assert!(
        matches!(redirected, Err(GitError::Worktree { reason: WorktreeTrouble::Redirected, .. })),
        "{redirected:?}"
    );
    assert!(!witness.exists(), "a command of the agent ran");
}

#[test]
fn excluded_lines_are_added_once_and_the_rest_stays() {
    let (_env, repo, found, _base) = setup();
    let path = repo.path().join(".git/info/exclude");
    fs::write(&path, b"# mine\n*.log\xff").unwrap();
    worktree::exclude(&found, &["CLAUDE.local.md", ".shared"]).unwrap();
    worktree::exclude(&found, &[".shared"]).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"# mine\n*.log\xff\nCLAUDE.local.md\n.shared\n");
    fs::remove_dir_all(repo.path().join(".git/info")).unwrap();
    worktree::exclude(&found, &[".shared"]).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b".shared\n");
}

#[test]
fn holders_know_of_rebases_and_bisects() {
    let (env, repo, found, base) = setup();
    let made = worktree::add(&found, &env.root().join("t"), "wt/t", &base).unwrap();
    let tree = env.at(made.path());
    let holders = |branch: &str| {
        refs::holders(&found, branch).unwrap().into_iter().map(|e| e.entry).collect::<Vec<_>>()
    };
    assert_eq!(holders("main"), [None]);
    assert_eq!(holders("wt/t"), [Some("t".to_owned())]);
    tree.commit("f", "mine\n");
    repo.commit("f", "theirs\n");
    assert!(!tree.try_git(&["rebase", "main"]).status.success());
    assert_eq!(holders("wt/t"), [Some("t".to_owned())]);
    assert_eq!(status::in_progress(made.checkout()), Some(InProgress::Rebase));
    assert_eq!(status::status(made.checkout()).unwrap().unmerged, ["f"]);
    tree.git(&["rebase", "--abort"]);
    tree.git(&["bisect", "start"]);
    tree.git(&["checkout", "-q", "--detach"]);
    assert_eq!(holders("wt/t"), [Some("t".to_owned())]);
    assert_eq!(holders("wt/none"), []);
}

#[test]
fn status_sees_every_kind_of_change_and_writes_nothing() {
    let (env, repo, found, _base) = setup();
    for file in ["staged", "both", "edited", "deleted", "renamed from", "ex ec"] {
        repo.write(file, format!("{file}\n"));
    }
    let base = oid(&repo.commit_all("files"));
    let made = worktree::add(&found, &env.root().join("t"), "wt/t", &base).unwrap();
    let clean = status::status(made.checkout()).unwrap();
    assert!(!clean.dirty() && clean.in_progress.is_none());

    let tree = env.at(made.path());
    tree.write("staged", "1\n");
    tree.write("both", "1\n");
    tree.git(&["add", "staged", "both"]);
    tree.git(&["mv", "renamed from", "renamed to"]);
    tree.write("both", "2\n");
    tree.write("edited", "1\n");
    fs::remove_file(made.path().join("deleted")).unwrap();
    fs::set_permissions(made.path().join("ex ec"), std::fs::Permissions::from_mode(0o755)).unwrap();
    tree.write("new/a", "");
    tree.write("new/b", "");
    tree.write("line\nbreak", "");
    let index = fs::read(made.checkout().git_dir().join("index")).unwrap();
    let seen = status::status(made.checkout()).unwrap();
    assert_eq!(seen.staged, ["both", "renamed from", "renamed to", "staged"]);
    assert_eq!(seen.unstaged, ["both", "deleted", "edited", "ex ec"]);
    assert_eq!(seen.untracked, ["line\nbreak", "new/"]);
    assert!(seen.dirty());
    assert_eq!(fs::read(made.checkout().git_dir().join("index")).unwrap(), index);
    assert!(!status::status(&found.main_worktree().unwrap()).unwrap().dirty());
}

#[test]
fn distances_and_sizes_come_in_one_call_each() {
    let (_env, repo, found, base) = setup();
    repo.git(&["checkout", "-q", "-b", "wt/a"]);
    repo.commit("a", "1\n2\n3\n");
    let a = oid(&repo.commit("README.md", "other\n"));
    repo.git(&["checkout", "-q", "main"]);
    let main = oid(&repo.commit("m", "m\n"));
    repo.git(&["branch", "wt/b"]);
    let far = status::ahead_behind(&found, "main", &["wt/b", "wt/none", "wt/a"]).unwrap();
    let distance = |ahead, behind| Some(Distance { ahead, behind });
    assert_eq!(far, [distance(0, 0), None, distance(2, 1)]);
    let pairs = [(base.clone(), a.clone()), (main.clone(), main.clone()), (base.clone(), main)];
    let stat = |files, insertions, deletions| DiffStat { files, insertions, deletions };
    assert_eq!(status::diffstats(&found, &pairs).unwrap(), [stat(2, 4, 1), stat(0, 0, 0), stat(1, 1, 0)]);
    assert_eq!(status::changed_paths(&found, &base, &a).unwrap(), ["README.md", "a"]);
    let nothing: [&str; 0] = [];
    let paths = status::paths_of_changes(&found, &pairs).unwrap();
    assert_eq!(paths, [&["README.md", "a"][..], &nothing, &["m"]]);
    assert_eq!(status::paths_of_changes(&found, &[pairs[1].clone()]).unwrap(), [nothing]);
}

#[test]
fn bare_repositories_have_worktrees_too() {
    let (env, repo, _, commit) = setup();
    let bare = env.root().join("bare.git");
    env.git_in(
        env.root(),
        &["clone", "-q", "--bare", &repo.path().to_string_lossy(), &bare.to_string_lossy()],
    );
    let found = Repo::discover(&bare).unwrap();
    let made = worktree::add(&found, &found.worktrees_root().join("t"), "wt/t", &commit).unwrap();
    fs::write(made.path().join("x"), "x").unwrap();
    assert_eq!(status::status(made.checkout()).unwrap().untracked, ["x"]);
    let main = worktree::add_existing(&found, &env.root().join("main"), "main").unwrap();
    let checkout: &Checkout = main.checkout();
    assert!(!status::status(checkout).unwrap().dirty());
    assert_eq!(worktree::list(&found).unwrap().len(), 2);
    assert!(found.main_worktree().is_none());
}
