//! Checks on the exact commit that would be published, in a worktree that is `wt`'s own.
//!
//! Invariants: nobody's checkout is used, and what is checked is a commit, so nothing that a check writes can get onto the
//! target. The worktree is used by who holds the landing lock; each check's guard shares that lock, so that nobody else
//! starts there while anything of a killed landing lives. Ignored files stay from check to check: build caches.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::Landing;
use super::passed::{self, Passed};
use super::place::{self, Keep, PlaceError};
use crate::git::worktree::LinkedWorktree;
use crate::git::{GitError, command::REDIRECTING, detached, submodule};
use crate::model::settings::{Settings, VerifyStep};
use crate::model::text::duration;
use crate::model::verdict::Exit;
use crate::model::{Oid, Task, TaskName};
use crate::process::run::{self, Outcome, Shell};
use crate::store::layout::private_folder;
use crate::store::{Lock, LockError, lock};
use crate::workspace::Site;
use crate::workspace::environment::{self, EnvironmentError};

/// The folder of the worktree, below the root of all worktrees.
pub const FOLDER: &str = ".verify";

/// Says, below the worktree's own git folder, what it was furnished with.
const MARK: &str = "wt-furnished.json";

/// What the worktree was furnished with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Furniture {
    /// Ignored files from the main checkout, relative.
    brought: Vec<String>,
    /// Set-up commands that have run.
    setup: Vec<String>,
}

/// Which checks are run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checks {
    /// The configured ones, and the task's own.
    Configured,
    /// This command instead.
    Replaced(String),
    /// None.
    None,
}

/// What the checks said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All of them passed; `flaky`: only when run again.
    Passed { flaky: Vec<String> },
    /// One failed; the ones after it were not run.
    Failed(Failure),
}

/// A check that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What people call it.
    pub step: String,
    /// How it failed ("exited with code 1 after 42s").
    pub how: String,
    /// The file that has its output.
    pub log: PathBuf,
    /// The end of its output.
    pub tail: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.step, self.how)
    }
}

/// Why the checks could not be run; nothing is known of the commit.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Something that is not a worktree of this repository stands in its place.
    #[error("{} is in the way of the worktree for checks", .0.display())]
    InTheWay(PathBuf),
    /// The worktree cannot be made or brought to the commit.
    #[error("the worktree for checks cannot be brought to commit {}", .commit.short())]
    Worktree {
        /// The commit.
        commit: Oid,
        /// What git said.
        source: GitError,
    },
    /// git cannot tell where it is.
    #[error("the worktree for checks cannot be found")]
    Git(#[from] GitError),
    /// The ignored files that it needs cannot be brought in.
    #[error("the worktree for checks cannot be furnished")]
    Environment(#[from] EnvironmentError),
    /// A set-up command failed.
    #[error("the worktree for checks cannot be set up: {0}")]
    Setup(Failure),
    /// A check could not be started, or its guard was killed.
    #[error("`{step}` could not be run: {reason}")]
    NotRun {
        /// The check.
        step: String,
        /// Why.
        reason: String,
    },
    /// The lock for worktrees stayed busy.
    #[error("the worktree for checks cannot be made")]
    Lock(#[source] LockError),
    /// Folders or logs cannot be written.
    #[error("the checks cannot be run")]
    Io(#[from] io::Error),
}

/// Returns the checks of several tasks together, each once.
pub(super) fn steps_of_all<'t>(
    checks: &Checks,
    settings: &Settings,
    tasks: impl IntoIterator<Item = &'t Task>,
) -> Vec<VerifyStep> {
    let mut all: Vec<VerifyStep> = Vec::new();
    for task in tasks {
        for step in steps(checks, settings, task) {
            if !all.iter().any(|there| there.run == step.run) {
                all.push(step);
            }
        }
    }
    all
}

/// Returns the checks of a task: the configured ones, then its own where they are not among them.
pub(super) fn steps(checks: &Checks, settings: &Settings, task: &Task) -> Vec<VerifyStep> {
    let plain = |run: &String| VerifyStep {
        name: run.clone(),
        run: run.clone(),
        timeout: settings.limits.timeout,
        retries: 1,
    };
    match checks {
        Checks::None => Vec::new(),
        Checks::Replaced(command) => vec![plain(command)],
        Checks::Configured => {
            let mut steps = settings.verify.clone();
            for own in &task.spec.verify {
                if !steps.iter().any(|step| step.run == *own) {
                    steps.push(plain(own));
                }
            }
            steps
        }
    }
}

/// Variables that tell an agent where it is: they would tell anything else lies.
pub(super) fn own_variables() -> impl Iterator<Item = &'static str> {
    ["WT_TASK", "WT_WORKTREE", "WT_BRANCH", "WT_ITERATION"].into_iter()
}

/// Where and how the checks of one landing run.
#[derive(Debug)]
pub(super) struct Bench<'a> {
    pub landing: &'a Landing<'a>,
    pub lock: &'a Lock,
    /// The folder of this landing's logs.
    pub logs: PathBuf,
    /// Whether the worktree was furnished in this landing.
    pub furnished: Cell<bool>,
    /// What a check could notice beside the tree; `None`: nobody looked yet.
    pub surroundings: RefCell<Option<String>>,
    /// Checks that have passed before.
    pub passed: Passed,
}

