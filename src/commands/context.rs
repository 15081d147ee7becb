//! What nearly every verb needs: the repository, its state, its settings, and the joins between engines.

mod approval;
mod committed;

use std::path::{Path, PathBuf};

pub use self::approval::approvals;
use self::approval::{APPROVE, UNAPPROVED};
pub use self::committed::config_fault;
use self::committed::{Committed, Fault};
use super::hooks::{self, Found};
use crate::error::{CommandError, During as _};
use crate::git::{GitError, Repo, Unusable};
use crate::land;
use crate::model::clock::SystemClock;
use crate::model::settings::HooksPath;
use crate::model::text::{count, one_line};
use crate::model::{Clock as _, Roster, Settings, Task, TaskName};
use crate::store::{Journal, Layout};
use crate::supervise::pass;
use crate::supervise::pass::Starts;
use crate::ui::message;
use crate::ui::progress::{Narration, Progress};
use crate::workspace::Site;

/// The template that a repository may override, below `.wt/templates/`.
pub const INSTRUCTIONS: &str = "CLAUDE.local.md.j2";

/// Options that every verb has.
#[derive(Debug, Clone, Default)]
pub struct Global {
    /// Where to work; `None`: the current folder.
    pub folder: Option<PathBuf>,
    /// Whether only results, warnings and errors are told.
    pub quiet: bool,
}

impl Global {
    /// Returns the options of a detached role in that folder.
    pub fn within(folder: &Path) -> Self {
        Self { folder: Some(folder.to_owned()), quiet: true }
    }

    /// Returns the folder that the verb works in.
    pub fn cwd(&self) -> Result<PathBuf, CommandError> {
        match &self.folder {
            Some(folder) => Ok(folder.clone()),
            None => std::env::current_dir().during(|| "the current folder cannot be found".to_owned()),
        }
    }
}

/// Whether a verb runs anything that the repository's own configuration names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// It does: a person must have approved it.
    Required,
    /// It does not.
    NotNeeded,
}

/// A repository with its state and settings.
pub struct Context {
    repo: Repo,
    layout: Layout,
    journal: Journal,
    settings: Settings,
    target: Result<String, GitError>,
    /// The branch that the repository's own configuration is read from.
    home: Option<String>,
    template: Option<Vec<u8>>,
    iteration: Option<Vec<u8>>,
    resolver_template: Option<Vec<u8>>,
    clock: SystemClock,
    narration: Narration,
    /// Whether a person was told that the queue is barred.
    barred_told: bool,
    /// Whether the repository's own configuration cannot be read: nothing is started by what is left of the settings.
    faulty: bool,
}

/// What a verb does where the repository's own configuration cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AtFault {
    /// It is refused.
    Ends,
    /// It goes on by the built-in and the user's own settings.
    GoesOn,
}

impl Context {
    /// Opens the repository at the verb's folder, with its state and settings.
    pub fn open(global: &Global, trust: Trust) -> Result<Self, CommandError> {
        Self::opened(global, trust, AtFault::Ends, None)
    }

    /// The same for verbs that only look, or end something: where the repository's own configuration cannot be read that is
    /// told, the built-in and the user's own settings count, and nothing is started.
    pub fn open_anyway(global: &Global) -> Result<Self, CommandError> {
        Self::opened(global, Trust::NotNeeded, AtFault::GoesOn, None)
    }

    /// Opens the same repository once more, with the settings of now, and goes on in the journal where it was read to. What
    /// cannot be opened any more stays as it was.
    #[must_use = "the old one is gone"]
    pub fn anew(mut self, global: &Global) -> Self {
        let journal = std::mem::replace(&mut self.journal, Journal::new(&self.layout));
        Self::opened(global, Trust::NotNeeded, AtFault::Ends, Some(journal)).unwrap_or(self)
    }

