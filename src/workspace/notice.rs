//! What `wt` tells a task of another one while both work, in `.shared/notes/NAME.md`.
//!
//! Invariant: the file is the agents' own: it is only ever added to, by one write, and never through a link that somebody put
//! there. What it says already is not said again, so that whoever tells may be killed and told to tell once more.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use jiff::Timestamp;

use super::beneath::{Beneath, Missing};
use super::shared::SHARED;
use super::{Site, briefing};
use crate::git::Repo;
use crate::model::event::ConflictedPath;
use crate::model::text::{count, one_line};
use crate::model::{State, Task, TaskName};
use crate::store::clashes::Clash;

/// How many files, and globs of an owner, are named.
const NAMED: usize = 10;
/// The longest path or glob that is told, in characters.
const LONGEST: usize = 120;
/// The size from which on `wt` adds nothing to a file, in bytes: who has read so much learns nothing from more.
const FULL: u64 = 64 << 10;

/// Something to tell a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Its first lines: who finds them in the file was told.
    head: String,
    /// The rest of it.
    body: String,
}

/// Returns where a task is told, relative to its worktree.
pub fn path(name: &TaskName) -> String {
    format!("{SHARED}/notes/{name}.md")
}

/// Returns whether a task still works, or will, so that there is somebody to tell.
pub fn hears(task: &Task) -> bool {
    matches!(
        task.state,
        State::Queued | State::Waiting { .. } | State::Running { .. } | State::Open | State::Lost { .. }
    )
}

/// Returns what `task` is told of a conflict with `other`.
pub fn conflict(site: &Site<'_>, task: &Task, other: &Task, clash: &Clash) -> Notice {
    of_conflict(task, other, &briefing::about(site, other), clash)
}

fn of_conflict(task: &Task, other: &Task, about: &str, clash: &Clash) -> Notice {
    let name = other.name();
    let head = format!(
        "## wt: what this task changes does not merge with task `{name}` ({})\n\nIn conflict: {}\n",
        minute(clash.since),
        files(&clash.files)
    );
    let mut body = format!("\n- `{name}` is {}", other.state.word());
    if about.is_empty() {
        body.push_str(".\n");
    } else {
        let _ = writeln!(body, "; its task: {about}");
    }
    if !other.spec.owns.is_empty() {
        let _ = writeln!(body, "- It owns {}: leave these paths to it.", globs(&other.spec.owns));
    }
    if !task.spec.owns.is_empty() {
        let _ = writeln!(body, "- This task owns {}: `{name}` was told.", globs(&task.spec.owns));
    }
    if let Some(workspace) = &other.workspace {
        let first = clash.files.first().map_or("FILE", |file| file.path.as_str());
        let _ = writeln!(
            body,
            "- Read its side, never change it: `git show {}:{}`; uncommitted, below `{}`.",
            workspace.branch,
            one_line(first, LONGEST),
            workspace.path
        );
    }
    let _ = write!(
        body,
        "- Keep the change to these files small, agree on one form with `{name}` in `{}`, and go on: what is left of it is \
         resolved when it lands.\n- This is told once; a line here says when it is over.\n",
        path(name)
    );
    Notice { head, body }
}

/// Returns what a task is told when its conflict with `other` is over.
pub fn over(other: &Task, clash: &Clash) -> Notice {
    let name = other.name();
    let why = match other.state {
        State::Landed => format!(
            "`{name}` has landed on `{}`, and what this task changes is merged with it when it lands",
            other.spec.target
        ),
        State::Removed { .. } => format!("`{name}` was given up"),
        _ => "the changes merge now".to_owned(),
    };
    let head = format!("wt: the conflict with task `{name}` ({}) is over: {why}.\n", minute(clash.since));
    Notice { head, body: String::new() }
}

fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Returns files that do not merge, the first of many, as they are told.
pub fn files(files: &[ConflictedPath]) -> String {
    let first = files.iter().take(NAMED);
    let mut names: Vec<String> =
        first.map(|file| format!("`{}` ({})", one_line(&file.path, LONGEST), file.kind.words())).collect();
    if files.len() > NAMED {
        names.push(format!("and {}", count(files.len() - NAMED, "other file")));
    }
    names.join(", ")
}

fn globs(globs: &[String]) -> String {
    let first = globs.iter().take(NAMED);
    let mut names: Vec<String> = first.map(|glob| format!("`{}`", one_line(glob, LONGEST))).collect();
    if globs.len() > NAMED {
        names.push("…".to_owned());
    }
    names.join(", ")
}

