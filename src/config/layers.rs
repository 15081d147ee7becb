//! The layers: built-in < user < repository < environment. Flags come on top of what is returned here.
//!
//! Tables are merged key by key, everything else (lists too) is replaced: a user's `[agents.claude.env]` adds a variable,
//! a user's `command` is the whole command.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;
use fs_err as fs;
use serde::Deserialize as _;
use toml::de::{DeTable, Deserializer};
use toml::{Table, Value};

use super::file::File;
use super::keys::KEYS;
use crate::model::Settings;
use crate::model::text::one_line;

/// The largest configuration file that is read, in bytes.
pub const LARGEST: u64 = 1024 * 1024;

/// Why the settings cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Broken TOML, or a value of the wrong type.
    #[error("{file}:{line}:{column}: {message}")]
    Syntax {
        /// The file as people know it.
        file: String,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// What is wrong, on one line.
        message: String,
    },
    /// A value that cannot be meant.
    #[error("{file}: `{key}` is `{value}`, allowed is {allowed}")]
    Range {
        /// The file.
        file: String,
        /// The key, with dots.
        key: String,
        /// The value.
        value: String,
        /// What would be good.
        allowed: &'static str,
    },
    /// A variable that cannot be read.
    #[error("`{variable}` is `{value}`: {message}")]
    Variable {
        /// Its name.
        variable: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        message: String,
    },
    /// A key names an agent that there is not.
    #[error("`{key}` names the agent `{agent}`, which is not configured")]
    UnknownAgent {
        /// The key, with dots.
        key: String,
        /// The agent.
        agent: String,
    },
    /// The file cannot be a configuration.
    #[error("{file} is no configuration file: {why}")]
    NoFile {
        /// The file.
        file: String,
        /// Too large, no text, no file.
        why: &'static str,
    },
    /// The file cannot be read.
    #[error("the configuration cannot be read")]
    Read(#[source] std::io::Error),
}

/// A key that nobody reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The file, or `environment`.
    pub file: String,
    /// The key, with dots.
    pub key: String,
    /// The known key that it is probably meant to be.
    pub nearest: Option<String>,
}

/// What the settings are made of.
#[derive(Debug, Clone, Copy, Default)]
pub struct Layers<'a> {
    /// Built-in texts, each with a name for messages.
    pub built_in: &'a [(&'a str, &'a str)],
    /// The user's file; it need not exist.
    pub user: Option<&'a Path>,
    /// `.wt.toml` as committed on the target.
    pub repository: Option<&'a [u8]>,
    /// Every variable of the environment; those that are no setting are left alone.
    pub environment: &'a [(String, String)],
}

/// The settings and what was strange about their sources.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// Unknown keys, in order of layers.
    pub warnings: Vec<Warning>,
}

/// Returns the folder of the user's configuration (`$XDG_CONFIG_HOME/wt`), if there is a home.
pub fn user_folder() -> Option<PathBuf> {
    etcetera::base_strategy::Xdg::new().ok().map(|base| base.config_dir().join("wt"))
}

/// Returns the folder of the user's state (`$XDG_STATE_HOME/wt`), if there is a home.
pub fn state_folder() -> Option<PathBuf> {
    etcetera::base_strategy::Xdg::new().ok()?.state_dir().map(|state| state.join("wt"))
}

/// Returns what the layers come to.
pub fn load(layers: &Layers) -> Result<Loaded, ConfigError> {
    let mut warnings = Vec::new();
    let mut merged = Table::new();
    for (name, text) in layers.built_in {
        // Its types are checked with the others below. That no key of it is unknown or out of range is a test's matter, not
        // that of every command.
        merge(&mut merged, toml::from_str(text).map_err(|error| syntax(name, text, &error))?);
    }
    if let Some(path) = layers.user {
        let name = path.display().to_string();
        if let Some(bytes) = read_user(path)? {
            merge(&mut merged, layer(&name, text(&name, &bytes)?, &mut warnings)?);
        }
    }
    if let Some(bytes) = layers.repository {
        merge(&mut merged, layer(REPOSITORY, text(REPOSITORY, bytes)?, &mut warnings)?);
    }
    merge(&mut merged, environment(layers.environment, &mut warnings)?);
    let file = File::deserialize(Value::Table(merged)).map_err(|error| ConfigError::Syntax {
        file: "all layers together".to_owned(),
        line: 1,
        column: 1,
        message: one_line(error.message(), 200),
    })?;
    let settings = file.settle();
    check_agents(&settings)?;
    Ok(Loaded { settings, warnings })
}

