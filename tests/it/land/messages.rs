//! The words of commits that are made for the target, the bytes of those that are kept, and signatures.

use std::process::Command;

use fs_err as fs;
use wt::model::State;

use super::field::Field;

const NOBODY: &str = "[agents.nobody]\ncommand = [\"wt-no-such-agent\"]\n";

fn with_message(template: &str) -> Field {
    Field::with(&format!(
        "[merge]\nagent = \"nobody\"\nstyle = \"squash\"\nmessage = '''\n{template}'''\n{NOBODY}"
    ))
}

fn message(field: &Field, rev: &str) -> String {
    let raw = field.repo().git(&["cat-file", "commit", rev]);
    raw.split_once("\n\n").map(|(_, message)| message.to_owned()).unwrap_or_default()
}

#[test]
fn a_template_is_told_everything_of_a_task() {
    let field = with_message(
        "{{ name }} {{ branch }} {{ target }} {{ style }}: {{ title }}\n\n{{ prompt }}\n\
         {% for c in commits %}{{ c.short }} {{ c.subject }} | {{ c.body }} | {{ c.author }}\n{% endfor %}\n\
         {% for trailer in trailers %}{{ trailer }}\n{% endfor %}",
    );
    field
        .program
        .spawn("a", &["write:one=1", "commit:First", "write:one=2", "commit:Second"], &["--wait"])
        .ok();
    let workspace = field.program.env.at(&field.program.worktree("a"));
    workspace.git(&["commit", "-q", "--allow-empty", "-m", "More\n\nA body.\n\nFixes: #1"]);
    let subjects = workspace.git(&["log", "--reverse", "--format=%h %s", "--abbrev=10", "main.."]);
    let said = field.merge(&["a"]);
    assert_eq!(said.code(), 0, "{}", said.ran.err);
    let text = message(&field, "main");
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("a wt/a main squash: SCRIPT:"), "{text}");
    for line in subjects.lines() {
        assert!(text.contains(&format!("\n{line} | ")), "{line}: {text}");
    }
    assert!(text.contains("More | A body.\n\nFixes: #1 | Ada Tester <ada@example.org>\n"), "{text}");
    assert!(text.ends_with("\n\nFixes: #1"), "{text}");
    assert!(text.contains("\n\nSCRIPT:\nwrite:one=1\n"), "{text}");
}

#[test]
fn a_template_of_ones_own_is_also_for_one_commit_and_for_merges() {
    let field = with_message("{{ name }} ({{ style }})");
    field.done("a", &[("a", "a\n")]);
    field.merge(&["a"]).ran.ok();
    assert_eq!(message(&field, "main"), "a (squash)");
    field.done("b", &[("b", "b\n")]);
    field.merge(&["b", "--merge-commit"]).ran.ok();
    assert_eq!(message(&field, "main"), "b (merge-commit)");
}

#[test]
fn a_bad_template_is_refused_before_anything_is_begun() {
    let field = with_message("{{ name }}\n{{ nmae }}");
    field.done("a", &[("a", "a\n"), ("a", "aa\n")]);
    for args in [&["merge", "a"][..], &["merge", "--all", "--dry-run"], &["merge", "a", "--rebase"]] {
        let said = field.program.refuses(1, args);
        assert!(
            said.contains("error: nothing was landed")
                && said.contains("the template `[merge] message` fails in line 2: `nmae` is undefined"),
            "{said}"
        );
    }
}

#[test]
fn a_template_that_does_not_fit_a_task_leaves_only_that_one_out() {
    let field = with_message("{{ name }} {{ commits[1].subject }}");
    field.done("a", &[("a", "a\n")]);
    field.done("b", &[("b", "b\n"), ("b", "bb\n")]);
    let said = field.merge(&["--all"]);
    assert_eq!((said.code(), said.result("a"), said.result("b")), (3, "skipped", "landed"));
    assert!(said.reason("a").starts_with("its commit has no message: the template"), "{}", said.reason("a"));
    assert_eq!(
        (field.state("a"), message(&field, "main")),
        (State::Done { skipped: false }, "b change b".into())
    );
}

/// What of a commit a replay must keep: everything behind its parents, without signatures.
fn kept(field: &Field, rev: &str) -> Vec<u8> {
    let raw = field.repo().try_git(&["cat-file", "commit", rev]).stdout;
    let at = raw.windows(8).position(|w| w == b"\nauthor ").unwrap();
    let mut signature = false;
    let (mut found, mut header) = (Vec::new(), true);
    for line in raw[at + 1..].split_inclusive(|b| *b == b'\n') {
        header &= line != b"\n";
        signature = header && (line.starts_with(b"gpgsig") || (signature && line.starts_with(b" ")));
        if !signature {
            found.extend_from_slice(line);
        }
    }
    found
}

/// Makes a task of commits that are hard to copy; the target has moved meanwhile.
fn odd_commits(field: &Field) {
    let workspace = field.open("odd", &[]);
    let file = field.program.env.root().join("message");
    let odd: [(&str, &[u8]); 5] = [
        ("ISO-8859-1", b"subject \xe9\n\nbody \xfc\n\nSigned-off-by: J\xfcrgen <j@example.org>\n"),
        ("UTF-8", b"crlf\r\n\r\nbody\r\n"),
        ("UTF-8", b"blank lines\n\n\n\nat the end  \n\n\n"),
        ("UTF-8", b""),
        ("UTF-8", b"no newline at the end"),
    ];
    for (n, (encoding, bytes)) in odd.into_iter().enumerate() {
        workspace.write(&format!("f{n}"), "x");
        workspace.git(&["add", "-A"]);
        fs::write(&file, bytes).unwrap();
        let mut commit = field.program.env.command("git", workspace.path());
        let setting = format!("i18n.commitEncoding={encoding}");
        commit.args(["-c", &setting, "commit-tree", "-p", "HEAD", "-F", &file.to_string_lossy()]);
        commit.env("GIT_AUTHOR_NAME", "Zo\u{eb} \"Z\" O'Hara").env("GIT_AUTHOR_EMAIL", "zoe@example.org");
        commit.env("GIT_AUTHOR_DATE", "2001-02-03T04:05:06-0730");
        let tree = workspace.git(&["write-tree"]);
        let out = commit.env("GIT_COMMITTER_DATE", "2002-02-03T04:05:06+0545").arg(&tree).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        workspace.git(&["reset", "-q", String::from_utf8_lossy(&out.stdout).trim()]);
    }
    field.finish("odd");
    field.repo().commit("other", "moves main\n");
}

