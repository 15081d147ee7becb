//! `wt status --disk`: what workspaces take, sorted by what git says of each file, beside working agents.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde_json::Value;

use crate::program::Program;

fn blocks(path: &Path) -> u64 {
    std::fs::symlink_metadata(path).unwrap().blocks() * 512
}

/// The blocks of everything at and below `path`, each inode as often as it has names there.
fn all_blocks(path: &Path) -> u64 {
    let mut sum = blocks(path);
    if std::fs::symlink_metadata(path).unwrap().is_dir() {
        sum += std::fs::read_dir(path).unwrap().map(|entry| all_blocks(&entry.unwrap().path())).sum::<u64>();
    }
    sum
}

fn fill(path: &Path, bytes: usize) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, vec![b'x'; bytes]).unwrap();
}

fn workspace<'a>(view: &'a Value, name: &str) -> &'a Value {
    let all = view["workspaces"].as_array().unwrap();
    all.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("no {name}: {view}"))
}

fn place<'a>(view: &'a Value, what: &str) -> Option<&'a Value> {
    view["places"].as_array().unwrap().iter().find(|one| one["what"] == what)
}

fn ignoring(lines: &str) -> Program {
    let program = Program::new();
    program.repo.commit(".gitignore", lines);
    program
}

#[test]
fn each_file_counts_once_and_in_its_column() {
    let program = ignoring("target/\n*.log\nvenv/\n");
    program.wt(&["spawn", "a", "--no-agent"]).ok();
    let tree = program.worktree("a");
    fill(&tree.join("target/debug/app"), 300_000);
    fill(&tree.join("crates/x/target/app"), 200_000);
    fill(&tree.join("venv/lib/code"), 150_000);
    fill(&tree.join("venv/target/nested"), 90_000);
    fill(&tree.join("run.log"), 40_000);
    fill(&tree.join("crates/x/new.rs"), 60_000);
    std::fs::hard_link(tree.join("target/debug/app"), tree.join("target/debug/same")).unwrap();
    let outside = program.env.root().join("store");
    fill(&outside.join("package"), 500_000);
    std::fs::create_dir_all(tree.join("target/deps")).unwrap();
    std::fs::hard_link(outside.join("package"), tree.join("target/deps/package")).unwrap();
    std::os::unix::fs::symlink(&outside, tree.join("target/link")).unwrap();

    let view = program.wt(&["status", "--disk", "--json"]).json();
    assert_eq!(view["schema"], 1);
    let a = workspace(&view, "a");
    let at = |path: &str| all_blocks(&tree.join(path));
    let package = blocks(&outside.join("package"));
    // One inode of two names counts once, one with a name elsewhere not at all.
    let target = at("target") - blocks(&tree.join("target/debug/same")) - package;
    let caches = target + at("crates/x/target") + at("venv/target");
    let ignored = at("venv") - at("venv/target") + at("run.log") + at("CLAUDE.local.md") + at(".shared");
    assert_eq!(a["caches"], caches, "{a}");
    assert_eq!(a["ignored"], ignored, "{a}");
    assert_eq!(a["shared"], package, "{a}");
    let all = all_blocks(&tree) - blocks(&tree.join("target/debug/same")) - package;
    assert_eq!(a["bytes"], all, "{a}");
    assert_eq!(a["own"], all - caches - ignored, "{a}");
    assert_eq!((&a["unreadable"], &a["state"]), (&0.into(), &"open".into()), "{a}");
    assert!(view["total"]["shared"].as_u64().unwrap() >= package);
    assert!(view["free"].as_u64().unwrap() > 0);
}

#[test]
fn what_stands_beside_the_workspaces_has_lines_of_its_own() {
    let program = ignoring("target/\nbig/\n");
    fill(&program.repo.path().join("big/data"), 120_000);
    program.configure("[workspace]\nsymlink = [\"big\"]\n");
    program.wt(&["spawn", "a", "--no-agent"]).ok();
    program.wt(&["spawn", "gone", "--no-agent"]).ok();
    fill(&program.worktree("gone").join("target/x"), 250_000);
    program.wt(&["gc", "gone"]).ok();
    let root = program.env.root().join("repo-worktrees");
    fill(&root.join(".pool/1/target/warm"), 70_000);
    fill(&root.join("stranger/file"), 30_000);

    let view = program.wt(&["status", "--disk", "--json"]).json();
    let names: Vec<&str> =
        view["workspaces"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a"], "what is removed has no workspace");
    for (what, folder) in [
        ("pool", root.join(".pool")),
        ("trash", root.join(".trash")),
        ("linked", program.repo.path().join("big")),
        ("other", root.join("stranger")),
        ("objects", program.repo.path().join(".git/objects")),
    ] {
        let place = place(&view, what).unwrap_or_else(|| panic!("no {what}: {view}"));
        assert_eq!(place["path"], folder.to_string_lossy().as_ref());
        assert_eq!(place["bytes"], all_blocks(&folder), "{place}");
    }
    assert!(place(&view, "trash").unwrap()["bytes"].as_u64().unwrap() >= 250_000);
    assert!(place(&view, "verify").is_none(), "nothing has landed yet");
    assert_eq!(workspace(&view, "a")["bytes"], all_blocks(&program.worktree("a")), "a link is not followed");
    let total = &view["total"];
    let sum: u64 = ["own", "caches", "ignored", "shared", "places"]
        .iter()
        .map(|key| total[*key].as_u64().unwrap())
        .sum();
    assert_eq!(total["bytes"], sum);

    let alone = program.wt(&["status", "a", "--disk", "--json"]).json();
    assert_eq!(alone["places"].as_array().unwrap().len(), 0);
    let text = program.wt(&["status", "--disk"]).ok();
    for word in ["TASK", "CACHES", "SHARED", "objects", "trash", "pool", " in all, ", " free"] {
        assert!(text.contains(word), "no {word}:\n{text}");
    }
}

#[test]
fn it_answers_beside_a_running_agent_that_makes_and_deletes_files() {
    let program = ignoring("target/\n");
    // Files come and go all the while.
    let churn =
        "while [ ! -e ../../flag ]; do mkdir -p target/a/b && echo x > target/a/b/c && rm -rf target/a; done";
    program.configure(&format!("[agents.churn]\ncommand = [\"sh\", \"-c\", \"{churn}\"]\n"));
    program.wt(&["spawn", "busy", "make and delete", "--agent", "churn"]).ok();
    program.started("busy@1");
    for _ in 0..20 {
        let ran = program.wt(&["status", "--disk", "--json"]);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", ran.out);
        let view = ran.json();
        let busy = workspace(&view, "busy");
        assert_eq!((&busy["state"], &busy["unreadable"]), (&"running".into(), &0.into()), "{busy}");
    }
    std::fs::write(program.env.root().join("flag"), "").unwrap();
}

#[test]
fn a_workspace_that_git_cannot_be_asked_about_is_measured_all_the_same() {
    let program = ignoring("target/\n");
    program.wt(&["spawn", "a", "--no-agent"]).ok();
    let tree = program.worktree("a");
    fill(&tree.join("target/x"), 100_000);
    std::fs::write(program.repo.path().join(".git/worktrees/a/commondir"), "/nowhere\n").unwrap();
    let view = program.wt(&["status", "--disk", "--json"]).json();
    let a = workspace(&view, "a");
    assert_eq!(a["own"], all_blocks(&tree), "{a}");
    assert!(!a["unsorted"].as_str().unwrap().is_empty(), "{a}");
}
