//! Task names: the one rule that keeps them safe as a branch, a folder, an argument and a terminal line.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

/// The longest task name, in bytes.
pub const LONGEST: usize = 63;

/// A valid task name: `^[a-z0-9][a-z0-9._-]{0,62}$`, no `..`, no trailing `.` or `.lock`, not `head`, not a Windows device.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct TaskName(String);

/// Why a text is not a task name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Nothing was given.
    #[error("a task name cannot be empty")]
    Empty,
    /// Longer than [`LONGEST`] bytes.
    #[error("a task name has at most {LONGEST} bytes, this one has {0}")]
    TooLong(usize),
    /// A character outside `a-z 0-9 . _ -`, or a first character outside `a-z 0-9`.
    #[error("{0} cannot stand {1} a task name (a-z, 0-9, `.`, `_`, `-`)")]
    Character(String, &'static str),
    /// `..`, a trailing `.` or a trailing `.lock`: git refuses such branches.
    #[error("a task name cannot contain `..` or end in `.` or `.lock`")]
    Dots,
    /// `head` or a Windows device name.
    #[error("`{0}` is a reserved name")]
    Reserved(String),
}

fn shown(c: char) -> String {
    if c.is_ascii_graphic() { format!("`{c}`") } else { format!("U+{:04X}", u32::from(c)) }
}

impl TaskName {
    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns a valid name made from free text, to be offered as a hint; `None` where nothing usable is left.
    pub fn suggestion(text: &str) -> Option<Self> {
        let mut slug = String::new();
        for c in text.chars().flat_map(char::to_lowercase) {
            if c.is_ascii_lowercase() || c.is_ascii_digit() {
                slug.push(c);
            } else if !slug.is_empty() && !slug.ends_with('-') {
                slug.push('-');
            }
        }
        slug.truncate(40);
        slug.trim_end_matches('-').parse().ok()
    }
}

impl FromStr for TaskName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let first = text.chars().next().ok_or(BadName::Empty)?;
        if !(first.is_ascii_lowercase() || first.is_ascii_digit()) {
            return Err(BadName::Character(shown(first), "at the start of"));
        }
        if let Some(c) =
            text.chars().find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(*c)))
        {
            return Err(BadName::Character(shown(c), "in"));
        }
        if text.len() > LONGEST {
            return Err(BadName::TooLong(text.len()));
        }
        let lock_suffix = text.len() >= 5 && text.as_bytes()[text.len() - 5..] == *b".lock";
        if text.contains("..") || text.ends_with('.') || lock_suffix {
            return Err(BadName::Dots);
        }
        let stem = text.split('.').next().unwrap_or(text);
        let device = matches!(stem, "con" | "prn" | "aux" | "nul")
            || (stem.len() == 4
                && (stem.starts_with("com") || stem.starts_with("lpt"))
                && stem.as_bytes()[3].is_ascii_digit());
        if text == "head" || device {
            return Err(BadName::Reserved(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for TaskName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A task name with its generation: what tells two tasks apart that bore the same name one after the other.
/// Written `NAME@G`, on disk and in the journal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    /// The name that people use.
    pub name: TaskName,
    /// 1 for the first task of that name.
    pub generation: u32,
}

/// A text that is not `NAME@G`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a task id (NAME@GENERATION)")]
pub struct BadId(String);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.generation)
    }
}

impl FromStr for TaskId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = || BadId(text.to_owned());
        let (name, generation) = text.rsplit_once('@').ok_or_else(bad)?;
        Ok(Self {
            name: name.parse().map_err(|_| bad())?,
            generation: generation.parse().map_err(|_| bad())?,
        })
    }
}

impl Serialize for TaskId {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TaskId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn accepts_what_the_contract_allows() {
        for good in ["a", "feature-auth", "0", "a.b_c-d", "v1.2.3", "header", "console", &"x".repeat(63)] {
            assert!(good.parse::<TaskName>().is_ok(), "{good}");
        }
    }

    #[test]
    fn refuses_every_bad_input_of_the_fault_table() {
        let long = "x".repeat(64);
        let bad = [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "/abs",
            "~",
            "a b",
            "a\nb",
            "a\0b",
            "a\u{1b}[31m",
            "a\u{202e}b",
            "a🙂",
            &long,
            "-x",
            "--exec=id",
            "$(id)",
            ";id",
            "HEAD",
            "head",
            "@",
            "refs/heads/q",
            "CON",
            "con",
            "nul.txt",
            "com1",
            "lpt9.x",
            "a..b",
            "a.",
            "a.lock",
            "é",
            "e\u{301}",
            "A",
            "_a",
            ".a",
        ];
        for name in bad {
            assert!(name.parse::<TaskName>().is_err(), "{name:?}");
        }
    }

    #[test]
    fn messages_never_carry_control_characters() {
        let message = "a\u{1b}]52;c;x\u{7}".parse::<TaskName>().unwrap_err().to_string();
        assert!(message.chars().all(|c| !c.is_control()), "{message:?}");
    }

    proptest! {
        #[test]
        fn any_text_is_a_name_or_a_typed_error(text in ".{0,80}") {
            if let Ok(name) = text.parse::<TaskName>() {
                prop_assert_eq!(name.as_str(), text.as_str());
                let id = TaskId { name, generation: 7 };
                prop_assert_eq!(id.to_string().parse::<TaskId>().unwrap(), id);
            }
        }

        #[test]
        fn a_suggestion_is_always_valid(text in ".{0,80}") {
            if let Some(name) = TaskName::suggestion(&text) {
                prop_assert!(name.as_str().parse::<TaskName>().is_ok());
            }
        }
    }
}
