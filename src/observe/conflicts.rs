//! `wt conflicts`: which live branches do not merge with which, their uncommitted and untracked files included.
//!
//! Each task stands for a tree: that of its branch, or of its files as they are now where something is not committed and the
//! branch is checked out, in the middle of nothing. Every two with the same target are merged in memory, and each with the
//! target. What was merged before is known by commits, trees and all that a merge depends on ([`Merged`]); so is the tree of a
//! workspace that is as it was. Such a tree is only a name: where it must be read after all, it is made again.
//!
//! What a branch has from a parent that came onto the other side as other commits (squashed) is not merged again: a landing
//! would not bring it either.
//!
//! Invariant: a workspace is only read, and no ref, index or object of the repository is written; what is found is kept in
//! [`Clashes`], for `wt status` and for telling the tasks.

mod order;
mod stand;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use self::stand::{Memories, Sides, Stand, Standing};
use super::look::brought_base;
use crate::git::pairs::{self, Comparer, Side, Verdict};
use crate::git::scratch::Scratch;
use crate::git::{GitError, Repo};
use crate::model::event::ConflictedPath;
use crate::model::observer::Observer;
use crate::model::text::count;
use crate::model::view::conflicts::{ClashView, ComparedView};
use crate::model::{Oid, Roster, TaskId};
use crate::store::Layout;
use crate::store::clashes::{Clash, Clashes};
use crate::store::merged::{self, Merged};

/// How long one process of git may take.
const LIMIT: Duration = Duration::from_secs(120);
/// Fewer merges by git than this are not worth a word.
const MANY: usize = 32;

/// What a look at all live branches found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// The branches that were compared, in the proposed order of landing.
    pub tasks: Vec<ComparedView>,
    /// The pairs that do not merge, each once; the earlier one in the proposed order stands first.
    pub pairs: Vec<ClashView>,
    /// The pairs that git could not merge at all, or not in time.
    pub unknown: Vec<[String; 2]>,
    /// How many pairs were merged in memory; the others were known.
    pub merged: usize,
    /// The same pairs by their tasks, as they were saved.
    pub clashes: Clashes,
}

/// Merges every two live branches with the same target in memory, and each with its target, and saves which pairs do not
/// merge. Tasks that change nothing are left out. `now` is a time before the look.
pub fn look(
    repo: &Repo,
    layout: &Layout,
    roster: &Roster,
    now: Timestamp,
    observer: &dyn Observer,
) -> Result<Found, GitError> {
    let scratch = Scratch::beside(repo)?;
    let comparer = Comparer::new(repo, &scratch)?;
    let known = Merged::load(layout);
    let landings = roster.landings();
    let fresh = Merged::default();
    let mut asking = Asking { repo, landings, comparer, known, fresh, merged: 0, unread: false, observer };
    let seen = stand::look(repo, layout, roster, now)?;
    let (mut standing, mut found) = all(repo, &scratch, &seen, Memories::Trusted, &mut asking)?;
    if asking.unread {
        (asking.fresh, asking.merged, asking.unread) = (Merged::default(), 0, false);
        (standing, found) = all(repo, &scratch, &seen, Memories::Unused, &mut asking)?;
    }
    let Asking { known, fresh, merged, .. } = asking;
    if fresh != known && layout.root().exists() {
        // Only a memory.
        drop(fresh.save(layout));
    }
    let order = order::order(roster, &standing, &found.pairs);
    let clashes = remember(layout, now, &standing, &found.pairs);
    let place: BTreeMap<usize, usize> = order.iter().enumerate().map(|(place, n)| (*n, place)).collect();
    let name = |n: usize| standing[n].task.name().to_string();
    let names = |a: usize, b: usize| {
        let (first, second) = if place[&a] <= place[&b] { (a, b) } else { (b, a) };
        [name(first), name(second)]
    };
    let view = |n: &usize| {
        let stands = &standing[*n];
        ComparedView {
            name: name(*n),
            state: super::status::words(stands.task, roster, layout).0,
            target: stands.task.spec.target.clone(),
            place: place[n] + 1,
            uncommitted: stands.uncommitted,
            files_changed: stands.files,
            target_conflicts: found.with_target.get(n).cloned().unwrap_or_default(),
            skipped: stands.sides.as_ref().err().cloned(),
            commits_only: stands.commits_only.clone(),
        }
    };
    let mut pairs: Vec<&Pair> = found.pairs.iter().collect();
    pairs.sort_by_key(|pair| (place[&pair.a].min(place[&pair.b]), place[&pair.a].max(place[&pair.b])));
    let clash = |pair: &Pair| ClashView {
        tasks: names(pair.a, pair.b),
        files: pair.files.clone(),
        uncommitted: pair.uncommitted,
    };
    Ok(Found {
        tasks: order.iter().map(view).collect(),
        pairs: pairs.into_iter().map(clash).collect(),
        unknown: found.unknown.iter().map(|(a, b)| names(*a, *b)).collect(),
        merged,
        clashes,
    })
}

