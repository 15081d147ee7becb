//! What an iteration of a loop is told, after the prompt that was asked: its number, what the last one changed, the check
//! that failed, what is open, and how a loop ends. Bounded, whatever happened before.

use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

use super::iterating;
use crate::git::diff::{self, Form};
use crate::git::{GitError, history};
use crate::model::Task;
use crate::model::task::{Looping, Oid, Workspace};
use crate::model::text::one_line;
use crate::process::capture;
use crate::store::clashes::Clashes;
use crate::workspace::{Site, notice, progress};

/// The built-in template.
pub const TEMPLATE: &str = include_str!("../../templates/iteration.md.j2");
/// The name under which `.wt/templates/` may replace it.
pub const TEMPLATE_NAME: &str = "iteration.md.j2";

/// How many commits, and open items of requirements, are listed.
const LISTED: usize = 20;
/// How much of a list of changed files is told, in bytes.
const STAT: usize = 4 << 10;
/// How much of a failed check's output is told, in bytes.
const OUTPUT: usize = 4 << 10;

/// Why an iteration cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum IterationError {
    /// The template is not UTF-8.
    #[error("the template `{TEMPLATE_NAME}` is not UTF-8")]
    NotText,
    /// The template is broken or names a value that there is not.
    #[error("the template `{TEMPLATE_NAME}` fails: {0}")]
    Template(String),
    /// git.
    #[error(transparent)]
    Git(#[from] GitError),
}

/// Everything that the template can say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
struct Told {
    iteration: u32,
    max: u32,
    until: String,
    progress: String,
    /// What the last iteration came to; empty: there was none.
    last: String,
    commits: Vec<String>,
    more_commits: u32,
    stat: String,
    /// The check that failed; empty: none did.
    red: String,
    output: String,
    /// Who changes the same.
    conflicts: Vec<Conflicting>,
    /// Where more is told of that.
    notes: String,
    prd: String,
    prd_trouble: String,
    open: Vec<String>,
    more_open: usize,
}

/// A live task that this one does not merge with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Conflicting {
    task: String,
    files: String,
}

/// Returns what the next attempt of a loop is told beside its prompt. Reads the worktree and the logs of the last iteration.
pub fn part(
    site: &Site<'_>,
    task: &Task,
    looping: &Looping,
    workspace: &Workspace,
) -> Result<String, IterationError> {
    let mut told = Told {
        iteration: task.next_iteration(),
        max: looping.max,
        until: looping.until.clone(),
        progress: progress::path(task.name()),
        conflicts: conflicts(&Clashes::load(site.layout), task),
        notes: notice::path(task.name()),
        ..Told::default()
    };
    let tip = site.repo.branch_tip(&workspace.branch)?;
    let there = |head: &Oid| match &tip {
        Some(tip) => site.repo.is_ancestor(head, tip),
        None => Ok(false),
    };
    if let Some(lap) = task.laps.last() {
        if !there(&lap.head)? {
            "it was undone since, and the branch is at an earlier state".clone_into(&mut told.last);
            return finish(site, looping, workspace, told);
        }
        told.last.clone_from(&lap.why);
        let before = task.laps.iter().rev().nth(1).map_or(&workspace.base, |lap| &lap.head);
        let commits = history::subjects(site.repo, before, &lap.head, LISTED)?;
        let lines =
            commits.iter().map(|commit| format!("{} {}", commit.oid.short(), one_line(&commit.subject, 120)));
        told.commits = lines.collect();
        told.more_commits = lap.commits.saturating_sub(u32::try_from(commits.len()).unwrap_or(u32::MAX));
        if !commits.is_empty() {
            let stat = diff::diff(site.repo, before, &lap.head, Form::Stat)?;
            told.stat = end(&stat, STAT);
        }
        if let Some(red) = &lap.red {
            told.red.clone_from(red);
            // Checks run one after another until one fails: the last log is that one's.
            let logs = site.layout.task(&task.id).verify_logs(lap.attempt);
            let output = logs.last().and_then(|log| capture::read(log).ok()).unwrap_or_default();
            told.output = end(&output, OUTPUT);
        }
    }
    finish(site, looping, workspace, told)
}

/// Returns whom the task was told not to merge with.
fn conflicts(known: &Clashes, task: &Task) -> Vec<Conflicting> {
    let told = known.pairs.iter().filter(|clash| clash.told);
    let mine = told.filter_map(|clash| Some((clash.other(&task.id)?, &clash.files)));
    let told =
        mine.map(|(other, files)| Conflicting { task: other.name.to_string(), files: notice::files(files) });
    told.take(LISTED).collect()
}

/// Adds what is open, and puts all of it into words.
fn finish(
    site: &Site<'_>,
    looping: &Looping,
    workspace: &Workspace,
    mut told: Told,
) -> Result<String, IterationError> {
    if let Some(path) = &looping.prd {
        told.prd.clone_from(path);
        match iterating::load(workspace.path.as_ref(), path) {
            Ok(items) => {
                let open: Vec<_> = items.iter().filter(|item| !item.passes).collect();
                told.more_open = open.len().saturating_sub(LISTED);
                let line = |item: &&super::prd::Item| match item.title.as_str() {
                    "" => item.id.clone(),
                    title => format!("{}: {title}", item.id),
                };
                told.open = open.iter().take(LISTED).map(line).collect();
            }
            Err(trouble) => told.prd_trouble = trouble,
        }
    }
    render(site.iteration, &told)
}

