//! A branch's upstream: where it is fetched from and pushed to, and the calls of git that do so.
//!
//! Invariants: only one ref of ours is written by a fetch, the one that remembers the remote's branch, never a branch; a push
//! moves the remote's branch only forward, and only from the commit that was seen there; nothing is ever asked of a person.
//! These calls talk to other machines, so they are handed out to be run by who can end a whole tree of processes in time.

use std::path::{Path, PathBuf};

use super::command::{Git, Handed};
use super::refs::{self, Expected, RefEdit};
use super::settings::Settings;
use super::{GitError, Repo};
use crate::model::Oid;
use crate::model::text::one_line;

/// Where a remote's branch is remembered if git itself does not.
const OWN: &str = "refs/wt/remote/";

/// Where a branch comes from and goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// The remote: its name, or its address.
    pub remote: String,
    /// The branch at the remote, in full.
    pub branch: String,
    /// The ref here that remembers it, in full.
    pub tracking: String,
    /// Whether git itself would remember it in a branch of ours, and so move that one after a push.
    pub mirrors: bool,
    ssh: Option<String>,
}

/// What a call of git came to, as far as it is understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    Done,
    /// The remote has no such branch.
    NoBranch,
    /// The remote's branch is not where it was seen.
    Moved,
    /// Anything else, in one line.
    Refused(String),
}

impl Upstream {
    /// Returns the upstream of a branch, named short: as configured, else its namesake at the only remote, else at `origin`;
    /// `None`: there is no remote.
    pub fn of(repo: &Repo, branch: &str) -> Result<Option<Self>, GitError> {
        let settings = Settings::asked(Git::on(repo, "config"))?;
        let configured = settings.text(&format!("branch.{branch}.remote"));
        let remotes: Vec<&str> =
            settings.keys().filter_map(|key| key.strip_prefix("remote.")?.strip_suffix(".url")).collect();
        let remote = match (configured, remotes.as_slice()) {
            (Some("."), _) => return Ok(None),
            (Some(remote), _) => remote,
            (None, [only]) => only,
            (None, several) if several.contains(&"origin") => "origin",
            (None, _) => return Ok(None),
        };
        let merge = configured.and_then(|_| settings.text(&format!("branch.{branch}.merge")));
        let at_remote = merge.map_or_else(|| format!("refs/heads/{branch}"), str::to_owned);
        let call = Git::on(repo, "config").args(["-z", "--get-all", &format!("remote.{remote}.fetch")]);
        let specs = call.finish()?;
        let specs = String::from_utf8_lossy(&specs.stdout).into_owned();
        let mapped = mapped(specs.split('\0'), &at_remote);
        let mirrors = mapped.as_ref().is_some_and(|to| !to.starts_with("refs/remotes/"));
        let mapped = mapped.filter(|_| !mirrors);
        let tracking = mapped.unwrap_or_else(|| format!("{OWN}{branch}"));
        let remote = remote.to_owned();
        Ok(Some(Self { remote, branch: at_remote, tracking, mirrors, ssh: quiet_ssh(&settings) }))
    }

    /// Returns the remote's commit as it was last seen; `None`: no such branch was seen there.
    pub fn seen(&self, repo: &Repo) -> Result<Option<Oid>, GitError> {
        repo.ref_tip(&self.tracking)
    }

    /// Returns the branch at the remote, short.
    pub fn short(&self) -> &str {
        self.branch.strip_prefix("refs/heads/").unwrap_or(&self.branch)
    }

    /// Returns how people name the remote's branch here, if git itself remembers it.
    pub fn tracked(&self) -> Option<&str> {
        self.tracking.strip_prefix("refs/remotes/")
    }

    /// Returns the call that fetches the branch into [`Upstream::tracking`], and nothing else.
    pub fn fetch(&self, repo: &Repo) -> Handed {
        let call = Git::on(repo, "fetch").args([
            "--quiet",
            "--no-tags",
            "--no-prune",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            // What is configured might name branches of ours.
            "--refmap=",
        ]);
        let spec = format!("+{}:{}", self.branch, self.tracking);
        self.unasked(call.args(["--", &self.remote, &spec])).hand_in(home(repo))
    }

    /// Returns the call that pushes `new` to the branch, which must still be at `seen` (`None`: must not exist). The caller has
    /// made sure that `new` is ahead of that.
    pub fn push(&self, repo: &Repo, new: &Oid, seen: Option<&Oid>) -> Handed {
        let lease = format!("--force-with-lease={}:{}", self.branch, seen.map_or("", Oid::as_str));
        let call = Git::on(repo, "push").args(["--porcelain", "--no-follow-tags", "--no-verify"]);
        let spec = format!("{new}:{}", self.branch);
        self.unasked(call.args([&lease, "--", &self.remote, &spec])).hand_in(home(repo))
    }

    /// Remembers that the remote's branch is at `new`, where git itself does not.
    pub fn remember(&self, repo: &Repo, new: &Oid) -> Result<(), GitError> {
        if !self.tracking.starts_with(OWN) {
            return Ok(());
        }
        refs::apply(
            repo,
            &[RefEdit { name: self.tracking.clone(), new: Some(new.clone()), old: Expected::Any }],
        )
    }

    /// Makes a call ask nobody: no window, no terminal, no question of ssh. Helpers that know an answer are heard.
    fn unasked(&self, call: Git) -> Git {
        let call = call
            .env("GIT_ASKPASS", "")
            .env("SSH_ASKPASS", "false")
            .env("SSH_ASKPASS_REQUIRE", "force")
            .env("GCM_INTERACTIVE", "never");
        match &self.ssh {
            Some(ssh) => call.env("GIT_SSH_COMMAND", ssh),
            None => call,
        }
    }
}

