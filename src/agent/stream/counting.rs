//! What an agent tells of tokens, money and its context: in its messages, in sums over its events, at its end.
//!
//! Invariant: no message is counted twice, and what the agent tells itself has the last word.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::line;
use super::super::rule::LineRule;
use super::{ACTIVITY, Stream, cut};
use crate::model::Usage;
use crate::model::agent_event::AgentEvent;
use crate::model::text::one_line;

/// The most models that one attempt is accounted by: an exit record must hold them. The rest is [`OTHERS`].
const MODELS: usize = 8;
/// What stands for models beyond [`MODELS`].
const OTHERS: &str = "others";
/// How many messages are remembered as counted.
const MESSAGES: usize = 64;

impl Stream {
    /// Takes from `document` what `rule` names there of tokens, money and context.
    pub(super) fn take_counts(&mut self, rule: &LineRule, document: &Value, events: &mut Vec<AgentEvent>) {
        let taken = |fact: &str| rule.spec.take.get(fact).and_then(|place| document.pointer(place));
        let window = taken("window").and_then(Value::as_u64).or_else(|| self.told_window(taken("usage")?));
        self.window_told |= window.is_some();
        if window.is_some() || !self.window_told {
            self.facts.window = window.or_else(|| self.known_window());
        }
        if let Some(told) = taken("usage") {
            self.facts.models.clear();
            for (model, usage) in line::models(told).into_iter().flatten() {
                add(&mut self.facts.models, model, usage);
            }
            let told = line::usage(told);
            self.facts.usage.tokens = told.tokens;
            self.tokens_told = true;
            if !self.cost_told {
                self.facts.usage.cost_usd = told.cost_usd;
            }
        }
        if let Some(cost) = taken("cost_usd").and_then(Value::as_f64).filter(|cost| cost.is_finite()) {
            self.facts.usage.cost_usd = cost;
            self.cost_told = true;
        }
        if taken("usage").is_some() || taken("cost_usd").is_some() {
            events.push(AgentEvent::Usage(self.facts.usage));
        }
    }

    /// Returns how many tokens the context of the session's model holds, where the usage by model says it.
    fn told_window(&self, told: &Value) -> Option<u64> {
        let models = told.as_object()?;
        let own = self.facts.model.as_ref().and_then(|model| models.get(model));
        let only = || models.values().next().filter(|_| models.len() == 1);
        own.or_else(only)?.get("contextWindow")?.as_u64()
    }

    /// Returns the same as the adapter's table has it.
    fn known_window(&self) -> Option<u64> {
        let model = self.facts.model.as_ref()?;
        let windows = &self.adapter.spec().windows;
        Some(windows.iter().find(|window| model.contains(&window.model))?.tokens)
    }

    /// Counts what a message began with, once; an attempt that is ended before its final event has told no more.
    pub(super) fn count_message(&mut self, document: &Value, events: &mut Vec<AgentEvent>) {
        let Some((id, model, usage)) = line::begun_message(document) else { return };
        // What an agent of the agent's own takes in says nothing of its context.
        if !usage.is_nothing() && document.get("parent_tool_use_id").is_none_or(Value::is_null) {
            self.facts.context = Some(usage.tokens.total().saturating_sub(usage.tokens.output));
        }
        if self.tokens_told {
            return;
        }
        if usage.is_nothing() || self.counted.iter().any(|counted| counted == id) {
            return;
        }
        self.counted.push_back(cut(id).to_owned());
        if self.counted.len() > MESSAGES {
            self.counted.pop_front();
        }
        self.facts.usage += usage;
        // A message names its model without the variant that the session names.
        let whole =
            self.facts.model.as_deref().filter(|whole| model.is_none_or(|model| whole.starts_with(model)));
        let model = whole.or(model).map(|model| one_line(model, ACTIVITY));
        if let Some(model) = model {
            add(&mut self.facts.models, model, usage);
        }
        events.push(AgentEvent::Usage(self.facts.usage));
    }

    pub(super) fn add_sums(&mut self, document: &Value) {
        let mut taken_in = None;
        for (fact, place) in &self.adapter.spec().sum {
            let Some(found) = document.pointer(place) else { continue };
            if ["input", "cache_read", "cache_write"].contains(&fact.as_str()) {
                *taken_in.get_or_insert(0) += found.as_u64().unwrap_or_default();
            }
            let usage = &mut self.facts.usage;
            let count = match fact.as_str() {
                "input" => &mut usage.tokens.input,
                "output" => &mut usage.tokens.output,
                "cache_read" => &mut usage.tokens.cache_read,
                "cache_write" => &mut usage.tokens.cache_write,
                _ => {
                    usage.cost_usd += found.as_f64().filter(|cost| cost.is_finite()).unwrap_or_default();
                    self.cost_told = true;
                    continue;
                }
            };
            self.tokens_told = true;
            *count = count.saturating_add(found.as_u64().unwrap_or_default());
        }
        self.facts.context = taken_in.or(self.facts.context);
    }
}

