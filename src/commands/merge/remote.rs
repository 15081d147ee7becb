//! `wt merge` and other machines: what is fetched before a landing, and pushed after it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::advice;
use super::{Args, How};
use crate::commands::context::Context;
use crate::error::{self, CommandError, During as _};
use crate::git::remote::Upstream;
use crate::land::remote::{self, Follower, LIMIT, RemoteError, Standing};
use crate::land::undo::{self, Pushed};
use crate::land::{LandError, Mode};
use crate::model::Oid;
use crate::model::observer::Observer as _;
use crate::model::view::RemoteView;
use crate::ui::message;

/// How a remote is named.
const NAME_IT: &str = "name one with `git remote add origin URL`";

/// How long a remote may take; tests have less patience.
fn limit() -> Duration {
    let told = std::env::var("WT_TEST_REMOTE_LIMIT").ok().and_then(|seconds| seconds.parse().ok());
    told.map_or(LIMIT, Duration::from_secs)
}

/// Whether something is done, and who wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// Nobody does.
    No,
    /// The configuration: it is done where it can be.
    Setting,
    /// The command line: it is done, or the command refuses.
    Flag,
}

impl Wish {
    /// Returns the wish of two flags, of which one at most is set, and a setting.
    pub(super) fn of([yes, no]: [bool; 2], setting: bool) -> Self {
        match (yes, no) {
            (true, _) => Self::Flag,
            (_, false) if setting => Self::Setting,
            _ => Self::No,
        }
    }
}

/// What is known of the upstreams of all targets.
#[derive(Debug, Default)]
pub(super) struct Fetched {
    of: BTreeMap<String, Known>,
    /// Whether any target was moved.
    pub(super) moved: bool,
}

#[derive(Debug)]
struct Known {
    seen: Seen,
    view: RemoteView,
}

/// What was seen at a remote just now.
#[derive(Debug, Clone)]
enum Seen {
    /// Nobody looked.
    Not,
    /// It has no such branch.
    NoBranch,
    /// The branch is there.
    At(Oid),
}

impl Fetched {
    /// Returns a refusal that comes after targets were moved.
    pub(super) fn behind(&self, mut refusal: CommandError) -> CommandError {
        for (target, known) in self.of.iter().filter(|(_, known)| known.view.from != known.view.to) {
            let to = known.view.to.as_ref().map(Oid::short).unwrap_or_default();
            refusal.causes.push(format!("`{target}` was moved forward to {to}, which was fetched"));
        }
        refusal
    }

    /// Returns what is told of a target.
    pub(super) fn view(&self, target: &str) -> Option<RemoteView> {
        self.of.get(target).map(|known| known.view.clone())
    }
}

/// Fetches all targets and moves those that are behind; refused, with nothing moved, where one cannot be reached or has
/// diverged.
pub(super) fn fetch(
    context: &mut Context,
    args: &Args,
    how: &How<'_>,
    targets: &[&str],
) -> Result<Fetched, CommandError> {
    let wish = args.fetch(context.settings().merge.fetch);
    let mut fetched = Fetched::default();
    if wish == Wish::No {
        return Ok(fetched);
    }
    let mut behind = Vec::new();
    for target in targets {
        let Some(upstream) = upstream(context, target)? else {
            let none = no_remote(target);
            if wish == Wish::Flag {
                return Err(CommandError::refused(format!("{none}; nothing was landed")).hint(NAME_IT));
            }
            message::warning(&format!("nothing is fetched: {none}"));
            let view = RemoteView { error: Some(none), ..RemoteView::default() };
            fetched.of.insert((*target).to_owned(), Known { seen: Seen::Not, view });
            continue;
        };
        let mut view = about(&upstream);
        let ours = context.repo().branch_tip(target).during(|| "git cannot be asked".to_owned())?;
        view.from.clone_from(&ours);
        let mut seen = Seen::Not;
        if args.mode() == Mode::Real {
            context.progress().step(&format!("fetching `{}` of `{}`", upstream.short(), upstream.remote));
            let theirs = remote::fetch(context.repo(), &upstream, limit())
                .map_err(|cause| unreachable(&upstream, &cause))?;
            if let (Some(ours), Some(theirs)) = (&ours, &theirs) {
                let standing = remote::standing(context.repo(), &upstream, target, ours, theirs);
                if standing.map_err(|cause| apart(context, target, &upstream, &cause))? == Standing::Behind {
                    behind.push(((*target).to_owned(), upstream.clone(), theirs.clone()));
                }
            }
            view.to = ours;
            seen = theirs.map_or(Seen::NoBranch, Seen::At);
        }
        fetched.of.insert((*target).to_owned(), Known { seen, view });
    }
    for (target, upstream, theirs) in behind {
        let (from, to) = follow(context, how, &target, &upstream, &theirs)?;
        fetched.moved |= from != to;
        if let Some(known) = fetched.of.get_mut(&target) {
            (known.view.from, known.view.to) = (Some(from), Some(to));
        }
    }
    Ok(fetched)
}

