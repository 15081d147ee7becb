//! Values of a configuration file that are out of their range, each told with its key and what is allowed.

use std::time::Duration;

use super::file::Span;
use crate::model::settings::Structural;

/// A value outside its range.
#[derive(Debug, PartialEq)]
pub(super) struct OutOfRange {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) allowed: &'static str,
}

pub(super) fn within(
    key: &str,
    value: Option<u32>,
    least: u32,
    most: u32,
    allowed: &'static str,
) -> Result<(), OutOfRange> {
    match value {
        Some(value) if !(least..=most).contains(&value) => {
            Err(OutOfRange { key: key.to_owned(), value: value.to_string(), allowed })
        }
        _ => Ok(()),
    }
}

pub(super) fn filled(key: &str, value: Option<&String>) -> Result<(), OutOfRange> {
    match value {
        Some(value) if value.trim().is_empty() => {
            Err(OutOfRange { key: key.to_owned(), value: String::new(), allowed: "some text" })
        }
        _ => Ok(()),
    }
}

pub(super) fn money(key: &str, value: Option<f64>) -> Result<(), OutOfRange> {
    match value.filter(|usd| !(0.0..=1e6).contains(usd)) {
        Some(usd) => {
            let (key, value) = (key.to_owned(), usd.to_string());
            Err(OutOfRange { key, value, allowed: "0 (no bound) to 1000000" })
        }
        None => Ok(()),
    }
}

/// A time limit of less than a second would end every attempt at once.
pub(super) fn limit(key: &str, value: Option<Span>) -> Result<(), OutOfRange> {
    match value {
        Some(Span(value)) if value < Duration::from_secs(1) => Err(OutOfRange {
            key: key.to_owned(),
            value: format!("{}ms", value.as_millis()),
            allowed: "at least 1s",
        }),
        _ => Ok(()),
    }
}

pub(super) fn globs(key: &str, value: Option<&Vec<String>>) -> Result<(), OutOfRange> {
    for glob in value.into_iter().flatten() {
        if globset::Glob::new(glob).is_err() {
            return Err(OutOfRange { key: key.to_owned(), value: glob.clone(), allowed: "a glob" });
        }
    }
    Ok(())
}

/// Known tools, and command lines that say where their result is.
pub(super) fn mergers(key: &str, value: Option<&Vec<String>>) -> Result<(), OutOfRange> {
    for tool in value.into_iter().flatten() {
        if !Structural::KNOWN.contains(&tool.as_str()) && !tool.contains("%A") {
            return Err(OutOfRange {
                key: key.to_owned(),
                value: tool.clone(),
                allowed: "`mergiraf`, or a command line with `%A`",
            });
        }
    }
    Ok(())
}

/// Paths that stay inside a checkout and away from its `.git`.
pub(super) fn inside(key: &str, value: Option<&Vec<String>>) -> Result<(), OutOfRange> {
    for path in value.into_iter().flatten() {
        let mut parts = path.strip_suffix('/').unwrap_or(path).split('/').peekable();
        let first_is_git = parts.peek().is_some_and(|part| part.eq_ignore_ascii_case(".git"));
        if first_is_git || parts.any(|part| matches!(part, "" | "." | "..")) {
            return Err(OutOfRange {
                key: key.to_owned(),
                value: path.clone(),
                allowed: "a relative path inside the checkout",
            });
        }
    }
    Ok(())
}

/// Returns whether `name` could be a branch; git has the last word.
pub(super) fn branch_like(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('-')
        && !name.contains("..")
        && !name.contains("@{")
        && !name.chars().any(|c| c.is_control() || " ~^:?*[\\".contains(c))
        && name.split('/').all(|part| {
            !part.is_empty()
                && !part.starts_with('.')
                && !part.ends_with('.')
                && part.strip_suffix(".lock").is_none()
        })
}
