//! `wt-fake-agent`: an agent CLI that does exactly what its script says, so that a test can hold any behaviour still.
//!
//! ```text
//! wt-fake-agent write:a.txt=hello commit:"add a" say:done        the script is the arguments, in order
//! wt-fake-agent --script FILE                                    one step a line; blank lines and # lines are skipped
//! wt-fake-agent                                                  the prompt on standard input holds the script: the
//!                                                                lines after the last line `SCRIPT:`, up to a blank
//!                                                                line, a line `END` or the end
//! wt-fake-agent STEP... -- ANYTHING...                           what follows `--` is no step (see `args-to`)
//! ```
//!
//! The steps are listed in `step.rs`. All of them are checked before the first is done. Relative paths are in the working
//! directory. It ends with 0 after the last step, with 99 if a step is wrong or fails, else as `exit` and `signal` say.
//! Processes that it starts are left behind on purpose; they sleep 1000 s.
//!
//! Invariant: everything it does is in the script, and in its order. It must not use the `wt` library: it stands for a
//! program that knows nothing of `wt`.

mod child;
mod output;
mod run;
mod step;

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use fs_err as fs;

use crate::run::{Agent, StepError};

/// The exit code when the script itself is at fault, so that no test takes it for a scripted end.
const BROKEN: u8 = 99;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).collect::<Vec<_>>();
    if let Some(code) = child::role(&arguments) {
        return code;
    }
    let rest = match arguments.iter().position(|argument| argument == "--") {
        Some(at) => arguments.split_off(at).split_off(1),
        None => Vec::new(),
    };
    match script(arguments).and_then(|(lines, prompt)| Agent::new(&lines, rest, prompt)?.run()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let mut cause = std::error::Error::source(&error);
            let mut text = format!("wt-fake-agent: {error}");
            while let Some(inner) = cause {
                text = format!("{text}: {inner}");
                cause = inner.source();
            }
            // Standard error may be gone too, and then there is nobody left to tell.
            let _ = writeln!(io::stderr(), "{text}");
            ExitCode::from(BROKEN)
        }
    }
}

/// Returns the steps, and the prompt if it had to be read to find them.
fn script(arguments: Vec<OsString>) -> Result<(Vec<String>, Option<Vec<u8>>), StepError> {
    match arguments.first() {
        None => {
            let mut prompt = Vec::new();
            io::stdin().read_to_end(&mut prompt).map_err(StepError::Prompt)?;
            let lines = from_prompt(&String::from_utf8_lossy(&prompt)).ok_or(StepError::NoScript)?;
            Ok((lines, Some(prompt)))
        }
        Some(first) if first == "--script" => {
            let path = arguments.get(1).map(PathBuf::from).ok_or(StepError::NoScript)?;
            let text = fs::read_to_string(path).map_err(StepError::Script)?;
            let lines = text.lines().map(str::trim_start);
            Ok((
                lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect(),
                None,
            ))
        }
        Some(_) => {
            let lines = arguments.into_iter().map(|a| a.to_string_lossy().into_owned()).collect();
            Ok((lines, None))
        }
    }
}

/// Text that `wt` or a loop appends to a prompt comes after a blank line, and so is no part of the script.
fn from_prompt(prompt: &str) -> Option<Vec<String>> {
    let lines = prompt.lines().map(str::trim_start).collect::<Vec<_>>();
    let start = lines.iter().rposition(|line| line.trim_end() == "SCRIPT:")?;
    let steps =
        lines[start + 1..].iter().take_while(|line| !line.trim().is_empty() && line.trim_end() != "END");
    Some(steps.map(|line| (*line).to_owned()).collect())
}
