//! `git::clean`: what it proves of a worktree is what `git status` says, whatever was done there.

use std::os::unix::fs as unix;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fs_err as fs;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rstest::rstest;
use wt::git::clean::{self, Verdict};
use wt::git::worktree;
use wt::git::{LinkedWorktree, Repo, status};

use crate::env::{Env, TestRepo};
use crate::git_repo::oid;

/// A repository with a worktree whose files are some seconds older than its index.
pub struct Place {
    pub env: Env,
    pub repo: Repo,
    pub tree: LinkedWorktree,
    settled: std::cell::Cell<u64>,
}

const IGNORED: &str = "*.log\n/out/\nbuild/\n!keep.log\ntmp*\n";

impl Place {
    pub fn new() -> Self {
        let (env, at) = Env::with_repo();
        at.write(".gitignore", IGNORED);
        for path in ["a.txt", "src/b.txt", "src/deep/c.txt", "build/tracked.txt", "src.d/e.txt"] {
            at.write(path, format!("{path}\n"));
        }
        at.git(&["add", "-A", "-f"]);
        at.git(&["commit", "-qm", "files"]);
        let repo = Repo::discover(at.path()).unwrap();
        let base = oid(&at.head());
        let tree = worktree::add(&repo, &env.root().join("tree"), "wt/task", &base).unwrap();
        let place = Self { env, repo, tree, settled: std::cell::Cell::default() };
        place.settle();
        place
    }

    pub fn at(&self) -> TestRepo {
        self.env.at(self.tree.path())
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.tree.path().join(path)
    }

    /// Makes every file some seconds old, and has git take note of it.
    pub fn settle(&self) {
        // Another second each time: git takes no note of less.
        self.settled.set(self.settled.get() + 1);
        age(self.tree.path(), self.settled.get());
        self.at().git(&["status"]);
    }

    fn look(&self) -> Verdict {
        clean::look(&self.repo, self.tree.checkout())
    }

    /// Compares what is proved with what git says; returns it.
    fn agrees(&self, after: &str) -> Verdict {
        let looked = self.look();
        let says = status::status(self.tree.checkout()).unwrap();
        let plain =
            self.at().git(&["--no-optional-locks", "status", "--porcelain", "--untracked-files=normal"]);
        assert_eq!(says.dirty(), !plain.is_empty(), "{plain}");
        let expected = if plain.is_empty() { Verdict::Clean } else { Verdict::Dirty };
        assert!(
            looked == expected || looked == Verdict::AskGit,
            "{after}: {looked:?}, but git says:\n{plain}"
        );
        assert_eq!(clean::is_clean(&self.repo, self.tree.checkout()).unwrap(), plain.is_empty(), "{after}");
        looked
    }
}

fn age(folder: &Path, second: u64) {
    let then = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000 + second, 123_456_789);
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let about = fs::symlink_metadata(&path).unwrap();
        if about.is_dir() {
            age(&path, second);
        } else if about.is_file() {
            fs::File::open(&path).unwrap().file().set_modified(then).unwrap();
        }
    }
}

#[test]
fn an_untouched_worktree_is_proved_clean() {
    let place = Place::new();
    assert_eq!(place.agrees("nothing"), Verdict::Clean);
    // Neither ignored things nor empty folders count.
    place.at().write("x.log", "x");
    place.at().write("out/deep/x", "x");
    place.at().write("build/y", "x");
    place.at().write("new/only.log", "x");
    fs::create_dir_all(place.path("empty/inside")).unwrap();
    assert_eq!(place.agrees("ignored files"), Verdict::Clean);
}

#[rstest]
#[case::untracked("new.txt")]
#[case::in_a_folder("new/deep/x.txt")]
#[case::taken_back("src/keep.log")]
#[case::beside_ignored("src/out/x")]
fn a_file_that_nobody_ignores_is_proved_dirty(#[case] path: &str) {
    let place = Place::new();
    place.at().write(path, "x");
    assert_eq!(place.agrees(path), Verdict::Dirty);
}

