//! `CLAUDE.local.md`: what an agent is told of its task, its place and its neighbours.
//!
//! Invariant: the file in a worktree is replaced, never written through: whatever an agent put there, nothing outside
//! changes. The task's text is a value of the template, never a part of it.

use std::io::{self, Read as _, Write as _};
use std::path::Path;

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt as _;
use minijinja::{Environment, UndefinedBehavior, context};
use serde::Serialize;

use super::beneath::{Beneath, Missing};
use super::shared::INSTRUCTIONS;
use crate::model::text::one_line;
use crate::store::layout::TaskFolder;

/// The built-in template.
pub const TEMPLATE: &str = include_str!("../../templates/CLAUDE.local.md.j2");
/// The name under which `.wt/templates/` may replace it.
pub const TEMPLATE_NAME: &str = "CLAUDE.local.md.j2";

/// How much of a prompt stands in the file, in bytes: agents get it on standard input as well, whole.
const PROMPT: usize = 32 * 1024;
/// How much of the user's own file is appended, in bytes.
const NOTES: u64 = 64 * 1024;

/// Why the file cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum InstructionsError {
    /// The template is not UTF-8.
    #[error("the template `{TEMPLATE_NAME}` is not UTF-8")]
    NotText,
    /// The template is broken or names a value that there is not.
    #[error("the template `{TEMPLATE_NAME}` fails in line {line}: {message}")]
    Template {
        /// The line, from 1.
        line: usize,
        /// What is wrong, on one line.
        message: String,
    },
    /// The file cannot be written.
    #[error("`{INSTRUCTIONS}` cannot be written")]
    Io(#[from] io::Error),
}

/// Somebody who works at the same time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Colleague {
    /// The task's name.
    pub name: String,
    /// The word of its state.
    pub state: String,
    /// What it is about, in a few words; may be empty.
    pub about: String,
    /// The globs that it owns.
    pub owns: Vec<String>,
}

/// A check that will be run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What people call it.
    pub name: String,
    /// The command.
    pub run: String,
}

/// What an agent is told. Everything that the template can say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Briefing {
    /// The task's name.
    pub task: String,
    /// Its branch, short.
    pub branch: String,
    /// The absolute path of its worktree.
    pub worktree: String,
    /// The branch that it lands on, short.
    pub target: String,
    /// The commit that its branch started from, short.
    pub base: String,
    /// The absolute path of the shared folder.
    pub shared: String,
    /// What the agent is for; may be empty.
    pub role: String,
    /// Globs of paths that the task is responsible for.
    pub owns: Vec<String>,
    /// Globs of paths that it must not touch.
    pub avoids: Vec<String>,
    /// Who else works now.
    pub others: Vec<Colleague>,
    /// The checks.
    pub checks: Vec<Check>,
    /// `auto` or `agent`.
    pub commit: String,
    /// The iteration of a loop, from 1; 0: no loop.
    pub iteration: u32,
    /// The most iterations.
    pub max_iterations: u32,
    /// The promise that says that it is done.
    pub until: String,
    /// Ports that are its own.
    pub ports: Vec<u16>,
    /// The task's text.
    pub prompt: String,
    /// The user's own `CLAUDE.local.md`; may be empty.
    pub user_notes: String,
}

