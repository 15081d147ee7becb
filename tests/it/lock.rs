//! Locks: who holds one is told from who only looks.
//!
//! The tests run in a process of their own: while any other test forks, its child has a copy of every descriptor until it
//! is another program, and holds this process's locks for that moment.

use std::sync::atomic::{AtomicBool, Ordering};

use wt::store::Lock;

#[test]
fn locks_are_told_from_looks() {
    let itself = std::env::current_exe().unwrap();
    let alone = ["--ignored", "--test-threads=1", "lock::alone_"];
    let output = std::process::Command::new(itself).args(alone).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("2 passed"), "{said}");
}

/// A pass that took a look for a hold would leave a task unstarted, and nobody would come back to it.
#[test]
#[ignore = "started alone"]
fn alone_looking_at_a_lock_hides_it_from_nobody() {
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
#[ignore = "started alone"]
fn alone_of_many_who_try_at_once_one_gets_it() {
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