/// Tells a task, unless its file says it already or is full.
pub fn tell(repo: &Repo, name: &TaskName, notice: &Notice) -> io::Result<()> {
    let beneath = Beneath::open(&fs_err::canonicalize(repo.worktrees_root())?)?;
    let path = path(name);
    let path = Path::new(&path);
    let mut there = Vec::new();
    match beneath.read(path) {
        Ok(file) => file.take(FULL).read_to_end(&mut there).map(drop)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    if there.len() as u64 >= FULL || String::from_utf8_lossy(&there).contains(&notice.head) {
        return Ok(());
    }
    // What an agent wrote last may end without a newline.
    let gap = match there.last() {
        None => "",
        Some(b'\n') => "\n",
        Some(_) => "\n\n",
    };
    let text = format!("{gap}{}{}", notice.head, notice.body);
    beneath.append(path, 0o644, Missing::Make)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{ConflictKind, Record};
    use crate::model::{Event, Oid, Roster, TaskSpec, Workspace};

    fn task(name: &str, owns: &[&str]) -> Task {
        let id: crate::model::TaskId = format!("{name}@1").parse().unwrap();
        let owns = owns.iter().map(|glob| (*glob).to_owned()).collect();
        let spec = TaskSpec { owns, ..TaskSpec::new(id.name.clone(), "main") };
        let mut roster = Roster::default();
        let event = Event::Queued { spec };
        roster.apply(&Record { v: 1, at: Timestamp::UNIX_EPOCH, task: Some(id.clone()), event }).unwrap();
        let workspace = Workspace {
            path: format!("/w/{name}"),
            branch: format!("wt/{name}"),
            base: Oid::parse(&"0".repeat(40)).unwrap(),
            entry: name.to_owned(),
            copied: Vec::new(),
            ports: Vec::new(),
        };
        Task { workspace: Some(workspace), ..roster.get(&id).unwrap().clone() }
    }

    fn clash(paths: &[&str]) -> Clash {
        let file = |path: &&str| ConflictedPath { path: (*path).to_owned(), kind: ConflictKind::Content };
        Clash {
            tasks: ["a@1", "b@1"].map(|id| id.parse().unwrap()),
            files: paths.iter().map(file).collect(),
            since: Timestamp::UNIX_EPOCH,
            told: false,
        }
    }

    #[test]
    fn a_conflict_is_told_with_what_to_do() {
        let (a, b) = (task("a", &["docs/**"]), task("b", &["src/b/**", "api"]));
        let notice = of_conflict(&a, &b, "Add payments", &clash(&["src/lib.rs", "x\ny"]));
        insta::assert_snapshot!(notice.head + &notice.body, @r"
        ## wt: what this task changes does not merge with task `b` (1970-01-01 00:00:00 UTC)

        In conflict: `src/lib.rs` (both changed), `x y` (both changed)

        - `b` is open; its task: Add payments
        - It owns `src/b/**`, `api`: leave these paths to it.
        - This task owns `docs/**`: `b` was told.
        - Read its side, never change it: `git show wt/b:src/lib.rs`; uncommitted, below `/w/b`.
        - Keep the change to these files small, agree on one form with `b` in `.shared/notes/b.md`, and go on: what is left of it is resolved when it lands.
        - This is told once; a line here says when it is over.
        ");
        let plain = of_conflict(&task("a", &[]), &task("b", &[]), "", &clash(&["f"]));
        assert!(!plain.body.contains("own"), "{}", plain.body);
    }

    #[test]
    fn the_end_of_it_is_one_line() {
        let mut b = task("b", &[]);
        insta::assert_snapshot!(over(&b, &clash(&["f"])).head, @"wt: the conflict with task `b` (1970-01-01 00:00:00 UTC) is over: the changes merge now.");
        b.state = State::Landed;
        assert!(over(&b, &clash(&["f"])).head.contains("`b` has landed on `main`, and"));
    }

    #[test]
    fn many_files_and_long_names_are_bounded() {
        let paths: Vec<String> = (0..500).map(|n| format!("{n}{}", "x".repeat(5000))).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let globs = vec!["y".repeat(5000); 500];
        let globs: Vec<&str> = globs.iter().map(String::as_str).collect();
        let notice = of_conflict(&task("a", &globs), &task("b", &globs), "z", &clash(&paths));
        assert!(notice.head.contains("and 490 other files") && notice.head.len() + notice.body.len() < 6000);
    }
}
