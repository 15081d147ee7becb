//! git's own memory of resolved conflicts (`git rerere`), asked without being touched.
//!
//! ```text
//!  the merge in each style of markers ─▶ scratch repository ─▶ git rerere: the names of the conflicts
//!  what is remembered under these names ─▶ copied there ─▶ git rerere: the files, resolved or not
//! ```
//!
//! git names a conflict by the lines between its markers, whichever side comes first, and these lines are others in another
//! style of markers. Which style was in force when a person resolved it is not known, so all of them are tried. The same holds for
//! line ends: git names what it finds in the worktree, where `core.autocrlf` or an attribute may have made others of them.
//!
//! Invariant: the repository's memory is only read; names and resolutions are git's to compute, in a folder that is deleted.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::command::Git;
use super::conflict::{Conflict, marker};
use super::{GitError, Repo, objects, replay, tree};
use crate::model::Oid;

/// The styles in which git marks conflicts, the usual one first.
const STYLES: [&str; 3] = ["merge", "diff3", "zdiff3"];

/// In how many forms a file is tried: each style, and each once more with the line ends of a worktree that has CRLF.
const FORMS: usize = STYLES.len() * 2;

/// The largest file of the memory that is read, in bytes.
const LARGEST: u64 = 8 << 20;

/// Returns what git remembers of the conflict of replaying `commit` onto `onto`: for each of these paths of it the text that
/// it becomes, `None` where nothing is remembered or it does not fit. Where git remembers nothing at all, no process is started.
pub fn recorded(
    repo: &Repo,
    onto: &Oid,
    commit: &Oid,
    conflict: &Conflict,
    paths: &[&str],
) -> Result<Vec<Option<Vec<u8>>>, GitError> {
    let nothing = || Ok(vec![None; paths.len()]);
    let memory = repo.common_dir().join("rr-cache");
    if paths.is_empty() || switched_off(repo) || !remembers(&memory) {
        return nothing();
    }
    let parents = objects::parents(repo, commit)?;
    let [parent] = parents.as_slice() else { return nothing() };
    let scratch = Scratch::new(repo)?;
    for (style, name) in STYLES.iter().enumerate() {
        let merged = match *name {
            "diff3" => conflict.tree.clone(),
            _ => replay::answer_marked(repo, Some(parent), onto, commit, name)?.tree()?,
        };
        for (n, path) in paths.iter().enumerate() {
            if let Some((_, blob)) = tree::entry(repo, &merged, path)? {
                let marked = tree::blob(repo, &blob)?;
                scratch.put(n, style, &marked, onto)?;
                if !marked.contains(&b'\r') {
                    scratch.put(n, style + STYLES.len(), &marked, onto)?;
                }
            }
        }
    }
    scratch.stage(paths.len(), onto)?;
    scratch.rerere()?;
    if !scratch.bring(&memory)? {
        return nothing();
    }
    scratch.rerere()?;
    (0..paths.len()).map(|n| scratch.result(n)).collect()
}

/// Tells whether the user wants none of it.
fn switched_off(repo: &Repo) -> bool {
    repo.local().config_snapshot().boolean("rerere.enabled") == Some(false)
}

fn remembers(memory: &Path) -> bool {
    fs::read_dir(memory).is_ok_and(|mut inside| inside.next().is_some())
}

/// A repository with nothing but conflicts in it: the `n`th file in each form is `n.style`, with CRLF `n.style-crlf`, its marked
/// text beside it.
struct Scratch {
    folder: tempfile::TempDir,
    git: PathBuf,
    files: PathBuf,
}

impl Scratch {
    fn new(repo: &Repo) -> Result<Self, GitError> {
        let folder = tempfile::tempdir()?;
        let (git, files) = (folder.path().join("git"), folder.path().join("files"));
        for inside in ["objects", "refs", "info", "rr-cache"] {
            fs::create_dir_all(git.join(inside))?;
        }
        fs::create_dir(&files)?;
        fs::write(git.join("HEAD"), "ref: refs/heads/none\n")?;
        let format = match repo.hash() {
            gix::hash::Kind::Sha256 => {
                "[core]\n\trepositoryformatversion = 1\n[extensions]\n\tobjectFormat = sha256\n"
            }
            _ => "[core]\n\trepositoryformatversion = 0\n",
        };
        fs::write(git.join("config"), format)?;
        Ok(Self { folder, git, files })
    }

    fn name(n: usize, form: usize) -> String {
        let ends = if has_crlf(form) { "-crlf" } else { "" };
        format!("{n}.{}{ends}", STYLES[form % STYLES.len()])
    }

