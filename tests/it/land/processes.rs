//! How many processes a landing starts: each takes longer than all that is done for a task in this one.

use std::collections::BTreeMap;

use super::field::Field;

/// Lands so many tasks that all edit one file, and returns how often each verb of git was run.
fn gits(tasks: usize) -> BTreeMap<String, usize> {
    let field = Field::with("[merge]\nreview = [\"guarded/**\"]\n");
    let text = |edited: Option<usize>| {
        let line = |n: usize| {
            if n % 3 == 1 && edited == Some(n / 3) { "edited\n".to_owned() } else { format!("{n}\n") }
        };
        (0..3 * tasks).map(line).collect::<String>()
    };
    field.repo().commit("shared", &text(None));
    for n in 0..tasks {
        field.done(&format!("t{n}"), &[(&format!("own{n}"), "x\n"), ("shared", &text(Some(n)))]);
    }
    let trace = field.program.env.root().join("trace");
    field.repo().git(&["config", "--global", "trace2.eventTarget", &trace.to_string_lossy()]);
    let said = field.merge(&["--all"]);
    assert_eq!(said.code(), 0, "{}", said.ran.out);
    field.is_whole();
    let mut found = BTreeMap::new();
    for line in std::fs::read_to_string(trace).unwrap().lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        // `fsck` is the test's own.
        if event["event"] == "cmd_name" && event["name"] != "fsck" {
            *found.entry(event["name"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    found
}

#[test]
fn their_number_does_not_grow_with_the_tasks() {
    let (mut few, mut many) = (gits(3), gits(7));
    // One for all commits of the chain; the others, for the order, take 8 pairs each and more.
    assert!(few.remove("merge-tree") <= Some(2) && many.remove("merge-tree") <= Some(4));
    // A workspace that was written this very moment is git's to judge.
    few.remove("status");
    many.remove("status");
    assert_eq!(few, many);
}
