//! A folder for objects that nobody keeps: trees of uncommitted work, and what trial merges write.
//!
//! It is a repository of its own without refs that reads the objects of another one, so git and this process see both and
//! write only here. Invariant: nothing is left behind once it is dropped (what a
//! killed process leaves, `place` clears away), and the other repository gains no object; one that git
//! would write and finds there gets a new time, no more.

mod place;

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use gix::objs::{Kind, Write as _};

use super::cache::Cache;
use super::command::Git;
use super::repo::{id, oid};
use super::{GitError, Repo};
use crate::model::Oid;
use crate::model::clock::{Clock as _, SystemClock};

/// Who makes its commits: nobody ever sees them.
const NOBODY: &str = "wt <wt@localhost>";

/// The folder.
#[derive(Debug)]
pub struct Scratch {
    folder: place::Place,
}

impl Scratch {
    /// Makes one that reads the objects of `repo`.
    pub fn beside(repo: &Repo) -> Result<Self, GitError> {
        let folder = place::Place::fresh()?;
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("objects/info"))?;
        fs::create_dir(at("refs"))?;
        fs::write(at("HEAD"), "ref: refs/heads/none\n")?;
        let config = match repo.hash() {
            gix::hash::Kind::Sha1 => "[core]\n\trepositoryformatversion = 0\n\tbare = true\n".to_owned(),
            other => format!(
                "[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n\tobjectFormat = {other}\n"
            ),
        };
        fs::write(at("config"), config)?;
        // A file, since a path in the variable for this cannot have a colon.
        let mut others = repo.common_dir().join("objects").as_os_str().as_bytes().to_owned();
        others.push(b'\n');
        fs::write(at("objects/info/alternates"), others)?;
        Ok(Self { folder })
    }

    /// Returns a path for a file of this name in it.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn objects(&self) -> PathBuf {
        self.file("objects")
    }

    /// Lets a call of git write its objects here.
    pub(super) fn taking(&self, call: Git) -> Git {
        call.env("GIT_OBJECT_DIRECTORY", self.objects())
    }

    /// Returns a view of the objects of both.
    pub(super) fn gix(&self) -> Result<gix::Repository, GitError> {
        let path: &Path = self.folder.path();
        let opened = gix::open::Options::isolated().open_path_as_is(true).open(path);
        let opened = opened.map_err(|e| GitError::unreadable(path.display().to_string(), e))?;
        let mut local = opened.to_thread_local();
        local.object_cache_size_if_unset(4 * 1024 * 1024);
        Ok(local)
    }

    /// Returns an empty cache that reads the objects of both and writes here.
    pub(super) fn cache(&self) -> Result<Cache, GitError> {
        Ok(Cache::reading(self.gix()?))
    }

    /// Writes a commit of `tree` after `parent`.
    pub fn commit(&self, tree: &Oid, parent: &Oid) -> Result<Oid, GitError> {
        // Of an old date, git would look for what it has in common with others in the whole history.
        let now = SystemClock.now().as_second();
        let text = format!(
            "tree {tree}\nparent {parent}\nauthor {NOBODY} {now} +0000\ncommitter {NOBODY} {now} +0000\n\n"
        );
        let written = self.gix()?.objects.write_buf(Kind::Commit, text.as_bytes());
        written.map(oid).map_err(|e| GitError::unreadable("a new commit", e))
    }

    /// Returns a tree with what stands in another one at these paths, files or folders: its entry, or nothing.
    pub(super) fn with_paths_of(&self, tree: &Oid, other: &Oid, paths: &[String]) -> Result<Oid, GitError> {
        use gix::bstr::ByteSlice as _;
        use gix::objs::tree::Editor;
        let local = self.gix()?;
        let failed = |e: gix::Error| GitError::unreadable("a new tree", e);
        let (now, then) = (local.find_tree(id(tree)?), local.find_tree(id(other)?));
        let (now, then) = (now.map_err(failed)?, then.map_err(failed)?);
        let mut editor = None;
        for path in paths {
            let path = path.trim_end_matches('/');
            let entry = |tree: &gix::Tree<'_>| {
                let found = tree.lookup_entry_by_path(path).map_err(failed)?;
                Ok::<_, GitError>(found.map(|entry| (entry.mode(), entry.object_id())))
            };
            let (here, there) = (entry(&now)?, entry(&then)?);
            if here == there {
                continue;
            }
            let editor = if let Some(editor) = &mut editor {
                editor
            } else {
                let root = now.decode().map_err(failed)?.to_owned();
                editor.insert(Editor::new(root, &local.objects, local.object_hash()))
            };
            let parts = path.split('/').map(|part| part.as_bytes().as_bstr());
            match there {
                Some((mode, object)) => editor.upsert(parts, mode.kind(), object),
                None => editor.remove(parts),
            }
            .map_err(failed)?;
        }
        let Some(mut editor) = editor else { return Ok(tree.clone()) };
        let written = editor.write(|tree| local.write_object(tree).map(gix::Id::detach));
        written.map(oid).map_err(failed)
    }
}
