//! One question about each of many things, on all cores.
//!
//! Invariant: the answers come in the order of the things, whoever answered first. A panic of one is a panic of the asker.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// More threads than this only wait for the disk.
const MOST: usize = 16;

/// Returns `each` of every item, in order. `few` items are worth one more thread; at least one.
pub fn map<T: Sync, R: Send>(items: &[T], few: usize, each: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = thread::available_parallelism().map_or(2, usize::from);
    let workers = cores.min(MOST).min(items.len().div_ceil(few.max(1)));
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(n) else { return done };
            done.push((n, each(item)));
        }
    };
    let mut done = thread::scope(|scope| {
        let others: Vec<_> = (1..workers).map(|_| scope.spawn(work)).collect();
        let mut done = work();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|(n, _)| *n);
    done.into_iter().map(|(_, answer)| answer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_in_the_order_of_the_things() {
        let items: Vec<usize> = (0..1000).collect();
        assert_eq!(map(&items, 1, |n| n * 2), items.iter().map(|n| n * 2).collect::<Vec<_>>());
        assert_eq!(map(&[] as &[usize], 0, |n| *n), [] as [usize; 0]);
    }
}
