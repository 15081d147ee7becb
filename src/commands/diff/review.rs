//! `wt diff` of a task in review or in conflict: for each file, what both sides did and what became of it.

use fs_err as fs;
use schemars::JsonSchema;
use serde::Serialize;
use similar::TextDiff;

use crate::commands::context::Context;
use crate::error::{CommandError, During as _};
use crate::land::kept::{self, CallFolder, Judged, KeptFile};
use crate::land::review::{self, ByHand, ReviewError};
use crate::model::event::ResolvedBy;
use crate::model::text::neutralised;
use crate::model::{State, Task};
use crate::ui;

/// The lines of context around a change.
const CONTEXT: usize = 3;

/// One file that did not merge.
/// A conflicted file with its sides.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::commands) struct SidesView {
    /// The path in the repository.
    path: String,
    /// Who made the result.
    by: Option<ResolvedBy>,
    /// What is to be thought of the result.
    judged: Option<Judged>,
    /// What speaks against it, a sentence each.
    doubts: Vec<String>,
    /// What the resolver says it gave up, with its reason.
    superseded: Vec<(String, String)>,
    /// What both sides started from.
    base: Option<String>,
    /// The target's side.
    ours: String,
    /// The task's side.
    theirs: String,
    /// What it became; `None`: nothing that could be used.
    result: Option<String>,
}

/// Returns the files of the last landing that somebody or something merged beyond git, each as it stood after its last try;
/// where nothing did, those of the first commit that is in conflict.
pub(super) fn sides(context: &Context, task: &Task) -> Result<Vec<SidesView>, CommandError> {
    let asked = asked(task)?;
    if !asked.is_empty() || task.state != State::Conflict {
        return Ok(asked);
    }
    match review::next_by_hand(&context.site(), task) {
        Ok(unresolved) => Ok(unresolved.into_iter().flat_map(|next| next.files).map(by_hand).collect()),
        Err(ReviewError::NoText(_)) => Ok(Vec::new()),
        Err(error) => Err(CommandError::caused(format!("`{}` cannot be compared", task.name()), &error)),
    }
}

fn asked(task: &Task) -> Result<Vec<SidesView>, CommandError> {
    let Some(folder) = task.landing.as_ref().and_then(|landing| landing.kept.as_ref()) else {
        return Ok(Vec::new());
    };
    let unreadable = || format!("what was kept of the landing of `{}` cannot be read", task.name());
    let mut found: Vec<(String, SidesView)> = Vec::new();
    for call in kept::calls(folder.as_ref(), task.name()).during(unreadable)? {
        let Some(manifest) = call.load().during(unreadable)? else { continue };
        for (n, file) in manifest.files.iter().enumerate() {
            let view = view(&call, n, file, &manifest.faults);
            match found.iter_mut().find(|(key, _)| *key == file.key) {
                Some((_, earlier)) => *earlier = view,
                None => found.push((file.key.clone(), view)),
            }
        }
    }
    Ok(found.into_iter().map(|(_, view)| view).collect())
}

fn by_hand(file: ByHand) -> SidesView {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    SidesView {
        path: file.path,
        by: None,
        judged: None,
        doubts: Vec::new(),
        superseded: Vec::new(),
        base: file.base.map(text),
        ours: text(file.ours),
        theirs: text(file.theirs),
        result: None,
    }
}

/// What is wrong with the call as a whole speaks against each of its files.
fn view(call: &CallFolder, n: usize, file: &KeptFile, faults: &[String]) -> SidesView {
    let read = |side: &str| {
        let text = fs::read(call.sides(n).join(side)).ok()?;
        Some(String::from_utf8_lossy(&text).into_owned())
    };
    SidesView {
        path: file.path.clone(),
        by: file.by,
        judged: file.judged,
        doubts: [faults, &file.doubts].concat(),
        superseded: file.superseded.clone(),
        base: read("base"),
        ours: read("ours").unwrap_or_default(),
        theirs: read("theirs").unwrap_or_default(),
        result: read("result"),
    }
}

/// Prints them for people.
pub(super) fn tell(task: &Task, sides: &[SidesView]) {
    let (target, name) = (&task.spec.target, task.name());
    for file in sides {
        let word = match file.judged {
            Some(Judged::Kept) => "its resolution keeps both sides",
            Some(Judged::Doubtful) => "its resolution is doubtful",
            Some(Judged::Refused) => "its resolution was refused",
            None => "nobody has resolved it",
        };
        let by = file.by.map(|by| format!(" ({})", ui::landing::by(by.word()))).unwrap_or_default();
        ui::answer(&format!("=== {}: {word}{by}", neutralised(&file.path)));
        for doubt in &file.doubts {
            ui::answer(&format!("    {}", neutralised(doubt)));
        }
        for (what, reason) in &file.superseded {
            ui::answer(&format!("    gives up `{}`: {}", neutralised(what), neutralised(reason)));
        }
        let base = file.base.as_deref().unwrap_or_default();
        patch(&format!("what `{target}` did (base to {target})"), base, &file.ours);
        patch(&format!("what `{name}` did (base to {name})"), base, &file.theirs);
        if let Some(result) = &file.result {
            patch(&format!("the resolution ({target} to result)"), &file.ours, result);
        }
    }
}

fn patch(title: &str, old: &str, new: &str) {
    ui::answer(&format!("--- {title}"));
    let diff = TextDiff::from_lines(old, new);
    ui::patch(diff.unified_diff().context_radius(CONTEXT).to_string().as_bytes());
}
