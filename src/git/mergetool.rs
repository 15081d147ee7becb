//! Conflicted files handed to a person: git's own merge tools, or an editor through the same door.
//!
//! Invariant: only files of a scratch folder and a scratch index are touched, never a worktree or a ref.

use std::path::Path;

use super::command::Git;
use super::{GitError, Repo};
use crate::model::Oid;

/// A conflicted file with its sides.
#[derive(Debug, Clone, Copy)]
pub struct Staged<'a> {
    /// The path, relative to the folder.
    pub path: &'a str,
    /// Its mode on every side.
    pub mode: &'a str,
    /// What both sides started from.
    pub base: Option<&'a Oid>,
    /// The target's.
    pub ours: &'a Oid,
    /// The task's.
    pub theirs: &'a Oid,
}

/// What a person works with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tool {
    /// The editor that git would start.
    Editor,
    /// A merge tool that git knows, or that `mergetool.NAME.cmd` configures.
    Named(String),
}

/// The editor as a merge tool; `$MERGED` is the file.
const EDITOR: &str = "wt-editor";
const EDITOR_COMMAND: &str = r#"editor=$(git var GIT_EDITOR) && eval "$editor" '"$MERGED"'"#;

/// Returns the merge tool that is configured (`merge.tool`), else the editor.
pub fn preferred(repo: &Repo) -> Result<Tool, GitError> {
    let found = Git::on(repo, "config").args(["--get", "merge.tool"]).finish()?;
    let name = String::from_utf8_lossy(&found.stdout).trim().to_owned();
    Ok(if found.code == Some(0) && !name.is_empty() { Tool::Named(name) } else { Tool::Editor })
}

/// Opens `files`, which stand below `folder`, one after the other on the terminal. Returns whether the tool ended well.
pub fn open(repo: &Repo, folder: &Path, files: &[Staged<'_>], tool: &Tool) -> Result<bool, GitError> {
    let scratch = tempfile::tempdir()?;
    let index = scratch.path().join("index");
    let mut script = Vec::new();
    for file in files {
        for (stage, blob) in [(1, file.base), (2, Some(file.ours)), (3, Some(file.theirs))] {
            if let Some(blob) = blob {
                script.extend_from_slice(format!("{} {blob} {stage}\t{}\0", file.mode, file.path).as_bytes());
            }
        }
    }
    let call = |verb: &str| Git::on(repo, verb).env("GIT_INDEX_FILE", &index).set("core.splitIndex=false");
    call("update-index").args(["-z", "--index-info"]).stdin(script).run()?;
    let name = match tool {
        Tool::Editor => EDITOR,
        Tool::Named(name) => name,
    };
    call("mergetool")
        .env("GIT_WORK_TREE", folder)
        .env("GIT_LITERAL_PATHSPECS", "1")
        .set("mergetool.keepBackup=false")
        .set("mergetool.writeToTemp=true")
        .set(format!("mergetool.{EDITOR}.cmd={EDITOR_COMMAND}"))
        .set(format!("mergetool.{EDITOR}.trustExitCode=true"))
        .args(["--no-prompt", "--tool", name, "--"])
        .args(files.iter().map(|file| file.path))
        .on_terminal(folder)
}
