//! `wt spawn`: every option, every place to start it from, and what it says.

use std::io::Write as _;
use std::process::Stdio;

use rstest::rstest;

use crate::program::{FAKE, Program, Ran, ran};

const WORK: &[&str] = &["write:x=y", "commit:x"];

fn with_input(program: &Program, args: &[&str], input: &[u8]) -> Ran {
    let mut child = program.command(args);
    child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    // A `wt` that refuses before it reads closes its end.
    drop(child.stdin.take().unwrap().write_all(input));
    ran(child.wait_with_output().unwrap())
}

fn told_prompt(program: &Program, args: &[&str], input: &[u8]) -> Vec<u8> {
    with_input(program, args, input).ok();
    program.wt(&["wait", "a", "--timeout", "30s"]).ok();
    std::fs::read(program.env.root().join("prompt")).unwrap()
}

#[test]
fn the_prompt_comes_verbatim_from_everywhere() {
    let sources: [&[&str]; 4] =
        [&["spawn", "a", "-f", "-"], &["spawn", "a", "-"], &["spawn", "a", "-f", "../prompt.md"], &[]];
    for source in sources {
        let program = Program::new();
        let to = program.env.root().join("prompt");
        let prompt =
            format!("--quote \"'$(id) ü\n\nSCRIPT:\nprompt-to:{}\nwrite:x=y\ncommit:x\n", to.display());
        std::fs::write(program.env.root().join("prompt.md"), &prompt).unwrap();
        let as_argument = ["spawn", "a", "--", &prompt];
        let args = if source.is_empty() { &as_argument[..] } else { source };
        assert_eq!(told_prompt(&program, args, prompt.as_bytes()), prompt.as_bytes(), "{args:?}");
    }
}

#[test]
fn a_prompt_of_a_mebibyte_arrives_whole() {
    let program = Program::new();
    let to = program.env.root().join("prompt");
    let script = format!("\nSCRIPT:\nprompt-to:{}\nwrite:x=y\ncommit:x\n", to.display());
    let prompt = "0123456789abcde\n".repeat(1 << 16) + &script;
    assert_eq!(told_prompt(&program, &["spawn", "a", "-"], prompt.as_bytes()), prompt.as_bytes());
}

#[test]
fn options_reach_the_task_and_its_agent() {
    let program = Program::new();
    program.configure(&format!(
        "[agents.other]\ncommand = [\"{FAKE}\"]\nargs.model = [\"--\", \"--model\", \"{{model}}\"]\n"
    ));
    let base = program.repo.head();
    program.repo.commit("later", "x");
    program.repo.git(&["branch", "dev"]);
    let told = program.env.root().join("args");
    let environment = program.env.root().join("env");
    let prompt = format!(
        "SCRIPT:\nenv-to:{}\nargs-to:{}\nwrite:x=y\ncommit:x\n",
        environment.display(),
        told.display()
    );
    let options = [
        "spawn",
        "a",
        &prompt,
        "--agent",
        "other",
        "--model",
        "m-1",
        "--base",
        &base,
        "--into",
        "dev",
        "--priority",
        "1",
        "--own",
        "src/**",
        "--own",
        "x",
        "--avoid",
        "docs/**",
        "--verify",
        "test -f x",
        "--timeout",
        "5m",
        "--retries",
        "4",
        "--wait",
    ];
    program.wt(&options).ok();
    assert_eq!(std::fs::read_to_string(told).unwrap(), "--model\nm-1\n");
    let task = program.task("a");
    assert_eq!(task["target"], "dev");
    assert_eq!(task["base"], base);
    assert_eq!((&task["agent"], &task["model"]), (&"other".into(), &"m-1".into()));
    assert_eq!(task["priority"], 1);
    let asked = std::fs::read_to_string(program.state().join("tasks/a@1/task.toml")).unwrap();
    for line in [
        "owns = [\n    \"src/**\",\n    \"x\",\n]",
        "avoids = [\"docs/**\"]",
        "verify = [\"test -f x\"]",
        "timeout_ms = 300000",
        "retries = 4",
    ] {
        assert!(asked.contains(line), "{line} is not in\n{asked}");
    }
    let environment = std::fs::read_to_string(environment).unwrap();
    let names: Vec<&str> = environment.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    for name in
        ["TRACEPARENT", "WT_BRANCH", "WT_ITERATION", "WT_RUN_ID", "WT_SHARED", "WT_TASK", "WT_WORKTREE"]
    {
        assert!(names.contains(&name), "{environment}");
    }
    assert!(environment.contains("WT_TASK=a\n") && environment.contains("WT_BRANCH=wt/a\n"));
}

