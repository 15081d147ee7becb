//! The policy of loops: what follows an iteration. Pure.
//!
//! ```text
//!  BLOCKED ▶ failed     COMPLETE, nothing against it ▶ done     NOTHING, no commit at all ▶ done, skipped
//!  anything else ▶ the next iteration, unless a limit is reached ▶ failed, the work kept
//! ```
//!
//! Invariants: the agent's word alone never ends a loop well; a promise on the last allowed iteration counts like any other;
//! whatever an agent does, there are at most `max` iterations.

use super::judge::blocked;
use crate::agent::Promise;
use crate::agent::promise::promised_texts;
use crate::model::event::{Lap, Next};
use crate::model::task::{Looping, Oid, Task};
use crate::model::text::{count, one_line};

/// The longest word on what an iteration came to, in characters.
const WHY: usize = 300;

/// What the final message of an iteration promises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Nothing.
    NoPromise,
    /// That the work is complete: the literal text that the loop waits for.
    Complete,
    /// That only a person can help, and why.
    Blocked(String),
    /// That there is nothing to do.
    Nothing,
    /// Another text than the one that the loop waits for.
    Other(String),
    /// Several that contradict each other: an echo of the instructions, most likely.
    Several,
}

impl Said {
    /// Returns what `message`, the final one of an agent, promises. `asked` is the prompt: an agent that prints it again
    /// has promised nothing.
    pub fn of(message: &str, asked: &str, until: &str) -> Self {
        let asked = asked.trim();
        let own = if asked.is_empty() { message.to_owned() } else { message.replace(asked, "") };
        let mut texts = promised_texts(&own);
        texts.dedup();
        match texts.as_slice() {
            [] => Self::NoPromise,
            [text] if text == until => Self::Complete,
            [text] => match Promise::of(&format!("<promise>{text}</promise>")) {
                Some(Promise::Blocked(reason)) => Self::Blocked(reason),
                Some(Promise::Nothing) => Self::Nothing,
                _ => Self::Other(text.clone()),
            },
            _ => Self::Several,
        }
    }
}

/// What git says of the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tree {
    /// Everything is committed; `new`: there is something to land.
    Clean {
        /// Whether the branch has commits that the target lacks.
        new: bool,
    },
    /// It cannot be taken as it is, and why.
    Unfinished(String),
}

/// A check that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Red {
    /// Which one and how, in one line.
    pub reason: String,
    /// Its output, without what differs from run to run, as a hash.
    pub output: String,
}

/// How the file of requirements stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requirements {
    /// All of them pass, or none are asked for.
    Met,
    /// Some do not, or the file cannot be read; why, in one line.
    Open(String),
}

/// What is known at the end of an iteration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The attempt that ended it.
    pub attempt: u32,
    /// Why its agent ended without finishing (a turn cap), if it did: then its message promises nothing.
    pub cut: Option<String>,
    /// What its final message promises.
    pub said: Said,
    /// What git says.
    pub tree: Tree,
    /// The branch's commit.
    pub head: Oid,
    /// Commits that this iteration added.
    pub commits: u32,
    /// What they change, as a hash; `None`: nothing.
    pub change: Option<String>,
    /// The check that failed.
    pub red: Option<Red>,
    /// The requirements.
    pub requirements: Requirements,
    /// Anything else that people should know.
    pub aside: Option<String>,
}

impl Found {
    /// Returns what speaks against the promise that the work is complete; `None`: it counts.
    fn objection(&self) -> Option<String> {
        let Self { tree, red, requirements, .. } = self;
        match (tree, red, requirements) {
            (Tree::Unfinished(reason), ..) => Some(reason.clone()),
            (_, Some(red), _) => Some(red.reason.clone()),
            (_, _, Requirements::Open(reason)) => Some(reason.clone()),
            (Tree::Clean { new: false }, None, Requirements::Met) => {
                Some("no commit beyond its base".to_owned())
            }
            (Tree::Clean { new: true }, None, Requirements::Met) => None,
        }
    }

    /// Returns what speaks against the promise that there is nothing to do.
    fn objection_to_nothing(&self) -> Option<String> {
        match (&self.tree, &self.requirements) {
            // Checks that are red without any change are not this task's.
            (Tree::Clean { new: false }, Requirements::Met) => None,
            _ => self.objection(),
        }
    }

