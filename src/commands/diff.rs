//! `wt diff`.

mod review;

use clap::Args as ClapArgs;
use clap_complete::engine::ArgValueCandidates;
use schemars::JsonSchema;
use serde::Serialize;

use super::completions::task_names;
use super::context::{Context, Global};
use crate::error::{self, CommandError, During as _};
use crate::git::diff::{Form, diff};
use crate::git::replay::{Replayer, Stop};
use crate::git::status;
use crate::land;
use crate::model::event::ConflictedPath;
use crate::model::view::SCHEMA;
use crate::model::{Oid, State};
use crate::ui;

/// Show what a task's branch would bring to the target now.
///
/// The branch's commits are replayed onto the target in memory; where they do not merge, what the branch itself changed
/// is shown, and the conflict is named. For a task in review it is what would land if it were approved, and for each file
/// that did not merge: what both sides did, and its resolution.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// The task.
    #[arg(add = ArgValueCandidates::new(task_names))]
    name: String,
    /// One line a file instead of every hunk.
    #[arg(long)]
    stat: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// `wt diff`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct DiffView {
    /// [`SCHEMA`].
    schema: u32,
    /// The task.
    name: String,
    /// The branch that it lands on.
    target: String,
    /// The target's commit that it is compared with.
    onto: Oid,
    /// The branch's commit.
    head: Oid,
    /// Commits that the target lacks.
    commits: usize,
    /// Changed files.
    files: Vec<String>,
    /// Lines added.
    insertions: usize,
    /// Lines deleted.
    deletions: usize,
    /// What does not merge.
    conflicts: Vec<ConflictedPath>,
    /// The change; `None` with `--stat`.
    patch: Option<String>,
    /// The conflicted files, with all their sides and what became of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resolutions: Vec<review::SidesView>,
}

/// Runs the verb.
pub fn run(global: &Global, args: &Args) -> Result<u8, CommandError> {
    let mut context = Context::open_anyway(global)?;
    let task = context.task(&args.name)?;
    let repo = context.repo();
    let what = || format!("`{}` cannot be compared", args.name);
    let workspace = super::path::require_workspace(&task)?;
    let missing =
        |branch: &str| CommandError::refused(format!("the branch `{branch}` is gone")).hint("wt doctor");
    let head = repo.branch_tip(&workspace.branch).during(what)?.ok_or_else(|| missing(&workspace.branch))?;
    let onto = repo.branch_tip(&task.spec.target).during(what)?.ok_or_else(|| missing(&task.spec.target))?;
    let parts = context.parts();
    let brought = land::brought(parts.0.repo, parts.1.read()?, &onto).during(what)?;
    let repo = context.repo();
    let outcome = Replayer::without(repo, brought).replay(&onto, &head).during(what)?;
    let conflicts = match &outcome.stop {
        Some(Stop::Conflict { paths, .. } | Stop::MergesDiffer(paths)) => paths.clone(),
        Some(Stop::Root(_)) | None => Vec::new(),
    };
    let resolutions = if matches!(task.state, State::Review | State::Conflict) {
        review::sides(&context, &task)?
    } else {
        Vec::new()
    };
    let candidate = task.landing.as_ref().and_then(|landing| landing.candidate.clone());
    let candidate = candidate.filter(|_| task.state == State::Review);
    let (old, new) = if let Some(candidate) = candidate {
        let base = task.landing.as_ref().and_then(|landing| landing.onto.clone());
        (base.unwrap_or_else(|| onto.clone()), candidate)
    } else if outcome.stop.is_none() {
        (onto.clone(), outcome.tip.clone())
    } else {
        (repo.merge_base(&onto, &head).during(what)?.unwrap_or_else(|| workspace.base.clone()), head.clone())
    };
    let form = if args.stat { Form::Stat } else { Form::Patch };
    if args.json {
        let size = status::diffstats(repo, &[(old.clone(), new.clone())]).during(what)?.remove(0);
        let patch = if args.stat { None } else { Some(diff(repo, &old, &new, form).during(what)?) };
        ui::json(&DiffView {
            schema: SCHEMA,
            name: args.name.clone(),
            target: task.spec.target.clone(),
            onto,
            head,
            commits: outcome.commits.len(),
            files: status::changed_paths(repo, &old, &new).during(what)?,
            insertions: size.insertions,
            deletions: size.deletions,
            conflicts,
            resolutions,
            patch: patch.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        });
    } else {
        if !args.stat {
            review::tell(&task, &resolutions);
        }
        ui::patch(&diff(repo, &old, &new, form).during(what)?);
        for path in &conflicts {
            ui::message::warning(&format!("{} does not merge ({})", path.path, path.kind.words()));
        }
    }
    Ok(error::DONE)
}
