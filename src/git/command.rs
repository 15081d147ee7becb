//! The git program behind one door.
//!
//! Invariant: every call names its repository by `GIT_DIR`, `GIT_COMMON_DIR` and `GIT_WORK_TREE`, because an agent may have
//! rewritten the `.git` file of its worktree; hooks, fsmonitor, pager and background maintenance are off; variables of the
//! caller that would redirect git are removed; nothing is asked on a terminal; messages are in English, since some are read.
//! Nobody else may start git.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use super::worktree::Checkout;
use super::{GitError, Repo, Unusable};

/// The oldest git that works: `merge-tree --write-tree` came with 2.38, its `--merge-base` with 2.40, `%(ahead-behind)`
/// with 2.41.
pub const OLDEST: (u32, u32) = (2, 41);

/// Variables that redirect git to another repository, index, object store or configuration. They are removed from every
/// git call, and must be removed from the environment of agents and checks.
pub const REDIRECTING: &[&str] = &[
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_ATTR_SOURCE",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_PARAMETERS",
    "GIT_DEFAULT_HASH",
    "GIT_DIFF_OPTS",
    "GIT_DIR",
    "GIT_EXTERNAL_DIFF",
    "GIT_GLOB_PATHSPECS",
    "GIT_GRAFT_FILE",
    "GIT_ICASE_PATHSPECS",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_INDEX_VERSION",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_LITERAL_PATHSPECS",
    "GIT_NAMESPACE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_NOGLOB_PATHSPECS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_QUARANTINE_PATH",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
];

const SETTINGS: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.pager=cat",
    "core.quotePath=false",
    "core.filesRefLockTimeout=2000",
    "color.ui=false",
    "diff.ignoreSubmodules=dirty",
    "gc.auto=0",
    "maintenance.auto=false",
    "submodule.recurse=false",
];

/// Variables of every call but those for a person at the terminal.
const OWN: &[(&str, &str)] = &[("LC_ALL", "C"), ("GIT_TERMINAL_PROMPT", "0"), ("GIT_EDITOR", ":")];

/// One call of the git program, being put together.
#[derive(Debug)]
pub(super) struct Git {
    settings: Vec<OsString>,
    args: Vec<OsString>,
    env: Vec<(&'static str, OsString)>,
    cwd: PathBuf,
    on: Option<Checkout>,
    stdin: Option<Vec<u8>>,
    limit: Option<Duration>,
    apart: bool,
}

/// A call to be run by somebody else: as it stands, in the caller's environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handed {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// The working directory.
    pub folder: PathBuf,
    /// Variables to set.
    pub env: Vec<(String, String)>,
    /// Inherited variables to leave out.
    pub without: Vec<&'static str>,
}

/// How a call ended, whatever its exit code.
#[derive(Debug)]
pub(super) struct Finished {
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
    argv: String,
}

impl Git {
    /// A call on the repository as a whole: refs, objects, worktree entries; it sees no worktree's files.
    pub(super) fn on(repo: &Repo, verb: &str) -> Self {
        let common = repo.common_dir();
        Self::new(verb, common, common).env("GIT_COMMON_DIR", common)
    }

    /// A call on one worktree.
    pub(super) fn at(checkout: &Checkout, verb: &str) -> Self {
        let mut call = Self::new(verb, checkout.git_dir(), checkout.path())
            .env("GIT_COMMON_DIR", checkout.common_dir())
            .env("GIT_WORK_TREE", checkout.path());
        call.on = Some(checkout.clone());
        call
    }

    /// A call on a git folder of its own: one that was written by `wt`, or where nothing of its configuration is obeyed.
    /// Neither is anything fetched for it, whatever that says.
    pub(super) fn alone(git_dir: &Path, verb: &str) -> Self {
        let call = Self::new(verb, git_dir, git_dir);
        call.env("GIT_NO_LAZY_FETCH", "1").env("GIT_ALLOW_PROTOCOL", "none")
    }

    fn new(verb: &str, git_dir: &Path, cwd: &Path) -> Self {
        let call = Self {
            settings: SETTINGS.iter().map(OsString::from).collect(),
            args: vec![verb.into()],
            env: Vec::new(),
            cwd: cwd.to_owned(),
            on: None,
            stdin: None,
            limit: None,
            apart: false,
        };
        call.env("GIT_DIR", git_dir)
    }

    pub(super) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    pub(super) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    pub(super) fn env(mut self, name: &'static str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name, value.as_ref().to_owned()));
        self
    }

    /// Adds a setting (`key=value`) that wins over the ones of the house.
    pub(super) fn set(mut self, setting: impl AsRef<OsStr>) -> Self {
        self.settings.push(setting.as_ref().to_owned());
        self
    }

