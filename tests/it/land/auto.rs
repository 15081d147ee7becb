//! `[merge] auto`: what is done lands by itself.

use std::process::Stdio;

use fs_err as fs;
use wt::model::State;

use super::field::Field;
use crate::program::kill;

const AUTO: &str = "auto = true\nagent = \"nobody\"\n[agents.nobody]\ncommand = [\"wt-no-such-agent\"]\n";

fn field(more: &str) -> Field {
    Field::with(&format!("[merge]\n{AUTO}{more}"))
}

/// A check that waits for the file `go` in the home folder, and says in `checking` that it waits.
fn slow(field: &Field) -> String {
    let script = waiting(field);
    format!("[[verify]]\nname = \"slow\"\nrun = '''{script}'''\nretries = 0\n")
}

fn waiting(field: &Field) -> String {
    let text = "echo x > \"$HOME/checking\"; until test -e \"$HOME/go\"; do sleep 0.02; done";
    field.script("slow", text)
}

fn landed(field: &Field, name: &str) {
    field.program.until(name, || (field.state(name) == State::Landed).then_some(()));
}

fn lander_is_gone(field: &Field) {
    field.program.until("its end", || field.program.role("__land").is_empty().then_some(()));
}

#[test]
fn what_an_agent_finishes_lands_and_what_waits_for_it_starts() {
    let field = field("");
    let steps = |file: &str| [format!("write:{file}=x"), format!("commit:add {file}")];
    let (first, second) = (steps("a"), steps("b"));
    field.program.spawn("a", &first.each_ref().map(String::as_str), &[]).ok();
    field.program.spawn("b", &second.each_ref().map(String::as_str), &["--after", "a"]).ok();
    landed(&field, "b");
    assert_eq!(field.subjects(), ["add b", "add a"]);
    lander_is_gone(&field);
    let log = fs::read_to_string(field.layout().auto_log()).unwrap();
    assert!(log.contains("landed    a  1 commit") && log.contains("landed    b  1 commit"), "{log}");
    assert!(!field.layout().auto_wanted().exists() && !field.layout().auto_begun().exists());
    field.is_whole();
}

#[test]
fn a_loop_lands_when_it_is_complete() {
    let field = field("");
    let steps = ["write:a=x", "commit:add a", "promise:COMPLETE"];
    field.program.spawn("a", &steps, &["--loop", "2"]).ok();
    landed(&field, "a");
    lander_is_gone(&field);
}

#[test]
fn what_a_person_finishes_lands_too() {
    let field = field("");
    field.open("a", &[]).commit("a", "a\n");
    let out = field.program.wt(&["done", "a"]).ok();
    assert_eq!(out, "a done; it lands by itself\n");
    landed(&field, "a");
    lander_is_gone(&field);
}

#[test]
fn what_is_finished_during_a_landing_lands_after_it() {
    let field = field("");
    field.open("a", &[]).commit("a", "a\n");
    field.finish("a");
    let home = field.program.env.root().join("home");
    let mut person = field.program.command(&["merge", "a", "--quiet", "--check", &waiting(&field)]);
    let mut person = person.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    field.program.file(&home.join("checking"));
    for name in ["b", "c"] {
        field.open(name, &[]).commit(name, "x\n");
        field.program.wt(&["done", name]).ok();
    }
    // It waits for the person's, and says for whom.
    let log = field.program.until("its word", || {
        let log = fs::read_to_string(field.layout().auto_log()).unwrap_or_default();
        (log.ends_with('\n') && log.contains("waiting")).then_some(log)
    });
    assert!(log.contains(&format!("waiting for `wt merge a` (pid {}, since", person.id())), "{log}");
    assert_eq!(field.state("b"), State::Done { skipped: false });
    assert_eq!(field.program.role("__land").len(), 1);
    fs::write(home.join("go"), "").unwrap();
    assert!(person.wait().unwrap().success());
    landed(&field, "b");
    landed(&field, "c");
    lander_is_gone(&field);
    field.is_whole();
}

/// The wish comes while one lands already: that one lands again, nobody else does.
#[test]
fn what_is_finished_during_a_landing_by_itself_lands_after_it() {
    let field = field("");
    let only_there = format!("case \"$PWD\" in */.verify) {};; esac", waiting(&field));
    let check = format!("[[verify]]\nname = \"slow\"\nrun = '''{only_there}'''\nretries = 0\n");
    field.program.configure(&format!("{check}[merge]\n{AUTO}"));
    let home = field.program.env.root().join("home");
    field.open("a", &[]).commit("a", "x\n");
    field.program.wt(&["done", "a"]).ok();
    field.program.file(&home.join("checking"));
    let lander = field.program.role("__land");
    field.open("b", &[]).commit("b", "x\n");
    field.program.wt(&["done", "b"]).ok();
    assert_eq!((lander.len(), field.program.role("__land")), (1, lander));
    assert!(field.layout().auto_wanted().exists());
    fs::write(home.join("go"), "").unwrap();
    landed(&field, "b");
    lander_is_gone(&field);
    assert!(!field.layout().auto_wanted().exists() && !field.layout().auto_begun().exists());
}

