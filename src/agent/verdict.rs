//! What an ended attempt comes to.
//!
//! Asked in this order: ended by us > final event > exit code > standard error. Neither the exit code nor the stream is
//! enough alone: SIGINT in a tool exits 0, an agent ended by SIGTERM may still print a final success, and every failure of
//! the API is called a success with `is_error`. INVARIANT: with `events = "jsonl"`, nothing is ok without a final event.

use std::time::Duration;

use serde_json::Value;

use super::adapter::Adapter;
use super::facts::{ApiError, Facts};
use super::question;
use super::rule::EndRule;
use crate::model::adapter::EventForm;
use crate::model::text::{duration, one_line};
use crate::model::verdict::{Class, Exit, Verdict};

/// The longest reason, in characters.
const REASON: usize = 240;

/// Why `wt` ended an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoppedBy {
    /// A person asked for it.
    Person,
    /// The attempt reached this limit.
    Timeout(Duration),
    /// It was silent for so long.
    Stall(Duration),
    /// An event of its own said that there is no use in going on.
    Verdict(Verdict),
}

/// How an attempt ended.
#[derive(Debug, Clone)]
pub struct Ending<'a> {
    /// How the process ended.
    pub exit: Exit,
    /// Why `wt` ended it, if it did.
    pub stopped: Option<StoppedBy>,
    /// What is known from its output.
    pub facts: &'a Facts,
    /// The end of its standard error.
    pub stderr_tail: &'a str,
}

/// Returns what the attempt comes to by the rules of `adapter`.
pub fn verdict(adapter: &Adapter, ending: &Ending) -> Verdict {
    match &ending.stopped {
        Some(StoppedBy::Person) => return Verdict::new(Class::Fail, "stopped by hand"),
        Some(StoppedBy::Timeout(limit)) => {
            return Verdict::new(Class::Retry, format!("time limit of {} reached", duration(*limit)));
        }
        Some(StoppedBy::Stall(silence)) => {
            // What is asked in plain text has no newline behind it, and often goes to standard error.
            let said = [ending.facts.last_line.as_deref(), ending.stderr_tail.lines().next_back()];
            if let Some(asked) = said.into_iter().flatten().find_map(question::in_line) {
                return Verdict::new(Class::Ask, format!("asks: {asked}"));
            }
            return Verdict::new(Class::Retry, format!("silent for {}", duration(*silence)));
        }
        Some(StoppedBy::Verdict(verdict)) => return verdict.clone(),
        None => {}
    }
    match ending.exit {
        Exit::NotStarted => return Verdict::new(Class::Fail, ending.or_stderr("could not be started")),
        Exit::Lost => return Verdict::new(Class::Retry, "its processes vanished"),
        // A shell or a launcher did not find the agent; no rule of an adapter knows that.
        Exit::Code(126 | 127) if ending.facts.lines == 0 => {
            return Verdict::new(Class::Fail, ending.or_stderr("could not be run"));
        }
        Exit::Code(_) | Exit::Signal(_) => {}
    }
    let rule = adapter
        .compiled()
        .ends
        .iter()
        .find(|rule| rule.matches(ending.facts.final_event.as_ref(), |word| Some(ending.word(word))));
    let heard = adapter.events() == EventForm::Text || ending.facts.final_event.is_some();
    match rule {
        Some(EndRule { class: Class::Ok, .. }) if !heard => {
            Verdict::new(Class::Retry, ending.fill("ended without its final event ({exit})"))
        }
        Some(rule) => Verdict::new(
            rule.class,
            match &rule.reason {
                Some(reason) => ending.fill(reason),
                None => ending.told().unwrap_or_else(|| ending.by_class(rule.class)),
            },
        ),
        None => by_exit(adapter, ending),
    }
}

/// The rule where the adapter has none that fits.
fn by_exit(adapter: &Adapter, ending: &Ending) -> Verdict {
    match (adapter.events(), ending.exit) {
        (EventForm::Text, Exit::Code(0)) => Verdict::new(Class::Ok, "ended well"),
        (EventForm::Text, Exit::Code(127)) => Verdict::new(Class::Fail, ending.or_stderr("could not be run")),
        (EventForm::Text, exit) => Verdict::new(Class::Retry, ending.or_stderr(&exit.to_string())),
        (EventForm::Jsonl, exit) => match ending.told() {
            Some(told) => Verdict::new(Class::Retry, told),
            None => Verdict::new(Class::Retry, ending.or_stderr(&format!("ended without a result ({exit})"))),
        },
    }
}

