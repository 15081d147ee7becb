//! Which build output goes: pure, from facts and what was asked.
//!
//! Invariant: nothing of a workspace that somebody uses, and no folder that has a reason to stay, is ever in a plan.

use std::path::PathBuf;
use std::time::Duration;

use crate::model::text::duration;
use crate::model::{State, TaskId};

/// Whose build output it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// A task's workspace, and where the task stands.
    Task(TaskId, State),
    /// A spare workspace of the pool: the name of its folder there.
    Spare(String),
}

impl Owner {
    /// Returns the name that people read.
    pub fn name(&self) -> String {
        match self {
            Self::Task(id, _) => id.name.to_string(),
            Self::Spare(folder) => format!(".pool/{folder}"),
        }
    }
}

/// A folder that the settings call a cache, that git ignores, and in which nothing is tracked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Its path in the workspace.
    pub path: PathBuf,
    /// Device and inode: what was planned, and not what stands there later.
    pub identity: (u64, u64),
    /// What is free when it goes, in bytes.
    pub bytes: u64,
    /// Why it must stay whatever is asked.
    pub tie: Option<String>,
}

/// What is known of the build output of one workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Whose it is.
    pub owner: Owner,
    /// Why none of it may be touched, if so.
    pub tie: Option<String>,
    /// How long nothing has happened in it: neither by git nor in one of the folders.
    pub idle: Duration,
    /// The folders.
    pub folders: Vec<Folder>,
}

/// Whose build output is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// That of every idle workspace and spare.
    Idle,
    /// That of these tasks.
    Named(Vec<TaskId>),
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Whose.
    pub scope: Scope,
    /// How long a person's workspace must have been left alone.
    pub stale: Duration,
}

/// What goes of one workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropping {
    /// Whose it is.
    pub owner: Owner,
    /// Why it may go.
    pub why: String,
    /// What goes; never empty.
    pub folders: Vec<Folder>,
}

/// What goes and what stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What was asked.
    pub policy: Policy,
    /// What goes.
    pub drop: Vec<Dropping>,
    /// What stays, by the name of its owner, and why.
    pub keep: Vec<(String, String)>,
}

/// Returns what becomes of each of `facts`. A workspace without build output is told only where it is named
/// or cannot be judged.
pub fn plan(facts: Vec<Facts>, policy: &Policy) -> Plan {
    let mut plan = Plan { policy: policy.clone(), drop: Vec::new(), keep: Vec::new() };
    for facts in facts {
        let name = facts.owner.name();
        if facts.folders.is_empty() {
            match decide(&facts, policy) {
                _ if policy.scope == Scope::Idle && facts.tie.is_none() => {}
                Ok(_) => plan.keep.push((name, "no build output".to_owned())),
                Err(why) => plan.keep.push((name, why)),
            }
            continue;
        }
        let why = match decide(&facts, policy) {
            Ok(why) => why,
            Err(why) => {
                plan.keep.push((name, why));
                continue;
            }
        };
        let (tied, folders): (Vec<Folder>, Vec<Folder>) =
            facts.folders.into_iter().partition(|folder| folder.tie.is_some());
        for folder in tied {
            let tie = folder.tie.unwrap_or_default();
            plan.keep.push((name.clone(), format!("`{}`: {tie}", folder.path.display())));
        }
        if !folders.is_empty() {
            plan.drop.push(Dropping { owner: facts.owner, why, folders });
        }
    }
    plan
}

