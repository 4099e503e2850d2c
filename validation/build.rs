//! The suites and the memory presets are embedded at compile time: a change of them must rebuild this crate.

fn main() {
    println!("cargo:rerun-if-changed=suites");
    println!("cargo:rerun-if-changed=../configs/memory");
    println!("cargo:rerun-if-changed=build.rs");
}
