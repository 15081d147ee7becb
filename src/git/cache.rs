//! Trees and commits of one landing, each read once.
//!
//! Invariant: objects never change, so nothing here grows stale; memory is bounded. What cannot be read is `None`, for it
//! may be git's to fetch: nobody may conclude from it that an object is missing. What is written is as safe from a power cut
//! as what git writes: `core.fsync` says whether loose objects are (git's default: no), and [`Cache::settle`] does it, before a
//! ref names them.

use std::collections::{BTreeSet, HashMap};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::rc::Rc;

use fs_err as fs;
use gix::ObjectId;
use gix::objs::{Kind, Write as _};

use super::tree::entries::Tree;
use super::{GitError, Repo, objects};

/// How many bytes of trees are kept.
const MOST: usize = 64 << 20;
/// How many commits are kept.
const MOST_COMMITS: usize = 100_000;

/// What a replay needs of a commit.
#[derive(Debug, Clone)]
pub(super) struct Commit {
    pub(super) tree: ObjectId,
    pub(super) parents: Vec<ObjectId>,
    /// When it was committed, in seconds since 1970.
    pub(super) time: i64,
}

/// The objects that were read, and the way to read and write more.
pub(super) struct Cache {
    gix: gix::Repository,
    trees: HashMap<ObjectId, Rc<Tree>>,
    bytes: usize,
    commits: HashMap<ObjectId, Rc<Commit>>,
    /// What was written and is to reach the disk before a ref names it; `None`: whenever the system likes.
    unsettled: Option<Vec<ObjectId>>,
}

impl Cache {
    pub(super) fn new(repo: &Repo) -> Self {
        Self::reading(repo.local())
    }

    pub(super) fn reading(gix: gix::Repository) -> Self {
        let config = gix.config_snapshot();
        let told = config.string("core.fsync").map(|told| told.to_string());
        let unsettled = syncs(told.as_deref(), config.boolean("core.fsyncObjectFiles")).then(Vec::new);
        Self { gix, trees: HashMap::new(), bytes: 0, commits: HashMap::new(), unsettled }
    }

    /// Tells whether the parents in commits are not all there is to say: git knows where such a history ends.
    pub(super) fn is_grafted(&self) -> bool {
        let grafts = self.gix.common_dir().join("info/grafts");
        self.gix.is_shallow().unwrap_or(true) || grafts.exists()
    }

    pub(super) fn tree(&mut self, id: ObjectId) -> Option<Rc<Tree>> {
        if let Some(known) = self.trees.get(&id) {
            return Some(Rc::clone(known));
        }
        let object = self.gix.find_object(id).ok().filter(|object| object.kind == Kind::Tree)?;
        Some(self.keep(id, Tree::parse(object.detach().data)?))
    }

    fn keep(&mut self, id: ObjectId, tree: Tree) -> Rc<Tree> {
        self.bytes += tree.size();
        if self.bytes > MOST {
            self.trees.clear();
            self.bytes = tree.size();
        }
        let tree = Rc::new(tree);
        self.trees.insert(id, Rc::clone(&tree));
        tree
    }

    pub(super) fn commit(&mut self, id: ObjectId) -> Option<Rc<Commit>> {
        if let Some(known) = self.commits.get(&id) {
            return Some(Rc::clone(known));
        }
        let object = self.gix.find_object(id).ok().filter(|object| object.kind == Kind::Commit)?;
        let commit = gix::objs::CommitRef::from_bytes(&object.data, id.kind()).ok()?;
        let time = commit.committer().ok()?.seconds();
        let commit = Rc::new(Commit { tree: commit.tree(), parents: commit.parents().collect(), time });
        if self.commits.len() >= MOST_COMMITS {
            self.commits.clear();
        }
        self.commits.insert(id, Rc::clone(&commit));
        Some(commit)
    }

    /// Writes a tree under the id that it has.
    pub(super) fn write_tree(&mut self, id: ObjectId, raw: Vec<u8>) -> Result<(), GitError> {
        let written = self.gix.objects.write_buf_with_known_id(Kind::Tree, &raw, id);
        written.map_err(|e| GitError::unreadable("a new tree", e))?;
        self.unsettled.iter_mut().for_each(|ids| ids.push(id));
        if let Some(tree) = Tree::parse(raw) {
            self.keep(id, tree);
        }
        Ok(())
    }

    /// Reads a blob, which is not kept.
    pub(super) fn blob(&mut self, id: ObjectId) -> Option<Vec<u8>> {
        let object = self.gix.find_object(id).ok().filter(|object| object.kind == Kind::Blob)?;
        Some(object.detach().data)
    }

    /// Writes a blob under the id that it has.
    pub(super) fn write_blob(&mut self, id: ObjectId, bytes: &[u8]) -> Result<(), GitError> {
        let written = self.gix.objects.write_buf_with_known_id(Kind::Blob, bytes, id);
        written.map_err(|e| GitError::unreadable("a new blob", e))?;
        self.unsettled.iter_mut().for_each(|ids| ids.push(id));
        Ok(())
    }

    /// Writes `commit` again with another tree and parent, see [`objects::copy_commit`].
    pub(super) fn copy_commit(
        &mut self,
        commit: ObjectId,
        tree: ObjectId,
        parent: ObjectId,
    ) -> Result<ObjectId, GitError> {
        let new = objects::copy_commit(&self.gix, commit, tree, parent)?;
        self.unsettled.iter_mut().for_each(|ids| ids.push(new));
        Ok(new)
    }

    /// Brings to the disk what was written since, if the user wants that of loose objects.
    pub(super) fn settle(&mut self) -> Result<(), GitError> {
        let Some(ids) = &mut self.unsettled else { return Ok(()) };
        let objects = self.gix.objects.store_ref().path();
        let mut paths: BTreeSet<PathBuf> = BTreeSet::new();
        for id in ids.drain(..) {
            let hex = id.to_string();
            let folder = objects.join(&hex[..2]);
            paths.insert(folder.join(&hex[2..]));
            paths.insert(folder);
        }
        for path in paths {
            match fs::File::open(&path) {
                Ok(file) => file.sync_all()?,
                // Somebody packed it meanwhile.
                Err(cause) if cause.kind() == ErrorKind::NotFound => {}
                Err(cause) => return Err(cause.into()),
            }
        }
        Ok(())
    }
}

/// Tells whether git would bring loose objects to the disk, by `core.fsync` and the older `core.fsyncObjectFiles`.
fn syncs(told: Option<&str>, files: Option<bool>) -> bool {
    let Some(told) = told else { return files == Some(true) };
    let mut named = told.split([',', ' ']);
    named.any(|part| ["loose-object", "objects", "committed", "added", "all"].contains(&part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loose_objects_are_synced_where_git_would() {
        for told in ["all", "objects", "index,loose-object", "committed", "added, -pack"] {
            assert!(syncs(Some(told), None), "{told}");
        }
        for told in ["none", "", "pack,reference", "-loose-object"] {
            assert!(!syncs(Some(told), Some(true)), "{told}");
        }
        assert!(syncs(None, Some(true)) && !syncs(None, None));
    }
}
