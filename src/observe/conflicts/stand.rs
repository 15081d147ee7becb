//! How the live tasks stand: the commit of each branch, and the tree of its files as they are now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use crate::git::clean::{self, Memory, PATIENCE};
use crate::git::pairs::{Comparer, Side};
use crate::git::scratch::Scratch;
use crate::git::{Checkout, GitError, LinkedWorktree, Repo, standing};
use crate::model::{Oid, Roster, Task, parallel};
use crate::store::Layout;

/// What `wt` itself puts into a workspace: nobody's work.
const OWN: [&str; 2] = [".shared", "CLAUDE.local.md"];

/// A commit, and a tree that stands on it.
#[derive(Debug, Clone)]
pub(super) struct Stand {
    /// A commit that all know.
    pub(super) commit: Oid,
    /// What is merged: that commit, or one on top of it.
    pub(super) side: Side,
}

impl Stand {
    pub(super) fn at(commit: &Oid, tree: Oid) -> Self {
        Self { commit: commit.clone(), side: Side { commit: commit.clone(), tree } }
    }
}

/// A task with work of its own.
#[derive(Debug)]
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

/// Returns the live tasks that change anything, or cannot be looked at.
pub(super) fn all<'a>(
    repo: &Repo,
    layout: &Layout,
    roster: &'a Roster,
    now: Timestamp,
    scratch: &Scratch,
    comparer: &mut Comparer<'_>,
) -> Result<Vec<Standing<'a>>, GitError> {
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
        found.push((stands, files));
    }
    let trees = parallel::map(&found, 1, |(stands, files)| match files {
        Files::Committed => Ok(stands.head.side.tree.clone()),
        Files::Silent => Err("its files cannot be looked at".to_owned()),
        Files::Other(checkout) => tree(scratch, checkout, stands).map_err(|error| error.to_string()),
    });
    let mut all = Vec::with_capacity(found.len());
    for ((mut stands, _), tree) in found.into_iter().zip(trees) {
        match tree {
            Ok(tree) if tree == stands.head.side.tree => stands.now = Some(stands.head.clone()),
            Ok(tree) => {
                let commit = scratch.commit(&tree, &stands.head.commit)?;
                stands.now = Some(Stand { commit: stands.head.commit.clone(), side: Side { commit, tree } });
                stands.uncommitted = true;
            }
            Err(why) => stands.skipped = Some(why),
        }
        all.push(stands);
    }
    count_files(&mut all, comparer);
    all.retain(|stands| stands.files > 0 || stands.skipped.is_some());
    Ok(all)
}

/// What is known of the files of a task's workspace.
enum Files {
    /// What counts is what is committed.
    Committed,
    /// Some are in no commit.
    Other(Checkout),
    /// Nothing.
    Silent,
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
    for (question, dirty) in clean::ask_remembering(repo, checkouts.clone(), PATIENCE, &memory) {
        silent.remove(&question);
        match dirty {
            Some(false) => {}
            Some(true) => files[numbers[question]] = Files::Other(checkouts[question].clone()),
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

fn tree(scratch: &Scratch, checkout: &Checkout, stands: &Standing<'_>) -> Result<Oid, GitError> {
    let copied = stands.task.workspace.iter().flat_map(|workspace| workspace.copied.iter().cloned());
    let except: Vec<String> = OWN.into_iter().map(str::to_owned).chain(copied).collect();
    standing::tree(scratch, checkout, &stands.head.side.tree, &except, PATIENCE)
}

fn count_files(all: &mut [Standing<'_>], comparer: &mut Comparer<'_>) {
    let mut sides = Vec::new();
    let mut numbers = Vec::new();
    for (n, stands) in all.iter().enumerate() {
        if let (Some(now), Some(workspace)) = (&stands.now, &stands.task.workspace) {
            sides.push((&now.side, &stands.target, &workspace.base));
            numbers.push(n);
        }
    }
    let counted = comparer.changed(&sides);
    for (n, files) in numbers.into_iter().zip(counted) {
        // What cannot be counted here is compared nevertheless.
        all[n].files = files.unwrap_or(1);
    }
}
