//! A commit's change put onto another tree without a merge: a walk of three trees that takes whole entries.
//!
//! At each name that the commit changed (`base` → `theirs`): what `ours` has there is what `base` has: take the entry of
//! `theirs`, a folder as a whole; all three are folders: walk into them; anything else: refuse.
//!
//! Invariant: where the walk does not refuse, its tree is the one of git's own merge, and git sees no conflict. Renames need
//! no thought, since a path that one side moved is missing or changed there. Two tempting rules would break it and must stay
//! out: that both sides made the same change is no reason to go on (git may see a rename and a deletion), nor is a
//! line-by-line merge that comes out clean. What is refused goes to git, whose verdict is the truth.

use gix::ObjectId;
use gix::objs::Kind;

use super::cache::Cache;
use super::repo::{id, oid};
use super::tree::entries::{Entry, Tree};
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
    // Only now: a walk that is refused half-way leaves nothing behind.
    let (tree, fresh) = match walked(cache, base, ours, theirs) {
        Ok(merged) => merged,
        Err(why) => return Ok(Err(why)),
    };
    for (id, raw) in fresh {
        cache.write_tree(id, raw)?;
    }
    Ok(Ok(tree))
}

/// The same without writing: tells whether the walk goes through.
pub(super) fn goes(
    cache: &mut Cache,
    base: ObjectId,
    ours: ObjectId,
    theirs: ObjectId,
) -> Result<(), Refusal> {
    walked(cache, base, ours, theirs).map(drop)
}

/// Trees that are to be written, with their bytes.
type Fresh = Vec<(ObjectId, Vec<u8>)>;

fn walked(
    cache: &mut Cache,
    base: ObjectId,
    ours: ObjectId,
    theirs: ObjectId,
) -> Result<(ObjectId, Fresh), Refusal> {
    // Trees are read here with ids of that length only.
    if base.kind() != gix::hash::Kind::Sha1 {
        return Err(Refusal::Unread);
    }
    if base == theirs {
        return Ok((ours, Vec::new()));
    }
    let mut walk = Walk { cache, fresh: Vec::new() };
    let tree = match walk.folder(Some(base), ours, theirs, 0)? {
        Some(tree) => tree,
        None => walk.write(Vec::new())?,
    };
    Ok((tree, walk.fresh))
}

/// Folders in folders beyond this are git's business.
const DEEPEST: usize = 512;

struct Walk<'a> {
    cache: &'a mut Cache,
    /// What is to be written.
    fresh: Fresh,
}

impl Walk<'_> {
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
                (_, at, new) if at == new => return Err(Refusal::SameChange),
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
                    return Err(Refusal::BothChanged);
                }
                _ => return Err(Refusal::OtherKind),
            };
            edits.push((change.name, new));
        }
        let raw = here.with(&edits);
        if raw.is_empty() { Ok(None) } else { self.write(raw).map(Some) }
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
