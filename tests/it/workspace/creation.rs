//! Making workspaces: refusals, an undo for every step, what a kill left behind.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use fs_err as fs;
use fs_err::os::unix::fs::symlink;
use wt::git::GitError;
use wt::model::clock::SystemClock;
use wt::model::{Event, TaskId, TaskSpec};
use wt::store::Journal;
use wt::workspace::create;
use wt::workspace::hook::Hooks;
use wt::workspace::step::StepError;
use wt::workspace::{Begun, PlanError, Site, Step, apply_creation, plan_creation};

use crate::env::{Env, TestRepo};

use super::{Place, killed_at, oid, with_repo};

#[test]
fn a_workspace_has_everything_and_both_checkouts_are_clean() {
    let (env, repo, place) = with_repo();
    repo.commit(".gitignore", ".env*\n");
    repo.write(".env", "SECRET=1\n");
    repo.write("packages/a/.env.local", "A=1\n");
    let main_env = repo.path().join(".env");
    fs::set_permissions(&main_env, std::fs::Permissions::from_mode(0o640)).expect("a mode");
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    fs::OpenOptions::new().write(true).open(&main_env).expect("the file").set_modified(old).expect("a time");

    let made = place.try_make("auth").expect("a workspace");
    let workspace = made.workspace;
    let root = env.root().join("repo-worktrees");
    assert_eq!(workspace.path, root.join("auth").display().to_string());
    assert_eq!((workspace.branch.as_str(), &workspace.base), ("wt/auth", &oid(&repo.head())));
    assert_eq!(workspace.copied, [".env", "packages/a/.env.local"]);
    assert_eq!((made.hook, made.left_out), (None, Vec::new()));
    let tree = env.at(Path::new(&workspace.path));
    assert_eq!(tree.read(".env"), "SECRET=1\n");
    let copy = fs::metadata(tree.path().join(".env")).expect("the copy");
    assert_eq!((copy.permissions().mode() & 0o777, copy.modified().expect("a time")), (0o640, old));
    assert_eq!(tree.read("CLAUDE.local.md"), "instructions\n");
    assert_eq!(fs::read_link(tree.path().join(".shared")).expect("a link"), root.join(".shared"));
    assert_eq!(fs::read_link(repo.path().join(".shared")).expect("a link"), root.join(".shared"));
    assert!(root.join(".shared/notes").is_dir() && root.join(".shared/progress").is_dir());
    assert_eq!(tree.git(&["status", "--porcelain"]), "");
    assert_eq!(repo.git(&["status", "--porcelain"]), "");
    assert_eq!(tree.git(&["symbolic-ref", "HEAD"]), "refs/heads/wt/auth");
    assert_eq!(repo.rev("refs/wt/base/auth"), workspace.base.as_str());
    let kept = place.layout.task(&place.task("auth").0).instructions();
    assert_eq!(fs::read_to_string(kept).expect("a copy"), "instructions\n");
    place.make("pay");
}

#[test]
fn whatever_is_in_the_way_is_refused_before_anything_is_made() {
    let (env, repo, place) = with_repo();
    repo.git(&["branch", "wt/taken"]);
    fs::create_dir_all(env.root().join("repo-worktrees/there")).expect("a folder");
    let gone = env.root().join("repo-worktrees/gone");
    repo.git(&["worktree", "add", "-q", "--detach", &gone.display().to_string()]);
    fs::remove_dir_all(&gone).expect("removed");
    let before = place.traces();
    assert!(matches!(place.plan("taken"), Err(PlanError::BranchExists { branch }) if branch == "wt/taken"));
    assert!(matches!(place.plan("there"), Err(PlanError::FolderExists { .. })));
    assert!(matches!(place.plan("gone"), Err(PlanError::Registered { .. })));
    let (id, mut spec) = place.task("x");
    spec.target = "trunk".to_owned();
    assert!(matches!(plan_creation(&place.site(), &id, &spec), Err(PlanError::NoTarget { .. })));
    spec.base = Some("v9".to_owned());
    let error = plan_creation(&place.site(), &id, &spec);
    assert!(matches!(error, Err(PlanError::Git(GitError::NoSuchRevision { .. }))));
    assert_eq!(place.traces(), before);

    repo.git(&["branch", "-D", "wt/taken"]);
    repo.git(&["branch", "wt"]);
    assert!(matches!(place.plan("y"), Err(PlanError::BranchInTheWay { blocking, .. }) if blocking == "wt"));
    repo.git(&["branch", "-D", "wt"]);
    repo.commit("CLAUDE.local.md", "tracked\n");
    assert!(matches!(place.plan("y"), Err(PlanError::Tracked { name: "CLAUDE.local.md" })));
    repo.git(&["rm", "-q", "CLAUDE.local.md"]);
    symlink(env.root(), repo.path().join(".shared")).expect("a link");
    repo.git(&["add", "-f", ".shared"]);
    repo.git(&["commit", "-q", "-m", "evil"]);
    assert!(matches!(place.plan("y"), Err(PlanError::Tracked { name: ".shared" })));
}

