//! Which live tasks are known not to merge with which: what the last look at all of them found, for `wt status` and for
//! telling only what is new.
//!
//! A cache, changed under a lock of its own: it is replaced as a whole, and a file that is not whole or not of this version counts as none at all.

use std::io::{self, Write as _};

use fs_err as fs;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::layout::{Layout, private_folder};
use super::lock::{DEADLINE, Lock, LockError};
use crate::model::TaskId;
use crate::model::clock::{Clock as _, SystemClock};
use crate::model::event::ConflictedPath;

/// What the file begins with; the rest of its first line is the checksum of all that follows.
const BEGIN: &str = "wt clashes 1 ";

/// Two tasks that do not merge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clash {
    /// The tasks, in the order of their ids.
    pub tasks: [TaskId; 2],
    /// What does not merge.
    pub files: Vec<ConflictedPath>,
    /// When it was first found.
    pub since: Timestamp,
    /// Whether both tasks were told.
    #[serde(default)]
    pub told: bool,
}

impl Clash {
    /// Returns the other one of the two tasks, if `task` is one of them.
    pub fn other(&self, task: &TaskId) -> Option<&TaskId> {
        match &self.tasks {
            [one, other] if one == task => Some(other),
            [one, other] if other == task => Some(one),
            _ => None,
        }
    }
}

/// Every pair that is known not to merge.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clashes {
    /// When all pairs were last looked at; `None`: never.
    #[serde(default)]
    pub as_of: Option<Timestamp>,
    /// The pairs, in the order of their ids.
    #[serde(default)]
    pub pairs: Vec<Clash>,
    /// The pairs whose tasks were told and that merge now, until they are told that too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub over: Vec<Clash>,
}

impl Clashes {
    /// Reads it; whatever is wrong with the file, the answer is that nothing is known.
    pub fn load(layout: &Layout) -> Self {
        let read = || {
            let text = fs::read_to_string(layout.clashes()).ok()?;
            let (first, rest) = text.split_once('\n')?;
            let sum = u32::from_str_radix(first.strip_prefix(BEGIN)?, 16).ok()?;
            (crc32fast::hash(rest.as_bytes()) == sum).then(|| serde_json::from_str(rest).ok())?
        };
        read().unwrap_or_default()
    }

    /// Changes what is kept, and returns it. Several may look and tell at once: what one of them notes, another one must not
    /// take back.
    pub fn change(layout: &Layout, change: impl FnOnce(&mut Self)) -> Result<Self, LockError> {
        let lock = Lock::take(&layout.lock("clashes"), DEADLINE, "clashes")?;
        let mut known = Self::load(layout);
        change(&mut known);
        known.save(layout)?;
        drop(lock);
        Ok(known)
    }

    /// Replaces the file, for [`Clashes::change`].
    fn save(&self, layout: &Layout) -> io::Result<()> {
        let path = layout.clashes();
        let folder = path.parent().expect("it stands in a folder of its own");
        private_folder(folder)?;
        let text = serde_json::to_string(self).map_err(io::Error::other)?;
        let mut fresh = tempfile::Builder::new().prefix("clashes").tempfile_in(folder)?;
        writeln!(fresh, "{BEGIN}{:08x}", crc32fast::hash(text.as_bytes()))?;
        fresh.write_all(text.as_bytes())?;
        fresh.persist(&path).map_err(|failed| failed.error)?;
        Ok(())
    }

    /// Returns the tasks that one does not merge with.
    pub fn of<'a>(&'a self, task: &'a TaskId) -> impl Iterator<Item = &'a TaskId> {
        self.pairs.iter().filter_map(|clash| clash.other(task))
    }

    /// Takes the place of what was known: a pair that was known before keeps its time, and is told again only if other files
    /// are concerned. One that was told and is not among them is [`Self::over`]. What was found before `as_of`, a time that
    /// has come, knows less than what is there, and changes nothing.
    pub fn replace(&mut self, mut fresh: Vec<Clash>, as_of: Timestamp) {
        // A time in the future is from before the clock was set back.
        let now = SystemClock.now().max(as_of);
        if self.as_of.is_some_and(|known| as_of < known && known <= now) {
            return;
        }
        fresh.sort_by(|a, b| a.tasks.cmp(&b.tasks));
        for clash in &mut fresh {
            let mut known = self.pairs.iter().chain(&self.over);
            if let Some(before) = known.find(|before| before.tasks == clash.tasks) {
                clash.since = before.since;
                let known = |file: &ConflictedPath| before.files.iter().any(|old| old.path == file.path);
                clash.told = before.told && clash.files.iter().all(known);
            }
        }
        let gone = |clash: &Clash| clash.told && !fresh.iter().any(|now| now.tasks == clash.tasks);
        let before = std::mem::take(&mut self.pairs).into_iter().chain(std::mem::take(&mut self.over));
        let over = before.filter(gone).collect();
        *self = Self { as_of: Some(as_of), pairs: fresh, over };
    }