    fn opened(
        global: &Global,
        trust: Trust,
        at_fault: AtFault,
        journal: Option<Journal>,
    ) -> Result<Self, CommandError> {
        let repo = Repo::discover(&global.cwd()?).map_err(|error| unusable(&error))?;
        let layout = Layout::below(repo.common_dir());
        if layout.root().exists() {
            layout.prepare()?;
        }
        let target = first_target(&repo);
        let home = target.as_deref().ok().map(str::to_owned);
        let committed = Committed::read(&repo, home.as_deref())?;
        let (settings, faulty) = match committed.settings(&repo, home.as_deref()).map_err(|fault| *fault) {
            Ok(settings) => (settings, false),
            Err(Fault { refusal, without: Some(settings) }) if at_fault == AtFault::GoesOn => {
                tell_fault(&refusal);
                (settings, true)
            }
            Err(Fault { refusal, .. }) => return Err(refusal),
        };
        let target = settings.target.clone().map_or(target, Ok);
        let journal = journal.unwrap_or_else(|| Journal::new(&layout));
        let narration = if global.quiet { Narration::Quiet } else { Narration::Full };
        let template = committed.template.clone();
        let iteration = committed.iteration.clone();
        let resolver_template = committed.resolver_template.clone();
        let mut context = Self {
            repo,
            layout,
            journal,
            settings,
            target,
            home,
            template,
            iteration,
            resolver_template,
            clock: SystemClock,
            narration,
            barred_told: false,
            faulty,
        };
        // What cannot be read is approved by nobody, and stops no command.
        context.settings.workspace.hooks = match context.hooks() {
            Err(_) => HooksPath::Nothing,
            Ok(Err(settled)) => settled,
            Ok(Ok(found)) => found.judged(approvals().ok().as_ref()),
        };
        if trust == Trust::Required {
            context.require_trust(&committed)?;
        }
        if context.layout.root().exists() {
            context.settle_landings();
        }
        Ok(context)
    }

    /// Returns the repository.
    pub fn repo(&self) -> &Repo {
        &self.repo
    }

    /// Returns its state folder.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Tells whether the repository's own configuration cannot be read, and does not count.
    pub fn is_faulty(&self) -> bool {
        self.faulty
    }

    /// Returns the settings in force.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns the repository's own template of a resolver's prompt.
    pub fn resolver_template(&self) -> Option<&[u8]> {
        self.resolver_template.as_deref()
    }

    /// Returns how what is done comes to the target, for the end of a sentence.
    pub fn how_it_lands(&self, name: &str) -> String {
        if self.settings.merge.auto {
            "it lands by itself".to_owned()
        } else {
            format!("land it with `wt merge {name}`")
        }
    }

    /// Returns the clock.
    pub fn clock(&self) -> &SystemClock {
        &self.clock
    }

    /// Returns the target branch.
    pub fn target(&self) -> Result<String, CommandError> {
        match &self.target {
            Ok(target) => Ok(target.clone()),
            Err(error @ GitError::UnbornBranch { .. }) => {
                Err(CommandError::caused("there is nothing to start from", error)
                    .hint("make a first commit with `git commit --allow-empty -m Begin`"))
            }
            Err(error) => Err(CommandError::caused("the target branch is not known", error)
                .hint("name it: `wt spawn --into BRANCH …`, or `target = \"BRANCH\"` in the configuration")),
        }
    }

    /// Returns the journal.
    pub fn journal(&mut self) -> &mut Journal {
        &mut self.journal
    }

    /// Returns journal and the rest at once, for engines that need both.
    pub fn parts(&mut self) -> (Site<'_>, &mut Journal) {
        let Self { repo, layout, settings, clock, template, iteration, journal, .. } = self;
        let (template, iteration) = (template.as_deref(), iteration.as_deref());
        (Site { repo, layout, settings, clock, template, iteration }, journal)
    }

