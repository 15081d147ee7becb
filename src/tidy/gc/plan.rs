//! Which workspaces go: pure, from facts and what was asked.
//!
//! With [`Force::Never`] no workspace goes that holds anything which is not on its target; whatever is
//! asked, none goes that somebody uses, that git has locked, or that no trash ref could keep. A plan names tasks, never
//! folders, so the main checkout cannot stand in one.

use std::time::Duration;

use crate::model::text::{count, duration};
use crate::model::{Oid, State, TaskId, TaskName};

/// What no force unties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tie {
    /// `git worktree lock`, with its reason.
    Locked(String),
    /// A repository inside, which no snapshot can hold.
    Nested(String),
    /// A submodule with something that no commit has, and what.
    Submodule(String, String),
    /// git does not know its folder any more, so its state cannot be put away.
    Unregistered,
    /// Its record does not fit the place where workspaces are made.
    Misplaced(&'static str),
}

impl Tie {
    fn words(&self) -> String {
        match self {
            Self::Locked(reason) if reason.is_empty() => "locked by `git worktree lock`".to_owned(),
            Self::Locked(reason) => format!("locked by `git worktree lock`: {reason}"),
            Self::Nested(path) => format!("another repository is inside it: `{path}`"),
            Self::Submodule(path, why) => {
                format!("its submodule `{path}` cannot be put away: {why}; commit or discard it there")
            }
            Self::Unregistered => "git does not know its folder any more".to_owned(),
            Self::Misplaced(how) => format!("its record names {how}"),
        }
    }
}

/// What its commits are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// There are none beyond its base.
    Nothing,
    /// All are on the target; how it shows.
    Landed(&'static str),
    /// So many are not on the target.
    Unlanded(usize),
    /// git cannot tell, and why.
    Unknown(String),
}

/// What is not committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changes {
    /// Nothing.
    Nothing,
    /// Staged, unstaged or untracked files.
    Uncommitted,
    /// A merge, a rebase; in words.
    Unfinished(&'static str),
    /// git cannot tell, and why.
    Unknown(String),
}

/// What is left of a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// It is there, or a part of it that is nowhere else.
    Standing,
    /// A removal that was cut short has put all of it into the trash.
    PutAway,
    /// Neither folder nor branch.
    Nothing,
}

/// What is known of a task that has, or may have, a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The task.
    pub id: TaskId,
    /// Where it stands.
    pub state: State,
    /// What no force unties.
    pub ties: Vec<Tie>,
    /// What its commits are.
    pub work: Work,
    /// What is not committed.
    pub changes: Changes,
    /// What is left of it.
    pub left: Left,
    /// How long nothing has happened in it.
    pub idle: Duration,
    /// A task that starts only when this one has landed.
    pub awaited_by: Option<TaskName>,
    /// The commits of its branch and of its `HEAD`: if one of them moves, somebody works there.
    pub tips: Vec<Oid>,
}

/// Which tasks are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every one with a workspace.
    All,
    /// These, whatever their age.
    Named(Vec<TaskId>),
}

/// Whether unlanded and uncommitted work may go; it is kept below a trash ref either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// It stays.
    Never,
    /// It goes.
    Unlanded,
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Which tasks.
    pub scope: Scope,
    /// Whether work may go that is nowhere else.
    pub force: Force,
    /// The age at rest after which a workspace without work goes.
    pub stale: Duration,
}

/// What becomes of one workspace, and why, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It goes.
    Remove(String),
    /// It stays.
    Keep(String),
}

/// What goes and what stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What was asked.
    pub policy: Policy,
    /// What goes, with its facts and why.
    pub remove: Vec<(Facts, String)>,
    /// What stays, and why.
    pub keep: Vec<(TaskId, String)>,
}

/// Returns what becomes of each of `facts`.
pub fn plan(facts: Vec<Facts>, policy: &Policy) -> Plan {
    let mut plan = Plan { policy: policy.clone(), remove: Vec::new(), keep: Vec::new() };
    for facts in facts {
        match decide(&facts, policy) {
            Decision::Remove(why) => plan.remove.push((facts, why)),
            Decision::Keep(why) => plan.keep.push((facts.id, why)),
        }
    }
    plan
}

