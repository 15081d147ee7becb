//! What is read of tasks: `status`, `logs`, `diff`, `exec`, `path`, the first screen and the shape of errors.

use std::io::Read as _;
use std::process::Stdio;

use crate::program::{Program, ran};

const WORK: &[&str] = &["write:x=y\\n", "commit:x"];

fn stream(program: &Program, attempt: u32) -> Vec<u8> {
    let path = program.state().join(format!("tasks/a@1/attempts/{attempt}/stream.jsonl"));
    std::fs::read(path).unwrap()
}

#[test]
fn logs_are_safe_to_show_and_raw_ones_exact() {
    let program = Program::new();
    program.spawn("a", &["escapes", "write:x=y", "commit:x"], &["--wait"]).ok();
    let shown = program.wt(&["logs", "a"]);
    let dangerous = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!shown.out.chars().chain(shown.err.chars()).any(dangerous), "{:?}", shown.out);
    assert!(shown.out.contains("\\x1b[31mred") && shown.out.ends_with("after-escapes\n"));
    let raw = program.command(&["logs", "a", "--raw"]).output().unwrap();
    assert!(raw.status.success());
    assert_eq!(raw.stdout, stream(&program, 1));
    assert_eq!(raw.stderr, b"");
}

/// What an agent says last stands in `status`, `wait` and the failure: it must not drive the terminal there either.
#[test]
fn what_agents_say_is_safe_everywhere() {
    let program = Program::new();
    std::fs::write(program.env.root().join("evil"), b"\x1b]0;title\x07\x1b[2Jpwned \xe2\x80\xae\xc2\x9b1m\n")
        .unwrap();
    let evil = format!("replay:{}", program.env.root().join("evil").display());
    let err = "err:\u{1b}[31moops\u{7}\u{202e}";
    let waited = program.spawn("a", &[&evil, err, "exit:1"], &["--retries", "0", "--wait"]);
    let all = [
        waited,
        program.wt(&["status"]),
        program.wt(&["status", "a"]),
        program.wt(&["logs", "a"]),
        program.wt(&["wait", "a"]),
    ];
    for ran in all {
        for text in [ran.out, ran.err] {
            assert!(!text.contains(['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}']), "{text:?}");
        }
    }
}

#[test]
fn logs_tell_how_each_attempt_ended() {
    let program = Program::new();
    let count = format!("fail-first:1:{}", program.env.root().join("count").display());
    let told = program.wt(&["logs", "a"]).fails(1);
    assert!(told.contains("there is no task `a`"), "{told}");
    program.spawn("a", &["say:hello", "err:warned", &count, "write:x=y", "commit:x"], &["--wait"]).ok();
    let last = program.wt(&["logs", "a"]);
    assert_eq!(
        (last.out.as_str(), last.err.as_str()),
        ("hello\n", "stderr: warned\nattempt 2 ended, exit 0: ended well\n")
    );
    let first = program.wt(&["logs", "a", "--attempt", "1"]);
    assert_eq!(first.err, "stderr: warned\nattempt 1 ended, exit 1: warned\n");
    let none = program.wt(&["logs", "a", "--attempt", "3"]).fails(1);
    assert_eq!(none, "error: `a` has no attempt 3, its last is 2\nhint: wt logs a --attempt 2\n");
}

#[test]
fn following_goes_to_the_end_over_all_attempts() {
    let program = Program::new();
    let root = program.env.root().to_owned();
    let (one, go) = (
        format!("wait-for:{}", root.join("one").display()),
        format!("wait-for:{}", root.join("go").display()),
    );
    let count = format!("fail-first:1:{}", root.join("count").display());
    let steps = ["say:first", &one, "say:second", &go, &count, "say:third", "write:x=y", "commit:x"];
    program.spawn("a", &steps, &["--retries", "2"]).ok();
    let mut follow = program.command(&["logs", "a", "--follow"]);
    let mut follow = follow.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut out = follow.stdout.take().unwrap();
    let mut seen = |until: &str| {
        let mut text = String::new();
        let mut byte = [0];
        while !text.ends_with(until) && out.read(&mut byte).unwrap() > 0 {
            text.push(char::from(byte[0]));
        }
        text
    };
    // Each line comes as it is said, while the agent waits.
    assert_eq!(seen("first\n"), "first\n");
    std::fs::write(root.join("one"), "").unwrap();
    assert_eq!(seen("second\n"), "second\n");
    std::fs::write(root.join("go"), "").unwrap();
    assert_eq!(seen("third\n"), "first\nsecond\nthird\n");
    assert_eq!(seen("nothing more"), "");
    assert!(follow.wait().unwrap().success());
}

