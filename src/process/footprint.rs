//! Giving back memory before a long wait: the pages of the program's own code that the preparation needed and the waiting
//! does not.
//!
//! A runner and a guard wait for hours, once for each agent. The kernel keeps every page of code that was ever used mapped
//! and charged to them; dropping those costs nothing but a fault for each that is used again.

use std::ffi::c_void;

use fs_err as fs;
use rustix::mm::{Advice, madvise};

/// Drops the pages of this program's code and constants; best effort.
pub fn drop_code_pages() {
    let (Ok(maps), Ok(program)) = (fs::read_to_string("/proc/self/maps"), fs::read_link("/proc/self/exe"))
    else {
        return;
    };
    let program = program.to_string_lossy();
    for line in maps.lines().filter(|line| line.ends_with(&*program)) {
        let Some((start, end, rights)) = mapping(line) else { return };
        #[expect(unsafe_code, reason = "advice about memory is given by address")]
        // SAFETY: the range is a mapping of this program's own file, made by the loader, private and without the right to
        // write. Only mappings up to the executable one are reached (see below): behind it lie the ones that the loader
        // wrote to before it took the right away. So every page is a clean copy of the file, and is read from it again
        // when it is next used. Whether the file was replaced meanwhile does not matter: the mapping holds its inode.
        let given = unsafe { madvise(start as *mut c_void, end - start, Advice::LinuxDontNeed) };
        if given.is_err() || rights.contains('x') {
            return;
        }
    }
}

/// Reads one line of `/proc/self/maps`: start, end and rights; `None` for a mapping that can be written to.
fn mapping(line: &str) -> Option<(usize, usize, &str)> {
    let mut words = line.split_whitespace();
    let (range, rights) = (words.next()?, words.next()?);
    let (start, end) = range.split_once('-')?;
    let address = |hex| usize::from_str_radix(hex, 16).ok();
    (!rights.contains('w') && rights.ends_with('p')).then_some((address(start)?, address(end)?, rights))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_goes_on_as_before() {
        let before: Vec<String> = (0..100).map(|n| format!("{n:?}")).collect();
        drop_code_pages();
        let after: Vec<String> = (0..100).map(|n| format!("{n:?}")).collect();
        assert_eq!(before, after);
    }

    #[test]
    fn writable_mappings_are_never_touched() {
        assert_eq!(mapping("1000-2000 r-xp 0 00:00 0 /x"), Some((0x1000, 0x2000, "r-xp")));
        assert_eq!(mapping("1000-2000 rw-p 0 00:00 0 /x"), None);
        assert_eq!(mapping("1000-2000 r--s 0 00:00 0 /x"), None);
    }
}
