//! A `.wt.toml` that cannot be read, committed by a person: it stops what would run by it, and nothing else.

use crate::land::field::Field;

#[test]
fn a_broken_configuration_stops_only_what_would_run_by_it() {
    let field = Field::new();
    let program = &field.program;
    field.repo().git(&["branch", "next"]);
    field.done_with("landed", &[("l", "l\n")], &["--into", "next"]);
    field.merge(&["landed"]).ran.ok();
    field.done("ready", &[("r", "r\n")]);
    let go = program.env.root().join("go");
    program.spawn("works", &[&format!("wait-for:{}", go.display()), "commit:w"], &[]).ok();
    program.started("works@1");
    field.repo().write(".wt.toml", "[limits]\nslots = \"many\"\n");
    field.repo().git(&["add", ".wt.toml"]);
    field.repo().git(&["commit", "-q", "--author", "Anna <a@b.c>", "-m", "More slots"]);
    let since = format!("it is so on `main` since {}, `More slots`, by Anna", &field.main()[..10]);
    let hint = "hint: see what changed it with `git log -p -1 main -- .wt.toml`";

    for args in [
        &["spawn", "new", "p"][..],
        &["merge", "--all"],
        &["merge", "ready", "--no-verify", "--no-agent"],
        &["merge", "--all", "--dry-run"],
        &["retry", "works"],
        &["resume"],
        &["gc"],
        &["trust"],
    ] {
        let said = program.refuses(1, args);
        assert!(said.starts_with("error: the configuration is not usable; nothing was made"), "{said}");
        assert!(said.contains(".wt.toml:2:9: ") && said.contains(&since) && said.contains(hint), "{said}");
    }
    let works = |args: &[&str]| {
        let said = program.wt(args);
        assert_eq!(said.code, 0, "{args:?}: {}", said.err);
        let warning =
            "warning: `.wt.toml` does not count, and until it is mended nothing is started or landed: ";
        assert!(said.err.contains(warning) && said.err.contains(".wt.toml:2:9: "), "{}", said.err);
        assert!(said.err.contains(&since) && said.err.contains(hint), "{}", said.err);
        said.out
    };
    assert!(works(&["status"]).contains("works"));
    assert!(works(&["status", "--json"]).starts_with('{'));
    works(&["logs", "works"]);
    assert!(works(&["path", "works"]).trim().ends_with("works"));
    assert!(works(&["events", "--all"]).contains("landed"));
    works(&["gc", "--dry-run"]);
    works(&["diff", "ready"]);
    works(&["exec", "ready", "--", "true"]);
    works(&["conflicts"]);
    works(&["cost"]);
    works(&["doctor"]);
    works(&["merge", "--abort"]);
    works(&["stop", "works"]);
    assert_eq!(program.state_of("works"), "stopped");
    let before = field.repo().rev("next~1");
    works(&["undo"]);
    assert_eq!(field.repo().rev("next"), before);

    field.repo().commit(".wt.toml", "[limits]\nslots = 2\n");
    let said = program.wt(&["status"]);
    assert!(!said.err.contains(".wt.toml"), "{}", said.err);
    field.merge(&["ready"]).ran.ok();
}

#[test]
fn nothing_is_started_while_it_is_broken_and_all_of_it_afterwards() {
    let field = Field::with("[limits]\nslots = 1\n");
    let program = &field.program;
    let go = program.env.root().join("go");
    program.spawn("first", &[&format!("wait-for:{}", go.display()), "commit:w"], &[]).ok();
    program.started("first@1");
    program.spawn("second", &["write:s=s", "commit:s"], &[]).ok();
    field.repo().commit(".wt.toml", "[");
    program.wt(&["stop", "first"]).ok();
    program.wt(&["status"]).ok();
    assert_eq!(program.state_of("second"), "queued");
    field.repo().commit(".wt.toml", "");
    program.wt(&["status"]).ok();
    program.wt(&["wait", "second"]).ok();
}
