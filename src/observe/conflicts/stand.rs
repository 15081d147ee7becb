//! How the live tasks stand: the commit of each branch, and the tree of its files as they are now.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use crate::git::clean::{self, Memory, PATIENCE};
use crate::git::pairs::{Comparer, Side};
use crate::git::scratch::Scratch;
use crate::git::{Checkout, GitError, LinkedWorktree, Repo, standing};
use crate::model::{Oid, Roster, Task, Workspace, parallel};
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
    /// What of it is compared, or why it cannot be.
    pub(super) sides: Result<Sides, String>,
    pub(super) uncommitted: bool,
    /// How many files it changes.
    pub(super) files: usize,
    /// Why what is in its workspace counts for nothing, and its commits alone are compared.
    pub(super) commits_only: Option<String>,
}

/// What of a task is compared.
#[derive(Debug)]
pub(super) struct Sides {
    /// The commit of its target.
    pub(super) target: Oid,
    /// Its commits.
    pub(super) head: Stand,
    /// What it is as of now.
    pub(super) now: Stand,
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
        let gone = |what: &str, branch: &str| format!("its {what} `{branch}` does not exist");
        // After the look at its files: what was committed since is in it, whatever the look said.
        let sides = match (targets[name].clone(), repo.branch_tip(&workspace.branch)?) {
            (None, _) => Err(gone("target", name)),
            (_, None) => Err(gone("branch", &workspace.branch)),
            (Some(target), Some(head)) => {
                let head = Stand::at(&head, repo.tree_of(&head)?);
                Ok(Sides { target, now: head.clone(), head })
            }
        };
        let commits_only = match &files {
            Files::Foreign(why) if sides.is_ok() => Some(why.clone()),
            _ => None,
        };
        found.push((Standing { task, sides, uncommitted: false, files: 0, commits_only }, files));
    }
    let trees = parallel::map(&found, 1, |(stands, files)| {
        let head = &stands.sides.as_ref().ok()?.head;
        match files {
            Files::Committed | Files::Foreign(_) => None,
            Files::Silent => Some(Err("its files cannot be looked at".to_owned())),
            Files::Other(checkout) => {
                Some(tree(scratch, checkout, stands.task, head).map_err(|error| error.to_string()))
            }
        }
    });
    let mut all = Vec::with_capacity(found.len());
    for ((mut stands, _), tree) in found.into_iter().zip(trees) {
        match (tree, &mut stands.sides) {
            (Some(Err(why)), sides) => *sides = Err(why),
            (Some(Ok(tree)), Ok(sides)) if tree != sides.head.side.tree => {
                let commit = scratch.commit(&tree, &sides.head.commit)?;
                sides.now.side = Side { commit, tree };
                stands.uncommitted = true;
            }
            _ => {}
        }
        all.push(stands);
    }
    count_files(&mut all, comparer);
    all.retain(|stands| stands.files > 0 || stands.sides.is_err() || stands.commits_only.is_some());
    Ok(all)
}

/// What is known of the files of a task's workspace.
enum Files {
    /// All of them are committed.
    Committed,
    /// They belong to something else than the task's branch, and why.
    Foreign(String),
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
        match belonging(repo, workspace) {
            Ok(checkout) => {
                checkouts.push(checkout);
                numbers.push(n);
            }
            Err(why) => files[n] = Files::Foreign(why),
        }
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

/// Returns the worktree of a task if what lies in it belongs to its branch, or why not.
fn belonging(repo: &Repo, workspace: &Workspace) -> Result<Checkout, String> {
    let path = Path::new(&workspace.path);
    let opened = LinkedWorktree::open(repo, &workspace.entry, path);
    let is = if path.exists() { "no worktree of this repository" } else { "gone" };
    let tree = opened.map_err(|_| format!("its workspace is {is}"))?;
    standing::belongs(tree.checkout(), &workspace.branch)
        .map_err(|foreign| format!("its workspace is {foreign}"))
        .map(|()| tree.checkout().clone())
}

fn tree(scratch: &Scratch, checkout: &Checkout, task: &Task, head: &Stand) -> Result<Oid, GitError> {
    let copied = task.workspace.iter().flat_map(|workspace| workspace.copied.iter().cloned());
    let except: Vec<String> = OWN.into_iter().map(str::to_owned).chain(copied).collect();
    standing::tree(scratch, checkout, &head.side.tree, &except, PATIENCE)
}

fn count_files(all: &mut [Standing<'_>], comparer: &mut Comparer<'_>) {
    let mut sides = Vec::new();
    let mut numbers = Vec::new();
    for (n, stands) in all.iter().enumerate() {
        if let (Ok(there), Some(workspace)) = (&stands.sides, &stands.task.workspace) {
            sides.push((&there.now.side, &there.target, &workspace.base));
            numbers.push(n);
        }
    }
    let counted = comparer.changed(&sides);
    for (n, files) in numbers.into_iter().zip(counted) {
        // What cannot be counted here is compared nevertheless.
        all[n].files = files.unwrap_or(1);
    }
}
