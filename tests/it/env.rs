//! A hermetic place to test in: a temporary home, repositories with a fixed identity, git run with a cleared environment.
//!
//! Calls into the library run in the test process and see its environment; therefore every repository made here carries
//! its identity and its settings in its own config, which win over whatever the machine has.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use fs_err as fs;

/// The date of every commit made through [`Env`], unless given otherwise.
pub const DATE: &str = "2026-01-02T03:04:05+00:00";

/// A temporary folder with a home in it; everything vanishes when it is dropped.
pub struct Env {
    root: tempfile::TempDir,
    path: PathBuf,
}

impl Env {
    /// Makes an empty environment.
    pub fn new() -> Self {
        let root = tempfile::Builder::new().prefix("wt-test-").tempdir().expect("a temporary folder");
        let path = root.path().canonicalize().expect("a real path");
        fs::create_dir(path.join("home")).expect("a home");
        fs::write(path.join("home/.gitconfig"), CONFIG).expect("a git config");
        Self { root, path }
    }

    /// Makes an environment with a repository `repo` that has one commit on `main` (`README.md`).
    pub fn with_repo() -> (Self, TestRepo) {
        let env = Self::new();
        let repo = env.repo("repo");
        repo.commit("README.md", "readme\n");
        (env, repo)
    }

    /// Returns the folder of this environment, symlinks resolved.
    pub fn root(&self) -> &Path {
        &self.path
    }

    /// Makes an empty repository below the root, on an unborn `main`.
    pub fn repo(&self, name: &str) -> TestRepo {
        let path = self.path.join(name);
        self.git_in(&self.path, &["init", "-q", "-b", "main", &path.to_string_lossy()]);
        let repo = self.at(&path);
        repo.configure();
        repo
    }

    /// Returns a handle on the repository or worktree at `path`.
    pub fn at(&self, path: &Path) -> TestRepo {
        TestRepo { path: path.to_owned(), home: self.path.join("home") }
    }

    /// Returns a command with the hermetic environment of this place, to be run in `cwd`.
    pub fn command(&self, program: &str, cwd: &Path) -> Command {
        command(program, cwd, &self.path.join("home"))
    }

    /// Runs git in `cwd` and returns its trimmed output; panics where it fails.
    pub fn git_in(&self, cwd: &Path, args: &[&str]) -> String {
        self.at(cwd).git(args)
    }

    /// Keeps the folder on disk, to look at it after a failure.
    #[expect(dead_code, reason = "only for debugging a test")]
    pub fn keep(self) -> PathBuf {
        self.root.keep()
    }
}

/// Returns `n` lines, each of the given words and its number.
pub fn lines(words: &str, n: usize) -> String {
    (0..n).fold(String::new(), |text, n| text + words + " " + &n.to_string() + "\n")
}

const CONFIG: &str = "[user]\n\tname = Ada Tester\n\temail = ada@example.org\n[init]\n\tdefaultBranch = main\n\
    [commit]\n\tgpgsign = false\n[core]\n\tautocrlf = false\n[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n";

fn command(program: &str, cwd: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(cwd)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("XDG_CONFIG_HOME", home.join(".config"))
        .env("GIT_CONFIG_GLOBAL", home.join(".gitconfig"))
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_AUTHOR_DATE", DATE)
        .env("GIT_COMMITTER_DATE", DATE)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_EDITOR", ":")
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .env("COLUMNS", "100")
        // A busy machine is no reason for a test to wait; one that is about waiting says so.
        .env("WT_STAGGER", "0")
        .env("WT_MEMORY", "0B")
        .stdin(Stdio::null());
    command
}

/// A repository or worktree of an [`Env`].
pub struct TestRepo {
    path: PathBuf,
    home: PathBuf,
}

impl TestRepo {
    /// Returns where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes identity and neutral settings into the repository's own config.
    pub fn configure(&self) {
        for (key, value) in [
            ("user.name", "Ada Tester"),
            ("user.email", "ada@example.org"),
            ("commit.gpgsign", "false"),
            ("core.autocrlf", "false"),
            ("gc.auto", "0"),
            ("maintenance.auto", "false"),
        ] {
            self.git(&["config", key, value]);
        }
    }

    /// Runs git here and returns its trimmed output; panics where it fails.
    pub fn git(&self, args: &[&str]) -> String {
        let output = self.try_git(args);
        assert!(
            output.status.success(),
            "git {} in {} failed ({}):\n{}{}",
            args.join(" "),
            self.path.display(),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Runs git here, whatever comes of it.
    pub fn try_git(&self, args: &[&str]) -> Output {
        command("git", &self.path, &self.home).args(args).output().expect("git can be started")
    }

    /// Writes a file, making its folders.
    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.path.join(path);
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("its folder");
        fs::write(path, text).expect("the file");
    }

    /// Reads a file as text.
    pub fn read(&self, path: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path.join(path)).expect("the file")).into_owned()
    }

    /// Writes a file, stages everything and commits; returns the commit's id.
    pub fn commit(&self, path: &str, text: &str) -> String {
        self.write(path, text);
        self.commit_all(&format!("change {path}"))
    }

    /// Stages and commits everything there is; returns the commit's id.
    pub fn commit_all(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.head()
    }

    /// Returns the id of `HEAD`.
    pub fn head(&self) -> String {
        self.rev("HEAD")
    }

    /// Returns the id that a revision names.
    pub fn rev(&self, rev: &str) -> String {
        self.git(&["rev-parse", "--verify", rev])
    }
}
