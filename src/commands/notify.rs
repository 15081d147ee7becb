//! The hidden role that runs `on_event` for what happened, beside everything else.
//!
//! Where it has come to in the journal stands in a file of its own, so each event is told in order and once (twice if the
//! machine goes down in that very moment). One at a time: whoever holds the lock; the journal itself is the wish, and is
//! looked at again after the lock is free, so nothing is missed. Nothing polls: whoever appends an event ends with a pass.
//!
//! A command that hangs holds nothing up but its own next event. After `MANY` events in a row that it did not get done with in
//! time it is given up: a person is told once, what happens since stays in the journal, and it hears of that when it gets done
//! with one again, tried from time to time, or when another command stands in its place.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::context::{Context, Global, Trust};
use super::events;
use crate::error::{self, CommandError, During as _};
use crate::git::command::REDIRECTING;
use crate::model::Clock as _;
use crate::model::happening::{TOLD, Turns};
use crate::model::view::verbs::EventView;
use crate::process::launch;
use crate::process::run::{Shell, shell_blocking};
use crate::store::layout::private_folder;
use crate::store::tail::{Place, Tail};
use crate::store::{Layout, Lock};
use crate::ui::message;

/// The role's first argument.
pub const ROLE: &str = "__notify";

/// How long one run of the command may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Returns the same; tests have less patience.
fn limit() -> Duration {
    let told = std::env::var("WT_TEST_EVENT_LIMIT").ok().and_then(|seconds| seconds.parse().ok());
    told.map_or(LIMIT, Duration::from_secs)
}

/// After so many time-outs in a row it is given up.
const MANY: u32 = 3;

/// After that long it is tried once more with one event.
const REST: Duration = Duration::from_secs(600);

/// The trouble with a command that does not end in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Trouble {
    /// The command.
    command: String,
    /// How many events in a row it did not get done with.
    timeouts: u32,
    /// When the last of these ended.
    last: Timestamp,
    /// Whether a person was told that it is given up.
    #[serde(default)]
    told: bool,
}

impl Trouble {
    /// Returns the trouble with this command, if there is any.
    fn of(layout: &Layout, command: &str) -> Option<Self> {
        let trouble: Self = serde_json::from_slice(&fs::read(trouble(layout)).ok()?).ok()?;
        (trouble.command == command).then_some(trouble)
    }

    fn given_up(&self) -> bool {
        self.timeouts >= MANY
    }

    /// Tells whether it may be run again. A clock that was set back must not make it wait for ever.
    fn may_run(&self, now: Timestamp) -> bool {
        !self.given_up()
            || Duration::try_from(now.duration_since(self.last)).map_or(true, |since| since >= REST)
    }
}

fn trouble(layout: &Layout) -> PathBuf {
    layout.notified().join("trouble.json")
}

/// Sees to it that what happened is told, if anybody wants to hear it; waits for nothing.
pub fn begin(context: &Context) {
    let layout = context.layout();
    if context.settings().on_event.trim().is_empty() || !layout.journal().exists() {
        return;
    }
    let trouble = Trouble::of(layout, &context.settings().on_event);
    if trouble.is_some_and(|trouble| !trouble.may_run(context.clock().now())) {
        return;
    }
    let news = match place(layout) {
        // From now on: what happened before anybody asked is old.
        None => Tail::at_end(layout).and_then(|tail| keep(layout, tail.place())).is_err(),
        Some(place) => Tail::at(layout, place).has_more(),
    };
    if news && !Lock::is_held(&layout.lock("notify")) && context.approved().unwrap_or(false) {
        let common = context.repo().common_dir();
        if let Some(path) = common.to_str() {
            drop(launch::background(&[ROLE, path], common));
        }
    }
}

/// Tells a person that the command was given up, once.
pub fn tell_trouble(context: &Context) {
    let layout = context.layout();
    let Some(known) = Trouble::of(layout, &context.settings().on_event) else { return };
    if known.given_up() && !known.told {
        // Who cannot note that it was told says nothing: it would be said for ever.
        if write(layout, &trouble(layout), &Trouble { told: true, ..known.clone() }).is_ok() {
            message::warning(&format!(
                "`on_event` did not end within {}s, {} times in a row: it is tried again every {} minutes, and hears the rest then",
                limit().as_secs(),
                known.timeouts,
                REST.as_secs() / 60
            ));
            message::hint(&format!("see what it said with `less {}`", log(layout).display()));
        }
    }
}

