//! Locks: who holds one is told from who only looks.

use std::sync::atomic::{AtomicBool, Ordering};

use wt::store::Lock;

/// A pass that took a look for a hold would leave a task unstarted, and nobody would come back to it.
#[test]
fn looking_at_a_lock_hides_it_from_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    Lock::is_held(&path);
                }
            });
        }
        let missed = (0..2000).filter(|_| Lock::try_take(&path).unwrap().is_none()).count();
        let held = Lock::try_take(&path).unwrap();
        let doubled = (0..200).filter(|_| Lock::try_take(&path).unwrap().is_some()).count();
        drop(held);
        done.store(true, Ordering::Relaxed);
        assert_eq!((missed, doubled), (0, 0));
    });
}

#[test]
fn of_many_who_try_at_once_one_gets_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock");
    for _ in 0..200 {
        let taken: Vec<Option<Lock>> = std::thread::scope(|scope| {
            let tries: Vec<_> = (0..4).map(|_| scope.spawn(|| Lock::try_take(&path).unwrap())).collect();
            tries.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(taken.iter().flatten().count(), 1);
    }
}
