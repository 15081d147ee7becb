//! `wt resume`: what was alive goes on, once, after `wt stop --all`, after a reboot, and where it is named.

use std::process::Stdio;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::program::{Program, Ran, gone_within, kill_together, ran};

/// An agent that speaks events: its first run never ends, the second one takes up the session of the first.
const PATIENT: &str = r#"
echo "$*" >> "$WT_TASK.calls"
echo '{"type":"init","id":"s1"}'
if [ "$1" != --resume ]; then exec sleep 1000; fi
git add -A && git commit -qm work
echo '{"type":"result"}'
"#;

const AGENT: &str = r#"
[agents.patient]
command = ["sh", "SCRIPT"]
events = "jsonl"
args = { resume = ["--resume", "{session}"] }
event = [
  { when = { "/type" = "init" }, take = { session = "/id" } },
  { when = { "/type" = "result" }, final = true },
]
outcome = [{ when = { exit = 0, "/type" = "result" }, class = "ok", reason = "ended well" }]
"#;

fn patient() -> Program {
    let program = Program::new();
    let script = program.env.root().join("patient.sh");
    std::fs::write(&script, PATIENT).unwrap();
    program
        .configure(&format!("[limits]\nslots = 1\n{}", AGENT.replace("SCRIPT", &script.to_string_lossy())));
    program
}

fn how(ran: &Ran) -> Vec<(String, String, String)> {
    let word = |task: &Value, key: &str| task[key].as_str().unwrap().to_owned();
    let json = ran.json();
    let tasks = json["tasks"].as_array().unwrap().iter();
    tasks.map(|task| (word(task, "name"), word(task, "was"), word(task, "how"))).collect()
}

fn row(name: &str, was: &str, how: &str) -> (String, String, String) {
    (name.to_owned(), was.to_owned(), how.to_owned())
}

#[test]
fn what_was_stopped_with_all_goes_on_in_order_and_once() {
    let program = patient();
    program.wt(&["spawn", "a", "do it", "--agent", "patient"]).ok();
    program.until("the session", || program.told("a@1").contains(&"session".to_owned()).then_some(()));
    program.spawn("alone", &["write:z=1", "commit:z"], &[]).ok();
    program.wt(&["stop", "alone"]).ok();
    for name in ["b", "c"] {
        program.spawn(name, &["write:x=y", "commit:x"], &[]).ok();
    }
    let stopped = program.wt(&["stop", "--all"]);
    assert!(stopped.err.contains("wt resume"), "{}", stopped.err);
    assert!(stopped.ok().starts_with("c stopped\nb stopped\na stopped; "));
    let all = [row("a", "running", "session"), row("b", "queued", "queued"), row("c", "queued", "queued")];
    assert_eq!(how(&program.wt(&["resume", "--dry-run", "--json"])), all);
    assert_eq!(program.state_of("a"), "stopped", "nothing was changed");
    assert_eq!(how(&program.wt(&["resume", "--json"])), all);
    program.wt(&["wait", "a", "b", "c", "--timeout", "60s"]).ok();
    for name in ["a", "b", "c"] {
        assert_eq!(program.state_of(name), "done");
    }
    let calls = std::fs::read_to_string(program.worktree("a").join("a.calls")).unwrap();
    assert_eq!(calls.lines().collect::<Vec<_>>(), ["", "--resume s1"], "in its session");
    let begun = |name: &str| {
        let journal = program.journal();
        let started = |record: &Value| record["task"] == name && record["event"]["type"] == "started";
        journal.iter().rposition(started).unwrap()
    };
    assert!(begun("a@1") < begun("b@1") && begun("b@1") < begun("c@1"), "in the order of the queue");
    let before = program.journal().len();
    assert_eq!(program.wt(&["resume"]).ok(), "", "a second time there is nothing to do");
    assert_eq!(program.journal().len(), before);
    // One that was stopped by name goes on if it is named.
    assert_eq!(program.state_of("alone"), "stopped");
    assert_eq!(program.wt(&["resume", "alone"]).ok(), "alone was stopped: is queued again\n");
    program.wt(&["wait", "alone", "--timeout", "60s"]).ok();
    let said = program.refuses(1, &["resume", "alone"]);
    assert!(said.contains("`alone` is done"), "{said}");
}

