//! Looks at the workspaces of tasks: what is known at once, then what each worktree answers.
//!
//! What commits decide (distances, sizes, conflicts) is computed once and remembered; only whether a worktree is dirty is asked
//! each time. Answers are taken task by task, in the order asked for, while the other worktrees are still looked at.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use jiff::Timestamp;

use crate::git::clean::{self, Answers, Memory};
use crate::git::pairs::{Comparer, Side, merge_from};
use crate::git::scratch::Scratch;
use crate::git::{GitError, LinkedWorktree, Repo, status};
use crate::model::task::Oid;
use crate::model::{Task, TaskId};
use crate::store::remembered::{Remembered, Seen, Size, Toward};

/// How many branches are merged in memory by one call: few, so that the first rows need not wait for the last.
const CHUNK: usize = 8;

/// How many landings are looked at, newest first, for one that a branch stands on.
const LOOK_BACK: usize = 64;

/// What is known of a task's workspace.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Known {
    /// What was seen; `None`: it was never looked at, or there is no workspace.
    pub seen: Option<Seen>,
    /// Whether any of it was seen earlier, and not now.
    pub remembered: bool,
}

/// Returns what was last seen of a task, without looking.
pub fn recall(task: &Task, remembered: &Remembered) -> Known {
    let seen = task.workspace.as_ref().and_then(|_| remembered.of(&task.id).cloned());
    Known { seen, remembered: task.workspace.is_some() }
}

/// A look at some tasks that goes on in the background.
#[derive(Debug)]
pub struct Look {
    seen: Vec<Option<Seen>>,
    /// What was seen earlier of those that nobody hears of in time.
    before: Vec<Option<(Timestamp, bool)>>,
    /// By number of the question, the number of the task.
    asked: Vec<usize>,
    dirty: Answers,
    /// The tasks whose worktrees have not answered.
    silent: Vec<bool>,
    /// Those that cannot be asked, or did not answer in time.
    unanswered: Vec<bool>,
    conflicts: Receiver<(usize, Option<bool>)>,
    /// The tasks whose conflicts are being computed.
    unforeseen: Vec<bool>,
}

impl Look {
    /// Begins to look at `tasks`: afterwards everything is known but which worktrees are dirty and which conflicts are new.
    /// `landings`: what landed tasks were and became, newest first.
    pub fn begin(
        repo: &Repo,
        tasks: &[&Task],
        remembered: &Remembered,
        now: Timestamp,
        patience: Duration,
        folders: &Arc<Memory>,
        landings: Vec<(Oid, Oid)>,
    ) -> Result<Self, GitError> {
        let mut checkouts = Vec::new();
        let mut asked = Vec::new();
        let mut silent = vec![false; tasks.len()];
        for (n, task) in tasks.iter().enumerate() {
            let Some(workspace) = &task.workspace else { continue };
            if let Ok(tree) = LinkedWorktree::open(repo, &workspace.entry, workspace.path.as_ref()) {
                checkouts.push(tree.checkout().clone());
                asked.push(n);
                silent[n] = true;
            }
        }
        let dirty = clean::ask_remembering(repo, checkouts, patience, folders);
        let mut seen: Vec<Option<Seen>> = Vec::with_capacity(tasks.len());
        for task in tasks {
            seen.push(match &task.workspace {
                None => None,
                Some(workspace) => {
                    let head = repo.branch_tip(&workspace.branch)?;
                    Some(Seen { as_of: now, head, ..Seen::default() })
                }
            });
        }
        let earlier: Vec<Option<&Seen>> = tasks.iter().map(|task| remembered.of(&task.id)).collect();
        sizes(repo, tasks, &earlier, &mut seen)?;
        distances(repo, tasks, &earlier, &mut seen)?;
        let before =
            earlier.iter().map(|seen| seen.and_then(|seen| Some((seen.as_of, seen.dirty?)))).collect();
        let (conflicts, unforeseen) = foresee_conflicts(repo, tasks, &seen, patience, landings);
        let unanswered = silent.clone();
        Ok(Self { seen, before, asked, dirty, silent, unanswered, conflicts, unforeseen })
    }

    /// Returns what is known of the `n`th task before its worktree has answered.
    pub fn so_far(&self, n: usize) -> Known {
        Known { seen: self.seen[n].clone(), remembered: false }
    }

