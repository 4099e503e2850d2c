//! Chores of the project: `cargo xtask <command>`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

mod kernel_metadata;

const USAGE: &str = "usage: cargo xtask COMMAND

  kernel-metadata CUBIN... --out DIR --sources DIR [--flags FLAGS]
      write <kernel>.<arch>.toml for each kernel of each compiled file (called by scripts/build-sass.sh)";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let result = match arguments.next().as_deref() {
        Some("kernel-metadata") => kernel_metadata::run(arguments),
        Some(other) => Err(anyhow::anyhow!("unknown command `{other}`\n{USAGE}")),
        None => Err(anyhow::anyhow!("{USAGE}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
