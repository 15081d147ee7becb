//! What a merge in memory depends on beside its commits: the version of git, its settings, attributes.
//!
//! Invariant: where any of it may have changed, the answer is another one; then nothing that is remembered of merges counts.

use fs_err as fs;
use gix::ObjectId;
use sha2::{Digest as _, Sha256};

use super::super::cache::Cache;
use super::super::clean::excludes_file;
use super::super::command::Git;
use super::super::repo::id;
use super::super::settings::Settings;
use super::super::tree::entries::Tree;
use super::{Comparer, DEEPEST};
use crate::git::{GitError, Repo};
use crate::model::Oid;

/// Sections of the configuration that a merge may obey.
const SECTIONS: [&str; 4] = ["core.", "diff.", "filter.", "merge."];

/// Where git has the attributes of the machine, if it was built as usual.
const SYSTEM: &str = "/etc/gitattributes";

/// Returns a hash of everything that a merge depends on beside its commits, with the attributes of the commit `attributes`;
/// `None` where that is not all understood, so that nothing may be remembered.
pub fn rules(comparer: &mut Comparer<'_>, attributes: &Oid) -> Result<Option<String>, GitError> {
    let Some(mut hash) = comparer.machine()?.cloned() else { return Ok(None) };
    let tree = comparer.repo.tree_of(attributes)?;
    if committed(&mut comparer.cache, id(&tree)?, &mut Vec::new(), &mut hash).is_none() {
        take(&mut hash, tree.as_str().as_bytes());
    }
    Ok(Some(hex(hash)))
}

/// Returns the same without the attributes of any commit: what decides as well what git makes of files.
pub fn machine(comparer: &Comparer<'_>) -> Result<Option<String>, GitError> {
    Ok(comparer.machine()?.cloned().map(hex))
}

/// Takes all that does not depend on a commit; `None` where that is not all understood.
pub(super) fn read(repo: &Repo) -> Result<Option<Sha256>, GitError> {
    let mut hash = Sha256::new();
    take(&mut hash, Git::on(repo, "version").line()?.as_bytes());
    let settings = Settings::asked(Git::on(repo, "config").polling())?;
    for key in settings.keys().filter(|key| SECTIONS.iter().any(|section| key.starts_with(section))) {
        take(&mut hash, key.as_bytes());
        take(&mut hash, settings.text(key).unwrap_or("\0").as_bytes());
    }
    let own = match settings.text("core.attributesfile") {
        Some(told) => excludes_file(Some(told.to_owned())),
        None => excludes_file(None).map(|file| file.map(|file| file.with_file_name("attributes"))),
    };
    let Ok(own) = own else { return Ok(None) };
    let common = repo.common_dir();
    let ours = ["info/attributes", "info/grafts", "shallow"].map(|name| common.join(name));
    for file in ours.into_iter().chain(own).chain([SYSTEM.into()]) {
        take(&mut hash, &fs::read(file).unwrap_or_default());
    }
    Ok(Some(hash))
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

fn take(hash: &mut Sha256, bytes: &[u8]) {
    hash.update(bytes.len().to_le_bytes());
    hash.update(bytes);
}

/// Takes every `.gitattributes` of a tree, by its path; `None` where a tree cannot be read here.
fn committed(cache: &mut Cache, tree: ObjectId, path: &mut Vec<u8>, hash: &mut Sha256) -> Option<()> {
    if path.len() > DEEPEST * 8 {
        return None;
    }
    let tree = cache.tree(tree)?;
    for change in Tree::empty().differences(&tree) {
        let Some(entry) = change.after else { continue };
        let length = path.len();
        path.push(b'/');
        path.extend_from_slice(change.name);
        if entry.is_folder() {
            committed(cache, entry.id, path, hash)?;
        } else if change.name == b".gitattributes" {
            take(hash, path);
            take(hash, entry.id.as_slice());
        }
        path.truncate(length);
    }
    Some(())
}
