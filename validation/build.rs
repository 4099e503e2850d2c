//! The suites are embedded at compile time: a change under `suites/` must rebuild this crate.

fn main() {
    println!("cargo:rerun-if-changed=suites");
    println!("cargo:rerun-if-changed=build.rs");
}
