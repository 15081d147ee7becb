//! The repository: found, checked, and asked.
//!
//! Invariant: a [`Repo`] stands for the common folder, so it is the same whether it was found from the main checkout, a
//! linked worktree or a bare repository; what it answers is read afresh each time. Finding one starts no process.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use fs_err as fs;
use gix::discover::repository::Path as Found;
use gix::discover::upwards;

use super::command::{Git, REDIRECTING, require_version};
use super::worktree::Checkout;
use super::{GitError, Unusable, shielded};
use crate::model::Oid;

/// A repository with all its worktrees. Cheap to clone, usable from several threads.
#[derive(Clone, Debug)]
pub struct Repo {
    gix: gix::ThreadSafeRepository,
    common_dir: PathBuf,
    main: Option<PathBuf>,
    /// The git folder of the worktree that we were called from: `HEAD` means its one.
    here: PathBuf,
    checked: Arc<OnceLock<()>>,
}

impl Repo {
    /// Finds the repository of `cwd`, which may be a main checkout, a linked worktree, any folder below one, or a bare one.
    pub fn discover(cwd: &Path) -> Result<Self, GitError> {
        let options = upwards::Options {
            match_ceiling_dir_or_error: false,
            trust: upwards::TrustPolicy::Required(gix::sec::Trust::Reduced),
            ..Default::default()
        };
        let (found, trust) = gix::discover::upwards_opts(cwd, options.apply_environment())
            .map_err(|_| Unusable::NoRepository(cwd.to_owned()))?;
        let (git_dir, work_dir) = match found {
            Found::LinkedWorkTree { work_dir, git_dir } => (git_dir, Some(work_dir)),
            Found::WorkTree(work_dir) => (work_dir.join(".git"), Some(work_dir)),
            Found::Repository(git_dir) => (git_dir, None),
        };
        let here = fs::canonicalize(git_dir)?;
        let common_dir = match fs::read_to_string(here.join("commondir")) {
            Ok(text) => fs::canonicalize(here.join(text.trim_end_matches('\n')))?,
            Err(_) => here.clone(),
        };
        if common_dir.to_str().is_none() {
            return Err(Unusable::NotUtf8(common_dir).into());
        }
        if is_of_submodule(&common_dir) {
            return Err(Unusable::Submodule(work_dir.unwrap_or(common_dir)).into());
        }
        let opened = open(&common_dir, trust)?;
        let linked = here != common_dir;
        let main = main_checkout(&opened, &common_dir, work_dir.filter(|_| !linked));
        if let Some(path) = main.as_ref().filter(|path| path.to_str().is_none()) {
            return Err(Unusable::NotUtf8(path.clone()).into());
        }
        Ok(Self { gix: opened.into_sync(), common_dir, main, here, checked: Arc::default() })
    }

    /// Returns the common folder (`.git` of the main checkout, or the bare repository), absolute, symlinks resolved.
    pub fn common_dir(&self) -> &Path {
        &self.common_dir
    }

    /// Returns the folder of the main checkout; `None` for a bare repository.
    pub fn main_checkout(&self) -> Option<&Path> {
        self.main.as_deref()
    }

    /// Returns the main checkout as something to ask; `None` for a bare repository.
    pub fn main_worktree(&self) -> Option<Checkout> {
        self.main.as_deref().map(|path| Checkout::main(self, path))
    }

    /// Returns where the worktrees of tasks belong: `../{repo}-worktrees`, seen from the main checkout or the bare
    /// repository; for `.bare` or `.git` inside a folder, seen from that folder.
    pub fn worktrees_root(&self) -> PathBuf {
        let home = match &self.main {
            Some(main) => main.as_path(),
            None if self.common_dir.file_name().is_some_and(|name| name == ".git" || name == ".bare") => {
                self.common_dir.parent().unwrap_or(&self.common_dir)
            }
            None => &self.common_dir,
        };
        let name = home.file_name().map_or_else(|| "repo".into(), |name| name.to_string_lossy());
        let name = if self.main.is_none() { name.strip_suffix(".git").unwrap_or(&name) } else { &name };
        home.parent().unwrap_or(home).join(format!("{name}-worktrees"))
    }

