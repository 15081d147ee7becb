//! A folder with a repository and a home of its own, and programs run in it as a person would run them.
//!
//! Invariant: what is measured sees no configuration of the machine and no variable of `wt` or git that the caller has set;
//! a program that fails is never a figure.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The `wt` that is measured: the one of this build, unless `WT_BENCH_WT` names another.
pub fn wt() -> String {
    std::env::var("WT_BENCH_WT").unwrap_or_else(|_| env!("CARGO_BIN_EXE_wt").to_owned())
}

/// A program that ended well.
pub struct Ran {
    /// From before its start to after its end.
    pub took: Duration,
    /// What it wrote.
    pub out: String,
}

/// A repository `repo` beside a home folder.
#[derive(Clone)]
pub struct Place {
    folder: PathBuf,
}

impl Place {
    /// Makes the folders, an identity for git, and `config` as the user's configuration of `wt`; `repo` is not made.
    pub fn new(folder: &Path, config: &str) -> Self {
        let place = Self { folder: folder.to_owned() };
        let own = folder.join("home/.config/wt");
        std::fs::create_dir_all(&own).unwrap();
        std::fs::write(own.join("config.toml"), config).unwrap();
        let identity =
            "[user]\n\tname = bench\n\temail = bench@example.invalid\n[init]\n\tdefaultBranch = main\n";
        std::fs::write(folder.join("home/.gitconfig"), identity).unwrap();
        place
    }

    /// The main checkout.
    pub fn repo(&self) -> PathBuf {
        self.folder.join("repo")
    }

    /// Where `wt` makes worktrees.
    pub fn worktrees(&self) -> PathBuf {
        self.folder.join("repo-worktrees")
    }

    /// A call in the main checkout.
    pub fn command<S: AsRef<std::ffi::OsStr>>(&self, program: &str, args: &[S]) -> Command {
        let home = self.folder.join("home");
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("WT_") || name.starts_with("GIT_") || name.starts_with("WORKTRUNK_") {
                command.env_remove(&*name);
            }
        }
        command.args(args).current_dir(self.repo()).stdin(Stdio::null());
        command.env("HOME", &home).env("XDG_CONFIG_HOME", home.join(".config"));
        command.env("GIT_CONFIG_NOSYSTEM", "1");
        command
    }

    /// Runs a program to its end; what it said if it failed.
    pub fn attempt<S: AsRef<std::ffi::OsStr>>(&self, program: &str, args: &[S]) -> Result<Ran, String> {
        ended(&mut self.command(program, args))
    }

    /// Runs a program that must not fail.
    pub fn run<S: AsRef<std::ffi::OsStr>>(&self, program: &str, args: &[S]) -> Ran {
        self.attempt(program, args).unwrap_or_else(|why| panic!("{why}"))
    }
}

/// Runs a call to its end; what it said if it failed.
pub fn ended(command: &mut Command) -> Result<Ran, String> {
    let begun = Instant::now();
    let output = command.output().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    let took = begun.elapsed();
    if output.status.success() {
        return Ok(Ran { took, out: String::from_utf8_lossy(&output.stdout).into_owned() });
    }
    Err(format!("{} ({}): {}", shown(command), output.status, last_line(&output.stderr)))
}

fn shown(command: &Command) -> String {
    let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
    format!("{} {}", command.get_program().display(), args.join(" "))
}

/// What a program said last, its error first.
pub fn last_line(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let told = said.lines().rev().find(|line| line.starts_with("error") || line.starts_with("fatal"));
    told.or_else(|| said.lines().last()).unwrap_or_default().to_owned()
}
