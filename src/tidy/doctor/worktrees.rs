//! Worktrees, branches and base refs against what the tasks say, both ways.

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::{DoctorError, Report, quoted};
use crate::git::worktree::{self, Entry};
use crate::git::{GitError, LinkedWorktree, Repo, refs, submodule};
use crate::model::text::count;
use crate::model::{Roster, Task, TaskName, Workspace};
use crate::store::Lock;
use crate::tidy::gc::{facts, orphan_bases};
use crate::workspace::Site;
use crate::workspace::pool::{self, Fault};

/// Compares in both directions.
pub fn examine(site: &Site<'_>, roster: &Roster, report: &mut Report) -> Result<(), DoctorError> {
    let before = report.findings.len();
    let repo = site.repo;
    let known = workspaces(site, roster);
    let entries = worktree::list(repo)?;
    for (task, workspace) in &known {
        task_side(repo, task, workspace, &entries, report)?;
    }
    let root = root(repo);
    for entry in strangers(&entries, &known, &root) {
        let path = entry.path.display();
        if entry.missing {
            report.find(
                "missing-worktree",
                &path,
                "git has a worktree there, but the folder is gone",
                fixable(entry),
            );
        } else {
            let on =
                entry.branch.as_ref().map_or("on no branch".to_owned(), |branch| format!("on `{branch}`"));
            let hint = format!("git worktree remove {}", quoted(&entry.path));
            report.find("orphan-worktree", &path, format!("no task knows this worktree ({on})"), Some(hint));
        }
    }
    for folder in folders(&root) {
        let task = known.iter().any(|(_, workspace)| Path::new(&workspace.path) == folder);
        if !task && !entries.iter().any(|entry| entry.path == folder) {
            let detail = "neither a task nor git knows this folder";
            report.find("orphan-worktree", &folder.display(), detail, None);
        }
    }
    branches(site, roster, &known, report)?;
    if !is_tended(site) {
        for Fault { path, what } in pool::faults(repo)? {
            report.find("faulty-spare", &path.display(), what, Some("wt doctor --fix".to_owned()));
        }
    }
    for (name, _) in orphan_bases(repo, roster)? {
        let detail = "marks the base of a task that is gone";
        report.find("orphan-ref", &name, detail, Some("wt doctor --fix".to_owned()));
    }
    report
        .well_since(before, format!("worktrees: {}, each with its branch", count(known.len(), "workspace")));
    Ok(())
}

/// Whether somebody sees to the spare workspaces, or is about to.
fn is_tended(site: &Site<'_>) -> bool {
    Lock::is_held(&site.layout.lock("tend")) || site.layout.tend_wanted().exists()
}

fn root(repo: &Repo) -> PathBuf {
    let root = repo.worktrees_root();
    fs::canonicalize(&root).unwrap_or(root)
}

fn workspaces<'a>(site: &Site<'_>, roster: &'a Roster) -> Vec<(&'a Task, Workspace)> {
    roster.tasks().filter_map(|task| Some((task, facts::workspace_of(site, task)?))).collect()
}

