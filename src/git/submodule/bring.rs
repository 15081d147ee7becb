//! Bringing submodules into a worktree from the stores of the main checkout.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::super::command::{Git, fields};
use super::{MODULES, is_plain, is_repository, modules_of, refs_of, skeleton};
use crate::git::{GitError, LinkedWorktree, Repo};
use crate::model::Oid;

/// What came of bringing submodules in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Brought {
    /// Folders that have their files now, relative.
    pub there: Vec<String>,
    /// Folders that stay empty although the main checkout has them, and why.
    pub left: Vec<(String, String)>,
}

/// Brings the submodules that `commit` names into a worktree that stands at it: those that the main checkout has
/// initialised, from its own stores. Doing it again changes nothing.
pub fn bring(repo: &Repo, worktree: &LinkedWorktree, commit: &Oid) -> Result<Brought, GitError> {
    let mut brought = Brought::default();
    let store = repo.common_dir().join("modules");
    if !store.is_dir() || !repo.tracks(commit, MODULES)? {
        return Ok(brought);
    }
    let checkout = worktree.checkout();
    checkout.require_honest()?;
    let modules = modules_of(checkout);
    let level = Level {
        repo,
        git_dir: repo.common_dir(),
        worktree: checkout.path(),
        prefix: String::new(),
        stores: &store,
        config: &repo.common_dir().join("config"),
        modules: &modules,
        place: PathBuf::new(),
    };
    level.bring(commit, 0, &mut brought)?;
    Ok(brought)
}

/// Takes all submodules out of a worktree of `wt`'s own and brings those of `commit` in. Nothing of the old ones is kept.
pub fn renew(repo: &Repo, worktree: &LinkedWorktree, commit: &Oid) -> Result<Brought, GitError> {
    let modules = modules_of(worktree.checkout());
    if modules.is_dir() {
        for path in super::gitlinks(repo.hash(), &worktree.checkout().git_dir().join("index"))? {
            empty(&worktree.path().join(path))?;
        }
        fs::remove_dir_all(&modules)?;
    }
    bring(repo, worktree, commit)
}

/// Empties a folder, if it is one and no link to one.
pub(super) fn empty(folder: &Path) -> Result<(), GitError> {
    if fs::symlink_metadata(folder).is_ok_and(|there| there.is_dir()) {
        fs::remove_dir_all(folder)?;
        fs::create_dir(folder)?;
    }
    Ok(())
}

/// A worktree whose submodules are brought in: the outer one, or that of a submodule.
struct Level<'a> {
    repo: &'a Repo,
    /// A git folder that has the commit; written by us, or the repository itself.
    git_dir: &'a Path,
    worktree: &'a Path,
    prefix: String,
    stores: &'a Path,
    /// Where the main checkout says what is initialised.
    config: &'a Path,
    modules: &'a Path,
    place: PathBuf,
}

