//! What the machine can bear: agents start one after another, and only while there is memory for one more.
//!
//! Nobody runs in a circle for it. A runner whose turn is later sleeps until then, with its slot. Where memory is short, one
//! runner rests without a slot and looks again, and whoever ends meanwhile makes a pass that looks as well; the others stay
//! queued. What runs is never ended for it.

use std::io;
use std::time::Duration;

use fs_err as fs;
use jiff::Timestamp;

use super::order::Orders;
use crate::model::event::WaitReason;
use crate::model::text::bytes;
use crate::model::{Roster, State};
use crate::process::memory;
use crate::store::Lock;
use crate::store::lock::DEADLINE;
use crate::workspace::Site;

/// How long is waited for memory before somebody looks again.
pub const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Waits until it is this runner's turn to start its agent, or until it is to end. One that cannot know does not wait.
pub(super) async fn turn(site: &Site<'_>, orders: &Orders) {
    let gap = gap(site.settings.limits.stagger, cores());
    if gap.is_zero() {
        return;
    }
    let Ok(wait) = take_turn(site, gap) else { return };
    tokio::select! {
        () = orders.stop() => {}
        () = tokio::time::sleep(wait) => {}
    }
}

fn cores() -> u32 {
    std::thread::available_parallelism().map_or(2, |n| u32::try_from(n.get()).unwrap_or(u32::MAX))
}

/// Returns the time between two starts: what each takes of one processor, spread over all of them.
fn gap(start: Duration, cores: u32) -> Duration {
    start / cores.max(1)
}

/// Takes the next turn, and returns how long it is until then.
fn take_turn(site: &Site<'_>, gap: Duration) -> io::Result<Duration> {
    let _lock =
        Lock::take(&site.layout.lock("turn"), DEADLINE, "starting an agent").map_err(io::Error::other)?;
    let place = site.layout.turn();
    let last = fs::read_to_string(&place).ok().and_then(|text| text.trim().parse().ok());
    let now = site.clock.now().as_millisecond();
    let gap = i64::try_from(gap.as_millis()).unwrap_or(i64::MAX);
    let at = next_turn(last, now, gap, i64::from(site.settings.limits.slots));
    fs::write(&place, at.to_string())?;
    Ok(Duration::from_millis(u64::try_from(at - now).unwrap_or_default()))
}

/// Returns when the next agent may start, in milliseconds like the others. No turn is later than one for each slot: a clock
/// that was set back must not make everybody wait.
fn next_turn(last: Option<i64>, now: i64, gap: i64, slots: i64) -> i64 {
    let latest = now.saturating_add(gap.saturating_mul(slots));
    match last.map(|last| last.saturating_add(gap)) {
        Some(next) if next <= latest => next.max(now),
        _ => now,
    }
}

/// Returns why no agent is started now, if memory is short.
pub(super) fn short_of_memory(site: &Site<'_>) -> Option<String> {
    let floor = site.settings.limits.memory;
    if floor == 0 {
        return None;
    }
    let left = memory::available().filter(|left| *left < floor)?;
    Some(format!("{} of memory are left, `limits.memory` asks for {}", bytes(left), bytes(floor)))
}

/// Returns whether somebody rests for memory already.
pub(super) fn somebody_rests(site: &Site<'_>, roster: &Roster, now: Timestamp) -> bool {
    roster.live().any(|task| {
        matches!(task.state, State::Waiting { reason: WaitReason::Memory, until: Some(until) } if until > now)
            && Lock::is_held(&site.layout.task(&task.id).lock())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_starts_on_two_cores_take_three_and_a_half_seconds() {
        let gap = gap(Duration::from_secs(1), 2);
        assert_eq!(gap, Duration::from_millis(500));
        let mut last = None;
        let turns: Vec<i64> = (0..8)
            .map(|_| {
                let turn = next_turn(last, 10_000, 500, 8);
                last = Some(turn);
                turn - 10_000
            })
            .collect();
        assert_eq!(turns, [0, 500, 1000, 1500, 2000, 2500, 3000, 3500]);
        assert_eq!(next_turn(Some(10_000), 20_000, 500, 8), 20_000, "long ago");
        assert_eq!(next_turn(Some(10_000), 10_100, 500, 8), 10_500);
        assert_eq!(next_turn(Some(99_999_999), 10_000, 500, 8), 10_000, "the clock was set back");
        assert_eq!(next_turn(Some(i64::MAX), 0, 500, 8), 0);
    }
}