    /// Returns the branch that work lands on unless configured, short: the remote's default if there is a local branch of
    /// that name, else `main`, else the branch that the main checkout (or the bare repository) is on.
    pub fn default_target(&self) -> Result<String, GitError> {
        const ORIGIN: &str = "refs/remotes/origin/";
        let remote = self.symbolic("refs/remotes/origin/HEAD")?;
        if let Some(name) = remote.as_deref().and_then(|full| full.strip_prefix(ORIGIN))
            && self.branch_tip(name)?.is_some()
        {
            return Ok(name.to_owned());
        }
        if self.branch_tip("main")?.is_some() {
            return Ok("main".to_owned());
        }
        let head = self.symbolic("HEAD")?.ok_or(GitError::DetachedHead)?;
        let branch = head.strip_prefix("refs/heads/").unwrap_or(&head).to_owned();
        match self.branch_tip(&branch)? {
            Some(_) => Ok(branch),
            None => Err(GitError::UnbornBranch { branch }),
        }
    }

    /// Returns the commit of a local branch, named short; `None` if there is no such branch.
    pub fn branch_tip(&self, branch: &str) -> Result<Option<Oid>, GitError> {
        self.ref_tip(&format!("refs/heads/{branch}"))
    }

    /// Returns the object that a ref, named in full, points to in the end; `None` if there is no such ref.
    pub fn ref_tip(&self, name: &str) -> Result<Option<Oid>, GitError> {
        let local = self.local();
        // A text that cannot be a ref names none.
        let Ok(full) = gix::refs::FullName::try_from(name) else { return Ok(None) };
        let look = || local.try_find_reference(full.as_ref());
        // What cannot be read may be a folder of refs that somebody packs and clears away meanwhile: next time it is gone.
        let found = look().or_else(|_| look()).or_else(|_| look());
        let found = found.map_err(|e| GitError::unreadable(name, e))?;
        let Some(mut found) = found else { return Ok(None) };
        match found.peel_to_id() {
            Ok(id) => Ok(Some(oid(id.detach()))),
            // A symbolic ref to a branch that does not exist yet.
            Err(_) if found.try_id().is_none() => Ok(None),
            Err(cause) => Err(GitError::unreadable(name, cause)),
        }
    }

    /// Returns the full name that a symbolic ref points to; `None` if it is missing or not symbolic.
    fn symbolic(&self, name: &str) -> Result<Option<String>, GitError> {
        let local = self.local();
        let found = local.try_find_reference(name).map_err(|e| GitError::unreadable(name, e))?;
        Ok(found.and_then(|found| found.target().try_name().map(|name| name.as_bstr().to_string())))
    }

    /// Returns the commit that a revision names, in any spelling that git knows; `HEAD` is that of the worktree which
    /// [`Repo::discover`] was called from.
    pub fn commit(&self, rev: &str) -> Result<Oid, GitError> {
        let full = format!("{rev}^{{commit}}");
        let call = Git::on(self, "rev-parse").env("GIT_DIR", &self.here);
        let ended = call.args(["--verify", "--quiet", "--end-of-options", &full]).finish()?;
        let named = Oid::parse(&String::from_utf8_lossy(&ended.stdout));
        named.ok_or_else(|| GitError::NoSuchRevision { rev: rev.to_owned() })
    }

    /// Returns the tree of a commit.
    pub fn tree_of(&self, commit: &Oid) -> Result<Oid, GitError> {
        let local = self.local();
        let found = local.find_commit(id(commit)?).and_then(|c| Ok(c.tree_id()?.detach()));
        found.map(oid).map_err(|e| GitError::unreadable(format!("commit {}", commit.short()), e))
    }

    /// Tells whether `ancestor` is `descendant` or can be reached from it.
    pub fn is_ancestor(&self, ancestor: &Oid, descendant: &Oid) -> Result<bool, GitError> {
        Ok(ancestor == descendant || self.merge_base(ancestor, descendant)?.as_ref() == Some(ancestor))
    }

    /// Returns the best common ancestor of two commits; `None` if their histories are unrelated.
    pub fn merge_base(&self, a: &Oid, b: &Oid) -> Result<Option<Oid>, GitError> {
        let base = self.local().merge_base(id(a)?, id(b)?).map(|base| base.map(|id| oid(id.detach())));
        base.map_err(|e| GitError::unreadable(format!("history of {} and {}", a.short(), b.short()), e))
    }

