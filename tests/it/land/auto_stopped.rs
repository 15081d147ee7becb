//! `wt stop --all` and a landing that goes on by itself.

use std::process::Stdio;

use fs_err as fs;
use wt::model::State;

use super::field::Field;
use crate::program::alive;

const DONE: State = State::Done { skipped: false };

fn lander_is_gone(field: &Field) {
    field.program.until("its end", || field.program.role("__land").is_empty().then_some(()));
}

#[test]
fn its_resolver_ends_and_it_goes_on_only_when_somebody_wishes_it() {
    let field = Field::new();
    let root = field.program.env.root().to_owned();
    let (pid, go) = (root.join("pid"), root.join("go"));
    let script = format!(
        "cat > /dev/null; test -e '{}' || {{ echo $$ > '{}'; exec sleep 1000; }}\n\
         printf 'one\\ntwo\\n' > f; echo '<promise>COMPLETE</promise>'",
        go.display(),
        pid.display()
    );
    field.script("resolver", &script);
    field.program.configure(&format!(
        "[merge]\nauto = true\nagent = \"slow\"\n[agents.slow]\ncommand = [\"sh\", \"{}\"]\nstop = {{ grace = \"200ms\" }}\n",
        root.join("resolver").display()
    ));
    field.done("a", &[("f", "one\n")]);
    field.open("b", &[]).commit("f", "two\n");
    field.program.wt(&["done", "b"]).ok();
    let resolver: u32 = field.program.file(&pid).trim().parse().unwrap();
    assert_eq!(field.state("a"), State::Landed);

    let said = field.program.wt(&["stop", "--all"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.err.contains("the landing that went on by itself was ended"), "{}", said.err);
    assert!(said.err.contains("hint: go on with all of them: `wt resume`"), "{}", said.err);
    field.program.until("the resolver's end", || (!alive(resolver)).then_some(()));
    lander_is_gone(&field);
    let layout = field.layout();
    assert!(
        !layout.auto_wanted().exists() && !layout.auto_begun().exists() && !layout.auto_failed().exists()
    );
    field.program.wt(&["status"]).ok();
    assert_eq!((field.program.role("__land").len(), field.state("b")), (0, DONE));
    field.is_whole();

    assert!(!field.program.wt(&["stop", "--all"]).err.contains("landing"), "nothing is left to be ended");
    fs::write(&go, "").unwrap();
    field.program.wt(&["resume", "--dry-run"]).ok();
    assert_eq!(field.state("b"), DONE);
    let said = field.program.wt(&["resume"]);
    assert!(said.err.contains("what is done lands by itself"), "{}", said.err);
    field.program.until("b", || (field.state("b") == State::Landed).then_some(()));
    lander_is_gone(&field);
    field.is_whole();
}

#[test]
fn one_that_waits_its_turn_ends_and_a_persons_goes_on() {
    let field = Field::new();
    field.program.configure("[merge]\nauto = true\n");
    field.open("a", &[]).commit("a", "a\n");
    field.finish("a");
    let home = field.program.env.root().join("home");
    let check = "echo x > \"$HOME/checking\"; until test -e \"$HOME/go\"; do sleep 0.02; done";
    let mut person = field.program.command(&["merge", "a", "--quiet", "--check", check]);
    let mut person = person.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    field.program.file(&home.join("checking"));
    field.open("b", &[]).commit("b", "x\n");
    field.program.wt(&["done", "b"]).ok();
    field.program.until("its word", || {
        let log = fs::read_to_string(field.layout().auto_log()).unwrap_or_default();
        log.contains("waiting for `wt merge a`").then_some(())
    });
    let said = field.program.wt(&["stop", "--all"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.err.contains("the landing that went on by itself was ended"), "{}", said.err);
    assert!(said.err.contains("a landing goes on: `wt merge a` (pid "), "{}", said.err);
    assert!(said.err.contains("hint: end that with `wt merge --abort`"), "{}", said.err);
    fs::write(home.join("go"), "").unwrap();
    assert!(person.wait().unwrap().success());
    lander_is_gone(&field);
    assert_eq!((field.state("a"), field.state("b")), (State::Landed, DONE));
    assert!(!field.layout().auto_failed().exists());
    field.is_whole();
}
