//! A target and its upstream: what others have landed there comes here before a landing, and goes there after it.
//!
//! ```text
//!  fetch (no lock) ─▶ even, ahead: nothing to do
//!                  ├▶ behind: the target follows, by the way of a landing, under the landing lock
//!                  └▶ diverged: refused, nothing moved
//!  land … ─▶ push (no lock): from exactly what was seen there, forward only
//! ```
//!
//! Invariants: the landing lock is never held while another machine is waited for; a target only moves forward, under that
//! lock, and what is fetched is no landing: no task, no intent, nothing to settle after a kill; the remote's branch only moves
//! forward, from the commit that was seen there, and the target is never rewritten to make it so.

use std::time::Duration;

use super::publish::{Outcome, Way, settle_held};
use super::report::LeftOut;
use super::{LandError, turn};
use crate::git::command::Handed;
use crate::git::remote::{self, Answer, Upstream};
use crate::git::{GitError, Repo};
use crate::model::observer::Observer;
use crate::model::{Clock, Holder, Oid};
use crate::process::tool::{self, Tool};
use crate::store::{Journal, Layout};

/// How often a target that moves meanwhile is looked at again.
const ROUNDS: u32 = 5;

/// How long a remote may take to answer a fetch or a push.
pub const LIMIT: Duration = Duration::from_secs(300);

/// Why a remote was not reached, or refused.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// It took too long.
    #[error("`{remote}` took longer than {}", crate::model::text::duration(*.limit))]
    Late {
        /// The remote.
        remote: String,
        /// The time limit.
        limit: Duration,
    },
    /// Its branch has moved since it was seen.
    #[error("`{branch}` of `{remote}` has moved meanwhile")]
    Moved {
        /// The remote.
        remote: String,
        /// The branch there, short.
        branch: String,
    },
    /// Its branch has commits that the target lacks, and the other way round.
    #[error("`{target}` is at {}, `{branch}` of `{remote}` at {}: neither has all of the other", .ours.short(), .theirs.short())]
    Diverged {
        /// The target, short.
        target: String,
        /// Its commit.
        ours: Oid,
        /// The remote.
        remote: String,
        /// The branch there, short.
        branch: String,
        /// Its commit.
        theirs: Oid,
    },
    /// git would move the branch here after a push, wherever that is by then.
    #[error("`remote.{remote}.fetch` writes over branches here, and so would a push")]
    Mirrors {
        /// The remote.
        remote: String,
    },
    /// git, or the remote, refused.
    #[error("{said}")]
    Refused {
        /// What was said, in one line.
        said: String,
    },
    /// git could not be run to its end.
    #[error("git cannot be run")]
    NotRun(#[source] std::io::Error),
    /// git.
    #[error(transparent)]
    Git(#[from] GitError),
}

/// How a target stands to its upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The target has everything that is there.
    Ahead,
    /// It can follow.
    Behind,
}

/// Fetches the branch and returns the remote's commit; `None`: the remote has no such branch. No branch of ours moves.
pub fn fetch(repo: &Repo, upstream: &Upstream, limit: Duration) -> Result<Option<Oid>, RemoteError> {
    let said = run(&upstream.fetch(repo), upstream, limit)?;
    match remote::fetched(said.code, &said.stderr) {
        Answer::Done => Ok(upstream.seen(repo)?),
        Answer::NoBranch => Ok(None),
        Answer::Moved => Err(moved(upstream)),
        Answer::Refused(said) => Err(RemoteError::Refused { said }),
    }
}

/// Pushes `new`, a commit of `target`, from `seen`, the remote's own one.
pub fn push(
    repo: &Repo,
    upstream: &Upstream,
    target: &str,
    (seen, new): (Option<&Oid>, &Oid),
    limit: Duration,
) -> Result<(), RemoteError> {
    if upstream.mirrors {
        return Err(RemoteError::Mirrors { remote: upstream.remote.clone() });
    }
    if let Some(seen) = seen {
        // Whatever else moves it, a lease alone would let it go backwards.
        if standing(repo, upstream, target, new, seen)? == Standing::Behind {
            return Err(moved(upstream));
        }
    }
    let said = run(&upstream.push(repo, new, seen), upstream, limit)?;
    match remote::pushed(said.code, &said.stdout, &said.stderr) {
        Answer::Done => Ok(upstream.remember(repo, new)?),
        Answer::Moved | Answer::NoBranch => Err(moved(upstream)),
        Answer::Refused(said) => Err(RemoteError::Refused { said }),
    }
}