    /// Tells whether a file, folder, symlink or submodule stands at `path` in a commit.
    pub fn tracks(&self, commit: &Oid, path: &str) -> Result<bool, GitError> {
        Ok(self.entry_at(commit, path)?.is_some())
    }

    /// Returns the content of the file at `path` in a commit; `None` if there is no file or symlink.
    pub fn blob_at(&self, commit: &Oid, path: &str) -> Result<Option<Vec<u8>>, GitError> {
        match self.entry_at(commit, path)? {
            Some((mode, blob)) if mode.is_blob_or_symlink() => Ok(Some(self.bytes_of(blob)?)),
            _ => Ok(None),
        }
    }

    /// Returns the same for several paths, with the commit and its tree read once.
    pub fn blobs_at<const N: usize>(
        &self,
        commit: &Oid,
        paths: [&str; N],
    ) -> Result<[Option<Vec<u8>>; N], GitError> {
        let local = self.local();
        let tree = local.find_commit(id(commit)?).and_then(|commit| commit.tree());
        let tree = tree.map_err(|e| GitError::unreadable(format!("commit {}", commit.short()), e))?;
        let mut found = [const { None }; N];
        for (found, path) in found.iter_mut().zip(paths) {
            let entry = tree.lookup_entry_by_path(path);
            let entry = entry.map_err(|e| GitError::unreadable(format!("{}:{path}", commit.short()), e))?;
            if let Some(entry) = entry.filter(|entry| entry.mode().is_blob_or_symlink()) {
                *found = Some(self.bytes_of(entry.object_id())?);
            }
        }
        Ok(found)
    }

    /// Returns the id of what stands at `path` in a commit: a file, a folder, the commit of a submodule.
    pub fn object_at(&self, commit: &Oid, path: &str) -> Result<Option<Oid>, GitError> {
        Ok(self.entry_at(commit, path)?.map(|(_, found)| oid(found)))
    }

    /// Returns the folder of hooks that the configuration names, as it stands there but for `~`.
    pub fn hooks_path(&self) -> Option<PathBuf> {
        let config = self.gix.to_thread_local();
        let told = config.config_snapshot().string("core.hooksPath")?.to_string();
        let home = || std::env::var_os("HOME").map(PathBuf::from);
        match told.strip_prefix("~/") {
            Some(rest) => Some(home()?.join(rest)),
            None => (!told.is_empty()).then(|| PathBuf::from(told)),
        }
    }

    fn entry_at(
        &self,
        commit: &Oid,
        path: &str,
    ) -> Result<Option<(gix::objs::tree::EntryMode, gix::ObjectId)>, GitError> {
        let local = self.local();
        let found = local.find_commit(id(commit)?).and_then(|c| c.tree()?.lookup_entry_by_path(path));
        let found = found.map_err(|e| GitError::unreadable(format!("{}:{path}", commit.short()), e))?;
        Ok(found.map(|entry| (entry.mode(), entry.object_id())))
    }

    /// Returns the raw content of any object.
    pub(super) fn bytes_of(&self, object: gix::ObjectId) -> Result<Vec<u8>, GitError> {
        let found = self.local().find_object(object).map(|object| object.detach().data);
        found.map_err(|e| GitError::unreadable(format!("object {object}"), e))
    }

