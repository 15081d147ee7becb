//! From the lines of an agent's output to events, and to the facts that its verdict needs.
//!
//! Invariant: no line fails. What is not understood becomes [`AgentEvent::Raw`]; facts only come from the places that the
//! adapter's rules name. Memory is bounded, however long an agent talks.

mod counting;

use std::collections::{BTreeMap, VecDeque};

use serde_json::Value;

use super::adapter::Adapter;
use super::facts::{ApiError, Facts};
use super::line::{self, Block};
use super::rule::LineRule;
use crate::model::adapter::EventForm;
use crate::model::agent_event::AgentEvent;
use crate::model::text::one_line;
use crate::model::verdict::{Class, Verdict};

/// How much of a final message is kept, in bytes; of plain text the end, of events the beginning.
pub const MESSAGE: usize = 16 * 1024;
/// How much of one line is kept for a reason, in bytes.
const LINE: usize = 4 * 1024;
/// The longest question, in characters.
const QUESTION: usize = 240;
/// The longest description of an activity, in characters.
const ACTIVITY: usize = 160;

/// Reads the output of one attempt, line by line.
#[derive(Debug)]
pub struct Stream {
    adapter: Adapter,
    facts: Facts,
    cwd: Option<String>,
    tail: Vec<u8>,
    /// Whether the agent told its cost itself; else the sum over its models stands.
    cost_told: bool,
    /// Whether it told its tokens itself; else those that its messages began with stand.
    tokens_told: bool,
    /// Whether it told itself how much its context holds.
    window_told: bool,
    /// The last messages that were counted: one message comes as several lines.
    counted: VecDeque<String>,
}

impl Stream {
    /// Returns a reader for the output of `adapter`'s agent.
    pub fn new(adapter: &Adapter) -> Self {
        Self {
            adapter: adapter.clone(),
            facts: Facts::default(),
            cwd: None,
            tail: Vec::new(),
            cost_told: false,
            tokens_told: false,
            window_told: false,
            counted: VecDeque::new(),
        }
    }

    /// Returns what is known so far.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Returns what is known at the end of the output.
    pub fn finish(mut self) -> Facts {
        if self.adapter.events() == EventForm::Text && !self.tail.is_empty() {
            let start = self.tail.len().saturating_sub(MESSAGE);
            // A cut inside a character must not leave its rest as a mark of damage.
            let start =
                (start..self.tail.len()).find(|&at| self.tail[at] & 0xc0 != 0x80).unwrap_or(self.tail.len());
            self.facts.text = Some(String::from_utf8_lossy(&self.tail[start..]).into_owned());
        }
        self.facts
    }

    /// Takes one line, with or without its newline, and returns what it says.
    pub fn feed_line(&mut self, line: &[u8]) -> Vec<AgentEvent> {
        let text = self.adapter.events() == EventForm::Text;
        if text {
            self.keep(line);
        }
        let line = line.trim_ascii_end();
        if line.is_empty() {
            return Vec::new();
        }
        self.facts.lines += 1;
        self.facts.last_line = Some(String::from_utf8_lossy(&line[..line.len().min(LINE)]).into_owned());
        if text {
            let said = String::from_utf8_lossy(line).into_owned();
            self.facts.last = Some(one_line(&said, ACTIVITY));
            return vec![AgentEvent::Text(said)];
        }
        match line::document(line) {
            Some(document) => self.read(document, line),
            None => vec![raw(line)],
        }
    }

    fn keep(&mut self, line: &[u8]) {
        self.tail.extend_from_slice(line);
        if !line.ends_with(b"\n") {
            self.tail.push(b'\n');
        }
        if self.tail.len() > 4 * MESSAGE {
            self.tail.drain(..self.tail.len() - MESSAGE);
        }
    }

    fn read(&mut self, document: Value, line: &[u8]) -> Vec<AgentEvent> {
        let mut events = Vec::new();
        let before = self.facts.usage;
        self.add_sums(&document);
        if self.facts.usage != before {
            events.push(AgentEvent::Usage(self.facts.usage));
        }
        let adapter = self.adapter.clone();
        let rule = adapter.compiled().lines.iter().find(|rule| rule.matches(&document));
        if let Some(rule) = rule {
            self.take(rule, &document, &mut events);
        }
        self.count_message(&document, &mut events);
        let mut blocks = line::blocks(&document, self.cwd.as_deref());
        if let Some(rule) = rule {
            blocks.extend(told_blocks(rule, &document, self.cwd.as_deref()));
        }
        for block in blocks {
            events.push(self.block(block));
        }
        if let Some((rule, class)) = rule.and_then(|rule| Some((rule, rule.spec.then?))) {
            events.push(AgentEvent::Verdict(Verdict::new(class, self.at_once(rule, class))));
        }
        match rule {
            None if events.is_empty() => events.push(raw(line)),
            Some(rule) if rule.spec.is_final => {
                self.facts.final_event = Some(document);
                events.push(AgentEvent::Final);
            }
            _ => {}
        }
        events
    }

