//! `wt doctor`.

use clap::Args as ClapArgs;

use super::context::{Context, Global, approvals};
use crate::error::{self, CommandError, During as _};
use crate::model::view::{DoctorView, SCHEMA};
use crate::store::Journal;
use crate::tidy::Grounds;
use crate::tidy::doctor::machine::{self, Surroundings, Versions};
use crate::tidy::doctor::{self, DoctorError, Report};
use crate::ui;

/// Check the repository, its tasks and this machine, and say what is out of order.
///
/// Changes nothing by itself. With `--fix`, ends processes that outlived their attempt, settles tasks that lost their
/// supervision, and forgets what is recorded of things that are gone; work, branches and git's locks are never touched.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Mend what can be mended safely.
    #[arg(long)]
    fix: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(global: &Global, args: &Args) -> Result<u8, CommandError> {
    let mut context = Context::open_anyway(global)?;
    let around = Surroundings {
        path: std::env::var_os("PATH"),
        program: std::env::current_exe().ok(),
        versions: versions(&context)?,
    };
    let mut report = with_grounds(&mut context, doctor::examine)?;
    if args.fix {
        context.layout().prepare()?;
        context.pass();
        with_grounds(&mut context, doctor::mend)?;
        let again = with_grounds(&mut context, doctor::examine)?;
        report = Report { well: again.well, findings: doctor::compare(report.findings, again.findings) };
    }
    let (site, journal) = context.parts();
    report.extend(machine::examine(&site, journal.roster(), &around));
    let Report { well, findings } = report;
    let view = DoctorView { schema: SCHEMA, well, findings };
    if args.json {
        ui::json(&view);
    } else {
        ui::answer(&ui::doctor::doctor(&view));
    }
    let open = view.findings.iter().any(|finding| !finding.fixed);
    Ok(if open { error::REFUSED } else { error::DONE })
}

fn with_grounds<T>(
    context: &mut Context,
    act: impl FnOnce(&Grounds<'_>, &mut Journal) -> Result<T, DoctorError>,
) -> Result<T, CommandError> {
    let progress = context.progress();
    let (site, journal) = context.parts();
    let grounds = Grounds { site, observer: &progress };
    act(&grounds, journal).during(|| "the repository cannot be examined".to_owned())
}

/// A repository may name programs in `.wt.toml`; none of them runs before a person has approved it.
fn versions(context: &Context) -> Result<Versions, CommandError> {
    if context.is_faulty() {
        return Ok(Versions::Ask);
    }
    let Some(executable) = context.executable()? else { return Ok(Versions::Ask) };
    let approved = approvals()?.approved(&executable.hash);
    let approved = approved.during(|| "approvals cannot be read".to_owned())?;
    Ok(if approved { Versions::Ask } else { Versions::Leave })
}
