//! What is true of each workspace right now: the facts that a plan is made from, gathered on all cores.
//!
//! Invariant: reads only; what cannot be read becomes a fact of its own, so that doubt keeps a workspace.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fs_err as fs;
use jiff::Timestamp;
use serde::Deserialize;

use super::plan::{Changes, Facts, Left, Tie, Work};
use crate::git::landed::{Landed, landed};
use crate::git::snapshot::Look;
use crate::git::worktree::{self, Entry};
use crate::git::{Checkout, GitError, LinkedWorktree, Repo, submodule};
use crate::model::text::one_line;
use crate::model::{Oid, Roster, State, Task, TaskId, Workspace, parallel};
use crate::workspace::Site;
use crate::workspace::remove::{trash_of, trash_ref};

/// How deep untracked folders are searched for repositories.
const DEPTH: usize = 8;

/// Returns the tasks that a sweep of everything looks at: those with a workspace, whole or half-made, and those at rest
/// without one whose name is still taken.
pub fn candidates(site: &Site<'_>, roster: &Roster) -> Vec<TaskId> {
    let asked =
        |task: &&Task| workspace_of(site, task).is_some() || (!task.state.ended() && task.state.at_rest());
    roster.tasks().filter(asked).map(|task| task.id.clone()).collect()
}

/// Returns the workspace of a task: the recorded one, or the one whose making was cut short.
pub fn workspace_of(site: &Site<'_>, task: &Task) -> Option<Workspace> {
    #[derive(Deserialize)]
    struct Making {
        path: String,
        branch: String,
        base: Oid,
    }
    task.workspace.clone().or_else(|| {
        let bytes = fs::read(site.layout.task(&task.id).making()).ok()?;
        let Making { path, branch, base } = serde_json::from_slice(&bytes).ok()?;
        let entry = Path::new(&path).file_name()?.to_string_lossy().into_owned();
        Some(Workspace { path, branch, base, entry, copied: Vec::new(), ports: Vec::new() })
    })
}

/// What is true of a workspace, with the look into its worktree that told it; `None` where there is nothing to look into.
#[derive(Debug)]
pub struct Seen {
    /// The facts.
    pub facts: Facts,
    /// The look.
    pub look: Option<Look>,
    /// The bytes of its files, as [`Look::bytes`] counts them.
    pub bytes: u64,
}

/// Returns the facts of those of `ids` that the roster knows, in order.
pub fn gather(site: &Site<'_>, roster: &Roster, ids: &[TaskId]) -> Result<Vec<Seen>, GitError> {
    let entries = worktree::list(site.repo)?;
    let tasks: Vec<&Task> = ids.iter().filter_map(|id| roster.get(id)).collect();
    let now = site.clock.now();
    let asked: Vec<(&Task, Option<Workspace>)> =
        tasks.into_iter().map(|task| (task, workspace_of(site, task))).collect();
    let repo = site.repo;
    Ok(parallel::map(&asked, 1, |(task, workspace)| {
        let mut seen = Seen { facts: bare(task, roster, now), look: None, bytes: 0 };
        if let Some(workspace) = workspace {
            look(repo, task, workspace, &entries, now, &mut seen);
        }
        seen
    }))
}

/// The facts of a task without a workspace.
fn bare(task: &Task, roster: &Roster, now: Timestamp) -> Facts {
    let waits = |child: &&Task| child.spec.after.contains(&task.id) && !child.state.ended();
    let since = task.ended_at.unwrap_or(task.queued_at).max(task.queued_at);
    Facts {
        id: task.id.clone(),
        state: task.state.clone(),
        ties: Vec::new(),
        work: Work::Nothing,
        changes: Changes::Nothing,
        left: Left::Standing,
        idle: age(since, now),
        awaited_by: roster.live().find(waits).map(|child| child.name().clone()),
        tips: Vec::new(),
    }
}

fn age(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}

