//! Leases of TCP ports that nobody holds any more: of this user's other repositories too, for they are handed out together.

use super::Report;
use crate::model::text::count;
use crate::model::{Roster, TaskId};
use crate::store::{Layout, Lock};
use crate::workspace::Site;
use crate::workspace::ports::{self, Leases, PortsError};

/// Looks at the leases. Where there is no home there are none.
pub fn examine(site: &Site<'_>, roster: &Roster, report: &mut Report) -> Result<(), PortsError> {
    let Ok(leases) = Leases::of_user() else { return Ok(()) };
    let (before, all) = (report.findings.len(), leases.list()?);
    for (port, record) in leases.dead()? {
        let detail = format!("leased to {}, which does not hold it", record.display());
        report.find("dead-lease", &port, detail, Some("wt doctor --fix".to_owned()));
    }
    for id in idle(site.layout, roster) {
        let ports: Vec<String> =
            ports::held(&site.layout.task(&id)).iter().map(ToString::to_string).collect();
        let detail = format!("holds port {} without a workspace", ports.join(", "));
        report.find("dead-lease", &id, detail, Some("wt doctor --fix".to_owned()));
    }
    if !all.is_empty() {
        report.well_since(before, format!("ports: {}, all of them held", count(all.len(), "lease")));
    }
    Ok(())
}

/// Takes them away.
pub fn mend(site: &Site<'_>, roster: &Roster) -> Result<(), PortsError> {
    let Ok(leases) = Leases::of_user() else { return Ok(()) };
    for id in idle(site.layout, roster) {
        ports::release(site, &id)?;
    }
    leases.reclaim()?;
    Ok(())
}

/// Returns the tasks of this repository that hold ports and will never have a workspace again by themselves.
fn idle(layout: &Layout, roster: &Roster) -> Vec<TaskId> {
    let names = fs_err::read_dir(layout.tasks()).into_iter().flatten().flatten();
    let ids = names.filter_map(|entry| entry.file_name().to_str()?.parse::<TaskId>().ok());
    let ended = |id: &TaskId| {
        roster.get(id).is_none_or(|task| task.state.ended() && task.workspace.is_none())
            && !ports::held(&layout.task(id)).is_empty()
            && !Lock::is_held(&layout.task(id).lock())
    };
    let mut found: Vec<TaskId> = ids.filter(ended).collect();
    found.sort();
    found
}
