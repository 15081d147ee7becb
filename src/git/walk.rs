//! A commit's change put onto another tree without a merge: a walk of three trees that takes whole entries.
//!
//! At each name that the commit changed (`base` → `theirs`): what `ours` has there is what `base` has: take the entry of
//! `theirs`, a folder as a whole; all three are folders: walk into them; anything else: refuse.
//!
//! Invariant: where the walk does not refuse, its tree is the one of git's own merge, and git sees no conflict. Renames need
//! no thought, since a path that one side moved is missing or changed there. Two tempting rules would break it and must stay
//! out: that both sides made the same change is no reason to go on (git may see a rename and a deletion), nor is a
//! line-by-line merge that comes out clean. What is refused goes to git, whose verdict is the truth.
//!
//! `foresee` breaks both rules, for a guess that only says which trees git is asked about.

use gix::ObjectId;
use gix::objs::Kind;

use super::cache::Cache;
use super::repo::{id, oid};
use super::tree::entries::{Difference, Entry, Tree};
use super::tree::text;
use super::{GitError, Repo};
use crate::model::Oid;

/// Why git must merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// Both sides changed what stands at a name.
    BothChanged,
    /// Both sides made the same change at a name.
    SameChange,
    /// Both sides put something at a name where nothing was.
    BothAdded,
    /// What the commit changed is gone.
    Gone,
    /// What the commit took away was changed.
    Deleted,
    /// A file, symlink or submodule became something else on one side and changed on the other.
    OtherKind,
    /// A tree that would be written anew holds what git writes otherwise, such as modes of old.
    Odd,
    /// A tree is not at hand, or is none.
    Unread,
}

/// What a walk came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Walked {
    /// The merged tree; it is written.
    Tree(Oid),
    /// Nothing was written.
    Refused(Refusal),
}

/// Walks many times over trees that have much in common: each is read once.
pub struct Walker {
    cache: Cache,
}

impl Walker {
    /// Begins with nothing read.
    pub fn new(repo: &Repo) -> Self {
        Self { cache: Cache::new(repo) }
    }

    /// Puts what changed from the tree `base` to the tree `theirs` onto the tree `ours`.
    pub fn walk(&mut self, base: &Oid, ours: &Oid, theirs: &Oid) -> Result<Walked, GitError> {
        Ok(match overlay(&mut self.cache, id(base)?, id(ours)?, id(theirs)?)? {
            Ok(tree) => Walked::Tree(oid(tree)),
            Err(why) => Walked::Refused(why),
        })
    }
}

/// The same in gix' terms.
pub(super) fn overlay(
    cache: &mut Cache,
    base: ObjectId,
    ours: ObjectId,
    theirs: ObjectId,
) -> Result<Result<ObjectId, Refusal>, GitError> {
    match strict(cache, base, ours, theirs) {
        // Only now: a walk that is refused half-way leaves nothing behind.
        Ok((walk, tree)) => walk.settle().map(|()| Ok(tree)),
        Err(why) => Ok(Err(why)),
    }
}

/// What a merge will come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Foreseen {
    /// The tree of [`overlay`].
    Sure(ObjectId),
    /// Perhaps this one; git is to be asked.
    Guessed(ObjectId),
}

/// Returns what [`overlay`] does, or a guess at what git would make of what that refuses: both sides' change of a text, or the
/// same change of both. `None` where there is no guess. The trees are written, so that git can be asked about them.
pub(super) fn foresee(
    cache: &mut Cache,
    base: ObjectId,
    ours: ObjectId,
    theirs: ObjectId,
) -> Result<Option<Foreseen>, GitError> {
    if base.kind() != gix::hash::Kind::Sha1 {
        return Ok(None);
    }
    if base == theirs {
        return Ok(Some(Foreseen::Sure(ours)));
    }
    let mut walk = Walk { cache, fresh: Vec::new(), texts: Vec::new(), rule: Rule::Guess { loose: false } };
    let Ok(tree) = walk.all(base, ours, theirs) else { return Ok(None) };
    let loose = walk.rule == Rule::Guess { loose: true };
    walk.settle()?;
    Ok(Some(if loose { Foreseen::Guessed(tree) } else { Foreseen::Sure(tree) }))
}

/// The same without writing: tells whether the walk goes through.
pub(super) fn goes(
    cache: &mut Cache,
    base: ObjectId,
    ours: ObjectId,
    theirs: ObjectId,
) -> Result<(), Refusal> {
    strict(cache, base, ours, theirs).map(drop)
}

fn strict(
    cache: &mut Cache,
    base: ObjectId,
    ours: ObjectId,
    theirs: ObjectId,
) -> Result<(Walk<'_>, ObjectId), Refusal> {
    // Trees are read here with ids of that length only.
    if base.kind() != gix::hash::Kind::Sha1 {
        return Err(Refusal::Unread);
    }
    let mut walk = Walk { cache, fresh: Vec::new(), texts: Vec::new(), rule: Rule::Strict };
    let tree = if base == theirs { ours } else { walk.all(base, ours, theirs)? };
    Ok((walk, tree))
}

/// Folders in folders beyond this are git's business.
const DEEPEST: usize = 512;

/// What is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// What git takes too.
    Strict,
    /// What git may take; `loose`: something was taken that the strict rule refuses.
    Guess { loose: bool },
}

struct Walk<'a> {
    cache: &'a mut Cache,
    /// Trees that are to be written.
    fresh: Vec<(ObjectId, Vec<u8>)>,
    /// Texts that are to be written, where one may guess.
    texts: Vec<(ObjectId, Vec<u8>)>,
    rule: Rule,
}

