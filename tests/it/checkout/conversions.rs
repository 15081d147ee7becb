//! Filters, line ends, encodings, odd names: what a checkout does beside writing blobs.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use fs_err as fs;
use wt::git::Repo;
use wt::git::checkout::{Filled, Why};

use super::{commit_aged, compared, filled, left_to_git, padded};
use crate::env::{Env, TestRepo};

/// A long-running filter (gitattributes, "Long Running Filter Process") that changes the case of one line of text.
const PROCESS: &str = r#"#!/bin/sh
say() { printf '%04x%s\n' $((${#1} + 5)) "$1"; }
flush() { printf 0000; }
hear() {
    length=$(dd bs=1 count=4 2>/dev/null)
    [ -n "$length" ] || exit 0
    [ "$length" = 0000 ] && return 1
    line=$(dd bs=1 count=$((0x$length - 4)) 2>/dev/null)
}
while hear; do :; done
say git-filter-server; say version=2; flush
while hear; do :; done
say capability=clean; say capability=smudge; flush
while :; do
    while hear; do case $line in command=*) command=${line#command=};; esac; done
    text=; while hear; do text=$text$line; done
    case $command in
    smudge) text=$(printf %s "$text" | tr a-z A-Z);;
    clean) text=$(printf %s "$text" | tr A-Z a-z);;
    esac
    say status=success; flush; say "$text"; flush; flush
done
"#;

/// Stands for Git LFS: content in a folder, a line in `log` for every file that is fetched from it.
const LARGE_FILES: &str = r#"#!/bin/sh
store=$(dirname "$0")
case $1 in
clean)
    cat > "$store/new.$$"
    sum=$(sha256sum < "$store/new.$$" | cut -d' ' -f1)
    size=$(wc -c < "$store/new.$$")
    mv "$store/new.$$" "$store/$sum"
    printf 'version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n' "$sum" "$size";;
smudge)
    sum=$(sed -n 's/^oid sha256://p')
    echo "$sum" >> "$store/log"
    cat "$store/$sum";;
esac
"#;

fn program(env: &Env, name: &str, text: &str) -> String {
    let path = env.root().join("bin").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.to_string_lossy().into_owned()
}

fn large_files(env: &Env, repo: &TestRepo) {
    let lfs = program(env, "git-lfs", LARGE_FILES);
    repo.git(&["config", "filter.lfs.clean", &format!("{lfs} clean")]);
    repo.git(&["config", "filter.lfs.smudge", &format!("{lfs} smudge")]);
    repo.git(&["config", "filter.lfs.required", "true"]);
}

fn fetched(env: &Env) -> usize {
    fs::read_to_string(env.root().join("bin/log")).unwrap_or_default().lines().count()
}

fn write_bytes(repo: &TestRepo, name: &[u8], text: &[u8]) {
    fs::write(repo.path().join(OsStr::from_bytes(name)), text).unwrap();
}