/// Returns what becomes of one workspace.
pub fn decide(facts: &Facts, policy: &Policy) -> Decision {
    use Decision::{Keep, Remove};
    let named = matches!(policy.scope, Scope::Named(_));
    let forced = policy.force == Force::Unlanded;
    if matches!(facts.state, State::Running { .. } | State::Landing { .. }) {
        return Keep(facts.state.word().to_owned());
    }
    if let Some(tie) = facts.ties.first() {
        return Keep(tie.words());
    }
    match facts.left {
        Left::PutAway => return Remove("its removal was cut short".to_owned()),
        Left::Nothing if facts.state.at_rest() => return Remove("nothing is left of it".to_owned()),
        _ => {}
    }
    let discarded = named && forced;
    if !facts.state.at_rest() && !discarded {
        return Keep(facts.state.word().to_owned());
    }
    // Gone, it could never land, and the other would wait for ever.
    if let Some(child) = facts.awaited_by.as_ref().filter(|_| !named && !facts.state.ended()) {
        return Keep(format!("`{child}` waits for it to land"));
    }
    if let Some(work) = at_stake(facts) {
        return if forced { Remove(format!("forced, with {work}")) } else { Keep(work) };
    }
    match (&facts.state, &facts.work) {
        (State::Landed, _) => return Remove("landed".to_owned()),
        (State::Removed { .. }, _) => return Remove("half-made for a task that is removed".to_owned()),
        (_, Work::Landed(how)) => return Remove(format!("landed: {how}")),
        _ => {}
    }
    if named || forced {
        return Remove("asked for, nothing unlanded".to_owned());
    }
    let idle = duration(facts.idle);
    if facts.idle >= policy.stale {
        return Remove(format!("stale: at rest for {idle}, nothing unlanded"));
    }
    Keep(format!("{} for {idle}, stale after {}", facts.state.word(), duration(policy.stale)))
}

