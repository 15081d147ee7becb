//! The scripted agent does what its script says: whatever the other tests prove rests on this.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use fs_err as fs;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;

const MARKER: &str = "marked-by-the-fake-agent-test";

fn place() -> TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

fn agent(place: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wt-fake-agent"));
    command.args(arguments).current_dir(place).stdin(Stdio::null()).env("WT_TASK", "a-task");
    for (name, value) in [("GIT_AUTHOR_NAME", "t"), ("GIT_COMMITTER_NAME", "t")] {
        command.env(name, value);
    }
    for name in ["GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"] {
        command.env(name, "t@example.invalid");
    }
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    command
}

fn run(place: &Path, arguments: &[&str]) -> Output {
    agent(place, arguments).output().expect("the agent starts")
}

fn run_with_prompt(place: &Path, arguments: &[&str], prompt: &str) -> Output {
    let mut child = piped(agent(place, arguments).stdin(Stdio::piped()));
    child.stdin.take().expect("piped").write_all(prompt.as_bytes()).expect("the agent reads its prompt");
    child.wait_with_output().expect("the agent ends")
}

fn piped(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the agent starts")
}

fn git(place: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git").args(arguments).current_dir(place).output().expect("git starts");
    assert!(output.status.success(), "git {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("git prints UTF-8 here")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The processes of a `pids-to` file; those still alive are ended with it.
struct Left(Vec<(String, Pid)>);

impl Left {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("`pids-to` wrote it");
        Self(
            text.lines()
                .map(|line| line.split_once(' ').expect("`KIND PID`"))
                .map(|(kind, pid)| {
                    (kind.to_owned(), Pid::from_raw(pid.parse().expect("a pid")).expect("not 0"))
                })
                .collect(),
        )
    }

    fn pid(&self, kind: &str) -> Pid {
        self.0.iter().find(|(name, _)| name == kind).expect("it was started").1
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        for (kind, pid) in &self.0 {
            if kind != "agent" {
                let _ = kill_process(*pid, Signal::KILL);
            }
        }
    }
}

#[test]
fn writes_commits_and_speaks_in_order() {
    let place = place();
    git(place.path(), &["init", "-q", "-b", "main"]);
    let script =
        ["write:d/a.txt=one\\ntwo\\n", "commit:add a", "append:d/a.txt=three", "commit:more", "commit:none"];
    let spoken = ["write:gone=", "delete:gone", "say:hello", "err:oops", "promise:COMPLETE", "env-to:env"];
    let output = run(place.path(), &[&script[..], &spoken[..]].concat());
    assert!(output.status.success(), "{output:?}");
    assert_eq!(git(place.path(), &["log", "--format=%s"]), "more\nadd a\n");
    assert_eq!(git(place.path(), &["show", "HEAD:d/a.txt"]), "one\ntwo\nthree");
    assert_eq!(git(place.path(), &["status", "--porcelain"]), "?? env\n");
    assert_eq!(text(&output.stdout), "hello\n<promise>COMPLETE</promise>\n");
    assert_eq!(text(&output.stderr), "nothing to commit\noops\n");
    assert!(fs::read_to_string(place.path().join("env")).unwrap().contains("WT_TASK=a-task\n"));
}

#[test]
fn takes_its_script_from_the_prompt_or_a_file() {
    let place = place();
    let prompt = "Do it.\nSCRIPT:\nsay:a b\nprompt-to:p\n\nAppended by a loop\n";
    let output = run_with_prompt(place.path(), &[], prompt);
    assert_eq!(text(&output.stdout), "a b\n");
    assert_eq!(fs::read_to_string(place.path().join("p")).unwrap(), prompt);

    fs::write(place.path().join("script"), "# a comment\n\nsay:c\nprompt-to:q\nargs-to:r\n").unwrap();
    let output = run_with_prompt(place.path(), &["--script", "script", "--", "--resume", "id"], "plain");
    assert_eq!(text(&output.stdout), "c\n");
    assert_eq!(fs::read_to_string(place.path().join("q")).unwrap(), "plain");
    assert_eq!(fs::read_to_string(place.path().join("r")).unwrap(), "--resume\nid\n");
}

#[test]
fn a_wrong_step_does_nothing() {
    let place = place();
    let output = run(place.path(), &["touch:a", "wriet:b=c"]);
    assert_eq!(output.status.code(), Some(99));
    assert_eq!(text(&output.stderr), "wt-fake-agent: `wriet:b=c` is no step\n");
    assert!(!place.path().join("a").exists());
    assert_eq!(run(place.path(), &["delete:absent"]).status.code(), Some(99));
    assert_eq!(run(place.path(), &[]).status.code(), Some(99));
}

#[test]
fn ends_as_told() {
    let place = place();
    assert_eq!(run(place.path(), &["exit:7", "touch:after"]).status.code(), Some(7));
    // Not SIGINT: where a shell runs the tests in the background, it is ignored in everything below it.
    for signal in [6, 9, 11, 15] {
        assert_eq!(run(place.path(), &[&format!("signal:{signal}")]).status.signal(), Some(signal));
    }
    let codes = [(); 3].map(|()| run(place.path(), &["fail-first:2:count", "touch:after"]).status.code());
    assert_eq!(codes, [Some(1), Some(1), Some(0)]);
    assert!(place.path().join("after").exists());
}

/// Returns the session of a process; 0 where its leader is outside of this process namespace, as in some containers.
#[cfg(target_os = "linux")]
fn session(pid: Pid) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap();
    let after_name = stat.rsplit_once(") ").expect("`PID (NAME) STATE PARENT GROUP SESSION`").1;
    after_name.split(' ').nth(3).and_then(|number| number.parse().ok()).expect("a session")
}