    fn marked(&self, n: usize, form: usize) -> PathBuf {
        self.folder.path().join(Self::name(n, form))
    }

    /// Puts a marked file there; its markers are as long as they are in the repository, where attributes may say so.
    fn put(&self, n: usize, form: usize, marked: &[u8], onto: &Oid) -> Result<(), GitError> {
        let mut lines = marked.split_inclusive(|b| *b == b'\n');
        let size = lines.find_map(|line| marker(line, onto)).map_or(7, |head| head.len() - 1);
        let name = Self::name(n, form);
        let text = if has_crlf(form) { with_crlf(marked) } else { marked.to_owned() };
        fs::write(self.files.join(&name), &text)?;
        fs::write(self.marked(n, form), &text)?;
        let attributes = self.git.join("info/attributes");
        let mut known = fs::read(&attributes).unwrap_or_default();
        known.extend_from_slice(format!("{name} conflict-marker-size={size}\n").as_bytes());
        Ok(fs::write(attributes, known)?)
    }

    /// Says in the index that these files are in conflict; of what stands there git needs only the names.
    fn stage(&self, files: usize, any: &Oid) -> Result<(), GitError> {
        let mut script = Vec::new();
        let names = (0..files).flat_map(|n| (0..FORMS).map(move |form| Self::name(n, form)));
        for name in names.filter(|name| self.files.join(name).exists()) {
            for stage in 1..=3 {
                script.extend_from_slice(format!("100644 {any} {stage}\t{name}\0").as_bytes());
            }
        }
        self.call("update-index").args(["-z", "--index-info"]).stdin(script).run()
    }

    fn call(&self, verb: &str) -> Git {
        let settings = ["core.splitIndex=false", "rerere.enabled=true", "rerere.autoUpdate=false"];
        let call = Git::alone(&self.git, verb).env("GIT_WORK_TREE", &self.files);
        settings.into_iter().fold(call, Git::set)
    }

    /// Lets git look at the files; it opens them from where it stands, whatever the worktree is.
    fn rerere(&self) -> Result<(), GitError> {
        self.call("rerere").run_in(&self.files, Vec::new())
    }

    /// Copies what is remembered of the conflicts that git has just named, and makes git forget that it saw them; `false`:
    /// nothing is.
    fn bring(&self, memory: &Path) -> Result<bool, GitError> {
        let list = self.git.join("MERGE_RR");
        if !list.exists() {
            return Ok(false);
        }
        let listed = fs::read(&list)?;
        let names: BTreeSet<String> = listed
            .split(|b| *b == 0)
            .filter_map(|record| record.split(|b| matches!(b, b'.' | b'\t')).next())
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .filter(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_hexdigit()))
            .collect();
        let mut found = false;
        for name in names {
            let Ok(entries) = fs::read_dir(memory.join(&name)) else { continue };
            let there = self.git.join("rr-cache").join(&name);
            if there.exists() {
                fs::remove_dir_all(&there)?;
            }
            fs::create_dir(&there)?;
            for entry in entries {
                let entry = entry?;
                let file = entry.file_name().to_string_lossy().into_owned();
                let about = entry.metadata()?;
                let known = file.starts_with("preimage") || file.starts_with("postimage");
                if known && about.is_file() && about.len() <= LARGEST {
                    fs::copy(entry.path(), there.join(&file))?;
                    found |= file.starts_with("postimage");
                }
            }
        }
        fs::remove_file(list)?;
        Ok(found)
    }

    /// Returns what git made of the `n`th file in whichever style it was remembered.
    fn result(&self, n: usize) -> Result<Option<Vec<u8>>, GitError> {
        for form in 0..FORMS {
            let path = self.files.join(Self::name(n, form));
            if !path.exists() {
                continue;
            }
            let text = fs::read(path)?;
            if text != fs::read(self.marked(n, form))? {
                return Ok(Some(if has_crlf(form) { without_crlf(&text) } else { text }));
            }
        }
        Ok(None)
    }
}

fn has_crlf(form: usize) -> bool {
    form >= STYLES.len()
}

fn with_crlf(text: &[u8]) -> Vec<u8> {
    text.iter()
        .flat_map(|byte| if *byte == b'\n' { &b"\r\n"[..] } else { std::slice::from_ref(byte) })
        .copied()
        .collect()
}

fn without_crlf(text: &[u8]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_suffix(b"\r\n") {
            Some(line) => lines.extend(line.iter().chain(b"\n")),
            None => lines.extend(line),
        }
    }
    lines
}
