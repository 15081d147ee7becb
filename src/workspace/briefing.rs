//! What there is to tell an agent, gathered from the task, the settings and the roster.

use fs_err as fs;

use super::Site;
use super::instructions::{self, Briefing, Check, Colleague};
use super::shared::SHARED;
use crate::model::settings::CommitBy;
use crate::model::text::one_line;
use crate::model::{Oid, Roster, State, Task, Workspace};

/// How many others are named.
const OTHERS: usize = 20;
/// The longest word on what another task is about, in characters.
const ABOUT: usize = 100;

/// Where a task works.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The worktree's folder, absolute.
    pub path: &'a str,
    /// The branch, short.
    pub branch: &'a str,
    /// The commit that the branch started from.
    pub base: &'a Oid,
    /// The TCP ports that are its own.
    pub ports: &'a [u16],
}

impl<'a> Place<'a> {
    /// Returns the place of a workspace that was made.
    pub fn of(workspace: &'a Workspace) -> Self {
        let Workspace { path, branch, base, ports, .. } = workspace;
        Self { path, branch, base, ports }
    }
}

/// Returns what is told to the agent of `task`.
pub fn of(site: &Site<'_>, roster: &Roster, task: &Task, place: &Place<'_>) -> Briefing {
    let spec = &task.spec;
    let own: Vec<Check> =
        spec.verify.iter().map(|run| Check { name: "check".to_owned(), run: run.clone() }).collect();
    let configured = site.settings.verify.iter();
    let checks = if own.is_empty() {
        configured.map(|step| Check { name: step.name.clone(), run: step.run.clone() }).collect()
    } else {
        own
    };
    Briefing {
        task: spec.name.to_string(),
        branch: place.branch.to_owned(),
        worktree: place.path.to_owned(),
        target: spec.target.clone(),
        base: place.base.short().to_owned(),
        shared: site.repo.worktrees_root().join(SHARED).display().to_string(),
        role: role(site, task),
        owns: spec.owns.clone(),
        avoids: spec.avoids.clone(),
        others: others(site, roster, task),
        checks,
        commit: match site.settings.agent.commit {
            CommitBy::Auto => "auto".to_owned(),
            CommitBy::Agent => "agent".to_owned(),
        },
        iteration: task.next_iteration(),
        max_iterations: spec.looping.as_ref().map_or(0, |looping| looping.max),
        until: spec.looping.as_ref().map_or_else(|| "COMPLETE".to_owned(), |looping| looping.until.clone()),
        ports: place.ports.to_vec(),
        // A prompt that cannot be read fails where it is given to the agent, with a better word.
        prompt: prompt(site, task).trim_end().to_owned(),
        user_notes: instructions::user_notes(site.repo.main_checkout()),
    }
}

/// What the task's profile is for, as it is configured now.
fn role(site: &Site<'_>, task: &Task) -> String {
    let profile = task.spec.profile.as_ref().and_then(|name| site.settings.profiles.get(name));
    profile.and_then(|profile| profile.role.clone()).unwrap_or_default()
}

/// Returns what a task is about, in a few words: the first line of its prompt.
pub fn about(site: &Site<'_>, task: &Task) -> String {
    let text = prompt(site, task);
    one_line(text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default(), ABOUT)
}

fn prompt(site: &Site<'_>, task: &Task) -> String {
    fs::read_to_string(site.layout.task(&task.id).prompt()).unwrap_or_default()
}

/// Those whose work is under way, oldest first.
fn others(site: &Site<'_>, roster: &Roster, task: &Task) -> Vec<Colleague> {
    let mut busy: Vec<&Task> = roster
        .live()
        .filter(|other| other.id != task.id)
        .filter(|other| matches!(other.state, State::Running { .. } | State::Open | State::Waiting { .. }))
        .collect();
    busy.sort_by_key(|other| other.order);
    let colleague = |other: &&Task| Colleague {
        name: other.name().to_string(),
        state: other.state.word().to_owned(),
        about: about(site, other),
        owns: other.spec.owns.clone(),
    };
    busy.iter().take(OTHERS).map(colleague).collect()
}
