//! Green main: many tasks of all kinds, landings that are killed at any moment, somebody who commits in between: `main` is
//! never red, every task comes to an end that is true, and nothing is lost.
//!
//! The suite lands a few; `just green` lands 200 with a seed of the day (`WT_GREEN_TASKS`, `WT_GREEN_SEED` say others).

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use wt::failpoint::POINTS;
use wt::model::State;

use super::field::Field;

/// The check: nothing that is bad by itself, and no pair of which only one may be there.
const CONDITION: &str = r#"if ls | grep -q '^bad'; then exit 1; fi
for left in left*; do if test -e "$left" && test -e "right${left#left}"; then exit 1; fi; done"#;

fn is_green(files: &[&str]) -> bool {
    let pair = |file: &&str| {
        file.strip_prefix("left").is_some_and(|n| files.contains(&format!("right{n}").as_str()))
    };
    !files.iter().any(|file| file.starts_with("bad") || pair(file))
}

/// What is to become of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Good,
    /// Breaks the check alone.
    Bad,
    /// Breaks it with any of the other side of its group.
    Pair,
    /// Does not merge with the others of its file: one of them lands.
    Same,
    /// Needs a person's approval.
    Guarded,
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % most
    }
}

struct Planned {
    name: String,
    kind: Kind,
    /// Those of the same pair or file.
    group: usize,
    head: String,
}

fn plan(field: &Field, dice: &mut Dice, tasks: usize) -> Vec<Planned> {
    let mut made = Vec::new();
    for n in 0..tasks {
        let (kind, group, file) = match dice.below(20) {
            0 | 1 => (Kind::Bad, n, format!("bad{n}")),
            2..=4 => {
                let side = if dice.below(2) == 0 { "left" } else { "right" };
                (Kind::Pair, n / 6, format!("{side}{}", n / 6))
            }
            5..=7 => (Kind::Same, n / 5, format!("same{}", n / 5)),
            8 => (Kind::Guarded, n, format!("migrations/{n}")),
            _ => (Kind::Good, n, format!("good{n}")),
        };
        let (name, own, text) = (format!("t{n}"), format!("own{n}"), format!("{n}\n"));
        let text = if kind == Kind::Pair { "x\n" } else { text.as_str() };
        let mut files = vec![(own.as_str(), "x\n"), (file.as_str(), text), (own.as_str(), "y\n")];
        files.truncate(2 + usize::try_from(dice.below(2)).unwrap());
        let priority = (1 + dice.below(5)).to_string();
        let head = field.done_with(&name, &files, &["--priority", &priority]);
        made.push(Planned { name, kind, group, head });
    }
    made
}

/// Kills a landing at a moment that the dice say, or at a point; returns whether it was over before.
fn run_and_kill(field: &Field, dice: &mut Dice, patience: u64) -> bool {
    let mut merge = field.program.command(&["merge", "--all", "--keep", "--quiet", "--no-agent"]);
    let mut points: Vec<&&str> = POINTS.iter().filter(|point| point.starts_with("land.after")).collect();
    points.extend(POINTS.iter().filter(|point| point.starts_with("journal.")));
    let at_point = dice.below(2) == 0;
    if at_point {
        let point = points[usize::try_from(dice.below(points.len() as u64)).unwrap()];
        merge.env("WT_FAILPOINT", format!("{point}:{}", 1 + dice.below(2)));
    }
    let mut merge: Child = merge.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let limit =
        Instant::now() + Duration::from_millis(if at_point { 60_000 } else { 20 + dice.below(patience) });
    // Somebody commits while it runs, where git lets them.
    by_hand(field, dice);
    let ended = loop {
        match merge.try_wait().unwrap() {
            Some(ended) => break ended,
            None if Instant::now() < limit => std::thread::yield_now(),
            None => {
                let _ = kill_process(Pid::from_child(&merge), Signal::KILL);
                break merge.wait().unwrap();
            }
        }
    };
    ended.code().is_some()
}

fn by_hand(field: &Field, dice: &mut Dice) {
    let file = format!("hand{}", dice.below(1_000_000));
    field.repo().write(&file, "by hand\n");
    // A landing may hold the index just now; then it is nobody's loss.
    if field.repo().try_git(&["add", &file]).status.success() {
        field.repo().try_git(&["commit", "-q", "-m", "by hand", "--", &file]);
    }
}

