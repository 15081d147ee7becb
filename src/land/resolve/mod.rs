//! What becomes of a commit that does not merge: remembered → git's rerere → structural → agent → person.
//!
//! ```text
//!  conflict ─▶ texts? ─▶ remembered? ─▶ git rerere? ─▶ structural? ─▶ asked, judged ─▶ kept ─▶ the replay goes on
//!                │ no        │ as it was    │ judged      │ judged           │  ▲ refused: once more
//!                ▼           ▼              ▼             ▼ kept             ▼
//!             conflict    goes on   kept: goes on      goes on        doubtful, refused ─▶ review, with a candidate
//!                                   doubtful: review   else: asked    nothing to use    ─▶ conflict
//!                                   refused: next step
//! ```
//!
//! Each file of a commit goes as far along as it needs; an agent is given only those that are left, in a worktree with the
//! others merged. What the steps before it made and a check refuses is given to it too.
//!
//! Invariants: an agent works in a worktree of `wt`'s own and under a guard that shares the landing lock; of what it leaves
//! there, only the conflicted files are ever taken; its word alone accepts nothing, nor does git's memory or a tool's. Whatever
//! goes wrong with any of them, the conflict stays a conflict and the other tasks land.

mod ask;
mod chain;
mod material;
mod open;
mod prompt;
mod result;
mod steps;
mod structural;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

pub use prompt::TEMPLATE_NAME;
pub use steps::{Resolved, without_agent};

pub(super) use chain::{Rehearsed, rehearse};
pub(super) use material::matches;
pub(super) use open::{Labels, put, read};
pub(super) use steps::Steps;

use self::prompt::TemplateError;
use super::kept::{self, CallFolder};
use super::place::PlaceError;
use super::replay::Replay;
use super::{Conflicts, LandError, Landing};
use crate::agent::AdapterError;
use crate::git::replay::{self, Replayer};
use crate::git::{GitError, rerere};
use crate::model::event::{ConflictKind, ConflictedPath, ResolvedBy, ResolvedPath};
use crate::model::text::one_line;
use crate::model::{Event, Oid, Roster, Task, Usage};
use crate::store::Lock;

/// The folder of the worktree in which conflicts are resolved, below the root of all worktrees.
pub const FOLDER: &str = ".resolve";

/// How many calls one landing of a task may cost.
const CALLS: u32 = 6;

