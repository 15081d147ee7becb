//! The life of a task through the program: attempts, limits, stopping, running again, finishing by hand, waiting.

use std::process::Stdio;
use std::time::{Duration, Instant};

use rstest::rstest;

use crate::program::{Program, alive, asleep};

const WORK: &[&str] = &["write:x=y", "commit:x"];

fn outcome(program: &Program, name: &str) -> String {
    program.task(name)["outcome"].as_str().unwrap_or_default().to_owned()
}

fn go(program: &Program) -> String {
    format!("wait-for:{}", program.env.root().join("go").display())
}

fn let_go(program: &Program) {
    std::fs::write(program.env.root().join("go"), "").unwrap();
}

#[test]
fn attempts_are_one_more_than_retries() {
    let program = Program::new();
    program.spawn("a", &["err:boom", "exit:3"], &["--retries", "1", "--wait"]).fails(1);
    let task = program.task("a");
    assert_eq!((&task["state"], &task["attempt"]), (&"dead".into(), &2.into()));
    assert_eq!(task["outcome"], "boom; 2 attempts used up");
    assert_eq!(program.told("a@1"), ["queued", "workspace_made", "started", "ended", "started", "ended"]);
    let journal = program.journal();
    let at = |kind: &str, n: usize| {
        let mut of_kind = journal.iter().filter(|record| record["event"]["type"] == kind);
        of_kind.nth(n).unwrap()["at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap()
    };
    let rest = at("started", 1).duration_since(at("ended", 0));
    assert!(rest >= jiff::SignedDuration::from_secs(1), "the back-off is a second: {rest:?}");
}

#[test]
fn a_passing_fault_is_tried_again() {
    let program = Program::new();
    let count = format!("fail-first:1:{}", program.env.root().join("count").display());
    program.spawn("a", &[&count, "write:x=y", "commit:x"], &["--wait"]).ok();
    assert_eq!(program.task("a")["attempt"], 2);
    assert_eq!(program.state_of("a"), "done");
}

#[test]
fn the_next_attempt_is_told_which_check_failed_and_how() {
    let program = Program::new();
    let root = program.env.root().to_owned();
    let (prompt, second) = (root.join("prompt"), root.join("second"));
    let check =
        format!("test -f {0} || {{ touch {0}; echo a needle in the output; exit 3; }}", second.display());
    let steps = [&format!("prompt-to:{}", prompt.display()), "write:x=y", "commit:x"];
    // The first check passes and talks too: it is not the one to be told.
    program.spawn("a", &steps, &["--verify", "echo all is well", "--verify", &check, "--wait"]).ok();
    let told = std::fs::read_to_string(prompt).unwrap();
    assert!(told.contains("a needle in the output"), "{told}");
    assert!(told.contains("exited with code 3"), "{told}");
    assert!(!told.contains("all is well"), "{told}");
    let shown = program.wt(&["logs", "a", "--verify", "--attempt", "1"]).ok();
    assert_eq!(shown, "all is well\na needle in the output\n");
    assert_eq!(program.task("a")["attempt"], 2);
}

#[test]
fn no_commit_is_not_done_unless_there_is_nothing_to_do() {
    let program = Program::new();
    program.spawn("idle", &["say:fine"], &["--retries", "0", "--wait"]).fails(1);
    assert_eq!(outcome(&program, "idle"), "no commit beyond its base; 1 attempt used up");
    program.spawn("nothing", &["promise:NOTHING"], &["--wait"]).ok();
    assert_eq!(
        (program.state_of("nothing"), outcome(&program, "nothing")),
        ("done".into(), "nothing to do".into())
    );
    program.spawn("blocked", &["promise:BLOCKED: no key"], &["--wait"]).fails(1);
    assert_eq!(program.state_of("blocked"), "failed");
}

#[test]
fn what_is_left_uncommitted_is_committed_or_refused() {
    let program = Program::new();
    program.spawn("auto", &["write:x=y"], &["--wait"]).ok();
    let tree = program.env.at(&program.worktree("auto"));
    assert_eq!(tree.git(&["status", "--porcelain"]), "");
    assert_eq!(tree.git(&["log", "--format=%s", "main.."]), "auto: work left uncommitted by fake");
    program.configure("");
    let user = program.env.root().join("home/.config/wt/config.toml");
    let text = std::fs::read_to_string(&user).unwrap().replace("[agent]\n", "[agent]\ncommit = \"agent\"\n");
    std::fs::write(user, text).unwrap();
    program.spawn("own", &["write:x=y"], &["--retries", "0", "--wait"]).fails(1);
    assert!(outcome(&program, "own").starts_with("uncommitted changes are left"));
}

#[test]
fn the_time_limit_ends_an_attempt() {
    let program = Program::new();
    program
        .spawn("a", &["plain-child", "sleep:1000"], &["--timeout", "300ms", "--retries", "0", "--wait"])
        .fails(1);
    assert_eq!(outcome(&program, "a"), "time limit of 300ms reached; 1 attempt used up");
}

#[test]
fn silence_ends_an_attempt() {
    let program = Program::new();
    program.configure("[limits]\nstall = \"1s\"\n");
    program.spawn("quiet", &["say:hello", "sleep:1000"], &["--retries", "0", "--wait"]).fails(1);
    assert_eq!(outcome(&program, "quiet"), "silent for 1s; 1 attempt used up");
    // Talk of any kind is a sign of life.
    let steps: Vec<&str> = (0..6).flat_map(|_| ["sleep:0.3", "err:."]).chain(WORK.iter().copied()).collect();
    program.spawn("chatty", &steps, &["--wait"]).ok();
}

#[test]
fn stopping_takes_a_task_out_wherever_it_is() {
    let program = Program::new();
    program.configure("[limits]\nslots = 1\n");
    let pids = program.env.root().join("pids");
    let told = format!("pids-to:{}", pids.display());
    program.spawn("running", &["write:half=x", &told, "sleep:1000"], &[]).ok();
    program.spawn("queued", WORK, &[]).ok();
    program.spawn("child", WORK, &["--after", "queued"]).ok();
    let agent: u32 = program.file(&pids).split_whitespace().nth(1).unwrap().parse().unwrap();
    assert_eq!(program.wt(&["stop", "queued", "child"]).ok(), "child stopped\nqueued stopped\n");
    program.wt(&["stop", "running"]).ok();
    assert!(!alive(agent));
    assert_eq!(std::fs::read_to_string(program.worktree("running").join("half")).unwrap(), "x");
    assert!(!program.worktree("queued").exists());
    for name in ["running", "queued", "child"] {
        assert_eq!(
            (program.state_of(name), outcome(&program, name)),
            ("stopped".into(), "stopped by hand".into())
        );
    }
    let said = program.refuses(1, &["stop", "running"]);
    assert!(said.contains("`running` is stopped"), "{said}");
}

#[test]
fn stopping_between_two_attempts() {
    let program = Program::new();
    // The back-off of the third attempt is two seconds and more.
    program.spawn("a", &["exit:1"], &["--retries", "5"]).ok();
    program.until("the back-off", || (program.state_of("a") == "waiting").then_some(()));
    let begun = Instant::now();
    program.wt(&["stop", "a"]).ok();
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(program.state_of("a"), "stopped");
    program.until("the resting runner's end", || program.role("__run").is_empty().then_some(()));
    assert_eq!(program.state_of("a"), "stopped");
}

#[test]
fn stopping_all_starts_none() {
    let program = Program::new();
    program.configure("[limits]\nslots = 1\n");
    for name in ["a", "b", "c"] {
        program.spawn(name, &["sleep:1000"], &[]).ok();
    }
    program.until("an agent", || (program.role("__guard").len() == 1).then_some(()));
    program.wt(&["stop", "--all"]).ok();
    let journal = program.journal();
    assert_eq!(journal.iter().filter(|record| record["event"]["type"] == "started").count(), 1);
    assert!(["a", "b", "c"].iter().all(|name| program.state_of(name) == "stopped"));
    assert_eq!(program.wt(&["stop", "--all"]).ok(), "");
}

#[test]
fn stopping_while_a_check_runs() {
    let program = Program::new();
    let at = program.env.root().join("checking");
    let check = format!("touch {}; sleep 1000", at.display());
    program.spawn("a", WORK, &["--verify", &check]).ok();
    program.until("the check", || at.exists().then_some(()));
    program.wt(&["stop", "a"]).ok();
    assert_eq!(program.state_of("a"), "stopped");
    assert!(program.role("__guard").is_empty());
}

#[test]
fn some_of_several_is_three() {
    let program = Program::new();
    program.spawn("a", &["sleep:1000"], &[]).ok();
    let ran = program.wt(&["stop", "a", "nobody", "--json"]);
    assert_eq!(ran.code, 3);
    let json = ran.json();
    assert_eq!(json["tasks"][0]["error"], "there is no task `nobody`");
    assert_eq!(json["tasks"][1]["state"], "stopped");
}

#[test]
fn running_again_goes_on_in_the_same_workspace() {
    let program = Program::new();
    let count = format!("fail-first:1:{}", program.env.root().join("count").display());
    program.spawn("a", &["append:kept=x", &count, "commit:both"], &["--retries", "0", "--wait"]).fails(1);
    assert_eq!(program.state_of("a"), "dead");
    assert_eq!(program.wt(&["retry", "a"]).ok().split_whitespace().next(), Some("a"));
    program.wt(&["wait", "a", "--timeout", "30s"]).ok();
    assert_eq!(program.state_of("a"), "done");
    assert_eq!(std::fs::read_to_string(program.worktree("a").join("kept")).unwrap(), "xx");
    assert_eq!(program.task("a")["attempt"], 2);
}

#[test]
fn running_again_is_refused_where_it_makes_no_sense() {
    let program = Program::new();
    program.wt(&["spawn", "open", "--no-agent"]).ok();
    let said = program.refuses(1, &["retry", "open"]);
    assert!(said.contains("`open` is without an agent"), "{said}");
    program.spawn("a", &["sleep:1000"], &[]).ok();
    program.started("a@1");
    let said = program.wt(&["retry", "a"]).fails(1);
    assert!(said.contains("`a` is running") && said.contains("hint: wt stop a"), "{said}");
}

#[test]
fn a_back_off_is_cut_short_by_running_again() {
    let program = Program::new();
    let count = format!("fail-first:1:{}", program.env.root().join("count").display());
    program.spawn("a", &[&count, "write:x=y", "commit:x"], &["--retries", "5"]).ok();
    program.until("the back-off", || (program.state_of("a") == "waiting").then_some(()));
    program.wt(&["retry", "a"]).ok();
    program.wt(&["wait", "a", "--timeout", "30s"]).ok();
    assert_eq!(program.state_of("a"), "done");
}

#[test]
fn a_person_says_done() {
    let program = Program::new();
    program.configure("[[verify]]\nname = \"check\"\nrun = \"test -f good\"\n");
    program.wt(&["spawn", "a", "--no-agent"]).ok();
    let tree = program.env.at(&program.worktree("a"));
    let said = program.refuses(1, &["done", "a"]);
    assert!(said.contains("no commit that the target lacks"), "{said}");
    tree.write("x", "y");
    let said = program.refuses(1, &["done", "a"]);
    assert!(said.contains("1 file not committed: x"), "{said}");
    tree.commit_all("x");
    let said = program.refuses(5, &["done", "a"]);
    assert!(said.contains("`test -f good` exited with code 1"), "{said}");
    tree.commit("good", "x");
    assert!(program.wt(&["done", "a"]).ok().starts_with("a done"));
    assert_eq!(program.state_of("a"), "done");
    let said = program.refuses(1, &["done", "a"]);
    assert!(said.contains("hint: wt merge a"), "{said}");
}

#[test]
fn done_is_refused_in_the_middle_of_a_rebase() {
    let program = Program::new();
    program.wt(&["spawn", "a", "--no-agent"]).ok();
    let tree = program.env.at(&program.worktree("a"));
    tree.commit("x", "theirs");
    program.repo.commit("x", "ours");
    assert!(!tree.try_git(&["rebase", "main"]).status.success());
    let said = program.refuses(1, &["done", "a"]);
    assert!(said.contains("a rebase is in progress") && said.contains("wt exec a -- git status"), "{said}");
}

#[test]
fn a_task_whose_folder_somebody_deleted_comes_back() {
    let program = Program::new();
    program.spawn("a", &["write:x=y", "commit:x", "exit:3"], &["--retries", "0", "--wait"]).fails(1);
    std::fs::remove_dir_all(program.worktree("a")).unwrap();
    let said = program.refuses(1, &["retry", "a"]);
    assert!(said.contains("is gone") && said.contains("hint: wt gc a --force && wt restore a"), "{said}");
    let said = program.refuses(1, &["restore", "a"]);
    assert!(said.contains("`wt gc a --force && wt restore a`"), "{said}");
    program.wt(&["gc", "a", "--force"]).ok();
    program.wt(&["restore", "a"]).ok();
    assert_eq!(program.env.at(&program.worktree("a")).read("x"), "y");
}

#[test]
fn what_every_workspace_makes_for_itself_is_not_work() {
    let program = Program::new();
    program.configure("[agents.sh]\ncommand = [\"sh\"]\nevents = \"text\"\n");
    let script = "git add -f CLAUDE.local.md && git commit -qm all";
    program.wt(&["spawn", "a", script, "--agent", "sh", "--retries", "0", "--wait"]).fails(1);
    assert!(outcome(&program, "a").contains("`CLAUDE.local.md` is committed"), "{}", outcome(&program, "a"));
}

#[test]
fn done_is_refused_while_an_agent_works() {
    let program = Program::new();
    program.spawn("a", &["sleep:1000"], &[]).ok();
    program.started("a@1");
    let said = program.wt(&["done", "a"]).fails(1);
    assert!(said.contains("`a` is running") && said.contains("hint: wt status a"), "{said}");
}

#[rstest]
#[case::all_well(&["good", "good2"], 0)]
#[case::all_failed(&["bad"], 1)]
#[case::some_failed(&["good", "bad"], 3)]
fn waiting_tells_how_it_went(#[case] names: &[&str], #[case] code: i32) {
    let program = Program::new();
    program.spawn("good", WORK, &[]).ok();
    program.spawn("good2", WORK, &[]).ok();
    program.spawn("bad", &["exit:1"], &["--retries", "0"]).ok();
    let args: Vec<&str> = ["wait", "--timeout", "30s"].iter().chain(names).copied().collect();
    let ran = program.wt(&args);
    assert_eq!(ran.code, code, "{}", ran.err);
    let told: Vec<&str> = ran.out.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(told, names);
}

#[test]
fn waiting_ends_when_a_decision_is_needed() {
    let program = Program::new();
    program.spawn("a", &["write:README.md=one\\n", "commit:one"], &["--wait"]).ok();
    program.repo.commit("README.md", "two\n");
    program.wt(&["merge", "a", "--no-agent"]).fails(4);
    assert_eq!(program.wt(&["wait", "a"]).code, 4);
}

#[test]
fn waiting_ends_at_its_limit() {
    let program = Program::new();
    program.spawn("a", &["sleep:1000"], &[]).ok();
    let ran = program.wt(&["wait", "a", "--timeout", "300ms", "--json"]);
    assert_eq!(ran.code, 124);
    assert_eq!(ran.json()["timed_out"], true);
}

#[test]
fn waiting_for_any_ends_with_the_first() {
    let program = Program::new();
    program.spawn("slow", &["sleep:1000"], &[]).ok();
    program.spawn("quick", WORK, &[]).ok();
    assert_eq!(program.wt(&["wait", "--any", "--timeout", "30s"]).code, 0);
    assert_eq!((program.state_of("quick"), program.state_of("slow")), ("done".into(), "running".into()));
}

#[test]
fn waiting_sleeps_while_others_hold_the_slots() {
    let program = Program::new();
    program.configure("[limits]\nslots = 1\n");
    let go = go(&program);
    program.spawn("first", &[&go, "write:x=y", "commit:x"], &[]).ok();
    program.spawn("second", WORK, &[]).ok();
    let mut waiting =
        program.command(&["wait", "second", "--timeout", "60s"]).stdout(Stdio::null()).spawn().unwrap();
    // A busy one never gets there.
    program.until("a sleeping `wt wait`", || asleep(waiting.id()).then_some(()));
    let_go(&program);
    assert!(waiting.wait().unwrap().success());
    assert_eq!(program.state_of("second"), "done");
}
