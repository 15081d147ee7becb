//! The hidden role that looks which running tasks do not merge with each other, and tells them.
//!
//! One at a time: whoever holds the lock. It rests between two looks for as long as `[merge] foresee` says, and longer where
//! looking itself takes long, so that it never takes more than a tenth of one processor; then it looks once more if somebody
//! wished for it meanwhile, and ends if nobody did. It changes nothing but what is known of conflicts and the tasks' notes.

use std::path::Path;
use std::time::{Duration, Instant};

use fs_err as fs;

use super::context::{Context, Global, Trust};
use crate::error::{self, CommandError, During as _};
use crate::model::observer::Silent;
use crate::model::view::conflicts::ComparedView;
use crate::model::{Clock as _, Roster, Task, TaskId};
use crate::observe::conflicts;
use crate::process::launch;
use crate::store::clashes::{Clash, Clashes};
use crate::store::{Layout, Lock};
use crate::supervise::foresight;
use crate::workspace::{Site, notice};

/// How many times as long as a look took its role rests.
const SHARE: u32 = 10;

/// The longest rest.
const LONGEST: Duration = Duration::from_secs(600);

/// Wishes for a look, where the verb may have changed what there is to see; waits for nothing.
pub fn begin(context: &mut Context) {
    let (site, journal) = context.parts();
    foresight::wish(&site, journal);
}

/// Becomes the one who looks: `COMMON_DIR`.
pub fn role(arguments: &[String]) -> u8 {
    let [common] = arguments else { return error::USAGE };
    match foresee(Path::new(common)) {
        Ok(()) => error::DONE,
        Err(refusal) => refusal.code,
    }
}

fn foresee(common: &Path) -> Result<(), CommandError> {
    launch::give_way();
    let mut took = Duration::ZERO;
    loop {
        let global = Global::within(common);
        let context = Context::open(&global, Trust::NotNeeded)?;
        let (layout, least) = (context.layout().clone(), context.settings().merge.foresee);
        // Nothing of the repository is held open while it rests.
        drop(context);
        let Some(lock) = Lock::try_take(&layout.lock(foresight::LOCK))? else { return Ok(()) };
        std::thread::sleep(left(&layout, least.max((took * SHARE).min(LONGEST))));
        let mut context = Context::open(&global, Trust::NotNeeded)?;
        // Before the wish is taken: a look that cannot be made is not tried again at once.
        fs::write(layout.foresee_begun(), "\n").during(|| "a look cannot be noted".to_owned())?;
        drop(fs::remove_file(layout.foresee_wanted()));
        let begun = Instant::now();
        // Nobody reads what went wrong; the next wish finds it again.
        drop(look(&mut context));
        took = begun.elapsed();
        drop(lock);
        if !layout.foresee_wanted().exists() {
            return Ok(());
        }
    }
}

/// Returns how much is left of the rest after the last look.
fn left(layout: &Layout, rest: Duration) -> Duration {
    let last = fs::metadata(layout.foresee_begun()).and_then(|mark| mark.modified());
    // A clock that was set back must not make it wait for ever.
    let since = last.map_or(rest, |last| last.elapsed().unwrap_or_default());
    rest.saturating_sub(since)
}

fn look(context: &mut Context) -> Result<(), CommandError> {
    if context.settings().merge.foresee.is_zero() {
        return Ok(());
    }
    let now = context.clock().now();
    let roster = context.roster()?.clone();
    let site = context.site();
    let found = conflicts::look(site.repo, site.layout, &roster, now, &Silent)
        .during(|| "the branches cannot be compared".to_owned())?;
    // That git could not tell this time says nothing, nor that a workspace is in the middle of a rebase.
    let partly = |task: &ComparedView| task.skipped.is_some() || task.commits_only.is_some();
    let compared = |clash: &Clash| {
        let is = |id: &TaskId, name: &str| id.name.as_str() == name;
        let skipped = |id: &TaskId| found.tasks.iter().any(|task| partly(task) && is(id, &task.name));
        let unknown = |pair: &[String; 2]| clash.tasks.iter().all(|id| pair.iter().any(|name| is(id, name)));
        !clash.tasks.iter().any(skipped) && !found.unknown.iter().any(unknown)
    };
    let told = tell_new(&site, &roster, &found.clashes);
    let over = tell_over(&site, &roster, &found.clashes, compared);
    if !told.is_empty() || !over.is_empty() {
        // Somebody may have looked by hand meanwhile.
        let note = |known: &mut Clashes| {
            known.tell(&told);
            known.forget_over(&over);
        };
        Clashes::change(site.layout, note).during(|| "what was told cannot be noted".to_owned())?;
    }
    Ok(())
}

/// Returns both tasks of a pair.
fn both<'a>(roster: &'a Roster, clash: &Clash) -> Option<[&'a Task; 2]> {
    let [one, other] = &clash.tasks;
    Some([roster.get(one)?, roster.get(other)?])
}

/// Tells both tasks of each new pair, where one of them still works. Returns those that were told.
fn tell_new(site: &Site<'_>, roster: &Roster, known: &Clashes) -> Vec<Clash> {
    let told = known.pairs.iter().filter(|clash| {
        let Some([one, other]) = both(roster, clash).filter(|_| !clash.told) else { return false };
        if !notice::hears(one) && !notice::hears(other) {
            return false;
        }
        let tell = |task: &Task, other: &Task| {
            let notice = notice::conflict(site, task, other, clash);
            notice::tell(site.repo, task.name(), &notice).is_ok()
        };
        // A task whose file cannot be written must not keep the other one from hearing of it.
        tell(one, other) | tell(other, one)
    });
    told.cloned().collect()
}

/// Tells those who still work that a conflict is over. Returns the pairs of which there is nothing more to say.
fn tell_over(
    site: &Site<'_>,
    roster: &Roster,
    known: &Clashes,
    compared: impl Fn(&Clash) -> bool,
) -> Vec<Clash> {
    let told = known.over.iter().filter(|clash| compared(clash)).filter(|clash| {
        let Some([one, other]) = both(roster, clash) else { return true };
        for (task, other) in [(one, other), (other, one)] {
            if notice::hears(task) {
                // A line that cannot be written is not worth a second try.
                drop(notice::tell(site.repo, task.name(), &notice::over(other, clash)));
            }
        }
        true
    });
    told.cloned().collect()
}