fn look(repo: &Repo, task: &Task, workspace: &Workspace, entries: &[Entry], now: Timestamp, seen: &mut Seen) {
    let facts = &mut seen.facts;
    let path = PathBuf::from(&workspace.path);
    if let Some(how) = misplaced(repo, task, workspace, &path) {
        facts.ties.push(Tie::Misplaced(how));
        return;
    }
    let entry = entries.iter().find(|entry| entry.path == path);
    let stands = fs::symlink_metadata(&path).is_ok();
    if let Some(reason) = entry.and_then(|entry| entry.locked.clone()) {
        facts.ties.push(Tie::Locked(one_line(&reason, 100)));
    }
    let tree = entry.and_then(|entry| LinkedWorktree::open(repo, entry.entry.as_deref()?, &path).ok());
    if stands && tree.is_none() {
        facts.ties.push(Tie::Unregistered);
    }
    let tip = match repo.branch_tip(&workspace.branch) {
        Ok(tip) => tip,
        Err(error) => {
            facts.work = Work::Unknown(one_line(&error.to_string(), 100));
            return;
        }
    };
    facts.tips.extend(tip.clone());
    if let Some(tree) = tree.as_ref().filter(|_| stands) {
        facts.idle = facts.idle.min(quiet(tree.checkout(), now));
        seen.look = look_inside(repo, tree.checkout(), facts);
        seen.bytes = seen.look.as_ref().map_or(0, |look| look.bytes(tree.checkout()));
    } else {
        // Its `HEAD` may have left the branch before the folder went.
        facts
            .tips
            .extend(entry.and_then(|entry| entry.head.clone()).filter(|head| Some(head) != tip.as_ref()));
        facts.left = left(repo, task, &path, &facts.tips, tree.is_some());
    }
    facts.work = work(repo, task, workspace, &facts.tips);
}

/// Tells how a record does not fit: it may have been forged, or the repository moved.
pub(in crate::tidy) fn misplaced(
    repo: &Repo,
    task: &Task,
    workspace: &Workspace,
    path: &Path,
) -> Option<&'static str> {
    let root = repo.worktrees_root();
    let root = fs::canonicalize(&root).unwrap_or(root);
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let main = repo.main_checkout();
    if main.is_some_and(|main| main == real || main.starts_with(&real))
        || repo.common_dir().starts_with(&real)
    {
        return Some("the main checkout");
    }
    if path.parent() != Some(root.as_path())
        || path.file_name().is_none_or(|name| name != task.name().as_str())
    {
        return Some("a folder where `wt` makes no workspaces");
    }
    let targets = [Some(task.spec.target.clone()), repo.default_target().ok()];
    if targets.into_iter().flatten().any(|target| target == workspace.branch) {
        return Some("a branch that tasks land on");
    }
    None
}

/// Returns how long git has done nothing in a worktree; so a restored one is not stale at once.
pub(in crate::tidy) fn quiet(checkout: &Checkout, now: Timestamp) -> Duration {
    let changed = |name: &str| {
        let at: SystemTime = fs::metadata(checkout.git_dir().join(name)).ok()?.modified().ok()?;
        Some(age(Timestamp::try_from(at).ok()?, now))
    };
    ["HEAD", "index", "logs/HEAD"].into_iter().filter_map(changed).min().unwrap_or(Duration::MAX)
}

