//! The hidden role that lands what is done by itself (`[merge] auto`), beside the runners and out of their way.
//!
//! ```text
//!  a task is done ─▶ auto.wanted ─▶ role (holds `auto`) ─▶ auto.begun ─▶ waits its turn ─▶ `wt merge --all` ─▶ no mark
//!                                     ▲                                                                         │
//!                                     └────────────────────────────── auto.wanted again ◀───────────────────────┘
//! ```
//!
//! One at a time: whoever holds the auto lock. A wish is a mark on the disk, made before anybody looks at the lock and looked
//! for again after it is free, so none is lost; the mark of a role that was killed stays, and the next command starts another.
//! Nobody polls: a landing that is under way, a person's too, is waited for in the kernel. What lands is asked for by whatever
//! makes a task done: the end of its runner, `wt done`, `wt approve`, `wt resolve`.
//! `wt stop --all` takes both marks away and ends the role's landing; `wt resume` wishes for one anew.
//! What a person took back with `wt undo` stays out of it until somebody works on it again or lands it by hand.
//! Why a landing did not go through is kept until one does, for `wt status` and `wt doctor`; what it decided about a task is in
//! that task's state.

use std::path::Path;
use std::time::Duration;

use fs_err as fs;

use super::context::{Context, Global};
use super::merge::{self, How};
use crate::error::{self, CommandError, During as _};
use crate::land::{self, Wanted};
use crate::model::clock::SystemClock;
use crate::model::{Clock as _, Roster, State, TaskId};
use crate::process::launch;
use crate::store::auto::{self, Trouble};
use crate::store::{Layout, Lock};
use crate::ui::message;

/// The role's first argument.
pub const ROLE: &str = "__land";

/// What the role is called by others who wait for it.
const NAME: &str = "[merge] auto";

/// How long it waits for another landing: as long as one may take.
const PATIENCE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Sees to it that what is done is landed, if the configuration says so; waits for nothing. Returns whether it will be.
pub fn begin(context: &mut Context) -> bool {
    let done = |context: &mut Context| {
        let roster = context.roster();
        roster.is_ok_and(|roster| roster.live().any(|task| matches!(task.state, State::Done { .. })))
    };
    if !context.settings().merge.auto || !done(context) {
        return false;
    }
    // Before anybody looks at the lock.
    let wished = fs::write(context.layout().auto_wanted(), "").is_ok();
    if wished {
        start(context);
    }
    wished
}

/// Goes on with what a role that was killed has begun.
pub fn resume(context: &Context) {
    let layout = context.layout();
    if !context.settings().merge.auto {
        return;
    }
    if layout.auto_wanted().exists() || layout.auto_begun().exists() {
        start(context);
    }
}

fn start(context: &Context) {
    let (layout, common) = (context.layout(), context.repo().common_dir());
    if Lock::is_held(&layout.lock("auto")) {
        return;
    }
    // What cannot be started is wished still, and started by the next command.
    if let (Some(path), Ok(log)) = (common.to_str(), auto::log(layout)) {
        drop(launch::logged(&[ROLE, path], common, log));
    }
}

/// Becomes the one who lands by itself: `COMMON_DIR`.
pub fn role(arguments: &[String]) -> u8 {
    let [common] = arguments else { return error::USAGE };
    let common = Path::new(common);
    let layout = Layout::below(common);
    loop {
        let Ok(Some(lock)) = Lock::try_take(&layout.lock("auto")) else { return error::DONE };
        let (wanted, begun) = (layout.auto_wanted(), layout.auto_begun());
        if fs::rename(&wanted, &begun).is_err() && !begun.exists() {
            return error::DONE;
        }
        land_all(common, &layout);
        drop(fs::remove_file(&begun));
        drop(lock);
        if !wanted.exists() {
            return error::DONE;
        }
    }
}

fn land_all(common: &Path, layout: &Layout) {
    let global = Global { folder: Some(common.to_owned()), quiet: false };
    let begun = layout.auto_begun();
    let how = How { command: NAME, patience: PATIENCE, all: Wanted::ByItself, mark: Some(&begun) };
    message::note(&format!("== {}", SystemClock.now()));
    let landed = merge::run_as(&global, &merge::Args::all_done(), &how);
    let Err(refusal) = landed else {
        return auto::settle(layout);
    };
    message::error(&refusal.message, &refusal.causes, &refusal.hints);
    if !begun.exists() {
        // Nobody wants it any more.
        return;
    }
    if matches!(refusal.code, error::DECISION | error::VERIFICATION) {
        // The states of the tasks tell.
        return auto::settle(layout);
    }
    let CommandError { message, causes, hints, .. } = refusal;
    // Nobody is left to tell; the log has it too.
    drop(auto::keep(layout, &Trouble { message, causes, hints }));
}

/// Ends a landing that goes on by itself, with its checks and agents, and takes back the wish for one; a person's is left
/// alone. Returns whether one was under way, or waited for its turn.
pub fn end(context: &mut Context) -> Result<bool, CommandError> {
    let layout = context.layout();
    for mark in [layout.auto_wanted(), layout.auto_begun()] {
        // Usually there is none.
        drop(fs::remove_file(mark));
    }
    if !Lock::is_held(&layout.lock("auto")) {
        return Ok(false);
    }
    if Lock::holder(&layout.lock("land")).is_some_and(|holder| holder.command == NAME) {
        let (site, journal) = context.parts();
        land::abort(site.repo, site.layout, site.clock, journal)
            .during(|| "the landing that goes on by itself was not ended".to_owned())?;
    }
    Ok(true)
}

/// Starts a landing after the end of a task's runner. The end of one that a person stopped is no reason for it.
pub fn begin_after(context: &mut Context, id: &TaskId) {
    let stopped = |roster: &Roster| roster.get(id).is_some_and(|task| task.state == State::Stopped);
    if !context.roster().is_ok_and(stopped) {
        begin(context);
    }
}
