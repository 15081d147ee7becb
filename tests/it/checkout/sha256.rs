//! A repository whose objects are named by SHA-256, through the program.

use crate::env::Env;
use crate::program::Program;

#[test]
fn it_works_from_spawn_to_merge_and_back() {
    let env = Env::new();
    let path = env.root().join("repo");
    env.git_in(env.root(), &["init", "-q", "-b", "main", "--object-format=sha256", &path.to_string_lossy()]);
    let repo = env.at(&path);
    repo.configure();
    super::pad(&repo);
    let first = super::commit_aged(&repo);
    assert_eq!(first.len(), 64);
    assert_eq!(super::left_to_git(super::compared(&env, &repo, "copied", &first)), 0);

    let program = Program { env, repo, pool: "0", foresee: "0" };
    program.configure("");
    program.spawn("a", &["write:x=y", "commit:x"], &["--wait"]).ok();
    program.spawn("b", &["write:pad/1/1=z", "commit:z"], &["--wait"]).ok();
    assert_eq!(program.state_of("a"), "done");
    program.wt(&["merge", "--all"]).ok();
    assert_eq!(program.repo.read("x").trim_end(), "y");
    assert_eq!(program.repo.read("pad/1/1").trim_end(), "z");
    // Unfinished work goes into a snapshot and comes back.
    program.spawn("c", &["write:new=n", "write:pad/2/2=edited", "exit:3"], &["--wait"]).fails(1);
    program.wt(&["gc", "c", "--force"]).ok();
    assert!(!program.worktree("c").exists());
    program.wt(&["restore", "c"]).ok();
    let tree = program.env.at(&program.worktree("c"));
    assert_eq!((tree.read("new").trim_end(), tree.read("pad/2/2").trim_end()), ("n", "edited"));
    program.repo.git(&["fsck", "--strict"]);
}
