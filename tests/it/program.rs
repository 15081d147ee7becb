//! The real program on a real repository, with the scripted agent: what the tests of verbs and faults stand on.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::env::{Env, TestRepo};

/// The longest any test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The scripted agent.
pub const FAKE: &str = env!("CARGO_BIN_EXE_wt-fake-agent");

/// The program under test.
pub const WT: &str = env!("CARGO_BIN_EXE_wt");

/// A repository to run `wt` in, with the scripted agent configured as `fake`.
pub struct Program {
    /// The place.
    pub env: Env,
    /// The repository, one commit on `main`.
    pub repo: TestRepo,
    /// How many spare workspaces are kept; none, unless a test is about them.
    pub pool: &'static str,
    /// How long is rested between two looks for conflicts among tasks; never is looked, unless a test is about them.
    pub foresee: &'static str,
}

/// What a run of `wt` came to.
#[must_use]
#[derive(Debug)]
pub struct Ran {
    /// The exit code; -1: ended by a signal.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    /// Returns standard output of a run that must have gone well.
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self.out
    }

    /// Returns standard error of a run that must have ended with `code`.
    pub fn fails(self, code: i32) -> String {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self.err
    }

    /// Returns standard output as JSON, whatever the exit code.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("no JSON: {}\n{}", self.out, self.err))
    }
}

impl Program {
    /// Makes a repository with the scripted agent as default and no time lost between retries.
    pub fn new() -> Self {
        let (env, repo) = Env::with_repo();
        let program = Self { env, repo, pool: "0", foresee: "0" };
        program.configure("");
        program
    }

    /// Replaces the user's configuration: the scripted agent, and `more`.
    pub fn configure(&self, more: &str) {
        // No test may ask an agent of this machine, or use a merge tool that happens to be installed.
        let merge = if more.contains("[merge]") {
            ""
        } else {
            "[merge]\nagent = \"nobody\"\n[agents.nobody]\ncommand = [\"wt-no-such-agent\"]\n"
        };
        let (more, merge) = [more, merge]
            .map(|text| {
                let chosen = text.contains("structural = ");
                if chosen { text.to_owned() } else { text.replace("[merge]\n", "[merge]\nstructural = []\n") }
            })
            .into();
        let text = format!(
            "[agent]\ndefault = \"fake\"\n[agents.fake]\ncommand = [\"{FAKE}\"]\nevents = \"text\"\nstop = {{ grace = \"500ms\" }}\n{more}\n{merge}"
        );
        let folder = self.env.root().join("home/.config/wt");
        std::fs::create_dir_all(&folder).unwrap();
        // At once: a runner may be reading it.
        std::fs::write(folder.join("config.new"), text).unwrap();
        std::fs::rename(folder.join("config.new"), folder.join("config.toml")).unwrap();
    }

    /// Returns a `wt` to be run in the main checkout.
    pub fn command(&self, args: &[&str]) -> Command {
        self.command_in(self.repo.path(), args)
    }

    /// Returns a `wt` to be run in that folder.
    pub fn command_in(&self, folder: &Path, args: &[&str]) -> Command {
        let mut command = self.env.command(WT, folder);
        command.args(args).env("WT_POOL", self.pool).env("WT_FORESEE", self.foresee);
        command
    }

    /// Runs `wt` in the main checkout.
    pub fn wt(&self, args: &[&str]) -> Ran {
        ran(self.command(args).output().unwrap())
    }

    /// Runs `wt` in that folder.
    pub fn wt_in(&self, folder: &Path, args: &[&str]) -> Ran {
        ran(self.command_in(folder, args).output().unwrap())
    }

    /// Spawns a task whose scripted agent takes these steps.
    pub fn spawn(&self, name: &str, steps: &[&str], more: &[&str]) -> Ran {
        let prompt = format!("SCRIPT:\n{}\n", steps.join("\n"));
        let args: Vec<&str> = ["spawn", name, &prompt].into_iter().chain(more.iter().copied()).collect();
        self.wt(&args)
    }

    /// Returns the state folder.
    pub fn state(&self) -> PathBuf {
        self.repo.path().join(".git/wt")
    }

    /// Returns where a task's workspace is.
    pub fn worktree(&self, name: &str) -> PathBuf {
        self.env.root().join("repo-worktrees").join(name)
    }

