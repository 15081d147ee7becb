//! The entries of one tree as git stores them: `MODE NAME<nul>ID`, in git's order (a folder sorts as if its name ended in `/`).
//!
//! Invariant: what is put together here has the bytes that git would write for the same entries.

use std::cmp::Ordering;

use gix::ObjectId;

/// The mode of a folder; the others are 100644, 100755, 120000 (symlink) and 160000 (submodule).
pub(in crate::git) const FOLDER: u32 = 0o04_0000;
const KNOWN: [u32; 5] = [FOLDER, 0o10_0644, 0o10_0755, 0o12_0000, 0o16_0000];

/// What stands at a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::git) struct Entry {
    pub(in crate::git) mode: u32,
    pub(in crate::git) id: ObjectId,
}

impl Entry {
    pub(in crate::git) fn is_folder(self) -> bool {
        self.mode == FOLDER
    }
}

/// Where an entry stands in the bytes of its tree.
#[derive(Debug, Clone, Copy)]
struct Place {
    start: usize,
    name: usize,
    end: usize,
    mode: u32,
}

/// A tree that was read.
#[derive(Debug)]
pub(in crate::git) struct Tree {
    raw: Vec<u8>,
    places: Vec<Place>,
    odd: bool,
}

/// The bytes of an id.
const ID: usize = 20;

impl Tree {
    /// Reads the bytes of a tree; `None` where they are none.
    pub(in crate::git) fn parse(raw: Vec<u8>) -> Option<Self> {
        let mut places: Vec<Place> = Vec::with_capacity(raw.len() / 34);
        let (mut at, mut odd) = (0, false);
        while at < raw.len() {
            let space = at + raw[at..].iter().position(|b| *b == b' ')?;
            let nul = space + raw[space..].iter().position(|b| *b == 0)?;
            let end = nul + 1 + ID;
            if end > raw.len() || space - at > 6 {
                return None;
            }
            let digit = |mode: u32, b: &u8| b.is_ascii_digit().then(|| (mode << 3) | u32::from(b - b'0'));
            let mode = raw[at..space].iter().try_fold(0, digit)?;
            let name = &raw[space + 1..nul];
            odd |= !KNOWN.contains(&mode) || raw[at] == b'0' || name.is_empty() || name.contains(&b'/');
            odd |= mode == FOLDER && ObjectId::from_bytes_or_panic(&raw[nul + 1..end]).is_empty_tree();
            if let Some(last) = places.last() {
                let before = &raw[last.name..last.end - ID - 1];
                odd |= order((before, last.mode == FOLDER), (name, mode == FOLDER)) != Ordering::Less;
            }
            places.push(Place { start: at, name: space + 1, end, mode });
            at = end;
        }
        let mut tree = Self { raw, places, odd };
        tree.odd |=
            (0..tree.places.len()).any(|n| tree.key(n).1 && tree.search((tree.name(n), false)).is_ok());
        Some(tree)
    }

    /// The tree with nothing in it.
    pub(in crate::git) fn empty() -> Self {
        Self { raw: Vec::new(), places: Vec::new(), odd: false }
    }

    /// Tells whether git, writing the same entries, would write other bytes: modes of old (100664), leading zeros, folders with
    /// nothing in them, another order.
    pub(in crate::git) fn is_odd(&self) -> bool {
        self.odd
    }

    /// Returns about how much memory it takes, in bytes.
    pub(in crate::git) fn size(&self) -> usize {
        self.raw.len() + self.places.len() * size_of::<Place>()
    }

    fn name(&self, n: usize) -> &[u8] {
        let Place { name, end, .. } = self.places[n];
        &self.raw[name..end - ID - 1]
    }

    fn entry(&self, n: usize) -> Entry {
        let Place { end, mode, .. } = self.places[n];
        Entry { mode, id: ObjectId::from_bytes_or_panic(&self.raw[end - ID..end]) }
    }

    fn key(&self, n: usize) -> (&[u8], bool) {
        (self.name(n), self.places[n].mode == FOLDER)
    }

    fn search(&self, key: (&[u8], bool)) -> Result<usize, usize> {
        self.places.binary_search_by(|place| {
            order((&self.raw[place.name..place.end - ID - 1], place.mode == FOLDER), key)
        })
    }

    /// Returns what stands at a name.
    pub(in crate::git) fn at(&self, name: &[u8]) -> Option<Entry> {
        let found = self.search((name, false)).or_else(|_| self.search((name, true)));
        found.ok().map(|n| self.entry(n))
    }