    fn block(&mut self, block: Block) -> AgentEvent {
        self.facts.api_error = None;
        match block {
            Block::Text(text) => {
                self.facts.tool = None;
                self.facts.last = Some(one_line(&text, ACTIVITY));
                AgentEvent::Text(text)
            }
            Block::Tool { name, summary } => {
                self.facts.last = Some(one_line(&format!("{name} {summary}"), ACTIVITY));
                self.facts.tool = Some(one_line(&name, ACTIVITY));
                AgentEvent::Tool { name, summary }
            }
            Block::ToolResult { failed, text } => {
                self.facts.tool = None;
                self.facts.errors += u64::from(failed);
                AgentEvent::ToolResult { failed, text }
            }
        }
    }

    /// Takes from `document` what `rule` names there.
    fn take(&mut self, rule: &LineRule, document: &Value, events: &mut Vec<AgentEvent>) {
        let spec = &rule.spec;
        let taken = |fact: &str| spec.take.get(fact).and_then(|place| document.pointer(place));
        let text = |fact: &str| taken(fact).and_then(Value::as_str);
        if let Some(cwd) = text("cwd") {
            self.cwd = Some(cwd.to_owned());
        }
        let model = text("model").map(str::to_owned);
        let new_model = model.is_some() && model != self.facts.model;
        if new_model {
            self.facts.model.clone_from(&model);
        }
        match text("session") {
            Some(session) if self.facts.session.as_deref() != Some(session) || new_model => {
                self.facts.session = Some(session.to_owned());
                events.push(AgentEvent::Session { session: session.to_owned(), model });
            }
            _ => {}
        }
        self.take_words(rule, document, events);
        if let Some(turns) = taken("turns").and_then(Value::as_u64) {
            self.facts.turns = Some(turns);
        }
        if let Some(Value::Array(denials)) = taken("denials") {
            self.facts.denials = denials.iter().take(20).map(denied_tool).collect();
        }
        self.take_counts(rule, document, events);
        self.take_fault(rule, document, events);
    }

    fn take_words(&mut self, rule: &LineRule, document: &Value, events: &mut Vec<AgentEvent>) {
        let spec = &rule.spec;
        if let Some(place) = spec.take.get("text") {
            match document.pointer(place).and_then(Value::as_str) {
                Some(said) => {
                    self.facts.text = Some(cut(said).to_owned());
                    // The final event repeats what was said already.
                    if !spec.is_final {
                        self.facts.last = Some(one_line(said, ACTIVITY));
                        events.push(AgentEvent::Text(said.to_owned()));
                    }
                }
                None if spec.is_final => self.facts.text = None,
                None => {}
            }
        }
        let more = spec.append.get("text").and_then(|place| document.pointer(place)).and_then(Value::as_str);
        if let Some(more) = more {
            let said = self.facts.text.get_or_insert_default();
            said.push_str(more);
            if said.len() > 4 * MESSAGE {
                let from =
                    (said.len() - MESSAGE..said.len()).find(|&at| said.is_char_boundary(at)).unwrap_or(0);
                said.drain(..from);
            }
            self.facts.last = Some(one_line(more, ACTIVITY));
            events.push(AgentEvent::Text(more.to_owned()));
        }
    }

    fn take_fault(&mut self, rule: &LineRule, document: &Value, events: &mut Vec<AgentEvent>) {
        let spec = &rule.spec;
        let at = |place: Option<&String>| place.and_then(|place| document.pointer(place));
        if let Some(error) = at(spec.take.get("error")).and_then(Value::as_str) {
            self.facts.error = Some(cut(error).to_owned());
        }
        if let Some(status) = at(spec.take.get("status")).and_then(line::status) {
            self.facts.status = Some(status);
        }
        if !spec.note.is_empty() {
            let reason = at(spec.note.get("reason")).and_then(Value::as_str).unwrap_or("unknown");
            let status = at(spec.note.get("status")).and_then(line::status);
            let fault = ApiError { reason: one_line(reason, ACTIVITY), status };
            self.facts.last = Some(format!("retrying: {}", fault.words()));
            self.facts.errors += 1;
            self.facts.api_error = Some(fault.clone());
            events.push(AgentEvent::Retry { reason: fault.reason, status });
        }
        if let Some(question) = at(spec.take.get("question")).and_then(Value::as_str) {
            self.facts.question = Some(one_line(question, QUESTION));
        }
    }

