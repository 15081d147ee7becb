//! Links the programs at a fixed address: their start-up then needs no relocation, which saves about a megabyte of memory
//! for each runner and each guard, of which there are two for every agent.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let linux = std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux");
    if linux {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
