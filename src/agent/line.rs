//! One line of an agent's output, taken apart: its document, the messages in it, what a tool call is about.
//!
//! Invariant: total. Whatever a line holds, something sensible comes back; nesting and size are bounded by the parser
//! and by whoever cuts lines.

use serde_json::Value;

use crate::model::text::one_line;
use crate::model::usage::{Tokens, Usage};

/// The longest summary of a tool call, in characters.
const SUMMARY: usize = 160;
/// The longest name of a model, in characters.
const MODEL: usize = 80;

/// A part of a message, in the form of the Anthropic API that Claude Code prints.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Block {
    Text(String),
    Tool { name: String, summary: String },
    ToolResult { failed: bool, text: String },
}

/// Returns the JSON object that `line` is, if it is one.
pub(super) fn document(line: &[u8]) -> Option<Value> {
    serde_json::from_slice(line).ok().filter(Value::is_object)
}

/// Returns the parts of the message in `document`; paths below `cwd` become relative.
pub(super) fn blocks(document: &Value, cwd: Option<&str>) -> Vec<Block> {
    let Some(Value::Array(content)) = document.pointer("/message/content") else { return Vec::new() };
    content.iter().filter_map(|part| block(part, cwd)).collect()
}

fn block(part: &Value, cwd: Option<&str>) -> Option<Block> {
    match part["type"].as_str()? {
        "text" => Some(Block::Text(part["text"].as_str()?.to_owned())),
        "tool_use" => Some(Block::Tool {
            name: part["name"].as_str()?.to_owned(),
            summary: tool_summary(&part["input"], cwd),
        }),
        "tool_result" => Some(Block::ToolResult {
            failed: part["is_error"] == Value::Bool(true),
            text: result_text(&part["content"]),
        }),
        _ => None,
    }
}

fn result_text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts: Vec<_> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
            texts.join("\n")
        }
        _ => String::new(),
    }
}

/// Returns the most telling part of a tool's input on one line; empty if none is known.
pub(super) fn tool_summary(input: &Value, cwd: Option<&str>) -> String {
    const TELLING: [&str; 11] = [
        "file_path",
        "filePath",
        "notebook_path",
        "command",
        "pattern",
        "url",
        "query",
        "path",
        "skill",
        "description",
        "prompt",
    ];
    let Some(text) = TELLING.iter().find_map(|key| input[*key].as_str()) else { return String::new() };
    let below = cwd.and_then(|cwd| text.strip_prefix(cwd)?.strip_prefix('/'));
    one_line(below.unwrap_or(text), SUMMARY)
}

/// Returns what a tool's input says where it is no table: a command as one text or as its words; else as in
/// [`tool_summary`].
pub(super) fn input_summary(input: &Value, cwd: Option<&str>) -> String {
    match input {
        Value::String(text) => {
            let below = cwd.and_then(|cwd| text.strip_prefix(cwd)?.strip_prefix('/'));
            one_line(below.unwrap_or(text), SUMMARY)
        }
        Value::Array(words) => {
            let words: Vec<_> = words.iter().filter_map(Value::as_str).collect();
            one_line(&words.join(" "), SUMMARY)
        }
        _ => tool_summary(input, cwd),
    }
}

/// Returns whether a tool's status says that it failed: a word for that, or an exit code.
pub(super) fn failed(status: &Value) -> bool {
    match status {
        Value::String(word) => matches!(word.as_str(), "error" | "failed" | "declined" | "cancelled"),
        Value::Number(code) => code.as_i64() != Some(0),
        _ => false,
    }
}

/// Returns the usage that a document tells: either counts by model, or counts in the words of one of the known APIs.
pub(super) fn usage(told: &Value) -> Usage {
    match models(told) {
        Some(models) => models.into_iter().fold(Usage::default(), |mut sum, (_, usage)| {
            sum += usage;
            sum
        }),
        None if told.is_object() => counts(told),
        None => Usage::default(),
    }
}

