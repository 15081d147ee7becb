//! Circuit breakers: an agent that fails again and again, whoever asks, is left alone for a while.
//!
//! ```text
//!            3 failures in a row             300 s
//!   closed ─────────────────────▶ open ───────────────▶ half open: one task may try
//!     ▲                            ▲                        │   │
//!     │ an attempt works           └──── it fails ──────────┘   │
//!     └──────────────────────── it works ───────────────────────┘     (also: a person says `wt retry`)
//! ```
//!
//! One breaker for each profile, and one for each agent of tasks without a profile. Invariant: pure, and only a fold of the
//! journal. Limits, quotas, unfinished work and a person's stop are no failures: they say nothing against the agent.

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::event::{Event, Next};
use super::task::TaskSpec;
use super::verdict::{Class, Exit};

/// How many failures in a row open a breaker.
pub const FAILURES: u32 = 3;

/// How long nobody tries after the last failure.
pub const REST: SignedDuration = SignedDuration::from_secs(300);

/// What a breaker stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A profile of the configuration.
    Profile,
    /// An agent, for tasks without a profile.
    Agent,
}

impl Kind {
    /// Returns the word that people read.
    pub fn word(self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::Agent => "agent",
        }
    }
}

/// Whose breaker it is: a profile's or an agent's, by name.
pub type Of<'a> = (Kind, &'a str);

/// Returns whose breaker a task depends on; `None`: no agent works on it.
pub fn of(spec: &TaskSpec) -> Option<Of<'_>> {
    let profile = spec.profile.as_deref().map(|name| (Kind::Profile, name));
    profile.filter(|_| spec.agent.is_some()).or_else(|| Some((Kind::Agent, spec.agent.as_deref()?)))
}

/// Whether tasks may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stance {
    /// All may.
    Closed,
    /// None may.
    Open,
    /// One may, to find out.
    HalfOpen,
}

/// One breaker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    /// What it stands for.
    pub kind: Kind,
    /// The name of the profile or the agent.
    pub name: String,
    /// Failures in a row.
    pub failures: u32,
    /// When the next one may try; `None`: it is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// What the last failure said.
    pub reason: String,
}

impl Breaker {
    /// Returns whether tasks may start.
    pub fn stance(&self, now: Timestamp) -> Stance {
        match self.until {
            None => Stance::Closed,
            Some(until) if now < until => Stance::Open,
            Some(_) => Stance::HalfOpen,
        }
    }

    /// Returns whose it is.
    pub fn of(&self) -> Of<'_> {
        (self.kind, &self.name)
    }
}

/// All breakers that count something. There are few: one for a profile or agent that failed last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breakers(Vec<Breaker>);

impl Breakers {
    /// Returns whether nothing failed last.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns those that are open or half open, in the order in which they first failed.
    pub fn tripped(&self) -> impl Iterator<Item = &Breaker> {
        self.0.iter().filter(|breaker| breaker.until.is_some())
    }

    /// Returns the one that keeps a task of this kind from starting, if one is open or half open.
    pub fn over(&self, spec: &TaskSpec) -> Option<&Breaker> {
        let whose = of(spec)?;
        self.tripped().find(|breaker| breaker.of() == whose)
    }

    /// Takes what an event says of the agent of a task; `at`: when.
    pub fn hear(&mut self, spec: &TaskSpec, event: &Event, at: Timestamp) {
        let Some(whose) = of(spec) else { return };
        match said(event) {
            Said::Nothing => {}
            Said::Works => self.0.retain(|breaker| breaker.of() != whose),
            Said::Failed(reason) => {
                let at_hand = self.0.iter().position(|breaker| breaker.of() == whose);
                let at_hand = at_hand.unwrap_or_else(|| {
                    let (kind, name) = (whose.0, whose.1.to_owned());
                    self.0.push(Breaker { kind, name, failures: 0, until: None, reason: String::new() });
                    self.0.len() - 1
                });
                let breaker = &mut self.0[at_hand];
                breaker.failures = breaker.failures.saturating_add(1);
                reason.clone_into(&mut breaker.reason);
                if breaker.failures >= FAILURES {
                    breaker.until = at.checked_add(REST).ok();
                }
            }
        }
    }
}

/// What an event says of the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said<'a> {
    Nothing,
    Works,
    Failed(&'a str),
}

