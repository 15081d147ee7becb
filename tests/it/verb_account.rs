//! What one agent learns of its account holds for the others: a refused key, a limit; and models that cannot be used.

use std::path::Path;
use std::time::Duration;

use crate::program::{FAKE, Program};

/// The rules by which the scripted agent tells of its account: by exit code, and by what it says.
const RULES: &str = r#"
[[agents.fake.outcome]]
when = { exit = 41 }
class = "fleet_stop"
reason = "Invalid API key"
[[agents.fake.outcome]]
when = { exit = 42 }
class = "park"
reason = "{text}"
[[agents.fake.outcome]]
when = { exit = 44 }
class = "next_model"
reason = "no such model"
"#;

fn program(more: &str) -> Program {
    let program = Program::new();
    program.configure(&format!("{RULES}{more}"));
    program
}

fn at(folder: &Path, step: &str, name: &str) -> String {
    format!("{step}:{}", folder.join(name).display())
}

#[test]
fn a_refused_key_parks_everyone_of_the_account_and_retry_takes_them_up() {
    let program = Program::new();
    let root = program.env.root().to_owned();
    let (gate, key) = (at(&root, "wait-for", "gate"), at(&root, "wait-for", "key"));
    let done = ["write:x=y", "commit:x"];
    let runs = ["write:half=done", &at(&root, "touch", "ready"), &key, done[0], done[1]];
    let fails = [&gate, &format!("fail-first:1:{}", root.join("runs").display()), done[0], done[1]];
    program.configure(&format!(
        "{}[limits]\nslots = 2\n[agents.other]\ncommand = [\"sh\", \"-s\"]\nevents = \"text\"\n",
        RULES.replace("exit = 41", "exit = [1, 41]")
    ));
    program.spawn("runs", &runs, &[]).ok();
    program.spawn("finds", &fails, &[]).ok();
    program.spawn("queued", &done, &[]).ok();
    program.spawn("later", &done, &["--after", "queued"]).ok();
    program.wt(&["spawn", "other", "--agent", "other", "echo x > x\n"]).ok();
    program.until("the first to be at work", || root.join("ready").exists().then_some(()));
    std::fs::write(root.join("gate"), "").unwrap();

    let waited = program.wt(&["wait", "runs", "finds", "queued", "later", "--timeout", "30s"]);
    assert_eq!(waited.code, 4, "{waited:?}");
    let told = "fake: Invalid API key";
    assert_eq!(waited.err.matches(told).count(), 1, "told once: {}", waited.err);
    assert!(
        waited.err.contains("3 tasks wait") && waited.err.contains("`wt retry --parked`"),
        "{}",
        waited.err
    );
    assert!(waited.out.contains("finds failed: fake: Invalid API key; 3 other tasks of `fake` parked"));
    for name in ["runs", "queued", "later"] {
        let task = program.task(name);
        assert_eq!((&task["state"], &task["reason"]), (&"waiting".into(), &"parked".into()), "{task}");
        assert_eq!(task["outcome"], told, "{task}");
    }
    // What the one at work had done is kept, and its end used up no try.
    assert_eq!(std::fs::read_to_string(program.worktree("runs").join("half")).unwrap(), "done");
    assert_eq!(program.told("queued@1"), ["queued", "parked"]);
    // All of it is one write: the end and those it parks.
    let types: Vec<_> =
        program.journal().iter().map(|r| (r["task"].clone(), r["event"]["type"].clone())).collect();
    let end = types.iter().position(|it| *it == ("finds@1".into(), "ended".into())).unwrap();
    assert_eq!(types[end + 1].1, "parked");
    // Another account goes on.
    program.wt(&["wait", "other", "--timeout", "30s"]).ok();

    std::fs::write(root.join("key"), "").unwrap();
    let again = program.wt(&["retry", "--parked"]).ok();
    assert_eq!(again.lines().count(), 4, "{again}");
    program.wt(&["wait", "runs", "finds", "queued", "--timeout", "30s"]).ok();
    assert_eq!(program.task("later")["reason"], "after");
    assert_eq!(program.wt(&["retry", "--parked"]).ok(), "");
}

