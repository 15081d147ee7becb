//! Pairs of commits merged in memory, many at once: which of them conflict, and in what.
//!
//! ```text
//! pair ─▶ one merge base? ─▶ walk of three trees ─▶ clean
//!           │ several, none     │ refused
//!           └───────────────────┴─▶ git merge-tree --stdin, one process for many ─▶ clean, or what conflicts
//! ```
//!
//! The walk says "clean" only where git does ([`super::walk`]), so the verdict is always git's. Invariant: every object that a
//! merge writes goes to a [`Scratch`] folder; nothing else is written.

mod rules;

use std::cell::OnceCell;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use gix::ObjectId;
use gix::revision::plumbing::merge_base;
use gix::revision::plumbing::merge_base::Flags;
use gix::revwalk;
use sha2::Sha256;

use super::cache::Cache;
use super::command::Git;
use super::replay::Answer;
use super::repo::id;
use super::scratch::Scratch;
use super::tree::entries::{Entry, Tree};
use super::{GitError, Repo, walk};
use crate::model::conflict::{ConflictKind, ConflictedPath};
use crate::model::{Oid, parallel};

pub use self::rules::{machine, rules};

/// How many pairs one process of git merges.
const MANY: usize = 64;
/// Fewer than this are not worth another process.
const FEW: usize = 8;
/// Folders in folders beyond this are not counted.
const DEEPEST: usize = 512;

/// One side of a merge.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Side {
    /// The commit that others are compared with: of a branch with uncommitted work, one that only the scratch folder has.
    pub commit: Oid,
    /// Its tree.
    pub tree: Oid,
}

/// Two commits to be merged, from a base that is named or from what git finds that they have in common.
#[derive(Debug, Clone, Copy)]
struct Question<'a> {
    base: Option<&'a Oid>,
    ours: &'a Oid,
    theirs: &'a Oid,
}

/// What does not merge; nothing where all does, `None` where git cannot say.
pub type Verdict = Option<Vec<ConflictedPath>>;

/// Compares commits, whose trees have much in common: each is read once.
pub struct Comparer<'a> {
    repo: &'a Repo,
    scratch: &'a Scratch,
    cache: Cache,
    gix: gix::Repository,
    commits: Option<gix::commitgraph::Graph>,
    /// Whether commits themselves tell what they come from: no grafts, no shallow end, no replacements.
    plain: bool,
    /// What all merges depend on; read once.
    machine: OnceCell<Option<Sha256>>,
}

impl<'a> Comparer<'a> {
    /// Begins with nothing read.
    pub fn new(repo: &'a Repo, scratch: &'a Scratch) -> Result<Self, GitError> {
        let local = repo.local();
        let replaced = local.objects.store_ref().replacements().next().is_some();
        let commits = local.commit_graph_if_enabled().ok().flatten();
        let plain = !replaced && !Cache::new(repo).is_grafted();
        let (cache, gix) = (scratch.cache()?, scratch.gix()?);
        Ok(Self { repo, scratch, cache, gix, commits, plain, machine: OnceCell::new() })
    }

    fn machine(&self) -> Result<Option<&Sha256>, GitError> {
        if self.machine.get().is_none() {
            let read = rules::read(self.repo)?;
            self.machine.get_or_init(|| read);
        }
        Ok(self.machine.get().and_then(Option::as_ref))
    }

    /// Returns how many files each side changed since the commit that it has in common with the first of the other two, its
    /// target; where there is no one such commit, since the second. `None` where a tree cannot be read here.
    pub fn changed(&mut self, sides: &[(&Side, &Oid, &Oid)]) -> Vec<Option<usize>> {
        let Self { cache, gix, commits, plain, .. } = self;
        let mut history = History::of(gix, commits.as_ref(), *plain);
        let mut count = |side: &Side, target: &Oid, began: &Oid| {
            let base = history.base(target, &side.commit).or_else(|| id(began).ok())?;
            let before = cache.commit(base)?.tree;
            differing(cache, Some(before), Some(id(&side.tree).ok()?), 0)
        };
        sides.iter().map(|(side, target, began)| count(side, target, began)).collect()
    }

    /// Merges each pair. Attributes are those of the commit `attributes`; a process of git that takes longer than `limit` has
    /// no say on its pairs. `step` is told how many pairs git is asked about.
    pub fn merge(
        &mut self,
        pairs: &[(&Side, &Side)],
        attributes: &Oid,
        limit: Duration,
        step: &dyn Fn(usize),
    ) -> Result<Vec<Verdict>, GitError> {
        let Self { repo, scratch, cache, gix, commits, plain, .. } = self;
        let mut history = History::of(gix, commits.as_ref(), *plain);
        let mut walks = |a: &Side, b: &Side| {
            let base = cache.commit(history.base(&a.commit, &b.commit)?)?.tree;
            let (ours, theirs) = (id(&a.tree).ok()?, id(&b.tree).ok()?);
            walk::goes(cache, base, ours, theirs).ok()
        };
        let mut verdicts: Vec<Verdict> =
            pairs.iter().map(|(a, b)| walks(a, b).map(|()| Vec::new())).collect();
        let refused: Vec<usize> = (0..pairs.len()).filter(|n| verdicts[*n].is_none()).collect();
        if refused.is_empty() {
            return Ok(verdicts);
        }
        repo.require_git()?;
        step(refused.len());
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let parts: Vec<&[usize]> = refused.chunks(refused.len().div_ceil(cores).clamp(FEW, MANY)).collect();
        let asked = parallel::map(&parts, 1, |part| {
            let question = |n: &usize| {
                let (ours, theirs) = (&pairs[*n].0.commit, &pairs[*n].1.commit);
                Question { base: None, ours, theirs }
            };
            by_git(repo, scratch, &part.iter().map(question).collect::<Vec<_>>(), attributes, limit)
        });
        for (part, told) in parts.into_iter().zip(asked) {
            for (n, verdict) in part.iter().zip(told?) {
                verdicts[*n] = verdict;
            }
        }
        Ok(verdicts)
    }