impl Level<'_> {
    fn bring(&self, commit: &Oid, depth: usize, brought: &mut Brought) -> Result<(), GitError> {
        if depth > super::DEPTH {
            return Ok(());
        }
        let named = self.named(commit)?;
        let wanted = self.wanted(commit, &named)?;
        if wanted.is_empty() {
            return Ok(());
        }
        let known = self.initialised()?;
        for (path, name, oid) in wanted {
            let shown = format!("{}{path}", self.prefix);
            let Some(url) = known.get(&name) else { continue };
            let store = self.stores.join(&name);
            if !is_repository(&store) || self.is_crossed(&name) {
                continue;
            }
            let one = One {
                level: self,
                store: &store,
                name: &name,
                folder: &self.worktree.join(&path),
                url,
                commit: &oid,
            };
            match one.bring() {
                Err(why) => brought.left.push((shown, why)),
                Ok(git_dir) => {
                    if !self.prefix.is_empty() {
                        known_to(self.git_dir, &name, url)?;
                    }
                    brought.there.push(shown.clone());
                    let inner = Level {
                        repo: self.repo,
                        git_dir: &git_dir,
                        worktree: &self.worktree.join(&path),
                        prefix: format!("{shown}/"),
                        stores: &store.join("modules"),
                        config: &store.join("config"),
                        modules: &git_dir.join("modules"),
                        place: self.place.join(&name).join("modules"),
                    };
                    if inner.stores.is_dir() && inner.worktree.join(MODULES).is_file() {
                        inner.bring(&oid, depth + 1, brought)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns name and path of what `.gitmodules` names in a commit.
    fn named(&self, commit: &Oid) -> Result<Vec<(String, String)>, GitError> {
        let call = Git::alone(self.git_dir, "config").arg(format!("--blob={commit}:{MODULES}"));
        let ended = call.args(["-z", "--get-regexp", r"^submodule\..*\.path$"]).finish()?;
        let pairs = fields(&ended.stdout).filter_map(|field| {
            let (key, path) = field.split_once('\n')?;
            let name = key.strip_prefix("submodule.")?.strip_suffix(".path")?;
            Some((name.to_owned(), path.trim_end_matches('/').to_owned()))
        });
        Ok(pairs.filter(|(name, path)| is_plain(name) && is_plain(path)).collect())
    }

    /// Returns path, name and commit of those that are submodules in the commit's tree.
    fn wanted(
        &self,
        commit: &Oid,
        named: &[(String, String)],
    ) -> Result<Vec<(String, String, Oid)>, GitError> {
        if named.is_empty() {
            return Ok(Vec::new());
        }
        let call = Git::alone(self.git_dir, "ls-tree").args(["-z", "--full-tree", commit.as_str(), "--"]);
        let text = call.args(named.iter().map(|(_, path)| path)).output()?;
        let mut found = Vec::new();
        for line in fields(&text) {
            // MODE TYPE ID<tab>PATH
            let Some((about, path)) = line.split_once('\t') else { continue };
            let mut about = about.split(' ');
            let (mode, oid) = (about.next(), about.nth(1).and_then(Oid::parse));
            let name = named.iter().find(|(_, named)| named == path).map(|(name, _)| name.clone());
            if let (Some("160000"), Some(oid), Some(name)) = (mode, oid, name) {
                found.push((path.to_owned(), name, oid));
            }
        }
        Ok(found)
    }

    /// Returns the names that the main checkout has initialised, with their URLs.
    fn initialised(&self) -> Result<BTreeMap<String, String>, GitError> {
        let call = Git::alone(self.repo.common_dir(), "config").arg("--file").arg(self.config);
        let call = call.args(["--no-includes", "-z", "--get-regexp"]);
        let ended = call.arg(r"^submodule\..*\.(url|active|update)$").finish()?;
        let (mut urls, mut off) = (BTreeMap::new(), Vec::new());
        for field in fields(&ended.stdout) {
            let (key, value) = field.split_once('\n').unwrap_or((&field, "true"));
            let Some((name, what)) = key.strip_prefix("submodule.").and_then(|key| key.rsplit_once('.'))
            else {
                continue;
            };
            match what {
                "url" => drop(urls.insert(name.to_owned(), value.to_owned())),
                "active" if ["false", "no", "off", "0"].contains(&value) => off.push(name.to_owned()),
                "update" if value == "none" => off.push(name.to_owned()),
                _ => {}
            }
        }
        urls.retain(|name, _| !off.contains(name));
        Ok(urls)
    }

    /// Tells whether a name lies inside another submodule's repository, or is reached through a link.
    fn is_crossed(&self, name: &str) -> bool {
        let ends = name.match_indices('/').map(|(at, _)| at);
        let crossed = |root: &Path| {
            let inside = ends.clone().any(|at| is_repository(&root.join(&name[..at])));
            let link = |part: &str| {
                fs::symlink_metadata(root.join(part)).is_ok_and(|there| there.is_symlink() || there.is_file())
            };
            inside || link(name) || ends.clone().any(|at| link(&name[..at]))
        };
        crossed(self.stores) || crossed(self.modules)
    }
}

/// One submodule that is brought in.
struct One<'a> {
    level: &'a Level<'a>,
    store: &'a Path,
    name: &'a str,
    folder: &'a Path,
    url: &'a str,
    commit: &'a Oid,
}

impl One<'_> {
    /// Returns its repository, or why the folder stays empty.
    fn bring(&self) -> Result<PathBuf, String> {
        let git_dir = self.level.modules.join(self.name);
        if self.folder.join(".git").is_file() && is_repository(&git_dir) {
            return Ok(git_dir);
        }
        match fs::symlink_metadata(self.folder) {
            Ok(there) if there.is_dir() => {}
            // Left out by a sparse checkout.
            _ => return Err("its folder is not checked out".to_owned()),
        }
        if git_dir.exists() {
            // Of a `wt` that was killed before it wrote `.git`, which comes last.
            fs::remove_dir_all(&git_dir).map_err(|error| error.to_string())?;
            empty(self.folder).map_err(|error| error.to_string())?;
        } else if fs::read_dir(self.folder).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err("its folder is not empty".to_owned());
        }
        self.make(&git_dir).inspect_err(|_| {
            drop(fs::remove_dir_all(&git_dir));
            drop(empty(self.folder));
        })?;
        Ok(git_dir)
    }

    fn make(&self, git_dir: &Path) -> Result<(), String> {
        let failed = |error: &dyn std::fmt::Display| error.to_string();
        let mut core = "\tbare = false\n\tlogallrefupdates = true\n".to_owned();
        let _ = writeln!(core, "\tworktree = {}", quoted(&self.folder.display().to_string()));
        let _ = writeln!(core, "[remote \"origin\"]\n\turl = {}", quoted(self.url));
        core.push_str("\tfetch = +refs/heads/*:refs/remotes/origin/*\n");
        skeleton(git_dir, self.commit, &core).map_err(|error| failed(&error))?;
        self.borrow(self.store, git_dir).map_err(|error| failed(&error))?;
        if let Err(first) = self.fill(git_dir) {
            // A commit that a task made and that is in no store yet: for the checks of a landing.
            let mut more = false;
            for other in self.others() {
                self.borrow(&other, git_dir).map_err(|error| failed(&error))?;
                more = true;
            }
            let again = if more { self.fill(git_dir) } else { Err(first) };
            again.map_err(|_| {
                format!("the main checkout's copy of it lacks commit {} or a part of it", self.commit.short())
            })?;
        }
        let link = format!("gitdir: {}\n", git_dir.display());
        fs::write(self.folder.join(".git"), link).map_err(|error| failed(&error))
    }

    /// Returns the repositories of the same submodule in other worktrees.
    fn others(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.level.repo.common_dir().join("worktrees"));
        let entries = entries.into_iter().flatten().flatten();
        let of = |entry: fs::DirEntry| entry.path().join("modules").join(&self.level.place).join(self.name);
        let own = self.level.modules.join(self.name);
        entries.map(of).filter(|other| *other != own && is_repository(other)).collect()
    }

    fn fill(&self, git_dir: &Path) -> Result<(), GitError> {
        let call = Git::alone(git_dir, "reset").env("GIT_WORK_TREE", self.folder).set("checkout.workers=0");
        call.args(["--quiet", "--hard", "--no-recurse-submodules", self.commit.as_str()])
            .run_in(self.folder, Vec::new())
    }

    /// Takes over objects and known refs: by hard links, which cost no space and outlive a clean-up of the lender.
    fn borrow(&self, from: &Path, git_dir: &Path) -> Result<(), GitError> {
        let (old, new) = (from.join("objects"), git_dir.join("objects"));
        for entry in fs::read_dir(&old)?.flatten() {
            let (Ok(name), Ok(kind)) = (entry.file_name().into_string(), entry.file_type()) else { continue };
            if kind.is_dir() && (name == "pack" || name.len() == 2) {
                link_files(&old.join(&name), &new.join(&name))?;
            }
        }
        let lenders = fs::read_to_string(old.join("info/alternates")).unwrap_or_default();
        let mut text = fs::read_to_string(new.join("info/alternates")).unwrap_or_default();
        for line in lenders.lines().filter(|line| !line.is_empty() && !line.starts_with(['#', '"'])) {
            let _ = writeln!(text, "{}", old.join(line).display());
        }
        if !text.is_empty() {
            fs::write(new.join("info/alternates"), text)?;
        }
        if let Ok(shallow) = fs::read(from.join("shallow")) {
            fs::write(git_dir.join("shallow"), shallow)?;
        }
        let refs = refs_of(from).into_iter();
        let refs =
            refs.filter(|(name, _)| name.starts_with("refs/remotes/") || name.starts_with("refs/tags/"));
        let packed: String = refs.fold(String::new(), |mut text, (name, oid)| {
            let _ = writeln!(text, "{oid} {name}");
            text
        });
        if from == self.store {
            fs::write(git_dir.join("packed-refs"), format!("# pack-refs with: sorted\n{packed}"))?;
        }
        Ok(())
    }
}

