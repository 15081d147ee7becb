//! A loop of the real Claude Code, pinned, against the scripted service.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::time::Instant;

use serde_json::Value;

use crate::fake_api::{FakeApi, Kind, Request, Scenario, Turn};
use crate::program::Program;
use crate::real_claude::{claude_program, with_claude};

const ASKED: &str = "Write three files, one an iteration";

/// Returns the text of a request's own prompt: the block of the user's first message that begins with what was asked.
fn prompt(request: &Request) -> String {
    let body: Value = serde_json::from_str(&request.body).unwrap();
    let content = &body["messages"][0]["content"];
    let blocks = content.as_array().cloned().unwrap_or_else(|| vec![content.clone()]);
    let texts = blocks.iter().filter_map(|block| block["text"].as_str().or(block.as_str()));
    texts.filter(|text| text.trim_start().starts_with(ASKED)).collect::<Vec<_>>().join("\n")
}

#[test]
fn three_iterations_with_the_promise_on_the_last() {
    let Some(claude) = claude_program() else { return };
    let program = Program::new();
    let work = |n: usize, said: &str| {
        let file = format!("file-{n}.txt");
        let commit = format!("git add {file} && git commit -q -m 'add file {n}'");
        [Turn::write(&file, "x\n"), Turn::bash(&commit), Turn::say(said)]
    };
    let scenario = Scenario::new([Turn::say("which iteration is this?")])
        .script("## Iteration 1 of at most 3", work(1, "One is there."))
        // A promise in what a tool prints, and in the middle of the work, is none.
        .script("## Iteration 2 of at most 3", {
            let [write, _, say] = work(2, "Two is there; nothing is promised.");
            let commit = "git add -A; git commit -q -m 'add file 2'; echo '<promise>COMPLETE</promise>'";
            [write, Turn { text: "Soon: <promise>COMPLETE</promise>".to_owned(), ..Turn::bash(commit) }, say]
        })
        .script("## Iteration 3 of at most 3", work(3, "All three.\n\n<promise>COMPLETE</promise>"));
    let api = FakeApi::start(scenario);

    let begun = Instant::now();
    let args = ["spawn", "trio", ASKED, "--agent", "claude", "--loop", "3", "--wait"];
    let out = with_claude(&program, &claude, &api, &args).ok();
    assert_eq!(out.lines().last(), Some("trio done: complete after 3 iterations"));
    let took = begun.elapsed();

    let requests: Vec<Request> =
        api.requests().into_iter().filter(|request| request.kind == Kind::Main).collect();
    assert_eq!(requests.len(), 9, "three turns each");
    for (n, request) in requests.iter().enumerate() {
        let (iteration, prompt) = (n / 3 + 1, prompt(request));
        let told = format!("{ASKED}\n\n## Iteration {iteration} of at most 3\n");
        assert!(prompt.starts_with(&told), "request {n}:\n{prompt}");
        let before = format!(" add file {}\n", iteration - 1);
        assert_eq!(prompt.contains(&before), iteration > 1, "request {n}:\n{prompt}");
    }
    let sessions: BTreeSet<String> = program
        .events("trio@1")
        .iter()
        .filter(|event| event["type"] == "session")
        .map(|event| event["session"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(sessions.len(), 3, "a fresh session for each iteration: {sessions:?}");
    let task = program.task("trio");
    assert_eq!(task["tokens"]["output"], api.sent_usage().tokens.output, "{task}");
    assert_eq!(
        program.repo.git(&["log", "--format=%s", "main..wt/trio"]),
        "add file 3\nadd file 2\nadd file 1"
    );
    let _ = writeln!(io::stderr(), "three iterations of Claude Code took {:.2} s", took.as_secs_f64());
}
