//! What a way took, on the clock and of the processors, and how that is told.

use std::time::{Duration, Instant};

use crate::figures::{Times, digits};

/// Times a branch, of several rounds.
#[derive(Clone, Default)]
pub struct Took {
    /// On the clock.
    pub wall: Times,
    /// Of the processors, children that ended included.
    pub cpu: Times,
}

impl Took {
    /// Measures a round of so many branches.
    pub fn round<T>(&mut self, branches: usize, way: impl FnOnce() -> T) -> T {
        let (begun, used) = (Instant::now(), cpu());
        let came = way();
        let each = |time: Duration| time / u32::try_from(branches).unwrap();
        self.wall.add(each(begun.elapsed()));
        self.cpu.add(each(cpu().saturating_sub(used)));
        came
    }
}

fn cpu() -> Duration {
    // Fields 14 to 17 of the process' line: user and system time of itself and of its ended children, in hundredths.
    let line = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after = line.rsplit_once(')').unwrap().1;
    let ticks: u64 = after.split_whitespace().skip(11).take(4).map(|n| n.parse::<u64>().unwrap()).sum();
    Duration::from_millis(10 * ticks)
}

/// Prints the head of a section.
pub fn head(what: &str) {
    let titles = format!("{:>26}{:>9}{:>9}", "median ms [range]  n", "cpu ms", "/ ours");
    println!("\n{what}, ms a branch\n{:<44}{titles}   aim", "");
}

/// Prints a way beside ours; `aim`: how many times as long as ours it should take at least.
pub fn line(label: &str, took: &Took, ours: &Took, aim: Option<f64>) {
    let (Some(wall), Some(own)) = (took.wall.median(), ours.wall.median()) else {
        println!("  {label:<42}{:>26}", "-");
        return;
    };
    let ratio = wall / own;
    let judged = aim.map_or_else(String::new, |aim| {
        format!(">= {} x  {}", digits(aim), if ratio >= aim { "met" } else { "MISSED" })
    });
    let used = took.cpu.median().map_or_else(|| "-".to_owned(), digits);
    println!("  {label:<42}{:>26}{used:>9}{:>9}   {judged}", took.wall.told(), digits(ratio));
}
