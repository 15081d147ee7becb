//! `wt logs --landing`: what a resolver of conflicts was given, what it said, and what was thought of it.

use std::path::Path;

use fs_err as fs;
use serde::Serialize;

use super::{Form, Reader};
use crate::commands::context::Context;
use crate::error::{self, CommandError, During as _};
use crate::land::kept::{self, CallFolder, Judged, Manifest};
use crate::model::Task;
use crate::model::text::{count, neutralised};
use crate::model::view::SCHEMA;
use crate::process::capture;
use crate::ui;

#[derive(Debug, Serialize)]
struct LandingView {
    schema: u32,
    name: String,
    folder: String,
    calls: Vec<CallView>,
}

#[derive(Debug, Serialize)]
struct CallView {
    folder: String,
    prompt: String,
    manifest: Option<Manifest>,
}

/// Shows every call for `task` in its last landing.
pub(super) fn show(context: &Context, task: &Task, form: Form, json: bool) -> Result<u8, CommandError> {
    let name = task.name();
    let none = || {
        CommandError::refused(format!("no agent was asked to merge anything of `{name}`"))
            .hint(format!("wt status {name}"))
    };
    let unreadable = || format!("what was kept of the landing of `{name}` cannot be read");
    let folder = task.landing.as_ref().and_then(|landing| landing.kept.clone()).ok_or_else(none)?;
    let calls = kept::calls(Path::new(&folder), name).during(unreadable)?;
    if calls.is_empty() {
        return Err(none());
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
        ui::json(&LandingView { schema: SCHEMA, name: name.to_string(), folder, calls: views });
    }
    Ok(error::DONE)
}

fn tell(context: &Context, call: &CallFolder, n: usize, manifest: Option<&Manifest>, form: Form) {
    let agent = manifest.and_then(|manifest| manifest.agent.as_deref());
    let stream = capture::read(&call.stream()).unwrap_or_default();
    if form == Form::Bytes {
        ui::answer_bytes(&stream);
        return;
    }
    let about = manifest.map_or_else(
        || "cut short".to_owned(),
        |m| format!("commit {} onto {}, try {}", m.commit.short(), m.onto.short(), m.attempt),
    );
    ui::answer(&format!("== call {n}: {}, {about}", agent.unwrap_or("?")));
    ui::answer(&format!("-- what it was given ({})", call.prompt().display()));
    let prompt = fs::read(call.prompt()).unwrap_or_default();
    ui::answer_text(&neutralised(&String::from_utf8_lossy(&prompt)));
    ui::answer("-- what it said");
    let mut reader = Reader::of(context, agent, Form::Rendered);
    reader.feed(&stream);
    reader.end();
    let Some(manifest) = manifest else { return };
    ui::answer("-- what came of it");
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
        ui::answer(&format!("   {}: {word}", neutralised(&file.path)));
        for doubt in &file.doubts {
            ui::answer(&format!("      {}", neutralised(doubt)));
        }
        for (what, reason) in &file.superseded {
            ui::answer(&format!("      gave up `{}`: {}", neutralised(what), neutralised(reason)));
        }
    }
    let seconds = std::time::Duration::from_millis(manifest.took_ms);
    ui::answer(&format!(
        "   {} in {}, ${:.2}",
        count(manifest.files.len(), "file"),
        crate::model::text::duration(seconds),
        manifest.usage.cost_usd
    ));
}
