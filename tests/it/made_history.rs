//! Made-up histories: files as values, changes that meet on few paths, and commits written by one `git fast-import`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use wt::model::Oid;

use crate::env::{TestRepo, lines};
use crate::git_repo::oid;

/// What stands at a path of a tree that is made up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    File { text: String, exec: bool },
    Link(u8),
    Submodule(u8),
}

/// The files of a commit that is made up.
pub type Files = BTreeMap<String, Item>;

/// Puts an item at a path; what is in the way goes.
pub fn put(files: &mut Files, path: &str, item: Item) {
    files.retain(|there, _| !is_below(path, there) && !is_below(there, path));
    files.insert(path.to_owned(), item);
}

pub fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

pub fn text(seed: &str) -> String {
    lines(&format!("the text of {seed}, line"), 12)
}

pub fn file(seed: &str) -> Item {
    Item::File { text: text(seed), exec: false }
}

/// One change of a commit, on few paths, so that the sides meet.
#[derive(Debug, Clone)]
pub enum Change {
    Line(usize, usize, u8),
    Add(usize, u8),
    Delete(usize),
    Rename(usize, usize),
    RenameFolder(usize, usize),
    DeleteFolder(usize),
    Exec(usize),
    Link(usize, u8),
    Submodule(usize, u8),
    /// The last part of the name in capitals, or back.
    Case(usize),
}

/// Stands for a byte that is no UTF-8 in the paths here.
const BYTE: char = '\u{f8e9}';

pub const PATHS: [&str; 15] = [
    "a",
    "a.b",
    "a0",
    "b/one",
    "b/two",
    "b/sub/three",
    "b/sub/four",
    "c/five",
    "c/sub/three",
    "d/e/f/six",
    "d/e/f/new",
    "d/e",
    "c",
    "new",
    "b/caf\u{f8e9}",
];
pub const FOLDERS: [&str; 7] = ["b", "b/sub", "c", "c/sub", "d/e", "d", "z"];

pub fn change() -> impl Strategy<Value = Change> {
    let path = 0..PATHS.len();
    let folder = 0..FOLDERS.len();
    prop_oneof![
        6 => (path.clone(), 0..12usize, 0..3u8).prop_map(|(p, l, v)| Change::Line(p, l, v)),
        4 => (path.clone(), 0..3u8).prop_map(|(p, v)| Change::Add(p, v)),
        2 => path.clone().prop_map(Change::Delete),
        3 => (path.clone(), path.clone()).prop_map(|(a, b)| Change::Rename(a, b)),
        2 => (folder.clone(), folder.clone()).prop_map(|(a, b)| Change::RenameFolder(a, b)),
        1 => folder.prop_map(Change::DeleteFolder),
        1 => path.clone().prop_map(Change::Exec),
        1 => (path.clone(), 0..3u8).prop_map(|(p, v)| Change::Link(p, v)),
        1 => (path.clone(), 0..3u8).prop_map(|(p, v)| Change::Submodule(p, v)),
        1 => path.prop_map(Change::Case),
    ]
}

pub fn make(files: &mut Files, change: &Change) {
    match *change {
        Change::Line(p, line, value) => {
            if let Some(Item::File { text, .. }) = files.get_mut(PATHS[p]) {
                let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
                lines[line] = format!("{} changed to {value}", lines[line]);
                *text = lines.join("\n") + "\n";
            }
        }
        Change::Add(p, value) => put(files, PATHS[p], file(&format!("an added {value}"))),
        Change::Delete(p) => drop(files.remove(PATHS[p])),
        Change::Rename(a, b) => {
            if let Some(item) = files.remove(PATHS[a]) {
                put(files, PATHS[b], item);
            }
        }
        Change::RenameFolder(a, b) if !is_below(FOLDERS[b], FOLDERS[a]) => {
            let moved: Vec<String> =
                files.keys().filter(|path| is_below(path, FOLDERS[a])).cloned().collect();
            for path in moved {
                let item = files.remove(&path).unwrap();
                put(files, &path.replacen(FOLDERS[a], FOLDERS[b], 1), item);
            }
        }
        Change::RenameFolder(..) => {}
        Change::DeleteFolder(f) => files.retain(|path, _| !is_below(path, FOLDERS[f])),
        Change::Exec(p) => {
            if let Some(Item::File { exec, .. }) = files.get_mut(PATHS[p]) {
                *exec = !*exec;
            }
        }
        Change::Link(p, value) => put(files, PATHS[p], Item::Link(value)),
        Change::Submodule(p, value) => put(files, PATHS[p], Item::Submodule(value)),
        Change::Case(p) => {
            let (folder, name) = PATHS[p].rsplit_once('/').unwrap_or(("", PATHS[p]));
            let capitals = format!("{folder}/{}", name.to_uppercase());
            let capitals = capitals.trim_start_matches('/');
            for (from, to) in [(PATHS[p], capitals), (capitals, PATHS[p])] {
                if let Some(item) = files.remove(from) {
                    put(files, to, item);
                    break;
                }
            }
        }
    }
}

