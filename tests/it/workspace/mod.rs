//! Making, removing and restoring workspaces in real repositories, killed at every crash point.

mod creation;
mod furnishing;
mod removal;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use fs_err as fs;
use wt::git::Repo;
use wt::git::worktree;
use wt::model::clock::SystemClock;
use wt::model::{Oid, Settings, TaskId, TaskSpec, Workspace};
use wt::store::{Layout, Lock};
use wt::workspace::hook::Hooks;
use wt::workspace::{
    ApplyError, GitLock, Made, PlanError, RemoveError, Removed, RestoreError, Site, apply_creation,
    apply_removal, apply_restoration, plan_creation, plan_removal, plan_restoration,
};

use crate::env::{Env, TestRepo};

/// A repository with its state folder and a lock that stands for the git lock.
struct Place {
    repo: Repo,
    layout: Layout,
    settings: Settings,
    lock: Lock,
}

impl Place {
    fn at(path: &Path) -> Self {
        let repo = Repo::discover(path).expect("a repository");
        let layout = Layout::below(repo.common_dir());
        layout.prepare().expect("a state folder");
        let lock = Lock::take(&layout.lock("test"), Duration::from_secs(10), "a test").expect("the lock");
        let mut settings = Settings::default();
        settings.workspace.pool = 0;
        Self { repo, layout, settings, lock }
    }

    fn site(&self) -> Site<'_> {
        Site {
            repo: &self.repo,
            layout: &self.layout,
            settings: &self.settings,
            clock: &SystemClock,
            template: None,
            iteration: None,
        }
    }

    fn lock(&self) -> GitLock<'_> {
        GitLock::held(&self.lock)
    }

    /// The git lock itself, to be given away.
    fn git_lock(&self) -> Lock {
        Lock::take(&self.layout.lock("git"), Duration::from_secs(10), "a test").expect("the lock")
    }

    fn task(&self, name: &str) -> (TaskId, TaskSpec) {
        let id = TaskId { name: name.parse().expect("a name"), generation: 1 };
        if !self.layout.task(&id).root().exists() {
            self.layout.task(&id).create().expect("its folder");
        }
        let spec = TaskSpec::new(id.name.clone(), "main");
        (id, spec)
    }

    fn plan(&self, name: &str) -> Result<wt::workspace::Creation, PlanError> {
        let (id, spec) = self.task(name);
        plan_creation(&self.site(), &id, &spec)
    }

    fn try_make(&self, name: &str) -> Result<Made, ApplyError> {
        let plan = self.plan(name).expect("a plan");
        apply_creation(&self.site(), self.git_lock(), &plan, &Hooks::Common, "instructions\n")
    }

    fn make(&self, name: &str) -> Workspace {
        self.try_make(name).expect("a workspace").workspace
    }

    fn remove(&self, name: &str, workspace: &Workspace) -> Result<Removed, RemoveError> {
        let removal = plan_removal(&self.repo, &self.task(name).0, workspace)?;
        apply_removal(&self.site(), self.lock(), &removal)
    }

    fn restore(&self, name: &str, trash: &str) -> Result<Made, RestoreError> {
        let plan = plan_restoration(&self.site(), &self.task(name).0, trash, "main")?;
        apply_restoration(&self.site(), self.lock(), &plan, "restored instructions\n")
    }

    /// Everything that a creation could leave behind.
    fn traces(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for (name, at) in wt::git::refs::list(&self.repo, "refs/").expect("the refs") {
            found.insert(format!("{name} {at}"));
        }
        for entry in worktree::list(&self.repo).expect("the worktrees") {
            found.insert(format!("worktree {}", entry.path.display()));
        }
        let below =
            |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        for path in below(self.repo.worktrees_root()).chain(below(self.repo.common_dir().join("worktrees"))) {
            found.insert(path.display().to_string());
        }
        for task in below(self.layout.tasks()) {
            found.extend(below(task).map(|path| path.display().to_string()));
        }
        found
    }
}

fn with_repo() -> (Env, TestRepo, Place) {
    let (env, repo) = Env::with_repo();
    let place = Place::at(repo.path());
    (env, repo, place)
}

fn oid(text: &str) -> Oid {
    Oid::parse(text).expect("an id")
}

/// Not a test of its own: what a killed process does, in a process of its own.
#[test]
#[ignore = "started by the tests of kills"]
fn victim() {
    let Ok(what) = std::env::var("WT_TEST_VICTIM") else { return };
    let (verb, path) = what.split_once(' ').expect("a verb and a path");
    let place = Place::at(Path::new(path));
    match verb {
        "make" => drop(place.make("x")),
        "remove" => drop(place.remove("x", &recorded(&place)).expect("removed")),
        _ => drop(place.restore("x", "refs/wt/trash/x/1").expect("restored")),
    }
}

fn recorded(place: &Place) -> Workspace {
    let path = place.layout.root().join("test-workspace.json");
    serde_json::from_slice(&fs::read(path).expect("a record")).expect("a workspace")
}

fn killed_at(point: &str, verb: &str, repo: &TestRepo) {
    let status = Command::new(std::env::current_exe().expect("this test"))
        .args(["workspace::victim", "--exact", "--ignored", "--quiet"])
        .env("WT_FAILPOINT", point)
        .env("WT_TEST_VICTIM", format!("{verb} {}", repo.path().display()))
        .stdout(std::process::Stdio::null())
        .status()
        .expect("it starts");
    assert!(!status.success() && status.code().is_none(), "{point}: {status}");
}