/// Makes a submodule's own repository know a submodule of it as initialised, as the main repository knows the outer ones.
fn known_to(git_dir: &Path, name: &str, url: &str) -> Result<(), GitError> {
    let section = format!("[submodule {}]\n", quoted(name));
    let path = git_dir.join("config");
    let config = fs::read_to_string(&path)?;
    if !config.contains(&section) {
        fs::write(path, format!("{config}{section}\tactive = true\n\turl = {}\n", quoted(url)))?;
    }
    Ok(())
}

fn link_files(from: &Path, to: &Path) -> Result<(), GitError> {
    fs::create_dir_all(to)?;
    let mut files: Vec<_> = fs::read_dir(from)?.flatten().map(|entry| entry.file_name()).collect();
    // A pack before its index: whoever sees the index finds the pack.
    files.sort_by_key(|name| Path::new(name).extension().is_some_and(|extension| extension == "idx"));
    for name in files {
        let shown = name.to_string_lossy();
        if shown.starts_with("tmp_") || shown.starts_with("multi-pack-index") {
            continue;
        }
        let (old, new) = (from.join(&name), to.join(&name));
        if !fs::symlink_metadata(&old).is_ok_and(|there| there.is_file()) {
            continue;
        }
        match fs::hard_link(&old, &new) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(_) => drop(fs::copy(&old, &new)?),
        }
    }
    Ok(())
}

/// Returns a value as it stands in a git configuration.
fn quoted(value: &str) -> String {
    let mut text = String::from("\"");
    for c in value.chars().filter(|c| !c.is_control()) {
        if c == '"' || c == '\\' {
            text.push('\\');
        }
        text.push(c);
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_one_value() {
        assert_eq!(quoted("https://x/y.git"), "\"https://x/y.git\"");
        assert_eq!(quoted("a\"b\\c\nd"), "\"a\\\"b\\\\cd\"");
    }
}
