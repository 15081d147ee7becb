//! Bringing a snapshot back into a worktree that was just made at its first parent.

use std::collections::HashMap;
use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use fs_err as fs;
use fs_err::os::unix::fs::{OpenOptionsExt as _, symlink};

use super::super::objects;
use super::super::repo::id;
use super::{EXECUTABLE, GITLINK, Item, LINK, NOTES, Note, items, on_disk, read, shown};
use crate::git::command::Git;
use crate::git::{Checkout, GitError, Repo};
use crate::model::Oid;

/// Makes files and index of a worktree what they were when the snapshot was taken. The worktree must be clean and at the
/// snapshot's first parent, else [`GitError::Moved`].
pub fn restore(repo: &Repo, checkout: &Checkout, snapshot: &Oid) -> Result<(), GitError> {
    let parents = objects::parents(repo, snapshot)?;
    let [head, index, untracked, extra, state @ ..] = parents.as_slice() else {
        return Err(GitError::unreadable("the snapshot", format!("{} parents", parents.len())));
    };
    if checkout.head()?.as_ref() != Some(head) {
        return Err(GitError::Moved { name: "HEAD".to_owned() });
    }
    let state = match state {
        [state] => items(repo, state.as_str())?,
        _ => Vec::new(),
    };
    let (notes, stages): (Vec<_>, Vec<_>) = state.into_iter().partition(|item| item.path == NOTES.as_bytes());
    let notes = match notes.first() {
        Some(notes) => read(&repo.bytes_of(id(&notes.oid)?)?),
        None => Vec::new(),
    };

    // First what goes, so that a file can take the place of a folder and the other way round.
    let changes = changes(repo, head, snapshot)?;
    for path in &changes.gone {
        remove(checkout, path)?;
    }
    for item in &changes.there {
        write(repo, checkout, item, None)?;
    }
    let permissions: HashMap<&[u8], u32> = notes
        .iter()
        .filter_map(|(note, path)| match note {
            Note::Permissions(bits) => Some((path.as_slice(), *bits)),
            _ => None,
        })
        .collect();
    for item in items(repo, untracked.as_str())?.iter().chain(&items(repo, extra.as_str())?) {
        write(repo, checkout, item, permissions.get(item.path.as_slice()).copied())?;
    }
    restore_index(checkout, index, &stages, &notes)
}

fn restore_index(
    checkout: &Checkout,
    index: &Oid,
    stages: &[Item],
    notes: &[(Note, Vec<u8>)],
) -> Result<(), GitError> {
    Git::at(checkout, "read-tree").arg(index.as_str()).run()?;
    let mut script = Vec::new();
    for Item { mode, oid, path } in stages {
        let [stage, b'/', path @ ..] = path.as_slice() else {
            return Err(GitError::unreadable("the snapshot's index", shown(path)));
        };
        script.extend_from_slice(format!("{mode} {oid} {}\t", char::from(*stage)).as_bytes());
        script.extend_from_slice(path);
        script.push(0);
    }
    if !script.is_empty() {
        Git::at(checkout, "update-index").args(["-z", "--index-info"]).stdin(script).run()?;
    }
    intend(checkout, notes)?;
    // It exits with 1 where files differ, which is what we want them to do.
    Git::at(checkout, "update-index").args(["-q", "--refresh"]).finish()?;
    for (flag, wanted) in [("--skip-worktree", Note::Skip), ("--assume-unchanged", Note::Assume)] {
        let paths = joined(notes.iter().filter(|(note, _)| *note == wanted).map(|(_, path)| path));
        if !paths.is_empty() {
            Git::at(checkout, "update-index").args([flag, "-z", "--stdin"]).stdin(paths).run()?;
        }
    }
    Ok(())
}

/// Adds what was only intended to be added. `git add -N` wants the files to be there, which they need not be in the
/// worktree, so it is shown empty ones elsewhere.
fn intend(checkout: &Checkout, notes: &[(Note, Vec<u8>)]) -> Result<(), GitError> {
    let intended: Vec<_> = notes
        .iter()
        .filter_map(|(note, path)| match note {
            Note::Intent(mode) => Some((mode, path)),
            _ => None,
        })
        .collect();
    if intended.is_empty() {
        return Ok(());
    }
    let stage = tempfile::tempdir()?;
    for (mode, path) in &intended {
        let place = stage.path().join(std::ffi::OsStr::from_bytes(path));
        fs::create_dir_all(place.parent().unwrap_or(stage.path()))?;
        if mode.as_str() == LINK {
            symlink("x", place)?;
        } else {
            fs::write(&place, "")?;
            let bits = if mode.as_str() == EXECUTABLE { 0o755 } else { 0o644 };
            fs::set_permissions(place, Permissions::from_mode(bits))?;
        }
    }
    let call = Git::at(checkout, "add").args(["-N", "-f", "--pathspec-from-file=-", "--pathspec-file-nul"]);
    let call = call.env("GIT_WORK_TREE", stage.path()).env("GIT_LITERAL_PATHSPECS", "1");
    call.run_in(stage.path(), joined(intended.iter().map(|(_, path)| *path)))
}