/// Returns why the build output of a workspace may go, or why not.
pub fn decide(facts: &Facts, policy: &Policy) -> Result<String, String> {
    if let Some(tie) = &facts.tie {
        return Err(tie.clone());
    }
    let named = policy.scope != Scope::Idle;
    let state = match &facts.owner {
        Owner::Spare(_) => return Ok("a spare workspace".to_owned()),
        Owner::Task(_, state) => state,
    };
    let idle = duration(facts.idle);
    match state {
        State::Running { .. } | State::Landing { .. } => Err(state.word().to_owned()),
        _ if named => Ok("asked for".to_owned()),
        State::Open if facts.idle >= policy.stale => Ok(format!("open, left alone for {idle}")),
        State::Open => Err(format!("open, used {idle} ago, left alone after {}", duration(policy.stale))),
        state if state.at_rest() => Ok(format!("at rest: {}", state.word())),
        state => Err(state.word().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::WaitReason;
    use proptest::prelude::*;

    const STALE: Duration = Duration::from_secs(86_400);

    fn id() -> TaskId {
        "a@1".parse().unwrap()
    }

    fn folder(path: &str, tie: Option<&str>) -> Folder {
        Folder { path: path.into(), identity: (1, 2), bytes: 4096, tie: tie.map(str::to_owned) }
    }

    fn facts(state: State, idle: Duration) -> Facts {
        let owner = Owner::Task(id(), state);
        Facts { owner, tie: None, idle, folders: vec![folder("target", None)] }
    }

    fn idle() -> Policy {
        Policy { scope: Scope::Idle, stale: STALE }
    }

    fn named() -> Policy {
        Policy { scope: Scope::Named(vec![id()]), stale: STALE }
    }

    #[test]
    fn what_is_at_rest_goes_and_a_persons_own_only_when_left_alone_or_named() {
        let minute = Duration::from_secs(60);
        assert_eq!(decide(&facts(State::Done { skipped: false }, minute), &idle()).unwrap(), "at rest: done");
        let open = facts(State::Open, minute);
        assert_eq!(decide(&open, &idle()).unwrap_err(), "open, used 1m ago, left alone after 1d");
        assert_eq!(decide(&facts(State::Open, STALE), &idle()).unwrap(), "open, left alone for 1d");
        assert_eq!(decide(&open, &named()).unwrap(), "asked for");
        let queued = facts(State::Queued, STALE);
        assert_eq!(decide(&queued, &idle()).unwrap_err(), "queued");
        assert_eq!(decide(&queued, &named()).unwrap(), "asked for");
    }

    #[test]
    fn a_folder_with_a_tie_stays_and_the_others_go() {
        let mut facts = facts(State::Failed, STALE);
        facts.folders.push(folder("vendor/target", Some("another repository is inside it")));
        let plan = plan(vec![facts], &idle());
        assert_eq!(plan.drop.len(), 1);
        assert_eq!(plan.drop[0].folders, [folder("target", None)]);
        assert_eq!(
            plan.keep,
            [("a".to_owned(), "`vendor/target`: another repository is inside it".to_owned())]
        );
    }

    #[test]
    fn a_workspace_without_build_output_is_told_only_when_named() {
        let none = || vec![Facts { folders: Vec::new(), ..facts(State::Failed, STALE) }];
        assert!(plan(none(), &idle()).keep.is_empty());
        assert_eq!(plan(none(), &named()).keep, [("a".to_owned(), "no build output".to_owned())]);
    }

    fn any_state() -> impl Strategy<Value = State> {
        let boxed = || Box::new(State::Done { skipped: false });
        proptest::sample::select(vec![
            State::Queued,
            State::Waiting { reason: WaitReason::Parked, until: None },
            State::Running { attempt: 1, token: String::new(), boot: String::new() },
            State::Open,
            State::Done { skipped: false },
            State::Landing { from: boxed() },
            State::Landed,
            State::Failed,
            State::Lost { rebooted: true },
            State::Removed { from: boxed() },
        ])
    }

    proptest! {
        #[test]
        fn no_plan_touches_what_is_in_use_or_tied(
            state in any_state(),
            tie in proptest::option::of(Just("locked".to_owned())),
            tied in any::<bool>(),
            by_name in any::<bool>(),
            idle_for in 0..200_000_u64,
        ) {
            let policy = if by_name { named() } else { idle() };
            let mut one = facts(state.clone(), Duration::from_secs(idle_for));
            one.tie = tie.clone();
            one.folders[0].tie = tied.then(|| "x".to_owned());
            let plan = plan(vec![one], &policy);
            prop_assert!(plan.drop.len() + plan.keep.len() == 1);
            for drop in &plan.drop {
                let busy = matches!(state, State::Running { .. } | State::Landing { .. });
                prop_assert!(!busy && tie.is_none() && !tied);
                prop_assert!(by_name || state.at_rest());
                prop_assert!(by_name || state != State::Open || idle_for >= STALE.as_secs());
                prop_assert!(!drop.folders.is_empty());
            }
        }
    }
}
