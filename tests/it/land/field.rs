//! Finished tasks to land, made without an agent: a workspace, commits, and the word of a person.

use fs_err as fs;
use jiff::Timestamp;
use serde_json::Value;
use wt::model::{Event, Oid, State, TaskName, Workspace};
use wt::store::{Journal, Layout};

use crate::env::TestRepo;
use crate::program::{Program, Ran};

/// A repository with tasks.
pub struct Field {
    /// The program on its repository.
    pub program: Program,
}

/// What `wt merge --json` said.
pub struct Said {
    /// The run.
    pub ran: Ran,
    /// Its document.
    pub view: Value,
}

impl Said {
    /// Returns the exit code.
    pub fn code(&self) -> i32 {
        self.ran.code
    }

    /// Returns what was said of a task.
    pub fn of(&self, name: &str) -> &Value {
        let tasks = self.view["tasks"].as_array();
        tasks
            .and_then(|tasks| tasks.iter().find(|task| task["name"] == name))
            .unwrap_or_else(|| panic!("nothing of {name}: {}\n{}", self.ran.out, self.ran.err))
    }

    /// Returns a task's result.
    pub fn result(&self, name: &str) -> &str {
        self.of(name)["result"].as_str().unwrap()
    }

    /// Returns the reason that was given for a task.
    pub fn reason(&self, name: &str) -> &str {
        self.of(name)["reason"].as_str().unwrap_or_default()
    }
}

impl Field {
    pub fn new() -> Self {
        Self { program: Program::new() }
    }

    /// The same, with that in the user's configuration.
    pub fn with(configuration: &str) -> Self {
        let field = Self::new();
        field.program.configure(configuration);
        field
    }

    pub fn repo(&self) -> &TestRepo {
        &self.program.repo
    }

    /// Returns the commit of `main`.
    pub fn main(&self) -> String {
        self.repo().rev("refs/heads/main")
    }

    /// Makes a workspace that a person works in.
    pub fn open(&self, name: &str, more: &[&str]) -> TestRepo {
        let args: Vec<&str> =
            ["spawn", name, "--no-agent", "--quiet"].into_iter().chain(more.iter().copied()).collect();
        self.program.wt(&args).ok();
        self.program.env.at(&self.program.worktree(name))
    }

    /// Makes a finished task with one commit a file; returns its branch's commit.
    pub fn done(&self, name: &str, files: &[(&str, &str)]) -> String {
        self.done_with(name, files, &[])
    }

    /// The same, with more arguments for `wt spawn`.
    pub fn done_with(&self, name: &str, files: &[(&str, &str)], more: &[&str]) -> String {
        let workspace = self.open(name, more);
        for (path, text) in files {
            workspace.commit(path, text);
        }
        self.finish(name);
        workspace.head()
    }

    /// Makes a task that waits for another, was stopped before it began, and is worked on by hand.
    pub fn child(&self, name: &str, parent: &str) -> TestRepo {
        self.program.spawn(name, &["exit:0"], &["--after", parent]).ok();
        self.tell(name, Event::Stopped);
        let (path, branch) = (self.program.worktree(name), format!("wt/{name}"));
        self.repo().git(&["worktree", "add", "-q", "-b", &branch, &path.to_string_lossy()]);
        let workspace = self.program.env.at(&path);
        let base = Oid::parse(&workspace.head()).unwrap();
        let path = path.to_string_lossy().into_owned();
        let made =
            Workspace { path, branch, base, entry: name.to_owned(), copied: vec![], ports: Vec::new() };
        self.tell(name, Event::WorkspaceMade { workspace: made });
        workspace
    }

    /// Says that an open task is finished.
    pub fn finish(&self, name: &str) {
        let head = Oid::parse(&self.repo().rev(&format!("refs/heads/wt/{name}"))).unwrap();
        self.tell(name, Event::MarkedDone { head, skipped: false });
    }

    /// Says of an open task that there was nothing to do.
    pub fn finish_skipped(&self, name: &str) {
        let head = Oid::parse(&self.repo().rev(&format!("refs/heads/wt/{name}"))).unwrap();
        self.tell(name, Event::MarkedDone { head, skipped: true });
    }

    /// Writes an event about a task into the journal.
    pub fn tell(&self, name: &str, event: Event) {
        let mut journal = self.journal();
        let name: TaskName = name.parse().unwrap();
        let id = journal.read().unwrap().newest(&name).unwrap().id.clone();
        journal.append(Timestamp::UNIX_EPOCH, vec![(Some(id), event)]).unwrap();
    }

    pub fn layout(&self) -> Layout {
        Layout::below(&self.repo().path().join(self.repo().git(&["rev-parse", "--git-common-dir"])))
    }

    pub fn journal(&self) -> Journal {
        Journal::new(&self.layout())
    }

    /// Returns a task's state, read without `wt`.
    pub fn state(&self, name: &str) -> State {
        let mut journal = self.journal();
        let name: TaskName = name.parse().unwrap();
        journal.read().unwrap().newest(&name).unwrap().state.clone()
    }

    /// Runs `wt merge ARGS --json --keep`.
    pub fn merge(&self, args: &[&str]) -> Said {
        let args: Vec<&str> = ["merge"].into_iter().chain(args.iter().copied()).collect();
        let args: Vec<&str> = args.into_iter().chain(["--json", "--keep"]).collect();
        let ran = self.program.wt(&args);
        let view = ran.json();
        Said { ran, view }
    }

    /// Writes a script that is not in any worktree, and returns how to run it.
    pub fn script(&self, name: &str, text: &str) -> String {
        let path = self.program.env.root().join(name);
        fs::write(&path, format!("set -e\n{text}\n")).unwrap();
        format!("sh {}", path.display())
    }

    /// Returns the subjects of `main`, newest first, without the first commit.
    pub fn subjects(&self) -> Vec<String> {
        let text = self.repo().git(&["log", "--format=%s", "main"]);
        let mut subjects: Vec<String> = text.lines().map(str::to_owned).collect();
        subjects.pop();
        subjects
    }

    /// Makes sure that nothing is half done: no intent, no task in `landing`, no misfit, `main` clean where it is
    /// checked out, and a sound repository.
    pub fn is_whole(&self) {
        let mut journal = self.journal();
        let roster = journal.read().unwrap();
        assert_eq!((roster.intents(), roster.misfits()), (&[][..], 0));
        assert!(roster.undoings().is_empty());
        assert!(!roster.tasks().any(|task| matches!(task.state, State::Landing { .. })));
        assert_eq!(journal.bad_lines(), 0);
        assert_eq!(self.repo().git(&["fsck", "--no-dangling", "--no-progress"]), "");
    }
}
