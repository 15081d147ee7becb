//! How much memory the machine could still give to new processes, as the kernel tells it.

use fs_err as fs;

/// Returns the bytes that are free or can be freed without swapping; `None`: this kernel does not tell.
pub fn available() -> Option<u64> {
    parse(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn parse(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_is_read() {
        let text = "MemTotal:       8000000 kB\nMemFree:          10 kB\nMemAvailable:    2048 kB\n";
        assert_eq!(parse(text), Some(2 << 20));
        assert_eq!(parse("MemTotal: 1 kB\n"), None, "an old kernel");
        assert_eq!(parse("MemAvailable: much\n"), None);
    }
}
