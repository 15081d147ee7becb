//! `wt events` and `on_event`: every event once, in order.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use jiff::Timestamp;
use serde_json::Value;
use wt::model::{Event, TaskSpec};
use wt::store::Journal;
use wt::store::tail::{Place, Tail};

use crate::land::field::Field;
use crate::program::{Program, ran};

fn kinds(program: &Program, args: &[&str]) -> Vec<String> {
    let all: Vec<&str> = ["events", "--json"].into_iter().chain(args.iter().copied()).collect();
    let said = program.wt(&all).ok();
    said.lines()
        .map(|line| {
            let event: Value = serde_json::from_str(line).unwrap();
            assert_eq!(event["schema"], 1);
            let task = event["task"].as_str().unwrap_or("-");
            format!("{task} {}", event["kind"].as_str().unwrap())
        })
        .collect()
}

#[test]
fn what_happened_is_told_by_task_and_by_kind() {
    let program = Program::new();
    program.spawn("a", &["write:a=x", "commit:a"], &["--wait"]).ok();
    program.spawn("b", &["exit:3"], &["--retries", "0", "--wait"]).fails(1);
    program.wt(&["merge", "a"]).ok();
    let of_a = ["queued", "workspace", "started", "done", "landing", "landed", "pruned"];
    let told: Vec<String> = kinds(&program, &["a"]);
    assert_eq!(told, of_a.map(|kind| format!("a {kind}")));
    assert_eq!(
        kinds(&program, &["--type", "done,dead", "--type", "published"]),
        ["a done", "b dead", "- published"]
    );
    let lines = program.wt(&["events", "b"]).ok();
    assert!(lines.lines().last().unwrap().contains("  b                     dead"), "{lines}");
    assert!(program.wt(&["events", "--type", "nonsense"]).fails(2).contains("possible values"));
    assert!(program.wt(&["events", "nobody"]).fails(1).contains("no task"));
}

/// A process that does not outlive the test, whatever fails.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_follower_hears_each_event_once_though_the_journal_is_rolled() {
    let field = Field::new();
    field.program.wt(&["status"]).ok();
    field.layout().prepare().unwrap();
    let mut follower = field.program.command(&["events", "--follow", "--json", "--type", "queued"]);
    let mut follower = Ended(follower.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(follower.0.stdout.take().unwrap()).lines();
    let mut journal = Journal::new(&field.layout());
    let mut next = || -> String {
        let event: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        event["task"].as_str().unwrap().to_owned()
    };
    let filler = "x".repeat(200_000);
    for n in 0..24 {
        let name = format!("t{n}");
        let id = format!("{name}@1").parse().unwrap();
        let mut spec = TaskSpec::new(name.parse().unwrap(), "main");
        spec.base = Some(filler.clone());
        let queued = Event::Queued { spec };
        // What has ended long ago is not carried over, so the next part is small again.
        let removed = Event::Removed { reason: String::new(), trash: None };
        journal.append(Timestamp::now(), vec![(Some(id), queued)]).unwrap();
        let id = format!("{name}@1").parse().unwrap();
        journal.append(Timestamp::UNIX_EPOCH, vec![(Some(id), removed)]).unwrap();
        assert_eq!(next(), name);
    }
    assert!(field.layout().rolled(2).exists(), "it was rolled at least twice");
    drop(follower);
    // Whoever starts at the beginning hears the same, and whoever takes up a place the rest.
    let mut tail = Tail::at(&field.layout(), Place::first());
    let all = tail.records().unwrap();
    assert_eq!(all.len(), journal.history().unwrap().records.len());
    let (_, place) = &all[20];
    let rest = Tail::at(&field.layout(), *place).records().unwrap();
    assert_eq!(rest, all[21..]);
    assert!(!tail.has_more() && Tail::at(&field.layout(), *place).has_more());
    assert_eq!(Tail::at_end(&field.layout()).unwrap().place(), tail.place());
}