    /// Waits for everything about the `n`th task.
    pub fn wait(&mut self, n: usize) -> Known {
        while self.unforeseen[n] {
            let Ok((task, conflicts)) = self.conflicts.recv() else { break };
            self.unforeseen[task] = false;
            if let Some(toward) = self.seen[task].as_mut().and_then(|seen| seen.toward.as_mut()) {
                toward.conflicts = conflicts;
            }
        }
        while self.silent[n] {
            let Some((question, dirty)) = self.dirty.next() else { break };
            let task = self.asked[question];
            self.silent[task] = false;
            self.unanswered[task] = dirty.is_none();
            if let Some(seen) = &mut self.seen[task] {
                seen.dirty = dirty;
            }
        }
        let mut known = self.so_far(n);
        if let Some(seen) = known.seen.as_mut().filter(|_| self.unanswered[n]) {
            known.remembered = true;
            if let Some((as_of, dirty)) = self.before[n] {
                (seen.as_of, seen.dirty) = (as_of, Some(dirty));
            }
        }
        known
    }

    /// Takes note of what was seen; tasks that were not asked for stay as they are remembered.
    pub fn learn(mut self, tasks: &[&Task], remembered: &mut Remembered) {
        for (n, task) in tasks.iter().enumerate() {
            let known = self.wait(n);
            if let Some(seen) = known.seen {
                remembered.learn(&task.id, seen);
            }
        }
    }
}

/// Fills in how much each task changes.
fn sizes(
    repo: &Repo,
    tasks: &[&Task],
    earlier: &[Option<&Seen>],
    seen: &mut [Option<Seen>],
) -> Result<(), GitError> {
    let mut pairs = Vec::new();
    let mut measured = Vec::new();
    for (n, (task, seen)) in tasks.iter().zip(seen.iter_mut()).enumerate() {
        let (Some(workspace), Some(seen)) = (&task.workspace, seen) else { continue };
        let Some(head) = seen.head.clone().filter(|head| *head != workspace.base) else { continue };
        let known = earlier[n].and_then(|seen| seen.size.as_ref());
        seen.size = known.filter(|size| size.base == workspace.base && size.head == head).cloned();
        if seen.size.is_none() {
            pairs.push((workspace.base.clone(), head));
            measured.push(n);
        }
    }
    let stats = status::diffstats(repo, &pairs)?;
    for ((n, (base, head)), stat) in measured.into_iter().zip(pairs).zip(stats) {
        let (files, insertions, deletions) =
            (small(stat.files), small(stat.insertions), small(stat.deletions));
        if let Some(seen) = &mut seen[n] {
            seen.size = Some(Size { base, head, files, insertions, deletions });
        }
    }
    Ok(())
}

/// Fills in how far each task is from its target, and of conflicts what is remembered or plain.
fn distances(
    repo: &Repo,
    tasks: &[&Task],
    earlier: &[Option<&Seen>],
    seen: &mut [Option<Seen>],
) -> Result<(), GitError> {
    let mut by_target: BTreeMap<&str, Vec<(usize, &str)>> = BTreeMap::new();
    let mut tips: BTreeMap<&str, Option<Oid>> = BTreeMap::new();
    for (n, (task, seen)) in tasks.iter().zip(seen.iter_mut()).enumerate() {
        let (Some(workspace), Some(seen)) = (&task.workspace, seen) else { continue };
        let Some(head) = seen.head.clone() else { continue };
        let name = task.spec.target.as_str();
        if !tips.contains_key(name) {
            tips.insert(name, repo.branch_tip(name)?);
        }
        // Renamed or deleted: no distance is better than no answer.
        let Some(target) = tips[name].clone() else { continue };
        let known = earlier[n].and_then(|seen| seen.toward.as_ref());
        match known.filter(|known| known.target == target && known.head == head) {
            Some(known) => seen.toward = Some(known.clone()),
            None => by_target.entry(name).or_default().push((n, &workspace.branch)),
        }
    }
    for (name, group) in by_target {
        let branches: Vec<&str> = group.iter().map(|(_, branch)| *branch).collect();
        let found = status::ahead_behind(repo, name, &branches)?;
        for ((n, _), distance) in group.into_iter().zip(found) {
            let (Some(seen), Some(distance)) = (&mut seen[n], distance) else { continue };
            let (Some(target), Some(head)) = (tips[name].clone(), seen.head.clone()) else { continue };
            let (ahead, behind) = (small(distance.ahead), small(distance.behind));
            // Nobody else changed anything.
            let conflicts = (ahead > 0 && behind == 0).then_some(false);
            seen.toward = Some(Toward { target, head, ahead, behind, conflicts });
        }
    }
    Ok(())
}

