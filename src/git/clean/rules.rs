//! What holds for every worktree of a repository: settings that decide who may answer, and the ignore rules outside of
//! worktrees. Read once a question, from git itself, so that every file that git would read counts.

use std::path::{Path, PathBuf};

use fs_err as fs;
use gix::ignore::search::Ignore;

use super::ignore::Patterns;
use crate::git::Repo;
use crate::git::command::Git;
use crate::git::settings::Settings;

/// The largest file of patterns that is read here.
pub(super) const MOST_PATTERNS: u64 = 1 << 20;

/// What holds for every worktree.
#[derive(Debug)]
pub(super) struct Rules {
    /// The lists outside of worktrees, the one that counts most first.
    pub(super) lists: Vec<Patterns>,
    /// Whether a worktree may have a config file of its own.
    pub(super) own_config: bool,
}

/// Settings and the value that a proof needs; others leave the answer to git.
const NEEDED: &[(&str, bool)] = &[
    ("core.filemode", true),
    ("core.symlinks", true),
    ("core.trustctime", true),
    ("core.ignorecase", false),
    ("core.ignorestat", false),
    ("core.precomposeunicode", false),
    ("core.sparsecheckout", false),
    ("core.splitindex", false),
    ("index.sparse", false),
];

impl Rules {
    /// Reads them; `None`: git must be asked about every worktree.
    pub(super) fn read(repo: &Repo) -> Option<Self> {
        let settings = Settings::asked(Git::on(repo, "config").polling()).ok()?;
        let fits = |(key, needed): &(&str, bool)| !settings.has(key) || settings.switch(key) == Some(*needed);
        let plain = settings.text("core.checkstat").is_some_and(|value| value == "default");
        // What a conditional file brings in may differ between worktrees.
        let conditional = settings.keys().any(|key| key.starts_with("includeif."));
        if !NEEDED.iter().all(fits) || settings.has("core.checkstat") && !plain || conditional {
            return None;
        }
        let own_config =
            settings.has("extensions.worktreeconfig") && settings.switch("extensions.worktreeconfig")?;
        let excludes = if settings.has("core.excludesfile") {
            Some(settings.text("core.excludesfile")?.to_owned())
        } else {
            None
        };
        let common = repo.common_dir();
        if own_config && common.join("config.worktree").exists() {
            return None;
        }
        let mut lists = Vec::new();
        lists.extend(patterns(&common.join("info").join("exclude")).ok()?);
        if let Some(file) = excludes_file(excludes).ok()? {
            lists.extend(patterns(&file).ok()?);
        }
        Some(Self { lists, own_config })
    }
}

/// Something that only git understands.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::git) struct Odd;

/// Returns the user's own file of patterns, if there may be one.
pub(in crate::git) fn excludes_file(told: Option<String>) -> Result<Option<PathBuf>, Odd> {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    let Some(path) = told else {
        let folder = std::env::var_os("XDG_CONFIG_HOME").filter(|folder| !folder.is_empty());
        let folder = folder.map(PathBuf::from).or_else(|| Some(home?.join(".config")));
        return Ok(folder.map(|folder| folder.join("git").join("ignore")));
    };
    match path.strip_prefix("~/") {
        _ if path.is_empty() => Ok(None),
        Some(rest) => Ok(Some(home.ok_or(Odd)?.join(rest))),
        None if Path::new(&path).is_absolute() => Ok(Some(PathBuf::from(path))),
        None => Err(Odd),
    }
}

/// Reads a file of patterns, if it is there.
fn patterns(path: &Path) -> Result<Option<Patterns>, Odd> {
    let about = match fs::metadata(path) {
        Ok(about) => about,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(_) => return Err(Odd),
    };
    if !about.is_file() || about.len() > MOST_PATTERNS {
        return Err(Odd);
    }
    let bytes = fs::read(path).map_err(|_| Odd)?;
    Patterns::from_bytes(&bytes, path.to_owned(), None, Ignore::default()).map(Some).map_err(|_| Odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_place_of_the_users_patterns_is_understood() {
        let at = |text: &str| excludes_file(Some(text.to_owned()));
        assert_eq!(at("/etc/ignored"), Ok(Some("/etc/ignored".into())));
        assert_eq!(at(""), Ok(None));
        assert_eq!(at("~somebody/ignored"), Err(Odd));
        assert_eq!(at("ignored"), Err(Odd));
        assert_eq!(at("%(prefix)/ignored"), Err(Odd));
    }
}