/// What people call the repository's layer.
pub(super) const REPOSITORY: &str = ".wt.toml";

fn read_user(path: &Path) -> Result<Option<Vec<u8>>, ConfigError> {
    let no_file = |why| ConfigError::NoFile { file: path.display().to_string(), why };
    match fs::metadata(path) {
        // Opening a pipe would wait for its writer.
        Ok(found) if !found.is_file() => return Err(no_file("it is not a regular file")),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ConfigError::Read(error)),
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(ConfigError::Read)?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(ConfigError::Read)?;
    Ok(Some(bytes))
}

/// Returns `bytes` as text if they can be a configuration at all.
pub(super) fn text<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a str, ConfigError> {
    let no_file = |why| ConfigError::NoFile { file: file.to_owned(), why };
    if bytes.len() as u64 > LARGEST {
        return Err(no_file("it is over 1 MiB"));
    }
    std::str::from_utf8(bytes).map_err(|_| no_file("it is not UTF-8"))
}

/// Returns the checked table of one file.
pub(super) fn layer(file: &str, text: &str, warnings: &mut Vec<Warning>) -> Result<Table, ConfigError> {
    let syntax = |error: &toml::de::Error| syntax(file, text, error);
    let document = DeTable::parse(text).map_err(|error| syntax(&error))?;
    let mut unknown = Vec::new();
    let checked = Deserializer::from(document.clone());
    let typed: File = serde_ignored::deserialize(checked, |path| unknown.push(path.to_string()))
        .map_err(|error| syntax(&error))?;
    typed.check().map_err(|wrong| ConfigError::Range {
        file: file.to_owned(),
        key: wrong.key,
        value: one_line(&wrong.value, 80),
        allowed: wrong.allowed,
    })?;
    for path in unknown {
        // Options show as `?` segments in these paths.
        let key = path.split('.').filter(|part| *part != "?").collect::<Vec<_>>().join(".");
        warnings.push(Warning { file: file.to_owned(), nearest: nearest_key(&key), key });
    }
    Table::deserialize(Deserializer::from(document)).map_err(|error| syntax(&error))
}

/// Returns what is wrong with the text of a file, and where.
fn syntax(file: &str, text: &str, error: &toml::de::Error) -> ConfigError {
    let at = error.span().map_or(0, |span| span.start).min(text.len());
    let before = String::from_utf8_lossy(&text.as_bytes()[..at]);
    ConfigError::Syntax {
        file: file.to_owned(),
        line: before.matches('\n').count() + 1,
        column: before.rsplit('\n').next().unwrap_or_default().chars().count() + 1,
        message: one_line(error.message(), 200),
    }
}

/// Lays `over` on `under`: tables key by key, everything else replaced.
fn merge(under: &mut Table, over: Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}

/// Returns the known key that `key` is probably meant to be, first among its siblings, then anywhere.
fn nearest_key(key: &str) -> Option<String> {
    let parts: Vec<_> = key.split('.').collect();
    let (last, parents) = parts.split_last()?;
    let sibling = |known: &&&str| {
        let known: Vec<_> = known.split('.').collect();
        known.len() == parts.len()
            && known.iter().zip(parents).all(|(known, part)| *known == "*" || known == part)
    };
    let close = |known: &str| strsim::damerau_levenshtein(last, known) <= 1 + last.chars().count() / 4;
    let leaf = |known: &str| known.rsplit('.').next().unwrap_or(known).to_owned();
    let distance = |known: &str| strsim::damerau_levenshtein(last, &leaf(known));
    if let Some(known) =
        KEYS.iter().filter(sibling).filter(|known| close(&leaf(known))).min_by_key(|known| distance(known))
    {
        return Some(parents.iter().copied().chain([leaf(known).as_str()]).collect::<Vec<_>>().join("."));
    }
    // The right key in the wrong table.
    KEYS.iter().find(|known| leaf(known) == **last && !known.contains('*')).map(|known| (*known).to_owned())
}

