//! Asking an agent to merge the files of one commit: the worktree, the call, what it left, what is to be thought of it.
//!
//! Invariant: what is outside the conflicted files, and what git calls a commit of the agent's, never gets into a result.

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Instant;

use fs_err as fs;
use uuid::Uuid;

use super::material::{Material, Source};
use super::open::{Open, put};
use super::prompt::{Refused, Session, render};
use super::result::{Tried, judged, kept_files};
use super::{AskError, CALLS, FOLDER, Found, Resolver};
use crate::agent::call::{Call, Called, call};
use crate::agent::{Adapter, Promise, Request, StdinFrom};
use crate::failpoint;
use crate::git::LinkedWorktree;
use crate::git::command::REDIRECTING;
use crate::git::conflict::Conflict;
use crate::git::tree::{self, Put, Watched};
use crate::land::Landing;
use crate::land::conserve::{self, Judgement, Names, Side};
use crate::land::kept::{CallFolder, Manifest};
use crate::land::place::{self, Keep};
use crate::land::verify::own_variables;
use crate::model::event::ResolvedBy;
use crate::model::text::{few, one_line};
use crate::model::verdict::Class;
use crate::model::{Oid, Roster, Usage};
use crate::workspace::shared::SHARED;

/// How often one conflict is given to an agent, a failed check not counted.
const ATTEMPTS: u32 = 2;

/// A commit that does not merge, with what of it is settled and what is not.
pub(super) struct Conflicted<'a> {
    pub(super) roster: &'a Roster,
    /// The target's commit before this landing of the task.
    pub(super) old: &'a Oid,
    /// The commit that is replayed onto.
    pub(super) tip: &'a Oid,
    /// The commit that does not merge.
    pub(super) commit: &'a Oid,
    pub(super) conflict: &'a Conflict,
    pub(super) settled: &'a [Put],
    pub(super) open: &'a [Open],
}

/// What came of asking.
pub(super) enum Asked {
    /// A result for each open file; those with doubts are for a person.
    Results(Vec<Found>),
    /// Nothing that could be used, and why.
    Nothing(String),
}

/// Who is asked, and with what.
struct Brief<'a> {
    adapter: &'a Adapter,
    material: Material,
    owners: Vec<Option<Side>>,
}