fn said(event: &Event) -> Said<'_> {
    let (class, exit, reason, next) = match event {
        // A person may know better.
        Event::Retried => return Said::Works,
        Event::Ended { class, exit, reason, next, .. } => (class, exit, reason, next),
        _ => return Said::Nothing,
    };
    // No room; another model or a fresh session, which is tried at once.
    let goes_on = matches!(next, Next::Wait { counted: false, .. });
    // Files, git or the journal, or somebody who killed the guard: none of the agent's doing. One that is not found fails for
    // good.
    let ours = *class == Class::Retry && matches!(exit, Exit::NotStarted | Exit::Lost);
    match class {
        _ if *next == Next::Stopped => Said::Nothing,
        Class::Retry | Class::Fail | Class::NextModel if goes_on || ours => Said::Nothing,
        Class::Retry | Class::Fail | Class::NextModel => Said::Failed(reason),
        // It worked, whatever came of it.
        Class::Ok | Class::Incomplete | Class::Ask => Said::Works,
        // Limits and budgets end by themselves; an account that cannot be used parks everyone.
        Class::Park | Class::Escalate | Class::FleetStop => Said::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::Usage;
    use crate::model::event::WaitReason;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn spec(agent: &str, profile: Option<&str>) -> TaskSpec {
        TaskSpec {
            agent: Some(agent.to_owned()),
            profile: profile.map(str::to_owned),
            ..TaskSpec::new("t".parse().unwrap(), "main")
        }
    }

    fn ended(class: Class, next: Next) -> Event {
        Event::Ended {
            attempt: 1,
            exit: Exit::Code(1),
            class,
            reason: "why".to_owned(),
            usage: Usage::default(),
            models: BTreeMap::new(),
            lap: None,
            swept: 0,
            next,
        }
    }

    fn wait(counted: bool) -> Next {
        Next::Wait { reason: WaitReason::Backoff, until: Some(at(0)), counted }
    }

    #[test]
    fn it_opens_at_the_third_failure_half_opens_by_time_and_closes_when_one_works() {
        let mut breakers = Breakers::default();
        let spec = spec("a", None);
        let failed = ended(Class::Retry, wait(true));
        for n in 1..3 {
            breakers.hear(&spec, &failed, at(n));
            assert_eq!(breakers.over(&spec), None, "{n} failures");
        }
        breakers.hear(&spec, &failed, at(10));
        let stance = |breakers: &Breakers, now| breakers.over(&spec).map(|breaker| breaker.stance(at(now)));
        assert_eq!(stance(&breakers, 10), Some(Stance::Open));
        assert_eq!(stance(&breakers, 309), Some(Stance::Open));
        assert_eq!(stance(&breakers, 310), Some(Stance::HalfOpen));
        // The one that tries fails: open again, at once.
        breakers.hear(&spec, &failed, at(400));
        assert_eq!(stance(&breakers, 699), Some(Stance::Open));
        assert_eq!(breakers.over(&spec).unwrap().failures, 4);
        breakers.hear(&spec, &ended(Class::Incomplete, wait(true)), at(701));
        assert!(breakers.is_empty());
        for _ in 0..3 {
            breakers.hear(&spec, &failed, at(800));
        }
        breakers.hear(&spec, &Event::Retried, at(801));
        assert_eq!(stance(&breakers, 801), None, "closed by hand");
    }

    #[test]
    fn only_failures_of_the_agent_count() {
        let done = Next::Done { head: crate::model::Oid::parse(&"a".repeat(40)).unwrap(), skipped: false };
        let parked = Next::Wait { reason: WaitReason::Parked, until: None, counted: false };
        let limited = Next::Wait { reason: WaitReason::RateLimit, until: Some(at(9)), counted: false };
        let table = [
            (Class::Retry, wait(true), Said::Failed("why")),
            (Class::Retry, Next::Dead, Said::Failed("why")),
            (Class::Fail, Next::Failed, Said::Failed("why")),
            (Class::NextModel, Next::Failed, Said::Failed("why")),
            (Class::NextModel, wait(false), Said::Nothing),
            (Class::Fail, wait(false), Said::Nothing),
            (Class::Park, limited, Said::Nothing),
            (Class::FleetStop, Next::Failed, Said::Nothing),
            (Class::FleetStop, parked.clone(), Said::Nothing),
            (Class::Escalate, Next::Failed, Said::Nothing),
            (Class::Retry, Next::Stopped, Said::Nothing),
            (Class::Incomplete, Next::Stopped, Said::Nothing),
            (Class::Incomplete, Next::Dead, Said::Works),
            (Class::Ask, parked, Said::Works),
            (Class::Ok, done, Said::Works),
            (Class::Ok, Next::Iterate, Said::Works),
        ];
        for (class, next, expected) in table {
            let event = ended(class, next.clone());
            assert_eq!(said(&event), expected, "{class:?} {next:?}");
        }
        let Event::Ended { attempt, class, reason, usage, models, lap, swept, next, .. } =
            ended(Class::Retry, wait(true))
        else {
            unreachable!()
        };
        let mut ours =
            Event::Ended { attempt, exit: Exit::NotStarted, class, reason, usage, models, lap, swept, next };
        assert_eq!(said(&ours), Said::Nothing);
        if let Event::Ended { exit, .. } = &mut ours {
            *exit = Exit::Lost;
        }
        assert_eq!(said(&ours), Said::Nothing, "its guard was killed");
        let lost = Event::Lost { attempt: 1, reason: String::new(), checkpoint: None, rebooted: false };
        assert_eq!(said(&lost), Said::Nothing);
    }

    #[test]
    fn a_profile_has_its_own_beside_its_agent() {
        let mut breakers = Breakers::default();
        let (deep, plain) = (spec("a", Some("a")), spec("a", None));
        for _ in 0..FAILURES {
            breakers.hear(&deep, &ended(Class::Fail, Next::Failed), at(0));
        }
        assert_eq!(breakers.over(&deep).map(Breaker::of), Some((Kind::Profile, "a")));
        assert_eq!(breakers.over(&plain), None);
        let text = serde_json::to_string(&breakers).unwrap();
        assert_eq!(serde_json::from_str::<Breakers>(&text).unwrap(), breakers);
    }
}
