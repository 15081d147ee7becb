//! git without any configuration, on an empty repository of its own that borrows the objects of another.
//!
//! Invariant: what git writes while it merges goes to the borrowing repository, never to the one that is measured.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// git, as every call here runs it.
pub struct Git {
    home: PathBuf,
}

impl Git {
    /// Keeps what it needs below a folder.
    pub fn new(root: &Path) -> Self {
        let home = root.join("home");
        std::fs::create_dir_all(&home).unwrap();
        Self { home }
    }

    /// A call; `dir` is a git directory.
    pub fn command(&self, dir: Option<&Path>, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("GIT_") {
                command.env_remove(name);
            }
        }
        command.env("HOME", &self.home).env("XDG_CONFIG_HOME", &self.home).env("GIT_CONFIG_NOSYSTEM", "1");
        if let Some(dir) = dir {
            command.arg("--git-dir").arg(dir);
        }
        command.args(args).stdin(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// What a call writes; it must not fail.
    pub fn read(&self, dir: &Path, args: &[&str]) -> String {
        let output = self.command(Some(dir), args).output().unwrap();
        assert!(output.status.success(), "git {args:?} in {}: {}", dir.display(), output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The git directory of a repository.
    pub fn dir(&self, repo: &Path) -> PathBuf {
        let mut command = self.command(None, &["-C"]);
        let output = command.arg(repo).args(["rev-parse", "--absolute-git-dir"]).output().unwrap();
        assert!(output.status.success(), "{} is no repository", repo.display());
        PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
    }

    /// Makes an empty repository that sees the objects of another.
    pub fn borrowing(&self, from: &Path) -> PathBuf {
        let name = self.home.read_dir().unwrap().count();
        let dir = self.home.join(format!("{name}.git"));
        let format = self.read(from, &["rev-parse", "--show-object-format"]);
        let format = format!("--object-format={}", format.trim());
        let made = self.command(None, &["init", "-q", "--bare", &format]).arg(&dir).status().unwrap();
        assert!(made.success());
        let objects = self.read(from, &["rev-parse", "--path-format=absolute", "--git-path", "objects"]);
        std::fs::write(dir.join("objects/info/alternates"), objects).unwrap();
        dir
    }
}

/// Reads many objects by one process.
pub struct Objects {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Objects {
    /// Of a git directory.
    pub fn new(git: &Git, dir: &Path) -> Self {
        let mut command = git.command(Some(dir), &["cat-file", "--batch"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (asks, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, asks, answers: BufReader::new(answers) }
    }

    /// The bytes of what a name means, if it is a blob.
    pub fn blob(&mut self, name: &str) -> Option<Vec<u8>> {
        if name.contains('\n') {
            return None;
        }
        writeln!(self.asks, "{name}").unwrap();
        self.asks.flush().unwrap();
        let mut head = String::new();
        self.answers.read_line(&mut head).unwrap();
        let mut words = head.split_whitespace().rev();
        let size = words.next()?.parse::<usize>().ok()?;
        let kind = words.next()?.to_owned();
        let mut bytes = vec![0; size + 1];
        self.answers.read_exact(&mut bytes).unwrap();
        bytes.pop();
        (kind == "blob").then_some(bytes)
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        // It has nothing to do but to read.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