#[test]
fn a_conflict_is_the_tasks_own_and_other_trouble_is_told() {
    let field = field("");
    field.open("a", &[]).commit("shared", "a\n");
    field.open("b", &[]).commit("shared", "b\n");
    field.program.wt(&["done", "a"]).ok();
    landed(&field, "a");
    field.program.wt(&["done", "b"]).ok();
    field.program.until("the conflict", || (field.state("b") == State::Conflict).then_some(()));
    lander_is_gone(&field);
    assert!(!field.layout().auto_failed().exists());
    // The main checkout is in the middle of something: nothing can land.
    field.open("c", &[]).commit("c", "c\n");
    let main = field.repo().path().join(".git");
    fs::write(main.join("MERGE_HEAD"), field.main() + "\n").unwrap();
    field.program.wt(&["done", "c"]).ok();
    field.program.until("the trouble", || field.layout().auto_failed().exists().then_some(()));
    lander_is_gone(&field);
    assert_eq!(field.state("c"), State::Done { skipped: false });
    let told = field.program.wt(&["status"]).ok();
    assert!(
        told.contains("not landed by itself: nothing was landed: a merge of `main` is unfinished"),
        "{told}"
    );
    let view = field.program.wt(&["status", "--json"]).json();
    assert!(view["auto_error"].as_str().unwrap().contains("unfinished"));
    assert!(field.program.wt(&["doctor"]).out.contains("auto-landing"));
    fs::remove_file(main.join("MERGE_HEAD")).unwrap();
    field.merge(&["c"]).ran.ok();
    assert!(!field.program.wt(&["status"]).ok().contains("not landed by itself"));
}

#[test]
fn commands_that_nobody_approved_land_nothing() {
    let field = field("");
    let go = field.program.env.root().join("go");
    let steps = ["write:a=x", "commit:add a", &format!("wait-for:{}", go.display())];
    field.program.spawn("a", &steps, &[]).ok();
    field.program.started("a@1");
    field.repo().commit(".wt.toml", "[[verify]]\nname = \"x\"\nrun = \"touch $HOME/ran\"\n");
    fs::write(&go, "").unwrap();
    field.program.until("the trouble", || field.layout().auto_failed().exists().then_some(()));
    lander_is_gone(&field);
    assert_eq!(field.state("a"), State::Done { skipped: false });
    assert!(field.program.wt(&["status"]).ok().contains("are not approved"));
    assert!(!field.program.env.root().join("home/ran").exists());
}

#[test]
fn a_landing_that_was_killed_is_begun_again_by_the_next_command() {
    let field = field("");
    field.open("a", &[]).commit("a", "a\n");
    field.finish("a");
    let check = slow(&field);
    field.program.configure(&format!("{check}[merge]\n{AUTO}"));
    let home = field.program.env.root().join("home");
    fs::write(field.layout().auto_wanted(), "").unwrap();
    field.program.wt(&["status"]).ok();
    field.program.file(&home.join("checking"));
    let [lander] = field.program.role("__land")[..] else { panic!("one lands") };
    field.program.wt(&["status"]).ok();
    assert_eq!(field.program.role("__land"), [lander], "never two at once");
    kill(lander);
    fs::write(home.join("go"), "").unwrap();
    field.program.until("its turn", || {
        field.program.wt(&["status"]).ok();
        (field.state("a") == State::Landed).then_some(())
    });
    lander_is_gone(&field);
    field.is_whole();
}

#[test]
fn without_the_setting_nothing_lands_by_itself() {
    let field = Field::new();
    field.program.spawn("a", &["write:a=x", "commit:add a"], &["--wait"]).ok();
    assert_eq!(field.state("a"), State::Done { skipped: false });
    assert!(!field.layout().auto_wanted().exists() && field.program.role("__land").is_empty());
}

#[test]
fn what_a_person_took_back_waits_for_a_person() {
    let field = field("");
    field.open("a", &[]).commit("a", "a\n");
    field.program.wt(&["done", "a"]).ok();
    landed(&field, "a");
    lander_is_gone(&field);
    let undone = field.program.wt(&["undo"]).ok();
    assert!(undone.is_empty() || undone.contains("done"), "{undone}");

    field.open("b", &[]).commit("b", "b\n");
    field.program.wt(&["done", "b"]).ok();
    landed(&field, "b");
    lander_is_gone(&field);
    assert_eq!(field.state("a"), State::Done { skipped: false });

    // Who works on it again wants it.
    let worktree = field.program.worktree("a");
    fs::write(worktree.join("a"), "better\n").unwrap();
    field.program.wt(&["exec", "a", "--", "git", "commit", "-qam", "better a"]).ok();
    field.open("c", &[]).commit("c", "c\n");
    field.program.wt(&["done", "c"]).ok();
    for name in ["a", "c"] {
        landed(&field, name);
    }
    lander_is_gone(&field);

    field.program.wt(&["undo"]).ok();
    field.program.wt(&["merge", "--all"]).ok();
    assert_eq!((field.state("a"), field.state("c")), (State::Landed, State::Landed));
    field.is_whole();
}
