//! `git::landed`: every way in which work can be on its target, and every way in which it only looks so.

use std::os::unix::fs::PermissionsExt as _;

use fs_err as fs;
use wt::git::Repo;
use wt::git::landed::{Landed, landed};

use crate::env::{Env, TestRepo, lines};
use crate::git_repo::oid;

struct Story {
    _env: Env,
    repo: TestRepo,
    base: String,
}

impl Story {
    fn new() -> Self {
        let env = Env::new();
        let repo = env.repo("repo");
        repo.write("f", lines("line", 20));
        repo.write("script", "#!/bin/sh\n");
        repo.write("bin", b"\0\x01\x02");
        let base = repo.commit_all("base");
        repo.git(&["branch", "side"]);
        Self { _env: env, repo, base }
    }

    fn on(&self, branch: &str) -> &Self {
        self.repo.git(&["checkout", "-q", branch]);
        self
    }

    fn edit(&self, path: &str, from: &str, to: &str) -> &Self {
        let text = self.repo.read(path);
        assert!(text.contains(from));
        self.repo.write(path, text.replacen(from, to, 1));
        self.repo.commit_all(&format!("{from} to {to}"));
        self
    }

    fn git(&self, args: &[&str]) -> &Self {
        self.repo.git(args);
        self
    }

    fn verdict(&self) -> Landed {
        let found = Repo::discover(self.repo.path()).unwrap();
        let tip = |branch: &str| found.branch_tip(branch).unwrap().unwrap();
        landed(&found, &tip("side"), &oid(&self.base), &tip("main")).unwrap()
    }
}

#[test]
fn history_trees_and_merges_tell() {
    let s = Story::new();
    assert_eq!(s.verdict(), Landed::Ancestor, "nothing was done");
    s.on("side").edit("f", "line 3\n", "three\n").edit("f", "line 9\n", "nine\n");
    assert_eq!(s.verdict(), Landed::No { commits: 2 });
    s.on("main").git(&["merge", "-q", "--squash", "side"]).git(&["commit", "-q", "-m", "squash"]);
    assert_eq!(s.verdict(), Landed::SameTree);
    s.edit("f", "line 15\n", "fifteen\n");
    assert_eq!(s.verdict(), Landed::MergeAddsNothing);
    s.git(&["merge", "-q", "--no-edit", "side"]);
    assert_eq!(s.verdict(), Landed::Ancestor);
}

#[test]
fn equal_patches_tell_even_where_the_lines_changed_since() {
    let s = Story::new();
    s.on("side")
        .edit("f", "line 3\n", "three\n")
        .edit("bin", "\u{1}", "\u{3}")
        .edit("f", "line 9\n", "nine\n");
    s.on("main").edit("f", "line 19\n", "nineteen\n").git(&["cherry-pick", "side~2", "side~1"]);
    s.edit("f", "three\n", "drei\n");
    assert_eq!(s.verdict(), Landed::No { commits: 3 }, "one is missing");
    s.git(&["cherry-pick", "side"]);
    assert_eq!(s.verdict(), Landed::PatchEqual);
}

#[test]
fn a_squash_tells_even_where_the_lines_changed_since() {
    let s = Story::new();
    s.on("side").edit("f", "line 3\n", "three\n").edit("f", "line 9\n", "nine\n");
    s.on("main").edit("script", "sh", "bash");
    s.git(&["merge", "-q", "--squash", "side"]).git(&["commit", "-q", "-m", "squash"]);
    s.edit("f", "three\n", "drei\n");
    assert_eq!(s.verdict(), Landed::Squashed);
    s.on("side").edit("f", "line 12\n", "twelve\n");
    assert_eq!(s.verdict(), Landed::No { commits: 3 }, "work after the squash");
}

#[test]
fn what_was_taken_back_is_not_landed() {
    let s = Story::new();
    s.on("side").edit("f", "line 3\n", "three\n");
    s.on("main").edit("script", "sh", "bash").git(&["cherry-pick", "side"]).git(&[
        "revert",
        "--no-edit",
        "HEAD",
    ]);
    assert_eq!(s.verdict(), Landed::No { commits: 1 });
}

#[test]
fn white_space_modes_and_binary_content_count() {
    // Each branch makes a change that `git patch-id` cannot tell from the target's.
    let s = Story::new();
    s.on("side").edit("f", "line 3\n", "    line 3\n");
    s.on("main").edit("f", "line 3\n", "\tline 3\n");
    assert_eq!(s.verdict(), Landed::No { commits: 1 });

    let s = Story::new();
    let mode = |mode| {
        fs::set_permissions(s.repo.path().join("script"), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    s.on("main");
    mode(0o755);
    s.repo.commit_all("executable");
    s.git(&["branch", "-f", "side"]);
    mode(0o644);
    s.repo.commit_all("not executable");
    s.on("side").edit("script", "sh", "zsh");
    s.on("main").edit("script", "sh", "zsh").edit("script", "zsh", "ksh");
    assert_eq!(s.verdict(), Landed::No { commits: 1 });

    let s = Story::new();
    s.on("side").edit("bin", "\u{1}", "\u{3}");
    s.on("main").edit("bin", "\u{1}", "\u{4}");
    assert_eq!(s.verdict(), Landed::No { commits: 1 });
}

#[test]
fn merges_and_foreign_histories_are_no() {
    let s = Story::new();
    s.on("main").edit("script", "sh", "bash");
    s.on("side").edit("f", "line 3\n", "three\n");
    s.git(&["merge", "-q", "--no-commit", "main"]);
    s.repo.write("only in the merge", "x");
    s.repo.commit_all("merge");
    s.on("main").git(&["cherry-pick", "side~1"]).edit("f", "three\n", "drei\n");
    assert_eq!(s.verdict(), Landed::No { commits: 2 });

    let s = Story::new();
    s.git(&["checkout", "-q", "--orphan", "other"]);
    s.repo.commit("g", "g");
    s.git(&["branch", "-f", "side"]);
    assert_eq!(s.verdict(), Landed::No { commits: 1 });
}