/// The files that every made-up history begins with.
pub fn first_files() -> Files {
    let mut files = Files::new();
    for path in PATHS.iter().filter(|path| !["new", "d/e", "c", "d/e/f/new"].contains(path)) {
        put(&mut files, path, file(path));
    }
    files.insert("b/link".to_owned(), Item::Link(9));
    files.insert("c/module".to_owned(), Item::Submodule(5));
    files
}

pub fn with(files: &Files, changes: &[Change]) -> Files {
    let mut files = files.clone();
    for change in changes {
        make(&mut files, change);
    }
    files
}

/// A path as `git fast-import` reads it.
fn written(path: &str) -> String {
    if path.contains(BYTE) { format!("\"{}\"", path.replace(BYTE, "\\351")) } else { path.to_owned() }
}

/// Made-up commits, written by one `git fast-import`.
#[derive(Default)]
pub struct Script {
    text: String,
    commits: usize,
}

impl Script {
    /// Adds a commit with these files; returns its mark.
    pub fn commit(&mut self, files: &Files, parents: &[usize], date: i64, message: &str) -> usize {
        self.commits += 1;
        let mark = self.commits;
        let script = &mut self.text;
        // No branch moves on from another's commit by itself.
        let _ = writeln!(script, "reset refs/made/{mark}\n\ncommit refs/made/{mark}\nmark :{mark}");
        let _ = writeln!(script, "author A U Thor <a@example.org> {} +0130", date - 100);
        let _ = writeln!(script, "committer C O Mitter <c@example.org> {date} -0700");
        let _ = writeln!(script, "data {}\n{message}", message.len());
        for (n, parent) in parents.iter().enumerate() {
            let _ = writeln!(script, "{} :{parent}", if n == 0 { "from" } else { "merge" });
        }
        script.push_str("deleteall\n");
        for (path, item) in files {
            let path = written(path);
            let (mode, text) = match item {
                Item::File { text, exec: false } => ("100644", text.clone()),
                Item::File { text, exec: true } => ("100755", text.clone()),
                Item::Link(to) => ("120000", format!("to {to}")),
                Item::Submodule(id) => {
                    let _ = writeln!(script, "M 160000 {} {path}", (id + 1).to_string().repeat(40));
                    continue;
                }
            };
            let _ = writeln!(script, "M {mode} inline {path}\ndata {}\n{text}", text.len());
        }
        mark
    }

    /// Writes them; returns their ids by mark.
    pub fn run(&self, repo: &TestRepo) -> Vec<Oid> {
        let marks = repo.path().join(".git/made-marks");
        let export = format!("--export-marks={}", marks.display());
        let mut child = Command::new("git")
            .args(["-C", &repo.path().to_string_lossy(), "fast-import", "--quiet", "--force", &export])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(self.text.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
        let mut ids = vec![oid(&"0".repeat(40)); self.commits + 1];
        for line in fs_err::read_to_string(&marks).unwrap().lines() {
            let (mark, id) = line.split_once(' ').unwrap();
            ids[mark[1..].parse::<usize>().unwrap()] = oid(id);
        }
        ids
    }
}