#[test]
fn leaves_children_of_every_kind() {
    let place = place();
    let marker = format!("marker:{MARKER}");
    let kinds = ["plain-child", "setsid-child", "daemon", "daemon-clean-env"];
    let mut agent = piped(&mut agent(
        place.path(),
        &[&[&*marker], &kinds[..], &["pids-to:pids", "wait-for:go"]].concat(),
    ));
    while !place.path().join("pids").exists() {
        assert!(agent.try_wait().unwrap().is_none(), "the agent ended early");
        std::thread::yield_now();
    }
    let left = Left::read(&place.path().join("pids"));
    let parent = left.pid("agent");
    assert_eq!(parent.as_raw_nonzero().get().unsigned_abs(), agent.id());
    #[cfg(target_os = "linux")]
    {
        let session = session(parent);
        assert_eq!(self::session(left.pid("plain-child")), session);
        let own = left.pid("setsid-child");
        assert_eq!(self::session(own), own.as_raw_nonzero().get());
        assert_ne!(self::session(left.pid("daemon")), session);
    }
    fs::write(place.path().join("go"), "").unwrap();
    // Its end of file comes although the children live: none of them has its pipes.
    assert!(agent.wait_with_output().unwrap().status.success());
    for kind in kinds {
        assert!(test_kill_process(left.pid(kind)).is_ok(), "{kind} is gone");
    }
    #[cfg(target_os = "linux")]
    for kind in kinds {
        let proc = format!("/proc/{}", left.pid(kind).as_raw_nonzero());
        let line = fs::read(format!("{proc}/cmdline")).unwrap();
        assert!(line.ends_with(format!("{MARKER}\0").as_bytes()), "{kind}: {}", text(&line));
        let environment = text(&fs::read(format!("{proc}/environ")).unwrap());
        assert_eq!(environment.contains("WT_TASK=a-task"), kind != "daemon-clean-env", "{kind}");
    }
}

#[test]
fn a_child_can_hold_the_pipe_of_a_dead_agent() {
    let place = place();
    let mut agent = piped(&mut agent(place.path(), &["hold-stdout-child", "pids-to:pids", "say:bye"]));
    let mut out = BufReader::new(agent.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "bye\n");
    assert!(agent.wait().unwrap().success());
    let left = Left::read(&place.path().join("pids"));
    let (ended, end) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let read = out.read_to_end(&mut Vec::new());
        ended.send(()).ok();
        read
    });
    assert!(end.try_recv().is_err(), "the pipe is still open");
    drop(left);
    end.recv().unwrap();
    assert_eq!(reader.join().unwrap().unwrap(), 0);
}

#[test]
fn ignores_sigterm_and_keeps_its_place_in_the_script() {
    let place = place();
    let script = "SCRIPT:\nmarker:m\nplain-child\nignore-term\nsay:ready\nprompt-to:p\npids-to:pids\nwait-for:go\nexit:5\n";
    let mut child = piped(agent(place.path(), &[]).stdin(Stdio::piped()));
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::TERM).unwrap();
    fs::write(place.path().join("go"), "").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(5));
    assert_eq!(fs::read_to_string(place.path().join("p")).unwrap(), script);
    let left = Left::read(&place.path().join("pids"));
    assert_eq!(left.pid("agent"), pid);
    assert!(test_kill_process(left.pid("plain-child")).is_ok());
}

#[test]
fn closes_its_standard_output_and_lives_on() {
    let place = place();
    let mut agent = piped(&mut agent(place.path(), &["say:a", "close-stdout", "say:b", "wait-for:go"]));
    let mut all = String::new();
    agent.stdout.take().unwrap().read_to_string(&mut all).unwrap();
    assert_eq!(all, "a\n");
    assert!(agent.try_wait().unwrap().is_none());
    fs::write(place.path().join("go"), "").unwrap();
    assert!(agent.wait().unwrap().success());
}

#[test]
fn floods_replays_and_sends_escapes() {
    let place = place();
    let flood = run(place.path(), &["flood:2"]).stdout;
    assert_eq!(flood.len(), 2 * 1024 * 1024 + "flood-begin\nflood-end\n".len());
    assert!(flood.starts_with(b"flood-begin\nyyy") && flood.ends_with(b"yyy\nflood-end\n"));
    assert!(run(place.path(), &["flood-for:0.05"]).stdout.len() > 64 * 1024);
    assert_eq!(run(place.path(), &["nonewline:1"]).stdout, vec![b'x'; 1024 * 1024]);

    fs::write(place.path().join("recorded"), b"{\"a\":1}\r\n\xff\nlast").unwrap();
    assert_eq!(run(place.path(), &["replay:recorded"]).stdout, b"{\"a\":1}\r\n\xff\nlast");

    let escapes = run(place.path(), &["escapes"]).stdout;
    for part in
        [&b"\x1b]8;;"[..], b"\x1b]52;", b"\xc2\x9b", b"\x9b", b"\xe2\x80\xae", b"\r", b"\x07", b"\0", b"\xff"]
    {
        assert!(escapes.windows(part.len()).any(|window| window == part), "{part:x?}");
    }
    assert!(String::from_utf8(escapes).is_err());
}
