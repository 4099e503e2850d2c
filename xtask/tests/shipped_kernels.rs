//! What is shipped in `workloads/` fits together: sources, listings, metadata and launches.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use toml::Table;

fn workloads() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../workloads")
}

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(workloads().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|of| of == extension)).collect();
    files.sort();
    assert!(!files.is_empty(), "no .{extension} in {folder}");
    files
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap().to_str().unwrap().to_owned()
}

fn parse(path: &Path) -> Table {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Architectures that a kernel is compiled for: those that its source names, or else the default of the build script.
fn architectures(kernel: &str) -> Vec<String> {
    let source = fs::read_to_string(workloads().join(format!("kernels/{kernel}.cu"))).unwrap();
    let script = fs::read_to_string(workloads().join("../scripts/build-sass.sh")).unwrap();
    let named = source.lines().find_map(|line| line.strip_prefix("// Architectures:"));
    let default = script.lines().find_map(|line| line.strip_prefix("DEFAULT_ARCHITECTURES=")).unwrap();
    named.unwrap_or(default).trim().trim_matches('"').split_whitespace().map(str::to_owned).collect()
}

fn metadata(kernel: &str, arch: &str) -> Table {
    parse(&workloads().join(format!("kernels/sass/{kernel}.{arch}.toml")))
}

#[test]
fn every_listing_was_made_from_the_present_source() {
    for source in files("kernels", "cu") {
        let kernel = stem(&source);
        let hash = blake3::hash(&fs::read(&source).unwrap()).to_hex().to_string();
        for arch in architectures(&kernel) {
            let metadata = metadata(&kernel, &arch);
            assert_eq!(
                metadata["build"]["source_blake3"].as_str(),
                Some(hash.as_str()),
                "{kernel}.{arch} is stale: run scripts/build-sass.sh {kernel}"
            );
            assert_eq!(metadata["arch"].as_str(), Some(arch.as_str()));

            let listing = workloads().join(format!("kernels/sass/{kernel}.{arch}.sass"));
            assert!(
                listing.exists() || listing.with_extension("sass.zst").exists(),
                "{} is missing",
                listing.display()
            );
        }
    }
}

#[test]
fn every_launch_passes_what_its_kernel_takes() {
    for path in files("launches", "toml") {
        let launch = parse(&path);
        let kernel = launch["kernel"].as_str().unwrap();
        let arguments = launch["arg"].as_array().unwrap();
        for arch in architectures(kernel) {
            let metadata = metadata(kernel, &arch);
            let parameters = metadata["parameter"].as_array().unwrap();
            assert_eq!(arguments.len(), parameters.len(), "{}: number of arguments", path.display());
            for (argument, parameter) in arguments.iter().zip(parameters) {
                let size_bytes = match (argument["kind"].as_str().unwrap(), argument["type"].as_str().unwrap()) {
                    ("tensor_map", _) => 128,
                    ("buffer", _) | ("scalar", "f64" | "i64" | "u64") => 8,
                    ("scalar", "f32" | "i32" | "u32") => 4,
                    other => panic!("{}: {other:?}", path.display()),
                };
                let (got, name) = (parameter["size_bytes"].as_integer(), &argument["name"]);
                assert_eq!(got, Some(size_bytes), "{}: size of {name}", path.display());
            }

            let threads: i64 =
                launch["block"].as_array().unwrap().iter().map(|size| size.as_integer().unwrap()).product();
            let most = metadata.get("max_threads").map_or(1024, |threads| threads.as_integer().unwrap());
            assert!(threads <= most, "{}: {threads} threads a block of at most {most}", path.display());
        }
    }
}

/// Names of arguments are not in the compiled file, so a launch could pass them in the wrong order unnoticed. The
/// sources list them in their comments: `//  0  name  type` with an index, after `Arguments:`.
#[test]
fn every_launch_names_its_arguments_as_the_source_does() {
    for path in files("launches", "toml") {
        let launch = parse(&path);
        let source = workloads().join(format!("kernels/{}.cu", launch["kernel"].as_str().unwrap()));
        let source = fs::read_to_string(&source).unwrap();
        let (_, list) = source.split_once("Arguments:").expect("a list of arguments");
        let mut documented = BTreeMap::new();
        for line in list.lines().map(|line| line.trim_start_matches("//").trim()) {
            let mut words = line.split_whitespace();
            let Some(Ok(index)) = words.next().map(str::parse::<usize>) else { break };
            documented.insert(index, (words.next().unwrap().to_owned(), words.collect::<Vec<_>>().join(" ")));
        }

        let arguments = launch["arg"].as_array().unwrap();
        assert_eq!(documented.len(), arguments.len(), "{}", path.display());
        for (argument, (index, (name, description))) in arguments.iter().zip(&documented) {
            assert_eq!(argument["name"].as_str(), Some(name.as_str()), "{}: argument {index}", path.display());
            let is_buffer = description.split([',', ':']).next().unwrap().ends_with(']');
            assert_eq!(argument["kind"].as_str() == Some("buffer"), is_buffer, "{}: kind of {name}", path.display());
        }
    }
}

#[test]
fn every_check_compares_buffers_of_the_launch() {
    for path in files("launches", "toml") {
        let launch = parse(&path);
        let buffers: Vec<_> = launch["arg"].as_array().unwrap().iter().filter(|of| of.get("count").is_some()).collect();
        let outputs = launch["check"]["outputs"].as_array().unwrap();
        assert!(!outputs.is_empty(), "{}", path.display());
        for output in outputs {
            assert!(buffers.iter().any(|buffer| &buffer["name"] == output), "{}: {output}", path.display());
        }
    }
}
