//! Bad input through the program: the exit code, the words, and that nothing was made or lost.

use std::io::Write as _;
use std::process::Stdio;

use rstest::rstest;

use crate::program::{Program, Ran, ran};

const WORK: &[&str] = &["write:x=y", "commit:x"];

/// Refuses in that folder, which need not be a repository, and leaves no trace below it.
fn refuses_in(program: &Program, folder: &str, code: i32, args: &[&str]) -> String {
    let folder = program.env.root().join(folder);
    let before = listing(&folder);
    let said = program.wt_in(&folder, args).fails(code);
    assert_eq!(listing(&folder), before, "{said}");
    said
}

fn listing(folder: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        found.push(entry.path().display().to_string());
        if entry.file_type().unwrap().is_dir() {
            found.extend(listing(&entry.path()));
        }
    }
    found.sort();
    found
}

fn harmless(text: &str) -> bool {
    !text.chars().any(|c| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c))
}

#[test]
fn names_that_are_none() {
    let program = Program::new();
    let long = "a".repeat(64);
    let names = [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "/abs",
        "~",
        " ",
        "a b",
        "a\nb",
        "a\tb",
        "\u{1b}[31mred",
        "a\u{202e}b",
        "🦀",
        &long,
        "$(id)",
        ";id",
        "`id`",
        "a'b",
        "HEAD",
        "head",
        "@",
        "refs/heads/q",
        "CON",
        "con",
        "con.x",
        "nul",
        "com1",
        "x.lock",
        "x.",
        "a..b",
        "A",
        "_a",
        ".a",
        "\u{e9}",
        "e\u{301}",
        "a:b",
        "a~1",
        "a^",
        "a?",
        "a*",
        "a[b",
        "a\\b",
        "a\u{7f}",
    ];
    for name in names {
        for args in [&["spawn", name, "p"][..], &["spawn", name, "--no-agent"]] {
            let said = program.refuses(1, args);
            assert!(
                said.starts_with("error: not a task name; nothing was made\ncaused by: "),
                "{name:?}: {said}"
            );
            assert!(harmless(&said), "{name:?}: {said:?}");
        }
        // The other verbs know no such task, and say so as harmlessly.
        let said = program.refuses(1, &["status", "--", name]);
        assert!(said.starts_with("error: there is no task `") && harmless(&said), "{said:?}");
    }
    for option in ["-x", "--exec=id"] {
        program.refuses(2, &["spawn", option, "p"]);
        program.refuses(1, &["spawn", "--", option, "p"]);
    }
    assert!(!program.state().exists());
}

#[test]
fn names_that_are_fine() {
    let program = Program::new();
    let long = "a".repeat(63);
    for name in ["0", "a.b_c-d", "lock", "heads", "wt", "main", &long] {
        program.wt(&["spawn", name, "--no-agent"]).ok();
        assert_eq!(program.state_of(name), "open");
    }
}

fn spawn_reading(program: &Program, prompt: &[u8]) -> Ran {
    let mut child = program.command(&["spawn", "a", "-"]);
    child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    drop(child.stdin.take().unwrap().write_all(prompt));
    ran(child.wait_with_output().unwrap())
}

#[test]
fn prompts_that_are_none() {
    let program = Program::new();
    let said = program.refuses(2, &["spawn", "a"]);
    assert!(said.starts_with("error: a task needs a prompt\nhint: "), "{said}");
    for empty in ["", " \n\t"] {
        assert!(
            program
                .refuses(1, &["spawn", "a", "--", empty])
                .contains("the prompt is empty; nothing was made")
        );
    }
    let said = program.refuses(1, &["spawn", "a", "-f", "no-such-file"]);
    assert!(said.contains("`no-such-file` cannot be read; nothing was made"), "{said}");
    program.refuses(1, &["spawn", "a", "-f", "."]);
    program.refuses(2, &["spawn", "a", "p", "-f", "README.md"]);
    let before = program.world();
    for (prompt, words) in [
        (&b"a\0b"[..], "holds a NUL byte; nothing was made"),
        (b"a\xffb", "is not UTF-8; nothing was made"),
        (&vec![b'x'; (8 << 20) + 1], "is longer than 8 MiB; nothing was made"),
        (&"\u{e9}".repeat((4 << 20) + 1).into_bytes(), "is longer than 8 MiB; nothing was made"),
    ] {
        let said = spawn_reading(&program, prompt).fails(1);
        assert!(said.contains(words), "{said}");
        assert_eq!(program.world(), before);
    }
    let mut big = program.env.command("sh", program.repo.path());
    let big = big.args([
        "-c",
        "exec \"$0\" spawn a \"$(head -c 200000 /dev/zero | tr '\\0' x)\"",
        crate::program::WT,
    ]);
    assert!(!big.stderr(Stdio::null()).status().unwrap().success(), "the system refuses such an argument");
    assert_eq!(program.world(), before);
}

