//! Chores of the project: `cargo xtask <command>`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

mod ci;
mod kernel_metadata;
mod onnx_schema;

const USAGE: &str = "usage: cargo xtask COMMAND

  ci [STEP]...
      format, lints, tests, documentation, shipped files, the README's first command; all of it or the steps named
  fuzz [TARGET]... [--minutes N] [--seed N]
      feed the readers with mutations of what ships, one minute each by default
  kernel-metadata CUBIN... --out DIR --sources DIR [--flags FLAGS]
      write <kernel>.<arch>.toml for each kernel of each compiled file (called by scripts/build-sass.sh)
  onnx-schema [--check]
      write the messages of workloads/proto/onnx.proto as Rust, or say whether those in the tree are up to date";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let result = match arguments.next().as_deref() {
        Some("ci") => return exit(ci::run(arguments), 1),
        Some("fuzz") => xtask::fuzz::run(arguments),
        Some("kernel-metadata") => kernel_metadata::run(arguments),
        Some("onnx-schema") => onnx_schema::run(arguments),
        Some(other) => Err(anyhow::anyhow!("unknown command `{other}`\n{USAGE}")),
        None => Err(anyhow::anyhow!("{USAGE}")),
    };
    exit(result, 2)
}

fn exit(result: anyhow::Result<()>, code: u8) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(code)
        }
    }
}
