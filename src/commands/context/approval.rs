//! What a person has to approve before `wt` runs it: commands that the repository's own configuration names.

use std::io::IsTerminal as _;

use super::Context;
use super::committed::Committed;
use crate::commands::trust;
use crate::config::{self, Approvals, Executable};
use crate::error::{CommandError, During as _};
use crate::model::Clock as _;
use crate::model::settings::Structural;
use crate::supervise::pass::Starts;
use crate::supervise::schedule;

pub(super) const UNAPPROVED: &str = "the commands in this repository's `.wt.toml` are not approved";
pub(super) const APPROVE: &str = "see and approve them with `wt trust --approve`";

impl Context {
    /// Tasks that are ready do not start under commands that nobody approved: their runner would only refuse, unheard.
    pub(super) fn starts(&mut self) -> Starts {
        let now = self.clock.now();
        let ready = self.journal.read().is_ok_and(|roster| !schedule::line(roster, now).is_empty());
        if ready && !self.approved().unwrap_or(true) { Starts::Nothing } else { Starts::Ready }
    }

    /// Returns whether what the repository's configuration makes `wt` run, as committed now, is approved.
    pub fn approved(&self) -> Result<bool, CommandError> {
        let Some(executable) = self.executable()? else { return Ok(true) };
        approvals()?.approved(&executable.hash).during(|| "approvals cannot be read".to_owned())
    }

    /// Sets merge tools aside that the repository's configuration names and nobody approved: for verbs that need no approval
    /// because they start nothing else.
    pub fn without_unapproved_tools(&mut self) -> Result<(), CommandError> {
        let Some(executable) = self.executable()? else { return Ok(()) };
        let names_tools = executable.items.iter().any(|(key, _)| key == "merge.structural");
        if names_tools && !approvals()?.approved(&executable.hash).unwrap_or(false) {
            self.settings.merge.structural = Structural::Named(Vec::new());
        }
        Ok(())
    }

    /// Refuses if tasks cannot start because nobody approved the repository's commands.
    pub fn require_startable(&mut self) -> Result<(), CommandError> {
        match self.starts() {
            Starts::Ready => Ok(()),
            Starts::Nothing => {
                Err(CommandError::refused(format!("nothing is started: {UNAPPROVED}")).hint(APPROVE))
            }
        }
    }

    pub(super) fn require_trust(&self, committed: &Committed) -> Result<(), CommandError> {
        let Some(executable) = committed.executable(&self.repo)? else { return Ok(()) };
        let approvals = approvals()?;
        if approvals.approved(&executable.hash).during(|| "approvals cannot be read".to_owned())? {
            return Ok(());
        }
        if std::io::stdin().is_terminal() && std::io::stderr().is_terminal() {
            trust::ask(&self.repo, &executable, &approvals, &self.clock)?;
            return Ok(());
        }
        Err(CommandError::refused(format!("{UNAPPROVED}; nothing was made")).hint(APPROVE))
    }

    /// Returns what the repository's configuration makes `wt` run, as committed on the target.
    pub fn executable(&self) -> Result<Option<Executable>, CommandError> {
        Committed::read(&self.repo, self.home.as_deref())?.executable(&self.repo)
    }
}

/// Returns where this user's approvals are kept.
pub fn approvals() -> Result<Approvals, CommandError> {
    let folder = config::user_folder()
        .ok_or_else(|| CommandError::refused("there is no home folder to keep approvals in"))?;
    Ok(Approvals::within(&folder))
}
