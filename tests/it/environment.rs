//! What a workspace is furnished with: compared with what plain `git worktree add` makes, with hooks, set-up commands and
//! large folders of ignored files.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use fs_err as fs;

use crate::env::TestRepo;
use crate::program::Program;

fn program(more: &str) -> Program {
    let program = Program::new();
    program.configure(more);
    program
}

fn tree(program: &Program, name: &str) -> TestRepo {
    program.env.at(&program.worktree(name))
}

fn script(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Every file below a worktree with its mode and content, but `wt`'s own and `.git`.
fn files(root: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.path().strip_prefix(root).unwrap().to_string_lossy().into_owned();
            if [".git", ".shared", "CLAUDE.local.md"].contains(&name.as_str()) {
                continue;
            }
            let about = fs::symlink_metadata(entry.path()).unwrap();
            if about.is_dir() {
                folders.push(entry.path());
                found.insert(name + "/", (0, Vec::new()));
            } else if about.is_symlink() {
                let to = fs::read_link(entry.path()).unwrap().to_string_lossy().into_owned();
                found.insert(name, (1, to.into_bytes()));
            } else {
                found.insert(name, (about.permissions().mode(), fs::read(entry.path()).unwrap()));
            }
        }
    }
    found
}

/// Makes a workspace with `wt` and one with git alone, and demands that nothing tells them apart.
fn as_git_does(program: &Program) -> TestRepo {
    program.wt(&["spawn", "x", "--no-agent"]).ok();
    let plain = program.env.root().join("plain");
    program.repo.git(&["worktree", "add", "-q", "-b", "plain", &plain.to_string_lossy()]);
    let (ours, gits) = (tree(program, "x"), program.env.at(&plain));
    assert_eq!(files(ours.path()), files(gits.path()));
    for question in [
        &["status", "--porcelain"] as &[&str],
        &["ls-files", "-s", "-t"],
        &["config", "--worktree", "--list"],
        &["config", "core.sparseCheckout"],
        &["config", "core.sparseCheckoutCone"],
        &["config", "index.sparse"],
        &["sparse-checkout", "list"],
    ] {
        let answer = |repo: &TestRepo| {
            let said = repo.try_git(question);
            (said.status.code(), String::from_utf8_lossy(&said.stdout).into_owned())
        };
        assert_eq!(answer(&ours), answer(&gits), "{question:?}");
    }
    ours
}

fn many_folders(repo: &TestRepo) {
    for path in ["top.txt", "a/one.txt", "a/deep/two.txt", "b/three.txt", "c/d/four.txt"] {
        repo.write(path, path);
    }
    repo.commit_all("folders");
}

#[test]
fn a_sparse_checkout_with_cones_is_inherited() {
    let program = program("");
    many_folders(&program.repo);
    program.repo.git(&["sparse-checkout", "set", "--cone", "a"]);
    let made = as_git_does(&program);
    assert!(made.path().join("a/deep/two.txt").exists() && !made.path().join("b").exists());
    program.wt(&["gc", "x", "--force"]).ok();
    program.wt(&["restore", "x"]).ok();
    assert!(made.path().join("a/deep/two.txt").exists() && !made.path().join("b").exists());
    assert_eq!(made.git(&["status", "--porcelain"]), "");
}

#[test]
fn a_sparse_checkout_by_patterns_is_inherited() {
    let program = program("");
    many_folders(&program.repo);
    program.repo.git(&["sparse-checkout", "set", "--no-cone", "/*", "!/c/", "*two.txt"]);
    let made = as_git_does(&program);
    assert!(made.path().join("b/three.txt").exists() && !made.path().join("c").exists());
}

#[test]
fn a_sparse_index_is_no_obstacle() {
    let program = program("");
    many_folders(&program.repo);
    program.repo.git(&["sparse-checkout", "set", "--cone", "--sparse-index", "b"]);
    let made = as_git_does(&program);
    assert!(made.path().join("b/three.txt").exists() && !made.path().join("a").exists());
}

#[test]
fn the_configuration_of_the_main_worktree_is_copied_as_git_copies_it() {
    let program = program("");
    program.repo.git(&["config", "extensions.worktreeConfig", "true"]);
    program.repo.git(&["config", "--worktree", "user.email", "own@example.org"]);
    let made = as_git_does(&program);
    assert_eq!(made.git(&["config", "user.email"]), "own@example.org");
    made.git(&["config", "--worktree", "user.email", "other@example.org"]);
    assert_eq!(program.repo.git(&["config", "user.email"]), "own@example.org");
}