#[test]
fn changes_are_proved_dirty_where_git_need_not_read_the_file() {
    let place = Place::new();
    place.at().write("src/b.txt", "longer than it was before\n");
    assert_eq!(place.agrees("another size"), Verdict::Dirty);
    place.at().git(&["checkout", "-q", "."]);
    place.settle();
    fs::remove_file(place.path("src/deep/c.txt")).unwrap();
    assert_eq!(place.agrees("missing"), Verdict::Dirty);
    fs::remove_dir(place.path("src/deep")).unwrap();
    assert_eq!(place.agrees("with its folder"), Verdict::Dirty);
    place.at().git(&["checkout", "-q", "."]);
    place.settle();
    fs::set_permissions(place.path("a.txt"), std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(place.agrees("executable"), Verdict::Dirty);
    place.at().git(&["commit", "-qam", "mode"]);
    place.settle();
    assert_eq!(place.agrees("committed"), Verdict::Clean);
    place.at().git(&["reset", "-q", "--soft", "HEAD~"]);
    assert_eq!(place.agrees("staged"), Verdict::Dirty);
}

#[test]
fn a_file_of_the_same_size_and_time_as_the_index_is_left_to_git() {
    let place = Place::new();
    fs::write(place.path("a.txt"), "A.txt\n").unwrap();
    assert_eq!(place.agrees("another time"), Verdict::AskGit);
    place.at().git(&["add", "a.txt"]);
    place.at().git(&["commit", "-qm", "a"]);
    // Written in the same instant as the index, so that its times would tell nothing.
    fs::write(place.path("a.txt"), "B.txt\n").unwrap();
    place.agrees("within one tick");
}

#[rstest]
#[case::file_mode("core.fileMode", "false")]
#[case::change_times("core.trustctime", "false")]
#[case::less_stat("core.checkStat", "minimal")]
#[case::letters("core.ignoreCase", "true")]
#[case::sparse("core.sparseCheckout", "true")]
#[case::conditional("includeIf.onbranch:wt/task.path", "other")]
fn unusual_settings_are_left_to_git(#[case] key: &str, #[case] value: &str) {
    let place = Place::new();
    place.at().git(&["config", key, value]);
    assert_eq!(place.agrees(key), Verdict::AskGit);
}

#[test]
fn unusual_indexes_are_left_to_git() {
    type Change = (&'static str, &'static [&'static str], &'static [&'static str]);
    let changes: [Change; 5] = [
        (
            "assumed unchanged",
            &["update-index", "--assume-unchanged", "a.txt"],
            &["update-index", "--no-assume-unchanged", "a.txt"],
        ),
        (
            "skipped",
            &["update-index", "--skip-worktree", "a.txt"],
            &["update-index", "--no-skip-worktree", "a.txt"],
        ),
        ("split", &["update-index", "--split-index"], &["update-index", "--no-split-index"]),
        ("sparse", &["sparse-checkout", "set", "--cone", "src"], &["sparse-checkout", "disable"]),
        ("meant to be added", &["add", "-N", "-f", "x.log"], &["reset", "-q"]),
    ];
    let place = Place::new();
    place.at().write("x.log", "x");
    for (name, there, back) in changes {
        place.at().git(there);
        assert_eq!(place.agrees(name), Verdict::AskGit, "{name}");
        place.at().git(back);
        place.agrees("back");
    }
    for version in ["2", "3", "4"] {
        place.at().git(&["update-index", "--index-version", version]);
        place.agrees(version);
    }
}

#[test]
fn settings_of_the_worktree_alone_are_left_to_git() {
    let place = Place::new();
    place.at().git(&["config", "extensions.worktreeConfig", "true"]);
    assert_eq!(place.agrees("no such settings"), Verdict::Clean);
    place.at().git(&["config", "--worktree", "core.excludesFile", "/dev/null"]);
    assert_eq!(place.agrees("its own settings"), Verdict::AskGit);
}

#[test]
fn ignore_rules_outside_of_the_worktree_count() {
    let place = Place::new();
    place.at().write("mine.bak", "x");
    place.at().write("also.orig", "x");
    assert_eq!(place.agrees("two files"), Verdict::Dirty);
    let file = place.env.root().join("ignored");
    fs::write(&file, "*.bak\n").unwrap();
    place.at().git(&["config", "core.excludesFile", &file.to_string_lossy()]);
    assert_eq!(place.agrees("one of them ignored by the user"), Verdict::Dirty);
    worktree::exclude(&place.repo, &["*.orig"]).unwrap();
    assert_eq!(place.agrees("the other by the repository"), Verdict::Clean);
    place.at().write(".gitignore", format!("{IGNORED}!*.bak\n"));
    assert_eq!(place.agrees("and taken back"), Verdict::Dirty);
}

#[test]
fn hostile_worktrees_lead_nowhere() {
    let place = Place::new();
    let outside = place.env.root().join("outside");
    fs::create_dir_all(outside.join("deep")).unwrap();
    for name in ["b.txt", "deep/c.txt"] {
        fs::rename(place.path("src").join(name), outside.join(name)).unwrap();
    }
    fs::remove_dir_all(place.path("src")).unwrap();
    unix::symlink(&outside, place.path("src")).unwrap();
    place.agrees("a folder became a symlink");
    fs::remove_file(place.path("src")).unwrap();
    place.at().git(&["checkout", "-q", "."]);
    place.settle();
    assert_eq!(place.agrees("back"), Verdict::Clean);

    place.at().write("nested/file", "x");
    place.env.git_in(&place.path("nested"), &["init", "-q"]);
    assert_eq!(place.agrees("a repository inside"), Verdict::AskGit);
    fs::remove_dir_all(place.path("nested")).unwrap();

    place.env.command("mkfifo", place.tree.path()).arg("pipe").status().unwrap();
    assert_eq!(place.agrees("a pipe"), Verdict::Clean);

    unix::symlink("/dev/zero", place.path("src/deep/.gitignore")).unwrap();
    place.agrees("patterns without end");
    fs::remove_file(place.path("src/deep/.gitignore")).unwrap();

    let index = place.tree.checkout().git_dir().join("index");
    let whole = fs::read(&index).unwrap();
    for cut in [0, 1, 12, 40, whole.len() / 2, whole.len() - 30] {
        fs::write(&index, &whole[..cut]).unwrap();
        assert_eq!(place.look(), Verdict::AskGit, "cut at {cut}");
    }
    let climbing: Vec<u8> = whole
        .windows(5)
        .position(|at| at == b"a.txt")
        .map(|at| {
            let mut bytes = whole.clone();
            bytes[at..at + 5].copy_from_slice(b"../xy");
            bytes
        })
        .unwrap();
    fs::write(&index, climbing).unwrap();
    assert_eq!(place.look(), Verdict::AskGit);
}

/// One thing that is done to a worktree.
#[derive(Debug, Clone)]
pub enum Deed {
    Write(&'static str, u8),
    Delete(&'static str),
    Rename(&'static str, &'static str),
    Executable(&'static str),
    Touch(&'static str),
    Folder(&'static str),
    Link(&'static str),
    Ignore(&'static str, Vec<&'static str>),
    Git(&'static [&'static str]),
    Settle,
}

const PATHS: &[&str] = &[
    "a.txt",
    "src/b.txt",
    "src/deep/c.txt",
    "build/tracked.txt",
    "build/x",
    "src.d/e.txt",
    "n.txt",
    "x.log",
    "keep.log",
    "src/keep.log",
    "src/x.log",
    "out/x",
    "src/out/x",
    "tmp1",
    "src/tmp/y",
    "new/a/b",
    "new/x.log",
    "é ü.txt",
    "src/[x]",
];
const PATTERNS: &[&str] = &[
    "*.log",
    "!keep.log",
    "/out",
    "out/",
    "src/**",
    "**/tmp*",
    "!/src/deep/",
    "[a-n].txt",
    "\\[x\\]",
    "new/*/b",
    "!*",
    "*",
    "# nothing",
    "x.log ",
    "deep/",
    "!a.txt",
    "/*/x",
    "é*",
];
const CALLS: &[&[&str]] = &[
    &["add", "-A"],
    &["add", "-A", "-f"],
    &["commit", "-q", "--allow-empty", "-m", "more"],
    &["reset", "-q", "--hard"],
    &["reset", "-q", "--soft", "HEAD~"],
    &["reset", "-q"],
    &["rm", "-q", "--cached", "--ignore-unmatch", "a.txt"],
    &["clean", "-qfd"],
    &["clean", "-qfdx"],
    &["stash", "-q"],
    &["status"],
];

pub fn deed() -> impl Strategy<Value = Deed> {
    let path = || proptest::sample::select(PATHS);
    let folder = proptest::sample::select(vec!["", "src/", "src/deep/", "build/", "new/"]);
    let lines = proptest::collection::vec(proptest::sample::select(PATTERNS), 0..4);
    prop_oneof![
        4 => (path(), 0..4u8).prop_map(|(path, text)| Deed::Write(path, text)),
        2 => path().prop_map(Deed::Delete),
        2 => (path(), path()).prop_map(|(from, to)| Deed::Rename(from, to)),
        1 => path().prop_map(Deed::Executable),
        1 => path().prop_map(Deed::Touch),
        1 => path().prop_map(Deed::Folder),
        1 => path().prop_map(Deed::Link),
        2 => (folder, lines).prop_map(|(folder, lines)| Deed::Ignore(folder, lines)),
        4 => proptest::sample::select(CALLS).prop_map(Deed::Git),
        3 => Just(Deed::Settle),
    ]
}

/// Does it as far as it can be done.
pub fn act(place: &Place, deed: &Deed) {
    let at = |path: &str| place.path(path);
    let room = |path: &str| drop(at(path).parent().map(fs::create_dir_all));
    match deed {
        Deed::Write(path, text) => {
            room(path);
            drop(fs::write(at(path), ["", "one\n", "two\n", "a longer text\n"][usize::from(*text)]));
        }
        Deed::Delete(path) => drop(fs::remove_file(at(path)).or_else(|_| fs::remove_dir_all(at(path)))),
        Deed::Rename(from, to) => {
            room(to);
            drop(fs::rename(at(from), at(to)));
        }
        Deed::Executable(path) => {
            drop(fs::set_permissions(at(path), std::fs::Permissions::from_mode(0o755)));
        }
        Deed::Touch(path) => {
            let file = fs::File::options().append(true).open(at(path));
            drop(file.map(|file| file.file().set_modified(SystemTime::UNIX_EPOCH)));
        }
        Deed::Folder(path) => drop(fs::create_dir_all(at(path))),
        Deed::Link(path) => {
            room(path);
            drop(unix::symlink("a.txt", at(path)));
        }
        Deed::Ignore(folder, lines) => {
            room(&format!("{folder}x"));
            drop(fs::write(at(&format!("{folder}.gitignore")), lines.join("\n")));
        }
        Deed::Git(call) => drop(place.at().try_git(call)),
        Deed::Settle => place.settle(),
    }
}

#[test]
fn whatever_is_done_to_a_worktree_the_answer_is_gits() {
    let cases = std::env::var("WT_TEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(24);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 64, ..Config::default() };
    let dice = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, dice);
    let seen = std::cell::RefCell::new([0; 3]);
    let deeds = proptest::collection::vec(deed(), 1..16);
    let run = runner.run(&deeds, |deeds| {
        let place = Place::new();
        for (n, deed) in deeds.iter().enumerate() {
            act(&place, deed);
            seen.borrow_mut()[place.agrees(&format!("{:?}", &deeds[..=n])) as usize] += 1;
        }
        Ok(())
    });
    run.unwrap();
    let [clean, left, dirty] = seen.into_inner();
    assert!(
        clean > 10 && dirty > 10,
        "clean {clean}, dirty {dirty}, left to git {left}: hardly anything is proved"
    );
}
