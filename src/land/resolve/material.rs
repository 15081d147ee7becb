//! What a resolver is given: each file with its sides, both tasks in their own words, commits, differences, checks.
//!
//! Invariant: each piece is bounded, so that no file and no prompt can crowd out the others; what is cut says so.

use std::collections::BTreeSet;

use fs_err as fs;
use serde::Serialize;

use super::open::Open;
use crate::git::GitError;
use crate::git::history::{self, Told};
use crate::land::Landing;
use crate::land::conserve::Side;
use crate::model::event::ResolvedBy;
use crate::model::{Oid, Roster, Task};

/// How much of a side stands in the prompt, in bytes.
const SIDE: usize = 24 << 10;
/// How much of a prompt, of a context, of a difference.
const TEXT: usize = 16 << 10;
/// How many commits of each side are told.
const COMMITS: usize = 20;
/// How far back the target's commits are matched with tasks.
const LOOK_BACK: usize = 1000;
/// How many landed tasks are told of.
const OTHERS: usize = 5;

/// A region between two markers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Hunk {
    number: usize,
    /// Its first line in the file with markers, from 1.
    line: usize,
    text: String,
}

/// A file to be merged.
#[derive(Debug, Clone, Serialize)]
pub(super) struct FileGiven {
    number: usize,
    path: String,
    kind: &'static str,
    owner: Option<String>,
    base: Option<String>,
    ours: String,
    theirs: String,
    /// Whether the sides are too long to be told.
    cut: bool,
    hunks: Vec<Hunk>,
    folder: String,
    made_by: Option<&'static str>,
}

/// A commit in words.
#[derive(Debug, Clone, Serialize)]
struct CommitGiven {
    oid: String,
    author: String,
    message: String,
}

/// A task in its own words.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct TaskGiven {
    name: String,
    prompt: String,
    notes: String,
    commits: Vec<CommitGiven>,
    diff: String,
}

#[derive(Debug, Clone, Serialize)]
struct CheckGiven {
    name: String,
    run: String,
}

/// All of it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Material {
    task: String,
    target: String,
    commit: CommitGiven,
    pub(super) files: Vec<FileGiven>,
    mine: TaskGiven,
    others: Vec<TaskGiven>,
    their_commits: Vec<CommitGiven>,
    their_diff: String,
    checks: Vec<CheckGiven>,
}

/// What it is gathered from.
pub(super) struct Source<'a> {
    pub(super) landing: &'a Landing<'a>,
    pub(super) roster: &'a Roster,
    pub(super) task: &'a Task,
    /// The target's commit before this landing of the task.
    pub(super) old: &'a Oid,
    /// The commit that is replayed onto.
    pub(super) tip: &'a Oid,
    /// The commit that does not merge.
    pub(super) commit: &'a Oid,
    pub(super) checks: Vec<(String, String)>,
}

impl Source<'_> {
    /// Gathers it, and says whose each file is.
    pub(super) fn gather(&self, open: &[Open]) -> Result<(Material, Vec<Option<Side>>), GitError> {
        let repo = self.landing.site.repo;
        let paths: Vec<String> = open.iter().map(|file| file.text.path.clone()).collect();
        let parent = history::only_parent(repo, self.commit)?.unwrap_or_else(|| self.commit.clone());
        let theirs = self.others(&paths)?;
        let (mut files, mut owners) = (Vec::new(), Vec::new());
        for (n, file) in open.iter().enumerate() {
            let (name, side) = self.owner(&file.text.path, &theirs);
            owners.push(side);
            files.push(file_given(n, file, name));
        }
        let mut mine = self.words(self.task);
        let own = history::commits(repo, self.commit, self.old, &paths, COMMITS)?;
        mine.commits = own.iter().map(commit_given).collect();
        mine.diff = text(&history::changes(repo, &parent, self.commit, &paths)?);
        let commit = history::commits(repo, self.commit, &parent, &[], 1)?;
        let their_commits = history::commits(repo, self.old, self.commit, &paths, COMMITS)?;
        let material = Material {
            task: self.task.name().to_string(),
            target: self.landing.target.to_owned(),
            commit: commit.first().map(commit_given).unwrap_or(CommitGiven {
                oid: self.commit.short().to_owned(),
                author: String::new(),
                message: String::new(),
            }),
            files,
            mine,
            others: theirs.iter().map(|task| self.words(task)).collect(),
            their_commits: their_commits.iter().map(commit_given).collect(),
            their_diff: text(&history::changes(repo, &parent, self.tip, &paths)?),
            checks: self
                .checks
                .iter()
                .map(|(name, run)| CheckGiven { name: name.clone(), run: run.clone() })
                .collect(),
        };
        Ok((material, owners))
    }

    fn words(&self, task: &Task) -> TaskGiven {
        let folder = self.landing.site.layout.task(&task.id);
        let read = |path| text(&fs::read(path).unwrap_or_default());
        TaskGiven {
            name: task.name().to_string(),
            prompt: read(folder.prompt()),
            notes: read(folder.instructions()),
            ..TaskGiven::default()
        }
    }

    /// Returns the tasks whose commits on the target touch these paths and are not on the branch, the latest first.
    fn others(&self, paths: &[String]) -> Result<Vec<&Task>, GitError> {
        let repo = self.landing.site.repo;
        let line = oids(history::commits(repo, self.old, self.commit, &[], LOOK_BACK)?);
        let touching: BTreeSet<Oid> =
            oids(history::commits(repo, self.old, self.commit, paths, LOOK_BACK)?).into_iter().collect();
        let mut found: Vec<(usize, &Task)> = Vec::new();
        for task in self.roster.tasks().filter(|task| task.id != self.task.id) {
            let Some(landing) = &task.landing else { continue };
            let at = landing.tip.as_ref().and_then(|tip| line.iter().position(|commit| commit == tip));
            let Some(at) = at.filter(|_| self.roster.has_landed(&task.id)) else { continue };
            // A landing is a straight line of so many commits.
            if line[at..].iter().take(landing.commits).any(|commit| touching.contains(commit)) {
                found.push((at, task));
            }
        }
        found.sort_by_key(|(at, _)| *at);
        Ok(found.into_iter().take(OTHERS).map(|(_, task)| task).collect())
    }

    /// Returns whose a path is: the task's name, and its side where it has one.
    fn owner(&self, path: &str, others: &[&Task]) -> (Option<String>, Option<Side>) {
        let owns = |task: &Task| matches(&task.spec.owns, path);
        let mine = owns(self.task);
        let other = others.iter().find(|task| owns(task));
        match (mine, other) {
            (true, None) => (Some(self.task.name().to_string()), Some(Side::Theirs)),
            (false, Some(other)) => (Some(other.name().to_string()), Some(Side::Ours)),
            (true, Some(_)) => (None, None),
            (false, None) => {
                let live = self.roster.live().find(|task| task.id != self.task.id && owns(task));
                (live.map(|task| task.name().to_string()), None)
            }
        }
    }
}

