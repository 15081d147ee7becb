//! Does the steps, one after another.
//!
//! Invariant: a file that a test may wait for (`pids-to`, `prompt-to`, `args-to`, `env-to`, `write`) appears whole.

use std::ffi::OsString;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use fs_err as fs;
use rustix::process::{Signal, getpid, kill_process};

use crate::child::{self, Kind};
use crate::output::{self, Amount};
use crate::step::{self, Step};

/// Why a script could not be done.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// No steps were given, and the prompt has no line `SCRIPT:`.
    #[error("no script in the arguments or after a line `SCRIPT:` of the prompt")]
    NoScript,
    /// The script file cannot be read.
    #[error("cannot read the script")]
    Script(#[source] io::Error),
    /// Standard input cannot be read.
    #[error("cannot read the prompt")]
    Prompt(#[source] io::Error),
    /// This is not a step.
    #[error("`{step}` is no step")]
    Unknown {
        /// The text.
        step: String,
    },
    /// A step failed.
    #[error("step `{step}` failed")]
    Failed {
        /// The step's text.
        step: String,
        /// What failed.
        source: io::Error,
    },
}

/// The agent while it follows its script.
pub struct Agent {
    script: Vec<(String, Step)>,
    /// The arguments after `--`.
    rest: Vec<OsString>,
    /// What was read from standard input, once it was.
    prompt: Option<Vec<u8>>,
    marker: String,
    children: Vec<(Kind, u32)>,
}

impl Agent {
    /// Returns an agent for a script in which every line is a step.
    pub fn new(lines: &[String], rest: Vec<OsString>, prompt: Option<Vec<u8>>) -> Result<Self, StepError> {
        let script = lines
            .iter()
            .map(|line| match step::parse(line) {
                Some(step) => Ok((line.clone(), step)),
                None => Err(StepError::Unknown { step: line.clone() }),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { script, rest, prompt, marker: "wt-fake-child".to_owned(), children: Vec::new() })
    }

    /// Follows the script and returns the exit code.
    pub fn run(mut self) -> Result<u8, StepError> {
        for (at, (text, step)) in self.script.clone().into_iter().enumerate() {
            let step = match step {
                Step::In(iterations, step) if iterations.contains(&iteration()) => *step,
                Step::In(..) => continue,
                step => step,
            };
            let done = match step {
                Step::Exit(code) => return Ok(code),
                Step::FailFirst(runs, path) => match count(&path) {
                    Ok(count) if count <= runs => return Ok(1),
                    counted => counted.map(|_| ()),
                },
                Step::IgnoreTerm => Err(self.replaced_ignoring_term(at + 1)),
                step => self.step(step),
            };
            done.map_err(|source| StepError::Failed { step: text, source })?;
        }
        Ok(0)
    }

    fn step(&mut self, step: Step) -> io::Result<()> {
        match step {
            Step::Write(path, text) => whole(&path, text.as_bytes()),
            Step::Append(path, text) => {
                parent_of(&path)?;
                fs::OpenOptions::new().create(true).append(true).open(path)?.write_all(text.as_bytes())
            }
            Step::Delete(path) => fs::remove_file(path),
            Step::Touch(path) => {
                parent_of(&path)?;
                fs::OpenOptions::new().create(true).append(true).open(path).map(drop)
            }
            Step::Commit(message) => commit(&message),
            Step::Stage => git(&["add", "-A"]),
            Step::Say(text) => line(io::stdout(), &text),
            Step::Err(text) => line(io::stderr(), &text),
            Step::Promise(text) => line(io::stdout(), &format!("<promise>{text}</promise>")),
            Step::PromptTo(path) => whole(&path, self.prompt()?),
            Step::ArgsTo(path) => {
                whole(&path, lines(self.rest.iter().map(|a| a.to_string_lossy())).as_bytes())
            }
            Step::EnvTo(path) => whole(&path, environment().as_bytes()),
            Step::PidsTo(path) => whole(&path, self.pids().as_bytes()),
            Step::HangFirst(runs, path) => {
                while count(&path)? <= runs {
                    std::thread::sleep(Duration::from_secs(1000));
                }
                Ok(())
            }
            Step::Sleep(time) => {
                std::thread::sleep(time);
                Ok(())
            }
            Step::WaitFor(path) => wait_for(&path),
            Step::Flood(mib) => output::flood(Amount::Mib(mib)),
            Step::FloodFor(time) => output::flood(Amount::For(time)),
            Step::NoNewline(mib) => output::no_newline(mib),
            Step::Replay(path) => output::replay(&path),
            Step::Escapes => output::escapes(),
            Step::CloseStdout => close_stdout(),
            Step::Marker(text) => {
                self.marker = text;
                Ok(())
            }
            Step::Child(kind) => {
                let pid = child::start(kind, &self.marker)?;
                self.children.push((kind, pid));
                Ok(())
            }
            Step::Known(kind, pid) => {
                self.children.push((kind, pid));
                Ok(())
            }
            Step::Signal(signal) => die_by(signal),
            Step::Exit(_) | Step::FailFirst(..) | Step::IgnoreTerm | Step::In(..) => {
                unreachable!("done in `run`")
            }
        }
    }

    fn prompt(&mut self) -> io::Result<&[u8]> {
        if self.prompt.is_none() {
            let mut text = Vec::new();
            io::stdin().read_to_end(&mut text)?;
            self.prompt = Some(text);
        }
        Ok(self.prompt.as_deref().unwrap_or_default())
    }

    fn pids(&self) -> String {
        let agent = ("agent", std::process::id());
        let children = self.children.iter().map(|(kind, pid)| (kind.name(), *pid));
        lines(std::iter::once(agent).chain(children).map(|(name, pid)| format!("{name} {pid}")))
    }

    /// Goes on from step `next` as the same process with SIGTERM ignored, which an exec keeps: a shell can set that
    /// without `unsafe`. Returns only if that fails.
    fn replaced_ignoring_term(&self, next: usize) -> io::Error {
        let again = || -> io::Result<Command> {
            let mut command = Command::new("sh");
            command.args(["-c", "trap '' TERM; exec \"$0\" \"$@\""]).arg(std::env::current_exe()?);
            command.arg(format!("marker:{}", self.marker));
            command.args(self.children.iter().map(|(kind, pid)| format!("known:{}={pid}", kind.name())));
            command.args(self.script[next..].iter().map(|(text, _)| text));
            command.arg("--").args(&self.rest);
            if let Some(prompt) = &self.prompt {
                let mut copy = tempfile::tempfile()?;
                copy.write_all(prompt)?;
                copy.rewind()?;
                command.stdin(Stdio::from(copy));
            }
            Ok(command)
        };
        match again() {
            Ok(mut command) => command.exec(),
            Err(error) => error,
        }
    }
}

/// Returns the iteration of the loop that it runs in; 0: none.
fn iteration() -> u32 {
    std::env::var("WT_ITERATION").ok().and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// Ends each item with a newline.
fn lines(items: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    items.into_iter().fold(String::new(), |text, item| text + item.as_ref() + "\n")
}

fn line(mut out: impl io::Write, text: &str) -> io::Result<()> {
    out.write_all(format!("{text}\n").as_bytes())?;
    out.flush()
}

fn parent_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => fs::create_dir_all(folder),
        _ => Ok(()),
    }
}

fn whole(path: &Path, text: &[u8]) -> io::Result<()> {
    parent_of(path)?;
    let mut aside = path.as_os_str().to_owned();
    aside.push(".wt-fake-agent");
    fs::write(&aside, text)?;
    fs::rename(PathBuf::from(aside), path)
}

fn environment() -> String {
    let named = |name: &str| name.starts_with("WT_") || name == "TRACEPARENT";
    let variables = std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()));
    let mut found = variables.filter(|(name, _)| named(name)).collect::<Vec<_>>();
    found.sort();
    lines(found.into_iter().map(|(name, value)| format!("{name}={value}")))
}

