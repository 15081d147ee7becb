//! Eight real Claude Codes at once, each in a workspace of its own, against the scripted service; what they made lands.

use std::path::Path;

use crate::fake_api::{FakeApi, Kind, Scenario, Turn};
use crate::many::lines;
use crate::program::{Program, processes};
use crate::real_claude::{claude_program, with_claude};

const FLEET: usize = 8;

/// Each says in `together` that it is there, waits for all the others, writes a file that bears the name of its folder, which
/// is its task, and commits it.
fn turns(together: &Path) -> [Turn; 2] {
    let together = together.display();
    let work = format!(
        "n=$(basename \"$PWD\") && touch {together}/$n && \
        while [ $(ls {together} | wc -l) -lt {FLEET} ]; do sleep 0.1; done && \
        echo \"$n\" > \"$n.txt\" && git add -A && git commit -q -m \"add $n\""
    );
    [Turn::bash(&work), Turn::say("Written and committed.\n\n<promise>COMPLETE</promise>")]
}

#[test]
fn eight_claude_codes_work_at_once_and_all_of_it_lands() {
    let Some(claude) = claude_program() else { return };
    let program = Program::new();
    program.configure(&format!("[limits]\nslots = {FLEET}\nstagger = \"0s\"\nmemory = \"0\"\n"));
    let together = program.env.root().join("together");
    std::fs::create_dir(&together).unwrap();
    let api = FakeApi::start(Scenario::new(turns(&together)));
    let names: Vec<String> = (0..FLEET).map(|n| format!("task-{n}")).collect();
    let line =
        |name: &String| format!("{{\"name\":\"{name}\",\"prompt\":\"Do {name}\",\"agent\":\"claude\"}}");
    let file = lines(&program, names.iter().map(line));

    with_claude(&program, &claude, &api, &["spawn", "--from", &file]).ok();
    program.wt(&["wait", "--timeout", "120s"]).ok();
    for name in &names {
        let task = program.task(name);
        assert_eq!((&task["state"], &task["attempt"]), (&"done".into(), &1.into()), "{task}");
        assert_eq!(program.told(&format!("{name}@1")).iter().filter(|told| *told == "ended").count(), 1);
    }
    let turns = api.requests().iter().filter(|request| request.kind == Kind::Main).count();
    assert_eq!(turns, 2 * FLEET, "nobody did anything twice");

    let landed = program.wt(&["merge", "--all", "--json"]);
    assert_eq!(landed.code, 0, "{}\n{}", landed.out, landed.err);
    let landed = landed.json();
    let results: Vec<&str> =
        landed["tasks"].as_array().unwrap().iter().map(|task| task["result"].as_str().unwrap()).collect();
    assert_eq!(results, ["landed"; FLEET], "{landed}");
    for name in &names {
        assert_eq!(program.repo.git(&["show", &format!("main:{name}.txt")]), *name);
        assert!(!program.worktree(name).exists(), "{name}");
    }
    assert_eq!(program.repo.git(&["log", "--format=%s", "main"]).matches("add task-").count(), FLEET);
    assert_eq!(program.repo.git(&["status", "--porcelain"]), "");
    assert_eq!(program.repo.git(&["fsck", "--no-progress", "--no-dangling"]), "");

    // What any of them left would still work in this place or hold a file of it.
    let here = program.env.root().to_string_lossy().into_owned();
    program.until("everything to end", || {
        let left = processes(|line| String::from_utf8_lossy(line).contains(&here));
        left.is_empty().then_some(())
    });
}
