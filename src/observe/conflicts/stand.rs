//! How the live tasks stand: the commit of each branch, and the tree of its files as they are now.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use super::Asking;
use crate::git::clean::{self, Memory, PATIENCE};
use crate::git::pairs::{self, Side};
use crate::git::scratch::Scratch;
use crate::git::{Checkout, GitError, LinkedWorktree, Repo, standing};
use crate::model::{Oid, Roster, Task, Workspace, parallel};
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
    /// Whether it began on the work of another task, which may have come onto the target as other commits.
    pub(super) stacked: bool,
}

impl Stand {
    pub(super) fn at(commit: &Oid, tree: Oid) -> Self {
        let side = Side { commit: commit.clone(), tree };
        Self { commit: commit.clone(), side, read: true, stacked: false }
    }
}

/// A task with work of its own.
#[derive(Debug, Clone)]
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
#[derive(Debug, Clone)]
pub(super) struct Sides {
    /// The commit of its target.
    pub(super) target: Oid,
    /// Its commits.
    pub(super) head: Stand,
    /// What it is as of now.
    pub(super) now: Stand,
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
        let gone = |what: &str, branch: &str| format!("its {what} `{branch}` does not exist");
        // After the look at its files: what was committed since is in it, whatever the look said.
        let sides = match (targets[name].clone(), repo.branch_tip(&workspace.branch)?) {
            (None, _) => Err(gone("target", name)),
            (_, None) => Err(gone("branch", &workspace.branch)),
            (Some(target), Some(head)) => {
                let stacked = !task.spec.after.is_empty() || task.spec.base.is_some();
                let head = Stand { stacked, ..Stand::at(&head, repo.tree_of(&head)?) };
                Ok(Sides { target, now: head.clone(), head })
            }
        };
        let commits_only = match &files {
            Files::Foreign(why) if sides.is_ok() => Some(why.clone()),
            _ => None,
        };
        found.push(Seen(Standing { task, sides, uncommitted: false, files: 0, commits_only }, files));
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
    let mut work = Vec::with_capacity(seen.len());
    for seen in seen {
        let key = machine.as_deref().and_then(|machine| state(machine, seen));
        let known = key.as_deref().filter(|_| memories == Memories::Trusted);
        let known = known.and_then(|key| asking.known.tree(key));
        work.push((seen, key, known));
    }
    let trees = parallel::map(&work, 1, |(Seen(stands, files), _, known)| {
        let head = &stands.sides.as_ref().ok()?.head.side.tree;
        match (files, known) {
            (Files::Committed | Files::Foreign(_), _) => None,
            (Files::Silent, _) => Some(Err("its files cannot be looked at".to_owned())),
            (Files::Other(..), Some(tree)) => Some(Ok((*tree).clone())),
            (Files::Other(checkout, _), None) => {
                let tree = standing::tree(scratch, checkout, head, &except(stands.task), PATIENCE);
                Some(tree.map_err(|error| error.to_string()))
            }
        }
    });
    let mut all = Vec::with_capacity(seen.len());
    for ((Seen(stands, _), key, known), tree) in work.into_iter().zip(trees) {
        let mut stands = stands.clone();
        if let (Some(key), Some(Ok(tree))) = (key, &tree) {
            asking.fresh.learn_tree(key, tree.clone());
        }
        match (tree, &mut stands.sides) {
            (Some(Err(why)), sides) => *sides = Err(why),
            (Some(Ok(tree)), Ok(Sides { head, now, .. })) if tree != head.side.tree => {
                now.read = known.is_none();
                if now.read {
                    now.side.commit = scratch.commit(&tree, &head.commit)?;
                }
                now.side.tree = tree;
                stands.uncommitted = true;
            }
            _ => {}
        }
        all.push(stands);
    }
    count_files(&mut all, asking);
    all.retain(|stands| stands.files > 0 || stands.sides.is_err() || stands.commits_only.is_some());
    Ok(all)
}

/// What is known of the files of a task's workspace.
#[derive(Debug)]
enum Files {
    /// All of them are committed.
    Committed,
    /// They belong to something else than the task's branch, and why.
    Foreign(String),
    /// Some may be in no commit; with it the proof of how they are, if there is one.
    Other(Checkout, Option<String>),
    /// Nothing.
    Silent,
}

/// Returns the name of all that decides which tree a workspace stands for, if all is known.
fn state(machine: &str, Seen(stands, files): &Seen<'_>) -> Option<String> {
    let (Files::Other(_, Some(proof)), Ok(sides)) = (files, &stands.sides) else { return None };
    let except = except(stands.task);
    let parts = ["standing", machine, proof, sides.head.side.tree.as_str()];
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

fn count_files(all: &mut [Standing<'_>], asking: &mut Asking<'_>) {
    let (mut counts, mut open, mut sides) = (Vec::new(), Vec::new(), Vec::new());
    for (n, stands) in all.iter().enumerate() {
        let (Ok(Sides { target, now, .. }), Some(workspace)) = (&stands.sides, &stands.task.workspace) else {
            continue;
        };
        let decides = [target, &workspace.base, &now.commit, &now.side.tree].map(Oid::as_str);
        let key = merged::name(["files"].into_iter().chain(decides));
        match asking.known.files(&key) {
            Some(files) => counts.push((n, key, Some(files))),
            None if now.read => {
                open.push((n, key));
                sides.push((&now.side, target, &workspace.base));
            }
            None => asking.unread = true,
        }
    }
    let counted = asking.comparer.changed(&sides);
    counts.extend(open.into_iter().zip(counted).map(|((n, key), files)| (n, key, files)));
    for (n, key, files) in counts {
        // What cannot be counted here is compared nevertheless.
        all[n].files = files.unwrap_or(1);
        if let Some(files) = files {
            asking.fresh.learn_files(key, files);
        }
    }
}