fn moved(upstream: &Upstream) -> RemoteError {
    RemoteError::Moved { remote: upstream.remote.clone(), branch: upstream.short().to_owned() }
}

/// Tells how `target`, at `ours`, stands to `theirs`; diverged ones are an error, for nothing can be done about them here.
pub fn standing(
    repo: &Repo,
    upstream: &Upstream,
    target: &str,
    ours: &Oid,
    theirs: &Oid,
) -> Result<Standing, RemoteError> {
    if repo.is_ancestor(theirs, ours)? {
        return Ok(Standing::Ahead);
    }
    if repo.is_ancestor(ours, theirs)? {
        return Ok(Standing::Behind);
    }
    Err(RemoteError::Diverged {
        target: target.to_owned(),
        ours: ours.clone(),
        remote: upstream.remote.clone(),
        branch: upstream.short().to_owned(),
        theirs: theirs.clone(),
    })
}

/// A target that follows its upstream.
#[derive(Clone, Copy)]
pub struct Follower<'a> {
    /// The repository.
    pub repo: &'a Repo,
    /// Its state folder.
    pub layout: &'a Layout,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Who hears of the progress.
    pub observer: &'a dyn Observer,
    /// The branch that follows, short.
    pub target: &'a str,
    /// Where it comes from.
    pub upstream: &'a Upstream,
    /// What it is for, as on a command line, for others who wait.
    pub command: &'a str,
    /// How long a landing is waited for.
    pub patience: Duration,
}

impl std::fmt::Debug for Follower<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").field("target", &self.target).field("upstream", &self.upstream).finish()
    }
}

impl Follower<'_> {
    /// Moves the target forward to `theirs` if it is behind; returns where it was and where it is.
    pub fn follow(&self, journal: &mut Journal, theirs: &Oid) -> Result<(Oid, Oid), LandError> {
        let Self { repo, target, .. } = *self;
        if let Some(ours) = repo.branch_tip(target)?
            && standing(repo, self.upstream, target, &ours, theirs)? == Standing::Ahead
        {
            return Ok((ours.clone(), ours));
        }
        let holder =
            Holder { target: Some(target.to_owned()), ..Holder::this(self.command, self.clock.now()) };
        let _held = turn::wait(self.layout, self.observer, self.patience, &holder)?;
        settle_held(repo, journal, self.clock.now(), "the landing was interrupted")?;
        for _ in 0..ROUNDS {
            let gone = || LandError::NoTarget { target: target.to_owned() };
            let ours = repo.branch_tip(target)?.ok_or_else(gone)?;
            if standing(repo, self.upstream, target, &ours, theirs)? == Standing::Ahead {
                return Ok((ours.clone(), ours));
            }
            let way = Way::to(repo, target)?;
            if let Some(why) = way.obstacle(repo, &ours, theirs)? {
                return Err(self.stays(why));
            }
            self.observer.step(&format!("moving `{target}` to {}, which was fetched", theirs.short()));
            match way.advance(repo, self.observer, target, (&ours, theirs))? {
                Outcome::Published => return Ok((ours, theirs.clone())),
                Outcome::Moved => {}
                Outcome::Blocked(why) => return Err(self.stays(why)),
            }
        }
        Err(self.stays(LeftOut::Outrun { times: ROUNDS }))
    }

    fn stays(&self, why: LeftOut) -> LandError {
        LandError::Stays { target: self.target.to_owned(), why }
    }
}

/// What git said.
struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn run(call: &Handed, upstream: &Upstream, limit: Duration) -> Result<Said, RemoteError> {
    use crate::model::verdict::Exit;
    let tool = Tool {
        argv: &call.argv,
        folder: &call.folder,
        env: &call.env,
        without: &call.without,
        timeout: limit,
    };
    let said = tool::run(&tool).map_err(RemoteError::NotRun)?;
    if said.timed_out {
        return Err(RemoteError::Late { remote: upstream.remote.clone(), limit });
    }
    if let Some(error) = said.end.error {
        return Err(RemoteError::NotRun(std::io::Error::other(error)));
    }
    let code = match said.end.exit {
        Exit::Code(code) => Some(code),
        _ => None,
    };
    Ok(Said { code, stdout: said.stdout, stderr: said.stderr })
}
