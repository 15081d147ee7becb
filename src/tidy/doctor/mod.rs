//! Looking for what is out of order, and mending what can be mended safely.
//!
//! Invariants: an examination changes nothing; mending looks again for itself, under the locks, and only ends processes of
//! attempts that are over, removes books that git keeps of folders which are gone, deletes base refs that nobody counts
//! from, and lets spare workspaces go that are out of order. Work is never touched: no branch, no worktree, no lock that a git may hold.

mod locks;
pub mod machine;
mod ports;
mod state;
mod worktrees;

use std::fmt;

use super::Grounds;
use crate::git::GitError;
use crate::git::refs::{self, RefEdit};
use crate::model::text::shell_word;
use crate::model::view::Finding;
use crate::process::sweep;
use crate::store::lock::{DEADLINE, Lock, LockError};
use crate::store::{Journal, JournalError};
use crate::workspace::GitLock;
use crate::workspace::pool::{self, TendError};
use crate::workspace::ports::PortsError;

/// Why an examination stopped.
#[derive(Debug, thiserror::Error)]
pub enum DoctorError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// git cannot list what it has.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The leases of ports.
    #[error(transparent)]
    Ports(#[from] PortsError),
    /// Spare workspaces, for mending.
    #[error("the spare workspaces cannot be put in order")]
    Spares(#[from] TendError),
    /// The git lock, for mending.
    #[error("the repository is busy")]
    Lock(#[from] LockError),
}

/// What an examination found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// What was looked at and found well, one line each.
    pub well: Vec<String>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Adds what another examination found.
    pub fn extend(&mut self, other: Self) {
        self.well.extend(other.well);
        self.findings.extend(other.findings);
    }

    fn find(
        &mut self,
        kind: &str,
        subject: &dyn fmt::Display,
        detail: impl Into<String>,
        hint: Option<String>,
    ) {
        let (kind, subject, detail) = (kind.to_owned(), subject.to_string(), detail.into());
        self.findings.push(Finding { kind, subject, detail, fixed: false, hint });
    }

    /// Says that something is well, if nothing was found since there were `before` findings.
    fn well_since(&mut self, before: usize, line: String) {
        if self.findings.len() == before {
            self.well.push(line);
        }
    }
}

/// Looks at the repository and its state. Changes nothing.
pub fn examine(grounds: &Grounds<'_>, journal: &mut Journal) -> Result<Report, DoctorError> {
    let site = &grounds.site;
    let mut report = Report::default();
    journal.read()?;
    let history = journal.history()?;
    state::journal(&history, &mut report);
    state::lost(site.layout, journal.roster(), &mut report);
    state::strays(&history, journal.roster(), &mut report);
    state::auto(site.layout, &mut report);
    state::beside(site.repo, journal.roster(), &mut report);
    worktrees::examine(site, journal.roster(), &mut report)?;
    locks::examine(site.repo, site.clock, &mut report)?;
    ports::examine(site, journal.roster(), &mut report)?;
    Ok(report)
}

/// Mends what can be mended safely.
pub fn mend(grounds: &Grounds<'_>, journal: &mut Journal) -> Result<(), DoctorError> {
    let site = &grounds.site;
    journal.read()?;
    for (token, _) in state::stray_tokens(&journal.history()?, journal.roster()) {
        grounds.observer.step("ending stray processes");
        sweep::end(&token);
    }
    // While somebody tends the spares, they are in good hands.
    let tend = Lock::try_take(&site.layout.lock("tend")).map_err(LockError::from)?;
    let git = Lock::take(&site.layout.lock("git"), DEADLINE, "mending")?;
    if tend.is_some() {
        pool::discard_faulty(site.repo, GitLock::held(&git))?;
    }
    let roster = journal.read()?;
    let bases = super::gc::orphan_bases(site.repo, roster)?;
    let edits: Vec<RefEdit> = bases.into_iter().map(|(name, at)| RefEdit::delete(name, at)).collect();
    refs::apply(site.repo, &edits)?;
    worktrees::forget_missing(site, roster)?;
    ports::mend(site, roster)?;
    Ok(())
}

/// Returns the findings of both looks, those that are gone since the first one marked as mended.
pub fn compare(before: Vec<Finding>, mut after: Vec<Finding>) -> Vec<Finding> {
    let still = |gone: &Finding| after.iter().any(|now| now.kind == gone.kind && now.subject == gone.subject);
    let gone = before.into_iter().filter(|finding| !still(finding));
    let mut all: Vec<Finding> = gone.map(|finding| Finding { fixed: true, hint: None, ..finding }).collect();
    all.append(&mut after);
    all
}

/// Returns a path as an argument that a shell takes as it is.
fn quoted(path: &std::path::Path) -> String {
    shell_word(&path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_at_the_second_look_was_mended() {
        let mut first = Report::default();
        first.find("a", &1, "x", Some("h".to_owned()));
        first.find("b", &2, "y", None);
        let mut second = Report::default();
        second.find("b", &2, "y, still", None);
        let both = compare(first.findings, second.findings);
        let told: Vec<(&str, bool)> = both.iter().map(|f| (f.kind.as_str(), f.fixed)).collect();
        assert_eq!(told, [("a", true), ("b", false)]);
    }
}