/// A stand-in for git-lfs: pointers are `oid NAME`, contents lie in a folder. It speaks the one-shot form only.
fn large_files(program: &Program) {
    let lfs = program.env.root().join("lfs.sh");
    script(
        &lfs,
        &format!(
            "read word; case \"$1\" in smudge) echo \"content of $word\";; *) echo \"${{word##* }}\";; esac; : {}",
            lfs.display()
        ),
    );
    let repo = &program.repo;
    repo.git(&["config", "filter.lfs.smudge", &format!("{} smudge", lfs.display())]);
    repo.git(&["config", "filter.lfs.clean", &format!("{} clean", lfs.display())]);
    repo.git(&["config", "filter.lfs.required", "true"]);
    repo.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n");
    repo.write("a.bin", "content of one\n");
    repo.write("plain.txt", "plain\n");
    repo.commit_all("large files");
}

#[test]
fn large_files_are_there() {
    let program = program("");
    large_files(&program);
    assert_eq!(program.repo.git(&["show", "HEAD:a.bin"]), "one");
    let made = as_git_does(&program);
    assert_eq!(made.read("a.bin"), "content of one\n");
}

#[test]
fn pointers_stay_pointers_where_the_main_checkout_has_pointers() {
    let program = program("");
    large_files(&program);
    program.repo.git(&["config", "filter.lfs.smudge", "cat"]);
    fs::remove_file(program.repo.path().join("a.bin")).unwrap();
    program.repo.git(&["checkout", "-q", "a.bin"]);
    let made = as_git_does(&program);
    assert_eq!(made.read("a.bin"), "one\n");
}

#[test]
fn a_required_filter_that_is_missing_makes_no_workspace() {
    let program = program("");
    large_files(&program);
    program.repo.git(&["config", "filter.lfs.smudge", "wt-no-such-filter"]);
    fs::remove_file(program.repo.path().join("a.bin")).unwrap();
    let said = program.wt(&["spawn", "x", "--no-agent"]).fails(1);
    assert!(said.contains("what was made is undone"), "{said}");
    assert!(!tree(&program, "x").path().exists());
}

#[test]
fn hooks_of_the_repository_run_only_as_they_were_approved() {
    let program = program("");
    let repo = &program.repo;
    script(
        &repo.path().join(".husky/post-checkout"),
        "echo \"$@\" > hooked; echo said; git rev-parse HEAD >> hooked",
    );
    repo.write(".husky/lib.sh", "x\n");
    let head = repo.commit_all("husky");
    repo.git(&["config", "core.hooksPath", ".husky"]);
    script(&repo.path().join(".git/hooks/post-checkout"), "touch wrong");

    let said = program.wt(&["spawn", "x", "--no-agent"]);
    assert!(
        said.err.contains("the hooks in `.husky` are not approved, so post-checkout did not run"),
        "{}",
        said.err
    );
    assert!(said.err.contains("wt trust --approve"), "{}", said.err);
    said.ok();
    assert!(
        !tree(&program, "x").path().join("hooked").exists()
            && !tree(&program, "x").path().join("wrong").exists()
    );
    let again = program.wt(&["spawn", "y", "--no-agent"]);
    assert!(!again.err.contains("not approved"), "told once: {}", again.err);
    assert!(program.wt(&["logs", "y", "--setup"]).ok().contains("not approved"));

    let shown = program.wt(&["trust"]).ok();
    assert!(
        shown.contains("core.hooksPath .husky/post-checkout = #!/bin/sh")
            && shown.ends_with("not approved\n"),
        "{shown}"
    );
    program.wt(&["trust", "--approve"]).ok();
    program.wt(&["spawn", "z", "--no-agent"]).ok();
    let hooked = tree(&program, "z").read("hooked");
    assert_eq!(hooked, format!("{} {head} 1\n{head}\n", "0".repeat(40)));
    assert!(program.wt(&["logs", "z", "--setup"]).ok().contains("said"));

    // Another base with other hooks, and a change beside the hook, are not what was approved.
    script(&repo.path().join(".husky/post-checkout"), "touch evil");
    let no_hooks = "core.hooksPath=/dev/null";
    repo.git(&["-c", no_hooks, "checkout", "-q", "-b", "evil"]);
    repo.commit_all("evil hooks");
    program.wt(&["spawn", "v", "--no-agent", "--base", "evil"]).ok();
    let said = program.wt(&["logs", "v", "--setup"]).ok();
    assert!(said.contains("not approved"), "{said}");
    assert!(!tree(&program, "v").path().join("evil").exists());
    repo.git(&["-c", no_hooks, "checkout", "-q", "main"]);
    repo.commit(".husky/lib.sh", "y\n");
    program.wt(&["spawn", "w", "--no-agent"]).ok();
    assert!(!tree(&program, "w").path().join("hooked").exists());
    assert_eq!(program.wt(&["trust", "--json"]).json()["approved"], false);
    program.wt(&["trust", "--approve"]).ok();
    program.wt(&["trust", "--revoke"]).ok();
    let again = program.wt(&["spawn", "u", "--no-agent"]);
    assert!(again.err.contains("not approved"), "an approval ends the silence: {}", again.err);
    again.ok();
    assert!(!tree(&program, "u").path().join("hooked").exists());
}

