//! Taking an agent's session up again, and what happens where the agent does not know it any more.

use crate::program::Program;

/// An agent that speaks events: its first run fails after it named its session, and it knows no session to resume.
const FORGETFUL: &str = r#"
echo "$*" >> "$WT_TASK.calls"
if [ "$1" = --resume ]; then echo "No conversation found with session ID: $2" >&2; exit 1; fi
echo '{"type":"init","id":"s1"}'
if [ "$(wc -l < "$WT_TASK.calls")" -eq 1 ]; then echo '{"type":"result","error":"overloaded"}'; exit 1; fi
git add -A && git commit -qm work
echo '{"type":"result"}'
"#;

const AGENT: &str = r#"
[agents.forgetful]
command = ["sh", "SCRIPT"]
events = "jsonl"
args = { resume = ["--resume", "{session}"] }
event = [
  { when = { "/type" = "init" }, take = { session = "/id" } },
  { when = { "/type" = "result" }, final = true, take = { error = "/error" } },
]
outcome = [
  { when = { "/error" = "nonempty" }, class = "retry" },
  { when = { exit = 0, "/type" = "result" }, class = "ok", reason = "ended well" },
  { when = { exit = 1, stderr = "nonempty" }, class = "fail", reason = "{stderr}" },
]
"#;

#[test]
fn a_session_that_the_agent_forgot_is_no_dead_end() {
    let program = Program::new();
    let script = program.env.root().join("forgetful.sh");
    std::fs::write(&script, FORGETFUL).unwrap();
    program.configure(&AGENT.replace("SCRIPT", &script.to_string_lossy()));
    program.wt(&["spawn", "a", "do it", "--agent", "forgetful", "--wait"]).ok();
    let task = program.task("a");
    assert_eq!((task["state"].as_str(), task["attempt"].as_u64()), (Some("done"), Some(2)), "{task}");
    let calls = std::fs::read_to_string(program.worktree("a").join("a.calls")).unwrap();
    assert_eq!(
        calls.lines().collect::<Vec<_>>(),
        ["", "--resume s1", ""],
        "resumed once, then afresh at once"
    );
}