#[rstest]
#[case::priority(&["--priority", "0"], 2, "priority")]
#[case::retries(&["--retries=-1"], 2, "--retries")]
#[case::timeout(&["--timeout", "30"], 2, "`30` is not a duration")]
#[case::no_time(&["--timeout", "0"], 2, "leaves no time to start")]
#[case::glob(&["--own", "a[b"], 2, "`a[b` is not a pattern of paths")]
#[case::target(&["--into", "nowhere"], 1, "the target branch `nowhere` does not exist; nothing was made")]
#[case::target_option(&["--into=--all"], 1, "does not exist")]
#[case::base(&["--base", "nowhere"], 1, "`nowhere` names no commit")]
#[case::base_option(&["--base=--all"], 1, "`--all` names no commit")]
#[case::parent(&["--after", "nobody"], 1, "after `nobody`, which does not exist; nothing was made")]
#[case::no_name(&["--after", "../x"], 1, "`--after` needs a task; nothing was made")]
#[case::own_parent(&["--after", "a"], 1, "after `a`, which does not exist")]
#[case::agent(&["--agent", "claud"], 1, "no agent is called `claud`; nothing was made")]
#[case::no_agent(&["--no-agent", "--agent", "fake"], 2, "cannot be used with")]
fn options_that_make_no_sense(#[case] options: &[&str], #[case] code: i32, #[case] words: &str) {
    let program = Program::new();
    let args: Vec<&str> = ["spawn", "a", "prompt"].iter().chain(options).copied().collect();
    let said = program.refuses(code, &args);
    assert!(said.contains(words), "{said}");
}

#[test]
fn agents_that_are_not_there() {
    let program = Program::new();
    program.configure("[agents.gone]\ncommand = [\"no-such-program-anywhere\"]\nevents = \"text\"\n");
    let said = program.refuses(1, &["spawn", "a", "p", "--agent", "gone"]);
    assert!(
        said.contains(
            "the program `no-such-program-anywhere` of agent `gone` is not on PATH; nothing was made"
        )
    );
    assert!(said.contains("hint: "));
    program.configure("[agents.none]\ncommand = []\n");
    let said = program.refuses(1, &["spawn", "a", "p", "--agent", "none"]);
    assert!(said.contains("the agent `none` is not usable"), "{said}");
    let said = program.refuses(1, &["spawn", "a", "p", "--agent", "fak"]);
    assert!(said.contains("`fake`") || said.contains("known are: "), "{said}");
}

/// The program vanishes after the task was queued.
#[test]
fn an_agent_that_vanishes_fails_its_task() {
    let program = Program::new();
    let own = program.env.root().join("agent");
    std::fs::write(&own, "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(&own, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    program.configure(&format!(
        "[agents.own]\ncommand = [\"{}\"]\nevents = \"text\"\n[limits]\nslots = 1\n",
        own.display()
    ));
    let go = format!("wait-for:{}", program.env.root().join("go").display());
    program.spawn("first", &[&go, "write:x=y", "commit:x"], &[]).ok();
    program.wt(&["spawn", "a", "p", "--agent", "own", "--retries", "0"]).ok();
    std::fs::remove_file(own).unwrap();
    std::fs::write(program.env.root().join("go"), "").unwrap();
    program.wt(&["wait", "a", "--timeout", "30s"]).fails(1);
    let outcome = program.task("a")["outcome"].as_str().unwrap().to_owned();
    assert!(outcome.contains("No such file"), "{outcome}");
}