    /// Returns the names whose entries differ from those of `new`, with what stands there in each, in order of their bytes.
    pub(in crate::git) fn differences<'a>(&'a self, new: &'a Self) -> Vec<Difference<'a>> {
        let mut found: Vec<Difference<'a>> = Vec::new();
        let (mut i, mut j) = (0, 0);
        while i < self.places.len() || j < new.places.len() {
            let next = match (i < self.places.len(), j < new.places.len()) {
                (true, true) => order(self.key(i), new.key(j)),
                (true, false) => Ordering::Less,
                (false, _) => Ordering::Greater,
            };
            let (old, now) = (next.is_le().then_some(i), next.is_ge().then_some(j));
            i += usize::from(old.is_some());
            j += usize::from(now.is_some());
            let (before, after) = (old.map(|n| self.entry(n)), now.map(|n| new.entry(n)));
            if before != after {
                let name = old.map(|n| self.name(n)).or_else(|| now.map(|n| new.name(n))).unwrap_or_default();
                found.push(Difference { name, before, after });
            }
        }
        // A file that became a folder stands at two places of the order, and is one difference.
        found.sort_by(|a, b| a.name.cmp(b.name));
        found.dedup_by(|later, kept| {
            let same = later.name == kept.name;
            if same {
                kept.before = kept.before.or(later.before);
                kept.after = kept.after.or(later.after);
            }
            same
        });
        found
    }

    /// Returns the bytes of this tree with other entries at some names; `None` takes away what stands there.
    pub(in crate::git) fn with(&self, edits: &[(&[u8], Option<Entry>)]) -> Vec<u8> {
        let mut cuts: Vec<Cut<'_>> = Vec::with_capacity(edits.len());
        for &(name, new) in edits {
            let there = self.search((name, false)).or_else(|_| self.search((name, true))).ok();
            let place = there.map(|n| self.places[n]);
            let put = new.map(|entry| (name, entry));
            let stays = place.is_some_and(|p| new.is_some_and(|new| (p.mode == FOLDER) == new.is_folder()));
            if let Some(Place { start, end, .. }) = place {
                cuts.push(Cut { start, end, put: put.filter(|_| stays) });
            }
            if let Some((_, entry)) = put.filter(|_| !stays) {
                let next = self.search((name, entry.is_folder())).unwrap_or_else(|next| next);
                let start = self.places.get(next).map_or(self.raw.len(), |place| place.start);
                cuts.push(Cut { start, end: start, put });
            }
        }
        cuts.sort_by(Cut::order);
        let mut bytes = Vec::with_capacity(self.raw.len() + edits.len() * 40);
        let mut kept = 0;
        for Cut { start, end, put } in cuts {
            bytes.extend_from_slice(&self.raw[kept..start]);
            if let Some((name, entry)) = put {
                bytes.extend_from_slice(format!("{:o} ", entry.mode).as_bytes());
                bytes.extend_from_slice(name);
                bytes.push(0);
                bytes.extend_from_slice(entry.id.as_slice());
            }
            kept = end;
        }
        bytes.extend_from_slice(&self.raw[kept..]);
        bytes
    }
}

/// Bytes of a tree that give way to an entry, or to nothing; none of them where an entry is put between two.
struct Cut<'a> {
    start: usize,
    end: usize,
    put: Option<(&'a [u8], Entry)>,
}

impl Cut<'_> {
    /// What is put between two entries comes before the second one gives way, and in git's order among itself.
    fn order(&self, other: &Self) -> Ordering {
        let places = (self.start, self.end).cmp(&(other.start, other.end));
        places.then_with(|| match (&self.put, &other.put) {
            (Some((a, x)), Some((b, y))) => order((a, x.is_folder()), (b, y.is_folder())),
            _ => Ordering::Equal,
        })
    }
}

/// A name at which two trees differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::git) struct Difference<'a> {
    pub(in crate::git) name: &'a [u8],
    pub(in crate::git) before: Option<Entry>,
    pub(in crate::git) after: Option<Entry>,
}