    /// Returns why a promise was refused; `None`: there was none, or it counts.
    fn refused(&self) -> Option<String> {
        match &self.said {
            Said::Complete => self.objection(),
            Said::Nothing => self.objection_to_nothing(),
            Said::Several => Some("several different promises in the final message".to_owned()),
            Said::Other(_) | Said::NoPromise | Said::Blocked(_) => None,
        }
    }

    /// Returns what the iteration came to, in one line.
    fn why(&self) -> String {
        let mut told = Vec::new();
        match (&self.cut, &self.said, self.refused()) {
            (Some(reason), ..) => told.push(reason.clone()),
            (None, Said::Several, Some(reason)) => told.push(reason),
            (None, _, Some(reason)) => told.push(format!("its promise does not count: {reason}")),
            (None, Said::Blocked(reason), None) => told.push(blocked(reason)),
            (None, Said::Other(text), None) => {
                told.push(format!("it promised `{}`, which is not what ends the loop", one_line(text, 60)));
            }
            (None, Said::NoPromise | Said::Several, None) => told.push("no promise".to_owned()),
            (None, Said::Complete, None) => told.push("complete".to_owned()),
            (None, Said::Nothing, None) => told.push("nothing to do".to_owned()),
        }
        told.push(match self.commits {
            0 => "no new commit".to_owned(),
            n => count(n as usize, "new commit"),
        });
        if let (None, Tree::Unfinished(reason)) = (self.refused(), &self.tree) {
            told.push(reason.clone());
        }
        if let (None, Some(red)) = (self.refused(), &self.red) {
            told.push(red.reason.clone());
        }
        told.extend(self.aside.clone());
        one_line(&told.join("; "), WHY)
    }

    /// Returns change and error as a lap keeps them. An error counts only where a promise was refused: a check may well be
    /// red in the same way while the work goes on.
    fn fingerprint(&self) -> String {
        let undone = if self.commits > 0 { UNDONE } else { NONE };
        let change = self.change.as_deref().unwrap_or(undone);
        let error = match (self.refused(), &self.red) {
            (None, _) => NONE.to_owned(),
            (Some(_), Some(red)) => red.output.clone(),
            (Some(reason), None) => format!("{:08x}", crc32fast::hash(reason.as_bytes())),
        };
        format!("{change} {error}")
    }
}

/// The part of a fingerprint where there is none.
const NONE: &str = "-";

/// The change of an iteration whose commits undo each other, or hold nothing.
const UNDONE: &str = "undone";

/// Returns what an iteration leaves to the next one and to the rules.
pub fn lap(task: &Task, found: &Found) -> Lap {
    Lap {
        iteration: task.next_iteration(),
        head: found.head.clone(),
        commits: found.commits,
        fingerprint: found.fingerprint(),
        attempt: found.attempt,
        why: found.why(),
        red: found.red.as_ref().map(|red| red.reason.clone()),
    }
}

/// Returns what follows an iteration whose agent came to its end, with the reason that people read.
pub fn after_iteration(task: &Task, found: &Found) -> (Next, String) {
    let lap = lap(task, found);
    let head = || found.head.clone();
    match &found.said {
        _ if found.cut.is_some() => {}
        Said::Blocked(reason) => return (Next::Failed, blocked(reason)),
        Said::Complete | Said::Nothing if found.refused().is_some() => {}
        Said::Nothing if found.tree == (Tree::Clean { new: false }) => {
            return (Next::Done { head: head(), skipped: true }, "nothing to do".to_owned());
        }
        Said::Complete | Said::Nothing => {
            let reason = format!("complete after {}", count(lap.iteration as usize, "iteration"));
            return (Next::Done { head: head(), skipped: false }, reason);
        }
        Said::NoPromise | Said::Other(_) | Said::Several => {}
    }
    let Some(looping) = &task.spec.looping else { return (Next::Failed, "it runs in no loop".to_owned()) };
    let so_far = task.laps.iter().rev().take(task.round as usize);
    let recent: Vec<&Lap> = std::iter::once(&lap).chain(so_far).collect();
    match given_up(looping, &recent) {
        Some(reason) => (Next::Failed, format!("{reason}; last: {}", lap.why)),
        None => (Next::Iterate, format!("iteration {} of {}: {}", lap.iteration, looping.max, lap.why)),
    }
}

