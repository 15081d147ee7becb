//! What becomes of a commit that does not merge: remembered → structural (none yet) → agent → person.
//!
//! ```text
//!  conflict ─▶ texts? ─▶ remembered? ─▶ asked, judged ─▶ kept      ─▶ the replay goes on
//!                │ no                      │  ▲ refused: once more
//!                ▼                         ▼
//!             conflict                  doubtful, refused ─▶ review, with a candidate
//!                                       nothing to use    ─▶ conflict
//! ```
//!
//! Invariants: an agent works in a worktree of `wt`'s own and under a guard that shares the landing lock; of what it leaves
//! there, only the conflicted files are ever taken; its word alone accepts nothing. Whatever goes wrong with it, the conflict
//! stays a conflict and the other tasks land.

mod ask;
mod material;
mod prompt;
mod result;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

pub use prompt::TEMPLATE_NAME;

pub(super) use material::matches;

use self::ask::{Asked, Conflicted};
use self::prompt::TemplateError;
use super::conflict::{TextFile, no_text, texts};
use super::place::PlaceError;
use super::replay::Replay;
use super::{Conflicts, LandError, Landing, remembered};
use crate::agent::AdapterError;
use crate::git::conflict::{self, Conflict};
use crate::git::replay::{self, Replayer};
use crate::git::tree::{self, Put};
use crate::git::{GitError, Repo};
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

/// The three texts of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Texts {
    pub(super) base: Option<Vec<u8>>,
    pub(super) ours: Vec<u8>,
    pub(super) theirs: Vec<u8>,
}

/// A file that nobody resolved yet.
#[derive(Debug, Clone)]
pub(super) struct Open {
    pub(super) text: TextFile,
    pub(super) key: String,
    pub(super) sides: Texts,
    /// The file with markers.
    pub(super) marked: Vec<u8>,
    /// A result that a check refused.
    pub(super) before: Option<Found>,
}

/// What a file became in this landing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) blob: Oid,
    /// What speaks against it, a sentence each; nothing: it may land.
    pub(super) doubts: Vec<String>,
    /// The session that made it.
    pub(super) session: Option<String>,
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
}

/// Resolves the conflicts of one task in one landing; what it learnt stays when the replay begins again.
pub(super) struct Resolver<'a> {
    landing: &'a Landing<'a>,
    lock: &'a Lock,
    task: &'a Task,
    /// The folder of the landing.
    folder: PathBuf,
    checks: Vec<(String, String)>,
    calls: u32,
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
        task: &'a Task,
        folder: PathBuf,
        checks: Vec<(String, String)>,
    ) -> Self {
        Self {
            landing,
            lock,
            task,
            folder,
            checks,
            calls: 0,
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
            kept: (self.calls > 0).then(|| self.folder.to_string_lossy().into_owned()),
        })
    }

    /// Takes a failed check to whoever made the results; `false`: nobody did, or nobody can be asked any more.
    pub(super) fn hear(&mut self, failure: &super::Failure) -> bool {
        if self.heard || self.tally.fresh.is_empty() || self.calls >= CALLS {
            return false;
        }
        self.heard = true;
        let sentence = format!("A check failed on the merged tree: {failure}.");
        self.failed = Some(prompt::Refused { sentences: vec![sentence], output: failure.tail.clone() });
        true
    }

    fn resolve(
        &mut self,
        roster: &Roster,
        old: &Oid,
        tip: &Oid,
        commit: &Oid,
    ) -> Result<Option<Oid>, LandError> {
        let repo = self.landing.repo;
        let Some(conflict) = conflict::conflict(repo, tip, commit)? else { return Ok(None) };
        let paths = conflict.files.iter();
        self.tally.paths.extend(paths.map(|f| ConflictedPath { path: f.path.clone(), kind: f.kind }));
        let labels = Labels::of(self.landing.target, self.task.name().as_str());
        let files = match read(repo, &conflict, tip, commit, &labels)? {
            Ok(files) => files,
            Err(why) => {
                self.tally.refusal = Some(format!("{why}: a person must decide"));
                return Ok(None);
            }
        };
        let (mut settled, mut open) = (Vec::new(), Vec::new());
        for mut file in files {
            let known = self.known.get(&file.key).cloned();
            if let Some(found) = known.clone().filter(|_| self.failed.is_none()) {
                self.take(&file, &found);
                settled.push(put(&file.text, found.blob));
            } else if let Some((blob, by)) = remembered::recall(repo, &file.key)? {
                if by == ResolvedBy::Person {
                    self.tally.by_hand.insert(file.key.clone(), blob.clone());
                }
                self.tally.resolved.push(ResolvedPath { path: file.text.path.clone(), by });
                settled.push(put(&file.text, blob));
            } else {
                file.before = known;
                open.push(file);
            }
        }
        if open.is_empty() {
            return Ok(Some(tree::with(repo, &conflict.tree, &settled)?));
        }
        if self.landing.conflicts == Conflicts::ToPeople {
            return Ok(None);
        }
        let conflicted =
            Conflicted { roster, old, tip, commit, conflict: &conflict, settled: &settled, open: &open };
        match self.ask(&conflicted) {
            Ok(Asked::Results(results)) => {
                for (file, found) in open.iter().zip(results) {
                    self.take(file, &found);
                    settled.push(put(&file.text, found.blob.clone()));
                    self.known.insert(file.key.clone(), found);
                }
                Ok(Some(tree::with(repo, &conflict.tree, &settled)?))
            }
            Ok(Asked::Nothing(why)) => {
                self.tally.refusal = Some(why);
                Ok(None)
            }
            Err(AskError::Git(cause @ GitError::Unusable(_))) => Err(cause.into()),
            Err(cause) => {
                self.tally.refusal = Some(chain(&cause));
                Ok(None)
            }
        }
    }

    fn take(&mut self, file: &Open, found: &Found) {
        if found.doubts.is_empty() {
            self.tally.fresh.insert(file.key.clone(), found.blob.clone());
            self.tally.resolved.push(ResolvedPath { path: file.text.path.clone(), by: ResolvedBy::Agent });
        }
        for doubt in &found.doubts {
            if !self.tally.doubts.contains(doubt) {
                self.tally.doubts.push(doubt.clone());
            }
        }
    }
}