/// git's order of entries: (name, whether it is a folder).
fn order(a: (&[u8], bool), b: (&[u8], bool)) -> Ordering {
    let common = a.0.len().min(b.0.len());
    a.0[..common].cmp(&b.0[..common]).then_with(|| {
        let next = |(name, folder): (&[u8], bool)| match name.get(common) {
            Some(byte) => Some(*byte),
            None => folder.then_some(b'/'),
        };
        next(a).cmp(&next(b))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(mode: u32, fill: u8) -> Entry {
        Entry { mode, id: ObjectId::from_bytes_or_panic(&[fill; ID]) }
    }

    fn tree(entries: &[(&str, u32, u8)]) -> Tree {
        let mut sorted = entries.to_vec();
        sorted.sort_by(|a, b| order((a.0.as_bytes(), a.1 == FOLDER), (b.0.as_bytes(), b.1 == FOLDER)));
        let mut raw = Vec::new();
        for (name, mode, fill) in sorted {
            raw.extend_from_slice(format!("{mode:o} {name}\0").as_bytes());
            raw.extend_from_slice(&[fill; ID]);
        }
        Tree::parse(raw).unwrap()
    }

    #[test]
    fn a_folder_sorts_as_if_its_name_ended_in_a_slash() {
        let names =
            tree(&[("a", FOLDER, 1), ("a.b", 0o100_644, 2), ("a0", 0o100_644, 3), ("a-", 0o100_755, 4)]);
        let order: Vec<_> = (0..4).map(|n| String::from_utf8_lossy(names.name(n)).into_owned()).collect();
        assert_eq!(order, ["a-", "a.b", "a", "a0"]);
        assert!(!names.is_odd());
        assert_eq!(names.at(b"a"), Some(entry(FOLDER, 1)));
        assert_eq!(names.at(b"a-"), Some(entry(0o100_755, 4)));
        assert_eq!(names.at(b"b"), None);
    }

    #[test]
    fn edits_give_the_bytes_of_a_tree_made_at_once() {
        let file = 0o100_644;
        let old = tree(&[("a", file, 1), ("a.b", file, 2), ("c", file, 3), ("z", FOLDER, 4)]);
        let edits: [(&[u8], Option<Entry>); 6] = [
            (b"a", Some(entry(FOLDER, 9))),
            (b"a0", Some(entry(file, 5))),
            (b"a/", None),
            (b"c", None),
            (b"zz", Some(entry(file, 6))),
            (b"z", Some(entry(file, 7))),
        ];
        let new =
            tree(&[("a", FOLDER, 9), ("a.b", file, 2), ("a0", file, 5), ("zz", file, 6), ("z", file, 7)]);
        assert_eq!(old.with(&edits), new.raw);
        let names: Vec<_> = old.differences(&new).iter().map(|d| d.name.to_vec()).collect();
        assert_eq!(names, [&b"a"[..], b"a0", b"c", b"z", b"zz"]);
        assert_eq!(old.with(&[]), old.raw);
        assert!(tree(&[("x", file, 1)]).with(&[(b"x", None)]).is_empty());
        assert_eq!(Tree::empty().with(&[(b"x", Some(entry(file, 1)))]), tree(&[("x", file, 1)]).raw);
    }

    #[test]
    fn what_git_would_write_otherwise_is_odd() {
        let one = |text: &str| {
            let mut raw = text.as_bytes().to_vec();
            raw.extend_from_slice(&[1; ID]);
            Tree::parse(raw)
        };
        for odd in ["100664 f\0", "040000 d\0", "100644 \0", "100644 a/b\0"] {
            assert!(one(odd).unwrap().is_odd(), "{odd:?}");
        }
        assert!(!one("100644 f\0").unwrap().is_odd());
        let mut raw = b"40000 d\0".to_vec();
        raw.extend_from_slice(ObjectId::empty_tree(gix::hash::Kind::Sha1).as_slice());
        assert!(Tree::parse(raw).unwrap().is_odd(), "a folder with nothing in it");
        let (a, b) = (tree(&[("a", 0o100_644, 1)]), tree(&[("b", 0o100_644, 1)]));
        assert!(Tree::parse([b.raw, a.raw].concat()).unwrap().is_odd(), "another order");
        let (file, folder) = (tree(&[("a", 0o100_644, 1)]), tree(&[("a", FOLDER, 1)]));
        assert!(Tree::parse([file.raw, folder.raw].concat()).unwrap().is_odd(), "one name twice");
        assert!(Tree::parse(b"100644 f\0short".to_vec()).is_none());
        assert!(Tree::parse(b"no tree".to_vec()).is_none());
    }
}