/// What lands with the commit that is checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passengers<'a> {
    pub first: &'a TaskName,
    /// How many tasks land with it.
    pub more: usize,
}

impl Passengers<'_> {
    /// The beginning of the logs' names; unique in a landing for the same order of tasks.
    fn stem(&self) -> String {
        if self.more == 0 { self.first.to_string() } else { format!("{}+{}", self.first, self.more) }
    }
}

impl fmt::Display for Passengers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.first)?;
        if self.more > 0 { write!(f, " and {} more", self.more) } else { Ok(()) }
    }
}

impl Bench<'_> {
    /// Runs `steps` on `commit`, one after the other, up to the first that fails; `who`: what lands with it, for people and
    /// for the names of the logs. A step that has passed on the same tree before is not run again.
    pub(super) fn verify(
        &self,
        who: &Passengers<'_>,
        commit: &Oid,
        steps: &[VerifyStep],
    ) -> Result<Verdict, VerifyError> {
        let mut flaky = Vec::new();
        if steps.is_empty() {
            return Ok(Verdict::Passed { flaky });
        }
        let tree = self.landing.site.repo.tree_of(commit)?;
        if self.surroundings.borrow().is_none() {
            *self.surroundings.borrow_mut() = Some(self.surroundings_now()?);
        }
        // A tree on which everything has passed is not even checked out.
        if steps.iter().all(|step| self.has_passed(&tree, step)) {
            self.landing.observer.step(&format!("checked before: {who}"));
            return Ok(Verdict::Passed { flaky });
        }
        private_folder(&self.logs)?;
        let place = self.worktree(commit)?;
        for (n, step) in steps.iter().enumerate() {
            if self.has_passed(&tree, step) {
                self.landing.observer.step(&format!("checked before: {}", step.name));
                continue;
            }
            let mut round = 0;
            loop {
                round += 1;
                self.landing.observer.step(&match round {
                    1 => format!("checking {who}: {}", step.name),
                    _ => format!("checking {who} again: {}", step.name),
                });
                let log = self.logs.join(format!("{}.{}.{round}.log", who.stem(), n + 1));
                let outcome = self.run(&step.run, step.timeout, &place, &log)?;
                if outcome.passed() {
                    match round {
                        // What passes by luck is not remembered.
                        2.. => flaky.push(step.name.clone()),
                        _ => self.passed.remember(&self.key(&tree, step)),
                    }
                    break;
                }
                let how = how(&outcome, step.timeout);
                let how = how.map_err(|reason| VerifyError::NotRun { step: step.name.clone(), reason })?;
                if round > step.retries {
                    return Ok(Verdict::Failed(Failure {
                        step: step.name.clone(),
                        how,
                        log,
                        tail: outcome.tail,
                    }));
                }
            }
        }
        Ok(Verdict::Passed { flaky })
    }

    /// Tells whether a check has passed on a tree.
    fn has_passed(&self, tree: &Oid, step: &VerifyStep) -> bool {
        self.passed.has(&self.key(tree, step))
    }

    fn key(&self, tree: &Oid, step: &VerifyStep) -> String {
        passed::key(tree, &step.run, self.surroundings.borrow().as_deref().unwrap_or_default())
    }

    fn surroundings_now(&self) -> Result<String, VerifyError> {
        let settings = &self.landing.site.settings.workspace;
        let (main, paths) = environment::sources(self.landing.site.repo, settings)?.unwrap_or_default();
        Ok(passed::surroundings(&main, &paths, &settings.setup))
    }

    fn run(&self, command: &str, limit: Duration, place: &Path, log: &Path) -> io::Result<Outcome> {
        let without: Vec<&str> = REDIRECTING.iter().copied().chain(own_variables()).collect();
        let halt = self.landing.halt;
        let shell = Shell {
            command,
            folder: place,
            env: &[],
            without: &without,
            stdin: None,
            timeout: limit,
            log,
            token: &uuid::Uuid::new_v4().simple().to_string(),
            shared: &[self.lock.as_fd()],
            then: &[],
        };
        let outcome = run::shell_blocking(&shell, halt.asked())?;
        // What was cut short says nothing of the commit.
        if halt.cause().is_some() { Err(io::ErrorKind::Interrupted.into()) } else { Ok(outcome) }
    }

    /// Brings the worktree to `commit` and returns its folder; made, and furnished, where it is missing.
    fn worktree(&self, commit: &Oid) -> Result<PathBuf, VerifyError> {
        let place = place::at(self.landing, FOLDER, commit, Keep::Ignored).map_err(|cause| match cause {
            PlaceError::Commit(source) => VerifyError::Worktree { commit: commit.clone(), source },
            PlaceError::InTheWay(path) => VerifyError::InTheWay(path),
            PlaceError::Git(source) => VerifyError::Git(source),
            PlaceError::Lock(source) => VerifyError::Lock(source),
            PlaceError::Io(source) => VerifyError::Io(source),
        })?;
        let renewed = submodule::renew(self.landing.site.repo, &place, commit);
        renewed.map_err(|source| VerifyError::Worktree { commit: commit.clone(), source })?;
        if !self.furnished.get() {
            self.furnish(&place, commit)?;
            self.furnished.set(true);
        }
        Ok(place.path().to_owned())
    }

    /// Brings in the ignored files anew, for they may have changed, and runs the set-up commands that have not run here.
    fn furnish(&self, place: &LinkedWorktree, commit: &Oid) -> Result<(), VerifyError> {
        let Landing { site: &Site { repo, settings, .. }, observer, .. } = *self.landing;
        let mark = place.checkout().git_dir().join(MARK);
        let text = fs::read(&mark).unwrap_or_default();
        let mut furniture: Furniture = serde_json::from_slice(&text).unwrap_or_default();
        detached::remove(place, &furniture.brought)?;
        let brought = {
            let path = self.landing.site.layout.lock("git");
            let _git = Lock::take(&path, lock::DEADLINE, "wt merge").map_err(VerifyError::Lock)?;
            environment::furnish(repo, &settings.workspace, commit, place.path())?
        };
        furniture.brought = brought.brought;
        // They may have changed since somebody looked; what is copied now is what the checks see.
        *self.surroundings.borrow_mut() = Some(self.surroundings_now()?);
        write_mark(&mark, &furniture)?;
        if furniture.setup == settings.workspace.setup {
            return Ok(());
        }
        for (n, command) in settings.workspace.setup.iter().enumerate() {
            observer.step(&format!("setting up the worktree for checks: {command}"));
            let log = self.logs.join(format!("setup.{}.log", n + 1));
            let limit = settings.limits.timeout;
            let outcome = self.run(command, limit, place.path(), &log)?;
            if !outcome.passed() {
                let how = how(&outcome, limit).unwrap_or_else(|reason| reason);
                return Err(VerifyError::Setup(Failure {
                    step: command.clone(),
                    how,
                    log,
                    tail: outcome.tail,
                }));
            }
        }
        furniture.setup.clone_from(&settings.workspace.setup);
        write_mark(&mark, &furniture)?;
        Ok(())
    }
}

fn write_mark(path: &Path, furniture: &Furniture) -> io::Result<()> {
    fs::write(path, serde_json::to_vec(furniture).map_err(io::Error::other)?)
}

/// Returns how a command failed; `Err`: it did not run to its end, so nothing is known.
fn how(outcome: &Outcome, limit: Duration) -> Result<String, String> {
    let took = duration(outcome.took);
    match outcome.end.exit {
        _ if outcome.timed_out => Ok(format!("was ended after its time limit of {}", duration(limit))),
        Exit::Code(code) => Ok(format!("exited with code {code} after {took}")),
        Exit::Signal(signal) => Ok(format!("was ended by signal {signal} after {took}")),
        Exit::NotStarted => Err(outcome.end.error.clone().unwrap_or_else(|| "no reason is known".to_owned())),
        Exit::Lost => Err("its guard was killed".to_owned()),
    }
}