/// Returns the text of the file. `template`: the one of `.wt/templates/` as committed on the target and approved.
pub fn render(template: Option<&[u8]>, briefing: &Briefing) -> Result<String, InstructionsError> {
    let source = match template {
        Some(bytes) => std::str::from_utf8(bytes).map_err(|_| InstructionsError::NotText)?,
        None => TEMPLATE,
    };
    let broken = |error: &minijinja::Error| InstructionsError::Template {
        line: error.line().unwrap_or(1),
        message: one_line(&error.detail().map_or_else(|| error.kind().to_string(), str::to_owned), 200),
    };
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_template(TEMPLATE_NAME, source).map_err(|error| broken(&error))?;
    let template = environment.get_template(TEMPLATE_NAME).map_err(|error| broken(&error))?;
    let prompt = cut(&briefing.prompt, PROMPT);
    let values = context! {
        prompt => prompt,
        prompt_cut => prompt.len() < briefing.prompt.len(),
        ..minijinja::Value::from(minijinja::value::Serde(briefing)),
    };
    let mut text = template.render(values).map_err(|error| broken(&error))?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

fn cut(text: &str, most: usize) -> &str {
    let end = (0..=text.len().min(most)).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    &text[..end]
}

/// Returns the user's own file in the main checkout; empty if there is none, or if it is no text of a sensible size.
pub fn user_notes(main_checkout: Option<&Path>) -> String {
    let Some(path) = main_checkout.map(|main| main.join(INSTRUCTIONS)) else { return String::new() };
    // A link is the user's own doing here; a pipe would wait for ever.
    if !fs::metadata(&path).is_ok_and(|found| found.is_file()) {
        return String::new();
    }
    let mut text = String::new();
    let read = fs::File::open(&path).and_then(|file| file.take(NOTES).read_to_string(&mut text));
    if read.is_err() {
        text.clear();
    }
    text.trim_end().to_owned()
}

/// Writes the file into the worktree and a copy into the task's folder, which outlives the worktree.
pub fn write(worktree: &Path, folder: &TaskFolder, text: &str) -> Result<(), InstructionsError> {
    let beneath = Beneath::open(worktree)?;
    beneath.unlink(Path::new(INSTRUCTIONS))?;
    let mut file = beneath.create(Path::new(INSTRUCTIONS), 0o644, Missing::Fail)?;
    file.write_all(text.as_bytes())?;
    let mut kept = fs::OpenOptions::new();
    kept.write(true).create(true).truncate(true).mode(0o600);
    kept.open(folder.instructions())?.write_all(text.as_bytes())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn briefing() -> Briefing {
        Briefing {
            task: "auth".to_owned(),
            branch: "wt/auth".to_owned(),
            worktree: "/w/auth".to_owned(),
            target: "main".to_owned(),
            base: "0123456789".to_owned(),
            shared: "/w/.shared".to_owned(),
            commit: "auto".to_owned(),
            until: "COMPLETE".to_owned(),
            prompt: "Add {{ login }} {% raw".to_owned(),
            ..Briefing::default()
        }
    }

    #[test]
    fn the_shortest_briefing_reads_well() {
        let text = render(None, &briefing()).unwrap();
        insta::assert_snapshot!(text, @r"
        # Task `auth`

        You work alone in a git worktree of your own, made by `wt` for this task. Other agents work in theirs at the same time.

        - Working directory: `/w/auth`
        - Branch: `wt/auth`, started at commit 0123456789; it will be rebased onto `main` and landed for you

        ## Rules

        - Change files in this worktree only; never in the main checkout or another worktree.
        - Stay on your branch. Do not push, do not rebase onto or merge `main`, do not touch other branches.
        - Never use `git stash`: all worktrees share one stash.
        - Commit early and often, with messages that say why. What you leave uncommitted is committed for you at the end.
        - `.shared` and `CLAUDE.local.md` are not part of the repository; do not commit them.

        ## Sharing what you learn

        `.shared/` is one folder for all agents of this repository (`/w/.shared`). Put notes that others need into
        `.shared/notes/`, your own progress into `.shared/progress/auth.md`. Never put secrets or code there.

        When your changes do not merge with those of another task, `wt` says so in `.shared/notes/auth.md`: which files, whose work,
        and what to do. Look there before larger changes and before you finish; it may not exist yet.

        ## How it ends

        Say how it stands in your final message, literally, once:

        - `<promise>COMPLETE</promise>`: everything the task asks for is done and checked.
        - `<promise>BLOCKED: reason</promise>`: you cannot go on without a person.
        - `<promise>NOTHING</promise>`: there is nothing to change.

        Never promise what is not true in order to end.

        ## The task

        Add {{ login }} {% raw
        ");
    }

    #[test]
    fn everything_that_is_known_is_told() {
        let full = Briefing {
            role: "tests".to_owned(),
            owns: vec!["src/auth/**".to_owned()],
            avoids: vec!["migrations/**".to_owned()],
            others: vec![
                Colleague {
                    name: "pay".to_owned(),
                    state: "running".to_owned(),
                    about: "Add payments".to_owned(),
                    owns: vec!["src/pay/**".to_owned(), "api/**".to_owned()],
                },
                Colleague {
                    name: "docs".to_owned(),
                    state: "open".to_owned(),
                    about: String::new(),
                    owns: Vec::new(),
                },
            ],
            checks: vec![Check { name: "test".to_owned(), run: "make test".to_owned() }],
            commit: "agent".to_owned(),
            iteration: 2,
            max_iterations: 25,
            ports: vec![4000, 4001],
            user_notes: "I like short functions.".to_owned(),
            prompt: "Add login".to_owned(),
            ..briefing()
        };
        let text = render(None, &full).unwrap();
        insta::assert_snapshot!(text, @r"
        # Task `auth`

        You work alone in a git worktree of your own, made by `wt` for this task. Other agents work in theirs at the same time.

        - Working directory: `/w/auth`
        - Branch: `wt/auth`, started at commit 0123456789; it will be rebased onto `main` and landed for you
        - Your role: tests
        - Iteration 2 of at most 25: look at `git log 0123456789..` and the working tree first, then go on
        - Ports that only you use: 4000, 4001

        ## Rules

        - Change files in this worktree only; never in the main checkout or another worktree.
        - Stay on your branch. Do not push, do not rebase onto or merge `main`, do not touch other branches.
        - Never use `git stash`: all worktrees share one stash.
        - Commit early and often, with messages that say why. What is uncommitted at the end does not count as done.
        - `.shared` and `CLAUDE.local.md` are not part of the repository; do not commit them.

        ## Yours

        You are responsible for these paths; others were told to leave them to you:

        - `src/auth/**`

        ## Not yours

        Do not change these paths; if your task needs it, say BLOCKED and why:

        - `migrations/**`

        ## Who else works now

        - `pay` (running), owns `src/pay/**`, `api/**`: Add payments
        - `docs` (open)

        ## Sharing what you learn

        `.shared/` is one folder for all agents of this repository (`/w/.shared`). Put notes that others need into
        `.shared/notes/`, your own progress into `.shared/progress/auth.md`. Never put secrets or code there.

        When your changes do not merge with those of another task, `wt` says so in `.shared/notes/auth.md`: which files, whose work,
        and what to do. Look there before larger changes and before you finish; it may not exist yet.

        ## How it ends

        Your work is checked with the following; run it yourself before you finish:

        - test: `make test`

        Say how it stands in your final message, literally, once:

        - `<promise>COMPLETE</promise>`: everything the task asks for is done and checked.
        - `<promise>BLOCKED: reason</promise>`: you cannot go on without a person.
        - `<promise>NOTHING</promise>`: there is nothing to change.

        Never promise what is not true in order to end.

        ## The task

        Add login

        ---

        I like short functions.
        ");
    }

    #[test]
    fn a_template_of_the_repository_replaces_it_and_its_faults_are_typed() {
        let render = |template: &str| render(Some(template.as_bytes()), &briefing());
        assert_eq!(render("{{ task }}: {{ prompt }}").unwrap(), "auth: Add {{ login }} {% raw\n");
        match render("one\n{{ tsak }}") {
            Err(InstructionsError::Template { line, .. }) => assert_eq!(line, 2),
            other => panic!("{other:?}"),
        }
        assert!(matches!(render("{% if %}"), Err(InstructionsError::Template { line: 1, .. })));
        assert!(matches!(super::render(Some(b"\xff"), &briefing()), Err(InstructionsError::NotText)));
        assert!(render("{% include '/etc/passwd' %}").is_err());
    }

    #[test]
    fn a_long_prompt_is_cut_at_a_character() {
        let long = Briefing { prompt: "é".repeat(PROMPT), ..briefing() };
        let text = render(None, &long).unwrap();
        assert!(text.len() < PROMPT + 4000 && text.contains("(Cut here"));
    }
}
