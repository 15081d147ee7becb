//! A structural merge: a tool that knows the language merges copies of the three texts, as a process of its own.
//!
//! ```text
//!  sides ─▶ files in a private folder ─▶ the tool, bounded ─▶ exit code 0, judged ─ kept ─▶ taken
//!                                           │ any other          └ in doubt ─┐
//!                                           └───────────────────────────────▶ the next tool; then the next step
//! ```
//!
//! Invariants: a tool is started under a guard, sees a few harmless variables and its own folder as home, and its word alone
//! accepts nothing: what it makes is taken only if the check of conservation finds everything of both sides in it. None is
//! linked: the best one is under the GPL.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use fs_err as fs;

use crate::land::conflict::no_text;
use crate::land::conserve::{self, Judgement, Names, Sides};
use crate::model::observer::Observer;
use crate::model::settings::Structural;
use crate::model::text::{one_line, shell_word};
use crate::process::run::{self, Shell};
use crate::store::Lock;

/// How long one tool may take for one file.
const LIMIT: Duration = Duration::from_secs(10);
/// How long all of them together may take in one landing.
const TOTAL: Duration = Duration::from_secs(60);
/// The largest result that is read, in bytes: of two sides of 1 MiB and what joins them.
const LARGEST: u64 = 4 << 20;
/// The largest file that a tool can write, in blocks of 512 or 1024 bytes: more than any result, less than a disk.
const BLOCKS: u32 = 16 << 10;

/// How the known tools are called; they end by themselves before [`LIMIT`].
const MERGIRAF: &str = "mergiraf merge --timeout 8000 --path-name %P --output %A %O %A %B";

/// The variables that a tool sees of ours: where programs are, and which language people speak.
const SEEN: &[&str] = &["PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ"];

/// The tools of one landing.
pub(super) struct Tools<'a> {
    setting: &'a Structural,
    observer: &'a dyn Observer,
    /// What their guards share: the landing lock, where one is held.
    lock: Option<&'a Lock>,
    left: Cell<Duration>,
    /// Those whose absence was told.
    missing: RefCell<BTreeSet<String>>,
}

impl<'a> Tools<'a> {
    pub(super) fn new(setting: &'a Structural, observer: &'a dyn Observer, lock: Option<&'a Lock>) -> Self {
        Self { setting, observer, lock, left: Cell::new(TOTAL), missing: RefCell::default() }
    }

    /// Returns the merged text of a file that a tool made and that keeps both sides.
    pub(super) fn merge(&self, sides: &Sides<'_>, names: &Names<'_>) -> Option<Vec<u8>> {
        let every = [sides.base, Some(sides.ours), Some(sides.theirs)];
        if every.into_iter().flatten().any(|side| no_text(side).is_some()) {
            return None;
        }
        self.setting.tools().iter().find_map(|tool| self.merge_with(tool, sides, names))
    }

    fn merge_with(&self, tool: &str, sides: &Sides<'_>, names: &Names<'_>) -> Option<Vec<u8>> {
        let line = command_line(tool);
        let program = line.split_whitespace().next().unwrap_or_default();
        if !installed(program) {
            let by_user = matches!(self.setting, Structural::Named(_));
            if by_user && self.missing.borrow_mut().insert(program.to_owned()) {
                let program = one_line(program, 80);
                self.observer.warn(&format!("`merge.structural` names `{program}`, which is not on PATH"));
            }
            return None;
        }
        if self.left.get().is_zero() {
            return None;
        }
        let begun = Instant::now();
        let made = self.run(line, sides, LIMIT.min(self.left.get()));
        self.left.set(self.left.get().saturating_sub(begun.elapsed()));
        let not_taken = |why: &str| {
            let (program, path) = (one_line(program, 80), one_line(sides.path, 200));
            self.observer.step(&format!("`{program}` does not merge `{path}`: {why}"));
        };
        match made {
            Err(cause) => not_taken(&one_line(&cause.to_string(), 200)),
            Ok(Err(why)) => not_taken(why),
            Ok(Ok(text)) => match conserve::judge(sides, &text, &[], None) {
                Judgement::Kept => return Some(text),
                doubtful => {
                    let first = doubtful.doubts().first().map(|doubt| doubt.told(names));
                    not_taken(&first.unwrap_or_default());
                }
            },
        }
        None
    }

