//! The machine around the repository: git and who it says we are, agent programs, other programs called `wt`, disk space.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;

use super::{Report, quoted};
use crate::agent::Adapter;
use crate::git::command::REDIRECTING;
use crate::git::{GitError, Repo};
use crate::model::text::one_line;
use crate::model::{Roster, Settings};
use crate::process::run::{self, Shell};
use crate::store::Space;
use crate::store::layout::FORMAT;
use crate::workspace::Site;

/// How long a program may take to say its version.
const PATIENCE: Duration = Duration::from_secs(3);
/// The free space below which work is at risk, in MiB.
const SCARCE: u64 = 100;

/// Whether agent programs are run to ask for their version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// They are.
    Ask,
    /// They are not: the repository's configuration, which may name them, is not approved.
    Leave,
}

/// What the examination depends on.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The value of `PATH`.
    pub path: Option<OsString>,
    /// This program.
    pub program: Option<PathBuf>,
    /// Whether agent programs are run.
    pub versions: Versions,
}

/// Looks at the machine. Changes nothing.
pub fn examine(site: &Site<'_>, roster: &Roster, around: &Surroundings) -> Report {
    let mut report = Report::default();
    git(site.repo, &mut report);
    report.well.push(format!("state: format {}", FORMAT.trim()));
    disk(site.repo.common_dir(), &mut report);
    agents(site, roster, around, &mut report);
    others(around, &mut report);
    report
}

fn git(repo: &Repo, report: &mut Report) {
    match repo.require_git() {
        Ok(()) => report.well.push("git: new enough".to_owned()),
        Err(error) => report.find("git", &"git", error.to_string(), None),
    }
    match repo.require_identity() {
        Ok(()) => report.well.push("identity: git knows whom to name in commits".to_owned()),
        Err(error @ GitError::NoIdentity) => {
            let hint = "git config --global user.name NAME && git config --global user.email ADDRESS";
            report.find("no-identity", &"git", error.to_string(), Some(hint.to_owned()));
        }
        Err(error) => report.find("no-identity", &"git", error.to_string(), None),
    }
}

fn disk(folder: &Path, report: &mut Report) {
    let Some(Space { bytes, .. }) = Space::at(folder) else { return };
    let free = bytes >> 20;
    if free < SCARCE {
        report.find(
            "low-disk",
            &folder.display(),
            format!("only {free} MiB are free"),
            Some("wt gc".to_owned()),
        );
    } else {
        report.well.push(format!("disk: {}.{} GiB free", free / 1024, free % 1024 * 10 / 1024));
    }
}

fn agents(site: &Site<'_>, roster: &Roster, around: &Surroundings, report: &mut Report) {
    let Settings { agent, agents, .. } = site.settings;
    for (name, spec) in agents {
        let used = *name == agent.default || roster.live().any(|task| task.spec.agent.as_ref() == Some(name));
        let adapter = match Adapter::new(name, spec) {
            Ok(adapter) => adapter,
            Err(error) => {
                report.find("agent-unusable", &name, error.to_string(), None);
                continue;
            }
        };
        match adapter.program_on_path(around.path.as_deref(), site.repo.common_dir()) {
            Some(program) => {
                let said = match around.versions {
                    Versions::Ask => version(&spec.version, &program, around.path.as_deref()),
                    Versions::Leave => None,
                };
                let said = said.map(|said| format!(" {said}")).unwrap_or_default();
                report.well.push(format!("agent {name}:{said} at {}", program.display()));
            }
            None if used => {
                let program = spec.command.first().map_or("", String::as_str);
                report.find("agent-missing", &name, format!("its program `{program}` is not on PATH"), None);
            }
            None => {}
        }
    }
}

/// Returns the first line that a program says of its version; `None`: it has no such command, fails, or takes too long.
/// It runs under a guard, because a launcher that hangs has usually started something that hangs too.
fn version(command: &[String], program: &Path, path: Option<&OsStr>) -> Option<String> {
    let (asked, arguments) = command.split_first()?;
    // Usually the agent's own program, which was found already.
    let asked = if Path::new(asked).file_name() == program.file_name() {
        program.to_owned()
    } else {
        which::which_in(asked, path, "/").ok()?
    };
    let folder = tempfile::tempdir().ok()?;
    let words = [quoted(&asked)].into_iter().chain(arguments.iter().map(|word| quoted(word.as_ref())));
    let outcome = run::shell_blocking(
        &Shell {
            command: &format!("exec {}", words.collect::<Vec<_>>().join(" ")),
            folder: folder.path(),
            env: &[],
            without: REDIRECTING,
            stdin: None,
            timeout: PATIENCE,
            log: &folder.path().join("version"),
            token: &uuid::Uuid::new_v4().to_string(),
            shared: &[],
            then: &[],
        },
        std::future::pending(),
    );
    let outcome = outcome.ok().filter(run::Outcome::passed)?;
    let line = one_line(outcome.tail.lines().next()?, 60);
    (!line.is_empty()).then_some(line)
}

/// Tells of other programs called `wt`: the first on PATH is the one that people and agents get.
fn others(around: &Surroundings, report: &mut Report) {
    let before = report.findings.len();
    let Some(own) = around.program.as_deref().and_then(|own| fs::canonicalize(own).ok()) else { return };
    let all: Vec<PathBuf> =
        which::which_in_all("wt", around.path.as_deref(), "/").into_iter().flatten().collect();
    let ours = |found: &PathBuf| fs::canonicalize(found).is_ok_and(|found| found == own);
    let place = all.iter().position(ours);
    for (n, other) in all.iter().enumerate().filter(|(_, found)| !ours(found)) {
        let detail = match place {
            Some(place) if place < n => "another `wt`, behind this one on PATH",
            Some(_) => "another `wt`, before this one on PATH: it is what `wt` runs",
            None => "another `wt`, and this one is not on PATH: it is what `wt` runs",
        };
        report.find("other-wt", &other.display(), detail, Some(format!("{} --version", quoted(other))));
    }
    if place.is_some() {
        report.well_since(before, "PATH: no other `wt`".to_owned());
    } else {
        report.well.push(format!("this `wt` is not on PATH: {}", own.display()));
    }
}