#[test]
fn priority_then_age_decides_who_is_next() {
    let program = Program::new();
    program.configure("[limits]\nslots = 1\n");
    let go = format!("wait-for:{}", program.env.root().join("go").display());
    program.spawn("first", &[&go, "write:x=y", "commit:x"], &[]).ok();
    for (name, priority) in [("late", "5"), ("usual", "3"), ("usual2", "3"), ("urgent", "1")] {
        program.spawn(name, WORK, &["--priority", priority]).ok();
        assert_eq!(program.state_of(name), "queued");
        assert!(!program.worktree(name).exists(), "a queue costs no disk");
    }
    std::fs::write(program.env.root().join("go"), "").unwrap();
    program.wt(&["wait", "--timeout", "30s"]).ok();
    let journal = program.journal();
    let started = journal.iter().filter(|record| record["event"]["type"] == "started");
    let order: Vec<&str> = started.map(|record| record["task"].as_str().unwrap()).collect();
    assert_eq!(order, ["first@1", "urgent@1", "usual@1", "usual2@1", "late@1"]);
}

#[test]
fn after_waits_for_the_landing_and_sees_it() {
    let program = Program::new();
    program.spawn("parent", WORK, &["--wait"]).ok();
    program.spawn("child", &["delete:x", "commit:gone"], &["--after", "parent"]).ok();
    let child = program.task("child");
    assert_eq!((&child["state"], &child["reason"]), (&"waiting".into(), &"after".into()));
    assert_eq!(child["after"], serde_json::json!(["parent"]));
    // Nothing will happen to it by itself, so waiting for it ends at once.
    program.wt(&["wait", "child"]).ok();
    program.wt(&["merge", "parent"]).ok();
    program.wt(&["wait", "child", "--timeout", "30s"]).ok();
    assert_eq!(program.state_of("child"), "done");
}

#[test]
fn a_person_works_in_an_open_workspace() {
    let program = Program::new();
    let said = program.wt(&["spawn", "a", "--no-agent"]).ok();
    let path = program.worktree("a");
    assert_eq!(said, format!("a open: you on wt/a in {}\n", path.display()));
    assert_eq!(program.state_of("a"), "open");
    assert!(path.join("CLAUDE.local.md").exists() && path.join(".shared").is_dir());
    assert_eq!(program.env.at(&path).git(&["status", "--porcelain"]), "");
}

#[test]
fn setup_runs_in_the_foreground_for_a_person() {
    let program = Program::new();
    program.configure("[workspace]\nsetup = [\"echo made > .env\"]\n");
    program.repo.commit(".gitignore", ".env\n");
    program.wt(&["spawn", "a", "--no-agent"]).ok();
    assert_eq!(std::fs::read_to_string(program.worktree("a").join(".env")).unwrap(), "made\n");
    program.configure("[workspace]\nsetup = [\"echo no >&2; exit 3\"]\n");
    let said = program.wt(&["spawn", "b", "--no-agent"]).fails(1);
    assert!(said.contains("exited with code 3"), "{said}");
    assert_eq!(program.state_of("b"), "open", "the workspace stays for the person to mend");
}

#[test]
fn a_dry_run_makes_nothing() {
    let program = Program::new();
    let before = program.world();
    let said = program.spawn("a", WORK, &["--dry-run"]).ok();
    assert_eq!(said, format!("a would be running: fake on wt/a in {}\n", program.worktree("a").display()));
    assert_eq!(program.world(), before);
    assert!(!program.state().exists());
    let json = program.spawn("a", WORK, &["--dry-run", "--json"]).json();
    assert_eq!(json["dry_run"], true);
    // What a real run would refuse, a dry run does.
    program.repo.git(&["branch", "wt/a"]);
    program.spawn("a", WORK, &["--dry-run"]).fails(1);
}

#[test]
fn json_says_what_was_made() {
    let program = Program::new();
    let json = program.spawn("a", WORK, &["--json"]).json();
    assert_eq!(json["schema"], 1);
    let task = &json["tasks"][0];
    assert_eq!(task["name"], "a");
    assert_eq!(task["branch"], "wt/a");
    assert_eq!(task["target"], "main");
    assert_eq!(task["agent"], "fake");
    assert_eq!(task["worktree"], program.worktree("a").to_string_lossy().into_owned());
}

#[test]
fn with_wait_and_json_the_answer_is_one_document() {
    let program = Program::new();
    let ran = program.spawn("a", WORK, &["--json", "--wait"]);
    assert_eq!(ran.code, 0);
    assert_eq!(ran.json()["tasks"][0]["state"], "done");
    assert_eq!(ran.json()["tasks"][0]["outcome"], "ended well");
}

