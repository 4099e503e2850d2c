//! Kernels and launches that are shipped in the binary.

use std::path::Path;

use include_dir::{Dir, File, include_dir};

use super::arch::{hardware_of, number_of};
use super::error::SassError;
use super::kernel::Kernel;
use super::launch::Launch;
use super::listing::{Listing, text_of};
use sim_core::config::nearest;

static KERNELS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/kernels/sass");
static LAUNCHES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/launches");

fn file_name(file: &File<'_>) -> String {
    file.path().file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

fn names(folder: &Dir<'_>) -> Vec<String> {
    let stem = |file: &File<'_>| file_name(file).strip_suffix(".toml").map(str::to_owned);
    let mut names: Vec<String> = folder.files().filter_map(stem).collect();
    names.sort();
    names
}

/// Shipped launches whose kernels need values at issue: they wait for another block, or read a clock.
pub const AT_ISSUE: [&str; 13] = [
    "bank-conflicts",
    "constant-chain",
    "dependent-chain",
    "grid-barrier",
    "index-chain",
    "instruction-chain",
    "instruction-rate",
    "mufu-rate",
    "pointer-chain",
    "pointer-chase",
    "pointer-partitions",
    "producer-consumer",
    "read-bandwidth",
];

/// Names of the shipped launches.
pub fn launch_names() -> Vec<String> {
    names(&LAUNCHES)
}

/// Kernels with their architectures, `("saxpy", "sm_80")`: ordered by name, then from the oldest architecture on.
pub fn kernel_names() -> Vec<(String, String)> {
    let split = |name: String| name.split_once('.').map(|(kernel, arch)| (kernel.to_owned(), arch.to_owned()));
    let mut kernels: Vec<(String, String)> = names(&KERNELS).into_iter().filter_map(split).collect();
    kernels.sort_by_cached_key(|(kernel, arch)| (kernel.clone(), number_of(hardware_of(arch)), arch.clone()));
    kernels
}

/// Architectures that a kernel is shipped for, as [`kernel_names`] has them; none if it is not shipped.
pub fn archs_of(kernel: &str) -> Vec<String> {
    kernel_names().into_iter().filter(|(name, _)| name == kernel).map(|(_, arch)| arch).collect()
}

/// Whether a kernel is shipped in code that chips of this architecture execute: [`kernel`] finds it.
pub fn runs_on(kernel: &str, arch: &str) -> bool {
    archs_of(kernel).iter().any(|shipped| shipped == arch || hardware_of(shipped) == arch)
}

/// A shipped launch by name, or a launch file by path.
///
/// # Errors
/// Neither; the help names the nearest.
pub fn launch(name: &str) -> Result<Launch, SassError> {
    let shipped = format!("{name}.toml");
    if let Some(file) = LAUNCHES.get_file(&shipped) {
        let text = text_of(&shipped, file.contents())?;
        return Launch::parse(&format!("launches/{shipped}"), &text, None);
    }
    let path = Path::new(name);
    if path.exists() {
        return Launch::read(path);
    }
    let names = launch_names();
    let help = suggestion(name, &names);
    Err(SassError::new(name, 0, "is neither a shipped launch nor a file", help))
}

/// A shipped kernel for an architecture. Where there is no code for `sm_90`, code for `sm_90a` does, which the same chips
/// execute.
///
/// # Errors
/// There is none of that name, or none for that architecture.
pub fn kernel(name: &str, arch: &str) -> Result<Kernel, SassError> {
    let stems = [format!("{name}.{arch}"), format!("{name}.{arch}a")];
    let found = stems.iter().find_map(|stem| KERNELS.get_file(format!("{stem}.toml")).map(|file| (stem, file)));
    let Some((stem, metadata)) = found else {
        let archs = archs_of(name);
        if !archs.is_empty() {
            let help = format!("it is shipped for {}", archs.join(", "));
            return Err(SassError::new(name, 0, format!("is not shipped for {arch}"), help));
        }
        let mut names: Vec<String> = kernel_names().into_iter().map(|(kernel, _)| kernel).collect();
        names.dedup();
        return Err(SassError::new(name, 0, "is not a shipped kernel", suggestion(name, &names)));
    };
    let listing = [format!("{stem}.sass"), format!("{stem}.sass.zst")];
    let found = listing.iter().find_map(|name| KERNELS.get_file(name).map(|file| (name, file)));
    let Some((listing_name, listing)) = found else {
        return Err(SassError::new(stem, 0, "has metadata but no listing", "run scripts/build-sass.sh"));
    };
    let listing = Listing::parse_bytes(&format!("kernels/sass/{listing_name}"), listing.contents())?;
    let metadata_name = format!("kernels/sass/{stem}.toml");
    Kernel::parse(&metadata_name, &text_of(&metadata_name, metadata.contents())?, &listing)
}

fn suggestion(name: &str, names: &[String]) -> String {
    match nearest(name, names.iter().map(String::as_str)) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("shipped are {}", names.join(", ")),
    }
}
