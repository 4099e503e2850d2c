//! `cargo xtask onnx-schema`: the Rust messages of `workloads/proto/onnx.proto`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

const HEADER: &str = "\
//! Made from `workloads/proto/onnx.proto` (the ONNX project, Apache-2.0) by `cargo xtask onnx-schema`; do not edit.
";

/// Writes `workloads/src/tensor/onnx/schema.rs`. With `--check`, says whether it is up to date instead.
///
/// # Errors
/// The schema cannot be compiled, the file cannot be written, or differs from the schema under `--check`.
pub fn run(arguments: impl Iterator<Item = String>) -> Result<()> {
    let arguments: Vec<String> = arguments.collect();
    let check = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--check"] => true,
        _ => bail!("usage: cargo xtask onnx-schema [--check]"),
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the root of the project")?;
    let folder = root.join("target/onnx-schema");
    std::fs::create_dir_all(&folder)?;
    let schema = protox::compile(["onnx.proto"], [root.join("workloads/proto")]).context("onnx.proto")?;
    // Its comments are Markdown of another tool's taste; who wants to read them reads the schema.
    prost_build::Config::new().out_dir(&folder).disable_comments(["."]).compile_fds(schema)?;
    let made = folder.join("onnx.rs");
    let text = format!("{HEADER}\n{}", std::fs::read_to_string(&made)?);
    std::fs::write(&made, text)?;
    let formatted = Command::new("rustfmt").args(["--edition", "2024", "--config-path"]).arg(root).arg(&made).status();
    if !formatted.context("cannot start rustfmt")?.success() {
        bail!("rustfmt failed on {}", made.display());
    }
    let text = std::fs::read_to_string(&made)?;
    let kept = root.join("workloads/src/tensor/onnx/schema.rs");
    if check {
        let is_same = std::fs::read_to_string(&kept).is_ok_and(|kept| kept == text);
        return if is_same { Ok(()) } else { bail!("{} is not what the schema gives", kept.display()) };
    }
    std::fs::write(&kept, text).with_context(|| kept.display().to_string())
}