    /// Returns the reason of a verdict that acts at once.
    fn at_once(&self, rule: &LineRule, class: Class) -> String {
        let (spec, facts) = (&rule.spec, &self.facts);
        let noted = facts.api_error.as_ref().filter(|_| !spec.note.is_empty()).map(ApiError::words);
        let asked = facts.question.as_ref().filter(|_| spec.take.contains_key("question"));
        let wanted = facts.last.as_ref().filter(|_| !spec.tool.is_empty());
        spec.reason
            .clone()
            .or_else(|| asked.map(|question| format!("asks: {question}")))
            .or_else(|| wanted.map(|tool| format!("asks for a permission: {tool}")))
            .or(noted)
            .unwrap_or_else(|| class.words().to_owned())
    }
}

/// Returns the tool that begins or ends in `document` by a rule of its adapter.
fn told_blocks(rule: &LineRule, document: &Value, cwd: Option<&str>) -> Vec<Block> {
    let (tool, result) = (&rule.spec.tool, &rule.spec.result);
    let at = |places: &BTreeMap<String, String>, fact: &str| {
        places.get(fact).and_then(|place| document.pointer(place)).cloned().unwrap_or_default()
    };
    let begun = (!tool.is_empty()).then(|| Block::Tool {
        name: at(tool, "name").as_str().unwrap_or("a tool").to_owned(),
        summary: line::input_summary(&at(tool, "input"), cwd),
    });
    let ended = (!result.is_empty()).then(|| Block::ToolResult {
        failed: line::failed(&at(result, "status")),
        text: at(result, "text").as_str().unwrap_or_default().to_owned(),
    });
    begun.into_iter().chain(ended).collect()
}

fn denied_tool(denial: &Value) -> String {
    let name = denial["tool_name"].as_str().or(denial.as_str()).unwrap_or("a tool");
    let summary = line::tool_summary(&denial["tool_input"], None);
    one_line(&format!("{name} {summary}"), ACTIVITY)
}

fn raw(line: &[u8]) -> AgentEvent {
    AgentEvent::Raw(String::from_utf8_lossy(line).into_owned())
}

fn cut(text: &str) -> &str {
    let end = (0..=text.len().min(4 * MESSAGE)).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::super::adapter::tests::{claude, read};
    use super::*;

    fn text_adapter() -> Adapter {
        read("x", "[agents.x]\ncommand = [\"x\"]").unwrap()
    }

    #[test]
    fn broken_and_unknown_lines_are_kept_raw() {
        let mut stream = Stream::new(&claude());
        for line in ["not json", "[1,2]", "{\"type\":", "{\"type\":\"news\"}", "\u{1b}[2J"] {
            assert_eq!(stream.feed_line(line.as_bytes()), [AgentEvent::Raw(line.to_owned())]);
        }
        assert_eq!(stream.feed_line(b"  \n"), []);
        assert!(stream.feed_line(&[0xff, 0xfe])[0] == AgentEvent::Raw("\u{fffd}\u{fffd}".to_owned()));
        assert_eq!(stream.feed_line(b"{\"type\":\"system\",\"subtype\":\"hook_started\"}"), []);
    }

    #[test]
    fn the_first_sign_of_a_bad_key_acts_at_once() {
        let mut stream = Stream::new(&claude());
        let line = br#"{"type":"system","subtype":"api_retry","attempt":1,"error_status":401,"error":"authentication_failed"}"#;
        let events = stream.feed_line(line);
        let verdict = events.iter().find_map(|event| match event {
            AgentEvent::Verdict(verdict) => Some(verdict.clone()),
            _ => None,
        });
        let verdict = verdict.expect("a verdict");
        assert_eq!(verdict.class, crate::model::verdict::Class::FleetStop);
        assert_eq!(verdict.reason, "authentication_failed (401)");
    }

    #[test]
    fn plain_text_keeps_its_end_on_a_character_boundary() {
        let mut stream = Stream::new(&text_adapter());
        for _ in 0..5000 {
            stream.feed_line("ééééééééé\n".as_bytes());
        }
        assert_eq!(stream.feed_line(b"last one"), [AgentEvent::Text("last one".to_owned())]);
        assert_eq!(stream.facts().last.as_deref(), Some("last one"));
        let text = stream.finish().text.unwrap();
        assert!(text.len() <= MESSAGE && text.len() > MESSAGE - 40, "{}", text.len());
        assert!(text.ends_with("é\nlast one\n") && !text.contains('\u{fffd}'));
    }
}
