//! What the supervisor makes of each adapter: the real program, the scripted agent in the place of the CLI.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use wt::model::verdict::{Class, Exit};

use crate::program::{FAKE, Program};
use crate::{agent_others, agent_verdict};

/// The scripted agent under the rules of a built-in adapter, which get its arguments after `--`.
fn in_place_of(agent: &str) -> String {
    let resume = format!(r#"resume_command = ["{FAKE}", "--", "resume", "{{session}}"]"#);
    let resume = if agent == "codex" { resume } else { String::new() };
    format!("[agents.{agent}]\ncommand = [\"{FAKE}\", \"--\"]\n{resume}\nstop = {{ grace = \"500ms\" }}\n")
}

fn ended(program: &Program, id: &str) -> Value {
    program.until("its end", || program.events(id).into_iter().find(|event| event["type"] == "ended"))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Commits {
    One,
    None,
}

/// The state that an ended attempt leads to where no try is left.
fn state(class: Class, commits: Commits) -> &'static str {
    match (class, commits) {
        (Class::Ok, Commits::One) => "done",
        (Class::Ok, Commits::None) | (Class::Retry | Class::Incomplete, _) => "dead",
        (Class::Park | Class::Ask, _) => "waiting",
        (Class::Fail | Class::Escalate | Class::FleetStop | Class::NextModel, _) => "failed",
    }
}

/// A program of its own for each: what one account's failure does to its others is not the question here.
fn replayed(file: &str, exit: Exit, class: Class, commits: Commits) {
    let agent = file.split('-').next().unwrap();
    let program = Program::new();
    program.configure(&format!("{}\n[limits]\nstall = \"10s\"\n", in_place_of(agent)));
    let stream = agent_others::folder().join(file);
    let mut steps = Vec::new();
    if commits == Commits::One {
        steps.extend(["write:x=y".to_owned(), "commit:x".to_owned()]);
    }
    steps.push(format!("replay:{}", stream.display()));
    steps.push(match exit {
        Exit::Code(code) => format!("exit:{code}"),
        Exit::Signal(signal) => format!("signal:{signal}"),
        Exit::Lost | Exit::NotStarted => unreachable!("no recorded run ended so"),
    });
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    program.spawn("a", &steps, &["--agent", agent, "--retries", "0"]).ok();
    let ended = ended(&program, "a@1");
    let task = program.task("a");
    assert_eq!(task["state"], state(class, commits), "{file}, {commits:?}: {ended}");
    let outcome = task["outcome"].as_str().unwrap_or_default();
    assert!(!outcome.is_empty() && !outcome.contains(['{', '\n']), "{file}: {outcome}");
    if commits == Commits::One {
        assert_eq!(program.repo.git(&["show", "wt/a:x"]), "y", "{file}: its commit is kept");
    }
}

#[test]
fn every_recorded_stream_ends_in_its_state_with_and_without_commits() {
    let recorded = agent_verdict::ends().into_iter().chain(agent_others::ends());
    let cases: Vec<_> = recorded
        .flat_map(|(file, exit, class)| [Commits::One, Commits::None].map(|c| (file.clone(), exit, class, c)))
        .collect();
    assert_eq!(cases.len(), 62);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((file, exit, class, commits)) = cases.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    replayed(file, *exit, *class, *commits);
                }
            });
        }
    });
}

#[test]
fn a_resumed_thread_of_codex_is_taken_up_and_not_counted_twice() {
    let program = Program::new();
    program.configure(&in_place_of("codex"));
    let stream = agent_others::folder().join("codex-happy.jsonl");
    let calls = program.env.root().join("calls");
    let mark = program.env.root().join("runs");
    let steps = [
        format!("args-to:{}", calls.display()),
        format!("replay:{}", stream.display()),
        format!("fail-first:1:{}", mark.display()),
        "write:x=y".to_owned(),
        "commit:x".to_owned(),
    ];
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    program.spawn("a", &steps, &["--agent", "codex", "--retries", "0", "--wait"]).fails(1);
    assert_eq!(program.state_of("a"), "dead");
    assert_eq!(std::fs::read_to_string(&calls).unwrap(), "-\n");
    program.wt(&["retry", "a"]).ok();
    program.wt(&["wait", "a", "--timeout", "30s"]).ok();
    let session = "01a1fab8-eb7c-7af1-96b1-1974a93beb1b";
    assert_eq!(std::fs::read_to_string(&calls).unwrap(), format!("resume\n{session}\n-\n"));
    let task = program.task("a");
    assert_eq!((&task["state"], &task["session"]), (&"done".into(), &session.into()), "{task}");
    assert_eq!(task["tokens"]["input"], 1400, "told twice, used once: {task}");
    assert_eq!(task["tokens"]["output"], 300, "{task}");
}

