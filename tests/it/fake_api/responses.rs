//! The OpenAI Responses API, which Codex speaks: what a request asks for, and a turn as the service would send it. Pure.

use serde_json::{Value, json};

use super::messages::Position;
use super::scenario::Turn;

/// Reads the position off the items of a request: replies are runs of calls and messages since the last prompt.
pub fn position(items: &[Value]) -> Position {
    let mut replies = 0;
    let mut in_reply = false;
    for item in items.iter().rev() {
        match (item["type"].as_str(), item["role"].as_str()) {
            (Some("function_call_output" | "custom_tool_call_output"), _) => in_reply = false,
            (_, Some("user")) => return Position { prompt: text(&item["content"]), replies },
            (_, Some("developer" | "system")) => {}
            _ => {
                replies += usize::from(!in_reply);
                in_reply = true;
            }
        }
    }
    Position { prompt: String::new(), replies }
}

fn text(content: &Value) -> String {
    let parts = content.as_array().map_or(&[][..], Vec::as_slice);
    parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n")
}

fn id(prefix: &str) -> String {
    format!("{prefix}_{}", uuid::Uuid::new_v4().simple())
}

/// Returns the events of a reply; the last names what was charged. Cache writes have no place there.
pub fn events(turn: &Turn, model: &str) -> Vec<Value> {
    let reply = id("resp");
    let said = (!turn.text.is_empty()).then(|| {
        let content = json!([{"type": "output_text", "text": turn.text, "annotations": []}]);
        json!({"type": "message", "id": id("msg"), "role": "assistant", "status": "completed", "content": content})
    });
    let calls = turn.tools.iter().map(|(name, input)| {
        json!({"type": "function_call", "id": id("fc"), "call_id": id("call"), "name": name,
               "arguments": input.to_string(), "status": "completed"})
    });
    let output: Vec<Value> = said.into_iter().chain(calls).collect();
    let mut events = vec![json!({"type": "response.created", "response": {"id": reply, "model": model}})];
    for (index, item) in output.iter().enumerate() {
        let mut empty = item.clone();
        if item["type"] == "message" {
            empty["content"] = json!([]);
        }
        events.push(json!({"type": "response.output_item.added", "output_index": index, "item": empty}));
        if let Some(text) = item["content"][0]["text"].as_str() {
            events.push(
                json!({"type": "response.output_text.delta", "output_index": index, "content_index": 0,
                               "item_id": item["id"], "delta": text}),
            );
        }
        events.push(json!({"type": "response.output_item.done", "output_index": index, "item": item}));
    }
    let tokens = turn.usage;
    let input = tokens.input + tokens.cache_read;
    let usage = json!({
        "input_tokens": input, "input_tokens_details": {"cached_tokens": tokens.cache_read},
        "output_tokens": tokens.output, "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": input + tokens.output,
    });
    events.push(json!({"type": "response.completed", "response": {"id": reply, "object": "response",
        "status": "completed", "model": model, "output": output, "usage": usage}}));
    events
}

/// Returns an error in the service's form.
pub fn error_body(code: &str, message: &str) -> Value {
    json!({"error": {"type": code, "code": code, "message": message}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_turn_is_read_off_the_items() {
        let says =
            |role: &str, text: &str| json!({"type": "message", "role": role, "content": [{"text": text}]});
        let call = json!({"type": "function_call"});
        let answer = json!({"type": "function_call_output"});
        let at = |items: &[&Value]| {
            let position = position(&items.iter().copied().cloned().collect::<Vec<_>>());
            (position.prompt, position.replies)
        };
        let (rules, asked, said) =
            (says("developer", "rules"), says("user", "do it"), says("assistant", "ok"));
        assert_eq!(at(&[&rules, &asked]), ("do it".to_owned(), 0));
        assert_eq!(at(&[&rules, &asked, &said, &call, &answer]), ("do it".to_owned(), 1));
        assert_eq!(at(&[&asked, &call, &call, &answer, &answer, &said, &call, &answer]).1, 2);
        assert_eq!(at(&[&asked, &call, &answer, &said, &says("user", "go on")]), ("go on".to_owned(), 0));
    }

    #[test]
    fn a_turn_is_a_stream_that_ends_with_its_charge() {
        let turn = Turn { text: "I say".to_owned(), ..Turn::tool("exec_command", json!({"cmd": "true"})) };
        let events = events(&turn, "m");
        let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
        assert_eq!(kinds.first(), Some(&"response.created"));
        assert_eq!(kinds.iter().filter(|kind| **kind == "response.output_item.done").count(), 2);
        let usage = &events.last().unwrap()["response"]["usage"];
        assert_eq!((&usage["input_tokens"], &usage["output_tokens"]), (&json!(6200), &json!(150)));
    }
}
