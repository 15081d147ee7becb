//! How the live tasks stand: the commit of each branch, and the tree of its files as they are now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::Asking;
use crate::git::clean::{self, Memory, PATIENCE};
use crate::git::pairs::{self, Side};
use crate::git::scratch::Scratch;
use crate::git::{Checkout, GitError, LinkedWorktree, Repo, standing};
use crate::model::{Oid, Roster, Task, parallel};
use crate::store::Layout;
use crate::store::merged;

/// What `wt` itself puts into a workspace: nobody's work.
const OWN: [&str; 2] = [".shared", "CLAUDE.local.md"];

/// Whether a workspace that is as it was may stand for the tree that it had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Memories {
    /// It may: the tree is known by name, and its objects are not there.
    Trusted,
    /// Every tree is made.
    Unused,
}

/// A commit, and a tree that stands on it.
#[derive(Debug, Clone)]
pub(super) struct Stand {
    /// A commit that all know.
    pub(super) commit: Oid,
    /// What is merged: that commit, or one on top of it.
    pub(super) side: Side,
    /// Whether there is more of it than the names.
    pub(super) read: bool,
}

impl Stand {
    pub(super) fn at(commit: &Oid, tree: Oid) -> Self {
        Self { commit: commit.clone(), side: Side { commit: commit.clone(), tree }, read: true }
    }
}

/// A task with work of its own.
#[derive(Debug, Clone)]
pub(super) struct Standing<'a> {
    pub(super) task: &'a Task,
    /// The commit of its target.
    pub(super) target: Oid,
    /// Its commits.
    pub(super) head: Stand,
    /// What it is as of now; `None`: it cannot be told.
    pub(super) now: Option<Stand>,
    pub(super) uncommitted: bool,
    /// How many files it changes.
    pub(super) files: usize,
    /// Why it cannot be compared.
    pub(super) skipped: Option<String>,
}

/// A live task, and what a look at its files came to.
#[derive(Debug)]
pub(super) struct Seen<'a>(Standing<'a>, Files);

/// Looks at the files of all live tasks.
pub(super) fn look<'a>(
    repo: &Repo,
    layout: &Layout,
    roster: &'a Roster,
    now: Timestamp,
) -> Result<Vec<Seen<'a>>, GitError> {
    let tasks: Vec<&Task> = roster.live().filter(|task| task.workspace.is_some()).collect();
    let files = files(repo, layout, &tasks, now);
    let mut targets: BTreeMap<&str, Option<Oid>> = BTreeMap::new();
    let mut found = Vec::new();
    for (task, files) in tasks.into_iter().zip(files) {
        let Some(workspace) = &task.workspace else { continue };
        let name = task.spec.target.as_str();
        if !targets.contains_key(name) {
            targets.insert(name, repo.branch_tip(name)?);
        }
        // After the look at its files: what was committed since is in it, whatever the look said.
        let (Some(target), Some(head)) = (targets[name].clone(), repo.branch_tip(&workspace.branch)?) else {
            continue;
        };
        let head = Stand::at(&head, repo.tree_of(&head)?);
        let stands = Standing { task, target, now: None, uncommitted: false, files: 0, skipped: None, head };
        found.push(Seen(stands, files));
    }
    Ok(found)
}

/// Returns the tasks that change anything, or cannot be looked at.
pub(super) fn all<'a>(
    scratch: &Scratch,
    seen: &[Seen<'a>],
    memories: Memories,
    asking: &mut Asking<'_>,
) -> Result<Vec<Standing<'a>>, GitError> {
    let proved = seen.iter().any(|Seen(_, files)| matches!(files, Files::Other(_, Some(_))));
    let machine = if proved { pairs::machine(&asking.comparer)? } else { None };
    let keys: Vec<Option<String>> = seen.iter().map(|seen| state(machine.as_deref()?, seen)).collect();
    let mut work = Vec::with_capacity(seen.len());
    for (Seen(stands, files), key) in seen.iter().zip(&keys) {
        let known = key.as_deref().filter(|_| memories == Memories::Trusted);
        work.push((stands, files, known.and_then(|key| asking.known.tree(key))));
    }
    let trees = parallel::map(&work, 1, |(stands, files, known)| match (files, known) {
        (Files::Committed, _) => Ok(stands.head.side.tree.clone()),
        (Files::Silent, _) => Err("its files cannot be looked at".to_owned()),
        (Files::Other(..), Some(tree)) => Ok((*tree).clone()),
        (Files::Other(checkout, _), None) => {
            let tree =
                standing::tree(scratch, checkout, &stands.head.side.tree, &except(stands.task), PATIENCE);
            tree.map_err(|error| error.to_string())
        }
    });
    let read: Vec<bool> = work.iter().map(|(_, _, known)| known.is_none()).collect();
    let mut all = Vec::with_capacity(seen.len());
    for (n, (Seen(stands, _), tree)) in seen.iter().zip(trees).enumerate() {
        let mut stands = stands.clone();
        if let (Some(key), Ok(tree)) = (&keys[n], &tree) {
            asking.fresh.learn_tree(key.clone(), tree.clone());
        }
        match tree {
            Ok(tree) if tree == stands.head.side.tree => stands.now = Some(stands.head.clone()),
            Ok(tree) => {
                let under = stands.head.commit.clone();
                let commit = if read[n] { scratch.commit(&tree, &under)? } else { under.clone() };
                stands.now = Some(Stand { commit: under, side: Side { commit, tree }, read: read[n] });
                stands.uncommitted = true;
            }
            Err(why) => stands.skipped = Some(why),
        }
        all.push(stands);
    }
    count_files(&mut all, asking);
    all.retain(|stands| stands.files > 0 || stands.skipped.is_some());
    Ok(all)
}

