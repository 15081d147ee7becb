//! More of a [`Place`]: other folders than the main checkout, and many calls at once.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::place::{Place, Ran, ended, last_line};

impl Place {
    /// Something beside the repository.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.repo().with_file_name(name)
    }

    /// Runs git in a worktree; it must not fail.
    pub fn git_in(&self, folder: &Path, args: &[&str]) -> Ran {
        let ran = ended(self.command("git", args).current_dir(folder));
        ran.unwrap_or_else(|why| panic!("{why}"))
    }

    /// Starts all of these at once and waits for the last; returns what those said that failed.
    pub fn at_once(&self, program: &str, calls: &[Vec<String>]) -> (Duration, Vec<String>) {
        let begun = Instant::now();
        let started: Vec<_> = calls
            .iter()
            .map(|args| {
                let mut command = self.command(program, args);
                command.stdout(Stdio::null()).stderr(Stdio::piped());
                command.spawn().unwrap()
            })
            .collect();
        let mut failures = Vec::new();
        for one in started {
            let output = one.wait_with_output().unwrap();
            if !output.status.success() {
                failures.push(last_line(&output.stderr));
            }
        }
        (begun.elapsed(), failures)
    }
}
