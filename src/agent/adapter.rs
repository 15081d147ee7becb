//! An agent CLI's adapter, checked and compiled from its table.
//!
//! Built-in tables stand in `templates/agents` in the form of a configuration file, so that `config` layers a user's
//! table over them key by key and this room sees only the outcome.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::rule::{EndRule, LineRule, check_sums};
use crate::model::adapter::{AdapterSpec, EventForm, StopSignal, StopTo};
use crate::model::duration::{self, BadDuration};

/// The built-in adapters as configuration texts, each with a name for messages; the lowest layer of the settings.
pub const BUILT_IN: [(&str, &str); 4] = [
    ("built-in claude.toml", include_str!("../../templates/agents/claude.toml")),
    ("built-in codex.toml", include_str!("../../templates/agents/codex.toml")),
    ("built-in opencode.toml", include_str!("../../templates/agents/opencode.toml")),
    ("built-in gemini.toml", include_str!("../../templates/agents/gemini.toml")),
];

/// Argument groups that an adapter may have; see [`AdapterSpec::args`].
pub(super) const ARGUMENT_GROUPS: [&str; 9] = [
    "model",
    "fallback_model",
    "session",
    "resume",
    "max_turns",
    "max_cost",
    "name",
    "settings",
    "sandboxed",
];

/// Why a table is no adapter, or cannot start its agent.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// `command` names no program.
    #[error("the agent has no `command`")]
    NoCommand,
    /// `stop.grace` is not a duration.
    #[error("`stop.grace` cannot be read")]
    Grace(#[source] BadDuration),
    /// A place that is no JSON pointer.
    #[error("`{place}` is not a JSON pointer (it begins with `/`)")]
    Pointer {
        /// What stands there.
        place: String,
    },
    /// A condition that is no value, list, word or `{ regex = … }`.
    #[error("the condition {value} for `{place}` cannot be read")]
    Condition {
        /// Its place.
        place: String,
        /// What stands there, as JSON.
        value: String,
    },
    /// A regular expression that does not compile.
    #[error("`{pattern}` is not a regular expression")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        #[source]
        source: Box<regex::Error>,
    },
    /// `take`, `append`, `note`, `tool`, `result` or `sum` names a fact that there is not.
    #[error("`{fact}` is not a fact that can be taken there")]
    UnknownFact {
        /// The name.
        fact: String,
    },
    /// `args` has a group that is never used.
    #[error("`args.{group}` is not an argument group")]
    UnknownGroup {
        /// The name.
        group: String,
    },
    /// A prompt that the system cannot pass as an argument.
    #[error("a prompt of {bytes} bytes is too long for an argument (at most {most})")]
    PromptTooLong {
        /// Its length.
        bytes: usize,
        /// The longest that works.
        most: usize,
    },
}

/// How the agent is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    /// The signal.
    pub signal: StopSignal,
    /// Who gets it.
    pub to: StopTo,
    /// How long it may take before it is killed.
    pub grace: Duration,
}

/// A checked adapter; cheap to clone.
#[derive(Debug, Clone)]
pub struct Adapter(Arc<Compiled>);

#[derive(Debug)]
pub(super) struct Compiled {
    name: String,
    pub(super) spec: AdapterSpec,
    stop: Stop,
    pub(super) lines: Vec<LineRule>,
    pub(super) ends: Vec<EndRule>,
}

impl Adapter {
    /// Checks and compiles the table of the agent `name`.
    pub fn new(name: &str, spec: &AdapterSpec) -> Result<Self, AdapterError> {
        if spec.command.first().is_none_or(|program| program.trim().is_empty()) {
            return Err(AdapterError::NoCommand);
        }
        if let Some(group) = spec.args.keys().find(|group| !ARGUMENT_GROUPS.contains(&group.as_str())) {
            return Err(AdapterError::UnknownGroup { group: group.clone() });
        }
        check_sums(&spec.sum)?;
        Ok(Self(Arc::new(Compiled {
            name: name.to_owned(),
            stop: Stop {
                signal: spec.stop.signal,
                to: spec.stop.to,
                grace: duration::parse(&spec.stop.grace).map_err(AdapterError::Grace)?,
            },
            lines: spec.event.iter().map(LineRule::compile).collect::<Result<_, _>>()?,
            ends: spec.outcome.iter().map(EndRule::compile).collect::<Result<_, _>>()?,
            spec: spec.clone(),
        })))
    }

    pub(super) fn compiled(&self) -> &Compiled {
        &self.0
    }

    /// Returns the name that people use (`claude`).
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Returns the table it was made from.
    pub fn spec(&self) -> &AdapterSpec {
        &self.0.spec
    }

    /// Returns what it prints.
    pub fn events(&self) -> EventForm {
        self.0.spec.events
    }

    /// Returns how it is asked to end.
    pub fn stop(&self) -> Stop {
        self.0.stop
    }

    /// Returns where its program is, looked up in `path` (the value of `PATH`) or, with a slash in it, from `cwd`.
    pub fn program_on_path(&self, path: Option<&OsStr>, cwd: &Path) -> Option<PathBuf> {
        which::which_in(&self.0.spec.command[0], path, cwd).ok()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Reads an adapter from a configuration text.
    pub(in crate::agent) fn read(name: &str, text: &str) -> Result<Adapter, AdapterError> {
        #[derive(serde::Deserialize)]
        struct File {
            agents: BTreeMap<String, AdapterSpec>,
        }
        let file: File = toml::from_str(text).expect("the text of a test is TOML");
        Adapter::new(name, &file.agents[name])
    }

    pub(in crate::agent) fn claude() -> Adapter {
        read("claude", BUILT_IN[0].1).expect("the built-in adapter is good")
    }

    #[test]
    fn built_in_and_documented_adapters_compile() {
        assert_eq!(claude().stop().grace, Duration::from_secs(5));
        let custom = include_str!("../../templates/agents/custom.toml");
        assert_eq!(read("my-agent", custom).unwrap().events(), EventForm::Text);
        assert_eq!(read("my-json-agent", custom).unwrap().events(), EventForm::Jsonl);
    }

    #[test]
    fn bad_tables_are_typed_errors() {
        let error = |text: &str| read("x", &format!("[agents.x]\n{text}")).unwrap_err();
        assert!(matches!(error(""), AdapterError::NoCommand));
        assert!(matches!(error("command = [\" \"]"), AdapterError::NoCommand));
        assert!(matches!(error("command = [\"a\"]\nstop = { grace = \"soon\" }"), AdapterError::Grace(_)));
        assert!(matches!(
            error("command = [\"a\"]\nargs = { modle = [] }"),
            AdapterError::UnknownGroup { group } if group == "modle"
        ));
        assert!(matches!(
            error("command = [\"a\"]\nevent = [{ take = { sesion = \"/a\" } }]"),
            AdapterError::UnknownFact { fact } if fact == "sesion"
        ));
        assert!(matches!(
            error("command = [\"a\"]\nsum = { cost_usd = \"part/cost\" }"),
            AdapterError::Pointer { .. }
        ));
    }

    #[test]
    fn a_program_is_found_on_the_given_path_only() {
        let sh = read("x", "[agents.x]\ncommand = [\"sh\"]").unwrap();
        assert!(sh.program_on_path(Some(OsStr::new("/bin:/usr/bin")), Path::new("/")).is_some());
        assert_eq!(sh.program_on_path(Some(OsStr::new("/nowhere")), Path::new("/")), None);
    }
}
