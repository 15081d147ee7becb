//! The floor: the files of a commit written from memory by several threads, with nothing of git beside them.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A tree in memory.
pub struct Tree {
    folders: Vec<PathBuf>,
    files: Vec<(PathBuf, Vec<u8>, u32)>,
    links: Vec<(PathBuf, PathBuf)>,
}

impl Tree {
    /// Reads a checkout, without its `.git`.
    pub fn read(root: &Path) -> Self {
        let mut tree = Self { folders: Vec::new(), files: Vec::new(), links: Vec::new() };
        let mut next = vec![root.to_owned()];
        while let Some(folder) = next.pop() {
            for entry in std::fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                let below = path.strip_prefix(root).unwrap().to_owned();
                let about = std::fs::symlink_metadata(&path).unwrap();
                if below == Path::new(".git") {
                } else if about.is_dir() {
                    tree.folders.push(below);
                    next.push(path);
                } else if about.is_symlink() {
                    tree.links.push((below, std::fs::read_link(&path).unwrap()));
                } else {
                    tree.files.push((below, std::fs::read(&path).unwrap(), about.permissions().mode()));
                }
            }
        }
        tree.folders.sort();
        tree.files.sort();
        tree
    }

    /// Writes it to a folder that is not there yet.
    pub fn write(&self, root: &Path) -> Duration {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        let begun = Instant::now();
        std::fs::create_dir(root).unwrap();
        for folder in &self.folders {
            std::fs::create_dir(root.join(folder)).unwrap();
        }
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let from = next.fetch_add(64, Ordering::Relaxed);
                        let Some(some) = self.files.get(from..) else { break };
                        for (path, bytes, mode) in some.iter().take(64) {
                            let mut file = std::fs::File::create(root.join(path)).unwrap();
                            file.write_all(bytes).unwrap();
                            if mode & 0o100 != 0 {
                                file.set_permissions(Permissions::from_mode(0o755)).unwrap();
                            }
                        }
                        if some.len() <= 64 {
                            break;
                        }
                    }
                });
            }
        });
        for (path, target) in &self.links {
            std::os::unix::fs::symlink(target, root.join(path)).unwrap();
        }
        begun.elapsed()
    }
}
