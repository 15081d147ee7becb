//! `wt cost`: what was used, from the journal's records, grouped. A pure fold.
//!
//! Money is what the agents computed themselves; an agent that tells tokens only has no price here, never a price of
//! nothing. What an attempt used counts for the day in which it ended.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::model::view::{CostRow, CostView, SCHEMA};
use crate::model::{Event, Record, TaskId, TaskName, TaskSpec, Usage};

/// What the rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// One task, all generations of its name apart.
    Task,
    /// One model.
    Model,
    /// One local day.
    Day,
    /// One agent; what resolved conflicts is `resolver`.
    Agent,
}

impl By {
    /// Returns the word of the column.
    pub fn word(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Model => "model",
            Self::Day => "day",
            Self::Agent => "agent",
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Question {
    /// What the rows are.
    pub by: By,
    /// Only these tasks; empty: all.
    pub names: Vec<TaskName>,
    /// Only what was recorded from then on.
    pub since: Option<Timestamp>,
    /// The zone of the days.
    pub zone: TimeZone,
}

/// What is known of a task while its records are read.
#[derive(Default)]
struct Seen {
    spec: Option<TaskSpec>,
    model: Option<String>,
    started: Option<Timestamp>,
}

impl Seen {
    /// The model of a record that does not tell models apart.
    fn model(&self) -> String {
        let spec = self.spec.as_ref();
        let named = self.model.as_ref().or_else(|| spec?.model.as_ref()).or_else(|| spec?.agent.as_ref());
        named.cloned().unwrap_or_else(|| "unknown".to_owned())
    }

    fn agent(&self) -> String {
        self.spec.as_ref().and_then(|spec| spec.agent.clone()).unwrap_or_else(|| "unknown".to_owned())
    }
}

/// A row while it is summed up.
#[derive(Default)]
struct Sum {
    usage: Usage,
    priced: bool,
    unpriced: bool,
    attempts: BTreeSet<(TaskId, u32)>,
    time_ms: u64,
    order: usize,
}

/// One thing that the journal says was used.
struct Use<'a> {
    id: &'a TaskId,
    /// The attempt; `None`: a resolver's calls.
    attempt: Option<u32>,
    agent: String,
    at: Timestamp,
    time_ms: u64,
    usage: Usage,
    models: BTreeMap<String, Usage>,
}

/// Returns what `records`, in order, say was used.
pub fn cost(records: &[Record], question: &Question) -> CostView {
    let mut seen: BTreeMap<&TaskId, Seen> = BTreeMap::new();
    let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
    let mut total = Sum::default();
    for record in records {
        let Some(id) = &record.task else { continue };
        let used = used(seen.entry(id).or_default(), id, record);
        let asked = |used: &Use<'_>| {
            (question.names.is_empty() || question.names.contains(&used.id.name))
                && question.since.is_none_or(|since| used.at >= since)
        };
        let Some(used) = used.filter(asked) else { continue };
        total.add(&used, used.usage, used.time_ms);
        let key = match question.by {
            By::Task => id.to_string(),
            By::Agent => used.agent.clone(),
            By::Day => used.at.to_zoned(question.zone.clone()).date().to_string(),
            By::Model => {
                for (n, (model, usage)) in used.models.iter().enumerate() {
                    // The time of an attempt is nobody's alone: it stands with the first, so that the sum is right.
                    let time = if n == 0 { used.time_ms } else { 0 };
                    let order = sums.len();
                    let sum = sums.entry(model.clone()).or_insert_with(|| Sum { order, ..Sum::default() });
                    sum.add(&used, *usage, time);
                }
                continue;
            }
        };
        let order = sums.len();
        sums.entry(key).or_insert_with(|| Sum { order, ..Sum::default() }).add(
            &used,
            used.usage,
            used.time_ms,
        );
    }
    let mut rows: Vec<(usize, CostRow)> =
        sums.into_iter().map(|(key, sum)| (sum.order, sum.row(key))).collect();
    if question.by == By::Task {
        rows.sort_by_key(|(order, _)| *order);
        plain_names(&mut rows);
    }
    CostView {
        schema: SCHEMA,
        by: question.by.word().to_owned(),
        rows: rows.into_iter().map(|(_, row)| row).collect(),
        total: total.row("total".to_owned()),
    }
}

