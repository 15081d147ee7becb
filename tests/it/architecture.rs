//! The rules of the house, read off the sources: who may import whom, how long a file may be, who may print.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The longest a file may be without its unit tests.
const HARD_STOP: usize = 600;

const ENGINES: [&str; 5] = ["workspace", "supervise", "land", "tidy", "observe"];
const ADAPTERS: [&str; 5] = ["git", "process", "agent", "store", "config"];

/// What each room may import, beside itself.
fn allowed(room: &str) -> Vec<&'static str> {
    let mut rooms = vec!["model"];
    match room {
        "model" => rooms.clear(),
        "agent" => rooms.push("process"),
        "git" | "process" | "store" | "config" | "ui" | "failpoint" => {}
        "supervise" | "land" | "tidy" => {
            rooms.extend(ADAPTERS);
            rooms.push("workspace");
        }
        "workspace" | "observe" => rooms.extend(ADAPTERS),
        "error" => rooms.extend(ADAPTERS.into_iter().chain(ENGINES).chain(["ui"])),
        "commands" => rooms.extend(ADAPTERS.into_iter().chain(ENGINES).chain(["ui", "error"])),
        "cli" => rooms.extend(["commands", "error", "ui"]),
        "lib" | "main" | "git_wt" => rooms.extend(["cli", "commands", "error", "ui", "process"]),
        other => panic!("src/{other} is no room of the house; add it to the table in architecture.rs"),
    }
    if room != "model" {
        rooms.push("failpoint");
    }
    rooms
}

fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("src"), root.join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("source folders can be listed") {
            let path = entry.expect("source folders can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).expect("sources are UTF-8");
                found.push((path.strip_prefix(root).expect("below the root").to_owned(), text));
            }
        }
    }
    found.sort();
    assert!(found.len() > 10, "the walk over the sources found hardly any");
    found
}

/// The lines of a source before its unit tests, without comments.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .map(|(n, line)| (n + 1, line.split("//").next().unwrap_or("")))
}

fn room_of(path: &Path) -> String {
    let below = path.strip_prefix("src").expect("asked for sources only");
    let first = below.iter().next().expect("not empty").to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// The rooms that a line names through `crate::`.
fn imports(line: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for part in line.split("crate::").skip(1) {
        let heads: Vec<&str> = match part.strip_prefix('{') {
            Some(list) => list.split(['}', ';']).next().unwrap_or("").split(',').collect(),
            None => vec![part],
        };
        for head in heads {
            let name: String = head.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if !name.is_empty() {
                rooms.push(name);
            }
        }
    }
    rooms
}

#[test]
fn rooms_import_only_what_the_table_allows() {
    let mut broken = Vec::new();
    for (path, text) in sources().into_iter().filter(|(path, _)| path.starts_with("src")) {
        let room = room_of(&path);
        let may = allowed(&room);
        for (n, line) in code(&text) {
            for import in imports(line) {
                if import != room && !may.contains(&import.as_str()) {
                    broken.push(format!("{}:{n}: {room} imports {import}", path.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn files_stay_short_and_have_names() {
    let drawers = ["utils", "util", "helpers", "helper", "common", "misc", "imp"];
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let length = code(&text).count();
        if length > HARD_STOP {
            broken.push(format!("{} has {length} lines, the stop is {HARD_STOP}", path.display()));
        }
        let stem = path.file_stem().expect("a file").to_string_lossy().into_owned();
        if drawers.contains(&stem.as_str()) {
            broken.push(format!("{} is a drawer, not a room", path.display()));
        }
        if !text.starts_with("//!") && !text.starts_with("#!") {
            broken.push(format!("{} does not say what it is (`//!`)", path.display()));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn outside_things_stay_in_their_rooms() {
    let rules: [(&str, &[&str]); 7] = [
        ("gix::", &["git"]),
        ("println!", &["ui"]),
        ("print!(", &["ui"]),
        ("std::process::Command", &["git", "process", "commands"]),
        ("clap::", &["cli", "commands", "lib"]),
        ("unsafe {", &["process"]),
        ("#[allow", &[]),
    ];
    let mut broken = Vec::new();
    for (path, text) in sources().into_iter().filter(|(path, _)| path.starts_with("src")) {
        let room = room_of(&path);
        for (n, line) in code(&text) {
            for (needle, rooms) in rules {
                if line.contains(needle) && !rooms.contains(&room.as_str()) {
                    broken.push(format!("{}:{n}: `{needle}` outside {rooms:?}", path.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_test_file_is_listed() {
    let listed: BTreeSet<String> = sources()
        .into_iter()
        .find(|(path, _)| path == Path::new("tests/it/main.rs"))
        .expect("tests/it/main.rs exists")
        .1
        .lines()
        .filter_map(|line| line.trim().strip_prefix("mod ")?.strip_suffix(';').map(str::to_owned))
        .collect();
    for (path, _) in sources() {
        if let Ok(file) = path.strip_prefix("tests/it") {
            let top = file.iter().next().expect("not empty").to_string_lossy().into_owned();
            let name = top.trim_end_matches(".rs").to_owned();
            assert!(name == "main" || listed.contains(&name), "tests/it/{top} is not listed in main.rs");
        }
    }
}

#[test]
fn no_source_names_a_home_folder() {
    for (path, text) in sources() {
        for folder in ["root", "home"] {
            let needle = format!("\"/{folder}/");
            assert!(!text.contains(&needle), "{} names {needle}", path.display());
        }
    }
}
