//! What agents must not touch beside their own workspace: their git is told to leave it, and what moved is told.

use serde_json::Value;

use crate::program::{Program, kill_together};

/// A repository whose agent is a shell that runs its prompt.
fn shells() -> Program {
    let program = Program::new();
    program.configure("[agents.sh]\ncommand = [\"sh\", \"-s\"]\nevents = \"text\"\n");
    program
}

fn run(program: &Program, name: &str, script: &str) {
    program.wt(&["spawn", name, "--agent", "sh", &format!("set -e\n{script}\n"), "--wait"]).ok();
    assert_eq!(program.state_of(name), "done");
}

fn strays(program: &Program, name: &str) -> Vec<String> {
    let all = program.task(name)["strays"].as_array().cloned().unwrap_or_default();
    all.iter().map(|stray| stray.as_str().unwrap().to_owned()).collect()
}

fn doctor(program: &Program, kind: &str) -> Vec<Value> {
    let answer = program.wt(&["doctor", "--json"]).json();
    let all = answer["findings"].as_array().unwrap().iter();
    all.filter(|finding| finding["kind"] == kind).cloned().collect()
}

#[test]
fn the_git_of_an_agent_packs_and_prunes_nothing_that_all_share() {
    let program = shells();
    program.configure(
        "[agents.sh]\ncommand = [\"sh\", \"-s\"]\nevents = \"text\"\n[workspace]\nsetup = [\"git config gc.auto > \\\"$HOME/setup\\\"\"]\n",
    );
    program.repo.git(&["config", "gc.auto", "1"]);
    program.repo.git(&["config", "maintenance.auto", "true"]);
    let (home, keys) =
        (program.env.root().join("home"), "gc.auto gc.autoDetach gc.worktreePruneExpire maintenance.auto");
    let script = format!(
        "for key in {keys} user.nickname; do git config $key; done > said; {} status --json > /dev/null; mv said ~/said; echo x > x",
        crate::program::WT
    );
    let mut spawn = program.command(&["spawn", "a", "--agent", "sh", &script, "--wait"]);
    spawn
        .env("GIT_CONFIG_COUNT", "2")
        .env("GIT_CONFIG_KEY_0", "user.nickname")
        .env("GIT_CONFIG_VALUE_0", "ada");
    // One that would lead every git of the agent into the main checkout.
    spawn.env("GIT_CONFIG_KEY_1", "core.worktree").env("GIT_CONFIG_VALUE_1", program.repo.path());
    crate::program::ran(spawn.output().unwrap()).ok();
    assert_eq!(std::fs::read_to_string(home.join("said")).unwrap(), "0\nfalse\nnever\nfalse\nada\n");
    assert_eq!(std::fs::read_to_string(home.join("setup")).unwrap(), "0\n");
    assert_eq!(program.repo.git(&["config", "gc.auto"]), "1", "the repository's own setting is as it was");
}

#[test]
fn what_an_agent_moves_beside_its_workspace_is_told() {
    let program = shells();
    run(&program, "b", "echo x > b");
    let (main, tip) = (program.repo.rev("main"), program.repo.rev("wt/b"));
    let there = program.repo.path().display();
    run(
        &program,
        "a",
        &format!(
            "git update-ref refs/heads/wt/b {main}\ngit -C '{there}' checkout -q -b elsewhere\n\
             echo one > README.md\ngit stash push -q -m aside\necho x > a"
        ),
    );
    let told = strays(&program, "a");
    let has = |word: &str| told.iter().any(|stray| stray.contains(word));
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(has(&tip[..7]) && has(&main[..7]) && has("not in its own worktree"), "{told:?}");
    assert!(has("the main checkout went from `main` to `elsewhere`"), "{told:?}");
    assert!(has("a stash was made, which all worktrees share: `On wt/a: aside`"), "{told:?}");
    assert_eq!(strays(&program, "b"), Vec::<String>::new());
    let shown = program.wt(&["status", "a"]).ok();
    assert_eq!(
        shown.lines().filter(|line| line.starts_with("stray") || line.contains(" stray ")).count(),
        3,
        "{shown}"
    );
    let events = program.wt(&["events", "a", "--type", "stray"]).ok();
    assert_eq!(events.lines().count(), 3, "{events}");
    assert_eq!(doctor(&program, "stray-change").len(), 3);
    let stashed = doctor(&program, "stashed-work");
    assert_eq!((stashed.len(), stashed[0]["subject"].as_str()), (1, Some("a")));
    let hint = stashed[0]["hint"].as_str().unwrap();
    let words: Vec<&str> = hint.split(' ').skip(1).collect();
    assert!(program.repo.git(&words).contains("+one"), "{hint}");
}

