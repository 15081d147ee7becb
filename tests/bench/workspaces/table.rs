//! One line a way: time, what it is to git in the same run, and the aim.

use crate::figures::{Times, digits};

/// The most that a figure should be.
#[derive(Clone, Copy)]
pub enum Aim {
    /// Of git's median in the same run.
    Ratio(f64),
    /// Milliseconds.
    Millis(f64),
    /// There is none.
    None,
}

/// Prints the head of a section.
pub fn head(what: &str) {
    println!("\n{what}\n{:<46}{:>26}{:>9}   aim", "", "median ms [range]  n", "ratio");
}

/// Prints a way; `git`: the median that it is compared with.
pub fn line(label: &str, times: &Times, git: Option<f64>, aim: Aim) {
    let Some(median) = times.median() else {
        println!("  {label:<44}{:>26}", "-");
        return;
    };
    let ratio = git.map(|git| median / git);
    let told = times.told();
    let shown = ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.3}"));
    println!("  {label:<44}{told:>26}{shown:>9}   {}", judged(median, ratio, aim));
}

fn judged(median: f64, ratio: Option<f64>, aim: Aim) -> String {
    let verdict = |met: bool| if met { "met" } else { "MISSED" };
    match (aim, ratio) {
        (Aim::Ratio(most), Some(ratio)) => format!("<= {most:.2}  {}", verdict(ratio <= most)),
        (Aim::Millis(most), _) => format!("<= {} ms  {}", digits(most), verdict(median <= most)),
        _ => String::new(),
    }
}

/// Prints that a way could not be measured.
pub fn missing(label: &str, why: &str) {
    println!("  {label:<44} {why}");
}
