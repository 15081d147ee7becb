//! The driver of a loop's attempt: checkpoint, git's word, the checks, the requirements, the notes. It decides nothing;
//! `ralph` does.

use std::io::Read as _;
use std::path::Path;

use fs_err as fs;

use super::judge::{self, Ground};
use super::order::Orders;
use super::prd;
use super::ralph::{self, Found, Red, Requirements, Said, Tree};
use super::runner::{Attempt, RunError};
use crate::agent::call::Called;
use crate::git::{LinkedWorktree, history};
use crate::model::event::Lap;
use crate::model::task::{Looping, Oid, Workspace};
use crate::model::text::one_line;
use crate::model::verdict::Class;
use crate::process::capture;
use crate::workspace::{checkpoint, progress};

/// How much of a failed check's output tells whether it failed the same way before.
const COMPARED: usize = 16 << 10;

/// The largest file of requirements, in bytes.
const LARGEST_PRD: u64 = 4 << 20;

/// How many open requirements are named.
const NAMED: usize = 5;

impl Attempt<'_> {
    /// Begins the notes of a loop, before its first attempt.
    pub(super) fn begin_notes(&self) {
        if self.task.spec.looping.is_some() && self.number == 1 {
            let heading = format!("# Notes on `{}`, from one iteration to the next\n", self.task.id);
            // Only a convenience: an agent can work without them.
            drop(progress::add(self.site.repo, self.task.name(), &heading));
        }
    }

    /// Adds what an iteration left to the notes.
    pub(super) fn note(&self, lap: &Lap) {
        let line = format!("- wt: iteration {} ended at {}: {}", lap.iteration, lap.head.short(), lap.why);
        drop(progress::add(self.site.repo, self.task.name(), &line));
    }

    /// Keeps how the workspace stands at the end of an attempt of a loop, before anything is committed for the agent.
    /// Returns what went wrong, if anything did: no reason to lose the iteration.
    pub(super) fn checkpoint(&self, workspace: &Workspace, worktree: &LinkedWorktree) -> Option<String> {
        let iteration = self.task.next_iteration();
        let about = format!("iteration {iteration}, attempt {}", self.number);
        let checkout = worktree.checkout();
        let taken = checkpoint::take(self.site, self.task, workspace, checkout, self.number, &about);
        taken.err().map(|error| format!("no checkpoint: {error}"))
    }

    /// Returns what there is to know of an iteration whose agent came to its end.
    pub(super) async fn found(
        &self,
        looping: &Looping,
        place: (&Workspace, &LinkedWorktree),
        env: &[(String, String)],
        called: &Called,
        orders: &Orders,
    ) -> Result<Found, RunError> {
        let (workspace, worktree) = place;
        let aside = self.checkpoint(workspace, worktree);
        let cut = (called.verdict.class != Class::Ok).then(|| called.verdict.reason.clone());
        let asked = fs::read_to_string(self.prompt_file()).unwrap_or_default();
        let said = match (&cut, &called.facts.text) {
            (None, Some(text)) => Said::of(text, &asked, &looping.until),
            _ => Said::NoPromise,
        };
        let repo = self.site.repo;
        let tree = match judge::ground(self.site, self.task, workspace, worktree.checkout())? {
            Ground::Clean { new, .. } => Tree::Clean { new },
            Ground::Unfinished { reason } => Tree::Unfinished(reason),
        };
        let before = self.before(workspace);
        let head = repo.branch_tip(&workspace.branch)?.unwrap_or_else(|| before.clone());
        let red = if worktree.path().exists() { self.red(worktree.path(), env, orders).await? } else { None };
        Ok(Found {
            attempt: self.number,
            cut,
            said,
            tree,
            commits: history::count(repo, &before, &head)?,
            change: history::change(repo, &before, &head)?,
            head,
            red,
            requirements: looping
                .prd
                .as_ref()
                .map_or(Requirements::Met, |path| requirements(worktree.path(), path)),
            aside,
        })
    }

    /// Returns the commit that this iteration began at.
    fn before(&self, workspace: &Workspace) -> Oid {
        self.task.laps.last().map_or_else(|| workspace.base.clone(), |lap| lap.head.clone())
    }

    /// Runs the checks; after each iteration, so that the next one builds on what is true.
    async fn red(
        &self,
        folder: &Path,
        env: &[(String, String)],
        orders: &Orders,
    ) -> Result<Option<Red>, RunError> {
        let log = self.folder.verify_log(self.number);
        let around = self.surroundings(env, &log);
        let steps = judge::checks(self.site, self.task);
        let Some(reason) = judge::by_checks(&steps, folder, &around, orders).await? else { return Ok(None) };
        let logs = self.folder.verify_logs(self.number);
        let bytes = logs.last().and_then(|log| capture::read(log).ok()).unwrap_or_default();
        let tail = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(COMPARED)..]).into_owned();
        let output = history::of_text(&format!("{}\0{}", logs.len(), ralph::steady(&tail)));
        Ok(Some(Red { reason, output }))
    }
}

/// Reads the requirements of a loop from the worktree. The file is the agent's: it may be anything.
pub(super) fn load(worktree: &Path, path: &str) -> Result<Vec<prd::Item>, String> {
    let file = worktree.join(path);
    match fs::metadata(&file) {
        Err(_) => return Err(format!("`{path}` is not there")),
        // A pipe would wait for ever.
        Ok(about) if !about.is_file() => return Err(format!("`{path}` is no file")),
        Ok(about) if about.len() > LARGEST_PRD => return Err(format!("`{path}` is larger than 4 MiB")),
        Ok(_) => {}
    }
    let mut bytes = Vec::new();
    let read = fs::File::open(&file).and_then(|file| file.take(LARGEST_PRD).read_to_end(&mut bytes));
    read.map_err(|error| format!("`{path}` cannot be read: {error}"))?;
    prd::parse(&bytes).map_err(|error| format!("`{path}` is not usable: {error}"))
}

fn requirements(worktree: &Path, path: &str) -> Requirements {
    let items = match load(worktree, path) {
        Ok(items) => items,
        Err(reason) => return Requirements::Open(reason),
    };
    let open: Vec<&str> = items.iter().filter(|item| !item.passes).map(|item| item.id.as_str()).collect();
    if open.is_empty() {
        return Requirements::Met;
    }
    let named = open[..open.len().min(NAMED)].join(", ");
    let more = if open.len() > NAMED { " …" } else { "" };
    Requirements::Open(one_line(
        &format!("{} of {} in `{path}` do not pass: {named}{more}", open.len(), items.len()),
        240,
    ))
}