/// Becomes the one who tells: `COMMON_DIR`.
pub fn role(arguments: &[String]) -> u8 {
    let [common] = arguments else { return error::USAGE };
    match tell(Path::new(common)) {
        Ok(()) => error::DONE,
        Err(refusal) => refusal.code,
    }
}

fn tell(common: &Path) -> Result<(), CommandError> {
    let what = || "events cannot be told".to_owned();
    loop {
        let context = Context::open(&Global::within(common), Trust::NotNeeded)?;
        let command = context.settings().on_event.clone();
        if command.trim().is_empty() || !context.approved()? {
            return Ok(());
        }
        let layout = context.layout();
        let Some(lock) = Lock::try_take(&layout.lock("notify"))? else { return Ok(()) };
        let Some(from) = place(layout) else { return Ok(()) };
        let mut tail = Tail::at(layout, from);
        let mut turns = Turns::from(tail.roster().during(what)?);
        for (record, behind) in tail.records().during(what)? {
            // Before it is run: a command that ends this process must not be run for ever.
            keep(layout, behind).during(what)?;
            let turn = turns.hear(&record);
            for view in events::views(&record, turn).iter().filter(|view| TOLD.contains(&view.kind)) {
                let ended = run(&context, &command, view).during(what)?;
                if judged(&context, &command, ended).during(what)? == Verdict::GivenUp {
                    return Ok(());
                }
            }
        }
        keep(layout, tail.place()).during(what)?;
        drop(lock);
        if !tail.has_more() {
            return Ok(());
        }
    }
}

/// Whether the command goes on hearing of what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Hears,
    GivenUp,
}

/// Takes note of how the command ended.
fn judged(context: &Context, command: &str, ended: Ended) -> std::io::Result<Verdict> {
    let layout = context.layout();
    let known = Trouble::of(layout, command);
    if ended == Ended::ByItself {
        if trouble(layout).exists() {
            fs::remove_file(trouble(layout))?;
        }
        return Ok(Verdict::Hears);
    }
    let (before, told) = known.map_or((0, false), |known| (known.timeouts, known.told));
    let (command, last) = (command.to_owned(), context.clock().now());
    let trouble_now = Trouble { command, timeouts: before.saturating_add(1), last, told };
    write(layout, &trouble(layout), &trouble_now)?;
    Ok(if trouble_now.given_up() { Verdict::GivenUp } else { Verdict::Hears })
}

/// How one run of the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    ByItself,
    TimedOut,
}

fn log(layout: &Layout) -> PathBuf {
    layout.notified().join("on_event.log")
}

/// Runs the command for one event; what it comes to is nobody's business but its own, and stands in its log.
fn run(context: &Context, command: &str, view: &EventView) -> std::io::Result<Ended> {
    let layout = context.layout();
    private_folder(&layout.notified())?;
    let input = layout.notified().join("event.json");
    fs::write(&input, serde_json::to_string(view).map_err(std::io::Error::other)? + "\n")?;
    let folder = context.repo().main_checkout().unwrap_or_else(|| context.repo().common_dir());
    let env = [("WT_EVENT".to_owned(), view.kind.to_owned())];
    let shell = Shell {
        command,
        folder,
        env: &env,
        without: REDIRECTING,
        stdin: Some(&input),
        timeout: limit(),
        log: &log(layout),
        token: &uuid::Uuid::new_v4().simple().to_string(),
        shared: &[],
        then: &[],
    };
    let outcome = shell_blocking(&shell, std::future::pending())?;
    Ok(if outcome.timed_out { Ended::TimedOut } else { Ended::ByItself })
}

fn place(layout: &Layout) -> Option<Place> {
    serde_json::from_slice(&fs::read(layout.notified().join("place.json")).ok()?).ok()
}

fn keep(layout: &Layout, place: Place) -> std::io::Result<()> {
    write(layout, &layout.notified().join("place.json"), &place)
}

/// Writes a file beside the log, whole or not at all.
fn write(layout: &Layout, path: &Path, what: &impl Serialize) -> std::io::Result<()> {
    private_folder(&layout.notified())?;
    let mut fresh = tempfile::NamedTempFile::new_in(layout.notified())?;
    fresh.write_all(&serde_json::to_vec(what).map_err(std::io::Error::other)?)?;
    fresh.persist(path).map_err(|failed| failed.error)?;
    Ok(())
}