/// Why nobody was asked, or nothing came of it; the conflict stays one.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// The settings name an agent that there is not.
    #[error("there is no agent `{0}`")]
    Unknown(String),
    /// Its program is not installed.
    #[error("the agent `{agent}` cannot be asked: `{program}` is not on PATH")]
    Missing { agent: String, program: String },
    /// Its table is wrong.
    #[error("the agent cannot be asked")]
    Adapter(#[from] AdapterError),
    /// The prompt cannot be made.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The calls are used up.
    #[error("an agent was asked {CALLS} times already")]
    Spent,
    /// The worktree cannot be used.
    #[error("the worktree for conflicts cannot be used")]
    Place(#[from] PlaceError),
    /// git.
    #[error(transparent)]
    Git(#[from] GitError),
    /// Files or processes.
    #[error("the agent cannot be called")]
    Io(#[from] io::Error),
}

/// What a file became in this landing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) blob: Oid,
    /// What speaks against it, a sentence each; nothing: it may land.
    pub(super) doubts: Vec<String>,
    /// The session that made it.
    pub(super) session: Option<String>,
    /// Which step made it.
    pub(super) by: ResolvedBy,
}

/// What resolving came to in one replay.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// What did not merge.
    pub(super) paths: Vec<ConflictedPath>,
    /// What was resolved and may land.
    pub(super) resolved: Vec<ResolvedPath>,
    /// What speaks against landing without a person.
    pub(super) doubts: Vec<String>,
    /// Why a commit was not resolved at all.
    pub(super) refusal: Option<String>,
    /// What an agent resolved, to be remembered once it has landed: key and text.
    pub(super) fresh: BTreeMap<String, Oid>,
    /// The same of what a person resolved for this landing.
    pub(super) by_hand: BTreeMap<String, Oid>,
    /// What was resolved otherwise than by git's memory, commit by commit: for that memory, once it has landed.
    settled: Vec<Settled>,
    /// How many files git's memory or a tool resolved.
    unasked: usize,
}

/// What the files of one commit became.
#[derive(Debug)]
struct Settled {
    tip: Oid,
    commit: Oid,
    files: Vec<(String, Oid)>,
}

/// Resolves the conflicts of one task in one landing; what it learnt stays when the replay begins again.
pub(super) struct Resolver<'a> {
    landing: &'a Landing<'a>,
    lock: &'a Lock,
    steps: &'a Steps<'a>,
    task: &'a Task,
    /// The folder of the landing.
    folder: PathBuf,
    checks: Vec<(String, String)>,
    calls: u32,
    /// How many folders keep what was resolved: one a call, and one a commit with files that needed none.
    folders: u32,
    known: BTreeMap<String, Found>,
    /// A failed check, to be told to whoever made the results.
    failed: Option<prompt::Refused>,
    /// Whether that happened: it happens once.
    heard: bool,
    used: Usage,
    models: BTreeMap<String, Usage>,
    /// Whether a call was made that the journal does not know of.
    unrecorded: bool,
    pub(super) tally: Tally,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(
        landing: &'a Landing<'a>,
        lock: &'a Lock,
        steps: &'a Steps<'a>,
        task: &'a Task,
        folder: PathBuf,
        checks: Vec<(String, String)>,
    ) -> Self {
        Self {
            landing,
            lock,
            steps,
            task,
            folder,
            checks,
            calls: 0,
            folders: 0,
            known: BTreeMap::new(),
            failed: None,
            heard: false,
            used: Usage::default(),
            models: BTreeMap::new(),
            unrecorded: false,
            tally: Tally::default(),
        }
    }

    pub(super) fn task(&self) -> &Task {
        self.task
    }

    /// Replays what `head` has beyond `old`, resolving what does not merge; `like`: who replayed it before.
    pub(super) fn replay(
        &mut self,
        roster: &Roster,
        like: &Replayer<'_>,
        old: &Oid,
        head: &Oid,
    ) -> Result<Replay, LandError> {
        self.tally = Tally::default();
        let mut replayer = like.again();
        let merges = replayer.pending(old, head)?.iter().any(replay::Pending::is_merge);
        let outcome = replayer.replay_resolving(old, head, &mut |tip, commit| {
            if merges {
                // A resolved commit cannot be compared with the merge of the branch, which does not merge either.
                self.tally.refusal = Some("its branch holds merges: a person must decide".to_owned());
                return Ok(None);
            }
            self.resolve(roster, old, tip, commit)
        })?;
        self.failed = None;
        Ok(outcome.into())
    }

    /// Returns the event that records what was resolved and used, if there is anything that the journal does not know.
    pub(super) fn record(&mut self) -> Option<Event> {
        let called = std::mem::take(&mut self.unrecorded);
        (called || !self.tally.resolved.is_empty()).then(|| Event::Resolved {
            paths: self.tally.resolved.clone(),
            usage: std::mem::take(&mut self.used),
            models: std::mem::take(&mut self.models),
            kept: (self.folders > 0).then(|| self.folder.to_string_lossy().into_owned()),
        })
    }

    /// Gives what was resolved to git's memory, so that the like of it needs nobody; it has landed.
    pub(super) fn give_to_memory(&self) -> Result<(), GitError> {
        let (repo, beside) = (self.landing.site.repo, self.landing.site.layout.resolutions());
        for Settled { tip, commit, files } in &self.tally.settled {
            let files: Vec<(&str, &Oid)> = files.iter().map(|(path, blob)| (path.as_str(), blob)).collect();
            rerere::record(repo, &beside, tip, commit, &files)?;
        }
        Ok(())
    }

    /// Takes a failed check to whoever made the results, or to an agent where git's memory or a tool did; `false`: nobody did,
    /// or nobody can be asked any more.
    pub(super) fn hear(&mut self, failure: &super::Failure) -> bool {
        let unasked = || self.tally.unasked > 0 && can_ask(self.landing);
        if self.heard || self.calls >= CALLS || (self.tally.fresh.is_empty() && !unasked()) {
            return false;
        }
        self.heard = true;
        let sentence = format!("A check failed on the merged tree: {failure}.");
        self.failed = Some(prompt::Refused { sentences: vec![sentence], output: failure.tail.clone() });
        true
    }

    /// Returns a new folder for what is kept of one call, or of one commit that needed none.
    fn next_folder(&mut self) -> CallFolder {
        self.folders += 1;
        CallFolder::nth(&self.folder, self.task.name(), self.folders)
    }
}

fn can_ask(landing: &Landing<'_>) -> bool {
    landing.conflicts == Conflicts::ToAgent && ask::adapter(landing).is_ok()
}

/// Tells whether a conflict could be resolved now by an agent that was never asked about it.
pub(super) fn untried(landing: &Landing<'_>, task: &Task) -> bool {
    let texts = |last: &crate::model::task::Landing| {
        let text = |path: &ConflictedPath| matches!(path.kind, ConflictKind::Content | ConflictKind::AddAdd);
        last.conflicts.iter().all(text) && !was_asked(last, task)
    };
    task.landing.as_ref().is_some_and(texts) && can_ask(landing)
}

/// Tells whether an agent was called in that landing; what cannot be read counts as a call.
fn was_asked(last: &crate::model::task::Landing, task: &Task) -> bool {
    let Some(folder) = &last.kept else { return false };
    kept::calls(folder.as_ref(), task.name()).map_or(true, |calls| calls.iter().any(CallFolder::was_call))
}

/// Returns an error with what lies behind it, on one line.
fn with_causes(error: &AskError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    one_line(&text, 300)
}
