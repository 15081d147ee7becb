//! `wt attach`: a person takes a task's agent over.

use std::io::{Read as _, Write as _};
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::program::{FAKE, Program};

/// An agent that names its session, and whose interactive form is that shell script, called with the session.
fn program(script: &str) -> Program {
    let program = Program::new();
    program.configure(&format!(
        "[agents.talks]\ncommand = [\"{FAKE}\"]\nevents = \"jsonl\"\nattach_command = [\"sh\", \"-c\", '{script}', \"sh\", \"{{session}}\"]\n\
         [agents.talks.env]\nTALKS = \"much\"\n\
         [[agents.talks.event]]\nwhen = {{ \"/type\" = \"init\" }}\ntake = {{ session = \"/session\" }}\n\
         [[agents.talks.event]]\nwhen = {{ \"/type\" = \"result\" }}\nfinal = true\n\
         [[agents.talks.outcome]]\nwhen = {{ exit = 0, \"/type\" = \"result\" }}\nclass = \"ok\"\n",
    ));
    program
}

const DONE: [&str; 4] =
    ["say:{\"type\":\"init\",\"session\":\"s-1\"}", "write:x=y", "commit:x", "say:{\"type\":\"result\"}"];

fn attach(program: &Program, name: &str) -> Child {
    let mut command = program.command(&["attach", name]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Lets the person leave; returns the exit code and what was shown.
fn leave(mut attached: Child) -> (Option<i32>, String) {
    drop(attached.stdin.take());
    let output = attached.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn the_agent_has_the_terminal_the_workspace_and_its_session() {
    let program = program("pwd; echo $1 $WT_TASK $WT_BRANCH $TALKS; cat; exit 7");
    program.spawn("a", &DONE, &["--agent", "talks", "--wait"]).ok();
    let mut attached = attach(&program, "a");
    attached.stdin.as_mut().unwrap().write_all(b"typed\n").unwrap();
    let (code, shown) = leave(attached);
    let place = std::fs::canonicalize(program.worktree("a")).unwrap();
    assert_eq!(shown, format!("{}\ns-1 a wt/a much\ntyped\n", place.display()));
    assert_eq!(code, Some(7), "the agent's own");
    assert_eq!(program.state_of("a"), "done", "what a person does there changes no state");
}

#[test]
fn nobody_else_takes_the_task_while_a_person_is_in_it() {
    let program = program("echo in; cat; exit 0");
    program.spawn("a", &DONE, &["--agent", "talks", "--wait"]).ok();
    let mut attached = attach(&program, "a");
    let mut shown = [0; 3];
    attached.stdout.as_mut().unwrap().read_exact(&mut shown).unwrap();
    let said = program.wt(&["attach", "a"]).fails(1);
    assert!(said.contains("`a` is in use by another `wt`"), "{said}");
    let said = program.wt(&["retry", "a"]).fails(1);
    assert!(said.contains("`a` is in use by another `wt`"), "{said}");
    // The keys of the terminal are for the agent.
    let pid = Pid::from_raw(i32::try_from(attached.id()).unwrap()).unwrap();
    for signal in [Signal::INT, Signal::QUIT, Signal::HUP] {
        kill_process(pid, signal).unwrap();
    }
    let said = program.wt(&["retry", "a"]).fails(1);
    assert!(said.contains("in use"), "{said}");
    assert_eq!(leave(attached).0, Some(0));
    program.wt(&["retry", "a"]).ok();
}

#[test]
fn a_request_to_end_is_passed_on() {
    let program = program("echo in; exec cat");
    program.spawn("a", &DONE, &["--agent", "talks", "--wait"]).ok();
    let mut attached = attach(&program, "a");
    let mut shown = [0; 3];
    attached.stdout.as_mut().unwrap().read_exact(&mut shown).unwrap();
    // Waiting would close it, and so end the agent before the signal does.
    let _open = attached.stdin.take();
    kill_process(Pid::from_raw(i32::try_from(attached.id()).unwrap()).unwrap(), Signal::TERM).unwrap();
    assert_eq!(attached.wait().unwrap().code(), Some(128 + 15));
}

#[test]
fn refusals_say_what_works_instead() {
    let program = program("cat");
    let gate = format!("wait-for:{}", program.env.root().join("gate").display());
    program.spawn("busy", &[&gate, "write:x=y", "commit:x"], &[]).ok();
    program.started("busy@1");
    let said = program.wt(&["attach", "busy"]).fails(1);
    assert!(said.contains("`busy` is running"), "{said}");
    assert!(said.contains("wt logs -f busy") && said.contains("wt stop busy"), "{said}");
    std::fs::write(program.env.root().join("gate"), "").unwrap();
    program.wt(&["wait", "busy"]).ok();
    let said = program.wt(&["attach", "busy"]).fails(1);
    assert!(said.contains("the agent `fake` has no `attach_command`"), "{said}");

    program.spawn("later", &DONE, &["--agent", "talks", "--after", "busy"]).ok();
    let said = program.refuses(1, &["attach", "later"]);
    assert!(said.contains("`later` is queued and has no workspace"), "{said}");
    program.wt(&["spawn", "mine", "--no-agent"]).ok();
    let said = program.refuses(1, &["attach", "mine"]);
    assert!(said.contains("`mine` has no agent"), "{said}");
    let said = program.refuses(1, &["attach", "nobody"]);
    assert!(said.contains("there is no task `nobody`"), "{said}");
}
