//! The pool of spare workspaces: what was used comes back as new, whatever happened in it and wherever a kill came.

mod equality;
mod kills;
mod life;

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use fs_err as fs;
use wt::git::spare::{self, Condition, Spare};
use wt::git::{Repo, worktree};
use wt::model::clock::SystemClock;
use wt::model::{Settings, TaskId, TaskSpec, Workspace};
use wt::store::{Layout, Lock};
use wt::workspace::hook::Hooks;
use wt::workspace::pool;
use wt::workspace::{
    GitLock, RemoveError, Removed, Site, apply_creation, apply_removal, apply_restoration, plan_creation,
    plan_removal, plan_restoration,
};

use crate::env::{Env, TestRepo};

/// A repository with its state folder, and the engines called as the verbs call them.
struct Place {
    repo: Repo,
    layout: Layout,
    settings: Settings,
}

impl Place {
    fn at(path: &Path, pool: u32) -> Self {
        let repo = Repo::discover(path).unwrap();
        let layout = Layout::below(repo.common_dir());
        layout.prepare().unwrap();
        let mut settings = Settings::default();
        settings.workspace.pool = pool;
        settings.workspace.reserve = 0;
        Self { repo, layout, settings }
    }

    fn site(&self) -> Site<'_> {
        let Self { repo, layout, settings } = self;
        Site { repo, layout, settings, clock: &SystemClock, template: None, iteration: None }
    }

    fn git_lock(&self) -> Lock {
        Lock::take(&self.layout.lock("git"), Duration::from_secs(30), "a test").unwrap()
    }

    fn task(&self, name: &str) -> (TaskId, TaskSpec) {
        let id = TaskId { name: name.parse().unwrap(), generation: 1 };
        if !self.layout.task(&id).root().exists() {
            self.layout.task(&id).create().unwrap();
        }
        let spec = TaskSpec::new(id.name.clone(), "main");
        (id, spec)
    }

    fn make(&self, name: &str) -> Workspace {
        let (id, spec) = self.task(name);
        let plan = plan_creation(&self.site(), &id, &spec).unwrap();
        let text = "instructions\n";
        let made = apply_creation(&self.site(), self.git_lock(), &plan, &Hooks::Common, text).unwrap();
        // What the journal does for the verb.
        let record = self.layout.root().join(format!("test-{name}.json"));
        fs::write(record, serde_json::to_vec(&made.workspace).unwrap()).unwrap();
        made.workspace
    }

    fn made(&self, name: &str) -> Workspace {
        let record = self.layout.root().join(format!("test-{name}.json"));
        serde_json::from_slice(&fs::read(record).unwrap()).unwrap()
    }

    fn try_remove(&self, name: &str) -> Result<Removed, RemoveError> {
        let lock = self.git_lock();
        let removal = plan_removal(&self.repo, &self.task(name).0, &self.made(name))?;
        apply_removal(&self.site(), GitLock::held(&lock), &removal)
    }

    fn remove(&self, name: &str) -> Removed {
        self.try_remove(name).unwrap()
    }

    fn restore(&self, name: &str, trash: &str) {
        let lock = self.git_lock();
        let plan = plan_restoration(&self.site(), &self.task(name).0, trash, "main").unwrap();
        apply_restoration(&self.site(), GitLock::held(&lock), &plan, "restored\n").unwrap();
    }

    fn tend(&self) {
        pool::tend(&self.site(), Some("main")).unwrap();
    }

    fn spares(&self) -> Vec<Spare> {
        spare::list(&self.repo, &pool::folder(&self.repo)).unwrap()
    }

    /// Makes sure that there is one spare, ready at the tip, and that nothing is out of order; returns its inode.
    fn ready(&self) -> u64 {
        let tip = self.repo.branch_tip("main").unwrap().unwrap();
        let spares = self.spares();
        let [only] = &spares[..] else { panic!("not one spare: {spares:?}") };
        assert_eq!(only.condition, Condition::Ready(tip));
        assert!(spare::untouched(&self.repo, only));
        assert_eq!(pool::faults(&self.repo).unwrap(), []);
        fs::metadata(only.worktree.path()).unwrap().ino()
    }
}

/// A repository that has what checkouts differ in.
fn with_repo() -> (Env, TestRepo) {
    let (env, repo) = Env::with_repo();
    repo.write(".gitignore", "target/\nnode_modules/\nbuild/\n*.log\n");
    repo.write(".gitattributes", "*.crlf text eol=crlf\n*.id ident\n*.txt text=auto\n");
    for (path, text) in [
        ("a/b/c/deep", "deep\n"),
        ("a/one", "one\n"),
        ("a/two", "two\n"),
        ("lines.crlf", "one\ntwo\n"),
        ("key.id", "$Id$\n"),
        ("plain.txt", "text\nmore\n"),
        ("odd name\u{e9}", "odd\n"),
        ("lib/target/kept", "tracked in a folder that is ignored\n"),
    ] {
        repo.write(path, text);
    }
    repo.write("run", "#!/bin/sh\n");
    fs::set_permissions(repo.path().join("run"), std::fs::Permissions::from_mode(0o755)).unwrap();
    fs_err::os::unix::fs::symlink("a/one", repo.path().join("link")).unwrap();
    repo.git(&["add", "-f", "lib/target/kept"]);
    repo.commit_all("files");
    (env, repo)
}