/// The end of a task must never be missed, whenever it comes.
#[test]
fn following_ends_with_the_task() {
    let program = Program::new();
    for n in 0..6 {
        let name = format!("t{n}");
        program.spawn(&name, &["say:only", "write:x=y", "commit:x"], &[]).ok();
        let followed = program.command(&["logs", &name, "-f"]).output().unwrap();
        assert_eq!(ran(followed).ok(), "only\n");
        assert_eq!(program.state_of(&name), "done");
    }
}

#[test]
fn following_a_queued_task_waits_for_its_agent() {
    let program = Program::new();
    program.configure("[limits]\nslots = 1\n");
    let go = format!("wait-for:{}", program.env.root().join("go").display());
    program.spawn("first", &[&go, "write:x=y", "commit:x"], &[]).ok();
    program.spawn("a", &["say:at last", "write:x=y", "commit:x"], &[]).ok();
    let told = program.wt(&["logs", "a"]).fails(1);
    assert_eq!(told, "error: `a` is queued: no agent has run yet\nhint: wt logs a --follow\n");
    let mut follow = program.command(&["logs", "a", "--follow"]);
    let follow = follow.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::fs::write(program.env.root().join("go"), "").unwrap();
    assert_eq!(ran(follow.wait_with_output().unwrap()).ok(), "at last\n");
}

#[test]
fn diff_shows_what_would_land() {
    let program = Program::new();
    program.spawn("a", WORK, &["--wait"]).ok();
    program.repo.commit("other", "moved on\n");
    let patch = program.wt(&["diff", "a"]).ok();
    assert!(patch.contains("diff --git a/x b/x") && patch.contains("\n+y\n"), "{patch}");
    assert!(!patch.contains("other"), "what the target has is no part of it:\n{patch}");
    let json = program.wt(&["diff", "a", "--json"]).json();
    assert_eq!((&json["schema"], &json["commits"], &json["insertions"]), (&1.into(), &1.into(), &1.into()));
    assert_eq!(json["files"], serde_json::json!(["x"]));
    let stat = program.wt(&["diff", "a", "--stat"]).ok();
    assert!(stat.contains('x') && !stat.contains("diff --git"), "{stat}");
}

#[test]
fn exec_runs_in_the_worktree_and_passes_its_code_on() {
    let program = Program::new();
    program.wt(&["spawn", "a", "--no-agent"]).ok();
    let path = program.worktree("a").to_string_lossy().into_owned();
    assert_eq!(program.wt(&["path", "a"]).ok(), format!("{path}\n"));
    let ran = program.wt(&["exec", "a", "--", "sh", "-c", "pwd; echo $WT_TASK $WT_BRANCH; exit 7"]);
    assert_eq!((ran.code, ran.out), (7, format!("{path}\na wt/a\n")));
    assert_eq!(program.wt(&["exec", "a", "--", "sh", "-c", "kill -TERM $$"]).code, 143);
    let mut redirected = program.command(&["exec", "a", "--", "git", "rev-parse", "--show-toplevel"]);
    let output = redirected.env("GIT_DIR", program.repo.path().join(".git")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), path);
    let said = program.wt(&["exec", "a", "--", "no-such-program"]).fails(1);
    assert!(said.starts_with("error: `no-such-program` cannot be run"), "{said}");
    program.wt(&["exec", "a"]).fails(2);
}

