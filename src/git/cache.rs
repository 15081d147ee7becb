//! Trees and commits of one landing, each read once.
//!
//! Invariant: objects never change, so nothing here grows stale; memory is bounded. What cannot be read is `None`, for it
//! may be git's to fetch: nobody may conclude from it that an object is missing.

use std::collections::HashMap;
use std::rc::Rc;

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
}

impl Cache {
    pub(super) fn new(repo: &Repo) -> Self {
        Self { gix: repo.local(), trees: HashMap::new(), bytes: 0, commits: HashMap::new() }
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
        if let Some(tree) = Tree::parse(raw) {
            self.keep(id, tree);
        }
        Ok(())
    }

    /// Writes `commit` again with another tree and parent, see [`objects::copy_commit`].
    pub(super) fn copy_commit(
        &self,
        commit: ObjectId,
        tree: ObjectId,
        parent: ObjectId,
    ) -> Result<ObjectId, GitError> {
        objects::copied(&self.gix, commit, tree, parent)
    }
}
