//! Branches that a landing has to bring together: the same on every machine, made in bulk.
//!
//! Each branch has three commits from one base. Each edits files of its own; the second one also edits a line of a file that
//! all branches share, so that a third of the commits is git's to merge.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

const FILES_A_FOLDER: usize = 25;
const DATE: usize = 1_700_000_000;

/// What is generated.
#[derive(Clone, Copy)]
pub struct Size {
    /// Files of the base.
    pub files: usize,
    /// Branches on it.
    pub branches: usize,
}

fn path(n: usize) -> String {
    format!("top{}/dir{}/file{n}.txt", n / (FILES_A_FOLDER * 20), n / FILES_A_FOLDER)
}

fn text(n: usize, edit: &str) -> String {
    let lines = (0..40).fold(String::new(), |text, line| text + &format!("line {line} of file {n}\n"));
    lines.replacen("line 20 ", &format!("line 20 {edit}"), 1)
}

/// The file that all branches edit, each a line of its own.
fn shared(branches: usize, edited: Option<usize>) -> (String, String) {
    let line = |n| {
        let edit = if edited == Some(n) { " edited" } else { "" };
        format!("line {n}{edit}\n") + &"room between two branches\n".repeat(8)
    };
    ("shared.txt".to_owned(), (0..branches).map(line).collect())
}

fn commit(script: &mut String, branch: &str, from: Option<&str>, date: usize, files: &[(String, String)]) {
    let _ = writeln!(script, "commit refs/heads/{branch}");
    let _ = writeln!(script, "committer A <a@example.invalid> {} +0000\ndata 2\nc", DATE + date);
    if let Some(from) = from {
        let _ = writeln!(script, "from {from}");
    }
    for (path, text) in files {
        let _ = writeln!(script, "M 100644 inline {path}\ndata {}\n{text}", text.len());
    }
}

/// Makes `main` with its one commit; `git` is a call in the repository.
pub fn base(git: &dyn Fn(&[&str]) -> Command, size: Size) {
    let mut files: Vec<(String, String)> = (0..size.files).map(|n| (path(n), text(n, ""))).collect();
    files.push(shared(size.branches, None));
    let mut script = String::new();
    commit(&mut script, "main", None, 0, &files);
    import(git, &script);
}

/// Makes the branches of these names on `main`, and puts all objects into one pack.
pub fn branches(git: &dyn Fn(&[&str]) -> Command, size: Size, names: &[String]) {
    let mut script = String::new();
    for (n, name) in names.iter().enumerate() {
        // Files far from each other, and of no other branch.
        let own = |k: usize| (k * size.branches + n) * (size.files / (8 * size.branches));
        let edited = |k: usize| (path(own(k)), text(own(k), "edited "));
        let date = 100 + 10 * n;
        let new = (path(own(0)).replace("file", "new"), text(n, "new "));
        let again = (path(own(0)), text(own(0), "edited again "));
        let first = [edited(0), edited(1), edited(2)];
        commit(&mut script, name, Some("refs/heads/main"), date, &first);
        commit(&mut script, name, None, date + 1, &[new, shared(size.branches, Some(n))]);
        commit(&mut script, name, None, date + 2, &[edited(3), again]);
    }
    import(git, &script);
    assert!(git(&["repack", "-adq"]).status().unwrap().success(), "git repack");
}

fn import(git: &dyn Fn(&[&str]) -> Command, script: &str) {
    let mut import = git(&["fast-import", "--quiet"]).stdin(Stdio::piped()).spawn().unwrap();
    import.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(import.wait().unwrap().success(), "git fast-import");
}