fn task_side(
    repo: &Repo,
    task: &Task,
    workspace: &Workspace,
    entries: &[Entry],
    report: &mut Report,
) -> Result<(), GitError> {
    let path = Path::new(&workspace.path);
    let name = task.name();
    if let Some(how) = facts::misplaced(repo, task, workspace, path) {
        report.find("misfit-record", &name, format!("its record names {how}"), None);
        return Ok(());
    }
    let again = || Some(format!("wt gc {name} --force && wt restore {name}"));
    let known = entries.iter().find(|entry| entry.path == path);
    match (fs::symlink_metadata(path).is_ok(), known) {
        // Never made, or its making goes on when it starts.
        (false, None) if task.workspace.is_none() => return Ok(()),
        (false, _) => {
            let detail = format!("its folder {} is gone", path.display());
            report.find("missing-worktree", &name, detail, again());
        }
        (true, None) => {
            let detail = format!("git does not know its folder {} any more", path.display());
            // What the folder holds beyond the branch stays at hand.
            let (from, mut to) = (quoted(path), path.as_os_str().to_owned());
            to.push(".kept");
            let aside =
                format!("mv {from} {} && wt gc {name} --force && wt restore {name}", quoted(to.as_ref()));
            report.find("missing-worktree", &name, detail, Some(aside));
        }
        (true, Some(entry)) if entry.missing => {
            let detail = format!("its folder {} has lost its `.git` file", path.display());
            report.find("missing-worktree", &name, detail, Some("git worktree repair".to_owned()));
        }
        (true, Some(_)) => {}
    }
    if repo.branch_tip(&workspace.branch)?.is_none() && task.workspace.is_some() {
        let branch = &workspace.branch;
        report.find("missing-branch", &name, format!("its branch `{branch}` is gone"), None);
    }
    Ok(())
}

/// The worktrees below the root that no task has; hidden ones are `wt`'s own.
fn strangers<'a>(
    entries: &'a [Entry],
    known: &[(&Task, Workspace)],
    root: &Path,
) -> impl Iterator<Item = &'a Entry> {
    let known: Vec<PathBuf> = known.iter().map(|(_, workspace)| PathBuf::from(&workspace.path)).collect();
    let root = root.to_owned();
    entries.iter().filter(move |entry| {
        !entry.is_main()
            && entry.path.parent() == Some(&root)
            && !hidden(&entry.path)
            && !known.contains(&entry.path)
    })
}

fn hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn folders(root: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .filter(|path| !hidden(path))
        .collect();
    found.sort();
    found
}

/// A worktree whose folder is gone can be forgotten where its commits are on a branch, and nobody locked it.
fn forgettable(entry: &Entry) -> bool {
    entry.missing && entry.locked.is_none() && !entry.is_detached()
}

fn fixable(entry: &Entry) -> Option<String> {
    forgettable(entry).then(|| "wt doctor --fix".to_owned())
}

/// Takes worktrees out of git's books whose folders are gone; the caller holds the git lock.
pub fn forget_missing(site: &Site<'_>, roster: &Roster) -> Result<(), GitError> {
    let entries = worktree::list(site.repo)?;
    let known = workspaces(site, roster);
    for entry in strangers(&entries, &known, &root(site.repo)).filter(|entry| forgettable(entry)) {
        if let (Some(name), Err(_)) = (&entry.entry, fs::symlink_metadata(&entry.path)) {
            let tree = LinkedWorktree::open(site.repo, name, &entry.path)?;
            match submodule::keep(site.repo, tree.checkout(), &format!("entry-{name}")) {
                Err(GitError::Submodule { .. }) => continue,
                kept => kept?,
            }
            worktree::remove_entry(&tree)?;
        }
    }
    Ok(())
}

/// Branches that look like a task's and are none's. They may hold work, so they are only told.
fn branches(
    site: &Site<'_>,
    roster: &Roster,
    known: &[(&Task, Workspace)],
    report: &mut Report,
) -> Result<(), GitError> {
    let Some((before, after)) = site.settings.branch.split_once("{name}") else { return Ok(()) };
    if before.is_empty() {
        return Ok(()); // Every branch looks like a task's.
    }
    for (full, _) in refs::list(site.repo, &format!("refs/heads/{before}"))? {
        let branch = full.strip_prefix("refs/heads/").unwrap_or(&full);
        let name = branch.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
        let Some(name) = name.and_then(|name| name.parse::<TaskName>().ok()) else { continue };
        if roster.live_named(&name).is_none()
            && !known.iter().any(|(_, workspace)| workspace.branch == branch)
        {
            let hint = format!("git branch -d {branch}");
            report.find("orphan-branch", &branch, "no task has it; it may hold work", Some(hint));
        }
    }
    Ok(())
}
