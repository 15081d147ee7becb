//! The hidden role that runs `on_event` for what happened, beside everything else.
//!
//! Where it has come to in the journal stands in a file of its own, so each event is told in order and once (twice if the
//! machine goes down in that very moment). One at a time: whoever holds the lock; the journal itself is the wish, and is
//! looked at again after the lock is free, so nothing is missed. Nothing polls: whoever appends an event ends with a pass.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use fs_err as fs;

use super::context::{Context, Global, Trust};
use super::events;
use crate::error::{self, CommandError, During as _};
use crate::git::command::REDIRECTING;
use crate::model::happening::{TOLD, Turns};
use crate::model::view::verbs::EventView;
use crate::process::launch;
use crate::process::run::{Shell, shell_blocking};
use crate::store::layout::private_folder;
use crate::store::tail::{Place, Tail};
use crate::store::{Layout, Lock};

/// The role's first argument.
pub const ROLE: &str = "__notify";

/// How long one run of the command may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Sees to it that what happened is told, if anybody wants to hear it; waits for nothing.
pub fn begin(context: &Context) {
    let layout = context.layout();
    if context.settings().on_event.trim().is_empty() || !layout.journal().exists() {
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
                run(&context, &command, view).during(what)?;
            }
        }
        keep(layout, tail.place()).during(what)?;
        drop(lock);
        if !tail.has_more() {
            return Ok(());
        }
    }
}

/// Runs the command for one event; how it ends is nobody's business but its own, and stands in its log.
fn run(context: &Context, command: &str, view: &EventView) -> std::io::Result<()> {
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
        timeout: LIMIT,
        log: &layout.notified().join("on_event.log"),
        token: &uuid::Uuid::new_v4().simple().to_string(),
        shared: &[],
        then: &[],
    };
    shell_blocking(&shell, std::future::pending()).map(drop)
}

fn place(layout: &Layout) -> Option<Place> {
    serde_json::from_slice(&fs::read(layout.notified().join("place.json")).ok()?).ok()
}

fn keep(layout: &Layout, place: Place) -> std::io::Result<()> {
    private_folder(&layout.notified())?;
    let mut fresh = tempfile::NamedTempFile::new_in(layout.notified())?;
    fresh.write_all(&serde_json::to_vec(&place).map_err(std::io::Error::other)?)?;
    fresh.persist(layout.notified().join("place.json")).map_err(|failed| failed.error)?;
    Ok(())
}
