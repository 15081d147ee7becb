//! The hidden roles: guard, runner, and a pass of its own. They have no terminal; what they find goes to the journal.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use super::context::{Context, Global, Trust};
use super::wait::Changes;
use crate::error::{self, CommandError};
use crate::model::{Clock as _, State, TaskId};
use crate::process::{guard as guard_process, launch};
use crate::store::Lock;
use crate::supervise::runner::{self, After};
use crate::supervise::{pass as scheduling, schedule};

/// Becomes the guard of one command.
pub fn guard(arguments: &[String]) -> u8 {
    if guard_process::run(arguments).is_ok() { error::DONE } else { error::BUG }
}

/// Becomes the runner of a task: `COMMON_DIR NAME@G`, with its lock and slot as standard input and output.
pub fn runner(arguments: &[String]) -> u8 {
    match run_task(arguments) {
        Ok(()) => error::DONE,
        Err(refusal) => refusal.code,
    }
}

fn run_task(arguments: &[String]) -> Result<(), CommandError> {
    let (common, id) = named(arguments)?;
    let (lock, slot) = launch::inherited()?;
    let mut context = Context::open(&Global::within(common), Trust::Required)?;
    let folder = context.layout().task(&id);
    let lock = Lock::adopt(lock, &folder.lock());
    let slot = Lock::adopt(slot, context.layout().root());
    // An error is in the journal or in the exit record by now; the pass below sees to the rest.
    let (site, journal) = context.parts();
    let after = runner::run(&site, journal, &id, &lock, slot);
    // The limits may be lower than when the attempt began.
    let mut context = context.anew(&Global::within(common));
    if let Ok(After::Wait(until)) = after {
        context.pass_quietly();
        begin_others(&mut context, &id);
        drop(runner::rest(&context.site(), &id, until));
        context = context.anew(&Global::within(common));
        drop(lock);
        context.pass_quietly();
    } else {
        // One pass for the slot and for the task, which may be queued again.
        drop(lock);
        context.pass_quietly();
        begin_others(&mut context, &id);
    }
    Ok(())
}

/// Starts what the end of an attempt calls for besides a pass.
fn begin_others(context: &mut Context, id: &TaskId) {
    super::tend::begin(context);
    super::auto::begin_after(context, id);
    super::foresee::begin(context);
}

/// The longest sleep of who waits for breakers and accounts, whom a change of the journal wakes: a wall clock may be set.
const NAP: Duration = Duration::from_secs(60);

/// Runs a pass: `COMMON_DIR [NAME@G]`. With a task, its back-off is waited for and followed by another pass: this is
/// what a guard does in the place of a runner that was killed. Without, it is passed whenever a breaker half opens, or the
/// rest of an account ends, that keeps tasks from starting, until none does.
pub fn pass(arguments: &[String]) -> u8 {
    let ran = match arguments {
        [common] => wake(Path::new(common)),
        _ => pass_for(arguments),
    };
    match ran {
        Ok(()) => error::DONE,
        Err(refusal) => refusal.code,
    }
}

fn pass_for(arguments: &[String]) -> Result<(), CommandError> {
    let (common, id) = named(arguments)?;
    let mut context = Context::open(&Global::within(common), Trust::NotNeeded)?;
    context.pass_quietly();
    super::auto::begin(&mut context);
    let state = context.roster()?.get(&id).map(|task| task.state.clone());
    if let Some(State::Waiting { until: Some(until), .. }) = state
        && let Ok(Some(lock)) = Lock::try_take(&context.layout().task(&id).lock())
    {
        drop(runner::rest(&context.site(), &id, until));
        drop(lock);
        context.anew(&Global::within(common)).pass_quietly();
    }
    Ok(())
}

fn wake(common: &Path) -> Result<(), CommandError> {
    let mut context = Context::open(&Global::within(common), Trust::NotNeeded)?;
    loop {
        let Ok(Some(alone)) = Lock::try_take(&context.layout().lock(scheduling::WAKE)) else { return Ok(()) };
        context = wait_for_the_kept(common, context)?;
        drop(alone);
        // Who needed it in this very moment found it held.
        if kept_until(&mut context)?.is_none() {
            return Ok(());
        }
    }
}

/// Runs a pass whenever one of those who are kept may start, until nobody is kept or the repository is gone.
fn wait_for_the_kept(common: &Path, mut context: Context) -> Result<Context, CommandError> {
    // Before the first reading, or what happens in between would wake nobody.
    let mut changes = Changes::of(&context).ok();
    while context.layout().root().is_dir() {
        context = context.anew(&Global::within(common));
        context.pass_quietly();
        let Some(until) = kept_until(&mut context)? else { return Ok(context) };
        while kept_until(&mut context)? == Some(until) && context.layout().root().is_dir() {
            let left = Duration::try_from(until.duration_since(context.clock().now())).unwrap_or_default();
            match &mut changes {
                Some(changes) => changes.pause(left.min(NAP)),
                None => std::thread::sleep(left.min(NAP)),
            }
        }
    }
    Ok(context)
}

fn kept_until(context: &mut Context) -> Result<Option<Timestamp>, CommandError> {
    let now = context.clock().now();
    Ok(schedule::kept_until(context.roster()?, now))
}

fn named(arguments: &[String]) -> Result<(&Path, TaskId), CommandError> {
    let [common, id] = arguments else {
        return Err(CommandError::usage("a role needs a repository and a task"));
    };
    let id = id.parse().map_err(|_| CommandError::usage("a role needs a task id"))?;
    Ok((Path::new(common), id))
}