    pub(super) fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Takes no lock that is not needed: for reads that happen beside a working agent.
    pub(super) fn polling(self) -> Self {
        self.env("GIT_OPTIONAL_LOCKS", "0")
    }

    /// Keeps the keys of the terminal from the call: what moves files is not to be cut short by them.
    pub(super) fn apart(mut self) -> Self {
        self.apart = true;
        self
    }

    /// Ends the call with an error if it takes longer: for questions to a worktree whose file system, or whose agent, may make
    /// git wait for ever.
    pub(super) fn within(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Takes merge and diff attributes from `tree`, not from whatever files stand around.
    pub(super) fn attributes_of(self, tree: &str) -> Self {
        self.env("GIT_ATTR_SOURCE", tree)
    }

    /// Runs the call and returns how it ended.
    pub(super) fn finish(self) -> Result<Finished, GitError> {
        if let Some(checkout) = &self.on {
            checkout.require_honest()?;
        }
        let argv = self.shown();
        let (full, env) = (self.line_of_arguments(), self.environment(OWN));
        // The whole environment in one piece: of several settings of one variable, duct lets the first win.
        let mut command = duct::cmd(program(), full).dir(&self.cwd).full_env(env);
        command = match self.stdin {
            Some(bytes) => command.stdin_bytes(bytes),
            None => command.stdin_null(),
        };
        if self.apart {
            command = command.before_spawn(|call| {
                std::os::unix::process::CommandExt::process_group(call, 0);
                Ok(())
            });
        }
        let command = command.stdout_capture().stderr_capture().unchecked();
        let output = match self.limit {
            None => command.run().map_err(|cause| not_started(cause, &self.cwd))?,
            Some(limit) => {
                let started = command.start().map_err(|cause| not_started(cause, &self.cwd))?;
                if !ends_within(&started, limit)? {
                    let late = format!("git {argv} took longer than {}s", limit.as_secs());
                    return Err(std::io::Error::new(std::io::ErrorKind::TimedOut, late).into());
                }
                started.into_output()?
            }
        };
        Ok(Finished {
            code: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            argv,
        })
    }

    /// Runs the call in another folder for a person at the terminal, and returns whether it ended well. What it prints goes
    /// to standard error, where narration belongs.
    pub(super) fn on_terminal(self, cwd: &Path) -> Result<bool, GitError> {
        let command = duct::cmd(program(), self.line_of_arguments()).dir(cwd).full_env(self.environment(&[]));
        let ended = command.stdout_to_stderr().unchecked().run().map_err(|cause| not_started(cause, cwd))?;
        Ok(ended.status.success())
    }

    /// Hands the call out, to be run in `folder`.
    pub(super) fn hand_in(self, folder: &Path) -> Handed {
        let text = |text: &OsStr| text.to_string_lossy().into_owned();
        let line = self.line_of_arguments();
        let argv = std::iter::once("git".to_owned()).chain(line.iter().map(|argument| text(argument)));
        let own = OWN.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let env: Vec<(String, String)> =
            own.chain(self.env.iter().map(|(name, value)| ((*name).to_owned(), text(value)))).collect();
        let set = |name: &&str| env.iter().any(|(set, _)| set == name);
        let without = REDIRECTING.iter().copied().filter(|name| !set(name)).collect();
        let argv = argv.collect();
        Handed { argv, folder: folder.to_owned(), env, without }
    }

    /// Returns the beginning of the call, for errors.
    fn shown(&self) -> String {
        self.args.iter().take(6).map(|a| a.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    fn line_of_arguments(&self) -> Vec<OsString> {
        let mut full: Vec<OsString> = Vec::with_capacity(self.args.len() + 2 * self.settings.len());
        for setting in &self.settings {
            full.extend(["-c".into(), setting.clone()]);
        }
        full.extend(self.args.iter().cloned());
        full
    }

    /// Returns the caller's environment with `own` and what this call sets, less what would redirect git.
    fn environment(&self, own: &[(&str, &str)]) -> BTreeMap<OsString, OsString> {
        let mut env: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
        env.retain(|name, _| !REDIRECTING.iter().any(|removed| name == removed));
        env.extend(own.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))));
        env.extend(self.env.iter().map(|(name, value)| (OsString::from(name), value.clone())));
        env
    }

    /// Runs the call and returns what it wrote; any exit code but 0 is an error.
    pub(super) fn output(self) -> Result<Vec<u8>, GitError> {
        let finished = self.finish()?;
        if finished.code == Some(0) { Ok(finished.stdout) } else { Err(finished.into()) }
    }