#[test]
fn places_that_are_no_repository() {
    let program = Program::new();
    std::fs::create_dir(program.env.root().join("nowhere")).unwrap();
    for args in [&["spawn", "a", "p"][..], &["status"], &["wait"], &["stop", "--all"], &["trust"]] {
        let said = refuses_in(&program, "nowhere", 1, args);
        assert!(said.contains("no git repository at or above") && said.contains("hint: "), "{said}");
    }
    program.wt(&["-C", "no-such-folder", "status"]).fails(1);
}

#[test]
fn a_repository_without_commits() {
    let program = Program::new();
    program.env.repo("empty");
    let said = refuses_in(&program, "empty", 1, &["spawn", "a", "p"]);
    assert!(
        said.contains("branch `main` has no commit yet") || said.contains("`main` does not exist"),
        "{said}"
    );
    assert!(said.contains("hint: "), "{said}");
    program.wt_in(&program.env.root().join("empty"), &["status"]).ok();
}

#[test]
fn an_environment_that_redirects_git() {
    let program = Program::new();
    let elsewhere = program.env.root().join("elsewhere");
    let mut command = program.command(&["spawn", "a", "--no-agent"]);
    command.env("GIT_WORK_TREE", &elsewhere).env("GIT_DIR", &elsewhere).env("GIT_NAMESPACE", "other");
    ran(command.output().unwrap()).ok();
    assert!(program.worktree("a").join("CLAUDE.local.md").exists());
}

#[test]
fn a_detached_head_without_main() {
    let program = Program::new();
    program.repo.git(&["checkout", "-q", "--detach"]);
    program.repo.git(&["branch", "-q", "-m", "main", "other"]);
    let said = program.refuses(1, &["spawn", "a", "p"]);
    assert!(said.contains("the target branch is not known") && said.contains("--into"), "{said}");
    program.spawn("a", WORK, &["--into", "other", "--wait"]).ok();
    assert_eq!(program.task("a")["target"], "other");
}

#[test]
fn a_submodule() {
    let program = Program::new();
    let inner = program.env.repo("inner");
    inner.commit("file", "x");
    let url = inner.path().to_string_lossy().into_owned();
    program.repo.git(&["-c", "protocol.file.allow=always", "submodule", "add", "-q", &url, "sub"]);
    program.repo.commit_all("add a submodule");
    let said = refuses_in(&program, "repo/sub", 1, &["spawn", "a", "p"]);
    assert!(said.contains("is a submodule") && said.contains("hint: "), "{said}");
}

#[test]
fn repositories_of_another_form() {
    let (form, words) = ("--ref-format=reftable", "reftable refs, which is not supported");
    let program = Program::new();
    let path = program.env.root().join("odd");
    let made = program.repo.try_git(&["init", "-q", form, &path.to_string_lossy()]);
    if !made.status.success() {
        drop(writeln!(std::io::stderr(), "skipped: this git cannot make such a repository"));
        return;
    }
    let said = refuses_in(&program, "odd", 1, &["spawn", "a", "p"]);
    assert!(said.contains(words), "{said}");
}

#[test]
fn nobody_to_commit_as() {
    let program = Program::new();
    program.repo.git(&["config", "--unset", "user.name"]);
    program.repo.git(&["config", "--unset", "user.email"]);
    std::fs::write(program.env.root().join("home/.gitconfig"), "[user]\n\tuseConfigOnly = true\n").unwrap();
    let said = program.refuses(1, &["spawn", "a", "p"]);
    assert!(said.contains("hint: git config --global user.name"), "{said}");
    assert!(said.contains("hint: git config --global user.email"), "{said}");
}

