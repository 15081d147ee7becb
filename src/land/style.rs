//! What comes onto the target of a task: its commits, one commit for all of it, or its commits and a merge commit.
//!
//! ```text
//!  replayed ─ rebase ───────▶ as it is
//!           ├ squash ───────▶ one commit with the tree of the last one
//!           └ merge-commit ─▶ a merge of the tip and the branch as it is, with that tree
//! ```
//!
//! Invariant: this is the only place that gives a landing its form, whoever replayed or resolved it; a commit that is made
//! or written anew here is signed if the user signs, and what stands on the target already is never touched.

use std::cell::RefCell;
use std::collections::HashMap;

use fs_err as fs;

use super::message::{About, Kind, Message, Told, title, trailers};
use super::one::Ready;
use super::replay::{Raw, Replay, replay};
use super::report::{LeftOut, Mode};
use super::{LandError, Landing};
use crate::git::history::{self, Account};
use crate::git::made::{self, Draft, Signer};
use crate::git::replay::{Pending, Replayer};
use crate::git::{GitError, Repo};
use crate::model::settings::MergeStyle;
use crate::model::text::one_line;
use crate::model::{Oid, Task};
use crate::workspace::Site;

/// The form of a landing.
#[derive(Debug)]
pub(super) struct Style<'a> {
    landing: &'a Landing<'a>,
    message: Message,
    /// Who signs; nobody where it is only told.
    signer: Option<Signer>,
    /// What was made, by what it was made of: a chain that begins again asks for no signature twice.
    made: RefCell<HashMap<Vec<Oid>, Oid>>,
}

impl<'a> Style<'a> {
    /// Makes sure of everything that could keep commits from being made.
    pub(super) fn of(landing: &'a Landing<'a>) -> Result<Self, LandError> {
        let message = Message::new(&landing.site.settings.merge.message)?;
        let signer = match landing.mode {
            Mode::Real => Signer::of(landing.site.repo)?,
            Mode::DryRun => None,
        };
        if landing.style != MergeStyle::Rebase || signer.is_some() {
            landing.site.repo.require_identity()?;
        }
        Ok(Self { landing, message, signer, made: RefCell::default() })
    }

    /// Replays what a task has beyond `old`, and gives it its form.
    pub(super) fn replay(
        &self,
        replayer: &mut Replayer<'_>,
        task: &Task,
        ready: &Ready<'_>,
        old: &Oid,
    ) -> Result<Replay, LandError> {
        let raw = replay(self.landing, replayer, ready.workspace, old, &ready.head)?;
        self.shape(replayer, task, ready, old, raw)
    }

    /// Gives what was replayed onto `old` its form.
    pub(super) fn shape(
        &self,
        replayer: &mut Replayer<'_>,
        task: &Task,
        ready: &Ready<'_>,
        old: &Oid,
        raw: Raw,
    ) -> Result<Replay, LandError> {
        let repo = self.landing.site.repo;
        let (tree, line, own) = match raw {
            Raw::Replayed(Replay::Clean { tip, commits, own }) => {
                (repo.tree_of(&tip)?, Some((tip, commits)), own)
            }
            Raw::Whole { tree, own } => (tree, None, own),
            Raw::Replayed(decided) => return Ok(decided),
        };
        let nothing = line.as_ref().is_some_and(|(_, commits)| *commits == 0);
        let (tip, commits) = match (self.landing.style, line) {
            (MergeStyle::Rebase, Some((tip, commits))) => (self.signed(&ready.head, tip, commits)?, commits),
            _ if nothing || tree == repo.tree_of(old)? => (old.clone(), 0),
            // One commit says itself what it does.
            (MergeStyle::Squash, Some((tip, 1))) if !self.message.is_own() => {
                (self.signed(&ready.head, tip, 1)?, 1)
            }
            (MergeStyle::MergeCommit, _) => {
                let parents = [old, &ready.head];
                match self.one(task, ready, &tree, &parents, &own, Kind::MergeCommit)? {
                    Ok(made) => (made, own.iter().filter(|commit| !commit.is_merge()).count()),
                    Err(why) => return Ok(Replay::Impossible(why)),
                }
            }
            (MergeStyle::Rebase | MergeStyle::Squash, _) => {
                match self.one(task, ready, &tree, &[old], &own, Kind::Squash)? {
                    Ok(made) => (made, 1),
                    Err(why) => return Ok(Replay::Impossible(why)),
                }
            }
        };
        if tip != *old
            && let Some(reason) = (self.landing.config_fault)(old, &tip)
        {
            return Ok(Replay::Impossible(LeftOut::Configuration { reason: one_line(&reason, 200) }));
        }
        replayer.has_brought(own.iter().map(|commit| commit.oid.clone()), &tip);
        Ok(Replay::Clean { tip, commits, own })
    }