impl Walk<'_> {
    fn all(&mut self, base: ObjectId, ours: ObjectId, theirs: ObjectId) -> Result<ObjectId, Refusal> {
        match self.folder(Some(base), ours, theirs, 0)? {
            Some(tree) => Ok(tree),
            None => self.write(Vec::new()),
        }
    }

    /// Writes what came out. Only at the end: a walk that is refused half-way leaves nothing behind.
    fn settle(self) -> Result<(), GitError> {
        for (id, raw) in self.fresh {
            self.cache.write_tree(id, raw)?;
        }
        self.texts.into_iter().try_for_each(|(id, text)| self.cache.write_blob(id, &text))
    }

    /// Returns the merged folder; `None`: nothing is left in it.
    fn folder(
        &mut self,
        base: Option<ObjectId>,
        ours: ObjectId,
        theirs: ObjectId,
        depth: usize,
    ) -> Result<Option<ObjectId>, Refusal> {
        if depth > DEEPEST {
            return Err(Refusal::Unread);
        }
        let empty = || std::rc::Rc::new(Tree::empty());
        let before = base.map_or_else(|| Some(empty()), |id| self.cache.tree(id)).ok_or(Refusal::Unread)?;
        let after = self.cache.tree(theirs).ok_or(Refusal::Unread)?;
        let here = self.cache.tree(ours).ok_or(Refusal::Unread)?;
        if [&before, &here, &after].iter().any(|tree| tree.is_odd()) {
            return Err(Refusal::Odd);
        }
        let mut edits = Vec::new();
        for change in before.differences(&after) {
            let at = here.at(change.name);
            let new = match (change.before, at, change.after) {
                (old, at, new) if at == old => {
                    self.require_plain(old, new, depth + 1)?;
                    new
                }
                (_, at, new) if at == new => {
                    self.guess().ok_or(Refusal::SameChange)?;
                    continue;
                }
                (old, Some(at), Some(new))
                    if at.is_folder() && new.is_folder() && old.is_none_or(Entry::is_folder) =>
                {
                    let merged = self.folder(old.map(|old| old.id), at.id, new.id, depth + 1)?;
                    merged.map(|id| Entry { id, ..at })
                }
                (None, ..) => return Err(Refusal::BothAdded),
                (Some(_), None, _) => return Err(Refusal::Gone),
                (Some(_), Some(_), None) => return Err(Refusal::Deleted),
                (Some(old), Some(at), Some(new)) if old.mode == at.mode && old.mode == new.mode => {
                    Some(self.text(old, at, new).ok_or(Refusal::BothChanged)?)
                }
                _ => return Err(Refusal::OtherKind),
            };
            edits.push((change.name, new));
        }
        let raw = here.with(&edits);
        if raw.is_empty() { Ok(None) } else { self.write(raw).map(Some) }
    }

    /// Notes that the strict rule is left, if it may be.
    fn guess(&mut self) -> Option<()> {
        let Rule::Guess { loose } = &mut self.rule else { return None };
        *loose = true;
        Some(())
    }

    /// Guesses what a file that both sides changed comes to.
    fn text(&mut self, old: Entry, at: Entry, new: Entry) -> Option<Entry> {
        self.guess()?;
        if ![0o10_0644, 0o10_0755].contains(&at.mode) {
            return None;
        }
        let mut read = |entry: Entry| self.cache.blob(entry.id);
        let text = text::guess(&read(old)?, &read(at)?, &read(new)?)?;
        let id = gix::objs::compute_hash(gix::hash::Kind::Sha1, Kind::Blob, &text).ok()?;
        self.texts.push((id, text));
        Some(Entry { id, ..at })
    }

    fn write(&mut self, raw: Vec<u8>) -> Result<ObjectId, Refusal> {
        // It fails where the bytes look like an attack on the hash.
        let id = gix::objs::compute_hash(gix::hash::Kind::Sha1, Kind::Tree, &raw);
        let id = id.map_err(|_| Refusal::Odd)?;
        self.fresh.push((id, raw));
        Ok(id)
    }

    /// Makes sure that git would take what is new below a folder as it is, were it to look into it.
    fn require_plain(&mut self, old: Option<Entry>, new: Option<Entry>, depth: usize) -> Result<(), Refusal> {
        let Some(new) = new.filter(|new| new.is_folder()) else { return Ok(()) };
        if depth > DEEPEST {
            return Err(Refusal::Unread);
        }
        let after = self.cache.tree(new.id).ok_or(Refusal::Unread)?;
        if after.is_odd() {
            return Err(Refusal::Odd);
        }
        let old = old.filter(|old| old.is_folder()).and_then(|old| self.cache.tree(old.id));
        let empty = Tree::empty();
        let before = old.as_deref().unwrap_or(&empty);
        for change in before.differences(&after) {
            self.require_plain(change.before, change.after, depth + 1)?;
        }
        Ok(())
    }
}

/// Tells whether two trees may differ in what they say of attributes, anywhere in them.
pub(super) fn attributes_differ(cache: &mut Cache, old: ObjectId, new: ObjectId, depth: usize) -> bool {
    if old == new {
        return false;
    }
    let (Some(before), Some(after)) = (cache.tree(old), cache.tree(new)) else { return true };
    let differ = |change: &Difference<'_>| {
        change.name.eq_ignore_ascii_case(b".gitattributes")
            || match (change.before, change.after) {
                (Some(old), Some(new)) if old.is_folder() && new.is_folder() => {
                    depth > DEEPEST || attributes_differ(cache, old.id, new.id, depth + 1)
                }
                // A folder that came or went may have had some.
                (old, new) => old.into_iter().chain(new).any(Entry::is_folder),
            }
    };
    before.differences(&after).iter().any(differ)
}