pub(super) fn joined<'a>(paths: impl Iterator<Item = &'a Vec<u8>>) -> Vec<u8> {
    paths.flat_map(|path| path.iter().copied().chain([0])).collect()
}

/// What differs between two trees.
#[derive(Default)]
struct Changes {
    gone: Vec<Vec<u8>>,
    there: Vec<Item>,
}

fn changes(repo: &Repo, old: &Oid, new: &Oid) -> Result<Changes, GitError> {
    let call = Git::on(repo, "diff-tree").args(["-r", "-z", "--raw", "--no-renames", "--no-abbrev"]);
    let text = call.args([old.as_str(), new.as_str()]).output()?;
    let mut parts = text.split(|b| *b == 0);
    let mut found = Changes::default();
    while let (Some(about), Some(path)) = (parts.next(), parts.next()) {
        // :MODE MODE ID ID STATUS
        let about = String::from_utf8_lossy(about);
        let fields: Vec<&str> = about.split(' ').collect();
        match (fields.get(1), fields.get(3).and_then(|id| Oid::parse(id))) {
            (Some(&"000000"), _) => found.gone.push(path.to_owned()),
            (Some(&mode), Some(oid)) => {
                found.there.push(Item { mode: mode.to_owned(), oid, path: path.to_owned() });
            }
            _ => return Err(GitError::unreadable("the snapshot's changes", about)),
        }
    }
    Ok(found)
}

/// Removes a file and the folders that it leaves empty.
pub(super) fn remove(checkout: &Checkout, path: &[u8]) -> Result<(), GitError> {
    let place = on_disk(checkout, path);
    match fs::symlink_metadata(&place) {
        Ok(there) if there.is_dir() => drop(fs::remove_dir(&place)),
        Ok(_) => fs::remove_file(&place)?,
        Err(_) => {}
    }
    for folder in place.ancestors().skip(1).take_while(|folder| *folder != checkout.path()) {
        if fs::remove_dir(folder).is_err() {
            break;
        }
    }
    Ok(())
}

/// Writes a file or symlink; never through a symlink, and never readable by more than it was.
fn write(repo: &Repo, checkout: &Checkout, item: &Item, permissions: Option<u32>) -> Result<(), GitError> {
    let place = on_disk(checkout, &item.path);
    let folder = place.parent().unwrap_or(checkout.path());
    make_folder(checkout.path(), folder)?;
    if item.mode == GITLINK && fs::symlink_metadata(&place).is_ok_and(|there| there.is_dir()) {
        // A submodule that has its files stays as it is; its commit is told by the index.
        return Ok(());
    }
    match fs::symlink_metadata(&place) {
        Ok(there) if there.is_dir() => fs::remove_dir(&place)?,
        Ok(_) => fs::remove_file(&place)?,
        Err(_) => {}
    }
    if !item.mode.starts_with("10") && item.mode != LINK {
        // The commit of a submodule: git has an empty folder there.
        fs::create_dir(&place)?;
        return Ok(());
    }
    let bytes = repo.bytes_of(id(&item.oid)?)?;
    if item.mode == LINK {
        symlink(std::ffi::OsStr::from_bytes(&bytes), &place)?;
        return Ok(());
    }
    let bits = permissions.unwrap_or(if item.mode == EXECUTABLE { 0o777 } else { 0o666 });
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(bits & 0o777).open(&place)?;
    file.write_all(&bytes)?;
    if let Some(bits) = permissions {
        fs::set_permissions(&place, Permissions::from_mode(bits))?;
    }
    Ok(())
}

fn make_folder(root: &Path, folder: &Path) -> Result<(), GitError> {
    if folder == root {
        return Ok(());
    }
    match fs::symlink_metadata(folder) {
        Ok(there) if there.is_dir() => return Ok(()),
        Ok(_) => {
            let shown = folder.strip_prefix(root).unwrap_or(folder).to_string_lossy().into_owned();
            return Err(GitError::Overlap { paths: vec![shown] });
        }
        Err(_) => make_folder(root, folder.parent().unwrap_or(root))?,
    }
    fs::create_dir(folder)?;
    Ok(())
}
