//! Giving back memory before a long wait: the pages of the program's own code that the preparation needed and the waiting
//! does not.
//!
//! A runner and a guard wait for hours, once for each agent. The kernel keeps every page of code that was ever used mapped
//! and charged to them; dropping those costs nothing but a fault for each that is used again.

use std::ffi::c_void;
use std::time::Duration;

use fs_err as fs;
use rustix::mm::{Advice, madvise};

/// Who has waited that long gives them back: an agent that ends sooner costs nobody memory, and its end needs the pages again.
pub const SOON: Duration = Duration::from_secs(1);

/// Drops the pages of code and constants of this program and its libraries; best effort.
pub fn drop_code_pages() {
    let Ok(maps) = fs::read_to_string("/proc/self/maps") else { return };
    // The file whose mappings have been dropped up to its code.
    let mut finished = "";
    for line in maps.lines() {
        let Some(Mapping { start, end, rights, file }) = mapping(line) else { continue };
        if file == finished {
            continue;
        }
        #[expect(unsafe_code, reason = "advice about memory is given by address")]
        // SAFETY: the range is a private mapping of a program's or library's own file, made by the loader, without the
        // right to write. Only a file's mappings up to its executable one are reached: behind it lie those that the loader
        // wrote to before it took the right away. So every page is a clean copy of the file, and is read from it again
        // when it is next used. Whether the file was replaced meanwhile does not matter: the mapping holds its inode.
        let given = unsafe { madvise(start as *mut c_void, end - start, Advice::LinuxDontNeed) };
        if given.is_err() || rights.contains('x') {
            finished = file;
        }
    }
}

/// A mapping of a file.
#[derive(Debug, PartialEq, Eq)]
struct Mapping<'a> {
    start: usize,
    end: usize,
    rights: &'a str,
    file: &'a str,
}

/// Reads one line of `/proc/self/maps`; `None`: not of a file, shared, or with the right to write.
fn mapping(line: &str) -> Option<Mapping<'_>> {
    let (_, file) = line.split_once(" /")?;
    let mut words = line.split_whitespace();
    let (range, rights) = (words.next()?, words.next()?);
    let (start, end) = range.split_once('-')?;
    let address = |hex| usize::from_str_radix(hex, 16).ok();
    let constant = !rights.contains('w') && rights.ends_with('p');
    constant.then_some(Mapping { start: address(start)?, end: address(end)?, rights, file })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_goes_on_as_before() {
        let before: Vec<String> = (0..100).map(|n| format!("{n:?} {:.3}", f64::from(n).sqrt())).collect();
        drop_code_pages();
        let after: Vec<String> = (0..100).map(|n| format!("{n:?} {:.3}", f64::from(n).sqrt())).collect();
        assert_eq!(before, after);
    }

    #[test]
    fn only_constant_private_mappings_of_files_count() {
        let line = "1000-2000 r-xp 00000000 fe:00 12    /usr/lib/libx.so";
        let found = Mapping { start: 0x1000, end: 0x2000, rights: "r-xp", file: "usr/lib/libx.so" };
        assert_eq!(mapping(line), Some(found));
        for other in [
            "1000-2000 rw-p 0 fe:00 12 /x",
            "1000-2000 r--s 0 fe:00 12 /x",
            "1000-2000 r-xp 0 00:00 0 [vdso]",
        ] {
            assert_eq!(mapping(other), None, "{other}");
        }
    }
}
