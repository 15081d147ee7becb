//! Who has the landing lock, told to whoever waits for it.

use std::process::{Child, Stdio};
use std::time::Duration;

use fs_err as fs;
use wt::error::{BUSY, CommandError};
use wt::model::Holder;
use wt::store::{Lock, LockError};

use super::field::Field;
use crate::program::{kill, ran};

/// Starts a landing whose check waits for the file `go` in the home folder, and waits until it is at that.
fn slow(field: &Field, args: &[&str]) -> Child {
    let home = field.program.env.root().join("home");
    let script =
        field.script("slow", "echo x > \"$HOME/checking\"; until test -e \"$HOME/go\"; do sleep 0.02; done");
    let args = [&["merge"], args, &["--check", &script, "--quiet"]].concat();
    let mut merge = field.program.command(&args);
    let merge = merge.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    field.program.file(&home.join("checking"));
    merge
}

#[test]
fn whoever_waits_is_told_for_whom() {
    let field = Field::new();
    for name in ["a", "b"] {
        field.done(name, &[(name, "x\n")]);
    }
    let mut first = slow(&field, &["--all"]);
    field.done("c", &[("c", "x\n")]);
    let mut second = field.program.command(&["merge", "c"]);
    let said = field.program.env.root().join("said");
    let file = std::fs::File::create(&said).unwrap();
    let mut second = second.stderr(file).stdout(Stdio::null()).spawn().unwrap();
    let line = field.program.until("the line", || {
        let said = fs::read_to_string(&said).unwrap();
        said.ends_with('\n').then_some(said)
    });
    let (head, tail) = line.trim_end().split_once(", since ").unwrap();
    assert_eq!(head, format!("waiting for `wt merge --all` (pid {}", first.id()));
    assert_eq!(tail.split_once("), ").unwrap().1, "which lands `a`, `b` on `main`");
    fs::write(field.program.env.root().join("home/go"), "").unwrap();
    assert!(first.wait().unwrap().success() && second.wait().unwrap().success());
    assert_eq!(field.subjects(), ["change c", "change b", "change a"]);
    assert!(Lock::holder(&field.layout().lock("land")).is_none());
    assert_eq!(fs::read_to_string(field.layout().lock("land")).unwrap(), "", "nobody is named who is done");
}

#[test]
fn a_lock_that_stays_busy_names_its_holder() {
    let field = Field::new();
    field.done("a", &[("a", "x\n")]);
    let mut first = slow(&field, &["a"]);
    let path = field.layout().lock("land");
    let error = Lock::take(&path, Duration::from_millis(50), "a test").unwrap_err();
    assert!(matches!(&error, LockError::Busy { holder: Some(holder), .. } if holder.pid == first.id()));
    let refusal = CommandError::caused("nothing was landed", &error);
    assert_eq!(refusal.code, BUSY);
    assert!(refusal.causes[0].contains(&format!("held by `wt merge a` (pid {}, since", first.id())));
    let view = serde_json::to_value(refusal.view()).unwrap();
    let holder = &view["error"]["holder"];
    assert_eq!((&holder["command"], &holder["target"]), (&"wt merge a".into(), &"main".into()));
    assert_eq!(holder["tasks"], serde_json::json!(["a"]));
    fs::write(field.program.env.root().join("home/go"), "").unwrap();
    first.wait().unwrap();
}

#[test]
fn a_dead_holder_is_never_named() {
    let field = Field::new();
    field.done("a", &[("a", "x\n")]);
    let mut first = slow(&field, &["a"]);
    kill(first.id());
    first.wait().unwrap();
    let path = field.layout().lock("land");
    let left = fs::read_to_string(&path).unwrap();
    assert!(left.contains("wt merge a"), "a killed one cannot clear what it wrote");
    assert_eq!(Lock::holder(&path), None);
    // Somebody who has not signed yet has it.
    let held = field.program.until("the lock", || Lock::try_take(&path).unwrap());
    assert_eq!(fs::read_to_string(&path).unwrap(), left);
    assert_eq!(Lock::holder(&path), None);
    held.write(&Holder::this("a test", jiff::Timestamp::now()));
    assert_eq!(Lock::holder(&path).unwrap().command, "a test");
    drop(held);
    fs::write(field.program.env.root().join("home/go"), "").unwrap();
    assert_eq!(ran(field.program.command(&["merge", "a"]).output().unwrap()).code, 0);
}
