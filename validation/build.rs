//! The suites and the parameters they name are embedded at compile time: a change of them must rebuild this crate.

fn main() {
    println!("cargo:rerun-if-changed=suites");
    println!("cargo:rerun-if-changed=../configs");
    println!("cargo:rerun-if-changed=build.rs");
}