/// Tells whether one of the globs names the path. A glob that cannot be read names nothing.
pub(in crate::land) fn matches(globs: &[String], path: &str) -> bool {
    let built = |glob: &String| globset::Glob::new(glob).ok().map(|glob| glob.compile_matcher());
    globs.iter().filter_map(built).any(|glob| glob.is_match(path))
}

fn oids(told: Vec<Told>) -> Vec<Oid> {
    told.into_iter().map(|told| told.oid).collect()
}

fn commit_given(told: &Told) -> CommitGiven {
    CommitGiven {
        oid: told.oid.short().to_owned(),
        author: told.author.clone(),
        message: text(told.message.as_bytes()),
    }
}

fn file_given(n: usize, file: &Open, owner: Option<String>) -> FileGiven {
    let sides = [file.sides.base.as_deref().unwrap_or_default(), &file.sides.ours, &file.sides.theirs];
    let cut = sides.iter().any(|side| side.len() > SIDE);
    let whole = |side: &[u8]| if cut { String::new() } else { String::from_utf8_lossy(side).into_owned() };
    FileGiven {
        number: n + 1,
        path: file.text.path.clone(),
        kind: file.text.kind.words(),
        owner,
        base: file.sides.base.as_deref().map(whole),
        ours: whole(&file.sides.ours),
        theirs: whole(&file.sides.theirs),
        cut,
        hunks: hunks(&String::from_utf8_lossy(&file.marked)),
        folder: String::new(),
        made_by: None,
    }
}

impl FileGiven {
    /// Says where its sides are on disk.
    pub(super) fn set_folder(&mut self, folder: String) {
        self.folder = folder;
    }

    /// Says whose merge stands in the file already, where one does.
    pub(super) fn set_made_by(&mut self, by: Option<ResolvedBy>) {
        self.made_by = by.map(|by| match by {
            ResolvedBy::Agent => "you",
            ResolvedBy::Rerere => "git's memory of resolved conflicts",
            ResolvedBy::Structural => "a structural merge tool",
            ResolvedBy::Person => "a person",
        });
    }
}

/// Returns the regions between markers, as far as there is room.
fn hunks(marked: &str) -> Vec<Hunk> {
    let (mut found, mut room): (Vec<Hunk>, usize) = (Vec::new(), TEXT);
    let mut current: Option<(usize, String)> = None;
    for (n, line) in marked.split_inclusive('\n').enumerate() {
        if line.starts_with("<<<<<<< ") {
            current = Some((n + 1, String::new()));
        }
        let Some((begin, text)) = &mut current else { continue };
        text.push_str(line);
        if line.starts_with(">>>>>>> ") {
            if text.len() > room {
                break;
            }
            room -= text.len();
            found.push(Hunk { number: found.len() + 1, line: *begin, text: std::mem::take(text) });
            current = None;
        }
    }
    found
}

/// Returns bytes as text, bounded.
fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    if text.len() <= TEXT {
        return text.into_owned();
    }
    let end = (0..=TEXT).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    format!("{}\n(cut here)", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hunks_are_numbered_and_know_their_line() {
        let marked = "a\n<<<<<<< ours\n1\n||||||| base\n=======\n2\n>>>>>>> theirs\nb\n<<<<<<< ours\nx\n=======\ny\n>>>>>>> theirs\n";
        let found = hunks(marked);
        assert_eq!(found.iter().map(|hunk| (hunk.number, hunk.line)).collect::<Vec<_>>(), [(1, 2), (2, 9)]);
        assert!(
            found[0].text.starts_with("<<<<<<< ours\n1\n") && found[0].text.ends_with(">>>>>>> theirs\n")
        );
    }

    #[test]
    fn globs_name_paths() {
        assert!(matches(&["migrations/**".to_owned()], "migrations/1/a.sql"));
        assert!(!matches(&["migrations/**".to_owned(), "[".to_owned()], "src/a.sql"));
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        let long = "ä".repeat(TEXT);
        assert!(text(long.as_bytes()).ends_with("ä\n(cut here)"));
    }
}
