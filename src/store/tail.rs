//! Following the journal: every record once, in order, over the parts that were rolled.
//!
//! Invariant: a place ([`Place`]) is always between two whole lines, so it can be kept on the disk and taken up again. What a
//! part begins with because it was carried over is no event, and is left out.

use std::io::{self, Read as _, Seek as _, SeekFrom};

use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::Layout;
use super::journal::{decode, is_over};
use crate::model::{Event, Record, Roster};

/// A place in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The part, from 1; the last one is the journal itself.
    pub part: u32,
    /// The byte of the part.
    pub offset: u64,
}

impl Place {
    /// Returns the beginning of everything that is kept.
    pub fn first() -> Self {
        Self { part: 1, offset: 0 }
    }
}

/// Who reads the journal as it grows.
#[derive(Debug)]
pub struct Tail {
    layout: Layout,
    place: Place,
}

impl Tail {
    /// Begins at a place.
    pub fn at(layout: &Layout, place: Place) -> Self {
        Self { layout: layout.clone(), place }
    }

    /// Begins behind all that there is.
    pub fn at_end(layout: &Layout) -> io::Result<Self> {
        let mut tail = Self::at(layout, Place::first());
        while is_over(layout, tail.place.part) {
            tail.place.part += 1;
        }
        tail.records()?;
        Ok(tail)
    }

    /// Begins where the journal ends, without reading any of it: what is half written at this moment may be left out.
    pub fn from_now(layout: &Layout) -> Self {
        let mut place = Place::first();
        while layout.rolled(place.part).exists() {
            place.part += 1;
        }
        place.offset = fs::metadata(layout.journal()).map_or(0, |about| about.len());
        Self::at(layout, place)
    }

    /// Returns where the next record will stand.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Returns all tasks as they stood at the place: a part begins with what was carried over.
    pub fn roster(&self) -> io::Result<Roster> {
        loop {
            let over = is_over(&self.layout, self.place.part);
            let path = if over { self.layout.rolled(self.place.part) } else { self.layout.journal() };
            let file = match fs::File::open(&path) {
                Ok(file) => file,
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Roster::default()),
                Err(cause) => return Err(cause),
            };
            // As in `records`.
            if over || !is_over(&self.layout, self.place.part) {
                let mut before = Vec::new();
                file.take(self.place.offset).read_to_end(&mut before)?;
                let records: Vec<Record> = before.split(|b| *b == b'\n').filter_map(decode).collect();
                return Ok(Roster::fold(&records));
            }
        }
    }

    /// Tells whether anything was appended since, without reading it.
    pub fn has_more(&self) -> bool {
        let length = |path| fs::metadata(path).map_or(0, |about| about.len());
        is_over(&self.layout, self.place.part) || length(self.layout.journal()) > self.place.offset
    }

    /// Returns the records that were appended since, each with the place behind it. A line that is not whole yet is read next
    /// time; one that is damaged is left out.
    pub fn records(&mut self) -> io::Result<Vec<(Record, Place)>> {
        let mut found = Vec::new();
        loop {
            let over = is_over(&self.layout, self.place.part);
            let path = if over { self.layout.rolled(self.place.part) } else { self.layout.journal() };
            let file = match fs::File::open(&path) {
                Ok(file) => file,
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(found),
                Err(cause) => return Err(cause),
            };
            // It was rolled between the question and the opening: what is open is another part.
            if !over && is_over(&self.layout, self.place.part) {
                continue;
            }
            self.read(file, &mut found)?;
            if !over {
                return Ok(found);
            }
            self.place = Place { part: self.place.part + 1, offset: 0 };
        }
    }

    fn read(&mut self, mut file: fs::File, found: &mut Vec<(Record, Place)>) -> io::Result<()> {
        file.seek(SeekFrom::Start(self.place.offset))?;
        let mut fresh = Vec::new();
        file.read_to_end(&mut fresh)?;
        let mut carrying = self.place.part > 1 && self.place.offset == 0;
        for line in fresh.split_inclusive(|b| *b == b'\n').filter(|line| line.ends_with(b"\n")) {
            self.place.offset += line.len() as u64;
            let Some(record) = decode(line) else { continue };
            // A part begins with the tasks, the ledger, the breakers and the open intents of the one before.
            let carried = matches!(
                record.event,
                Event::Carried { .. } | Event::CarriedLedger { .. } | Event::CarriedBreakers { .. }
            );
            carrying &= carried || matches!(record.event, Event::Publishing { .. } | Event::Undoing { .. });
            if !carrying && !carried {
                found.push((record, self.place));
            }
        }
        Ok(())
    }
}