/// Tells whether a conflict could be resolved now by an agent that was never asked about it.
pub(super) fn untried(landing: &Landing<'_>, task: &Task) -> bool {
    let texts = |last: &crate::model::task::Landing| {
        let text = |path: &ConflictedPath| matches!(path.kind, ConflictKind::Content | ConflictKind::AddAdd);
        last.kept.is_none() && last.conflicts.iter().all(text)
    };
    landing.conflicts == Conflicts::ToAgent
        && task.landing.as_ref().is_some_and(texts)
        && ask::adapter(landing).is_ok()
}

/// Replays as far as git and memory go; for telling what would happen. Also returns the files of the first conflict that an
/// agent would be asked to merge; none: a person must decide.
pub(super) fn rehearse(
    repo: &Repo,
    like: &Replayer<'_>,
    old: &Oid,
    head: &Oid,
) -> Result<(replay::Outcome, Vec<String>), LandError> {
    let mut asked = Vec::new();
    let outcome = like.again().replay_resolving(old, head, &mut |tip, commit| {
        let Some(conflict) = conflict::conflict(repo, tip, commit)? else { return Ok(None) };
        let Ok(files) = read(repo, &conflict, tip, commit, &Labels::default())? else { return Ok(None) };
        let mut settled = Vec::new();
        for file in files {
            match remembered::recall(repo, &file.key)? {
                Some((blob, _)) => settled.push(put(&file.text, blob)),
                None => asked.push(file.text.path),
            }
        }
        if asked.is_empty() {
            Ok(Some(tree::with(repo, &conflict.tree, &settled)?))
        } else {
            Ok::<_, LandError>(None)
        }
    })?;
    Ok((outcome, asked))
}

/// What the sides are called at the markers.
#[derive(Debug, Clone, Default)]
pub(super) struct Labels {
    ours: String,
    theirs: String,
}

impl Labels {
    pub(super) fn of(target: &str, task: &str) -> Self {
        Self { ours: format!("ours (target {target})"), theirs: format!("theirs (task {task})") }
    }
}

/// Reads the files of a conflict, or says why a person must decide.
pub(super) fn read(
    repo: &Repo,
    conflict: &Conflict,
    tip: &Oid,
    commit: &Oid,
    labels: &Labels,
) -> Result<Result<Vec<Open>, String>, GitError> {
    let files = match texts(conflict) {
        Ok(files) => files,
        Err(why) => return Ok(Err(why)),
    };
    let parent = crate::git::history::only_parent(repo, commit)?;
    let mut open = Vec::new();
    for text in files {
        let side = |blob: &Oid| tree::blob(repo, blob);
        let sides = Texts {
            base: text.base.as_ref().map(side).transpose()?,
            ours: side(&text.ours)?,
            theirs: side(&text.theirs)?,
        };
        let every = [sides.base.as_ref(), Some(&sides.ours), Some(&sides.theirs)];
        if let Some(why) = every.into_iter().flatten().find_map(|side| no_text(side)) {
            return Ok(Err(format!("`{}` {why}", text.path)));
        }
        let mut words = vec![(tip, labels.ours.as_str()), (commit, labels.theirs.as_str())];
        words.extend(parent.as_ref().map(|parent| (parent, "base")));
        let marked = conflict::marked(repo, conflict, &text.path, &words)?;
        open.push(Open { key: text.key(), text, sides, marked, before: None });
    }
    Ok(Ok(open))
}

pub(super) fn put(text: &TextFile, blob: Oid) -> Put {
    Put { path: text.path.clone(), mode: text.mode.clone(), blob }
}

/// Returns an error with what lies behind it, on one line.
fn chain(error: &AskError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    one_line(&text, 300)
}