/// Returns what would be nowhere but in the trash, in words.
fn at_stake(facts: &Facts) -> Option<String> {
    let work = match &facts.work {
        Work::Nothing | Work::Landed(_) => None,
        Work::Unlanded(commits) => Some(count(*commits, "unlanded commit")),
        Work::Unknown(why) => Some(format!("commits that git cannot place ({why})")),
    };
    let changes = match &facts.changes {
        Changes::Nothing => None,
        Changes::Uncommitted => Some("uncommitted changes".to_owned()),
        Changes::Unfinished(what) => Some(format!("{what} in progress")),
        Changes::Unknown(why) => Some(format!("files that git cannot read ({why})")),
    };
    match (work, changes) {
        (Some(work), Some(changes)) => Some(format!("{work} and {changes}")),
        (work, changes) => work.or(changes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::WaitReason;
    use proptest::prelude::*;

    const STALE: Duration = Duration::from_secs(86_400);

    fn facts() -> Facts {
        Facts {
            id: "a@1".parse().unwrap(),
            state: State::Done { skipped: false },
            ties: Vec::new(),
            work: Work::Nothing,
            changes: Changes::Nothing,
            left: Left::Standing,
            idle: Duration::from_secs(60),
            awaited_by: None,
            tips: Vec::new(),
        }
    }

    fn policy(force: Force) -> Policy {
        Policy { scope: Scope::All, force, stale: STALE }
    }

    fn named(force: Force) -> Policy {
        Policy { scope: Scope::Named(vec![facts().id]), ..policy(force) }
    }

    fn kept(facts: &Facts, policy: &Policy) -> String {
        match decide(facts, policy) {
            Decision::Keep(why) => why,
            Decision::Remove(why) => panic!("removed: {why}"),
        }
    }

    fn removed(facts: &Facts, policy: &Policy) -> String {
        match decide(facts, policy) {
            Decision::Remove(why) => why,
            Decision::Keep(why) => panic!("kept: {why}"),
        }
    }

    #[test]
    fn landed_and_stale_go_and_fresh_stays() {
        let never = policy(Force::Never);
        let landed = Facts { state: State::Landed, ..facts() };
        assert_eq!(removed(&landed, &never), "landed");
        let by_hand = Facts { work: Work::Landed("merged"), ..facts() };
        assert_eq!(removed(&by_hand, &never), "landed: merged");
        assert_eq!(kept(&facts(), &never), "done for 1m, stale after 1d");
        let open = Facts { state: State::Open, idle: STALE, ..facts() };
        assert_eq!(removed(&open, &never), "stale: at rest for 1d, nothing unlanded");
        assert_eq!(removed(&facts(), &named(Force::Never)), "asked for, nothing unlanded");
    }

    #[test]
    fn work_stays_in_words_and_goes_only_by_force() {
        let work = Facts { work: Work::Unlanded(3), changes: Changes::Uncommitted, idle: STALE, ..facts() };
        assert_eq!(kept(&work, &policy(Force::Never)), "3 unlanded commits and uncommitted changes");
        assert_eq!(kept(&work, &named(Force::Never)), "3 unlanded commits and uncommitted changes");
        let why = removed(&work, &policy(Force::Unlanded));
        assert_eq!(why, "forced, with 3 unlanded commits and uncommitted changes");
        let dirty = Facts { state: State::Landed, changes: Changes::Unfinished("a rebase"), ..facts() };
        assert_eq!(kept(&dirty, &policy(Force::Never)), "a rebase in progress");
    }

    #[test]
    fn a_queued_task_goes_only_by_name_and_force() {
        let queued = Facts { state: State::Queued, ..facts() };
        assert_eq!(kept(&queued, &policy(Force::Unlanded)), "queued");
        assert_eq!(kept(&queued, &named(Force::Never)), "queued");
        removed(&queued, &named(Force::Unlanded));
        let nothing = Facts { left: Left::Nothing, ..queued };
        assert_eq!(kept(&nothing, &policy(Force::Never)), "queued");
    }

    #[test]
    fn what_others_wait_for_stays() {
        let child: TaskName = "b".parse().unwrap();
        let awaited = Facts { awaited_by: Some(child), work: Work::Landed("x"), idle: STALE, ..facts() };
        for force in [Force::Never, Force::Unlanded] {
            assert_eq!(kept(&awaited, &policy(force)), "`b` waits for it to land");
        }
        removed(&awaited, &named(Force::Never));
        assert_eq!(removed(&Facts { state: State::Landed, ..awaited }, &policy(Force::Never)), "landed");
    }

    fn any_facts() -> impl Strategy<Value = Facts> {
        let boxed = || Box::new(State::Done { skipped: false });
        let states = vec![
            State::Queued,
            State::Waiting { reason: WaitReason::Parked, until: None },
            State::Running { attempt: 1, token: String::new(), boot: String::new() },
            State::Open,
            State::Done { skipped: false },
            State::Landing { from: boxed() },
            State::Landed,
            State::Failed,
            State::Dead,
            State::Stopped,
            State::Lost { rebooted: true },
            State::Conflict,
            State::Review,
            State::Rejected,
            State::Removed { from: boxed() },
        ];
        let ties = vec![
            Tie::Locked(String::new()),
            Tie::Nested("x".to_owned()),
            Tie::Unregistered,
            Tie::Misplaced("the main checkout"),
        ];
        let work = vec![Work::Nothing, Work::Landed("x"), Work::Unlanded(2), Work::Unknown("x".to_owned())];
        let changes = vec![
            Changes::Nothing,
            Changes::Uncommitted,
            Changes::Unfinished("a merge"),
            Changes::Unknown("x".to_owned()),
        ];
        let left = vec![Left::Standing, Left::Standing, Left::PutAway, Left::Nothing];
        let awaited = vec![None, Some("b".parse().unwrap())];
        let all = (
            proptest::sample::select(states),
            proptest::sample::subsequence(ties, 0..2),
            proptest::sample::select(work),
            proptest::sample::select(changes),
            proptest::sample::select(left),
            0..200_000_u64,
            proptest::sample::select(awaited),
        );
        all.prop_map(|(state, ties, work, changes, left, idle, awaited_by)| Facts {
            state,
            ties,
            work,
            changes,
            left,
            idle: Duration::from_secs(idle),
            awaited_by,
            ..facts()
        })
    }

    proptest! {
        #[test]
        fn no_plan_takes_work_without_force_nor_anything_that_is_in_use(
            all in proptest::collection::vec(any_facts(), 0..8),
            force in proptest::sample::select(vec![Force::Never, Force::Unlanded]),
            by_name in any::<bool>(),
        ) {
            let policy = if by_name { named(force) } else { policy(force) };
            let n = all.len();
            let plan = plan(all, &policy);
            prop_assert_eq!(plan.remove.len() + plan.keep.len(), n, "each is decided once");
            for (facts, why) in &plan.remove {
                prop_assert!(!why.is_empty());
                prop_assert!(facts.ties.is_empty());
                let busy = matches!(facts.state, State::Running { .. } | State::Landing { .. });
                prop_assert!(!busy);
                if force == Force::Never && facts.left == Left::Standing {
                    let safe = matches!(facts.work, Work::Nothing | Work::Landed(_));
                    prop_assert!(safe);
                    prop_assert_eq!(&facts.changes, &Changes::Nothing);
                    prop_assert!(facts.state.at_rest());
                }
            }
            prop_assert!(plan.keep.iter().all(|(_, why)| !why.is_empty()));
        }
    }
}