/// Returns the end of a text, without blank lines around it, cut between lines where that loses little.
fn end(text: &[u8], most: usize) -> String {
    let text = String::from_utf8_lossy(text);
    let from = text.len().saturating_sub(most);
    let from = (from..text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len());
    let tail = &text[from..];
    let whole = if from == 0 { tail } else { tail.split_once('\n').map_or(tail, |(_, lines)| lines) };
    whole.trim_matches('\n').trim_end().to_owned()
}

fn render(template: Option<&[u8]>, told: &Told) -> Result<String, IterationError> {
    let source = match template {
        Some(bytes) => std::str::from_utf8(bytes).map_err(|_| IterationError::NotText)?,
        None => TEMPLATE,
    };
    let broken = |error: minijinja::Error| IterationError::Template(one_line(&error.to_string(), 200));
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_template(TEMPLATE_NAME, source).map_err(broken)?;
    let template = environment.get_template(TEMPLATE_NAME).map_err(broken)?;
    let text = template.render(minijinja::Value::from(minijinja::value::Serde(told))).map_err(broken)?;
    Ok(text.trim().to_owned() + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told() -> Told {
        Told {
            iteration: 1,
            max: 20,
            until: "COMPLETE".to_owned(),
            progress: ".shared/progress/pay.md".to_owned(),
            ..Told::default()
        }
    }

    #[test]
    fn the_first_iteration_is_told_how_the_loop_works() {
        insta::assert_snapshot!(render(None, &told()).unwrap(), @r"
        ## Iteration 1 of at most 20

        This task runs in a loop: a fresh agent begins each iteration and remembers nothing of the ones before. What was done is in this
        worktree and its `git log`; what is worth knowing is in `.shared/progress/pay.md`. Read both first. Then do the next piece of the work,
        check it, commit it, and add to `.shared/progress/pay.md` what the next iteration must know.

        How the loop ends, said literally in your final message:

        - `<promise>COMPLETE</promise>` when everything the task asks for is done. It counts only if all of it is committed and every
          check passes; else the next iteration is told what was wrong.
        - `<promise>BLOCKED: reason</promise>` when you cannot go on without a person.
        - `<promise>NOTHING</promise>` when there is nothing to change at all.

        With work left to do, end without a promise: the next iteration goes on.
        ");
    }

    #[test]
    fn a_later_one_is_told_what_happened() {
        let told = Told {
            iteration: 3,
            last: "its promise does not count: `make` exited with code 2 after 1s; 2 new commits".to_owned(),
            commits: vec!["0123456789 Add a".to_owned(), "1234567890 Add b".to_owned()],
            more_commits: 1,
            stat: " a | 1 +\n 1 file changed".to_owned(),
            red: "`make` exited with code 2 after 1s".to_owned(),
            output: "boom\n{{ not a template }}".to_owned(),
            prd: "prd.json".to_owned(),
            open: vec!["US-2: Pay".to_owned(), "US-3".to_owned()],
            more_open: 4,
            conflicts: vec![Conflicting {
                task: "auth".to_owned(),
                files: "`src/lib.rs` (content)".to_owned(),
            }],
            notes: ".shared/notes/pay.md".to_owned(),
            ..told()
        };
        insta::assert_snapshot!(render(None, &told).unwrap(), @r"
        ## Iteration 3 of at most 20

        This task runs in a loop: a fresh agent begins each iteration and remembers nothing of the ones before. What was done is in this
        worktree and its `git log`; what is worth knowing is in `.shared/progress/pay.md`. Read both first. Then do the next piece of the work,
        check it, commit it, and add to `.shared/progress/pay.md` what the next iteration must know.

        The last iteration: its promise does not count: `make` exited with code 2 after 1s; 2 new commits.

        It added these commits:

        - (1 earlier)
        - 0123456789 Add a
        - 1234567890 Add b

         a | 1 +
         1 file changed

        After it this check failed: `make` exited with code 2 after 1s. The end of its output:

        boom
        {{ not a template }}

        What this task changes does not merge with the work of others; `.shared/notes/pay.md` says more. Keep changes to these files small:

        - `auth` in `src/lib.rs` (content)

        The requirements are in `prd.json`; the loop cannot end before `passes` is true for each of them. Set it only for what really works.
        Open are:

        - US-2: Pay
        - US-3
        - and 4 more

        How the loop ends, said literally in your final message:

        - `<promise>COMPLETE</promise>` when everything the task asks for is done. It counts only if all of it is committed and every
          check passes; else the next iteration is told what was wrong.
        - `<promise>BLOCKED: reason</promise>` when you cannot go on without a person.
        - `<promise>NOTHING</promise>` when there is nothing to change at all.

        With work left to do, end without a promise: the next iteration goes on.
        ");
    }

    #[test]
    fn a_template_of_the_repository_replaces_it_and_a_broken_one_is_named() {
        assert_eq!(render(Some(b"{{ iteration }}/{{ max }}"), &told()).unwrap(), "1/20\n");
        let error = render(Some(b"{{ nothing }}"), &told()).unwrap_err().to_string();
        assert!(error.contains("iteration.md.j2"), "{error}");
    }

    #[test]
    fn long_texts_are_cut_at_a_line() {
        assert_eq!(end(b"one\ntwo\nthree\n", 100), "one\ntwo\nthree");
        assert_eq!(end(b"one\ntwo\nthree\n", 8), "three");
        assert_eq!(end("ä".repeat(9).as_bytes(), 5), "ää");
    }
}