/// Everything about a workspace that somebody who works in it could tell; its name is `NAME`, what depends on the moment is
/// left out. Caches are, too.
fn looks(tree: &TestRepo, name: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    walk(tree.path(), tree.path(), &mut found);
    for args in [
        &["status", "--porcelain=v2", "--branch", "--untracked-files=all"][..],
        &["ls-files", "--stage", "-v", "-f", "--full-name"],
        &["diff", "HEAD", "--stat"],
        &["symbolic-ref", "HEAD"],
        &["log", "-g", "--format=%H %gs %gn", "HEAD"],
        &["for-each-ref", "refs/worktree", "refs/bisect", "refs/rewritten"],
        &["config", "--list", "--show-scope"],
        &["rev-parse", "ORIG_HEAD"],
        &["fsck", "--connectivity-only"],
    ] {
        found.insert(args.join(" "), tree.git(args));
    }
    let git_dir = PathBuf::from(tree.git(&["rev-parse", "--absolute-git-dir"]));
    let index = fs::read(git_dir.join("index")).unwrap();
    found.insert("index version".to_owned(), format!("{:?}", &index[..8]));
    let mut inside = Vec::new();
    let mut entry = BTreeMap::new();
    walk(&git_dir, &git_dir, &mut entry);
    for (path, text) in entry {
        // Whose mode is that of the user's umask in git, and holds no secret.
        let text = if path == "index" || path.starts_with("logs") { String::new() } else { text };
        inside.push(format!("{path} {text}"));
    }
    found.insert("entry".to_owned(), inside.join("\n"));
    let branch = git_dir.join("../../logs/refs/heads/wt").join(name);
    let log = fs::read_to_string(branch).unwrap();
    let message = |line: &str| line.split_once('\t').map(|(_, text)| text.to_owned());
    found.insert("branch log".to_owned(), format!("{:?}", log.lines().map(message).collect::<Vec<_>>()));
    let named = |text: String| text.replace(&format!("/{name}"), "/NAME");
    found.into_iter().map(|(key, text)| (key, named(text))).collect()
}

fn walk(root: &Path, folder: &Path, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().display().to_string();
        let about = fs::symlink_metadata(&path).unwrap();
        let mode = about.mode();
        if about.is_symlink() {
            found.insert(name, format!("-> {}", fs::read_link(&path).unwrap().display()));
        } else if about.is_dir() {
            if ["target", "node_modules"].iter().any(|cache| path.ends_with(cache)) {
                // As git has it, a pattern means all below, whether or not something there is tracked.
                if let Ok(text) = fs::read_to_string(path.join("kept")) {
                    found.insert(format!("{name}/kept"), format!("{mode:o} {text}"));
                }
                continue;
            }
            found.insert(name, format!("{mode:o}"));
            walk(root, &path, found);
        } else if about.is_file() {
            let bytes = fs::read(&path).unwrap();
            let links = about.nlink();
            found.insert(name, format!("{mode:o} {links} {}", String::from_utf8_lossy(&bytes)));
        } else {
            found.insert(name, format!("{mode:o}"));
        }
    }
}

/// Not a test of its own: what a killed process does, in a process of its own.
#[test]
#[ignore = "started by the tests of kills"]
fn victim() {
    let Ok(what) = std::env::var("WT_TEST_VICTIM") else { return };
    let [verb, pool, path] = what.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{what}") };
    let place = Place::at(Path::new(path), pool.parse().unwrap());
    match verb {
        "remove" => drop(place.remove("x")),
        "make" => drop(place.make("y")),
        _ => place.tend(),
    }
}

fn killed_at(point: &str, verb: &str, pool: u32, repo: &TestRepo) {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["pool::victim", "--exact", "--ignored", "--quiet"])
        .env("WT_FAILPOINT", point)
        .env("WT_TEST_VICTIM", format!("{verb} {pool} {}", repo.path().display()))
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(!status.success() && status.code().is_none(), "{point}: {status}");
}

/// Nothing of the repository is broken, and git's books name only folders that are there.
fn sound(repo: &TestRepo, place: &Place) {
    repo.git(&["fsck", "--strict"]);
    let missing: Vec<_> =
        worktree::list(&place.repo).unwrap().into_iter().filter(|entry| entry.missing).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert_eq!(repo.git(&["worktree", "prune", "--dry-run", "--expire", "now", "--verbose"]), "");
}