#[test]
fn what_stands_in_the_way() {
    let program = Program::new();
    program.repo.git(&["branch", "wt/there"]);
    let said = program.refuses(1, &["spawn", "there", "p"]);
    assert!(said.contains("branch `wt/there` exists already"), "{said}");
    let folder = program.worktree("full");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("precious"), "x").unwrap();
    for args in [&["spawn", "full", "p"][..], &["spawn", "full", "--no-agent"]] {
        let said = program.refuses(1, args);
        assert!(said.contains("repo-worktrees/full exists already"), "{said}");
    }
    assert_eq!(std::fs::read_to_string(folder.join("precious")).unwrap(), "x");
    program.repo.git(&["branch", "-D", "-q", "wt/there"]);
    program.repo.git(&["branch", "wt"]);
    let said = program.refuses(1, &["spawn", "a", "p"]);
    assert!(said.contains("branch `wt` is in the way of `wt/a`\nhint: git branch -m wt wt-kept"), "{said}");
    program.repo.git(&["branch", "-m", "wt", "wt-kept"]);
    program.wt(&["spawn", "a", "--no-agent"]).ok();
}

#[rstest]
#[case(".shared/notes")]
#[case(".shared")]
#[case("CLAUDE.local.md")]
fn a_repository_that_tracks_what_workspaces_need(#[case] path: &str) {
    let program = Program::new();
    program.repo.commit(path, "x");
    let name = path.split('/').next().unwrap();
    let said = program.refuses(1, &["spawn", "a", "p"]);
    assert!(
        said.contains(&format!("the repository tracks `{name}`, which every workspace needs for itself")),
        "{said}"
    );
    program.refuses(1, &["spawn", "a", "--no-agent"]);
    program.repo.git(&["rm", "-q", "-r", "--cached", name]);
    program.repo.git(&["commit", "-qm", "out"]);
    let hint = format!("hint: git rm -r --cached {name} && git commit");
    assert!(said.contains(&hint), "{said}");
}

#[test]
fn a_tracked_link_out_of_the_repository_is_not_written_through() {
    let program = Program::new();
    let outside = program.env.root().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::os::unix::fs::symlink(&outside, program.repo.path().join(".shared")).unwrap();
    program.repo.commit_all("a link");
    program.refuses(1, &["spawn", "a", "--no-agent"]);
    assert_eq!(std::fs::read_dir(outside).unwrap().count(), 0);
}

#[test]
fn a_broken_configuration() {
    let program = Program::new();
    let user = program.env.root().join("home/.config/wt/config.toml");
    let good = std::fs::read_to_string(&user).unwrap();
    for (broken, words) in [
        ("[limits\n", "config.toml"),
        ("[limits]\nslots = \"many\"\n", "config.toml:2:9"),
        ("[limits]\nslots = 0\n", "limits.slots"),
        ("[limits]\ntimeout = \"-5m\"\n", "config.toml:2:11"),
    ] {
        std::fs::write(&user, broken).unwrap();
        for args in [&["spawn", "a", "p"][..], &["status"]] {
            let said = program.refuses(1, args);
            assert!(said.starts_with("error: the configuration is not usable"), "{said}");
            assert!(said.contains(words), "{words}: {said}");
        }
    }
    std::fs::write(&user, format!("{good}[limits]\nslotz = 4\n")).unwrap();
    let said = program.wt(&["status"]);
    assert_eq!(said.code, 0);
    assert!(
        said.err.contains("warning: ")
            && said.err.contains("unknown key `limits.slotz`, perhaps `limits.slots`"),
        "{}",
        said.err
    );
    std::fs::write(&user, &good).unwrap();
    program.repo.commit(".wt.toml", "target = [");
    let said = program.refuses(1, &["spawn", "a", "p"]);
    assert!(said.contains(".wt.toml"), "{said}");
}

#[test]
fn a_state_of_a_newer_program() {
    let program = Program::new();
    program.wt(&["spawn", "a", "--no-agent"]).ok();
    std::fs::write(program.state().join("format"), "99\n").unwrap();
    for args in [&["spawn", "b", "p"][..], &["status"], &["stop", "a"]] {
        let said = program.refuses(1, args);
        assert!(said.contains("has format 99, this `wt` knows 1"), "{said}");
    }
    std::fs::write(program.state().join("format"), "1\n").unwrap();
}