#[test]
fn everything_that_a_checkout_can_do_is_done() {
    let (env, repo) = padded();
    repo.git(&["config", "filter.up.smudge", "tr a-z A-Z"]);
    repo.git(&["config", "filter.up.clean", "tr A-Z a-z"]);
    repo.git(&["config", "filter.process.process", &program(&env, "process", PROCESS)]);
    repo.git(&["config", "filter.process.required", "true"]);
    // What it drops no checkout brings back.
    repo.git(&["config", "filter.strip.clean", "sed 's/output.*//'"]);
    repo.git(&["config", "filter.low.clean", "tr A-Z a-z"]);
    large_files(&env, &repo);
    let attributes = "*.crlf text eol=crlf\n*.auto text=auto\n*.id ident\n*.u16 text working-tree-encoding=UTF-16LE\n\
        *.up filter=up\n*.process filter=process\n*.nb filter=strip\n*.large filter=lfs -text\n*.was text eol=crlf\n\
        *.low filter=low\n*.none filter=nobody\n";
    repo.write(".gitattributes", attributes);
    repo.write("nested/.gitattributes", "*.crlf -text eol=lf\n*.here text eol=crlf\n");
    repo.write("a.crlf", "one\r\ntwo\r\n");
    repo.write("nested/a.crlf", "one\ntwo\n");
    repo.write("nested/deep/a.here", "one\r\ntwo\r\n");
    repo.write("windows.auto", "one\r\ntwo\r\n");
    repo.write("unix.auto", "one\ntwo\n");
    repo.write("a.id", "$Id$\n");
    repo.write("a.u16", b"h\0i\0\n\0");
    repo.write("a.up", "SHOUTED\n");
    repo.write("a.process", "ALL OF IT\n");
    repo.write("b.process", "ALL OF THIS\n");
    repo.write("a.nb", "code output 12\n");
    repo.write("a.low", "Loud\n");
    repo.write("a.none", "as it is\n");
    repo.write("a.large", "much\n".repeat(1000));
    repo.write("old.was", "one\r\ntwo\r\n");
    repo.write("run", "#!/bin/sh\n");
    repo.write("secret", "closed to others\n");
    for (name, mode) in [("run", 0o750), ("secret", 0o600)] {
        fs::set_permissions(repo.path().join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    symlink("run", repo.path().join("link")).unwrap();
    symlink("nowhere at all", repo.path().join("dangling")).unwrap();
    symlink("nested", repo.path().join("to a folder")).unwrap();
    repo.write("sp ace/new\nline", "x\n");
    repo.write("ünï/\"quoted\" \\ -- ", "x\n");
    repo.write("-dash", "x\n");
    repo.write("empty", "");
    write_bytes(&repo, b"odd\xff\xfe", b"x\n");
    fs::create_dir(repo.path().join("sub")).unwrap();
    commit_aged(&repo);
    let head = repo.head();
    repo.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{head},sub")]);
    // Attributes that have changed since a file was written leave it clean for git.
    repo.write(".gitattributes", attributes.replace("*.was text eol=crlf\n", ""));
    super::date(&repo.path().join(".gitattributes"), super::LONG_AGO + 1);
    repo.git(&["add", ".gitattributes"]);
    repo.git(&["commit", "-q", "-m", "more"]);
    assert_eq!(repo.git(&["status", "--porcelain"]), "", "the source is clean for git");

    let found = Repo::discover(repo.path()).unwrap();
    let before = fetched(&env);
    let (ours, how) = filled(&env, &found, "first", &repo.head());
    assert_eq!(fetched(&env), before, "a large file was fetched that was there");
    assert_eq!(fs::read(ours.path().join("windows.auto")).unwrap(), b"one\ntwo\n");
    assert_eq!(fs::read(ours.path().join("old.was")).unwrap(), b"one\ntwo\n");
    assert_eq!(fs::read(ours.path().join("a.nb")).unwrap(), b"code \n");
    assert_eq!(fs::read(ours.path().join("a.process")).unwrap(), b"ALL OF IT\n");
    // .crlf .here windows.auto .id .u16 .up .process (2) .was .nb .low
    assert_eq!(left_to_git(how), 11);
    assert_eq!(left_to_git(compared(&env, &repo, "second", &repo.head())), 11);

    // A pointer that was never replaced is not copied; then git fetches it.
    repo.git(&["config", "filter.lfs.smudge", "cat"]);
    fs::remove_file(repo.path().join("a.large")).unwrap();
    repo.git(&["checkout", "-q", "--", "a.large"]);
    super::date(&repo.path().join("a.large"), super::LONG_AGO);
    repo.git(&["config", "filter.lfs.clean", "cat"]);
    repo.git(&["update-index", "--refresh"]);
    large_files(&env, &repo);
    assert_eq!(left_to_git(compared(&env, &repo, "pointer", &repo.head())), 12);
    repo.git(&["fsck"]);
}

#[test]
fn a_filter_that_fails_makes_nothing() {
    let (env, repo) = padded();
    repo.write(".gitattributes", "*.x filter=bad\n");
    repo.write("f.x", "x");
    commit_aged(&repo);
    repo.git(&["config", "filter.bad.smudge", "false"]);
    repo.git(&["config", "filter.bad.clean", "cat"]);
    repo.git(&["config", "filter.bad.required", "true"]);
    let found = Repo::discover(repo.path()).unwrap();
    let path = env.root().join("broken");
    let head = crate::git_repo::oid(&repo.head());
    let failed = wt::git::worktree::add(&found, &path, "wt/x", &head);
    assert!(matches!(failed, Err(wt::git::GitError::Failed { .. })), "{failed:?}");
    assert!(!path.exists() && found.branch_tip("wt/x").unwrap().is_none());
}

#[test]
fn attributes_from_outside_count_too() {
    let (env, repo) = padded();
    repo.write("a.txt", "one\ntwo\n");
    commit_aged(&repo);
    assert_eq!(left_to_git(compared(&env, &repo, "plain", "main")), 0);
    repo.write(".git/info/attributes", "*.txt text eol=crlf\n");
    assert_eq!(left_to_git(compared(&env, &repo, "info", "main")), 1);
    fs::remove_file(repo.path().join(".git/info/attributes")).unwrap();
    let file = env.root().join("attributes");
    fs::write(&file, "*.txt ident\n").unwrap();
    repo.git(&["config", "core.attributesFile", &file.to_string_lossy()]);
    assert_eq!(left_to_git(compared(&env, &repo, "user", "main")), 1);
    // Those of the wanted commit, not those that lie in the source.
    repo.git(&["config", "--unset", "core.attributesFile"]);
    repo.write(".gitattributes", "pad/1/* text eol=crlf\n");
    assert_eq!(left_to_git(compared(&env, &repo, "uncommitted", "main")), 0);
}

#[test]
fn settings_that_change_files_leave_them_to_git() {
    let (env, repo) = padded();
    repo.write("a.txt", "one\ntwo\n");
    symlink("a.txt", repo.path().join("link")).unwrap();
    commit_aged(&repo);
    for (n, (key, value, why)) in [
        ("core.autocrlf", "true", Why::LineEnds),
        ("core.symlinks", "false", Why::Symlinks),
        ("core.fileMode", "false", Why::FileMode),
        ("core.splitIndex", "true", Why::SplitIndex),
        ("core.ignoreCase", "true", Why::Names),
    ]
    .into_iter()
    .enumerate()
    {
        let before = repo.try_git(&["config", key]).stdout;
        repo.git(&["config", key, value]);
        let found = Repo::discover(repo.path()).unwrap();
        let (ours, how) = filled(&env, &found, &format!("o{n}"), &repo.head());
        let theirs = super::by_git(&env, &repo, &format!("t{n}"), "main");
        assert_eq!(how, Filled::ByGit(why), "{key}");
        super::assert_same(ours.path(), theirs.path());
        match String::from_utf8(before).unwrap().trim() {
            "" => drop(repo.git(&["config", "--unset", key])),
            before => drop(repo.git(&["config", key, before])),
        }
    }
    repo.git(&["config", "core.autocrlf", "input"]);
    assert_eq!(left_to_git(compared(&env, &repo, "input", "main")), 0);
}

#[test]
fn a_sparse_checkout_stays_sparse() {
    let (env, repo) = padded();
    commit_aged(&repo);
    repo.git(&["sparse-checkout", "set", "--cone", "pad/1"]);
    assert_eq!(compared(&env, &repo, "sparse", "main"), Filled::ByGit(Why::Sparse));
    assert!(!Path::new(&env.root().join("ours/sparse/pad/2")).exists());
}

#[test]
fn one_file_and_none_are_gits() {
    let (env, repo) = Env::with_repo();
    assert_eq!(compared(&env, &repo, "one", "main"), Filled::ByGit(Why::Small));
    repo.git(&["rm", "-q", "README.md"]);
    repo.git(&["commit", "-q", "-m", "none"]);
    assert_eq!(compared(&env, &repo, "none", "main"), Filled::ByGit(Why::Small));
    // A large source, and nothing of it wanted.
    super::pad(&repo);
    commit_aged(&repo);
    let none = compared(&env, &repo, "none again", "main~1");
    assert!(matches!(none, Filled::Copied { copied: 0, .. } | Filled::ByGit(_)), "{none:?}");
}
