//! The paths at which two trees differ, told in this process: a git each takes longer than the rest of a small landing.
//!
//! Invariant: an answer is the one of `git diff-tree -r --name-only --no-renames`; where that is not sure there is none.

use gix::ObjectId;

use super::entries::{Entry, Tree};
use crate::git::Repo;
use crate::git::cache::Cache;
use crate::git::repo::id;
use crate::model::Oid;

/// Folders in folders beyond this are git's business.
const DEEPEST: usize = 512;

/// Returns the paths that differ between two commits or trees, in git's order.
pub(in crate::git) fn changed(repo: &Repo, old: &Oid, new: &Oid) -> Option<Vec<String>> {
    let local = repo.local();
    let tree = |oid: &Oid| {
        let found = local.find_object(id(oid).ok()?).ok()?;
        found.peel_to_tree().ok().map(|tree| tree.id)
    };
    let (old, new) = (tree(old)?, tree(new)?);
    if old.kind() != gix::hash::Kind::Sha1 {
        return None;
    }
    let mut look = Look { cache: Cache::new(repo), found: Vec::new() };
    look.folder(Some(old), Some(new), &mut Vec::new(), 0)?;
    let mut found = look.found;
    found.sort_unstable();
    Some(found.into_iter().map(|path| String::from_utf8_lossy(&path).into_owned()).collect())
}

struct Look {
    cache: Cache,
    found: Vec<Vec<u8>>,
}

impl Look {
    /// Adds what differs between two folders, one of which may be missing, at the path `at`.
    fn folder(
        &mut self,
        old: Option<ObjectId>,
        new: Option<ObjectId>,
        at: &mut Vec<u8>,
        depth: usize,
    ) -> Option<()> {
        if old == new {
            return Some(());
        }
        let empty = std::rc::Rc::new(Tree::empty());
        let mut read =
            |id: Option<ObjectId>| id.map_or_else(|| Some(empty.clone()), |id| self.cache.tree(id));
        let (old, new) = (read(old)?, read(new)?);
        if old.is_odd() || new.is_odd() || depth > DEEPEST {
            return None;
        }
        let length = at.len();
        for change in old.differences(&new) {
            at.extend_from_slice(change.name);
            let file = |entry: Option<Entry>| entry.filter(|entry| !entry.is_folder());
            let folder = |entry: Option<Entry>| entry.filter(|entry| entry.is_folder()).map(|entry| entry.id);
            if file(change.before) != file(change.after) {
                self.found.push(at.clone());
            }
            at.push(b'/');
            self.folder(folder(change.before), folder(change.after), at, depth + 1)?;
            at.truncate(length);
        }
        Some(())
    }
}
