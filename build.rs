//! The configs are embedded at compile time: a change under `configs/` must rebuild the binary.

fn main() {
    println!("cargo:rerun-if-changed=configs");
    println!("cargo:rerun-if-changed=build.rs");
}