#[test]
fn names_that_are_taken_and_free_again() {
    let program = Program::new();
    let go = format!("wait-for:{}", program.env.root().join("go").display());
    program.spawn("a", &[&go, "write:x=y", "commit:x"], &[]).ok();
    program.started("a@1");
    let said = program.spawn("a", WORK, &[]).fails(1);
    assert!(
        said.contains("a task named `a` is already running; nothing was made\nhint: wt status a"),
        "{said}"
    );
    std::fs::write(program.env.root().join("go"), "").unwrap();
    program.wt(&["wait", "a", "--timeout", "30s"]).ok();
    assert!(
        program.refuses(1, &["spawn", "a", "p"]).contains("already done; nothing was made\nhint: wt merge a")
    );
    program.wt(&["merge", "a"]).ok();
    assert_eq!(program.state_of("a"), "landed");
    for verb in ["stop", "retry", "done"] {
        let said = program.refuses(1, &[verb, "a"]);
        assert!(said.contains("`a` is landed"), "{said}");
    }
    program.spawn("a", &["delete:x", "commit:again"], &["--wait"]).ok();
    assert_eq!(program.state_of("a"), "done");
    assert_eq!(program.told("a@2")[0], "queued");
    assert!(program.told("a@1").contains(&"landed".to_owned()), "the old records stay");
}

#[test]
fn tasks_that_do_not_exist() {
    let program = Program::new();
    for args in [
        &["status", "b"][..],
        &["logs", "b"],
        &["wait", "b"],
        &["stop", "b"],
        &["retry", "b"],
        &["done", "b"],
        &["diff", "b"],
        &["exec", "b", "--", "true"],
        &["path", "b"],
        &["merge", "b"],
    ] {
        let said = program.refuses(1, args);
        assert!(said.starts_with("error: ") && said.contains("there is no task `b`"), "{args:?}: {said}");
    }
    program.refuses(2, &["stop"]);
    program.refuses(2, &["wait", "--timeout", "soon"]);
}

#[test]
fn commands_that_nobody_approved() {
    let program = Program::new();
    let touched = program.env.root().join("touched");
    let setup = format!("[workspace]\nsetup = [\"touch {}\"]\n", touched.display());
    program.repo.commit(".wt.toml", &setup);
    for args in [&["spawn", "a", "p"][..], &["spawn", "a", "--no-agent"], &["retry", "a"], &["done", "a"]] {
        let said = program.refuses(1, args);
        assert!(said.contains(
            "are not approved; nothing was made\nhint: see and approve them with `wt trust --approve`"
        ));
    }
    program.wt(&["status"]).ok();
    let shown = program.wt(&["trust"]).ok();
    assert!(shown.contains("touch ") && shown.ends_with("not approved\n"), "{shown}");
    assert!(!touched.exists() && !program.state().exists());
    program.wt(&["trust", "--approve"]).ok();
    program.spawn("a", WORK, &["--wait"]).ok();
    assert!(touched.exists());
    // What is approved is these bytes: any other ask again, also for what is queued already.
    program.repo.commit(".wt.toml", &format!("{setup}[[verify]]\nname = \"v\"\nrun = \"true\"\n"));
    program.refuses(1, &["spawn", "b", "p"]);
    program.wt(&["trust", "--revoke"]).ok();
    program.refuses(1, &["spawn", "b", "p"]);
}

/// A queued task does not start under commands that were changed meanwhile, and whoever waits for it is told.
#[test]
fn commands_that_changed_while_a_task_was_queued() {
    let program = Program::new();
    program.configure("[limits]\nslots = 1\n");
    let go = format!("wait-for:{}", program.env.root().join("go").display());
    program.spawn("first", &[&go, "write:x=y", "commit:x"], &[]).ok();
    program.spawn("second", WORK, &[]).ok();
    program.repo.commit(".wt.toml", "[[verify]]\nname = \"v\"\nrun = \"true\"\n");
    std::fs::write(program.env.root().join("go"), "").unwrap();
    program.wt(&["wait", "first", "--timeout", "30s"]).ok();
    let said = program.wt(&["wait", "second", "--timeout", "30s"]).fails(1);
    assert!(said.contains("are not approved") && said.contains("wt trust --approve"), "{said}");
    assert_eq!(program.state_of("second"), "queued");
    program.wt(&["trust", "--approve"]).ok();
    program.wt(&["wait", "second", "--timeout", "30s"]).ok();
}
