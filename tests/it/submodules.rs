//! Submodules: brought in from the main checkout without network, kept when their workspace goes, back when it comes back.

use std::os::unix::fs::symlink;
use std::path::Path;

use fs_err as fs;

use crate::env::TestRepo;
use crate::program::Program;

/// A repository with the submodule `lib` at `deps/lib`, which has `deep` at `inner`; all initialised in the main checkout.
/// Their origins are gone: nothing can be fetched.
struct Field {
    program: Program,
}

impl Field {
    fn new() -> Self {
        let program = Program::new();
        for name in ["deep", "lib"] {
            let origin = program.env.repo(name);
            origin.commit(&format!("{name}.txt"), name);
            if name == "lib" {
                add(&origin, "../deep", "inner");
            }
        }
        add(&program.repo, "../lib", "deps/lib");
        program.repo.git(&[
            "-c",
            "protocol.file.allow=always",
            "submodule",
            "update",
            "-q",
            "--init",
            "--recursive",
        ]);
        for name in ["deep", "lib"] {
            fs::rename(program.env.root().join(name), program.env.root().join(format!("{name}.gone")))
                .unwrap();
        }
        Self { program }
    }

    fn spawn(&self, name: &str) -> TestRepo {
        self.program.wt(&["spawn", name, "--no-agent"]).ok();
        self.tree(name)
    }

    fn tree(&self, name: &str) -> TestRepo {
        self.program.env.at(&self.program.worktree(name))
    }

    fn sub(&self, name: &str, path: &str) -> TestRepo {
        self.program.env.at(&self.program.worktree(name).join(path))
    }

    fn store(&self, place: &str) -> TestRepo {
        self.program.env.at(&self.program.repo.path().join(".git/modules").join(place))
    }

    /// Commits a file in a submodule of a workspace, on no branch, and the submodule's new commit above it.
    fn work(&self, name: &str) -> String {
        let lib = self.sub(name, "deps/lib");
        configure(&lib);
        let made = lib.commit("new.txt", "new\n");
        self.tree(name).commit_all("lib moved");
        made
    }
}

fn configure(repo: &TestRepo) {
    repo.git(&["config", "user.name", "Ada Tester"]);
    repo.git(&["config", "user.email", "ada@example.org"]);
}

fn add(repo: &TestRepo, url: &str, path: &str) {
    repo.git(&["-c", "protocol.file.allow=always", "submodule", "add", "-q", url, path]);
    repo.commit_all(&format!("add {path}"));
}