#[test]
fn the_context_precedes_the_prompt_where_no_file_of_ours_is_read() {
    let program = Program::new();
    program.configure(&in_place_of("gemini"));
    let told = program.env.root().join("told");
    let prompt = format!("SCRIPT:\nprompt-to:{}\n", told.display());
    program.wt(&["spawn", "a", &prompt, "--agent", "gemini", "--retries", "0", "--wait"]).fails(1);
    let text = std::fs::read_to_string(&told).unwrap();
    assert!(text.starts_with("# Task `a`\n") && text.ends_with(&format!("\n\n{prompt}")), "{text}");
    assert_eq!(text.matches("SCRIPT:").count(), 1, "the task is told once: {text}");
    assert!(!program.worktree("a").join("GEMINI.md").exists());

    let prompt = prompt.replace("told", "plain");
    program.wt(&["spawn", "b", &prompt, "--retries", "0", "--wait"]).fails(1);
    assert_eq!(std::fs::read_to_string(program.env.root().join("plain")).unwrap(), prompt);
}

/// An agent that prints events and has a tool.
const EVENTS: &str = r#"
[agents.speaker]
command = ["FAKE"]
events = "jsonl"
stop = { grace = "500ms" }
event = [
  { when = { "/t" = "tool" }, tool = { name = "/t" } },
  { when = { "/t" = "result" }, result = { status = "/s" } },
  { when = { "/t" = "end" }, final = true },
]
[limits]
stall = "1s"
"#;

fn noise(step: &str, seconds: usize) -> Vec<&str> {
    (0..seconds * 5).flat_map(|_| [step, "sleep:0.2"]).collect()
}

#[test]
fn noise_on_standard_error_is_no_sign_of_life_of_an_agent_with_events() {
    let program = Program::new();
    program.configure(&EVENTS.replace("FAKE", FAKE));
    let mut steps = vec!["say:{\"t\":\"start\"}"];
    steps.extend(noise("err:warning", 30));
    program.spawn("a", &steps, &["--agent", "speaker", "--retries", "0"]).ok();
    let event = ended(&program, "a@1");
    assert!(event["reason"].as_str().unwrap().starts_with("silent for 1s"), "{event}");
    let record = program.journal().into_iter().find(|record| record["event"]["type"] == "ended").unwrap();
    let at: jiff::Timestamp = record["at"].as_str().unwrap().parse().unwrap();
    let stream = program.state().join("tasks/a@1/attempts/1/stream.jsonl");
    let heard = std::fs::metadata(stream).unwrap().modified().unwrap();
    let seen = SystemTime::from(at).duration_since(heard).unwrap();
    assert!(seen < Duration::from_secs(3), "seen after {seen:?}");
}

#[test]
fn noise_on_standard_error_keeps_a_plain_command_alive() {
    let program = Program::new();
    program.configure("[limits]\nstall = \"1s\"\n");
    let mut steps = noise("err:working", 2);
    steps.extend(["write:x=y", "commit:x"]);
    program.spawn("a", &steps, &["--retries", "0", "--wait"]).ok();
}

#[test]
fn a_running_tool_may_be_silent_for_longer() {
    let program = Program::new();
    program.configure(&EVENTS.replace("FAKE", FAKE));
    let tool = ["say:{\"t\":\"tool\"}", "sleep:1.7", "say:{\"t\":\"result\"}"];
    program
        .spawn("a", &[&tool[..], &["sleep:1000"]].concat(), &["--agent", "speaker", "--retries", "0"])
        .ok();
    let event = ended(&program, "a@1");
    assert!(event["reason"].as_str().unwrap().starts_with("silent for 1s"), "after the tool: {event}");
    let text = std::fs::read_to_string(program.state().join("tasks/a@1/attempts/1/stream.jsonl")).unwrap();
    assert!(text.ends_with("{\"t\":\"result\"}\n"), "it lived to the tool's end: {text}");
}

#[test]
fn a_question_parks_the_task_and_is_shown() {
    let program = Program::new();
    program.configure("[limits]\nstall = \"1s\"\n");
    program.spawn("a", &["write:x=y", "say:Apply the edit? [y/N]", "sleep:1000"], &[]).ok();
    let event = ended(&program, "a@1");
    assert_eq!(event["class"], "ask", "{event}");
    let task = program.task("a");
    assert_eq!((&task["state"], &task["reason"]), (&"waiting".into(), &"parked".into()), "{task}");
    assert_eq!(task["outcome"], "asks: Apply the edit? [y/N]", "{task}");
    assert_eq!(task["attempt"], 1);
    assert!(program.wt(&["status"]).ok().contains("Apply the edit? [y/N]"));
    // Nobody can talk to this agent.
    for verb in ["wait", "status"] {
        assert!(program.wt(&[verb, "a"]).err.contains("hint: ask it again: `wt retry a`"), "{verb}");
    }
}

#[test]
fn a_question_in_the_stream_ends_the_agent_at_once() {
    let program = Program::new();
    program.configure(&in_place_of("claude"));
    let asked = r#"{"type":"control_request","request":{"subtype":"can_use_tool","tool_name":"Bash","input":{"command":"git push"}}}"#;
    program.spawn("a", &[&format!("say:{asked}"), "sleep:1000"], &["--agent", "claude"]).ok();
    let event = ended(&program, "a@1");
    assert_eq!(event["reason"], "asks for a permission: Bash git push", "{event}");
    assert_eq!(program.state_of("a"), "waiting");
    let waited = program.wt(&["wait", "a"]);
    assert_eq!((waited.code, waited.err.as_str()), (4, "hint: answer it: `wt attach a`\n"));
}
