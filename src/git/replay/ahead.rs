//! Merges that git will be asked for, foreseen and asked for by one call: a process each is what a replay spends most on.
//!
//! ```text
//! commits of all branches ─▶ each onto what the one before would make: sure (walk) or guessed (walk::foresee)
//!                                                              │ every guess is a question
//!                                                              ▼
//!                                     git merge-tree --stdin: base, ours, theirs ─▶ its tree
//! ```
//!
//! Invariant: what is known afterwards is git's own answer, or the strict walk's, about exactly these three trees. A guess
//! only decides which trees git is asked about: where it is wrong, the answers after it are about trees that never come up,
//! and git is asked one by one as ever.

use std::collections::HashMap;
use std::fmt::Write as _;

use gix::ObjectId;

use super::super::command::Git;
use super::super::repo::id;
use super::super::walk::{self, Foreseen};
use super::super::{GitError, Repo};
use super::{Pending, Replayer};
use crate::model::Oid;

/// Three trees that are merged: the base, ours, theirs.
pub(super) type Sides = (ObjectId, ObjectId, ObjectId);

/// Where a merged tree comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Walk,
    Git,
}

/// Trees that are known to be the merged ones.
pub(super) type Known = HashMap<Sides, (ObjectId, By)>;

/// So few questions are as well asked one by one.
const FEWEST: usize = 2;

impl Replayer<'_> {
    /// Prepares for replaying these branches one after the other, the first one onto `onto`, each other one onto what the one
    /// before came to. Nothing depends on it but time: any of them may be left out later, or come out otherwise, and what
    /// goes wrong here goes wrong again, and is told, where it counts.
    pub fn look_ahead(&mut self, onto: &Oid, heads: &[Oid]) {
        drop(self.try_look_ahead(onto, heads));
    }

    fn try_look_ahead(&mut self, onto: &Oid, heads: &[Oid]) -> Result<(), GitError> {
        let start = self.tree(id(onto)?)?;
        let mut ours = start;
        let mut sure: Known = HashMap::new();
        let mut questions: Vec<Sides> = Vec::new();
        for head in heads {
            let Some(pending) = self.line.pending(&mut self.cache, id(onto)?, id(head)?) else { continue };
            let asked = questions.len();
            match self.foresee(ours, &pending, &mut sure, &mut questions) {
                Ok(Some(tree)) => ours = tree,
                // It will hardly land with the others.
                Ok(None) | Err(_) => questions.truncate(asked),
            }
        }
        self.known.extend(sure);
        // Attributes say how files are merged, and one call reads them once.
        let mut before = start;
        let other = questions.iter().position(|(_, ours, _)| {
            let before = std::mem::replace(&mut before, *ours);
            walk::attributes_differ(&mut self.cache, before, *ours, 0)
        });
        questions.truncate(other.unwrap_or(questions.len()));
        if questions.len() >= FEWEST {
            let answers = ask(self.repo, onto, &questions)?;
            self.known.extend(
                questions
                    .into_iter()
                    .zip(answers)
                    .filter_map(|(sides, tree)| Some((sides, (tree?, By::Git)))),
            );
        }
        Ok(())
    }

    /// Returns the tree that a branch would come to on the tree `ours`; `None` where that cannot be foreseen.
    fn foresee(
        &mut self,
        mut ours: ObjectId,
        pending: &[Pending],
        sure: &mut Known,
        questions: &mut Vec<Sides>,
    ) -> Result<Option<ObjectId>, GitError> {
        for commit in pending {
            let [parent] = commit.parents.as_slice() else { return Ok(None) };
            let (base, theirs) = (self.tree(id(parent)?)?, self.tree(id(&commit.oid)?)?);
            let sides = (base, ours, theirs);
            if let Some((tree, _)) = self.known.get(&sides) {
                ours = *tree;
                continue;
            }
            ours = match walk::foresee(&mut self.cache, base, ours, theirs)? {
                Some(Foreseen::Sure(tree)) => {
                    sure.insert(sides, (tree, By::Walk));
                    tree
                }
                Some(Foreseen::Guessed(tree)) => {
                    questions.push(sides);
                    tree
                }
                None => return Ok(None),
            };
        }
        Ok(Some(ours))
    }
}

/// Asks git for merged trees, by one call; `None` for each that conflicts. No answer at all is no harm: an older git
/// may take commits only.
fn ask(repo: &Repo, onto: &Oid, questions: &[Sides]) -> Result<Vec<Option<ObjectId>>, GitError> {
    repo.require_git()?;
    let mut lines = String::new();
    for (base, ours, theirs) in questions {
        let _ = writeln!(lines, "{base} -- {ours} {theirs}");
    }
    let call = Git::on(repo, "merge-tree").args(["--write-tree", "-z", "--no-messages", "--stdin"]);
    let call = call.set("merge.conflictStyle=diff3").attributes_of(onto.as_str()).stdin(lines);
    let ended = call.finish()?;
    let answers: Vec<_> = read(&ended.stdout).collect();
    let whole = ended.code == Some(0) && answers.len() == questions.len();
    Ok(if whole { answers } else { Vec::new() })
}

/// Reads what git says to each question: 0 (conflict) or 1 (clean), the tree, what conflicts, and an empty field.
fn read(answer: &[u8]) -> impl Iterator<Item = Option<ObjectId>> {
    let mut fields = answer.split(|b| *b == 0);
    std::iter::from_fn(move || {
        let verdict = fields.next()?;
        let tree = ObjectId::from_hex(fields.next()?).ok()?;
        // One that was cut short is none.
        fields.find(|field| field.is_empty())?;
        match verdict {
            b"1" => Some(Some(tree)),
            b"0" => Some(None),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_up_to_the_one_that_was_cut_short() {
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        let all = |text: String| read(text.replace('|', "\0").as_bytes()).collect::<Vec<_>>();
        let id = |text: &str| ObjectId::from_hex(text.as_bytes()).ok();
        assert_eq!(all(format!("1|{a}||0|{b}|100644 1 1\tf||1|{b}||")), [id(&a), None, id(&b)]);
        assert_eq!(all(format!("1|{a}||1|{b}")), [id(&a)]);
        assert_eq!(all("-1|".to_owned()), []);
        assert_eq!(all(String::new()), []);
    }
}