/// Makes one step fail, and checks that it was this step and that nothing is left of what came before.
fn fails_at(step: Step, undone: &[Step], spoil: impl FnOnce(&Env, &TestRepo, &Place)) {
    let (env, repo, place) = with_repo();
    // The folder of worktrees stays once it was made; here it is there from the start.
    place.make("first");
    let plan = place.plan("x").expect("a plan");
    spoil(&env, &repo, &place);
    let before = place.traces();
    let failed = apply_creation(&place.site(), place.git_lock(), &plan, &Hooks::Common, "text\n");
    let failed = failed.expect_err("it must fail");
    assert_eq!((failed.step, failed.undone.as_slice()), (step, undone), "{failed}: {}", failed.source);
    assert_eq!(failed.left, Vec::<String>::new());
    assert_eq!(place.traces(), before, "{step}");
}

#[test]
fn a_failing_step_undoes_the_steps_before_it() {
    use Step::{BaseRef, Environment, Instructions, Record, Shared, Worktree};
    fails_at(Record, &[Record], |_, _, place| {
        fs::remove_dir_all(place.layout.task(&place.task("x").0).root()).expect("removed");
    });
    fails_at(Shared, &[Record], |env, _, _| {
        let shared = env.root().join("repo-worktrees/.shared");
        fs::remove_dir_all(&shared).expect("removed");
        symlink(env.root(), shared).expect("a link");
    });
    fails_at(Worktree, &[Record], |_, repo, _| {
        repo.git(&["branch", "wt/x"]);
    });
    fails_at(BaseRef, &[Worktree, Record], |_, repo, _| {
        repo.git(&["update-ref", "-d", "refs/wt/base/first"]);
        repo.git(&["update-ref", "refs/wt/base/x/y", "HEAD"]);
    });
    fails_at(Instructions, &[BaseRef, Worktree, Record], |_, repo, _| {
        let hook = "#!/bin/sh\nln -s /elsewhere .shared\n";
        repo.write(".git/hooks/post-checkout", hook);
        let hook = repo.path().join(".git/hooks/post-checkout");
        fs::set_permissions(hook, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    });
    fails_at(Environment, &[Instructions, BaseRef, Worktree, Record], |_, repo, _| {
        repo.write(".git/index", "garbage");
    });
}

#[test]
fn a_failed_creation_can_be_tried_again() {
    let (env, _, place) = with_repo();
    let blocked = env.root().join("repo-worktrees");
    fs::write(&blocked, "a file").expect("written");
    let error = place.try_make("x").expect_err("no folder can be made");
    assert_eq!(error.step, Step::Shared);
    assert!(matches!(*error.source, StepError::Shared(_)));
    assert_eq!(error.to_string(), "preparing the folder of worktrees failed, 1 step undone");
    fs::remove_file(blocked).expect("removed");
    place.make("x");
}

#[test]
fn a_queued_task_gets_its_workspace_its_briefing_and_its_line_in_the_journal() {
    let (env, repo, mut place) = with_repo();
    repo.commit(".gitignore", "/CLAUDE.local.md\n");
    repo.write("CLAUDE.local.md", "The user likes tabs.\n");
    let step = wt::model::settings::VerifyStep {
        name: "test".to_owned(),
        run: "make test".to_owned(),
        timeout: Duration::from_secs(1),
        retries: 0,
    };
    place.settings.verify.push(step);
    let mut journal = Journal::new(&place.layout);
    let now = jiff::Timestamp::UNIX_EPOCH;
    for (name, prompt) in [("x", "Write {{ it }}\n"), ("other", "Paint the shed\nin red\n")] {
        let (id, mut spec) = place.task(name);
        spec.owns = vec![format!("{name}/**")];
        fs::write(place.layout.task(&id).prompt(), prompt).expect("written");
        let queued = vec![(Some(id), Event::Queued { spec })];
        journal.append(now, queued).expect("queued");
    }
    let (id, spec) = place.task("x");
    create::check(&place.repo, &place.settings, &spec).expect("there is room");
    let task = journal.read().expect("a roster").get(&id).expect("the task").clone();
    // It takes the git lock itself.
    let Place { repo: found, layout, settings, lock } = place;
    drop(lock);
    let site = Site {
        repo: &found,
        layout: &layout,
        settings: &settings,
        clock: &SystemClock,
        template: None,
        iteration: None,
    };
    let workspace = create::create(&site, &mut journal, &task).expect("a workspace");
    let told = journal.read().expect("a roster").get(&id).expect("the task").workspace.clone();
    assert_eq!(told.as_ref(), Some(&workspace));
    let text = env.at(Path::new(&workspace.path)).read("CLAUDE.local.md");
    for part in [
        "Write {{ it }}",
        "- `x/**`",
        "- `other` (open), owns `other/**`: Paint the shed",
        "- test: `make test`",
        "The user likes tabs.",
    ] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    assert!(matches!(
        create::check(&found, &settings, &spec),
        Err(create::CreateError::Plan(PlanError::BranchExists { .. }))
    ));
    // Later attempts are told how things stand then.
    let other = Event::Removed { reason: "done elsewhere".to_owned(), trash: None };
    let other = vec![(Some(TaskId { name: "other".parse().expect("a name"), generation: 1 }), other)];
    journal.append(now, other).expect("removed");
    create::refresh(&site, &mut journal, &task, &workspace).expect("refreshed");
    let text = env.at(Path::new(&workspace.path)).read("CLAUDE.local.md");
    assert!(!text.contains("Paint the shed"), "{text}");
    // A template of the repository that is broken stops everything before it begins.
    let broken = Site { template: Some(b"{{ nothing }}"), ..site };
    let (id, spec) = (
        TaskId { name: "y".parse().expect("a name"), generation: 1 },
        TaskSpec { name: "y".parse().expect("a name"), ..spec },
    );
    layout.task(&id).create().expect("its folder");
    fs::write(layout.task(&id).prompt(), "").expect("written");
    journal.append(now, vec![(Some(id.clone()), Event::Queued { spec })]).expect("queued");
    let task = journal.read().expect("a roster").get(&id).expect("the task").clone();
    let refused = create::create(&broken, &mut journal, &task);
    assert!(matches!(refused, Err(create::CreateError::Instructions(_))), "{refused:?}");
    assert!(!env.root().join("repo-worktrees/y").exists());
}

#[test]
fn a_hook_that_fails_is_told_and_the_workspace_is_made() {
    let (env, repo, place) = with_repo();
    repo.write(".git/hooks/post-checkout", "#!/bin/sh\ntouch ran\nexit 3\n");
    let hook = repo.path().join(".git/hooks/post-checkout");
    fs::set_permissions(hook, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    let made = place.try_make("x").expect("a workspace");
    let how = "exited with code 3".to_owned();
    assert_eq!(made.hook, Some(wt::workspace::hook::Ended::Failed { how }));
    assert!(env.root().join("repo-worktrees/x/ran").exists());
}

#[test]
fn a_bare_repository_works_too() {
    let (env, repo) = Env::with_repo();
    let bare = env.root().join("bare.git");
    env.git_in(
        env.root(),
        &["clone", "-q", "--bare", &repo.path().display().to_string(), &bare.display().to_string()],
    );
    let place = Place::at(&bare);
    let workspace = place.make("x");
    assert_eq!(workspace.path, env.root().join("bare-worktrees/x").display().to_string());
    assert_eq!(env.at(Path::new(&workspace.path)).git(&["status", "--porcelain"]), "");
    let removed = place.remove("x", &workspace).expect("removed");
    assert!(removed.trash.is_some());
}

#[test]
fn a_creation_that_was_killed_is_continued() {
    for (point, branch_only) in
        [("spawn.after_worktree", false), ("spawn.after_worktree", true), ("spawn.before_journal", false)]
    {
        let (env, repo) = Env::with_repo();
        repo.commit(".gitignore", ".env\n");
        repo.write(".env", "A=1\n");
        let base = repo.head();
        killed_at(point, "make", &repo);
        // The target moves on: what was begun keeps its base.
        repo.commit("later", "later\n");
        let path = env.root().join("repo-worktrees/x");
        if branch_only {
            fs::remove_dir_all(&path).expect("removed");
            fs::remove_dir_all(repo.path().join(".git/worktrees/x")).expect("removed");
        }
        let place = Place::at(repo.path());
        let plan = place.plan("x").expect("a plan");
        let expected = if branch_only { Begun::Branch } else { Begun::Worktree { entry: "x".to_owned() } };
        assert_eq!((plan.begun.clone(), plan.base.as_str()), (expected, base.as_str()), "{point}");
        let workspace = place.make("x");
        assert_eq!(
            (workspace.base.as_str(), workspace.copied.as_slice()),
            (base.as_str(), &[".env".to_owned()][..])
        );
        let tree = env.at(&path);
        assert_eq!(tree.git(&["status", "--porcelain"]), "");
        assert_eq!(tree.read("CLAUDE.local.md"), "instructions\n");
        assert_eq!(repo.rev("refs/wt/base/x"), base);
    }
}

#[test]
fn a_checkout_that_was_cut_short_goes_to_the_trash_and_is_made_again() {
    let (env, repo) = Env::with_repo();
    killed_at("spawn.after_worktree", "make", &repo);
    let path = env.root().join("repo-worktrees/x");
    fs::remove_file(path.join("README.md")).expect("removed");
    fs::write(path.join("half"), "mine").expect("written");
    let lock = repo.path().join(".git/worktrees/x/locked");
    fs::write(&lock, "initializing\n").expect("written");
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    fs::OpenOptions::new().write(true).open(&lock).expect("the lock").set_modified(long_ago).expect("a time");

    let place = Place::at(repo.path());
    assert_eq!(place.plan("x").expect("a plan").begun, Begun::Debris { entry: "x".to_owned() });
    place.make("x");
    let tree = env.at(&path);
    assert_eq!(
        (tree.read("README.md").as_str(), tree.git(&["status", "--porcelain"]).as_str()),
        ("readme\n", "")
    );
    assert_eq!(env.at(&env.root().join("repo-worktrees/.trash/x-half")).read("half"), "mine");
}

/// A git may outlive the `wt` that had started it.
#[test]
fn a_git_that_still_fills_a_worktree_is_waited_for() {
    let (_env, repo) = Env::with_repo();
    killed_at("spawn.while_filling", "make", &repo);
    let entry = repo.path().join(".git/worktrees/x");
    assert_eq!(
        Place::at(repo.path()).plan("x").expect("a plan").begun,
        Begun::Debris { entry: "x".to_owned() }
    );
    fs::write(entry.join("index.lock"), "").expect("git begins");
    std::thread::scope(|scope| {
        let planned = scope.spawn(|| Place::at(repo.path()).plan("x").expect("a plan").begun);
        fs::remove_file(entry.join("locked")).expect("it is whole");
        assert_eq!(planned.join().expect("planned"), Begun::Worktree { entry: "x".to_owned() });
    });
}

#[test]
fn what_is_not_recorded_for_this_very_task_is_never_adopted() {
    let (_env, repo) = Env::with_repo();
    killed_at("spawn.after_worktree", "make", &repo);
    let place = Place::at(repo.path());
    // The next generation of the name has no record.
    let id = TaskId { name: "x".parse().expect("a name"), generation: 2 };
    place.layout.task(&id).create().expect("its folder");
    let refused = plan_creation(&place.site(), &id, &place.task("x").1);
    assert!(matches!(refused, Err(PlanError::BranchExists { .. })), "{refused:?}");
    // A branch of the name with another history is not what was begun.
    repo.git(&["checkout", "-q", "--orphan", "other"]);
    repo.commit("other", "other\n");
    repo.git(&["worktree", "remove", "--force", "../repo-worktrees/x"]);
    repo.git(&["branch", "-f", "wt/x", "other"]);
    assert!(matches!(place.plan("x"), Err(PlanError::BranchExists { .. })));
    // A record that was cut short counts for nothing.
    repo.git(&["branch", "-D", "wt/x"]);
    fs::write(place.layout.task(&place.task("x").0).making(), "{\"path").expect("written");
    assert_eq!(place.plan("x").expect("a plan").begun, Begun::Nothing);
}