/// Makes a tree of every workspace that was seen, and compares them.
fn all<'a>(
    repo: &Repo,
    scratch: &Scratch,
    seen: &[stand::Seen<'a>],
    memories: Memories,
    asking: &mut Asking<'_>,
) -> Result<(Vec<Standing<'a>>, Compared), GitError> {
    let standing = stand::all(scratch, seen, memories, asking)?;
    let mut found = Compared::default();
    for group in by_target(&standing) {
        compare(repo, &group, asking, &mut found)?;
    }
    Ok((standing, found))
}

/// Two tasks that do not merge, by their numbers.
#[derive(Debug)]
struct Pair {
    a: usize,
    b: usize,
    files: Vec<ConflictedPath>,
    uncommitted: bool,
}

/// What comparing came to, by the numbers of the tasks.
#[derive(Debug, Default)]
struct Compared {
    pairs: Vec<Pair>,
    with_target: BTreeMap<usize, Vec<ConflictedPath>>,
    unknown: Vec<(usize, usize)>,
}

/// The tasks that are to be compared with each other, with the commit of their target: number, sides, whether uncommitted.
fn by_target<'a>(standing: &'a [Standing<'_>]) -> Vec<Group<'a>> {
    let mut groups: BTreeMap<&str, Group<'a>> = BTreeMap::new();
    for (n, stands) in standing.iter().enumerate() {
        let Ok(sides) = &stands.sides else { continue };
        let target = stands.task.spec.target.as_str();
        let group = groups.entry(target).or_insert_with(|| (sides.target.clone(), Vec::new()));
        group.1.push((n, sides, stands.uncommitted));
    }
    groups.into_values().collect()
}

type Group<'a> = (Oid, Vec<(usize, &'a Sides, bool)>);

fn compare(
    repo: &Repo,
    (target, members): &Group<'_>,
    asking: &mut Asking<'_>,
    found: &mut Compared,
) -> Result<(), GitError> {
    let rules = pairs::rules(&mut asking.comparer, target)?;
    let tip = Stand::at(target, repo.tree_of(target)?);
    let mut wanted: Vec<(&Stand, &Stand)> = Vec::new();
    let mut numbers = Vec::new();
    for (i, (a, one, _)) in members.iter().enumerate() {
        wanted.push((&tip, &one.now));
        numbers.push((None, *a));
        for (b, other, _) in &members[i + 1..] {
            wanted.push((&one.now, &other.now));
            numbers.push((Some(*a), *b));
        }
    }
    let verdicts = asking.ask(rules.as_deref(), target, &wanted)?;
    let stands: BTreeMap<usize, (&Sides, bool)> =
        members.iter().map(|(n, sides, uncommitted)| (*n, (*sides, *uncommitted))).collect();
    let mut doubtful = Vec::new();
    for ((a, b), verdict) in numbers.into_iter().zip(verdicts) {
        match (a, verdict) {
            (None, verdict) => drop(found.with_target.insert(b, verdict.unwrap_or_default())),
            (Some(a), None) => found.unknown.push((a, b)),
            (Some(_), Some(files)) if files.is_empty() => {}
            (Some(a), Some(files)) => {
                if stands[&a].1 || stands[&b].1 {
                    doubtful.push(found.pairs.len());
                }
                found.pairs.push(Pair { a, b, files, uncommitted: false });
            }
        }
    }
    // Whether it is the uncommitted work, the commits alone tell.
    let alone: Vec<(&Stand, &Stand)> = doubtful
        .iter()
        .map(|n| (&stands[&found.pairs[*n].a].0.head, &stands[&found.pairs[*n].b].0.head))
        .collect();
    for (n, verdict) in doubtful.into_iter().zip(asking.ask(rules.as_deref(), target, &alone)?) {
        found.pairs[n].uncommitted = verdict.is_some_and(|files| files.is_empty());
    }
    Ok(())
}

/// Merges what is not known, and takes note of it.
struct Asking<'a> {
    repo: &'a Repo,
    /// What has landed: each task's own commit, and the one that it became.
    landings: Vec<(Oid, Oid)>,
    comparer: Comparer<'a>,
    known: Merged,
    /// What this look needed, known before or not.
    fresh: Merged,
    merged: usize,
    /// Whether a tree would have to be read of which only the name is known; what was found is not all then.
    unread: bool,
    observer: &'a dyn Observer,
}

