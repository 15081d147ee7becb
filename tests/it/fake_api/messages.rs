//! The Anthropic Messages API: what a request asks for, and a turn as the service would send it. Pure.

use serde_json::{Value, json};
use wt::model::usage::Tokens;

use super::scenario::Turn;

/// How much of a text goes into one stream event.
const PIECE: usize = 40;

/// Where an agent stands in its conversation.
#[derive(Debug, PartialEq, Eq)]
pub struct Position {
    /// The last thing that a person (or `wt`) said, without what the agent added to it.
    pub prompt: String,
    /// How many replies there were to it.
    pub replies: usize,
}

/// Reads the position off the messages of a request.
pub fn position(messages: &[Value]) -> Position {
    let mut replies = 0;
    for message in messages.iter().rev() {
        match message["role"].as_str() {
            Some("assistant") => replies += 1,
            Some("user") if !is_tool_result(&message["content"]) => {
                let prompt = without_reminders(&text(&message["content"]));
                if !prompt.trim().is_empty() {
                    return Position { prompt, replies };
                }
            }
            _ => {}
        }
    }
    Position { prompt: String::new(), replies }
}

fn is_tool_result(content: &Value) -> bool {
    content.as_array().is_some_and(|blocks| blocks.iter().any(|block| block["type"] == "tool_result"))
}

fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            blocks.iter().filter_map(|block| block["text"].as_str()).collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

/// Claude Code puts memory files and notes of its own into `<system-reminder>` beside the prompt.
fn without_reminders(text: &str) -> String {
    let (open, close) = ("<system-reminder>", "</system-reminder>");
    let mut left = text.to_owned();
    while let Some(start) = left.find(open)
        && let Some(length) = left[start..].find(close)
    {
        left.replace_range(start..start + length + close.len(), "");
    }
    left
}

/// Returns the working directory that the agent states in the raw text of its request, else `.`.
pub fn working_directory(request: &str) -> &str {
    ["Primary working directory: ", "Working directory: ", "working directory: "]
        .iter()
        .find_map(|words| request.split_once(words))
        .map_or(".", |(_, after)| after.split(['\\', '\n', '"', '<']).next().unwrap_or(after).trim())
}

/// Returns `turn` with `{{cwd}}` filled in.
pub fn filled(mut turn: Turn, cwd: &str) -> Turn {
    turn.text = turn.text.replace("{{cwd}}", cwd);
    for (_, input) in &mut turn.tools {
        fill(input, cwd);
    }
    turn
}

fn fill(value: &mut Value, cwd: &str) {
    match value {
        Value::String(text) => *text = text.replace("{{cwd}}", cwd),
        Value::Array(items) => items.iter_mut().for_each(|item| fill(item, cwd)),
        Value::Object(fields) => fields.values_mut().for_each(|field| fill(field, cwd)),
        _ => {}
    }
}

fn id(prefix: &str) -> String {
    format!("{prefix}_{}", uuid::Uuid::new_v4().simple())
}

/// Returns a new id for a reply's `request-id` header.
pub fn request_id() -> String {
    id("req")
}

fn usage(tokens: Tokens) -> Value {
    json!({
        "input_tokens": tokens.input,
        "cache_creation_input_tokens": tokens.cache_write,
        "cache_read_input_tokens": tokens.cache_read,
        "output_tokens": tokens.output,
    })
}

fn stop_reason(turn: &Turn) -> &'static str {
    if turn.tools.is_empty() { "end_turn" } else { "tool_use" }
}

fn blocks(turn: &Turn) -> Vec<Value> {
    let text = (!turn.text.is_empty()).then(|| json!({"type": "text", "text": turn.text}));
    let tools = turn
        .tools
        .iter()
        .map(|(name, input)| json!({"type": "tool_use", "id": id("toolu"), "name": name, "input": input}));
    text.into_iter().chain(tools).collect()
}

/// Returns the turn as one message, for a request that asked for no stream.
pub fn message(turn: &Turn, model: &str) -> Value {
    json!({
        "id": id("msg"), "type": "message", "role": "assistant", "model": model, "content": blocks(turn),
        "stop_reason": stop_reason(turn), "stop_sequence": null, "usage": usage(turn.usage),
    })
}

/// Returns the turn as the events of a stream; each names itself in `type`.
pub fn events(turn: &Turn, model: &str) -> Vec<Value> {
    // As the service does: the start says what went in and one token out, the end says how much came out.
    let started = json!({
        "id": id("msg"), "type": "message", "role": "assistant", "model": model, "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": usage(Tokens { output: 1, ..turn.usage }),
    });
    let mut events = vec![json!({"type": "message_start", "message": started}), json!({"type": "ping"})];
    for (index, mut block) in blocks(turn).into_iter().enumerate() {
        let deltas = if block["type"] == "text" {
            let text = block["text"].take();
            block["text"] = json!("");
            let text = text.as_str().unwrap_or_default();
            pieces(text).map(|piece| json!({"type": "text_delta", "text": piece})).collect::<Vec<_>>()
        } else {
            let input = block["input"].take().to_string();
            block["input"] = json!({});
            pieces(&input).map(|piece| json!({"type": "input_json_delta", "partial_json": piece})).collect()
        };
        events.push(json!({"type": "content_block_start", "index": index, "content_block": block}));
        events.extend(
            deltas
                .into_iter()
                .map(|delta| json!({"type": "content_block_delta", "index": index, "delta": delta})),
        );
        events.push(json!({"type": "content_block_stop", "index": index}));
    }
    events.push(json!({
        "type": "message_delta",
        "delta": {"stop_reason": stop_reason(turn), "stop_sequence": null},
        "usage": {"output_tokens": turn.usage.output},
    }));
    events.push(json!({"type": "message_stop"}));
    events
}

fn pieces(text: &str) -> impl Iterator<Item = String> {
    let chars = text.chars().collect::<Vec<_>>();
    chars.chunks(PIECE).map(|piece| piece.iter().collect()).collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_turn_is_read_off_the_conversation() {
        let reminder = "<system-reminder>memory</system-reminder>";
        let first = json!({"role": "user", "content": [
            {"type": "text", "text": reminder}, {"type": "text", "text": format!("do it {reminder}")}]});
        let reply = json!({"role": "assistant", "content": [{"type": "tool_use", "name": "Bash"}]});
        let result =
            json!({"role": "user", "content": [{"type": "tool_result"}, {"type": "text", "text": "note"}]});
        let at = |messages: &[&Value]| {
            let position = position(&messages.iter().copied().cloned().collect::<Vec<_>>());
            (position.prompt.trim().to_owned(), position.replies)
        };
        assert_eq!(at(&[&first]), ("do it".to_owned(), 0));
        assert_eq!(at(&[&first, &json!({"role": "user", "content": reminder})]), ("do it".to_owned(), 0));
        assert_eq!(at(&[&first, &reply, &result, &reply, &result]), ("do it".to_owned(), 2));
        let resumed = json!({"role": "user", "content": "go on"});
        assert_eq!(at(&[&first, &reply, &result, &reply, &resumed]), ("go on".to_owned(), 0));
    }

    #[test]
    fn the_working_directory_is_filled_in() {
        let request = r#"{"system":"…\n - Primary working directory: /a b/c\n - …"}"#;
        assert_eq!(working_directory(request), "/a b/c");
        assert_eq!(working_directory("{}"), ".");
        let turn = filled(Turn::tool("T", json!({"deep": ["{{cwd}}/x"]})), "/w");
        assert_eq!(turn.tools[0].1, json!({"deep": ["/w/x"]}));
    }
}