#[test]
fn a_new_workspace_has_its_submodules_as_the_main_checkout_has_them() {
    let field = Field::new();
    let tree = field.spawn("x");
    assert_eq!(tree.read("deps/lib/lib.txt"), "lib");
    assert_eq!(tree.read("deps/lib/inner/deep.txt"), "deep");
    assert_eq!(tree.git(&["status", "--porcelain"]), "");
    let (own, main) = (
        tree.git(&["submodule", "status", "--recursive"]),
        field.program.repo.git(&["submodule", "status", "--recursive"]),
    );
    let ids =
        |text: &str| text.lines().map(|line| line.split(" (").next().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(ids(&own), ids(&main));
    let lib = field.sub("x", "deps/lib");
    assert_eq!(lib.git(&["status", "--porcelain"]), "");
    assert_eq!(lib.git(&["fsck", "--connectivity-only"]), "");
    assert_eq!(
        lib.git(&["config", "remote.origin.url"]),
        field.store("deps/lib").git(&["config", "remote.origin.url"])
    );
    assert_eq!(lib.rev("origin/main"), lib.head());
    // What an agent does there stays there.
    configure(&lib);
    lib.commit("new.txt", "new\n");
    assert!(field.store("deps/lib").git(&["log", "--all", "--format=%s"]).contains("add inner"));
    assert!(!field.store("deps/lib").git(&["log", "--all", "--format=%s"]).contains("new.txt"));
}

#[test]
fn what_the_main_checkout_has_not_initialised_stays_empty() {
    let field = Field::new();
    field.program.repo.git(&["submodule", "deinit", "-q", "-f", "deps/lib"]);
    let tree = field.spawn("x");
    assert_eq!(fs::read_dir(tree.path().join("deps/lib")).unwrap().count(), 0);
    assert_eq!(tree.git(&["status", "--porcelain"]), "");
    field.program.wt(&["gc", "x", "--force"]).ok();
}

#[test]
fn a_commit_that_the_main_checkout_lacks_is_told_and_the_folder_is_empty() {
    let field = Field::new();
    let head = field.program.repo.head();
    let cacheinfo = format!("160000,{head},deps/lib");
    field.program.repo.git(&["update-index", "--cacheinfo", &cacheinfo]);
    field.program.repo.git(&["commit", "-q", "-m", "a commit of elsewhere"]);
    let said = field.program.wt(&["spawn", "x", "--no-agent"]);
    assert!(
        said.err.contains("`deps/lib` is empty: the main checkout's copy of it lacks commit"),
        "{}",
        said.err
    );
    said.ok();
    assert_eq!(fs::read_dir(field.tree("x").path().join("deps/lib")).unwrap().count(), 0);
    assert!(!field.program.repo.path().join(".git/worktrees/x/modules/deps/lib").exists());
}

#[test]
fn hostile_submodules_run_nothing_and_reach_nothing() {
    let field = Field::new();
    let root = field.program.env.root();
    let trap = root.join("trap");
    let run = format!("touch {}", trap.display());
    // What an agent could write into the stores, and what a repository could name.
    let store = field.store("deps/lib");
    for (key, value) in [
        ("core.fsmonitor", run.as_str()),
        ("core.alternateRefsCommand", &run),
        ("core.sshCommand", &run),
        ("filter.x.smudge", &run),
        ("filter.x.process", &run),
        ("uploadpack.packObjectsHook", &run),
        ("core.hooksPath", &root.join("hooks").display().to_string()),
    ] {
        store.git(&["config", key, value]);
    }
    for hooks in [root.join("hooks"), store.path().join("hooks")] {
        fs::create_dir_all(&hooks).unwrap();
        for hook in ["post-checkout", "reference-transaction", "post-index-change"] {
            fs::write(hooks.join(hook), format!("#!/bin/sh\n{run}\n")).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(hooks.join(hook), mode).unwrap();
        }
    }
    field.program.repo.git(&["config", "submodule.deps/lib.update", &format!("!{run}")]);
    fs::write(field.store("deps/lib").path().join("info/attributes"), "* filter=x\n").unwrap();
    let tree = field.spawn("x");
    assert_eq!(tree.read("deps/lib/lib.txt"), "lib");
    field.work("x");
    // The same in the workspace's own one.
    let own = field.sub("x", "deps/lib");
    for key in ["core.fsmonitor", "filter.x.clean", "filter.x.process", "core.sshCommand"] {
        own.git(&["config", key, &run]);
    }
    own.git(&["config", "extensions.partialClone", "origin"]);
    own.git(&["config", "remote.origin.promisor", "true"]);
    own.git(&["config", "remote.origin.url", &format!("ext::{run}")]);
    own.git(&["config", "protocol.ext.allow", "always"]);
    fs::write(tree.path().join("deps/lib/.gitattributes"), "* filter=x\n").unwrap();
    fs::remove_file(&trap).unwrap_or_default();
    let said = field.program.wt(&["gc", "x", "--force"]);
    assert!(
        said.out.contains("its submodule `deps/lib` cannot be put away: it has uncommitted changes"),
        "{said:?}"
    );
    fs::remove_file(tree.path().join("deps/lib/.gitattributes")).unwrap();
    field.program.wt(&["gc", "x", "--force"]).ok();
    field.program.wt(&["restore", "x"]).ok();
    assert!(!trap.exists());
    assert_eq!(field.tree("x").read("deps/lib/new.txt"), "new\n");
}

#[test]
fn names_and_links_never_lead_out_of_the_place_of_submodules() {
    let field = Field::new();
    let repo = &field.program.repo;
    let head = field.store("deps/lib").head();
    let outside = field.program.env.root().join("outside");
    fs::create_dir(&outside).unwrap();
    let text = repo.read(".gitmodules");
    let evil = "[submodule \"../../evil\"]\n\tpath = evil\n\turl = x\n[submodule \"deps/lib/objects\"]\n\tpath = crossed\n\turl = x\n\
                [submodule \"linked\"]\n\tpath = linked\n\turl = x\n[submodule \"option\"]\n\tpath = --help\n\turl = x\n";
    fs::write(repo.path().join(".gitmodules"), text + evil).unwrap();
    repo.git(&["add", ".gitmodules"]);
    for path in ["evil", "crossed", "linked", "--help"] {
        repo.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{head},{path}")]);
    }
    repo.git(&["commit", "-q", "-m", "evil"]);
    for name in ["../../evil", "deps/lib/objects", "linked"] {
        repo.git(&["config", &format!("submodule.{name}.url"), "x"]);
    }
    symlink(field.store("deps/lib").path(), repo.path().join(".git/modules/linked")).unwrap();
    let tree = field.spawn("x");
    assert_eq!(tree.read("deps/lib/lib.txt"), "lib");
    for path in ["evil", "crossed", "linked"] {
        assert_eq!(fs::read_dir(tree.path().join(path)).unwrap().count(), 0, "{path}");
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert!(!repo.path().join(".git/worktrees/evil").exists());
}

#[test]
fn a_clean_workspace_with_submodules_can_be_removed_and_comes_back_working() {
    let field = Field::new();
    field.spawn("x");
    field.program.wt(&["gc", "x"]).ok();
    assert!(!field.tree("x").path().exists());
    assert_eq!(field.store("deps/lib").git(&["for-each-ref", "refs/wt"]), "", "nothing that was not there");
    field.program.wt(&["restore", "x"]).ok();
    let tree = field.tree("x");
    assert_eq!(tree.read("deps/lib/inner/deep.txt"), "deep");
    assert_eq!(tree.git(&["status", "--porcelain"]), "");
}

#[test]
fn commits_of_a_submodule_outlive_its_workspace() {
    let field = Field::new();
    field.spawn("x");
    let made = field.work("x");
    let lib = field.sub("x", "deps/lib");
    // A branch, a stash and a commit that only the log knows.
    lib.git(&["branch", "side"]);
    lib.git(&["checkout", "-q", "side"]);
    let side = lib.commit("side.txt", "side\n");
    lib.write("new.txt", "stashed\n");
    lib.git(&["stash", "-q"]);
    let stash = lib.rev("stash");
    let lost = lib.commit("lost.txt", "lost\n");
    lib.git(&["reset", "-q", "--hard", &side]);
    lib.git(&["checkout", "-q", "--detach", &made]);
    let deep = field.sub("x", "deps/lib/inner");
    configure(&deep);
    let inner = deep.commit("deep2.txt", "2\n");
    lib.git(&["add", "inner"]);
    lib.git(&["commit", "-q", "-m", "deep moved"]);
    let tip = lib.head();
    field.tree("x").commit_all("lib moved again");
    field.program.wt(&["gc", "x", "--force"]).ok();
    assert!(!field.tree("x").path().exists());
    assert!(!field.program.repo.path().join(".git/worktrees/x").exists());
    let store = field.store("deps/lib");
    for commit in [&made, &side, &stash, &lost, &tip] {
        assert_ne!(store.git(&["for-each-ref", "--contains", commit, "refs/wt/kept"]), "", "{commit}");
    }
    let refs = store.git(&["for-each-ref", "--format=%(refname)", "refs/wt/kept"]);
    assert!(
        refs.contains("refs/wt/kept/x@1/1/HEAD") && refs.contains("refs/wt/kept/x@1/1/heads/side"),
        "{refs}"
    );
    assert_eq!(field.store("deps/lib/modules/inner").git(&["cat-file", "-t", &inner]), "commit");
    field.program.wt(&["restore", "x"]).ok();
    assert_eq!(field.sub("x", "deps/lib").head(), tip);
    assert_eq!(field.tree("x").read("deps/lib/inner/deep2.txt"), "2\n");
    assert_eq!(field.tree("x").git(&["status", "--porcelain"]), "");
}

#[test]
fn uncommitted_work_in_a_submodule_keeps_the_workspace_whatever_is_asked() {
    let field = Field::new();
    field.spawn("x");
    let tree = field.tree("x");
    let kept = |why: &str| {
        let said = field.program.wt(&["gc", "x", "--force"]);
        assert!(said.out.contains(why), "{said:?}");
        assert!(tree.path().join("deps/lib/lib.txt").exists());
    };
    tree.write("deps/lib/inner/note", "untracked\n");
    kept(
        "its submodule `deps/lib/inner` cannot be put away: it has uncommitted changes; commit or discard it there",
    );
    fs::remove_file(tree.path().join("deps/lib/inner/note")).unwrap();
    tree.write("deps/lib/lib.txt", "edited\n");
    kept("its submodule `deps/lib` cannot be put away: it has uncommitted changes");
    let lib = field.sub("x", "deps/lib");
    lib.git(&["update-index", "--assume-unchanged", "lib.txt"]);
    kept("its index hides changed files from git");
    lib.git(&["update-index", "--no-assume-unchanged", "lib.txt"]);
    lib.git(&["checkout", "-q", "lib.txt"]);
    // A repository that is no submodule stays refused.
    field.program.env.git_in(tree.path(), &["init", "-q", "own"]);
    tree.write("own/file", "x\n");
    kept("another repository is inside it: `own`");
    fs::remove_dir_all(tree.path().join("own")).unwrap();
    field.program.wt(&["gc", "x", "--force"]).ok();
    assert!(!tree.path().exists());
}

#[test]
fn a_landed_task_that_moved_a_submodule_is_checked_with_it_and_its_commits_stay() {
    let field = Field::new();
    field.program.configure("[[verify]]\nname = \"v\"\nrun = \"test \\\"$(cat deps/lib/new.txt)\\\" = new && test -f deps/lib/inner/deep.txt\"\n");
    field.spawn("x");
    let made = field.work("x");
    field.program.wt(&["done", "x"]).ok();
    field.program.wt(&["merge", "x"]).ok();
    assert!(!field.tree("x").path().exists(), "{:?}", field.program.wt(&["gc", "x"]));
    let repo = &field.program.repo;
    assert!(repo.git(&["ls-tree", "HEAD", "deps/lib"]).contains(&made));
    repo.git(&["submodule", "update", "-q", "--no-fetch"]);
    assert_eq!(repo.read("deps/lib/new.txt"), "new\n");
    // The next task starts with it.
    assert_eq!(field.spawn("y").read("deps/lib/new.txt"), "new\n");
}

#[test]
fn killed_at_any_step_nothing_is_lost_and_the_next_try_is_whole() {
    for point in ["spawn.after_worktree", "spawn.after_submodules"] {
        let field = Field::new();
        let mut command = field.program.command(&["spawn", "x", "--no-agent"]);
        assert!(command.env("WT_FAILPOINT", point).output().unwrap().status.code().is_none(), "{point}");
        field.program.wt(&["gc", "x", "--force"]).ok();
        field.spawn("x");
        assert_eq!(field.tree("x").read("deps/lib/inner/deep.txt"), "deep", "{point}");
    }
    for point in
        ["remove.after_submodules", "remove.after_trash", "remove.after_rename", "remove.after_entry"]
    {
        let field = Field::new();
        field.spawn("x");
        let made = field.work("x");
        let mut command = field.program.command(&["gc", "x", "--force"]);
        assert!(command.env("WT_FAILPOINT", point).output().unwrap().status.code().is_none(), "{point}");
        field.program.wt(&["gc", "x", "--force"]).ok();
        assert!(!field.tree("x").path().exists(), "{point}");
        let contains = ["for-each-ref", "--contains", &made, "refs/wt/kept"];
        assert_ne!(field.store("deps/lib").git(&contains), "", "{point}");
        field.program.wt(&["restore", "x"]).ok();
        assert_eq!(field.tree("x").read("deps/lib/new.txt"), "new\n", "{point}");
    }
}

#[test]
fn a_folder_that_somebody_deleted_loses_no_commit_of_its_submodule() {
    let field = Field::new();
    field.spawn("x");
    let made = field.work("x");
    fs::remove_dir_all(field.tree("x").path()).unwrap();
    field.program.wt(&["gc", "x", "--force"]).ok();
    assert!(!Path::new(&field.program.repo.path().join(".git/worktrees/x")).exists());
    assert_ne!(field.store("deps/lib").git(&["for-each-ref", "--contains", &made, "refs/wt/kept"]), "");
}
