//! An agent that writes as fast as it is read: what the runner takes for it, and what is left of it in the log.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::place::{Place, wt};
use crate::used::{field, of_role, processor, reap_all};
use crate::{Extent, aimed, tiny, told};

/// What the log of an agent's output may be, in MiB.
const CAP: f64 = 64.0;

/// Lines of text, and lines of JSON that say nothing.
const LINES: [(&str, &str, &str); 2] = [
    ("text", "lines of 64 bytes", "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"),
    (
        "jsonl",
        "events of 150 bytes",
        "{\"type\":\"progress\",\"of\":\"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\"}",
    ),
];

/// Has an agent write 4 GiB in each form.
pub fn measure(folder: &Path, extent: Extent) {
    let mib: u32 = if extent == Extent::Quick { 256 } else { 4096 };
    for (form, what, line) in LINES {
        let write = format!("yes '{line}' | head -c {mib}M");
        let unread = Instant::now();
        let mut script = Command::new("sh");
        script.args(["-c", &format!("({write}) | cat")]).stdout(Stdio::null());
        assert!(script.status().unwrap().success());
        let unread = f64::from(mib) / unread.elapsed().as_secs_f64();
        // Quotes for TOML, and none of ours within.
        let agent =
            format!("[agents.flood]\ncommand = [\"sh\", \"-c\", '''{write}''']\nevents = \"{form}\"\n");
        let place = tiny(&folder.join(form), &format!("stagger = \"0s\"\n{agent}"));
        println!("\nan agent that writes {mib} MiB, {what} ({form})");
        one(&place, mib, unread);
    }
}

fn one(place: &Place, mib: u32, unread: f64) {
    place.run(&wt(), &["spawn", "flood", "nothing", "--agent", "flood", "--quiet"]);
    let (mut cpu, mut peak, mut begun, mut ended) = (0.0, 0.0, None, Instant::now());
    let patience = Instant::now();
    while patience.elapsed() < Duration::from_secs(300) {
        let Some(runner) = of_role("__run", &place.repo()).first().copied() else {
            if begun.is_some() {
                break;
            }
            continue;
        };
        begun = begun.or_else(|| (!of_role("__guard", &place.repo()).is_empty()).then(Instant::now));
        cpu = processor(runner).unwrap_or(cpu);
        peak = field(runner, "status", "VmHWM:").unwrap_or(peak);
        ended = Instant::now();
        std::thread::sleep(Duration::from_millis(50));
    }
    reap_all(|| {});
    let took = ended.saturating_duration_since(begun.unwrap_or(ended)).as_secs_f64();
    told("taken from the agent", f64::from(mib) / took, "MiB/s");
    told("  taken by `cat` from the same", unread, "MiB/s");
    told("processor time of the runner", cpu / 10.0 / took, "% of one");
    told("  for each GiB", cpu / f64::from(mib) * 1.024, "s");
    told("peak memory of the runner", peak / 1024.0, "MiB");
    let log = walk(&place.repo().join(".git/wt/tasks"), "stream.jsonl");
    aimed("log", log, "MiB", CAP);
}

/// The sizes of all files below a folder whose names begin like that, in MiB.
#[expect(clippy::cast_precision_loss, reason = "a file's size")]
fn walk(folder: &Path, name: &str) -> f64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let of = |entry: std::fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => walk(&entry.path(), name),
        _ if entry.file_name().to_string_lossy().starts_with(name) => {
            entry.metadata().map_or(0.0, |about| about.len() as f64 / f64::from(1 << 20))
        }
        _ => 0.0,
    };
    entries.map(of).sum()
}