#[test]
fn a_rebase_keeps_author_dates_encoding_and_message_to_the_byte() {
    let field = Field::new();
    odd_commits(&field);
    let said = field.merge(&["odd"]);
    assert_eq!((said.code(), &said.of("odd")["commits"]), (0, &5.into()), "{}", said.ran.err);
    for n in 0..5 {
        let (old, new) = (kept(&field, &format!("wt/odd~{n}")), kept(&field, &format!("main~{n}")));
        assert_eq!(String::from_utf8_lossy(&new), String::from_utf8_lossy(&old));
        assert_eq!(new, old);
    }
    assert_eq!(field.repo().git(&["log", "-1", "--format=%s", "main~4"]), "subject \u{e9}");
}

/// Makes the user sign with an SSH key; `false` where there is no `ssh-keygen`.
fn sign(field: &Field) -> bool {
    let key = field.program.env.root().join("key");
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"]).arg(&key);
    if !keygen.status().is_ok_and(|status| status.success()) {
        #[expect(clippy::print_stderr, reason = "who reads the test's output should know")]
        {
            eprintln!("not tested: there is no ssh-keygen");
        }
        return false;
    }
    let public = fs::read_to_string(key.with_extension("pub")).unwrap();
    let allowed = field.program.env.root().join("allowed");
    fs::write(&allowed, format!("ada@example.org {public}")).unwrap();
    for (name, value) in [
        ("commit.gpgSign", "true"),
        ("gpg.format", "ssh"),
        ("user.signingKey", &key.with_extension("pub").to_string_lossy()),
        ("gpg.ssh.allowedSignersFile", &allowed.to_string_lossy()),
    ] {
        field.repo().git(&["config", name, value]);
    }
    true
}

fn is_signed(field: &Field, rev: &str) -> bool {
    field.repo().try_git(&["verify-commit", rev]).status.success()
}

#[test]
fn rewritten_commits_are_signed_by_git_and_are_the_same_otherwise() {
    let field = Field::new();
    odd_commits(&field);
    if !sign(&field) {
        return;
    }
    let said = field.merge(&["odd"]);
    assert_eq!((said.code(), &said.of("odd")["commits"]), (0, &5.into()), "{}", said.ran.err);
    for n in 0..5 {
        assert!(is_signed(&field, &format!("main~{n}")), "{n}");
        assert_eq!(kept(&field, &format!("main~{n}")), kept(&field, &format!("wt/odd~{n}")), "{n}");
    }
    assert!(!is_signed(&field, "main~5"), "the target's own commits are as they were");
    field.is_whole();
    // As git does it.
    let workspace = field.program.env.at(&field.program.worktree("odd"));
    workspace.git(&["rebase", "-q", "main~5"]);
    assert_eq!(workspace.rev("HEAD^{tree}"), field.repo().rev("main^{tree}"));
    assert!(is_signed(&field, "wt/odd"));
}

#[test]
fn squashes_and_merge_commits_are_signed_and_the_rest_is_left() {
    let field = Field::new();
    let head = field.done("fast", &[("fast", "f\n"), ("fast", "ff\n")]);
    field.done("squash", &[("s", "s\n"), ("s", "ss\n")]);
    field.done("single", &[("one", "1\n")]);
    let merged = field.done("merge", &[("m", "m\n")]);
    if !sign(&field) {
        return;
    }
    field.merge(&["fast"]).ran.ok();
    assert_eq!(field.main(), head, "what stands there already is not written anew");
    field.merge(&["squash", "single", "--squash"]).ran.ok();
    assert!(is_signed(&field, "main") && is_signed(&field, "main~1") && !is_signed(&field, "main~2"));
    field.merge(&["merge", "--merge-commit"]).ran.ok();
    assert!(is_signed(&field, "main"));
    assert_eq!(field.repo().rev("main^2"), merged);
}

#[test]
fn where_nothing_can_be_signed_nothing_lands() {
    let field = Field::new();
    field.done("a", &[("a", "a\n")]);
    field.repo().commit("other", "moves main\n");
    field.repo().git(&["config", "commit.gpgSign", "true"]);
    field.repo().git(&["config", "gpg.program", "/nonexistent/gpg"]);
    let told = field.merge(&["a", "--dry-run"]);
    assert_eq!((told.code(), told.result("a")), (0, "landed"), "nothing is signed for a dry run");
    let old = field.main();
    for style in ["--rebase", "--squash", "--merge-commit"] {
        let said = field.program.wt(&["merge", "a", style]).fails(1);
        assert!(said.contains("error: nothing was landed"), "{said}");
        assert!(said.contains("git cannot sign commits: ") && said.contains("/nonexistent/gpg"), "{said}");
        assert_eq!((field.main(), field.state("a")), (old.clone(), State::Done { skipped: false }));
    }
    field.is_whole();
    field.repo().git(&["config", "commit.gpgSign", "false"]);
    assert_eq!(field.merge(&["a"]).code(), 0);
}
