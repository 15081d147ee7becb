//! `wt merge` for people, from the view that `--json` prints.

use anstyle::{AnsiColor, Style};

use crate::model::Oid;
use crate::model::text::{count, neutralised};
use crate::model::view::verbs::{UndoView, UndoneView};
use crate::model::view::{LandResult, LandedView, MergeView, RemoteView, ResolvedView};

/// How many paths outside of what a task owns are shown.
const SHOWN: usize = 3;

fn word(result: LandResult) -> (&'static str, Style) {
    match result {
        LandResult::Landed => ("landed", AnsiColor::Green.on_default()),
        LandResult::Conflict => ("conflict", AnsiColor::Red.on_default()),
        LandResult::Rejected => ("rejected", AnsiColor::Red.on_default()),
        LandResult::Review => ("review", AnsiColor::Yellow.on_default()),
        LandResult::Skipped => ("skipped", AnsiColor::Yellow.on_default()),
    }
}

fn line(task: &LandedView, width: usize) -> String {
    let (word, style) = word(task.result);
    let mut about = Vec::new();
    if task.result == LandResult::Landed {
        about.push(count(task.commits, "commit"));
    }
    about.extend(task.reason.as_deref().map(|reason| neutralised(reason).into_owned()));
    let text = format!("{style}{word:<8}{style:#}  {:<width$}  {}", task.name, about.join(", "));
    text.trim_end().to_owned()
}

/// Returns in words who merged a file; `word`: as it stands in documents.
pub fn by(word: &str) -> &str {
    match word {
        "rerere" => "merged as before",
        "structural" => "merged by its structure",
        "agent" => "merged by an agent",
        _ => "merged by a person",
    }
}

/// Returns `wt undo` for people: a line a task, and where the target is.
pub fn undo(view: &UndoView) -> String {
    let width = view.tasks.iter().map(|task| task.name.len()).max().unwrap_or(0);
    let place = |task: &UndoneView| task.worktree.as_deref().map(|path| neutralised(path).into_owned());
    let mut lines: Vec<String> = view
        .tasks
        .iter()
        .map(|task| {
            let line =
                format!("{:<8}  {:<width$}  {}", task.state, task.name, place(task).unwrap_or_default());
            line.trim_end().to_owned()
        })
        .collect();
    let commits = count(usize::try_from(view.commits).unwrap_or(usize::MAX), "commit");
    let (target, before, after) = (&view.target, view.before.short(), view.after.short());
    lines.push(if view.dry_run {
        format!("{target} would go back from {before} to {after}, {commits}")
    } else {
        format!("{target} is back at {after}, was at {before}; {commits} kept by {}", view.kept)
    });
    lines.join("\n")
}

/// Returns `wt merge` for people: a line a task, its conflicts below it, and where the target is.
pub fn merge(view: &MergeView) -> String {
    let width = view.tasks.iter().map(|task| task.name.len()).max().unwrap_or(0);
    let mut lines = Vec::new();
    lines.extend(view.fetched.as_ref().and_then(|fetched| fetch(view, fetched)));
    for task in &view.tasks {
        lines.push(line(task, width));
        let path = |c: &crate::model::event::ConflictedPath| {
            format!("            {} ({})", neutralised(&c.path), c.kind.words())
        };
        lines.extend(task.conflicts.iter().map(path));
        let outside = |path: &String| format!("            {} (outside of what it owns)", neutralised(path));
        lines.extend(task.flagged.iter().take(SHOWN).map(outside));
        if task.flagged.len() > SHOWN {
            lines.push(format!("            and {} more", task.flagged.len() - SHOWN));
        }
        let merged = |r: &ResolvedView| format!("            {} ({})", neutralised(&r.path), by(&r.by));
        lines.extend(task.resolved.iter().filter(|_| task.conflicts.is_empty()).map(merged));
    }
    if view.tasks.is_empty() {
        lines.push("nothing to land".to_owned());
    }
    let (target, after) = (&view.target, view.after.short());
    lines.push(match (view.dry_run, view.before == view.after) {
        (_, true) => format!("{target} stays at {after}"),
        (false, false) => format!("{target} is at {after}, was at {}", view.before.short()),
        (true, false) => format!("{target} would move from {}", view.before.short()),
    });
    lines.extend(view.pushed.as_ref().and_then(|pushed| push(view, pushed)));
    lines.join("\n")
}

/// Returns what was fetched, if that is anything.
fn fetch(view: &MergeView, fetched: &RemoteView) -> Option<String> {
    let (target, remote) = (&view.target, neutralised(fetched.remote.as_deref()?));
    if view.dry_run {
        return Some(format!("{target} would be fetched from {remote} first"));
    }
    match (&fetched.from, &fetched.to) {
        (Some(from), Some(to)) if from != to => {
            Some(format!("{target} was behind {remote}: moved to {}, was at {}", to.short(), from.short()))
        }
        _ => None,
    }
}

/// Returns what was pushed, or why not.
fn push(view: &MergeView, pushed: &RemoteView) -> Option<String> {
    let (target, remote) = (&view.target, neutralised(pushed.remote.as_deref()?));
    let was = |from: &Oid| format!(", was at {} there", from.short());
    let was = pushed.from.as_ref().map(was).unwrap_or_default();
    Some(match (&pushed.error, &pushed.to) {
        (Some(error), _) => format!("{target} is not pushed to {remote}: {}", neutralised(error)),
        (None, None) if view.dry_run => format!("{target} would be pushed to {remote}{was}"),
        (None, to) if *to == pushed.from => format!("{remote} has all of {target}"),
        (None, _) => format!("{target} is pushed to {remote}{was}"),
    })
}