#[test]
fn several_at_once_from_lines() {
    let program = Program::new();
    let script = "SCRIPT:\\nwrite:x=y\\ncommit:x";
    let lines = format!(
        "{{\"name\":\"a\",\"prompt\":\"{script}\",\"retries\":1}}\n\n\
         {{\"name\":\"b\",\"prompt\":\"{script}\",\"after\":[\"a\"],\"priority\":2,\"verify\":[\"true\"]}}\n\
         {{\"name\":\"c\",\"no-agent\":true}}\n"
    );
    // Some editors put a mark before the first line.
    let lines = format!("\u{feff}{lines}");
    let ran = with_input(&program, &["spawn", "--from", "-", "--retries", "7", "--json"], lines.as_bytes());
    assert_eq!(ran.code, 0, "{}", ran.err);
    let names: Vec<String> =
        ran.json()["tasks"].as_array().unwrap().iter().map(|t| t["name"].to_string()).collect();
    assert_eq!(names, ["\"a\"", "\"b\"", "\"c\""]);
    program.wt(&["wait", "--timeout", "30s"]).ok();
    let states = ["a", "b", "c"].map(|name| program.state_of(name));
    assert_eq!(states, ["done", "waiting", "open"]);
    let retries = |id: &str| {
        let text = std::fs::read_to_string(program.state().join("tasks").join(id).join("task.toml")).unwrap();
        text.lines().find_map(|line| line.strip_prefix("retries = ")).unwrap().to_owned()
    };
    assert_eq!(
        (retries("a@1"), retries("b@1")),
        ("1".to_owned(), "7".to_owned()),
        "options fill in for lines"
    );
}

#[rstest]
#[case::no_json(
    "{\"name\":\"a\",\"prompt\":\"p\"}\nnot json\n",
    1,
    "line 2 of `-` is no task; nothing was made"
)]
#[case::unknown_key("{\"name\":\"a\",\"promt\":\"p\"}\n", 1, "unknown field `promt`")]
#[case::no_prompt("{\"name\":\"a\"}\n", 2, "a task needs a prompt")]
#[case::priority("{\"name\":\"a\",\"prompt\":\"p\",\"priority\":9}\n", 2, "priority is 1 to 5")]
#[case::twice(
    "{\"name\":\"a\",\"prompt\":\"p\"}\n{\"name\":\"a\",\"prompt\":\"q\"}\n",
    1,
    "`a` is asked for twice"
)]
#[case::bad_name(
    "{\"name\":\"a\",\"prompt\":\"p\"}\n{\"name\":\"B\",\"prompt\":\"q\"}\n",
    1,
    "not a task name"
)]
#[case::no_parent(
    "{\"name\":\"a\",\"prompt\":\"p\",\"after\":[\"z\"]}\n",
    1,
    "after `z`, which does not exist"
)]
#[case::own_parent(
    "{\"name\":\"a\",\"prompt\":\"p\",\"after\":[\"a\"]}\n",
    1,
    "after `a`, which does not exist"
)]
#[case::person_after("{\"name\":\"a\",\"no-agent\":true,\"after\":[\"b\"]}\n", 2, "no-agent")]
#[case::nothing("\n", 2, "`-` has no task")]
fn one_bad_line_makes_nothing(#[case] lines: &str, #[case] code: i32, #[case] words: &str) {
    let program = Program::new();
    let before = program.world();
    let said = with_input(&program, &["spawn", "--from", "-"], lines.as_bytes()).fails(code);
    assert!(said.contains(words), "{said}");
    assert_eq!(program.world(), before);
}

#[test]
fn it_works_from_every_place_of_a_repository() {
    let program = Program::new();
    program.repo.commit("sub/folder/file", "x");
    let other = program.env.root().join("other");
    program.repo.git(&["worktree", "add", "-q", "-b", "side", &other.to_string_lossy()]);
    program.wt(&["spawn", "first", "--no-agent"]).ok();
    let places = [program.repo.path().join("sub/folder"), other.join("sub"), program.worktree("first")];
    for (n, place) in places.iter().enumerate() {
        let name = format!("t{n}");
        program.wt_in(place, &["spawn", &name, "--no-agent"]).ok();
        let path = program.wt_in(place, &["path", &name]).ok();
        assert_eq!(path.trim(), program.worktree(&name).to_string_lossy(), "{}", place.display());
    }
    // From elsewhere, with -C.
    let said = program.wt_in(program.env.root(), &["-C", "repo/sub", "status", "--json"]);
    assert_eq!(said.json()["tasks"].as_array().unwrap().len(), 4);
}

#[rstest]
#[case("project.git", "project-worktrees")]
#[case("folder/.bare", "folder-worktrees")]
fn it_works_in_bare_repositories(#[case] bare: &str, #[case] worktrees: &str) {
    let program = Program::new();
    let bare = program.env.root().join(bare);
    program.repo.git(&["clone", "-q", "--bare", ".", &bare.to_string_lossy()]);
    program.env.at(&bare).configure();
    let prompt = "SCRIPT:\nwrite:x=y\ncommit:x\n";
    program.wt_in(&bare, &["spawn", "a", prompt, "--wait"]).ok();
    let path = program.wt_in(&bare, &["path", "a"]).ok();
    assert!(path.trim().ends_with(&format!("{worktrees}/a")), "{path}");
    assert_eq!(
        program.wt_in(path.trim().as_ref(), &["status", "a", "--json"]).json()["tasks"][0]["state"],
        "done"
    );
    drop(program.command_in(&bare, &["stop", "--all"]).output());
}
