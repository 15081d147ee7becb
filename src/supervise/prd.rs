//! A file of requirements, read: which items pass, which are open. Pure; nobody here writes such a file.
//!
//! Forms: a list of items; an object of items by id; either of them below one of the usual words (`userStories`, `items` …).
//! An item is an object; it passes only if its `passes` is `true`. Doubt is an error, and an error is never complete.

use serde_json::{Map, Value};

use crate::model::text::one_line;

/// Words below which other tools keep their items.
const WRAPPERS: [&str; 7] =
    ["userStories", "user_stories", "stories", "items", "requirements", "features", "tasks"];

/// Fields that say what an item is about, the best first.
const TITLES: [&str; 5] = ["title", "name", "description", "story", "requirement"];

/// The longest id and title, in characters.
const ID: usize = 40;
const TITLE: usize = 120;

/// One requirement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its id: the one it names, else its key, else its number.
    pub id: String,
    /// What it is about, in one line; may be empty.
    pub title: String,
    /// Whether it says that it passes.
    pub passes: bool,
}

/// Why a file says nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrdError {
    /// Not JSON.
    #[error("it is not JSON: {0}")]
    NotJson(String),
    /// JSON of another form.
    #[error("it is neither a list of items nor an object of items by id")]
    Form,
    /// No item at all.
    #[error("it has no items")]
    Empty,
    /// Something among the items that is none.
    #[error("item {0} is not an object")]
    NoItem(String),
    /// Neither yes nor no.
    #[error("`passes` of item {0} is neither true nor false")]
    Doubtful(String),
}

/// Reads a file of requirements.
pub fn parse(bytes: &[u8]) -> Result<Vec<Item>, PrdError> {
    let document: Value = serde_json::from_slice(bytes)
        .map_err(|error| PrdError::NotJson(one_line(&error.to_string(), 120)))?;
    let items = match &document {
        Value::Array(list) => from_list(list)?,
        Value::Object(fields) => match wrapped(fields) {
            Some(Value::Array(list)) => from_list(list)?,
            Some(Value::Object(by_id)) => from_object(by_id)?,
            _ => from_object(fields)?,
        },
        _ => return Err(PrdError::Form),
    };
    if items.is_empty() { Err(PrdError::Empty) } else { Ok(items) }
}

/// Returns what stands below a wrapper. An object that is an item itself (an id that happens to be such a word) is none.
fn wrapped(fields: &Map<String, Value>) -> Option<&Value> {
    let inside = WRAPPERS.iter().find_map(|word| fields.get(*word))?;
    match inside {
        Value::Array(_) => Some(inside),
        Value::Object(inner) if !inner.contains_key("passes") => Some(inside),
        _ => None,
    }
}

fn from_list(list: &[Value]) -> Result<Vec<Item>, PrdError> {
    list.iter()
        .enumerate()
        .map(|(n, value)| {
            let key = (n + 1).to_string();
            match value {
                Value::Object(fields) => item(key, fields),
                _ => Err(PrdError::NoItem(key)),
            }
        })
        .collect()
}

/// Objects are items; text, numbers and lists beside them tell of the file itself.
fn from_object(fields: &Map<String, Value>) -> Result<Vec<Item>, PrdError> {
    if let Some(key) = fields.iter().find_map(|(key, value)| value.is_boolean().then_some(key)) {
        return Err(PrdError::NoItem(one_line(key, ID)));
    }
    let objects = fields.iter().filter_map(|(key, value)| Some((key, value.as_object()?)));
    objects.map(|(key, fields)| item(key.clone(), fields)).collect()
}

fn item(key: String, fields: &Map<String, Value>) -> Result<Item, PrdError> {
    let id = match fields.get("id") {
        Some(Value::String(id)) if !id.trim().is_empty() => id.clone(),
        Some(Value::Number(id)) => id.to_string(),
        _ => key,
    };
    let id = one_line(&id, ID);
    let title = TITLES.iter().find_map(|word| fields.get(*word)?.as_str()).unwrap_or_default();
    let passes = match fields.get("passes") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(passes)) => *passes,
        Some(_) => return Err(PrdError::Doubtful(id)),
    };
    Ok(Item { id, title: one_line(title, TITLE), passes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<(String, bool)> {
        parse(text.as_bytes()).unwrap().into_iter().map(|item| (item.id, item.passes)).collect()
    }

    fn wrong(text: &str) -> PrdError {
        parse(text.as_bytes()).unwrap_err()
    }

    fn pairs(of: &[(&str, bool)]) -> Vec<(String, bool)> {
        of.iter().map(|(id, passes)| ((*id).to_owned(), *passes)).collect()
    }

    #[test]
    fn a_list_an_object_by_id_and_their_wrappers_are_read() {
        let expected = pairs(&[("US-1", true), ("US-2", false)]);
        for text in [
            r#"[{"id":"US-1","passes":true},{"id":"US-2","passes":false}]"#,
            r#"{"US-1":{"passes":true},"US-2":{"passes":false}}"#,
            r#"{"project":"x","userStories":[{"id":"US-1","passes":true},{"id":"US-2","passes":false}]}"#,
            r#"{"items":{"US-1":{"passes":true},"US-2":{"title":"no word on passes"}},"branchName":"b"}"#,
            r#"{"version":1,"notes":["a"],"US-1":{"passes":true},"US-2":{"passes":null}}"#,
        ] {
            assert_eq!(told(text), expected, "{text}");
        }
    }

    #[test]
    fn ids_and_titles_are_found_where_they_usually_stand() {
        let items = parse(br#"[{"title":"Log in\nwith a key","passes":true},{"id":7,"description":"d"},{}]"#);
        let items: Vec<_> = items.unwrap().into_iter().map(|item| (item.id, item.title)).collect();
        let expected = [("1", "Log in with a key"), ("7", "d"), ("3", "")];
        assert_eq!(items, expected.map(|(id, title)| (id.to_owned(), title.to_owned())));
    }

    #[test]
    fn doubt_is_an_error() {
        assert!(matches!(wrong("{"), PrdError::NotJson(_)));
        assert!(matches!(wrong(""), PrdError::NotJson(_)));
        assert_eq!(wrong("3"), PrdError::Form);
        assert_eq!(wrong("[]"), PrdError::Empty);
        assert_eq!(wrong(r#"{"project":"x"}"#), PrdError::Empty);
        assert_eq!(wrong(r#"{"items":[]}"#), PrdError::Empty);
        assert_eq!(wrong(r#"[{"passes":true},[{"passes":true}]]"#), PrdError::NoItem("2".to_owned()));
        assert_eq!(wrong(r#"{"US-1":true}"#), PrdError::NoItem("US-1".to_owned()));
        assert_eq!(wrong(r#"[{"id":"a","passes":"true"}]"#), PrdError::Doubtful("a".to_owned()));
        assert_eq!(wrong(r#"[{"id":"a","passes":1}]"#), PrdError::Doubtful("a".to_owned()));
        assert_eq!(wrong(r#"{"userStories":{"x":{"passes":{}}}}"#), PrdError::Doubtful("x".to_owned()));
    }

    #[test]
    fn an_id_that_is_a_wrappers_word_is_an_item() {
        assert_eq!(told(r#"{"tasks":{"passes":true}}"#), pairs(&[("tasks", true)]));
    }
}