impl Asking<'_> {
    fn ask(
        &mut self,
        rules: Option<&str>,
        attributes: &Oid,
        wanted: &[(&Stand, &Stand)],
    ) -> Result<Vec<Verdict>, GitError> {
        let key = |(a, b): &(&Stand, &Stand)| {
            Some(merged::key(rules?, (&a.commit, &a.side.tree), (&b.commit, &b.side.tree)))
        };
        let keys: Vec<Option<String>> = wanted.iter().map(key).collect();
        let known = |key: &Option<String>| self.known.verdict(key.as_deref()?).map(<[_]>::to_vec);
        let mut verdicts: Vec<Verdict> = keys.iter().map(known).collect();
        let open: Vec<usize> = (0..wanted.len()).filter(|n| verdicts[*n].is_none()).collect();
        if open.iter().any(|n| !(wanted[*n].0.read && wanted[*n].1.read)) {
            self.unread = true;
            return Ok(verdicts);
        }
        let sides: Vec<(&Side, &Side)> =
            open.iter().map(|n| (&wanted[*n].0.side, &wanted[*n].1.side)).collect();
        let observer = self.observer;
        let step = |by_git: usize| {
            if by_git >= MANY {
                observer.step(&format!("merging {} in memory", count(by_git, "pair")));
            }
        };
        self.merged += open.len();
        let told = self.comparer.merge(&sides, attributes, LIMIT, &step)?;
        for (n, verdict) in open.into_iter().zip(told) {
            verdicts[n] = verdict;
        }
        for (key, verdict) in keys.into_iter().zip(&verdicts) {
            if let (Some(key), Some(files)) = (key, verdict) {
                self.fresh.learn(key, files.clone());
            }
        }
        for ((a, b), verdict) in wanted.iter().zip(&mut verdicts) {
            if verdict.as_ref().is_some_and(|files| !files.is_empty())
                && let Some(files) = self.without_brought(rules, attributes, a, b)?
            {
                *verdict = Some(files);
            }
        }
        Ok(verdicts)
    }

    /// Merges two that do not merge once more, without what one has from a parent that is on the other side as other commits;
    /// `None`: there is nothing of that kind, or git cannot say.
    fn without_brought(
        &mut self,
        rules: Option<&str>,
        attributes: &Oid,
        a: &Stand,
        b: &Stand,
    ) -> Result<Verdict, GitError> {
        let brought = |(ours, theirs): (&'_ Stand, &'_ Stand)| {
            theirs.stacked.then(|| brought_base(self.repo, &ours.commit, &theirs.commit, &self.landings))?
        };
        let (base, ours, theirs) = match (brought((a, b)), brought((b, a))) {
            (Some(base), _) => (base, a, b),
            (None, Some(base)) => (base, b, a),
            (None, None) => return Ok(None),
        };
        let parts = [&base, &ours.commit, &ours.side.tree, &theirs.commit, &theirs.side.tree];
        let key = rules.map(|rules| merged::name([rules, "from"].into_iter().chain(parts.map(Oid::as_str))));
        let known = key.as_deref().and_then(|key| self.known.verdict(key)).map(<[_]>::to_vec);
        let verdict = match known {
            None if !(ours.read && theirs.read) => {
                self.unread = true;
                None
            }
            None => self.comparer.merge_from(&base, &ours.side, &theirs.side, attributes, LIMIT)?,
            known => known,
        };
        if let (Some(key), Some(files)) = (key, &verdict) {
            self.fresh.learn(key, files.clone());
        }
        Ok(verdict)
    }
}

/// Keeps which tasks do not merge, as far as that can be.
fn remember(layout: &Layout, now: Timestamp, standing: &[Standing<'_>], pairs: &[Pair]) -> Clashes {
    let clash = |pair: &Pair| {
        let mut tasks: [TaskId; 2] = [pair.a, pair.b].map(|n| standing[n].task.id.clone());
        tasks.sort();
        Clash { tasks, files: pair.files.clone(), since: now, told: false }
    };
    let fresh: Vec<Clash> = pairs.iter().map(clash).collect();
    let mut alone = Clashes::load(layout);
    let nothing = alone == Clashes::default() && standing.is_empty();
    let kept = (!nothing && layout.root().exists())
        .then(|| Clashes::change(layout, |known| known.replace(fresh.clone(), now)).ok());
    kept.flatten().unwrap_or_else(|| {
        alone.replace(fresh, now);
        alone
    })
}
