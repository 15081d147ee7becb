//! What conflicts, and how; and what only looks like it.

use std::os::unix::ffi::OsStrExt as _;

use fs_err as fs;

use super::{edit, field, look, names, pairs, task};

#[test]
fn every_kind_is_told_as_git_tells_it() {
    let field = field();
    let repo = field.repo();
    repo.write("bin", b"\0\x01base");
    repo.write("moved", crate::env::lines("moved", 20));
    repo.write("gone", crate::env::lines("gone", 20));
    repo.commit_all("more");
    let [a, b] = ["one", "two"].map(|name| field.open(name, &[]));
    a.write("bin", b"\0\x02one");
    b.write("bin", b"\0\x03two");
    a.git(&["mv", "moved", "here"]);
    b.git(&["mv", "moved", "there"]);
    fs::remove_file(a.path().join("gone")).unwrap();
    edit(&b, "gone", 3, "kept");
    a.write("place", "a file\n");
    b.write("place/below", "in a folder\n");
    for (workspace, digit) in [(&a, "1"), (&b, "2")] {
        let info = format!("160000,{},module", digit.repeat(40));
        workspace.git(&["update-index", "--add", "--cacheinfo", &info]);
        workspace.git(&["commit", "-qm", "module"]);
        fs::create_dir(workspace.path().join("module")).unwrap();
    }
    let view = look(&field, &[]);
    let files: Vec<String> = view["pairs"][0]["files"].as_array().unwrap().iter().map(super::file).collect();
    for wanted in ["bin (binary)", "gone (modify-delete)", "module (submodule)"] {
        assert!(files.iter().any(|file| file == wanted), "{wanted}: {files:?}");
    }
    assert!(
        files.iter().any(|file| file.starts_with("place") && file.ends_with("(file-directory)")),
        "{files:?}"
    );
    assert!(files.iter().any(|file| file.ends_with("(rename)")), "{files:?}");
}

#[test]
fn a_rename_and_an_edit_of_the_same_file_merge() {
    let field = field();
    let [a, b] = ["one", "two"].map(|name| field.open(name, &[]));
    a.git(&["mv", "src/f", "src/renamed"]);
    edit(&b, "src/f", 3, "edited");
    let view = look(&field, &[]);
    assert_eq!((pairs(&view), names(&view).len()), (vec![], 2));
}

#[test]
fn names_of_any_bytes_neither_break_the_answer_nor_the_screen() {
    let field = field();
    let [a, b] = ["one", "two"].map(|name| field.open(name, &[]));
    let odd: [&[u8]; 5] = [b"-f", b"a\nb", b"\x1b[31mred", b"\xff\xfe", b"with \"quotes\" and \\"];
    for (workspace, text) in [(&a, "one\n"), (&b, "two\n")] {
        for name in odd {
            fs::write(workspace.path().join(std::ffi::OsStr::from_bytes(name)), text).unwrap();
        }
    }
    let view = look(&field, &[]);
    assert_eq!(view["pairs"][0]["files"].as_array().unwrap().len(), odd.len(), "{view}");
    let said = field.program.wt(&["conflicts", "--files"]).ok();
    assert!(!said.contains('\x1b') && said.contains("\n  -f (both added)\n"), "{said}");
}

#[test]
fn what_wt_brought_in_is_nobodys_work() {
    let field = super::Field::with("[workspace]\ncopy = [\".env\"]\n");
    field.repo().write(".gitignore", ".env\n");
    field.repo().commit_all("ignored");
    field.repo().write(".env", "SECRET=1\n");
    let [a, b] = ["one", "two"].map(|name| field.open(name, &[]));
    for (workspace, text) in [(&a, "SECRET=2\n"), (&b, "SECRET=3\n")] {
        workspace.write(".env", text);
        workspace.write(".gitignore", "");
        workspace.write("CLAUDE.local.md", text);
    }
    let view = look(&field, &[]);
    assert_eq!(pairs(&view), [] as [String; 0]);
    assert_eq!(task(&view, "one")["files_changed"], 1, "{view}");
    a.write("CLAUDE.md", "one\n");
    b.write("CLAUDE.md", "two\n");
    assert_eq!(pairs(&look(&field, &[])), ["one+two*: CLAUDE.md (add-add)"]);
}

#[test]
fn files_count_as_git_would_commit_them() {
    let field = field();
    field.repo().write(".gitattributes", "*.txt text eol=crlf\n");
    field.repo().write("doc.txt", crate::env::lines("doc", 20));
    field.repo().commit_all("line ends");
    let [a, b] = ["one", "two"].map(|name| field.open(name, &[]));
    a.write("doc.txt", a.read("doc.txt").replace("doc 3\r\n", "three\r\n"));
    a.commit_all("three");
    assert!(b.read("doc.txt").contains("doc 15\r\n"), "it is converted on the way out");
    b.write("doc.txt", b.read("doc.txt").replace("doc 15\r\n", "fifteen\r\n"));
    let view = look(&field, &[]);
    assert_eq!((pairs(&view), names(&view).len()), (vec![], 2));
    assert_eq!(task(&view, "two")["uncommitted"], true);
}

#[test]
fn a_task_is_compared_with_its_target_and_only_with_those_of_the_same() {
    let field = field();
    field.repo().git(&["branch", "next"]);
    let a = field.open("one", &[]);
    let b = field.open("two", &["--into", "next"]);
    edit(&a, "src/f", 3, "one");
    edit(&b, "src/f", 3, "two");
    edit(field.repo(), "src/f", 3, "target");
    field.repo().commit_all("moved on");
    let view = look(&field, &[]);
    assert_eq!(pairs(&view), [] as [String; 0]);
    assert_eq!(super::file(&task(&view, "one")["target_conflicts"][0]), "src/f (content)");
    assert_eq!(task(&view, "two")["target_conflicts"].as_array().unwrap().len(), 0);
    assert_eq!(task(&view, "two")["target"], "next");
}
