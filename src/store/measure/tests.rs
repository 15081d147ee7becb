//! Tests of how disk blocks are counted: once, apart, and by sort.

use super::*;
use std::os::unix::fs::MetadataExt as _;

fn blocks(path: &Path) -> u64 {
    fs_err::symlink_metadata(path).unwrap().blocks() * 512
}

fn write(path: &Path, bytes: usize) {
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(path, vec![b'x'; bytes]).unwrap();
}

#[test]
fn an_inode_counts_once_and_apart_if_it_has_names_elsewhere() {
    let root = tempfile::tempdir().unwrap();
    let (a, b) = (root.path().join("a"), root.path().join("b"));
    write(&a.join("one"), 100_000);
    fs_err::hard_link(a.join("one"), a.join("same")).unwrap();
    write(&root.path().join("store/big"), 300_000);
    for folder in [&a, &b] {
        fs_err::create_dir_all(folder).unwrap();
        fs_err::hard_link(root.path().join("store/big"), folder.join("big")).unwrap();
    }
    let units = [Unit::plain(&a, Sort::Own), Unit::plain(&b, Sort::Own)];
    let measured = measure(&units, &|| {});
    let big = blocks(&a.join("big"));
    assert_eq!(measured.tallies[0].own, blocks(&a) + blocks(&a.join("one")));
    assert_eq!(measured.tallies[1].own, blocks(&b));
    assert_eq!((measured.tallies[0].shared, measured.tallies[1].shared), (big, big));
    assert_eq!(measured.shared, big, "once in the total");
}

#[test]
fn links_are_not_followed_and_what_is_not_there_takes_nothing() {
    let root = tempfile::tempdir().unwrap();
    write(&root.path().join("far/big"), 500_000);
    let near = root.path().join("near");
    fs_err::create_dir(&near).unwrap();
    fs_err::os::unix::fs::symlink(root.path().join("far"), near.join("link")).unwrap();
    fs_err::os::unix::fs::symlink(&near, near.join("loop")).unwrap();
    let units = [
        Unit::plain(&near, Sort::Own),
        Unit::plain(root.path().join("none"), Sort::Own),
        Unit::plain(near.join("link"), Sort::Own),
    ];
    let measured = measure(&units, &|| {});
    assert!(measured.tallies[0].own < 50_000, "{measured:?}");
    assert_eq!(measured.tallies[1], Tally::default());
    assert!(measured.tallies[2].own < 5_000, "a link as such: {measured:?}");
}

#[test]
fn a_sorter_decides_until_a_cache_is_entered() {
    let root = tempfile::tempdir().unwrap();
    write(&root.path().join("src/a"), 10_000);
    write(&root.path().join("out/target/b"), 20_000);
    write(&root.path().join("out/c/.git/x"), 30_000);
    let sorter = |found: Found<'_>| match found.path.to_str() {
        Some("out/target") => Sort::Cache,
        // Nobody is asked below a cache.
        Some(path) if path.starts_with("out/target/") => Sort::Own,
        Some("out") => Sort::Ignored,
        _ => found.above,
    };
    let unit = Unit { root: root.path().to_owned(), sort: Sort::Own, sorter: Some(Box::new(sorter)) };
    let tally = measure(&[unit], &|| {}).tallies.pop().unwrap();
    let at = |path: &str| blocks(&root.path().join(path));
    assert_eq!(tally.own, at("") + at("src") + at("src/a"));
    assert_eq!(tally.caches, at("out/target") + at("out/target/b"));
    assert_eq!(tally.ignored, at("out") + at("out/c") + at("out/c/.git") + at("out/c/.git/x"));
    assert_eq!(tally.repository.as_deref(), Some(Path::new("out/c")));
    assert_eq!((tally.shared, tally.unreadable), (0, 0));
    assert!(tally.newest > 1_600_000_000);
}