#[test]
fn two_that_find_out_at_once_are_one_failure() {
    let program = program("");
    let root = program.env.root().to_owned();
    let (ready, gate) = (at(&root, "append", "ready") + "=x", at(&root, "wait-for", "gate"));
    for name in ["a", "b", "c"] {
        program.spawn(name, &[&ready, &gate, "exit:41"], &[]).ok();
    }
    program.until("all to be there", || {
        (std::fs::read_to_string(root.join("ready")).is_ok_and(|text| text == "xxx")).then_some(())
    });
    std::fs::write(root.join("gate"), "").unwrap();
    assert_eq!(program.wt(&["wait", "--timeout", "30s"]).code, 4);
    let mut states: Vec<_> = ["a", "b", "c"].map(|name| program.state_of(name)).into();
    states.sort();
    assert_eq!(states, ["failed", "waiting", "waiting"]);
    // By name as well, one at a time: it finds the same out, and fails alone.
    let parked = ["a", "b", "c"].into_iter().find(|name| program.state_of(name) == "waiting").unwrap();
    program.wt(&["retry", parked]).ok();
    assert_eq!(program.wt(&["wait", parked, "--timeout", "30s"]).code, 1);
    assert_eq!(program.task(parked)["outcome"], "fake: Invalid API key");
}

#[test]
fn a_limit_holds_the_account_until_its_end_and_no_try_is_used_up() {
    let program = program("");
    let root = program.env.root().to_owned();
    let until = jiff::Timestamp::now() + Duration::from_secs(4);
    let limit = format!("say:usage limit reached, resets at {until}");
    let once = format!("wait-for:{}", root.join("second").display());
    let script = format!("append:{}=x", root.join("starts").display());
    // The first attempt meets the limit, the second finds it over.
    let first = [
        &script,
        &limit,
        &format!("fail-first:1:{}", root.join("n").display()),
        &once,
        "write:x=y",
        "commit:x",
    ];
    program.configure(&RULES.replace("exit = 42", "exit = [1, 42]"));
    program.spawn("a", &first, &["--retries", "0"]).ok();
    program.until("the limit", || (program.task("a")["reason"] == "rate_limit").then_some(()));
    program.spawn("b", &["write:b=y", "commit:b"], &[]).ok();
    let held = program.task("b");
    assert_eq!((&held["state"], &held["reason"]), (&"waiting".into(), &"rate_limit".into()), "{held}");
    assert!(held["until"].is_string(), "{held}");
    assert_eq!(program.told("b@1"), ["queued"], "held back, with no workspace yet");
    std::fs::write(root.join("second"), "").unwrap();
    program.wt(&["wait", "a", "b", "--timeout", "30s"]).ok();
    let begun = |id: &str| {
        let started =
            |record: &&serde_json::Value| record["task"] == id && record["event"]["type"] == "started";
        let at = program.journal().iter().rfind(started).unwrap()["at"].as_str().unwrap().to_owned();
        at.parse::<jiff::Timestamp>().unwrap()
    };
    assert!(begun("a@1") >= until && begun("b@1") >= until, "nobody started before the end of the limit");
    assert_eq!(program.task("a")["attempt"], 2);
}

#[test]
fn a_person_may_know_better_than_a_limit() {
    let program = program("");
    program.spawn("a", &["say:limit", "exit:42"], &[]).ok();
    program.until("the limit", || (program.task("a")["reason"] == "rate_limit").then_some(()));
    program.spawn("b", &["write:b=y", "commit:b"], &[]).ok();
    program.wt(&["stop", "b"]).ok();
    program.wt(&["retry", "b"]).ok();
    program.wt(&["wait", "b", "--timeout", "30s"]).ok();
}

