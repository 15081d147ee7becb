//! Checkpoints of loops: one an attempt, nothing of the agent's touched, and the way back to each of them and back again.

use fs_err as fs;
use serde_json::{Value, json};
use wt::model::Clock as _;
use wt::model::clock::SystemClock;

use crate::program::{Program, ran};
use crate::tidy_restore::portrait;

fn refs(program: &Program) -> Vec<String> {
    let text = program.repo.git(&["for-each-ref", "--format=%(refname)", "refs/wt/checkpoint"]);
    text.lines().map(str::to_owned).collect()
}

fn checkpoints(program: &Program, name: &str) -> Vec<(u64, String)> {
    let list = program.wt(&["restore", name, "--checkpoint", "--json"]);
    assert_eq!(list.code, 0, "{}", list.err);
    let told = |one: &Value| (one["number"].as_u64().unwrap(), one["about"].as_str().unwrap().to_owned());
    list.json()["checkpoints"].as_array().unwrap().iter().map(told).collect()
}

/// A loop of three, each iteration of which leaves its work uncommitted in another way.
fn three(program: &Program) {
    program.repo.write(".gitignore", "*.o\n");
    program.repo.commit("kept.txt", "old\n");
    let steps = [
        "in:1:write:first.txt=1\\n",
        "in:1:write:build.o=1\\n",
        "in:2:write:kept.txt=new\\n",
        "in:2:delete:first.txt",
        "in:2:write:folder/deep.txt=2\\n",
        "in:3:write:folder/deep.txt=3\\n",
        "in:3:promise:COMPLETE",
    ];
    program.spawn("trio", &steps, &["--loop", "3", "--wait"]).ok();
}

#[test]
fn each_iteration_has_one_and_each_can_come_back() {
    let program = Program::new();
    three(&program);
    let expected: Vec<String> = (1..=3).map(|n| format!("refs/wt/checkpoint/trio/{n}")).collect();
    assert_eq!(refs(&program), expected);
    let about = |n: u64| (n, format!("iteration {n}, attempt {n}"));
    assert_eq!(checkpoints(&program, "trio"), [about(1), about(2), about(3)]);
    let tree = program.env.at(&program.worktree("trio"));
    assert_eq!(
        tree.git(&["show", "refs/wt/checkpoint/trio/1^3:first.txt"]),
        "1",
        "untracked files are in it"
    );
    let finished = portrait(&tree);

    let answer = program.wt(&["restore", "trio", "--checkpoint", "1"]);
    assert_eq!(
        answer.out, "trio is back at checkpoint 1 (iteration 1, attempt 1), stopped\n",
        "{}",
        answer.err
    );
    assert!(answer.err.contains("`wt restore trio --checkpoint 4` brings it back"), "{}", answer.err);
    // As the agent of the first iteration left it: nothing committed, and the ignored file of now.
    assert_eq!(tree.git(&["rev-list", "--count", "main..HEAD"]), "0");
    assert_eq!(tree.git(&["status", "--porcelain"]), "?? first.txt");
    assert_eq!((tree.read("kept.txt").as_str(), tree.read("build.o").as_str()), ("old\n", "1\n"));
    assert!(!tree.path().join("folder").exists());
    assert_eq!(tree.git(&["branch", "--show-current"]), "wt/trio");
    assert_eq!(program.state_of("trio"), "stopped", "what was judged is not what is there now");

    let answer = program.wt(&["restore", "trio", "--checkpoint", "2", "--json"]).json();
    assert_eq!((&answer["checkpoint"], &answer["kept"]), (&json!(2), &json!(5)), "{answer}");
    assert_eq!(tree.git(&["status", "--porcelain"]), " D first.txt\n M kept.txt\n?? folder/");
    assert_eq!(tree.read("folder/deep.txt"), "2\n");
    program.wt(&["restore", "trio", "--checkpoint", "4"]).ok();
    assert_eq!(portrait(&tree), finished);
    program.repo.git(&["fsck", "--no-dangling"]);

    // What was undone is not told as done.
    program.wt(&["restore", "trio", "--checkpoint", "1"]).ok();
    program.wt(&["retry", "trio"]).ok();
    program.wt(&["wait", "trio"]).ok();
    assert_eq!((program.state_of("trio").as_str(), tree.read("folder/deep.txt").as_str()), ("done", "3\n"));
    let prompt = program.state().join("tasks/trio@1/attempts/4/prompt.md");
    let told = fs::read_to_string(prompt).unwrap();
    assert!(told.contains("it was undone since") && !told.contains("It added these commits"), "{told}");
}