fn follow(
    context: &mut Context,
    how: &How<'_>,
    target: &str,
    upstream: &Upstream,
    theirs: &Oid,
) -> Result<(Oid, Oid), CommandError> {
    let progress = context.progress();
    let (site, journal) = context.parts();
    let follower = Follower {
        repo: site.repo,
        layout: site.layout,
        clock: site.clock,
        observer: &progress,
        target,
        upstream,
        command: how.command,
        patience: how.patience,
    };
    let moved = follower.follow(journal, theirs);
    drop(progress);
    moved.map_err(|cause| match cause {
        LandError::Remote(cause) => apart(context, target, upstream, &cause),
        cause => advice::refusal(&cause),
    })
}

/// Returns the branches that tasks were meant for and that a push of everything has something to push of, whether anything
/// lands on them or not: what could not be pushed before.
pub(super) fn unpushed(context: &mut Context, args: &Args) -> Result<BTreeSet<String>, CommandError> {
    if !args.all || args.into.is_some() || args.push(context.settings().merge.push) == Wish::No {
        return Ok(BTreeSet::new());
    }
    let mut targets: BTreeSet<String> =
        context.roster()?.tasks().map(|task| task.spec.target.clone()).collect();
    targets.extend(context.target());
    let repo = context.repo();
    // What cannot be read has nothing to push.
    targets.retain(|target| {
        let seen =
            Upstream::of(repo, target).ok().flatten().map(|upstream| upstream.seen(repo).ok().flatten());
        seen.is_some_and(|seen| repo.branch_tip(target).is_ok_and(|tip| tip.is_some() && tip != seen))
    });
    Ok(targets)
}

/// Refuses before anything is landed, where the command line asks for a push that has nowhere to go.
pub(super) fn require_upstreams(
    context: &Context,
    args: &Args,
    targets: &[&str],
) -> Result<(), CommandError> {
    if args.push(false) != Wish::Flag {
        return Ok(());
    }
    for target in targets {
        if upstream(context, target)?.is_none() {
            let none = no_remote(target);
            return Err(CommandError::refused(format!("{none} to push to; nothing was landed")).hint(NAME_IT));
        }
    }
    Ok(())
}

/// A target that is not at its upstream.
#[derive(Debug)]
pub(super) struct NotPushed {
    message: String,
    cause: RemoteError,
    hints: Vec<String>,
}

/// Pushes a target after its landing; returns what is told of it, and what went wrong.
pub(super) fn push(
    context: &mut Context,
    args: &Args,
    target: &str,
    fetched: &Fetched,
) -> (Option<RemoteView>, Option<NotPushed>) {
    if args.push(context.settings().merge.push) == Wish::No {
        return (None, None);
    }
    let mut view = RemoteView::default();
    let mut remote = None;
    let Err(cause) = attempt(context, args, target, fetched, &mut view, &mut remote) else {
        return (Some(view), None);
    };
    view.error = Some(cause.to_string());
    let hints = match (&cause, &remote) {
        (RemoteError::Moved { .. }, _) => {
            let again = || "fetch it and push again with `wt merge --all --fetch --push`".to_owned();
            vec![taking_back(context, target, None).unwrap_or_else(again)]
        }
        (RemoteError::Mirrors { remote }, _) => vec![format!("push it with `git push {remote} {target}`")],
        (RemoteError::Diverged { .. }, Some(upstream)) => joining(context, target, upstream),
        _ => vec!["push again with `wt merge --all --push`".to_owned()],
    };
    let whither = view.remote.as_ref().map(|remote| format!(" to `{remote}`")).unwrap_or_default();
    let message = format!("`{target}` is not pushed{whither}; what has landed stays landed");
    (Some(view), Some(NotPushed { message, cause, hints }))
}