/// A name that only one generation has needs no number.
fn plain_names(rows: &mut [(usize, CostRow)]) {
    let mut generations: BTreeMap<String, usize> = BTreeMap::new();
    let name = |key: &str| key.split('@').next().unwrap_or_default().to_owned();
    for (_, row) in rows.iter() {
        *generations.entry(name(&row.key)).or_default() += 1;
    }
    for (_, row) in rows.iter_mut() {
        if generations[&name(&row.key)] == 1 {
            row.key = name(&row.key);
        }
    }
}

/// Takes what a record says of its task; returns what was used, if that is what it says.
fn used<'a>(seen: &mut Seen, id: &'a TaskId, record: &Record) -> Option<Use<'a>> {
    let (attempt, usage, models) = match &record.event {
        Event::Queued { spec } => {
            seen.spec = Some(spec.clone());
            return None;
        }
        Event::Started { .. } => {
            seen.started = Some(record.at);
            return None;
        }
        Event::Session { model, .. } => {
            seen.model = model.clone().or_else(|| seen.model.take());
            return None;
        }
        Event::Ended { attempt, usage, models, .. } => (Some(*attempt), *usage, models.clone()),
        Event::Lost { attempt, .. } => (Some(*attempt), Usage::default(), BTreeMap::new()),
        Event::Resolved { usage, models, .. } => (None, *usage, models.clone()),
        _ => return None,
    };
    let started = seen.started.take().filter(|_| attempt.is_some());
    let most = match (&record.event, &seen.spec) {
        (Event::Lost { .. }, Some(spec)) => spec.timeout_ms,
        _ => u64::MAX,
    };
    let time = started.map_or(0, |at| record.at.duration_since(at).as_millis());
    let models = match (models.is_empty(), attempt) {
        (false, _) => models,
        (true, Some(_)) => BTreeMap::from([(seen.model(), usage)]),
        (true, None) if usage.is_nothing() => BTreeMap::new(),
        (true, None) => BTreeMap::from([("unknown".to_owned(), usage)]),
    };
    Some(Use {
        id,
        attempt,
        agent: if attempt.is_some() { seen.agent() } else { "resolver".to_owned() },
        at: record.at,
        time_ms: u64::try_from(time).unwrap_or_default().min(most),
        usage,
        models,
    })
}

impl Sum {
    fn add(&mut self, used: &Use<'_>, usage: Usage, time_ms: u64) {
        self.usage += usage;
        self.priced |= usage.cost_usd > 0.0;
        self.unpriced |= usage.cost_usd == 0.0 && !usage.is_nothing();
        self.attempts.extend(used.attempt.map(|attempt| (used.id.clone(), attempt)));
        self.time_ms = self.time_ms.saturating_add(time_ms);
    }

