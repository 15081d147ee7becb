//! An agent's output as people read it: its words, one line for each tool call, what failed, and the cost at the end.

use super::adapter::Adapter;
use super::stream::Stream;
use super::verdict::{Ending, verdict};
use crate::model::adapter::EventForm;
use crate::model::agent_event::{AgentEvent, LogKind, LogLine};
use crate::model::text::{count, one_line};
use crate::model::verdict::{Class, Exit};

/// The longest line about a failed tool, in characters.
const FAILURE: usize = 300;

/// Renders a stream line by line, in order.
#[derive(Debug)]
pub struct Transcript {
    adapter: Adapter,
    stream: Stream,
    /// What was said last: a failure often repeats it.
    said: String,
}

impl Transcript {
    /// Returns a renderer for the output of `adapter`'s agent.
    pub fn new(adapter: &Adapter) -> Self {
        Self { adapter: adapter.clone(), stream: Stream::new(adapter), said: String::new() }
    }

    /// Returns what people read of one raw line; often nothing.
    pub fn render_line(&mut self, line: &[u8]) -> Vec<LogLine> {
        if self.adapter.events() == EventForm::Text {
            // Blank lines are part of a text.
            self.stream.feed_line(line);
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            return vec![LogLine::new(LogKind::Text, String::from_utf8_lossy(line))];
        }
        let events = self.stream.feed_line(line);
        events.into_iter().flat_map(|event| self.render(event)).collect()
    }

    fn render(&mut self, event: AgentEvent) -> Vec<LogLine> {
        let one = |kind, text: String| vec![LogLine::new(kind, text)];
        match event {
            AgentEvent::Session { session, model } => one(
                LogKind::Note,
                match model {
                    Some(model) => format!("session {session}, {model}"),
                    None => format!("session {session}"),
                },
            ),
            AgentEvent::Text(text) => {
                self.said = one_line(&text, FAILURE);
                one(LogKind::Text, text)
            }
            AgentEvent::Tool { name, summary } => {
                one(LogKind::Tool, format!("{name} {summary}").trim_end().to_owned())
            }
            AgentEvent::ToolResult { failed: true, text } => one(LogKind::Error, one_line(&text, FAILURE)),
            AgentEvent::Retry { reason, status } => one(
                LogKind::Note,
                match status {
                    Some(status) => format!("retrying: {reason} ({status})"),
                    None => format!("retrying: {reason}"),
                },
            ),
            AgentEvent::Verdict(verdict) => one(LogKind::Error, verdict.reason),
            AgentEvent::Final => self.summary(),
            AgentEvent::Raw(text) => one(LogKind::Raw, text),
            AgentEvent::ToolResult { failed: false, .. } | AgentEvent::Usage(_) => Vec::new(),
        }
    }

    /// Returns what went wrong by the adapter's own rules, if anything did, and what it took.
    fn summary(&self) -> Vec<LogLine> {
        let facts = self.stream.facts();
        let mut lines = Vec::new();
        let ending = Ending { exit: Exit::Code(0), stopped: None, facts, stderr_tail: "" };
        let verdict = verdict(&self.adapter, &ending);
        if verdict.class != Class::Ok && verdict.reason != self.said {
            lines.push(LogLine::new(LogKind::Error, verdict.reason));
        }
        let tokens = facts.usage.tokens;
        let mut parts = Vec::new();
        if let Some(turns) = facts.turns {
            parts.push(count(usize::try_from(turns).unwrap_or(usize::MAX), "turn"));
        }
        let input = tokens.input + tokens.cache_read + tokens.cache_write;
        if input + tokens.output > 0 {
            parts.push(format!("{input} tokens in, {} out", tokens.output));
        }
        if facts.usage.cost_usd > 0.0 {
            parts.push(format!("${:.4}", facts.usage.cost_usd));
        }
        if !parts.is_empty() {
            lines.push(LogLine::new(LogKind::Summary, parts.join(", ")));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::super::adapter::tests::{claude, read};
    use super::*;

    fn rendered(adapter: &Adapter, stream: &str) -> Vec<String> {
        let mut transcript = Transcript::new(adapter);
        let lines = stream.lines().flat_map(|line| transcript.render_line(line.as_bytes()));
        lines.map(|line| format!("{:?}: {}", line.kind, line.text)).collect()
    }

    #[test]
    fn a_good_run_reads_well() {
        let lines = rendered(&claude(), include_str!("../../fixtures/transcripts/claude-happy.jsonl"));
        insta::assert_snapshot!(lines.join("\n"), @r"
        Note: session 1673b3af-9b9f-4b14-ad93-b686b9b3852d, claude-opus-4-8[1m]
        Text: I will write the file.
        Tool: Write hello.txt
        Tool: Read hello.txt
        Tool: Edit hello.txt
        Tool: Bash git add hello.txt && git -c user.name=t -c user.email=t@example.invalid commit -q -m 'add hello' && git log --oneline | head -1
        Text: The file is written and committed.

        <promise>COMPLETE</promise>
        Summary: 5 turns, 39000 tokens in, 900 out, $0.0847
        ");
    }

    #[test]
    fn a_failed_run_says_why() {
        let lines = rendered(&claude(), include_str!("../../fixtures/transcripts/claude-529-gives-up.jsonl"));
        insta::assert_snapshot!(lines.join("\n"), @r"
        Note: session 0fdd631c-a34d-447a-aa89-30e662d4cbaf, claude-opus-4-8[1m]
        Note: retrying: overloaded (529)
        Note: retrying: overloaded (529)
        Text: API Error: 529 Overloaded. This is a server-side issue, usually temporary — try again in a moment. If it persists, check your inference gateway (127.0.0.1:PORT).
        Summary: 1 turn
        ");
    }

    #[test]
    fn plain_text_and_unknown_lines_stay_as_they_are() {
        let text = read("x", "[agents.x]\ncommand = [\"x\"]").unwrap();
        assert_eq!(rendered(&text, "one\n\n{\"two\":2}"), ["Text: one", "Text: ", "Text: {\"two\":2}"]);
        assert_eq!(rendered(&claude(), "{\"new\": [1]}\nnoise"), ["Raw: {\"new\": [1]}", "Raw: noise"]);
    }
}