    /// Returns what supervision needs.
    pub fn site(&self) -> Site<'_> {
        let Self { repo, layout, settings, clock, template, iteration, .. } = self;
        let (template, iteration) = (template.as_deref(), iteration.as_deref());
        Site { repo, layout, settings, clock, template, iteration }
    }

    /// Returns the fold of the journal, read anew.
    pub fn roster(&mut self) -> Result<&Roster, CommandError> {
        Ok(self.journal.read()?)
    }

    /// Returns progress for this verb.
    pub fn progress(&self) -> Progress {
        Progress::new(self.narration)
    }

    /// Tells a line of narration.
    pub fn note(&self, text: &str) {
        if self.narration == Narration::Full {
            message::note(text);
        }
    }

    /// Returns the newest task of that name, whatever its state.
    pub fn task(&mut self, name: &str) -> Result<Task, CommandError> {
        let roster = self.journal.read()?;
        let found = name.parse::<TaskName>().ok().and_then(|name| roster.newest(&name));
        if let Some(task) = found {
            return Ok(task.clone());
        }
        let near = roster
            .live()
            .map(|task| task.name().to_string())
            .filter(|known| strsim::damerau_levenshtein(known, name) <= 2)
            .min_by_key(|known| strsim::damerau_levenshtein(known, name));
        let refusal = CommandError::refused(format!("there is no task `{}`", one_line(name, 80)));
        Err(match near {
            Some(near) => refusal.hint(format!("the nearest name is `{near}`: `wt status {near}`")),
            None => refusal.hint("see all tasks with `wt status --all`"),
        })
    }

    /// Settles what a killed landing left open; what goes wrong is told, and found again by the next command.
    fn settle_landings(&mut self) {
        let now = self.clock.now();
        match land::settle(&self.repo, &self.layout, &mut self.journal, now) {
            Ok(0) => {}
            Ok(n) => self.note(&format!("an interrupted landing was settled: {}", count(n, "task"))),
            Err(error) => message::warning(&format!("an interrupted landing is not settled: {error}")),
        }
    }

    /// Runs a scheduling pass; what goes wrong is told, since the verb itself has done its work.
    pub fn pass(&mut self) {
        if self.faulty {
            return;
        }
        let starts = self.starts();
        if starts == Starts::Nothing && !self.barred_told {
            self.barred_told = true;
            message::warning(&format!("nothing is started: {UNAPPROVED}"));
            message::hint(APPROVE);
        }
        if starts == Starts::Ready {
            super::room::make_for_queue(self);
        }
        let (site, journal) = self.parts();
        match pass::pass(&site, journal, starts) {
            Ok(passed) => {
                for id in passed.settled {
                    self.note(&format!("`{}` had lost its supervision", id.name));
                }
                if let Some((_, program)) = passed.out_of_reach.first() {
                    let waiting = count(passed.out_of_reach.len(), "task");
                    message::warning(&format!(
                        "held in the queue: {waiting}; `{program}` is not on this PATH"
                    ));
                    message::hint("run any `wt` command where it is found: it starts what is queued");
                }
            }
            Err(error) => {
                let told = CommandError::caused("the queue is not served", &error);
                message::warning(&format!("{told}: {}", told.causes.join(": ")));
            }
        }
        super::notify::begin(self);
        super::notify::tell_trouble(self);
        super::auto::resume(self);
    }

    /// Runs a scheduling pass where nobody reads.
    pub fn pass_quietly(&mut self) {
        if self.faulty {
            return;
        }
        let starts = self.starts();
        if starts == Starts::Ready {
            super::room::make_for_queue(self);
        }
        let (site, journal) = self.parts();
        // The next command's pass finds the same and can tell somebody.
        drop(pass::pass(&site, journal, starts));
        super::notify::begin(self);
    }

    /// Returns the hooks that git's configuration names, as they are now.
    pub fn hooks(&self) -> Result<Result<Found, HooksPath>, CommandError> {
        if self.repo.hooks_path().is_none() {
            return Ok(Err(HooksPath::NotSet));
        }
        let home = self.home.as_deref();
        let tip = home.and_then(|home| self.repo.branch_tip(home).transpose()).transpose();
        let found = tip.and_then(|tip| hooks::find(&self.repo, tip.as_ref()));
        found.during(|| "the hooks of `core.hooksPath` cannot be read".to_owned())
    }

    /// Tells whether the repository's own configuration is read from that branch.
    pub fn is_home(&self, branch: &str) -> bool {
        self.home.as_deref() == Some(branch)
    }
}

/// Tells that the repository's own configuration cannot be read, where the verb goes on without it.
fn tell_fault(refusal: &CommandError) {
    let why = refusal.causes.join("; ");
    message::warning(&format!(
        "`.wt.toml` does not count, and until it is mended nothing is started or landed: {why}"
    ));
    refusal.hints.iter().for_each(|hint| message::hint(hint));
}

/// The target before any configuration of the repository was read: that one is read from there.
fn first_target(repo: &Repo) -> Result<String, GitError> {
    match std::env::var("WT_TARGET") {
        Ok(target) if !target.is_empty() => Ok(target),
        _ => repo.default_target(),
    }
}

/// Turns a refusal of the place itself into words with a way out.
fn unusable(error: &GitError) -> CommandError {
    let hint = match error {
        GitError::Unusable(Unusable::NoRepository(_)) => {
            Some("go into a repository, or make one with `git init`")
        }
        GitError::Unusable(Unusable::Submodule(_)) => {
            Some("work from the repository that holds the submodule")
        }
        GitError::Unusable(Unusable::NoProgram(_)) => Some("install git"),
        _ => None,
    };
    let refusal = CommandError::refused(error.to_string());
    match hint {
        Some(hint) => refusal.hint(hint),
        None => refusal,
    }
}
