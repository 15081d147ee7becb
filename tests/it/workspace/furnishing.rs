//! What is brought into a workspace, and what it can never reach.

use std::path::Path;

use fs_err as fs;
use fs_err::os::unix::fs::symlink;

use super::with_repo;

#[test]
fn only_ignored_files_are_brought_in_and_no_link_is_followed() {
    let (env, repo, mut place) = with_repo();
    repo.write("config/tracked.key", "tracked\n");
    repo.commit(".gitignore", ".env*\nconfig/*.key\nnode_modules/\nsecrets/\n/cache\n");
    repo.git(&["add", "-f", "config/tracked.key"]);
    repo.git(&["commit", "-q", "-m", "a tracked key"]);
    let outside = env.root().join("outside");
    fs::create_dir(&outside).expect("a folder");
    fs::write(outside.join("passwd"), "root\n").expect("written");
    repo.write(".env", "A\n");
    symlink(outside.join("passwd"), repo.path().join(".env.link")).expect("a link");
    repo.write("config/a.key", "a\n");
    repo.write("config/tracked.key", "changed\n");
    repo.write("node_modules/m/index.js", "m\n");
    repo.write("node_modules/m/.env", "not mine\n");
    repo.write("secrets/deep/one", "1\n");
    repo.write("secrets/deep/two", "2\n");
    symlink(&outside, repo.path().join("secrets/way")).expect("a link");
    repo.write("untracked.key", "not ignored\n");
    repo.write(".worktreeinclude", "# more\nconfig/*.key\n/secrets\n!secrets/deep/two\nuntracked.key\n");
    symlink(&outside, repo.path().join("cache")).expect("a link");
    place.settings.workspace.symlink =
        ["node_modules", "cache", "config", "absent"].map(str::to_owned).to_vec();

    let made = place.try_make("x").expect("a workspace");
    let tree = env.at(Path::new(&made.workspace.path));
    assert_eq!(made.workspace.copied, [".env", "cache", "config/a.key", "node_modules", "secrets/deep/one"]);
    assert_eq!(made.left_out, [".env.link", "secrets/way", "config", "absent"]);
    assert_eq!(tree.read("config/tracked.key"), "tracked\n");
    assert_eq!(tree.read("node_modules/m/index.js"), "m\n");
    assert_eq!(tree.git(&["status", "--porcelain"]), "");
    for absent in [".env.link", "secrets/deep/two", "secrets/way", "untracked.key"] {
        assert!(fs::symlink_metadata(tree.path().join(absent)).is_err(), "{absent}");
    }
}

#[test]
fn instructions_never_go_through_a_link_of_the_agent() {
    let (env, _repo, place) = with_repo();
    let workspace = place.make("x");
    let tree = env.at(Path::new(&workspace.path));
    let victim = env.root().join("victim");
    fs::write(&victim, "precious").expect("written");
    fs::remove_file(tree.path().join("CLAUDE.local.md")).expect("removed");
    symlink(&victim, tree.path().join("CLAUDE.local.md")).expect("a link");
    let folder = place.layout.task(&place.task("x").0);
    wt::workspace::instructions::write(tree.path(), &folder, "fresh\n").expect("written");
    assert_eq!(fs::read_to_string(&victim).expect("a file"), "precious");
    assert_eq!(tree.read("CLAUDE.local.md"), "fresh\n");
    fs::rename(tree.path(), env.root().join("moved")).expect("moved");
    symlink(env.root(), tree.path()).expect("a link");
    assert!(wt::workspace::instructions::write(tree.path(), &folder, "fresh\n").is_err());
    assert!(!env.root().join("CLAUDE.local.md").exists());
}

#[test]
fn the_shared_folder_is_made_once_and_what_stands_there_is_kept() {
    let (env, repo, place) = with_repo();
    fs::create_dir(repo.path().join(".shared")).expect("a folder of the user");
    place.make("x");
    assert!(fs::symlink_metadata(repo.path().join(".shared")).expect("kept").is_dir());
    fs::write(env.root().join("repo-worktrees/.shared/notes/n"), "note").expect("written");
    place.make("y");
    assert_eq!(env.at(&env.root().join("repo-worktrees/y")).read(".shared/notes/n"), "note");
    let exclude = repo.read(".git/info/exclude");
    assert_eq!(exclude.matches("/.shared").count(), 1);
}