    /// Makes sure that git knows whom to name as author and committer.
    pub fn require_identity(&self) -> Result<(), GitError> {
        // Configured or in the environment: the usual case needs no process. git also guesses from the machine.
        let local = self.local();
        let known = |signature: Option<Result<gix::actor::SignatureRef<'_>, _>>| {
            signature.and_then(Result::ok).is_some_and(|who| !who.name.is_empty() && !who.email.is_empty())
        };
        if known(local.author()) && known(local.committer()) {
            return Ok(());
        }
        for role in ["GIT_AUTHOR_IDENT", "GIT_COMMITTER_IDENT"] {
            if Git::on(self, "var").arg(role).finish()?.code != Some(0) {
                return Err(GitError::NoIdentity);
            }
        }
        Ok(())
    }

    /// Returns the branches that make a branch of this name impossible: `wt` is in the way of `wt/x`, `wt/a/b` of `wt/a`.
    pub fn branch_conflicts(&self, branch: &str) -> Result<Vec<String>, GitError> {
        let mut blocking = Vec::new();
        for (at, _) in branch.match_indices('/') {
            if self.branch_tip(&branch[..at])?.is_some() {
                blocking.push(branch[..at].to_owned());
            }
        }
        for (name, _) in super::refs::list(self, &format!("refs/heads/{branch}/"))? {
            blocking.extend(name.strip_prefix("refs/heads/").map(str::to_owned));
        }
        Ok(blocking)
    }

    /// Makes sure that the git program exists and is new enough; asked once a process, at the first use that needs it.
    pub fn require_git(&self) -> Result<(), GitError> {
        if self.checked.get().is_none() {
            require_version(self)?;
            self.checked.get_or_init(|| ());
        }
        Ok(())
    }

    /// Returns how objects are named here: by SHA-1 or by SHA-256.
    pub(super) fn hash(&self) -> gix::hash::Kind {
        self.gix.to_thread_local().object_hash()
    }

    /// Returns the in-process view for this thread.
    pub(super) fn local(&self) -> gix::Repository {
        let mut local = self.gix.to_thread_local();
        local.object_cache_size_if_unset(4 * 1024 * 1024);
        local
    }
}

/// Returns the model's id for one of gix.
pub(super) fn oid(id: gix::ObjectId) -> Oid {
    Oid::parse(&id.to_string()).expect("gix writes ids as lower-case hex")
}

/// Returns gix' id for one of the model, which may be of a length that this repository does not have.
pub(super) fn id(oid: &Oid) -> Result<gix::ObjectId, GitError> {
    gix::ObjectId::from_hex(oid.as_str().as_bytes())
        .map_err(|e| GitError::unreadable(format!("id {}", oid.short()), e))
}

fn open(common_dir: &Path, found: gix::sec::Trust) -> Result<gix::Repository, GitError> {
    let mut options = gix::open::Options::default().open_path_as_is(true).with(found).bail_if_untrusted(true);
    let set = |name: &&str| std::env::var_os(name).is_some();
    // What an agent is given leads nowhere.
    let harmless = |name: &&str| **name == *shielded::COUNT && shielded::nothing_else();
    if REDIRECTING.iter().any(|name| set(name) && !harmless(name)) {
        // `GIT_WORK_TREE` says where its caller works, not where the main checkout is; where none of them is set, others
        // (`GIT_CONFIG_GLOBAL`) count.
        let mut permissions = gix::open::Permissions::secure();
        permissions.env.git_prefix = gix::sec::Permission::Deny;
        options = options.permissions(permissions);
    }
    let opened = options.open(common_dir).map_err(|cause| {
        let reason = cause.to_string();
        let path = common_dir.to_owned();
        if reason.contains("unsafe") || cause.is_permission_denied() {
            return Unusable::DubiousOwnership(path);
        }
        Unusable::Unreadable { path, reason }
    })?;
    let opened = opened.to_thread_local();
    if opened.config_snapshot().string("extensions.refStorage").is_some_and(|form| form != "files") {
        return Err(Unusable::Format { path: common_dir.to_owned(), form: "reftable refs" }.into());
    }
    Ok(opened)
}

/// Tells whether a git folder lies below another one's `modules`.
fn is_of_submodule(git_dir: &Path) -> bool {
    git_dir.ancestors().any(|dir| {
        let holder = dir.parent().filter(|_| dir.file_name().is_some_and(|name| name == "modules"));
        holder.is_some_and(|holder| holder.join("HEAD").is_file())
    })
}

fn main_checkout(opened: &gix::Repository, common_dir: &Path, found: Option<PathBuf>) -> Option<PathBuf> {
    let config = opened.config_snapshot();
    if config.boolean("core.bare") == Some(true) {
        return None;
    }
    if let Some(told) = config.string("core.worktree") {
        return fs::canonicalize(common_dir.join(told.to_string())).ok();
    }
    // Where it was found from counts first: a separate git folder does not know its checkout, nor does a symlinked one.
    let found = found.and_then(|path| fs::canonicalize(path).ok());
    let beside = || common_dir.parent().filter(|_| common_dir.file_name().is_some_and(|name| name == ".git"));
    found.or_else(|| beside().map(Path::to_owned))
}