#[test]
fn a_task_without_workspace_has_no_path() {
    let program = Program::new();
    program.wt(&["spawn", "parent", "--no-agent"]).ok();
    program.spawn("a", WORK, &["--after", "parent"]).ok();
    for verb in [&["path", "a"][..], &["diff", "a"], &["exec", "a", "--", "true"]] {
        assert_eq!(
            program.refuses(1, verb),
            "error: `a` is queued and has no workspace\nhint: wt status a\n"
        );
    }
}

#[test]
fn status_has_the_shape_of_the_contract() {
    let program = Program::new();
    program.spawn("a", &["say:working", "write:x=one\\ntwo\\n", "commit:x"], &["--wait"]).ok();
    program.repo.commit("README.md", "moved on\n");
    std::fs::write(program.worktree("a").join("loose"), "x").unwrap();
    program.until("the runner's end", || program.role("__run").is_empty().then_some(()));
    let json = program.wt(&["status", "--json"]).json();
    let text = serde_json::to_string_pretty(&json).unwrap();
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(&escaped(&program.env.root().to_string_lossy()), "[root]");
    settings.add_filter(r#""[0-9a-f]{40}""#, "[oid]");
    settings.add_filter(r#""\d{4}-\d\d-\d\dT[^"]*""#, "[time]");
    settings.add_filter(r#""elapsed_ms": \d+"#, r#""elapsed_ms": [ms]"#);
    settings.bind(|| {
        insta::assert_snapshot!(text, @r#"
    {
      "schema": 1,
      "repo": "[root]/repo",
      "target": "main",
      "slots": {
        "used": 0,
        "max": 3
      },
      "breakers": [],
      "tasks": [
        {
          "name": "a",
          "state": "done",
          "reason": null,
          "branch": "wt/a",
          "worktree": "[root]/repo-worktrees/a",
          "target": "main",
          "base": [oid],
          "head": [oid],
          "ahead": 1,
          "behind": 1,
          "dirty": true,
          "files_changed": 1,
          "insertions": 2,
          "deletions": 0,
          "conflicts_with_target": false,
          "conflicts_with": [],
          "agent": "fake",
          "model": null,
          "profile": null,
          "priority": 3,
          "after": [],
          "attempt": 1,
          "iteration": 0,
          "session": null,
          "queued_at": [time],
          "started_at": [time],
          "ended_at": [time],
          "elapsed_ms": [ms],
          "silent_ms": null,
          "pace": null,
          "tokens": {
            "input": 0,
            "output": 0,
            "cache_read": 0,
            "cache_write": 0
          },
          "cost_usd": 0.0,
          "last": "working",
          "outcome": "ended well"
        }
      ]
    }
    "#);
    });
}

fn escaped(path: &str) -> String {
    path.replace('.', "\\.")
}

#[test]
fn status_tells_what_an_agent_does_now() {
    let program = Program::new();
    let root = program.env.root().to_owned();
    let (said, go) =
        (format!("touch:{}", root.join("said").display()), format!("wait-for:{}", root.join("go").display()));
    program.spawn("a", &["say:reading the code", &said, &go, "write:x=y", "commit:x"], &[]).ok();
    let task = program.until("the agent's words", || {
        let task = program.task("a");
        (task["last"] == "reading the code").then_some(task)
    });
    assert_eq!(task["state"], "running");
    assert!(task["silent_ms"].as_u64().is_some() && task["ended_at"].is_null());
    let json = program.wt(&["status", "--json"]).json();
    assert_eq!(json["slots"], serde_json::json!({ "used": 1, "max": 3 }));
    assert!(program.wt(&["status"]).ok().contains("reading the code"));
    std::fs::write(root.join("go"), "").unwrap();
    program.wt(&["wait", "a", "--timeout", "30s"]).ok();
}

#[test]
fn status_of_a_fresh_repository() {
    let program = Program::new();
    assert_eq!(
        program.wt(&["status"]).ok(),
        "no tasks; give one to an agent with `wt spawn NAME \"what to do\"`\n"
    );
    assert_eq!(program.wt(&["status", "--json"]).json()["tasks"], serde_json::json!([]));
    assert!(!program.state().exists(), "looking makes nothing");
}

#[test]
fn the_first_screen_and_the_shape_of_errors() {
    let program = Program::new();
    let first = program.wt(&[]);
    assert_eq!(first.code, 2);
    let screen = first.out + &first.err;
    for line in
        ["wt spawn feature-auth \"Add JWT login\"", "wt status", "wt merge --all", "wt gc", "Usage: wt"]
    {
        assert!(screen.contains(line), "{screen}");
    }
    program.wt(&["--help"]).ok();
    assert!(program.wt(&["--version"]).ok().starts_with("wt "));
    program.wt(&["no-such-verb"]).fails(2);
    program.wt(&["spawn", "a", "p", "--priority", "9"]).fails(2);
    program.wt(&["spawn", "aab", "--no-agent"]).ok();
    insta::assert_snapshot!(program.wt(&["spawn", "Bad Name", "p"]).fails(1), @r"
    error: not a task name; nothing was made
    caused by: `B` cannot stand at the start of a task name (a-z, 0-9, `.`, `_`, `-`)
    hint: for example: `wt spawn bad-name …`
    ");
    insta::assert_snapshot!(program.wt(&["status", "aac"]).fails(1), @r"
    error: there is no task `aac`
    hint: the nearest name is `aab`: `wt status aab`
    ");
    insta::assert_snapshot!(program.wt(&["spawn", "aab", "p"]).fails(1), @r"
    error: a task named `aab` is already open; nothing was made
    hint: wt status aab
    ");
}

#[test]
fn quiet_and_no_colour_are_honoured() {
    let program = Program::new();
    let coloured = |variable: &str, value: &str| {
        let mut command = program.command(&["status"]);
        String::from_utf8(command.env(variable, value).output().unwrap().stdout).unwrap()
    };
    program.wt(&["spawn", "a", "--no-agent"]).ok();
    program.spawn("b", WORK, &["--wait"]).ok();
    assert!(coloured("CLICOLOR_FORCE", "1").contains("\u{1b}["));
    assert!(!coloured("NO_COLOR", "1").contains('\u{1b}'));
    assert_eq!(program.wt(&["status", "--quiet"]).err, "");
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let program = Program::new();
    program.spawn("a", &["flood:1", "write:x=y", "commit:x"], &["--wait"]).ok();
    let mut logs = program.command(&["logs", "a"]);
    let mut logs = logs.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(logs.stdout.take());
    let ended = ran(logs.wait_with_output().unwrap());
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
}

#[test]
fn a_target_that_was_renamed_does_not_keep_status_from_answering() {
    let program = Program::new();
    program.wt(&["spawn", "a", "--no-agent"]).ok();
    program.env.at(&program.worktree("a")).commit("x", "y");
    program.repo.git(&["branch", "-m", "main", "trunk"]);
    let task = program.task("a");
    assert_eq!((&task["state"], &task["ahead"]), (&"open".into(), &0.into()));
    assert!(program.wt(&["status"]).ok().contains("landing on trunk"));
}

#[test]
fn json_is_printed_whatever_the_exit_code_and_only_once() {
    let program = Program::new();
    let refused = program.wt(&["status", "nobody", "--json"]);
    assert_eq!((refused.code, &refused.json()["error"]["code"]), (1, &serde_json::json!(1)));
    assert_eq!(refused.json()["error"]["message"], "there is no task `nobody`");
    program.wt(&["spawn", "a", "--no-agent"]).ok();
    for args in [
        &["stop", "a", "--json"][..],
        &["done", "a", "--json"],
        &["merge", "a", "--json"],
        &["gc", "b", "--json"],
    ] {
        let ran = program.wt(args);
        assert_ne!(ran.code, 0, "{args:?}");
        assert_eq!(ran.out.lines().count(), 1, "{args:?}: {}", ran.out);
        assert_eq!(ran.json()["schema"], 1, "{args:?}: {}", ran.out);
    }
}
