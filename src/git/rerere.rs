//! Resolved conflicts in the form of `git rerere`: what is remembered is asked for, and what has landed is added.
//!
//! ```text
//!  the merge in each style of markers ─▶ scratch repository ─▶ git rerere: the names of the conflicts
//!  what is remembered under these names ─▶ copied there ─▶ git rerere: the files, resolved or not
//!  a resolution that landed ─▶ written there ─▶ git rerere: what it would remember ─▶ copied back, beside what is there
//! ```
//!
//! There are two memories: git's own, and one of `wt` in the same form. What has landed goes into git's own where git itself
//! remembers resolutions here, else into the other: the folder of git's own must not be made for it, since that folder alone
//! makes git remember, and resolve, in every merge that a person does.
//!
//! git names a conflict by the lines between its markers, whichever side comes first, and these lines are others in another
//! style of markers. Which style was in force when a person resolved it is not known, so all of them are tried. The same holds for
//! line ends: git names what it finds in the worktree, where `core.autocrlf` or an attribute may have made others of them.
//!
//! Invariant: nothing that is remembered is changed or replaced, only added to; names and resolutions are git's to compute, in a
//! folder that is deleted.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Write as _};
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
/// it becomes, `None` where nothing is remembered or it does not fit. git's own memory is asked first, then the one in the
/// folder `beside`. Where nothing at all is remembered, no process is started.
pub fn recorded(
    repo: &Repo,
    beside: &Path,
    onto: &Oid,
    commit: &Oid,
    conflict: &Conflict,
    paths: &[&str],
) -> Result<Vec<Option<Vec<u8>>>, GitError> {
    let nothing = || Ok(vec![None; paths.len()]);
    let mut memories = vec![own_memory(repo), beside.to_owned()];
    memories.retain(|memory| remembers(memory));
    if paths.is_empty() || memories.is_empty() || switched_off(repo) {
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
    let names = scratch.names()?;
    let mut found = false;
    for memory in memories {
        if scratch.bring(&memory, &names)? {
            found = true;
            scratch.rerere()?;
        }
    }
    if !found {
        return nothing();
    }
    (0..paths.len()).map(|n| scratch.result(n)).collect()
}

/// Remembers what these files of the conflict of replaying `commit` onto `onto` became, as git would have: each path with its
/// text. What is remembered of such a conflict already stays, and is not added to where it comes to a result. `beside`: the
/// memory that is used where git keeps none of its own.
pub fn record(
    repo: &Repo,
    beside: &Path,
    onto: &Oid,
    commit: &Oid,
    settled: &[(&str, &Oid)],
) -> Result<(), GitError> {
    let parents = objects::parents(repo, commit)?;
    let [parent] = parents.as_slice() else { return Ok(()) };
    if settled.is_empty() || switched_off(repo) {
        return Ok(());
    }
    let memory = if is_on(repo) { own_memory(repo) } else { beside.to_owned() };
    let style = style_of(repo);
    let merged = replay::answer_marked(repo, Some(parent), onto, commit, STYLES[style])?.tree()?;
    let scratch = Scratch::new(repo)?;
    for (n, (path, _)) in settled.iter().enumerate() {
        if let Some((_, blob)) = tree::entry(repo, &merged, path)? {
            scratch.put(n, style, &tree::blob(repo, &blob)?, onto)?;
        }
    }
    scratch.stage(settled.len(), onto)?;
    scratch.rerere()?;
    let names = scratch.names()?;
    scratch.bring(&memory, &names)?;
    scratch.rerere()?;
    for (n, (_, blob)) in settled.iter().enumerate() {
        scratch.settle(n, style, &tree::blob(repo, blob)?)?;
    }
    scratch.rerere()?;
    scratch.take_back(&memory, &names)
}

/// git's own memory.
fn own_memory(repo: &Repo) -> PathBuf {
    repo.common_dir().join("rr-cache")
}

/// Returns what the user has said of it, if anything.
fn wish(repo: &Repo) -> Option<bool> {
    repo.local().config_snapshot().boolean("rerere.enabled")
}

/// Tells whether the user wants none of it.
fn switched_off(repo: &Repo) -> bool {
    wish(repo) == Some(false)
}

/// Tells whether git itself remembers what a person resolves here, as it decides that.
fn is_on(repo: &Repo) -> bool {
    wish(repo).unwrap_or_else(|| own_memory(repo).is_dir())
}

/// Returns the style, by its place in [`STYLES`], in which git would have shown these conflicts to a person.
fn style_of(repo: &Repo) -> usize {
    let told = repo.local().config_snapshot().string("merge.conflictStyle").map(|told| told.to_string());
    STYLES.iter().position(|style| told.as_deref() == Some(*style)).unwrap_or(0)
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

    fn list(&self) -> PathBuf {
        self.git.join("MERGE_RR")
    }

    /// Returns the names of the conflicts that git has just seen.
    fn names(&self) -> Result<BTreeSet<String>, GitError> {
        if !self.list().exists() {
            return Ok(BTreeSet::new());
        }
        let listed = fs::read(self.list())?;
        Ok(listed
            .split(|b| *b == 0)
            .filter_map(|record| record.split(|b| matches!(b, b'.' | b'\t')).next())
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .filter(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_hexdigit()))
            .collect())
    }

    /// Puts what is remembered of these conflicts in the place of what git knows of them, and makes git forget that it saw
    /// them; `false`: no resolution is among it.
    fn bring(&self, memory: &Path, names: &BTreeSet<String>) -> Result<bool, GitError> {
        let mut found = false;
        for name in names {
            let there = self.remembered(name);
            if there.exists() {
                fs::remove_dir_all(&there)?;
            }
            let Ok(entries) = fs::read_dir(memory.join(name)) else { continue };
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
        if self.list().exists() {
            fs::remove_file(self.list())?;
        }
        Ok(found)
    }

    fn remembered(&self, name: &str) -> PathBuf {
        self.git.join("rr-cache").join(name)
    }

    /// Writes what the `n`th file became, unless git has resolved it from what it remembers.
    fn settle(&self, n: usize, form: usize, text: &[u8]) -> Result<(), GitError> {
        let path = self.files.join(Self::name(n, form));
        if path.exists() && fs::read(&path)? == fs::read(self.marked(n, form))? {
            fs::write(path, text)?;
        }
        Ok(())
    }

    /// Copies to `memory` what git remembers now of these conflicts and that one does not. A resolution comes after the
    /// conflict that it is for, each whole or not at all.
    fn take_back(&self, memory: &Path, names: &BTreeSet<String>) -> Result<(), GitError> {
        for name in names {
            let (here, there) = (self.remembered(name), memory.join(name));
            let Ok(entries) = fs::read_dir(&here) else { continue };
            for entry in entries {
                let file = entry?.file_name().to_string_lossy().into_owned();
                let Some(variant) = file.strip_prefix("postimage") else { continue };
                let before = format!("preimage{variant}");
                if there.join(&before).exists() || there.join(&file).exists() {
                    continue;
                }
                fs::create_dir_all(&there)?;
                if added(&here.join(&before), &there)? {
                    added(&here.join(&file), &there)?;
                }
            }
        }
        Ok(())
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

/// Adds a copy of a file to a folder; `false`: somebody else was faster.
fn added(file: &Path, folder: &Path) -> Result<bool, GitError> {
    let name = file.file_name().unwrap_or_default();
    let mut copy = tempfile::Builder::new()
        .prefix("wt-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
        .tempfile_in(folder)?;
    copy.write_all(&fs::read(file)?)?;
    match copy.persist_noclobber(folder.join(name)) {
        Ok(_) => Ok(true),
        Err(failed) if failed.error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(failed) => Err(failed.error.into()),
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
