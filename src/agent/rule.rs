//! Conditions and rules of an adapter, compiled: what must stand where in a JSON document.
//!
//! Invariant: matching is total. A pointer that leads nowhere finds nothing; it never fails.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;

use super::adapter::AdapterError;
use crate::model::adapter::{EventRule, OutcomeRule};
use crate::model::verdict::Class;

/// What must stand at a place.
#[derive(Debug, Clone)]
enum Expected {
    /// One of these values; one alone is a list of one.
    OneOf(Vec<Value>),
    /// Anything but nothing: not absent, null, blank, `[]` or `{}`.
    Nonempty,
    /// Nothing of that kind.
    Empty,
    /// A text in which this is found.
    Matches(Regex),
}

impl Expected {
    fn compile(place: &str, value: &Value) -> Result<Self, AdapterError> {
        let bad = || AdapterError::Condition { place: place.to_owned(), value: value.to_string() };
        Ok(match value {
            Value::String(word) if word == "nonempty" => Self::Nonempty,
            Value::String(word) if word == "empty" => Self::Empty,
            Value::Array(values) if !values.is_empty() => Self::OneOf(values.clone()),
            Value::Object(table) => match (table.get("regex"), table.len()) {
                (Some(Value::String(pattern)), 1) => {
                    Self::Matches(Regex::new(pattern).map_err(|source| AdapterError::Pattern {
                        pattern: pattern.clone(),
                        source: Box::new(source),
                    })?)
                }
                _ => return Err(bad()),
            },
            Value::String(_) | Value::Number(_) | Value::Bool(_) => Self::OneOf(vec![value.clone()]),
            _ => return Err(bad()),
        })
    }

    fn holds(&self, found: Option<&Value>) -> bool {
        match self {
            Self::OneOf(values) => found.is_some_and(|found| values.contains(found)),
            Self::Nonempty => !nothing(found),
            Self::Empty => nothing(found),
            Self::Matches(pattern) => {
                found.and_then(Value::as_str).is_some_and(|text| pattern.is_match(text))
            }
        }
    }
}

fn nothing(found: Option<&Value>) -> bool {
    match found {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.trim().is_empty(),
        Some(Value::Array(values)) => values.is_empty(),
        Some(Value::Object(table)) => table.is_empty(),
        Some(_) => false,
    }
}

/// Conditions that must hold together.
#[derive(Debug, Clone)]
pub(super) struct Conditions(Vec<(String, Expected)>);

impl Conditions {
    /// Compiles `when`; its places are JSON pointers or one of `words`.
    fn compile(when: &BTreeMap<String, Value>, words: &[&str]) -> Result<Self, AdapterError> {
        when.iter()
            .map(|(place, value)| {
                if !words.contains(&place.as_str()) {
                    check_pointer(place)?;
                }
                Ok((place.clone(), Expected::compile(place, value)?))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Returns whether all hold; places that are no pointers are looked up with `word`.
    fn hold(&self, document: Option<&Value>, word: impl Fn(&str) -> Option<Value>) -> bool {
        self.0.iter().all(|(place, expected)| {
            if place.starts_with('/') {
                expected.holds(document.and_then(|document| document.pointer(place)))
            } else {
                expected.holds(word(place).as_ref())
            }
        })
    }
}

fn check_pointer(place: &str) -> Result<(), AdapterError> {
    if place.starts_with('/') { Ok(()) } else { Err(AdapterError::Pointer { place: place.to_owned() }) }
}

fn check_places(places: &BTreeMap<String, String>, facts: &[&str]) -> Result<(), AdapterError> {
    for (fact, place) in places {
        if !facts.contains(&fact.as_str()) {
            return Err(AdapterError::UnknownFact { fact: fact.clone() });
        }
        check_pointer(place)?;
    }
    Ok(())
}

const TAKEN: [&str; 12] = [
    "session", "model", "cwd", "text", "cost_usd", "turns", "usage", "denials", "error", "status",
    "question", "window",
];
const SUMMED: [&str; 5] = ["cost_usd", "input", "output", "cache_read", "cache_write"];
/// What a condition of an outcome may ask for beside the final event.
const ENDING: [&str; 3] = ["exit", "stdout", "stderr"];

/// Checks the facts and places of `sum`.
pub(super) fn check_sums(sum: &BTreeMap<String, String>) -> Result<(), AdapterError> {
    check_places(sum, &SUMMED)
}

/// A rule for lines of the stream.
#[derive(Debug, Clone)]
pub(super) struct LineRule {
    when: Conditions,
    /// What the rule says to do with a line.
    pub(super) spec: EventRule,
}

impl LineRule {
    pub(super) fn compile(spec: &EventRule) -> Result<Self, AdapterError> {
        check_places(&spec.take, &TAKEN)?;
        check_places(&spec.append, &["text"])?;
        check_places(&spec.note, &["reason", "status"])?;
        check_places(&spec.tool, &["name", "input"])?;
        check_places(&spec.result, &["status", "text"])?;
        Ok(Self { when: Conditions::compile(&spec.when, &[])?, spec: spec.clone() })
    }

    pub(super) fn matches(&self, document: &Value) -> bool {
        self.when.hold(Some(document), |_| None)
    }
}

/// A rule for the end of an attempt.
#[derive(Debug, Clone)]
pub(super) struct EndRule {
    when: Conditions,
    pub(super) class: Class,
    pub(super) reason: Option<String>,
}

impl EndRule {
    pub(super) fn compile(spec: &OutcomeRule) -> Result<Self, AdapterError> {
        Ok(Self {
            when: Conditions::compile(&spec.when, &ENDING)?,
            class: spec.class,
            reason: spec.reason.clone(),
        })
    }

    pub(super) fn matches(&self, last: Option<&Value>, word: impl Fn(&str) -> Option<Value>) -> bool {
        self.when.hold(last, word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn conditions(when: &Value) -> Result<Conditions, AdapterError> {
        let when = serde_json::from_value(when.clone()).unwrap();
        Conditions::compile(&when, &["exit"])
    }

    #[test]
    fn values_lists_words_and_patterns_match() {
        let document =
            json!({"type": "result", "error": true, "status": 429, "text": "Rate limited", "denied": []});
        let holds = |when: &Value| {
            conditions(when).unwrap().hold(Some(&document), |word| (word == "exit").then(|| json!(1)))
        };
        assert!(holds(
            &json!({"/type": "result", "/status": [401, 429], "/text": {"regex": "(?i)rate LIMIT"}})
        ));
        assert!(holds(&json!({"/denied": "empty", "/absent": "empty", "/text": "nonempty", "exit": 1})));
        assert!(!holds(&json!({"/type": "result", "/status": 401})));
        assert!(!holds(&json!({"/status": {"regex": "429"}})));
        assert!(holds(&json!({})));
    }

    #[test]
    fn bad_conditions_are_typed_errors() {
        assert!(matches!(conditions(&json!({"type": "x"})), Err(AdapterError::Pointer { .. })));
        assert!(matches!(conditions(&json!({"/a": {"regex": "("}})), Err(AdapterError::Pattern { .. })));
        assert!(matches!(conditions(&json!({"/a": {"glob": "x"}})), Err(AdapterError::Condition { .. })));
        assert!(matches!(conditions(&json!({"/a": []})), Err(AdapterError::Condition { .. })));
    }
}