    /// Makes the one commit.
    fn one(
        &self,
        task: &Task,
        ready: &Ready<'_>,
        tree: &Oid,
        parents: &[&Oid],
        own: &[Pending],
        style: Kind,
    ) -> Result<Result<Oid, LeftOut>, GitError> {
        let Landing { site: &Site { repo, layout, .. }, target, .. } = *self.landing;
        let of: Vec<Oid> = [&ready.head, tree].into_iter().chain(parents.iter().copied()).cloned().collect();
        if let Some(made) = self.made.borrow().get(&of) {
            return Ok(Ok(made.clone()));
        }
        let own: Vec<Oid> = own.iter().filter(|commit| !commit.is_merge()).map(|c| c.oid.clone()).collect();
        let accounts = match history::accounts(repo, &own) {
            Ok(accounts) => accounts,
            Err(cause) => return LeftOut::unreadable(cause).map(Err),
        };
        let last = accounts.last().filter(|_| style == Kind::Squash);
        let prompt = fs::read(layout.task(&task.id).prompt()).unwrap_or_default();
        let prompt = String::from_utf8_lossy(&prompt).trim().to_owned();
        let about = About {
            name: task.name().to_string(),
            branch: ready.workspace.branch.clone(),
            target: target.to_owned(),
            style,
            title: title(&prompt, &accounts, task.name().as_str()),
            prompt,
            commits: accounts.iter().map(Told::from).collect(),
            trailers: trailers(&accounts, last),
        };
        let message = match self.message.of(&about) {
            Ok(message) => message,
            Err(cause) => return Ok(Err(LeftOut::Message { reason: cause.to_string() })),
        };
        let author = last.map(|account: &Account| &account.author);
        let draft = Draft { tree, parents, author, message: &message };
        let made = made::commit(repo, &draft, self.signer.as_ref())?;
        self.made.borrow_mut().insert(of, made.clone());
        Ok(Ok(made))
    }

    /// Signs the last `commits` commits up to `tip`, but for those that are the branch's own.
    fn signed(&self, head: &Oid, tip: Oid, commits: usize) -> Result<Oid, GitError> {
        let Some(signer) = &self.signer else { return Ok(tip) };
        let repo = self.landing.site.repo;
        let mut anew = Vec::new();
        let mut at = tip;
        while anew.len() < commits && !repo.is_ancestor(&at, head)? {
            let parent = only_parent(repo, &at)?;
            anew.push(std::mem::replace(&mut at, parent));
        }
        for commit in anew.iter().rev() {
            let of = vec![commit.clone(), at];
            let known = self.made.borrow().get(&of).cloned();
            at = match known {
                Some(made) => made,
                None => made::sign(repo, &of[0], &of[1], signer)?,
            };
            self.made.borrow_mut().insert(of, at.clone());
        }
        Ok(at)
    }
}

fn only_parent(repo: &Repo, commit: &Oid) -> Result<Oid, GitError> {
    let parent = history::only_parent(repo, commit)?;
    Ok(parent.expect("a commit that was replayed stands on the one before"))
}