/// Returns the folder from which the address of a remote counts if it is relative.
fn home(repo: &Repo) -> &Path {
    repo.main_checkout().unwrap_or_else(|| repo.common_dir())
}

/// Returns the ref that a remote's branch is fetched into by these refspecs.
fn mapped<'a>(specs: impl Iterator<Item = &'a str>, branch: &str) -> Option<String> {
    let mut found = None;
    for spec in specs {
        if let Some(never) = spec.strip_prefix('^') {
            if fits(never, branch).is_some() {
                return None;
            }
            continue;
        }
        let Some((from, to)) = spec.strip_prefix('+').unwrap_or(spec).split_once(':') else { continue };
        if let Some(star) = fits(from, branch) {
            found = found.or(Some(to.replacen('*', star, 1)));
        }
    }
    found
}

/// Returns what stands for the star of a pattern, which may have none.
fn fits<'a>(pattern: &str, name: &'a str) -> Option<&'a str> {
    match pattern.split_once('*') {
        Some((head, tail)) => name.strip_prefix(head)?.strip_suffix(tail),
        None => (pattern == name).then_some(""),
    }
}

/// Returns the command for ssh that never asks and gives up in time; `None`: another program than OpenSSH is configured.
fn quiet_ssh(settings: &Settings) -> Option<String> {
    let told = std::env::var("GIT_SSH_COMMAND").ok().filter(|told| !told.is_empty());
    let told = told.or_else(|| settings.text("core.sshcommand").map(str::to_owned));
    if told.is_none() && std::env::var_os("GIT_SSH").is_some() {
        return None;
    }
    let told = told.unwrap_or_else(|| "ssh".to_owned());
    let program = PathBuf::from(told.split_whitespace().next()?);
    let known = program.file_name().is_some_and(|name| name == "ssh");
    // ssh takes the first value of an option: what the user has set before wins.
    known.then(|| format!("{told} -o BatchMode=yes -o ConnectTimeout=20 -o ServerAliveInterval=15"))
}

/// Understands how a fetch ended.
pub fn fetched(code: Option<i32>, stderr: &str) -> Answer {
    match code {
        Some(0) => Answer::Done,
        _ if stderr.contains("couldn't find remote ref") => Answer::NoBranch,
        _ => Answer::Refused(told(stderr)),
    }
}

/// Understands how a push ended.
pub fn pushed(code: Option<i32>, stdout: &str, stderr: &str) -> Answer {
    if code == Some(0) {
        return Answer::Done;
    }
    let Some(line) = stdout.lines().find(|line| line.starts_with('!')) else {
        return Answer::Refused(told(stderr));
    };
    let why = line.rsplit('\t').next().unwrap_or(line);
    if ["(stale info)", "(fetch first)", "(non-fast-forward)"].iter().any(|moved| why.contains(moved)) {
        return Answer::Moved;
    }
    // What the remote's own rules say stands in the lines of its hooks.
    let hooks: Vec<&str> = stderr.lines().filter_map(|line| line.strip_prefix("remote: ")).collect();
    let why = why.trim_start_matches("[remote rejected] ").trim_matches(['(', ')']);
    Answer::Refused(one_line(&[&[why][..], &hooks].concat().join("; "), 300))
}

/// Returns what went wrong in one line: what git calls fatal or an error, else its first words.
fn told(stderr: &str) -> String {
    let bad = |line: &&str| line.starts_with("fatal: ") || line.starts_with("error: ");
    // ssh and others speak before git does, and know more.
    let before: Vec<&str> =
        stderr.lines().take_while(|line| !bad(line)).filter(|line| !line.is_empty()).collect();
    let first = stderr.lines().find(bad).map(|line| line.split_once(": ").map_or(line, |(_, said)| said));
    let all: Vec<&str> = before.into_iter().chain(first).collect();
    if all.is_empty() { "git says no reason".to_owned() } else { one_line(&all.join("; "), 300) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remembering_ref_is_the_one_that_git_would_write() {
        let map = |specs: &[&str]| mapped(specs.iter().copied(), "refs/heads/main");
        let usual = "+refs/heads/*:refs/remotes/origin/*";
        assert_eq!(map(&[usual]).as_deref(), Some("refs/remotes/origin/main"));
        assert_eq!(map(&["refs/heads/main:refs/remotes/up/trunk"]).as_deref(), Some("refs/remotes/up/trunk"));
        assert_eq!(map(&["+refs/heads/dev:refs/remotes/o/dev", ""]), None);
        assert_eq!(map(&[usual, "^refs/heads/main"]), None);
        assert_eq!(map(&["+refs/*:refs/*"]).as_deref(), Some("refs/heads/main"));
    }

    #[test]
    fn answers_are_understood() {
        assert_eq!(fetched(Some(0), ""), Answer::Done);
        assert_eq!(fetched(Some(128), "fatal: couldn't find remote ref refs/heads/x"), Answer::NoBranch);
        let far =
            "ssh: Could not resolve hostname far\nfatal: Could not read from remote repository.\n\nPlease";
        let said = "ssh: Could not resolve hostname far; Could not read from remote repository.";
        assert_eq!(fetched(Some(128), far), Answer::Refused(said.to_owned()));
        assert_eq!(fetched(None, ""), Answer::Refused("git says no reason".to_owned()));
        let stale = "To /r\n!\tabc:refs/heads/main\t[rejected] (stale info)\nDone\n";
        assert_eq!(pushed(Some(1), stale, ""), Answer::Moved);
        let hook = "To /r\n!\tabc:refs/heads/main\t[remote rejected] (pre-receive hook declined)\nDone\n";
        let said = "pre-receive hook declined; no pushes on Friday".to_owned();
        assert_eq!(pushed(Some(1), hook, "remote: no pushes on Friday\nerror: x"), Answer::Refused(said));
    }
}