    fn row(self, key: String) -> CostRow {
        CostRow {
            key,
            attempts: u32::try_from(self.attempts.len()).unwrap_or(u32::MAX),
            tokens: self.usage.tokens,
            cost_usd: self.priced.then_some(self.usage.cost_usd),
            partly_priced: self.priced && self.unpriced,
            time_ms: self.time_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::Next;
    use crate::model::usage::Tokens;
    use crate::model::verdict::{Class, Exit};

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(hour * 3600).unwrap()
    }

    fn usage(input: u64, cost_usd: f64) -> Usage {
        Usage { tokens: Tokens { input, ..Tokens::default() }, cost_usd }
    }

    fn record(hour: i64, id: &str, event: Event) -> Record {
        Record { v: 1, at: at(hour), task: Some(id.parse().unwrap()), event }
    }

    fn attempt(hour: i64, id: &str, models: &[(&str, Usage)], usage: Usage) -> [Record; 2] {
        let started = Event::Started { attempt: 1, token: String::new(), boot: String::new() };
        let ended = Event::Ended {
            attempt: 1,
            exit: Exit::Code(0),
            class: Class::Ok,
            reason: String::new(),
            usage,
            models: models.iter().map(|(model, usage)| ((*model).to_owned(), *usage)).collect(),
            lap: None,
            swept: 0,
            next: Next::Failed,
        };
        [record(hour, id, started), record(hour + 1, id, ended)]
    }

    fn queued(id: &str, agent: &str) -> Record {
        let id: TaskId = id.parse().unwrap();
        let spec = TaskSpec { agent: Some(agent.to_owned()), ..TaskSpec::new(id.name.clone(), "main") };
        Record { v: 1, at: at(0), task: Some(id), event: Event::Queued { spec } }
    }

    fn journal() -> Vec<Record> {
        let big = [("big", usage(10, 1.0)), ("small", usage(5, 0.5))];
        let resolved = Event::Resolved {
            paths: vec![],
            usage: usage(7, 0.25),
            models: BTreeMap::from([("big".to_owned(), usage(7, 0.25))]),
            kept: None,
        };
        let mut records = vec![queued("a@1", "claude"), queued("b@1", "codex"), queued("a@2", "claude")];
        records.extend(attempt(1, "a@1", &big, usage(15, 1.5)));
        records.push(record(2, "a@1", resolved));
        records.extend(attempt(21, "b@1", &[], usage(100, 0.0)));
        records.extend(attempt(30, "a@2", &[], usage(1, 0.125)));
        records
    }

    fn rows(by: By, names: &[&str], since: Option<i64>) -> Vec<String> {
        let names = names.iter().map(|name| name.parse().unwrap()).collect();
        let question =
            Question { by, names, since: since.map(at), zone: TimeZone::fixed(jiff::tz::offset(3)) };
        let view = cost(&journal(), &question);
        let row = |row: &CostRow| {
            let cost = row.cost_usd.map_or("-".to_owned(), |usd| usd.to_string());
            let more = if row.partly_priced { "+" } else { "" };
            format!(
                "{} {}x {} {cost}{more} {}h",
                row.key,
                row.attempts,
                row.tokens.input,
                row.time_ms / 3_600_000
            )
        };
        view.rows.iter().chain([&view.total]).map(row).collect()
    }

    #[test]
    fn cost_is_told_by_task_model_day_and_agent() {
        let total = "total 3x 123 1.875+ 3h";
        assert_eq!(
            rows(By::Task, &[], None),
            ["a@1 1x 22 1.75 1h", "b 1x 100 - 1h", "a@2 1x 1 0.125 1h", total]
        );
        assert_eq!(
            rows(By::Model, &[], None),
            ["big 1x 17 1.25 1h", "claude 1x 1 0.125 1h", "codex 1x 100 - 1h", "small 1x 5 0.5 0h", total]
        );
        // Three hours east of Greenwich, 22 o'clock is tomorrow.
        assert_eq!(
            rows(By::Day, &[], None),
            ["1970-01-01 1x 22 1.75 1h", "1970-01-02 2x 101 0.125+ 2h", total]
        );
        assert_eq!(
            rows(By::Agent, &[], None),
            ["claude 2x 16 1.625 2h", "codex 1x 100 - 1h", "resolver 0x 7 0.25 0h", total]
        );
    }

    #[test]
    fn names_and_a_beginning_narrow_it() {
        assert_eq!(rows(By::Task, &["b"], None), ["b 1x 100 - 1h", "total 1x 100 - 1h"]);
        assert_eq!(rows(By::Task, &[], Some(23)), ["a 1x 1 0.125 1h", "total 1x 1 0.125 1h"]);
        assert_eq!(rows(By::Task, &["c"], None), ["total 0x 0 - 0h"]);
    }
}
