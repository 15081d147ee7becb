//! `wt status`: what the journal says of each task, and what git says of its workspace right now.
//!
//! git is asked once for all distances and once for all sizes; only the question whether a worktree is dirty needs a call
//! each, and those run on as many threads as there are cores.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::Timestamp;

use crate::git::status::{self, DiffStat, Distance};
use crate::git::{GitError, LinkedWorktree, Repo};
use crate::model::budget::{self, Budget, Spent};
use crate::model::event::WaitReason;
use crate::model::task::Oid;
use crate::model::view::TaskView;
use crate::model::{Roster, State, Task, TaskId, Usage};
use crate::store::{Layout, Lock, live};

/// What is asked of git about tasks.
#[derive(Debug, Default)]
pub struct GitFacts {
    heads: BTreeMap<TaskId, Oid>,
    distances: BTreeMap<TaskId, Distance>,
    sizes: BTreeMap<TaskId, DiffStat>,
    dirty: BTreeMap<TaskId, bool>,
}

/// Asks git about every task that has a workspace.
pub fn ask_git(repo: &Repo, tasks: &[&Task]) -> Result<GitFacts, GitError> {
    let mut facts = GitFacts::default();
    let mut by_target: BTreeMap<&str, Vec<(&Task, &str)>> = BTreeMap::new();
    let mut pairs = Vec::new();
    let mut measured = Vec::new();
    for task in tasks {
        let Some(workspace) = &task.workspace else { continue };
        let Some(head) = repo.branch_tip(&workspace.branch)? else { continue };
        by_target.entry(&task.spec.target).or_default().push((task, &workspace.branch));
        if head != workspace.base {
            pairs.push((workspace.base.clone(), head.clone()));
            measured.push(task.id.clone());
        }
        facts.heads.insert(task.id.clone(), head);
    }
    std::thread::scope(|scope| {
        let dirty = scope.spawn(|| ask_dirty(repo, tasks));
        for (target, group) in by_target {
            if repo.branch_tip(target)?.is_none() {
                // Renamed or deleted: no distance is better than no answer.
                continue;
            }
            let branches: Vec<&str> = group.iter().map(|(_, branch)| *branch).collect();
            for ((task, _), distance) in group.iter().zip(status::ahead_behind(repo, target, &branches)?) {
                facts.distances.extend(distance.map(|distance| (task.id.clone(), distance)));
            }
        }
        facts.sizes.extend(measured.into_iter().zip(status::diffstats(repo, &pairs)?));
        facts.dirty = dirty.join().expect("asking git does not panic");
        Ok(facts)
    })
}

/// Asks each worktree whether it is dirty, on all cores; one that cannot be asked is left out.
fn ask_dirty(repo: &Repo, tasks: &[&Task]) -> BTreeMap<TaskId, bool> {
    let found = Mutex::new(BTreeMap::new());
    let next = AtomicUsize::new(0);
    let workers = std::thread::available_parallelism().map_or(2, usize::from).min(tasks.len());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let Some(workspace) = &task.workspace else { continue };
                    let Ok(worktree) = LinkedWorktree::open(repo, &workspace.entry, workspace.path.as_ref())
                    else {
                        continue;
                    };
                    if let Ok(status) = status::status(worktree.checkout()) {
                        let mut found = found.lock().expect("no worker panics while it holds this");
                        found.insert(task.id.clone(), status.dirty());
                    }
                }
            });
        }
    });
    found.into_inner().expect("no worker panics while it holds this")
}