    /// Returns `wt status --json` of one task.
    pub fn task(&self, name: &str) -> Value {
        let ran = self.wt(&["status", name, "--json"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        ran.json()["tasks"][0].clone()
    }

    /// Waits until the journal says that an attempt of the task (`NAME@G`) has started.
    pub fn started(&self, id: &str) {
        self.until("its start", || self.told(id).contains(&"started".to_owned()).then_some(()));
    }

    /// Returns the state's word of one task.
    pub fn state_of(&self, name: &str) -> String {
        self.task(name)["state"].as_str().unwrap().to_owned()
    }

    /// Returns the journal's records.
    pub fn journal(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.state().join("journal.jsonl")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Returns everything that a refusal must leave as it was: refs, worktrees, folders, the journal and the tasks' folders.
    pub fn world(&self) -> String {
        let listed = |folder: &Path| {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            let mut names: Vec<String> =
                entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
            names.sort();
            names.join(" ")
        };
        [
            self.repo.git(&["for-each-ref"]),
            self.repo.git(&["worktree", "list", "--porcelain"]),
            self.repo.git(&["status", "--porcelain"]),
            listed(&self.env.root().join("repo-worktrees")),
            listed(&self.state().join("tasks")),
            std::fs::read_to_string(self.state().join("journal.jsonl")).unwrap_or_default(),
        ]
        .join("\n--\n")
    }

    /// Runs `wt`, which must refuse with `code` and change nothing; returns what it said.
    pub fn refuses(&self, code: i32, args: &[&str]) -> String {
        let before = self.world();
        let said = self.wt(args).fails(code);
        assert_eq!(self.world(), before, "{args:?} changed something: {said}");
        said
    }

    /// Returns the events of a task, in order.
    pub fn events(&self, id: &str) -> Vec<Value> {
        let of_task = |record: Value| (record["task"] == id).then(|| record["event"].clone());
        self.journal().into_iter().filter_map(of_task).collect()
    }

    /// Returns the types of a task's events, in order.
    pub fn told(&self, id: &str) -> Vec<String> {
        self.events(id).iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
    }

    /// Returns the processes that run `wt` in that role for this repository.
    pub fn role(&self, role: &str) -> Vec<u32> {
        let here = self.repo.path().to_string_lossy().into_owned();
        let is = |line: &[u8]| {
            let second = line.split(|b| *b == 0).nth(1);
            second == Some(role.as_bytes()) && String::from_utf8_lossy(line).contains(&here)
        };
        processes(is)
    }

    /// Waits, asking `ask` again and again, until it says something; panics with the journal when patience is up.
    pub fn until<T>(&self, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            assert!(begun.elapsed() < PATIENCE, "waited for {what}; journal:\n{:#?}", self.journal());
            std::thread::yield_now();
        }
    }

    /// Waits until a file exists and returns its text.
    pub fn file(&self, path: &Path) -> String {
        self.until(&path.display().to_string(), || {
            std::fs::read_to_string(path).ok().filter(|text| !text.is_empty())
        })
    }
}

impl Drop for Program {
    /// Ends what a test left running, before its folder goes.
    fn drop(&mut self) {
        if self.state().join("journal.jsonl").exists() {
            drop(self.command(&["stop", "--all", "--quiet"]).output());
        }
    }
}

/// Returns the living processes whose command line (NUL-separated) is such.
pub fn processes(is: impl Fn(&[u8]) -> bool) -> Vec<u32> {
    let numbers = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| is(&std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()) && alive(*pid))
        .collect()
}

/// Returns whether a process has watched the journal and used next to no processor time in half a second.
pub fn asleep(pid: u32) -> bool {
    let ticks = || -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let mut targets = descriptors.filter_map(|fd| std::fs::read_link(fd.path()).ok());
    if !targets.any(|to| to.to_string_lossy().contains("inotify")) {
        return false;
    }
    let before = ticks();
    std::thread::sleep(Duration::from_millis(500));
    ticks() - before <= 1
}

/// Ends a process as `kill -9` does.
pub fn kill(pid: u32) {
    assert!(kill_if_alive(pid), "{pid} was gone before it was killed");
}

/// The same of one that may end by itself; returns whether it was there.
pub fn kill_if_alive(pid: u32) -> bool {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    match rustix::process::kill_process(pid, rustix::process::Signal::KILL) {
        Err(rustix::io::Errno::SRCH) => false,
        killed => killed.map(|()| true).unwrap(),
    }
}

/// Ends several processes as if in one instant: none of them sees another one's death, and all are gone, with what they
/// held, when this returns.
pub fn kill_together(pids: &[u32]) {
    let number = |pid: &u32| rustix::process::Pid::from_raw(i32::try_from(*pid).unwrap()).unwrap();
    for pid in pids {
        rustix::process::kill_process(number(pid), rustix::process::Signal::STOP).unwrap();
    }
    let begun = Instant::now();
    while !pids.iter().all(|pid| stat_of(*pid).starts_with('T')) {
        assert!(begun.elapsed() < PATIENCE, "not all of {pids:?} are stopped");
        std::thread::yield_now();
    }
    for pid in pids {
        kill(*pid);
    }
    gone_within(PATIENCE, pids);
}

/// Waits until all of these processes are gone, at most `limit`.
pub fn gone_within(limit: Duration, pids: &[u32]) {
    let begun = Instant::now();
    while pids.iter().any(|pid| alive(*pid)) {
        let left: Vec<_> = pids.iter().filter(|pid| alive(**pid)).collect();
        assert!(begun.elapsed() < limit, "still alive: {left:?}");
        std::thread::yield_now();
    }
}

/// Reads what a finished `wt` came to.
#[expect(clippy::needless_pass_by_value, reason = "what was read is done with")]
pub fn ran(output: Output) -> Ran {
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Returns whether a process of that number runs (a zombie does not).
pub fn alive(pid: u32) -> bool {
    let stat = stat_of(pid);
    !stat.is_empty() && !stat.starts_with(['Z', 'X'])
}

/// Returns what the kernel says of a process, from its state letter on; nothing where there is none.
fn stat_of(pid: u32) -> String {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().unwrap_or_default().trim_start().to_owned()
}
