//! The index of the new worktree: what it is to hold, and how it is written.

use std::io::Write as _;

use fs_err as fs;
use gix::bstr::ByteSlice as _;
use gix::index::entry::{Flags, Mode, Stage};
use gix::index::{File, State};
use gix::validate::path::component;

use super::source::Source;
use super::way::Why;
use super::{Stop, on_disk};
use crate::git::command::Git;
use crate::git::repo::id;
use crate::git::settings::Settings;
use crate::git::{GitError, LinkedWorktree, Repo};
use crate::model::Oid;

/// Returns the index of `commit`, with the tree that git keeps in it. Its stat data means nothing yet.
pub(super) fn wanted(
    repo: &Repo,
    worktree: &LinkedWorktree,
    source: &Source,
    commit: &Oid,
    tree: &Oid,
) -> Result<File, GitError> {
    let path = worktree.checkout().git_dir().join("index");
    let tree = id(tree)?;
    if source.holds(&tree) {
        let mut state = source.index().clone();
        for entry in state.entries_mut() {
            // What its owner told git about the files there does not count here.
            entry.flags.remove(
                Flags::EXTENDED | Flags::ASSUME_VALID | Flags::SKIP_WORKTREE | Flags::FSMONITOR_VALID,
            );
        }
        return Ok(File::from_state(state, path));
    }
    let call = Git::at(worktree.checkout(), "read-tree").set("core.splitIndex=false").set("index.version=2");
    call.set("index.sparse=false").set("index.skipHash=false").arg(commit.as_str()).run()?;
    let read = File::at(&path, repo.hash(), false, gix::index::decode::Options::default());
    read.map_err(|e| GitError::unreadable(path.display().to_string(), e))
}

/// Makes sure that it has nothing in it but files, symlinks and submodules with names that git would write.
pub(super) fn require_plain(wanted: &State) -> Result<(), Stop> {
    let options = component::Options { protect_windows: false, protect_hfs: false, protect_ntfs: true };
    for entry in wanted.entries() {
        let known = [Mode::FILE, Mode::FILE_EXECUTABLE, Mode::SYMLINK, Mode::COMMIT].contains(&entry.mode);
        if !known || entry.stage() != Stage::Unconflicted {
            return Err(Why::Sparse.into());
        }
        let link = (entry.mode == Mode::SYMLINK).then_some(component::Mode::Symlink);
        let mut parts = entry.path(wanted).split(|b| *b == b'/');
        if parts.any(|part| gix::validate::path::component(part.as_bstr(), link, options).is_err()) {
            return Err(Why::Names.into());
        }
    }
    Ok(())
}

/// Writes it as the index of the worktree, whose entry nobody else touches.
pub(super) fn write(wanted: &File, worktree: &LinkedWorktree, settings: &Settings) -> Result<(), GitError> {
    let mut bytes = Vec::new();
    let skip_hash = settings.is_on("index.skiphash") || settings.is_on("feature.manyfiles");
    let options = gix::index::write::Options { skip_hash, ..Default::default() };
    let path = worktree.checkout().git_dir().join("index");
    wanted.write_to(&mut bytes, options).map_err(|e| GitError::unreadable(path.display().to_string(), e))?;
    let fresh = path.with_extension("lock");
    let written = || -> std::io::Result<()> {
        fs::File::create_new(&fresh)?.write_all(&bytes)?;
        fs::rename(&fresh, &path)
    };
    written().map_err(on_disk)
}
