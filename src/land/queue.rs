//! Which tasks land, and in which order. Pure: the roster, the commits of their branches and of the target → a queue.
//!
//! Order: parents before their children, then priority, then fewest predicted conflicts, then age. Invariant: a task stands
//! in the queue only if each of its parents has landed or stands before it.

use std::collections::BTreeSet;

use crate::model::{Oid, Roster, State, Task, TaskId, TaskName, line};

/// Which tasks are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Every one that is ready and was meant for the target.
    Ready,
    /// The same, but for those that somebody took back and that nobody has worked on since: they land when a person says so.
    ByItself,
    /// Every one that is ready, whatever it was meant for.
    ReadyForAny,
    /// These.
    Named(Vec<TaskName>),
}

/// Why a task that was named cannot be landed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is none of that name.
    #[error("no task is named `{name}`")]
    Unknown {
        /// As it was given.
        name: TaskName,
    },
    /// It is in a state that does not land.
    #[error("`{name}` is {state}")]
    State {
        /// The task.
        name: TaskName,
        /// Its state's word.
        state: &'static str,
    },
}

/// A task that is left out because one of its parents has not landed.
#[derive(Debug, Clone, PartialEq)]
pub struct Orphaned<'a> {
    /// The task.
    pub task: &'a Task,
    /// The parent.
    pub parent: TaskId,
    /// The word of the parent's state.
    pub state: &'static str,
}

/// What lands, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Queue<'a> {
    /// The tasks to land.
    pub tasks: Vec<&'a Task>,
    /// Tasks whose parents have not landed.
    pub orphaned: Vec<Orphaned<'a>>,
    /// Conflicts and rejections where nothing has changed since: trying again would come to the same.
    pub unchanged: Vec<&'a Task>,
}

/// Returns the queue of the tasks that are asked for; `tip` is the target's commit, `head` tells a branch's, `clashes` with
/// how many others of the tasks it may conflict, `untried` of a conflict whether somebody could resolve it now who was never
/// asked.
pub fn queue<'a>(
    roster: &'a Roster,
    wanted: &Wanted,
    target: &str,
    tip: &Oid,
    head: impl Fn(&Task) -> Option<Oid>,
    clashes: impl Fn(&TaskId) -> usize,
    untried: impl Fn(&Task) -> bool,
) -> Result<Queue<'a>, Refusal> {
    let mut unchanged = Vec::new();
    let chosen: Vec<&Task> = match wanted {
        Wanted::Named(names) => {
            let names: BTreeSet<&TaskName> = names.iter().collect();
            names.into_iter().map(|name| named(roster, name)).collect::<Result<_, _>>()?
        }
        Wanted::Ready | Wanted::ByItself | Wanted::ReadyForAny => {
            let mut ready = Vec::new();
            for task in roster.live().filter(|t| *wanted == Wanted::ReadyForAny || t.spec.target == target) {
                match task.state {
                    State::Done { .. }
                        if *wanted == Wanted::ByItself && was_taken_back(task, head(task).as_ref()) => {}
                    State::Done { .. } => ready.push(task),
                    State::Conflict | State::Rejected if changed(task, tip, head(task).as_ref()) => {
                        ready.push(task);
                    }
                    State::Conflict if untried(task) => ready.push(task),
                    State::Conflict | State::Rejected => unchanged.push(task),
                    _ => {}
                }
            }
            ready
        }
    };
    unchanged.sort_by_key(|task| task.order);
    let (tasks, orphaned) = ordered(roster, chosen, clashes);
    Ok(Queue { tasks, orphaned, unchanged })
}

fn named<'a>(roster: &'a Roster, name: &TaskName) -> Result<&'a Task, Refusal> {
    let task = roster.newest(name).ok_or_else(|| Refusal::Unknown { name: name.clone() })?;
    require_landable(task)?;
    Ok(task)
}

/// Makes sure that a task is in a state that can be landed when it is named.
pub fn require_landable(task: &Task) -> Result<(), Refusal> {
    match task.state {
        State::Done { .. }
        | State::Conflict
        | State::Rejected
        | State::Review
        | State::Failed
        | State::Dead
        | State::Stopped => Ok(()),
        _ => Err(Refusal::State { name: task.name().clone(), state: task.state.word() }),
    }
}

/// Tells whether the last landing of a task was about other commits than there are now.
fn changed(task: &Task, tip: &Oid, head: Option<&Oid>) -> bool {
    let last = task.landing.as_ref();
    last.and_then(|landing| landing.onto.as_ref()) != Some(tip)
        || last.and_then(|landing| landing.head.as_ref()) != head
}

