//! One landing at a time: the landing lock, and who has it, told to whoever waits.

use std::path::Path;
use std::time::Duration;

use super::{LandError, Landing};
use crate::model::observer::Observer;
use crate::model::{Holder, Task};
use crate::store::{Layout, Lock};

/// Returns this landing as the holder of the lock; `tasks`: what it lands, as far as that is known.
pub(super) fn holder(landing: &Landing<'_>, tasks: &[Task]) -> Holder {
    Holder {
        target: Some(landing.target.to_owned()),
        tasks: tasks.iter().map(|task| task.name().to_string()).collect(),
        ..Holder::this(landing.command, landing.site.clock.now())
    }
}

/// Takes the landing lock for this landing, waiting for another one as long as it has patience.
pub(super) fn take(landing: &Landing<'_>) -> Result<Lock, LandError> {
    wait(landing.site.layout, landing.observer, landing.patience, &holder(landing, &[]))
}

/// Takes the landing lock, telling whom it waits for.
pub(super) fn wait(
    layout: &Layout,
    observer: &dyn Observer,
    patience: Duration,
    holder: &Holder,
) -> Result<Lock, LandError> {
    let path = layout.lock("land");
    if let Some(lock) = free(&path, holder)? {
        return Ok(lock);
    }
    match Lock::holder(&path) {
        Some(other) => observer.step(&format!("waiting for {other}")),
        None => observer.step("waiting for another landing"),
    }
    Lock::take_signed(&path, patience, holder).map_err(LandError::Busy)
}

fn free(path: &Path, holder: &Holder) -> Result<Option<Lock>, LandError> {
    Lock::try_take_signed(path, holder).map_err(|cause| LandError::Busy(cause.into()))
}