impl Ending<'_> {
    /// Returns what a condition finds under a word that is no pointer.
    fn word(&self, word: &str) -> Value {
        match (word, self.exit) {
            ("exit", Exit::Code(code)) => Value::from(code),
            ("exit", Exit::Signal(_)) => Value::from("signal"),
            ("exit", _) => Value::from("lost"),
            ("stdout", _) => {
                let facts = self.facts;
                facts.text.clone().or_else(|| facts.last_line.clone()).map_or(Value::Null, Value::from)
            }
            ("stderr", _) => Value::from(self.stderr_tail),
            _ => Value::Null,
        }
    }

    /// Returns what the agent said about its failure.
    fn told(&self) -> Option<String> {
        let facts = self.facts;
        let said = [&facts.error, &facts.text].into_iter().flatten().find(|text| !text.trim().is_empty());
        said.map(|text| one_line(text, REASON)).or_else(|| facts.api_error.as_ref().map(ApiError::words))
    }

    fn by_class(&self, class: Class) -> String {
        format!("{} ({})", class.words(), self.exit)
    }

    /// Returns the last line of standard error, or `otherwise`.
    fn or_stderr(&self, otherwise: &str) -> String {
        let last = self.stderr_tail.lines().rev().find(|line| !line.trim().is_empty());
        last.map_or_else(|| otherwise.to_owned(), |line| one_line(line, REASON))
    }

    fn fill(&self, reason: &str) -> String {
        let facts = self.facts;
        let mut filled = String::new();
        let mut rest = reason;
        while let Some((before, after)) = rest.split_once('{') {
            filled.push_str(before);
            let Some((key, behind)) = after.split_once('}') else {
                filled.push('{');
                rest = after;
                continue;
            };
            match key {
                "error" => filled.push_str(facts.error.as_deref().unwrap_or_default()),
                "text" => filled.push_str(facts.text.as_deref().unwrap_or_default()),
                "status" => {
                    filled.push_str(&facts.status.map(|status| status.to_string()).unwrap_or_default());
                }
                "denials" => filled.push_str(&facts.denials.join(", ")),
                "exit" => filled.push_str(&self.exit.to_string()),
                "stderr" => filled.push_str(&self.or_stderr("nothing on standard error")),
                _ => {}
            }
            rest = behind;
        }
        filled.push_str(rest);
        one_line(&filled, REASON)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::adapter::tests::{claude, read};
    use super::super::stream::Stream;
    use super::*;

    fn judged(adapter: &Adapter, lines: &[u8], exit: Exit, stderr: &str) -> Verdict {
        let mut stream = Stream::new(adapter);
        for line in lines.split(|byte| *byte == b'\n') {
            stream.feed_line(line);
        }
        let facts = stream.finish();
        verdict(adapter, &Ending { exit, stopped: None, facts: &facts, stderr_tail: stderr })
    }

    fn claude_says(result: &str, exit: i32) -> Class {
        judged(&claude(), result.as_bytes(), Exit::Code(exit), "").class
    }

    #[test]
    fn claude_is_ok_only_with_exit_0_and_a_result_without_error_and_denials() {
        let good = r#"{"type":"result","subtype":"success","is_error":false,"result":"done","permission_denials":[]}"#;
        assert_eq!(claude_says(good, 0), Class::Ok);
        // SIGTERM in a tool: the killed tool's result went back to the model, and one more turn ran.
        assert_eq!(claude_says(good, 143), Class::Retry);
        assert_eq!(judged(&claude(), good.as_bytes(), Exit::Signal(9), "").class, Class::Retry);
        // SIGINT in a tool.
        let interrupted = r#"{"type":"result","subtype":"error_during_execution","is_error":true}"#;
        assert_eq!(claude_says(interrupted, 0), Class::Retry);
        let denied = r#"{"type":"result","is_error":false,"result":"done","permission_denials":[{"tool_name":"Write","tool_input":{"file_path":"/a"}}]}"#;
        let verdict = judged(&claude(), denied.as_bytes(), Exit::Code(0), "");
        assert_eq!(
            (verdict.class, verdict.reason.as_str()),
            (Class::Fail, "a permission was denied: Write /a")
        );
        // The stop-hook cap.
        let blank =
            r#"{"type":"result","subtype":"success","is_error":false,"result":"","permission_denials":[]}"#;
        assert_eq!(claude_says(blank, 0), Class::Incomplete);
        assert_eq!(claude_says("", 0), Class::Retry);
    }

    #[test]
    fn claudes_failures_have_the_class_of_the_table() {
        let error = |rest: &str| claude_says(&format!(r#"{{"type":"result","is_error":true,{rest}}}"#), 1);
        assert_eq!(error(r#""api_error_status":400,"result":"Credit balance is too low""#), Class::FleetStop);
        assert_eq!(error(r#""result":"Not logged in · Please run /login""#), Class::FleetStop);
        assert_eq!(error(r#""api_error_status":404,"result":"x""#), Class::NextModel);
        assert_eq!(error(r#""api_error_status":413,"result":"x""#), Class::Fail);
        assert_eq!(error(r#""terminal_reason":"prompt_too_long","result":"x""#), Class::Fail);
        assert_eq!(error(r#""subtype":"error_max_budget_usd""#), Class::Escalate);
        assert_eq!(error(r#""api_error_status":503,"result":"x""#), Class::Retry);
        assert_eq!(error(r#""result":"Claude AI usage limit reached|1795208761""#), Class::Park);
    }

    #[test]
    fn a_failure_on_standard_error_alone_is_not_tried_again() {
        let verdict = judged(&claude(), b"", Exit::Code(1), "warning\nerror: unknown option '--x'\n");
        assert_eq!(verdict, Verdict::new(Class::Fail, "error: unknown option '--x'"));
        let started = br#"{"type":"system","subtype":"init","session_id":"s"}"#;
        assert_eq!(judged(&claude(), started, Exit::Code(1), "oops").class, Class::Retry);
        assert_eq!(judged(&claude(), b"", Exit::Code(127), "sh: claude: not found").class, Class::Fail);
        assert_eq!(judged(&claude(), b"", Exit::NotStarted, "").reason, "could not be started");
    }

    #[test]
    fn ended_by_us_comes_before_anything_the_agent_said() {
        let facts = Facts::default();
        let by = |stopped| {
            let ending =
                Ending { exit: Exit::Code(0), stopped: Some(stopped), facts: &facts, stderr_tail: "" };
            verdict(&claude(), &ending)
        };
        assert_eq!(by(StoppedBy::Person).reason, "stopped by hand");
        let limit = by(StoppedBy::Timeout(Duration::from_secs(1800)));
        assert_eq!(limit, Verdict::new(Class::Retry, "time limit of 30m reached"));
        assert_eq!(by(StoppedBy::Stall(Duration::from_secs(600))).class, Class::Retry);
        let own = Verdict::new(Class::FleetStop, "authentication_failed (401)");
        assert_eq!(by(StoppedBy::Verdict(own.clone())), own);
    }

    #[test]
    fn plain_text_is_judged_by_its_exit() {
        let text = read("x", "[agents.x]\ncommand = [\"x\"]").unwrap();
        assert_eq!(judged(&text, b"done", Exit::Code(0), "noise").class, Class::Ok);
        assert_eq!(judged(&text, b"", Exit::Code(0), "").class, Class::Ok);
        assert_eq!(judged(&text, b"half", Exit::Code(3), "boom\n"), Verdict::new(Class::Retry, "boom"));
        assert_eq!(judged(&text, b"half", Exit::Code(3), ""), Verdict::new(Class::Retry, "exit 3"));
        assert_eq!(judged(&text, b"half", Exit::Signal(11), "").class, Class::Retry);
        assert_eq!(judged(&text, b"half", Exit::Code(127), "").class, Class::Fail);
        assert_eq!(judged(&text, b"", Exit::Lost, "").class, Class::Retry);
    }

    #[test]
    fn reasons_are_one_safe_line() {
        let loud = "{\"type\":\"result\",\"is_error\":true,\"result\":\"a\\u001b]0;x\\u0007\\nb\"}";
        let reason = judged(&claude(), loud.as_bytes(), Exit::Code(1), "").reason;
        assert_eq!(reason, "a\\x1b]0;x\\x07 b");
    }

    proptest! {
        #[test]
        fn any_bytes_split_anywhere_never_panic_and_are_never_ok_without_a_final_event(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..400),
            insert in proptest::sample::select(vec![
                &b"\n{\"type\":\"system\",\"subtype\":\"init\",\"session_id\":3}\n"[..],
                b"{\"type\":\"assistant\",\"message\":{\"content\":[{\"type\":\"text\"},{\"type\":\"tool_use\",\"name\":1}]}}",
                b"{\"type\":\"system\",\"subtype\":\"api_retry\",\"error\":[],\"error_status\":-1}\n",
                b"{\"type\":\"Result\",\"is_error\":false,\"result\":\"x\"}",
            ]),
            at in 0usize..400,
            code in -1i32..256,
        ) {
            let at = at.min(bytes.len());
            bytes.splice(at..at, insert.iter().copied());
            let ended = judged(&claude(), &bytes, Exit::Code(code), "");
            prop_assert!(ended.class != Class::Ok, "{ended:?}");
        }

        #[test]
        fn a_good_stream_cut_before_its_end_is_never_ok(cut in 0usize..100_000) {
            let whole = include_bytes!("../../fixtures/transcripts/claude-happy.jsonl");
            let last = whole.trim_ascii_end().len();
            let ended = judged(&claude(), &whole[..cut % last], Exit::Code(0), "");
            prop_assert!(ended.class != Class::Ok);
        }
    }
}
