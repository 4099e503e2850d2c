//! The configs are embedded at compile time: a change under `configs/` must rebuild the binary. So must one of the sources,
//! whose hash tells snapshots of one state of the program from those of another.

use std::path::{Path, PathBuf};

/// All that decides what a run computes and how its state is laid out.
const SOURCES: [&str; 5] = ["Cargo.lock", "components", "sim-core/src", "src", "workloads/src"];

fn main() {
    for path in ["build.rs", "configs"].iter().chain(&SOURCES) {
        println!("cargo:rerun-if-changed={path}");
    }
    let mut files = Vec::new();
    SOURCES.iter().for_each(|path| collect(Path::new(path), &mut files));
    files.sort();
    let mut hasher = blake3::Hasher::new();
    for file in &files {
        let text = std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        hasher.update(file.to_string_lossy().replace('\\', "/").as_bytes());
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(&text);
    }
    println!("cargo:rustc-env=ORRERY_SOURCES={}", &hasher.finalize().to_hex()[..12]);
}

/// A file, or the Rust files below a folder that are built into the program.
fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(path) else { return files.push(path.to_path_buf()) };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() && name != "tests" && name != "benches" {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
