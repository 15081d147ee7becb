//! The ways in which a conflicted file is resolved without an agent, on the same files.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use wt::land::resolve::without_agent;
use wt::model::settings::Structural;
use wt::model::text::shell_word;

use crate::case::Case;
use crate::git::Git;

/// How long a merger may take for one file.
const LONGEST: Duration = Duration::from_secs(10);

/// A way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// git as its merges run: none of the cases is clean, by choice.
    Git,
    /// git with the other common way of finding what is alike.
    Myers,
    /// Both sides after each other wherever they conflict.
    Union,
    /// The first parent's version.
    Ours,
    /// The second parent's version.
    Theirs,
    /// The structural merger, whatever the check thinks of it.
    Mergiraf,
    /// The steps of a landing: the structural merger, and only what the check keeps.
    Landing,
}

impl Way {
    /// What it is called in a table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Git => "git",
            Self::Myers => "git, myers",
            Self::Union => "git, union",
            Self::Ours => "always ours",
            Self::Theirs => "always theirs",
            Self::Mergiraf => "mergiraf",
            Self::Landing => "wt without agent",
        }
    }
}

/// What a way makes of a case.
pub struct Answer {
    /// Which.
    pub way: Way,
    /// `None`: it is handed on.
    pub text: Option<Vec<u8>>,
    /// From the texts to the answer.
    pub took: Duration,
}

/// All ways that there are on this machine.
pub struct Ways<'a> {
    git: &'a Git,
    folder: PathBuf,
    mergiraf: Option<PathBuf>,
    /// The same, as a landing would be told to call it.
    structural: Structural,
}

impl<'a> Ways<'a> {
    /// Works below a folder.
    pub fn new(git: &'a Git, root: &Path, mergiraf: Option<PathBuf>) -> Self {
        let folder = root.join("files");
        std::fs::create_dir_all(&folder).unwrap();
        let named = mergiraf.iter().map(|program| {
            let program = shell_word(&program.to_string_lossy());
            format!("{program} merge --timeout 8000 --path-name %P --output %A %O %A %B")
        });
        let structural = Structural::Named(named.collect());
        Self { git, folder, mergiraf, structural }
    }

    /// The programs in one line.
    pub fn versions(&self) -> String {
        let said = |mut command: Command| {
            let output = command.arg("--version").output();
            output.map_or_else(
                |_| "-".to_owned(),
                |said| String::from_utf8_lossy(&said.stdout).trim().to_owned(),
            )
        };
        let mergiraf = self.mergiraf.as_ref().map(|program| said(Command::new(program)));
        let mergiraf = mergiraf.unwrap_or_else(|| "mergiraf: not found".to_owned());
        format!("{}; {mergiraf}", said(self.git.command(None, &[])))
    }

    /// The ways of which there will be an answer to every case.
    pub fn names(&self) -> Vec<Way> {
        let structural = self.mergiraf.iter().flat_map(|_| [Way::Mergiraf, Way::Landing]);
        [Way::Git, Way::Myers, Way::Union, Way::Ours, Way::Theirs].into_iter().chain(structural).collect()
    }

    /// Resolves a case in every way.
    pub fn answers(&self, case: &Case) -> Vec<Answer> {
        let ending = Path::new(&case.path).extension().map(|ending| format!(".{}", ending.display()));
        let ending = ending.unwrap_or_default();
        let file = |name: &str, text: &[u8]| {
            let path = self.folder.join(format!("{name}{ending}"));
            std::fs::write(&path, text).unwrap();
            path
        };
        let files = [
            file("base", case.base.as_deref().unwrap_or_default()),
            file("ours", &case.ours),
            file("theirs", &case.theirs),
        ];
        let given = |way: Way, text: &[u8]| Answer { way, text: Some(text.to_owned()), took: Duration::ZERO };
        let mut answers = vec![
            self.merge_file(Way::Git, "--diff-algorithm=histogram", &files),
            self.merge_file(Way::Myers, "--diff-algorithm=myers", &files),
            self.merge_file(Way::Union, "--union", &files),
            given(Way::Ours, &case.ours),
            given(Way::Theirs, &case.theirs),
        ];
        if let Some(program) = &self.mergiraf {
            let begun = Instant::now();
            let text = self.mergiraf(program, &case.path, &files);
            let took = begun.elapsed();
            answers.push(Answer { way: Way::Mergiraf, text, took });
            let begun = Instant::now();
            let resolved = without_agent(&case.sides(), &self.structural);
            let text = resolved.map(|resolved| resolved.text);
            answers.push(Answer { way: Way::Landing, text, took: begun.elapsed() });
        }
        answers
    }

    fn merge_file(&self, way: Way, option: &str, [base, ours, theirs]: &[PathBuf; 3]) -> Answer {
        let begun = Instant::now();
        let mut command = self.git.command(None, &["merge-file", "-p", "-q", option]);
        let output = command.args([ours, base, theirs]).output().unwrap();
        let text = output.status.success().then_some(output.stdout);
        Answer { way, text, took: begun.elapsed() }
    }

    fn mergiraf(&self, program: &Path, path: &str, [base, ours, theirs]: &[PathBuf; 3]) -> Option<Vec<u8>> {
        let out = self.folder.join("out");
        drop(std::fs::remove_file(&out));
        let mut command = Command::new(program);
        command.arg("merge").args([base, ours, theirs]).arg("-o").arg(&out).args(["-p", path]);
        command.env("HOME", &self.folder).env("XDG_CACHE_HOME", &self.folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if begun.elapsed() > LONGEST {
                child.kill().unwrap();
                child.wait().unwrap();
                return None;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        status.success().then(|| std::fs::read(&out).ok()).flatten()
    }
}