#[test]
fn a_branch_or_a_stash_that_is_gone_is_told_with_where_it_is() {
    let program = shells();
    run(&program, "b", "echo x > b");
    program.repo.write("README.md", "mine\n");
    program.repo.git(&["stash", "push", "-q", "-m", "by a person"]);
    let (tip, stash) = (program.repo.rev("wt/b"), program.repo.rev("stash@{0}"));
    run(&program, "a", "git stash drop -q\ngit update-ref -d refs/heads/wt/b\necho x > a");
    let told = strays(&program, "a");
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[0], format!("the branch `wt/b` of `b` is gone; it was at {tip}"));
    assert!(told[1].ends_with(&format!("is gone; `git stash store {stash}` brings it back")), "{told:?}");
    program.repo.git(&["stash", "store", &stash]);
    assert_eq!(program.repo.git(&["show", "stash@{0}:README.md"]), "mine");
}

#[test]
fn a_target_that_lost_commits_is_told() {
    let program = shells();
    let old = program.repo.commit("kept", "x");
    run(&program, "a", "git update-ref refs/heads/main main~1\necho x > a");
    let told = strays(&program, "a");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("`main` went back: ") && told[0].contains(&old[..7]), "{told:?}");
}

/// What agents, people and `wt` do every day beside an attempt is no stray.
#[test]
fn what_belongs_to_others_is_not_told() {
    let program = shells();
    let (go, wait) = (program.env.root().join("go"), "while ! test -e \"$HOME/../go\"; do sleep 0.02; done");
    run(&program, "landed", "echo x > landed");
    run(&program, "undone", "echo x > undone");
    run(&program, "rewound", "echo x > rewound");
    program.wt(&["spawn", "open", "--no-agent"]).ok();
    program.wt(&["spawn", "a", "--agent", "sh", &format!("{wait}; echo x > a"), "--priority", "1"]).ok();
    program
        .wt(&[
            "spawn",
            "c",
            "--agent",
            "sh",
            &format!("git commit -q --allow-empty -m c; {wait}; echo x > c"),
        ])
        .ok();
    program.started("a@1");
    program.started("c@1");
    program.repo.commit("mine", "x");
    program.env.at(&program.worktree("open")).commit("open", "x");
    program.wt(&["merge", "landed"]).ok();
    program.wt(&["merge", "undone"]).ok();
    program.wt(&["undo"]).ok();
    program.wt(&["gc", "rewound", "--force"]).ok();
    program.wt(&["restore", "rewound"]).ok();
    run(
        &program,
        "meanwhile",
        "git stash list; echo y > README.md; git stash -q; git stash pop -q; echo x > meanwhile",
    );
    std::fs::write(go, "").unwrap();
    program.wt(&["wait", "a", "c", "--timeout", "30s"]).ok();
    for name in ["a", "c", "meanwhile", "open", "undone", "rewound"] {
        assert_eq!(strays(&program, name), Vec::<String>::new(), "{name}");
    }
    assert_eq!(doctor(&program, "stray-change").len() + doctor(&program, "stashed-work").len(), 0);
}

/// Two that ran at the same time see the same; it is told once, with both names.
#[test]
fn what_two_saw_is_told_once() {
    let program = shells();
    run(&program, "b", "echo x > b");
    let main = program.repo.rev("main");
    let wait = "while ! test -e \"$HOME/../go\"; do sleep 0.02; done";
    program.wt(&["spawn", "c", "--agent", "sh", &format!("{wait}; echo x > c")]).ok();
    program.started("c@1");
    // In the folder of the other one: who did it cannot be known.
    let there = program.worktree("b");
    run(&program, "a", &format!("git -C '{}' reset -q --hard {main}\necho x > a", there.display()));
    std::fs::write(program.env.root().join("go"), "").unwrap();
    program.wt(&["wait", "c", "--timeout", "30s"]).ok();
    let told = strays(&program, "a");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("`wt/b` of `b` went from ") && told[0].ends_with("(beside `c`)"), "{told:?}");
    assert_eq!(strays(&program, "c"), Vec::<String>::new());
}

#[test]
fn what_moved_while_a_lost_attempt_ran_is_told_by_whoever_finds_it() {
    let program = shells();
    run(&program, "b", "echo x > b");
    let (main, tip, there) =
        (program.repo.rev("main"), program.repo.rev("wt/b"), program.repo.path().display());
    let moves = format!(
        "git update-ref refs/heads/wt/b {main}\ngit -C '{there}' checkout -q -b elsewhere\ntouch ready\nsleep 1000\n"
    );
    program.wt(&["spawn", "a", "--agent", "sh", "--retries", "0", &moves]).ok();
    program.until("its moves", || program.worktree("a").join("ready").exists().then_some(()));
    let standing = program.state().join("tasks/a@1/attempts/1/standing.json");
    assert!(standing.exists());
    kill_together(&["__run", "__guard"].map(|role| program.role(role)[0]));
    program.until("that it is lost", || (program.state_of("a") == "dead").then_some(()));
    let told = strays(&program, "a");
    let has = |word: &str| told.iter().any(|stray| stray.contains(word));
    assert!(told.len() == 2 && has(&tip[..7]) && has("from `main` to `elsewhere`"), "{told:?}");
    assert!(!standing.exists(), "it is compared");
    let told = program.told("a@1");
    assert_eq!(told[told.len() - 4..], ["stray", "stray", "lost", "exhausted"], "{told:?}");
    run(&program, "c", "echo x > c");
    assert!(!program.state().join("tasks/c@1/attempts/1/standing.json").exists());
}
