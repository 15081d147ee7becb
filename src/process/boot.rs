//! Which boot of the machine this is: a task that ran in another one cannot be running any more.

use fs_err as fs;

/// Returns the id of this boot; `WT_TEST_BOOT` replaces it in tests.
pub fn id() -> String {
    if let Ok(id) = std::env::var("WT_TEST_BOOT") {
        return id;
    }
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}
