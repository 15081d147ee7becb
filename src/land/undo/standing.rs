//! Which publications still stand, read from the journal's records. Pure: nothing else is asked.
//!
//! Invariant: what was taken back is never found again, and what came between two publications parts them.

use std::collections::BTreeMap;

use crate::model::roster::Intent;
use crate::model::{Event, Oid, Record};

/// Returns the publications of the last landing that was not taken back, oldest first, back to where something else came
/// between two of them.
pub(super) fn last(records: &[Record], target: Option<&str>) -> Vec<Intent> {
    let mut standing = standing(records);
    standing.retain(|there| target.is_none_or(|target| there.target == target));
    let Some(last) = standing.pop() else { return Vec::new() };
    let mut run = vec![last];
    while let Some(before) = standing.pop()
        && before.landing == run[0].landing
        && before.new == run[0].old
    {
        run.insert(0, before);
    }
    run
}

/// Returns every publication that moved a target and was not taken back, in order.
fn standing(records: &[Record]) -> Vec<Intent> {
    let mut open: BTreeMap<&String, Intent> = BTreeMap::new();
    let mut undoing: BTreeMap<&String, (&Oid, &Oid)> = BTreeMap::new();
    let mut done: Vec<Intent> = Vec::new();
    for record in records {
        match &record.event {
            Event::Publishing { landing, target, old, new, tasks } => {
                let intent = Intent {
                    landing: landing.clone(),
                    target: target.clone(),
                    old: old.clone(),
                    new: new.clone(),
                    tasks: tasks.clone(),
                };
                open.insert(landing, intent);
            }
            Event::Published { landing, moved } => {
                done.extend(open.remove(landing).filter(|_| *moved));
            }
            Event::Undoing { landing, from, to, .. } => {
                undoing.insert(landing, (from, to));
            }
            Event::Undone { landing, moved } => {
                let Some((from, to)) = undoing.remove(landing).filter(|_| *moved) else { continue };
                let mut at = from.clone();
                let mut kept: Vec<Intent> = Vec::new();
                for there in done.into_iter().rev() {
                    if there.landing == *landing && there.new == at && at != *to {
                        at = there.old;
                    } else {
                        kept.push(there);
                    }
                }
                kept.reverse();
                done = kept;
            }
            _ => {}
        }
    }
    done
}
