//! What the journal says and what is true of processes.

use std::collections::{BTreeMap, BTreeSet};

use super::Report;
use crate::git::{Repo, shared};
use crate::model::text::count;
use crate::model::{Event, Roster, State, Task};
use crate::process::sweep;
use crate::store::auto;
use crate::store::journal::History;
use crate::store::{Layout, Lock};

/// Lines that cannot be read, and records that do not fit.
pub fn journal(history: &History, report: &mut Report) {
    let before = report.findings.len();
    if history.bad > 0 {
        let detail = format!("{} cannot be read; every other one is", count(history.bad, "line"));
        report.find("torn-journal", &"journal", detail, None);
    }
    let misfits = history.roster.misfits();
    if misfits > 0 {
        let detail = format!("{} fit no task's state and count for nothing", count(misfits, "record"));
        report.find("misfit-record", &"journal", detail, None);
    }
    let records = count(history.records.len(), "record");
    report.well_since(before, format!("journal: {records}, all of them whole"));
}

/// Tasks that are recorded as running while nobody holds them.
pub fn lost(layout: &Layout, roster: &Roster, report: &mut Report) {
    let before = report.findings.len();
    let running: Vec<_> = roster.live().filter(|task| matches!(task.state, State::Running { .. })).collect();
    for task in &running {
        if !Lock::is_held(&layout.task(&task.id).lock()) {
            let detail = "recorded as running, but nothing supervises it";
            report.find("lost-task", &task.name(), detail, Some("wt status".to_owned()));
        }
    }
    report.well_since(before, format!("supervision: {} running", count(running.len(), "task")));
}

/// A landing that began by itself and did not go through.
pub fn auto(layout: &Layout, report: &mut Report) {
    if let Some(trouble) = auto::trouble(layout) {
        let detail = format!("nothing landed by itself: {}", trouble.in_a_line());
        report.find("auto-landing", &"[merge] auto", detail, Some("wt merge --all".to_owned()));
    }
}

/// What moved beside an attempt of a live task and no event explains, and stashes that lie where an agent made them: all
/// worktrees share them.
pub fn beside(repo: &Repo, roster: &Roster, report: &mut Report) {
    let before = report.findings.len();
    for task in roster.live() {
        for stray in &task.strays {
            let hint = Some(format!("wt events {} --type stray --all", task.name()));
            report.find("stray-change", &task.name(), stray.clone(), hint);
        }
    }
    report.well_since(before, "siblings: nothing moved that no event explains".to_owned());
    for stash in shared::stashes(repo) {
        let of = |task: &&Task| {
            let workspace = task.workspace.as_ref();
            workspace.is_some_and(|own| Some(own.branch.as_str()) == stash.branch())
        };
        if let Some(task) = roster.live().find(of) {
            let detail = format!("its work may lie in the stash that all share: {}", stash.about);
            let hint = format!("git stash show -p {}", stash.at.as_str());
            report.find("stashed-work", &task.name(), detail, Some(hint));
        }
    }
}

/// Processes of attempts that are over.
pub fn strays(history: &History, roster: &Roster, report: &mut Report) {
    let before = report.findings.len();
    for (token, (task, pids)) in stray_tokens(history, roster) {
        let pids: Vec<String> = pids.iter().map(ToString::to_string).collect();
        let noun = if pids.len() == 1 { "process" } else { "processes" };
        let detail = format!("{noun} {} of an attempt that is over ({})", pids.join(", "), short(&token));
        report.find("stray-process", &task, detail, Some("wt doctor --fix".to_owned()));
    }
    report.well_since(before, "processes: none outlived its attempt".to_owned());
}

fn short(token: &str) -> String {
    token.chars().take(8).collect()
}

/// Returns the tokens of attempts that are over and that processes still carry: task, process numbers.
pub fn stray_tokens(history: &History, roster: &Roster) -> BTreeMap<String, (String, Vec<i32>)> {
    let running: BTreeSet<&str> = roster
        .tasks()
        .filter_map(|task| match &task.state {
            State::Running { token, .. } => Some(token.as_str()),
            _ => None,
        })
        .collect();
    let known: BTreeMap<&str, String> = history
        .records
        .iter()
        .filter_map(|record| match (&record.event, &record.task) {
            (Event::Started { token, .. }, Some(id)) => Some((token.as_str(), id.name.to_string())),
            _ => None,
        })
        .collect();
    // Whoever asks from inside such a process must not be ended for it.
    let own = std::env::var(sweep::TOKEN).unwrap_or_default();
    let mut found: BTreeMap<String, (String, Vec<i32>)> = BTreeMap::new();
    for (token, pid) in sweep::carried() {
        if running.contains(token.as_str()) || token == own {
            continue;
        }
        // Unknown ones belong to another repository, or to a check.
        if let Some(task) = known.get(token.as_str()) {
            let entry = found.entry(token).or_insert_with(|| (task.clone(), Vec::new()));
            entry.1.push(pid.as_raw_nonzero().get());
        }
    }
    found
}