fn commit(message: &str) -> io::Result<()> {
    git(&["add", "-A"])?;
    // Exit 0: the index is as HEAD. A loop that repeats its script has nothing new to commit the second time.
    if git(&["diff", "--cached", "--quiet"]).is_ok() {
        return line(io::stderr(), "nothing to commit");
    }
    git(&["commit", "--quiet", "-m", message])
}

fn git(arguments: &[&str]) -> io::Result<()> {
    let output = Command::new("git").args(arguments).stdin(Stdio::null()).output()?;
    io::stderr().write_all(&output.stderr)?;
    if output.status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("git ended with {}", output.status)))
    }
}

/// Returns which run this is, from 1.
fn count(path: &Path) -> io::Result<u32> {
    let before = match fs::read_to_string(path) {
        Ok(text) => text.trim().parse().map_err(io::Error::other)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    whole(path, format!("{}\n", before + 1).as_bytes())?;
    Ok(before + 1)
}

fn wait_for(path: &Path) -> io::Result<()> {
    while !path.try_exists()? {
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// The descriptor is pointed elsewhere and not freed: a file opened later must not become standard output.
fn close_stdout() -> io::Result<()> {
    io::stdout().flush()?;
    let nowhere = fs::OpenOptions::new().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(nowhere)?;
    Ok(())
}

/// Sends the signal more than once: the runtime's own handler takes the first SIGSEGV and SIGBUS and then gives way.
fn die_by(signal: Signal) -> io::Result<()> {
    for _ in 0..100 {
        kill_process(getpid(), signal)?;
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(io::Error::other("still alive"))
}