#[test]
fn a_reboot_is_gone_on_from() {
    let program = Program::new();
    let pids = program.env.root().join("pids");
    let go = program.env.root().join("go");
    let steps = [
        format!("pids-to:{}", pids.display()),
        "write:half=x".to_owned(),
        format!("wait-for:{}", go.display()),
        "commit:half".to_owned(),
    ];
    let mut spawn = program.command(&["spawn", "a", &format!("SCRIPT:\n{}\n", steps.join("\n"))]);
    ran(spawn.env("WT_TEST_BOOT", "boot-one").output().unwrap()).ok();
    let agent: u32 = program.file(&pids).split_whitespace().nth(1).unwrap().parse().unwrap();
    program.until("its work", || program.worktree("a").join("half").exists().then_some(()));
    kill_together(&["__run", "__guard"].map(|role| program.role(role)[0]));
    gone_within(Duration::from_secs(5), &[agent]);
    std::fs::write(go, "").unwrap();
    let in_boot =
        |args: &[&str]| ran(program.command(args).env("WT_TEST_BOOT", "boot-two").output().unwrap());
    // Nobody has looked since the machine came back.
    let would = in_boot(&["resume", "--dry-run", "--json"]);
    assert_eq!(how(&would), [row("a", "running", "fresh")]);
    assert_eq!(in_boot(&["resume"]).ok(), "a was running: begins afresh in its workspace\n");
    in_boot(&["wait", "a", "--timeout", "60s"]).ok();
    assert_eq!(program.state_of("a"), "done");
    assert_eq!(in_boot(&["resume"]).ok(), "");
    let told = program.told("a@1");
    assert_eq!(told.iter().filter(|event| *event == "resumed").count(), 1, "{told:?}");
}

#[test]
fn what_waits_is_told_and_has_somebody_who_rests_for_it() {
    let program = Program::new();
    // The back-off of the third attempt is two seconds and more.
    program.spawn("a", &["exit:1"], &["--retries", "5"]).ok();
    program.until("the back-off", || (program.state_of("a") == "waiting").then_some(()));
    kill_together(&program.role("__run"));
    program.until("nobody rests", || program.role("__run").is_empty().then_some(()));
    let told = program.wt(&["resume"]).ok();
    assert!(told.starts_with("a was waiting: goes on by itself at "), "{told}");
    program.until("the next attempt", || (program.task("a")["attempt"].as_u64() >= Some(2)).then_some(()));
    program.wt(&["stop", "a"]).ok();
}

/// The scripted agent meets a limit when it exits with 1 or 42.
const LIMIT: &str = r#"
[[agents.fake.outcome]]
when = { exit = [1, 42] }
class = "park"
reason = "{text}"
"#;

#[test]
fn what_was_stopped_while_its_account_rested_goes_on_when_the_limit_ends() {
    let program = Program::new();
    program.configure(LIMIT);
    let until = Timestamp::now() + Duration::from_secs(6);
    let limit = format!("say:usage limit reached, resets at {until}");
    let once = format!("fail-first:1:{}", program.env.root().join("n").display());
    program.spawn("a", &[&limit, &once, "write:x=y", "commit:x"], &[]).ok();
    program.until("the limit", || (program.task("a")["reason"] == "rate_limit").then_some(()));
    program.spawn("b", &["write:b=y", "commit:b"], &[]).ok();
    program.until("one who waits", || (program.role("__pass").len() == 1).then_some(()));
    program.wt(&["stop", "--all"]).ok();
    program.until("nobody waits", || program.role("__pass").is_empty().then_some(()));
    let told = program.wt(&["resume", "--dry-run"]).ok();
    let (a, b) = told.split_once('\n').unwrap();
    assert!(a.starts_with("a was waiting: begins afresh in its workspace at "), "{told}");
    assert!(b.starts_with("b was queued: is queued again until ") && b.contains("`wt resume b`"), "{told}");
    let resumed = program.wt(&["resume", "--json"]).json();
    for task in resumed["tasks"].as_array().unwrap() {
        let told: Timestamp = task["until"].as_str().unwrap().parse().unwrap();
        assert!(told >= until && told < until + Duration::from_secs(60), "{task}");
    }
    for name in ["a", "b"] {
        assert_eq!(program.task(name)["reason"], "rate_limit", "it waits for the end of the limit");
    }
    // Nobody of theirs rests, and no command looks.
    program.until("their end", || {
        let over = |id: &&str| program.told(id).last().is_some_and(|event| event == "ended");
        ["a@1", "b@1"].iter().all(over).then_some(())
    });
    assert_eq!((program.state_of("a"), program.state_of("b")), ("done".to_owned(), "done".to_owned()));
    let journal = program.journal();
    let begun = journal.iter().filter(|record| record["event"]["type"] == "started").skip(1);
    let begun: Vec<Timestamp> = begun.map(|record| record["at"].as_str().unwrap().parse().unwrap()).collect();
    assert!(begun.len() == 2 && begun.iter().all(|at| *at >= until), "{begun:?} {until}");
}

