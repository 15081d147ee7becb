//! `wt trust`.

use clap::Args as ClapArgs;
use dialoguer::Confirm;
use jiff::Timestamp;

use super::context::{Context, Global, Trust, approvals};
use crate::config::trust::Approval;
use crate::config::{Approvals, Executable};
use crate::error::{self, CommandError, During as _};
use crate::git::Repo;
use crate::model::clock::{Clock, SystemClock};
use crate::model::text::neutralised;
use crate::model::view::SCHEMA;
use crate::model::view::verbs::TrustView;
use crate::store::Layout;
use crate::ui;

/// Show, approve or revoke the commands of this repository's `.wt.toml`.
///
/// What `.wt.toml` makes `wt` run (set-up, checks, agents, templates) counts only after a person has approved exactly
/// that, as committed on the target; likewise the post-checkout hook in the folder that git's `core.hooksPath` names, with
/// everything beside it. Any change asks again. The user's own configuration needs no approval.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Approve without asking.
    #[arg(long, conflicts_with = "revoke")]
    approve: bool,
    /// Forget every approval of this repository.
    #[arg(long)]
    revoke: bool,
    /// Print JSON; asks nothing.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(global: &Global, args: &Args) -> Result<u8, CommandError> {
    let context = Context::open(global, Trust::NotNeeded)?;
    let approvals = approvals()?;
    let kept = || "approvals cannot be kept".to_owned();
    if args.revoke {
        let repository = context.repo().common_dir().to_string_lossy().into_owned();
        let n = approvals.revoke(&repository).during(kept)?;
        context.note(&format!("forgot {}", crate::model::text::count(n, "approval")));
    }
    // What `.wt.toml` runs, and the hooks that git's own configuration names: approved each by itself.
    let hooks = context.hooks()?.ok().map(|found| found.executable);
    let all: Vec<Executable> = context.executable()?.into_iter().chain(hooks).collect();
    if all.is_empty() && !args.json {
        ui::answer("this repository's configuration runs nothing of its own");
        return Ok(error::DONE);
    }
    if args.approve {
        for executable in &all {
            approve(context.repo(), executable, &approvals, context.clock().now())?;
        }
    }
    let mut open = Vec::new();
    for executable in &all {
        if !approvals.approved(&executable.hash).during(kept)? {
            open.push(executable);
        }
    }
    if args.json {
        let commands: Vec<_> = all.iter().flat_map(|executable| executable.items.clone()).collect();
        let hash = all.first().map(|executable| executable.hash.as_str());
        ui::json(&TrustView { schema: SCHEMA, approved: open.is_empty(), hash, commands: &commands });
        return Ok(error::DONE);
    }
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stdin());
    if !open.is_empty() && !args.revoke && terminal {
        for executable in open {
            ask(context.repo(), executable, &approvals, context.clock())?;
        }
        ui::answer("approved");
        return Ok(error::DONE);
    }
    for executable in &all {
        show(executable);
    }
    ui::answer(if open.is_empty() { "approved" } else { "not approved" });
    Ok(error::DONE)
}

fn show(executable: &Executable) {
    for (key, text) in &executable.items {
        ui::answer(&format!("{key} = {}", neutralised(text)));
    }
}

/// Shows what would run and asks; a no is an error, so that nothing goes on without it.
pub fn ask(
    repo: &Repo,
    executable: &Executable,
    approvals: &Approvals,
    clock: &SystemClock,
) -> Result<(), CommandError> {
    ui::message::warning("this repository's configuration makes `wt` run:");
    for (key, text) in &executable.items {
        ui::message::note(&format!("  {key} = {text}"));
    }
    let yes = Confirm::new()
        .with_prompt("Run this on your machine?")
        .default(false)
        .interact()
        .map_err(|_| CommandError::refused("nobody answered; nothing was made"))?;
    if !yes {
        return Err(
            CommandError::refused("not approved; nothing was made").hint("see it again with `wt trust`")
        );
    }
    approve(repo, executable, approvals, clock.now())
}

fn approve(
    repo: &Repo,
    executable: &Executable,
    approvals: &Approvals,
    at: Timestamp,
) -> Result<(), CommandError> {
    let repository = repo.common_dir().to_string_lossy().into_owned();
    let approval = Approval { hash: executable.hash.clone(), repository, at };
    approvals.approve(approval).during(|| "the approval cannot be kept".to_owned())?;
    // Hooks that change after this are told of again.
    drop(fs_err::remove_file(Layout::below(repo.common_dir()).hooks_told()));
    Ok(())
}