/// Returns the usage by model that a document tells; `None`: it does not tell models apart.
pub(super) fn models(told: &Value) -> Option<Vec<(String, Usage)>> {
    let table = told.as_object().filter(|table| !table.is_empty() && table.values().all(Value::is_object))?;
    Some(table.iter().map(|(model, told)| (one_line(model, MODEL), counts(told))).collect())
}

/// Returns the usage of the message in `document` as it stood when the message began, with the message's id and model.
pub(super) fn begun_message(document: &Value) -> Option<(&str, Option<&str>, Usage)> {
    let message = document.get("message")?;
    let usage = message.get("usage").filter(|told| told.is_object()).map(counts)?;
    Some((message["id"].as_str()?, message["model"].as_str(), usage))
}

fn counts(told: &Value) -> Usage {
    let first = |keys: &[&str]| keys.iter().find_map(|key| told[*key].as_u64());
    let cached_inside = first(&["cached_input_tokens", "cached"]);
    let input = first(&["inputTokens", "input_tokens", "input"]).unwrap_or_default();
    Usage {
        tokens: Tokens {
            // Where the cached tokens are part of the input, they are not counted twice.
            input: input.saturating_sub(cached_inside.unwrap_or_default()),
            output: first(&["outputTokens", "output_tokens", "output"]).unwrap_or_default(),
            cache_read: first(&["cacheReadInputTokens", "cache_read_input_tokens"])
                .or(cached_inside)
                .unwrap_or_default(),
            cache_write: first(&[
                "cacheCreationInputTokens",
                "cache_creation_input_tokens",
                "cache_write_input_tokens",
            ])
            .unwrap_or_default(),
        },
        cost_usd: told["costUSD"].as_f64().filter(|cost| cost.is_finite()).unwrap_or_default(),
    }
}

/// Returns an HTTP status that is told as a number or as digits.
pub(super) fn status(told: &Value) -> Option<u16> {
    match told {
        Value::Number(number) => number.as_u64().and_then(|n| u16::try_from(n).ok()),
        Value::String(digits) => digits.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_tool_call_is_summed_up_by_its_most_telling_input() {
        let summary = |input: Value| tool_summary(&input, Some("/repo"));
        assert_eq!(
            summary(json!({"replace_all": false, "file_path": "/repo/src/a.rs", "old_string": "x"})),
            "src/a.rs"
        );
        assert_eq!(summary(json!({"file_path": "/repository/a"})), "/repository/a");
        assert_eq!(
            summary(json!({"command": "git add .\ngit commit", "description": "Commit"})),
            "git add . git commit"
        );
        assert_eq!(summary(json!({"pattern": "fn main", "path": "/repo"})), "fn main");
        assert_eq!(summary(json!({"todos": []})), "");
        assert_eq!(summary(json!(null)), "");
    }

    #[test]
    fn usage_is_read_in_every_known_form() {
        let claude = json!({"a": {"inputTokens": 1, "outputTokens": 2, "cacheReadInputTokens": 3, "cacheCreationInputTokens": 4, "costUSD": 0.5},
                            "b": {"inputTokens": 10, "costUSD": 0.25}});
        let sum = usage(&claude);
        assert_eq!(sum.tokens, Tokens { input: 11, output: 2, cache_read: 3, cache_write: 4 });
        assert!((sum.cost_usd - 0.75).abs() < 1e-9);
        let codex = json!({"input_tokens": 2400, "cached_input_tokens": 1000, "cache_write_input_tokens": 0, "output_tokens": 300});
        assert_eq!(
            usage(&codex).tokens,
            Tokens { input: 1400, output: 300, cache_read: 1000, cache_write: 0 }
        );
        assert_eq!(usage(&json!({})), Usage::default());
        assert_eq!(usage(&json!([1])), Usage::default());
        assert_eq!(usage(&json!({"input_tokens": -5, "costUSD": "x"})), Usage::default());
    }
}