#[test]
fn staged_conflicting_and_flagged_files_go_and_come_back() {
    let program = Program::new();
    three(&program);
    let tree = program.env.at(&program.worktree("trio"));
    // Everything that a person may do to a worktree in the meantime.
    tree.write("staged.txt", "s\n");
    tree.git(&["add", "staged.txt"]);
    tree.write("kept.txt", "hidden\n");
    tree.git(&["update-index", "--assume-unchanged", "kept.txt"]);
    tree.write("meant.txt", "m\n");
    tree.git(&["add", "-N", "meant.txt"]);
    tree.write("forced.o", "o\n");
    tree.git(&["add", "-f", "forced.o"]);
    tree.write("loose/file.txt", "l\n");
    tree.git(&["checkout", "-q", "--detach"]);
    tree.git(&["commit", "-q", "-m", "beside the branch", "--", "staged.txt"]);
    let before = portrait(&tree);
    let beside = tree.head();
    program.wt(&["restore", "trio", "--checkpoint", "1"]).ok();
    assert_eq!(tree.git(&["status", "--porcelain"]), "?? first.txt");
    assert_eq!(tree.read("kept.txt"), "old\n");
    for gone in ["staged.txt", "meant.txt", "forced.o", "loose"] {
        assert!(!tree.path().join(gone).exists(), "{gone}");
    }
    assert_eq!(refs(&program).last().map(String::as_str), Some("refs/wt/checkpoint/trio/4.branch"));
    program.wt(&["restore", "trio", "--checkpoint", "4"]).ok();
    let after = portrait(&tree);
    assert_eq!(tree.head(), beside);
    // On its branch again; all else is as it was.
    assert_eq!((after[1].as_str(), &after[2..]), ("wt/trio", &before[2..]));
}

#[test]
fn refusals_say_why_and_change_nothing() {
    let program = Program::new();
    three(&program);
    let tree = program.env.at(&program.worktree("trio"));
    let said = program.refuses(1, &["restore", "trio", "--checkpoint", "9"]);
    assert!(
        said.contains("`trio` has no checkpoint 9") && said.contains("wt restore trio --checkpoint"),
        "{said}"
    );
    program.refuses(2, &["restore", "trio", "--checkpoint", "0"]);
    let said = program.refuses(2, &["restore", "--checkpoint", "trio"]);
    assert!(said.contains("write `--checkpoint` last"), "{said}");
    let said = program.refuses(1, &["restore", "nobody", "--checkpoint", "1"]);
    assert!(said.contains("there is no task `nobody`"), "{said}");

    program.spawn("busy", &["write:a=1", "sleep:1000"], &["--loop", "3"]).ok();
    program.started("busy@1");
    let said = program.refuses(1, &["restore", "busy", "--checkpoint", "1"]);
    assert!(said.contains("busy") && said.contains("hint: wt stat"), "{said}");

    // An ignored file that no snapshot has stands where a file of the checkpoint belongs.
    fs::write(tree.path().join(".git-ignored"), "").unwrap();
    tree.commit(".gitignore", "*.o\nfirst.txt\n.git-ignored\n");
    fs::write(tree.path().join("first.txt"), "mine\n").unwrap();
    let said = program.refuses(1, &["restore", "trio", "--checkpoint", "1"]);
    assert!(said.contains("in the way: `first.txt`"), "{said}");
    assert_eq!(tree.read("first.txt"), "mine\n");
    assert_eq!(program.state_of("trio"), "done");

    tree.git(&["checkout", "-q", "-b", "other", "main"]);
    tree.commit("kept.txt", "theirs\n");
    tree.git(&["checkout", "-q", "wt/trio"]);
    assert!(!tree.try_git(&["merge", "-q", "other"]).status.success(), "it conflicts");
    let said = program.refuses(1, &["restore", "trio", "--checkpoint", "2"]);
    assert!(said.contains("a merge is in progress"), "{said}");
}

#[test]
fn a_namesakes_checkpoints_stay_and_go_when_they_are_old() {
    let program = Program::new();
    three(&program);
    program.wt(&["merge", "trio"]).ok();
    program.spawn("trio", &["in:1:write:again.txt=1", "promise:COMPLETE"], &["--loop", "2", "--wait"]).ok();
    let old: Vec<String> = (1..=3).map(|n| format!("refs/wt/checkpoint/trio@1/{n}")).collect();
    let all = |mut some: Vec<String>| {
        some.insert(0, "refs/wt/checkpoint/trio/1".to_owned());
        some
    };
    assert_eq!(refs(&program), all(old));
    assert_eq!(checkpoints(&program, "trio").len(), 1);
    assert_eq!(checkpoints(&program, "trio@1").len(), 3);
    let said = program.refuses(1, &["restore", "trio@1", "--checkpoint", "1"]);
    assert!(said.contains("`trio@1` has no workspace"), "{said}");

    let after = |days: i64| {
        let then = SystemClock.now() + jiff::SignedDuration::from_hours(24 * days);
        let mut command = program.command(&["gc", "--stale", "99d"]);
        ran(command.env("WT_TEST_NOW", then.to_string()).output().unwrap())
    };
    assert!(!after(29).err.contains("checkpoint"));
    assert!(after(31).err.contains("3 old checkpoints"));
    assert_eq!(refs(&program), all(Vec::new()), "those of a task that is there stay");
}

#[test]
fn the_agents_index_is_not_touched() {
    let program = Program::new();
    // The index that a broken iteration leaves: staged, and staged otherwise than on disk.
    let steps = ["write:a.txt=staged\\n", "stage", "write:a.txt=on disk\\n", "exit:3"];
    program.spawn("broken", &steps, &["--loop", "3", "--retries", "0", "--wait"]).fails(1);
    assert_eq!(program.state_of("broken"), "dead");
    let tree = program.env.at(&program.worktree("broken"));
    assert_eq!(tree.git(&["status", "--porcelain"]), "AM a.txt");
    assert_eq!(refs(&program), ["refs/wt/checkpoint/broken/1"], "a failed attempt has one too");
    assert_eq!(tree.git(&["show", "refs/wt/checkpoint/broken/1^2:a.txt"]), "staged");
    assert_eq!(tree.git(&["show", "refs/wt/checkpoint/broken/1:a.txt"]), "on disk");
}