#[expect(clippy::print_stdout, reason = "figures for whoever runs it by hand")]
fn stays_green(tasks: usize, rounds: usize, seed: u64) {
    let field = Field::new();
    let script = field.script("check", &format!("echo x >> \"$HOME/runs\"\n{CONDITION}"));
    let review = "[merge]\nreview = [\"migrations/**\"]\n";
    field
        .program
        .configure(&format!("[[verify]]\nname = \"check\"\nrun = '''{script}'''\nretries = 0\n{review}"));
    field.repo().commit("edited", "theirs\n");
    let mut dice = Dice(seed.max(1));
    let planned = plan(&field, &mut dice, tasks);
    field.repo().write("edited", "mine\n");
    field.repo().write("staged", "mine\n");
    field.repo().git(&["add", "staged"]);
    field.repo().write("untracked", "mine\n");
    let first = field.main();
    let mut whole = 0;
    for _ in 0..rounds {
        whole += usize::from(run_and_kill(&field, &mut dice, 300 + 10 * tasks as u64));
        let lock = field.layout().lock("land");
        field.program.until("the check's end", || (!wt::store::Lock::is_held(&lock)).then_some(()));
    }
    let said = field.merge(&["--all", "--no-agent"]);
    assert!([0, 4, 5].contains(&said.code()), "seed {seed}: {}", said.ran.err);

    let stations = field.repo().git(&["reflog", "show", "--format=%H", "main"]);
    let since: Vec<&str> = stations.lines().take_while(|commit| *commit != first).collect();
    for commit in &since {
        let files = field.repo().git(&["ls-tree", "-r", "--name-only", commit]);
        assert!(is_green(&files.lines().collect::<Vec<_>>()), "seed {seed}: {commit}: {files}");
    }
    let mut landed: BTreeMap<(Kind, usize), usize> = BTreeMap::new();
    let mut came_to: BTreeMap<&str, usize> = BTreeMap::new();
    for Planned { name, kind, group, head } in &planned {
        let state = field.state(name);
        let fits = match kind {
            Kind::Good => state == State::Landed,
            Kind::Bad => state == State::Rejected,
            Kind::Pair => matches!(state, State::Landed | State::Rejected),
            Kind::Same => matches!(state, State::Landed | State::Conflict),
            Kind::Guarded => state == State::Review,
        };
        assert!(fits, "seed {seed}: {name}, {kind:?}, is {}", state.word());
        *landed.entry((*kind, *group)).or_default() += usize::from(state == State::Landed);
        *came_to.entry(state.word()).or_default() += 1;
        assert_eq!(field.repo().rev(&format!("refs/heads/wt/{name}")), *head, "{name}: its branch stays");
    }
    for ((kind, group), landed) in landed {
        assert!(kind != Kind::Same || landed == 1, "seed {seed}: {landed} of same{group} landed");
        assert!(kind != Kind::Pair || landed >= 1, "seed {seed}: none of the pair {group} landed");
    }
    let read = |path| field.repo().read(path);
    assert_eq!([read("edited"), read("staged"), read("untracked")], ["mine\n", "mine\n", "mine\n"]);
    let staged = field.repo().git(&["diff", "--cached", "--name-only", "--", "staged"]);
    assert_eq!(staged.trim(), "staged");
    let runs = std::fs::read_to_string(field.program.env.root().join("home/runs")).unwrap();
    field.is_whole();
    println!(
        "seed {seed}: {tasks} tasks, {rounds} landings of which {whole} came to their end, then one more; {} commits of \
         main, all green; {} checks; {came_to:?}",
        since.len(),
        runs.lines().count(),
    );
}

/// Fault rows 22 and 23 at once.
#[test]
fn main_stays_green_whatever_is_killed() {
    stays_green(32, 10, 11);
}

#[test]
#[ignore = "minutes; `just green`"]
fn main_stays_green_with_many_tasks() {
    let of = |name: &str| std::env::var(name).ok().and_then(|n| n.parse().ok());
    let tasks = of("WT_GREEN_TASKS").unwrap_or(200);
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    stays_green(usize::try_from(tasks).unwrap(), 40, of("WT_GREEN_SEED").unwrap_or(now));
}