#[test]
fn the_next_model_of_the_chain_is_tried_without_using_up_a_try() {
    let chain = format!(
        "[agents.models]\ncommand = [\"{FAKE}\", \"--\"]\nevents = \"text\"\nargs = {{ model = [\"--model\", \"{{model}}\"], fallback_model = [\"--fallback\", \"{{models_csv}}\"] }}\n\
         [[agents.models.outcome]]\nwhen = {{ exit = 44 }}\nclass = \"next_model\"\nreason = \"no such model\"\n\
         [profiles.deep]\nagent = \"models\"\nmodel = \"one\"\nfallback = [\"two\", \"three\"]\nrole = \"reads before it writes\"\n"
    );
    let program = program(&chain);
    let args = program.env.root().join("args");
    let steps = ["args-to:args", "exit:44"];
    program.spawn("gone", &steps, &["--profile", "deep", "--retries", "0", "--wait"]).fails(1);
    let task = program.task("gone");
    assert_eq!((&task["state"], &task["attempt"]), (&"failed".into(), &3.into()), "{task}");
    assert_eq!(task["outcome"], "no such model; no model is left");
    assert_eq!(task["profile"], "deep");
    let told = std::fs::read_to_string(program.worktree("gone").join("args")).unwrap();
    assert_eq!(told, "--model\nthree\n");
    let memory = std::fs::read_to_string(program.worktree("gone").join("CLAUDE.local.md")).unwrap();
    assert!(memory.contains("Your role: reads before it writes"), "{memory}");

    let tell = format!("args-to:{}", args.display());
    program.spawn("works", &[&tell, "write:x=y", "commit:x"], &["--profile", "deep", "--wait"]).ok();
    assert_eq!(std::fs::read_to_string(&args).unwrap(), "--fallback\ntwo,three\n--model\none\n");
    program
        .spawn("own", &[&tell, "write:x=y", "commit:x"], &["--profile", "deep", "--model", "mine", "--wait"])
        .ok();
    assert!(std::fs::read_to_string(&args).unwrap().ends_with("--model\nmine\n"));
}

#[test]
fn a_profile_has_its_own_slots() {
    let program = program("[profiles.one]\nagent = \"fake\"\nslots = 1\n");
    let gate = at(program.env.root(), "wait-for", "gate");
    let steps = [gate.as_str(), "write:x=y", "commit:x"];
    program.spawn("a", &steps, &["--profile", "one"]).ok();
    program.started("a@1");
    program.spawn("b", &steps, &["--profile", "one"]).ok();
    program.spawn("c", &steps, &[]).ok();
    program.started("c@1");
    assert_eq!(program.told("b@1"), ["queued"], "two slots are free, but not for this profile");
    std::fs::write(program.env.root().join("gate"), "").unwrap();
    program.wt(&["wait", "--timeout", "30s"]).ok();
    let starts = |event: &str| {
        program.journal().iter().position(|r| r["event"]["type"] == event && r["task"] == "b@1")
    };
    let a_ended = program.journal().iter().position(|r| r["event"]["type"] == "ended" && r["task"] == "a@1");
    assert!(starts("started") > a_ended);
}

#[test]
fn an_unknown_profile_is_refused_with_the_nearest_name() {
    let program = program("[profiles.careful]\nagent = \"fake\"\n");
    let said = program.refuses(1, &["spawn", "a", "do it", "--profile", "carefull"]);
    assert!(
        said.contains("no profile is called `carefull`") && said.contains("`--profile careful`"),
        "{said}"
    );
    let said = program.refuses(1, &["spawn", "a", "do it", "--profile", "zzz"]);
    assert!(said.contains("known are: careful"), "{said}");
    std::fs::write(
        program.env.root().join("tasks.jsonl"),
        "{\"name\":\"a\",\"prompt\":\"SCRIPT:\\nwrite:x=y\\ncommit:x\",\"profile\":\"careful\"}\n",
    )
    .unwrap();
    let from = program.env.root().join("tasks.jsonl");
    program.wt(&["spawn", "--from", from.to_str().unwrap(), "--wait"]).ok();
    assert_eq!(program.task("a")["profile"], "careful");
}
