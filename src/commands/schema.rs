//! `wt schema`: JSON Schemas of the configuration and of every `--json` answer, made from the types themselves.

use clap::Args as ClapArgs;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use super::{diff, logs};
use crate::config;
use crate::error::{self, CommandError};
use crate::model::text::neutralised;
use crate::model::view::conflicts::ConflictsView;
use crate::model::view::disk::{ArtifactsView, DiskView};
use crate::model::view::verbs::{
    AbortView, CheckpointsView, DemoView, EventView, ResolveView, RestoreView, ResumeView, RewoundView,
    SeveralView, SpawnView, TrustView, UndoView, WaitView,
};
use crate::model::view::{CostView, DoctorView, GcView, MergeView, RefusalView, SCHEMA, StatusView};
use crate::ui;

/// Print the JSON schema of the configuration or of a command's answer; without a name, list them.
///
/// `wt schema config > wt.schema.json` gives an editor the keys, ranges and defaults of `.wt.toml`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Which one; see the list.
    #[arg(conflicts_with = "all")]
    name: Option<String>,
    /// Print all of them as one document.
    #[arg(long)]
    all: bool,
}

/// One schema: its name, what it describes, and how it is made.
type Entry = (&'static str, &'static str, fn() -> Schema);

/// Every schema there is.
const ALL: &[Entry] = &[
    ("config", "the configuration of wt (.wt.toml)", config::schema::schema),
    ("error", "any command that refuses, with --json", answer::<RefusalView<'_>>),
    ("spawn", "wt spawn --json", answer::<SpawnView<'_>>),
    ("status", "wt status --json", answer::<StatusView>),
    ("disk", "wt status --disk --json", answer::<DiskView>),
    ("wait", "wt wait --json", answer::<WaitView>),
    ("event", "a line of wt events --json, and what on_event is given", answer::<EventView>),
    ("stop", "wt stop --json", answer::<SeveralView>),
    ("retry", "wt retry --json", answer::<SeveralView>),
    ("resume", "wt resume --json", answer::<ResumeView>),
    ("done", "wt done --json", answer::<SeveralView>),
    ("approve", "wt approve --json", answer::<SeveralView>),
    ("landing", "wt logs NAME --landing --json", answer::<logs::landing::LandingView>),
    ("diff", "wt diff --json", answer::<diff::DiffView>),
    ("merge", "wt merge --json", answer::<MergeView>),
    ("abort", "wt merge --abort --json", answer::<AbortView>),
    ("undo", "wt undo --json", answer::<UndoView>),
    ("resolve", "wt resolve --json", answer::<ResolveView<'_>>),
    ("conflicts", "wt conflicts --json", answer::<ConflictsView>),
    ("cost", "wt cost --json", answer::<CostView>),
    ("gc", "wt gc --json", answer::<GcView>),
    ("artifacts", "wt gc --artifacts --json", answer::<ArtifactsView>),
    ("restore", "wt restore --json", answer::<RestoreView<'_>>),
    ("checkpoints", "wt restore NAME --checkpoint --json", answer::<CheckpointsView>),
    ("rewound", "wt restore NAME --checkpoint N --json", answer::<RewoundView<'_>>),
    ("doctor", "wt doctor --json", answer::<DoctorView>),
    ("trust", "wt trust --json", answer::<TrustView<'_>>),
    ("demo", "wt demo --json", answer::<DemoView>),
];

/// Runs the verb.
pub fn run(args: &Args) -> Result<u8, CommandError> {
    match (&args.name, args.all) {
        (Some(name), _) => {
            let Some(entry) = ALL.iter().find(|(known, ..)| known == name) else {
                let refusal = CommandError::usage(format!("there is no schema `{}`", neutralised(name)));
                return Err(refusal.hint("see the list with `wt schema`"));
            };
            pretty(&named(entry));
        }
        (None, true) => pretty(&together()),
        (None, false) => {
            for (name, what, _) in ALL {
                ui::answer(&format!("{name:<12} {what}"));
            }
        }
    }
    Ok(error::DONE)
}

/// Prints a document that people read as well.
fn pretty(document: &Value) {
    ui::answer(&format!("{document:#}"));
}

/// Returns the schema of an answer. Keys are only ever added to answers, so others than these are allowed.
fn answer<T: JsonSchema>() -> Schema {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    settings.with_transform(config::schema::Plain("`null`")).into_generator().into_root_schema_for::<T>()
}

/// Returns a schema under its name and the version of the answers.
fn named((name, what, make): &Entry) -> Value {
    let mut document = Map::new();
    let schema = make().to_value();
    document.extend(schema.get("$schema").map(|draft| ("$schema".to_owned(), draft.clone())));
    document.insert("$id".to_owned(), json!(id(name)));
    document.insert("title".to_owned(), json!(what));
    for (key, value) in schema.as_object().into_iter().flatten() {
        document.entry(key.clone()).or_insert_with(|| value.clone());
    }
    Value::Object(document)
}

fn id(name: &str) -> String {
    format!("urn:wt:schema:{SCHEMA}:{name}")
}

/// Returns one document that holds them all, each to be named by its `$id`.
fn together() -> Value {
    let all: Map<String, Value> = ALL.iter().map(|entry| (entry.0.to_owned(), named(entry))).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": id("all"),
        "title": "Everything that wt reads and prints as data",
        "$defs": all,
    })
}