#[test]
fn hooks_outside_of_the_repository_are_approved_by_their_content() {
    let program = program("");
    let hooks = program.env.root().join("my hooks");
    script(&hooks.join("post-checkout"), ". \"$(dirname \"$0\")/lib.sh\"");
    fs::write(hooks.join("lib.sh"), "touch hooked\n").unwrap();
    program.repo.git(&["config", "core.hooksPath", &hooks.to_string_lossy()]);
    program.wt(&["spawn", "a", "--no-agent"]).ok();
    program.wt(&["trust", "--approve"]).ok();
    program.wt(&["spawn", "b", "--no-agent"]).ok();
    fs::write(hooks.join("lib.sh"), "touch hooked evil\n").unwrap();
    program.wt(&["spawn", "c", "--no-agent"]).ok();
    let ran = ["a", "b", "c"].map(|name| tree(&program, name).path().join("hooked").exists());
    assert_eq!(ran, [false, true, false]);
    // A path that leaves the worktree reaches what agents can write.
    let shared = program.env.root().join("repo-worktrees/.shared");
    script(&shared.join("post-checkout"), "touch evil");
    program.repo.git(&["config", "core.hooksPath", "../.shared"]);
    program.wt(&["trust", "--approve"]).ok();
    program.wt(&["spawn", "d", "--no-agent"]).ok();
    assert!(!tree(&program, "d").path().join("evil").exists());
}

#[test]
fn a_hook_that_hangs_is_ended_with_its_children() {
    let program = program("[limits]\ntimeout = \"1s\"\n");
    let pid = program.env.root().join("pid");
    script(
        &program.repo.path().join(".git/hooks/post-checkout"),
        &format!("echo begun; sleep 600 & echo $! > {}; wait", pid.display()),
    );
    let said = program.wt(&["spawn", "x", "--no-agent"]);
    assert!(said.err.contains("the post-checkout hook was ended after its time limit of 1s"), "{}", said.err);
    said.ok();
    assert!(program.wt(&["logs", "x", "--setup"]).ok().contains("begun"));
    let child: u32 = fs::read_to_string(pid).unwrap().trim().parse().unwrap();
    assert!(!crate::program::alive(child));
    assert_eq!(program.state_of("x"), "open");
}

#[test]
fn a_failed_set_up_is_told_with_its_end_and_kept_in_full() {
    let program = program(
        "[workspace]\nsetup = [\"echo first\", \"seq 1 30; echo broken >&2; exit 7\", \"touch third\"]\n",
    );
    let said = program.wt(&["spawn", "x", "--no-agent"]).fails(1);
    assert!(said.contains("setting up `x`: echo first"), "{said}");
    assert!(
        said.contains("exited with code 7")
            && said.contains("  broken")
            && said.contains("wt logs x --setup"),
        "{said}"
    );
    assert!(!said.contains("\n  3\n"), "the end only: {said}");
    let logs = program.wt(&["logs", "x", "--setup"]).ok();
    assert!(logs.contains("first\n1\n2\n") && logs.contains("broken"), "{logs}");
    assert!(!tree(&program, "x").path().join("third").exists());
}