impl Resolver<'_> {
    /// Asks until the result may land, or until asking again makes no sense.
    pub(super) fn ask(&mut self, what: &Conflicted<'_>) -> Result<Asked, AskError> {
        let adapter = adapter(self.landing)?;
        let source = Source {
            landing: self.landing,
            roster: what.roster,
            task: self.task,
            old: what.old,
            tip: what.tip,
            commit: what.commit,
            checks: self.checks.clone(),
        };
        let (material, owners) = source.gather(what.open)?;
        let mut brief = Brief { adapter: &adapter, material, owners };
        let names = self.landing.target.to_owned();
        let names = Names { ours: &names, theirs: self.task.name().as_str() };
        let mut before: Vec<Option<Found>> = what.open.iter().map(|file| file.before.clone()).collect();
        let mut refused = self.failed.clone().unwrap_or_default();
        let mut attempt = 0;
        let tried = loop {
            attempt += 1;
            let tried = self.attempt(what, &mut brief, attempt, &before, &refused)?;
            if !tried.refused() || !tried.again || attempt == ATTEMPTS || self.calls >= CALLS {
                break tried;
            }
            let mut sentences: Vec<String> =
                (0..what.open.len()).flat_map(|n| tried.doubts(n, &names)).collect();
            sentences.dedup();
            refused = Refused { sentences, output: String::new() };
            let found = |file: &Option<(Oid, Judgement)>| {
                file.as_ref().map(|(blob, _)| Found {
                    blob: blob.clone(),
                    doubts: Vec::new(),
                    session: tried.session.clone(),
                    by: ResolvedBy::Agent,
                })
            };
            before = tried.files.iter().map(found).collect();
        };
        if !tried.usable() {
            let mut why: Vec<String> = (0..what.open.len()).flat_map(|n| tried.doubts(n, &names)).collect();
            why.dedup();
            let why = why.first().map_or_else(|| "it left nothing to use".to_owned(), Clone::clone);
            return Ok(Asked::Nothing(format!("`{}` did not merge it: {why}", adapter.name())));
        }
        let results = tried.files.iter().enumerate().map(|(n, file)| {
            let blob = file.as_ref().map(|(blob, _)| blob.clone()).expect("a usable result has every file");
            let (doubts, session) = (tried.doubts(n, &names), tried.session.clone());
            Found { blob, doubts, session, by: ResolvedBy::Agent }
        });
        Ok(Asked::Results(results.collect()))
    }

    /// Calls it once, in a worktree with the results of before, or with markers where there are none.
    fn attempt(
        &mut self,
        what: &Conflicted<'_>,
        brief: &mut Brief<'_>,
        attempt: u32,
        before: &[Option<Found>],
        refused: &Refused,
    ) -> Result<Tried, AskError> {
        let repo = self.landing.site.repo;
        if self.calls >= CALLS {
            return Err(AskError::Spent);
        }
        let place = self.prepare(what, before)?;
        let watched = Watched::begin(place.checkout())?;
        self.calls += 1;
        let folder = self.next_folder();
        keep_sides(&folder, what.open)?;
        for (n, file) in brief.material.files.iter_mut().enumerate() {
            file.set_folder(folder.sides(n).display().to_string());
            file.set_made_by(before[n].as_ref().map(|found| found.by));
        }
        let paths: Vec<&str> = what.open.iter().map(|file| file.text.path.as_str()).collect();
        let again = if refused.sentences.is_empty() { "" } else { " again" };
        self.landing.observer.step(&format!(
            "asking `{}`{again} to merge {} of `{}`",
            brief.adapter.name(),
            few(&paths),
            self.task.name()
        ));
        failpoint::hit("land.resolve.before_call");
        let begun = Instant::now();
        let session = before.iter().flatten().find_map(|found| found.session.clone());
        let called = self.call(brief, place.path(), &folder, refused, session.as_deref())?;
        let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        failpoint::hit("land.resolve.after_call");
        self.used += called.facts.usage;
        for (model, usage) in models(&called) {
            *self.models.entry(model).or_default() += usage;
        }
        self.unrecorded = true;
        let superseded = conserve::superseded(called.facts.text.as_deref().unwrap_or_default());
        let mut tried = judged(repo, what, &brief.owners, &watched, &called, &superseded)?;
        if let Some(fault) = fault(&called) {
            tried.again &= fault.again;
            tried.faults.insert(0, format!("{}: {}", brief.adapter.name(), fault.words));
        }
        let results = tried.files.iter().map(|file| file.as_ref().map(|(blob, _)| blob));
        for (n, blob) in results.enumerate() {
            if let Some(blob) = blob {
                folder.write_side(n, "result", &tree::blob(repo, blob)?)?;
            }
        }
        let manifest = Manifest {
            schema: 1,
            task: self.task.id.clone(),
            commit: what.commit.clone(),
            onto: what.tip.clone(),
            target: self.landing.target.to_owned(),
            agent: Some(brief.adapter.name().to_owned()),
            attempt,
            files: kept_files(what.open, &tried, &superseded, self.landing.target, self.task.name().as_str()),
            faults: tried.faults.clone(),
            said: called.facts.text.clone(),
            session: called.facts.session.clone(),
            model: called.facts.model.clone(),
            usage: called.facts.usage,
            models: models(&called),
            took_ms,
        };
        folder.save(&manifest)?;
        failpoint::hit("land.resolve.after_kept");
        Ok(tried)
    }

    /// Brings the worktree to the commit that everything is merged in but for the open files.
    fn prepare(&self, what: &Conflicted<'_>, before: &[Option<Found>]) -> Result<LinkedWorktree, AskError> {
        let repo = self.landing.site.repo;
        let mut puts = what.settled.to_vec();
        for (file, before) in what.open.iter().zip(before) {
            let blob = match before {
                Some(found) => found.blob.clone(),
                None => tree::write_blob(repo, &file.marked)?,
            };
            puts.push(put(&file.text, blob));
        }
        let tree = tree::with(repo, &what.conflict.tree, &puts)?;
        let commit = tree::commit(repo, &tree, what.tip, "wt: to be merged")?;
        Ok(place::at(self.landing, FOLDER, &commit, Keep::Nothing)?)
    }

    /// Calls the agent; one that does not know its session any more is told everything anew.
    fn call(
        &self,
        brief: &Brief<'_>,
        place: &Path,
        folder: &CallFolder,
        refused: &Refused,
        session: Option<&str>,
    ) -> Result<Called, AskError> {
        let spec = brief.adapter.spec();
        let resumes = spec.resume_command.is_some() || spec.args.contains_key("resume");
        if let Some(session) = session.filter(|_| resumes) {
            let called = self.call_once(brief, place, folder, refused, Some(session))?;
            if !called.refused_session() {
                return Ok(called);
            }
        }
        self.call_once(brief, place, folder, refused, None)
    }

    fn call_once(
        &self,
        brief: &Brief<'_>,
        place: &Path,
        folder: &CallFolder,
        refused: &Refused,
        resume: Option<&str>,
    ) -> Result<Called, AskError> {
        let landing = self.landing;
        let kept = folder.path().to_string_lossy();
        let heard = if resume.is_some() { Session::Resumed } else { Session::Fresh };
        let worktree = place.to_string_lossy();
        let prompt = render(landing.template, &brief.material, &worktree, &kept, refused, heard)?;
        fs::write(folder.prompt(), &prompt)?;
        let prompt_path = folder.prompt();
        let fresh = Uuid::new_v4().to_string();
        let common = landing.site.repo.common_dir().to_string_lossy();
        let request = Request {
            session: Some(&fresh),
            resume,
            name: self.task.name().as_str(),
            prompt: &prompt,
            prompt_file: &prompt_path.to_string_lossy(),
            run_dir: &kept,
            git_dir: &common,
            git_common_dir: &common,
            ..Request::default()
        };
        let invocation = brief.adapter.invocation(&request)?;
        let shared = landing.site.repo.worktrees_root().join(SHARED);
        let own = [
            ("WT_TASK", self.task.name().to_string()),
            ("WT_RUN_ID", fresh.clone()),
            ("WT_WORKTREE", worktree.clone().into_owned()),
            ("WT_SHARED", shared.to_string_lossy().into_owned()),
        ];
        let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
        let env: Vec<(String, String)> = own.chain(invocation.env).collect();
        let without: Vec<&str> = REDIRECTING.iter().copied().chain(own_variables()).collect();
        let run = Call {
            adapter: brief.adapter,
            argv: &invocation.argv,
            env: &env,
            without: &without,
            stdin: (invocation.stdin == StdinFrom::PromptFile).then_some(prompt_path.as_path()),
            folder: place,
            token: &fresh,
            stdout_log: &folder.stream(),
            stderr_log: &folder.stderr(),
            timeout: landing.site.settings.limits.timeout,
            stall: landing.site.settings.limits.stall,
            shared: &[self.lock.as_fd()],
            then: &[],
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(call(&run, &mut |_, _| {}, landing.halt.asked()))?)
    }
}