    /// Runs the call and returns what it wrote as one trimmed line.
    pub(super) fn line(self) -> Result<String, GitError> {
        Ok(String::from_utf8_lossy(&self.output()?).trim_end().to_owned())
    }

    /// Runs the call in another folder and returns how it ended.
    pub(super) fn finish_in(mut self, cwd: &Path) -> Result<Finished, GitError> {
        cwd.clone_into(&mut self.cwd);
        self.finish()
    }

    /// Runs the call in another folder, fed with `bytes`, for its effect.
    pub(super) fn run_in(mut self, cwd: &Path, bytes: Vec<u8>) -> Result<(), GitError> {
        cwd.clone_into(&mut self.cwd);
        self.stdin(bytes).run()
    }

    /// Runs the call for its effect.
    pub(super) fn run(self) -> Result<(), GitError> {
        self.output().map(drop)
    }
}

/// Returns the git program by its full name, looked for once: a child whose program is still to be searched for, in an
/// environment that is not ours, cannot be started without a copy of this whole process.
fn program() -> &'static OsStr {
    static PROGRAM: OnceLock<OsString> = OnceLock::new();
    PROGRAM.get_or_init(|| which::which_global("git").map_or_else(|_| "git".into(), PathBuf::into_os_string))
}

/// Waits for a call that is killed at the limit; returns whether it ended by itself.
fn ends_within(call: &duct::Handle, limit: Duration) -> std::io::Result<bool> {
    std::thread::scope(|scope| {
        let (ended, end) = std::sync::mpsc::channel::<()>();
        let watch = scope.spawn(move || {
            let late = end.recv_timeout(limit) == Err(std::sync::mpsc::RecvTimeoutError::Timeout);
            late && call.kill().is_ok()
        });
        let waited = call.wait().map(drop);
        drop(ended);
        let killed = watch.join().expect("waiting does not panic");
        waited.map(|()| !killed)
    })
}

fn not_started(cause: std::io::Error, cwd: &Path) -> GitError {
    let missing = cause.kind() == std::io::ErrorKind::NotFound && cwd.is_dir();
    if missing { Unusable::NoProgram(cause).into() } else { GitError::Io(cause) }
}

impl From<Finished> for GitError {
    fn from(ended: Finished) -> Self {
        if let Some(locked) = locked(&ended.stderr) {
            return locked;
        }
        if ended.stderr.contains("No space left on device") {
            return Self::NoSpace { argv: ended.argv };
        }
        Self::Failed { argv: ended.argv, code: ended.code, stderr: ended.stderr }
    }
}

/// Reads what git says when a lock file stands in its way.
fn locked(stderr: &str) -> Option<GitError> {
    let (_, from) = stderr.split_once("Unable to create '")?;
    let (path, _) = from.split_once("': File exists")?;
    let about = fs_err::symlink_metadata(path).ok();
    let owner = about.as_ref().map(std::os::unix::fs::MetadataExt::uid);
    let age = about.and_then(|about| about.modified().ok()?.elapsed().ok());
    Some(GitError::Locked { path: path.into(), owner, age })
}

/// Returns the version of the git program if it is new enough.
pub(super) fn require_version(repo: &Repo) -> Result<(), GitError> {
    let said = Git::on(repo, "version").line()?;
    let found = said.strip_prefix("git version ").unwrap_or(&said).to_owned();
    match version(&found) {
        Some(found) if found >= OLDEST => Ok(()),
        _ => Err(Unusable::TooOld { found, needed: format!("{}.{}", OLDEST.0, OLDEST.1) }.into()),
    }
}

fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Splits the answer of a `-z` call, lossily.
pub(super) fn fields(bytes: &[u8]) -> impl Iterator<Item = String> + '_ {
    bytes
        .split(|b| *b == 0)
        .filter(|field| !field.is_empty())
        .map(|f| String::from_utf8_lossy(f).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_in_the_way_is_told_with_its_age_and_owner() {
        let lock = tempfile::NamedTempFile::new().unwrap();
        let said = format!(
            "fatal: Unable to create '{}': File exists.\n\nAnother git process",
            lock.path().display()
        );
        let Some(GitError::Locked { path, owner, age }) = locked(&said) else { panic!("not understood") };
        assert_eq!(path, lock.path());
        assert!(owner.is_some() && age.is_some());
        assert!(locked("fatal: Unable to create '/x': Permission denied").is_none());
    }

    #[test]
    fn versions_compare_as_numbers() {
        assert_eq!(version("2.47.3"), Some((2, 47)));
        assert_eq!(version("2.9.0"), Some((2, 9)));
        assert!(version("2.9.0") < Some(OLDEST));
        assert_eq!(version("2.50.1 (Apple Git-155)"), Some((2, 50)));
        assert_eq!(version("banana"), None);
    }
}