#[test]
fn set_up_runs_once_again_where_it_failed_and_anew_in_a_workspace_that_came_back() {
    let program = Program::new();
    let count = program.env.root().join("count");
    let ready = program.env.root().join("ready");
    program.configure(&format!(
        "[limits]\nretries = 0\n[workspace]\nsetup = [\"echo x >> {}; test -e {} || {{ echo not ready; exit 1; }}\"]\n",
        count.display(),
        ready.display()
    ));
    let times = || fs::read_to_string(&count).unwrap_or_default().lines().count();
    program.spawn("x", &["write:a=one", "commit:a"], &["--wait"]).fails(1);
    assert!(
        program.task("x")["outcome"].as_str().unwrap().contains("not ready"),
        "{}",
        program.task("x")["outcome"]
    );
    fs::write(&ready, "").unwrap();
    program.wt(&["retry", "x"]).ok();
    program.wt(&["wait", "x"]).ok();
    assert_eq!((program.state_of("x").as_str(), times()), ("done", 2));
    program.wt(&["gc", "x", "--force"]).ok();
    program.wt(&["restore", "x"]).ok();
    assert!(
        !program.state().join("tasks/x@1/setup.done").exists(),
        "the workspace is a new one to its commands"
    );
}

#[test]
fn a_set_up_command_that_hangs_is_ended() {
    let program = program("[workspace]\nsetup = [\"echo begun; sleep 600\"]\nsetup_timeout = \"1s\"\n");
    let said = program.wt(&["spawn", "x", "--no-agent"]).fails(1);
    assert!(said.contains("took longer than") && said.contains("begun"), "{said}");
}

#[test]
fn a_folder_of_many_files_is_brought_in_and_stands_as_one_in_the_list() {
    let program = program("");
    let repo = &program.repo;
    repo.commit(".gitignore", "node_modules/\n");
    for n in 0..1500 {
        repo.write(&format!("node_modules/p{}/f{n}.js", n % 40), format!("{n}\n"));
    }
    script(&repo.path().join("node_modules/.bin/tool"), "echo tool");
    symlink("../p1", repo.path().join("node_modules/.bin/link")).unwrap();
    repo.write(".worktreeinclude", "node_modules/\n");
    program.wt(&["spawn", "x", "--no-agent"]).ok();
    let made = tree(&program, "x");
    let (ours, main) = (files(&made.path().join("node_modules")), files(&repo.path().join("node_modules")));
    let plain = |all: BTreeMap<String, (u32, Vec<u8>)>| {
        all.into_iter().filter(|(_, (mode, _))| *mode != 1).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(plain(ours), plain(main), "modes too; links are left out");
    let copied = program.events("x@1").into_iter().find(|event| event["type"] == "workspace_made");
    let copied = copied.map(|event| event["workspace"]["copied"].clone());
    assert_eq!(copied, Some(serde_json::json!(["node_modules/"])));
    assert!(
        program.wt(&["logs", "x", "--setup"]).ok().contains("`node_modules/.bin/link` is not brought in")
    );
    // An edit in it is put away, the rest is not.
    made.write("node_modules/p1/f1.js", "edited\n");
    program.wt(&["gc", "x", "--force"]).ok();
    let kept = repo.git(&["ls-tree", "-r", "--name-only", "refs/wt/trash/x/1^4"]);
    assert_eq!(kept, "node_modules/p1/f1.js");
    program.wt(&["restore", "x"]).ok();
    assert_eq!(made.read("node_modules/p1/f1.js"), "edited\n");
    assert_eq!(made.read("node_modules/p2/f2.js"), "2\n");
}

#[test]
fn a_link_whose_folder_is_missing_is_told() {
    let program = program("[workspace]\nsymlink = [\"cache\", \"absent\"]\n");
    program.repo.commit(".gitignore", "cache\nabsent\n");
    program.repo.write("cache/x", "x");
    let said = program.wt(&["spawn", "x", "--no-agent"]);
    assert!(said.err.contains("`absent` is not brought in"), "{}", said.err);
    said.ok();
    assert_eq!(tree(&program, "x").read("cache/x"), "x");
}
