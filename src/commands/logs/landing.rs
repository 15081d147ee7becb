//! `wt logs --landing`: what a resolver of conflicts was given, what it said, and what was thought of it; and what needed none.

use std::path::{Path, PathBuf};

use fs_err as fs;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Form, Reader};
use crate::commands::context::Context;
use crate::error::{self, CommandError, During as _};
use crate::land::kept::{self, CallFolder, Judged, Manifest};
use crate::model::text::{count, neutralised};
use crate::model::view::SCHEMA;
use crate::model::{Event, Task};
use crate::process::capture;
use crate::ui;

/// `wt logs NAME --landing`.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::commands) struct LandingView {
    /// [`SCHEMA`].
    schema: u32,
    /// The task.
    name: String,
    /// The folder that keeps the calls.
    folder: String,
    /// The calls of a resolver, and what needed none, in order.
    calls: Vec<CallView>,
    /// The files with the output of the checks.
    checks: Vec<String>,
}

/// One call of a resolver.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::commands) struct CallView {
    /// The folder with all that it was given.
    folder: String,
    /// What it was asked; empty: nobody was.
    prompt: String,
    /// What came of it; `None`: it was cut short.
    manifest: Option<Manifest>,
}

/// Shows every call for `task` in the last landing that kept any, and where the output of its checks is.
pub(super) fn show(context: &mut Context, task: &Task, form: Form, json: bool) -> Result<u8, CommandError> {
    let name = task.name();
    let unreadable = || format!("what was kept of the landing of `{name}` cannot be read");
    let Landings { asked, last } = landings(context, task)?;
    let folder = asked.unwrap_or_default();
    let calls = kept::calls(Path::new(&folder), name).during(unreadable)?;
    let checks = last.map(|last| checks(task, &last)).unwrap_or_default();
    if calls.is_empty() {
        let none = CommandError::refused(format!("no agent was asked to merge anything of `{name}`"));
        return Err(match checks.last() {
            Some(log) => none.hint(format!("see the output of its last check with `less {log}`")),
            None => none.hint(format!("wt status {name}")),
        });
    }
    let mut views = Vec::new();
    for (n, call) in calls.iter().enumerate() {
        let manifest = call.load().during(unreadable)?;
        if json {
            let prompt = fs::read(call.prompt()).unwrap_or_default();
            let prompt = String::from_utf8_lossy(&prompt).into_owned();
            let folder = call.path().to_string_lossy().into_owned();
            views.push(CallView { folder, prompt, manifest });
        } else {
            tell(context, call, n + 1, manifest.as_ref(), form);
        }
    }
    if json {
        ui::json(&LandingView { schema: SCHEMA, name: name.to_string(), folder, calls: views, checks });
    } else if form == Form::Rendered {
        for log in checks {
            ui::answer(&format!("== output of a check: {log}"));
        }
    }
    Ok(error::DONE)
}

/// The landings of a task, as far as the journal names them.
struct Landings {
    /// The folder of the last one that kept what was made of a conflict.
    asked: Option<String>,
    /// The folder of the last one of which anything is known.
    last: Option<PathBuf>,
}

/// Reads them off the whole journal: what a person decided, or another landing, makes the task forget them.
fn landings(context: &mut Context, task: &Task) -> Result<Landings, CommandError> {
    let history = context.journal().history()?;
    let known = task.landing.as_ref().and_then(|landing| landing.kept.clone());
    let mut found = Landings { asked: known, last: None };
    for record in &history.records {
        let mine = record.task.as_ref() == Some(&task.id);
        match &record.event {
            Event::Resolved { kept: Some(folder), .. } if mine => {
                found.last = Some(PathBuf::from(folder));
                found.asked = Some(folder.clone());
            }
            Event::Rejected { log: Some(log), .. } if mine => {
                found.last = Path::new(log).parent().map(Path::to_owned);
            }
            Event::Publishing { landing, tasks, .. } if tasks.iter().any(|(id, ..)| *id == task.id) => {
                found.last = Some(context.layout().landing(landing));
            }
            _ => {}
        }
    }
    Ok(found)
}

/// Returns the outputs of the checks for a task in the landing of that folder, in the order in which they ran.
fn checks(task: &Task, folder: &Path) -> Vec<String> {
    let prefix = format!("{}.", task.name());
    let order = |name: &str| {
        let (step, round) = name.strip_prefix(&prefix)?.strip_suffix(".log")?.split_once('.')?;
        Some((step.parse::<u32>().ok()?, round.parse::<u32>().ok()?))
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<_> =
        entries.filter_map(|entry| Some((order(entry.file_name().to_str()?)?, entry.path()))).collect();
    found.sort();
    found.into_iter().map(|(_, path)| path.to_string_lossy().into_owned()).collect()
}

fn tell(context: &Context, call: &CallFolder, n: usize, manifest: Option<&Manifest>, form: Form) {
    let agent = manifest.and_then(|manifest| manifest.agent.as_deref());
    let stream = capture::read(&call.stream()).unwrap_or_default();
    if form == Form::Bytes {
        ui::answer_bytes(&stream);
        return;
    }
    let asked = call.was_call();
    let about = manifest.map_or_else(
        || "cut short".to_owned(),
        |m| format!("commit {} onto {}", m.commit.short(), m.onto.short()),
    );
    if asked {
        let attempt = manifest.map_or_else(String::new, |m| format!(", try {}", m.attempt));
        ui::answer(&format!("== call {n}: {}, {about}{attempt}", agent.unwrap_or("?")));
        ui::answer(&format!("-- what it was given ({})", call.prompt().display()));
        let prompt = fs::read(call.prompt()).unwrap_or_default();
        ui::answer_text(&neutralised(&String::from_utf8_lossy(&prompt)));
        ui::answer("-- what it said");
        let mut reader = Reader::of(context, agent, Form::Rendered);
        reader.feed(&stream);
        reader.end();
        let errors = fs::read(call.stderr()).unwrap_or_default();
        if !errors.is_empty() {
            ui::answer("-- what it wrote to standard error");
            ui::answer(neutralised(&String::from_utf8_lossy(&errors)).trim_end());
        }
    } else {
        ui::answer(&format!("== without an agent: {about} ({})", call.path().display()));
    }
    let Some(manifest) = manifest else { return };
    if asked {
        ui::answer("-- what came of it");
    }
    for fault in &manifest.faults {
        ui::answer(&format!("   {}", neutralised(fault)));
    }
    for file in &manifest.files {
        let word = match file.judged {
            Some(Judged::Kept) => "kept both sides",
            Some(Judged::Doubtful) => "doubtful",
            Some(Judged::Refused) => "refused",
            None => "nothing usable",
        };
        let by = file.by.filter(|_| !asked).map(|by| format!(" ({})", ui::landing::by(by.word())));
        ui::answer(&format!("   {}: {word}{}", neutralised(&file.path), by.unwrap_or_default()));
        for doubt in &file.doubts {
            ui::answer(&format!("      {}", neutralised(doubt)));
        }
        for (what, reason) in &file.superseded {
            ui::answer(&format!("      gave up `{}`: {}", neutralised(what), neutralised(reason)));
        }
    }
    if !asked {
        return;
    }
    let seconds = std::time::Duration::from_millis(manifest.took_ms);
    ui::answer(&format!(
        "   {} in {}, ${:.2}",
        count(manifest.files.len(), "file"),
        crate::model::text::duration(seconds),
        manifest.usage.cost_usd
    ));
}
