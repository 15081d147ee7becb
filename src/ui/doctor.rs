//! `wt doctor` for people.

use anstyle::{AnsiColor, Style};

use crate::model::text::{count, neutralised};
use crate::model::view::DoctorView;

const FOUND: Style = AnsiColor::Red.on_default().bold();
const FIXED: Style = AnsiColor::Green.on_default().bold();
const WELL: Style = Style::new().dimmed();

/// Returns what was found, and then what is well.
pub fn doctor(view: &DoctorView) -> String {
    let mut lines = Vec::new();
    for finding in &view.findings {
        let (style, word) = if finding.fixed { (FIXED, "fixed") } else { (FOUND, "found") };
        let about = neutralised(&finding.subject).into_owned();
        let detail = neutralised(&finding.detail).into_owned();
        lines.push(format!("{style}{word}{style:#} {} {about}: {detail}", finding.kind));
        if let Some(hint) = &finding.hint {
            lines.push(format!("      hint: {}", neutralised(hint)));
        }
    }
    for line in &view.well {
        lines.push(format!("{WELL}well  {}{WELL:#}", neutralised(line)));
    }
    let open = view.findings.iter().filter(|finding| !finding.fixed).count();
    lines.push(if open == 0 {
        "all is well".to_owned()
    } else {
        format!("{} to look at", count(open, "thing"))
    });
    lines.join("\n")
}