fn look_inside(repo: &Repo, checkout: &Checkout, facts: &mut Facts) -> Option<Look> {
    let look = match Look::at(checkout) {
        Ok(look) => look,
        Err(error) => {
            facts.changes = Changes::Unknown(one_line(&error.to_string(), 100));
            return None;
        }
    };
    facts.tips.extend(look.head().filter(|head| !facts.tips.contains(head)).cloned());
    facts.changes = match look.in_progress() {
        Some(what) => Changes::Unfinished(what.words()),
        None if look.dirty() => Changes::Uncommitted,
        None => Changes::Nothing,
    };
    let folders = look.untracked_folders();
    // A repository that stands in the place of the link to the entry is listed nowhere.
    let own = checkout.path().join(".git/HEAD").exists().then(|| ".git".to_owned());
    let inner = own.or_else(|| folders.iter().find_map(|path| repository_in(checkout.path(), path, DEPTH)));
    facts.ties.extend(inner.map(|path| Tie::Nested(one_line(&path, 100))));
    match submodule::obstacle(repo, checkout) {
        Ok(obstacle) => {
            let tie = obstacle.map(|found| Tie::Submodule(one_line(&found.path, 100), found.why));
            facts.ties.extend(tie);
        }
        Err(error) => facts.changes = Changes::Unknown(one_line(&error.to_string(), 100)),
    }
    Some(look)
}

fn repository_in(root: &Path, path: &str, depth: usize) -> Option<String> {
    let folder = root.join(path);
    if fs::symlink_metadata(folder.join(".git")).is_ok() {
        return Some(path.trim_end_matches('/').to_owned());
    }
    let below = fs::read_dir(folder).ok()?.flatten().filter(|_| depth > 0);
    let mut folders = below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.find_map(|entry| {
        let name = entry.file_name();
        repository_in(root, &format!("{path}{}/", name.to_string_lossy()), depth - 1)
    })
}

/// Returns what is left of a workspace whose folder is gone.
fn left(repo: &Repo, task: &Task, path: &Path, tips: &[Oid], registered: bool) -> Left {
    let newest = trash_of(repo, task.name()).unwrap_or_default().pop();
    let put_away = newest.is_some_and(|(n, snapshot)| {
        let trash = trash_ref(task.name(), n);
        let folder = path.parent().unwrap_or(path).join(format!(".trash/{}-{n}", task.name()));
        let branch = repo.ref_tip(&format!("{trash}.branch")).ok().flatten();
        let kept =
            |tip: &Oid| branch.as_ref() == Some(tip) || repo.is_ancestor(tip, &snapshot).unwrap_or(false);
        folder.is_dir() && tips.iter().all(kept)
    });
    match put_away {
        true => Left::PutAway,
        false if tips.is_empty() && !registered => Left::Nothing,
        false => Left::Standing,
    }
}

/// Returns what the commits are that a workspace is at; the least landed one counts.
fn work(repo: &Repo, task: &Task, workspace: &Workspace, tips: &[Oid]) -> Work {
    let mut all = Work::Nothing;
    for tip in tips {
        let one = work_at(repo, task, workspace, tip)
            .unwrap_or_else(|error| Work::Unknown(one_line(&error.to_string(), 100)));
        all = match (all, one) {
            (Work::Unlanded(a), Work::Unlanded(b)) => Work::Unlanded(a.max(b)),
            (Work::Unknown(why), _) | (_, Work::Unknown(why)) => Work::Unknown(why),
            (Work::Unlanded(n), _) | (_, Work::Unlanded(n)) => Work::Unlanded(n),
            (Work::Landed(how), _) | (_, Work::Landed(how)) => Work::Landed(how),
            (Work::Nothing, Work::Nothing) => Work::Nothing,
        };
    }
    all
}

fn work_at(repo: &Repo, task: &Task, workspace: &Workspace, tip: &Oid) -> Result<Work, GitError> {
    // What landed was perhaps resolved or taken back since; the journal knows that it was there.
    let recorded = task.landing.as_ref().and_then(|landing| landing.head.as_ref());
    if task.state == State::Landed && recorded == Some(tip) {
        return Ok(Work::Landed("landed"));
    }
    if *tip == workspace.base {
        return Ok(Work::Nothing);
    }
    let Some(target) = repo.branch_tip(&task.spec.target)? else {
        return Ok(Work::Unknown(format!("there is no branch `{}`", task.spec.target)));
    };
    Ok(match landed(repo, tip, &workspace.base, &target)? {
        Landed::No { commits } => Work::Unlanded(commits.max(1)),
        found => Work::Landed(found.words()),
    })
}