fn check_agents(settings: &Settings) -> Result<(), ConfigError> {
    let named = [
        ("agent.default".to_owned(), &settings.agent.default),
        ("merge.agent".to_owned(), &settings.merge.agent),
    ];
    let profiles =
        settings.profiles.iter().map(|(name, profile)| (format!("profiles.{name}.agent"), &profile.agent));
    for (key, agent) in named.into_iter().chain(profiles) {
        if !settings.agents.contains_key(agent) {
            return Err(ConfigError::UnknownAgent { key, agent: agent.clone() });
        }
    }
    Ok(())
}

/// How a variable's text becomes a value.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Whole,
    Money,
}

/// Variables that are settings, with their keys.
const VARIABLES: [(&str, &str, &str, Form); 15] = [
    ("WT_TARGET", "", "target", Form::Text),
    ("WT_SLOTS", "limits", "slots", Form::Whole),
    ("WT_WORKTREES", "limits", "worktrees", Form::Whole),
    ("WT_TIMEOUT", "limits", "timeout", Form::Text),
    ("WT_STALL", "limits", "stall", Form::Text),
    ("WT_STAGGER", "limits", "stagger", Form::Text),
    ("WT_MEMORY", "limits", "memory", Form::Text),
    ("WT_RETRIES", "limits", "retries", Form::Whole),
    ("WT_BUDGET_USD", "limits", "budget_usd", Form::Money),
    ("WT_DAY_USD", "limits", "day_usd", Form::Money),
    ("WT_AGENT", "agent", "default", Form::Text),
    ("WT_COMMIT", "agent", "commit", Form::Text),
    ("WT_MERGE_AGENT", "merge", "agent", Form::Text),
    ("WT_FORESEE", "merge", "foresee", Form::Text),
    ("WT_POOL", "workspace", "pool", Form::Whole),
];

/// Variables of `wt` that tell an agent where it is, or steer a test; never settings.
const NO_SETTINGS: [&str; 7] =
    ["WT_TASK", "WT_RUN_ID", "WT_WORKTREE", "WT_BRANCH", "WT_SHARED", "WT_ITERATION", "WT_FAILPOINT"];

/// Returns the layer that the environment makes.
fn environment(variables: &[(String, String)], warnings: &mut Vec<Warning>) -> Result<Table, ConfigError> {
    let mut layer = Table::new();
    for (name, value) in variables {
        if let Some((variable, table, key, form)) = VARIABLES.iter().find(|known| known.0 == name) {
            if !value.is_empty() {
                let one = one_setting(variable, value, table, key, *form)?;
                merge(&mut layer, one);
            }
        } else if name.starts_with("WT_")
            && !NO_SETTINGS.contains(&name.as_str())
            && !name.starts_with("WT_PORT_")
            && !name.starts_with("WT_TEST_")
        {
            // Other programs use the prefix too: only a near miss is worth a word.
            let near = VARIABLES.iter().map(|known| known.0);
            let near = near.filter(|known| strsim::damerau_levenshtein(name, known) <= 2);
            if let Some(known) = near.min_by_key(|known| strsim::damerau_levenshtein(name, known)) {
                let (file, nearest) = ("environment".to_owned(), Some(known.to_owned()));
                warnings.push(Warning { file, key: name.clone(), nearest });
            }
        }
    }
    Ok(layer)
}

fn one_setting(
    variable: &'static str,
    value: &str,
    table: &str,
    key: &str,
    form: Form,
) -> Result<Table, ConfigError> {
    let bad = |message: String| ConfigError::Variable { variable, value: one_line(value, 80), message };
    let parsed = match form {
        Form::Text => Value::String(value.to_owned()),
        Form::Whole => Value::Integer(value.trim().parse().map_err(|_| bad("not a number".to_owned()))?),
        Form::Money => Value::Float(value.trim().parse().map_err(|_| bad("not a number".to_owned()))?),
    };
    let mut layer = Table::from_iter([(key.to_owned(), parsed)]);
    if !table.is_empty() {
        layer = Table::from_iter([(table.to_owned(), Value::Table(layer))]);
    }
    let typed = File::deserialize(Value::Table(layer.clone()))
        .map_err(|error| bad(one_line(error.message(), 200)))?;
    typed.check().map_err(|wrong| bad(format!("allowed is {}", wrong.allowed)))?;
    Ok(layer)
}

#[cfg(test)]
mod tests;