/// What is known of the files of a task's workspace.
#[derive(Debug)]
enum Files {
    /// What counts is what is committed.
    Committed,
    /// Some may be in no commit; with it the proof of how they are, if there is one.
    Other(Checkout, Option<String>),
    /// Nothing.
    Silent,
}

/// Returns the name of all that decides which tree a workspace stands for, if all is known.
fn state(machine: &str, Seen(stands, files): &Seen<'_>) -> Option<String> {
    let Files::Other(_, Some(proof)) = files else { return None };
    let except = except(stands.task);
    let parts = ["standing", machine, proof, stands.head.side.tree.as_str()];
    Some(merged::name(parts.into_iter().chain(except.iter().map(String::as_str))))
}

/// Returns the paths at which what is in the workspace is nobody's work.
fn except(task: &Task) -> Vec<String> {
    let copied = task.workspace.iter().flat_map(|workspace| workspace.copied.iter().cloned());
    OWN.into_iter().map(str::to_owned).chain(copied).collect()
}

fn files(repo: &Repo, layout: &Layout, tasks: &[&Task], now: Timestamp) -> Vec<Files> {
    let mut files: Vec<Files> = tasks.iter().map(|_| Files::Committed).collect();
    let (mut checkouts, mut numbers) = (Vec::new(), Vec::new());
    for (n, task) in tasks.iter().enumerate() {
        let Some(workspace) = &task.workspace else { continue };
        let opened = LinkedWorktree::open(repo, &workspace.entry, workspace.path.as_ref());
        let Some(tree) = opened.ok().filter(|tree| standing::belongs(tree.checkout(), &workspace.branch))
        else {
            continue;
        };
        checkouts.push(tree.checkout().clone());
        numbers.push(n);
    }
    let memory = Arc::new(Memory::load(&layout.folders(), now));
    let mut silent: BTreeSet<usize> = (0..numbers.len()).collect();
    let mut answers = clean::survey(repo, checkouts.clone(), PATIENCE, &memory);
    while let Some((question, dirty)) = answers.next() {
        silent.remove(&question);
        match dirty {
            Some(false) => {}
            Some(true) => {
                let proof = answers.proof(question);
                files[numbers[question]] = Files::Other(checkouts[question].clone(), proof);
            }
            None => files[numbers[question]] = Files::Silent,
        }
    }
    for question in silent {
        files[numbers[question]] = Files::Silent;
    }
    if layout.root().exists() {
        // Only a memory.
        drop(memory.save());
    }
    files
}

fn count_files(all: &mut [Standing<'_>], asking: &mut Asking<'_>) {
    let mut open = Vec::new();
    for (n, stands) in all.iter_mut().enumerate() {
        let (Some(now), Some(workspace)) = (&stands.now, &stands.task.workspace) else { continue };
        let decides = [&stands.target, &workspace.base, &now.commit, &now.side.tree].map(Oid::as_str);
        let key = merged::name(["files"].into_iter().chain(decides));
        match asking.known.files(&key) {
            Some(files) => {
                stands.files = files;
                asking.fresh.learn_files(key, files);
            }
            None if now.read => open.push((n, key)),
            None => asking.unread = true,
        }
    }
    let side = |n: usize| {
        let stands = &all[n];
        let (now, workspace) = (stands.now.as_ref()?, stands.task.workspace.as_ref()?);
        Some((&now.side, &stands.target, &workspace.base))
    };
    let sides: Vec<_> = open.iter().filter_map(|(n, _)| side(*n)).collect();
    let counted = asking.comparer.changed(&sides);
    for ((n, key), files) in open.into_iter().zip(counted) {
        // What cannot be counted here is compared nevertheless.
        all[n].files = files.unwrap_or(1);
        if let Some(files) = files {
            asking.fresh.learn_files(key, files);
        }
    }
}
