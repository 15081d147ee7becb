//! The journal: append-only lines of JSON, each with a checksum, healed after any kind of death.
//!
//! A line is a [`Record`] whose last field is `"crc"`, the CRC-32 of the bytes before it, so that the file stays plain
//! JSON lines. Writers hold `journal.lock`, validate against the fold, end a torn tail with a newline, and append with
//! one `write`; after a short write the file is cut back. Readers take no lock: they read whole lines, count the ones
//! whose checksum is wrong, and never fail because of them. Order is the position in the file, never a clock.
//!
//! Past [`ROLL_AT`] bytes the file is rolled as soon as half of it is of no more use: the old one is kept as `journal-N.jsonl`,
//! the new one starts with the tasks that still matter. So the cost of a command does not grow with the number of finished
//! tasks, and a queue of thousands is not written again and again.

use std::collections::BTreeSet;
use std::io::{self, BufRead as _, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt as _;
use jiff::Timestamp;

use super::Layout;
use super::lock::{DEADLINE, Lock, LockError};
use crate::failpoint;
use crate::model::event::VERSION;
use crate::model::state::BadTransition;
use crate::model::{Event, Record, Roster, Task, TaskId};

/// The size at which the journal is rolled, in bytes.
pub const ROLL_AT: u64 = 1 << 20;

/// How long an ended task stays in the current part, in seconds.
const RECENT: i64 = 24 * 3600;

/// How many ended tasks stay in the current part for that long: the newest.
const RECENT_MOST: usize = 300;

/// How long every ended task stays in the current part, in seconds: whoever waits for it looks at it once more.
const JUST_ENDED: i64 = 600;

/// From how many tasks the size of all is guessed.
const SAMPLE: usize = 64;

/// One event to append: the task it is about, and what happened.
pub type Entry = (Option<TaskId>, Event);

/// Why the journal could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk.
    #[error("the journal cannot be used")]
    Io(#[from] io::Error),
    /// The lock.
    #[error("the journal is locked")]
    Lock(#[from] LockError),
    /// The event does not fit the task's state.
    #[error(transparent)]
    Transition(#[from] BadTransition),
    /// The disk is full; nothing was written.
    #[error("no space is left on the disk for `{}`", .0.display())]
    Full(PathBuf),
}

/// The journal of one repository, with the fold of what was read so far.
#[derive(Debug)]
pub struct Journal {
    layout: Layout,
    roster: Roster,
    offset: u64,
    inode: u64,
    bad: usize,
    /// The size past which the next roll is tried; raised when a roll would hardly have helped.
    roll_at: u64,
}

impl Journal {
    /// Returns the journal of that layout; nothing is read yet.
    pub fn new(layout: &Layout) -> Self {
        Self {
            layout: layout.clone(),
            roster: Roster::default(),
            offset: 0,
            inode: 0,
            bad: 0,
            roll_at: ROLL_AT,
        }
    }

    /// Returns how many lines of the current part have a wrong checksum, as far as read.
    pub fn bad_lines(&self) -> usize {
        self.bad
    }

    /// Returns the fold as last read.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Reads what was appended since the last read and returns the fold.
    pub fn read(&mut self) -> Result<&Roster, JournalError> {
        let mut file = match fs::File::open(self.layout.journal()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.forget();
                return Ok(&self.roster);
            }
            Err(error) => return Err(error.into()),
        };
        let about = file.metadata()?;
        if about.ino() != self.inode || about.len() < self.offset {
            self.forget();
            self.inode = about.ino();
        }
        if about.len() > self.offset {
            file.seek(SeekFrom::Start(self.offset))?;
            let mut fresh = Vec::new();
            file.take(about.len() - self.offset).read_to_end(&mut fresh)?;
            let whole = fresh.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
            for line in fresh[..whole].split_inclusive(|b| *b == b'\n') {
                self.take_line(line);
            }
            self.offset += whole as u64;
        }
        Ok(&self.roster)
    }

    fn forget(&mut self) {
        self.roster = Roster::default();
        (self.offset, self.inode, self.bad) = (0, 0, 0);
    }

    fn take_line(&mut self, line: &[u8]) {
        match decode(line) {
            Some(record) => {
                if self.roster.apply(&record).is_err() {
                    self.roster.count_misfit();
                }
            }
            None if line.iter().all(u8::is_ascii_whitespace) => {}
            None => self.bad += 1,
        }
    }

    /// Appends `entries` if all of them fit, as one write.
    pub fn append(&mut self, now: Timestamp, entries: Vec<Entry>) -> Result<(), JournalError> {
        self.transact(now, |_| Ok::<_, JournalError>((entries, ())))
    }

    /// Takes the journal's lock, reads up to its end, asks `decide` what to append, and appends it.
    /// This is the compare-and-swap that every change of state goes through.
    pub fn transact<T, E: From<JournalError>>(
        &mut self,
        now: Timestamp,
        decide: impl FnOnce(&Roster) -> Result<(Vec<Entry>, T), E>,
    ) -> Result<T, E> {
        let lock =
            Lock::take(&self.layout.lock("journal"), DEADLINE, "journal").map_err(JournalError::from)?;
        self.read()?;
        let (entries, answer) = decide(&self.roster)?;
        if !entries.is_empty() {
            let written = self.write(now, entries);
            if written.is_err() {
                // What was applied but not written must not stay in the fold.
                self.forget();
            }
            written?;
        }
        drop(lock);
        Ok(answer)
    }

    fn write(&mut self, now: Timestamp, entries: Vec<Entry>) -> Result<(), JournalError> {
        let mut lines = Vec::new();
        let mut sync = false;
        for (task, event) in entries {
            sync |= decisive(&event);
            let record = Record { v: VERSION, at: now, task, event };
            self.roster.apply(&record)?;
            lines.extend(encode(&record)?);
        }
        failpoint::hit("journal.before_append");
        let path = self.layout.journal();
        let mut options = fs::OpenOptions::new();
        let mut file = options.read(true).append(true).create(true).mode(0o600).open(&path)?;
        let before = file.metadata()?.len();
        if before > 0 {
            let mut last = [0];
            file.seek(SeekFrom::Start(before - 1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                // A writer died here: end its line, so that it swallows none of ours.
                self.bad += 1;
                self.offset = before + 1;
                lines.insert(0, b'\n');
            }
        }
        if let Err(error) = file.write_all(&lines) {
            drop(file.set_len(before));
            let full = error.kind() == io::ErrorKind::StorageFull;
            return Err(if full { JournalError::Full(path) } else { error.into() });
        }
        if sync {
            file.sync_data()?;
        }
        failpoint::hit("journal.after_append");
        self.inode = file.metadata()?.ino();
        self.offset = before + lines.len() as u64;
        // The lines are written: a roll that fails (no space, say) is tried again later and is no reason to deny them.
        if self.offset > self.roll_at && self.roll(now).is_err() {
            self.roll_at = self.offset + ROLL_AT;
        }
        Ok(())
    }

    /// Starts a new part that begins with the tasks that still matter; the caller holds the lock.
    fn roll(&mut self, now: Timestamp) -> Result<(), JournalError> {
        let still = self.still_of_use(now);
        let carry = |task: &Task| {
            let event = Event::Carried { task: Box::new(task.clone()) };
            encode(&Record { v: VERSION, at: now, task: Some(task.id.clone()), event })
        };
        let sample = still.iter().step_by((still.len() / SAMPLE).max(1));
        let sizes: Vec<u64> =
            sample.map(|task| Ok(carry(task)?.len() as u64)).collect::<Result<_, io::Error>>()?;
        let guess = sizes.iter().sum::<u64>() * still.len() as u64 / sizes.len().max(1) as u64;
        if guess > self.offset / 2 {
            self.roll_at = self.offset + ROLL_AT; // Most of it is alive: rolling would only copy.
            return Ok(());
        }
        let mut lines = Vec::new();
        for task in still {
            lines.extend(carry(task)?);
        }
        if !self.roster.ledger().is_empty() {
            let event = Event::CarriedLedger { ledger: self.roster.ledger().clone() };
            lines.extend(encode(&Record { v: VERSION, at: now, task: None, event })?);
        }
        if !self.roster.breakers().is_empty() || !self.roster.rests().is_empty() {
            let (breakers, rests) = (self.roster.breakers().clone(), self.roster.rests().clone());
            let event = Event::CarriedBreakers { breakers, rests };
            lines.extend(encode(&Record { v: VERSION, at: now, task: None, event })?);
        }
        for intent in self.roster.intents() {
            let event = Event::Publishing {
                landing: intent.landing.clone(),
                target: intent.target.clone(),
                old: intent.old.clone(),
                new: intent.new.clone(),
                tasks: intent.tasks.clone(),
            };
            lines.extend(encode(&Record { v: VERSION, at: now, task: None, event })?);
        }
        for undoing in self.roster.undoings() {
            let event = Event::Undoing {
                landing: undoing.landing.clone(),
                target: undoing.target.clone(),
                from: undoing.from.clone(),
                to: undoing.to.clone(),
                tasks: undoing.tasks.clone(),
            };
            lines.extend(encode(&Record { v: VERSION, at: now, task: None, event })?);
        }
        if lines.len() as u64 > self.offset / 2 {
            self.roll_at = self.offset + ROLL_AT;
            return Ok(());
        }
        let part = (1..u32::MAX).find(|n| !is_over(&self.layout, *n)).expect("part numbers do not run out");
        let mut fresh = tempfile::NamedTempFile::new_in(self.layout.root())?;
        fresh.write_all(&lines)?;
        fresh.as_file().sync_all()?;
        // It has its name already where a roll was cut short.
        if !self.layout.rolled(part).exists() {
            fs::hard_link(self.layout.journal(), self.layout.rolled(part))?;
        }
        fresh.persist(self.layout.journal()).map_err(|failed| failed.error)?;
        fs::File::open(self.layout.root())?.sync_all()?;
        self.forget();
        self.read()?;
        self.roll_at = ROLL_AT.max(self.offset * 2);
        Ok(())
    }

    /// Returns the tasks that still matter, by name: those that live, that have a workspace, that a living one starts after,
    /// and the last that ended.
    fn still_of_use(&self, now: Timestamp) -> Vec<&Task> {
        let age = |task: &Task| task.ended_at.map_or(0, |at| now.as_second() - at.as_second());
        let parents: BTreeSet<&TaskId> = self.roster.live().flat_map(|task| &task.spec.after).collect();
        let mut ended: Vec<&Task> = self.roster.tasks().filter(|task| task.state.ended()).collect();
        ended.sort_by_key(|task| (age(task), std::cmp::Reverse(task.order)));
        let recent =
            |(n, task): &(usize, &Task)| age(task) < if *n < RECENT_MOST { RECENT } else { JUST_ENDED };
        let recent: BTreeSet<&TaskId> =
            ended.into_iter().enumerate().filter(recent).map(|(_, task)| &task.id).collect();
        let matters = |task: &&Task| {
            let id = &task.id;
            !task.state.ended() || task.workspace.is_some() || recent.contains(id) || parents.contains(id)
        };
        self.roster.tasks().filter(matters).collect()
    }

    /// Returns the fold of everything ever recorded, rolled parts included: for `--all`, `restore` and `doctor`.
    pub fn history(&self) -> Result<History, JournalError> {
        let mut history = History::default();
        let parts = (1..).take_while(|n| is_over(&self.layout, *n)).map(|n| self.layout.rolled(n));
        for path in parts.chain([self.layout.journal()]) {
            let file = match fs::File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error.into()),
            };
            for line in io::BufReader::new(file).split(b'\n') {
                match decode(&line?) {
                    Some(record) => history.take(record),
                    None => history.bad += 1,
                }
            }
        }
        Ok(history)
    }
}

/// Tells whether a part was rolled and the journal is another file. In between it has both names, and stays so if whoever rolled
/// it was killed: then it is still the journal.
pub(super) fn is_over(layout: &Layout, part: u32) -> bool {
    let Ok(rolled) = fs::metadata(layout.rolled(part)) else { return false };
    fs::metadata(layout.journal()).map_or(true, |journal| journal.ino() != rolled.ino())
}

/// Everything ever recorded.
#[derive(Debug, Default)]
pub struct History {
    /// The fold.
    pub roster: Roster,
    /// Every record, in order, without what was carried over.
    pub records: Vec<Record>,
    /// Lines with a wrong checksum.
    pub bad: usize,
}

impl History {
    fn take(&mut self, record: Record) {
        let carried = matches!(
            record.event,
            Event::Carried { .. } | Event::CarriedLedger { .. } | Event::CarriedBreakers { .. }
        );
        if carried {
            return; // The fold of the earlier parts has it already.
        }
        if self.roster.apply(&record).is_err() {
            self.roster.count_misfit();
        }
        self.records.push(record);
    }
}

/// Whether losing the event in a power cut would make `wt` act wrongly; the others are only told again.
fn decisive(event: &Event) -> bool {
    !matches!(
        event,
        Event::Session { .. } | Event::Started { .. } | Event::WorkspaceMade { .. } | Event::Unknown
    )
}

const CRC_FIELD: &[u8] = b",\"crc\":\"";

/// Returns the line of a record, with its newline.
fn encode(record: &Record) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(record).map_err(io::Error::other)?;
    line.pop(); // the closing brace comes back behind the checksum
    let crc = crc32fast::hash(&line);
    line.extend_from_slice(CRC_FIELD);
    line.extend_from_slice(format!("{crc:08x}\"}}\n").as_bytes());
    Ok(line)
}

/// Returns the record of a line, or `None` if its checksum or form is wrong.
pub(super) fn decode(line: &[u8]) -> Option<Record> {
    let line = line.trim_ascii();
    let body = line.len().checked_sub(CRC_FIELD.len() + 10)?;
    let (body, check) = line.split_at(body);
    let hex = check.strip_prefix(CRC_FIELD)?.strip_suffix(b"\"}")?;
    let crc = u32::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?;
    if crc32fast::hash(body) != crc {
        return None;
    }
    serde_json::from_slice(line).ok()
}