/// Returns the agent, if it can be asked.
pub(super) fn adapter(landing: &Landing<'_>) -> Result<Adapter, AskError> {
    let name = &landing.site.settings.merge.agent;
    let spec = landing.site.settings.agents.get(name).ok_or_else(|| AskError::Unknown(name.clone()))?;
    let adapter = Adapter::new(name, spec)?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    if adapter.program_on_path(Some(&path), landing.site.repo.common_dir()).is_none() {
        let program = one_line(&spec.command[0], 80);
        return Err(AskError::Missing { agent: name.clone(), program });
    }
    Ok(adapter)
}

/// What was wrong with a call, whatever it left.
struct Fault {
    words: String,
    /// Whether telling it what is wrong may help.
    again: bool,
}

fn fault(called: &Called) -> Option<Fault> {
    if called.verdict.class != Class::Ok {
        let again = called.stopped.is_none() && called.verdict.class == Class::Incomplete;
        return Some(Fault { words: called.verdict.reason.clone(), again });
    }
    match Promise::of(called.facts.text.as_deref().unwrap_or_default()) {
        Some(Promise::Blocked(why)) => {
            Some(Fault { words: one_line(&format!("blocked: {why}"), 300), again: false })
        }
        _ => None,
    }
}

/// Returns what the call used by model: as the agent tells it, else all of it is its one model's.
fn models(called: &Called) -> BTreeMap<String, Usage> {
    let facts = &called.facts;
    match &facts.model {
        Some(model) if facts.models.is_empty() => BTreeMap::from([(model.clone(), facts.usage)]),
        _ => facts.models.clone(),
    }
}

pub(super) fn keep_sides<'o>(
    folder: &CallFolder,
    open: impl IntoIterator<Item = &'o Open>,
) -> Result<(), AskError> {
    crate::store::layout::private_folder(folder.path().parent().unwrap_or(folder.path()))?;
    folder.create()?;
    for (n, file) in open.into_iter().enumerate() {
        if let Some(base) = &file.sides.base {
            folder.write_side(n, "base", base)?;
        }
        folder.write_side(n, "ours", &file.sides.ours)?;
        folder.write_side(n, "theirs", &file.sides.theirs)?;
    }
    Ok(())
}