    /// Merges one pair from a base that is named; the rest is as in [`Comparer::merge`].
    pub fn merge_from(
        &self,
        base: &Oid,
        ours: &Side,
        theirs: &Side,
        attributes: &Oid,
        limit: Duration,
    ) -> Result<Verdict, GitError> {
        let question = Question { base: Some(base), ours: &ours.commit, theirs: &theirs.commit };
        alone(self.repo, self.scratch, question, attributes, limit)
    }
}

/// Merges one pair from a base that is named, as [`Comparer::merge`] does; attributes are those of `ours`.
pub fn merge_from(
    repo: &Repo,
    base: &Oid,
    ours: &Oid,
    theirs: &Oid,
    limit: Duration,
) -> Result<Verdict, GitError> {
    let question = Question { base: Some(base), ours, theirs };
    alone(repo, &Scratch::beside(repo)?, question, ours, limit)
}

/// Asks git about one pair.
fn alone(
    repo: &Repo,
    scratch: &Scratch,
    question: Question<'_>,
    attributes: &Oid,
    limit: Duration,
) -> Result<Verdict, GitError> {
    repo.require_git()?;
    Ok(by_git(repo, scratch, &[question], attributes, limit)?.pop().flatten())
}

/// What commits say of what they have in common.
struct History<'a>(Option<revwalk::Graph<'a, 'a, revwalk::graph::Commit<Flags>>>);

impl<'a> History<'a> {
    fn of(gix: &'a gix::Repository, commits: Option<&'a gix::commitgraph::Graph>, plain: bool) -> Self {
        Self(plain.then(|| revwalk::Graph::new(&gix.objects, commits)))
    }

    /// Returns the best common ancestor of two commits, if it is the only one.
    fn base(&mut self, a: &Oid, b: &Oid) -> Option<ObjectId> {
        let bases = merge_base(id(a).ok()?, &[id(b).ok()?], self.0.as_mut()?).ok()??;
        let mut bases = bases.into_iter();
        bases.next().filter(|_| bases.next().is_none())
    }
}

/// Counts the files that differ between two trees.
fn differing(
    cache: &mut Cache,
    before: Option<ObjectId>,
    after: Option<ObjectId>,
    depth: usize,
) -> Option<usize> {
    let mut read = |tree: Option<ObjectId>| match tree {
        _ if depth > DEEPEST => None,
        Some(tree) => cache.tree(tree),
        None => Some(Rc::new(Tree::empty())),
    };
    let (old, new) = (read(before)?, read(after)?);
    let mut files = 0;
    for change in old.differences(&new) {
        let folder = |entry: Option<Entry>| entry.filter(|entry| entry.is_folder()).map(|entry| entry.id);
        let file = |entry: Option<Entry>| entry.is_some_and(|entry| !entry.is_folder());
        let (was, is) = (folder(change.before), folder(change.after));
        if was.is_some() || is.is_some() {
            files += differing(cache, was, is, depth + 1)?;
        }
        files += usize::from(file(change.before) || file(change.after));
    }
    Some(files)
}

/// Has git merge pairs. One that ends the call is left out, and the call made again for those after it.
fn by_git(
    repo: &Repo,
    scratch: &Scratch,
    pairs: &[Question<'_>],
    attributes: &Oid,
    limit: Duration,
) -> Result<Vec<Verdict>, GitError> {
    let mut verdicts: Vec<Verdict> = Vec::with_capacity(pairs.len());
    while verdicts.len() < pairs.len() {
        let mut script = String::new();
        for Question { base, ours, theirs } in &pairs[verdicts.len()..] {
            let base = base.map(|base| format!("{base} -- ")).unwrap_or_default();
            let _ = writeln!(script, "{base}{ours} {theirs}");
        }
        let call = Git::on(repo, "merge-tree").args(["--write-tree", "--stdin", "--messages"]);
        let call = call.arg("--allow-unrelated-histories").attributes_of(attributes.as_str());
        let told = match scratch.taking(call).stdin(script).within(limit).finish() {
            Ok(ended) => ended.stdout,
            Err(GitError::Io(cause)) if cause.kind() == ErrorKind::TimedOut => {
                verdicts.resize(pairs.len(), None);
                break;
            }
            Err(error) => return Err(error),
        };
        let before = verdicts.len();
        verdicts.extend(Answer::all(&told).take(pairs.len() - before).map(|answer| Some(conflicts(&answer))));
        // It may be the answers before it that were too much: only as the first one it has no other chance.
        if verdicts.len() == before {
            verdicts.push(None);
        }
    }
    Ok(verdicts)
}

fn conflicts(answer: &Answer) -> Vec<ConflictedPath> {
    if answer.is_clean() {
        return Vec::new();
    }
    let found = answer.conflicts();
    // Said without a path it is a conflict nevertheless.
    let somewhere = || vec![ConflictedPath { path: ".".to_owned(), kind: ConflictKind::Other }];
    if found.is_empty() { somewhere() } else { found }
}