/// Tells whether somebody took back the landing of what the branch holds now.
fn was_taken_back(task: &Task, head: Option<&Oid>) -> bool {
    let taken_back = task.landing.as_ref().and_then(|landing| landing.taken_back.as_ref());
    taken_back.is_some() && taken_back == head
}

/// Puts parents before their children; what cannot be put anywhere lacks a parent.
fn ordered<'a>(
    roster: &Roster,
    chosen: Vec<&'a Task>,
    clashes: impl Fn(&TaskId) -> usize,
) -> (Vec<&'a Task>, Vec<Orphaned<'a>>) {
    let (line, left) = line::ordered(roster, chosen, clashes);
    let placed: BTreeSet<&TaskId> = line.iter().map(|task| &task.id).collect();
    let lacking = left.into_iter().filter_map(|task| {
        let parent =
            task.spec.after.iter().find(|id| !roster.has_landed(id) && !placed.contains(id))?.clone();
        let state = roster.get(&parent).map_or("unknown", |parent| parent.state.word());
        Some(Orphaned { task, parent, state })
    });
    let orphaned = lacking.collect();
    (line, orphaned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{Event, Record};
    use crate::model::{TaskSpec, Workspace};
    use jiff::Timestamp;
    use proptest::prelude::*;

    fn oid(digit: char) -> Oid {
        Oid::parse(&digit.to_string().repeat(40)).expect("forty digits")
    }

    fn id(n: usize) -> TaskId {
        format!("t{n}@1").parse().expect("a valid id")
    }

    fn record(n: usize, event: Event) -> Record {
        Record { v: 1, at: Timestamp::UNIX_EPOCH, task: Some(id(n)), event }
    }

    /// A task that a person has finished, so that its way to `done` is short.
    fn done(n: usize, priority: u8, after: Vec<TaskId>) -> Vec<Record> {
        let spec = TaskSpec { after, priority, ..TaskSpec::new(id(n).name, "main") };
        let branch = format!("wt/t{n}");
        let workspace = Workspace {
            path: "/w".to_owned(),
            branch,
            base: oid('0'),
            entry: "w".to_owned(),
            copied: vec![],
            ports: Vec::new(),
        };
        vec![
            record(n, Event::Queued { spec }),
            record(n, Event::WorkspaceMade { workspace }),
            record(n, Event::MarkedDone { head: oid('1'), skipped: false }),
        ]
    }

    fn started(n: usize) -> Record {
        record(n, Event::LandingStarted { head: oid('1') })
    }

    fn roster(records: &[Vec<Record>]) -> Roster {
        let roster = Roster::fold(&records.concat());
        assert_eq!(roster.misfits(), 0);
        roster
    }

    fn names(tasks: &[&Task]) -> Vec<String> {
        tasks.iter().map(|task| task.name().to_string()).collect()
    }

    fn ready(roster: &Roster) -> Queue<'_> {
        queue(roster, &Wanted::Ready, "main", &oid('a'), |_| Some(oid('1')), |_| 0, |_| false)
            .expect("nothing is named")
    }

    #[test]
    fn parents_go_first_then_priority_then_age() {
        let roster = roster(&[
            done(0, 5, vec![]),
            done(1, 1, vec![id(0)]),
            done(2, 3, vec![]),
            done(3, 3, vec![]),
            done(4, 1, vec![]),
        ]);
        assert_eq!(names(&ready(&roster).tasks), ["t4", "t2", "t3", "t0", "t1"]);
    }

    #[test]
    fn of_the_same_priority_what_clashes_least_goes_first() {
        let roster =
            roster(&[done(0, 3, vec![]), done(1, 3, vec![]), done(2, 2, vec![]), done(3, 3, vec![])]);
        let clashes =
            |id: &TaskId| if *id == super::tests::id(0) { 2 } else { usize::from(id.name.as_str() == "t2") };
        let queue = queue(&roster, &Wanted::Ready, "main", &oid('a'), |_| Some(oid('1')), clashes, |_| false)
            .unwrap();
        assert_eq!(names(&queue.tasks), ["t2", "t1", "t3", "t0"]);
    }

    #[test]
    fn a_child_without_its_parent_is_left_out_with_the_reason() {
        let mut queued = done(0, 3, vec![]);
        queued.truncate(1);
        let roster = roster(&[queued, done(1, 3, vec![id(0)]), done(2, 3, vec![id(1)])]);
        let queue = ready(&roster);
        assert!(queue.tasks.is_empty());
        let left: Vec<_> =
            queue.orphaned.iter().map(|o| (o.task.id.clone(), o.parent.clone(), o.state)).collect();
        assert_eq!(left, [(id(1), id(0), "open"), (id(2), id(1), "done")]);
    }

    #[test]
    fn a_conflict_comes_again_only_when_something_changed() {
        let conflicted = |n, onto| {
            let event = Event::Conflicted { paths: vec![], onto, reason: None };
            [done(n, 3, vec![]), vec![started(n), record(n, event)]].concat()
        };
        let rejected = Event::Rejected { reason: String::new(), onto: oid('a'), log: None };
        let rejected = [done(2, 3, vec![]), vec![started(2), record(2, rejected)]].concat();
        let roster = roster(&[conflicted(0, oid('a')), conflicted(1, oid('b')), rejected]);
        let same = ready(&roster);
        assert_eq!(
            (names(&same.tasks), names(&same.unchanged)),
            (vec!["t1".into()], vec!["t0".into(), "t2".into()])
        );
        let moved =
            queue(&roster, &Wanted::Ready, "main", &oid('a'), |_| Some(oid('2')), |_| 0, |_| false).unwrap();
        assert_eq!(names(&moved.tasks), ["t0", "t1", "t2"]);
        let wanted = Wanted::Named(vec![id(0).name, id(0).name]);
        let named = queue(&roster, &wanted, "main", &oid('a'), |_| Some(oid('1')), |_| 0, |_| false).unwrap();
        assert_eq!(names(&named.tasks), ["t0"]);
    }

    #[test]
    fn what_is_named_must_be_able_to_land() {
        let mut open = done(0, 3, vec![]);
        open.pop();
        let landing = [done(1, 3, vec![]), vec![started(1)]].concat();
        let landed = record(2, Event::Landed { tip: oid('a'), commits: 1 });
        let landed = [done(2, 3, vec![]), vec![started(2), landed]].concat();
        let removed = record(3, Event::Removed { reason: String::new(), trash: None });
        let removed = [done(3, 3, vec![]), vec![removed]].concat();
        let roster = roster(&[open, landing, landed, removed]);
        for (n, state) in [(0, "open"), (1, "landing"), (2, "landed"), (3, "removed")] {
            let wanted = Wanted::Named(vec![id(n).name]);
            let refused = queue(&roster, &wanted, "main", &oid('a'), |_| None, |_| 0, |_| false).unwrap_err();
            assert_eq!(refused, Refusal::State { name: id(n).name, state });
        }
        let wanted = Wanted::Named(vec![id(9).name]);
        let refused = queue(&roster, &wanted, "main", &oid('a'), |_| None, |_| 0, |_| false).unwrap_err();
        assert_eq!(refused.to_string(), "no task is named `t9`");
    }

    #[test]
    fn only_what_is_meant_for_the_target_goes_there_by_itself() {
        let roster = roster(&[done(0, 3, vec![])]);
        let ask = |wanted| {
            queue(&roster, &wanted, "release", &oid('a'), |_| None, |_| 0, |_| false).unwrap().tasks.len()
        };
        assert_eq!((ask(Wanted::Ready), ask(Wanted::ReadyForAny)), (0, 1));
    }

    proptest! {
        /// Whatever depends on whatever: every task is either in line behind all of its parents or left out with a
        /// parent that is not in line; nothing is lost or doubled, and the order does not depend on the asking.
        #[test]
        fn no_child_before_its_parent(
            tasks in prop::collection::vec((1..=5u8, prop::collection::vec(any::<prop::sample::Index>(), 0..3), any::<bool>()), 1..12),
        ) {
            let records = tasks.iter().enumerate().map(|(n, (priority, parents, finished))| {
                let after = if n == 0 { vec![] } else { parents.iter().map(|p| id(p.index(n))).collect() };
                let mut records = done(n, *priority, after);
                records.truncate(if *finished { 3 } else { 2 });
                records
            });
            let roster = roster(&records.collect::<Vec<_>>());
            let queue = ready(&roster);
            let place = |id: &TaskId| queue.tasks.iter().position(|task| task.id == *id);
            for (at, task) in queue.tasks.iter().enumerate() {
                for parent in &task.spec.after {
                    prop_assert!(place(parent).is_some_and(|before| before < at));
                }
            }
            for orphaned in &queue.orphaned {
                prop_assert!(place(&orphaned.parent).is_none());
            }
            let finished = tasks.iter().filter(|(_, _, finished)| *finished).count();
            prop_assert_eq!(queue.tasks.len() + queue.orphaned.len(), finished);
            let every = roster.live().filter(|t| t.state.lands_by_itself()).map(|t| t.name().clone()).collect();
            let again = super::queue(&roster, &Wanted::Named(every), "main", &oid('a'), |_| None, |_| 0, |_| false).expect("all are done");
            prop_assert_eq!(names(&again.tasks), names(&queue.tasks));
        }
    }
}
