//! A conflict that a person has resolved, and a collection of them.

use std::collections::BTreeMap;

use wt::land::conserve::Sides;

/// One conflicted file.
#[derive(Debug)]
pub struct Case {
    /// The merge commit, or the name of a made conflict.
    pub merge: String,
    /// The path in the repository.
    pub path: String,
    /// None: both sides added the file.
    pub base: Option<Vec<u8>>,
    /// The first parent's.
    pub ours: Vec<u8>,
    /// The second parent's.
    pub theirs: Vec<u8>,
    /// What stands in the merge commit.
    pub human: Vec<u8>,
}

impl Case {
    /// As the conservation check takes it.
    pub fn sides(&self) -> Sides<'_> {
        Sides { path: &self.path, base: self.base.as_deref(), ours: &self.ours, theirs: &self.theirs }
    }

    /// `.rs`; a file without an ending: its name.
    pub fn language(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or(&self.path);
        name.rfind('.').filter(|at| *at > 0).map_or(name, |at| &name[at..])
    }
}

/// A merge of which at least one file is a case.
#[derive(Debug)]
pub struct Merge {
    /// Where its cases stand among all.
    pub cases: std::ops::Range<usize>,
    /// Whether its cases are all of its conflicts.
    pub whole: bool,
    /// Whether the person changed a path that git had merged.
    pub more: bool,
}

/// Cases of one origin.
#[derive(Debug, Default)]
pub struct Corpus {
    /// What it is called.
    pub name: String,
    /// How many merges were looked at, and how many of them conflict.
    pub seen: (usize, usize),
    /// By merge.
    pub cases: Vec<Case>,
    /// In the order of the cases.
    pub merges: Vec<Merge>,
    /// Conflicted paths that are no case, by what they are.
    pub left_out: BTreeMap<&'static str, usize>,
}

impl Corpus {
    /// What it consists of, in one or two lines.
    pub fn told(&self) -> String {
        let (seen, conflicted) = self.seen;
        let (files, merges) = (self.cases.len(), self.merges.len());
        let told =
            format!("{seen} merges looked at, {conflicted} conflicted; {files} files of {merges} merges");
        if self.left_out.is_empty() {
            return told;
        }
        let left = self.left_out.iter().map(|(why, n)| format!("{why} {n}"));
        format!("{told}\nleft out: {}", left.collect::<Vec<_>>().join(", "))
    }
}