#[test]
fn a_limit_outlives_the_task_that_met_it_and_a_person_may_know_better() {
    let program = Program::new();
    program.configure(LIMIT);
    program.spawn("a", &["say:limit", "exit:42"], &[]).ok();
    program.until("the limit", || (program.task("a")["reason"] == "rate_limit").then_some(()));
    program.wt(&["stop", "a"]).ok();
    program.spawn("b", &["write:b=y", "commit:b"], &[]).ok();
    assert_eq!(program.task("b")["reason"], "rate_limit", "the account rests whoever waits for it");
    assert_eq!(program.told("b@1"), ["queued"]);
    program.wt(&["retry", "b"]).ok();
    program.wt(&["wait", "b", "--timeout", "30s"]).ok();
}

#[test]
fn two_who_stop_all_at_once_both_succeed() {
    let program = Program::new();
    program.configure("[limits]\nslots = 1\n");
    let gate = format!("wait-for:{}", program.env.root().join("gate").display());
    for n in 0..12 {
        program.spawn(&format!("t{n}"), &[&gate], &[]).ok();
    }
    let stop =
        || program.command(&["stop", "--all"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let both = [stop(), stop()].map(|child| ran(child.wait_with_output().unwrap()));
    for stopped in both {
        stopped.ok();
    }
    for n in 0..12 {
        assert_eq!(program.state_of(&format!("t{n}")), "stopped");
    }
    assert_eq!(program.wt(&["resume", "--dry-run"]).ok().lines().count(), 12, "nobody is forgotten");
}

/// One task that runs, on the only slot, and forty that wait for it.
fn one_runs_and_forty_wait() -> Program {
    let program = Program::new();
    program.configure("[limits]\nslots = 1\n");
    program.spawn("first", &["sleep:1000"], &[]).ok();
    program.until("an agent", || (program.role("__guard").len() == 1).then_some(()));
    let line = |n| format!("{{\"name\":\"t{n}\",\"prompt\":\"SCRIPT:\\nsleep:1000\\n\"}}\n");
    let list = program.env.root().join("list");
    std::fs::write(&list, (0..40).map(line).collect::<String>()).unwrap();
    program.wt(&["spawn", "--from", list.to_str().unwrap()]).ok();
    program
}

/// The moments at which events of this type were recorded.
fn moments(program: &Program, event: &str) -> Vec<String> {
    let of = |record: &Value| record["event"]["type"] == event;
    let journal = program.journal();
    journal.iter().filter(|record| of(record)).map(|record| record["at"].to_string()).collect()
}

#[test]
fn all_that_waits_is_stopped_at_once_and_goes_on_at_once() {
    let program = one_runs_and_forty_wait();
    let stopped = program.wt(&["stop", "--all"]).ok();
    assert_eq!(stopped.lines().count(), 41);
    assert!(stopped.starts_with("t9 stopped\n") && stopped.contains("\nfirst stopped; its work is in "));
    let (all, each) = (moments(&program, "stopping_all"), moments(&program, "stopped"));
    assert_eq!((all.len(), each.len()), (1, 40));
    assert!(each.iter().all(|at| *at == all[0]), "in one transaction: {each:?}");
    assert!(all[0] < moments(&program, "ended")[0], "before the first agent ended");
    assert_eq!(moments(&program, "started").len(), 1);
    let resumed = program.wt(&["resume"]).ok();
    assert_eq!(resumed.lines().count(), 41, "{resumed}");
    let each = moments(&program, "resumed");
    assert!(each.len() == 41 && each.iter().all(|at| *at == each[0]), "in one transaction: {each:?}");
    program.until("one of them", || (moments(&program, "started").len() == 2).then_some(()));
    program.wt(&["stop", "--all"]).ok();
}

#[test]
fn who_is_killed_while_stopping_all_leaves_nothing_that_starts() {
    let program = one_runs_and_forty_wait();
    let mut stop = program.command(&["stop", "--all"]);
    let killed = ran(stop.env("WT_FAILPOINT", "stop.waiting_stopped").output().unwrap());
    assert_ne!(killed.code, 0);
    program.until("the last process", || {
        (program.role("__run").is_empty() && program.role("__guard").is_empty()).then_some(())
    });
    let states = program.wt(&["status", "--json"]).json();
    let states = states["tasks"].as_array().unwrap();
    assert!(states.len() == 41 && states.iter().all(|task| task["state"] == "stopped"), "{states:?}");
    assert_eq!(moments(&program, "started").len(), 1);
    assert_eq!(program.wt(&["stop", "--all"]).ok(), "");
    assert_eq!(program.wt(&["resume", "--dry-run"]).ok().lines().count(), 41, "nobody is forgotten");
}