/// Adds what a model used.
fn add(models: &mut BTreeMap<String, Usage>, model: String, usage: Usage) {
    let room = models.len() < MODELS || models.contains_key(&model);
    *models.entry(if room { model } else { OTHERS.to_owned() }).or_default() += usage;
}

#[cfg(test)]
mod tests {
    use super::super::super::adapter::tests::{claude, read};
    use super::*;

    fn line(id: &str, model: &str, output: u64) -> String {
        let usage = format!(r#"{{"input_tokens":10,"cache_read_input_tokens":5,"output_tokens":{output}}}"#);
        format!(
            r#"{{"type":"assistant","message":{{"id":"{id}","model":"{model}","content":[],"usage":{usage}}}}}"#
        )
    }

    #[test]
    fn an_attempt_that_was_cut_short_keeps_what_its_messages_began_with() {
        let mut stream = Stream::new(&claude());
        stream.feed_line(br#"{"type":"system","subtype":"init","session_id":"s","model":"opus[1m]"}"#);
        for line in
            [line("m1", "opus", 1), line("m1", "opus", 1), line("m2", "opus", 2), line("m3", "haiku", 1)]
        {
            stream.feed_line(line.as_bytes());
        }
        let facts = stream.facts();
        assert_eq!((facts.usage.tokens.input, facts.usage.tokens.output), (30, 4));
        assert_eq!(facts.models["opus[1m]"].tokens.input, 20);
        assert_eq!(facts.models["haiku"].tokens.cache_read, 5);
        let last = br#"{"type":"result","result":"x","total_cost_usd":0.5,"modelUsage":{"opus[1m]":{"inputTokens":21,"outputTokens":90,"costUSD":0.4},"haiku":{"inputTokens":1,"costUSD":0.1}}}"#;
        stream.feed_line(last);
        stream.feed_line(line("m4", "opus", 1).as_bytes());
        let facts = stream.finish();
        assert_eq!(facts.usage.tokens.input, 22, "the final event has the last word");
        assert_eq!(facts.models.len(), 2);
        assert_eq!(facts.models["opus[1m]"].tokens.output, 90);
        assert!((facts.models["haiku"].cost_usd - 0.1).abs() < 1e-9);
    }

    #[test]
    fn appended_text_and_sums_add_up() {
        let adapter = read(
            "x",
            r#"[agents.x]
            command = ["x"]
            events = "jsonl"
            sum = { cost_usd = "/cost", output = "/out" }
            event = [{ when = { "/t" = "m" }, append = { text = "/c" } }]"#,
        )
        .unwrap();
        let mut stream = Stream::new(&adapter);
        stream.feed_line(br#"{"t":"m","c":"one ","cost":0.5,"out":3}"#);
        stream.feed_line(br#"{"t":"m","c":"two","cost":0.25,"out":4}"#);
        let facts = stream.finish();
        assert_eq!(facts.text.as_deref(), Some("one two"));
        assert_eq!(facts.usage.tokens.output, 7);
        assert!((facts.usage.cost_usd - 0.75).abs() < 1e-9);
    }

    #[test]
    fn a_window_is_known_by_the_models_name_until_the_agent_tells_it() {
        let mut stream = Stream::new(&claude());
        let init = |model: &str| {
            format!(r#"{{"type":"system","subtype":"init","session_id":"s","model":"{model}"}}"#)
        };
        for (model, window) in [("claude-big", 200_000), ("claude-big[1m]", 1_000_000)] {
            let mut stream = Stream::new(&claude());
            stream.feed_line(init(model).as_bytes());
            assert_eq!(stream.facts().window, Some(window), "{model}");
        }
        stream.feed_line(init("other").as_bytes());
        assert_eq!(stream.facts().window, None);
        let result = |models: &str| format!(r#"{{"type":"result","result":"x","modelUsage":{models}}}"#);
        stream.feed_line(result(r#"{"a":{"contextWindow":7},"b":{"contextWindow":8}}"#).as_bytes());
        assert_eq!(stream.facts().window, None, "nobody says which of them has the context");
        stream.feed_line(result(r#"{"a":{"contextWindow":7},"other":{"contextWindow":8}}"#).as_bytes());
        assert_eq!(stream.facts().window, Some(8));
        stream.feed_line(result(r#"{"a":{"contextWindow":9}}"#).as_bytes());
        assert_eq!(stream.facts().window, Some(9));
        assert_eq!(stream.facts().context, None);
        stream.feed_line(line("m1", "a", 1).as_bytes());
        assert_eq!(stream.facts().context, Some(15));
    }
}
