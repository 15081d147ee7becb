//! What waiting for agents takes that do nothing: memory and wake-ups of runners and guards.

use std::path::Path;
use std::time::Duration;

use crate::place::{Place, wt};
use crate::used::{field, of_role, processor, switches, until};
use crate::{Extent, Stops, aimed, list, tiny, told};

const ROLES: [&str; 2] = ["__run", "__guard"];

/// Has one agent sleep, and then a hundred.
pub fn measure(folder: &Path, extent: Extent) {
    let (most, watched) = if extent == Extent::Quick { (10, 5) } else { (100, 60) };
    let place = tiny(folder, &format!("slots = {most}\nstagger = \"0s\"\nmemory = \"0\"\n"));
    let _stops = Stops(&place);
    for count in [1, most] {
        let tasks =
            list(folder, &format!("n{count}-"), count - of_role("__run", &place.repo()).len(), "sleeper");
        place.run(&wt(), &["spawn", "--from", &tasks, "--quiet"]);
        let Some(pairs) = asleep(&place, count) else {
            println!("  {count} agents that sleep: not all of them have begun");
            continue;
        };
        println!("\n{count} agents that sleep");
        let mut sum = 0.0;
        for (role, pids) in ROLES.iter().zip(&pairs) {
            let pss: f64 = pids.iter().filter_map(|pid| field(*pid, "smaps_rollup", "Pss:")).sum();
            let mean = pss / f64::from(u32::try_from(count).unwrap());
            told(&format!("PSS of a {role}"), mean, "KiB");
            sum += mean / 1024.0;
        }
        aimed("PSS of a pair", sum, "MiB", 2.0);
        if count == most {
            wakes(&pairs, watched);
        }
    }
}

/// Waits until so many agents run and nobody has anything left to do; returns runners and guards.
fn asleep(place: &Place, count: usize) -> Option<[Vec<u32>; 2]> {
    let all = |pids: &[Vec<u32>; 2]| pids.iter().flatten().filter_map(|pid| processor(*pid)).sum::<f64>();
    until(Duration::from_secs(120), || {
        let pairs = ROLES.map(|role| of_role(role, &place.repo()));
        let before = all(&pairs);
        std::thread::sleep(Duration::from_millis(1500));
        let still =
            (all(&pairs) - before).abs() < f64::EPSILON && of_role("__foresee", &place.repo()).is_empty();
        (pairs.iter().all(|pids| pids.len() == count) && still).then_some(pairs)
    })
}

fn wakes(pairs: &[Vec<u32>; 2], seconds: u64) {
    let sums = || pairs.each_ref().map(|pids| pids.iter().map(|pid| switches(*pid)).sum::<f64>());
    let before = sums();
    std::thread::sleep(Duration::from_secs(seconds));
    let after = sums();
    for ((role, before), after) in ROLES.iter().zip(before).zip(after) {
        aimed(&format!("switches of all {role} in {seconds} s"), after - before, "times", 0.0);
    }
}