    /// Notes that the tasks of these pairs, as they are here, were told.
    pub fn tell(&mut self, told: &[Clash]) {
        let same = |known: &Clash, now: &Clash| known.tasks == now.tasks && known.files == now.files;
        for clash in &mut self.pairs {
            clash.told |= told.iter().any(|told| same(told, clash));
        }
    }

    /// Forgets that these pairs are over, whose tasks were told so.
    pub fn forget_over(&mut self, told: &[Clash]) {
        self.over.retain(|clash| !told.iter().any(|told| told.tasks == clash.tasks));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::ConflictKind;

    fn clash(one: &str, other: &str, files: &[&str], at: i64) -> Clash {
        let path = |path: &&str| ConflictedPath { path: (*path).to_owned(), kind: ConflictKind::Content };
        Clash {
            tasks: [one, other].map(|id| id.parse().unwrap()),
            files: files.iter().map(path).collect(),
            since: Timestamp::from_second(at).unwrap(),
            told: false,
        }
    }

    #[test]
    fn a_pair_is_told_again_only_for_other_files() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut known = Clashes::default();
        known.replace(vec![clash("c@1", "d@1", &["x"], 1), clash("a@1", "b@1", &["f", "g"], 1)], at(1));
        assert_eq!(known.pairs[0].tasks[0].to_string(), "a@1");
        known.pairs.iter_mut().for_each(|clash| clash.told = true);
        known.replace(vec![clash("a@1", "b@1", &["f"], 2), clash("c@1", "d@1", &["x", "y"], 2)], at(2));
        let told: Vec<(bool, i64)> = known.pairs.iter().map(|c| (c.told, c.since.as_second())).collect();
        assert_eq!(told, [(true, 1), (false, 1)]);
        assert_eq!(known.as_of, Some(at(2)));
        let a = "a@1".parse().unwrap();
        assert_eq!(known.of(&a).map(ToString::to_string).collect::<Vec<_>>(), ["b@1"]);
    }

    #[test]
    fn a_look_that_began_earlier_takes_nothing_back() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut known = Clashes::default();
        known.replace(vec![clash("a@1", "b@1", &["f"], 5)], at(5));
        let before = known.clone();
        known.replace(Vec::new(), at(4));
        assert_eq!(known, before);
        known.as_of = Some(SystemClock.now() + jiff::SignedDuration::from_hours(1));
        known.replace(Vec::new(), at(6));
        assert!(known.pairs.is_empty(), "the clock was set back");
    }

    #[test]
    fn a_pair_that_was_told_is_over_until_its_tasks_know_that_too() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let (pair, other) = (clash("a@1", "b@1", &["f"], 1), clash("c@1", "d@1", &["x"], 1));
        let mut known = Clashes::default();
        known.replace(vec![pair.clone(), other.clone()], at(1));
        known.tell(&[clash("c@1", "d@1", &["y"], 1), pair.clone()]);
        assert_eq!(known.pairs.iter().map(|clash| clash.told).collect::<Vec<_>>(), [true, false]);
        known.replace(Vec::new(), at(2));
        assert_eq!(known.over.len(), 1, "nobody was told of the other one");
        known.replace(Vec::new(), at(3));
        assert_eq!(known.over[0].tasks, pair.tasks, "it is kept until it is told");
        let mut back = known.clone();
        back.replace(vec![clash("a@1", "b@1", &["f"], 4)], at(4));
        assert!(
            back.over.is_empty() && back.pairs[0].told && back.pairs[0].since == at(1),
            "nobody saw it go"
        );
        let over = known.over.clone();
        known.forget_over(&over);
        assert!(known.over.is_empty());
    }
}