/// Puts a key before all tables of the user's configuration.
fn configure_first(program: &Program, line: &str) {
    let path = program.env.root().join("home/.config/wt/config.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(path.with_extension("new"), format!("{line}\n{text}")).unwrap();
    std::fs::rename(path.with_extension("new"), path).unwrap();
}

#[test]
fn a_command_hears_of_what_a_person_waits_for_once() {
    let field = Field::new();
    let program = &field.program;
    let heard = program.env.root().join("heard");
    configure_first(program, &format!("on_event = \"cat >> '{}'; exit 1\"", heard.display()));
    let count = || std::fs::read_to_string(&heard).map_or(0, |text| text.lines().count());
    program.wt(&["status"]).ok();
    program.spawn("a", &["write:same=a", "commit:a"], &["--wait"]).ok();
    program.until("the first event", || (count() == 1).then_some(()));
    program.spawn("b", &["write:same=b", "commit:b"], &["--wait"]).ok();
    program.spawn("c", &["exit:3"], &["--retries", "0", "--wait"]).fails(1);
    program.wt(&["merge", "--all", "--no-agent"]).fails(4);
    program.until("all events", || (count() == 5).then_some(()));
    program.until("the end of the role", || program.role("__notify").is_empty().then_some(()));
    program.wt(&["status"]).ok();
    program.until("the end of the role", || program.role("__notify").is_empty().then_some(()));
    let text = std::fs::read_to_string(&heard).unwrap();
    let told: Vec<String> = text
        .lines()
        .map(|line| {
            let event: Value = serde_json::from_str(line).unwrap();
            format!("{} {}", event["task"].as_str().unwrap(), event["kind"].as_str().unwrap())
        })
        .collect();
    assert_eq!(told, ["a done", "b done", "c dead", "a landed", "b conflict"]);
}

#[test]
fn a_command_that_hangs_is_given_up_and_hears_the_rest_later() {
    let field = Field::new();
    let program = &field.program;
    let (heard, go) = (program.env.root().join("heard"), program.env.root().join("go"));
    let (heard_at, go_at) = (heard.display(), go.display());
    let command = format!("cat >> '{heard_at}'; test -e '{go_at}' || exec sleep 1000");
    configure_first(program, &format!("on_event = \"{command}\""));
    let count = || std::fs::read_to_string(&heard).map_or(0, |text| text.lines().count());
    let status = |then: &str| {
        let mut status = program.command(&["status"]);
        let said = ran(status.env("WT_TEST_EVENT_LIMIT", "1").env("WT_TEST_NOW", then).output().unwrap());
        program.until("the end of the role", || program.role("__notify").is_empty().then_some(()));
        assert_eq!(said.code, 0, "{}", said.err);
        said.err
    };
    status("2030-01-01T00:00:00Z");
    // What begins them is heard by nobody, and their ends only in the time of a test.
    let done = |names: &[&str]| {
        for name in names {
            field.open(name, &[]).commit(name, "x\n");
        }
        program.until("the end of the role", || program.role("__notify").is_empty().then_some(()));
        for name in names {
            field.finish(name);
        }
    };
    done(&["a", "b", "c", "d", "e"]);
    status("2030-01-01T00:00:10Z");
    assert_eq!(count(), 3, "after three it is given up");
    let said = status("2030-01-01T00:00:20Z");
    let warning = "warning: `on_event` did not end within 1s, 3 times in a row: ";
    assert!(said.contains(warning), "{said}");
    assert!(!status("2030-01-01T00:00:30Z").contains("on_event"), "it is said once");
    assert_eq!(count(), 3);
    assert!(!status("2030-01-01T00:10:30Z").contains("on_event"));
    assert_eq!(count(), 4, "it is tried with one");
    std::fs::write(&go, "").unwrap();
    status("2030-01-01T00:10:40Z");
    assert_eq!(count(), 4);
    status("2030-01-01T00:20:50Z");
    assert_eq!(count(), 5, "and hears the rest when it ends again");
    // Another command begins anew.
    std::fs::remove_file(&go).unwrap();
    done(&["f", "g", "h", "i"]);
    status("2030-01-01T00:21:00Z");
    assert_eq!(count(), 8);
    configure_first(program, &format!("on_event = \"cat >> '{heard_at}'\""));
    let path = program.env.root().join("home/.config/wt/config.toml");
    let text =
        std::fs::read_to_string(&path).unwrap().replacen(&format!("on_event = \"{command}\"\n"), "", 1);
    std::fs::write(&path, text).unwrap();
    status("2030-01-01T00:21:10Z");
    assert_eq!(count(), 9);
}

#[test]
fn a_command_of_the_repository_hears_nothing_before_it_is_approved() {
    let program = Program::new();
    let heard = program.env.root().join("heard");
    program.repo.commit(".wt.toml", &format!("on_event = \"cat >> '{}'\"\n", heard.display()));
    program.wt(&["status"]).ok();
    assert!(program.wt(&["trust"]).out.contains("on_event"));
    program.wt(&["trust", "--approve"]).ok();
    program.wt(&["status"]).ok();
    program.spawn("a", &["write:a=x", "commit:a"], &["--wait"]).ok();
    assert!(program.file(&heard).contains("\"kind\":\"done\""));
    program.until("the end of the role", || program.role("__notify").is_empty().then_some(()));
}