/// Returns whether the loop ends well with this iteration.
pub fn is_done(task: &Task, found: &Found) -> bool {
    matches!(after_iteration(task, found).0, Next::Done { .. })
}

/// Returns why a loop does not go on. `laps`: those of this round, the newest first. Money, tokens and time bound a loop as
/// they bound any task: by its budget.
fn given_up(looping: &Looping, laps: &[&Lap]) -> Option<String> {
    let newest = laps.first()?;
    let patience = looping.no_progress.max(1) as usize;
    let in_a_row = |same: &dyn Fn(&Lap) -> bool| laps.iter().take_while(|lap| same(lap)).count() >= patience;
    let (change, error) = parts(newest);
    if newest.iteration >= looping.max {
        Some(format!("the loop is used up after {}", count(newest.iteration as usize, "iteration")))
    } else if in_a_row(&|lap| lap.commits == 0) {
        Some(format!("no new commit in {}", count(patience, "iteration")))
    } else if change == UNDONE && in_a_row(&|lap| parts(lap).0 == UNDONE) {
        Some(format!("commits that change nothing in {}", count(patience, "iteration")))
    } else if change != NONE && in_a_row(&|lap| parts(lap).0 == change) {
        Some(format!("it goes round in circles: the same change in {}", count(patience, "iteration")))
    } else if error != NONE && in_a_row(&|lap| parts(lap).1 == error) {
        Some(format!("it goes round in circles: the same error in {}", count(patience, "iteration")))
    } else {
        None
    }
}

fn parts(lap: &Lap) -> (&str, &str) {
    lap.fingerprint.split_once(' ').unwrap_or((NONE, NONE))
}

/// Returns a check's output without what differs from run to run although nothing changed: times, dates, addresses, process
/// ids, escapes. Other numbers stay, for fewer failures are progress.
pub fn steady(output: &str) -> String {
    let mut steady = String::with_capacity(output.len());
    let mut rest = output;
    let mut in_word = false;
    while let Some(c) = rest.chars().next() {
        let hex = rest.strip_prefix("0x").filter(|_| !in_word);
        let taken = if c == '\x1b' {
            escape(rest)
        } else if let Some(hex) = hex {
            2 + hex.len() - hex.trim_start_matches(|c: char| c.is_ascii_hexdigit()).len()
        } else if c.is_ascii_digit() && !in_word {
            changing_number(rest)
        } else {
            0
        };
        if taken > 0 {
            if c != '\x1b' {
                steady.push('#');
            }
            rest = &rest[taken..];
            in_word = true;
            continue;
        }
        let whole = if c.is_ascii_digit() {
            rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len()
        } else {
            c.len_utf8()
        };
        steady.push_str(&rest[..whole]);
        rest = &rest[whole..];
        in_word = c.is_alphanumeric() || c == '_';
    }
    steady
}

/// The length of an escape sequence that colours or moves.
fn escape(text: &str) -> usize {
    let Some(inside) = text.strip_prefix("\x1b[") else { return 1 };
    let end = inside.find(|c: char| c.is_ascii_alphabetic());
    end.map_or(text.len(), |at| 2 + at + 1)
}

/// The length of a number that is a time, a date or an id; 0: it is another one.
fn changing_number(text: &str) -> usize {
    const UNITS: [&str; 12] =
        ["ns", "µs", "us", "ms", "secs", "sec", "seconds", "second", "s", "min", "m", "h"];
    let number =
        text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || ".,:-T".contains(c)).len();
    let number = text[..number].trim_end_matches(['.', ',', ':', '-', 'T']).len();
    let (said, behind) = text.split_at(number);
    let unit = behind.strip_prefix(' ').unwrap_or(behind);
    let word = unit.len() - unit.trim_start_matches(char::is_alphanumeric).len();
    if UNITS.contains(&&unit[..word]) {
        return number + (behind.len() - unit.len()) + word;
    }
    let clock = said.matches(':').count() == 2 || said.matches('-').count() == 2;
    let id = said.len() >= 5 && said.bytes().all(|b| b.is_ascii_digit());
    if clock || id { number } else { 0 }
}

#[cfg(test)]
mod tests;
