//! What removing a workspace asks of git: few looks at its files, and nothing that can be told without a process.

use fs_err as fs;
use wt::git::snapshot::{self, Look};
use wt::git::{LinkedWorktree, Repo, status};

use crate::env::TestRepo;
use crate::program::{Program, ran};
use crate::tidy_gc::{land, oid, open};

/// The git verbs that a call of `wt` runs, in order.
fn verbs(program: &Program, args: &[&str]) -> Vec<String> {
    let trace = program.env.root().join("trace");
    let ended = ran(program.command(args).env("GIT_TRACE2_EVENT", &trace).output().unwrap());
    assert_eq!(ended.code, 0, "{ended:?}");
    let text = fs::read_to_string(&trace).unwrap();
    fs::remove_file(&trace).unwrap();
    let events = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let names = events.filter(|event| event["event"] == "cmd_name");
    names.map(|event| event["name"].as_str().unwrap().to_owned()).collect()
}

/// One look, and a transaction that takes the branch and its base; what puts away is written in the program itself.
const REMOVAL: [&str; 2] = ["status", "update-ref"];

#[test]
fn few_calls_remove_a_workspace_whatever_is_in_it() {
    let program = Program::new();
    open(&program, "clean");
    assert_eq!(verbs(&program, &["gc", "clean"]), REMOVAL);
    let tree = open(&program, "edited");
    tree.write("README.md", "edited\n");
    tree.write("new/file", "new\n");
    assert_eq!(verbs(&program, &["gc", "edited", "--force"]), REMOVAL);
    let tree = open(&program, "committed");
    let head = tree.commit("work", "work\n");
    tree.write("more", "more\n");
    land(&program, "committed");
    fs::remove_file(tree.path().join("more")).unwrap();
    assert_eq!(verbs(&program, &["gc", "committed"]), REMOVAL);
    program.wt(&["restore", "edited"]).ok();
    let tree = program.env.at(&program.worktree("edited"));
    assert_eq!(tree.git(&["status", "--porcelain", "-uall"]), " M README.md\n?? new/file");
    assert_eq!(program.repo.git(&["rev-parse", "refs/wt/trash/committed/1^1"]), head);
}

#[test]
fn the_bytes_are_those_of_files_that_git_sees() {
    let program = Program::new();
    program.repo.write(".gitignore", "ignored\n");
    program.repo.write("two blocks", "x".repeat(5000));
    program.repo.commit_all("files");
    let tree = open(&program, "x");
    tree.write("ignored", "x".repeat(100_000));
    let preview = program.wt(&["gc", "x", "--force", "--dry-run", "--json"]).json();
    // README.md, .gitignore, and the one of two blocks.
    assert_eq!(preview["bytes"], 4 * 4096, "{preview}");
    tree.write("new", "x");
    let removed = program.wt(&["gc", "x", "--force", "--json"]).json();
    assert_eq!(removed["bytes"], 5 * 4096, "{removed}");
}

/// The worktree of a task, as the library sees it.
fn seen(program: &Program, name: &str) -> (Repo, LinkedWorktree) {
    let repo = Repo::discover(program.repo.path()).unwrap();
    let tree = LinkedWorktree::open(&repo, name, &program.worktree(name)).unwrap();
    (repo, tree)
}

/// One thing that happens to a worktree.
type Step = fn(&TestRepo);

#[test]
fn a_look_says_what_a_status_says() {
    let program = Program::new();
    program.repo.write(".gitignore", "*.log\n");
    for file in ["dir/deep/a", "dir/b", "top", "flagged"] {
        program.repo.write(file, "text\n");
    }
    program.repo.commit_all("files");
    let steps: [(&str, Step); 11] = [
        ("nothing", |_| {}),
        ("an ignored file", |tree| tree.write("dir/x.log", "x")),
        ("a hidden edit", |tree| {
            tree.git(&["update-index", "--assume-unchanged", "flagged"]);
            tree.write("flagged", "other\n");
        }),
        ("an untracked file beside tracked ones", |tree| tree.write("dir/new", "x")),
        ("untracked folders", |tree| {
            tree.write("dir/deep/er/and/x", "x");
            tree.write("dir-like/y", "y");
            tree.write("dir.d/z", "z");
        }),
        ("a folder of ignored files", |tree| tree.write("logs/x.log", "x")),
        ("a repository", |tree| drop(tree.git(&["init", "-q", "dir/deep/inner/repo"]))),
        ("an intent", |tree| {
            tree.write("intended", "x");
            tree.git(&["add", "-N", "intended"]);
        }),
        ("a staged file", |tree| drop(tree.git(&["add", "dir/new"]))),
        ("an edit", |tree| tree.write("top", "edited\n")),
        ("a folder that is a file now", |tree| {
            fs::remove_dir_all(tree.path().join("dir")).unwrap();
            tree.write("dir", "a file\n");
        }),
    ];
    let tree = open(&program, "x");
    let (_, worktree) = seen(&program, "x");
    for (what, step) in steps {
        step(&tree);
        let (look, told) =
            (Look::at(worktree.checkout()).unwrap(), status::status(worktree.checkout()).unwrap());
        assert_eq!(look.dirty(), told.dirty(), "{what}: {told:?}");
        let folders: Vec<String> = told.untracked.into_iter().filter(|path| path.ends_with('/')).collect();
        assert_eq!(look.untracked_folders(), folders, "{what}");
        assert_eq!(look.head(), Some(&oid(&tree.head())), "{what}");
        assert_eq!(look.in_progress(), told.in_progress);
    }
}

/// The index names a tree that is gone again: then it is not believed.
#[test]
fn a_tree_that_is_not_there_is_written() {
    let program = Program::new();
    let tree = open(&program, "x");
    tree.write("deep/er/file", "staged\n");
    tree.git(&["add", "-A"]);
    let root = tree.git(&["write-tree"]);
    let (repo, worktree) = seen(&program, "x");
    let object = repo.common_dir().join("objects").join(&root[..2]).join(&root[2..]);
    fs::remove_file(&object).unwrap();
    let taken = snapshot::take(&repo, worktree.checkout(), &[], "x").unwrap();
    assert_eq!(tree.git(&["rev-parse", &format!("{taken}^2^{{tree}}")]), root);
    assert!(object.exists(), "the tree was written again");
    assert_eq!(tree.git(&["show", &format!("{taken}:deep/er/file")]), "staged");
}