fn attempt(
    context: &Context,
    args: &Args,
    target: &str,
    fetched: &Fetched,
    view: &mut RemoteView,
    found: &mut Option<Upstream>,
) -> Result<(), RemoteError> {
    let repo = context.repo();
    let Some(upstream) = Upstream::of(repo, target)? else {
        let none = no_remote(target);
        message::warning(&format!("nothing is pushed: {none}"));
        view.error = Some(none);
        return Ok(());
    };
    let upstream = found.insert(upstream);
    *view = about(upstream);
    let seen = match fetched.of.get(target).map(|known| &known.seen) {
        Some(Seen::At(seen)) => Some(seen.clone()),
        Some(Seen::NoBranch) => None,
        Some(Seen::Not) | None => upstream.seen(repo)?,
    };
    view.from.clone_from(&seen);
    if args.mode() == Mode::DryRun {
        return Ok(());
    }
    let Some(tip) = repo.branch_tip(target)? else { return Ok(()) };
    if seen.as_ref() != Some(&tip) {
        let progress = context.progress();
        progress.step(&format!("pushing `{target}` to `{}`", upstream.remote));
        remote::push(repo, upstream, target, (seen.as_ref(), &tip), limit())?;
    }
    view.to = Some(tip);
    Ok(())
}

/// Joins what the landings came to with what could not be pushed: a push that fails after something has landed is a part of
/// several that failed, as a task that did not land would be.
pub(super) fn verdict(
    landed: Result<u8, CommandError>,
    any_landed: bool,
    failed: Vec<NotPushed>,
) -> Result<u8, CommandError> {
    let mut failed = failed.into_iter();
    let Some(first) = failed.next() else { return landed };
    let mut said = match landed {
        Err(mut said) => {
            said.causes.push(format!("{}: {}", first.message, first.cause));
            said
        }
        Ok(_) => CommandError::caused(first.message, &first.cause),
    };
    said.hints.extend(first.hints);
    for more in failed {
        said.causes.push(format!("{}: {}", more.message, more.cause));
        said.hints.extend(more.hints);
    }
    if any_landed && said.code == error::REFUSED {
        said.code = error::SOME_FAILED;
    }
    Err(said)
}

fn upstream(context: &Context, target: &str) -> Result<Option<Upstream>, CommandError> {
    Upstream::of(context.repo(), target).during(|| "git's configuration cannot be read".to_owned())
}

fn no_remote(target: &str) -> String {
    format!("`{target}` has no remote")
}

fn about(upstream: &Upstream) -> RemoteView {
    let (remote, name) = (Some(upstream.remote.clone()), Some(upstream.branch.clone()));
    RemoteView { remote, name, ..RemoteView::default() }
}

fn unreachable(upstream: &Upstream, cause: &RemoteError) -> CommandError {
    let what = format!("`{}` cannot be fetched; nothing was landed", upstream.remote);
    CommandError::caused(what, cause).hint("land without it: `wt merge --all --no-fetch`")
}

/// Returns the refusal of a target that its upstream does not follow from.
fn apart(context: &mut Context, target: &str, upstream: &Upstream, cause: &RemoteError) -> CommandError {
    let mut refusal = CommandError::caused("nothing was landed, and nothing moved", cause);
    if let RemoteError::Diverged { theirs, .. } = cause {
        refusal.hints = joining(context, target, upstream);
        refusal.hints.extend(taking_back(context, target, Some(theirs)));
    }
    refusal
}

/// Returns how the last landing goes on top of what others have pushed meanwhile, if it can still be taken back, and, where
/// it is known what they pushed, if it is all that is in the way.
fn taking_back(context: &mut Context, target: &str, theirs: Option<&Oid>) -> Option<String> {
    let (site, journal) = context.parts();
    let plan = undo::plan(&site, journal, Some(target), Pushed::Stays).ok()?;
    let alone = theirs.is_none_or(|theirs| site.repo.is_ancestor(&plan.to, theirs).unwrap_or(false));
    alone.then(|| {
        format!("land it on top of theirs: `wt undo --into {target}`, then `wt merge --all --fetch --push`")
    })
}

/// Returns how a person brings a target and its upstream together, forward only.
fn joining(context: &Context, target: &str, upstream: &Upstream) -> Vec<String> {
    let theirs = upstream.tracked().unwrap_or(&upstream.tracking);
    let see = format!("see both sides with `git log --oneline --left-right {target}...{theirs}`");
    let holders = crate::git::refs::holders(context.repo(), target).unwrap_or_default();
    let join = holders.first().map(|holder| {
        format!("join them with `git -C {} merge {theirs}`, then land again", holder.path.display())
    });
    std::iter::once(see).chain(join).collect()
}