/// Merges in memory, in the background, what was never merged before.
fn foresee_conflicts(
    repo: &Repo,
    tasks: &[&Task],
    seen: &[Option<Seen>],
    patience: Duration,
    landings: Vec<(Oid, Oid)>,
) -> (Receiver<(usize, Option<bool>)>, Vec<bool>) {
    let mut unforeseen = vec![false; tasks.len()];
    let mut chunks: Vec<(Oid, Vec<(usize, Oid)>)> = Vec::new();
    for (n, (task, seen)) in tasks.iter().zip(seen).enumerate() {
        let toward = seen.as_ref().and_then(|seen| seen.toward.as_ref());
        let open = |toward: &&Toward| toward.ahead > 0 && toward.behind > 0 && toward.conflicts.is_none();
        let Some(toward) = toward.filter(|_| !task.state.ended()).filter(open) else { continue };
        unforeseen[n] = true;
        match chunks.last_mut() {
            Some((target, pairs)) if *target == toward.target && pairs.len() < CHUNK => {
                pairs.push((n, toward.head.clone()));
            }
            _ => chunks.push((toward.target.clone(), vec![(n, toward.head.clone())])),
        }
    }
    let (tell, told) = channel();
    if !chunks.is_empty() {
        let repo = repo.clone();
        std::thread::spawn(move || {
            let scratch = Scratch::beside(&repo).ok();
            let mut comparer = scratch.as_ref().and_then(|scratch| Comparer::new(&repo, scratch).ok());
            for (target, pairs) in chunks {
                let heads: Vec<Oid> = pairs.iter().map(|(_, head)| head.clone()).collect();
                let foreseen = comparer
                    .as_mut()
                    .map(|comparer| would_conflict(&repo, comparer, &target, &heads, &landings, patience));
                let verdicts = foreseen.and_then(Result::ok).unwrap_or_default();
                let verdicts = verdicts.into_iter().chain(std::iter::repeat(None));
                for ((n, _), verdict) in pairs.into_iter().zip(verdicts) {
                    // Nobody may listen any more.
                    let _ = tell.send((n, verdict));
                }
            }
        });
    }
    (told, unforeseen)
}

/// Tells for each of the heads whether merging it with `target` would conflict; `None` where git cannot say. Uncommitted work
/// is not in it, and a landing, which replays commit by commit, may still stop at what a later commit makes good.
pub fn would_conflict(
    repo: &Repo,
    comparer: &mut Comparer<'_>,
    target: &Oid,
    heads: &[Oid],
    landings: &[(Oid, Oid)],
    patience: Duration,
) -> Result<Vec<Option<bool>>, GitError> {
    let side = |commit: &Oid| Ok::<_, GitError>(Side { commit: commit.clone(), tree: repo.tree_of(commit)? });
    let ours = side(target)?;
    // One that cannot be read keeps nobody from an answer about the others.
    let theirs: Vec<Option<Side>> = heads.iter().map(|head| side(head).ok()).collect();
    let pairs: Vec<(&Side, &Side)> = theirs.iter().flatten().map(|theirs| (&ours, theirs)).collect();
    let mut told = comparer.merge(&pairs, target, patience, &|_| {})?.into_iter();
    let told = theirs.iter().map(|theirs| theirs.as_ref().and_then(|_| told.next().flatten()));
    let again = |head: &Oid| {
        let base = brought_base(repo, target, head, landings)?;
        let told = merge_from(repo, &base, target, head, patience).ok()??;
        Some(!told.is_empty())
    };
    // What it has from a parent that was squashed is not merged again.
    let conflicts =
        |(told, head): (Option<Vec<_>>, &Oid)| Some(!told?.is_empty() && again(head).unwrap_or(true));
    Ok(told.zip(heads).map(conflicts).collect())
}

/// Returns the last commit of a branch that came onto `target` as another one, with a landing.
pub(super) fn brought_base(repo: &Repo, target: &Oid, head: &Oid, landings: &[(Oid, Oid)]) -> Option<Oid> {
    let rewritten = landings.iter().filter(|(head, tip)| head != tip).take(LOOK_BACK);
    rewritten
        .filter(|(_, tip)| repo.is_ancestor(tip, target).unwrap_or(false))
        .filter_map(|(landed, _)| repo.merge_base(landed, head).ok().flatten())
        .find(|base| !repo.is_ancestor(base, target).unwrap_or(true))
}

fn small(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Forgets what was seen of tasks that have ended.
pub fn forget_ended<'a>(remembered: &mut Remembered, live: impl Iterator<Item = &'a TaskId>) {
    let live: std::collections::BTreeSet<&TaskId> = live.collect();
    remembered.retain(|id| live.contains(id));
}