/// Returns the view of one task.
pub fn view(task: &Task, roster: &Roster, layout: &Layout, facts: &GitFacts, now: Timestamp) -> TaskView {
    let folder = layout.task(&task.id);
    let live = live::Live::load(&folder, task.attempt);
    let running = matches!(task.state, State::Running { .. });
    let mut usage = task.usage;
    if let (true, Some(live)) = (running, &live) {
        usage += live.usage;
    }
    let (state, reason) = words(task, roster, layout);
    let distance = facts.distances.get(&task.id);
    let size = facts.sizes.get(&task.id);
    let until = task.stopped_at.unwrap_or(now);
    let elapsed = task.started_at.map(|start| until.duration_since(start));
    TaskView {
        name: task.name().to_string(),
        state,
        reason,
        branch: task.workspace.as_ref().map(|workspace| workspace.branch.clone()),
        worktree: task.workspace.as_ref().map(|workspace| workspace.path.clone()),
        ports: task.workspace.as_ref().map(|workspace| workspace.ports.clone()).unwrap_or_default(),
        target: task.spec.target.clone(),
        base: task.workspace.as_ref().map(|workspace| workspace.base.clone()),
        head: facts.heads.get(&task.id).cloned(),
        ahead: small(distance.map_or(0, |distance| distance.ahead)),
        behind: small(distance.map_or(0, |distance| distance.behind)),
        dirty: facts.dirty.get(&task.id).copied().unwrap_or(false),
        files_changed: small(size.map_or(0, |size| size.files)),
        insertions: small(size.map_or(0, |size| size.insertions)),
        deletions: small(size.map_or(0, |size| size.deletions)),
        agent: task.spec.agent.clone(),
        model: task.model.clone().or_else(|| task.spec.model.clone()),
        profile: task.spec.profile.clone(),
        until: match task.state {
            State::Waiting { until, .. } => until.max(roster.held_until(task)),
            _ => roster.held_until(task),
        },
        priority: task.spec.priority,
        after: task.spec.after.iter().map(|id| id.name.to_string()).collect(),
        attempt: task.attempt,
        iteration: task.last_iteration(),
        iterations: task.spec.looping.as_ref().map(|looping| looping.max),
        session: task.session.clone(),
        queued_at: task.queued_at,
        started_at: task.started_at,
        ended_at: task.ended_at,
        elapsed_ms: elapsed.and_then(|elapsed| u64::try_from(elapsed.as_millis()).ok()),
        silent_ms: if running {
            live::silence(&folder, task.attempt).and_then(|silence| u64::try_from(silence.as_millis()).ok())
        } else {
            None
        },
        tokens: usage.tokens,
        cost_usd: usage.cost_usd,
        budget: Some(task.spec.budget()).filter(Budget::bounds_anything),
        warning: warning(task, usage),
        last: live.and_then(|live| live.last),
        outcome: task.outcome.clone(),
        conflicts: match (&task.state, &task.landing) {
            (State::Conflict, Some(landing)) => landing.conflicts.clone(),
            _ => Vec::new(),
        },
    }
}

/// Returns how much of the task's budget is used, if it was warned of it.
fn warning(task: &Task, usage: Usage) -> Option<String> {
    let spent = Spent { usage, ..task.spent() };
    let shares = budget::shares(&spent, &task.spec.budget());
    let warned = shares.into_iter().filter(|share| task.warned.contains(&share.bound));
    let fullest = warned.max_by(|a, b| a.used.total_cmp(&b.used))?;
    Some(format!("{} of its budget", fullest.words()))
}

fn small(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Returns the word of a task's state and why it waits; a queued task whose parents have not landed is waiting for them.
pub fn words(task: &Task, roster: &Roster, layout: &Layout) -> (String, Option<String>) {
    let word = task.state.word().to_owned();
    match &task.state {
        State::Queued if task.spec.after.iter().any(|id| !roster.has_landed(id)) => {
            ("waiting".to_owned(), Some("after".to_owned()))
        }
        // Its runner is launched and about to say so.
        State::Queued if Lock::is_held(&layout.task(&task.id).lock()) => ("running".to_owned(), None),
        // Others of its account met a limit.
        State::Queued if roster.held_until(task).is_some() => {
            ("waiting".to_owned(), Some(WaitReason::RateLimit.word().to_owned()))
        }
        State::Waiting { reason, .. } => (word, Some(reason.word().to_owned())),
        _ => (word, None),
    }
}
