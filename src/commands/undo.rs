//! `wt undo`: the workspaces of `tidy`, the target of `land`.

use clap::Args as ClapArgs;

use super::context::{Context, Global};
use crate::error::{self, CommandError};
use crate::land::undo::{self, Pushed, Undo, UndoError};
use crate::model::observer::Observer as _;
use crate::model::view::SCHEMA;
use crate::model::view::verbs::{UndoView, UndoneView};
use crate::store::Journal;
use crate::tidy::{Grounds, gc, restore};
use crate::ui::{self, message};

/// Take the last landing back: the target to where it was before, its tasks and their workspaces back.
///
/// Works as long as nothing else came onto the target since. What is taken back is all that one `wt merge` put on a branch;
/// again, and the landing before it is taken back. The tasks are `done` again, so that `wt merge` would land them as before;
/// those that were landed by name from another state (`failed`, `dead`, `stopped`, `open`) are that again. What leaves the
/// target stays below `refs/wt/undone/`, uncommitted files are never touched, and what was pushed is taken back only with
/// `--force`, and only here. A task that landed nothing, since there was nothing to do, stays landed.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Take back the last landing on this branch, instead of the last one on any.
    #[arg(long, value_name = "BRANCH")]
    into: Option<String>,
    /// Show what would be taken back, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Take it back though it was pushed.
    #[arg(long)]
    force: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Args {
    fn pushed(&self) -> Pushed {
        if self.force { Pushed::TakenBack } else { Pushed::Stays }
    }
}

/// Runs the verb.
pub fn run(global: &Global, args: &Args) -> Result<u8, CommandError> {
    let mut context = Context::open_anyway(global)?;
    let into = args.into.as_deref();
    let progress = context.progress();
    if args.dry_run {
        let (site, journal) = context.parts();
        let undo = undo::plan(&site, journal, into, args.pushed()).map_err(|error| refusal(&error))?;
        tell(args, journal, &undo);
        return Ok(error::DONE);
    }
    context.layout().prepare()?;
    let (site, journal) = context.parts();
    let turn = undo::turn(&site, &progress, journal).map_err(|error| refusal(&error))?;
    let grounds = Grounds { site, observer: &progress };
    let mut rounds = 0;
    let undo = loop {
        let undo = undo::plan(&site, journal, into, args.pushed()).map_err(|error| refusal(&error))?;
        bring_back(&grounds, journal, &undo)?;
        progress.step(&format!("moving `{}` back to {}", undo.target, undo.to.short()));
        match undo::apply(&site, &turn, journal, &undo) {
            Ok(()) => break undo,
            // The landing that has just ended still prunes, each workspace once.
            Err(UndoError::Pruned { .. }) if rounds < undo.tasks.len() => rounds += 1,
            Err(error) => {
                put_back(&grounds, journal, undo.tasks.iter().filter(|task| task.gone));
                return Err(refusal(&error));
            }
        }
    };
    drop(turn);
    tell(args, journal, &undo);
    Ok(error::DONE)
}

/// Restores the workspaces that are gone; if one cannot be, none is.
fn bring_back(grounds: &Grounds<'_>, journal: &mut Journal, undo: &Undo) -> Result<(), CommandError> {
    let gone: Vec<_> = undo.tasks.iter().filter(|task| task.gone).collect();
    for (n, task) in gone.iter().enumerate() {
        let restored = restore::restore_landed(grounds, journal, &task.id, task.head.as_ref(), &undo.to);
        match restored {
            Ok(restored) => {
                for path in &restored.left_out {
                    message::warning(&format!("`{path}` was not copied in again for `{}`", task.id.name));
                }
            }
            Err(error) => {
                put_back(grounds, journal, gone[..n].iter().copied());
                let what = format!("nothing was taken back: `{}` cannot be restored", task.id.name);
                let refusal = CommandError::caused(what, &error);
                return Err(match &error {
                    restore::RestoreError::Workspace(crate::workspace::RestoreError::BranchExists {
                        branch,
                    }) => refusal.hint(format!("git branch -m {branch} {branch}-kept")),
                    _ => refusal,
                });
            }
        }
    }
    Ok(())
}

/// Removes workspaces again whose tasks are landed as before; one that stays is in nobody's way.
fn put_back<'t>(
    grounds: &Grounds<'_>,
    journal: &mut Journal,
    tasks: impl Iterator<Item = &'t undo::Returning>,
) {
    for task in tasks {
        // It is pruned like any other landed one by the next `wt gc`.
        drop(gc::prune(grounds, journal, &task.id));
    }
}

fn tell(args: &Args, journal: &Journal, undo: &Undo) {
    let tasks = undo.tasks.iter().map(|task| {
        let known = journal.roster().get(&task.id);
        let workspace = known.and_then(|task| task.workspace.as_ref());
        UndoneView {
            name: task.id.name.to_string(),
            state: known.map(|known| &known.state).filter(|_| !args.dry_run).unwrap_or(&task.to).word(),
            branch: workspace.map(|workspace| workspace.branch.clone()),
            worktree: workspace.map(|workspace| workspace.path.clone()),
        }
    });
    let view = UndoView {
        schema: SCHEMA,
        dry_run: args.dry_run,
        target: undo.target.clone(),
        before: undo.from.clone(),
        after: undo.to.clone(),
        commits: undo.commits,
        landing: undo.landing.clone(),
        kept: undo.kept(),
        tasks: tasks.collect(),
        relying: undo.relying.iter().map(ToString::to_string).collect(),
    };
    if args.json {
        ui::json(&view);
    } else {
        ui::answer(&ui::landing::undo(&view));
    }
    for name in &undo.relying {
        message::warning(&format!(
            "`{name}` began with what {} taken back: its branch still has it",
            if args.dry_run { "would be" } else { "was" }
        ));
    }
}

fn refusal(error: &UndoError) -> CommandError {
    let refusal = CommandError::caused("nothing was taken back", error);
    match error {
        // Of a merge commit it is what that brought, of any other all of it.
        UndoError::Moved { target, to, from, contains: true, .. } => refusal.hint(format!(
            "take its changes back with new commits: on `{target}`, \
             `git revert --no-edit -m 1 $(git rev-list --first-parent {}..{})`",
            to.short(),
            from.short()
        )),
        UndoError::Moved { target, .. } => {
            refusal.hint(format!("see how it moved with `git reflog {target}`"))
        }
        UndoError::Pushed { .. } => {
            refusal.hint("take it back here all the same with `wt undo --force`; what was pushed stays there")
        }
        UndoError::NameTaken { name, .. } => refusal.hint(format!("see it with `wt status {name}`")),
        UndoError::Overlap { checkout, .. } => {
            refusal.hint(format!("commit or move them, see `git -C {} status`", checkout.display()))
        }
        UndoError::Outrun { .. } | UndoError::Pruned { .. } => refusal.hint("try again with `wt undo`"),
        UndoError::Nothing { target: Some(_) } => refusal.hint("see what landed with `wt status --all`"),
        UndoError::Land(cause) => super::merge::hinted(refusal, cause),
        _ => refusal,
    }
}