    /// Runs a tool on copies, and returns what it left, or why that is nothing.
    fn run(
        &self,
        line: &str,
        sides: &Sides<'_>,
        limit: Duration,
    ) -> io::Result<Result<Vec<u8>, &'static str>> {
        let folder = tempfile::Builder::new().prefix("wt-merge-").tempdir()?;
        let ending = ending(sides.path);
        let names = ["base", "ours", "theirs"].map(|side| format!("{side}{ending}"));
        for (name, text) in names.iter().zip([sides.base.unwrap_or_default(), sides.ours, sides.theirs]) {
            fs::write(folder.path().join(name), text)?;
        }
        let [base, ours, theirs] = &names;
        let home = folder.path().to_string_lossy().into_owned();
        let above = folder.path().parent().unwrap_or(folder.path()).to_string_lossy().into_owned();
        let own = ["HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"];
        let mut env: Vec<(String, String)> =
            own.iter().map(|name| ((*name).to_owned(), home.clone())).collect();
        // The folder is in no repository, wherever temporary folders are.
        env.push(("GIT_CEILING_DIRECTORIES".to_owned(), above));
        let others: Vec<String> =
            std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
        let foreign = |name: &&str| !SEEN.contains(name) && !env.iter().any(|(own, _)| own == name);
        let without: Vec<&str> = others.iter().map(String::as_str).filter(foreign).collect();
        let filled = filled(line, &[('O', base), ('A', ours), ('B', theirs), ('P', sides.path)]);
        let lock: Option<BorrowedFd<'_>> = self.lock.map(Lock::as_fd);
        let shell = Shell {
            stdin: None,
            command: &format!("ulimit -f {BLOCKS}\n{filled}"),
            folder: folder.path(),
            env: &env,
            without: &without,
            timeout: limit,
            log: &folder.path().join("output.log"),
            token: &uuid::Uuid::new_v4().simple().to_string(),
            shared: lock.as_slice(),
            then: &[],
        };
        // Its time is short: a landing that is to end waits for it.
        let outcome = run::shell_blocking(&shell, std::future::pending())?;
        if outcome.timed_out {
            return Ok(Err("its time was up"));
        }
        if !outcome.passed() {
            return Ok(Err("it leaves conflicts"));
        }
        let result = folder.path().join(ours);
        let about = fs::symlink_metadata(&result)?;
        if !about.is_file() || about.len() > LARGEST {
            return Ok(Err("what it left is no file, or too large"));
        }
        fs::read(result).map(Ok)
    }
}

/// Returns how a tool is called.
fn command_line(tool: &str) -> &str {
    if tool == "mergiraf" { MERGIRAF } else { tool }
}

fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    which::which_in(program, Some(&path), Path::new("/")).is_ok()
}

/// Returns the ending of a path with its dot, by which tools know a language, if it is harmless.
fn ending(path: &str) -> String {
    let ending = Path::new(path).extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let plain = !ending.is_empty() && ending.len() < 20 && ending.chars().all(|c| c.is_ascii_alphanumeric());
    if plain { format!(".{ending}") } else { String::new() }
}

/// Returns a command line with words for its placeholders; `%%` is a percent sign.
fn filled(line: &str, words: &[(char, &str)]) -> String {
    let mut text = String::with_capacity(line.len() + 64);
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        match rest.next() {
            Some('%') | None => text.push('%'),
            Some(letter) => match words.iter().find(|(known, _)| *known == letter) {
                Some((_, word)) => text.push_str(&shell_word(word)),
                None => text.extend(['%', letter]),
            },
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_become_words_of_a_shell() {
        let words = [('A', "ours.rs"), ('P', "it's a/b.rs")];
        assert_eq!(filled("m %A -p %P 100%% %x %", &words), "m ours.rs -p 'it'\\''s a/b.rs' 100% %x %");
    }

    #[test]
    fn only_harmless_endings_are_kept() {
        assert_eq!(
            ["a/b.rs", "Makefile", ".gitignore", "a.b c", "a.$(x)"].map(ending),
            [".rs", "", "", "", ""]
        );
    }
}
