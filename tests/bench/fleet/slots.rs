//! Ten tasks of two seconds on ten slots: how much longer than two seconds all of them take.

use std::path::Path;
use std::time::Instant;

use crate::place::wt;
use crate::used::reap_all;
use crate::{aimed, list, tiny, told};

const TASKS: usize = 10;
const LASTS: f64 = 2.0;

/// With starts apart as they are by default, and at once.
pub fn measure(folder: &Path) {
    println!("\n{TASKS} tasks of {LASTS} s on {TASKS} slots, from `wt spawn` until nothing is left");
    for (what, stagger) in [("starts apart", ""), ("stagger = \"0s\"", "stagger = \"0s\"\n")] {
        let folder = folder.join(what.split(' ').next().unwrap());
        let place = tiny(&folder, &format!("slots = {TASKS}\n{stagger}"));
        let tasks = list(&folder, "t", TASKS, "sleep2");
        let begun = Instant::now();
        place.run(&wt(), &["spawn", "--from", &tasks, "--quiet"]);
        place.run(&wt(), &["wait", "--quiet"]);
        let took = begun.elapsed().as_secs_f64();
        reap_all(|| {});
        told(&format!("{what}: until all have ended"), took, "s");
        aimed(&format!("{what}: to the longest task"), took / LASTS, "times", 1.10);
    }
}
