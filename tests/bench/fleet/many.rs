//! Many tasks that last nothing: whether the thousandth costs what the first did, and what a long queue is to others.

use std::path::Path;

use crate::figures::{Times, digits};
use crate::place::{Place, wt};
use crate::used::{Since, largest, reap_all};
use crate::{Extent, Stops, list, tiny, told};

/// What `wt status` and `wt spawn` may take beside whatever queue, in milliseconds.
const AT_ONCE: f64 = 200.0;

/// Runs 200, 1,000 and, where all is wanted, 10,000 tasks to their end.
pub fn measure(folder: &Path, extent: Extent) {
    let counts: &[usize] = match extent {
        Extent::Quick => &[50],
        Extent::Usual => &[200, 1_000],
        Extent::Full => &[200, 1_000, 10_000],
    };
    for count in counts {
        let folder = folder.join(count.to_string());
        let place = tiny(&folder, "slots = 8\nstagger = \"0s\"\n");
        println!("\n{count} tasks of no length on 8 slots, a workspace each");
        let tasks = list(&folder, "t", *count, "nothing");
        let since = Since::now();
        place.run(&wt(), &["spawn", "--from", &tasks, "--quiet"]);
        told("`wt spawn --from`", since.used().wall, "ms");
        let block = (count / 10).clamp(1, 1_000);
        let (mut part, mut ended) = (Since::now(), 0);
        reap_all(|| {
            ended += 1;
            if ended % block == 0 {
                let used = part.used();
                let each = |sum: f64| digits(sum / f64::from(u32::try_from(block).unwrap()));
                println!(
                    "    up to {ended:>6}: {:>8} ms, {:>8} ms CPU each",
                    each(used.wall),
                    each(used.cpu)
                );
                part = Since::now();
            }
        });
        let whole = since.used();
        told("until nothing is left", whole.wall / 1e3, "s");
        told("  for each task", whole.wall / f64::from(u32::try_from(*count).unwrap()), "ms");
        told("journal and what was rolled", journal(&place), "MiB");
        told("peak memory of any process so far", largest(), "MiB");
        beside(&place, &format!("{count} that have ended"));
    }
}

/// Asks for the status, and spawns, beside 10,000 that wait for a slot.
pub fn queue(folder: &Path, extent: Extent) {
    let count = if extent == Extent::Quick { 500 } else { 10_000 };
    let place = tiny(folder, "slots = 1\nstagger = \"0s\"\n");
    let _stops = Stops(&place);
    place.run(&wt(), &["spawn", "sleeper", "nothing", "--agent", "sleeper", "--quiet"]);
    println!("\n{count} tasks in the queue");
    let tasks = list(folder, "q", count, "nothing");
    let since = Since::now();
    place.run(&wt(), &["spawn", "--from", &tasks, "--quiet"]);
    told("`wt spawn --from`", since.used().wall, "ms");
    told("journal and what was rolled", journal(&place), "MiB");
    beside(&place, &format!("{count} in the queue"));
    told("peak memory of any process so far", largest(), "MiB");
}

/// What a person waits for the answer to.
fn beside(place: &Place, what: &str) {
    let (mut status, mut one, mut spawn) = (Times::default(), Times::default(), Times::default());
    for n in 0..5 {
        status.add(place.run(&wt(), &["status"]).took);
        spawn.add(place.run(&wt(), &["spawn", &format!("beside{n}"), "--no-agent", "--quiet"]).took);
        one.add(place.run(&wt(), &["status", &format!("beside{n}")]).took);
    }
    for (verb, times) in [("status", &status), ("status NAME", &one), ("spawn --no-agent", &spawn)] {
        let verdict = if times.median().unwrap_or(f64::NAN) <= AT_ONCE { "met" } else { "MISSED" };
        let label = format!("`wt {verb}` beside {what}");
        println!("  {label:<56}{:>22} ms   aim <= {AT_ONCE} ms: {verdict}", times.told());
    }
}

/// The size of the journal with its rolled parts, in MiB.
#[expect(clippy::cast_precision_loss, reason = "a file's size")]
fn journal(place: &Place) -> f64 {
    let entries = std::fs::read_dir(place.repo().join(".git/wt")).unwrap().flatten();
    let parts = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("journal"));
    parts.map(|part| part.metadata().unwrap().len() as f64).sum::<f64>() / f64::from(1 << 20)
}
