//! `wt status --disk`: what each workspace takes on the disk, and what stands beside them.
//!
//! Invariant: reads only, so all of it may be asked beside running agents; sizes are those of the moment. What git ignores
//! is asked of git, one call a workspace; the walk over the files is [`crate::store::measure`].

use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::git::ignored::{Ignored, Patterns};
use crate::git::{GitError, LinkedWorktree, Repo};
use crate::model::settings::WorkspaceSettings;
use crate::model::text::one_line;
use crate::model::view::SCHEMA;
use crate::model::view::disk::{DiskView, Place, PlaceDisk, TotalDisk, WorkspaceDisk};
use crate::model::{Task, Workspace, parallel};
use crate::store::measure::{Found, Measured, Sort, Tally, Unit, measure};
use crate::store::{Layout, Space};

/// The folders beside the workspaces, as other rooms name them.
const BESIDE: [(&str, Place); 5] = [
    (".pool", Place::Pool),
    (".verify", Place::Verify),
    (".resolve", Place::Resolve),
    (".trash", Place::Trash),
    (".shared", Place::Shared),
];

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The given workspaces, and all places.
    Everything,
    /// The given workspaces.
    Workspaces,
}

/// What is measured, and where it is.
#[derive(Clone, Copy)]
pub struct Ground<'a> {
    /// The repository.
    pub repo: &'a Repo,
    /// Its state folder.
    pub layout: &'a Layout,
    /// The settings in force.
    pub settings: &'a WorkspaceSettings,
}

/// Measures the workspaces of `tasks`, each with its state's word, in order; a task without one is left out. `slow` is
/// called once if it takes over half a second.
pub fn disk(ground: Ground<'_>, tasks: &[(&Task, String)], scope: Scope, slow: &dyn Fn()) -> DiskView {
    let repo = ground.repo;
    let with: Vec<(&Task, &str, &Workspace)> = tasks
        .iter()
        .filter_map(|(task, word)| Some((*task, word.as_str(), task.workspace.as_ref()?)))
        .filter(|(_, _, workspace)| Path::new(&workspace.path).is_dir())
        .collect();
    let workspaces: Vec<&Workspace> = with.iter().map(|(_, _, workspace)| *workspace).collect();
    let ignored = ignored(repo, &workspaces);
    let caches = Patterns::new(ground.settings.caches.iter().map(String::as_str));
    let mut units: Vec<Unit<'_>> = workspaces
        .iter()
        .zip(&ignored)
        .map(|(workspace, ignored)| Unit {
            root: PathBuf::from(&workspace.path),
            sort: Sort::Own,
            sorter: ignored.as_ref().ok().map(|ignored| sorter(ignored, &caches)),
        })
        .collect();
    let places = match scope {
        Scope::Everything => places(ground, tasks),
        Scope::Workspaces => Vec::new(),
    };
    units.extend(places.iter().map(|(_, path)| Unit::plain(path, Sort::Own)));
    let Measured { tallies, shared } = measure(&units, slow);
    drop(units);
    let mut tallies = tallies.into_iter();
    let mut view = DiskView {
        schema: SCHEMA,
        repo: repo.main_checkout().unwrap_or_else(|| repo.common_dir()).to_string_lossy().into_owned(),
        free: Space::around(&repo.worktrees_root()).map(|(_, free)| free.bytes),
        ..DiskView::default()
    };
    for (((task, word, workspace), ignored), tally) in with.iter().zip(ignored).zip(&mut tallies) {
        view.workspaces.push(workspace_view(task, word, workspace, ignored.err(), &tally));
    }
    for ((what, path), tally) in places.into_iter().zip(tallies) {
        let (bytes, shared, unreadable) = (tally.alone(), tally.shared, tally.unreadable);
        let path = path.to_string_lossy().into_owned();
        view.places.push(PlaceDisk { what, path, bytes, shared, unreadable });
    }
    view.total = total(&view, shared);
    view
}

fn workspace_view(
    task: &Task,
    word: &str,
    workspace: &Workspace,
    unsorted: Option<String>,
    tally: &Tally,
) -> WorkspaceDisk {
    WorkspaceDisk {
        name: task.name().to_string(),
        state: word.to_owned(),
        worktree: workspace.path.clone(),
        own: tally.own,
        caches: tally.caches,
        ignored: tally.ignored,
        shared: tally.shared,
        bytes: tally.alone(),
        unreadable: tally.unreadable,
        unsorted,
    }
}

fn total(view: &DiskView, shared: u64) -> TotalDisk {
    let over = |of: fn(&WorkspaceDisk) -> u64| view.workspaces.iter().map(of).sum::<u64>();
    let own = over(|workspace| workspace.own);
    let caches = over(|workspace| workspace.caches);
    let ignored = over(|workspace| workspace.ignored);
    let places = view.places.iter().map(|place| place.bytes).sum();
    TotalDisk { own, caches, ignored, shared, places, bytes: own + caches + ignored + shared + places }
}

/// Sorts the files of a workspace: by what git ignores, and of that by what the settings call a cache.
fn sorter<'a>(ignored: &'a Ignored, caches: &'a Patterns) -> crate::store::measure::Sorter<'a> {
    Box::new(|Found { path, is_folder, above }| {
        let sort = if above == Sort::Own && ignored.has(path) { Sort::Ignored } else { above };
        if sort == Sort::Ignored && is_folder && caches.name_folder(path) { Sort::Cache } else { sort }
    })
}

/// Asks git what each workspace ignores, on all cores; where it cannot tell, why.
fn ignored(repo: &Repo, workspaces: &[&Workspace]) -> Vec<Result<Ignored, String>> {
    parallel::map(workspaces, 1, |workspace| {
        ask(repo, workspace).map_err(|error| one_line(&error.to_string(), 200))
    })
}

fn ask(repo: &Repo, workspace: &Workspace) -> Result<Ignored, GitError> {
    let worktree = LinkedWorktree::open(repo, &workspace.entry, workspace.path.as_ref())?;
    Ignored::of(worktree.checkout())
}

/// Returns what stands beside the workspaces and takes anything.
fn places(ground: Ground<'_>, tasks: &[(&Task, String)]) -> Vec<(Place, PathBuf)> {
    let common = ground.repo.common_dir();
    let mut places =
        vec![(Place::Objects, common.join("objects")), (Place::State, ground.layout.root().to_owned())];
    let root = ground.repo.worktrees_root();
    places.extend(BESIDE.map(|(name, what)| (what, root.join(name))));
    if let Some(main) = ground.repo.main_checkout() {
        let linked = ground.settings.symlink.iter().map(|path| main.join(path.trim_end_matches('/')));
        places.extend(linked.map(|path| (Place::Linked, path)));
    }
    let known = |path: &Path| {
        let of_task = |task: &&Task| task.workspace.as_ref().is_some_and(|w| Path::new(&w.path) == path);
        tasks.iter().any(|(task, _)| of_task(task)) || places.iter().any(|(_, place)| place == path)
    };
    // The records hold real paths.
    let real = fs::canonicalize(&root).unwrap_or_else(|_| root.clone());
    let mut others: Vec<PathBuf> = fs::read_dir(&root)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| !known(&entry.path()) && !known(&real.join(entry.file_name())))
        .map(|entry| entry.path())
        .collect();
    others.sort();
    places.extend(others.into_iter().map(|path| (Place::Other, path)));
    places.retain(|(_, path)| fs::symlink_metadata(path).is_ok());
    places
}
