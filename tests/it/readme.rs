//! The README says what works: its commands are run, its set-up commands are the gate's.

use crate::program::{Program, ran};

fn readme() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap()
}

/// The blocks of one kind, without their fences.
fn blocks(kind: &str) -> Vec<String> {
    let text = readme();
    let open = format!("```{kind}\n");
    text.split(&open).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// An agent for the tour: it keeps its prompt as a file, so that there is something to land.
const AGENT: &str = "[agents.tour]\ncommand = [\"sh\", \"-c\", \
    \"cat > $WT_TASK.md && git add -A && git commit -qm \\\"$WT_TASK\\\" && echo done\"]\n[gc]\nstale = \"24h\"\n";

#[test]
fn every_console_block_runs_as_it_stands() {
    for block in blocks("console") {
        let program = Program::new();
        program.configure(AGENT);
        let config = program.env.root().join("home/.config/wt/config.toml");
        let text =
            std::fs::read_to_string(&config).unwrap().replace("default = \"fake\"", "default = \"tour\"");
        std::fs::write(&config, text).unwrap();
        let bin = std::path::Path::new(crate::program::WT).parent().unwrap();
        let mut ran_any = false;
        for line in block.lines() {
            let command = line.strip_prefix("$ ").unwrap_or_else(|| panic!("not a command: {line}"));
            let mut shell = program.env.command("sh", program.repo.path());
            let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
            shell.env("PATH", path).args(["-c", command]);
            let outcome = ran(shell.output().unwrap());
            assert_eq!(outcome.code, 0, "$ {command}\n{}{}", outcome.out, outcome.err);
            ran_any = true;
        }
        assert!(ran_any, "an empty block");
    }
}

#[test]
fn the_test_command_is_the_one_of_the_gate() {
    let commands: Vec<String> = blocks("sh").iter().map(|block| block.trim().to_owned()).collect();
    assert_eq!(commands, ["cargo run --release -- demo", "cargo test"], "two commands do all the set-up");
    let gate = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/.ci/run")).unwrap();
    assert!(gate.lines().any(|line| line == commands[1]), "the gate does not run `{}`", commands[1]);
}

#[test]
fn the_configuration_shown_is_valid_and_every_key_is_known() {
    for block in blocks("toml") {
        let program = Program::new();
        std::fs::write(program.env.root().join("home/.config/wt/config.toml"), &block).unwrap();
        let outcome = program.wt(&["status"]);
        assert_eq!(outcome.code, 0, "{}", outcome.err);
        assert!(!outcome.err.contains("unknown key"), "{}", outcome.err);
    }
}

#[test]
fn the_demo_lands_three_tasks_and_leaves_nothing() {
    let program = Program::new();
    let scratch = program.env.root().join("tmp");
    std::fs::create_dir(&scratch).unwrap();
    let outcome = ran(program.command(&["demo", "--json"]).env("TMPDIR", &scratch).output().unwrap());
    assert_eq!(outcome.code, 0, "{}", outcome.err);
    let told = outcome.json();
    assert_eq!(told["landed"].as_array().unwrap().len(), 3, "{told}");
    assert_eq!(told["commits"], 3, "{told}");
    assert!(told["elapsed_ms"].as_u64().unwrap() < 10_000, "{told}");
    assert_eq!(std::fs::read_dir(&scratch).unwrap().count(), 0, "something of the demo is left");
}
